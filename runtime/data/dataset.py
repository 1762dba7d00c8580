"""A spec's own data: files to splits of physical arrays, and new files through the same preprocessing.

plan (headers) -> read -> labels to class numbers -> split -> fit on the training rows -> apply to all rows
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.program import InputDeclaration
from dlc.compiler.settings import ByColumn, DataSettings, Format, Fractions
from dlc.runtime.data.changes import Change
from dlc.runtime.data.columns import Column, Columns, as_array
from dlc.runtime.data.formats import Opened
from dlc.runtime.data.headers import counts, plan
from dlc.runtime.data.image_origins import IMAGES, require_labels, require_shapes
from dlc.runtime.data.image_store import most_bytes
from dlc.runtime.data.layout import LENGTHS, Layout
from dlc.runtime.data.opening import format_of, opened
from dlc.runtime.data.origins import (
    Kind,
    Origin,
    array_is_dense,
    array_size,
    require_columns,
    require_kinds,
    with_sizes,
)
from dlc.runtime.data.physical import fitted, missing, transformed
from dlc.runtime.data.pictures import Pictures
from dlc.runtime.data.preprocessing import Fitted, Preprocessing
from dlc.runtime.data.problems import Problems
from dlc.runtime.data.reading import Rows, read
from dlc.runtime.data.sequences import Padded, Sequences, padded, uniform
from dlc.runtime.data.splits import Indices, by_column, by_fractions, in_order
from dlc.runtime.data.text_columns import fit_texts, text_columns
from dlc.runtime.data.text_origins import require_texts
from dlc.runtime.data.tokens import Texts, contiguous
from dlc.runtime.threads import usable_threads

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Examples:
    """Some examples as physical columns: `arrays["X"]` of `X : (64, m)` is (examples, 64).

    A `one_hot` name holds int64 class numbers without the class axis, or (where the data has soft labels) reals with
    it; an `index` name holds int64. NaN, or class number -1, is a missing value of an `optional` name. `lengths of T`
    has each example's own T, where they differ. `rows` are the examples' numbers in `source`, the files that were read.
    """

    arrays: Columns
    count: int
    layouts: Mapping[str, Layout] = field(repr=False)
    source: Rows = field(repr=False)
    rows: Indices = field(repr=False)

    def place(self, example: int) -> str:
        """Where an example stands in the files: `digits.csv:17`."""
        return self.source.place(int(self.rows[example]))

    def chosen(self, examples: Sequence[int]) -> Examples:
        """Some of the examples, by their numbers among these."""
        rows = np.array(examples, np.int64)
        fixed = {name for name in self.arrays if name in self.layouts and self.layouts[name].batch is None}
        arrays = {name: column if name in fixed else column[rows] for name, column in self.arrays.items()}
        return replace(self, arrays=arrays, count=len(rows), rows=self.rows[rows])

    def declared(self) -> dict[str, Array]:
        """The arrays in their declared orientation: what the Python API takes. Images are not augmented."""
        columns = {name: column for name, column in self.arrays.items() if name in self.layouts}
        return {name: to_declared(as_array(column), self.layouts[name]) for name, column in columns.items()}

    @property
    def lengths(self) -> dict[str, Array]:
        """Each example's own lengths by dimension, where they differ: what the Python API takes beside the arrays."""
        found = {name: as_array(column) for name, column in self.arrays.items() if name.startswith(LENGTHS)}
        return {name.removeprefix(LENGTHS): array for name, array in found.items()}


@dataclass(frozen=True, slots=True)
class DataSet:
    """The splits that there are (`train`, perhaps `dev` and `test`), what was fitted, and notes for the user."""

    splits: Mapping[str, Examples]
    preprocessing: Preprocessing
    notes: tuple[Diagnostic, ...] = ()

    def declared(self, split: str) -> dict[str, Array]:
        """The arrays of a split in their declared orientation."""
        return self.splits[split].declared()


def to_declared(array: Array, layout: Layout) -> Array:
    """The declared orientation of a physical array, a view: (examples, 64) as (64, m)."""
    dense = array.ndim == len(layout.sizes)
    return np.moveaxis(array, 0, layout.batch_axis(dense))


def load(
    settings: DataSettings,
    folder: Path,
    inputs: Mapping[str, InputDeclaration],
    seed: int = 1,
    dtype: str = "float32",
    root: Path | None = None,
    threads: int | None = None,
) -> DataSet:
    """Reads the spec's data. Reals have the `dtype`, after steps in float64. Images are decoded by `threads`.

    Raises DiagnosticError with the header's mistakes (see `headers.plan`) or the values': V501 to V505, T402 for a
    split without examples.
    """
    made, found = plan(settings, folder, inputs, root)
    if made is None:
        raise DiagnosticError(*found)
    threads = threads or usable_threads()
    fold = settings.split.column if isinstance(settings.split, ByColumn) else None
    source = read(list(made.files.values()), made.origins, fold, threads)
    splits = _splits(settings, list(made.files), made.origins, source, seed)
    problems = Problems()
    notes = [diagnostic for diagnostic in found if diagnostic.severity != "error"]
    texts = [origin for origin in made.origins.values() if origin.tokens is not None]
    entries = fit_texts(texts, source, splits["train"], notes)
    columns = text_columns(texts, entries, source, dtype, problems)
    for name, origin in made.origins.items():
        if origin.tokens is not None:
            continue
        steps = settings.columns[name].steps if name in settings.columns else ()
        entries[name] = fitted(origin, steps, source, splits["train"], threads, notes)
        columns[name] = transformed(origin, entries[name], source, splits["train"], dtype, threads, problems)
    problems.raise_if_any()
    layouts = {name: Layout.of(declaration) for name, declaration in inputs.items()}
    columns = _with_lengths(columns, layouts, source)
    columns |= {name: missing(layouts[name], source.count, dtype) for name in inputs if name not in columns}
    source = replace(source, values={})
    parts = {
        split: Examples(_chosen(columns, rows, split == "train"), len(rows), layouts, source, rows)
        for split, rows in splits.items()
    }
    return DataSet(parts, Preprocessing(entries), tuple(notes))


def _with_lengths(columns: Columns, layouts: Mapping[str, Layout], source: Rows) -> dict[str, Column]:
    """Arrays whose examples have sizes of their own are cut batch by batch; the lengths stand beside them."""
    own = {LENGTHS + name: lengths for name, lengths in source.lengths.items()}
    ragged = {name for name in columns if source.lengths and name in layouts and layouts[name].dimensions}
    return own | {
        name: padded(as_array(column), layouts[name], source.lengths) if name in ragged else column
        for name, column in columns.items()
    }


def _chosen(columns: Columns, rows: Indices, training: bool) -> dict[str, Column]:
    """A split's part of the columns. Images are made now where nothing changes them and they are few enough; sequences
    are made batch by batch where their lengths differ."""
    chosen: dict[str, Column] = {}
    for name, column in columns.items():
        if isinstance(column, Sequences | Padded):
            chosen[name] = column.select(rows)
            continue
        later = isinstance(column, Pictures) and (column.bytes > most_bytes() or (training and column.change.augment))
        chosen[name] = column.select(rows) if later and isinstance(column, Pictures) else column[rows]
    return uniform(chosen)


def apply(
    preprocessing: Preprocessing,
    file: Path | str,
    inputs: Mapping[str, InputDeclaration],
    with_targets: bool,
    dtype: str = "float32",
) -> Examples:
    """Reads a new file as the training data was read; the row count is kept. Targets are read only where asked for.

    `file` comes from the command line and may lie anywhere. Raises the same errors as `load`, T407 for no such file,
    R603 where the record is not of this model.
    """
    path, shown = Path(file), str(file)
    if not path.exists():
        raise DiagnosticError(Diagnostic("T407", f'there is no file "{shown}"', None))
    wanted = [name for name, declaration in inputs.items() if with_targets or declaration.role == "input"]
    if not wanted:
        message = "the model has no inputs, so no file has anything that it could be asked of"
        raise DiagnosticError(Diagnostic("T402", message, None, help="dlc sample RUN lets it generate"))
    layouts = {name: Layout.of(inputs[name]) for name in wanted}
    pictures = any(entry.kind in ("image", "label") for entry in preprocessing.entries.values())
    if path.is_dir() and not pictures:
        raise DiagnosticError(Diagnostic("T407", f"{shown} is a folder, and the model was trained on a file", None))
    of_texts = any(entry.kind in ("text", "line") for entry in preprocessing.entries.values())
    opening = opened(path, shown, "text" if of_texts else format_of(path), None)
    entries = {name: entry for name, entry in preprocessing.entries.items() if name in layouts}
    for name in wanted:
        _require_entry(entries.get(name), inputs[name])
    alone = len(wanted) == 1
    origins = {name: _saved_origin(entry, layouts[name], opening, alone) for name, entry in entries.items()}
    if found := counts([opening], origins):
        raise DiagnosticError(*found)
    threads = usable_threads()
    source = read([opening], origins, threads=threads, answered=not with_targets)
    problems = Problems()
    rows = np.arange(source.count)
    texts = [origin for origin in origins.values() if origin.tokens is not None]
    columns = text_columns(texts, entries, source, dtype, problems)
    for name, origin in origins.items():
        if origin.tokens is not None:
            continue
        columns[name] = transformed(origin, entries[name], source, rows, dtype, threads, problems)
    problems.raise_if_any()
    columns = _with_lengths(columns, layouts, source)
    columns |= {name: missing(layouts[name], source.count, dtype) for name in wanted if name not in columns}
    return Examples(_chosen(columns, rows, False), source.count, layouts, replace(source, values={}), rows)


def _require_entry(entry: Fitted | None, declaration: InputDeclaration) -> None:
    """Raises R603 where the saved preprocessing is that of another model."""
    name = declaration.name
    if entry is None and not declaration.optional:
        raise DiagnosticError(Diagnostic("R603", f"the saved preprocessing does not know {name}", declaration.span))
    known = entry.vocabulary if entry is not None else None
    if known is not None and len(known.tokens) > (declaration.classes or 0):
        message = f"the saved vocabulary of {name} has {len(known.tokens):,} classes, {Layout.of(declaration).text} "
        raise DiagnosticError(Diagnostic("R603", f"{message}has {declaration.classes or 0:,}", declaration.span))


def _saved_origin(entry: Fitted, layout: Layout, file: Opened, alone: bool) -> Origin:
    """Where a new file has the values that were fitted. A column of texts may be the lines of a text where it is
    `alone`."""
    span = layout.declaration.span
    formats, trained_on = _TRAINED_ON[entry.kind]
    if entry.tokens is not None and file.format == "text" and (alone or entry.kind != "columns"):
        kind: Kind = "line" if entry.kind == "columns" else entry.kind
        return Origin(kind, layout, span, texts=True, tokens=entry.tokens)
    change = Change(entry.crops, "map") if entry.crops else None
    if file.format not in formats:
        message = f"{file.shown} cannot be read: the model was trained on {trained_on}"
        raise DiagnosticError(Diagnostic("T402", message, span))
    match entry.kind:
        case "columns":
            require_columns(entry.columns, file, f"{layout.name} was trained on it")
            if entry.tokens is not None:
                require_texts(layout, entry.columns[0], file, span)
                return Origin("columns", layout, span, columns=entry.columns, texts=True, tokens=entry.tokens)
            texts = layout.class_axis is not None and not entry.dense and not entry.steps
            require_kinds(layout, entry.columns, texts, file, span)
            found = Origin("columns", layout, span, columns=entry.columns, dense=entry.dense, texts=texts)
            return replace(found, change=change)
        case "array":
            placed = (layout, entry.array, entry.transposed, file)
            dense = array_is_dense(*placed, span, entry.crops)
            size = array_size(*placed, dense) if entry.crops else None
            found = Origin("array", layout, span, array=entry.array, transposed=entry.transposed, dense=dense)
            if layout.dimensions:
                return with_sizes(found, [file])
            return replace(found, change=change, size=size)
        case "image":
            size = require_shapes([file], layout, entry.form, entry.crops, span)
            return Origin("image", layout, span, dense=True, form=entry.form, change=change, size=size)
    if file.format == "idx":
        require_labels(file, span)
    return Origin("label", layout, span, texts=file.format == "images")


_TRAINED_ON: Mapping[Kind, tuple[tuple[Format, ...], str]] = {
    "columns": (("csv", "parquet"), "columns of a table"),
    "array": (("npz",), "arrays of an .npz file"),
    "image": (IMAGES, "images"),
    "label": (IMAGES, "images"),
    "text": (("text",), "a text"),
    "line": (("text",), "the lines of a text"),
}
"""Which formats hold what was fitted: a model of a CSV takes a Parquet file with the same columns too (and a text, if a
column of texts is its only input), and one of an IDX file a folder of images."""


def _splits(
    settings: DataSettings, files: list[str], origins: Mapping[str, Origin], source: Rows, seed: int
) -> dict[str, Indices]:
    """The rows of each split. Windows of a text are not shuffled before: what is behind the training split is new."""
    stream = next((origin for origin in origins.values() if origin.kind == "text"), None)
    match settings.split:
        case Fractions():
            in_file, count = stream is not None, source.count
            parts = in_order(settings.split, count) if in_file else by_fractions(settings.split, count, seed)
        case ByColumn():
            return by_column(settings.split, source.fold, source.place)
        case None if files == ["all"]:
            parts = {"train": np.arange(source.count)}
        case None:
            ends = [*source.starts[1:], source.count]
            parts = {split: np.arange(start, end) for split, start, end in zip(files, source.starts, ends, strict=True)}
    if stream is None:
        return parts
    texts = source.values[stream.layout.name]
    assert isinstance(texts, Texts)
    assert stream.tokens is not None
    found = contiguous(texts, stream.tokens.ahead, parts)
    for name, rows in found.items():
        if not len(rows):
            message = f"split leaves the {name} split empty: all its windows begin in the one before it"
            help = "take a larger share of it, or write a larger step between the windows"
            raise DiagnosticError(Diagnostic("T402", message, settings.places.get("split", settings.span), help=help))
    return found
