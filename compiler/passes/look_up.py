"""Products with one-hot columns as look-ups, wherever the columns have been moved to.

Needs: an expanded program; after `take_out`, which leaves such products. Leaves: for `W @ shift(one_hot(y))`, the words
that a decoder is given, the columns of W that `gather` takes, shifted; for the gradient of W, which adds up columns by
class, `scatter_add`. `stabilise` does the first for `E @ one_hot(x)` itself. Does not touch stacks of products.
"""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.dims import ONE, Axis
from dlc.compiler.ir import Builder, Graph, Node, rebuild, through_bodies
from dlc.compiler.ops import OPS
from dlc.compiler.ops.base import is_number
from dlc.compiler.ops.contraction import Labels, labels_of
from dlc.compiler.passes.apart import added

KEPT = ("shift", "reverse", "reverse_each", "slice", "concat", "reshape")
"""Movements along other axes than the first, which a product with columns stands before as well as behind."""


@through_bodies
def look_up(graph: Graph) -> Graph:
    """The graph with look-ups in place of products."""
    if not any(map(_has_one_hot, graph.nodes)):
        return graph

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if not _has_one_hot(node):
            return None
        if node.op == "matmul" and inputs[0].type.rank == 2 and _is_one_hot(inputs[1]):
            return _taken(b, inputs[0], inputs[1])
        return _counted(b, b.typed(node.op, inputs, node.attrs, node.type, node.span))

    return rebuild(graph, rule)


def _has_one_hot(node: Node) -> bool:
    """Whether a node is a product of one-hot columns, or of such columns turned to rows."""
    turned = (value.inputs[0] if value.op == "transpose" else value for value in node.inputs)
    return node.op in ("matmul", "einsum") and any(map(_is_one_hot, turned))


def _is_one_hot(x: Node) -> bool:
    """Whether the columns of a value, along its first axis, are one-hot ones that were moved, or 0."""
    while x.op in KEPT:
        values = [part for part in x.inputs if not _is_zero(part)] if x.op == "concat" else x.inputs[:1]
        same = bool(values) and values[0].type.rank > 0 and values[0].type.sizes[0] == x.type.sizes[0] != ONE
        if not same or x.attr("axis") == 0 or (x.op == "concat" and not all(map(_is_one_hot, values[1:]))):
            return False
        x = values[0]
    return x.op == "one_hot" and bool(x.attr("axis") == 0)


def _is_zero(x: Node) -> bool:
    return x.op == "broadcast" and is_number(x.inputs[0], 0)


# --- W @ X -----------------------------------------------------------------------------------------------------


def _taken(b: Builder, table: Node, x: Node) -> Node:
    """The product of a matrix and one-hot columns: its columns, moved as those are."""
    rows = table.type.axes[0]
    if x.op == "one_hot":
        return b.add("gather", table, x.inputs[0])
    if _is_zero(x):
        return b.add("broadcast", x.inputs[0], axes=(rows, *x.type.axes[1:]))
    if x.op == "concat":
        return _moved(b, x, rows, *(_taken(b, table, part) for part in x.inputs))
    return _moved(b, x, rows, _taken(b, table, x.inputs[0]), *x.inputs[1:])


def _moved(b: Builder, like: Node, rows: Axis, *inputs: Node) -> Node:
    """What a movement does to columns, with other rows."""
    axes = (rows, *like.type.axes[1:])
    attrs = tuple((name, axes if name == "axes" else value) for name, value in like.attrs)
    return b.typed(like.op, inputs, attrs, replace(like.type, axes=axes, classes=None, one_hot=False), like.span)


# --- Z @ X.T ---------------------------------------------------------------------------------------------------


def _counted(b: Builder, product: Node) -> Node | None:
    """A sum over all columns of products of their rows with those of one-hot columns: (rows, classes)."""
    left, right, result = labels_of(product)
    sides = [_plain(value, labels) for value, labels in zip(product.inputs, (left, right), strict=True)]
    for (x, own), (z, other) in (sides[::-1], sides):
        if len(result) != 2 or not own or not _is_one_hot(x):
            continue
        rows = [label for label in other if label not in own]
        if len(rows) != 1 or set(result) != {rows[0], own[0]} or set(other) != {rows[0], *own[1:]}:
            continue
        order = tuple(other.index(label) for label in (rows[0], *own[1:]))
        z = z if order == tuple(range(len(order))) else b.add("permute", z, order=order)
        found = _added_up(b, z, x)
        return found if result == (rows[0], own[0]) else b.add("transpose", found)
    return None


def _plain(value: Node, labels: Labels) -> tuple[Node, Labels]:
    """An operand without its transposition."""
    return (value.inputs[0], labels[::-1]) if value.op == "transpose" else (value, labels)


def _added_up(b: Builder, z: Node, x: Node) -> Node:
    """The columns of z, added up by the class that one-hot columns at their places have: where those were moved, the
    columns of z move back, as a cotangent does."""
    if x.op == "one_hot":
        return b.add("scatter_add", z, x.inputs[0], axis=x.type.axes[0])
    rows = z.type.axes[0]
    before = [
        b.typed("held", (), (("name", "before"),), replace(value.type, axes=(rows, *value.type.axes[1:])))
        if x.op == "concat" or value is x.inputs[0]
        else value
        for value in x.inputs
    ]
    back = OPS[x.op].vjp(b, _moved(b, x, rows, *before), z)
    terms = [
        _added_up(b, part, value)
        for value, part in zip(x.inputs, back, strict=True)
        if part is not None and not _is_zero(value)
    ]
    return added(b, terms)
