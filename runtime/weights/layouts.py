"""From the axes of a tensor of torch to those of ours.

filters    (n_C, n_C_prev / groups, f, …)  ->  (f, …, n_C_prev / groups, n_C)
linear     (n, n_prev), the same; as filters of a 1x1 convolution, those
vectors    (n), with the axes of size 1 that ours has: (n, 1), (1, n_C)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.ops import OPS, Contraction
from dlc.compiler.program import CheckedModel
from dlc.runtime.weights.names import Axes, Layout

Array = NDArray[Any]
Shape = tuple[int, ...]


class Misfit(Exception):
    """A tensor cannot be brought to a shape. The text says why."""


def filters_of(checked: CheckedModel) -> frozenset[str]:
    """The parameters that are the filters of a convolution."""
    found: set[str] = set()
    for node in checked.deterministic.nodes:
        op = OPS[node.op]
        if isinstance(op, Contraction) and op.filters is not None:
            filters = node.inputs[op.filters]
            if filters.op == "parameter":
                found.add(str(filters.attr("name")))
    return frozenset(found)


def arranged(value: Array, shape: Shape, filters: bool) -> Array:
    """The value in the shape of ours, by what it is. Raises Misfit."""
    if filters:
        while value.ndim < len(shape):
            value = value[..., np.newaxis]
        turned = value.transpose(*range(2, value.ndim), 1, 0) if value.ndim >= 2 else value
    elif value.ndim > 2 and len(shape) > 2:
        raise Misfit("its axes may stand in any order: write them, `a (i, o, h, w) -> b (h, w, i, o)`")
    else:
        turned = value
    if _large(turned.shape) != _large(shape):
        raise Misfit(f"in the order of ours its axes are {_text(turned.shape)}")
    return turned.reshape(shape)


def rearranged(value: Array, shape: Shape, layout: Layout) -> Array:
    """The value with its axes as a line of the map says. Raises Misfit."""
    if len(layout.given) != value.ndim:
        raise Misfit(f"the line gives it {len(layout.given)} axes")
    sizes = dict(layout.sizes)
    for axis, size in zip(layout.given, value.shape, strict=True):
        known = math.prod(sizes[name] for name in axis if name in sizes)
        unknown = [name for name in axis if name not in sizes]
        if known < 1 or size % known or (not unknown and known != size):
            raise Misfit(f"{' * '.join(axis) or '1'} is not {size}")
        sizes |= dict.fromkeys(unknown, size // known)
    order = [name for axis in layout.given for name in axis]
    parts = value.reshape([sizes[name] for name in order])
    wanted = [name for axis in layout.wanted for name in axis]
    turned = parts.transpose([order.index(name) for name in wanted])
    made = turned.reshape(_sizes(layout.wanted, sizes))
    if made.shape != shape:
        raise Misfit(f"as the line says it is {_text(made.shape)}")
    return made


def _sizes(axes: Axes, sizes: dict[str, int]) -> Shape:
    return tuple(math.prod(sizes[name] for name in axis) for axis in axes)


def _large(shape: Shape) -> list[int]:
    return [size for size in shape if size != 1]


def _text(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"
