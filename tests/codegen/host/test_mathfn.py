"""Accuracy of the vector mathematics against extended precision, its limits, and the random numbers' bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numba import njit

from dlc.compiler.codegen.host import mathfn
from dlc.compiler.codegen.host.formulas import erf_formula, tanh_formula
from dlc.compiler.codegen.host.random_reference import NumpyArithmetic, normal01_reference, uniform01_reference

DTYPES = ("float32", "float64")
MEANING: dict[str, Any] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "erf": np.vectorize(math.erf, otypes=[float]),
}
# Where the function is neither constant nor infinite in float32, and how many units in the last place it may err.
RANGE = {
    "exp": (-87.0, 88.0, 1.0),
    "expm1": (-20.0, 88.0, 2.0),
    "log": (1e-37, 1e5, 1.0),
    "log1p": (-0.99, 50.0, 2.0),
    "tanh": (-12.0, 12.0, 3.0),
    "sigmoid": (-80.0, 30.0, 3.0),
    "softplus": (-80.0, 80.0, 4.0),
    "erf": (-7.0, 7.0, 3.0),
}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-30, -1e-30, 1e4, -1e4, 1000.0, -1000.0, math.inf, -math.inf, math.nan, 1e-40, 3e-5]


def mapped(name: str) -> Any:
    """The function over an array, compiled under the flags that kernels are compiled with."""
    function = getattr(mathfn, name)

    @njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
    def loop(x: Any, y: Any) -> None:
        for i in range(x.size):
            y[i] = function(x[i])

    return loop


def evaluate(name: str, x: Any) -> Any:
    y = np.empty_like(x)
    mapped(name)(x, y)
    return y


def units(found: Any, exact: Any, dtype: str) -> Any:
    """The error in units in the last place of `dtype`."""
    return np.abs(found - exact) / np.spacing(np.abs(exact).astype(dtype)).astype(exact.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MEANING)
def test_accuracy(name: str, dtype: str) -> None:
    low, high, allowed = RANGE[name]
    rng = np.random.default_rng(3)
    near = (max(low, -2.0), 2.0) if low < 0 else (0.25, 4.0)
    x = np.concatenate([rng.uniform(low, high, 50_000), rng.uniform(*near, 50_000)]).astype(dtype)
    exact = MEANING[name](x.astype(float if name == "erf" else np.longdouble))
    error = units(evaluate(name, x), exact, dtype)
    assert float(error.max()) <= allowed, f"at {x[int(error.argmax())]!r}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MEANING)
def test_limits(name: str, dtype: str) -> None:
    """Zeros, subnormal numbers, overflow, infinities and NaN, as NumPy has them."""
    x = np.array(SPECIAL, dtype)
    with np.errstate(all="ignore"):
        exact = MEANING[name](x).astype(dtype)
    np.testing.assert_allclose(evaluate(name, x), exact, rtol=4e-7, atol=float(np.finfo(dtype).smallest_subnormal) * 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "meaning"), [("maximum", np.maximum), ("minimum", np.minimum)])
def test_larger_and_smaller(name: str, meaning: Any, dtype: str) -> None:
    """Of two numbers, and over an array, with NaN wherever NumPy has it."""
    function = getattr(mathfn, name)

    @njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
    def both(x: Any, y: Any, z: Any) -> Any:
        extreme = x[0]
        for i in range(x.size):
            z[i] = function(x[i], y[i])
            extreme = function(extreme, x[i])
        return extreme

    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((2, 1000)).astype(dtype)
    z = np.empty_like(x)
    assert both(x, y, z) == meaning.reduce(x)
    np.testing.assert_array_equal(z, meaning(x, y))
    x[500], y[7], y[8], x[9] = np.nan, np.nan, np.inf, -np.inf
    assert np.isnan(both(x, y, z))
    np.testing.assert_array_equal(z, meaning(x, y))


def test_exp_reaches_down_to_subnormal_numbers() -> None:
    for dtype, lowest in (("float32", -103.0), ("float64", -744.0)):
        x = np.linspace(lowest, lowest + 15, 1000).astype(dtype)
        exact = np.exp(x.astype(np.longdouble))
        assert float(units(evaluate("exp", x), exact, dtype).max()) <= 1.0


def test_compiled_formula_is_the_written_one() -> None:
    """The same formula over NumPy arrays, which fuses nothing, agrees to rounding."""
    x = np.linspace(-5, 5, 1001)
    m = NumpyArithmetic("float64")
    for name, formula in (("tanh", tanh_formula), ("erf", erf_formula)):
        np.testing.assert_allclose(evaluate(name, x), formula(m, x), rtol=2e-15, atol=1e-300)


def drawn(name: str, dtype: str, seed: int, draw: int, step: int, count: int, first: int = 0) -> Any:
    function = getattr(mathfn, f"{name}_{dtype}")

    @njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
    def loop(y: Any) -> None:
        for i in range(y.size):
            y[i] = function(seed, draw, step, first + i)

    y = np.empty(count, dtype)
    loop(y)
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "reference"), [("uniform01", uniform01_reference), ("normal01", normal01_reference)])
def test_random_numbers_have_the_reference_bits(name: str, reference: Any, dtype: str) -> None:
    for seed, draw, step, first in ((0, 0, 0, 0), (7, 3, 123_456, 5), (-1, 1, 2, 2**33)):
        expected = reference(seed, draw, step, np.arange(first, first + 30_000), dtype)
        found = drawn(name, dtype, seed, draw, step, 30_000, first)
        assert expected.dtype == found.dtype
        np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))


def test_reference_keeps_shapes_and_depends_on_the_index_alone() -> None:
    indices = np.arange(24).reshape(2, 3, 4)
    numbers = uniform01_reference(1, 2, 3, indices)
    assert numbers.shape == (2, 3, 4)
    np.testing.assert_array_equal(uniform01_reference(1, 2, 3, indices[1, ::-1]), numbers[1, ::-1])


def test_uniform_numbers_are_uniform() -> None:
    """2^20 numbers: the moments, and a chi-square test over 1024 cells, within 5 standard deviations."""
    count = 2**20
    x = uniform01_reference(11, 0, 0, np.arange(count))
    assert x.min() >= 0
    assert x.max() < 1
    assert abs(x.mean() - 1 / 2) < 5 * math.sqrt(1 / 12 / count)
    assert abs((x**2).mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / count)
    cells = np.bincount((x * 1024).astype(int), minlength=1024)
    chi_square = float(((cells - count / 1024) ** 2).sum() / (count / 1024))
    assert abs(chi_square - 1023) < 5 * math.sqrt(2 * 1023)


def test_normal_numbers_are_normal() -> None:
    count = 2**20
    x = normal01_reference(11, 0, 0, np.arange(count))
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((x**power).mean() - moment) < 5 * math.sqrt(variance / count)
    for bound, share in ((1, 0.6826894921), (2, 0.9544997361), (3, 0.9973002039)):
        assert abs((np.abs(x) < bound).mean() - share) < 5 * math.sqrt(share * (1 - share) / count)


def test_streams_are_unrelated() -> None:
    """Neighbouring seeds, draws, steps and indices: correlations of 2^18 numbers within 5 standard deviations."""
    count = 2**18
    indices = np.arange(count)
    base = uniform01_reference(1, 1, 1, indices) - 0.5
    others = [uniform01_reference(*key, indices) - 0.5 for key in ((2, 1, 1), (1, 2, 1), (1, 1, 2))]
    others += [np.roll(base, 1), np.roll(base, 2), np.roll(base, 1024)]
    for other in others:
        assert abs((base * other).mean() * 12) < 5 / math.sqrt(count)


def test_uniform_float32_is_the_start_of_float64() -> None:
    indices = np.arange(1000)
    single, double = (uniform01_reference(5, 6, 7, indices, dtype) for dtype in DTYPES)
    assert ((double >= single) & (double < single + 2.0**-23)).all()
