"""The vector code of a correlation, for the panels of one width: blocks of the sum, rows, tiles."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import product

from llvmlite import ir

from dlc.compiler.codegen.host.channelwise import CACHE_LINE
from dlc.compiler.codegen.host.correlation import Correlation, Filters
from dlc.compiler.codegen.host.rows import Count, RowCode
from dlc.compiler.codegen.host.tile import int64
from dlc.compiler.codegen.host.windows import Panels, Phase, TileRun, WindowAxis

__all__ = ["CorrelationPanel", "Operands"]

WRITTEN_OUT = 64
"""Multiply-adds of a tile that are written one after the other, without a loop."""


@dataclass(frozen=True)
class Operands:
    """What a correlation is called with, as pointers and numbers: `target` is where row `begin` goes, `row` holds the
    numbers that sums start from."""

    source: ir.Value
    filters: ir.Value
    target: ir.Value
    begin: Count
    end: Count
    row: ir.Value


@dataclass(frozen=True)
class Block:
    """One block of the sum: taps low .. high - 1 of the first axis and `terms` of each tap; its filters, from tap `low`
    on, and how they lie; whether it is the one that the targets start with; and the filters of the block after it."""

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

    source: Count
    tap: Count
    count: Count


@dataclass(frozen=True)
class Ask:
    """Where a tile's sums ask for filters that are needed later, and the elements from term to term."""

    filters: ir.Value
    step: ir.Value


@dataclass(frozen=True)
class Spot:
    """Where a tile is: its first source and target, the filters of the first tap, and how many taps of the first and
    the middle axis it sees."""

    source: ir.Value
    filters: ir.Value
    target: ir.Value
    counts: tuple[Count, Count]
    ask: Ask | None


class CorrelationPanel:
    """The code of all panels of one width; `scratch` is where blocks of filters are copied to, if they are."""

    def __init__(
        self, static: Correlation, panels: Panels, code: RowCode, operands: Operands, scratch: ir.Value | None
    ) -> None:
        self.static, self.panels, self.code, self.operands, self.scratch = static, panels, code, operands, scratch
        self.builder, self.numbers = code.builder, code.numbers
        self.first, self.middle, self.last = static.axes
        self.taps, self.terms = static.blocks(panels)

    def write(self) -> None:
        """For each group of channels, each panel, each block of its sum: all rows."""
        static, numbers, move = self.static, self.numbers, self.code.move

        def group(g: ir.Value) -> None:
            source = move(self.operands.source, g, static.depth)
            filters = move(move(self.operands.filters, g, static.next_group), self.panels.first)

            def panel(p: ir.Value) -> None:
                column = numbers.plus(numbers.times(g, static.each), numbers.times(p, self.panels.width))
                column = numbers.plus(column, self.panels.first)
                self.target, self.start = move(self.operands.target, column), move(self.operands.row, column)
                self.blocks(source, move(filters, p, self.panels.width))

            self.code.each(self.panels.count, panel)

        self.code.each(static.groups, group)

    # --- blocks ------------------------------------------------------------------------------------------------------

    def blocks(self, source: ir.Value, filters: ir.Value) -> None:
        """The blocks of a panel's sum, one after the other."""
        numbers, stored, move = self.numbers, self.static.stored, self.code.move
        pieces = -(-self.static.depth // self.terms)
        count = -(-self.first.window // self.taps) * pieces

        def part(index: Count, size: int, whole: int) -> tuple[Count, Count]:
            """Where a part of `size` starts and where it ends."""
            if size == whole:
                return 0, whole
            low = numbers.times(index, size)
            return low, numbers.least(numbers.plus(low, size), whole)

        def block(index: ir.Value) -> None:
            low, high = part(numbers.whole(index, pieces), self.taps, self.first.window)
            begin, end = part(numbers.rest(index, pieces), self.terms, self.static.depth)
            matrix = move(move(filters, low, stored.first), begin, stored.row)
            fresh = None if count == 1 else self.builder.icmp_signed("==", index, int64(0))
            following = self.following(filters, index, count, pieces)
            terms = numbers.minus(end, begin)
            given = Block(low, high, terms, move(source, begin), matrix, stored, fresh, following)
            self.rows(self.copy(given, self.scratch) if self.scratch else given)

        self.code.each(count, block)

    def following(self, filters: ir.Value, index: ir.Value, count: int, pieces: int) -> ir.Value:
        """Where the filters of the block after this one begin; after the last one comes the next panel's first."""
        numbers, stored, move = self.numbers, self.static.stored, self.code.move
        after = numbers.value(numbers.plus(index, 1))
        last = self.builder.icmp_signed("==", after, int64(count))
        after = self.builder.select(last, int64(0), after)
        at = move(filters, numbers.whole(after, pieces), self.taps * stored.first)
        at = move(at, numbers.rest(after, pieces), self.terms * stored.row)
        return move(at, self.builder.select(last, int64(self.panels.width), int64(0)))

    def copy(self, block: Block, scratch: ir.Value) -> Block:
        """The block with its filters side by side; with a fold, several terms in one row."""
        code, numbers = self.code, self.numbers
        steps, near = block.steps, self.static.near(self.panels)
        outer = [
            (numbers.minus(block.high, block.low), (steps.first, near.first)),
            (self.middle.window, (steps.middle, near.middle)),
            (self.last.window, (steps.last, near.last)),
        ]

        def tap(places: list[ir.Value], _: list[ir.Value]) -> list[ir.Value]:
            def terms(places: list[ir.Value], count: int) -> list[ir.Value]:
                code.store(code.load_terms(places[0], steps.row, count), places[1])
                return []

            whole = numbers.whole(block.terms, code.fold)
            level = (whole, (steps.row * code.fold, near.row))
            code.nest([level], places, [], lambda places, _: terms(places, code.fold))
            if rest := code.rest(block.terms):
                terms([code.move(at, whole, step) for at, step in zip(places, level[1], strict=True)], rest)
            return []

        code.nest(outer, [block.filters, scratch], [], tap)
        return replace(block, filters=scratch, steps=near)

    def ask(self, block: Block, r: Count) -> Ask | None:
        """What target row r asks for: each of the first rows for one line of the cache of every row of the following
        block's filters, where these come from far away."""
        if not (self.scratch and self.static.far):
            return None
        lines = -(-self.panels.width * self.code.bytes // CACHE_LINE)
        asks = self.builder.icmp_signed("<", self.numbers.value(r), int64(lines))
        line = self.builder.select(asks, self.numbers.value(r), int64(0))
        step = self.builder.select(asks, int64(self.static.stored.row), int64(0))
        return Ask(self.code.move(block.following, line, CACHE_LINE // self.code.bytes), step)

    # --- places ------------------------------------------------------------------------------------------------------

    def reach(self, axis: WindowAxis, place: Count, low: Count, high: Count) -> Reach:
        """What a target sees along an axis through the taps low .. high - 1."""
        numbers = self.numbers
        if axis.inside:
            source = numbers.plus(numbers.times(place, axis.stride), low)
            return Reach(source, low, numbers.minus(high, low))
        if not axis.back:
            base = numbers.minus(numbers.times(place, axis.stride), axis.before)
            tap = numbers.greatest(low, numbers.minus(0, base))
            end = numbers.least(high, numbers.minus(axis.sources, base))
            return Reach(numbers.plus(base, tap), tap, numbers.minus(end, tap))
        moved = numbers.plus(place, axis.before)
        low = numbers.greatest(low, numbers.minus(moved, axis.stride * (axis.sources - 1)))
        end = numbers.least(high, numbers.plus(moved, 1))
        tap = numbers.plus(low, numbers.rest(numbers.greatest(numbers.minus(moved, low), 0), axis.stride))
        source = numbers.whole(numbers.minus(moved, tap), axis.stride)
        return Reach(source, tap, numbers.shares(numbers.minus(end, tap), axis.stride))

    def rows(self, block: Block) -> None:
        """All target rows, through the taps of one block."""
        numbers, places, stack = self.numbers, self.last.targets, self.static.stack(self.panels)
        count = numbers.minus(self.operands.end, self.operands.begin)
        done: Count = 0
        if stack > 1:
            stacks = numbers.whole(count, stack)
            run = TileRun(0, 1, stack * places, ((0, 0, tuple(range(stack * places))),))
            together = [(Phase(0, 1, places, 1, places, ((0, 0),)), run)]
            self.code.each(stacks, lambda q: self.row(block, numbers.times(q, stack), together))
            done = numbers.times(stacks, stack)
        runs = [(phase, run) for phase in self.last.phases for run in phase.runs(self.panels.tallest)]
        self.code.each(numbers.minus(count, done), lambda r: self.row(block, numbers.plus(done, r), runs))

    def row(self, block: Block, r: Count, runs: Sequence[tuple[Phase, TileRun]]) -> None:
        """Target row begin + r: its places along the middle axis, each with the tiles of the last one."""
        builder, numbers, static, move = self.builder, self.numbers, self.static, self.code.move
        place, source = numbers.plus(self.operands.begin, r), block.source
        if not static.pointwise:  # rows after the last one are those of the next example
            source = move(source, numbers.whole(place, self.first.targets), static.example)
            place = numbers.rest(place, self.first.targets)
        seen = self.reach(self.first, place, block.low, block.high)
        line = self.last.sources * static.sources
        target = move(self.target, r, static.target_row)
        source = move(source, seen.source, self.middle.sources * line)
        filters = move(block.filters, numbers.minus(seen.tap, block.low), block.steps.first)
        ask = self.ask(block, r)

        def middle(j: ir.Value) -> None:
            across = self.reach(self.middle, j, 0, self.middle.window)
            a, b = move(source, across.source, line), move(filters, across.tap, block.steps.middle)
            c = move(target, j, self.last.targets * static.targets)
            for phase, run in runs:
                self.tiles(block, phase, run, Spot(a, b, c, (seen.count, across.count), ask))

        needed = None
        if block.fresh is not None and not isinstance(seen.count, int):
            needed = builder.or_(block.fresh, builder.icmp_signed(">", seen.count, int64(0)))
        with nullcontext() if needed is None else builder.if_then(needed):
            self.code.each(self.middle.targets, middle)

    def tiles(self, block: Block, phase: Phase, run: TileRun, spot: Spot) -> None:
        """The tiles of one run, in the line of places that begins at the spot."""
        move = self.code.move
        step, target_step = phase.source_step * self.static.sources, phase.step * self.static.targets
        source = move(spot.source, run.first, step)
        target = move(spot.target, phase.first * self.static.targets + run.first * target_step)

        def tile(t: ir.Value) -> None:
            at = (move(source, t, run.height * step), spot.filters, move(target, t, run.height * target_step))
            a, b, c = map(self.code.widest.opaque, at)
            self.tile(block, run, (step, target_step), replace(spot, source=a, filters=b, target=c))

        self.code.each(run.count, tile)

    # --- one tile ----------------------------------------------------------------------------------------------------

    def tile(self, block: Block, run: TileRun, steps: tuple[int, int], spot: Spot) -> None:
        """The targets of one tile, summed over one block in registers; `steps` lead from target to target."""
        code, height = self.code, run.height
        places = [code.move(spot.target, i, steps[1]) for i in range(height)]
        if block.fresh is None:  # short sums: the targets should be there when they are written
            for place, at in product(places, code.places):
                code.widest.prefetch(code.move(place, at), write=True)
        line = self.last.sources * self.static.sources
        levels = []
        outer = ((self.first, self.middle.sources * line, block.steps.first), (self.middle, line, block.steps.middle))
        for count, (axis, a, b) in zip(spot.counts, outer, strict=True):
            levels.append((count, (-a, axis.stride * b) if axis.back else (a, b)))
        sums = [zero for _ in range(height) for zero in code.zeros()]
        if run.taps:

            def taps(at: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
                return self.taps_of_last(block, run, steps[0], replace(spot, source=at[0], filters=at[1]), sums)

            sums = code.nest(levels, [spot.source, spot.filters], sums, taps)
        rows = list(zip(places, zip(*[iter(sums)] * len(code.parts), strict=True), strict=True))

        def start() -> None:
            for place, values in rows:
                code.put(values, place, [self.start] if self.static.start == "row" else [])

        if block.fresh is None:
            start()
            return
        with self.builder.if_else(block.fresh) as (fresh, later):
            with fresh:
                start()
            with later:
                for place, values in rows:
                    code.put(values, place, [place])

    def taps_of_last(self, block: Block, run: TileRun, step: int, spot: Spot, sums: list[ir.Value]) -> list[ir.Value]:
        """The sums and what the taps of the last axis add, from one place of the other axes."""
        code, static = self.code, self.static
        steps = (static.sources, block.steps.last, static.stored.last)

        def at_tap(tap: int, at: int) -> list[ir.Value]:
            places = [spot.source, spot.filters, *([spot.ask.filters] if spot.ask else [])]
            moves = zip(places, (at, tap, tap), steps, strict=False)
            return [code.move(place, count, size) for place, count, size in moves]

        def terms(count: Count, rows: Sequence[int], at: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
            return self.sum_of_terms(count, rows, step, block.steps.row, (at, spot.ask), sums)

        if not run.whole:
            for tap, at, rows in run.taps:
                sums = terms(block.terms, rows, at_tap(tap, at), sums)
            return sums
        rows = tuple(range(run.height))
        (tap, at, _), *others = run.taps
        follow = not self.last.back and block.terms == static.sources and static.sources % code.fold == 0
        if follow or not others:  # each tap's terms follow those of the tap before
            total = block.terms if not others else len(run.taps) * static.sources
            return terms(total, rows, at_tap(tap, at), sums)
        moves = tuple(
            change * size
            for change, size in zip((others[0][1] - at, others[0][0] - tap, others[0][0] - tap), steps, strict=True)
        )
        return code.nest(
            [(len(run.taps), moves)], at_tap(tap, at), sums, lambda at, sums: terms(block.terms, rows, at, sums)
        )

    def sum_of_terms(
        self,
        count: Count,
        rows: Sequence[int],
        step: int,
        filter_step: int,
        at: tuple[list[ir.Value], Ask | None],
        sums: list[ir.Value],
    ) -> list[ir.Value]:
        """The sums and what `count` terms add: each of the rows its element times a row of filters."""
        code, wide, (places, ask) = self.code, len(self.code.parts), at
        steps = (code.fold, filter_step, *([ask.step] if ask else []))

        def term(at: list[ir.Value], sums: list[ir.Value], terms: int) -> list[ir.Value]:
            right, made = code.load(at[1]), list(sums)
            for i in rows:
                left = code.spread(code.move(at[0], i, step), terms)
                made[i * wide : (i + 1) * wide] = code.multiply_add(left, right, sums[i * wide : (i + 1) * wide])
            for place in at[2:]:
                code.widest.prefetch(place, near=2)
            return made

        def moved(turns: Count) -> list[ir.Value]:
            return [code.move(place, turns, step) for place, step in zip(places, steps, strict=True)]

        places = [code.widest.opaque(place) for place in places]
        turns = self.numbers.whole(count, code.fold)
        if isinstance(turns, int) and turns * len(rows) * wide <= WRITTEN_OUT:
            for turn in range(turns):
                sums = term(moved(turn), sums, code.fold)
        else:
            sums = code.nest([(turns, steps)], places, sums, lambda at, sums: term(at, sums, code.fold))
        if rest := code.rest(count):
            sums = term(moved(turns), sums, rest)
        return sums
