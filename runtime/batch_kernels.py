"""The loop over the batches of an epoch, in jitted code; `batches.py` lays out what it reads.

It stands apart because it needs Numba: a start that finds its machine code on the disk does not import this file.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dlc.compiler.codegen.arena import STEP_NUMBER
from dlc.compiler.codegen.host.address import float64_at, int64_at
from dlc.compiler.codegen.host.kernels import address_of, kernel
from dlc.compiler.codegen.host.launch import launch
from dlc.compiler.codegen.support import pack
from dlc.runtime.batches import (
    COLUMN,
    FIXED,
    PER_EXAMPLE,
    ROW_BYTES,
    ROWS,
    ROWS_THERE,
    SLOT,
    SOURCE,
    SOURCE_ROW,
    TARGET_ROW,
    WORTH_THREADS,
)

__all__ = ["gather_rows", "run_batches"]


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


@kernel("void(intp, intp)", symbol="dlc_run_batches")
def run_batches(args: int, sums_at: int) -> None:
    """Run a training program on batches.

    `args` is the address of int64: the program, the addresses of its two parts and of its pool; columns and how many;
    the order of the examples, how many, and whether it is that of the data; the size of a batch, the first and how
    many, and the steps before; which numbers hold the step (from 1), how many do, and those of loss and cost. The three
    float64 at `sums_at` gain loss and cost times examples, and examples.
    """
    given, sums = int64_at(args), float64_at(sums_at)
    function, persistent, transient, pool = given[0], given[1], given[2], given[3]
    columns, column_count, order, examples, whole = given[4], given[5], given[6], given[7], given[8]
    batch, first, count, step, counters, counter_count = given[9], given[10], given[11], given[12], given[13], given[14]
    loss, cost = given[15], given[16]
    numbers, words, counter = float64_at(persistent), int64_at(persistent), int64_at(counters)
    for number in range(first, first + count):
        start = number * batch
        m = min(batch, examples - start)
        capacity = (m + 15) // 16 * 16
        for c in range(column_count):
            column = int64_at(columns + c * COLUMN * 8)
            there = whole != 0 and column[SOURCE_ROW] == column[TARGET_ROW] and start + capacity <= column[ROWS_THERE]
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
                    order + 8 * start,
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
        for c in range(counter_count):
            numbers[counter[c]] = step
        call_program(function, persistent, transient, m, pool)
        sums[0] += numbers[loss] * m
        sums[1] += numbers[cost] * m
        sums[2] += m
