"""The matrix tile and the transpose: equal to plain loops and to NumPy in float64, and they stay in their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

from dlc.compiler.codegen.host.machine import Dtype, Host, host
from dlc.compiler.codegen.host.plain import matmul_panel_plain, transpose_plain
from dlc.compiler.codegen.host.tile import Start, matmul_panel, transpose

DTYPES: tuple[Dtype, ...] = ("float32", "float64")
GUARD = 64  # elements before and after every buffer
CPUS = {
    "host": host(),
    "avx2": Host("avx2", vector_bytes=32, tiles=((12, 4), (6, 2), (4, 2))),
    "narrow": Host("narrow", vector_bytes=16, tiles=((8, 1), (5,), (5, 3, 2)), depth_block=7),
}


class Buffer:
    """A matrix between guard bands; `moved` tells whether anything outside the first `rows` rows changed."""

    def __init__(self, rng: np.random.Generator, rows: int, row: int, dtype: Dtype) -> None:
        self.flat = rng.standard_normal(2 * GUARD + rows * row).astype(dtype)
        self.matrix = self.flat[GUARD : GUARD + rows * row].reshape(rows, row)
        self.address = (
            self.matrix.ctypes.data if self.matrix.size else self.flat.ctypes.data + GUARD * self.flat.itemsize
        )
        self.before = self.flat.copy()

    @property
    def original(self) -> Any:
        return self.before[GUARD : GUARD + self.matrix.size].reshape(self.matrix.shape)

    def moved(self, rows: int, columns: int) -> bool:
        now, then = self.flat.copy(), self.before.copy()
        for each in (now, then):
            each[GUARD : GUARD + self.matrix.size].reshape(self.matrix.shape)[:rows, :columns] = 0
        return not np.array_equal(now, then)


def callable_panel(panel: Any, start: str) -> Any:
    """The panel as a Python function of six addresses and numbers."""
    if start == "row":
        return njit("void(intp, intp, intp, intp, intp, intp)")(lambda a, b, c, n, k, r: panel(a, b, c, n, k, r))
    return njit("void(intp, intp, intp, intp, intp, intp)")(lambda a, b, c, n, k, r: panel(a, b, c, n, k))


def tolerance(dtype: Dtype, depth: int) -> float:
    return (depth + 2) * float(np.finfo(dtype).eps) * 8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("start", ["zero", "load", "row"])
@pytest.mark.parametrize("exact", [True, False])
def test_panel_is_the_product(dtype: Dtype, start: Start, exact: bool) -> None:
    """Rows 1 .. 40 and depths on both sides of a block, for the tile and for the plain loops."""
    rng = np.random.default_rng(5)
    lanes = host().lanes(dtype)
    columns, row = 2 * lanes, 2 * lanes + 16
    a, b = Buffer(rng, 48, 900, dtype), Buffer(rng, 900, row, dtype)
    bias = Buffer(rng, 1, columns, dtype)
    made = [
        callable_panel(make(dtype, 900, 1, row, row, 2, start=start, exact=exact, packed=packed), start)
        for make, packed in ((matmul_panel, False), (matmul_panel, True), (matmul_panel_plain, False))
    ]
    depths = (127, 128, 129, 191, 192, 193, 384, 900)
    sizes = [(rows, depth) for rows in range(41) for depth in (0, 1, 17)] + [(13, depth) for depth in depths]
    for rows, depth in sizes:
        product = a.matrix[:rows, :depth].astype(float) @ b.matrix[:depth, :columns].astype(float)
        for panel in made:
            c = Buffer(np.random.default_rng(rows), 48, row, dtype)
            base = {"zero": 0.0, "load": c.original[:rows, :columns], "row": bias.matrix}[start]
            panel(a.address, b.address, c.address, rows, depth, bias.address)
            bound = tolerance(dtype, depth) * (1 + np.sqrt(depth))
            np.testing.assert_allclose(c.matrix[:rows, :columns], product + base, rtol=0, atol=bound)
            assert not c.moved(rows if exact else host().overhang(2, rows), columns)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("vectors", [1, 2, 3])
def test_weight_gradient_strides(dtype: Dtype, cpu: str, vectors: int) -> None:
    """Rows along the channels, the sum along the examples, on the tile sizes of other CPUs as well."""
    record = CPUS[cpu]
    if vectors > len(record.tiles):
        pytest.skip(f"{record.name} cuts no panel of {vectors} vectors")
    rng = np.random.default_rng(2)
    columns = vectors * record.lanes(dtype)
    x, dz = Buffer(rng, 33, 64, dtype), Buffer(rng, 33, columns + 16, dtype)
    panel = callable_panel(matmul_panel(dtype, 1, 64, columns + 16, columns, vectors, exact=True, cpu=record), "zero")
    for rows, depth in ((1, 33), (37, 33), (50, 1), (64, 20)):
        dw = Buffer(rng, 64, columns, dtype)
        panel(x.address, dz.address, dw.address, rows, depth, 0)
        exact = x.matrix[:depth, :rows].astype(float).T @ dz.matrix[:depth, :columns].astype(float)
        np.testing.assert_allclose(dw.matrix[:rows], exact, rtol=0, atol=40 * tolerance(dtype, depth))
        assert not dw.moved(rows, columns)


def test_static_depth_is_used() -> None:
    rng = np.random.default_rng(3)
    columns = host().lanes("float32")
    a, b, c = (Buffer(rng, 40, size, "float32") for size in (40, columns, columns))
    panel = callable_panel(matmul_panel("float32", 40, 1, columns, columns, 1, depth=31, exact=True), "zero")
    panel(a.address, b.address, c.address, 9, -1, 0)
    np.testing.assert_allclose(c.matrix[:9], a.matrix[:9, :31] @ b.matrix[:31], rtol=1e-4, atol=1e-4)
    assert not c.moved(9, columns)


def test_nan_and_infinity_stay_in_their_row() -> None:
    columns = host().lanes("float64")
    a, b, c = np.ones((12, 16)), np.ones((16, columns)), np.empty((12, columns))
    a[3, 5], a[7, 2] = np.nan, np.inf
    panel = callable_panel(matmul_panel("float64", 16, 1, columns, columns, 1, exact=True), "zero")
    panel(a.ctypes.data, b.ctypes.data, c.ctypes.data, 12, 16, 0)
    expected = np.full((12, columns), 16.0)
    expected[3], expected[7] = np.nan, np.inf
    np.testing.assert_array_equal(c, expected)


def test_long_sums_are_added_in_blocks() -> None:
    """Noise of float32 sums of 20,000 terms, against float64.

    An addition rounds by up to u = eps / 2 of its result; the partial sums of K random terms grow like sqrt(i), so one
    chain gathers noise of deviation sqrt(sum_i u^2 i / 3) = u K / sqrt(6). Chains of L = 192 terms and one of their
    K / L results gather sqrt(L / K + 1 / L) = 0.12 of that.
    """
    depth, columns = 20_000, host().lanes("float32")
    rng = np.random.default_rng(7)
    a = rng.standard_normal((64, depth)).astype("float32")
    b = rng.standard_normal((depth, columns)).astype("float32")
    c = np.empty((64, columns), "float32")
    panel = callable_panel(matmul_panel("float32", depth, 1, columns, columns, 1), "zero")
    panel(a.ctypes.data, b.ctypes.data, c.ctypes.data, 64, depth, 0)
    one_chain = np.finfo("float32").eps / 2 * depth / np.sqrt(6)
    error = c - a.astype(float) @ b.astype(float)
    assert float(np.sqrt(np.mean(error**2))) < 0.25 * one_chain


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [transpose, transpose_plain])
def test_transpose(dtype: Dtype, make: Any) -> None:
    rng = np.random.default_rng(1)
    move = make(dtype, 48, 80)
    run = njit("void(intp, intp, intp, intp)")(lambda s, t, n, m: move(s, t, n, m))
    for rows, columns in ((0, 5), (1, 1), (16, 16), (37, 41), (70, 48), (32, 8), (5, 48)):
        source, target = Buffer(rng, 70, 48, dtype), Buffer(rng, 48, 80, dtype)
        run(source.address, target.address, rows, columns)
        np.testing.assert_array_equal(target.matrix[:columns, :rows], source.matrix[:rows, :columns].T)
        assert not target.moved(columns, rows)
        assert not source.moved(0, 0)


def test_panels_cover_every_column_once() -> None:
    for columns in range(16, 400, 16):
        for dtype in DTYPES:
            covered: list[int] = []
            lanes = host().lanes(dtype)
            for first, count, vectors in host().panels(dtype, columns):
                covered += range(first, first + count * vectors * lanes)
            assert covered == list(range(columns))


def test_rows_of_any_length_keep_off_the_cache_sets() -> None:
    for columns in range(1, 3000, 7):
        for dtype in DTYPES:
            length = host().row_length(dtype, columns)
            assert length % 16 == 0
            assert length * np.dtype(dtype).itemsize % 1024 != 0
            assert columns <= length < columns + 32
