"""The geometry of convolutions and windows, as the host's functions take it: two or three spatial axes, channels last.

A convolution along one axis (sequences) gets a spatial axis of size 1 before it, which the filters do not see.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from dlc.compiler.codegen.layout import Count, NotSupported, Stride, layout_of, product, sizes_of
from dlc.compiler.dims import Dim, TensorType
from dlc.compiler.ir import Node
from dlc.compiler.ops.sliding import Pad, padding

FORWARD, TO_INPUT, TO_FILTERS = "convolve", "convolve_input_gradient", "convolve_filter_gradient"

FOLDS = {"window_max": "max", "window_min": "min", "window_sum": "sum"}
UNFOLDS = {"window_max_gradient": "max", "window_min_gradient": "min", "window_spread": "sum"}
"""What the host calls the folds that it has, and those whose gradients it has."""

RESULT = 8192
"""Elements of feature maps that a unit computes, about: what follows finds them in the first caches."""
LARGE_FILTERS = 1 << 17
"""Elements of filters that do not stay in the second cache."""
LARGEST_TILE = 1 << 16
"""Elements on the stack, at most."""

BACK = frozenset({TO_INPUT, *UNFOLDS})
"""Ops that make the image from the result."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """`image` and `result` are (spatial…, channels) of one example before and after; `before` is the padding before the
    first place of each axis. Windows that are folded have no `groups`."""

    image: tuple[int, ...]
    result: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    before: tuple[int, ...]
    groups: int = 0

    def made(self, op: str) -> tuple[int, ...]:
        """The feature maps that an op makes."""
        return self.image if op in BACK else self.result

    @property
    def filter_row(self) -> int:
        """Elements from one place of the filters' first axis to the next."""
        elements = self.image[-1] // self.groups * self.result[-1]
        for size in self.window[1:]:
            elements *= size
        return elements

    def read(self, op: str) -> tuple[int, ...]:
        """The elements of each operand, of one example where it has examples."""
        image, result = math.prod(self.image), math.prod(self.result)
        if op == FORWARD or op in FOLDS:
            maps: tuple[int, ...] = (image,)
        elif op == TO_INPUT or op == "window_spread":
            maps = (result,)
        else:
            maps = image, result
        return (*maps, self.window[0] * self.filter_row) if op in (FORWARD, TO_INPUT) else maps

    @property
    def text(self) -> str:
        """As arguments of a host's function."""
        parts = [f"{name}={getattr(self, name)}" for name in ("image", "result", "window", "stride", "before")]
        filters = [f"groups={self.groups}", f"filter_row={self.filter_row}"] if self.groups else []
        return ", ".join([*parts, *filters])

    @property
    def title(self) -> str:
        """A name: the sizes before, of the window, and after, and how it slides."""
        return "_".join(map(str, (*self.image, *self.window, *self.result, *self.stride, *self.before, self.groups)))


def geometry_of(node: Node) -> Geometry:
    """The geometry of a convolution, of a fold over windows, or of one of their gradients."""
    if node.op in FOLDS or node.op in UNFOLDS:
        return _folding(node)
    x, filters, y = parts(node)
    count = x.rank - 2
    window = tuple(size for size in sizes_of(filters)[:count])
    stride = tuple(_number(step, node) for step in node.attr("stride"))
    image, result = sizes_of(x)[1:], sizes_of(y)[1:]
    before = tuple(_before(image[i], window[i], stride[i], pad) for i, pad in enumerate(node.attr("pads")))
    groups = _number(node.attr("groups"), node)
    if not all(isinstance(size, int) for size in image + result + window) or count > 3:
        raise NotSupported("a convolution along m, or along more than three axes", node)
    return _with_two_axes(Geometry(image, result, window, stride, before, groups))  # type: ignore[arg-type]


def rows_of_unit(node: Node) -> int:
    """How many of the outermost places of an example's feature maps a unit of work computes. Large filters are read
    once for a unit, so units are large then: two of them keep two threads busy with one example."""
    geometry = geometry_of(node)
    outer, *inner = geometry.made(node.op)
    rows = max(RESULT // math.prod(inner), 1)
    if geometry.groups and geometry.window[0] * geometry.filter_row > LARGE_FILTERS:
        rows = max(rows, -(-outer // 2))
    return min(rows, outer)


def large_tile(node: Node) -> bool:
    """Whether what a unit computes is too much for the stack."""
    return rows_of_unit(node) * math.prod(geometry_of(node).made(node.op)[1:]) > LARGEST_TILE


def on_stack(sizes: Iterable[Stride]) -> bool:
    """Whether so many elements are few enough for the stack."""
    count = product(sizes)
    return isinstance(count, int) and count <= LARGEST_TILE


def on_feature_maps(node: Node) -> bool:
    """Whether windows slide over the spatial axes of (m, spatial…, channels), which the host has functions for."""
    if node.op not in FOLDS and node.op not in UNFOLDS:
        return False
    layouts = [layout_of(value.type, value) for value in (node, *node.inputs)]
    rank = node.type.rank
    plain = all(layout.row_axis == 0 and not isinstance(layout.rows, int) for layout in layouts)
    fixed = all(isinstance(size, int) for layout in layouts for size in layout.sizes[1:])
    return plain and fixed and 3 <= rank <= 5 and all(0 < axis < rank - 1 for axis in node.attr("axes"))


def _folding(node: Node) -> Geometry:
    backward = node.op in UNFOLDS
    image = sizes_of(node.type if backward else node.inputs[0].type)[1:]
    result = sizes_of(node.inputs[-1].type if backward else node.type)[1:]
    count = len(image) - 1
    window, stride, before = [1] * count, [1] * count, [0] * count
    for axis, f, step, pad in zip(*(node.attr(name) for name in ("axes", "window", "stride", "pads")), strict=True):
        place = axis - 1
        window[place], stride[place] = _number(f, node), _number(step, node)
        before[place] = _before(image[place], window[place], stride[place], pad)
    geometry = Geometry(image, result, tuple(window), tuple(stride), tuple(before))  # type: ignore[arg-type]
    return _with_two_axes(geometry)


def _with_two_axes(geometry: Geometry) -> Geometry:
    if len(geometry.window) > 1:
        return geometry
    return Geometry(
        (1, *geometry.image), (1, *geometry.result), (1, *geometry.window), (1, *geometry.stride),
        (0, *geometry.before), geometry.groups,
    )  # fmt: skip


def parts(node: Node) -> tuple[TensorType, TensorType, TensorType]:
    """The types of the image, of the filters and of the result."""
    first, second = (operand.type for operand in node.inputs)
    if node.op == FORWARD:
        return first, second, node.type
    return (node.type, second, first) if node.op == TO_INPUT else (first, node.type, second)


def _number(size: Dim, node: Node) -> int:
    if size.constant is None:
        raise NotSupported(f"a window, stride or number of groups of {size}", node)
    return int(size.constant)


def _before(size: Count, window: Count, stride: int, pad: Pad) -> int:
    """A padding of `same` depends on the size."""
    known, across = (number if isinstance(number, int) else 1 for number in (size, window))
    before, _ = padding(Dim.of(known), Dim.of(across), Dim.of(stride), pad)
    return int(before.constant or 0)
