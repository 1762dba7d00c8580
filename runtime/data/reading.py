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

from dlc.grammar.span import Span
from dlc.runtime.data.csvfile import Wanted, read_table
from dlc.runtime.data.formats import CsvHeader, IdxArray, Opened, unreadable
from dlc.runtime.data.idx import opened_idx, wrong_length
from dlc.runtime.data.image_origins import image_text, needs_text
from dlc.runtime.data.origins import Origin
from dlc.runtime.data.parquetfile import read_columns
from dlc.runtime.data.pixels import Bytes, formed_array, read_pixels
from dlc.runtime.threads import usable_threads

Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """The examples of several files, one file after the other.

    `values[name]` is (examples, columns): float64, pixels and arrays in their own type, or objects (the texts of label
    cells).
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


def read(
    files: Sequence[Opened], origins: Mapping[str, Origin], fold: str | None = None, threads: int | None = None
) -> Rows:
    """All examples of the files; `fold` is a further column (or array) of texts. Images are decoded by `threads`.

    Raises V501, V502, V504, V505, V506 and V507 (images), V512.
    """
    decoders = threads or usable_threads()
    parts = [_part(file, origins, fold, decoders) for file in files]
    values = {name: _joined([part.values[name] for part in parts]) for name in origins}
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


def _part(file: Opened, origins: Mapping[str, Origin], fold: str | None, threads: int) -> _Part:
    match file.format:
        case "csv":
            return _read_csv(file, origins, fold)
        case "parquet":
            return _read_parquet(file, origins, fold)
        case "npz":
            return _read_npz(file, origins, fold)
        case "idx":
            return _read_idx(file, origins, threads)
    return _read_images(file, origins, threads)


def _joined(parts: Sequence[Values]) -> Values:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


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


def _read_images(file: Opened, origins: Mapping[str, Origin], threads: int) -> _Part:
    files = file.images.files
    values: dict[str, Values] = {}
    for name, origin in origins.items():
        if origin.kind == "label":
            values[name] = np.array([[image.label] for image in files], dtype=object)
            continue
        needs = needs_text(origin.layout)
        if origin.change is not None and origin.change.crops:
            needs = f"the first image is {image_text(origin.shape)}"
        values[name] = read_pixels(files, origin.form, origin.shape, needs, file.span, threads)
    return _Part(values, len(files), None, names=[image.shown for image in files])


def _read_idx(file: Opened, origins: Mapping[str, Origin], threads: int) -> _Part:
    values: dict[str, Values] = {}
    for name, origin in origins.items():
        if origin.kind == "label":
            assert file.idx.labels is not None
            values[name] = _idx_array(file.idx.labels, file.span).reshape(-1, 1).astype(np.float64)
            continue
        stored = _idx_array(file.idx.images, file.span).reshape(-1, *file.idx.shape)
        shape = origin.form.shape(file.idx.shape)
        pixels: Bytes = np.empty((len(stored), math.prod(shape)), np.uint8)
        for row, image in enumerate(stored):
            pixels[row] = formed_array(image, origin.form, file.span).reshape(-1)
        values[name] = pixels
    return _Part(values, file.idx.images.count, None)


def _idx_array(array: IdxArray, span: Span | None) -> Values:
    """The values of an IDX file. Raises V504 where they are not as many as its header says."""
    try:
        with opened_idx(array.path) as (file, _):
            file.read(array.offset)
            content = file.read(array.bytes)
            rest = len(content) == array.bytes and file.read(1) != b""
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise unreadable(f"{array.shown} cannot be read: {error}", span) from None
    if len(content) != array.bytes or rest:
        raise wrong_length(array, len(content) + rest, span)
    return np.frombuffer(content, array.dtype).reshape(array.shape)


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
    """A stored array as (examples, columns), the columns in the declared order of the axes.

    Bytes and float32 of reals stay what they are: as float64 they would take eight times and twice the memory.
    """
    turned = array.T if origin.transposed else array
    rows = np.moveaxis(turned, origin.layout.batch_axis(origin.dense), 0)
    rows = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    if array.dtype.kind == "U":
        return rows.astype(object)
    layout = origin.layout
    reals = origin.dense or (layout.class_axis is None and not layout.declaration.index)
    keeps = reals and array.dtype.name in ("uint8", "float32") and array.dtype.isnative
    return np.ascontiguousarray(rows) if keeps else rows.astype(np.float64)
