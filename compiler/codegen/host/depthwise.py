"""Depthwise convolutions, where each channel has a filter of its own, as LLVM vector code.

    y[place, c]  = sum over taps  x[place * stride - before + tap, c] w[tap, c]
    dx           the same sum seen from the image: a place gathers the results that saw it
    dw[tap, c]   = sum over places  x[place * stride - before + tap, c] dy[place, c]

Nothing is summed across channels, so these are no matrix products. Sums of several neighbouring places are kept in
registers, and each column of the source is loaded once for all of them. `plain_convolution.py` says the same in loops.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llvmlite import ir

from dlc.compiler.codegen.host.channelwise import (
    CACHE_LINE,
    NEAR_BYTES,
    ChannelCode,
    ChannelwiseKernel,
    Group,
    kernel_intrinsic,
)
from dlc.compiler.codegen.host.machine import Dtype, Host, host, item_bytes
from dlc.compiler.codegen.host.strips import Seen, SlidingAxis, Strip, cut_strips, largest, sliding_axes, smallest
from dlc.compiler.codegen.host.tile import int64

__all__ = ["depthwise_filter_gradient_rows", "depthwise_input_gradient_rows", "depthwise_rows"]

MOST_PRODUCTS = 128
"""Multiply-adds of one tile and one row of the window that are written out."""
CHAINS = 8
"""Sums that a core with two multiply-add units of latency 4 wants to be at work on."""
CACHE_SETS = 64
"""Of the nearest cache."""

Places = tuple[ir.Value, ir.Value, ir.Value]
"""Where x, dy and dw begin."""


def depthwise_rows(
    dtype: Dtype, *, image: Sequence[int], result: Sequence[int], window: Sequence[int], stride: Sequence[int],
    before: Sequence[int], groups: int, filter_row: int, start: Literal["zero", "row"] = "zero",
    cpu: Host | None = None,
) -> Any:  # fmt: skip
    """A function for jitted code that convolves: convolve(x, w, y, begin, end), byte addresses.

    It writes rows begin .. end - 1 of the result of one example, a (*spatial, C) of shape `result`, from the example x
    of shape `image` and the filters w of shape (*window, 1, C), whose rows along the first axis are `filter_row`
    elements apart; y is where row `begin` goes. Windows begin `before` places before the image and move by `stride`;
    outside of the image is 0. Sums start at 0, or at C biases ("row": their address is a sixth argument).
    Up to 64 bytes behind x, w and the biases are read.
    """
    cpu = cpu or host()
    channels = channels_of(image, result, groups)
    axes = sliding_axes(image, result, window, stride, before)
    return kernel_intrinsic(DepthwiseSum(dtype, axes, channels, cpu, filter_row, start == "row"))


def depthwise_input_gradient_rows(
    dtype: Dtype, *, image: Sequence[int], result: Sequence[int], window: Sequence[int], stride: Sequence[int],
    before: Sequence[int], groups: int, filter_row: int, cpu: Host | None = None,
) -> Any:  # fmt: skip
    """A function for jitted code: gradient(dy, w, dx, begin, end) writes rows begin .. end - 1 of the image's gradient.

    dy is the cotangent of the whole result of `depthwise_rows` for one example, dx is where row `begin` goes. A place
    that no window reaches gets 0. Up to 64 bytes behind dy and w are read.
    """
    channels = channels_of(image, result, groups)
    axes = sliding_axes(image, result, window, stride, before, back=True)
    return kernel_intrinsic(DepthwiseSum(dtype, axes, channels, cpu or host(), filter_row, False))


def depthwise_filter_gradient_rows(
    dtype: Dtype, *, image: Sequence[int], result: Sequence[int], window: Sequence[int], stride: Sequence[int],
    before: Sequence[int], groups: int, filter_row: int, cpu: Host | None = None,
) -> Any:  # fmt: skip
    """A function for jitted code: gradient(x, dy, dw, begin, end) adds to the filters' gradient dw what rows
    begin .. end - 1 of the result contribute, for one example x and its whole cotangent dy.

    Up to 64 bytes behind x, dy and dw are read.
    """
    channels = channels_of(image, result, groups)
    axes = sliding_axes(image, result, window, stride, before)
    return kernel_intrinsic(DepthwiseFilterGradient(dtype, axes, channels, cpu or host(), filter_row))


def channels_of(image: Sequence[int], result: Sequence[int], groups: int) -> int:
    if not image[-1] == result[-1] == groups:
        raise ValueError(f"{groups} groups: shapes {image} and {result} have no filter of their own for each channel")
    return groups


@dataclass(frozen=True)
class DepthwiseKernel(ChannelwiseKernel):
    """What the products have in common. The first axis of the filters has rows of `filter_row` elements."""

    filter_row: int

    @property
    def tap_steps(self) -> list[int]:
        """Elements from one tap to the next along each axis."""
        return [self.filter_row, *self.steps([axis.window for axis in self.axes])[1:]]

    @property
    def pixels(self) -> int:
        """Neighbouring places in a tile: enough sums to keep a core at work, and room for a row of the filter."""
        return max(1, min(CHAINS, MOST_PRODUCTS // self.axes[-1].window))

    def strips(self) -> list[Strip]:
        return cut_strips(self.axes[-1], self.pixels)

    def filters_from(self, code: ChannelCode, filters: ir.Value, seen: list[Seen]) -> ir.Value:
        """Where the filters of the first tap seen along the outer axes lie."""
        for here, step in zip(seen, self.tap_steps, strict=False):
            filters = code.move(filters, here.tap, step)
        return filters

    def byte_steps(self, code: ChannelCode, axes: Sequence[SlidingAxis]) -> list[list[int]]:
        """How far source and filters move from one place seen to the next, along the first axes."""
        each = zip(axes, self.source_steps, self.tap_steps, strict=False)
        return [[a * code.bytes, axis.tap_step * b * code.bytes] for axis, a, b in each]


@dataclass(frozen=True)
class DepthwiseSum(DepthwiseKernel):
    """f(source, filters, target, begin, end), with `biased` one address more: y from x, or dx from dy."""

    biased: bool

    @property
    def arity(self) -> int:
        return 6 if self.biased else 5

    def write(self, code: ChannelCode, args: Sequence[ir.Value]) -> None:
        builder, strips = code.builder, self.strips()

        def rows(group: Group, begin: ir.Value, end: ir.Value) -> None:
            def line(seen: list[Seen], source: ir.Value, target: ir.Value) -> None:
                first = self.filters_from(code, args[1], seen)

                def tile(strip: Strip, source: ir.Value, target: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                    def vector(offset: ir.Value, _: ir.Value | None) -> None:
                        start = code.load(code.move(args[5], offset)) if self.biased else code.zero()
                        places = [code.move(address, offset) for address in (source, first)]
                        sums = self.sums(code, strip, seen, places, start)
                        for pixel, value in enumerate(sums):
                            code.put(value, code.move(code.move(target, offset), pixel * self.channels))

                    code.each_vector(group, vector)
                    return []

                self.each_tile(code, strips, source, target, [], tile)

            into = code.move(args[2], builder.sub(begin, args[3]), self.target_steps[0])
            self.each_line(code, begin, end, args[0], into, line)

        self.each_pass(code, self.group, (args[3], args[4]), args[0], rows)

    def sums(
        self, code: ChannelCode, strip: Strip, seen: list[Seen], places: list[ir.Value], start: ir.Value
    ) -> list[ir.Value]:
        """The sums of a tile's pixels, for one vector of channels."""
        taps = sorted({tap for _, _, tap in strip.cells})

        def row(at: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
            at = [code.settled(address) for address in at]
            weights = {tap: code.load(code.move(at[1], tap * self.channels)) for tap in taps}
            made = list(sums)
            for column in strip.columns:
                value = code.load(code.move(at[0], column * self.channels))
                for pixel, tap in strip.of_column(column):
                    made[pixel] = code.multiply_add(value, weights[tap], made[pixel])
            return made

        steps = self.byte_steps(code, self.axes[:-1])
        return self.fold_seen(code, seen, places, steps, [start] * strip.pixels, row)


@dataclass(frozen=True)
class DepthwiseFilterGradient(DepthwiseKernel):
    """gradient(x, dy, dw, begin, end).

    For each vector of channels, the sums of all taps stay in registers while the lines of places along the last axis go
    by. Where those are too many, so do the sums of one row of the filter, with lines in blocks that stay in the nearest
    cache until all rows have seen them.
    """

    @property
    def arity(self) -> int:
        return 5

    def write(self, code: ChannelCode, args: Sequence[ir.Value]) -> None:
        x, dy, dw = args[:3]
        outer = self.axes[:-2]

        def rows(group: Group, begin: ir.Value, end: ir.Value) -> None:
            lines = (int64(0), int64(self.axes[-2].target)) if outer else (begin, end)
            first = code.move(dy, begin, self.target_steps[0]) if outer else dy

            def vector(offset: ir.Value, fresh: ir.Value | None) -> None:
                def place(seen: list[Seen], x: ir.Value, dy: ir.Value) -> None:
                    filters = code.move(self.filters_from(code, dw, seen), offset)
                    self.all_lines(code, seen, x, dy, filters, lines, fresh)

                self.each_place(code, outer, [], (begin, end), code.move(x, offset), code.move(first, offset), place)

            code.each_vector(group, vector)

        self.each_pass(code, 1, (args[3], args[4]), x, rows, dy)

    @property
    def together(self) -> bool:
        """Whether all rows of the filter are summed in one go: there are enough sums to keep a core at work, not too
        many for the registers, and few lines at the ends that do not see all rows."""
        lines = self.axes[-2]
        return CHAINS <= lines.window * self.axes[-1].window <= CHAINS + 4 and lines.result >= 4 * lines.window

    @property
    def block(self) -> int:
        """Lines of the result that stay in the nearest cache, from one row of the filter to the next."""
        lines, places = self.axes[-2:]
        line = (lines.stride * places.image + places.result) * self.cpu.vector_bytes
        # Neighbouring places are C numbers apart: where that is a large power of two, they share a few sets.
        sets = CACHE_SETS // math.gcd(self.channels * item_bytes(self.dtype) // CACHE_LINE, CACHE_SETS)
        return max(1, NEAR_BYTES * sets // CACHE_SETS // line)

    def all_lines(
        self, code: ChannelCode, seen: list[Seen], x: ir.Value, dy: ir.Value, dw: ir.Value,
        lines: tuple[ir.Value, ir.Value], fresh: ir.Value | None,
    ) -> None:  # fmt: skip
        """What lines first .. last - 1 contribute. `seen` is what they see along the axes before theirs; x, dy and dw
        are where lines and taps begin there."""

        def taps(at: list[ir.Value], _: list[ir.Value]) -> list[ir.Value]:
            places = at[0], dy, at[1]
            if self.together:
                self.whole_filter(code, places, lines, fresh)
            else:
                code.each_block(*lines, self.block, lambda *block: self.row_by_row(code, places, block, fresh))
            return []

        self.fold_seen(code, seen, [x, dw], self.byte_steps(code, self.axes[:-2]), [], taps)

    def whole_filter(
        self, code: ChannelCode, places: Places, lines: tuple[ir.Value, ir.Value], fresh: ir.Value | None
    ) -> None:
        """The lines that see all rows of the filter, and then those before and behind them."""
        builder, axis = code.builder, self.axes[-2]
        self.some_rows(code, places, int64(0), axis.window, lines, fresh)
        if axis.always == axis.window:
            return
        first = self.place_of(code, 0, int64(0))
        behind = largest(builder, first, self.place_of(code, axis.image - axis.window + 1, int64(0)))

        def end(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            before = builder.icmp_signed("==", index, int64(0))
            low = builder.select(before, lines[0], largest(builder, lines[0], behind))
            high = builder.select(before, smallest(builder, lines[1], first), lines[1])
            self.row_by_row(code, places, (low, high), fresh)
            return []

        code.loop(int64(2), [], end)

    def row_by_row(
        self, code: ChannelCode, places: Places, lines: tuple[ir.Value, ir.Value], fresh: ir.Value | None
    ) -> None:
        def row(tap: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            self.some_rows(code, places, tap, 1, lines, fresh)
            return []

        code.loop(int64(self.axes[-2].window), [], row)

    def place_of(self, code: ChannelCode, corner: int, tap: ir.Value) -> ir.Value:
        """The first line whose window has the tap at the image's line `corner`, or behind it."""
        builder, axis = code.builder, self.axes[-2]
        distance = largest(builder, builder.sub(int64(corner + axis.before), tap), int64(0))
        return builder.udiv(builder.add(distance, int64(axis.stride - 1)), int64(axis.stride))

    def some_rows(
        self, code: ChannelCode, places: Places, tap: ir.Value, rows: int, lines: tuple[ir.Value, ir.Value],
        fresh: ir.Value | None,
    ) -> None:  # fmt: skip
        """Rows tap .. tap + rows - 1 of the filter: what they see from those of the lines that see them all."""
        builder, axis, width = code.builder, self.axes[-2], self.axes[-1].window
        (x, dy, dw), splits = places, -(-CHAINS // (width * rows))
        first = largest(builder, lines[0], self.place_of(code, 0, tap))
        last = smallest(builder, lines[1], self.place_of(code, axis.image - rows + 1, tap))
        corner = builder.sub(builder.add(builder.mul(first, int64(axis.stride)), tap), int64(axis.before))
        seen, given = code.move(x, corner, self.source_steps[-2]), code.move(dy, first, self.target_steps[-2])

        def line(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            sums = self.each_tile(code, self.strips(), state[0], state[1], state[2:], tile)
            seen = code.move(state[0], axis.stride * self.source_steps[-2])
            return [seen, code.move(state[1], self.target_steps[-2]), *sums]

        def tile(strip: Strip, x: ir.Value, dy: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            made, x, dy = list(sums), code.settled(x), code.settled(dy)
            given = [code.load(code.move(dy, pixel * self.channels)) for pixel in range(strip.pixels)]
            for row in range(rows):
                for column in strip.columns:
                    value = code.load(code.move(x, row * self.source_steps[-2] + column * self.channels))
                    for pixel, tap in strip.of_column(column):
                        chain = (row * width + tap) * splits + pixel % splits
                        made[chain] = code.multiply_add(value, given[pixel], made[chain])
            return made

        zeros = [code.zero()] * (rows * width * splits)
        sums = code.loop(builder.sub(last, first), [seen, given, *zeros], line)[2:]
        for row in range(rows):
            into = code.move(code.move(dw, tap, self.tap_steps[-2]), row * self.tap_steps[-2])
            self.add(code, sums[row * width * splits : (row + 1) * width * splits], into, fresh)

    def add(self, code: ChannelCode, sums: list[ir.Value], dw: ir.Value, fresh: ir.Value | None) -> None:
        """Add the chains of each tap to one row of the filters' gradient."""
        width = self.axes[-1].window
        splits = len(sums) // width
        for tap in range(width):
            total = sums[tap * splits]
            for chain in range(1, splits):
                total = code.builder.fadd(total, sums[tap * splits + chain])
            if fresh is not None:
                total = code.builder.select(fresh, total, code.zero())
            place = code.move(dw, tap * self.channels)
            code.put(code.builder.fadd(code.load(place), total), place)
