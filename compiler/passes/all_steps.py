"""One op of a loop's step for all steps at once: `W @ x<t>` as `W @ x`.

The last axis of a result is time; an operand is the same at every step, or has time as its last axis too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.dims import ONE, Axis, Dim, TensorType
from dlc.compiler.ir import Builder, Node
from dlc.compiler.ops import OPS, Elementwise, Reduction
from dlc.compiler.ops.contraction import Labels, labels_of

IN_PLACE = ("drop", "expand", "slice", "reverse", "shift", "rename", "one_hot", "reverse_each")
"""Movements whose attributes say the same when an axis follows behind the others."""
WRITTEN_ONE = Axis(ONE, one=True)


@dataclass(frozen=True, slots=True)
class Operand:
    """A value outside the loop; `timed`: its last axis is time."""

    value: Node
    timed: bool

    @property
    def rank(self) -> int:
        """How many axes it has in a step."""
        return self.value.type.rank - self.timed


def at_all_steps(b: Builder, node: Node, operands: Sequence[Operand], time: Axis) -> Node | None:
    """What a node of a step is at all steps, of operands one of which is timed at least. None for an op that has no
    such form."""
    op = OPS[node.op]
    type = node.type.with_axes((*node.type.axes, time))
    values = [operand.value for operand in operands]
    if isinstance(op, Elementwise):
        return b.typed(node.op, _side_by_side(b, operands, type), node.attrs, type, node.span)
    if node.op in ("matmul", "einsum"):
        return _contracted(b, node, operands, type)
    if isinstance(op, Reduction) or (node.op in IN_PLACE and not any(operand.timed for operand in operands[1:])):
        return b.typed(node.op, tuple(values), node.attrs, type, node.span)
    if node.op == "gather" and not operands[0].timed:
        return b.typed(node.op, tuple(values), node.attrs, type, node.span)
    if node.op in ("permute", "transpose"):
        order = (*node.attr("order", (1, 0)), node.type.rank)
        return b.typed("permute", tuple(values), (("order", order),), type, node.span)
    if node.op in ("reshape", "broadcast"):
        value = _with_axes(b, operands[0], node.type.rank) if node.op == "broadcast" else values[0]
        return b.typed(node.op, (value,), (("axes", type.axes),), type, node.span)
    if node.op == "concat":
        parts = [_repeated(b, operand, time) for operand in operands]
        return b.typed(node.op, tuple(parts), node.attrs, type, node.span)
    return None


def _with_axes(b: Builder, operand: Operand, rank: int) -> Node:
    """An operand that has the axes of a step and time, written 1 where it has none; a scalar stays one."""
    x = operand.value
    if operand.timed and operand.rank == rank:
        return x
    if operand.timed:
        return b.add("expand", x, axes=tuple(range(rank)))
    return b.add("expand", x, axes=(rank,)) if x.type.rank else x


def _side_by_side(b: Builder, operands: Sequence[Operand], type: TensorType) -> tuple[Node, ...]:
    """The operands of an elementwise op; where two of them would grow, one along time, all do before."""
    values = [_with_axes(b, operand, type.rank - 1) for operand in operands]
    if _both_grow([value.type.sizes for value in values if value.type.rank]):
        values = [_grown(b, value, type) for value in values]
    return tuple(values)


def _both_grow(sizes: Sequence[tuple[Dim, ...]]) -> bool:
    """Whether each of two operands, read one after the other, broadcasts along an axis of the other."""
    met = sizes[0] if sizes else ()
    for other in sizes[1:]:
        if {a == ONE for a, b in zip(met, other, strict=True) if a != b} == {True, False}:
            return True
        met = tuple(b if a == ONE else a for a, b in zip(met, other, strict=True))
    return False


def _grown(b: Builder, value: Node, type: TensorType) -> Node:
    if not value.type.rank or value.type.sizes == type.sizes:
        return value
    return b.typed("broadcast", (value,), (("axes", type.axes),), value.type.with_axes(type.axes))


def _repeated(b: Builder, operand: Operand, time: Axis) -> Node:
    """An operand with time."""
    x = operand.value
    if operand.timed:
        return x
    last = b.add("expand", x, axes=(x.type.rank,))
    return b.add("broadcast", last, axes=(*x.type.axes, time))


# --- sums of products ------------------------------------------------------------------------------------------


def _contracted(b: Builder, node: Node, operands: Sequence[Operand], type: TensorType) -> Node:
    left, right = operands
    if node.op == "matmul" and not left.timed:
        return b.typed("matmul", (left.value, right.value), (), type, node.span)
    labels = labels_of(node)
    time = _new_label(labels)
    first, second = ((*own, time) if each.timed else own for own, each in zip(labels, operands, strict=False))
    attrs = (("left", first), ("result", (*labels[2], time)), ("right", second))
    return b.typed("einsum", (left.value, right.value), attrs, type, node.span)


def summed_product(b: Builder, labels: Sequence[Labels], values: Sequence[Node], type: TensorType) -> Node:
    """The sum over all steps of a product of two timed values; `labels` are those of a step, `type` is the sum's."""
    time = _new_label(labels)
    attrs = (("left", (*labels[0], time)), ("result", labels[2]), ("right", (*labels[1], time)))
    return b.typed("einsum", tuple(values), attrs, type)


def _new_label(labels: Sequence[Labels]) -> str:
    """A label for time."""
    label = "t"
    while any(label in side for side in labels):
        label += "t"
    return label
