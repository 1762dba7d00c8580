"""Depthwise convolutions and their gradients: equal to what the ops mean in NumPy, and they stay in their place."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from sliding_cases import AVX2, NARROW, Geometry, Guarded, Readable, callable_kernel, row_ranges, small_numbers

from dlc.compiler.codegen.host import depthwise
from dlc.compiler.codegen.host.machine import Dtype, Host, host
from dlc.compiler.ops import OPS

SPACING = 7  # elements between two rows of filters, which belong to somebody else
GEOMETRIES = {
    "3x3": Geometry((12, 13, 24), (3, 3), (1, 1), ((1, 1), (1, 1))),
    "3x3 on a long line": Geometry((3, 50, 32), (3, 3), (1, 1), ((1, 1), (1, 1))),
    "3x3 by 2, the same": Geometry((14, 20, 20), (3, 3), (2, 2), ((0, 1), (0, 1))),
    "3x3 by 2, padded by 1": Geometry((9, 11, 16), (3, 3), (2, 2), ((1, 1), (1, 1))),
    "3x3 on an image from far away": Geometry((50, 48, 48), (3, 3), (1, 1), ((1, 1), (1, 1))),
    "5x5": Geometry((11, 12, 8), (5, 5), (1, 1), ((2, 2), (2, 2))),
    "5x5 by 2 on few places": Geometry((4, 6, 40), (5, 5), (2, 2), ((1, 2), (1, 2))),
    "7x7 by 3": Geometry((16, 19, 3), (7, 7), (3, 3), ((3, 3), (2, 2))),
    "valid": Geometry((8, 9, 6), (3, 3), (1, 1), ((0, 0), (0, 0))),
    "places that no window reaches": Geometry((10, 9, 5), (2, 2), (3, 4), ((0, 0), (1, 0))),
    "windows on padding alone": Geometry((3, 4, 6), (2, 2), (1, 2), ((3, 2), (2, 3))),
    "different along the axes": Geometry((6, 15, 10), (1, 4), (2, 1), ((0, 0), (3, 0))),
    "a sequence": Geometry((1, 40, 12), (1, 9), (1, 1), ((0, 0), (8, 0))),
    "a window of a whole line": Geometry((2, 70, 4), (1, 66), (1, 2), ((0, 0), (5, 0))),
    "a volume": Geometry((5, 6, 7, 6), (2, 3, 3), (1, 2, 1), ((0, 1), (1, 1), (1, 1))),
    "a volume by 2": Geometry((6, 5, 8, 17), (3, 3, 3), (2, 2, 2), ((0, 1), (1, 1), (0, 1))),
}


class Kernels(NamedTuple):
    """One way to compute the three products of a geometry, as Python functions."""

    forward: Any
    biased: Any
    input_gradient: Any
    filter_gradient: Any


def row_length(case: Geometry) -> int:
    """Elements from one row of the filters to the next."""
    return int(np.prod(case.window[1:])) * case.channels + SPACING


def vector_kernels(case: Geometry, dtype: Dtype, cpu: Host | None = None) -> Kernels:
    same: dict[str, Any] = {**case.sizes, "groups": case.channels, "filter_row": row_length(case), "cpu": cpu}
    return Kernels(
        callable_kernel(depthwise.depthwise_rows(dtype, **same), 5),
        callable_kernel(depthwise.depthwise_rows(dtype, start="row", **same), 6),
        callable_kernel(depthwise.depthwise_input_gradient_rows(dtype, **same), 5),
        callable_kernel(depthwise.depthwise_filter_gradient_rows(dtype, **same), 5),
    )


class Reference:
    """What the ops say about one example, in float64."""

    def __init__(self, case: Geometry) -> None:
        self.case = case
        self.same = {"stride": case.stride, "pads": case.pads, "groups": case.channels}
        self.filters = (*case.window, 1, case.channels)

    def forward(self, x: Any, w: Any) -> Any:
        return OPS["convolve"].reference(x[None].astype(float), w.astype(float), **self.same)[0]

    def input_gradient(self, dy: Any, w: Any) -> Any:
        back = OPS["convolve_input_gradient"]
        return back.reference(dy[None].astype(float), w.astype(float), axes=(1, *self.case.image), **self.same)[0]

    def filter_gradient(self, x: Any, dy: Any, begin: int, end: int) -> Any:
        """What rows begin .. end - 1 contribute: the others have no cotangent."""
        rows = np.zeros(dy.shape)
        rows[begin:end] = dy[begin:end]
        back = OPS["convolve_filter_gradient"]
        return back.reference(x[None].astype(float), rows[None], axes=self.filters, **self.same)


class Spaced:
    """Filters as they are stored, between guard bands: rows along the first axis, some elements apart."""

    def __init__(self, case: Geometry, dtype: Dtype, values: Any) -> None:
        self.guarded = Guarded((case.window[0], row_length(case)), dtype)
        self.address = self.guarded.address
        self.values = self.guarded.array[:, :-SPACING].reshape(*case.window, 1, case.channels)
        self.spacing = self.guarded.array[:, -SPACING:]
        self.guarded.array[:, :-SPACING] = values.reshape(case.window[0], -1)

    @property
    def intact(self) -> bool:
        return self.guarded.intact and bool((self.spacing == 99.0).all())


def check(case: Geometry, dtype: Dtype, kernels: Kernels) -> None:
    """All products are exactly what the ops say, for every range of rows, and nothing else is written."""
    rng, reference = np.random.default_rng(6), Reference(case)
    x = Readable(small_numbers(rng, case.image, dtype))
    dy = Readable(small_numbers(rng, case.result, dtype))
    bias = Readable(small_numbers(rng, (case.channels,), dtype))
    w = Spaced(case, dtype, small_numbers(rng, reference.filters, dtype))
    y, dx = reference.forward(x.array, w.values), reference.input_gradient(dy.array, w.values)
    for call, given, more, expected in (
        (kernels.forward, x, (), y),
        (kernels.biased, x, (bias.address,), y + bias.array),
        (kernels.input_gradient, dy, (), dx),
    ):
        for begin, end in row_ranges(len(expected)):
            made = Guarded((end - begin, *expected.shape[1:]), dtype)
            call(given.address, w.address, made.address, begin, end, *more)
            np.testing.assert_array_equal(made.array, expected[begin:end])
            assert made.intact
    for begin, end in row_ranges(case.result[0]):
        dw = Spaced(case, dtype, small_numbers(np.random.default_rng(end), reference.filters, dtype))
        before = dw.values.copy()
        kernels.filter_gradient(x.address, dy.address, dw.address, begin, end)
        np.testing.assert_array_equal(dw.values, before + reference.filter_gradient(x.array, dy.array, begin, end))
        assert dw.intact


@pytest.mark.parametrize("name", GEOMETRIES)
def test_rows_are_what_the_ops_mean(name: str) -> None:
    check(GEOMETRIES[name], "float64", vector_kernels(GEOMETRIES[name], "float64"))


@pytest.mark.parametrize("channels", [1, 3, 6, 8, 16, 20, 24, 96])
@pytest.mark.parametrize("cpu", [host(), AVX2, NARROW], ids=lambda cpu: cpu.name)
def test_any_number_of_channels_fits_the_vectors(cpu: Host, channels: int) -> None:
    case = Geometry((5, 9, channels), (3, 3), (2, 2), ((0, 1), (1, 1)))
    check(case, "float32", vector_kernels(case, "float32", cpu))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_is_that_of_the_sums(dtype: Dtype) -> None:
    """Random numbers: a sum of K products is off by at most about K eps times the sum of their sizes."""
    case = Geometry((40, 37, 20), (5, 5), (1, 1), ((2, 2), (2, 2)))
    rng, reference, kernels = np.random.default_rng(8), Reference(case), vector_kernels(case, dtype)
    x, dy, flat = (rng.standard_normal(shape).astype(dtype) for shape in (case.image, case.result, reference.filters))
    w, eps = Spaced(case, dtype, flat), float(np.finfo(dtype).eps)
    made = Guarded(case.result, dtype)
    kernels.forward(x.ctypes.data, w.address, made.address, 0, len(x))
    bound = 27 * eps * reference.forward(abs(x), abs(flat))
    assert (abs(made.array - reference.forward(x, flat)) <= bound).all()
    kernels.input_gradient(dy.ctypes.data, w.address, made.address, 0, len(x))
    bound = 27 * eps * reference.input_gradient(abs(dy), abs(flat))
    assert (abs(made.array - reference.input_gradient(dy, flat)) <= bound).all()
    dw = Spaced(case, dtype, np.zeros(reference.filters))
    kernels.filter_gradient(x.ctypes.data, dy.ctypes.data, dw.address, 0, len(dy))
    # 1,480 products in chains no longer than some tens: their errors, of either sign, stay far below K eps.
    bound = 60 * eps * reference.filter_gradient(abs(x), abs(dy), 0, len(dy))
    assert (abs(dw.values - reference.filter_gradient(x, dy, 0, len(dy))) <= bound).all()


def test_what_is_no_depthwise_convolution_is_refused() -> None:
    sizes = Geometry((4, 4, 6), (3, 3), (1, 1), ((1, 1), (1, 1))).sizes
    with pytest.raises(ValueError, match="filter of their own"):
        depthwise.depthwise_rows("float32", **sizes, groups=3, filter_row=18)
