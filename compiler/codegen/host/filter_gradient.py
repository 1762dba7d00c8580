"""dW of a convolution from x and dy, as LLVM vector code over dense images, channels last.

Each tap of each filter sums, over the places of the result, what it saw times dy. A tile has neighbouring channels of
x as its rows and vectors of dy's channels as its columns; its sum runs over a chunk of the result, about
`Host.depth_block` places, and is added to dW. The chunk's dy lies side by side, for one panel of channels, in a piece
of memory next to the core.

Where x has few channels, the rows of a tile are several taps as well: an image row's channels follow each other from
tap to tap. For that, the chunk's part of x is copied with a border of zeros.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from llvmlite import ir

from dlc.compiler.codegen.host.border import FEW_CHANNELS, MOST_BORDERED, Border, border_sizes, stack_memory
from dlc.compiler.codegen.host.machine import Dtype, Host, item_bytes
from dlc.compiler.codegen.host.rows import Count, RowCode
from dlc.compiler.codegen.host.tile import I64, int64
from dlc.compiler.codegen.host.windows import Panels, WindowAxis, choose_panels, near_equal

__all__ = ["FilterGradient"]

MOST = 1 << 15
"""Bytes of a chunk that are worth a copy, half of them."""


@dataclass(frozen=True)
class Box:
    """A chunk of the result: from which place on along each axis, and how many places. Without an `example` its rows
    are counted through all examples."""

    example: Count | None
    rows: tuple[Count, Count]
    middle: tuple[Count, Count]
    last: tuple[Count, Count]


@dataclass(frozen=True)
class FilterGradient:
    """The static side: sizes in elements. `axes` are those of the convolution, x to y."""

    dtype: Dtype
    axes: tuple[WindowAxis, WindowAxis, WindowAxis]
    channels: int
    out_channels: int
    groups: int
    filter_row: int
    cpu: Host

    @property
    def depth(self) -> int:
        """Channels of x that a filter sees."""
        return self.channels // self.groups

    @property
    def chunk(self) -> tuple[int, int, int]:
        """The most places of a chunk along each axis."""
        rows, middle, last = (axis.targets for axis in self.axes)
        most = self.cpu.depth_block
        if last > most * 3 // 2:
            return 1, 1, -(-last // -(-last // most))
        if middle * last > most * 3 // 2:
            return 1, max(1, most // last), last
        places = max(1, most // (middle * last))
        return (places if places < rows else places // rows * rows), middle, last

    @property
    def pointwise(self) -> bool:
        """Whether each place sees the place of its own alone."""
        return all(axis.plain for axis in self.axes)

    @property
    def one_example(self) -> bool:
        """Whether a chunk lies in one example."""
        return self.chunk[0] < self.axes[0].targets or self.bordered

    @property
    def results(self) -> tuple[int, int, int]:
        """The most places of a chunk of one example."""
        rows, middle, last = self.chunk
        return min(rows, self.axes[0].targets), middle, last

    @property
    def bordered(self) -> bool:
        """Whether tiles are of several taps."""
        size = math.prod(border_sizes(self.axes, self.results)) * self.channels * item_bytes(self.dtype)
        few = self.groups == 1 and self.channels < FEW_CHANNELS
        return few and self.axes[2].window > 1 and size <= MOST_BORDERED

    @property
    def tile_rows(self) -> int:
        """Rows of dW that are cut into tiles: channels, or a window's row of them, or the whole window."""
        if not self.bordered:
            return self.depth
        row = self.axes[2].window * self.channels
        window = math.prod(axis.window for axis in self.axes) * self.channels
        return window if window <= self.cpu.registers - 2 else row

    @property
    def fold(self) -> int:
        """How many places a vector holds side by side: several, where dy's channels alone would leave it half empty and
        the places of x that a tap sees follow each other."""
        most = self.cpu.lanes(self.dtype) // (1 << (self.out_channels - 1).bit_length())
        last = self.axes[2]
        follow = self.bordered and self.channels == last.stride == 1 and last.targets % self.chunk[2] == 0
        return max(1, min(most, self.chunk[2] & -self.chunk[2])) if follow else 1

    @property
    def panels(self) -> tuple[Panels, ...]:
        """The channels of a group of dy in panels."""
        each = self.out_channels // self.groups
        panels = choose_panels(self.cpu, self.dtype, each, (self.tile_rows,), False)
        if self.fold == 1:
            return panels
        return (replace(panels[0], vectors=((self.fold << (each - 1).bit_length(), each),)),)

    def define(self, module: ir.Module) -> ir.Function:
        """The gradient as a function of the module, written on first use: f(x, dy, dw, begin, end)."""
        symbol = f"filter_gradient_{self.dtype}_{hashlib.sha256(repr(self).encode()).hexdigest()[:16]}"
        if symbol in module.globals:
            return module.globals[symbol]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 5), symbol)
        function.linkage = "internal"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        code = FilterGradientCode(self, builder, function.args)
        code.write()
        builder.ret_void()
        return function

    def lower(self, context: Any, builder: Any, signature: Any, args: Any) -> Any:
        """A call of the function, for an intrinsic."""
        builder.call(self.define(builder.module), args)
        return context.get_dummy_value()


@dataclass(frozen=True)
class Columns:
    """dy of a box for one panel of channels: the address of its first place, and the steps, in elements, from place to
    place along each axis."""

    address: ir.Value
    steps: tuple[int, int, int]


class FilterGradientCode:
    """The code of one gradient."""

    def __init__(self, static: FilterGradient, builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
        self.static, self.builder = static, builder
        self.code = RowCode(builder, static.dtype, ((static.cpu.lanes(static.dtype),) * 2,))
        self.numbers, self.move = self.code.numbers, self.code.move
        *addresses, self.begin, self.end = args
        self.panels = static.panels
        self.vectors = self.code.widest
        self.x, self.dy, self.dw = (self.vectors.pointer(address) for address in addresses)
        self.border = Border(self.code, static.axes, static.channels, static.results) if static.bordered else None
        width = max([panels.width for panels in self.panels if self.copied(panels)], default=0)
        self.scratch = stack_memory(self.code, math.prod(static.chunk) * width)

    def copied(self, panels: Panels) -> bool:
        """Whether a chunk's dy is worth a copy: several tiles read it, it stays near, and it is not so already."""
        static = self.static
        tiles = len(near_equal(static.tile_rows, panels.tallest))
        if not static.bordered:
            tiles *= math.prod(axis.window for axis in static.axes)
        size = math.prod(static.chunk) * panels.width * self.vectors.bytes
        dense = static.out_channels == panels.width and panels.width % self.vectors.lanes == 0
        return tiles >= 4 and size <= 2 * MOST and not dense and static.fold == 1

    # --- chunks ------------------------------------------------------------------------------------------------------

    def write(self) -> None:
        static, numbers = self.static, self.numbers
        if static.pointwise or not static.one_example:
            self.boxes(None, self.begin, self.end)
            return
        rows = static.axes[0].targets
        first = numbers.whole(self.begin, rows)

        def example(t: ir.Value) -> None:
            e = numbers.plus(first, t)
            start = numbers.times(e, rows)
            low = numbers.greatest(numbers.minus(self.begin, start), 0)
            self.boxes(e, low, numbers.least(numbers.minus(self.end, start), rows))

        self.code.each(numbers.minus(numbers.shares(self.end, rows), first), example)

    def boxes(self, example: Count | None, low: Count, high: Count) -> None:
        """The rows low .. high - 1 in chunks."""
        numbers, (rows, middle, last) = self.numbers, self.static.chunk
        whole_middle, whole_last = (axis.targets for axis in self.static.axes[1:])

        def part(t: ir.Value, size: int, start: Count, end: Count) -> tuple[Count, Count]:
            if isinstance(end, int) and end == size:
                return 0, size
            first = numbers.plus(start, numbers.times(t, size))
            return first, numbers.least(size, numbers.minus(end, first))

        def over_rows(r: ir.Value) -> None:
            def over_middle(m: ir.Value) -> None:
                def over_last(l: ir.Value) -> None:
                    at = (part(r, rows, low, high), part(m, middle, 0, whole_middle), part(l, last, 0, whole_last))
                    self.box(Box(example, *at))

                self.code.each(numbers.shares(whole_last, last), over_last)

            self.code.each(numbers.shares(whole_middle, middle), over_middle)

        self.code.each(numbers.shares(numbers.minus(high, low), rows), over_rows)

    def box(self, box: Box) -> None:
        """One chunk: every group and panel of channels, every tap."""
        static = self.static
        each, width = static.out_channels // static.groups, static.depth
        if self.border:
            first, middle, _ = static.axes
            image = first.sources * middle.sources * static.axes[2].sources * static.channels
            self.border.fill(self.move(self.x, box.example, image), (box.rows, box.middle, box.last))

        def group(g: ir.Value) -> None:
            for panels in self.panels:
                code = RowCode(self.builder, static.dtype, panels.vectors, static.fold)

                def panel(p: ir.Value, panels: Panels = panels, code: RowCode = code) -> None:
                    column = self.builder.add(self.builder.mul(g, int64(each)), int64(panels.first))
                    column = self.builder.add(column, self.builder.mul(p, int64(panels.width)))
                    columns = self.columns(code, panels, box, column)
                    taps = self.windows if static.bordered else self.taps
                    taps(code, panels, box, columns, self.move(self.x, g, width), self.move(self.dw, column))

                self.code.each(panels.count, panel)

        self.code.each(static.groups, group)

    def columns(self, code: RowCode, panels: Panels, box: Box, column: ir.Value) -> Columns:
        """dy of the box, from a column on; copied side by side where that pays."""
        static, numbers = self.static, self.numbers
        _, middle, last = (axis.targets for axis in static.axes)
        steps = (middle * last * static.out_channels, last * static.out_channels, static.out_channels)
        row = (
            box.rows[0]
            if box.example is None
            else numbers.plus(box.rows[0], numbers.times(box.example, static.axes[0].targets))
        )
        at = self.move(self.dy, column)
        for place, step in zip((row, box.middle[0], box.last[0]), steps, strict=True):
            at = self.move(at, place, step)
        if not self.copied(panels):
            return Columns(at, steps)
        _, chunk_middle, chunk_last = static.chunk
        near = (chunk_middle * chunk_last * panels.width, chunk_last * panels.width, panels.width)
        parts = (box.rows, box.middle, box.last)
        levels = [(part[1], pair) for part, pair in zip(parts, zip(steps, near, strict=True), strict=True)]

        def copy(places: list[ir.Value], _: list[ir.Value]) -> list[ir.Value]:
            code.store(code.load(places[0]), places[1])
            return []

        code.nest(levels, [at, self.scratch], [], copy)
        return Columns(self.scratch, near)

    # --- tiles of the channels under one tap -------------------------------------------------------------------------

    def taps(self, code: RowCode, panels: Panels, box: Box, columns: Columns, x: ir.Value, dw: ir.Value) -> None:
        """Every tap, a tile's channels of x after the other."""
        static = self.static
        row = static.out_channels
        first, middle, last = static.axes
        for (height, count), start in runs_of(near_equal(static.depth, panels.tallest)):

            def channels(t: ir.Value, height: int = height, start: int = start) -> None:
                c = self.builder.add(int64(start), self.builder.mul(t, int64(height)))
                seen, made = self.move(x, c), self.move(dw, c, row)

                def over_first(a: ir.Value) -> None:
                    def over_middle(b: ir.Value) -> None:
                        def over_last(d: ir.Value) -> None:
                            at = self.move(made, a, static.filter_row)
                            at = self.move(self.move(at, b, last.window * static.depth * row), d, static.depth * row)
                            at = self.vectors.opaque(at)
                            for i in range(height):
                                for place in code.places:
                                    self.vectors.prefetch(self.move(at, i * row + place), write=True)
                            sums = self.sum_of_channels(code, height, box, columns, seen, (a, b, d))
                            self.add(code, sums, at, [i * row for i in range(height)])

                        code.each(last.window, over_last)

                    code.each(middle.window, over_middle)

                code.each(first.window, over_first)

            code.each(count, channels)

    def sum_of_channels(
        self, code: RowCode, height: int, box: Box, columns: Columns, x: ir.Value, tap: tuple[Count, Count, Count]
    ) -> list[ir.Value]:
        """A tile's sums over the box under one tap."""
        static, numbers = self.static, self.numbers
        first, middle, last = static.axes
        line = last.sources * static.channels
        image = (middle.sources * line, line, static.channels)
        zeros = [zero for _ in range(height) for zero in code.zeros()]
        offsets = list(range(height))
        if static.pointwise:
            a = self.move(self.move(self.move(x, box.rows[0], image[0]), box.middle[0], line), box.last[0], image[2])
            places = numbers.times(numbers.times(box.rows[1], box.middle[1]), box.last[1])
            return self.sum(code, offsets, [(places, (image[2], columns.steps[2]))], a, columns, zeros)
        inner = [
            self.seen(axis, k, part)
            for axis, k, part in zip((middle, last), tap[1:], (box.middle, box.last), strict=True)
        ]

        def example(e: Count, start: Count, sums: list[ir.Value]) -> list[ir.Value]:
            """The sum over one example, whose rows begin at row `start` of the box's."""
            rows = (numbers.greatest(numbers.minus(box.rows[0], start), 0), numbers.plus(box.rows[0], box.rows[1]))
            end = numbers.least(numbers.minus(rows[1], start), first.targets)
            ranges = [self.seen(first, tap[0], (rows[0], numbers.minus(end, rows[0]))), *inner]
            a = self.move(x, e, first.sources * image[0])
            b = columns.address
            starts = (numbers.minus(box.rows[0], start), box.middle[0], box.last[0])
            levels = []
            for axis, (low, count, source), begin, step, right in zip(
                static.axes, ranges, starts, image, columns.steps, strict=True
            ):
                a = self.move(a, source, step)
                b = self.move(b, numbers.minus(low, begin), right)
                levels.append((count, (axis.stride * step, right)))
            return self.sum(code, offsets, levels, a, replace(columns, address=b), sums)

        if box.example is not None:
            return example(box.example, 0, zeros)
        begin = numbers.whole(box.rows[0], first.targets)
        count = numbers.minus(numbers.shares(numbers.plus(box.rows[0], box.rows[1]), first.targets), begin)

        def turn(t: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            e = numbers.plus(begin, t)
            return example(e, numbers.times(e, first.targets), sums)

        return code.repeat(count, zeros, turn)

    def seen(self, axis: WindowAxis, tap: Count, part: tuple[Count, Count]) -> tuple[Count, Count, Count]:
        """The places of a part of the result that see something through a tap: the first, how many, and the source that
        the first sees."""
        numbers = self.numbers
        ahead = numbers.minus(axis.before, tap)
        low = numbers.greatest(part[0], numbers.shares(ahead, axis.stride))
        end = numbers.least(
            numbers.plus(part[0], part[1]), numbers.shares(numbers.plus(ahead, axis.sources), axis.stride)
        )
        return low, numbers.minus(end, low), numbers.minus(numbers.times(low, axis.stride), ahead)

    # --- tiles of several taps ---------------------------------------------------------------------------------------

    def windows(self, code: RowCode, panels: Panels, box: Box, columns: Columns, x: ir.Value, dw: ir.Value) -> None:
        """Every tap: a tile's rows are the elements of a row of the window, or of the whole window."""
        static = self.static
        first, middle, last = static.axes
        assert self.border is not None
        steps, row = self.border.steps, static.out_channels
        folds = (1, 1, code.fold)
        levels = [
            (self.numbers.whole(part[1], fold), (fold * axis.stride * step, fold * right))
            for part, axis, step, right, fold in zip(
                (box.rows, box.middle, box.last), static.axes, steps, columns.steps, folds, strict=True
            )
        ]
        memory, taps = self.border.memory, last.window * static.channels
        whole = static.tile_rows > taps
        lines = [(a, b) for a in range(first.window) for b in range(middle.window)] if whole else [(0, 0)]
        places = [
            (a * steps[0] + b * steps[1] + j, a * static.filter_row + (b * taps + j) * row)
            for a, b in lines
            for j in range(taps)
        ]

        def window(a: ir.Value, b: ir.Value) -> None:
            at = self.move(self.move(memory, a, steps[0]), b, steps[1])
            made = self.move(self.move(dw, a, static.filter_row), b, taps * row)
            for start, size in near_equal(len(places), panels.tallest):
                offsets = [offset for offset, _ in places[start : start + size]]
                zeros = [zero for _ in offsets for zero in code.zeros()]
                sums = self.sum(code, offsets, levels, at, columns, zeros)
                self.add(code, sums, made, [offset for _, offset in places[start : start + size]])

        if whole:
            window(int64(0), int64(0))
        else:
            code.each(first.window, lambda a: code.each(middle.window, lambda b: window(a, b)))

    # --- one tile ----------------------------------------------------------------------------------------------------

    def sum(
        self,
        code: RowCode,
        offsets: list[int],
        levels: Sequence[tuple[Count, tuple[int, ...]]],
        a: ir.Value,
        columns: Columns,
        sums: list[ir.Value],
    ) -> list[ir.Value]:
        """Sums plus, over all turns of the levels, the elements at the offsets times a row of vectors."""
        wide = len(code.parts)

        def place(at: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
            right, made = code.load_terms(at[1], columns.steps[2], code.fold), []
            for i, offset in enumerate(offsets):
                left = code.spread(self.move(at[0], offset), code.fold)
                made += code.multiply_add(left, right, sums[i * wide : (i + 1) * wide])
            return made

        return code.nest(levels, [self.vectors.opaque(a), self.vectors.opaque(columns.address)], sums, place)

    def add(self, code: RowCode, sums: list[ir.Value], dw: ir.Value, offsets: list[int]) -> None:
        wide, dw = len(code.parts), self.vectors.opaque(dw)
        for i, offset in enumerate(offsets):
            at = self.move(dw, offset)
            code.put(sums[i * wide : (i + 1) * wide], at, [at])


def runs_of(pieces: list[tuple[int, int]]) -> list[tuple[tuple[int, int], int]]:
    """Pieces of one size that follow each other, as ((size, how many), start)."""
    sizes = [(size, list(members)) for size, members in groupby(pieces, lambda piece: piece[1])]
    return [((size, len(members)), members[0][0]) for size, members in sizes]
