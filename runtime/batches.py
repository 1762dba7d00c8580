"""Training steps one after the other, without Python in between: rows of the data set in, sums of losses out."""

# mypy: allow-untyped-decorators

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from dlc.compiler.codegen.arena import STEP_NUMBER, ProgramTable, capacity
from dlc.compiler.codegen.host.address import float64_at, int64_at
from dlc.compiler.codegen.host.kernels import address_of, kernel, program
from dlc.compiler.codegen.host.pool import launch
from dlc.compiler.codegen.support import pack

__all__ = ["DataMemory", "run_batches"]

Array = NDArray[Any]
ROWS = 16
"""Rows that one unit of the copying kernel copies."""
WORTH_THREADS = 1 << 18
"""Bytes from which on copying is shared out among threads."""

SOURCE, SOURCE_ROW, ROW_BYTES, FIXED, PER_EXAMPLE, TARGET_ROW, SLOT, ROWS_THERE = range(8)
"""A column of data: where its rows lie, how long they are, where a batch of them goes (bytes), which number holds the
address of the input, and how many rows may be read at the source."""


@intrinsic
def copy_bytes(typing: Any, target: Any, source: Any, count: Any) -> Any:
    """memcpy between addresses."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        to, origin = (builder.inttoptr(address, byte) for address in args[:2])
        cgutils.raw_memcpy(builder, to, origin, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), lower


@intrinsic
def call_program(typing: Any, function: Any, persistent: Any, transient: Any, m: Any, pool: Any) -> Any:
    """Call the program at an address."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * 4)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), lower


@kernel(symbol="dlc_gather_rows")
def gather_rows(args: int, first: int, last: int) -> None:
    """Copy the rows of a batch, in the order of the epoch, next to each other."""
    given = int64_at(args)
    rows, order, source, source_row, row_bytes, target, target_row = (
        given[0], given[1], given[2], given[3], given[4], given[5], given[6],
    )  # fmt: skip
    number = int64_at(order)
    for i in range(first * ROWS, min(last * ROWS, rows)):
        copy_bytes(target + i * target_row, source + number[i] * source_row, row_bytes)


@program(
    "void(intp, intp, intp, intp, int64[:,::1], int64[::1], boolean, intp, intp, intp, intp, int64[::1], int64[::1],"
    "float64[::1])"
)
def run_batches(
    function: int,
    persistent: int,
    transient: int,
    pool: int,
    columns: NDArray[np.int64],
    order: NDArray[np.int64],
    whole: bool,
    batch: int,
    first: int,
    count: int,
    step: int,
    counters: NDArray[np.int64],
    results: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """Run a training program on batches; `whole` says that the order is that of the data.

    `counters` are the numbers that hold the number of the step (from 1), `results` those of loss and cost, and `sums`
    gets loss and cost times examples, and examples.
    """
    numbers, words = float64_at(persistent), int64_at(persistent)
    for number in range(first, first + count):
        start = number * batch
        m = min(batch, order.size - start)
        capacity = (m + 15) // 16 * 16
        for c in range(columns.shape[0]):
            column = columns[c]
            there = whole and column[SOURCE_ROW] == column[TARGET_ROW] and start + capacity <= column[ROWS_THERE]
            if there:
                words[column[SLOT]] = column[SOURCE] + start * column[SOURCE_ROW]
                continue
            target = transient + column[FIXED] + column[PER_EXAMPLE] * capacity
            words[column[SLOT]] = target
            many = pool if m * column[ROW_BYTES] >= WORTH_THREADS else 0
            launch(
                many,
                address_of(gather_rows),
                pack(
                    m,
                    order.ctypes.data + 8 * start,
                    column[SOURCE],
                    column[SOURCE_ROW],
                    column[ROW_BYTES],
                    target,
                    column[TARGET_ROW],
                ),
                (m + ROWS - 1) // ROWS,
            )
        step += 1
        words[STEP_NUMBER] = step
        for counter in counters:
            numbers[counter] = step
        call_program(function, persistent, transient, m, pool)
        sums[0] += numbers[results[0]] * m
        sums[1] += numbers[results[1]] * m
        sums[2] += m


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
            target_row = place.strides[place.shape.index(None)] * dtype.itemsize
            slot = numbers[f"input {name}"]
            made.append((rows.ctypes.data, width, width, place.fixed, place.per_example, target_row, slot, len(rows)))
        return np.array(made, np.int64).reshape(-1, 8)
