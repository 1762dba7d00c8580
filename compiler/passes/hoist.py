"""Takes the last function out of a loop: `y_hat<t> = softmax(z<t>)` becomes the softmax of all z at once.

Needs: a stabilised program. Leaves: the same values, where what a scan collects is what an activation of one step was
applied to, and the activation stands behind the scan, before the loss that reads it: so a loss after a scan gets the
stable form that it gets without one. Does not take out what the step itself reads, nor what has operands of its own.
"""

from __future__ import annotations

from dlc.compiler.ir import Builder, Graph, Node, bodies, rebuild, through_bodies, topological
from dlc.compiler.ops import OPS, Elementwise, Stable
from dlc.compiler.ops.loop import Step
from dlc.compiler.passes.stabilise import stabilise


def hoist(graph: Graph) -> Graph:
    """The graph with activations behind its scans; a program that has loops is stabilised again."""
    found = _hoist(graph)
    return graph if found is graph else stabilise(found)


@through_bodies
def _hoist(graph: Graph) -> Graph:
    steps = {body for node in graph.nodes for body in bodies(node) if isinstance(body, Step)}
    chains = {step: found for step in steps if (found := _chains(step))}
    if not chains:
        return graph
    short = {step: step.with_graph(_shortened(step.graph, found)) for step, found in chains.items()}

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        step = node.attr("step") if node.op == "scan" else None
        if step not in chains:
            return None
        attrs = tuple((name, short[value] if isinstance(value, Step) else value) for name, value in node.attrs)
        result = b.typed(node.op, inputs, attrs, node.type, node.span)
        for link in reversed(chains[step].get(str(node.attr("take")), [])):
            operands = (result if each.op != "constant" else _again(b, each) for each in link.inputs)
            result = b.typed(link.op, tuple(operands), link.attrs, node.type, link.span)
        return result

    return rebuild(graph, rule)


def _chains(step: Step) -> dict[str, list[Node]]:
    """For each collected value the activations that end it, the last one first, as far as no other value reads them."""
    found: dict[str, list[Node]] = {}
    for take, root in step.graph.roots.items():
        if not take.startswith("out."):
            continue
        others = set(topological(node for name, node in step.graph.roots.items() if name != take))
        links, node = [], root
        while node not in others and (before := _activated(node)) is not None:
            links.append(node)
            node = before
        if links:
            found[take] = links
    return found


def _activated(node: Node) -> Node | None:
    """What an activation is applied to: the one operand that is no number."""
    if not isinstance(OPS[node.op], Elementwise | Stable):
        return None
    operands = [value for value in node.inputs if value.op != "constant"]
    same = len(operands) == 1 and operands[0].type == node.type
    return operands[0] if same else None


def _shortened(graph: Graph, chains: dict[str, list[Node]]) -> Graph:
    """The step's program without the activations."""
    roots = dict(graph.roots)
    for take, links in chains.items():
        before = _activated(links[-1])
        assert before is not None
        roots[take] = before
    kept = set(topological(roots.values()))
    return Graph.of(roots, {name: node for name, node in graph.names.items() if node in kept})


def _again(b: Builder, constant: Node) -> Node:
    return b.typed(constant.op, (), constant.attrs, constant.type, constant.span)
