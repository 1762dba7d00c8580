"""The one canonical layout of a `.dl` file (`dlc fmt`): lines, columns, and the comments where they were.

The rules are in `docs/decisions/0005-canonical-layout.md`. The result is read again before anybody sees it: its tree
and its comments are those of the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from dlc.grammar import ast
from dlc.grammar.blocks import Row
from dlc.grammar.layout import INDENT, WIDTH, Line, Printer
from dlc.grammar.parse import Reading, read
from dlc.grammar.problems import Problem
from dlc.grammar.spacing import Node, flat, group, words
from dlc.grammar.tree import Header

WIDEST_GAP = 24
WIDEST_EQUATION_GAP = 12
"""Where neighbouring lines differ by more than this many columns, lining them up would tear them apart."""


class LayoutError(Exception):
    """The layout would have changed the meaning of a file: a defect of the formatter, never of the file."""


@dataclass(slots=True)
class Entry:
    """A statement or a comment with lines of its own, `level` blocks deep. `blank`: an empty line stands before it."""

    level: int
    line: int
    blank: bool
    nodes: list[Node] = field(default_factory=list)
    row: Row | None = None
    note: str = ""
    cells: list[list[Node]] = field(default_factory=list)
    form: tuple[str, ...] = ()
    widths: list[int] = field(default_factory=list)

    @property
    def opens(self) -> bool:
        return self.row is not None and isinstance(self.row.node, Header)


def formatted(text: str, file: str) -> tuple[str, list[Problem]]:
    """The text in its canonical layout; a text with problems stays as it is, and they are returned."""
    reading = read(text, file)
    if reading.problems:
        return text, reading.problems
    entries = _entries(reading)
    _blank_lines(entries)
    _line_up(entries)
    result = "".join(line + "\n" for line in _lines(entries))
    _prove_equal(reading, read(result, file))
    return result, []


def _prove_equal(before: Reading, after: Reading) -> None:
    if after.problems:
        raise LayoutError(f"the new layout does not parse: {after.problems[0].message}")
    if not same(before.file.items, after.file.items):
        raise LayoutError("the new layout has another meaning")
    if [text.rstrip() for *_, text in before.comments] != [text.rstrip() for *_, text in after.comments]:
        raise LayoutError("the new layout has other comments")


def same(one: Any, other: Any) -> bool:
    """Whether two trees are equal but for their places."""
    todo = [(one, other)]
    while todo:
        a, b = todo.pop()
        if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
            todo += zip(a, b, strict=True)
        elif isinstance(a, ast.Tree) and type(a) is type(b):
            todo += [(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.name != "span"]
        elif a != b or type(a) is not type(b):
            return False
    return True


# --- what stands in the file -------------------------------------------------------------------------------------


def _entries(reading: Reading) -> list[Entry]:
    """The statements with their comments, and the comments that have lines of their own, in the order of the text."""
    comments, entries = list(reading.comments), list[Entry]()
    open_indents = [0]
    end = 0
    for row in reading.rows:
        span = row.span
        above = list(open_indents)
        while row.indent < open_indents[-1]:
            open_indents.pop()
        if row.indent > open_indents[-1]:
            open_indents.append(row.indent)
        level = len(open_indents) - 1
        candidates = above if row.indent < above[-1] else open_indents
        own = _take(comments, (span.line, span.column))
        entries += _comment_entries(own, candidates, level, end)
        end = own[-1][0] if own else end
        inner = _take(comments, (span.end_line, span.end_column))
        nodes = group(words(row.tokens, inner, isinstance(row.node, Header)))
        behind = _take(comments, (span.end_line + 1, 0))
        note = behind[0][2].rstrip() if behind else ""
        entry = Entry(level, span.line, span.line > end + 1, nodes, row, note)
        entry.form, entry.cells = _cells(row.node, nodes)
        entries.append(entry)
        end = span.end_line
    return [*entries, *_comment_entries(comments, open_indents, 0, end)]


def _take(comments: list[tuple[int, int, str]], before: tuple[int, int]) -> list[tuple[int, int, str]]:
    """Takes the comments that begin before a place."""
    count = next((i for i, comment in enumerate(comments) if comment[:2] >= before), len(comments))
    taken, comments[:] = comments[:count], comments[count:]
    return taken


def _comment_entries(
    own: Sequence[tuple[int, int, str]], indents: Sequence[int], least: int, end: int
) -> Iterator[Entry]:
    """Comments between two statements belong to the deepest open block that they are indented for."""
    deepest = len(indents) - 1
    for line, column, text in own:
        fitting = [level for level, indent in enumerate(indents) if indent <= column - 1 and level <= deepest]
        deepest = max(least, fitting[-1])
        yield Entry(deepest, line, line > end + 1, note=text.rstrip())
        end = line


def _blank_lines(entries: list[Entry]) -> None:
    """Single empty lines stay, but below a header and above `else:`; what stands at the left edge has one around it
    where a block begins or ends."""
    for before, entry in zip([None, *entries], entries, strict=False):
        second_half = entry.opens and entry.row is not None and entry.row.node.word in ("else", "otherwise")
        if before is None or before.opens or second_half:
            entry.blank = False
        elif entry.level == 0 and before.level > 0:
            entry.blank = True
    for i, entry in enumerate(entries):
        if entry.level == 0 and entry.opens:
            first = i
            while first and not entries[first].blank and entries[first - 1].row is None:
                first -= 1
            entries[first].blank = first > 0


# --- columns -----------------------------------------------------------------------------------------------------


def _cells(node: Any, nodes: list[Node]) -> tuple[tuple[str, ...], list[list[Node]]]:
    """The columns of a statement, and its form: neighbours of one form are lined up."""
    kind, first, signs = "", 0, tuple[str, ...]()
    match node:
        case ast.Declaration():
            kind = "data" if node.kind in ("input", "target") else "frozen" if node.frozen else "learned"
            first, signs = 1 + node.frozen, (":", "~")
        case ast.Equation() if len(node.targets) == 1:
            kind, signs = "equation", (":", "=")
        case ast.Draw():
            kind, signs = "draw", (":", "~")
        case ast.StateUpdate():
            kind, signs = "update", (":=",)
        case ast.Setting():
            kind, signs = "setting", ("=",)
        case ast.Hyper():
            kind, first, signs = "hyper", 1, ("=", "in")
        case ast.Loss() | ast.Metric() | ast.Output():
            kind, first, signs = "result", 1, ("=",)
        case ast.Definition():
            kind, first, signs = "definition", 1, ("=",)
        case _:
            return (), []
    cuts = [first] if first else []
    found = []
    for sign in signs:
        start = cuts[-1] if cuts else 0
        at = next((i for i in range(start, len(nodes)) if nodes[i].type == sign and i), None)
        if at is not None:
            cuts.append(at)
            found.append(sign)
    if kind in ("data", "learned", "frozen", "hyper"):
        found = found[:1]  # the last column may be empty
    elif kind == "result":
        found = []
    cells = [nodes[a:b] for a, b in zip([0, *cuts], [*cuts, len(nodes)], strict=True)]
    return (kind, *found), cells


@dataclass(slots=True)
class Run:
    """Neighbouring statements of one form, and how wide their columns are."""

    entries: list[Entry]
    least: list[int] = field(default_factory=list)
    widest: list[int] = field(default_factory=list)
    longest: dict[int, int] = field(default_factory=dict)  # the longest last cell, by the number of cells before it

    def takes(self, entry: Entry) -> bool:
        """Adds the statement, where it can be lined up with those before it."""
        if self.entries:
            last = self.entries[-1]
            if entry.form != last.form or entry.level != last.level or entry.blank:
                return False
        widths = [len(flat(cell)) for cell in entry.cells]
        *inner, end = widths
        both = max(len(inner), len(self.widest))
        least = [min(column) for column in _columns(both, self.least, inner)]
        widest = [max(column) for column in _columns(both, self.widest, inner)]
        limit = WIDEST_EQUATION_GAP if entry.form[0] == "equation" else WIDEST_GAP
        if any(b - a > limit for a, b in zip(least, widest, strict=True)):
            return False
        indent = INDENT * entry.level
        longest = dict(self.longest)
        if indent + sum(widths) + len(inner) <= WIDTH:  # in one line by itself, so it stays in one line
            longest[len(inner)] = max(end, longest.get(len(inner), 0))
        if any(indent + sum(widest[:n]) + n + length > WIDTH for n, length in longest.items()):
            return False
        self.entries.append(entry)
        self.least, self.widest, self.longest = least, widest, longest
        return True

    def line_up(self) -> None:
        for entry in self.entries if len(self.entries) > 1 else ():
            entry.widths = self.widest[: len(entry.cells) - 1]


def _columns(count: int, *rows: list[int]) -> list[list[int]]:
    return [[row[i] for row in rows if i < len(row)] for i in range(count)]


def _line_up(entries: list[Entry]) -> None:
    """Gives the statements of each run the widths of its columns."""
    run = Run([])
    for entry in entries:
        able = bool(entry.cells) and _is_row(entry)
        if not able or not run.takes(entry):
            run.line_up()
            run = Run([])
            if able:
                run.takes(entry)
    run.line_up()


def _is_row(entry: Entry) -> bool:
    """Whether a statement can stand in a table: in one line, or a setting whose value takes several."""
    nodes = entry.nodes if entry.form[0] != "setting" else [node for cell in entry.cells[:-1] for node in cell]
    fits = entry.form[0] == "setting" or INDENT * entry.level + len(flat(entry.nodes)) <= WIDTH
    return fits and not any(node.forced or node.notes or (node.type == "->" and node.first.broken) for node in nodes)


# --- lines -------------------------------------------------------------------------------------------------------


def _lines(entries: list[Entry]) -> Iterator[str]:
    block: list[Line] = []
    for entry in entries:
        if entry.blank:
            yield from _with_notes(block)
            yield ""
            block = []
        block += _statement(entry)
    yield from _with_notes(block)


def _statement(entry: Entry) -> list[Line]:
    indent = INDENT * entry.level
    if entry.row is None:
        return [Line(" " * indent, entry.note)]
    printer = Printer()
    printer.begin(indent)
    if entry.widths:
        line = printer.lines[-1]
        for cell, width in zip(entry.cells, entry.widths, strict=False):
            line.code += f"{flat(cell):<{width}} "
        line.code = line.code[:-1]
        printer.lay(entry.cells[-1], indent)
    else:
        printer.lay(entry.nodes, indent)
    printer.lines[-1].note = entry.note
    for line in printer.lines:
        line.table = (entry.level, entry.line if len(printer.lines) > 1 else 0)
    return printer.lines


def _with_notes(block: list[Line]) -> Iterator[str]:
    """The lines with their comments, which stand below each other in neighbouring lines."""
    run: list[Line] = []
    least = widest = longest = 0
    for line in block:
        width, note = len(line.code), len(line.note)
        if not line.note or not line.code.strip():
            yield from _lined_up(run, widest)
            run = []
            yield (line.code + line.note).rstrip()
            continue
        a, b, c = (min(width, least), max(width, widest), max(note, longest)) if run else (width, width, note)
        if run and (line.table != run[-1].table or b - a > WIDEST_GAP or b + 2 + c > WIDTH):
            yield from _lined_up(run, widest)
            run, a, b, c = [], width, width, note
        run.append(line)
        least, widest, longest = a, b, c
    yield from _lined_up(run, widest)


def _lined_up(run: list[Line], width: int) -> Iterator[str]:
    for line in run:
        yield f"{line.code:<{width}}  {line.note}"
