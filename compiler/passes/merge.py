"""Fewer products in a scan's step: `W_u @ a` and `W_f @ a` as one, and `W_u.T @ dz_u + W_f.T @ dz_f` as one.

Products with weights (what is the same at every step) that have the same right operand become one product with the
weights one below the other, and those that are added up one product with the weights side by side, whichever leaves
fewer products.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.dims import ZERO, Dim
from dlc.compiler.ir import Builder, Node, topological
from dlc.compiler.passes.apart import added, terms_of
from dlc.compiler.passes.opened import Opened, Reads, in_order


@dataclass(frozen=True, slots=True)
class _Product:
    """A product of a matrix of weights; `sum` is the outermost sum that it is a term of and nothing else reads."""

    node: Node
    sum: Node | None

    @property
    def weights(self) -> Node:
        return self.node.inputs[0]

    @property
    def operand(self) -> Node:
        return self.node.inputs[1]


def merge(loop: Opened, inside: Collection[Node]) -> None:
    """Products that stand together as one. Those `inside`, which the next step needs, are not mixed with others, which
    may leave the loop; nor are those of sequences, which do."""
    graph = loop.graph
    users = graph.users()
    roots = set(graph.roots.values())
    groups: dict[Hashable, list[_Product]] = {}
    for node in graph.nodes:
        if node.op == "matmul" and node.type.rank == node.inputs[0].type.rank == 2:
            weights, operand = (loop.reads(value) for value in node.inputs)
            if weights is Reads.CONSTANTS is not operand:
                outermost = _outermost(node, users, roots) if operand is Reads.CARRIES else None
                groups.setdefault((operand, node in inside), []).append(_Product(node, outermost))
    made: dict[Node, Node] = {}
    for products in groups.values():
        made |= _merged(loop.inner, sorted(products, key=lambda product: _place(loop, product.weights)))
    if made:
        loop.substitute(made)


def _place(loop: Opened, weights: Node) -> int:
    """Weights are merged in the order in which the program has them, in the loop of a gradient as in the loop itself:
    what they make together there is the transposed here."""
    return next((loop.given[node].number for node in topological([weights]) if node in loop.given), 0)


def _outermost(node: Node, users: Mapping[Node, Sequence[Node]], roots: Collection[Node]) -> Node | None:
    """The sum that a node is a term of, through sums that nothing else reads."""
    found = None
    while node not in roots and len(users[node]) == 1:
        (user,) = users[node]
        if user.op != "add" or user.type.sizes != node.type.sizes:
            break
        node = found = user
    return found


def _merged(b: Builder, products: Sequence[_Product]) -> dict[Node, Node]:
    """What stands for the products and sums that are merged: those of the operand or of the sum that has most of them
    come first."""
    made: dict[Node, Node] = {}
    replaced: dict[Node, dict[Node, Node | None]] = {}
    left = dict.fromkeys(products)
    while True:
        groups: dict[tuple[str, Node], list[_Product]] = {}
        for product in left:
            groups.setdefault(("operand", product.operand), []).append(product)
            if product.sum is not None:
                groups.setdefault(("sum", product.sum), []).append(product)
        (kind, _), group = max(groups.items(), key=lambda item: len(item[1]), default=(("", None), []))
        if len(group) < 2:
            break
        if kind == "operand":
            made |= _stacked(b, group)
        else:
            assert group[0].sum is not None
            replaced.setdefault(group[0].sum, {}).update(_side_by_side(b, group))
        for product in group:
            del left[product]
    return made | {total: _with_terms(b, total, terms) for total, terms in replaced.items()}


def _stacked(b: Builder, group: Sequence[_Product]) -> dict[Node, Node]:
    """One product with the weights one below the other, and its parts."""
    weights = joined(b, [product.weights for product in group], 0)
    first = group[0].node
    type = first.type.with_axes((weights.type.axes[0], first.type.axes[1]))
    whole = b.typed("matmul", (weights, group[0].operand), (), type, first.span)
    made: dict[Node, Node] = {}
    start = ZERO
    for product in group:
        size = product.weights.type.axes[0].size
        attrs = (("axis", 0), ("size", size), ("start", start))
        made[product.node] = b.typed("slice", (whole,), attrs, product.node.type, product.node.span)
        start = start + size
    return made


def _side_by_side(b: Builder, group: Sequence[_Product]) -> dict[Node, Node | None]:
    """One product for several terms of a sum, in the place of the first."""
    weights = joined(b, [product.weights for product in group], 1)
    operand = joined(b, [product.operand for product in group], 0)
    node = group[0].node
    terms: dict[Node, Node | None] = {product.node: None for product in group}
    return terms | {node: b.typed("matmul", (weights, operand), (), node.type, node.span)}


def _with_terms(b: Builder, total: Node, terms: Mapping[Node, Node | None]) -> Node:
    """A sum with other terms; None is none."""
    new: dict[Node, Node | None] = {}
    for node in in_order(total, new, lambda node: () if node in terms else terms_of(node)):
        if node in terms or not terms_of(node):
            new[node] = terms.get(node, node)
        else:
            kept = [value for value in (new[value] for value in node.inputs) if value is not None]
            new[node] = added(b, kept) if kept else None
    found = new[total]
    assert found is not None
    return found


def joined(b: Builder, values: Sequence[Node], axis: int) -> Node:
    """Values one after the other; slices that follow one another in one value are one slice of it, and transposed
    values are joined before they are transposed."""
    if all(value.op == "transpose" for value in values):
        return b.add("transpose", joined(b, [value.inputs[0] for value in values], 1 - axis))
    runs: list[tuple[Node, Dim, Dim]] = []
    for value in values:
        base, start, size = value, ZERO, value.type.axes[axis].size
        if value.op == "slice" and value.attr("axis") == axis:
            base, start = value.inputs[0], value.attr("start")
        if runs and runs[-1][0] is base and runs[-1][1] + runs[-1][2] == start:
            runs[-1] = (base, runs[-1][1], runs[-1][2] + size)
        else:
            runs.append((base, start, size))
    whole = [
        base if size == base.type.axes[axis].size else b.add("slice", base, axis=axis, start=start, size=size)
        for base, start, size in runs
    ]
    return b.add("concat", *whole, axis=axis) if len(whole) > 1 else whole[0]
