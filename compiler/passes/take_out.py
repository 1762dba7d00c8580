"""Takes out of a loop what need not be in it: a fast step has one product, and elementwise work.

Needs: an expanded program; after `keep`. Leaves, of each scan's step, what the next step waits for. Before the loop
stand the products of sequences with weights, for all steps at once: `W @ x<t>` is a sequence `W @ x`; and what is the
same at every step. Behind it stand the products of what the steps leave: those that only collected values need, such as
`W_y @ a<t>` or `dx<t> = W.T @ dz<t>`, and the sums of products over all steps, such as `dW`, which a gradient's loop
adds up in a carry: what is collected is `dz`, and `dW` one product over the examples and steps. Weights that are
multiplied with one value are one matrix, in the order of their products. Does not take out elementwise work, nor what
would be collected at the size of more than one column for each example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.compiler.ir import Builder, Graph, Node, through_bodies, topological
from dlc.compiler.ops.base import is_number
from dlc.compiler.passes.apart import added, take_apart
from dlc.compiler.passes.merge import merge
from dlc.compiler.passes.opened import Opened, Reads, Take, costly, reopened
from dlc.compiler.passes.outside import Outside
from dlc.compiler.passes.sums import Sums


@through_bodies
def take_out(graph: Graph) -> Graph:
    """The graph with less in its loops."""
    return reopened(graph, _taken_out)


def _taken_out(loop: Opened, takes: Sequence[str]) -> Take:
    """A scan with less in it, and what stands for each of its results."""
    take_apart(loop)
    merge(loop, _inside(loop, takes, _sums(loop, takes)))
    sums = _sums(loop, takes)
    roots = dict(loop.roots)
    draft, carried = _draft(loop, takes, sums)
    outside = Outside(loop, draft.inside, draft.carried, loop.outer, draft.used, draft.decided)
    totals = Sums(outside, carried)
    loop.roots |= {name: node for node, name in draft.decided.names.items()}
    loop.substitute(_before(loop, outside))
    take = outside.take = loop.close(draft.used)

    def taken(name: str) -> Node:
        if name in sums:
            total = totals.total(sums[name])
            assert total is not None
            return _with_first(loop, loop.given[loop.carries[int(name[5:])]], total)
        return outside.timed(roots[name]) if _leaves(loop, roots, name) else take(name)

    return taken


def _with_first(loop: Opened, first: Node, total: Node) -> Node:
    """A sum and what was there before the first step, which is nothing for a gradient."""
    zero = first.inputs[0] if first.op == "broadcast" else first
    return total if is_number(zero, 0) else loop.outer.add("add", first, total)


def _leaves(loop: Opened, roots: Mapping[str, Node], take: str) -> bool:
    """Whether a result is a collected value that differs from step to step: it may be computed outside."""
    return take.startswith("out.") and loop.reads(roots[take]) is not Reads.CONSTANTS


def _draft(loop: Opened, takes: Sequence[str], sums: dict[str, Node]) -> tuple[Outside, dict[Node, str]]:
    """What is collected, so that everything else can be computed outside. Takes the sums away that cannot: they are
    added up in the loop, and come second, by what is added. A sum over axes may be that of one of those."""
    carried: dict[Node, str] = {}
    while True:
        kept = {loop.roots[loop.root(leaf)]: loop.root(leaf) for leaf in _kept(loop, takes, sums)}
        left = [take for take in takes if take not in sums and not _leaves(loop, loop.roots, take)]
        outside = Outside(loop, _inside(loop, takes, sums), kept, Builder(), left)
        totals = Sums(outside, carried)
        products = {take: value for take, value in sums.items() if value.op in ("matmul", "einsum")}
        failed = [take for take, value in products.items() if totals.total(value) is None]
        for take in takes:
            if _leaves(loop, loop.roots, take):
                outside.timed(loop.roots[take])
        failed += [take for take, value in sums.items() if take not in products and totals.total(value) is None]
        if not failed:
            return outside, carried
        for take in [take for take in failed if sums[take].op != "sum"] or failed:
            carried[sums.pop(take)] = take


def _sums(loop: Opened, takes: Sequence[str]) -> dict[str, Node]:
    """The carries that only add up, by the one result that is taken of each, `last.<i>`: what a step adds."""
    users = loop.graph.users()
    found: dict[str, Node] = {}
    for number, leaf in enumerate(loop.carries):
        taken = {take for take in takes if not take.startswith("out.") and take.partition(".")[2] == str(number)}
        terms = _terms(loop, leaf, users)
        if taken == {f"last.{number}"} and terms:
            found[f"last.{number}"] = added(loop.inner, terms)
    return found


def _terms(loop: Opened, leaf: Node, users: Mapping[Node, Sequence[Node]]) -> list[Node]:
    """What is added to a carry in a step; none where it is not only added to."""
    roots = list(loop.roots.values())
    node, terms = leaf, []
    while node not in roots:
        readers = users.get(node, ())
        if len(readers) != 1 or readers[0].op != "add" or readers[0].type.sizes != node.type.sizes:
            return []
        (first, second), before = readers[0].inputs, node
        node = readers[0]
        terms.append(second if first is before else first)
    is_new = node is loop.roots[loop.root(leaf)] and not users[node] and roots.count(node) == 1
    return terms if is_new else []


def _kept(loop: Opened, takes: Sequence[str], sums: Mapping[str, Node]) -> list[Node]:
    """The carries that the step goes on to carry."""
    needed = loop.needed(takes)
    taken = {f"carry.{take.partition('.')[2]}" for take in takes if not take.startswith("out.") and take not in sums}
    added_up = {take.replace("last", "carry") for take in sums}
    return [
        leaf
        for leaf in loop.carries
        if loop.root(leaf) not in added_up and (leaf in needed or loop.root(leaf) in taken)
    ]


def _inside(loop: Opened, takes: Sequence[str], sums: Mapping[str, Node]) -> set[Node]:
    """What the next step waits for: what the carries are made of, besides sequences and constants."""
    found = topological(loop.roots[loop.root(leaf)] for leaf in _kept(loop, takes, sums))
    return {node for node in found if loop.reads(node) is Reads.CARRIES}


def _before(loop: Opened, outside: Outside) -> dict[Node, Node]:
    """Leaves in place of what is computed before the loop: costly values of sequences, and all that is the same at
    every step, but for numbers and what is only repeated."""
    made: dict[Node, Node] = {}
    waiting, seen = list(loop.roots.values()), set(loop.given)
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if loop.reads(node) is Reads.CONSTANTS and node.op != "broadcast":
            if any(value.op == "held" for value in topological([node])):
                made[node] = loop.constant(outside.constant(node))
            continue
        value = outside.before(node) if loop.reads(node) is Reads.SEQUENCES and costly(node) else None
        if value is not None:
            made[node] = loop.sequence(value)
        else:
            waiting += node.inputs
    return made
