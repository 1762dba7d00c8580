"""A spec's own data: files to splits of physical arrays, and new files through the same preprocessing.

plan (headers) -> read -> labels to class numbers -> split -> fit on the training rows -> apply to all rows
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.program import InputDeclaration
from dlc.compiler.settings import ByColumn, DataSettings, Format, Fractions, Step
from dlc.grammar.span import Span
from dlc.runtime.data.formats import Opened
from dlc.runtime.data.headers import counts, plan
from dlc.runtime.data.image_origins import IMAGES, require_labels, require_shapes
from dlc.runtime.data.labels import MISSING, Label, Place, class_numbers, encode, find_classes, listed
from dlc.runtime.data.layout import Layout
from dlc.runtime.data.opening import format_of, opened
from dlc.runtime.data.origins import Kind, Origin, array_is_dense, require_columns, require_kinds
from dlc.runtime.data.preprocessing import Fitted, FittedStep, Preprocessing, applied, fit
from dlc.runtime.data.problems import Problems
from dlc.runtime.data.reading import Rows, read
from dlc.runtime.data.splits import Indices, by_column, by_fractions

Array = NDArray[Any]

BLOCK = 1 << 20
"""Values that steps are applied to at one time."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Some examples as physical arrays: `arrays["X"]` of `X : (64, m)` is (examples, 64).

    A `one_hot` name holds int64 class numbers without the class axis, or (where the data has soft labels) reals with
    it; an `index` name holds int64. NaN, or class number -1, is a missing value of an `optional` name. `rows` are the
    examples' numbers in `source`, the files that were read.
    """

    arrays: Mapping[str, Array]
    count: int
    layouts: Mapping[str, Layout] = field(repr=False)
    source: Rows = field(repr=False)
    rows: Indices = field(repr=False)

    def place(self, example: int) -> str:
        """Where an example stands in the files: `digits.csv:17`."""
        return self.source.place(int(self.rows[example]))

    def declared(self) -> dict[str, Array]:
        """Views of the arrays in their declared orientation: what the Python API takes."""
        return {name: to_declared(array, self.layouts[name]) for name, array in self.arrays.items()}


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
    fold = settings.split.column if isinstance(settings.split, ByColumn) else None
    source = read(list(made.files.values()), made.origins, fold, threads)
    splits = _splits(settings, list(made.files), source, seed)
    problems = Problems()
    notes = [diagnostic for diagnostic in found if diagnostic.severity != "error"]
    entries: dict[str, Fitted] = {}
    arrays: dict[str, Array] = {}
    for name, origin in made.origins.items():
        steps = settings.columns[name].steps if name in settings.columns else ()
        entries[name] = _fit(origin, steps, source.values[name], splits["train"], notes)
        arrays[name] = _transform(origin, entries[name], source, dtype, problems)
    problems.raise_if_any()
    layouts = {name: Layout.of(declaration) for name, declaration in inputs.items()}
    arrays |= {name: _missing(layouts[name], source.count, dtype) for name in inputs if name not in arrays}
    parts = {
        split: Examples({name: array[rows] for name, array in arrays.items()}, len(rows), layouts, source, rows)
        for split, rows in splits.items()
    }
    return DataSet(parts, Preprocessing(entries), tuple(notes))


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
    opening = opened(path, shown, format_of(path), None)
    wanted = [name for name, declaration in inputs.items() if with_targets or declaration.role == "input"]
    layouts = {name: Layout.of(inputs[name]) for name in wanted}
    entries = {name: entry for name, entry in preprocessing.entries.items() if name in layouts}
    for name in wanted:
        if name not in entries and not inputs[name].optional:
            raise DiagnosticError(
                Diagnostic("R603", f"the saved preprocessing does not know {name}", inputs[name].span)
            )
    origins = {name: _saved_origin(entry, layouts[name], opening) for name, entry in entries.items()}
    if found := counts([opening], origins):
        raise DiagnosticError(*found)
    source = read([opening], origins)
    problems = Problems()
    arrays = {name: _transform(origin, entries[name], source, dtype, problems) for name, origin in origins.items()}
    problems.raise_if_any()
    arrays |= {name: _missing(layouts[name], source.count, dtype) for name in wanted if name not in arrays}
    return Examples(arrays, source.count, layouts, source, np.arange(source.count))


def _saved_origin(entry: Fitted, layout: Layout, file: Opened) -> Origin:
    """Where a new file has the values that were fitted."""
    span = layout.declaration.span
    formats, trained_on = _TRAINED_ON[entry.kind]
    if file.format not in formats:
        message = f"{file.shown} cannot be read: the model was trained on {trained_on}"
        raise DiagnosticError(Diagnostic("T402", message, span))
    match entry.kind:
        case "columns":
            require_columns(entry.columns, file, f"{layout.name} was trained on it")
            texts = layout.class_axis is not None and not entry.dense and not entry.steps
            require_kinds(layout, entry.columns, texts, file, span)
            return Origin("columns", layout, span, columns=entry.columns, dense=entry.dense, texts=texts)
        case "array":
            dense = array_is_dense(layout, entry.array, entry.transposed, file, span)
            return Origin("array", layout, span, array=entry.array, transposed=entry.transposed, dense=dense)
        case "image":
            require_shapes(file, layout, entry.form, span)
            return Origin("image", layout, span, dense=True, form=entry.form)
    if file.format == "idx":
        require_labels(file, span)
    return Origin("label", layout, span, texts=file.format == "images")


_TRAINED_ON: Mapping[Kind, tuple[tuple[Format, ...], str]] = {
    "columns": (("csv", "parquet"), "columns of a table"),
    "array": (("npz",), "arrays of an .npz file"),
    "image": (IMAGES, "images"),
    "label": (IMAGES, "images"),
}
"""Which formats hold what was fitted: a model of a CSV takes a Parquet file with the same columns too, and one of an
IDX file a folder of images."""


def _splits(settings: DataSettings, files: list[str], source: Rows, seed: int) -> dict[str, Indices]:
    match settings.split:
        case Fractions():
            return by_fractions(settings.split, source.count, seed)
        case ByColumn():
            return by_column(settings.split, source.fold, source.place)
    if files == ["all"]:
        return {"train": np.arange(source.count)}
    ends = [*source.starts[1:], source.count]
    return {split: np.arange(start, end) for split, start, end in zip(files, source.starts, ends, strict=True)}


def _fit(origin: Origin, steps: tuple[Step, ...], values: Array, train: Indices, notes: list[Diagnostic]) -> Fitted:
    """Statistics come from the training rows, the names of classes from all."""
    layout = origin.layout
    classes: tuple[Label, ...] | None = origin.classes
    fitted: tuple[FittedStep, ...] = ()
    if not (origin.kind == "label" and origin.texts) and values.dtype != object:
        fitted = fit(steps, lambda: _blocks(values, train))
    if layout.class_axis is not None and not origin.dense and classes is None:
        classes = find_classes(applied(fitted, values), layout, origin.text, origin.span)
    if classes is not None:
        notes += _class_notes(classes, layout, origin.span)
    placed = (origin.kind, origin.columns, origin.array, origin.transposed, origin.dense)
    return Fitted(*placed, fitted, classes, origin.form)


def _class_notes(classes: tuple[Label, ...], layout: Layout, span: Span) -> list[Diagnostic]:
    count = layout.declaration.classes or 0
    if not count:
        message = f"{layout.text} is 0 for {classes[0]} and 1 for {classes[1]}"
        return [Diagnostic("V503", message, span, "note")]
    if len(classes) < count:
        message = f"{layout.text} has {count} classes, the data only {len(classes)}: {listed(classes)}"
        return [Diagnostic("V503", message, span, "warning")]
    if isinstance(classes[0], str):
        return []
    message = f"the labels {listed(classes)} of {layout.text} are the classes 0..{count - 1}, in this order"
    return [Diagnostic("V503", message, span, "note")]


def _transform(origin: Origin, entry: Fitted, source: Rows, dtype: str, problems: Problems) -> Array:
    """The physical array of one input; what cannot be goes to `problems`."""
    layout, raw = origin.layout, source.values[origin.layout.name]

    def place(row: int, column: int) -> str:
        return f"{source.place(row)}: {origin.column_text(column)}"

    named = origin.kind == "label" and origin.texts
    if named or layout.declaration.index or (layout.class_axis is not None and not origin.dense):
        cells = raw if raw.dtype == object else applied(entry.steps, raw)
        codes = encode(cells, entry.classes, layout, place, origin.span, problems)
        codes = codes.reshape(source.count, *layout.features)
        return codes if layout.declaration.classes else codes.astype(dtype)
    reals = _reals(entry.steps, raw, dtype)
    _require_finite(layout, raw, reals, place, origin.span, problems)
    reals = reals.reshape(source.count, *layout.dense)
    classes = class_numbers(reals, layout)
    return reals if classes is None else classes


def _reals(steps: tuple[FittedStep, ...], raw: Array, dtype: str) -> Array:
    """The values after the steps, which are taken in float64; a block of rows at a time, as images are large."""
    result = np.empty(raw.shape, dtype)
    start = 0
    with np.errstate(over="ignore"):
        for block in _blocks(raw, np.arange(len(raw))):
            result[start : start + len(block)] = applied(steps, block)
            start += len(block)
    return result


def _blocks(raw: Array, rows: Indices) -> Iterator[NDArray[np.float64]]:
    """Some rows in float64, not too many at a time."""
    size = max(BLOCK // max(raw.shape[1], 1), 1)
    for start in range(0, len(rows), size):
        yield raw[rows[start : start + size]].astype(np.float64)


def _missing(layout: Layout, count: int, dtype: str) -> Array:
    """The array of an `optional` input that the `data:` block leaves out."""
    if layout.declaration.index or layout.class_axis is not None:
        return np.full((count, *layout.features), MISSING, dtype=np.int64)
    return np.full((count, *layout.dense), np.nan, dtype=dtype)


def _require_finite(layout: Layout, raw: Array, values: Array, place: Place, span: Span, problems: Problems) -> None:
    bad = ~np.isfinite(values)
    if layout.declaration.optional:
        bad &= ~np.isnan(raw)
    for row, column in np.argwhere(bad).tolist():
        number = float(raw[row, column])
        after = f" after the steps of {layout.name}" if np.isfinite(number) else ""
        problems.add("V502", f"{place(row, column)}: {number:g} is not a finite number{after}", span)
