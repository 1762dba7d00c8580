"""Convolutions by rows: equal to the ops' meaning and to plain loops, on any host, and they stay in their place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from numba import njit

from dlc.compiler.codegen.host import convolution, plain_convolution
from dlc.compiler.codegen.host.machine import Dtype, Host
from dlc.compiler.ops.convolution import Convolve, ConvolveFilterGradient, ConvolveInputGradient

DTYPES: tuple[Dtype, ...] = ("float32", "float64")
GUARD = 64  # elements before and after every buffer
GAP = 8  # elements between the filters of two taps of the first axis
CPUS = {
    "avx2": Host("avx2", vector_bytes=32, tiles=((12, 4), (6, 2))),
    "generic": Host("generic", vector_bytes=16, tiles=((8, 4), (4, 2)), depth_block=40),
}


@dataclass(frozen=True)
class Case:
    """A convolution of one example: sizes and strides of the spatial axes, paddings before and after them."""

    image: tuple[int, ...]
    window: tuple[int, ...]
    c_out: int
    stride: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    groups: int = 1

    @property
    def result(self) -> tuple[int, ...]:
        sizes = zip(self.image[:-1], self.pads, self.window, self.stride, strict=True)
        return (*((n + b + a - f) // s + 1 for n, (b, a), f, s in sizes), self.c_out)

    @property
    def filters(self) -> tuple[int, ...]:
        return (*self.window, self.image[-1] // self.groups, self.c_out)

    @property
    def static(self) -> dict[str, Any]:
        """What the functions are made with."""
        before = tuple(b for b, _ in self.pads)
        row = math.prod(self.filters[1:]) + GAP
        sizes: dict[str, Any] = {"image": self.image, "result": self.result, "window": self.window}
        return sizes | {"stride": self.stride, "before": before, "groups": self.groups, "filter_row": row}

    @property
    def geometry(self) -> dict[str, Any]:
        """What the meanings are called with."""
        return {"stride": self.stride, "pads": self.pads, "groups": self.groups}

    @cached_property
    def operands(self) -> tuple[Any, Any, Any, Any]:
        rng = np.random.default_rng(3)
        return tuple(rng.standard_normal(size) for size in (self.image, self.filters, self.result, self.c_out))

    def __str__(self) -> str:
        shapes = (self.image, self.window, self.stride)
        return " ".join(["x".join(map(str, shape)) for shape in shapes] + [f"to {self.c_out} groups {self.groups}"])


def case(
    image: tuple[int, ...],
    window: tuple[int, ...] | int,
    c_out: int,
    stride: int | tuple[int, ...] = 1,
    pad: int | str | tuple[tuple[int, int], ...] = "same",
    groups: int = 1,
) -> Case:
    axes = len(image) - 1
    window = (window,) * axes if isinstance(window, int) else window
    stride = (stride,) * axes if isinstance(stride, int) else stride
    if pad == "same":
        totals = [max(0, (-(-n // s) - 1) * s + f - n) for n, f, s in zip(image[:-1], window, stride, strict=True)]
        pad = tuple((total // 2, total - total // 2) for total in totals)
    pads = ((pad, pad),) * axes if isinstance(pad, int) else pad
    assert not isinstance(pads, str)
    return Case(image, window, c_out, stride, pads, groups)


FEW = [
    case((9, 7, 3), 3, 10, stride=2),
    case((6, 5, 4), (3, 2), 6, stride=(1, 3), pad=((0, 2), (1, 0)), groups=2),
    case((4, 5, 6, 2), (3, 2, 3), 20, stride=(2, 1, 1), pad=((1, 0), (0, 1), (1, 1))),
    case((1, 23, 8), (1, 5), 16, stride=(1, 2), pad=((0, 0), (4, 3))),
    case((5, 7, 20), 1, 24),
]
CASES = [
    *FEW,
    case((28, 28, 1), 5, 6),
    case((1, 400, 1), (1, 5), 3, pad=0),
    case((9, 15, 1), 3, 1),
    case((14, 14, 6), 5, 16, pad=0),
    case((16, 16, 16), 3, 16),
    case((8, 8, 64), 3, 64),
    case((32, 32, 3), 3, 16),
    case((14, 14, 16), 3, 32, stride=2),
    case((17, 17, 3), 7, 64, stride=2, pad=3),
    case((7, 7, 100), 3, 100),
    case((7, 7, 64), 1, 40, stride=2),
    case((6, 2, 12), 3, 3),
    case((5, 1, 9), 3, 1),
    case((2, 3, 5), 7, 6),
    case((7, 8, 16), 3, 24, groups=4),
    case((3, 8, 6), 3, 6, groups=6),
    case((10, 11, 5), (2, 3), 7, stride=3, pad=((0, 1), (2, 0))),
    case((3, 3, 200), 3, 20),
    case((1, 64, 4), (1, 1), 33, stride=(1, 4)),
    case((5, 5, 5, 3), 3, 8, stride=2),
    case((3, 4, 4, 6), 1, 18),
    case((2, 5, 7, 4), (1, 3, 3), 12, groups=2),
    case((4, 5, 3), (1, 1), 4, pad=((1, 2), (0, 1))),
    case((6, 37, 2), (4, 1), 5, stride=(4, 1), pad=0),
]


class Buffer:
    """An array between guard bands that hold NaN, so that no result depends on them; `address` is its first element's.
    `gaps` after each step along the first axis hold NaN as well."""

    def __init__(self, values: Any, dtype: Dtype, gap: int = 0) -> None:
        rows = values.reshape(len(values), -1).astype(dtype)
        padded = np.full((len(rows), rows.shape[1] + gap), np.nan, dtype)
        padded[:, : rows.shape[1]] = rows
        self.shape = values.shape
        self.flat = np.full(padded.size + 2 * GUARD, np.nan, dtype)
        self.rows = self.flat[GUARD:-GUARD].reshape(padded.shape)
        self.rows[...] = padded
        self.before = self.flat.copy()

    @property
    def address(self) -> int:
        return int(self.rows.ctypes.data)

    @property
    def row_bytes(self) -> int:
        return self.rows.strides[0]

    @property
    def values(self) -> Any:
        return self.rows[:, : math.prod(self.shape[1:])].reshape(self.shape).astype(float)

    def changed(self, first: int, last: int) -> bool:
        """Whether anything but the rows first .. last - 1 is not what it was."""
        now, then = self.flat.copy(), self.before.copy()
        for each in (now, then):
            each[GUARD:-GUARD].reshape(self.rows.shape)[first:last, : math.prod(self.shape[1:])] = 0
        return not np.array_equal(now, then, equal_nan=True)


def compiled(function: Any, extra: bool = False) -> Callable[..., None]:
    if extra:
        return njit("void(intp, intp, intp, intp, intp, intp)")(lambda a, b, c, i, j, d: function(a, b, c, i, j, d))  # type: ignore[no-any-return]
    return njit("void(intp, intp, intp, intp, intp)")(lambda a, b, c, i, j: function(a, b, c, i, j))  # type: ignore[no-any-return]


def ranges(rows: int) -> list[tuple[int, int]]:
    """Everything, nothing, and pieces that begin inside."""
    cut = -(-rows // 3)
    return [(0, rows), (rows, rows), (0, cut), (cut, rows), (rows - 1, rows)]


def check(made: Buffer, expected: Any, begin: int, end: int, dtype: Dtype, terms: int) -> None:
    """Equal to a sum of `terms` products of numbers of size 1, up to the rounding of each addition."""
    eps = float(np.finfo(dtype).eps)
    bound = 4 * eps * (terms + 2) ** 0.5 * max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(made.values[begin:end], expected[begin:end], rtol=0, atol=bound)
    assert not made.changed(begin, end)


def check_forward(case: Case, make: Any, dtype: Dtype, start: str, cpu: Host | None = None) -> None:
    x, w, y, bias = (Buffer(v, dtype, GAP * (v.ndim > 2 and v is case.operands[1])) for v in case.operands)
    run = compiled(make(dtype, **case.static, start=start, cpu=cpu), start == "row")
    expected = Convolve.reference(None, x.values[None], w.values, **case.geometry)[0]  # type: ignore[arg-type]
    if start == "row":
        expected = expected + bias.values
    for begin, end in ranges(len(y.rows)):
        made = Buffer(np.full(y.shape, np.nan), dtype)
        args = [x.address, w.address, made.address + begin * made.row_bytes, begin, end]
        run(*args, *([bias.address] if start == "row" else []))
        check(made, expected, begin, end, dtype, math.prod(case.filters[:-1]))


def check_input_gradient(case: Case, make: Any, dtype: Dtype, cpu: Host | None = None) -> None:
    _, w, dy, _ = case.operands
    seen, turned = Buffer(dy, dtype), Buffer(np.swapaxes(w, -1, -2), dtype, GAP)
    run = compiled(make(dtype, **case.static, cpu=cpu))
    filters = np.swapaxes(turned.values, -1, -2)
    expected = ConvolveInputGradient.reference(  # type: ignore[arg-type]
        None, seen.values[None], filters, axes=(1, *case.image), **case.geometry
    )[0]
    for begin, end in ranges(case.image[0]):
        made = Buffer(np.full(case.image, np.nan), dtype)
        run(seen.address, turned.address, made.address + begin * made.row_bytes, begin, end)
        check(made, expected, begin, end, dtype, math.prod(case.filters) // case.groups)


def check_filter_gradient(case: Case, make: Any, dtype: Dtype, cpu: Host | None = None) -> None:
    """It adds: to what dw holds, from a range of the result's rows."""
    image, w, result, _ = case.operands
    x, dy = Buffer(image, dtype), Buffer(result, dtype)
    run = compiled(make(dtype, **case.static, cpu=cpu))
    for begin, end in ranges(case.result[0]):
        made = Buffer(w, dtype, GAP)
        part = np.zeros_like(dy.values)
        part[begin:end] = dy.values[begin:end]
        expected = made.values + ConvolveFilterGradient.reference(  # type: ignore[arg-type]
            None, x.values[None], part[None], axes=case.filters, **case.geometry
        )
        run(x.address, dy.address, made.address, begin, end)
        check(made, expected, 0, len(w), dtype, math.prod(case.result[:-1]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_of_a_convolution(case: Case, dtype: Dtype) -> None:
    check_forward(case, convolution.convolve_rows, dtype, "row" if dtype == "float32" else "zero")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_of_the_input_gradient(case: Case, dtype: Dtype) -> None:
    check_input_gradient(case, convolution.input_gradient_rows, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_of_the_filter_gradient(case: Case, dtype: Dtype) -> None:
    check_filter_gradient(case, convolution.filter_gradient_rows, dtype)


RUNS_ON = [(name, "") for name in (*FEW, case((7, 7, 20), 3, 34), case((32, 32, 3), 3, 16))] + [(FEW[2], "_plain")]


@pytest.mark.parametrize(("case", "kind"), RUNS_ON, ids=str)
def test_rows_run_on_over_examples(case: Case, kind: str) -> None:
    """Rows past the last one of an example are those of the next, for all three products."""
    rng, dtype, examples = np.random.default_rng(4), "float64", 3
    home = plain_convolution if kind else convolution
    make = {name: getattr(home, f"{name}_rows{kind}") for name in ("convolve", "input_gradient", "filter_gradient")}
    x, dy = (Buffer(rng.standard_normal((examples, *shape)), dtype) for shape in (case.image, case.result))
    w = Buffer(case.operands[1], dtype, GAP)
    turned = Buffer(np.swapaxes(case.operands[1], -1, -2), dtype, GAP)
    forward, back, filters = (compiled(function(dtype, **case.static)) for function in make.values())
    y = Convolve.reference(None, x.values, w.values, **case.geometry)  # type: ignore[arg-type]
    dx = ConvolveInputGradient.reference(None, dy.values, w.values, axes=x.shape, **case.geometry)  # type: ignore[arg-type]
    for run, seen, factors, expected in ((forward, x, w, y), (back, dy, turned, dx)):
        rows = expected.reshape(-1, *expected.shape[2:])
        for begin, end in ((0, len(rows)), (1, len(rows) - 1), (len(rows) // 2, len(rows))):
            made = Buffer(np.full(rows.shape, np.nan), dtype)
            run(seen.address, factors.address, made.address + begin * made.row_bytes, begin, end)
            check(made, rows, begin, end, dtype, math.prod(case.filters))
    for begin, end in ((0, examples * len(y[0])), (1, examples * len(y[0]) - 1), (len(y[0]) + 1, 2 * len(y[0]))):
        part = np.zeros_like(dy.values).reshape(-1, *dy.shape[2:])
        part[begin:end] = dy.values.reshape(part.shape)[begin:end]
        made = Buffer(case.operands[1], dtype, GAP)
        expected = made.values + ConvolveFilterGradient.reference(  # type: ignore[arg-type]
            None, x.values, part.reshape(dy.shape), axes=case.filters, **case.geometry
        )
        filters(x.address, dy.address, made.address, begin, end)
        check(made, expected, 0, len(w.rows), dtype, math.prod(dy.shape[:-1]))


@pytest.mark.parametrize("case", FEW, ids=str)
def test_plain_loops(case: Case) -> None:
    check_forward(case, plain_convolution.convolve_rows_plain, "float64", "row")
    check_input_gradient(case, plain_convolution.input_gradient_rows_plain, "float64")
    check_filter_gradient(case, plain_convolution.filter_gradient_rows_plain, "float64")


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("case", [*FEW, CASES[14], CASES[22]], ids=str)
def test_tiles_of_other_hosts(case: Case, cpu: str) -> None:
    check_forward(case, convolution.convolve_rows, "float32", "row", CPUS[cpu])
    check_input_gradient(case, convolution.input_gradient_rows, "float32", CPUS[cpu])
    check_filter_gradient(case, convolution.filter_gradient_rows, "float32", CPUS[cpu])
