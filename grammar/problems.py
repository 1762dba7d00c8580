"""What the surface of the language can complain about: a syntax error as data.

The compiler turns a `Problem` into a diagnostic. Reading goes on after each one, so that a file with five mistakes
gives five problems.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlc.grammar.span import Span

TITLES = {
    "S001": "the statement does not go on like this",
    "S002": "the line ends too early",
    "S003": "a bracket is not closed",
    "S004": "a bracket closes nothing",
    "S005": "a comparison needs spaces",
    "S006": "a time index is a name or a number, plus or minus one",
    "S007": "comparisons do not chain",
    "S008": "`=` defines, `==` compares",
    "S009": "not an operator of the language",
    "S010": "a number is written in another way",
    "S011": "a number is too large",
    "S012": "a string is written in another way",
    "S013": "a character that may not stand here",
    "S014": "superscript and subscript characters are not letters",
    "S015": "indentation is spaces, not tabs",
    "S016": "the indentation fits no block",
    "S017": "a block is missing",
    "S018": "`:` is missing",
    "S019": "an unknown statement word",
    "S020": "a habit from another language",
    "S021": "the statement does not belong here",
    "S022": "only a name can be defined",
    "S023": "nested too deeply",
    "S024": "the file is too long",
    "S025": "too many mistakes",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One syntax error. `fix` replaces each span by its text; `related` are second places with what they say."""

    code: str
    message: str
    span: Span
    label: str | None = None
    help: str | None = None
    fix: tuple[tuple[Span, str], ...] = ()
    related: tuple[tuple[str, Span], ...] = ()


class Mistake(Exception):
    """Carries a problem out of the reading of one statement; never leaves this package."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem
