"""What an input's values are to those who read them row by row: an array, or images that are made when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Column(Protocol):
    """One row for each example, in physical order. `column[rows]` is an array; `np.asarray(column)` is all of it."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def ndim(self) -> int: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


Columns = Mapping[str, Column]


def as_array(column: Column) -> NDArray[Any]:
    """All rows of a column."""
    return column if isinstance(column, np.ndarray) else np.asarray(column[:])
