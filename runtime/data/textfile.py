"""Text files: UTF-8, read whole, and what a check sees of them: their first MiB."""

from __future__ import annotations

import codecs
from pathlib import Path

from dlc.compiler.diagnostics import DiagnosticError
from dlc.grammar.span import Span
from dlc.runtime.data.formats import MAX_TEXT, TextHeader, unreadable

MAX_HEADER = 1 << 20
"""The bytes that a check reads."""


def text_header(path: Path, shown: str, span: Span | None) -> TextHeader:
    """The size of a text. Raises V504 for one that is empty, too large, or whose first MiB is not UTF-8."""
    size = path.stat().st_size
    if size > MAX_TEXT:
        raise unreadable(f"{shown} is larger than {MAX_TEXT >> 30} GiB", span, "take a part of it")
    with path.open("rb") as file:
        start = file.read(MAX_HEADER)
    text = _decoded(start, shown, span, whole=size <= MAX_HEADER)
    if size <= MAX_HEADER and not text.strip():
        raise unreadable(f"{shown} is empty", span)
    return TextHeader(size)


def read_text(path: Path, shown: str, span: Span | None) -> str:
    """The whole text; its lines end in `\\n`, however they did in the file. Raises V504."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(f"{shown} cannot be read: {error.strerror}", span) from None
    text = _decoded(content, shown, span, whole=True)
    if not text.strip():
        raise unreadable(f"{shown} is empty", span)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(content: bytes, shown: str, span: Span | None, *, whole: bool) -> str:
    """Text from bytes; without `whole`, a character may be cut in two at the end."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(content, final=whole)
    except UnicodeDecodeError as error:
        # The decoder may have passed a byte order mark, which is then no part of what it counts.
        bad = len(content) - len(error.object) + error.start
        raise _no_text(content, bad, shown, span, "save it with the encoding UTF-8") from None
    if "\0" in text:
        raise _no_text(content, content.index(0), shown, span, "a text has no zero bytes: is it UTF-16, or no text?")
    return text


def _no_text(content: bytes, place: int, shown: str, span: Span | None, help: str) -> DiagnosticError:
    line = content.count(b"\n", 0, place) + 1
    column = place - (content.rfind(b"\n", 0, place) + 1) + 1
    message = f"{shown} is not a text in UTF-8: byte {column} of line {line} is 0x{content[place]:02x}"
    return unreadable(message, span, help)
