"""What a convolution knows before it runs: the taps of each place, rows cut into tiles, channels cut into panels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from dlc.compiler.codegen.host.machine import Dtype, Host, item_bytes

__all__ = ["Panels", "Phase", "TileRun", "WindowAxis", "choose_panels", "near_equal", "spatial_axes"]


@dataclass(frozen=True)
class WindowAxis:
    """One axis along which targets see sources through the taps of a window: tap k of target i sees source
    i * stride - before + k, or, the way `back`, (i + before - k) / stride where that divides."""

    sources: int
    targets: int
    window: int
    stride: int
    before: int
    back: bool

    @property
    def plain(self) -> bool:
        """Whether target i sees source i and nothing else."""
        return self.window == self.stride == 1 and self.before == 0 and self.sources == self.targets

    @property
    def inside(self) -> bool:
        """Whether all taps of all targets exist."""
        last = (self.targets - 1) * self.stride + self.window
        return self.plain or (not self.back and self.before == 0 and last <= self.sources)

    @property
    def phases(self) -> list[Phase]:
        """The targets in groups that see with the same taps: one group, or, the way back, one for each remainder."""
        if not self.back:
            taps = tuple((k, k - self.before) for k in range(self.window))
            return [Phase(0, 1, self.targets, self.stride, self.sources, taps)]
        found = []
        for first in range(min(self.stride, self.targets)):
            moved = first + self.before
            taps = tuple((k, (moved - k) // self.stride) for k in range(moved % self.stride, self.window, self.stride))
            count = -(-(self.targets - first) // self.stride)
            found.append(Phase(first, self.stride, count, 1, self.sources, taps))
        return found


@dataclass(frozen=True)
class Phase:
    """Targets first, first + step, …, `count` of them; the j-th sees source j * source_step + at through each
    (tap, at) of `taps`, where that is one of the `sources`."""

    first: int
    step: int
    count: int
    source_step: int
    sources: int
    taps: tuple[tuple[int, int], ...]

    def runs(self, tallest: int) -> list[TileRun]:
        """The targets cut into tiles of nearly equal height; neighbours of one shape are one run."""
        tiles = []
        for start, height in near_equal(self.count, tallest):
            taps = [(k, at, self.existing(start, height, at)) for k, at in self.taps]
            tiles.append((start, height, tuple(tap for tap in taps if tap[2])))
        runs = []
        for (height, shape), members in groupby(tiles, lambda tile: tile[1:]):
            run = list(members)
            runs.append(TileRun(run[0][0], len(run), height, shape))
        return runs

    def existing(self, start: int, height: int, at: int) -> tuple[int, ...]:
        """Which of a tile's targets have a source under a tap."""
        return tuple(i for i in range(height) if 0 <= (start + i) * self.source_step + at < self.sources)


@dataclass(frozen=True)
class TileRun:
    """`count` tiles, one after the other, of `height` targets, from target `first` of the phase on. `taps` holds
    (tap, at, the targets of the tile that have a source there)."""

    first: int
    count: int
    height: int
    taps: tuple[tuple[int, int, tuple[int, ...]], ...]

    @property
    def whole(self) -> bool:
        """Whether all taps exist for all targets."""
        return all(len(rows) == self.height for _, _, rows in self.taps)


def near_equal(count: int, most: int) -> list[tuple[int, int]]:
    """`count` things cut into pieces of at most `most`, sizes differing by at most 1, as (start, size)."""
    pieces = -(-count // most)
    small, longer = divmod(count, pieces) if pieces else (0, 0)
    sizes = [small + 1] * longer + [small] * (pieces - longer)
    return [(sum(sizes[:i]), size) for i, size in enumerate(sizes)]


def spatial_axes(
    sources: Sequence[int],
    targets: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    before: Sequence[int],
    back: bool,
) -> tuple[WindowAxis, WindowAxis, WindowAxis]:
    """The axes of a convolution, as three: rows, middle, last. The middle one is plain where there are two, and where
    the last two can be passed over as one."""
    axes = [WindowAxis(*sizes, back) for sizes in zip(sources, targets, window, stride, before, strict=True)]
    if len(axes) == 2:
        axes.insert(1, WindowAxis(1, 1, 1, 1, 0, back))
    first, middle, last = axes
    if middle.plain and last.plain:
        size = middle.sources * last.sources
        middle, last = WindowAxis(1, 1, 1, 1, 0, back), WindowAxis(size, size, 1, 1, 0, back)
    return first, middle, last


ENOUGH = 18
"""Sums in flight that keep every core's multiply-add units busy."""

# --- panels ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panels:
    """`count` panels of neighbouring channels, from channel `first` on: (lanes, lanes that are kept) of each vector,
    and the most targets that a tile of them may have."""

    first: int
    count: int
    vectors: tuple[tuple[int, int], ...]
    tallest: int

    @property
    def width(self) -> int:
        """The lanes of all vectors."""
        return sum(lanes for lanes, _ in self.vectors)


def tallest_tile(cpu: Host, vectors: int) -> int:
    """The rows of the largest tile of so many vectors that stays in registers, with a row of B and an element of A.

    More than about 16 sums keep the units no busier, and fewer rows read from fewer places of memory at a time.
    """
    return max(1, min(ENOUGH, cpu.registers - 1 - vectors) // vectors)


def vectors_of(cpu: Host, dtype: Dtype, columns: int) -> tuple[tuple[int, int], ...]:
    """Columns as vectors: whole ones, and for the rest the narrowest that holds it, of 16 bytes at least."""
    lanes = cpu.lanes(dtype)
    whole, rest = divmod(columns, lanes)
    narrow = max(16 // item_bytes(dtype), 1 << max(0, rest - 1).bit_length())
    return ((lanes, lanes),) * whole + ((((min(narrow, lanes)), rest),) if rest else ())


@cache
def choose_panels(cpu: Host, dtype: Dtype, columns: int, lengths: tuple[int, ...], stacked: bool) -> tuple[Panels, ...]:
    """Cut `columns` channels into panels for rows of `lengths` targets so that the tiles leave the least idle. Tiles
    may take in several rows where they are `stacked`.

    A step of a tile of h x v vectors takes as long as its h * v multiply-adds, or its h + v loads, or 8 of them, which
    is what two units of latency 4 have in flight; and somewhat longer the more it loads. Panels of two vectors do best.
    """
    vectors = vectors_of(cpu, dtype, columns)

    def cost(wide: int) -> tuple[float, int]:
        best = (math.inf, 1)
        for tallest in range(1, tallest_tile(cpu, wide) + 1):
            rows = max(1, tallest // lengths[0]) if stacked else 1
            tiles = [height for count in lengths for _, height in near_equal(rows * count, tallest)]
            steps = sum(max(height * wide, height + wide, 8) + height / 8 + wide / 4 for height in tiles) / rows
            best = min(best, (steps * (1 + abs(wide - 2) / 50), tallest))
        return best

    def total(wide: int) -> float:
        many, rest = divmod(len(vectors), wide)
        return many * cost(wide)[0] + (1.05 * cost(rest)[0] if rest else 0)

    wide = min(
        range(1, min(len(vectors), 4 if max(lengths) > 4 or stacked else 8, cpu.registers // 2 - 1) + 1), key=total
    )
    whole = columns // (wide * cpu.lanes(dtype))
    panels = [Panels(0, whole, vectors[:wide], cost(wide)[1])] if whole else []
    if rest := vectors[whole * wide :]:
        panels.append(Panels(whole * wide * cpu.lanes(dtype), 1, rest, cost(len(rest))[1]))
    return tuple(panels)
