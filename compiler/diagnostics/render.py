"""A diagnostic as a person reads it: the header, the marked source lines, the rule and the help.

    error[D101]: W[2] and A[1] do not fit: the columns of W[2] must equal the rows of A[1]
      --> net.dl:11:12
       |
     9 |     param W[2] : (n[2], n[0]) ~ he
       |                         ---- W[2] : (n[2], n[0]) = (16, 64)
    11 |     Z[2] = W[2] @ A[1] + b[2]
       |            ^^^^^^^^^^^ (16, 64) @ (32, m)
       |
       = help: write n[1] in place of n[0] at 9:25

The place itself is marked `^`, related places `-`; each mark has a row of its own below its line, with its label.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics.display import Paint, printable, width_of, wrapped
from dlc.compiler.diagnostics.record import Diagnostic
from dlc.grammar.span import Span

# A source line longer than this is cut around its mark, whatever the width asked for.
_LONGEST = 240
# A label that does not fit beside its mark goes below it, where it has at least this much room.
_LABEL = 40


@dataclass(frozen=True, slots=True)
class _Mark:
    """A stretch of one line, columns from 1 and `end` exclusive."""

    line: int
    start: int
    end: int
    label: str | None
    primary: bool


@dataclass(frozen=True, slots=True)
class _Page:
    """What all lines of one diagnostic share."""

    paint: Paint
    severity: str
    gutter: int
    width: int | None

    def numbered(self, number: int | None, text: str) -> str:
        number_text = "" if number is None else str(number)
        bar = self.paint("place", f"{number_text:>{self.gutter}} |")
        return f"{bar} {text}" if text else bar


def render(diagnostic: Diagnostic, sources: Mapping[str, str], color: bool = False, width: int | None = None) -> str:
    """The text of one diagnostic, without a final newline.

    `sources` holds the text of each file by the name that spans use; a place in a file that is not there is named
    but not shown. `width` is the terminal's width in cells, None to leave long labels and footers on one line.
    """
    paint = Paint(color)
    places = _places(diagnostic)
    gutter = max((len(str(mark.end_line)) for mark, _, _ in places), default=1)
    page = _Page(paint, diagnostic.severity, gutter, width)
    name = diagnostic.severity + (f"[{diagnostic.code}]" if diagnostic.code else "")
    lines = [paint(diagnostic.severity, name) + paint("strong", f": {printable(diagnostic.message)}")]
    for i, file in enumerate(dict.fromkeys(span.file for span, _, _ in places)):
        here = [place for place in places if place[0].file == file]
        arrow = "-->" if i == 0 and diagnostic.span is not None else ":::"
        lines.append(" " * gutter + paint("place", f"{arrow} ") + printable(str(here[0][0])))
        lines += _snippet(page, here, sources.get(file))
    footers = [("rule", diagnostic.rule), ("help", diagnostic.help)]
    if places and any(text for _, text in footers):
        lines.append(page.numbered(None, ""))
    for word, text in footers:
        if text:
            lines += _footer(page, word, text)
    return "\n".join(lines)


def render_all(
    diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], color: bool = False, width: int | None = None
) -> str:
    """All diagnostics in the order of the text, each once, and a last line that counts them; "" for none."""
    ordered = arrange(diagnostics)
    if not ordered:
        return ""
    parts = [render(diagnostic, sources, color, width) for diagnostic in ordered]
    worst = "error" if any(d.severity == "error" for d in ordered) else ordered[0].severity
    return "\n\n".join([*parts, Paint(color)(worst, summary(ordered))])


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """`2 errors, 1 warning`; what does not occur is not counted."""
    found = [diagnostic.severity for diagnostic in diagnostics]
    counts = [(found.count(severity), severity) for severity in ("error", "warning", "note")]
    return ", ".join(f"{count} {word}{'s' if count != 1 else ''}" for count, word in counts if count)


def arrange(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """By file, line and column, those without a place first; identical ones once."""
    return sorted(dict.fromkeys(diagnostics), key=lambda d: _place_order(d.span))


def json_text(diagnostics: Iterable[Diagnostic]) -> str:
    """The list of `--format json`, ASCII only, in the order of the text."""
    return json.dumps([diagnostic.as_json() for diagnostic in arrange(diagnostics)], indent=2)


# --- places ----------------------------------------------------------------------------------------------------

_Place = tuple[Span, str | None, bool]


def _places(diagnostic: Diagnostic) -> list[_Place]:
    """(span, label, primary) of each place: the main one first, each only once."""
    own: list[_Place] = [] if diagnostic.span is None else [(diagnostic.span, diagnostic.label, True)]
    return list(dict.fromkeys([*own, *((r.span, r.message, False) for r in diagnostic.related)]))


def _place_order(span: Span | None) -> tuple[str, int, int]:
    return ("", 0, 0) if span is None else (span.file, span.line, span.column)


def _marks(span: Span, label: str | None, primary: bool, lines: Sequence[str]) -> list[_Mark]:
    """One mark, or for a span of several lines one on its first line and one, with the label, on its last."""
    last = min(span.end_line, len(lines))
    end = span.end_column
    if span.end_line > span.line and (end <= 1 or last < span.end_line):
        last = last if last < span.end_line else last - 1
        end = len(lines[last - 1]) + 1
    if last <= span.line:
        stop = end if span.end_line == span.line else len(lines[span.line - 1]) + 1
        return [_Mark(span.line, span.column, max(stop, span.column + 1), label, primary)]
    indent = len(lines[last - 1]) - len(lines[last - 1].lstrip())
    return [
        _Mark(span.line, span.column, max(len(lines[span.line - 1]) + 1, span.column + 1), None, primary),
        _Mark(last, indent + 1, max(end, indent + 2), label, primary),
    ]


# --- lines -----------------------------------------------------------------------------------------------------


def _snippet(page: _Page, places: Sequence[_Place], source: str | None) -> list[str]:
    """The marked lines of one file in the order of the text, with `...` where lines are left out between them."""
    if source is None:
        return []
    text = [line.removesuffix("\r") for line in source.split("\n")]
    marks = [
        mark
        for span, label, primary in places
        if 1 <= span.line <= len(text)
        for mark in _marks(span, label, primary, text)
    ]
    if not marks:
        return []
    lines = [page.numbered(None, "")]
    before: int | None = None
    for number in sorted({mark.line for mark in marks}):
        if before is not None and number > before + 2:
            lines.append(page.paint("place", "..."))
        lines += _marked_line(page, number, text[number - 1], [m for m in marks if m.line == number])
        before = number
    return lines


def _marked_line(page: _Page, number: int, text: str, marks: list[_Mark]) -> list[str]:
    room = _LONGEST if page.width is None else min(_LONGEST, max(40, page.width - page.gutter - 3))
    first, last = _window(text, min(m.start for m in marks) - 1, max(m.end for m in marks) - 1, room)
    head, tail = "..." if first else "", "..." if last < len(text) else ""
    lines = [page.numbered(number, head + printable(text[first:last]) + tail)]
    for mark in sorted(marks, key=lambda m: (m.start, m.end)):
        start, end = max(mark.start - 1, first), min(mark.end - 1, max(last, mark.start))
        offset = len(head) + width_of(printable(text[first:start])) + max(0, start - len(text))
        length = max(1, width_of(printable(text[start:end])))
        lines += _mark_rows(page, mark, offset, length)
    return lines


def _window(text: str, start: int, end: int, room: int) -> tuple[int, int]:
    """The part of a long line to show: all of it where it fits, else what stands around the marks."""
    if len(text) <= room:
        return 0, len(text)
    first = max(0, min(start - room // 4, len(text) - room))
    return first, min(len(text), first + room)


def _mark_rows(page: _Page, mark: _Mark, offset: int, length: int) -> list[str]:
    style = page.severity if mark.primary else "place"
    underline = " " * offset + page.paint(style, ("^" if mark.primary else "-") * length)
    if not mark.label:
        return [page.numbered(None, underline)]
    used = page.gutter + 3 + offset
    if page.width is not None and used + length + 1 + width_of(mark.label) > page.width:
        room = page.width - page.gutter - 3
        left = min(offset, max(0, room - _LABEL))
        label = [" " * left + page.paint(style, line) for line in wrapped(mark.label, room - left)]
        return [page.numbered(None, row) for row in (underline, *label)]
    first, *more = wrapped(mark.label, None)
    rows = [f"{underline} {page.paint(style, first)}"]
    rows += [" " * (offset + length + 1) + page.paint(style, line) for line in more]
    return [page.numbered(None, row) for row in rows]


def _footer(page: _Page, word: str, text: str) -> list[str]:
    """`= rule: …`, its later lines aligned below its first."""
    indent = page.gutter + 1
    hang = indent + len(f"= {word}: ")
    first, *more = wrapped(text, None if page.width is None else page.width - hang)
    head = " " * indent + page.paint("place", "=") + page.paint("strong", f" {word}: ") + first
    return [head, *(" " * hang + line if line else "" for line in more)]
