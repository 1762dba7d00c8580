"""How a window slides along axes: what convolutions and pooling share.

A window of `f` places moves by `stride` over an axis of `n` places that is padded on both sides. `pads` says how much:
`(before, after)`, or `SAME`, as much as makes the result ceil(n / stride) long. With `SAME` the amount depends on n,
so for a size that is known only at run time it is computed there, by the same `padding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from dlc.compiler.dims import (
    ONE,
    ZERO,
    Axis,
    Dim,
    Facts,
    Relation,
    TensorType,
    Truth,
    ceildiv,
    demand_size,
    demand_that,
    dim_max,
    floordiv,
    less,
)
from dlc.compiler.ops.base import ShapeError, ordinal
from dlc.compiler.ops.numeric import np

SAME = "same"
Pad = str | tuple[Dim, Dim]
"""The padding of one axis."""
Amounts = Sequence[str | tuple[int, int]]
"""The paddings of several axes as `reference` gets them."""


def padding(n: Dim, f: Dim, stride: Dim, pad: Pad) -> tuple[Dim, Dim]:
    """How many places stand before and after the axis; the larger half of an odd amount is at the end."""
    if not isinstance(pad, str):
        return pad
    total = dim_max((ceildiv(n, stride) - 1) * stride + f - n, ZERO)
    before = floordiv(total, 2)
    return before, total - before


def slide(facts: Facts, x: TensorType, at: int, f: Dim, stride: Dim, pad: Pad, filters: bool = False) -> Axis:
    """The axis `at` of operand 0 after a window has slid along it: floor((n + 2*p - f) / stride) + 1 places. It stays
    written 1 where the window is 1 wide. `filters`: operand 1 gives the window its size, and a window that sees padding
    alone sums to 0; a maximum or a mean needs a place to see."""
    axis = x.axes[at]
    _sensible(facts, at, f, stride, pad)
    if not filters:
        _sees_something(facts, at, f, pad)
    if isinstance(pad, str):
        size = ceildiv(axis.size, stride)
    else:
        padded = axis.size + pad[0] + pad[1]
        if demand_that(Relation("<=", f, padded), facts) is not Truth.YES:
            raise _too_large(x, at, f, pad, padded, filters)
        size = floordiv(padded - f, stride) + 1
    return Axis(size, axis.name, one=axis.one and f == ONE and size == ONE)


def unslide(facts: Facts, x: TensorType, at: int, f: Dim, stride: Dim, pad: Pad) -> Axis:
    """The axis before a window slid along it to give axis `at` of operand 0: (n - 1) * stride + f - 2*p places."""
    axis = x.axes[at]
    _sensible(facts, at, f, stride, pad)
    if isinstance(pad, str):
        return Axis(axis.size * stride, axis.name, one=axis.one and stride == ONE and f == ONE)
    size = (axis.size - 1) * stride + f - pad[0] - pad[1]
    if demand_size(size, facts) is not Truth.YES:
        raise ShapeError(
            "D111",
            f"nothing of {{0}} is left along the {ordinal(at)} axis: "
            f"({axis.size} - 1) * {stride} + {f} - {pad[0] + pad[1]} = {size}",
            [(0, at)],
            rule="(n - 1) * stride + f - 2*p places, at least one",
            help="less padding",
        )
    return Axis(size, axis.name, one=axis.one and f == ONE and size == ONE)


def _sensible(facts: Facts, at: int, f: Dim, stride: Dim, pad: Pad) -> None:
    """Every axis has a stride and a window of at least 1, and no negative padding."""
    where = f"along the {ordinal(at)} axis of {{0}}"
    for what, size in (("stride", stride), ("window", f)):
        if demand_size(size, facts) is not Truth.YES:
            raise ShapeError(
                "D122", f"the {what} {where} is {size}", [(0, at)], rule=f"a {what} is a whole number, at least 1"
            )
    for amount in () if isinstance(pad, str) else pad:
        if demand_that(Relation(">=", amount, ZERO), facts) is not Truth.YES:
            raise ShapeError(
                "D122",
                f"the padding {where} is {amount}",
                [(0, at)],
                rule="a padding is a whole number, at least 0",
                help="write `valid` (no padding), a number from 0 on, or `same`",
            )


def _sees_something(facts: Facts, at: int, f: Dim, pad: Pad) -> None:
    """Less padding than window: each window has a place that is no padding."""
    for amount in () if isinstance(pad, str) else pad:
        if demand_that(Relation("<", amount, f), facts) is not Truth.YES:
            choices = "write" if f == ONE else f"write a number from 0 to {f - 1},"
            raise ShapeError(
                "D122",
                f"the padding along the {ordinal(at)} axis of {{0}} is {amount}, and the window is {f} wide",
                [(0, at)],
                rule="0 <= pad < window: each window sees at least one place that is no padding",
                help=f"{choices} `valid` (no padding) or `same`",
            )


def _too_large(x: TensorType, at: int, f: Dim, pad: tuple[Dim, Dim], padded: Dim, filters: bool) -> ShapeError:
    n = x.axes[at].size
    sizes = f"{n}" if pad == (ZERO, ZERO) else f"{n} + {pad[0]} + {pad[1]} = {padded} with its padding"
    known = less(padded, f) is Truth.YES
    help = "a smaller window, fewer strides before it, or `pad = same`" if known else None
    if not known and all(symbol.kind == "runtime" for symbol in (padded - f).symbols):
        help = f"say that it fits: `require {n} >= {f - pad[0] - pad[1]}`"
    return ShapeError(
        "D111",
        f"the window is {'' if known else 'perhaps '}larger than {{0}}: along the {ordinal(at)} axis it is {f} wide, "
        f"and the axis has {sizes}",
        [(0, at), (1, at - 1)] if filters else [(0, at)],
        rule="floor((n + 2*p - f) / stride) + 1 places are left, at least one",
        help=help,
    )


# --- NumPy's views ---------------------------------------------------------------------------------------------


def _widths(
    shape: Sequence[int], axes: Sequence[int], window: Any, stride: Any, pads: Amounts
) -> list[tuple[int, int]]:
    """How much each axis of an array is padded."""
    widths = [(0, 0)] * len(shape)
    for axis, f, s, pad in zip(axes, window, stride, pads, strict=True):
        if isinstance(pad, str):
            before, after = padding(Dim.of(shape[axis]), Dim.of(f), Dim.of(s), pad)
            pad = int(before.constant or 0), int(after.constant or 0)
        widths[axis] = pad
    return widths


def windows(x: Any, fill: float, axes: Sequence[int], window: Any, stride: Any, pads: Amounts) -> Any:
    """All windows of x, padded with `fill`: the places of the result, and after them the axes of the window."""
    padded = np.pad(x, _widths(x.shape, axes, window, stride, pads), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, tuple(window), axis=tuple(axes))
    steps = dict(zip(axes, stride, strict=True))
    return view[tuple(slice(None, None, steps.get(axis, 1)) for axis in range(x.ndim))]


def spread(parts: Any, shape: Sequence[int], axes: Sequence[int], window: Any, stride: Any, pads: Amounts) -> Any:
    """The transpose of `windows`: each place of an array of `shape` gets the sum of its parts in all windows."""
    widths = _widths(shape, axes, window, stride, pads)
    padded = np.zeros([n + before + after for n, (before, after) in zip(shape, widths, strict=True)])
    steps = dict(zip(axes, stride, strict=True))
    for place in product(*map(range, window)):
        offset = dict(zip(axes, place, strict=True))
        reached = tuple(
            slice(offset[axis], offset[axis] + steps[axis] * (count - 1) + 1, steps[axis])
            if axis in steps
            else slice(None)
            for axis, count in enumerate(parts.shape[: len(shape)])
        )
        padded[reached] += parts[(..., *place)]
    return padded[tuple(slice(before, before + n) for n, (before, _) in zip(shape, widths, strict=True))]
