"""The kernels with which a pool's threads share out units; `pool.py` says how, and has the threads.

They stand apart because they need Numba: a start that finds their machine code on the disk does not import this file.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import sys

import numpy as np
from numba import njit, types

from dlc.compiler.codegen.host.address import (
    call_kernel,
    compare_and_swap,
    fetch_add,
    int64_at,
    load_acquire,
    pause,
    store_release,
)
from dlc.compiler.codegen.host.kernels import kernel
from dlc.compiler.codegen.host.pool import (
    ARGS,
    CLOSED,
    END,
    EPOCH,
    IDLE,
    KERNEL,
    LINE,
    NEXT,
    OPEN,
    PIECE,
    POSTED,
    RUNNING,
    STATE,
    THREADS,
)

__all__ = ["help_out", "launch"]

SPINS = 4_000  # pauses before a waiting thread yields: some 50 us
YIELDS = 200  # yields before it naps
NAP = 50  # microseconds of a nap
PATIENCE = SPINS + YIELDS + 100  # turns of waiting before a helper parks, when no program is running

os_yield = types.ExternalFunction("dlc_yield", types.int32())
os_nap = types.ExternalFunction("dlc_nap", types.int32(types.uint32))
# Windows sleeps in milliseconds.
NAP_ARGUMENT = np.uint32(1 if sys.platform == "win32" else NAP)


@njit(error_model="numpy")
def take_all(lines: int, owner: int, threads: int) -> None:
    """Do units until none is left: first of the owner's run, then of the others'."""
    for turn in range(threads):
        line = lines + (owner + turn) % threads * LINE * 8
        values = int64_at(line)
        end, piece = values[END], values[PIECE]
        while True:
            # Look before taking: where nothing is left, the line stays in the other threads' caches.
            if load_acquire(line + 8 * NEXT) >= end:
                break
            first = fetch_add(line + 8 * NEXT, piece)
            if first >= end:
                break
            call_kernel(values[KERNEL], values[ARGS], first, min(first + piece, end))


@njit(error_model="numpy")
def rest(waited: int) -> None:
    """Wait a moment, the longer the more often it was done: a pause, then a yield, then a nap."""
    if waited < SPINS:
        pause()
    elif waited < SPINS + YIELDS:
        os_yield()
    else:
        os_nap(NAP_ARGUMENT)


@njit(error_model="numpy")
def wait_until_idle(line: int) -> None:
    waited = 0
    while load_acquire(line) % EPOCH != IDLE:
        rest(waited)
        waited += 1


@kernel("void(intp, intp, intp, intp)", symbol="dlc_launch")
def launch(pool: int, function: int, args: int, units: int) -> None:
    """Do the units 0 .. units - 1 of the kernel at an address, and return when all are done.

    `pool` is `Pool.address`, or 0 for the calling thread alone. One launch at a time in a pool.
    """
    threads = 1
    if pool != 0:
        threads = int64_at(pool)[THREADS]
    if threads == 1 or units <= 1:
        call_kernel(function, args, 0, units)
        return
    lines = pool + 8 * LINE
    for thread in range(threads):
        values = int64_at(lines + thread * LINE * 8)
        first, end = units * thread // threads, units * (thread + 1) // threads
        values[NEXT], values[END] = first, end
        values[PIECE] = (end - first + 3) // 4
        values[KERNEL], values[ARGS] = function, args
    for thread in range(1, threads):
        line = lines + thread * LINE * 8
        store_release(line, (int64_at(line)[STATE] // EPOCH + 1) * EPOCH + POSTED)
    take_all(lines, 0, threads)
    for thread in range(1, threads):
        line = lines + thread * LINE * 8
        posted = int64_at(line)[STATE] // EPOCH * EPOCH + POSTED
        if not compare_and_swap(line, posted, posted - POSTED + IDLE):
            wait_until_idle(line)


@kernel("void(intp, intp)", symbol="dlc_help_out")
def help_out(pool: int, thread: int) -> None:
    """A helper's life between two parkings."""
    lines = pool + 8 * LINE
    line = lines + thread * LINE * 8
    threads = int64_at(pool)[THREADS]
    waited = 0
    while True:
        state = load_acquire(line)
        if state % EPOCH == POSTED and compare_and_swap(line, state, state - POSTED + RUNNING):
            take_all(lines, thread, threads)
            store_release(line, state - POSTED + IDLE)
            waited = 0
        elif load_acquire(pool + 8 * CLOSED) != 0 or (waited >= PATIENCE and load_acquire(pool + 8 * OPEN) == 0):
            return
        else:
            rest(waited)
            waited += 1
