"""The geometry of convolutions and windows, as the host's functions take it: two or three spatial axes, channels last.

A convolution along one axis (sequences) gets a spatial axis of size 1 before it, which the filters do not see.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlc.compiler.codegen.layout import NotSupported, sizes_of
from dlc.compiler.dims import Dim, TensorType
from dlc.compiler.ir import Node
from dlc.compiler.ops.sliding import Pad, padding

FORWARD, TO_INPUT, TO_FILTERS = "convolve", "convolve_input_gradient", "convolve_filter_gradient"


@dataclass(frozen=True, slots=True)
class Geometry:
    """`image` and `result` are (spatial…, channels) of one example before and after; `before` is the padding before the
    first place of each axis."""

    image: tuple[int, ...]
    result: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    before: tuple[int, ...]
    groups: int

    def made(self, op: str) -> tuple[int, ...]:
        """The feature maps that an op makes."""
        return self.image if op == TO_INPUT else self.result

    @property
    def filter_row(self) -> int:
        """Elements from one place of the filters' first axis to the next."""
        elements = self.image[-1] // self.groups * self.result[-1]
        for size in self.window[1:]:
            elements *= size
        return elements

    @property
    def text(self) -> str:
        """As arguments of a host's function."""
        parts = [f"{name}={getattr(self, name)}" for name in ("image", "result", "window", "stride", "before")]
        return ", ".join([*parts, f"groups={self.groups}", f"filter_row={self.filter_row}"])

    @property
    def title(self) -> str:
        """A name: the sizes before, of the window, and after."""
        return "_".join(map(str, (*self.image, *self.window, *self.result)))


def geometry_of(node: Node) -> Geometry:
    """The geometry of a convolution or of one of its gradients."""
    x, filters, y = _parts(node)
    count = x.rank - 2
    window = tuple(size for size in sizes_of(filters, node)[:count])
    stride = tuple(_number(step, node) for step in node.attr("stride"))
    image, result = sizes_of(x, node)[1:], sizes_of(y, node)[1:]
    before = tuple(_before(image[i], window[i], stride[i], pad) for i, pad in enumerate(node.attr("pads")))
    groups = _number(node.attr("groups"), node)
    if count == 1:
        image, result = (1, *image), (1, *result)
        window, stride, before = (1, *window), (1, *stride), (0, *before)
    if None in image + result + window or count > 3:
        raise NotSupported("a convolution along m, or along more than three axes", node)
    return Geometry(image, result, window, stride, before, groups)  # type: ignore[arg-type]


def _parts(node: Node) -> tuple[TensorType, TensorType, TensorType]:
    """The types of the image, of the filters and of the result."""
    first, second = (operand.type for operand in node.inputs)
    if node.op == FORWARD:
        return first, second, node.type
    return (node.type, second, first) if node.op == TO_INPUT else (first, node.type, second)


def _number(size: Dim, node: Node) -> int:
    if size.constant is None:
        raise NotSupported(f"a stride or a number of groups of {size}", node)
    return int(size.constant)


def _before(size: int | None, window: int | None, stride: int, pad: Pad) -> int:
    """A padding of `same` depends on the size."""
    before, _ = padding(Dim.of(size or 1), Dim.of(window or 1), Dim.of(stride), pad)
    return int(before.constant or 0)
