"""Bad values, told one by one up to ten, then counted."""

from __future__ import annotations

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.grammar.span import Span

MAX_SHOWN = 10
MISSING_HELP = "an input or target declared `optional` may have missing values"


class Problems:
    """Collects the bad values of a load; `raise_if_any` ends it."""

    def __init__(self) -> None:
        self.shown: list[Diagnostic] = []
        self.hidden = 0

    def add(self, code: str, message: str, span: Span | None, help: str | None = None) -> None:
        """Keeps the first ten."""
        if self.full:
            self.hidden += 1
        else:
            self.shown.append(Diagnostic(code, message, span, help=help))

    @property
    def full(self) -> bool:
        """Whether a further one is only counted, so that nobody need write its message."""
        return len(self.shown) >= MAX_SHOWN

    def raise_if_any(self) -> None:
        """Raises `DiagnosticError` with what was found."""
        if self.hidden:
            last = self.shown[-1]
            rest = f"and {self.hidden:,} more value{'s' if self.hidden > 1 else ''} like these"
            self.shown.append(Diagnostic(last.code, rest, last.span))
        if self.shown:
            raise DiagnosticError(*self.shown)
