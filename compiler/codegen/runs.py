"""Long loops over the elements inside a row, for values of more than one axis.

LLVM makes good vector code of a loop over hundreds of elements that lie one after the other, and poor code of a loop
over six channels inside one over places. So the places and channels of a row are walked together, a *run* at a time,
wherever everything that is read either lies in the same order or has one number for each channel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dlc.compiler.codegen.fuse import INNER
from dlc.compiler.codegen.layout import Stride, count_text, factor_text
from dlc.compiler.codegen.values import Point
from dlc.compiler.ir import Node

if TYPE_CHECKING:
    from dlc.compiler.codegen.body import Body

LONGEST_RUN = 1024
"""Elements of a run at most: a few such arrays stay in the first cache."""


class NoRun(Exception):
    """A value cannot be read in one long loop over the elements inside a row."""


@dataclass
class Run:
    """The elements inside a row as `j` runs of `k` elements each, in their order in memory: one long loop over several
    places and all their channels, which becomes vector code however few channels there are. What has one number for
    each channel is laid out as often as a run has places first: `ahead` once for the kernel's unit (or `ahead_of_row`
    for each row)."""

    sizes: tuple[int, ...]
    length: int
    item: int
    ahead: list[str] = field(default_factory=list)
    ahead_of_row: list[str] = field(default_factory=list)
    known: dict[tuple[Node, Point], str] = field(default_factory=dict)

    @property
    def names(self) -> str:
        return INNER[: len(self.sizes)]

    @property
    def channels(self) -> int:
        return self.sizes[-1]

    def inner(self, point: Point) -> list[str]:
        """The indices inside a row that a point has. Raises NoRun where it has more than plain ones."""
        found = [index for index in point if index not in ("0", "i")]
        if any(index not in self.names for index in found):
            raise NoRun
        return found

    def of_channel(self, point: Point) -> bool:
        """Whether a value has one number for each channel."""
        return [index for index in point if index not in ("0", "i")] == [self.names[-1]]

    def offset(self, point: Point, strides: Sequence[Stride], start: Stride = 0) -> str:
        """Where an element lies: the row, and the place in it. Raises NoRun where it is not as in the row."""
        terms = {index: stride for index, stride in zip(point, strides, strict=True) if index != "0" and stride != 0}
        if [index for index in point if index != "0"] != list(terms):
            raise NoRun
        row = [f"i * {factor_text(terms['i'])}" if terms["i"] != 1 else "i"] if "i" in terms else []
        row += [count_text(start)] if start != 0 else []
        if not self.inner(point):
            return " + ".join(row) or "0"
        dense = 1
        for name, size in zip(reversed(self.names), reversed(self.sizes), strict=True):
            if terms.get(name) != dense:
                raise NoRun
            dense *= size
        return " + ".join([*row, f"j * {self.length}", "k"])

    def number(self, point: Point) -> str:
        """The number of an element among all, examples first."""
        row = [f"i * {math.prod(self.sizes)}"] if "i" in point else []
        return " + ".join([*row, f"j * {self.length}", "k"])

    def spread(self, body: Body, node: Node, point: Point) -> str:
        """A value with one number for each channel, laid out for a run."""
        key = (node, point)
        if key not in self.known:
            name = self.known[key] = body.arguments.fresh(f"{body.names[node]}_run")
            body.run = None
            held, body.ahead = body.ahead, []
            lines = body.statement(lambda: f"{name}[{self.names[-1]}] = {body.value(node, point)}")
            body.run, body.ahead = self, held
            filled = [
                f"{name} = real_at({body.scratch(self.length * self.item)})",
                f"for {self.names[-1]} in range({self.channels}):",
                *(f"    {line}" for line in lines),
                f"for k in range({self.channels}, {self.length}):",
                f"    {name}[k] = {name}[k - {self.channels}]",
            ]
            if self.length == self.channels:
                filled = filled[:-2]
            row = any(re.search(r"\bi\b", line) for line in lines)
            (self.ahead_of_row if row else self.ahead).extend(filled)
        return f"{self.known[key]}[k]"


def run_length(sizes: tuple[int, ...], stretch: int) -> int:
    """How long runs are: whole places, so many that they divide a stretch of elements and make a loop that is worth
    it."""
    channels = sizes[-1]
    places = stretch // channels
    fitting = [count for count in range(1, places + 1) if places % count == 0 and count * channels <= LONGEST_RUN]
    return channels * max(fitting, default=1)
