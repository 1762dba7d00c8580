"""Convolutions, in the course's layout: x is (m, spatial axes, n_C_prev), filters are (f, …, n_C_prev / groups, n_C).

Any number of spatial axes: sequences have one, images two, volumes three. `stride` and `pads` have one entry for each
(see `sliding`). A convolution is linear in both operands, and the three products `y = x * W`, `dx` from `dy` and W,
`dW` from x and `dy` are each other's gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import Axis, Dim, Facts, TensorType, Truth, demand, mod, quotient
from dlc.compiler.ops.base import Bad, Composite, Contraction, Sample, ShapeError, elements, op, ordinal
from dlc.compiler.ops.movement import axes_of
from dlc.compiler.ops.numeric import np
from dlc.compiler.ops.sliding import SAME, Amounts, Pad, slide, spread, unslide, windows

if TYPE_CHECKING:
    from dlc.compiler.ir import Builder, Node


def geometry(stride: Sequence[int], pads: Sequence[int | str], groups: int = 1) -> tuple[tuple[str, Any], ...]:
    """Attributes from plain numbers, for samples; a padding is the same on both sides, or `SAME`."""
    amounts = tuple(pad if isinstance(pad, str) else (Dim.of(pad), Dim.of(pad)) for pad in pads)
    return (("groups", Dim.of(groups)), ("pads", amounts), ("stride", tuple(map(Dim.of, stride))))


class Convolving(Contraction):
    """What the three products have in common."""

    def _same_geometry(self, node: Node) -> dict[str, Any]:
        return {name: node.attr(name) for name in ("stride", "pads", "groups")}

    def _filter_fans(self, node: Node, operand: int) -> tuple[int, int]:
        """fan_in = f * f * n_C_prev / groups, fan_out = f * f * n_C / groups."""
        *f, n_in, n_out = (int(size.constant or 1) for size in node.inputs[operand].type.sizes)
        window = math.prod(f)
        return window * n_in, window * n_out // int(node.attr("groups").constant or 1)


@op("convolve")
class Convolve(Convolving):
    """The cross-correlation of x with filters: floor((n + 2*p - f) / stride) + 1 places on each spatial axis."""

    samples = (
        Sample(((2, 5, 5, 2), (3, 3, 2, 3)), geometry((1, 1), (0, 0))),
        Sample(((2, 5, 6, 2), (2, 3, 2, 3)), geometry((2, 1), (SAME, 1))),
        Sample(((2, 6, 5, 4), (3, 3, 2, 6)), geometry((2, 2), (1, 1), groups=2)),
        Sample(((2, 4, 4, 3), (3, 3, 1, 3)), geometry((1, 1), (SAME, SAME), groups=3)),
        Sample(((2, 7, 3), (4, 3, 2)), geometry((3,), (2,))),
        Sample(((1, 4, 3, 4, 2), (2, 2, 2, 2, 2)), geometry((2, 1, 1), (SAME, 0, 1))),
        Sample(((2, 1, 1, 3), (1, 1, 3, 2)), geometry((2, 2), (SAME, 0))),
        Sample(((2, 3, 4, 2), (1, 2, 2, 3)), geometry((1, 3), (1, 3))),
    )
    bad = (
        Bad(((2, 5, 5, 3), (3, 3, 3)), "D121", geometry((1, 1), (0, 0))),
        Bad(((5, 3), (3, 3)), "D121", geometry((), ())),
        Bad(((2, 5, 5, 8), (3, 3, 3, 4)), "D121", geometry((1, 1), (0, 0))),
        Bad(((2, 5, 5, 4), (3, 3, 2, 3)), "D121", geometry((1, 1), (0, 0), groups=2)),
        Bad(((2, 5, 4, 3), (3, 5, 3, 4)), "D111", geometry((1, 1), (0, 0))),
        Bad(((2, 5, 5, 3), (3, 3, 3, 4)), "D122", geometry((1, 0), (0, 0))),
        Bad(((2, 5, 5, 3), (3, 3, 3, 4)), "D122", geometry((1, 1), (-1, 0))),
    )
    filters = 1

    def type(
        self,
        facts: Facts,
        x: TensorType,
        filters: TensorType,
        *,
        stride: tuple[Dim, ...],
        pads: tuple[Pad, ...],
        groups: Dim,
    ) -> TensorType:
        _channels_fit(facts, x, filters, groups)
        f = filters.sizes[:-2]
        spatial = (slide(facts, x, i + 1, f[i], stride[i], pads[i], filters=True) for i in range(len(f)))
        return TensorType((x.axes[0], *spatial, filters.axes[-1]))

    def summed(self, node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
        rank = node.type.rank
        return tuple(range(1, rank)), tuple(range(rank - 1))

    def fans(self, node: Node, operand: int) -> tuple[int, int]:
        return self._filter_fans(node, 1) if operand == 1 else super().fans(node, operand)

    def work(self, node: Node) -> Dim:
        return math.prod(node.type.sizes[:-1], start=elements(node.inputs[1].type) * 2)

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        x, filters = node.inputs
        same = self._same_geometry(node)
        dx = b.add("convolve_input_gradient", ct, filters, axes=x.type.axes, **same)
        return [dx, b.add("convolve_filter_gradient", x, ct, axes=filters.type.axes, **same)]

    def reference(self, x: Any, filters: Any, *, stride: Any, pads: Amounts, groups: int) -> Any:
        k = x.ndim - 2
        seen = windows(x, 0.0, range(1, k + 1), filters.shape[:k], stride, pads)
        parts = zip(np.split(seen, groups, axis=k + 1), np.split(filters, groups, axis=-1), strict=True)
        return np.concatenate([np.tensordot(part, np.moveaxis(w, -2, 0), k + 1) for part, w in parts], axis=-1)


@op("convolve_input_gradient")
class ConvolveInputGradient(Convolving):
    """dx of y = x * W, from dy and W: each place of dy, times the filters, goes back to the window that it came from.
    `axes` are the axes of x."""

    samples = (
        Sample(((2, 2, 3, 3), (3, 3, 2, 3)), (("axes", axes_of(2, 5, 5, 2)), *geometry((2, 1), (0, 0)))),
        Sample(((2, 3, 2), (3, 2, 2)), (("axes", axes_of(2, 6, 4)), *geometry((2,), (SAME,), groups=2))),
    )

    def type(
        self, facts: Facts, dy: TensorType, filters: TensorType, *, axes: tuple[Axis, ...], **_: Any
    ) -> TensorType:
        return TensorType(axes)

    def summed(self, node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
        rank = node.type.rank
        return tuple(range(1, rank)), (*range(rank - 2), rank - 1)

    def fans(self, node: Node, operand: int) -> tuple[int, int]:
        return self._filter_fans(node, 1)[::-1] if operand == 1 else super().fans(node, operand)

    def work(self, node: Node) -> Dim:
        dy, filters = node.inputs
        return math.prod(dy.type.sizes[:-1], start=elements(filters.type) * 2)

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        dy, filters = node.inputs
        same = self._same_geometry(node)
        back = b.add("convolve", ct, filters, **same)
        return [back, b.add("convolve_filter_gradient", ct, dy, axes=filters.type.axes, **same)]

    def reference(self, dy: Any, filters: Any, *, axes: Sequence[int], stride: Any, pads: Amounts, groups: int) -> Any:
        k = dy.ndim - 2
        parts = zip(np.split(dy, groups, axis=-1), np.split(filters, groups, axis=-1), strict=True)
        products = [np.moveaxis(np.tensordot(part, w, (-1, -1)), -1, k + 1) for part, w in parts]
        seen = np.concatenate(products, axis=k + 1)
        return spread(seen, axes, range(1, k + 1), filters.shape[:k], stride, pads)


@op("convolve_filter_gradient")
class ConvolveFilterGradient(Convolving):
    """dW of y = x * W, from x and dy: what each filter saw, summed over the places and the examples. `axes` are the
    axes of W."""

    samples = (
        Sample(((2, 5, 5, 2), (2, 2, 3, 3)), (("axes", axes_of(3, 3, 2, 3)), *geometry((2, 1), (0, 0)))),
        Sample(((2, 6, 4), (2, 3, 2)), (("axes", axes_of(3, 2, 2)), *geometry((2,), (SAME,), groups=2))),
    )

    def type(self, facts: Facts, x: TensorType, dy: TensorType, *, axes: tuple[Axis, ...], **_: Any) -> TensorType:
        return TensorType(axes)

    def summed(self, node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
        folded = tuple(range(node.type.rank - 1))
        return folded, folded

    def work(self, node: Node) -> Dim:
        return math.prod(node.inputs[1].type.sizes[:-1], start=elements(node.type) * 2)

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        x, dy = node.inputs
        same = self._same_geometry(node)
        back = b.add("convolve_input_gradient", dy, ct, axes=x.type.axes, **same)
        return [back, b.add("convolve", x, ct, **same)]

    def reference(self, x: Any, dy: Any, *, axes: Sequence[int], stride: Any, pads: Amounts, groups: int) -> Any:
        k = x.ndim - 2
        seen = windows(x, 0.0, range(1, k + 1), axes[:k], stride, pads)
        folded = range(k + 1)
        parts = zip(np.split(seen, groups, axis=k + 1), np.split(dy, groups, axis=-1), strict=True)
        return np.concatenate([np.moveaxis(np.tensordot(part, d, (folded, folded)), 0, -2) for part, d in parts], -1)


@op("convolve_transpose")
class ConvolveTranspose(Composite):
    """The way back of a convolution with filters (f, …, n_C_prev, n_C): (n - 1) * stride + f - 2*p places on each
    spatial axis, n * stride with `SAME`."""

    samples = (
        Sample(((2, 3, 3, 2), (3, 2, 2, 4)), geometry((2, 1), (1, 0))[1:]),
        Sample(((2, 3, 4, 2), (3, 3, 2, 3)), geometry((2, 2), (SAME, SAME))[1:]),
        Sample(((2, 3, 2), (2, 2, 1)), geometry((3,), (SAME,))[1:]),
        Sample(((1, 2, 2, 3, 1), (2, 2, 2, 1, 2)), geometry((1, 2, 1), (0, 1, 0))[1:]),
    )
    bad = (
        Bad(((2, 3, 3, 2), (3, 3, 2)), "D121", geometry((1, 1), (0, 0))[1:]),
        Bad(((2, 3, 3, 4), (3, 3, 2, 4)), "D121", geometry((1, 1), (0, 0))[1:]),
        Bad(((2, 3, 3, 2), (3, 3, 2, 4)), "D122", geometry((0, 1), (0, 0))[1:]),
        Bad(((2, 1, 3, 2), (3, 3, 2, 4)), "D111", geometry((1, 1), (2, 0))[1:]),
    )

    def type(
        self, facts: Facts, x: TensorType, filters: TensorType, *, stride: tuple[Dim, ...], pads: tuple[Pad, ...]
    ) -> TensorType:
        _channels_fit(facts, x, filters, Dim.of(1))
        axes = [x.axes[0]]
        for i, (f, s, pad) in enumerate(zip(filters.sizes[:-2], stride, pads, strict=True), 1):
            axes.append(unslide(facts, x, i, f, s, pad))
        return TensorType((*axes, filters.axes[-1]))

    def decompose(self, b: Builder, x: Node, filters: Node, *, stride: tuple[Dim, ...], pads: tuple[Pad, ...]) -> Node:
        axes = self.type(b.facts, x.type, filters.type, stride=stride, pads=pads).axes
        k = len(axes) - 2
        turned = b.add("permute", filters, order=(*range(k), k + 1, k))
        return b.add("convolve_input_gradient", x, turned, axes=axes, stride=stride, pads=pads, groups=Dim.of(1))

    def reference(self, x: Any, filters: Any, *, stride: Any, pads: Amounts) -> Any:
        """Each place adds its filter, times its value, to the result; the padding is cut off the whole."""
        m, *n, _ = x.shape
        *f, _, channels = filters.shape
        whole = np.zeros((m, *((a - 1) * s + max(w, s) for a, s, w in zip(n, stride, f, strict=True)), channels))
        for place in np.ndindex(*n):
            reached = tuple(slice(i * s, i * s + w) for i, s, w in zip(place, stride, f, strict=True))
            whole[(slice(None), *reached)] += np.tensordot(x[(slice(None), *place)], filters, (1, -2))
        cut = [slice(None)]
        for a, s, w, pad in zip(n, stride, f, pads, strict=True):
            before, size = (max(w - s, 0) // 2, a * s) if isinstance(pad, str) else (pad[0], (a - 1) * s + w - sum(pad))
            cut.append(slice(before, before + size))
        return whole[tuple(cut)]


def _channels_fit(facts: Facts, x: TensorType, filters: TensorType, groups: Dim) -> None:
    """Filters have as many axes as x, and the input channels of x, shared out among the groups."""
    rule = "A : (m, n_H, n_W, n_C_prev),  W : (f, f, n_C_prev, n_C)"
    if x.rank != filters.rank or x.rank < 3:
        raise ShapeError(
            "D121",
            f"{{1}} has {filters.rank} axes and {{0}} has {x.rank}: {filters} on {x}",
            [(0, None), (1, None)],
            rule=f"filters have one axis for each spatial axis, and two for the channels: {rule}",
        )
    channels, seen = x.axes[-1].size, filters.axes[-2].size
    last = x.rank - 1
    if demand(seen * groups, channels, facts) is not Truth.YES:
        each = "" if groups == 1 else f" for each of {groups} groups, {seen * groups} in all,"
        raise ShapeError(
            "D121",
            f"the filters {{1}} have {seen} input channels{each} and {{0}} has {channels}",
            [(0, last), (1, last - 1)],
            rule=rule if groups == 1 else f"{rule[:-6]}/groups, n_C)",
            help=f"write {quotient(channels, groups)} for the {ordinal(last - 1)} axis of {{1}}"
            if mod(channels, groups) == 0
            else f"choose groups that divide {channels}",
        )
    if demand(mod(filters.axes[-1].size, groups), 0, facts) is not Truth.YES:
        raise ShapeError(
            "D121",
            f"{{1}} has {filters.axes[-1].size} output channels, and {groups} groups do not divide them",
            [(1, last)],
            rule="each group has n_C / groups filters",
        )
