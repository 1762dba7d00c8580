"""Labels of any type become class numbers 0..V-1.

Whole numbers in 0..V-1 keep their meaning. Otherwise the sorted distinct labels are the classes: texts always, numbers
only where there are exactly V of them and 0 is not among them (labels that count from 1, codes such as 10, 20, 30); so
a 10 among the digits 0..9 stays the mistake that it is. An `index` input is never renumbered. The classes are names,
not statistics: they are taken from all splits, lest a rare class that fell into the test split alone be unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.grammar.span import Span
from dlc.runtime.data.layout import Layout
from dlc.runtime.data.problems import MISSING_HELP, Problems

Label = int | float | str
Cells = NDArray[np.object_] | NDArray[np.float64]
"""Texts or numbers, one row an example."""
Place = Callable[[int, int], str]
"""The row and the column of a cell (from 0) to the text of its place: `digits.csv:17: column label`."""

MISSING = -1
"""The class number of a missing label, in an `optional` input or target."""
MAX_LISTED = 12


def find_classes(cells: Cells, layout: Layout, what: str, span: Span | None) -> tuple[Label, ...] | None:
    """The classes behind the labels, in order; None where the labels are class numbers already.

    `what` is where they come from, for the V503 that says that there are more classes than the declaration has.
    """
    labels = {label for label in map(_label, _distinct(cells)) if label is not None}
    count = layout.declaration.classes or 0
    if layout.declaration.index:
        return None
    if _numeric(labels):
        numbers = sorted(label for label in labels if not isinstance(label, str))
        exact = len(labels) == count and len(numbers) == count
        return tuple(numbers) if exact and 0 not in labels and numbers != list(range(count)) else None
    if len(labels) > count:
        message = f"{what} has {len(labels)} classes ({listed(labels)}), {layout.text} has {count}"
        raise DiagnosticError(Diagnostic("V503", message, span))
    return tuple(sorted(map(str, labels)))


def encode(
    cells: Cells, classes: tuple[Label, ...] | None, layout: Layout, place: Place, span: Span | None, problems: Problems
) -> NDArray[np.int64]:
    """The class numbers of the cells, of the same shape. What is no class goes to `problems`: V501, V502, V503."""
    count = layout.declaration.classes or 0
    numbers = {label: i for i, label in enumerate(range(count) if classes is None else classes)}
    texts = any(isinstance(label, str) for label in numbers)
    codes: dict[Label, int] = {}
    for cell in _distinct(cells):
        label = str(cell).strip() if texts and _label(cell) is not None else _label(cell)
        missing = MISSING if layout.declaration.optional else None
        code = missing if label is None else numbers.get(label)
        if code is not None:
            codes[cell] = code
    flat = _flat(cells)
    result = np.fromiter((codes.get(cell, MISSING - 1) for cell in flat), np.int64, len(flat))
    bad = np.flatnonzero(result == MISSING - 1)
    width = max(len(flat) // max(len(cells), 1), 1)
    for position in bad.tolist():
        where = place(position // width, position % width)
        _report(flat[position], where, classes, layout, span, problems, _distinct(cells) if not problems.full else ())
    return result.reshape(cells.shape)


def class_numbers(array: NDArray[np.floating[Any]], layout: Layout) -> NDArray[np.int64] | None:
    """The class numbers of exact one-hot columns, without the class axis; None for soft labels and other reals.

    `array` is physical: (examples, …) with all declared axes.
    """
    if layout.class_axis is None:
        return None
    axis = 1 + [i for i in range(len(layout.sizes)) if i != layout.batch].index(layout.class_axis)
    exact = ((array == 0) | (array == 1)).all() and (array.sum(axis=axis) == 1).all()
    return np.ascontiguousarray(array.argmax(axis=axis).astype(np.int64)) if exact else None


def _report(
    cell: Label,
    where: str,
    classes: tuple[Label, ...] | None,
    layout: Layout,
    span: Span | None,
    problems: Problems,
    all_cells: Collection[Label],
) -> None:
    label = _label(cell)
    count = layout.declaration.classes or 0
    if label is None:
        problems.add("V502", f"{where}: the label is missing", span, MISSING_HELP)
    elif isinstance(label, str) and (classes is None or not isinstance(classes[0], str)):
        problems.add("V501", f"{where}: {label[:40]!r} is not a number, as the other labels are", span)
    else:
        labels = {label for label in map(_label, all_cells) if label is not None}
        known = f"0..{count - 1}" if classes is None else listed(classes)
        help = _unknown_help(label, labels, classes, layout)
        problems.add("V503", f"{where}: {label!r} is not among the classes {known} of {layout.text}", span, help)


def _unknown_help(label: Label, labels: set[Label], classes: tuple[Label, ...] | None, layout: Layout) -> str:
    """Whether the data has too many classes, or others than the model knows."""
    count = layout.declaration.classes or 0
    if len(labels) > count:
        return f"the data has {len(labels)} classes ({listed(labels)}), {layout.text} has {count}"
    if classes is None:
        return f"class numbers are 0..{count - 1}"
    near = did_you_mean(str(label), list(map(str, classes)))
    return f"did you mean {near!r}?" if near else f"the model was trained without {listed(labels.difference(classes))}"


def _numeric(labels: Collection[Label]) -> bool:
    """Whether most are numbers: then a text among them is a mistake."""
    texts = sum(isinstance(label, str) for label in labels)
    return 2 * texts < len(labels) or not labels


def _label(cell: Label) -> Label | None:
    """A number where the cell is one (whole where it can be), None where it is empty or NaN, else its text."""
    try:
        number = float(cell)
    except ValueError:
        return str(cell).strip() or None
    if number != number:
        return None
    return int(number) if number.is_integer() else number


def _flat(cells: Cells) -> list[Label]:
    """All cells in order; NaN, which no dictionary finds again, as the empty text."""
    flat: list[Any] = cells.ravel().tolist()
    return ["" if cell != cell else cell for cell in flat]


def _distinct(cells: Cells) -> set[Label]:
    return set(_flat(cells))


def listed(labels: Collection[Label]) -> str:
    """`bird, cat, dog`, the first twelve."""
    ordered = sorted(labels, key=lambda label: (isinstance(label, str), label))
    more = ", …" if len(ordered) > MAX_LISTED else ""
    return ", ".join(map(str, ordered[:MAX_LISTED])) + more
