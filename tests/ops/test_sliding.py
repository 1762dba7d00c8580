"""Convolutions and windows against loops over every place, as the course first writes them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from dlc.compiler.dims import ONE, Axis, Dim, Facts, Relation, Symbol, TensorType, ceildiv, floordiv, tensor
from dlc.compiler.ops import OPS, ShapeError
from dlc.compiler.ops.convolution import geometry
from dlc.compiler.ops.sliding import SAME, padding
from dlc.compiler.ops.window import sliding

SLIDES = list(product((1, 2, 3, 4, 7, 8), (1, 2, 3, 5), (1, 2, 3), (0, 1, 2, SAME)))
"""n, f, stride and pad of one axis."""


def places(n: int, f: int, stride: int, pad: int | str) -> list[list[int | None]]:
    """For each window the places that it covers, None in the padding; the definition of the language page."""
    if isinstance(pad, str):
        count = -(-n // stride)
        total = max((count - 1) * stride + f - n, 0)
        before = total // 2
    else:
        before, count = pad, (n + 2 * pad - f) // stride + 1
    starts = [i * stride - before for i in range(count)]
    return [[p if 0 <= p < n else None for p in range(start, start + f)] for start in starts]


def fits(n: int, f: int, pad: int | str) -> bool:
    return isinstance(pad, str) or (pad < f <= n + 2 * pad)


def attributes(attrs: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """Attributes as `reference` gets them."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(plain, value))
        return int(value.constant) if isinstance(value, Dim) else value

    return {name: plain(value) for name, value in attrs}


@pytest.mark.parametrize(("n", "f", "stride", "pad"), SLIDES)
def test_sizes_and_values_along_one_axis(n: int, f: int, stride: int, pad: int | str) -> None:
    x = np.random.default_rng(1).normal(size=(2, n, 3))
    attrs = sliding((1,), (f,), (stride,), (pad,))
    if not fits(n, f, pad):
        with pytest.raises(ShapeError) as refusal:
            OPS["window_sum"].type(Facts.empty, tensor(*x.shape), **dict(attrs))
        assert refusal.value.code == ("D122" if isinstance(pad, int) and pad >= f else "D111")
        return
    windows = places(n, f, stride, pad)
    assert OPS["window_sum"].type(Facts.empty, tensor(*x.shape), **dict(attrs)).sizes[1] == len(windows)
    seen = [x[:, [p for p in window if p is not None]] for window in windows]
    folds: dict[str, Callable[..., Any]] = {"sum": np.sum, "max": np.max, "min": np.min, "mean": np.mean}
    for name, fold in {**folds, "prod": np.prod}.items():
        expected = np.stack([fold(part, axis=1) for part in seen], axis=1)
        value = OPS[f"window_{name}"].reference(x, **attributes(attrs))
        np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("n", "f", "stride", "pad"),
    [(5, 3, 1, SAME), (6, 3, 2, 1), (6, 2, 3, SAME), (7, 1, 3, 0), (4, 1, 2, 1), (5, 2, 1, 3)],
)
def test_a_convolution_is_four_loops(n: int, f: int, stride: int, pad: int | str, groups: int) -> None:
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(2, n, n + 1, 4)), rng.normal(size=(f, f, 4 // groups, 6))
    attrs = geometry((stride, stride), (pad, pad), groups)
    rows, columns = places(n, f, stride, pad), places(n + 1, f, stride, pad)
    expected = np.zeros((2, len(rows), len(columns), 6))
    for i, h, v, c in np.ndindex(*expected.shape):
        for a, b, k in np.ndindex(f, f, 4 // groups):
            p, q = rows[h][a], columns[v][b]
            if p is not None and q is not None:
                channel = c // (6 // groups) * (4 // groups) + k
                expected[i, h, v, c] += x[i, p, q, channel] * w[a, b, k, c]
    np.testing.assert_allclose(OPS["convolve"].reference(x, w, **attributes(attrs)), expected, rtol=1e-12)
    assert OPS["convolve"].type(Facts.empty, tensor(*x.shape), tensor(*w.shape), **dict(attrs)).sizes == expected.shape


@pytest.mark.parametrize(
    ("f", "stride", "pad"), [((3, 3), (1, 1), 1), ((3, 2), (2, 3), SAME), ((4, 4), (2, 2), 0), ((1, 2), (2, 2), 2)]
)
def test_the_transpose_turns_a_convolution_round(f: tuple[int, int], stride: tuple[int, int], pad: int | str) -> None:
    """<convolve(y), x> = <y, convolve_transpose(x)> for all x and y."""
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(*f, 5, 2))
    attrs = geometry(stride, (pad, pad))
    up = OPS["convolve_transpose"].reference(x, w, **attributes(attrs[1:]))
    for n, big, width, step in zip((3, 4), up.shape[1:], f, stride, strict=False):
        assert big == (n * step if isinstance(pad, str) else (n - 1) * step + width - 2 * pad)
    y = rng.normal(size=up.shape)
    down = OPS["convolve"].reference(y, np.swapaxes(w, -1, -2), **attributes(attrs))
    assert np.sum(down * x) == pytest.approx(np.sum(y * up), rel=1e-12)


def test_the_first_of_equal_maxima_takes_the_gradient() -> None:
    x = np.array([[[1.0, 3.0], [3.0, 3.0]]])
    attrs = attributes(sliding((1, 2), (2, 2), (2, 2), (0, 0)))
    gradient = OPS["window_max_gradient"].reference(x, np.full((1, 1, 1), 5.0), **attrs)
    assert gradient.tolist() == [[[0.0, 5.0], [0.0, 0.0]]]


def test_a_product_with_zeros_has_its_gradient() -> None:
    x = np.array([[2.0, 0.0, 3.0, 0.0, 0.0]])
    attrs = attributes(sliding((1,), (3,), (1,), (0,)))
    gradient = OPS["window_prod_gradient"].reference(x, np.array([[1.0, 10.0, 100.0]]), **attrs)
    assert gradient.tolist() == [[0.0, 6.0, 0.0, 0.0, 0.0]]


def test_padding_never_wins() -> None:
    x = np.full((1, 3), -7.0)
    attrs = attributes(sliding((1,), (3,), (1,), (SAME,)))
    for name in ("max", "min", "mean"):
        assert OPS[f"window_{name}"].reference(x, **attrs).tolist() == [[-7.0, -7.0, -7.0]]
    assert OPS["window_sum"].reference(x, **attrs).tolist() == [[-14.0, -21.0, -14.0]]


def test_sizes_that_are_not_known_yet() -> None:
    n, f = (Dim.symbol(Symbol(name, lower=low)) for name, low in (("n", 3), ("f", 1)))
    fits = Facts.empty.assume(Relation("<=", f, n))
    x = TensorType((Axis(Dim.of(2), "m"), Axis(n, "n_H"), Axis(Dim.of(3))))

    def size(f: Dim, stride: int, pad: Any) -> Dim:
        w = TensorType((Axis(f), Axis(Dim.of(3)), Axis(Dim.of(4), "n_C")))
        attrs = {"stride": (Dim.of(stride),), "pads": (pad,), "groups": ONE}
        result = OPS["convolve"].type(fits, x, w, **attrs)
        assert [axis.name for axis in result.axes] == ["m", "n_H", "n_C"]
        return result.sizes[1]

    assert size(f, 1, SAME) == n
    assert size(f, 2, SAME) == ceildiv(n, 2)
    assert size(f, 1, (Dim.of(0), Dim.of(0))) == n - f + 1
    assert size(Dim.of(5), 2, (Dim.of(1), Dim.of(1))) == floordiv(n - 3, 2) + 1
    before, after = padding(n, Dim.of(3), Dim.of(2), SAME)
    for given in range(1, 9):
        amounts = [part.evaluate(dict.fromkeys(n.symbols, given)) for part in (before, after)]
        covered = places(given, 3, 2, SAME)
        first, last = covered[0], covered[-1]
        assert amounts == [first.index(0), 2 - last.index(given - 1)]


def test_a_size_that_data_brings_must_be_large_enough() -> None:
    T = Dim.symbol(Symbol("T", "runtime"))
    x = TensorType((Axis(Dim.of(2)), Axis(T, "T"), Axis(Dim.of(3))))
    attrs = dict(sliding((1,), (4,), (2,), (0,)))
    with pytest.raises(ShapeError, match="perhaps larger") as refusal:
        OPS["window_max"].type(Facts.empty, x, **attrs)
    assert refusal.value.help == "say that it fits: `require T >= 4`"
    long = Dim.symbol(Symbol("T", "runtime", lower=4))
    x = TensorType((Axis(Dim.of(2)), Axis(long, "T"), Axis(Dim.of(3))))
    assert OPS["window_max"].type(Facts.empty, x, **attrs).sizes[1] == floordiv(long - 4, 2) + 1


@pytest.mark.parametrize(("f", "stride", "kept"), [(1, 1, True), (1, 2, True), (2, 1, False)])
def test_a_written_1_survives_what_is_1_wide(f: int, stride: int, kept: bool) -> None:
    x = tensor(2, 1, 3)
    pads = ((Dim.of(f - 1), Dim.of(0)),)
    conv = OPS["convolve"].type(Facts.empty, x, tensor(f, 3, 4), stride=(Dim.of(stride),), pads=pads, groups=ONE)
    pool = OPS["window_max"].type(Facts.empty, x, axes=(1,), window=(Dim.of(f),), stride=(Dim.of(stride),), pads=pads)
    assert (conv.axes[1].size, conv.axes[1].one) == (1, kept)
    assert (pool.axes[1].size, pool.axes[1].one) == (1, kept)
