"""What people write by habit in place of the language's own operators, and what is said to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dlc.grammar.problems import Problem

if TYPE_CHECKING:
    from dlc.grammar.lexical import Token

# Operators of other languages that mean exactly one of this one.
MEANT = {"**": "^", "&&": "and", "||": "or", "<>": "!="}

_NAME = r"[^\W\d]\w*"
_OPERAND_BEFORE = re.compile(rf"({_NAME}|[0-9.]+|[\])])$")
_OPERAND_AFTER = re.compile(rf"-?({_NAME}|[0-9.]+)(\[[^\]]*\])?")

# What stands between `<` and `>` where somebody means a time index: no comparison holds on to both names like this.
_TIME_LIKE = re.compile(r"[\w .+*/-]*>")
_TIME = re.compile(rf" ?({_NAME}|[0-9]+)( ?[+-] ?1)? ?>")


def foreign_problem(token: Token) -> Problem:
    """`**`, `&&`, `||`, and `+=` with its like."""
    if token.text in MEANT:
        meant = MEANT[token.text]
        message = "a power is written `^`" if meant == "^" else f"`{token.text}` is not an operator"
        return Problem("S009", message, token.span, help=f"write {meant}", fix=((token.span, meant),))
    help = "a name is defined once, by `=`; a state changes by `mu := mu + …`"
    return Problem("S009", f"`{token.text}` is not an operator here", token.span, help=help)


def less_problem(token: Token, before: str, after: str) -> Problem | None:
    """`<` without a space on each side: a comparison written tightly, or a time index that is none."""
    touched, touching = not before.endswith((" ", "\t")) and bool(before), not after.startswith((" ", "\t", "\r"))
    touching = touching and bool(after)
    if not touched and not touching:
        return None
    left, right = _OPERAND_BEFORE.search(before.rstrip()), _OPERAND_AFTER.match(after.lstrip())
    if touching and not touched and left and _TIME.match(after):
        help = f"write {left[0]}<{after.split('>')[0]}>"
        return Problem("S006", "a time index touches its name", token.span, help=help)
    if touched and touching and _TIME_LIKE.match(after) and not re.search(r"\b(and|or|if|else)\b", after.split(">")[0]):
        help = "an index between < and > is a name or a number, plus or minus one: a<t>, a<t-1>, a<0>"
        return Problem("S006", f"`<{after.split('>')[0]}>` is not a time index", token.span, help=help)
    text = (" " if touched else "") + "<" + (" " if touching else "")
    help = f"write {left[0] if left else 'a'} < {right[0] if right else 'b'}"
    return Problem(
        "S005",
        "a comparison needs a space on each side",
        token.span,
        label="`<` right after a name begins a time index" if touched else None,
        help=help,
        fix=((token.span, text),),
    )


def stray_problem(token: Token, touched: bool) -> Problem:
    """A character that begins no token; `touched` says that it stands right behind another."""
    char, span = token.text, token.span
    if char == '"':
        return Problem("S012", "a string is not closed in this line", span, help='close it with "')
    if char == "'":
        if touched:
            return Problem("S009", "a transpose is written `.T`", span, help="write .T", fix=((span, ".T"),))
        return Problem("S012", "a string stands in double quotes", span, help='write "…"')
    message, help = _STRAY.get(char, (f"`{char}` has no meaning here", None))
    return Problem("S009", message, span, help=help)


_STRAY: dict[str, tuple[str, str | None]] = {
    ";": ("a line holds one statement, and needs no `;`", "leave it out; what follows begins a new line"),
    "\\": ("a line needs no `\\` to go on", "begin the next line with the operator, or use brackets"),
    "&": ("`&` is not an operator", "write and"),
    "|": ("`|` is not an operator", "write or between conditions, -> in a chain"),
    "!": ("`!` is not an operator", "write not, or !="),
    "$": ("`$` is not part of a name", "names are letters, digits and `_`"),
    "?": ("`?` is not an operator", "write x if condition else y"),
}
