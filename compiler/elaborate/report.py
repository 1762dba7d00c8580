"""How elaboration stops at a mistake and goes on after it.

`Stop` carries one diagnostic up to the statement that cannot be finished; `Poisoned` does the same silently where the
mistake was reported before. The statement's names then hold `Poison`, so that one mistake gives one error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, Edit, Related
from dlc.grammar.span import Span

LIBRARY = "std/"
"""Files of the standard library are named so; a mistake that shows up in one is the user's at the use."""


class Stop(Exception):
    """A mistake: this statement cannot be elaborated."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


class Poisoned(Exception):
    """A consequence of a mistake that was reported already."""


def stop(
    code: str,
    message: str,
    span: Span,
    *,
    label: str | None = None,
    related: Sequence[tuple[str, Span]] = (),
    rule: str | None = None,
    help: str | None = None,
    fix: Sequence[Edit] = (),
) -> Stop:
    """A `Stop` with its diagnostic; write `raise stop(...)`."""
    notes = tuple(Related(text, place) for text, place in related)
    return Stop(Diagnostic(code, message, span, "error", label, notes, rule, help, tuple(fix)))


@dataclass(slots=True)
class Findings:
    """What one check has found. `uses` are the places of the calls that are being elaborated, outermost first."""

    found: list[Diagnostic] = field(default_factory=list)
    uses: list[tuple[Span, str]] = field(default_factory=list)

    def add(self, diagnostic: Diagnostic) -> None:
        """Keeps a finding, told where the user can act: a mistake inside the library is shown at its use."""
        diagnostic = self.at_use(diagnostic)
        if not any(_same(diagnostic, other) for other in self.found):
            self.found.append(diagnostic)

    def place(self, span: Span) -> Span:
        """The user's own text that a place in the library stands for: the innermost use outside the library."""
        if not span.file.startswith(LIBRARY):
            return span
        return next((use for use, _ in reversed(self.uses) if not use.file.startswith(LIBRARY)), span)

    def at_use(self, diagnostic: Diagnostic) -> Diagnostic:
        span = diagnostic.span
        if span is None or not self.uses:
            return diagnostic
        own = [(place, what) for place, what in self.uses if not place.file.startswith(LIBRARY)]
        if not own:
            return diagnostic
        place, what = own[-1]
        if span.file.startswith(LIBRARY):
            inside = Related(diagnostic.label or f"needed here, in {what}", span)
            return replace(diagnostic, span=place, label=None, related=(*diagnostic.related, inside), fix=())
        if place == span or any(related.span == place for related in diagnostic.related):
            return diagnostic
        return replace(diagnostic, related=(*diagnostic.related, Related(f"in this use of {what}", place)))

    def warn(self, code: str, message: str, span: Span, **parts: Any) -> None:
        related = tuple(Related(text, place) for text, place in parts.pop("related", ()))
        self.add(Diagnostic(code, message, span, "warning", related=related, **parts))

    @property
    def failed(self) -> bool:
        return any(d.severity == "error" for d in self.found)


def _same(a: Diagnostic, b: Diagnostic) -> bool:
    """The same mistake met twice (in two programs of one text, or in two rounds of a loop) is told once."""
    return a.code == b.code and a.span == b.span
