"""The meaning of `tile.py` in scalar loops: correct on every CPU that Numba knows, and the oracle of its tests."""

# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dlc.compiler.codegen.host.address import float32_at, float64_at
from dlc.compiler.codegen.host.machine import Dtype, Host, host

__all__ = ["matmul_panel_plain", "strided_panel_plain", "transpose_plain"]


def matmul_panel_plain(
    dtype: Dtype,
    a_row: int,
    a_k: int,
    b_k: int,
    c_row: int,
    vectors: int,
    *,
    depth: int | None = None,
    start: str = "zero",
    exact: bool = False,
    packed: bool = False,
    cpu: Host | None = None,
) -> Any:
    """`tile.matmul_panel`, in three loops. It writes exactly `rows` rows, which is what `exact` asks for."""
    at = float32_at if dtype == "float32" else float64_at
    columns = vectors * (cpu or host()).lanes(dtype)
    zero = np.float32(0) if dtype == "float32" else np.float64(0)
    from_row, from_c = start == "row", start == "load"

    @njit(error_model="numpy")
    def product(a: int, b: int, c: int, rows: int, terms: int, row: int) -> None:
        left, right, out, first = at(a), at(b), at(c), at(row)
        for i in range(rows):
            for j in range(columns):
                total = out[i * c_row + j] if from_c else first[j] if from_row else zero
                for k in range(terms):
                    total += left[i * a_row + k * a_k] * right[k * b_k + j]
                out[i * c_row + j] = total

    if from_row:

        @njit(error_model="numpy")
        def panel_row(a: int, b: int, c: int, rows: int, depth: int, row: int) -> None:
            product(a, b, c, rows, depth, row)

        return panel_row

    @njit(error_model="numpy")
    def panel(a: int, b: int, c: int, rows: int, depth: int) -> None:
        product(a, b, c, rows, depth, b)

    return panel


def strided_panel_plain(dtype: Dtype, b_k: int, c_row: int, vectors: int, *, cpu: Host | None = None) -> Any:
    """`tile.strided_panel`, in three loops."""
    at = float32_at if dtype == "float32" else float64_at
    columns = vectors * (cpu or host()).lanes(dtype)
    zero = np.float32(0) if dtype == "float32" else np.float64(0)

    @njit(error_model="numpy")
    def panel(a: int, b: int, c: int, rows: int, depth: int, a_row: int, a_k: int) -> None:
        left, right, out = at(a), at(b), at(c)
        for i in range(rows):
            for j in range(columns):
                total = zero
                for k in range(depth):
                    total += left[i * a_row + k * a_k] * right[k * b_k + j]
                out[i * c_row + j] = total

    return panel


def transpose_plain(dtype: Dtype, source_row: int, target_row: int) -> Any:
    """`tile.transpose`, in two loops."""
    at = float32_at if dtype == "float32" else float64_at

    @njit(error_model="numpy")
    def move(source: int, target: int, rows: int, columns: int) -> None:
        given, made = at(source), at(target)
        for i in range(rows):
            for j in range(columns):
                made[j * target_row + i] = given[i * source_row + j]

    return move
