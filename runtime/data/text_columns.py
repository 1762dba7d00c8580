"""Tokens to physical columns: the vocabularies that the training split has, class numbers, lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic
from dlc.runtime.data.columns import Column
from dlc.runtime.data.labels import encode, find_classes
from dlc.runtime.data.layout import LENGTHS, Layout
from dlc.runtime.data.origins import Origin
from dlc.runtime.data.preprocessing import Fitted
from dlc.runtime.data.problems import FILL_IN, Problems
from dlc.runtime.data.reading import Rows
from dlc.runtime.data.sequences import Sequences
from dlc.runtime.data.splits import Indices
from dlc.runtime.data.text_origins import TimeAxis, most_classes, specials, time_axis, vocabularies
from dlc.runtime.data.tokens import END, PADDING, SPECIAL, UNKNOWN, Texts
from dlc.runtime.data.vocabulary import Vocabulary, vocabulary

Array = NDArray[Any]
Place = Callable[[int], str]
"""The number of an example to where its text stands."""


# --- fitting ---------------------------------------------------------------------------------------------------


def fit_texts(origins: Sequence[Origin], source: Rows, train: Indices, notes: list[Diagnostic]) -> dict[str, Fitted]:
    """What is saved with the model of inputs that are made of texts. Those of one column or text share a vocabulary.

    Vocabularies come from the training rows alone; labels are names, and come from all. Raises V503 for more labels
    than classes.
    """
    shared: dict[str, Vocabulary] = {}
    for members in vocabularies(origins):
        made = _shared(members, source, train, notes)
        shared |= {origin.layout.name: made for origin in members}
    entries: dict[str, Fitted] = {}
    for origin in origins:
        assert origin.tokens is not None
        name, classes = origin.layout.name, None
        if origin.tokens.unit == "labels":
            names = np.array(_texts(source, origin).names, dtype=object)
            classes = find_classes(names[:, None], origin.layout, origin.text, origin.span)
        placed = (origin.kind, origin.columns, "", False, False)
        entries[name] = Fitted(*placed, (), classes, tokens=origin.tokens, vocabulary=shared.get(name))
    return entries


def _texts(source: Rows, origin: Origin) -> Texts:
    texts = source.values[origin.layout.name]
    assert isinstance(texts, Texts)
    return texts


def _shared(members: Sequence[Origin], source: Rows, train: Indices, notes: list[Diagnostic]) -> Vocabulary:
    """The vocabulary of inputs that read the same texts: its classes are the same in all of them."""
    tokens = members[0].tokens
    assert tokens is not None
    used: dict[str, int] = {}
    for origin in members:
        texts = _texts(source, origin)
        for name, count in zip(texts.names, texts.used(train).tolist(), strict=True):
            used[name] = max(used.get(name, 0), count)
    end, pad = specials(members)
    counts = np.array(list(used.values()), np.int64)
    limit = most_classes(members)
    made = vocabulary(tokens.unit, list(used), counts, limit, lower=tokens.lower, end=end, pad=pad)
    notes += _notes(made, used, members[0])
    count = max(origin.layout.declaration.classes or 0 for origin in members)
    unknown = any(n and (name == UNKNOWN or name not in made.classes) for name, n in used.items())
    return replace(made, count=count, unknown=unknown)


def _notes(made: Vocabulary, used: Mapping[str, int], origin: Origin) -> list[Diagnostic]:
    """What a user should know of the fit: classes that never occur, or tokens that have none of their own."""
    layout, span = origin.layout, origin.span
    seen = {name: count for name, count in used.items() if count and name not in SPECIAL}
    left = [count for name, count in seen.items() if name not in made.classes]
    count = layout.declaration.classes or 0
    if left:
        share = sum(left) / sum(seen.values())
        message = f"{layout.text} has {count:,} classes, the training split {len(seen):,} {made.unit}: "
        message += f"{len(left):,} of them, {share:.1%} of its text, are {UNKNOWN}"
        return [Diagnostic("V503", message, span, "warning" if made.unit == "chars" else "note")]
    if len(made.tokens) < count and (origin.tokens is None or origin.tokens.vocabulary is None):
        special = ", ".join(token for token in made.tokens if token in SPECIAL)
        message = f"{layout.text} has {count:,} classes, the training split only {len(seen):,} {made.unit}"
        help = f"with {special} it has {len(made.tokens):,} classes" if special else None
        return [Diagnostic("V503", message, span, "warning", help=help)]
    return []


# --- columns ---------------------------------------------------------------------------------------------------


def text_columns(
    origins: Sequence[Origin], entries: Mapping[str, Fitted], source: Rows, dtype: str, problems: Problems
) -> dict[str, Column]:
    """The physical columns of inputs that are made of texts, and the lengths of their own dimensions.

    Examples of a fixed number of steps are plain arrays. What cannot be goes to `problems`: V501 to V503, V509.
    """
    columns: dict[str, Column] = {}
    first: dict[str, Origin] = {}
    for origin in origins:
        made = _Made(origin, entries[origin.layout.name], source, dtype, problems)
        column = made.column()
        columns[origin.layout.name] = column
        if not isinstance(column, Sequences):
            continue
        lengths = LENGTHS + column.symbol
        if lengths in columns:
            _require_equal(first[lengths], np.asarray(columns[lengths]), origin, column, made.place, problems)
        else:
            columns[lengths], first[lengths] = column.counts.astype(np.int64), origin
    return columns


def _require_equal(
    first: Origin, lengths: Indices, origin: Origin, column: Sequences, place: Place, problems: Problems
) -> None:
    """Sequences of one dimension have the same length in each example."""
    one, other = first.layout.name, origin.layout.name
    assert first.tokens is not None
    assert origin.tokens is not None
    help = None
    if first.tokens.end != origin.tokens.end:
        ended = one if first.tokens.end else other
        help = f"{ended} ends with {END}: write end = off behind it, or end = on behind both"
    for row in np.flatnonzero(lengths != column.counts).tolist():
        steps = f"{one} has {lengths[row]} steps, {other} {column.counts[row]}"
        problems.add("V509", f"{place(row)}: {steps}, and {column.symbol} is one number", origin.span, help)


class _Made:
    """One input being made."""

    def __init__(self, origin: Origin, entry: Fitted, source: Rows, dtype: str, problems: Problems) -> None:
        assert origin.tokens is not None
        self.origin, self.entry, self.source, self.problems = origin, entry, source, problems
        self.layout: Layout = origin.layout
        self.tokens = origin.tokens
        self.texts = _texts(source, origin)
        self.time: TimeAxis = time_axis(origin.layout)
        self.dtype = np.dtype(dtype if self.tokens.unit == "numbers" else np.int64)

    def place(self, row: int) -> str:
        where = self.source.place(row)
        return f"{where}: {self.origin.text}" if self.origin.kind == "columns" else where

    def column(self) -> Column:
        values = self._values()[self.texts.codes] if len(self.texts.codes) else np.zeros(1, self.dtype)
        counts = self._counts()
        if self.time.symbol is not None:
            time = (self.time.place, self.time.rank, self.dtype, self.time.symbol.name)
            return Sequences(values, self.texts.starts, counts, *time)
        steps = np.arange(self.time.size or 1)
        there = steps < counts[:, None]
        array = values[np.where(there, self.texts.starts[:, None] + steps, 0)].astype(self.dtype)
        if not there.all() and self.entry.vocabulary is not None:
            array[~there] = self.entry.vocabulary.classes.get(PADDING, 0)
        shape = [self.time.size if axis == self.time.place else 1 for axis in range(1, self.time.rank)]
        return array.reshape(len(counts), *(size or 1 for size in shape))

    def _values(self) -> Array:
        """What each distinct token becomes. One that becomes nothing is told where it first stands."""
        names = self.texts.names
        match self.tokens.unit:
            case "numbers":
                return self._numbers(names)
            case "labels":
                cells = np.array(names, dtype=object)[:, None]
                rows = self.texts.first_rows()

                def told(code: int, _: int) -> str:
                    return self.place(rows[code])

                span = self.origin.span
                return encode(cells, self.entry.classes, self.layout, told, span, self.problems)[:, 0].astype(np.int32)
        known = self.entry.vocabulary
        assert known is not None
        found = [known.class_of(name) for name in names]
        if None in found:
            rows = self.texts.first_rows()
            for code, name in enumerate(names):
                # A token of a whole text may stand in none of its windows.
                if found[code] is None and code in rows:
                    message = f"{self.place(rows[code])}: {name!r} does not occur in the training split"
                    help = f"with one class more than now, such {known.unit} would be {UNKNOWN}"
                    self.problems.add("V503", message, self.origin.span, help)
        return np.array([-1 if number is None else number for number in found], np.int32)

    def _numbers(self, names: Sequence[str]) -> Array:
        found = np.array([_number(name) for name in names], self.dtype)
        bad = np.flatnonzero(~np.isfinite(found)).tolist()
        rows = self.texts.first_rows() if bad else {}
        for code in bad:
            message = f"{self.place(rows[code])}: {names[code][:40]!r} is not a finite number"
            self.problems.add("V501", message, self.origin.span)
        return found

    def _counts(self) -> Indices:
        """The steps of each example; too many, too few and none are told."""
        counts, most = self.texts.counts, self.time.most
        for row in np.flatnonzero(counts == 0).tolist():
            self.problems.add("V502", f"{self.place(row)}: the text is empty", self.origin.span, FILL_IN)
        if most is not None:
            self._tell_lengths(counts > most, f"write {self.tokens.unit}(cut = {most}): the rest is left out")
        if self.time.symbol is None and not self.tokens.pad:
            help = "add `dim T`, which is each text's own"
            if self.tokens.unit in ("chars", "words"):
                help += f", or write {self.tokens.unit}(pad = on): {PADDING} fills shorter ones"
            self._tell_lengths((counts > 0) & (counts < (most or 1)), help)
        return np.maximum(counts, 1)

    def _tell_lengths(self, wrong: NDArray[np.bool_], help: str) -> None:
        """V509 for texts of lengths that the model does not take."""
        symbol, most = self.time.symbol, self.time.most
        said = f"the model says `dim {symbol} <= {most}`" if symbol else f"{self.layout.text} has {most} steps"
        for row in np.flatnonzero(wrong).tolist():
            message = f"{self.place(row)}: the text has {self._told(int(self.texts.counts[row]))}, and {said}"
            self.problems.add("V509", message, self.origin.span, help)

    def _told(self, count: int) -> str:
        unit = self.tokens.unit if count != 1 else self.tokens.unit.removesuffix("s")
        return f"{count} {unit}{f' with {END}' if self.tokens.end else ''}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
