"""Files to values, before any step: reals or label cells, one row an example, with the place of each in its file."""

from __future__ import annotations

import math
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.runtime.data.csvfile import Wanted, read_table
from dlc.runtime.data.formats import CsvHeader, Opened, unreadable
from dlc.runtime.data.origins import Origin
from dlc.runtime.data.parquetfile import read_columns
from dlc.runtime.data.pixels import read_pixels

Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """The examples of several files, one file after the other.

    `values[name]` is (examples, columns): float64, the bytes of pixels, or objects (the texts of label cells).
    `starts` are the numbers of the files' first examples, `lines` the line of each example in its file (of a CSV),
    `fold` the words of the column that says the split, `names` the file of each image.
    """

    values: Mapping[str, Values]
    count: int
    files: tuple[str, ...]
    starts: tuple[int, ...]
    lines: NDArray[np.int64] | None
    fold: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """`digits.csv:17`, `digits.npz: example 16` (from 0), or `cats/cat/1.png`."""
        if self.names:
            return self.names[row]
        file = bisect_right(self.starts, row) - 1
        if self.lines is not None:
            return f"{self.files[file]}:{self.lines[row]}"
        return f"{self.files[file]}: example {row - self.starts[file]}"


def read(files: Sequence[Opened], origins: Mapping[str, Origin], fold: str | None = None) -> Rows:
    """All examples of the files; `fold` is a further column (or array) of texts.

    Raises V501, V502, V504, V505, V506 and V507 (images), V512.
    """
    readers = {"csv": _read_csv, "parquet": _read_parquet, "npz": _read_npz, "images": _read_images}
    parts = [readers[file.format](file, origins, fold) for file in files]
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in origins}
    lines = [part.lines for part in parts if part.lines is not None]
    starts = np.cumsum([0, *(part.count for part in parts)])
    return Rows(
        values,
        int(starts[-1]),
        tuple(file.shown for file in files),
        tuple(starts[:-1].tolist()),
        np.concatenate(lines) if lines else None,
        tuple(word for part in parts for word in part.fold),
        tuple(name for part in parts for name in part.names),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """What one file gives; see `Rows`."""

    values: dict[str, Values]
    count: int
    lines: NDArray[np.int64] | None
    fold: Sequence[str] = ()
    names: Sequence[str] = ()


def _read_csv(file: Opened, origins: Mapping[str, Origin], fold: str | None) -> _Part:
    wanted: dict[tuple[str, bool], Wanted] = {}
    for origin in origins.values():
        for column in origin.columns:
            before = wanted.get((column, origin.texts))
            optional = origin.layout.declaration.optional and (before is None or before.optional)
            wanted[column, origin.texts] = Wanted(column, origin.texts, optional, origin.span)
    if fold is not None:
        wanted.setdefault((fold, True), Wanted(fold, True, False, file.span))
    assert isinstance(file.header, CsvHeader)
    table = read_table(file.path, file.shown, file.header, list(wanted.values()), file.span)
    values: dict[str, Values] = {}
    for name, origin in origins.items():
        if origin.texts:
            values[name] = np.array([table.texts[column] for column in origin.columns], dtype=object).T
        else:
            values[name] = np.stack([table.numbers[column] for column in origin.columns], axis=1)
    return _Part(values, len(table.lines), table.lines, table.texts[fold] if fold is not None else ())


def _read_parquet(file: Opened, origins: Mapping[str, Origin], fold: str | None) -> _Part:
    wanted = [column for origin in origins.values() for column in origin.columns]
    columns = read_columns(file, [*wanted, *([fold] if fold is not None else [])])
    values = {name: np.stack([columns[c] for c in origin.columns], axis=1) for name, origin in origins.items()}
    count = len(next(iter(columns.values())))
    return _Part(values, count, None, columns[fold].tolist() if fold is not None else ())


def _read_images(file: Opened, origins: Mapping[str, Origin], fold: str | None) -> _Part:
    files = file.images.files
    labels = np.array([[image.label] for image in files], dtype=object)
    values = {
        name: labels if origin.kind == "label" else read_pixels(file.images, origin.layout, file.span)
        for name, origin in origins.items()
    }
    return _Part(values, len(files), None, names=[image.shown for image in files])


def _read_npz(file: Opened, origins: Mapping[str, Origin], fold: str | None) -> _Part:
    try:
        with np.load(file.path, allow_pickle=False) as archive:
            values = {name: _examples(archive[origin.array], origin) for name, origin in origins.items()}
            words = archive[fold].astype(str).tolist() if fold is not None else ()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, MemoryError) as error:
        raise unreadable(f"{file.shown} cannot be read: {error}", file.span) from None
    count = len(next(iter(values.values())))
    if count == 0:
        raise unreadable(f"{file.shown} has no examples", file.span)
    return _Part(values, count, None, words)


def _examples(array: Values, origin: Origin) -> Values:
    """A stored array as (examples, columns), the columns in the declared order of the axes."""
    turned = array.T if origin.transposed else array
    rows = np.moveaxis(turned, origin.layout.batch_axis(origin.dense), 0)
    return rows.reshape(len(rows), math.prod(rows.shape[1:])).astype(object if array.dtype.kind == "U" else np.float64)
