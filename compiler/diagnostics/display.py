"""Text as a terminal shows it: how wide it is, what may safely be printed, and its colours."""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import dataclass

TAB = 4

_CODES = {
    "error": "1;31",
    "warning": "1;33",
    "note": "1;32",
    "place": "1;34",
    "strong": "1",
}


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours, or none of them."""

    on: bool

    def __call__(self, style: str, text: str) -> str:
        """`style` is a severity, `place` (gutter, arrows, second places) or `strong`."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.on and text else text


def width_of(text: str) -> int:
    """The number of terminal cells of printable text: 2 for wide characters, 0 for combining ones."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def printable(text: str) -> str:
    """The text without what could move the cursor, colour the terminal or turn the reading direction."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(char: str) -> str:
    if char == "\t":
        return " " * TAB
    return "\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") else char


def wrapped(text: str, width: int | None) -> list[str]:
    """The lines of a text, broken between words to at most `width` cells; a width below 20 is not tried."""
    lines = [printable(line) for line in text.split("\n")]
    if width is None or width < 20:
        return lines
    broken: list[str] = []
    for line in lines:
        broken += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
    return broken
