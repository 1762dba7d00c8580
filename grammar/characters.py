"""The spelling of names, numbers and strings: what they mean, and what is said where it is another one."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

from dlc.grammar.problems import Problem
from dlc.grammar.span import Span

if TYPE_CHECKING:
    from dlc.grammar.lexical import Token

MAX_INTEGER_DIGITS = 20
MAX_NUMBER_LENGTH = 100

# Controls, line breaks that not every editor shows, what turns the reading direction, and halves of characters.
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)

_INTEGER = re.compile(r"0|[1-9](_?[0-9])*+")
_FLOAT = re.compile(r"[0-9](_?[0-9])*+(\.[0-9](_?[0-9])*+)?+([eE][+-]?[0-9](_?[0-9])*+)?+")
_PRODUCT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]\w*)")

# Characters that a text copied from a page brings along, and what is meant.
_MEANT = {
    "→": "->", "×": "*", "·": "*", "∗": "*", "⋅": "*", "⊙": "*", "−": "-", "–": "-", "—": "-", "÷": "/", "∕": "/",
    "≤": "<=", "≥": ">=", "≠": "!=", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "…": "...",
    "‘": '"', "’": '"', "\N{NO-BREAK SPACE}": " ", "∈": "in", "¬": "not ", "∧": "and", "∨": "or", "∼": "~",
}  # fmt: skip

_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t"}


def normalised(name: str) -> str:
    """A name as it is compared: NFKC, so that both ways to write `Ŷ` are one name."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)


def number_value(text: str) -> int | float:
    plain = text.replace("_", "")
    return int(plain) if plain.isdecimal() else float(plain)


def has_value(text: str) -> bool:
    """Whether a number has a value, however it is written: `.5` has one, `2x` and `1e` have none."""
    try:
        number_value(text)
    except ValueError:
        return False
    return True


def string_value(text: str) -> str:
    """The string between the quotes; `\\n`, `\\t`, `\\"` and `\\\\` are the escapes."""
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1])


def forbidden_problem(char: str, span: Span) -> Problem:
    if char == "\r":
        return Problem("S013", "a carriage return stands alone here", span, help="end lines with a line feed")
    kind = "a character that turns the reading direction" if "\u202a" <= char <= "\u2069" else "a control character"
    if "\ud800" <= char <= "\udfff":
        kind = "half of a character"
    return Problem("S013", f"{kind} stands here ({_code(char)})", span, help="remove it", fix=((span, ""),))


def name_problem(token: Token) -> Problem | None:
    """What is wrong with a name of letters beyond ASCII."""
    if normalised(token.text).isidentifier() and not any(map(_raised, token.text)):
        return None
    for offset, char in enumerate(token.text):
        if _raised(char):
            return _raised_problem(token, offset, char)
        fits = unicodedata.normalize("NFKC", ("a" if offset else "") + char).isidentifier()
        if not fits:
            return character_problem(char, _part(token, offset))
    return character_problem(token.text[0], _part(token, 0))


def character_problem(char: str, span: Span) -> Problem:
    """A character that begins nothing in the language."""
    message = f"{_shown(char)} is not in the language"
    meant = _MEANT.get(char) or unicodedata.normalize("NFKC", char)
    if char in _MEANT or (meant != char and meant.isascii() and len(meant) == 1 and meant.isprintable()):
        shown = "a plain space" if meant == " " else meant.strip()
        return Problem("S013", message, span, help=f"write {shown}", fix=((span, meant),))
    return Problem("S013", message, span)


def number_problem(token: Token) -> Problem | None:
    """What is wrong with a number. Its value can be taken where the problem has a fix."""
    text = token.text
    if _INTEGER.fullmatch(text):
        if sum(map(str.isdecimal, text)) > MAX_INTEGER_DIGITS:
            message = f"an integer has at most {MAX_INTEGER_DIGITS} digits"
            return Problem("S011", message, token.span, help="write a large number as 1e21")
        return None
    if _FLOAT.fullmatch(text) and not text.isdecimal() and not re.fullmatch("[0-9_]+", text):
        return _float_problem(token)
    fixed = _number_fix(text)
    if fixed is None:
        help = "numbers look like 12, 12_288, 0.5 and 1e-3"
        return Problem("S010", f"`{_short(text)}` is not a number", token.span, help=help)
    message = "a product is written with `*`" if "*" in fixed else "an integer begins with its first digit"
    if "." in fixed and "*" not in fixed:
        message = "a decimal point has digits on both sides"
    return Problem("S010", message, token.span, help=f"write {fixed}", fix=((token.span, fixed),))


def _float_problem(token: Token) -> Problem | None:
    text = token.text
    if len(text) > MAX_NUMBER_LENGTH:
        return Problem("S011", f"a number has at most {MAX_NUMBER_LENGTH} characters", token.span)
    value = number_value(text)
    if value in (float("inf"), 0) and re.search("[1-9]", re.split("[eE]", text)[0]):
        what = "0" if value == 0 else "infinity"
        return Problem("S011", f"{_short(text)} is {what} in double precision", token.span)
    return None


def _number_fix(text: str) -> str | None:
    if len(text) > MAX_INTEGER_DIGITS:
        return None
    if re.fullmatch(r"\.[0-9]+([eE][+-]?[0-9]+)?", text):
        return f"0{text}"
    if point := re.fullmatch(r"([0-9]+)\.([eE][+-]?[0-9]+)?", text):
        return f"{point[1]}.0{point[2] or ''}"
    if re.fullmatch(r"0[0-9]+", text):
        return text.lstrip("0") or "0"
    if (product := _PRODUCT.fullmatch(text)) and not re.match("0[xXbBoO]", text):
        return f"{product[1]} * {product[2]}"
    return None


def string_problem(token: Token) -> Problem | None:
    """A string in single quotes, or with an escape that is none."""
    text = token.text
    if text[0] == "'":
        inner = text[1:-1].replace('"', '\\"')
        fix = ((token.span, f'"{inner}"'),)
        return Problem("S012", "a string stands in double quotes", token.span, help=f'write "{_short(inner)}"', fix=fix)
    for escape in re.finditer(r"\\(.)", text):
        if escape[1] not in _ESCAPES:
            help = 'in a path write /; the escapes are \\n, \\t, \\" and \\\\'
            return Problem("S012", f"`{escape[0]}` is no escape", _part(token, escape.start(), 2), help=help)
    return None


def time_problem(token: Token) -> Problem | None:
    """What is wrong with the name or number in a time index."""
    for word in re.finditer(r"[^\W_][\w\u0300-\u036f]*", token.text):
        inner = replace(token, text=word[0], column=token.column + word.start())
        if word[0][0].isdigit() and word[0].isascii():
            problem = number_problem(inner)
        else:
            problem = None if word[0].isascii() else name_problem(inner)
        if problem:
            return problem
    return None


def _raised(char: str) -> bool:
    """Whether a character is a superscript or subscript one."""
    return unicodedata.decomposition(char).startswith(("<super>", "<sub>"))


def _raised_problem(token: Token, offset: int, char: str) -> Problem:
    raised = unicodedata.decomposition(char).startswith("<super>")
    name, plain = token.text[:offset], "".join(map(normalised, token.text[offset:]))
    if not raised:
        help = f"write {name}_{plain} for a name, {name}[{plain}] for a member of a family"
    elif char == "ᵀ":
        help = f"write {name}.T"
    else:
        help = f"write {name}^{plain}"
    what = "superscript" if raised else "subscript"
    return Problem("S014", f"`{char}` is a {what} character, not a letter", _part(token, offset), help=help)


def _part(token: Token, offset: int, length: int = 1) -> Span:
    column = token.column + offset
    return Span(token.file, token.line, column, token.line, column + length)


def _shown(char: str) -> str:
    name = unicodedata.name(char, "").lower()
    if unicodedata.category(char)[0] in "CZM" or not char.isprintable():
        return f"the character {name or _code(char)}".replace("character character", "character")
    return f"`{char}`"


def _code(char: str) -> str:
    return f"U+{ord(char):04X}"


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:23] + "…"
