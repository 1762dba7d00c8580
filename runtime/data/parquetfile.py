"""The columns of a Parquet file, read with pyarrow: numbers or texts, one value a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.runtime.data.extras import extra
from dlc.runtime.data.formats import Opened, unreadable
from dlc.runtime.data.parquet import TEXTS

Values = NDArray[Any]


def read_columns(file: Opened, columns: Iterable[str]) -> Mapping[str, Values]:
    """The columns by name: float64 (a missing value is NaN), or the cells' texts (a missing one is empty).

    Raises V504, and V512 where pyarrow is not installed.
    """
    reader = extra("pyarrow.parquet", "pyarrow", "Parquet files", file.span)
    arrow = extra("pyarrow", "pyarrow", "Parquet files", file.span)
    names = list(dict.fromkeys(columns))
    try:
        with reader.ParquetFile(file.path) as opened:
            table = opened.read(columns=names)
        return {name: _values(table.column(name), file.kinds[name] == TEXTS, arrow) for name in names}
    except (arrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise unreadable(f"{file.shown} cannot be read: {error}", file.span) from None


def _values(column: Any, texts: bool, arrow: Any) -> Values:
    if texts:
        cells = column.cast(arrow.string()).to_pylist()
        return np.array(["" if cell is None else cell.strip() for cell in cells], dtype=object)
    numbers: Values = column.cast(arrow.float64(), safe=False).to_numpy().astype(np.float64)
    return numbers
