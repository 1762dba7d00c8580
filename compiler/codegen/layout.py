"""Where the elements of a tensor lie: the physical layout of every type.

One axis of a tensor runs over *rows*; each row holds the other axes, contiguous and padded to a multiple of 16
elements. The row axis is the axis of examples where there is one: of `m`, or of a multiple of it, such as the regions
of all images. What stands behind it comes first inside a row, then what stands before it: of `(n, m, T)` a row holds T
steps of n features each, and the features of a step are padded too, so that all steps of all examples are the rows of a
matrix `(n, m * T)`. Of one feature nothing is padded. A matrix without `m` is stored by columns (the last axis runs over rows), so that a weight
`W : (n_out, n_in)` is `n_in` rows of `n_out` numbers, as the matrix tile wants it. A vector is contiguous. Larger
tensors without `m`, filters `(f, f, n_C_prev, n_C)` or one feature map, are dense as they are written, and their first
axis runs over rows. What lies in the padding is never read for a result.

Sizes that depend on `m` are written as `fixed + per_example * M`, where M is `m` rounded up to 16: rows past the last
example exist, so that a tile may overhang.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from dlc.compiler.dims import Dim, TensorType
from dlc.compiler.ir import Node

LANES = 16
"""Rows are padded to this many elements: one AVX-512 vector of float32."""

ROW_BLOCK = 4
"""Static matrices with padded rows have their number rounded up to this: a tile may read that far."""


class NotSupported(Exception):
    """The graph needs a form that code generation does not have; `node` is where."""

    def __init__(self, message: str, node: Node | None = None) -> None:
        super().__init__(message)
        self.message, self.node = message, node


def round_up(value: int, step: int) -> int:
    return -(-value // step) * step


@dataclass(frozen=True, slots=True)
class Size:
    """A count `fixed + per_example * M`."""

    fixed: int = 0
    per_example: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.fixed + other.fixed, self.per_example + other.per_example)

    def times(self, factor: int) -> Size:
        return Size(self.fixed * factor, self.per_example * factor)

    def covers(self, other: Size) -> bool:
        """Whether it is at least as large for every M (which is at least 16)."""
        return self.per_example >= other.per_example and self.at(LANES) >= other.at(LANES)

    def at(self, capacity: int) -> int:
        return self.fixed + self.per_example * capacity


@dataclass(frozen=True, slots=True)
class PerExample:
    """A size of `times * m`: regions of all images, steps of all sequences."""

    times: int

    def __str__(self) -> str:
        return f"{self.times} * m"


Count = int | PerExample | None
"""A size: a number, so many for each example, or `m` (None)."""


def count_text(count: Count) -> str:
    """A size inside generated code."""
    return "m" if count is None else str(count)


def size_of(count: Count) -> Size:
    """A size as a function of M."""
    if isinstance(count, int):
        return Size(count)
    return Size(0, 1 if count is None else count.times)


@dataclass(frozen=True, slots=True)
class Layout:
    """`sizes` are the logical sizes (None is `m`), `strides` count elements.

    `row_axis` is the axis that runs over rows (None for a single number), `inner` are the others, in physical order.
    """

    sizes: tuple[Count, ...]
    strides: tuple[int, ...]
    row_axis: int | None
    inner: tuple[int, ...]
    row_length: int

    @property
    def rows(self) -> Count:
        """The number of rows; None is `m`."""
        return 1 if self.row_axis is None else self.sizes[self.row_axis]

    @property
    def known(self) -> tuple[int, ...]:
        """The sizes that are numbers: all of a tensor without m."""
        return tuple(size for size in self.sizes if isinstance(size, int))

    @property
    def inner_sizes(self) -> tuple[int, ...]:
        return tuple(size for axis in self.inner if isinstance(size := self.sizes[axis], int))

    @property
    def width(self) -> int:
        """The number of elements in a row, without padding."""
        width = 1
        for size in self.inner_sizes:
            width *= size
        return width

    @property
    def elements(self) -> Size:
        """The room it takes, padding included."""
        rows = self.rows
        if not isinstance(rows, int):
            return size_of(rows).times(self.row_length)
        return Size(round_up((rows if len(self.sizes) > 2 else round_up(rows, ROW_BLOCK)) * self.row_length, LANES))


def sizes_of(type: TensorType, node: Node | None = None) -> tuple[Count, ...]:
    """The sizes as numbers, None where a size is `m`."""
    return tuple(_size(axis.size, node) for axis in type.axes)


def _size(size: Dim, node: Node | None) -> Count:
    if size.constant is not None:
        return int(size.constant)
    symbols = list(size.symbols)
    if len(symbols) == 1 and symbols[0].kind == "batch":
        times = size.terms.get(((symbols[0], 1),), 0)
        if isinstance(times, int) and size == times * Dim.symbol(symbols[0]):
            return None if times == 1 else PerExample(times)
    raise NotSupported(f"a size of {size}: only numbers and multiples of m can be compiled", node)


def dim_text(dim: Dim, node: Node | None = None) -> str:
    """A dimension as an expression in m."""
    terms = []
    for monomial, coefficient in dim.terms.items():
        powers = []
        for atom, exponent in monomial:
            if getattr(atom, "kind", None) != "batch" or exponent < 1:
                raise NotSupported(f"the size {dim}", node)
            powers += ["m"] * exponent
        terms.append(" * ".join([str(coefficient), *powers] if coefficient != 1 or not powers else powers))
    return " + ".join(terms) or "0"


def is_scalar(type: TensorType) -> bool:
    """One number, whatever its rank."""
    return all(axis.size.constant == 1 for axis in type.axes)


def layout_of(type: TensorType, node: Node | None = None) -> Layout:
    """The layout of every tensor of that type."""
    sizes = sizes_of(type, node)
    return _laid_out(sizes, _row_axis(sizes, node))


@functools.cache
def _laid_out(sizes: tuple[Count, ...], row_axis: int | None) -> Layout:
    first = row_axis or 0
    inner = tuple(axis for axis in (*range(first, len(sizes)), *range(first)) if axis != row_axis)
    known = [size for size in sizes if isinstance(size, int)]
    features, width = (math.prod(sizes[axis] for axis in axes) for axes in (range(first), inner))  # type: ignore[misc]
    strides = [0] * len(sizes)
    step = 1
    for axis in reversed(inner):
        if axis == len(sizes) - 1 and features > 1:
            step = round_up(step, LANES)
        strides[axis] = step
        step *= sizes[axis]  # type: ignore[operator]
    dense = width == 1 or (len(sizes) > 2 and len(known) == len(sizes))
    row_length = step if dense or 0 < first < len(sizes) - 1 else round_up(step, LANES)
    if row_axis is not None:
        strides[row_axis] = row_length
    return Layout(sizes, tuple(strides), row_axis, inner, row_length)


def _row_axis(sizes: tuple[Count, ...], node: Node | None) -> int | None:
    batch = [axis for axis, size in enumerate(sizes) if not isinstance(size, int)]
    if len(batch) > 1:
        raise NotSupported("a tensor with two axes of m examples", node)
    if batch:
        return batch[0]
    longer = [axis for axis, size in enumerate(sizes) if size != 1]
    if len(sizes) == 2 and len(longer) == 2:
        return 1
    if len(sizes) > 2 and longer:
        return 0  # a single feature map is a row, like each of m
    return longer[0] if longer else None
