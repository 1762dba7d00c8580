"""Images that are decoded when they are asked for: of sets too large to be kept as pixels."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dlc.grammar.span import Span
from dlc.runtime.data.images import BadImage, require_good
from dlc.runtime.data.pixels import Bytes
from dlc.runtime.threads import in_threads

Array = NDArray[Any]
Shape = tuple[int, int, int]

MOST_MEMORY = 1 << 31
_AT_ONCE = 16
"""Images that a thread decodes in one go."""


class Stored(Protocol):
    """Images (examples, height, width, …) as they are stored; `stored[rows]` are copies of some of them."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def most_bytes() -> int:
    """How much of a data set may be in memory at one time: a quarter of what the machine has, at most 2 GiB."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names:
        return MOST_MEMORY
    return min(MOST_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)


class LazyImages:
    """Images of one shape, each made by `decode` (from its number to its pixels, or BadImage); `check` raises what is
    seen to be wrong without decoding."""

    def __init__(
        self,
        decode: Callable[[int], Bytes],
        count: int,
        shape: Shape,
        span: Span | None,
        check: Callable[[int], None] | None = None,
    ) -> None:
        self.decode, self.check, self.span = decode, check, span
        self.shape: tuple[int, int, int, int] = (count, *shape)
        self.dtype = np.dtype(np.uint8)

    @staticmethod
    def joined(parts: Sequence[LazyImages]) -> LazyImages:
        """The images of several sources, one after the other; their shapes are the same."""
        if len(parts) == 1:
            return parts[0]
        starts = [0, *accumulate(map(len, parts))]

        def decode(row: int) -> Bytes:
            part = bisect_right(starts, row) - 1
            return parts[part].decode(row - starts[part])

        def check(row: int) -> None:
            part = bisect_right(starts, row) - 1
            look = parts[part].check
            if look is not None:
                look(row - starts[part])

        return LazyImages(decode, starts[-1], parts[0].shape[1:], parts[0].span, check)

    @property
    def bytes(self) -> int:
        """What all pixels take."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Bytes:
        """Decodes some images. Raises DiagnosticError with all that cannot be: V504, V506, V507."""
        numbers = np.arange(len(self))[rows]
        result = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        require_good(self._decoded(numbers, result), len(self), self.span)
        return result

    def read(self, threads: int) -> Bytes:
        """All images, (examples, pixels). Raises the same."""
        result = np.empty(self.shape, np.uint8)

        def part(first: int) -> list[BadImage]:
            last = min(first + _AT_ONCE, len(self))
            return self._decoded(np.arange(first, last), result[first:last])

        self._each(part, threads)
        return result.reshape(len(self), -1)

    def look(self, threads: int) -> None:
        """Raises what the headers of all images show to be wrong."""

        def part(first: int) -> list[BadImage]:
            return self._looked(range(first, min(first + _AT_ONCE, len(self))))

        if self.check is not None:
            self._each(part, threads)

    def _each(self, part: Callable[[int], list[BadImage]], threads: int) -> None:
        bad = in_threads(part, range(0, len(self), _AT_ONCE), threads)
        require_good([problem for found in bad for problem in found], len(self), self.span)

    def _looked(self, rows: Iterable[int]) -> list[BadImage]:
        bad = []
        for row in rows:
            try:
                assert self.check is not None
                self.check(row)
            except BadImage as problem:
                bad.append(problem)
        return bad

    def _decoded(self, numbers: NDArray[np.int64], result: Bytes) -> list[BadImage]:
        """Fills the result, and gives what could not be decoded."""
        bad = []
        for own, row in zip(result, numbers.tolist(), strict=True):
            try:
                own[...] = self.decode(row)
            except BadImage as problem:
                bad.append(problem)
        return bad
