"""What a convolution sees, laid out: the image's patches, and their way back.

A convolution is the matrix product of its filters and the patches of the image (im2col). Code generation writes one so
where a spatial size is known only at run time. The patches of (m, spatial axes, n_C) are (f, …, n_C, m, places…): axis
by axis what a filter has, then where it lies. `stride` and `pads` have one entry for each spatial axis (see `sliding`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import Axis, Dim, Facts, TensorType
from dlc.compiler.ops.base import Movement, Sample, Window, elements, op
from dlc.compiler.ops.movement import axes_of
from dlc.compiler.ops.numeric import np
from dlc.compiler.ops.sliding import SAME, Amounts, spread, windows

if TYPE_CHECKING:
    from dlc.compiler.ir import Builder, Node

CASES = (
    ((2, 7, 3), (4, 3, 2, 3), (3,), (2,)),
    ((2, 5, 6, 2), (2, 3, 2, 2, 2, 6), (2, 1), (0, SAME)),
    ((2, 3, 4, 1), (1, 2, 1, 2, 5, 3), (1, 3), (1, 3)),
    ((1, 4, 3, 4, 2), (2, 2, 2, 2, 1, 2, 2, 5), (2, 1, 1), (SAME, 0, 1)),
)
"""Shapes of images and of their patches, strides and paddings: places that no patch has, and patches of padding."""


def _sample(shape: tuple[int, ...], made: tuple[int, ...], stride: Sequence[int], pads: Sequence[int | str]) -> Sample:
    amounts = tuple(pad if isinstance(pad, str) else (Dim.of(pad), Dim.of(pad)) for pad in pads)
    attrs = (("axes", axes_of(*made)), ("pads", amounts), ("stride", tuple(map(Dim.of, stride))))
    return Sample((shape,), attrs)


def _spatial(count: int) -> range:
    """The spatial axes of an image."""
    return range(1, count + 1)


@op("im2col")
class Im2col(Movement):
    """The patches of x that filters see; padding is 0. `axes` are the axes of the patches. Patches with another `use`
    are another value, which is not kept from one use to the other."""

    samples = tuple(_sample(*case) for case in CASES)

    def type(self, facts: Facts, x: TensorType, *, axes: tuple[Axis, ...], **_: Any) -> TensorType:
        return TensorType(axes)

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [tuple(_spatial(len(node.attr("stride"))))]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        k = len(node.attr("stride"))
        return [{0: (k + 1, 0), k + 1: (k, 0)}]

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        same = {name: node.attr(name) for name in ("stride", "pads")}
        return [b.add("col2im", ct, axes=node.inputs[0].type.axes, **same)]

    def reference(self, x: Any, *, axes: Sequence[int], stride: Any, pads: Amounts, use: str = "") -> Any:
        k = len(stride)
        seen = windows(x, 0.0, _spatial(k), axes[:k], stride, pads)  # (m, places…, n_C, f…)
        return np.transpose(seen, (*range(k + 2, 2 * k + 2), k + 1, *range(k + 1)))


@op("col2im")
class Col2im(Window):
    """The transpose of `im2col`: each place of an image gets the sum of what the patches x have for it. `axes` are the
    axes of the image."""

    samples = tuple(_sample(made, shape, *rest) for shape, made, *rest in CASES)

    def type(self, facts: Facts, x: TensorType, *, axes: tuple[Axis, ...], **_: Any) -> TensorType:
        return TensorType(axes)

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        k = len(node.attr("stride"))
        return [(*range(k), *range(k + 2, 2 * k + 2))]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        k = len(node.attr("stride"))
        return [{k + 1: (0, 0), k: (k + 1, 0)}]

    def work(self, node: Node) -> Dim:
        return elements(node.inputs[0].type)

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        same = {name: node.attr(name) for name in ("stride", "pads")}
        return [b.add("im2col", ct, axes=node.inputs[0].type.axes, **same)]

    def reference(self, x: Any, *, axes: Sequence[int], stride: Any, pads: Amounts) -> Any:
        k = len(stride)
        parts = np.transpose(x, (*range(k + 1, 2 * k + 2), k, *range(k)))  # (m, places…, n_C, f…)
        return spread(parts, axes, _spatial(k), x.shape[:k], stride, pads)
