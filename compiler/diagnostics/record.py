"""The diagnostic record, as the command prints it and `--format json` gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlc.grammar.span import Span


@dataclass(frozen=True, slots=True)
class Related:
    """A second place, and what it has to do with the first."""

    message: str
    span: Span


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text at `span` by `text`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `code` is from `codes/`; `severity` is `error`, `warning` or `note`.

    `label` is what stands under the marked text, `rule` the law in the course's notation with the numbers
    filled in, `help` what to do, and `fix` the edits that do it.
    """

    code: str
    message: str
    span: Span | None
    severity: str = "error"
    label: str | None = None
    related: tuple[Related, ...] = ()
    rule: str | None = None
    help: str | None = None
    fix: tuple[Edit, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The form of `--format json`: lines and columns from 1, `end` exclusive."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            **_place(self.span),
            "related": [{"message": r.message, **_place(r.span)} for r in self.related],
            "rule": self.rule,
            "help": self.help,
            "fix": [{**_place(e.span), "text": e.text} for e in self.fix],
        }


class DiagnosticError(Exception):
    """Carries diagnostics out of a phase that cannot go on; never shown as a traceback."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n".join(f"{d.span}: {d.severity}[{d.code}]: {d.message}" for d in diagnostics))
        self.diagnostics = list(diagnostics)


def _place(span: Span | None) -> dict[str, Any]:
    if span is None:
        return {"file": None, "start": None, "end": None}
    return {
        "file": span.file,
        "start": {"line": span.line, "column": span.column},
        "end": {"line": span.end_line, "column": span.end_column},
    }
