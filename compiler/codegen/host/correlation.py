"""The correlation: a convolution, and the gradient of its input, as LLVM vector code over dense images, channels last.

Each target place sums, over the taps of a window, a source place times one matrix of
the filter. Along an axis, tap k of target place i reads the source place

    i * stride - before + k              y from x: the targets are the places of the result
    (i + before - k) / stride            dx from dy, where that divides: the targets are the places of the image

A tile keeps some neighbouring targets of one row, by some vectors of channels, in registers while its sum runs. There
is no border of zeros in memory: along the outer axes the taps that exist are a range known when a row is reached, and
along the last axis a tile at an edge leaves out the multiply-adds of the targets whose source does not exist.

The filter's part for one panel of channels is cut into blocks of about `Host.depth_block` terms, and all rows pass over
one block before the next. Where its rows do not lie one after the other, a block is copied first, into a dense and
aligned piece of memory that stays next to the core."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from llvmlite import ir

from dlc.compiler.codegen.host.machine import Dtype, Host, item_bytes
from dlc.compiler.codegen.host.rows import Count, Numbers, RowCode, value_of
from dlc.compiler.codegen.host.tile import BYTE, I64, VectorCode, int64
from dlc.compiler.codegen.host.windows import Panels, Phase, TileRun, WindowAxis, choose_panels

__all__ = ["Correlation", "Filters", "RowStart"]

RowStart = Literal["zero", "row"]

NEAR = 24 << 10
"""Bytes of a block of filters that stay next to the core, with the places that it meets."""
FAR = 512 << 10
"""Bytes of sources and targets that stay in the second cache."""
LINE = 64
"""Bytes that come into a cache at once."""
PLACES = 256
"""Targets for which it pays to read all filters."""


@dataclass(frozen=True)
class Filters:
    """Where a tile finds its part of the filters: steps, in elements, from tap to tap of each axis and, `row`, from
    source channel to source channel."""

    first: int
    middle: int
    last: int
    row: int


@dataclass(frozen=True)
class Correlation:
    """The static side of a convolution: all that is known when the module is written. Sizes and steps are elements."""

    dtype: Dtype
    axes: tuple[WindowAxis, WindowAxis, WindowAxis]
    sources: int
    targets: int
    groups: int
    stored: Filters
    next_group: int
    start: RowStart
    cpu: Host

    @property
    def depth(self) -> int:
        """Source channels that a target channel sees."""
        return self.sources // self.groups

    @property
    def fold(self) -> int:
        """How many terms of its sums a vector holds side by side, where the targets alone would leave it half empty."""
        few = 1 << (self.targets // self.groups - 1).bit_length()
        return max(1, min(self.cpu.lanes(self.dtype) // few, self.depth & -self.depth))

    @property
    def pieces(self) -> tuple[Panels, ...]:
        """A group's channels in panels."""
        lengths = tuple(phase.count for phase in self.axes[-1].phases)
        panels = choose_panels(self.cpu, self.dtype, self.targets // self.groups, lengths, self.pointwise)
        if self.fold == 1:
            return panels
        kept = self.targets // self.groups
        return (replace(panels[0], vectors=(((1 << (kept - 1).bit_length()) * self.fold, kept),)),)

    def blocks(self, panels: Panels) -> tuple[int, int]:
        """How many taps of the first axis, and how many source channels, are one block of a panel's sum."""
        first, middle, last = self.axes
        inside = middle.window * last.window
        most = min(self.cpu.depth_block, NEAR // (panels.width * item_bytes(self.dtype)))
        taps = max(1, min(first.window, most // (inside * self.depth)))
        taps = -(-first.window // -(-first.window // taps))
        pieces = 1 if inside * self.depth <= most else min(self.depth, -(-inside * self.depth // most))
        return taps, -(-self.depth // pieces // self.fold) * self.fold

    def copied(self, panels: Panels) -> bool:
        """Whether the blocks of a panel are worth a copy: they are used often, and their rows are apart."""
        places = math.prod(axis.targets for axis in self.axes)
        return (
            self.fold > 1
            or (places >= 32
            and (self.stored.row != panels.width or panels.width % self.cpu.lanes(self.dtype) != 0))
        )

    @property
    def target_row(self) -> int:
        """Elements of a row of targets."""
        return self.axes[1].targets * self.axes[2].targets * self.targets

    @property
    def example(self) -> int:
        """Elements of an example's sources."""
        return math.prod(axis.sources for axis in self.axes) * self.sources

    def rows_at_once(self, pieces: Sequence[Panels]) -> int:
        """Rows that all panels pass over before the next ones: what a panel reads and writes stays in the second cache,
        and there are enough places for a copied block of filters to be worth it."""
        share = max(panels.width for panels in pieces) / self.targets
        size = (self.target_row * share + self.example / self.axes[0].targets) * item_bytes(self.dtype)
        return max(-(-PLACES // (self.axes[1].targets * self.axes[2].targets)), int(FAR / size))

    @property
    def pointwise(self) -> bool:
        """Whether each target sees the source of its own place alone."""
        return all(axis.plain for axis in self.axes)

    @property
    def far(self) -> bool:
        """Whether the filters are too many for the second cache."""
        return math.prod(axis.window for axis in self.axes) * self.depth * self.targets * item_bytes(self.dtype) > FAR

    def stack(self, panels: Panels) -> int:
        """How many rows one tile takes in: several where there is nothing but places one after the other."""
        return max(1, panels.tallest // self.axes[-1].targets) if self.pointwise else 1

    def scratch(self, builder: ir.IRBuilder, pieces: Sequence[Panels]) -> ir.Value:
        """The address of memory on the stack for one block of any panel that is copied."""
        inside = self.axes[1].window * self.axes[2].window
        sizes = [math.prod(self.blocks(panels)) * inside * panels.width for panels in pieces if self.copied(panels)]
        memory = builder.alloca(ir.ArrayType(VectorCode(builder, self.dtype, 1).scalar, max(sizes, default=0)))
        memory.align = 64
        return builder.bitcast(memory, BYTE.as_pointer())

    def define(self, module: ir.Module) -> ir.Function:
        """The convolution as a function of the module, written on first use: f(source, filters, target, begin, end,
        start row)."""
        symbol = f"correlation_{self.dtype}_{hashlib.sha256(repr(self).encode()).hexdigest()[:16]}"
        if symbol in module.globals:
            return module.globals[symbol]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 6), symbol)
        function.linkage = "internal"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        pieces = self.pieces
        scratch = self.scratch(builder, pieces)
        *addresses, begin, end, row = function.args
        at_once = self.rows_at_once(pieces)
        numbers, some = Numbers(builder), RowCode(builder, self.dtype, ((1, 1),))
        source, filters, target, row = (some.widest.pointer(address) for address in (*addresses, row))

        def chunk(t: ir.Value) -> None:
            done = numbers.times(t, at_once)
            low = numbers.plus(begin, done)
            high = numbers.least(numbers.plus(low, at_once), end)
            made = some.move(target, done, self.target_row)
            for panels in pieces:
                code = RowCode(builder, self.dtype, panels.vectors, self.fold)
                args = (source, filters, made, low, high, row)
                CorrelationPanel(self, panels, code, args, scratch if self.copied(panels) else None).write()

        some.each(numbers.shares(numbers.minus(end, begin), at_once), chunk)
        builder.ret_void()
        return function

    def lower(self, context: Any, builder: Any, signature: Any, args: Any) -> Any:
        """A call of the function, for an intrinsic; without a start row there are five arguments."""
        builder.call(self.define(builder.module), [*args, int64(0)][:6])
        return context.get_dummy_value()


@dataclass(frozen=True)
class Block:
    """One block of the sum while the code is written: taps low .. high - 1 of the first axis and `terms` of the source
    channels, its filters (from tap `low` on), and whether it is the one that the targets start with."""

    low: Count
    high: Count
    terms: Count
    source: ir.Value
    filters: ir.Value
    steps: Filters
    fresh: ir.Value | None
    following: ir.Value


@dataclass(frozen=True)
class Reach:
    """What one target sees along an axis: `count` taps from `tap` on, and the source under the first of them."""

    source: ir.Value
    tap: Count
    count: Count


class CorrelationPanel:
    """The code of all panels of one width."""

    def __init__(
        self, static: Correlation, panels: Panels, code: RowCode, args: Sequence[ir.Value], scratch: ir.Value | None
    ) -> None:
        self.static, self.panels, self.code, self.scratch = static, panels, code, scratch
        self.builder, self.numbers = code.builder, code.numbers
        self.source, self.filters, self.target, self.begin, self.end, self.start_row = args
        self.first, self.middle, self.last = static.axes
        self.taps, self.channels = static.blocks(panels)
        self.asked: tuple[ir.Value, ir.Value] | None = None

    def write(self) -> None:
        """For each group of channels, each panel, each block of its sum: all rows."""
        static, move = self.static, self.code.move

        def group(g: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            source = move(self.source, g, static.depth)
            filters = move(move(self.filters, g, static.next_group), self.panels.first)

            def panel(p: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                column = self.builder.mul(g, int64(static.targets // static.groups))
                column = self.builder.add(column, self.builder.mul(p, int64(self.panels.width)))
                column = self.builder.add(column, int64(self.panels.first))
                self.column, self.bias = move(self.target, column), move(self.start_row, column)
                self.blocks(source, move(filters, p, self.panels.width))
                return []

            return self.code.repeat(self.panels.count, [], panel)

        self.code.repeat(static.groups, [], group)

    def blocks(self, source: ir.Value, filters: ir.Value) -> None:
        rows, pieces = -(-self.first.window // self.taps), -(-self.static.depth // self.channels)
        stored, move = self.static.stored, self.code.move

        def part(h: ir.Value, size: int, count: int, whole: int) -> tuple[Count, Count]:
            """Where part h of `count` starts, and where it ends."""
            if count == 1:
                return 0, whole
            low = self.builder.mul(h, int64(size))
            return low, self.numbers.least(self.builder.add(low, int64(size)), int64(whole))

        def block_of_rows(h: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            low, high = part(h, self.taps, rows, self.first.window)

            def block(c: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                begin, end = part(c, self.channels, pieces, self.static.depth)
                terms = self.numbers.minus(end, begin)
                fresh = None if rows * pieces == 1 else self.builder.icmp_signed("==", self.builder.or_(h, c), int64(0))
                matrix = move(move(filters, low, stored.first), begin, stored.row)
                following = self.following(filters, self.numbers.plus(self.numbers.times(h, pieces), c), rows, pieces)
                given = Block(low, high, terms, move(source, begin), matrix, stored, fresh, following)
                self.rows(self.copy(given) if self.scratch else given)
                return []

            return self.code.repeat(pieces, [], block)

        self.code.repeat(rows, [], block_of_rows)

    def following(self, filters: ir.Value, index: Count, rows: int, pieces: int) -> ir.Value:
        """Where the filters of the block after this one begin; after the last one comes the next panel's first."""
        numbers, builder, move = self.numbers, self.builder, self.code.move
        after = value_of(numbers.plus(index, 1))
        last = builder.icmp_signed("==", after, int64(rows * pieces))
        after = builder.select(last, int64(0), after)
        h = builder.sdiv(after, int64(pieces))
        c = builder.sub(after, builder.mul(h, int64(pieces)))
        stored = self.static.stored
        at = move(move(filters, h, self.taps * stored.first), c, self.channels * stored.row)
        return move(at, builder.select(last, int64(self.panels.width), int64(0)))

    def ahead(self, block: Block, r: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Where the sums of target row r start to ask for the following block's filters, and the bytes from one to the
        next: each of the first rows asks for one line of the cache of every row of filters."""
        lines = -(-self.panels.width * self.code.bytes // LINE)
        asks = self.builder.icmp_signed("<", r, int64(lines))
        line = self.builder.select(asks, self.builder.mul(r, int64(LINE)), int64(0))
        step = self.builder.select(asks, int64(self.static.stored.row * self.code.bytes), int64(0))
        return self.builder.gep(block.following, [line]), step

    def copy(self, block: Block) -> Block:
        """The block with its filters side by side in the scratch."""
        move, width, fold = self.code.move, self.panels.width, self.static.fold
        last = self.channels // fold * width
        steps = Filters(self.middle.window * self.last.window * last, self.last.window * last, last, width)
        levels = [
            (self.numbers.minus(block.high, block.low), block.steps.first, steps.first),
            (self.middle.window, block.steps.middle, steps.middle),
            (self.last.window, block.steps.last, steps.last),
            (self.numbers.whole(block.terms, fold), block.steps.row * fold, steps.row),
        ]

        def copy(levels: list[tuple[Count, int, int]], given: ir.Value, made: ir.Value) -> None:
            if not levels:
                whole = [self.code.load_folded(given, block.steps.row)] if fold > 1 else self.code.load(given)
                self.code.store(whole, made)
                return
            (count, step, new_step), *inner = levels

            def body(_: ir.Value, at: list[ir.Value]) -> list[ir.Value]:
                copy(inner, *at)
                return [move(at[0], step), move(at[1], new_step)]

            self.code.repeat(count, [given, made], body)

        assert self.scratch is not None
        copy(levels, block.filters, self.scratch)
        return replace(block, filters=self.scratch, steps=steps)

    # --- places ----------------------------------------------------------------------------------------------------

    def reach(self, axis: WindowAxis, place: ir.Value, low: Count, high: Count) -> Reach:
        """What a target sees along an axis through the taps low .. high - 1."""
        builder, stride = self.builder, int64(axis.stride)
        if axis.inside:
            count = self.numbers.minus(high, low)
            return Reach(builder.add(builder.mul(place, stride), value_of(low)), low, count)
        low, high = value_of(low), value_of(high)
        if not axis.back:
            base = builder.sub(builder.mul(place, stride), int64(axis.before))
            tap = self.numbers.greatest(low, builder.neg(base))
            end = self.numbers.least(high, builder.sub(int64(axis.sources), base))
            return Reach(builder.add(base, tap), tap, builder.sub(end, tap))
        moved = builder.add(place, int64(axis.before))
        low = self.numbers.greatest(low, builder.sub(moved, int64(axis.stride * (axis.sources - 1))))
        end = self.numbers.least(high, builder.add(moved, int64(1)))
        rest = builder.srem(self.numbers.greatest(builder.sub(moved, low), int64(0)), stride)
        tap = builder.add(low, rest)
        count = builder.sdiv(builder.add(builder.sub(end, tap), int64(axis.stride - 1)), stride)
        return Reach(builder.sdiv(builder.sub(moved, tap), stride), tap, count)

    def rows(self, block: Block) -> None:
        """All target rows, through the taps of one block."""
        builder, places = self.builder, self.last.targets
        count, stack = builder.sub(self.end, self.begin), self.static.stack(self.panels)
        done: ir.Value = int64(0)
        if stack > 1:
            stacks = builder.sdiv(count, int64(stack))
            run = TileRun(0, 1, stack * places, ((0, 0, tuple(range(stack * places))),))

            def rows_at_once(q: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                self.row(block, builder.mul(q, int64(stack)), [(Phase(0, 1, places, 1, places, ((0, 0),)), run)])
                return []

            self.code.repeat(stacks, [], rows_at_once)
            done = builder.mul(stacks, int64(stack))
        runs = [(phase, run) for phase in self.last.phases for run in phase.runs(self.panels.tallest)]

        def row(r: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            self.row(block, builder.add(done, r), runs)
            return []

        self.code.repeat(builder.sub(count, done), [], row)

    def row(self, block: Block, r: ir.Value, runs: list[tuple[Phase, TileRun]]) -> None:
        """Target row begin + r: its places along the middle axis, each with the tiles of the last one."""
        builder, static, move = self.builder, self.static, self.code.move
        place, source = builder.add(self.begin, r), block.source
        if not static.pointwise:  # rows after the last one are those of the next example
            example = builder.sdiv(place, int64(self.first.targets))
            place = builder.sub(place, builder.mul(example, int64(self.first.targets)))
            source = move(source, example, static.example)
        seen = self.reach(self.first, place, block.low, block.high)
        line = self.last.sources * static.sources
        made = move(self.column, r, static.target_row)
        source = move(source, seen.source, self.middle.sources * line)
        filters = move(block.filters, self.numbers.minus(seen.tap, block.low), block.steps.first)

        def middle(j: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            across = self.reach(self.middle, j, 0, self.middle.window)
            counts = (seen.count, across.count)
            a = move(source, across.source, line)
            b = move(filters, across.tap, block.steps.middle)
            c = move(made, j, self.last.targets * static.targets)
            for phase, run in runs:
                self.tiles(block, phase, run, counts, (a, b, c))
            return []

        needed = None
        if block.fresh is not None and not isinstance(seen.count, int):
            needed = builder.or_(block.fresh, builder.icmp_signed(">", seen.count, int64(0)))
        if self.scratch and static.far:
            self.asked = self.ahead(block, r)
        with nullcontext() if needed is None else builder.if_then(needed):
            self.code.repeat(self.middle.targets, [], middle)

    def tiles(
        self,
        block: Block,
        phase: Phase,
        run: TileRun,
        counts: tuple[Count, Count],
        at: tuple[ir.Value, ir.Value, ir.Value],
    ) -> None:
        """The tiles of one run, from the first of the row's places on."""
        move, (a, b, c) = self.code.move, at
        step = phase.source_step * self.static.sources
        a = move(a, run.first, step)
        c = move(c, phase.first + run.first * phase.step, self.static.targets)

        def tile(t: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            source = move(a, t, run.height * step)
            target = move(c, t, run.height * phase.step * self.static.targets)
            self.tile(block, run, step, counts, (source, b, target), phase.step * self.static.targets)
            return []

        self.code.repeat(run.count, [], tile)

    # --- one tile ----------------------------------------------------------------------------------------------------

    def tile(
        self,
        block: Block,
        run: TileRun,
        step: int,
        counts: tuple[Count, Count],
        at: tuple[ir.Value, ir.Value, ir.Value],
        target_step: int,
    ) -> None:
        """The targets of one tile, summed over one block in registers."""
        builder, code = self.builder, self.code
        (a, b, c), wide = map(code.widest.opaque, at), len(code.parts)
        for i, place in product(range(run.height), code.places if block.fresh is None else []):
            code.widest.prefetch(code.move(c, i * target_step + place), write=True)
        line = self.last.sources * self.static.sources
        first, middle = (((-1, axis.stride) if axis.back else (1, 1)) for axis in (self.first, self.middle))

        def over_first(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            def over_middle(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
                a, b, *sums = state
                sums = self.taps_of_last(block, run, step, a, b, sums)
                return [code.move(a, middle[0], line), code.move(b, middle[1], block.steps.middle), *sums]

            a, b, *sums = state
            sums = self.code.repeat(counts[1], state, over_middle)[2:]
            return [
                code.move(a, first[0], self.middle.sources * line),
                code.move(b, first[1], block.steps.first),
                *sums,
            ]

        zeros = [zero for _ in range(run.height) for zero in code.zeros()]
        sums = self.code.repeat(counts[0], [a, b, *zeros], over_first)[2:] if run.taps else zeros

        def write(others: Callable[[ir.Value], list[ir.Value]]) -> None:
            for i in range(run.height):
                place = code.move(c, i, target_step)
                code.put(sums[i * wide : (i + 1) * wide], place, others(place))

        def begin() -> None:
            write(lambda _: [self.bias] if self.static.start == "row" else [])

        if block.fresh is None:
            begin()
            return
        with builder.if_else(block.fresh) as (fresh, later):
            with fresh:
                begin()
            with later:
                write(lambda place: [place])

    def taps_of_last(
        self, block: Block, run: TileRun, step: int, a: ir.Value, b: ir.Value, sums: list[ir.Value]
    ) -> list[ir.Value]:
        """The sum over the taps of the last axis and the channels, from one place of the other axes."""
        move, static = self.code.move, self.static
        channels, steps = static.sources, block.steps
        ask, fetched = self.asked if self.asked else (None, None)

        def at_tap(tap: int, at: int) -> list[ir.Value]:
            places = [move(a, at, channels), move(b, tap, steps.last)]
            return [*places, move(ask, tap, static.stored.last)] if ask else places

        def sum_of(count: Count, rows: tuple[int, ...], places: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
            """The sum over channels: each of `rows` adds its element times a row of filters."""
            code, wide = self.code, len(self.code.parts)

            def term(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
                places, sums = state[: len(state) - len(zeros)], state[len(state) - len(zeros) :]
                a, b, *asks = places
                right = code.load(b)
                for i in rows:
                    left = code.spread(move(a, i, step))
                    sums[i * wide : (i + 1) * wide] = code.multiply_add(left, right, sums[i * wide : (i + 1) * wide])
                for ask in asks:
                    code.widest.prefetch(ask, near=2)
                asks = [self.builder.gep(ask, [fetched]) for ask in asks]
                return [move(a, code.fold), move(b, steps.row), *asks, *sums]

            zeros = sums
            places = [code.widest.opaque(place) for place in places]
            turns = self.numbers.whole(count, code.fold)
            return self.code.repeat(turns, [*places, *sums], term)[len(places) :]

        if not run.whole:
            for tap, at, rows in run.taps:
                sums = sum_of(block.terms, rows, at_tap(tap, at), sums)
            return sums
        rows = tuple(range(run.height))
        (tap, at, _), *others = run.taps
        if block.terms == channels and not self.last.back:  # the next tap's channels follow
            return sum_of(len(run.taps) * channels, rows, at_tap(tap, at), sums)
        on_a, on_b = (others[0][1] - at, others[0][0] - tap) if others else (0, 0)
        on = (on_a * channels, on_b * steps.last, on_b * static.stored.last)

        def over_last(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            places, sums = state[: len(start)], state[len(start) :]
            made = sum_of(block.terms, rows, places, sums)
            return [*(move(place, step) for place, step in zip(places, on, strict=False)), *made]

        start = at_tap(tap, at)
        return self.code.repeat(len(run.taps), [*start, *sums], over_last)[len(start) :]
