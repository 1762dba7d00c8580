"""Pooling over windows and its gradients: equal to what the ops mean in NumPy, and to plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sliding_cases import (
    AVX2,
    NARROW,
    Geometry,
    Guarded,
    Readable,
    callable_kernel,
    row_ranges,
    small_numbers,
)

from dlc.compiler.codegen.host.machine import Dtype, Host, host
from dlc.compiler.codegen.host.plain_windows import pool_gradient_rows_plain, pool_rows_plain
from dlc.compiler.codegen.host.pooling import Fold, pool_gradient_rows, pool_rows
from dlc.compiler.ops import OPS

HALVES = Geometry((28, 28, 6), (2, 2), (2, 2), ((0, 0), (0, 0)))
GEOMETRIES = {
    "halves": HALVES,
    "halves of one channel": HALVES.with_channels(1),
    "halves that leave a row out": Geometry((13, 11, 24), (2, 2), (2, 2), ((0, 0), (0, 0))),
    "halves, padded": Geometry((7, 8, 3), (2, 2), (2, 2), ((1, 0), (0, 1))),
    "thirds overlapping by one": Geometry((15, 21, 20), (3, 3), (2, 2), ((1, 1), (1, 1))),
    "the same, asymmetric": Geometry((14, 12, 16), (3, 3), (2, 2), ((0, 1), (0, 1))),
    "an image from far away": Geometry((64, 60, 48), (3, 3), (2, 2), ((0, 1), (1, 1))),
    "at every place": Geometry((9, 17, 10), (3, 3), (1, 1), ((1, 1), (1, 1))),
    "many channels": Geometry((6, 6, 96), (3, 3), (2, 2), ((0, 1), (0, 1))),
    "places that no window sees": Geometry((9, 10, 8), (2, 2), (3, 4), ((0, 0), (1, 0))),
    "different along the axes": Geometry((8, 13, 5), (1, 5), (3, 2), ((0, 0), (2, 1))),
    "the whole image": Geometry((7, 7, 20), (7, 7), (7, 7), ((0, 0), (0, 0))),
    "a wide image at once": Geometry((5, 40, 4), (5, 40), (1, 1), ((0, 0), (0, 0))),
    "wide windows": Geometry((3, 40, 4), (2, 25), (1, 3), ((0, 0), (12, 9))),
    "a sequence": Geometry((1, 31, 12), (1, 3), (1, 2), ((0, 0), (1, 0))),
    "a volume": Geometry((5, 6, 7, 6), (2, 3, 3), (1, 2, 1), ((0, 1), (1, 1), (1, 1))),
    "a volume in halves": Geometry((4, 4, 6, 17), (2, 2, 2), (2, 2, 2), ((0, 0), (0, 0), (0, 0))),
}
IN_LOOPS = ("halves, padded", "the same, asymmetric", "places that no window sees", "a volume")


def geometry_of(case: Geometry) -> dict[str, Any]:
    """The attributes of an op on a batch."""
    axes = tuple(range(1, len(case.window) + 1))
    return {"axes": axes, "window": case.window, "stride": case.stride, "pads": case.pads}


def pooled(case: Geometry, fold: Fold, x: Any) -> Any:
    return OPS[f"window_{fold}"].reference(x[None].astype(float), **geometry_of(case))[0]


def spread_back(case: Geometry, fold: Fold, x: Any, dy: Any) -> Any:
    batch, cotangent = x[None].astype(float), dy[None].astype(float)
    if fold == "sum":
        return OPS["window_spread"].reference(cotangent, into=batch.shape, **geometry_of(case))[0]
    return OPS[f"window_{fold}_gradient"].reference(batch, cotangent, **geometry_of(case))[0]


def check(case: Geometry, dtype: Dtype, fold: Fold, forward: Any, gradient: Any) -> None:
    """Both kernels give exactly what the ops say, for every range of rows, and write nothing else."""
    rng = np.random.default_rng(4)
    x = Readable(small_numbers(rng, case.image, dtype))
    dy = Readable(small_numbers(rng, case.result, dtype))
    fold_rows = callable_kernel(forward, 4)
    gradient_rows = callable_kernel(gradient, 4 if fold == "sum" else 5)
    operands = [dy.address] if fold == "sum" else [x.address, dy.address]
    y, dx = pooled(case, fold, x.array), spread_back(case, fold, x.array, dy.array)
    for call, given, expected in ((fold_rows, [x.address], y), (gradient_rows, operands, dx)):
        for begin, end in row_ranges(len(expected)):
            made = Guarded((end - begin, *expected.shape[1:]), dtype)
            call(*given, made.address, begin, end)
            np.testing.assert_array_equal(made.array, expected[begin:end])
            assert made.intact


@pytest.mark.parametrize("fold", ["max", "sum"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_rows_are_what_the_ops_mean(name: str, fold: Fold) -> None:
    case = GEOMETRIES[name]
    check(case, "float64", fold, *(make("float64", fold, **case.sizes) for make in (pool_rows, pool_gradient_rows)))


@pytest.mark.parametrize("fold", ["max", "min", "sum"])
@pytest.mark.parametrize("name", IN_LOOPS)
def test_plain_loops_mean_the_same(name: str, fold: Fold) -> None:
    case = GEOMETRIES[name]
    kernels = [make("float64", fold, **case.sizes) for make in (pool_rows_plain, pool_gradient_rows_plain)]
    check(case, "float64", fold, *kernels)


@pytest.mark.parametrize("channels", [1, 3, 6, 8, 16, 20, 24, 96])
@pytest.mark.parametrize("cpu", [host(), AVX2, NARROW], ids=lambda cpu: cpu.name)
def test_any_number_of_channels_fits_the_vectors(cpu: Host, channels: int) -> None:
    case = Geometry((5, 9, channels), (3, 3), (2, 2), ((1, 1), (1, 1)))
    kernels = [make("float32", "max", **case.sizes, cpu=cpu) for make in (pool_rows, pool_gradient_rows)]
    check(case, "float32", "max", *kernels)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_minimum(dtype: Dtype) -> None:
    for case in (HALVES, GEOMETRIES["at every place"]):
        check(case, dtype, "min", *(make(dtype, "min", **case.sizes) for make in (pool_rows, pool_gradient_rows)))


@pytest.mark.parametrize("make", [pool_rows, pool_rows_plain])
@pytest.mark.parametrize("fold", ["max", "min", "sum"])
def test_a_window_with_nan_is_nan(make: Any, fold: Fold) -> None:
    case = Geometry((6, 12, 5), (3, 3), (2, 2), ((1, 1), (1, 1)))
    x = np.random.default_rng(1).standard_normal(case.image)
    x[0, 0, 0] = x[3, 3, 1] = x[5, 11, 2] = np.nan
    x[2, 4, 3], x[2, 5, 3], x[3, 9, 4] = np.inf, -np.inf, np.nan
    made = Guarded(case.result, "float64")
    callable_kernel(make("float64", fold, **case.sizes), 4)(x.ctypes.data, made.address, 0, case.result[0])
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(made.array, pooled(case, fold, x), rtol=1e-14)


@pytest.mark.parametrize("make", [pool_gradient_rows, pool_gradient_rows_plain])
@pytest.mark.parametrize("name", ["halves", "at every place"])
def test_gradient_with_nan_goes_to_some_place_of_the_window(make: Any, name: str) -> None:
    """And it disturbs no window without one: NaN in channel 0 leaves the others as they were."""
    case = GEOMETRIES[name]
    rng = np.random.default_rng(2)
    x, dy = rng.standard_normal(case.image), rng.standard_normal(case.result)
    gradient = callable_kernel(make("float64", "max", **case.sizes), 5)
    x[:3, :, 0] = np.nan
    made = Guarded(case.image, "float64")
    gradient(x.ctypes.data, dy.ctypes.data, made.address, 0, case.image[0])
    expected = spread_back(case, "max", x, dy)
    np.testing.assert_allclose(made.array[..., 1:], expected[..., 1:], rtol=1e-14)
    assert np.isfinite(made.array).all()
    assert made.array[..., 0].sum() == pytest.approx(dy[..., 0].sum())
    assert made.intact


@pytest.mark.parametrize("make", [pool_gradient_rows, pool_gradient_rows_plain])
def test_lowest_values_are_values(make: Any) -> None:
    """A window of -inf alone gives its gradient to its first place, never to the padding."""
    case = Geometry((4, 4, 3), (3, 3), (2, 2), ((1, 1), (1, 1)))
    x, dy = np.full(case.image, -np.inf), np.ones(case.result)
    made = Guarded(case.image, "float64")
    callable_kernel(make("float64", "max", **case.sizes), 5)(x.ctypes.data, dy.ctypes.data, made.address, 0, 4)
    expected = np.zeros(case.image)
    expected[0, 0], expected[0, 1], expected[1, 0], expected[1, 1] = 1, 1, 1, 1
    np.testing.assert_array_equal(made.array, expected)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        pool_rows("float32", "max", image=(4, 4, 3), result=(2, 3), window=(2, 2), stride=(2, 2), before=(0, 0))
