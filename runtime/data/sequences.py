"""Examples of their own lengths, padded to the longest of those that are asked for: kept flat, or in a padded array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.dims import Dim
from dlc.runtime.data.columns import Column
from dlc.runtime.data.layout import LENGTHS, Layout

Array = NDArray[Any]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sequences:
    """A `Column` whose row r is `values[starts[r] : starts[r] + counts[r]]`, of one step at least.

    Rows that are asked for together are as long as the longest of them; the others go on with their last step, which
    is data like the rest. Steps stand on the axis `place` of `rank` axes, all others but the first have size 1.
    `symbol` is the name of the dimension that the counts are the lengths of.
    """

    values: Array
    starts: Indices
    counts: Indices
    place: int
    rank: int
    dtype: np.dtype[Any]
    symbol: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape(len(self.starts), int(self.counts.max(initial=1)))

    @property
    def ndim(self) -> int:
        return self.rank

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: Any) -> Array:
        """Some rows, padded; of a single number that row alone, without the axis of the examples."""
        if isinstance(rows, int | np.integer):
            single: Array = self[np.array([rows])][0]
            return single
        starts, counts = self.starts[rows], self.counts[rows]
        steps = np.arange(int(counts.max(initial=1)))
        places = starts[:, None] + np.minimum(steps, counts[:, None] - 1)
        padded: Array = self.values[places].astype(self.dtype).reshape(self._shape(*places.shape))
        return padded

    @property
    def lengths(self) -> Mapping[str, Indices]:
        """Each example's own sizes, by dimension."""
        return {self.symbol: self.counts}

    def select(self, rows: Indices) -> Sequences:
        """Some of the examples."""
        return replace(self, starts=self.starts[rows], counts=self.counts[rows])

    def _shape(self, examples: int, steps: int) -> tuple[int, ...]:
        return tuple(examples if axis == 0 else steps if axis == self.place else 1 for axis in range(self.rank))


@dataclass(frozen=True, slots=True)
class Padded:
    """A `Column` of a physical array, where sizes of each example's own are those of its `dims` (None: the array's).

    `lengths` are the examples' own sizes by dimension; rows are cut to the longest of those that are asked for.
    """

    values: Array
    dims: tuple[Dim | None, ...]
    lengths: Mapping[str, Indices]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.values), *self._sizes(slice(None)))

    @property
    def ndim(self) -> int:
        return self.values.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> Array:
        """Some rows, cut; of a single number that row alone, without the axis of the examples."""
        if isinstance(rows, int | np.integer):
            single: Array = self[np.array([rows])][0]
            return single
        cut: Array = self.values[(rows, *map(slice, self._sizes(rows)))]
        return np.ascontiguousarray(cut)

    def select(self, rows: Indices) -> Padded:
        """Some of the examples."""
        return replace(self, values=self.values[rows], lengths={n: own[rows] for n, own in self.lengths.items()})

    def _sizes(self, rows: Any) -> list[int]:
        longest = {name: int(own[rows].max(initial=1)) for name, own in self.lengths.items()}
        return [
            size if dim is None else int(dim.evaluate({symbol: longest[symbol.name] for symbol in dim.symbols}))
            for dim, size in zip(self.dims, self.values.shape[1:], strict=True)
        ]


def padded(array: Array, layout: Layout, lengths: Mapping[str, Indices]) -> Padded:
    """A physical array of an input with dimensions of each example's own."""
    axes = range(len(layout.sizes)) if array.ndim == len(layout.sizes) else layout.label_axes
    dims = [layout.declaration.type.sizes[axis] for axis in axes if axis != layout.batch]
    own = {symbol.name: lengths[symbol.name] for symbol in layout.dimensions}
    return Padded(array, tuple(None if dim.constant is not None else dim for dim in dims), own)


def is_ragged(data: Mapping[str, Column]) -> bool:
    """Whether batches of these columns have sizes of their own."""
    return any(isinstance(column, Sequences | Padded) for column in data.values())


def uniform(data: Mapping[str, Column]) -> dict[str, Column]:
    """The columns with plain arrays for sequences that are all of one length; their lengths are left out."""
    plain = {name for name, own in _lengths(data).items() if (own == own[:1]).all()}
    left_out = {LENGTHS + name for name in plain}
    return {
        name: column[:] if isinstance(column, Sequences | Padded) and column.lengths.keys() <= plain else column
        for name, column in data.items()
        if name not in left_out
    }


def total_steps(data: Mapping[str, Column]) -> Indices | None:
    """How many steps each example has in all its sequences; None where all have the same."""
    found = _lengths(data)
    return np.sum(list(found.values()), axis=0) if found else None


def _lengths(data: Mapping[str, Column]) -> dict[str, Indices]:
    columns = [column for column in data.values() if isinstance(column, Sequences | Padded)]
    return {name: own for column in columns for name, own in column.lengths.items()}
