"""Applies the edits that diagnostics carry. A diagnostic has a fix only where there is no doubt what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dlc.compiler.diagnostics.record import Diagnostic, Edit

Range = tuple[int, int, str]


def fixed(text: str, file: str, diagnostics: Iterable[Diagnostic]) -> tuple[str, list[Diagnostic]]:
    """The text with the fixes of errors and warnings applied, and whose they were.

    Only edits of `file` count. Of two fixes that touch the same characters the first in the order of the text is
    applied; the other one may be asked for again once the text was checked anew.
    """
    starts = _line_starts(text)
    taken: list[Range] = []
    done: list[Diagnostic] = []
    found = [d for d in dict.fromkeys(diagnostics) if d.fix and d.severity != "note"]
    for diagnostic in sorted(found, key=lambda d: _place(d.fix[0])):
        ranges = [_range(edit, starts, len(text)) for edit in diagnostic.fix if edit.span.file == file]
        if len(ranges) != len(diagnostic.fix) or any(_touch(a, b) for a in ranges for b in taken):
            continue
        taken += ranges
        done.append(diagnostic)
    for start, end, new in sorted(taken, reverse=True):
        text = text[:start] + new + text[end:]
    return text, done


def _place(edit: Edit) -> tuple[int, int]:
    return edit.span.line, edit.span.column


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def _range(edit: Edit, starts: Sequence[int], length: int) -> Range:
    span = edit.span
    first = min(starts[min(span.line, len(starts)) - 1] + span.column - 1, length)
    last = min(starts[min(span.end_line, len(starts)) - 1] + span.end_column - 1, length)
    return first, max(first, last), edit.text


def _touch(one: Range, other: Range) -> bool:
    """Whether two edits overlap; insertions at the same place do."""
    return one[0] < other[1] and other[0] < one[1] if one[0] != other[0] else True
