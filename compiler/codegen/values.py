"""What becomes of each value: where its number comes from, and at which index its operands are read.

Code generation sees these roles. *Scalars* are single numbers, computed in the program's body in float64. *Memory* is
bound from outside: inputs, parameters, states. *Inline* values move elements (or make them from an index), so they are
read through, not stored. *Computed* values are elementwise operations and draws. *Reduced*, *contracted*, *stacked*
(stacks of matrix products) and *scattered* values need a loop of their own. *Slid* values are convolutions and pooling,
which the host computes, and *filters* the gradients of filters; *windowed* values are other folds over a neighbourhood
of each place. *Looped* values are what scans and generators leave; in a scan's step its carries and constants are
memory, and the step's slice of a sequence is read through where it lies in the sequence. *Grown* values are carries
that a step writes one place of.

A *point* is one index text for each axis of a value: ("j", "i") is element (j, i) of an (n, m) matrix.
"""

from __future__ import annotations

import functools
import hashlib
from enum import Enum

from dlc.compiler.codegen.layout import (
    EXAMPLES,
    Count,
    NotSupported,
    dim_text,
    factor_text,
    is_scalar,
    plain,
    product,
    sizes_of,
)
from dlc.compiler.codegen.sliding import FORWARD, TO_FILTERS, TO_INPUT, on_feature_maps
from dlc.compiler.dims import ONE, ZERO, Dim
from dlc.compiler.ir import Node
from dlc.compiler.ops import OPS, Elementwise, Leaf, MatrixProduct, Movement, Reduction, Window
from dlc.compiler.ops.contraction import Einsum
from dlc.compiler.ops.movement import axis_groups
from dlc.compiler.ops.sliding import padding

Point = tuple[str, ...]
Sizes = tuple[Count, ...]

DRAWS = {"draw_uniform": "uniform01", "draw_normal": "normal01"}
"""Leaves that are computed: the host's counter-based random numbers."""


class Role(Enum):
    SCALAR = "scalar"
    MEMORY = "memory"
    INLINE = "inline"
    COMPUTED = "computed"
    REDUCED = "reduced"
    CONTRACTED = "contracted"
    STACKED = "stacked"
    SCATTERED = "scattered"
    SLID = "slid"
    FILTERS = "filters"
    WINDOWED = "windowed"
    LOOPED = "looped"
    GROWN = "grown"


@functools.lru_cache(maxsize=1 << 14)
def role(node: Node) -> Role:
    """The part a value plays. Raises `NotSupported` for what cannot be compiled yet."""
    op = OPS[node.op]
    if is_scalar(node.type):
        return Role.SCALAR
    if node.op in DRAWS or isinstance(op, Elementwise):
        return Role.COMPUTED
    if isinstance(op, Leaf):
        return Role.INLINE if is_slice(node) else Role.MEMORY
    if node.op in ("scan", "generate"):
        return Role.LOOPED
    if node.op == "put":
        return Role.GROWN
    if isinstance(op, Reduction):
        return Role.REDUCED
    if isinstance(op, MatrixProduct):
        return Role.CONTRACTED
    if isinstance(op, Einsum):
        return Role.STACKED
    if node.op == "scatter_add":
        return Role.SCATTERED
    if node.op in (FORWARD, TO_INPUT) or on_feature_maps(node):
        return Role.SLID
    if node.op == TO_FILTERS:
        return Role.FILTERS
    if isinstance(op, Window):
        return Role.WINDOWED
    if isinstance(op, Movement) and node.op in _MOVES:
        return Role.INLINE
    raise NotSupported(f"the op {node.op}", node)


INNER_STEPS = 1 << 24
"""What is drawn in a loop counts through its steps; a step of the loop around it counts for so many."""


def is_slice(node: Node) -> bool:
    """Whether a leaf of a scan's step is a slice of a sequence."""
    return node.op == "held" and str(node.attr("name")).startswith("sequence.")


def draw_number(name: str) -> int:
    """The number of a draw among all draws: it depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "little")


def operand_points(node: Node, point: Point) -> list[Point]:
    """Where an elementwise or inline value at `point` reads its operands."""
    if not node.inputs:
        return []
    if isinstance(OPS[node.op], Elementwise):
        return [fitted(value, point) for value in node.inputs]
    return _MOVES[node.op](node, point)


def fitted(operand: Node, point: Point) -> Point:
    """The point of an operand of an elementwise operation: axes of size 1 broadcast, a scalar has no point."""
    if not operand.type.rank:
        return ()
    sizes = sizes_of(operand.type)
    return tuple("0" if size == 1 else index for size, index in zip(sizes, point, strict=True))


def _same(node: Node, point: Point) -> list[Point]:
    return [point]


def _transposed(node: Node, point: Point) -> list[Point]:
    return [point[::-1]]


def _permuted(node: Node, point: Point) -> list[Point]:
    order = node.attr("order")
    return [tuple(point[order.index(axis)] for axis in range(len(order)))]


def _broadcast(node: Node, point: Point) -> list[Point]:
    return [fitted(node.inputs[0], point)]


def _dropped(node: Node, point: Point) -> list[Point]:
    rest = iter(point)
    axes = node.attr("axes")
    return [tuple("0" if axis in axes else next(rest) for axis in range(node.inputs[0].type.rank))]


def _expanded(node: Node, point: Point) -> list[Point]:
    axes = node.attr("axes")
    return [tuple(index for axis, index in enumerate(point) if axis not in axes)]


def _reshaped(node: Node, point: Point) -> list[Point]:
    """Axes that become others together are counted through: an element's number among them gives its old place."""
    operand = node.inputs[0].type
    before, after = sizes_of(operand), sizes_of(node.type)
    place = ["0"] * len(before)
    for own, new in axis_groups(operand.sizes, node.type.sizes):
        number = _number(tuple(point[axis] for axis in new), tuple(after[axis] for axis in new))
        for axis, index in zip(own, _digits(number, tuple(before[axis] for axis in own)), strict=True):
            place[axis] = index
    return [tuple(place)]


def _number(point: Point, sizes: Sizes) -> str:
    """The number of an element, counted along axes of these sizes, the last one fastest."""
    text = "0"
    for index, size in zip(point, sizes, strict=True):
        if text == "0":
            text = index
        else:
            text = f"{text} * {factor_text(size)}" if index == "0" else f"({text} * {factor_text(size)} + {index})"
    return text


def _digits(number: str, sizes: Sizes) -> Point:
    """The place of the element with a number: the reverse of `_number`."""
    if len(sizes) == 1 or number == "0":
        return (number, *("0" for _ in sizes[1:]))
    digits = []
    for axis, size in enumerate(sizes):
        rest = sizes[axis + 1 :]
        digit = number if not rest else f"{number} // {_product(rest)}"
        digits.append(f"({digit} % {factor_text(size)})" if axis else f"({digit})")
    return tuple(digits)


def _product(sizes: Sizes) -> str:
    return factor_text(product(EXAMPLES if size is None else size for size in sizes))


def _sliced(node: Node, point: Point) -> list[Point]:
    axis, start = node.attr("axis"), dim_text(node.attr("start"))
    return [_moved(point, axis, point[axis] if start == "0" else f"({point[axis]} + {start})")]


def _reversed(node: Node, point: Point) -> list[Point]:
    axis = node.attr("axis")
    last = factor_text(sizes_of(node.type)[axis])
    return [_moved(point, axis, f"({last} - 1 - {point[axis]})")]


def _reversed_each(node: Node, point: Point) -> list[Point]:
    """Only where the length is read is known here; the value is read at a place that depends on it."""
    return [point, (point[node.attr("examples")],)]


def _shifted(node: Node, point: Point) -> list[Point]:
    axis = node.attr("axis")
    return [_moved(point, axis, f"({point[axis]} - 1)")]


def _joined(node: Node, point: Point) -> list[Point]:
    """Each part at its own index; which of them is meant depends on the index."""
    axis = node.attr("axis")
    return [
        _moved(point, axis, point[axis] if start == "0" else f"({point[axis]} - {start})")
        for start in starts_of_parts(node)
    ]


def starts_of_parts(node: Node) -> list[str]:
    """Where the parts of a `concat` begin along its axis."""
    starts = [ZERO]
    for part in node.inputs[:-1]:
        starts.append(starts[-1] + part.type.axes[node.attr("axis")].size)
    return [dim_text(start) for start in starts]


def _patched(node: Node, point: Point) -> list[Point]:
    """The place that a place of a window sees; where it lies in the padding is not looked at."""
    k = len(node.attr("stride"))
    window, (channel, example, *places) = point[:k], point[k:]
    seen = []
    for place, here, step, (before, _) in zip(places, window, node.attr("stride"), paddings(node), strict=True):
        moved = [place if step == ONE or place == "0" else f"{place} * {dim_text(step)}", here]
        index = " + ".join(term for term in moved if term != "0") or "0"
        seen.append(index if before == ZERO and index.isidentifier() else f"({index}{_less(before)})")
    return [(example, *seen, channel)]


def _less(before: Dim) -> str:
    return "" if before == ZERO else f" - {factor_text(plain(before))}"


def paddings(node: Node) -> list[tuple[Dim, Dim]]:
    """The padding before and after each spatial axis of an image and its patches."""
    k = len(node.attr("stride"))
    image, patches = (node.inputs[0], node) if node.op == "im2col" else (node, node.inputs[0])
    sizes = zip(
        image.type.sizes[1 : k + 1], patches.type.sizes[:k], node.attr("stride"), node.attr("pads"), strict=True
    )
    return [padding(*axis) for axis in sizes]


def inside_image(node: Node, place: Point) -> str:
    """Whether a patch's place lies in its image and not in the padding; empty where it always does."""
    limits = []
    for size, index, (before, after) in zip(
        sizes_of(node.inputs[0].type)[1:-1], place[1:-1], paddings(node), strict=True
    ):
        limits += [f"{index} >= 0"] if before != ZERO else []
        limits += [f"{index} < {factor_text(size)}"] if after != ZERO else []
    return " and ".join(limits)


def _moved(point: Point, axis: int, index: str) -> Point:
    return (*point[:axis], index, *point[axis + 1 :])


def _position(node: Node, point: Point) -> list[Point]:
    return []


def _one_hot(node: Node, point: Point) -> list[Point]:
    axis = node.attr("axis")
    return [(*point[:axis], *point[axis + 1 :])]


def _gathered(node: Node, point: Point) -> list[Point]:
    """Only the index's place is known here; the table is read at the value found there."""
    return [point[node.inputs[0].type.rank - 1 :]]


_MOVES = {
    "rename": _same,
    "transpose": _transposed,
    "permute": _permuted,
    "broadcast": _broadcast,
    "drop": _dropped,
    "expand": _expanded,
    "reshape": _reshaped,
    "slice": _sliced,
    "reverse": _reversed,
    "reverse_each": _reversed_each,
    "shift": _shifted,
    "position": _position,
    "one_hot": _one_hot,
    "gather": _gathered,
    "concat": _joined,
    "im2col": _patched,
}
