"""Training steps one after the other, without Python in between: rows of the data set in, sums of losses out.

The loop itself is `batch_kernels.run_batches`; here is what it reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.codegen.arena import OVERHANG, Place, ProgramTable, aligned, capacity, number

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

    def rows(self, name: str, array: Array, dtype: np.dtype[Any], padded: bool, strides: tuple[int, ...]) -> Array:
        """An array as rows of elements at these strides; `padded` adds room for the rows that a tile may read past the
        last."""
        given, had_room, made = self._kept.get(name, (None, False, array))
        if given is array and (had_room or not padded):
            return made
        room = capacity(len(array)) if padded else len(array)
        dense = [math.prod(array.shape[axis + 1 :]) for axis in range(1, array.ndim)]
        if any(have != want for have, want, size in zip(dense, strides[1:], array.shape[1:], strict=True) if size > 1):
            made = np.zeros((room, strides[0]), dtype)
            steps = tuple(stride * dtype.itemsize for stride in strides)
            np.lib.stride_tricks.as_strided(made, array.shape, steps)[...] = array
        elif room != len(array):
            made = np.zeros((room, *array.shape[1:]), dtype)
            made[: len(array)] = array
        else:
            made = np.ascontiguousarray(array, dtype)
        self._kept[name] = (array, padded, made)
        return made

    def constant(self, name: str, array: Array, place: Place, sizes: Mapping[str, int]) -> int:
        """The address of an input without examples, in the program's own form: all batches read it there."""
        given, _, made = self._kept.get(name, (None, False, array))
        if given is not array:
            dtype = self.type_of(place)
            shape, strides = ([number(each, sizes) for each in of] for of in (place.shape, place.strides))
            last = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
            made = aligned((last + 1) * dtype.itemsize + OVERHANG)
            np.ndarray(shape, dtype, made, 0, [stride * dtype.itemsize for stride in strides])[...] = array
            self._kept[name] = (array, False, made)
        return made.ctypes.data

    def type_of(self, place: Place) -> np.dtype[Any]:
        return np.dtype(np.int64) if place.kind == "index" else self.dtype

    def columns(
        self,
        table: ProgramTable,
        data: Mapping[str, Array],
        numbers: Mapping[str, int],
        sizes: Mapping[str, int],
        *,
        padded: bool,
    ) -> NDArray[np.int64]:
        """The table of columns for `run_batches`; `sizes` are those of a batch. Inputs without examples have none."""
        made = []
        for name, place in table.inputs.items():
            if place.examples is None:
                continue
            dtype = self.type_of(place)
            strides = [number(stride, sizes) for stride in place.strides]
            target_row = strides.pop(place.examples)
            rows = self.rows(name, data[name], dtype, padded, (target_row, *strides))
            width = math.prod(rows.shape[1:]) * dtype.itemsize
            start = number(place.start, {**sizes, "M": 0})
            each = number(place.start, {**sizes, "M": 1}) - start
            slot = numbers[f"input {name}"]
            made.append((rows.ctypes.data, width, width, start, each, target_row * dtype.itemsize, slot, len(rows)))
        return np.array(made, np.int64).reshape(-1, COLUMN)
