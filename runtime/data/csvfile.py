"""The rows of a CSV file, parsed in blocks, every bad cell with its line and column."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.grammar.span import Span
from dlc.runtime.data.formats import CsvHeader, Lines, long_cells, never_closed, unreadable
from dlc.runtime.data.problems import CELL_HELP, Problems

BLOCK = 1024
"""Rows that are text at one time; more do not fit the cache."""

WIDEST_TEXT = 40

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A column to read: numbers, or the cells' texts. `optional` cells may be empty: NaN. What helps where one is
    `missing`."""

    name: str
    text: bool
    optional: bool
    span: Span | None
    missing: str = CELL_HELP


@dataclass(frozen=True, slots=True)
class Table:
    """`numbers[name]` and `texts[name]` have one value a row; `lines` is where each row begins in the file."""

    lines: NDArray[np.int64]
    numbers: dict[str, Floats]
    texts: dict[str, list[str]]


def read_table(path: Path, shown: str, header: CsvHeader, wanted: Sequence[Wanted], span: Span | None) -> Table:
    """Reads the wanted columns.

    Raises V501 (not a number), V502 (empty, NaN, infinite), V505 (a row of another length than the header), ten at
    most and a count; V504 for a file without rows.
    """
    reader = _Reader(shown, header, wanted, span)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file, long_cells():
            for lines, rows in reader.blocks(Lines(file)):
                reader.take(lines, rows)
    except UnicodeDecodeError as error:
        message = f"{shown} is not a text in UTF-8: {error.reason}"
        raise unreadable(message, span, "save it as CSV with the encoding UTF-8") from None
    reader.problems.raise_if_any()
    if not reader.lines:
        raise unreadable(f"{shown} has no rows below its header", span)
    return reader.table()


class _Reader:
    def __init__(self, shown: str, header: CsvHeader, wanted: Sequence[Wanted], span: Span | None) -> None:
        self.shown, self.header, self.wanted, self.span = shown, header, wanted, span
        self.positions = [header.names.index(column.name) for column in wanted]
        self.problems = Problems()
        self.lines: list[int] = []
        self.numbers: dict[str, list[Floats]] = {column.name: [] for column in wanted if not column.text}
        self.texts: dict[str, list[str]] = {column.name: [] for column in wanted if column.text}

    def table(self) -> Table:
        numbers = {name: np.concatenate(blocks) for name, blocks in self.numbers.items()}
        return Table(np.array(self.lines, dtype=np.int64), numbers, self.texts)

    def blocks(self, file: Lines) -> Iterator[tuple[list[int], list[list[str]]]]:
        """The rows below the header with the lines on which they begin; blank lines are left out, ragged rows told."""
        width = len(self.header.names)
        lines: list[int] = []
        rows: list[list[str]] = []
        for line, row in self._below_header(file):
            if len(row) != width:
                cells = f"{len(row)} cell{'s' if len(row) != 1 else ''}"
                message = f"{self.shown}:{line}: the row has {cells}, the header {width} names"
                self.problems.add("V505", message, self.span, self._split_help(row))
                continue
            lines.append(line)
            rows.append(row)
            if len(rows) == BLOCK:
                yield lines, rows
                lines, rows = [], []
        if rows:
            yield lines, rows

    def _split_help(self, row: Sequence[str]) -> str | None:
        """Of a row with more cells than names: if a column is texts, a text with a comma in it may be two of them."""
        place = next((place for column, place in zip(self.wanted, self.positions, strict=True) if column.text), None)
        if place is None or len(row) <= len(self.header.names):
            return None
        sign = {",": "comma", ";": "semicolon"}.get(self.header.delimiter, "tab")
        text = self.header.delimiter.join(row[place : place + 2])
        return f'a text with a {sign} in it stands in quotes: "{text[:WIDEST_TEXT]}"'

    def _below_header(self, file: Lines) -> Iterator[tuple[int, list[str]]]:
        """A quoted cell may go over several lines: a row begins on the line after the last one's end."""
        reader = csv.reader(file, delimiter=self.header.delimiter)
        end, header = 0, True
        try:
            for row in reader:
                if file.ended:
                    raise never_closed(f"{self.shown}:{end + 1}", self.span)
                if row and not header:
                    yield end + 1, row
                header = header and not row
                end = reader.line_num
        except csv.Error as error:
            message = f"{self.shown}:{end + 1}: the row cannot be read: {error}"
            raise DiagnosticError(Diagnostic("V505", message, self.span)) from None

    def take(self, lines: list[int], rows: list[list[str]]) -> None:
        """Parses one block."""
        cells = list(zip(*rows, strict=True))
        bad: list[tuple[int, int]] = []
        for i, (column, position) in enumerate(zip(self.wanted, self.positions, strict=True)):
            if column.text:
                texts = [text.strip() for text in cells[position]]
                self.texts[column.name] += texts
                bad += [(row, i) for row, text in enumerate(texts) if not text and not column.optional]
            else:
                values = _parsed(cells[position])
                self.numbers[column.name].append(values)
                bad += [(int(row), i) for row in np.flatnonzero(~np.isfinite(values))]
        for row, i in sorted(bad):
            self._report(lines[row], self.wanted[i], rows[row][self.positions[i]])
        self.lines += lines

    def _report(self, line: int, column: Wanted, cell: str) -> None:
        text = cell.strip()
        place = f"{self.shown}:{line}: column {column.name}"
        if column.optional and text.lower() in ("", "nan"):
            return
        if not text:
            self.problems.add("V502", f"{place}: the cell is empty", column.span, column.missing)
        elif _number(text) is not None:
            self.problems.add("V502", f"{place}: {text[:40]} is not a finite number", column.span)
        else:
            comma = re.fullmatch(r"[-+]?\d+,\d+", text)
            help = f"write {text.replace(',', '.')}, with a decimal point" if comma else None
            self.problems.add("V501", f"{place}: {text[:40]!r} is not a number", column.span, help)


def _parsed(cells: Sequence[str]) -> Floats:
    """The cells as numbers, NaN for those that are none."""
    try:
        return np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        values = (_number(cell) for cell in cells)
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
