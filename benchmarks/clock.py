"""A clock for compiled code: `now(address)` writes seconds and nanoseconds there (two int64). POSIX only."""

# mypy: allow-untyped-decorators

from __future__ import annotations

import ctypes
import time

import llvmlite.binding as llvm
from numba import njit, types

llvm.add_symbol("clock_gettime", ctypes.cast(ctypes.CDLL(None).clock_gettime, ctypes.c_void_p).value)
clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.intp))
CLOCK = time.CLOCK_MONOTONIC
BYTES = 16


@njit(error_model="numpy")
def now(address: int) -> None:
    clock_gettime(CLOCK, address)
