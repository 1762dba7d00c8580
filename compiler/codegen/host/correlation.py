"""The correlation: a convolution, and the gradient of its input, over dense images with channels last.

Each target place sums, over the taps of a window, a source place times one matrix of the filter. Along an axis, tap k
of target place i reads the source place

    i * stride - before + k              y from x: the targets are the places of the result
    (i + before - k) / stride            dx from dy, where that divides: the targets are the places of the image

A tile keeps some neighbouring targets of one row, by some vectors of channels, in registers while its sum runs. There
is no border of zeros in memory: along the outer axes the taps that exist are a range known when a row is reached, and
along the last axis a tile at an edge leaves out the multiply-adds of the targets whose source does not exist. Only an
image of few channels is copied with a border, for then a whole row of the window is one sum.

The filter's part for one panel of channels is cut into blocks of about `Host.depth_block` terms, and all rows pass over
one block before the next. Where its rows do not lie one after the other, a block is copied first, into a dense and
aligned piece of memory that stays next to the core.

Here is what is decided before any code is written; `correlation_panel.py` writes it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Literal

from dlc.compiler.codegen.host.border import FEW_CHANNELS, MOST_BORDERED, border_sizes
from dlc.compiler.codegen.host.machine import Dtype, Host, item_bytes
from dlc.compiler.codegen.host.windows import Panels, WindowAxis, choose_panels

__all__ = ["Correlation", "Filters", "RowStart"]

RowStart = Literal["zero", "row"]

NEAR = 24 << 10
"""Bytes of a block of filters that stay next to the core, with the places that it meets."""
FAR = 512 << 10
"""Bytes of sources and targets that stay in the second cache."""
PLACES = 256
"""Targets for which it pays to read all filters."""


@dataclass(frozen=True)
class Filters:
    """Where filters lie: steps, in elements, from tap to tap of each axis and, `row`, from term to term of a tap."""

    first: int
    middle: int
    last: int
    row: int


@dataclass(frozen=True)
class Correlation:
    """The static side of a correlation: all that is known when the module is written. Sizes and steps are elements.

    `sources` and `targets` are the channels of a place. A tap has `depth` terms, that follow each other in memory:
    the channels of a group. A group's filters are `next_group` after those of the one before.
    """

    dtype: Dtype
    axes: tuple[WindowAxis, WindowAxis, WindowAxis]
    sources: int
    depth: int
    targets: int
    groups: int
    stored: Filters
    next_group: int
    start: RowStart
    cpu: Host

    @property
    def symbol(self) -> str:
        return f"correlation_{self.dtype}_{hashlib.sha256(repr(self).encode()).hexdigest()[:16]}"

    @property
    def each(self) -> int:
        """Target channels of a group."""
        return self.targets // self.groups

    @property
    def target_row(self) -> int:
        """Elements of a row of targets."""
        return self.axes[1].targets * self.axes[2].targets * self.targets

    @property
    def example(self) -> int:
        """Elements of an example's sources."""
        return math.prod(axis.sources for axis in self.axes) * self.sources

    @property
    def pointwise(self) -> bool:
        """Whether each target sees the source of its own place alone."""
        return all(axis.plain for axis in self.axes)

    @property
    def far(self) -> bool:
        """Whether the filters are too many for the second cache."""
        return math.prod(axis.window for axis in self.axes) * self.depth * self.targets * item_bytes(self.dtype) > FAR

    # --- channels ----------------------------------------------------------------------------------------------------

    @property
    def fold(self) -> int:
        """How many terms of its sums a vector holds side by side, where the targets alone would leave it half empty.
        It divides the depth, unless the whole sum over a row of the window is one block."""
        most = self.cpu.lanes(self.dtype) // (1 << (self.each - 1).bit_length())
        if self.axes[1].window * self.axes[2].window * self.depth <= self.cpu.depth_block:
            return max(1, min(most, 1 << self.depth.bit_length() - 1))
        return max(1, min(most, self.depth & -self.depth))

    @property
    def panels(self) -> tuple[Panels, ...]:
        """A group's channels in panels."""
        lengths = tuple(phase.count for phase in self.axes[-1].phases)
        panels = choose_panels(self.cpu, self.dtype, self.each, lengths, self.pointwise)
        if self.fold == 1:
            return panels
        return (replace(panels[0], vectors=((self.fold << (self.each - 1).bit_length(), self.each),)),)

    def blocks(self, panels: Panels) -> tuple[int, int]:
        """How many taps of the first axis, and how many terms of a tap, are one block of a panel's sum."""
        first, middle, last = self.axes
        inside = middle.window * last.window
        most = min(self.cpu.depth_block, NEAR // (panels.width * item_bytes(self.dtype)))
        taps = max(1, min(first.window, most // (inside * self.depth)))
        taps = -(-first.window // -(-first.window // taps))
        if inside * self.depth <= most:
            return taps, self.depth
        pieces = min(self.depth, -(-inside * self.depth // most))
        return taps, -(-self.depth // pieces // self.fold) * self.fold

    def copied(self, panels: Panels) -> bool:
        """Whether the blocks of a panel are worth a copy: they are used often, and their rows are apart."""
        apart = self.stored.row != panels.width or panels.width % self.cpu.lanes(self.dtype) != 0
        return self.fold > 1 or (apart and math.prod(axis.targets for axis in self.axes) >= 32)

    def near(self, panels: Panels) -> Filters:
        """Where the filters of a block lie in its copy."""
        tap = -(-self.blocks(panels)[1] // self.fold) * panels.width
        return Filters(self.axes[1].window * self.axes[2].window * tap, self.axes[2].window * tap, tap, panels.width)

    # --- rows --------------------------------------------------------------------------------------------------------

    @property
    def rows_at_once(self) -> int:
        """Rows that all panels pass over before the next ones: what a panel reads and writes stays in the second cache,
        and there are enough places for a copied block of filters to be worth it."""
        share = max(panels.width for panels in self.panels) / self.targets
        size = (self.target_row * share + self.example / self.axes[0].targets) * item_bytes(self.dtype)
        return max(-(-PLACES // (self.axes[1].targets * self.axes[2].targets)), int(FAR / size))

    def stack(self, panels: Panels) -> int:
        """How many rows one tile takes in: several where there is nothing but places one after the other."""
        return max(1, panels.tallest // self.axes[-1].targets) if self.pointwise else 1

    @property
    def row_sums(self) -> bool:
        """Whether the sum over a row of the window is written as one: the image has few channels."""
        return not self.axes[2].back and self.depth == self.sources < FEW_CHANNELS and self.axes[2].window > 1

    @property
    def border_rows(self) -> int:
        """Rows of targets for which the sources are copied with a border: 0 if there is no need, or no room."""
        if not self.row_sums or all(axis.inside for axis in self.axes):
            return 0
        first = self.axes[0]
        _, middle, last = border_sizes(self.axes, [axis.targets for axis in self.axes])
        room = MOST_BORDERED // 2 // (middle * last * self.sources * item_bytes(self.dtype))
        return max(0, min(first.targets, (room - first.window) // first.stride + 1))

    def in_row_sums(self) -> Correlation:
        """The same with a row of the window as one tap, on images that have all that the windows see."""
        first, middle, last = self.axes
        if rows := self.border_rows:
            sizes = border_sizes(self.axes, (rows, middle.targets, last.targets))
            targets = (rows, middle.targets, last.targets)
            first, middle, last = (
                replace(axis, sources=size, targets=count, before=0)
                for axis, size, count in zip(self.axes, sizes, targets, strict=True)
            )
        depth = last.window * self.sources
        return replace(self, axes=(first, middle, replace(last, window=1)), depth=depth)
