"""The text of a fold over a window: loops around each place, that stop at the edges.

Forward, a place of the result looks at the places of its window. Backward, a place of the operand looks at the windows
that it lies in: nothing is scattered, so places can be computed in any order and by any thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from dlc.compiler.codegen.layout import NotSupported, Stride, count_text, factor_text, plain
from dlc.compiler.codegen.text import KernelEmitter
from dlc.compiler.codegen.values import Point
from dlc.compiler.dims import Dim
from dlc.compiler.ir import Node
from dlc.compiler.ops.sliding import Pad, padding

Read = Callable[[Node, Point], str]
INDENT = "    "
MOST_TERMS = 16
"""Windows around a place that are written one by one, at most."""


@dataclass(frozen=True, slots=True)
class Slide:
    """One axis that a window slides along: `size` places before, `count` windows."""

    axis: int
    size: Stride
    count: Stride
    window: int
    stride: int
    before: Stride

    @property
    def most(self) -> int:
        """How many windows a place lies in at most."""
        return -(-self.window // self.stride)

    def overhangs(self, step: int) -> bool:
        """Whether the window so many before the last one that begins there may end before a place."""
        return (step + 1) * self.stride > self.window

    def places(self, window: str) -> tuple[str, str]:
        """The places of a window: the first, and the one after the last."""
        start = f"{window} * {self.stride} - {factor_text(self.before)}"
        return f"max({start}, 0)", f"min({start} + {self.window}, {factor_text(self.size)})"

    def windows(self, place: str) -> tuple[str, str]:
        """The windows that a place lies in."""
        first = count_text(self.before + (self.stride - self.window))
        return f"max(({place} + {first}) // {self.stride}, 0)", (
            f"min(({place} + {count_text(self.before)}) // {self.stride} + 1, {factor_text(self.count)})"
        )


def slides(node: Node) -> list[Slide]:
    """The axes of a window op. Raises NotSupported along m."""
    if node.op == "col2im":
        k = len(node.attr("stride"))
        windows = node.inputs[0].type.sizes[:k]
        image, result = node.type.sizes[1 : k + 1], node.inputs[0].type.sizes[k + 2 :]
        along = zip(range(1, k + 1), image, result, windows, node.attr("stride"), node.attr("pads"), strict=True)
        return [_slide(node, *axis) for axis in along]
    backward = node.op == "window_spread" or node.op.endswith("_gradient")
    image = (node.type if backward else node.inputs[0].type).sizes
    result = (node.inputs[-1].type if backward else node.type).sizes
    attributes = (node.attr(name) for name in ("axes", "window", "stride", "pads"))
    return [_slide(node, axis, image[axis], result[axis], *rest) for axis, *rest in zip(*attributes, strict=True)]


def _slide(node: Node, axis: int, size: Dim, count: Dim, window: Dim, stride: Dim, pad: Pad) -> Slide:
    if any(symbol.kind == "batch" for symbol in size.symbols):
        raise NotSupported("a window along m", node)
    if window.constant is None or stride.constant is None:
        raise NotSupported("a window of unknown size", node)
    before, _ = padding(size, window, stride, pad)
    return Slide(axis, plain(size), plain(count), int(window.constant), int(stride.constant), plain(before))


def window_text(node: Node, point: Point, name: str, read: Read, emitter: KernelEmitter) -> list[str]:
    """The lines that compute the value of a window op at a point, in the variable `name`."""
    axes = slides(node)
    x = node.inputs[0]
    zero = emitter.number(0)
    if node.op == "window_spread":
        windows = moved(point, axes, "v")
        return [f"{name} = {zero}", *around(axes, point, "v", Slide.windows, [f"{name} += {read(x, windows)}"])]
    if node.op == "col2im":
        return [f"{name} = {zero}", *overlapping(x, point, name, read, emitter, axes)]
    if node.op in ("window_max_gradient", "window_min_gradient"):
        return chosen(node, point, name, read, emitter, axes)
    if node.op == "window_prod_gradient":
        return others(node, point, name, read, emitter, axes)
    start, step = {
        "window_sum": (zero, f"{name} + {{}}"),
        "window_prod": (emitter.number(1), f"{name} * {{}}"),
        "window_max": ("-INF", emitter.call("max", name, "{}")),
        "window_min": ("INF", emitter.call("min", name, "{}")),
    }[node.op]
    value = read(x, moved(point, axes, "w"))
    return [f"{name} = {start}", *around(axes, point, "w", Slide.places, [f"{name} = {step.format(value)}"])]


def overlapping(
    x: Node, point: Point, name: str, read: Read, emitter: KernelEmitter, axes: Sequence[Slide]
) -> list[str]:
    """What all patches have for a place of the image. A few windows that may reach it are written one by one, each read
    where there is something in any case and chosen afterwards: that becomes vector code, which a loop does not."""
    if math.prod(slide.most for slide in axes) > MOST_TERMS:
        return around(axes, point, "v", Slide.windows, [f"{name} += {read(x, in_patches(point, axes))}"])
    lines: list[str] = []
    for steps in product(*(range(slide.most) for slide in axes)):
        conditions: list[str] = []
        for slide, place, step in zip(axes, point[1:-1], steps, strict=True):
            axis, here = slide.axis, f"{place} + {count_text(slide.before)}"
            back = f" - {step}" if step else ""
            lines.append(f"v{axis} = ({here}) // {slide.stride}{back}")
            lines.append(f"c{axis} = min(max(v{axis}, 0), {factor_text(slide.count)} - 1)")
            seen = f"{here} - v{axis} * {slide.stride}"
            lines.append(f"w{axis} = min({seen}, {slide.window - 1})")
            conditions += [f"v{axis} == c{axis}", f"w{axis} == {seen}"][: 2 if slide.overhangs(step) else 1]
        seen_at = tuple(f"w{slide.axis}" for slide in axes)
        value = read(x, (*seen_at, point[-1], point[0], *(f"c{slide.axis}" for slide in axes)))
        lines += [f"x = {value}", f"{name} += x if {' and '.join(conditions)} else {emitter.number(0)}"]
    return lines


def in_patches(point: Point, axes: Sequence[Slide]) -> Point:
    """Where the patches of an image have what they add to a place of it: at which place of which window."""
    example, *places, channel = point
    seen = [
        f"({place} + {count_text(slide.before)} - v{slide.axis} * {slide.stride})"
        for slide, place in zip(axes, places, strict=True)
    ]
    return (*seen, channel, example, *(f"v{slide.axis}" for slide in axes))


def chosen(node: Node, point: Point, name: str, read: Read, emitter: KernelEmitter, axes: Sequence[Slide]) -> list[str]:
    """The cotangents of the windows whose first extreme is this place."""
    x, ct = node.inputs
    windows = moved(point, axes, "v")
    best, sign = ("-INF", ">") if node.op == "window_max_gradient" else ("INF", "<")
    starts = [f"c{slide.axis} = {slide.places(windows[slide.axis])[0]}" for slide in axes]
    take = [f"best = {read(x, moved(point, axes, 'w'))}", *(f"c{s.axis} = w{s.axis}" for s in axes)]
    look = [f"if {read(x, moved(point, axes, 'w'))} {sign} best:", *(INDENT + line for line in take)]
    here = " and ".join(f"c{slide.axis} == {point[slide.axis]}" for slide in axes)
    lines = [
        f"best = {best}",
        *starts,
        *around(axes, windows, "w", Slide.places, look),
        f"if {here}:",
        f"{INDENT}{name} += {read(ct, windows)}",
    ]
    return [f"{name} = {emitter.number(0)}", *around(axes, point, "v", Slide.windows, lines)]


def others(node: Node, point: Point, name: str, read: Read, emitter: KernelEmitter, axes: Sequence[Slide]) -> list[str]:
    """The cotangents of the windows, each times the product of its other places."""
    x, ct = node.inputs
    windows = moved(point, axes, "v")
    here = " and ".join(f"w{slide.axis} == {point[slide.axis]}" for slide in axes)
    look = [f"if not ({here}):", f"{INDENT}best *= {read(x, moved(point, axes, 'w'))}"]
    lines = [
        f"best = {emitter.number(1)}",
        *around(axes, windows, "w", Slide.places, look),
        f"{name} += {read(ct, windows)} * best",
    ]
    return [f"{name} = {emitter.number(0)}", *around(axes, point, "v", Slide.windows, lines)]


def moved(point: Point, axes: Sequence[Slide], letter: str) -> Point:
    """The point with an index of its own along each of the axes."""
    slid = {slide.axis for slide in axes}
    return tuple(f"{letter}{axis}" if axis in slid else index for axis, index in enumerate(point))


def around(
    axes: Sequence[Slide],
    point: Point,
    letter: str,
    limits: Callable[[Slide, str], tuple[str, str]],
    lines: Sequence[str],
) -> list[str]:
    """The lines inside loops over the places (or windows) around a point."""
    result = list(lines)
    for slide in reversed(axes):
        first, end = limits(slide, point[slide.axis])
        result = [f"for {letter}{slide.axis} in range({first}, {end}):", *(INDENT + line for line in result)]
    return result
