"""Runs a generated module's text as plain Python, without Numba: many small programs in little time.

Addresses are those of real memory; every access of a module that was made with `check` is tested against its buffer.
Convolutions and pooling, which the host computes, are not there.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.compiler.codegen import Module
from dlc.compiler.codegen.arena import Arena
from dlc.compiler.codegen.host.machine import host

HELD: list[Any] = []
"""What lies on the stack in compiled code."""


def at(kind: Any) -> Callable[[int], Any]:
    return lambda address: ctypes.cast(int(address), ctypes.POINTER(kind))


real_at, int64_at = at(ctypes.c_double), at(ctypes.c_int64)


def block(bytes: int) -> int:
    """The address of memory that stays as long as the test; it begins with numbers that no result may have."""
    HELD.append(np.full(bytes // 8 + 1, np.nan))
    return int(HELD[-1].ctypes.data)


def pack(*values: Any) -> int:
    address = block(8 * len(values))
    for place, value in enumerate(values):
        (real_at if isinstance(value, float) else int64_at)(address)[place] = value
    return address


def inside(index: int, end: int, flag: int) -> int:
    assert 0 <= index < end, f"element {index} of a buffer of {end}"
    return index


def matmul_panel(
    dtype: str, *, a_row: int, a_k: int, b_k: int, c_row: int, vectors: int, depth: int = 0, exact: bool = False
) -> Any:
    given = strided_panel(dtype, b_k, c_row, vectors)
    return lambda a, b, c, rows, terms: given(a, b, c, rows, terms, a_row, a_k)


def strided_panel(dtype: str, b_k: int, c_row: int, vectors: int) -> Any:
    def panel(a: int, b: int, c: int, rows: int, terms: int, a_row: int, a_k: int) -> None:
        left, right, made = real_at(a), real_at(b), real_at(c)
        for i in range(rows):
            for j in range(vectors * LANES):
                made[i * c_row + j] = sum(left[i * a_row + k * a_k] * right[k * b_k + j] for k in range(terms))

    return panel


def transpose(dtype: str, *, source_row: int, target_row: int) -> Any:
    def move(source: int, target: int, rows: int, columns: int) -> None:
        given, made = real_at(source), real_at(target)
        for i in range(rows):
            for j in range(columns):
                made[j * target_row + i] = given[i * source_row + j]

    return move


LANES = host().lanes("float64")

NAMES: dict[str, Any] = {
    **{name: getattr(np, name) for name in ("exp", "log", "sqrt", "tanh", "ceil", "floor", "isnan", "sign", "maximum")},
    "minimum": np.minimum,
    "sigmoid": lambda x: 0.5 + 0.5 * math.tanh(x / 2),
    "softplus": lambda x: np.logaddexp(0, x),
    "real": float,
    "float64": float,
    "INF": math.inf,
    "NAN": math.nan,
    "real_at": real_at,
    "float64_at": real_at,
    "int64_at": int64_at,
    "scratch": block,
    "pack": pack,
    "inside": inside,
    "matmul_panel": matmul_panel,
    "strided_panel": strided_panel,
    "transpose": transpose,
    "kernel": lambda *signature, **options: lambda function: function,
    "address_of": lambda function: function,
    "launch": lambda pool, function, given, units: function(given, 0, units),
}


class Interpreted(Arena):
    """A module in float64, as `Native`."""

    def __init__(self, module: Module) -> None:
        super().__init__(module.tables, lambda title: 0)
        pieces = [*module.kernels.values(), *module.programs.values()]
        above = dict.fromkeys(line for piece in pieces for line in piece.above)
        self.names = dict(NAMES)
        exec("\n\n".join(["\n".join(above), *(piece.text for piece in pieces)]), self.names)

    def call(self, title: str) -> None:
        self.reserve(title)
        HELD.clear()
        self.names[title](self.persistent.ctypes.data, self.transient.ctypes.data, self.sizes["m"], 0)
