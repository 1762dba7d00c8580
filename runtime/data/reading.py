"""Files to values, before any step: reals or label cells, one row an example, with the place of each in its file."""

from __future__ import annotations

import math
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import DiagnosticError
from dlc.compiler.settings import AS_STORED
from dlc.grammar.span import Span
from dlc.runtime.data.csvfile import Wanted, read_table
from dlc.runtime.data.dimensions import Lengths, check_lengths, dimension_sizes, fill_padding
from dlc.runtime.data.formats import CsvHeader, IdxArray, Opened, unreadable
from dlc.runtime.data.idx import opened_idx, wrong_length
from dlc.runtime.data.image_origins import image_text, needs_text
from dlc.runtime.data.image_store import LazyImages, most_bytes
from dlc.runtime.data.origins import Origin
from dlc.runtime.data.parquetfile import read_columns
from dlc.runtime.data.pixels import Bytes, check_header, formed_array, pixels_of
from dlc.runtime.data.problems import CELL_HELP, FILL_IN
from dlc.runtime.data.text_origins import time_axis, window_step
from dlc.runtime.data.textfile import read_text
from dlc.runtime.data.tokens import Texts, stream, tokenized, windows
from dlc.runtime.threads import usable_threads

Array = NDArray[Any]
Values = Array | LazyImages | Texts


@dataclass(frozen=True, slots=True)
class Rows:
    """The examples of several files, one file after the other.

    `values[name]` is (examples, columns): float64, pixels and arrays in their own type, objects (the texts of label
    cells); or images that are not decoded yet, or tokens that are not classes yet.
    `starts` are the numbers of the files' first examples, `lines` the line of each example in a CSV or a text,
    `fold` the words of the column that says the split, `names` the file of each image, `lengths` each example's own
    sizes by dimension (of an NPZ).
    """

    values: Mapping[str, Values]
    count: int
    files: tuple[str, ...]
    starts: tuple[int, ...]
    lines: NDArray[np.int64] | None
    fold: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    lengths: Lengths = field(default_factory=dict)

    def place(self, row: int) -> str:
        """`digits.csv:17`, `digits.npz: example 16` (from 0), or `cats/cat/1.png`."""
        if self.names:
            return self.names[row]
        file = bisect_right(self.starts, row) - 1
        if self.lines is not None:
            return f"{self.files[file]}:{self.lines[row]}"
        return f"{self.files[file]}: example {row - self.starts[file]}"


def read(
    files: Sequence[Opened],
    origins: Mapping[str, Origin],
    fold: str | None = None,
    threads: int | None = None,
    *,
    answered: bool = False,
) -> Rows:
    """All examples of the files; `fold` is a further column (or array) of texts. Images are decoded by `threads`.

    Where each line of a text is `answered`, a blank one between others is an example too, an empty one.

    Raises V501, V502, V504, V505, V506 and V507 (images), V512.
    """
    decoders = threads or usable_threads()
    parts = [_part(file, origins, fold, answered) for file in files]
    values = {name: _joined([part.values[name] for part in parts], decoders) for name in origins}
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
        {name: np.concatenate([part.lengths[name] for part in parts]) for name in parts[0].lengths},
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """What one file gives; see `Rows`."""

    values: Mapping[str, Values]
    count: int
    lines: NDArray[np.int64] | None
    fold: Sequence[str] = ()
    names: Sequence[str] = ()
    lengths: Lengths = field(default_factory=dict)


def _part(file: Opened, origins: Mapping[str, Origin], fold: str | None, answered: bool) -> _Part:
    match file.format:
        case "csv":
            return _read_csv(file, origins, fold)
        case "parquet":
            return _read_parquet(file, origins, fold)
        case "npz":
            return _read_npz(file, origins, fold)
        case "idx":
            return _read_idx(file, origins)
        case "text":
            return _read_text(file, origins, answered)
    return _read_images(file, origins)


def _joined(parts: Sequence[Values], threads: int) -> Values:
    """The values of all files. Images are decoded now, or later where their pixels are too many to be kept."""
    texts = [part for part in parts if isinstance(part, Texts)]
    if texts:
        return Texts.joined(texts)
    lazy = [part for part in parts if isinstance(part, LazyImages)]
    if not lazy:
        arrays = [part for part in parts if isinstance(part, np.ndarray)]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    images = LazyImages.joined(lazy)
    if images.bytes <= most_bytes():
        return images.read(threads)
    images.look(threads)
    return images


def _read_csv(file: Opened, origins: Mapping[str, Origin], fold: str | None) -> _Part:
    wanted: dict[tuple[str, bool], Wanted] = {}
    for origin in origins.values():
        for column in origin.columns:
            before = wanted.get((column, origin.texts))
            optional = origin.layout.declaration.optional and (before is None or before.optional)
            missing = CELL_HELP if origin.tokens is None else FILL_IN
            wanted[column, origin.texts] = Wanted(column, origin.texts, optional, origin.span, missing)
    if fold is not None:
        wanted.setdefault((fold, True), Wanted(fold, True, False, file.span, FILL_IN))
    assert isinstance(file.header, CsvHeader)
    table = read_table(file.path, file.shown, file.header, list(wanted.values()), file.span)
    values: dict[str, Values] = {}
    for name, origin in origins.items():
        if origin.tokens is not None:
            values[name] = tokenized(table.texts[origin.columns[0]], origin.tokens)
        elif origin.texts:
            values[name] = np.array([table.texts[column] for column in origin.columns], dtype=object).T
        else:
            values[name] = np.stack([table.numbers[column] for column in origin.columns], axis=1)
    return _Part(values, len(table.lines), table.lines, table.texts[fold] if fold is not None else ())


def _read_parquet(file: Opened, origins: Mapping[str, Origin], fold: str | None) -> _Part:
    wanted = [column for origin in origins.values() for column in origin.columns]
    columns = read_columns(file, [*wanted, *([fold] if fold is not None else [])])
    values: dict[str, Values] = {}
    for name, origin in origins.items():
        if origin.tokens is not None:
            values[name] = tokenized(columns[origin.columns[0]].tolist(), origin.tokens)
        else:
            values[name] = np.stack([columns[c] for c in origin.columns], axis=1)
    count = len(next(iter(columns.values())))
    return _Part(values, count, None, columns[fold].tolist() if fold is not None else ())


def _read_text(file: Opened, origins: Mapping[str, Origin], answered: bool) -> _Part:
    """The lines of a text that are not blank (`answered`: all up to the last such one), or windows of all of it. Raises
    V504 where it is too short for one."""
    text = read_text(file.path, file.shown, file.span)
    tokens = {name: origin.tokens for name, origin in origins.items() if origin.tokens is not None}
    values: dict[str, Values] = {}
    if any(origin.kind == "line" for origin in origins.values()):
        found = enumerate(text.rstrip().split("\n"), 1)
        lines = [(number, line.strip()) for number, line in found if answered or line.strip()]
        values |= {name: tokenized([line for _, line in lines], own) for name, own in tokens.items()}
        return _Part(values, len(lines), np.array([number for number, _ in lines], np.int64))
    whole = stream(text, next(iter(tokens.values())))
    short = all(time_axis(origin.layout).symbol is not None for origin in origins.values())
    made, begins = windows(whole, tokens, window_step(origins), short=short)
    if not len(begins):
        reach = max(own.ahead + (own.window or 1) for own in tokens.values())
        unit = next(iter(tokens.values())).unit
        message = f"{file.shown} is too short: it has {len(whole.codes)} {unit}, and one example takes {reach}"
        raise unreadable(message, file.span)
    return _Part(values | made, len(begins), begins)


def _read_images(file: Opened, origins: Mapping[str, Origin]) -> _Part:
    files = file.images.files
    values: dict[str, Values] = {}
    for name, origin in origins.items():
        if origin.kind == "label":
            values[name] = np.array([[image.label] for image in files], dtype=object)
        else:
            values[name] = _lazy(file, origin)
    return _Part(values, len(files), None, names=[image.shown for image in files])


def _lazy(file: Opened, origin: Origin) -> LazyImages:
    """The images of a folder."""
    files, form, shape, span = file.images.files, origin.form, origin.shape, file.span
    needs = needs_text(origin.layout)
    if origin.change is not None and origin.change.crops:
        needs = f"the first image is {image_text(shape)}"

    def decode(row: int) -> Bytes:
        return pixels_of(files[row], form, shape, needs, span)

    def check(row: int) -> None:
        check_header(files[row], form, shape, needs, span)

    return LazyImages(decode, len(files), shape, span, check)


def _read_idx(file: Opened, origins: Mapping[str, Origin]) -> _Part:
    values: dict[str, Values] = {}
    for name, origin in origins.items():
        if origin.kind == "label":
            assert file.idx.labels is not None
            values[name] = _idx_array(file.idx.labels, file.span).reshape(-1, 1).astype(np.float64)
        else:
            values[name] = _formed(_idx_array(file.idx.images, file.span), file, origin)
    return _Part(values, file.idx.images.count, None)


def _formed(stored: Bytes, file: Opened, origin: Origin) -> Values:
    """The images of an IDX file in their form."""
    if origin.form == AS_STORED:
        return stored.reshape(len(stored), -1)
    images, form, span = stored.reshape(-1, *file.idx.shape), origin.form, file.span
    return LazyImages(lambda row: formed_array(images[row], form, span), len(images), origin.shape, span)


def _idx_array(array: IdxArray, span: Span | None) -> Array:
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
            stored = {name: archive[origin.array] for name, origin in origins.items()}
            words = archive[fold].astype(str).tolist() if fold is not None else ()
            lengths = {name: archive[name].astype(np.int64) for name in _dimensions(origins) if name in archive}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, MemoryError) as error:
        raise unreadable(f"{file.shown} cannot be read: {error}", file.span) from None
    examples = {name: _turned(stored.pop(name), origin) for name, origin in origins.items()}
    count = len(next(iter(examples.values())))
    if count == 0:
        raise unreadable(f"{file.shown} has no examples", file.span)
    lengths = _lengths(file, examples, origins, lengths, count)
    values = {name: _examples(examples.pop(name), origin, lengths) for name, origin in origins.items()}
    return _Part(values, count, None, words, lengths=lengths)


def _dimensions(origins: Mapping[str, Origin]) -> list[str]:
    """The dimensions that are each example's own, in all arrays."""
    return sorted({symbol.name for origin in origins.values() for symbol in origin.layout.dimensions})


def _turned(array: Array, origin: Origin) -> Array:
    """A stored array with the examples first, the other axes in the declared order."""
    return np.moveaxis(array.T if origin.transposed else array, origin.layout.batch_axis(origin.dense), 0)


def _lengths(
    file: Opened, examples: Mapping[str, Array], origins: Mapping[str, Origin], given: Lengths, count: int
) -> dict[str, NDArray[np.int64]]:
    """Each example's own sizes, by dimension: those in an array called so, else the size that the arrays have.

    Raises V509 and V510.
    """
    declarations = {name: origin.layout.declaration for name, origin in origins.items()}
    try:
        sizes = dimension_sizes(examples, declarations)
        check_lengths(given, examples, declarations, count)
    except DiagnosticError as error:
        found = [replace(d, message=f"{file.shown}: {d.message}", span=file.span) for d in error.diagnostics]
        raise DiagnosticError(*found) from None
    return {s.name: given.get(s.name, np.full(count, size)) for s, (size, _) in sizes.items()}


def _examples(rows: Array, origin: Origin, lengths: Lengths) -> Array:
    """The examples of an array as (examples, columns), the columns in the declared order of the axes.

    Bytes and float32 of reals stay what they are: as float64 they would take eight times and twice the memory. Where an
    example has ended, its last step goes on.
    """
    kind, dtype, layout = rows.dtype.kind, rows.dtype, origin.layout
    if origin.stored is not None:
        room = [(0, 0), *((0, most - size) for most, size in zip(origin.stored, rows.shape[1:], strict=True))]
        rows = fill_padding(np.pad(rows, room, mode="edge"), origin.dense, layout, lengths)
    rows = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    if kind == "U":
        return rows.astype(object)
    reals = origin.dense or (layout.class_axis is None and not layout.declaration.index)
    keeps = reals and dtype.name in ("uint8", "float32") and dtype.isnative
    return np.ascontiguousarray(rows) if keeps else rows.astype(np.float64)
