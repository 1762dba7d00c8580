"""Folds over sliding windows, and their gradients, as LLVM vector code. `plain_windows.py` says the same in loops.

fold        a column of the image is folded over the rows of its window first, then columns side by side, so that
            windows which overlap along the last axis share that work. The gradient of a sum is such a fold too:
            each place of the image adds up the windows that it lies in.
extremes    the gradient of a maximum goes to the first of the largest places. Each window is searched with a running
            extreme and the number of the tap that it came from; then every place it saw takes its part: written
            where windows cover the image without overlapping, added to otherwise.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llvmlite import ir
from numba.core import cgutils

from dlc.compiler.codegen.host.channelwise import ChannelCode, ChannelwiseKernel, Group, kernel_intrinsic
from dlc.compiler.codegen.host.machine import Dtype, Host, host
from dlc.compiler.codegen.host.strips import Seen, SlidingAxis, Strip, cut_strips, largest, sliding_axes, smallest
from dlc.compiler.codegen.host.tile import I32, I64, int64

__all__ = ["Fold", "pool_gradient_rows", "pool_rows"]

Fold = Literal["max", "min", "sum"]

BYTES = ir.IntType(8).as_pointer()

NEUTRAL: dict[Fold, float] = {"max": -math.inf, "min": math.inf, "sum": 0.0}


def pool_rows(
    dtype: Dtype, fold: Fold, *, image: Sequence[int], result: Sequence[int], window: Sequence[int],
    stride: Sequence[int], before: Sequence[int], cpu: Host | None = None,
) -> Any:  # fmt: skip
    """A function for jitted code that folds windows: pool(x, y, begin, end), byte addresses.

    It writes rows begin .. end - 1 of the result of one example, a (*spatial, C) of shape `result`, from the example
    `x` of shape `image`; y is where row `begin` goes. Windows begin `before` places before the image and move by
    `stride`; what lies outside of the image does not count. A window with a NaN is NaN, as in NumPy.
    Up to 64 bytes behind x are read.
    """
    cpu = cpu or host()
    axes = sliding_axes(image, result, window, stride, before, widest=most_columns(cpu))
    return kernel_intrinsic(FoldWindows(dtype, axes, image[-1], cpu, fold))


def pool_gradient_rows(
    dtype: Dtype, fold: Fold, *, image: Sequence[int], result: Sequence[int], window: Sequence[int],
    stride: Sequence[int], before: Sequence[int], cpu: Host | None = None,
) -> Any:  # fmt: skip
    """A function for jitted code: the cotangent of x from that of `pool_rows`, as rows begin .. end - 1 of the image.

    Of a maximum or minimum: gradient(x, dy, dx, begin, end); the first of the equal extremes of a window takes its
    gradient. Of a sum: gradient(dy, dx, begin, end). x and dy are whole examples, dx is where row `begin` goes. A place
    that no window sees gets 0. Up to 64 bytes behind x, dy and dx are read.
    """
    cpu = cpu or host()
    sizes = (image, result, window, stride, before)
    if fold == "sum":
        axes = sliding_axes(*sizes, back=True, widest=most_columns(cpu))
        return kernel_intrinsic(FoldWindows(dtype, axes, image[-1], cpu, fold))
    return kernel_intrinsic(
        ExtremeGradient(dtype, sliding_axes(*sizes, widest=most_columns(cpu)), image[-1], cpu, fold)
    )


def most_columns(cpu: Host) -> int:
    """How many columns a tile may keep in registers."""
    return cpu.registers // 2


def fitting_strips(axis: SlidingAxis, cpu: Host) -> list[Strip]:
    """Tiles whose columns stay in registers."""
    limit = most_columns(cpu)
    for pixels in range(limit // 2, 1, -1):
        strips = cut_strips(axis, pixels)
        if max(len(strip.columns) for strip in strips) <= limit:
            return strips
    return cut_strips(axis, 1)


@dataclass(frozen=True)
class FoldWindows(ChannelwiseKernel):
    """pool(source, target, begin, end)."""

    fold: Fold

    @property
    def arity(self) -> int:
        return 4

    def write(self, code: ChannelCode, args: Sequence[ir.Value]) -> None:
        builder, strips = code.builder, fitting_strips(self.axes[-1], self.cpu)

        def rows(group: Group, begin: ir.Value, end: ir.Value) -> None:
            def line(seen: list[Seen], source: ir.Value, target: ir.Value) -> None:
                def tile(strip: Strip, source: ir.Value, target: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                    def vector(offset: ir.Value, _: ir.Value | None) -> None:
                        self.tile(code, strip, seen, code.move(source, offset), code.move(target, offset))

                    code.each_vector(group, vector)
                    return []

                self.each_tile(code, strips, source, target, [], tile)

            into = code.move(args[1], builder.sub(begin, args[2]), self.target_steps[0])
            self.each_line(code, begin, end, args[0], into, line)

        self.each_pass(code, self.group, (args[2], args[3]), args[0], rows)

    def tile(self, code: ChannelCode, strip: Strip, seen: list[Seen], source: ir.Value, target: ir.Value) -> None:
        neutral = ir.Constant(code.vector, [NEUTRAL[self.fold]] * code.lanes)

        def row(at: list[ir.Value], totals: list[ir.Value]) -> list[ir.Value]:
            place = code.settled(at[0])
            values = [code.load(code.move(place, column * self.channels)) for column in strip.columns]
            return [self.folded(code, total, value, neutral) for total, value in zip(totals, values, strict=True)]

        steps = [[step * code.bytes] for step in self.source_steps[: len(seen)]]
        totals = self.fold_seen(code, seen, [source], steps, [neutral] * len(strip.columns), row)
        of_column = dict(zip(strip.columns, totals, strict=True))
        for pixel in range(strip.pixels):
            total: ir.Value = neutral
            for column in strip.of_pixel(pixel):
                total = self.folded(code, total, of_column[column], neutral)
            code.put(total, code.move(target, pixel * self.channels))

    def folded(self, code: ChannelCode, a: ir.Value, b: ir.Value, neutral: ir.Value) -> ir.Value:
        if a is neutral:
            return b
        if self.fold == "sum":
            return code.builder.fadd(a, b)
        # IEEE 754-2019's maximum and minimum: a NaN is contagious. Zeros of both signs count as equal.
        name = f"llvm.{self.fold}imum.v{code.lanes}f{8 * code.bytes}"
        kind = ir.FunctionType(code.vector, [code.vector] * 2)
        function = cgutils.get_or_insert_function(code.builder.module, kind, name)
        return code.builder.call(function, [a, b], fastmath=("nsz",))


@dataclass(frozen=True)
class ExtremeGradient(ChannelwiseKernel):
    """gradient(x, dy, dx, begin, end), for "max" or "min"."""

    fold: Fold

    @property
    def arity(self) -> int:
        return 5

    @property
    def images(self) -> int:
        return 2

    def write(self, code: ChannelCode, args: Sequence[ir.Value]) -> None:
        x, dy, dx, begin, end = args
        builder, axis, row = code.builder, self.axes[0], self.source_steps[0]
        origin = code.move(dx, builder.neg(begin), row)  # where row 0 would go
        # The windows that see a row: from the first that ends behind `begin` to the last that starts before `end`.
        behind = builder.sub(builder.add(begin, int64(axis.before)), int64(axis.window - axis.stride))
        first = builder.sdiv(largest(builder, behind, int64(0)), int64(axis.stride))
        starts = builder.sdiv(builder.add(end, int64(axis.before + axis.stride - 1)), int64(axis.stride))
        last = smallest(builder, starts, int64(axis.result))

        def seen_before(place: ir.Value) -> ir.Value:
            """The end of the rows that the windows before a place, and behind the first, have seen."""
            reached = builder.add(
                builder.mul(place, int64(axis.stride)), int64(axis.window - axis.stride - axis.before)
            )
            clipped = smallest(builder, largest(builder, reached, begin), end)
            return builder.select(builder.icmp_signed(">", place, first), clipped, begin)

        def pass_over(group: Group, low: ir.Value, high: ir.Value) -> None:
            first_pass = builder.icmp_signed("==", group.first, int64(0))

            def windows(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                place = builder.add(low, index)
                following = builder.add(place, int64(1))
                start = builder.select(first_pass, seen_before(place), seen_before(following))
                self.zero_rows(code, origin, start, seen_before(following))
                self.row_of_windows(code, group, place, (x, dy, origin), (begin, end))
                return []

            code.loop(builder.sub(high, low), [], windows)

        self.each_pass(code, self.group, (first, last), x, pass_over, dy)
        self.zero_rows(code, origin, seen_before(largest(builder, first, last)), end)

    def zero_rows(self, code: ChannelCode, origin: ir.Value, first: ir.Value, last: ir.Value) -> None:
        """Zero rows of the image's gradient, unless all of their places are written anyway."""
        if self.written_once and all(axis.covered for axis in self.axes):
            return
        count = code.move(int64(0), code.builder.sub(last, first), self.source_steps[0])
        place = code.builder.inttoptr(code.move(origin, first, self.source_steps[0]), BYTES)
        cgutils.memset(code.builder, place, count, 0)

    @property
    def written_once(self) -> bool:
        return all(axis.disjoint for axis in self.axes)

    def row_of_windows(
        self, code: ChannelCode, group: Group, place: ir.Value, addresses: tuple[ir.Value, ir.Value, ir.Value],
        rows: tuple[ir.Value, ir.Value],
    ) -> None:  # fmt: skip
        """The windows at one place of the first axis: their parts of the rows. The addresses are of x, dy, and where
        row 0 of dx would go."""
        builder, strips = code.builder, fitting_strips(self.axes[-1], self.cpu)
        (x, dy, origin), (begin, end) = addresses, rows

        def line(seen: list[Seen], source: ir.Value, target: ir.Value) -> None:
            image = seen[0]
            skipped = largest(builder, builder.sub(begin, image.source), int64(0))
            count = int64(image.places) if isinstance(image.places, int) else image.places
            left = builder.sub(smallest(builder, count, builder.sub(end, image.source)), skipped)
            written = [Seen(builder.add(image.source, skipped), builder.add(image.tap, skipped), left), *seen[1:]]

            def tile(strip: Strip, source: ir.Value, target: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                def vector(offset: ir.Value, fresh: ir.Value | None) -> None:
                    at, given = code.move(source, offset), code.move(target, offset)
                    winners = self.winners(code, strip, seen, at)
                    into = code.move(builder.add(origin, builder.sub(at, x)), skipped, self.source_steps[0])
                    self.share_out(code, strip, written, winners, given, into, None if self.written_once else fresh)

                code.each_vector(group, vector)
                return []

            self.each_tile(code, strips, source, target, [], tile)

        one_further = builder.add(place, int64(1))
        self.each_line(code, place, one_further, x, code.move(dy, place, self.target_steps[0]), line)

    def places(self, code: ChannelCode, seen: list[Seen]) -> tuple[ir.Value, list[list[int]]]:
        """The number of the tap that a window begins with, and how far addresses and numbers move along each axis.

        Taps are numbered through the window in its own order."""
        builder, number, steps = code.builder, int64(0), []
        for depth, here in enumerate(seen):
            step = math.prod(axis.window for axis in self.axes[depth + 1 :])
            number = builder.add(number, builder.mul(here.tap, int64(step)))
            steps.append([self.source_steps[depth] * code.bytes, step])
        return number, steps

    def numbers(self, code: ChannelCode, strip: Strip, number: ir.Value) -> dict[int, ir.Value]:
        """The numbers of the taps of one row, in every lane."""
        kind = ir.IntType(8 * code.bytes)
        vector, lanes = ir.VectorType(kind, code.lanes), ir.VectorType(I32, code.lanes)
        nothing = ir.Constant(vector, ir.Undefined)
        first = number if kind == I64 else code.builder.trunc(number, kind)
        one = code.builder.insert_element(nothing, first, I32(0))
        base = code.builder.shuffle_vector(one, nothing, ir.Constant(lanes, None))
        taps = sorted({tap for _, _, tap in strip.cells})
        return {tap: code.builder.add(base, ir.Constant(vector, [kind(tap)] * code.lanes)) for tap in taps}

    def winners(self, code: ChannelCode, strip: Strip, seen: list[Seen], at: ir.Value) -> list[ir.Value]:
        """The number of the tap with the first extreme, for each pixel of a tile."""
        builder, pixels = code.builder, range(strip.pixels)
        better = ">" if self.fold == "max" else "<"
        neutral = ir.Constant(code.vector, [NEUTRAL[self.fold]] * code.lanes)
        number, steps = self.places(code, seen)
        before = self.numbers(code, strip, number)

        def row(at: list[ir.Value], state: list[ir.Value]) -> list[ir.Value]:
            best, winner, place = state[: strip.pixels], state[strip.pixels :], code.settled(at[0])
            numbers = self.numbers(code, strip, at[1])
            for column in strip.columns:
                value = code.load(code.move(place, column * self.channels))
                for pixel, tap in strip.of_column(column):
                    if best[pixel] is neutral:
                        best[pixel] = value
                        continue
                    found = builder.fcmp_ordered(better, value, best[pixel])
                    best[pixel] = builder.select(found, value, best[pixel])
                    winner[pixel] = builder.select(found, numbers[tap], winner[pixel])
            return [*best, *winner]

        first = [before[min(tap for i, _, tap in strip.cells if i == pixel)] for pixel in pixels]
        return self.fold_seen(code, seen, [at, number], steps, [neutral for _ in pixels] + first, row)[strip.pixels :]

    def share_out(
        self, code: ChannelCode, strip: Strip, seen: list[Seen], winners: list[ir.Value], given: ir.Value,
        into: ir.Value, fresh: ir.Value | None,
    ) -> None:  # fmt: skip
        """Each place gets the gradients of the windows that it won; lanes that are not fresh have had them."""
        builder = code.builder
        gradients = [code.load(code.move(given, pixel * self.channels)) for pixel in range(strip.pixels)]
        if fresh is not None:
            gradients = [builder.select(fresh, gradient, code.zero()) for gradient in gradients]
        number, steps = self.places(code, seen)

        def row(at: list[ir.Value], _: list[ir.Value]) -> list[ir.Value]:
            numbers, first = self.numbers(code, strip, at[1]), code.settled(at[0])
            for column in strip.columns:
                place = code.move(first, column * self.channels)
                total = None if self.written_once else code.load(place)
                for pixel, tap in strip.of_column(column):
                    won = builder.icmp_signed("==", winners[pixel], numbers[tap])
                    if total is None:
                        total = builder.select(won, gradients[pixel], code.zero())
                    else:
                        total = builder.select(won, builder.fadd(total, gradients[pixel]), total)
                code.put(total, place)
            return []

        self.fold_seen(code, seen, [into, number], steps, [], row)
