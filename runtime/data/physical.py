"""Values of files to physical columns: class numbers, what was fitted on the training split, images to be changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.settings import Arithmetic, PcaColor, Step
from dlc.grammar.span import Span
from dlc.runtime.data import pixel_work
from dlc.runtime.data.augmentation import principal_colors
from dlc.runtime.data.changes import UNCHANGED
from dlc.runtime.data.columns import Column
from dlc.runtime.data.image_store import LazyImages, Stored, most_bytes
from dlc.runtime.data.labels import MISSING, Label, Place, class_numbers, encode, find_classes, listed
from dlc.runtime.data.layout import Layout
from dlc.runtime.data.origins import Origin
from dlc.runtime.data.pictures import FIT_BLOCK, Pictures, middle_blocks
from dlc.runtime.data.preprocessing import Fitted, FittedStep, applied, fit
from dlc.runtime.data.problems import Problems
from dlc.runtime.data.reading import Rows
from dlc.runtime.data.splits import Indices
from dlc.runtime.data.tokens import Texts

Array = NDArray[Any]
Values = Array | LazyImages

BLOCK = 1 << 20
"""Values that steps are applied to at one time."""


def fitted(
    origin: Origin, steps: tuple[Step, ...], source: Rows, train: Indices, threads: int, notes: list[Diagnostic]
) -> Fitted:
    """What saved with the model says how values become an input. Statistics come from the training rows (of images that
    are cropped, from their middles), the names of classes from all."""
    layout, values = origin.layout, source.values[origin.layout.name]
    assert not isinstance(values, Texts)
    classes: tuple[Label, ...] | None = origin.classes
    found: tuple[FittedStep, ...] = ()
    if values.dtype != object:
        found = fit(steps, lambda: _blocks(origin, values, train, threads))
    if layout.class_axis is not None and not origin.dense and classes is None and not isinstance(values, LazyImages):
        classes = find_classes(applied(found, values), layout, origin.text, origin.span)
    if classes is not None:
        notes += _class_notes(classes, layout, origin.span)
    placed = (origin.kind, origin.columns, origin.array, origin.transposed, origin.dense)
    crops = origin.change.crops if origin.change is not None else ()
    return Fitted(*placed, found, classes, origin.form, crops)


def _blocks(origin: Origin, values: Values, rows: Indices, threads: int) -> Iterator[NDArray[np.float64]]:
    """Some rows in float64, not too many at a time."""
    change = origin.change or UNCHANGED
    if change.crops or isinstance(values, LazyImages):
        for block in middle_blocks(_images(origin, values), rows, change, threads):
            yield block.reshape(len(block), -1).astype(np.float64)
        return
    size = max(FIT_BLOCK // max(values.shape[1], 1), 1)
    for start in range(0, len(rows), size):
        yield values[rows[start : start + size]].astype(np.float64)


def _images(origin: Origin, values: Values) -> Stored:
    """The values as images."""
    return values if isinstance(values, LazyImages) else values.reshape(len(values), *origin.example)


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


def transformed(
    origin: Origin, entry: Fitted, source: Rows, train: Indices, dtype: str, threads: int, problems: Problems
) -> Column:
    """The physical column of one input; what cannot be goes to `problems`."""
    layout, raw = origin.layout, source.values[origin.layout.name]
    assert not isinstance(raw, Texts)

    def place(row: int, column: int) -> str:
        return f"{source.place(row)}: {origin.column_text(column)}"

    finish = _Reals(origin, entry.steps, dtype, place)
    if isinstance(raw, LazyImages):
        return _pictures(origin, raw, train, finish, threads)
    named = origin.kind == "label" and origin.texts
    if named or layout.declaration.index or (layout.class_axis is not None and not origin.dense):
        cells = raw if raw.dtype == object else applied(entry.steps, raw)
        codes = encode(cells, entry.classes, layout, place, origin.span, problems)
        codes = codes.reshape(source.count, *origin.example)
        return _moved(origin, codes if layout.declaration.classes else codes.astype(dtype))
    large = raw.dtype == np.uint8 and raw.size * finish.dtype.itemsize > most_bytes()
    if layout.class_axis is None and (origin.change is not None or large):
        return _pictures(origin, raw, train, finish, threads)
    reals = finish.all(raw, problems).reshape(source.count, *origin.example)
    classes = class_numbers(reals, layout)
    return _moved(origin, reals if classes is None else classes)


def _moved(origin: Origin, physical: Array) -> Column:
    """A map of classes that moves with its images, where augment moves them."""
    if origin.change is None:
        return physical
    example = origin.layout.features if physical.dtype.kind == "i" else origin.layout.dense
    rows = np.arange(len(physical))
    return Pictures(physical, rows, origin.change, lambda images, _: images, example, physical.dtype)


def _pictures(origin: Origin, raw: Values, train: Indices, finish: _Reals, threads: int) -> Pictures:
    """Images that augment changes, or that are too many to be kept as reals."""
    change, images = origin.change or UNCHANGED, _images(origin, raw)
    colors = None
    if change.kind == "image" and any(isinstance(step, PcaColor) for step in change.augment):
        colors = principal_colors(middle_blocks(images, train, change, threads))
    rows, example = np.arange(len(images)), origin.layout.dense
    return Pictures(images, rows, change, finish, example, finish.dtype, colors, threads)


class _Reals:
    """Steps to reals of the `dtype`; the steps are taken in float64."""

    def __init__(self, origin: Origin, steps: tuple[FittedStep, ...], dtype: str, place: Place) -> None:
        self.origin, self.steps, self.dtype, self.place = origin, steps, np.dtype(dtype), place
        self.table = self._of_bytes()

    def _of_bytes(self) -> Array | None:
        """What becomes of each byte, where arithmetic alone decides it."""
        if not all(isinstance(step, Arithmetic) and step.op in "+-*/" for step in self.steps):
            return None
        table = self.of(np.arange(256, dtype=np.uint8)[:, None])[:, 0]
        return table if np.isfinite(table).all() else None

    def all(self, raw: Array, problems: Problems) -> Array:
        """All rows; what is no finite number goes to `problems`. A block at a time, as images are large."""
        result = np.empty(raw.shape, self.dtype)
        block = max(BLOCK // max(raw.shape[1], 1), 1)
        for start in range(0, len(raw), block):
            rows = slice(start, start + block)
            result[rows] = self.of(raw[rows])
            self.require_finite(raw[rows], result[rows], np.arange(len(raw))[rows], problems)
        return result

    def of(self, raw: Array) -> Array:
        with np.errstate(over="ignore"):
            return applied(self.steps, raw.astype(np.float64)).astype(self.dtype)

    def __call__(self, images: Array, numbers: Indices) -> Array:
        """Images to the physical rows of a batch; `numbers` are theirs in the source. Raises V502."""
        raw = images.reshape(len(images), -1)
        if self.table is not None and raw.dtype == np.uint8:
            result = np.empty(raw.shape, self.dtype)
            pixel_work.look_up(raw.reshape(-1), self.table, result.reshape(-1))
            return result.reshape(len(images), *self.origin.layout.dense)
        result = self.of(raw)
        problems = Problems()
        self.require_finite(raw, result, numbers, problems)
        problems.raise_if_any()
        return result.reshape(len(images), *self.origin.layout.dense)

    def require_finite(self, raw: Array, values: Array, numbers: Indices, problems: Problems) -> None:
        bad = ~np.isfinite(values)
        if not bad.any():
            return
        layout = self.origin.layout
        if layout.declaration.optional:
            bad &= ~np.isnan(raw)

        def message(row: int, column: int) -> Diagnostic:
            number = float(raw[row, column])
            after = f" after the steps of {layout.name}" if np.isfinite(number) else ""
            where = self.place(int(numbers[row]), column)
            return Diagnostic("V502", f"{where}: {number:g} is not a finite number{after}", self.origin.span)

        problems.add_values(layout.name, bad, message, together=len(layout.dense) > 1)


def missing(layout: Layout, count: int, dtype: str) -> Array:
    """The array of an `optional` input that the `data:` block leaves out."""
    if layout.declaration.index or layout.class_axis is not None:
        return np.full((count, *layout.features), MISSING, dtype=np.int64)
    return np.full((count, *layout.dense), np.nan, dtype=dtype)
