"""The random numbers of generated code in NumPy: the same formulas, the same bits, without Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.compiler.codegen.host.formulas import (
    FLOAT32,
    FLOAT64,
    Format,
    normal_formula,
    random_bits,
    uniform_formula,
)

__all__ = ["NumpyArithmetic", "normal01_reference", "uniform01_reference"]

Array = np.ndarray[Any, Any]


class NumpyArithmetic:
    """The arithmetic of `formulas.py` on NumPy arrays of one float type."""

    def __init__(self, dtype: str) -> None:
        self.float = np.dtype(dtype).type
        self.uint: Any = np.uint32 if dtype == "float32" else np.uint64
        self.int: Any = np.int32 if dtype == "float32" else np.int64
        self.format: Format = FLOAT32 if dtype == "float32" else FLOAT64

    def number(self, value: float) -> Any:
        return self.float(value)

    def integer(self, value: int) -> Any:
        return self.uint(value)

    def word(self, value: int) -> Any:
        return np.uint64(value)

    def bits(self, x: Any) -> Any:
        return np.asarray(x).view(self.uint)

    def from_bits(self, n: Any) -> Any:
        return np.asarray(n).view(self.float)

    def halved(self, n: Any) -> Any:
        """n / 2 of a signed integer, rounded down."""
        return (n.view(self.int) >> 1).view(self.uint)

    def narrow(self, word: Any) -> Any:
        """The low bits of a 64-bit word, as wide as the float."""
        return np.asarray(word).astype(self.uint)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return a * b + c

    def sqrt(self, x: Any) -> Any:
        return np.sqrt(x)

    def abs(self, x: Any) -> Any:
        return np.abs(x)

    def signed(self, size: Any, sign: Any) -> Any:
        return np.copysign(size, sign)

    def less(self, a: Any, b: Any) -> Any:
        return a < b

    def equal(self, a: Any, b: Any) -> Any:
        return a == b

    def both(self, p: Any, q: Any) -> Any:
        return p & q

    def where(self, condition: Any, chosen: Any, other: Any) -> Any:
        return np.where(condition, chosen, other)

    def at_most(self, x: Any, bound: float) -> Any:
        return np.where(self.float(bound) < x, self.float(bound), x)

    def at_least(self, x: Any, bound: float) -> Any:
        return np.where(x < self.float(bound), self.float(bound), x)


AT_ONCE = 1 << 14
"""So many elements are computed at a time: the formulas' many intermediate values stay in the second cache, which makes
them ten times as fast."""


def uniform01_reference(seed: int, draw: int, step: int, indices: Array, dtype: str = "float64") -> Array:
    """`uniform01` of every index: numbers in [0, 1), the bits of the compiled one. Any shape of indices."""
    return _in_pieces(draw_uniform(NumpyArithmetic(dtype), seed, draw, step), indices)


def normal01_reference(seed: int, draw: int, step: int, indices: Array, dtype: str = "float64") -> Array:
    """`normal01` of every index: standard normal numbers, the bits of the compiled one."""
    m = NumpyArithmetic(dtype)
    uniform = draw_uniform(m, seed, draw, step)

    def normal(indices: Array) -> Array:
        pairs = indices.astype(np.uint64) * np.uint64(2)
        found: Array = normal_formula(m, uniform(pairs), uniform(pairs + np.uint64(1)))
        return found

    return _in_pieces(normal, indices)


def _in_pieces(function: Callable[[Array], Array], indices: Array) -> Array:
    """A function of every index."""
    given = np.asarray(indices)
    flat = given.reshape(-1)
    with np.errstate(all="ignore"):
        pieces = [function(flat[start : start + AT_ONCE]) for start in range(0, max(len(flat), 1), AT_ONCE)]
    return np.concatenate(pieces).reshape(given.shape)


def draw_uniform(m: NumpyArithmetic, seed: int, draw: int, step: int) -> Callable[[Array], Array]:
    # Arrays of one element: NumPy warns where a scalar wraps around, and wrapping is meant.
    words = [np.array([part % 2**64], np.uint64) for part in (seed, draw, step)]

    def uniform(indices: Array) -> Array:
        found: Array = uniform_formula(m, random_bits(m, words[0], words[1], words[2], indices.astype(np.uint64)))
        return found

    return uniform
