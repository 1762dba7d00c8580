"""Where the elements of a tensor lie: the physical layout of every type.

One axis of a tensor runs over *rows*; each row holds the other axes, contiguous and padded to a multiple of 16
elements. The row axis is the axis of examples where there is one: of `m`, or of a multiple of it, such as the regions
of all images. What stands behind it comes first inside a row, then what stands before it: of `(n, m, T)` a row holds T
steps of n features each, and the features of a step are padded too, so that all steps of all examples are the rows of a
matrix `(n, m * T)`. Of one feature nothing is padded, nor what a run-time dimension is the length of.
A matrix without `m` is stored by columns (the last axis runs over rows), so that a weight
`W : (n_out, n_in)` is `n_in` rows of `n_out` numbers, as the matrix tile wants it. A vector is contiguous. Larger
tensors without `m`, filters `(f, f, n_C_prev, n_C)` or one feature map, are dense as they are written, and their first
axis runs over rows. What lies in the padding is never read for a result.

Room that depends on `m` is counted in M, which is `m` rounded up to 16: rows past the last example exist, so that a
tile may overhang. Strides and room may depend on the run-time dimensions too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from dlc.compiler.dims import ZERO, Axis, Dim, Symbol, TensorType
from dlc.compiler.dims.poly import Atom, Monomial, Number
from dlc.compiler.ir import Graph, Node, bodies
from dlc.compiler.program import M

LANES = 16
"""Rows are padded to this many elements: one AVX-512 vector of float32."""

ROW_BLOCK = 4
"""Static matrices with padded rows have their number rounded up to this: a tile may read that far."""

TYPICAL = 32
"""What a run-time dimension counts for in estimates."""


class NotSupported(Exception):
    """The graph needs a form that code generation does not have; `node` is where."""

    def __init__(self, message: str, node: Node | None = None) -> None:
        super().__init__(message)
        self.message, self.node = message, node


Count = int | Dim | None
"""A size: a number, `m` (None), or another run-time size: T, or m * T for the steps of all sequences."""

Stride = int | Dim
"""Elements from one place of an axis to the next."""


def plain(size: Dim) -> int | Dim:
    """A number as a number."""
    return size if size.constant is None else int(size.constant)


def fixed(size: Stride) -> int:
    """A size that has to be a number where it stands. Raises NotSupported."""
    if not isinstance(size, int):
        raise NotSupported(f"a size of {size} in this place")
    return size


def round_up(value: int, step: int) -> int:
    return -(-value // step) * step


# --- as text -------------------------------------------------------------------------------------------------------


def dim_text(dim: Dim, m: str = "m") -> str:
    """A dimension as an expression; a run-time dimension T is called `dim_T`."""
    terms = []
    for monomial, coefficient in dim.terms.items():
        factors = [_atom_text(atom, m) for atom, exponent in monomial for _ in range(exponent)]
        if not isinstance(coefficient, int) or any(exponent < 0 for _, exponent in monomial):
            raise NotSupported(f"the size {dim}")
        terms.append(" * ".join([*([str(coefficient)] if coefficient != 1 or not factors else []), *factors]))
    return " + ".join(terms) or "0"


def _atom_text(atom: Atom, m: str) -> str:
    if isinstance(atom, Symbol):
        return m if atom.kind == "batch" else f"dim_{atom.name}"
    p, q = dim_text(atom.p, m), dim_text(atom.q, m)
    if atom.op not in FORMS:
        raise NotSupported(f"the size {Dim.atom(atom)}")
    return FORMS[atom.op].format(p, q)


FORMS = {
    "floor": "(({}) // ({}))",
    "ceil": "(-(-({}) // ({})))",
    "%": "(({}) % ({}))",
    "min": "min({}, {})",
    "max": "max({}, {})",
}
"""How rounded and chosen sizes are written."""


def count_text(count: Count) -> str:
    """A size inside generated code."""
    return "m" if count is None else dim_text(count) if isinstance(count, Dim) else str(count)


def factor_text(count: Count) -> str:
    """A size as a factor."""
    text = count_text(count)
    return text if text.isidentifier() or text.isdigit() else f"({text})"


def runtime_names(graph: Graph) -> set[str]:
    """The names of the run-time dimensions that a program knows, in the bodies of its loops too."""
    found: set[str] = set()
    for node in graph.nodes:
        sizes = {*node.type.sizes, *(value for _, value in node.attrs if isinstance(value, Dim))}
        sizes |= {axis.size for _, axis in node.attrs if isinstance(axis, Axis)}
        found |= {symbol.name for size in sizes for symbol in size.symbols if symbol.kind == "runtime"}
        found |= set().union(*(runtime_names(body.graph) for body in bodies(node)))
    return found


# --- room ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Size:
    """Room: a polynomial in M and the run-time dimensions, in which the symbol of `m` stands for M."""

    dim: Dim = ZERO

    @staticmethod
    def of(fixed: int, per_example: int = 0) -> Size:
        return Size(Dim.of(fixed) + (per_example * EXAMPLES if per_example else ZERO))

    def __add__(self, other: Size) -> Size:
        return Size(self.dim + other.dim)

    def times(self, factor: Stride) -> Size:
        return Size(self.dim * factor)

    @property
    def fixed(self) -> int:
        """What does not depend on any size."""
        return int(self.dim.terms.get((), 0))

    @property
    def per_example(self) -> int:
        """What each of M examples adds, whatever the other sizes."""
        return int(self.dim.terms.get(((M, 1),), 0))

    @functools.lru_cache(maxsize=1 << 14)  # noqa: B019 - sizes are values
    def covers(self, other: Size) -> bool:
        """Whether it is at least as large for every M (which is at least 16) and all run-time dimensions."""
        rest = self.dim - other.dim
        growing = all(coefficient >= 0 for monomial, coefficient in rest.terms.items() if monomial)
        return growing and Size(rest).at(LANES, other=1) >= 0

    @functools.lru_cache(maxsize=1 << 14)  # noqa: B019 - sizes are values
    def at(self, capacity: int, other: int = TYPICAL) -> int:
        """For so many examples; run-time dimensions count for `other`."""
        return about(self.dim, capacity, other)

    def in_lines(self, line: int) -> Size:
        """Rounded up so that it is a multiple of `line` bytes whatever M, which is a multiple of 16, and the rest."""
        terms: dict[Monomial, Number] = {}
        for monomial, coefficient in self.dim.terms.items():
            assert isinstance(coefficient, int)
            terms[monomial] = round_up(coefficient, line // LANES if _of_examples(monomial) else line)
        return Size(Dim(terms))


def _of_examples(monomial: Monomial) -> bool:
    return any(isinstance(atom, Symbol) and atom.kind == "batch" for atom, _ in monomial)


def about(size: Count, m: int = 1, other: int = TYPICAL) -> int:
    """A size as a number, for estimates."""
    if size is None:
        return m
    if isinstance(size, int):
        return size
    return int(size.evaluate({s: m if s.kind == "batch" else other for s in size.symbols}))


def size_of(count: Count) -> Size:
    """Room for so many numbers."""
    return Size(EXAMPLES if count is None else Dim.of(most(count)))


def most(size: Stride) -> Stride:
    """A size for which there is room: what a generator has written grows, and stays where it lies."""
    if isinstance(size, int):
        return size
    return plain(size.substitute({s: s.upper for s in size.symbols if s.kind == "written" and s.upper is not None}))


# --- layouts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layout:
    """`sizes` are the logical sizes (None is `m`), `strides` count elements.

    `row_axis` is the axis that runs over rows (None for a single number), `inner` are the others, in physical order.
    """

    sizes: tuple[Count, ...]
    strides: tuple[Stride, ...]
    row_axis: int | None
    inner: tuple[int, ...]
    row_length: Stride

    @property
    def rows(self) -> Count:
        """The number of rows; None is `m`."""
        return 1 if self.row_axis is None else self.sizes[self.row_axis]

    @property
    def known(self) -> tuple[int, ...]:
        """The sizes that are numbers: all of a tensor without m."""
        return tuple(size for size in self.sizes if isinstance(size, int))

    @property
    def inner_sizes(self) -> tuple[Stride, ...]:
        return tuple(size for axis in self.inner if (size := self.sizes[axis]) is not None)

    @property
    def width(self) -> Stride:
        """The number of elements in a row, without padding."""
        return product(self.inner_sizes)

    @property
    def elements(self) -> Size:
        """The room it takes, padding included."""
        rows = self.rows
        if not isinstance(rows, int):
            return size_of(rows).times(self.row_length)
        rows = rows if len(self.sizes) > 2 else round_up(rows, ROW_BLOCK)
        return Size(Dim.of(self.row_length) * rows).in_lines(LANES)

    @property
    def count(self) -> Stride:
        """The same as a number of elements, of a tensor without m."""
        return plain(self.elements.dim)


def product(sizes: Iterable[Stride]) -> Stride:
    """How many elements there are."""
    result: Stride = 1
    for size in sizes:
        result = size * result
    return plain(result) if isinstance(result, Dim) else result


@functools.lru_cache(maxsize=1 << 14)
def sizes_of(type: TensorType) -> tuple[Count, ...]:
    """The sizes as numbers, None where a size is `m`."""
    return tuple(_size(axis.size) for axis in type.axes)


def _size(size: Dim) -> Count:
    return None if size == EXAMPLES else plain(size)


def is_scalar(type: TensorType) -> bool:
    """One number, whatever its rank."""
    return all(axis.size.constant == 1 for axis in type.axes)


def layout_of(type: TensorType, node: Node | None = None) -> Layout:
    """The layout of every tensor of that type."""
    sizes = sizes_of(type)
    return _laid_out(sizes, _row_axis(sizes, node))


@functools.cache
def _laid_out(sizes: tuple[Count, ...], row_axis: int | None) -> Layout:
    first = row_axis or 0
    inner = tuple(axis for axis in (*range(first, len(sizes)), *range(first)) if axis != row_axis)
    extent = {axis: most(size) for axis in inner if (size := sizes[axis]) is not None}
    features, width = (product(extent[axis] for axis in axes) for axes in (range(first), inner))
    strides: list[Stride] = [0] * len(sizes)
    step: Stride = 1
    for axis in reversed(inner):
        if axis == len(sizes) - 1 and features != 1:
            step = _padded(step)
        strides[axis] = step
        step = product((step, extent[axis]))
    dense = width == 1 or (len(sizes) > 2 and not any(map(grows, sizes)))
    row_length = step if dense or 0 < first < len(sizes) - 1 else _padded(step)
    if row_axis is not None:
        strides[row_axis] = row_length
    return Layout(sizes, tuple(strides), row_axis, inner, row_length)


def _padded(step: Stride) -> Stride:
    return round_up(step, LANES) if isinstance(step, int) else step


def grows(size: Count) -> bool:
    """Whether a size depends on the number of examples."""
    return size is None or (isinstance(size, Dim) and any(symbol.kind == "batch" for symbol in size.symbols))


def _row_axis(sizes: tuple[Count, ...], node: Node | None) -> int | None:
    batch = [axis for axis, size in enumerate(sizes) if grows(size)]
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


EXAMPLES = Dim.symbol(M)
