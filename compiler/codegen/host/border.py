"""A piece of an image copied with a border of zeros: for images of few channels, whose windows then have no edges.

Within a line of such a copy the channels that a row of the window sees follow each other, so several taps are one sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llvmlite import ir

from dlc.compiler.codegen.host.rows import Count, RowCode
from dlc.compiler.codegen.host.tile import BYTE, int64
from dlc.compiler.codegen.host.windows import WindowAxis

__all__ = ["Border", "border_sizes", "stack_memory"]

FEW_CHANNELS = 8
"""An image with fewer channels than this is worth the copy."""
MOST_BORDERED = 1 << 16
"""Bytes that a copy may have."""


def border_sizes(axes: Sequence[WindowAxis], results: Sequence[int]) -> tuple[int, int, int]:
    """The places along each axis that so many results see, those outside the image included."""
    first, middle, last = ((n - 1) * axis.stride + axis.window for n, axis in zip(results, axes, strict=True))
    return first, middle, last


def stack_memory(code: RowCode, elements: int) -> ir.Value:
    """So many elements on the stack, and a vector more; to be asked for in a function's first block."""
    memory = code.builder.alloca(ir.ArrayType(code.widest.scalar, elements + 64 // code.bytes))
    memory.align = 64
    return code.builder.bitcast(memory, BYTE.as_pointer())


class Border:
    """The copy of what `results` places along each axis see of images with `channels` channels."""

    def __init__(
        self, code: RowCode, axes: tuple[WindowAxis, WindowAxis, WindowAxis], channels: int, results: Sequence[int]
    ) -> None:
        self.code, self.axes, self.channels = code, axes, channels
        self.sizes = border_sizes(axes, results)
        self.memory = stack_memory(code, math.prod(self.sizes) * channels)

    @property
    def steps(self) -> tuple[int, int, int]:
        """Elements from place to place along each axis of the copy."""
        line = self.sizes[2] * self.channels
        return self.sizes[1] * line, line, self.channels

    def fill(self, image: ir.Value, parts: Sequence[tuple[Count, Count]]) -> None:
        """Copy what the results see that begin at a place of each axis; `parts` holds (place, how many)."""
        code, numbers, builder = self.code, self.code.numbers, self.code.builder
        first, middle, last = self.axes
        wide, line = self.sizes[2], last.sources * self.channels
        starts = [
            numbers.minus(numbers.times(place, axis.stride), axis.before)
            for axis, (place, _) in zip(self.axes, parts, strict=True)
        ]
        rows, lines = (
            numbers.plus(numbers.times(numbers.minus(count, 1), axis.stride), axis.window)
            for axis, (_, count) in zip((first, middle), parts[:2], strict=True)
        )
        begin = numbers.least(numbers.greatest(numbers.minus(0, starts[2]), 0), wide)
        end = numbers.greatest(numbers.least(numbers.minus(last.sources, starts[2]), wide), begin)

        def one_row(r: ir.Value) -> None:
            def one_line(m: ir.Value) -> None:
                i, j = numbers.value(numbers.plus(starts[0], r)), numbers.value(numbers.plus(starts[1], m))
                exists = builder.and_(
                    builder.icmp_unsigned("<", i, int64(first.sources)),
                    builder.icmp_unsigned("<", j, int64(middle.sources)),
                )
                low, high = (builder.select(exists, numbers.value(edge), int64(wide)) for edge in (begin, end))
                target = code.move(code.move(self.memory, r, self.steps[0]), m, self.steps[1])
                source = code.move(code.move(image, i, middle.sources * line), j, line)
                source = code.move(source, starts[2], self.channels)
                # In this order, for each goes on to the end of a vector.
                self.pass_over(target, None, int64(0), low)
                self.pass_over(target, source, low, high)
                self.pass_over(target, None, high, int64(wide))

            code.each(lines, one_line)

        code.each(rows, one_row)

    def pass_over(self, target: ir.Value, source: ir.Value | None, begin: ir.Value, end: ir.Value) -> None:
        """The places begin .. end - 1 of a line, and on to the end of a vector: what the source holds, or zeros."""
        code, vector = self.code, self.code.widest
        at = code.move(target, begin, self.channels)
        seen = at if source is None else code.move(source, begin, self.channels)
        elements = code.builder.mul(code.builder.sub(end, begin), int64(self.channels))

        def copy(places: list[ir.Value], _: list[ir.Value]) -> list[ir.Value]:
            vector.store(vector.zero() if source is None else vector.load(places[0]), places[1])
            return []

        count = code.numbers.shares(elements, vector.lanes)
        code.nest([(count, (vector.lanes, vector.lanes))], [seen, at], [], copy)
