"""Inline values as views: a chain of movements over a value in memory is that memory under other strides.

Most movements only say how memory is walked: a transposition exchanges strides, a slice starts later, a broadcast
stands still. Such a chain is one offset and one stride for each axis, whatever its length, so that an element costs
one address and a matrix product reads it without a copy. Where a step has no such form (a reshape of axes that do not
lie one inside the other, `concat`, one-hot columns), there is no view, and the value is read by index arithmetic
(`values.py`) or stored first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass
from itertools import pairwise

from dlc.compiler.codegen.layout import Stride, is_scalar, layout_of, plain
from dlc.compiler.codegen.values import Role, role
from dlc.compiler.dims import ONE, Dim
from dlc.compiler.ir import Node
from dlc.compiler.ops.movement import axis_groups

Strides = tuple[Stride, ...]


@dataclass(frozen=True, slots=True)
class Strided:
    """A value read from the memory of `base`: element (i, j, …) lies `offset + i * strides[0] + j * strides[1] + …`
    elements after its start. An axis of size 1 has stride 0."""

    base: Node
    strides: Strides
    offset: Stride = 0


def view_of(node: Node, at_hand: Container[Node] = ()) -> Strided | None:
    """A value as a view of another one that lies in memory: a bound or computed value, or one of `at_hand`, whatever it
    is. A bound or computed value is its own view. None where a step of the chain has no strides."""
    view = _step(node, at_hand) or of_itself(node)
    in_memory = (view.base is not node and view.base in at_hand) or role(view.base) not in (Role.INLINE, Role.SCALAR)
    return view if in_memory else None


def reached(node: Node, at_hand: Container[Node] = ()) -> Strided:
    """A value as a view of the farthest one that strides can reach through movements; of itself, if nothing else.
    Values `at_hand` are not seen through."""
    return of_itself(node) if node in at_hand else _step(node, at_hand) or of_itself(node)


def of_itself(node: Node) -> Strided:
    """A value as it lies in memory."""
    strides = layout_of(node.type, node).strides
    return Strided(node, _standing(node, strides))


def offset_of(node: Node, at_hand: Container[Node] = ()) -> tuple[Node, Stride]:
    """The value in whose memory another one lies just as it would lie by itself, so many elements behind its start."""
    view, own = reached(node, at_hand), of_itself(node)
    return (view.base, view.offset) if view.strides == own.strides else (node, 0)


def _step(node: Node, at_hand: Container[Node]) -> Strided | None:
    """A movement as a view of what its operand is a view of; single numbers do not lie in memory."""
    if node.op not in _STEPS or is_scalar(node.type):
        return None
    operand = reached(node.inputs[0], at_hand)
    if is_scalar(operand.base.type):
        return None
    found = _STEPS[node.op](node, operand.strides)
    if found is None:
        return None
    strides, start = found
    return Strided(operand.base, _standing(node, strides), plain(Dim.of(operand.offset + start)))


def _standing(node: Node, strides: Strides) -> Strides:
    """The strides, 0 for axes of size 1: their index is always 0."""
    pairs = zip(node.type.sizes, strides, strict=True)
    return tuple(0 if size == ONE else plain(Dim.of(stride)) for size, stride in pairs)


# --- one step: the strides of the result and where it begins, from those of the operand ---------------------------

Found = tuple[Strides, Stride] | None


def _same(node: Node, strides: Strides) -> Found:
    return strides, 0


def _transposed(node: Node, strides: Strides) -> Found:
    return strides[::-1], 0


def _permuted(node: Node, strides: Strides) -> Found:
    return tuple(strides[axis] for axis in node.attr("order")), 0


def _dropped(node: Node, strides: Strides) -> Found:
    return tuple(stride for axis, stride in enumerate(strides) if axis not in node.attr("axes")), 0


def _expanded(node: Node, strides: Strides) -> Found:
    old = iter(strides)
    return tuple(0 if axis in node.attr("axes") else next(old) for axis in range(node.type.rank)), 0


def _sliced(node: Node, strides: Strides) -> Found:
    return strides, node.attr("start") * strides[node.attr("axis")]


def _reversed(node: Node, strides: Strides) -> Found:
    axis = node.attr("axis")
    turned = tuple(-1 * stride if i == axis else stride for i, stride in enumerate(strides))
    return turned, (node.type.axes[axis].size - ONE) * strides[axis]


def _reshaped(node: Node, strides: Strides) -> Found:
    """Axes that become others together must lie one inside the other; the new ones divide the same stretch."""
    before, after = node.inputs[0].type.sizes, node.type.sizes
    made: list[Stride] = [0] * len(after)
    for own, new in axis_groups(before, after):
        for outer, inner in pairwise(own):
            if Dim.of(strides[outer]) != strides[inner] * before[inner]:
                return None
        for place, axis in enumerate(new):
            made[axis] = strides[own[-1]] * math.prod((after[i] for i in new[place + 1 :]), start=ONE)
    return tuple(made), 0


_STEPS: dict[str, Callable[[Node, Strides], Found]] = {
    "rename": _same,
    "transpose": _transposed,
    "permute": _permuted,
    "broadcast": _same,  # an axis of size 1 stands still already
    "drop": _dropped,
    "expand": _expanded,
    "slice": _sliced,
    "reverse": _reversed,
    "reshape": _reshaped,
}
