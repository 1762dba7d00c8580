"""Images that are brought into form when their rows are asked for: as they are, or changed at random for training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.data.augmentation import Draws, augmented, middle
from dlc.runtime.data.changes import Change
from dlc.runtime.data.image_store import Stored
from dlc.runtime.threads import ahead, in_threads

Array = NDArray[Any]
Indices = NDArray[np.int64]
Finish = Callable[[Array, Indices], Array]
"""Images (examples, height, width, …) and their numbers in the source to an array of physical rows."""

BLOCK = 1 << 18
"""Values that are brought into form at one time: few enough for the cache."""

FIT_BLOCK = 1 << 22
"""Values that statistics are taken of at one time."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """A `Column` of images. `stored` holds those of the whole source, and `rows` says which of them these are.

    `finish` is what the steps of the spec make of them, `example` the shape of one of its rows; `colors` are the
    principal colors of the training split, where `change` needs them; `threads` make rows that are not augmented.
    """

    stored: Stored
    rows: Indices
    change: Change
    finish: Finish
    example: tuple[int, ...]
    dtype: np.dtype[Any]
    colors: NDArray[np.float64] | None = None
    threads: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.example)

    @property
    def ndim(self) -> int:
        return 1 + len(self.example)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def bytes(self) -> int:
        """What all rows take."""
        return math.prod(self.shape) * self.dtype.itemsize

    def select(self, rows: Indices) -> Pictures:
        """Some of the images."""
        return replace(self, rows=self.rows[rows])

    def __getitem__(self, rows: Any) -> Array:
        """The images as they are; of a crop, the middle. Raises DiagnosticError with all that cannot be read."""
        chosen = self.rows[rows]
        result = np.empty((len(chosen), *self.example), self.dtype)

        def make(part: slice) -> list[Diagnostic]:
            try:
                result[part] = self.finish(middle(self.stored[chosen[part]], self.change), chosen[part])
            except DiagnosticError as error:
                return error.diagnostics
            return []

        bad = [d for found in in_threads(make, self.parts(len(chosen)), self.threads) for d in found]
        if bad:
            raise DiagnosticError(*bad)
        return result

    def augmented(self, examples: Indices, seed: int, epoch: int) -> Array:
        """These of its examples as they are in an epoch of training. Raises DiagnosticError V502 where a step makes no
        finite number of a changed image."""
        chosen = self.rows[examples]
        images = augmented(self.stored[chosen], self.change, Draws(seed, epoch, examples), self.colors)
        try:
            return self.finish(images, chosen)
        except DiagnosticError as error:
            help = "augment changed the image: beside a padded or turned one are zeros"
            raise DiagnosticError(*(replace(found, help=help) for found in error.diagnostics)) from None

    def parts(self, count: int) -> Iterator[slice]:
        """So many rows in parts of a good size."""
        size = max(BLOCK // math.prod(self.stored.shape[1:]), 1)
        return (slice(start, min(start + size, count)) for start in range(0, count, size))


def middle_blocks(stored: Stored, rows: Indices, change: Change, threads: int) -> Iterator[Array]:
    """The images of some rows as they are outside of training, not too many at a time."""
    size = max(FIT_BLOCK // math.prod(stored.shape[1:]), 1)
    parts = (rows[start : start + size] for start in range(0, len(rows), size))
    return ahead(lambda part: middle(stored[part], change), parts, threads)
