"""Folds over windows that slide along `axes`: pooling, local response normalization.

`window`, `stride` and `pads` have one entry for each of `axes` (see `sliding`). Padding never counts: it is no
candidate for a maximum, adds nothing to a sum, and is left out of the divisor of a mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import ONE, ZERO, Axis, Dim, Facts, TensorType
from dlc.compiler.ops.base import Bad, Composite, Sample, Window, elements, op
from dlc.compiler.ops.movement import axes_of
from dlc.compiler.ops.numeric import np
from dlc.compiler.ops.sliding import SAME, Amounts, Pad, slide, spread, windows

if TYPE_CHECKING:
    from dlc.compiler.ir import Builder, Node

Axes = tuple[int, ...]


def sliding(axes: Axes, window: Sequence[int], stride: Sequence[int], pads: Sequence[int | str]) -> tuple[Any, ...]:
    """Attributes from plain numbers, for samples."""
    amounts = tuple(pad if isinstance(pad, str) else (Dim.of(pad), Dim.of(pad)) for pad in pads)
    sizes = tuple(map(Dim.of, window)), tuple(map(Dim.of, stride))
    return (("axes", axes), ("pads", amounts), ("stride", sizes[1]), ("window", sizes[0]))


CASES = (
    ((2, 4, 4, 2), (2, 2, 2, 2), sliding((1, 2), (2, 2), (2, 2), (0, 0))),
    ((2, 5, 4, 2), (2, 3, 4, 2), sliding((1, 2), (3, 2), (2, 1), (1, SAME))),
    ((2, 2, 6), (2, 2, 6), sliding((2,), (5,), (1,), (SAME,))),
    ((2, 5, 3), (2, 2, 3), sliding((1,), (2,), (3,), (0,))),
    ((1, 3, 4, 3, 1), (1, 2, 6, 2, 1), sliding((1, 2, 3), (2, 3, 2), (1, 1, 2), (0, 2, SAME))),
)
"""Shapes, folded shapes and attributes: windows that overlap, leave places out, are padded, and do none of it."""
SAMPLES = tuple(Sample((shape,), attrs) for shape, _, attrs in CASES)
BAD = (
    Bad(((2, 5, 4, 2),), "D111", sliding((1, 2), (3, 5), (1, 1), (0, 0))),
    Bad(((2, 5, 4, 2),), "D122", sliding((1,), (3,), (0,), (0,))),
    Bad(((2, 5, 4, 2),), "D122", sliding((1,), (2,), (1,), (2,))),
    Bad(((2, 5, 4, 2),), "D122", sliding((1,), (0,), (1,), (0,))),
)


def _geometry(node: Node) -> dict[str, Any]:
    return {name: node.attr(name) for name in ("axes", "window", "stride", "pads")}


class Sliding(Window):
    """One operand, folded."""

    samples = SAMPLES
    bad = BAD

    def type(
        self,
        facts: Facts,
        x: TensorType,
        *,
        axes: Axes,
        window: tuple[Dim, ...],
        stride: tuple[Dim, ...],
        pads: tuple[Pad, ...],
    ) -> TensorType:
        slid = list(x.axes)
        for axis, f, s, pad in zip(axes, window, stride, pads, strict=True):
            slid[axis] = slide(facts, x, axis, f, s, pad)
        return TensorType(tuple(slid))

    def work(self, node: Node) -> Dim:
        return math.prod(node.attr("window"), start=elements(node.type))


@op("window_sum")
class WindowSum(Sliding):
    """The sum of each window."""

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [b.add("window_spread", ct, into=node.inputs[0].type.axes, **_geometry(node))]

    def reference(self, x: Any, *, axes: Axes, window: Any, stride: Any, pads: Amounts) -> Any:
        return windows(x, 0.0, axes, window, stride, pads).sum(axis=_inner(axes))


@op("window_spread")
class WindowSpread(Window):
    """The transpose of `window_sum`: each place gets the sum of x over the windows that it lies in. `into` are the axes
    of the result."""

    samples = tuple(Sample((folded,), (("into", axes_of(*shape)), *attrs)) for shape, folded, attrs in CASES)

    def type(self, facts: Facts, x: TensorType, *, into: tuple[Axis, ...], **_: Any) -> TensorType:
        return TensorType(into)

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [b.add("window_sum", ct, **_geometry(node))]

    def work(self, node: Node) -> Dim:
        return math.prod(node.attr("window"), start=elements(node.inputs[0].type))

    def reference(self, x: Any, *, into: Sequence[int], axes: Axes, window: Any, stride: Any, pads: Amounts) -> Any:
        parts = np.broadcast_to(x[(..., *[None] * len(axes))], (*x.shape, *window))
        return spread(parts, into, axes, window, stride, pads)


class Choosing(Sliding):
    """A fold whose gradient depends on the values in the window: the op `<name>_gradient` of x and the cotangent."""

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [b.add(f"{node.op}_gradient", node.inputs[0], ct, **_geometry(node))]

    def fold(self, seen: Any, axes: Any) -> Any:
        raise NotImplementedError

    def reference(self, x: Any, *, axes: Axes, window: Any, stride: Any, pads: Amounts) -> Any:
        return self.fold(windows(x, self.filler, axes, window, stride, pads), _inner(axes))


class ChoosingGradient(Window):
    """The cotangent of x, from x and the cotangent of its windows. A gradient is not differentiated again."""

    differentiable = False
    samples = tuple(Sample((shape, folded), attrs) for shape, folded, attrs in CASES)

    def type(self, facts: Facts, x: TensorType, ct: TensorType, **_: Any) -> TensorType:
        return replace(x, one_hot=False)

    def work(self, node: Node) -> Dim:
        return math.prod(node.attr("window"), start=elements(node.inputs[1].type) * 2)

    def shares(self, seen: Any) -> Any:
        """The derivative of each fold by each place of its window, which is the last axis."""
        raise NotImplementedError

    def reference(self, x: Any, ct: Any, *, axes: Axes, window: Any, stride: Any, pads: Amounts) -> Any:
        seen = windows(x, self.filler, axes, window, stride, pads)
        shares = self.shares(seen.reshape(*ct.shape, -1)).reshape(seen.shape)
        return spread(shares * ct[(..., *[None] * len(axes))], x.shape, axes, window, stride, pads)


def _inner(axes: Axes) -> tuple[int, ...]:
    """The axes of the windows, behind the places."""
    return tuple(range(-len(axes), 0))


def _first(hit: Any) -> Any:
    """1 at the first place of each window that is hit, 0 elsewhere."""
    return np.eye(hit.shape[-1])[np.argmax(hit, axis=-1)]


class Extreme(ChoosingGradient):
    """The first of equal extremes takes the gradient, in the order of the places, as in torch's max_pool: pooling
    chooses a place. (A maximum over whole axes shares it evenly: see docs/decisions/0003.)"""


@op("window_max")
class WindowMax(Choosing):
    """The largest of each window."""

    filler = -math.inf

    def fold(self, seen: Any, axes: Any) -> Any:
        return seen.max(axis=axes)


@op("window_max_gradient")
class WindowMaxGradient(Extreme):
    """The cotangent of each window, at the first of its largest places."""

    filler = -math.inf

    def shares(self, seen: Any) -> Any:
        return _first(seen == seen.max(axis=-1, keepdims=True))


@op("window_min")
class WindowMin(Choosing):
    """The smallest of each window."""

    filler = math.inf

    def fold(self, seen: Any, axes: Any) -> Any:
        return seen.min(axis=axes)


@op("window_min_gradient")
class WindowMinGradient(Extreme):
    """The cotangent of each window, at the first of its smallest places."""

    filler = math.inf

    def shares(self, seen: Any) -> Any:
        return _first(seen == seen.min(axis=-1, keepdims=True))


@op("window_prod")
class WindowProd(Choosing):
    """The product of each window."""

    filler = 1.0

    def fold(self, seen: Any, axes: Any) -> Any:
        return seen.prod(axis=axes)


@op("window_prod_gradient")
class WindowProdGradient(ChoosingGradient):
    """The cotangent of each window times, at each place, the product of the others."""

    filler = 1.0

    def shares(self, seen: Any) -> Any:
        before = np.cumprod(np.insert(seen, 0, 1.0, axis=-1)[..., :-1], axis=-1)
        after = np.cumprod(np.insert(seen[..., ::-1], 0, 1.0, axis=-1)[..., :-1], axis=-1)[..., ::-1]
        return before * after


@op("window_mean")
class WindowMean(Composite):
    """The mean of each window; the divisor counts the places that are no padding."""

    samples = SAMPLES

    def decompose(
        self,
        b: Builder,
        x: Node,
        *,
        axes: Axes,
        window: tuple[Dim, ...],
        stride: tuple[Dim, ...],
        pads: tuple[Pad, ...],
    ) -> Node:
        same: dict[str, Any] = {"axes": axes, "window": window, "stride": stride, "pads": pads}
        total = b.add("window_sum", x, **same)
        if all(pad == (ZERO, ZERO) for pad in pads):
            return b.add("div", total, b.size(math.prod(window, start=ONE)))
        along = (axis if i in axes else Axis(ONE, axis.name, one=True) for i, axis in enumerate(x.type.axes))
        places = b.add("broadcast", b.constant(1.0), axes=tuple(along))
        return b.add("div", total, b.add("window_sum", places, **same))

    def reference(self, x: Any, *, axes: Axes, window: Any, stride: Any, pads: Amounts) -> Any:
        return np.nanmean(windows(x, math.nan, axes, window, stride, pads), axis=_inner(axes))
