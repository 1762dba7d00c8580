"""The words of one statement as the canonical layout writes them: their text, and where a space stands.

`group` makes the tree of brackets that `layout.py` breaks into lines. It works on tokens and not on the syntax tree:
brackets and numbers stay as the author wrote them, and no comment can get lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dlc.grammar.lexical import Token
from dlc.grammar.lines import CLOSES, CONTINUES

_UNARY_AFTER = CONTINUES | {"(", "[", "{", ",", "=", ":=", "~", ":", "if", "else", "not", "in", "for"}
_SUM = ("+", "-")
_PRODUCTS = ("*", "/", "//", "%", "@")
_PLAIN = ("NAME", "NUMBER")
_CALLED = ("NAME", "in", "as", "from", ")", "]", "TIME")


@dataclass(frozen=True, slots=True)
class Note:
    """A comment; `own` where it has a line of its own."""

    text: str
    own: bool


@dataclass(slots=True)
class Word:
    """One token. `gap`: a space stands before it, where it does not begin a line; `broken`: it began one in the text.
    `notes` are the comments between the token before and this one."""

    type: str
    text: str
    gap: bool = False
    broken: bool = False
    binary: bool = False
    notes: list[Note] = field(default_factory=list)

    @property
    def first(self) -> Word:
        return self

    @property
    def flat(self) -> str:
        return self.text

    @property
    def forced(self) -> bool:
        """Whether it takes several lines in any case."""
        return False


@dataclass(slots=True)
class Group:
    """Brackets with what stands between them. Where a line ended behind the opening bracket, each item keeps a line.

    `comma` says that a comma stands behind the last item too: it makes `(x,)` a tuple, and is left out elsewhere.
    """

    open: Word
    items: list[list[Node]]
    close: Word
    comma: bool
    forced: bool

    @property
    def type(self) -> str:
        return self.open.type

    @property
    def gap(self) -> bool:
        return self.open.gap

    @property
    def notes(self) -> list[Note]:
        return self.open.notes

    @property
    def first(self) -> Word:
        return self.open

    @property
    def flat(self) -> str:
        inner = ", ".join(flat(item) for item in self.items) + ("," if self.comma else "")
        return f"{self.open.text}{inner}{self.close.text}"


Node = Word | Group


def flat(nodes: Sequence[Node]) -> str:
    """The nodes in one line; the space before the first one is left to whom it follows."""
    return "".join((" " if node.gap and i else "") + node.flat for i, node in enumerate(nodes))


def words(tokens: Sequence[Token], comments: Sequence[tuple[int, int, str]], header: bool) -> list[Word]:
    """The words of a statement, with the comments that stand inside it; `header`: its last token opens a block."""
    found: list[Word] = []
    waiting = list(comments)
    opened: list[bool] = []  # the brackets around, whether they are those of an index
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else None
        text = token.text.replace(" ", "") if token.type == "TIME" else token.text
        word = Word(token.type, text, broken=before is not None and token.line != before.line)
        word.binary = token.type in CONTINUES - {"->"} and not _unary(token, before)
        if before is not None:
            tight = found[-1].binary and not found[-1].gap
            tight |= bool(opened) and opened[-1] and word.binary and _is_index_sum(tokens, i)
            tight |= word.binary and _is_end_of_range(tokens, i)
            tight |= token.type == "/" and _is_fraction(tokens, i)
            colon = header and i == len(tokens) - 1
            word.gap = not tight and not colon and _gap(before, token, found[-1].binary)
        while waiting and waiting[0][:2] < (token.line, token.column):
            line, _, comment = waiting.pop(0)
            own = bool(word.notes) or before is None or line != before.line
            word.notes.append(Note(comment.rstrip(), own))
        if token.type in CLOSES:
            opened.append(token.type == "[" and before is not None and before.type in _CALLED)
        elif opened and token.type in CLOSES.values():
            opened.pop()
        found.append(word)
    return found


def _unary(token: Token, before: Token | None) -> bool:
    return token.type == "-" and (before is None or before.type in _UNARY_AFTER or before.type.islower())


def _gap(before: Token, token: Token, after_binary: bool) -> bool:
    """Whether a space stands between two tokens; `after_binary`: the first is an operator of two operands."""
    left, right = before.type, token.type
    if right in (",", ")", "]", "}", ".", "TIME") or left in ("(", "[", "{", "."):
        return False
    if left == "," or right == "->":
        return True
    if ".." in (left, right):
        return "..." in (left, right)
    if "^" in (left, right):
        return False
    if left == "-" and not after_binary:
        return False
    if right == "...":
        return left != "NAME"
    if right in ("(", "["):
        return left not in _CALLED or left in ("in", "as", "from")
    return True


def _is_index_sum(tokens: Sequence[Token], i: int) -> bool:
    """`l-1` alone between the brackets or commas of an index, as the course writes it."""
    if tokens[i].type not in _SUM or i < 2 or i + 2 >= len(tokens):
        return False
    around = tokens[i - 2].type, tokens[i + 2].type
    plain = tokens[i - 1].type in _PLAIN and tokens[i + 1].type in _PLAIN
    return plain and around[0] in ("[", ",") and around[1] in ("]", ",")


def _is_end_of_range(tokens: Sequence[Token], i: int) -> bool:
    """The sum in `1..L-1`: the dots bind more loosely than it looks."""
    if tokens[i].type not in _SUM or i + 1 >= len(tokens):
        return False
    plain = tokens[i - 1].type in _PLAIN and tokens[i + 1].type in _PLAIN
    left = tokens[i - 2].type if i > 1 else ""
    right = tokens[i + 2].type if i + 2 < len(tokens) else ""
    before, after = left in ("", "in", "=", "(", "[", ","), right in ("", ":", ")", "]", ",")
    return plain and ((left == ".." and (after or right == "..")) or (right == ".." and before))


def _is_fraction(tokens: Sequence[Token], i: int) -> bool:
    """`1/2` of two whole numbers, which is a number."""
    if i == 0 or i + 1 >= len(tokens) or not (tokens[i - 1].text.isdecimal() and tokens[i + 1].text.isdecimal()):
        return False
    left = tokens[i - 2].type if i > 1 else ""
    right = tokens[i + 2].type if i + 2 < len(tokens) else ""
    return left not in (*_PRODUCTS, "^") and right not in (*_PRODUCTS[1:], "^")


def group(found: list[Word]) -> list[Node]:
    """The words with their brackets as a tree."""
    nodes, _ = _sequence(found, 0)
    return nodes[0]


def _sequence(found: list[Word], at: int) -> tuple[list[list[Node]], int]:
    """The comma-separated parts from `at` on, up to the bracket that closes them; outside of brackets one part."""
    parts: list[list[Node]] = [[]]
    depth0 = at == 0
    while at < len(found) and found[at].type not in CLOSES.values():
        word = found[at]
        if word.type in CLOSES:
            inner, end = _sequence(found, at + 1)
            parts[-1].append(_group(word, inner, found[end], parts[-1]))
            at = end
        elif word.type == "," and not depth0:
            _hand_on(word, found[at + 1])
            parts.append([])
        else:
            parts[-1].append(word)
        at += 1
    return parts, at


def _hand_on(comma: Word, after: Word) -> None:
    """A comment before a comma is written behind it."""
    if comma.notes:
        after.notes = [*comma.notes, *(Note(note.text, True) for note in after.notes)]
        comma.notes = []


def _group(open: Word, items: list[list[Node]], close: Word, before: list[Node]) -> Group:
    trailing = len(items) > 1 and not items[-1]
    items = [item for item in items if item]
    called = bool(before) and not open.gap and before[-1].type in (*_CALLED, "(", "[")
    comma = trailing and len(items) == 1 and open.type == "(" and not called
    inner = [node for item in items for node in item]
    noted = bool(close.notes) or any(node.notes for node in inner)
    kept = bool(items) and items[0][0].first.broken
    chained = any(isinstance(node, Word) and node.type == "->" and node.broken for node in inner)
    return Group(open, items, close, comma, noted or kept or chained or any(node.forced for node in inner))
