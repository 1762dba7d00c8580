"""How elaboration stops at a mistake and goes on after it.

`Stop` carries one diagnostic up to the statement that cannot be finished; `Poisoned` does the same silently where the
mistake was reported before. The statement's names then hold `Poison`, so that one mistake gives one error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, Edit, Related
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.dims import DimTooLarge
from dlc.compiler.program import Partial
from dlc.grammar import ast
from dlc.grammar.span import Span

LIBRARY = "std/"
"""Files of the standard library are named so; a mistake that shows up in one is the user's at the use."""


MOST_SUGGESTIONS, MOST_CANDIDATES = 20, 500


class Stop(Exception):
    """A mistake: this statement cannot be elaborated."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def too_large(error: DimTooLarge, span: Span) -> Stop:
    """A size beyond what the algebra of dimensions computes with."""
    return stop("D118", f"this is too large to be a size: {error}", span)


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


@dataclass(frozen=True, slots=True)
class Use:
    """One application of a definition: its place, the name, and the arguments as they are written there; `advice` is
    what to write in place of one of them, where it is wrong."""

    place: Span
    name: str
    definition: ast.Definition
    written: Mapping[str, ast.Expr]
    advice: Mapping[str, str]

    def argument(self, span: Span) -> tuple[ast.Expr, str] | None:
        """What was given for the parameter whose name stands at a place in the definition's text, and its name."""
        name = next((name.id for name in _names(self.definition) if name.span == span), None)
        if name is None or name not in self.written:
            return None
        return self.written[name], name


def _names(tree: Any) -> Iterator[ast.Name]:
    if isinstance(tree, ast.Name):
        yield tree
    elif isinstance(tree, tuple):
        for part in tree:
            yield from _names(part)
    elif isinstance(tree, ast.Tree):
        for field_ in fields(tree):
            yield from _names(getattr(tree, field_.name))


@dataclass(slots=True)
class Findings:
    """What one check has found. `partial` is what is known of models with errors, `uses` are the places of the calls
    that are being elaborated, outermost first.

    `proved` are the statements of the file's definitions that hold for all sizes that fit: what fails there at a use is
    the use's mistake. `refuted` are the names of the definitions that are wrong for every size; nothing more is said of
    them. The same mistake met twice (in two programs of one text, or in two rounds of a loop) is told once.
    """

    found: list[Diagnostic] = field(default_factory=list)
    partial: list[Partial] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    proved: set[Span] = field(default_factory=set)
    refuted: set[Span] = field(default_factory=set)
    _told: set[tuple[str, Span | None]] = field(default_factory=set)

    def add(self, diagnostic: Diagnostic) -> None:
        """Keeps a finding, told where the user can act: a mistake inside the library is shown at its use."""
        diagnostic = self.at_use(diagnostic)
        key = (diagnostic.code, diagnostic.span)
        if key in self._told or self._refused(diagnostic):
            return
        self._told.add(key)
        if diagnostic.severity == "error":  # what is refused is not warned of as well
            self.found = [d for d in self.found if (d.code, d.severity) != (diagnostic.code, "warning")]
        self.found.append(diagnostic)

    def _refused(self, diagnostic: Diagnostic) -> bool:
        errors = (d.code for d in self.found if d.severity == "error")
        return diagnostic.severity == "warning" and diagnostic.code in errors

    def told(self, code: str, span: Span) -> bool:
        """Whether this mistake was met before, in another round of a loop or another program."""
        return (code, span) in self._told

    def suggestion(self, word: str, candidates: Sequence[str]) -> str | None:
        """Did you mean …? After many mistakes, and among very many names, the nearest is not worth its time."""
        return did_you_mean(word, candidates[:MOST_CANDIDATES]) if len(self.found) < MOST_SUGGESTIONS else None

    def place(self, span: Span) -> Span:
        """The user's own text that a place in the library stands for: the innermost use outside the library."""
        if not span.file.startswith(LIBRARY):
            return span
        for use in reversed(self.uses):
            if not use.place.file.startswith(LIBRARY):
                return use.place
        return span

    def at_use(self, diagnostic: Diagnostic) -> Diagnostic:
        span = diagnostic.span
        if span is None or not self.uses:
            return diagnostic
        own = [(use.place, use.name) for use in self.uses if not use.place.file.startswith(LIBRARY)]
        if not own:
            return diagnostic
        place, what = own[-1]
        if span.file.startswith(LIBRARY) or self.is_proved(span, diagnostic):
            inner = [Related(diagnostic.label or f"needed here, in {what}", span)]
            for outer, outer_what in reversed(own[:-1]):
                if not self.is_proved(place, diagnostic):
                    break
                if all(part.span != place for part in (*inner, *diagnostic.related)):
                    inner.append(Related(f"needed here, in {outer_what}", place))
                place = outer
            place, label, advice = self._argument(span) or (place, None, None)
            related, help = (*diagnostic.related, *inner), advice or diagnostic.help
            return replace(diagnostic, span=place, label=label, related=related, help=help, fix=())
        if place == span or any(related.span == place for related in diagnostic.related):
            return diagnostic
        return replace(diagnostic, related=(*diagnostic.related, Related(f"in this use of {what}", place)))

    def _argument(self, span: Span) -> tuple[Span, str, str | None] | None:
        """The user's own argument that stands behind a name in a layer's text, which argument it is, and advice: what
        is wrong is what was given."""
        for use in reversed(self.uses):
            given = use.argument(span)
            if given is None:
                return None
            expr, name = given
            span = expr.span
            if not span.file.startswith(LIBRARY):
                return span, f"{name} of {use.name}", use.advice.get(name)
        return None

    def is_proved(self, span: Span, diagnostic: Diagnostic) -> bool:
        """Whether a mistake here is a use's: the statement holds for all sizes that fit it."""
        return diagnostic.severity == "error" and any(statement.contains(span) for statement in self.proved)

    def warn(self, code: str, message: str, span: Span, **parts: Any) -> None:
        related = tuple(Related(text, place) for text, place in parts.pop("related", ()))
        self.add(Diagnostic(code, message, span, "warning", related=related, **parts))

    @property
    def failed(self) -> bool:
        return any(d.severity == "error" for d in self.found)
