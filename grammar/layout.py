"""Breaks a statement into lines of at most `WIDTH` characters.

One line where it fits. Else a chain breaks before each `->`, a formula before its loosest operators, and a call behind
its opening bracket, with a line for each item. Breaks that the author made before `->`, and behind an opening bracket,
stay: a chain with a stage in each line reads better than one long line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dlc.grammar.spacing import Group, Node, Note, Word, flat

WIDTH = 120
INDENT = 4

_LOOSEST = (("or",), ("and",), ("==", "!=", "<", "<=", ">", ">="), ("+", "-"), ("*", "/", "//", "%"), ("@",))


@dataclass(slots=True)
class Line:
    """One line of the result: its code (with the indentation) and the comment behind it, which is lined up with those
    of the same table."""

    code: str
    note: str = ""
    table: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Printer:
    """Writes the nodes of one statement into `lines`."""

    lines: list[Line] = field(default_factory=list)

    def begin(self, indent: int) -> None:
        self.lines.append(Line(" " * indent))

    def lay(self, nodes: Sequence[Node], indent: int, tail: int = 0) -> None:
        """Writes nodes from the current place on, in a line indented by `indent`; `tail` characters follow them."""
        fits = self._fits(nodes, tail)
        rooms = (WIDTH - len(self.lines[-1].code) - 1, WIDTH - indent - INDENT - tail)
        pieces = _pieces(nodes, fits, rooms)
        if len(pieces) > 1:
            self._pieces(pieces, indent, tail)
        elif fits and not _forced(nodes):
            self._put(nodes)
        elif not fits and (cuts := _operators(nodes)):
            self._fill(_cut(nodes, cuts), indent, tail)
        else:
            self._explode_one(nodes, indent, tail)

    def _pieces(self, pieces: list[list[Node]], indent: int, tail: int) -> None:
        for number, piece in enumerate(pieces):
            if number:
                self._notes(piece[0].notes, indent + INDENT)
                self.begin(indent + INDENT)
            self.lay(piece, indent + INDENT * bool(number), tail if number == len(pieces) - 1 else 0)

    def _fill(self, pieces: list[list[Node]], indent: int, tail: int) -> None:
        """As many operands in each line as fit."""
        self.lay(pieces[0], indent)
        for number, piece in enumerate(pieces[1:], 2):
            after = tail if number == len(pieces) else 0
            if self._fits(piece, after) and not _forced(piece):
                self._put(piece)
            else:
                self.begin(indent + INDENT)
                self.lay(piece, indent + INDENT, after)

    def _explode_one(self, nodes: Sequence[Node], indent: int, tail: int) -> None:
        """Opens the first group that needs several lines, or else the widest one; the rest goes on around it."""
        groups = [(i, node) for i, node in enumerate(nodes) if isinstance(node, Group)]
        forced = [(i, node) for i, node in groups if node.forced]
        full = [(i, node) for i, node in groups if node.items]
        if not forced and not full:
            self._put(nodes)
            return
        at, chosen = forced[0] if forced else max(full, key=lambda pair: len(pair[1].flat))
        if nodes[:at]:
            self.lay(nodes[:at], indent, len(chosen.open.text))
        self._explode(chosen, indent)
        if nodes[at + 1 :]:
            self.lay(nodes[at + 1 :], indent, tail)

    def _explode(self, group: Group, indent: int) -> None:
        self._put([group.open])
        inner = indent + INDENT
        for number, item in enumerate(group.items, 1):
            self._notes(item[0].notes, inner)
            self.begin(inner)
            comma = number < len(group.items) or group.comma
            self.lay(item, inner, int(comma))
            self.lines[-1].code += "," if comma else ""
        self._notes(group.close.notes, inner)
        self.begin(indent)
        self.lines[-1].code += group.close.text

    def _notes(self, notes: Sequence[Note], indent: int) -> None:
        for note in notes:
            if note.own or self.lines[-1].note:
                self.begin(indent)
            self.lines[-1].note = note.text

    def _put(self, nodes: Sequence[Node]) -> None:
        line = self.lines[-1]
        line.code += (" " if nodes[0].gap and line.code.strip() else "") + flat(nodes)

    def _fits(self, nodes: Sequence[Node], tail: int) -> bool:
        return len(self.lines[-1].code) + nodes[0].gap + len(flat(nodes)) + tail <= WIDTH


def _forced(nodes: Sequence[Node]) -> bool:
    return any(node.forced for node in nodes)


def _pieces(nodes: Sequence[Node], fits: bool, rooms: tuple[int, int]) -> list[list[Node]]:
    """The parts of a chain where it breaks before `->`; a comment inside of an expression breaks it too.

    The author's breaks stay. Where there are none in a part that has no room (`rooms`: in the first line, in others),
    it breaks before each `->`.
    """
    breaks = [i for i, node in enumerate(nodes) if i and (node.notes or (_is_arrow(node) and node.first.broken))]
    parts = _cut(nodes, breaks)
    if len(parts) == 1:
        return parts if fits else _cut(nodes, _arrows(nodes))
    result: list[list[Node]] = []
    for part in parts:
        room = rooms[1] if result else rooms[0]
        result += [part] if len(flat(part)) <= room else _cut(part, _arrows(part))
    return result


def _cut(nodes: Sequence[Node], at: Sequence[int]) -> list[list[Node]]:
    return [list(nodes[a:b]) for a, b in zip([0, *at], [*at, len(nodes)], strict=True)]


def _arrows(nodes: Sequence[Node]) -> list[int]:
    return [i for i, node in enumerate(nodes) if i and _is_arrow(node)]


def _is_arrow(node: Node) -> bool:
    return isinstance(node, Word) and node.type == "->"


def _operators(nodes: Sequence[Node]) -> list[int]:
    """Where the loosest binary operators stand, right of what is defined."""
    start = next((i for i, node in enumerate(nodes) if node.type in ("=", ":=", "~")), 0)
    for signs in _LOOSEST:
        cuts = [i for i, node in enumerate(nodes) if i > start and _is_binary(node) and node.type in signs]
        if cuts:
            return cuts
    return []


def _is_binary(node: Node) -> bool:
    return isinstance(node, Word) and node.binary
