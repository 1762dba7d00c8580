"""Examples of their own lengths: one flat array, padded to the longest when some of them are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.runtime.data.columns import Column
from dlc.runtime.data.layout import LENGTHS

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

    def select(self, rows: Indices) -> Sequences:
        """Some of the examples."""
        return replace(self, starts=self.starts[rows], counts=self.counts[rows])

    def _shape(self, examples: int, steps: int) -> tuple[int, ...]:
        return tuple(examples if axis == 0 else steps if axis == self.place else 1 for axis in range(self.rank))


def is_ragged(data: Mapping[str, Column]) -> bool:
    """Whether batches of these columns have sizes of their own."""
    return any(isinstance(column, Sequences) for column in data.values())


def uniform(data: Mapping[str, Column]) -> dict[str, Column]:
    """The columns with plain arrays for sequences that are all of one length; their lengths are left out."""
    plain = {
        column.symbol
        for column in data.values()
        if isinstance(column, Sequences) and (column.counts == column.counts[:1]).all()
    }
    return {
        name: column[:] if isinstance(column, Sequences) and column.symbol in plain else column
        for name, column in data.items()
        if name not in {LENGTHS + symbol for symbol in plain}
    }


def total_steps(data: Mapping[str, Column]) -> Indices | None:
    """How many steps each example has in all its sequences; None where all have the same."""
    found = {c.symbol: c.counts for c in data.values() if isinstance(c, Sequences)}
    return np.sum(list(found.values()), axis=0) if found else None
