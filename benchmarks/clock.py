"""A stopwatch for compiled code: how long, and how often, each of several places of a program took. POSIX only.

Its memory: the last look at the clock (seconds and nanoseconds), then nanoseconds and laps of each place, all int64.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import ctypes
import time
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from dlc.compiler.codegen.host.address import int64_at

llvm.add_symbol("clock_gettime", ctypes.cast(ctypes.CDLL(None).clock_gettime, ctypes.c_void_p).value)
clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.intp))
CLOCK = time.CLOCK_MONOTONIC


def size(places: int) -> int:
    """Bytes for so many places."""
    return 8 * (2 + 2 * places)


def laps(memory: NDArray[np.uint8], places: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """(nanoseconds, laps) of every place since the last `start`."""
    nanoseconds, times = memory[: size(places)].view(np.int64)[2:].reshape(-1, 2).T
    return nanoseconds.copy(), times.copy()


@njit(error_model="numpy")
def start(address: int, places: int) -> None:
    for number in range(2 * places):
        int64_at(address)[2 + number] = 0
    clock_gettime(CLOCK, address)


@njit(error_model="numpy")
def lap(address: int, place: int) -> None:
    """What has passed since the last look belongs to this place."""
    last = int64_at(address)
    seconds, nanoseconds = last[0], last[1]
    clock_gettime(CLOCK, address)
    last[2 + 2 * place] += (last[0] - seconds) * 1_000_000_000 + last[1] - nanoseconds
    last[3 + 2 * place] += 1
