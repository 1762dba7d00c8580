"""What `dlc explain` knows of one code."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of mistake: a title, a text for a student, a smallest example of it and the example's repair.

    `form` says what the examples are: a `spec`, a `data` file, or a `command`. `severity` is what a diagnostic of
    this code has unless it says otherwise.
    """

    code: str
    title: str
    explanation: str
    bad: str
    good: str
    severity: str = "error"
    form: str = "spec"


def entry(
    code: str, title: str, explanation: str, bad: str, good: str, severity: str = "error", form: str = "spec"
) -> Code:
    """A `Code` whose texts may be written indented."""
    return Code(code, title, _clean(explanation), _clean(bad), _clean(good), severity, form)


def _clean(text: str) -> str:
    return dedent(text).strip("\n") + "\n"
