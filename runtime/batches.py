"""Training steps one after the other, without Python in between: rows of the data set in, sums of losses out.

The loop itself is `batch_kernels.run_batches`; here is what it reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.codegen.arena import ProgramTable, capacity

__all__ = ["DataMemory"]

Array = NDArray[Any]
ROWS = 16
"""Rows that one unit of the copying kernel copies."""
WORTH_THREADS = 1 << 18
"""Bytes from which on copying is shared out among threads."""

SOURCE, SOURCE_ROW, ROW_BYTES, FIXED, PER_EXAMPLE, TARGET_ROW, SLOT, ROWS_THERE = range(8)
"""A column of data: where its rows lie, how long they are, where a batch of them goes (bytes), which number holds the
address of the input, and how many rows may be read at the source."""
COLUMN = 8
"""Numbers in a column."""


class DataMemory:
    """Data sets in the form that batches are copied from: rows of the program's own types, contiguous."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._kept: dict[str, tuple[Array, bool, Array]] = {}

    def rows(self, name: str, array: Array, dtype: np.dtype[Any], padded: bool) -> Array:
        """An array as rows; `padded` adds room for the rows that a tile may read past the last."""
        given, had_room, made = self._kept.get(name, (None, False, array))
        if given is array and (had_room or not padded):
            return made
        room = padded and len(array) % ROWS != 0
        if room:
            made = np.zeros((capacity(len(array)), *array.shape[1:]), dtype)
            made[: len(array)] = array
        else:
            made = np.ascontiguousarray(array, dtype)
        self._kept[name] = (array, padded, made)
        return made

    def columns(
        self, table: ProgramTable, data: Mapping[str, Array], numbers: Mapping[str, int], *, padded: bool
    ) -> NDArray[np.int64]:
        """The table of columns for `run_batches`."""
        made = []
        for name, place in table.inputs.items():
            dtype = np.dtype(np.int64) if place.kind == "index" else self.dtype
            rows = self.rows(name, data[name], dtype, padded)
            width = math.prod(rows.shape[1:]) * dtype.itemsize
            assert place.examples is not None
            target_row = place.strides[place.examples] * dtype.itemsize
            slot = numbers[f"input {name}"]
            made.append((rows.ctypes.data, width, width, place.fixed, place.per_example, target_row, slot, len(rows)))
        return np.array(made, np.int64).reshape(-1, COLUMN)
