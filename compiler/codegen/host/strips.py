"""How a window slides along the axes of a kernel on channels: what a place sees, and an axis cut into tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from llvmlite import ir

from dlc.compiler.codegen.host.tile import VectorCode, int64

__all__ = ["Seen", "SlidingAxis", "Strip", "cut_strips", "largest", "sliding_axes", "smallest"]

WIDE = 64
"""Longer windows along the last axis run in a loop like those along the others."""


class Seen(NamedTuple):
    """What one place of the target sees along one axis: `places` of the source from `source` on, with taps of the
    window from `tap` on."""

    source: ir.Value
    tap: ir.Value
    places: ir.Value | int


@dataclass(frozen=True)
class SlidingAxis:
    """A window that slides along one axis: place i of the result sees places i * stride - before + tap of the image.

    With `back`, the image is the target: its place i is seen by the places (i + before - tap) / stride of the result.
    """

    image: int
    result: int
    window: int
    stride: int
    before: int
    back: bool = False

    @property
    def source(self) -> int:
        return self.result if self.back else self.image

    @property
    def target(self) -> int:
        return self.image if self.back else self.result

    @property
    def tap_step(self) -> int:
        """Taps from one place of the source that a place sees to the next one."""
        return -self.stride if self.back else 1

    @property
    def unit(self) -> int:
        """Places of the target after which the taps repeat."""
        return self.stride if self.back else 1

    def corner(self, place: int) -> int:
        """A place of the source to count from: it moves evenly with units of the target."""
        return (place + self.before) // self.stride if self.back else place * self.stride - self.before

    def reach(self, place: int) -> tuple[int, int, int]:
        """`seen` of a place that is known: (source, tap, count)."""
        corner = self.corner(place)
        if self.back:
            phase = (place + self.before) % self.stride
            first = max(corner - self.result + 1, 0)
            last = min((self.window + self.stride - 1 - phase) // self.stride, corner + 1)
            return corner - last + 1, phase + (last - 1) * self.stride, max(last - first, 0)
        first = max(-corner, 0)
        return corner + first, first, max(min(self.window, self.image - corner) - first, 0)

    @property
    def always(self) -> int | None:
        """How many places of the source every place sees, where all see equally many."""
        counts = {self.reach(place)[2] for place in range(self.target)}
        return counts.pop() if len(counts) == 1 else None

    @property
    def disjoint(self) -> bool:
        """No place of the image lies in two windows."""
        return self.stride >= self.window or self.result == 1

    @property
    def covered(self) -> bool:
        """Every place of the image lies in a window."""
        end = (self.result - 1) * self.stride + self.window - self.before
        return (self.stride <= self.window or self.result == 1) and end >= self.image

    def seen(self, code: VectorCode, place: ir.Value) -> Seen:
        """What a place sees that is known at run time only."""
        builder, stride = code.builder, int64(self.stride)
        if not self.back and self.always == self.window:
            return Seen(builder.sub(builder.mul(place, stride), int64(self.before)), int64(0), self.window)
        if self.back:
            shifted = builder.add(place, int64(self.before))
            corner, phase = builder.udiv(shifted, stride), builder.urem(shifted, stride)
            first = largest(builder, builder.sub(corner, int64(self.result - 1)), int64(0))
            taps = builder.udiv(builder.sub(int64(self.window + self.stride - 1), phase), stride)
            last = smallest(builder, taps, builder.add(corner, int64(1)))
            newest = builder.sub(last, int64(1))
            source, tap = builder.sub(corner, newest), builder.add(phase, builder.mul(newest, stride))
        else:
            corner = builder.sub(builder.mul(place, stride), int64(self.before))
            first = tap = largest(builder, builder.neg(corner), int64(0))
            last = smallest(builder, int64(self.window), builder.sub(int64(self.image), corner))
            source = builder.add(corner, first)
        return Seen(source, tap, builder.sub(last, first) if self.always is None else self.always)

    def span(self, code: VectorCode, first: ir.Value, last: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The places of the source that places first .. last - 1 of the target see, from one to before another."""
        builder, stride = code.builder, int64(self.stride)
        if self.back:
            low = builder.sdiv(builder.add(first, int64(self.before - self.window + 1)), stride)
            high = builder.sdiv(builder.add(last, int64(self.before + self.stride - 1)), stride)
        else:
            low = builder.sub(builder.mul(first, stride), int64(self.before))
            high = builder.add(builder.mul(last, stride), int64(self.window - self.stride - self.before))
        return largest(builder, low, int64(0)), smallest(builder, high, int64(self.source))


def largest(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def smallest(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def sliding_axes(
    image: Sequence[int], result: Sequence[int], window: Sequence[int], stride: Sequence[int], before: Sequence[int],
    *, back: bool = False, widest: int = WIDE,
) -> tuple[SlidingAxis, ...]:  # fmt: skip
    """The spatial axes of (*spatial, C) shapes. Behind an axis with a window longer than `widest` comes one of size 1:
    what the last axis is cut into tiles for does not pay there."""
    if not len(window) == len(stride) == len(before) == len(image) - 1 == len(result) - 1:
        raise ValueError(f"shapes {image} and {result} do not fit windows {window} by {stride} from {before}")
    sizes = zip(image[:-1], result[:-1], window, stride, before, strict=True)
    axes = tuple(SlidingAxis(*each, back=back) for each in sizes)
    return (*axes, SlidingAxis(1, 1, 1, 1, 0, back)) if window[-1] > widest else axes


@dataclass(frozen=True)
class Strip:
    """`repeat` tiles of one shape, side by side along the last axis.

    The first begins at place `target` and counts its columns from `source` on; the next are `pixels` places of the
    target and `source_step` places of the source further on.
    """

    target: int
    source: int
    pixels: int
    cells: tuple[tuple[int, int, int], ...]
    """(pixel, column, tap): the pixel of the tile sees the column by the tap."""
    source_step: int = 0
    repeat: int = 1

    @property
    def columns(self) -> list[int]:
        return sorted({column for _, column, _ in self.cells})

    def of_column(self, column: int) -> list[tuple[int, int]]:
        """The (pixel, tap) pairs that see a column."""
        return [(pixel, tap) for pixel, seen, tap in self.cells if seen == column]

    def of_pixel(self, pixel: int) -> list[int]:
        """The columns that a pixel sees."""
        return [column for seeing, column, _ in self.cells if seeing == pixel]


def cut_strips(axis: SlidingAxis, pixels: int) -> list[Strip]:
    """Cut the target's places into tiles of at most `pixels` (and at least one unit), as equal as possible."""
    units = -(-axis.target // axis.unit)
    count = -(-units // max(1, pixels // axis.unit))
    strips: list[Strip] = []
    start = 0
    for index in range(count):
        end = min(axis.target, start + (units // count + (index < units % count)) * axis.unit)
        corner = axis.corner(start)
        cells = tuple(
            (i, source - corner + k, tap + k * axis.tap_step)
            for i, (source, tap, seen) in enumerate(map(axis.reach, range(start, end)))
            for k in range(seen)
        )
        last = strips[-1] if strips else None
        if last is not None and (last.pixels, last.cells) == (end - start, cells):
            step = (corner - last.source) // last.repeat
            strips[-1] = Strip(last.target, last.source, last.pixels, cells, step, last.repeat + 1)
        else:
            strips.append(Strip(start, corner, end - start, cells))
        start = end
    return strips
