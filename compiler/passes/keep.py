"""What a loop has computed, another loop over the same steps need not compute again.

Needs: an expanded program. Leaves: for each costly value of a scan's step (a product, a sum, a tanh) that the step of a
later scan computes again from what the first was given and carried, as the gradient's does, one more collected value
of the first scan, which is given to the later one as a sequence. What is cheap is computed again, from as few kept
values as there may be: of `softmax(z)` the result, and neither e^z nor its sum. Does not keep what is larger than one
column for each example where it is elementwise: that is computed again as fast as it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from dlc.compiler.ir import Graph, Node, through_bodies
from dlc.compiler.ops import OPS
from dlc.compiler.ops.loop import Step
from dlc.compiler.passes.opened import Opened, Take, costly, draws, nominal, reopened, together


@dataclass
class _Loop:
    """A scan of the graph. `kept` are nodes of its step that later scans are given; `read` those of its step that it is
    given, each with the scan and the node there that it is. `take` gives what is kept."""

    node: Node
    kept: dict[Node, None] = field(default_factory=dict)
    read: dict[Node, tuple[_Loop, Node]] = field(default_factory=dict)
    take: Callable[[Node], Node] | None = None

    @property
    def step(self) -> Step:
        step: Step = self.node.attr("step")
        return step


@through_bodies
def keep(graph: Graph) -> Graph:
    """The graph where scans give what they have computed to later ones."""
    loops: dict[Hashable, _Loop] = {}
    for node in graph.nodes:
        if node.op == "scan" and together(node) not in loops:
            loop = loops[together(node)] = _Loop(node)
            for earlier in dict.fromkeys(together(value) for value in node.inputs if value.op == "scan"):
                _share(loops[earlier], loop)
    if not any(loop.read for loop in loops.values()):
        return graph

    def change(opened: Opened, takes: Sequence[str]) -> Take | None:
        loop = loops[together(opened.scan)]
        if not loop.kept and not loop.read:
            return None
        names = {node: opened.collect(opened.became[node]) for node in loop.kept}
        opened.substitute({opened.became[node]: opened.sequence(_kept(*origin)) for node, origin in loop.read.items()})
        take = opened.close([*takes, *names.values()])
        loop.take = lambda node: take(names[node])
        return take

    return reopened(graph, change)


def _kept(loop: _Loop, node: Node) -> Node:
    assert loop.take is not None
    return loop.take(node)


def _share(first: _Loop, later: _Loop) -> None:
    """Notes what the later scan is to read of the first."""
    same = _same(first, later)
    varies = _varying(later.step)
    users = later.step.graph.users()
    roots = set(later.step.graph.roots.values())
    found: dict[Node, None] = {}
    for node in later.step.graph.nodes:
        if node in same and (node in roots or any(user not in same for user in users[node])):
            missing = _missing(node, found, varies)
            whole = node.type.kind == "real" and nominal(node.type) <= sum(nominal(each.type) for each in missing)
            found |= {node: None} if missing and whole else missing
    for node in found:
        if node not in later.read:
            first.kept[same[node]] = None
            later.read[node] = (first, same[node])


def _missing(node: Node, kept: Collection[Node], varies: Collection[Node]) -> dict[Node, None]:
    """The costly nodes that have to be kept, besides those that are, to have a node. What does not vary from step to
    step leaves the loop."""
    waiting, seen = [node], set(kept)
    found: dict[Node, None] = {}
    while waiting:
        value = waiting.pop()
        if value.op == "held" or value in seen or value not in varies:
            continue
        seen.add(value)
        if costly(value):
            found[value] = None
        else:
            waiting += reversed(value.inputs)
    return found


def _varying(step: Step) -> set[Node]:
    """The nodes that may differ from step to step."""
    found: set[Node] = set()
    for node in step.graph.nodes:
        given = node.op == "held" and not str(node.attr("name")).startswith("constant.")
        if given or draws(node) or any(value in found for value in node.inputs):
            found.add(node)
    return found


def _same(first: _Loop, later: _Loop) -> dict[Node, Node]:
    """The nodes of the later step that are nodes of the first step, at the same place of the axis."""
    leaves = _leaves(first, later.node.inputs)
    index = {(node.op, node.inputs, node.attrs): node for node in first.step.graph.nodes if node.op != "held"}
    given = later.step.operands(later.node.inputs)
    same: dict[Node, Node] = {}
    for node in later.step.graph.nodes:
        if node.op == "held":
            name = str(node.attr("name"))
            kind, _, number = name.partition(".")
            axis = later.node.attr("axes")[int(number)] if kind == "sequence" else None
            origin = leaves.get((given[name], axis)) if kind != "carry" else None
        elif all(value in same for value in node.inputs):
            inputs = tuple(same[value] for value in node.inputs)
            origin = index.get((node.op, inputs, node.attrs))
            if origin is None and OPS[node.op].commutative:
                origin = index.get((node.op, inputs[::-1], node.attrs))
        else:
            origin = None
        if origin is not None:
            same[node] = origin
    return same


def _leaves(first: _Loop, given: Iterable[Node]) -> dict[tuple[Node, int | None], Node]:
    """What nodes of the first step a later one may be given, by the value outside and its scanned axis."""
    step, scan, leaves = first.step, first.node, first.step.held()
    found: dict[tuple[Node, int | None], Node] = {}
    for number, (name, value) in enumerate(step.operands(scan.inputs).items()):
        if name in leaves and not name.startswith("carry."):
            found[value, scan.attr("axes")[number] if number < step.sequences else None] = leaves[name]
    for value in given:
        if value.op == "scan" and together(value) == together(scan):
            kind, _, number = value.attr("take").partition(".")
            node = leaves.get(f"carry.{number}") if kind == "before" else step.graph.roots.get(value.attr("take"))
            if node is not None:
                found[value, value.type.rank - 1] = node
    return found
