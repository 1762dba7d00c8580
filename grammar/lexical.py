"""From text to statements: tokens with their places, and the lines that belong together.

A statement is one line, continued inside brackets and by lines that begin with an operator. Mistakes in the spelling
of one token are found here; where the meaning is plain the intended token goes on to the parser, so that one mistake
does not hide the next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dlc.grammar.characters import (
    FORBIDDEN,
    forbidden_problem,
    has_value,
    name_problem,
    number_problem,
    string_problem,
    time_problem,
)
from dlc.grammar.foreign import MEANT, foreign_problem, less_problem, stray_problem
from dlc.grammar.problems import Problem
from dlc.grammar.span import Span

# Words with a meaning inside a statement; `in`, `as` and `from` may be names all the same.
OPERATOR_WORDS = frozenset({"and", "or", "not", "if", "else", "in", "as", "from"})

TAB = 4


@dataclass(slots=True)
class Token:
    """A word of the text. `type` is NAME, NUMBER, STRING or TIME, else the operator or keyword itself."""

    type: str
    text: str
    file: str
    line: int
    column: int

    @property
    def span(self) -> Span:
        return Span(self.file, self.line, self.column, self.line, self.column + len(self.text))

    def touches(self, other: Token) -> bool:
        """Whether `other` begins right where this token ends."""
        return self.line == other.line and self.column + len(self.text) == other.column


# Any character beyond ASCII is read as part of a name first: `Ŷ` may be a letter and a combining mark, and a stray
# `×` is then one token with one message. A number takes all that hangs on it, for the same reason.
# (The sets of a name's characters are written as what they exclude: Python compiles that 50 times faster.)
_NAME = r"[^\x00-@\[-^`{-\x7f][^\x00-/:-@\[-^`{-\x7f]*+"
_TOKENS = {
    "NAME": _NAME,
    "NEWLINE": r"\r?\n",
    "COMMENT": r"\#[^\n]*+",
    "NUMBER": r"(?:(?<![\w\])])\.)?[0-9](?:[eE][+-](?=[0-9])|[A-Za-z0-9_]|\.(?!\.))*+",
    "TIME": r"(?<=[^\x00-(*-/:-@\[\\^`{-\x7f])<\ *+(?:" + _NAME + r"|[0-9]++)\ *+(?:[+-]\ *+1\ *+)?>",
    "FOREIGN": r"\*\*|&&|\|\||<>|[-+*/]=|<(?!=)",
    "OPERATOR": r"->|:=|==|!=|<=|>=|//|\.\.\.|\.\.|[-+*/%@^=:,.()\[\]{}~>]",
    "STRING": r""" "(?:[^"\\\n]|\\.)*+" | (?<![\w\])'])'(?:[^'\\\n]|\\.)*+' """,
    "OTHER": r".",
    "END": r"\Z",
}
_TOKEN = re.compile(r"[ \t]*+(?:" + "|".join(f"(?P<{k}>{p})" for k, p in _TOKENS.items()) + ")", re.VERBOSE)


_DEFINED = re.compile(r" *[=:~](?!=)")


class Scanner:
    """Reads a text once, from start to end.

    After `scan`: `tokens`; `comments` as (line, column, text); `problems`; `indents`, the width of the indentation
    where the first token does not show it; and `unreadable`, the lines with a mistake that leaves no token to go on
    with.
    """

    def __init__(self, text: str, file: str, first_line: int = 1) -> None:
        self.text = text
        self.file = file
        self.line = first_line
        self.line_start = 0
        self.tokens: list[Token] = []
        self.comments: list[tuple[int, int, str]] = []
        self.problems: list[Problem] = []
        self.indents: dict[int, int] = {}
        self.unreadable: set[int] = set()
        self._indent = 0
        self._tabs: list[Span] = []

    def scan(self) -> Scanner:
        self._forbidden()
        fresh = True  # no token yet in this line
        for match in _TOKEN.finditer(self.text):
            kind = match.lastgroup or "END"
            if kind == "NEWLINE":
                self.line += 1
                self.line_start = match.end()
                fresh = True
                continue
            start = match.start(kind)
            token = Token(kind, match[kind], self.file, self.line, start - self.line_start + 1)
            if kind == "COMMENT":
                self.comments.append((token.line, token.column, token.text.rstrip("\r")))
                continue
            if kind == "END":
                break
            if fresh:
                fresh = False
                self._indentation(start)
            if kind == "OPERATOR" or token.text in OPERATOR_WORDS:
                token.type = token.text
                self.tokens.append(token)
            elif kind == "NAME" and token.text.isascii():
                self.tokens.append(token)
            elif token.line not in self.unreadable:
                self._careful(token, start)
        self._report_tabs()
        self.problems.sort(key=lambda p: (p.span.line, p.span.column))
        return self

    def _forbidden(self) -> None:
        """Controls and characters that turn the reading direction, anywhere: in comments and strings too."""
        line, counted, match = self.line, 0, FORBIDDEN.search(self.text)
        while match:
            at = match.start()
            line, counted = line + self.text.count("\n", counted, at), at
            column = at - self.text.rfind("\n", 0, at)
            self.problems.append(forbidden_problem(match[0], Span(self.file, line, column, line, column + 1)))
            self.unreadable.add(line)
            end = self.text.find("\n", at)  # one for each line is enough
            match = FORBIDDEN.search(self.text, end) if end >= 0 else None

    def _indentation(self, start: int) -> None:
        white = self.text[self.line_start : start]
        self._indent = len(white)
        if "\t" in white:
            self._indent = self.indents[self.line] = len(white.expandtabs(TAB))
            self._tabs.append(Span(self.file, self.line, 1, self.line, len(white) + 1))

    def _report_tabs(self) -> None:
        """All tabs of a file are one mistake, with one fix."""
        if self._tabs:
            fix = tuple((span, " " * self.indents[span.line]) for span in self._tabs)
            message = "a tab stands in the indentation" + (f" of {len(fix)} lines" if len(fix) > 1 else "")
            self.problems.append(Problem("S015", message, self._tabs[0], help="indent with spaces", fix=fix))

    def _careful(self, token: Token, start: int) -> None:
        """A token that may be misspelled; it goes on to the parser where its meaning is plain."""
        problem: Problem | None
        if token.type == "FOREIGN":
            problem = self._foreign(token, start)
            plain = bool(token.type)
        elif token.type == "OTHER":
            touched = start > self.line_start and not self.text[start - 1].isspace()
            problem, plain = stray_problem(token, touched), False
        else:
            problem = _CHECKS[token.type](token)
            if problem and token.type == "NUMBER" and self._is_defined(token, start):
                message, help = "a name begins with a letter", f"write _{token.text}, or begin with a letter"
                problem = Problem("S010", message, token.span, help=help)
            plain = problem is None or (token.type != "NAME" and (token.type != "NUMBER" or has_value(token.text)))
        if plain:
            self.tokens.append(token)
        if problem:
            self.problems.append(problem)
        if not plain:
            self.unreadable.add(token.line)
            self.indents.setdefault(token.line, self._indent)

    def _is_defined(self, token: Token, start: int) -> bool:
        """Whether a number with letters is what a line defines: `2nd = …`"""
        begins = not self.text[self.line_start : start].strip()
        return begins and bool(_DEFINED.match(self.text, start + len(token.text)))

    def _foreign(self, token: Token, start: int) -> Problem | None:
        """`**` and its like, and `<`, which is a less-than only between spaces; the type is what is meant, or empty."""
        if token.text != "<":
            token.type = MEANT.get(token.text, "")
            return foreign_problem(token)
        rest = self.text[start + 1 : start + 60].split("\n")[0]
        problem = less_problem(token, self.text[max(self.line_start, start - 60) : start], rest)
        token.type = "<" if problem is None or problem.code == "S005" else ""
        return problem


_CHECKS = {"NAME": name_problem, "NUMBER": number_problem, "STRING": string_problem, "TIME": time_problem}
