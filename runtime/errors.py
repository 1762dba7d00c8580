"""What the Python API raises: diagnostics whose text is the rendered message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError


class SpecError(DiagnosticError):
    """A spec, its data or a run is at fault. `diagnostics` is the list; `str()` is the text the command prints."""

    def __init__(self, diagnostics: Iterable[Diagnostic], sources: Mapping[str, str] | None = None) -> None:
        super().__init__(*diagnostics)
        self.sources = dict(sources or {})

    def __str__(self) -> str:
        from dlc.compiler.diagnostics.render import render_all

        return render_all(self.diagnostics, self.sources)


class DataError(SpecError, ValueError):
    """An array that the caller passed is at fault."""


@contextmanager
def told(sources: Mapping[str, str], kind: type[SpecError] = SpecError) -> Iterator[None]:
    """Lets diagnostics leave the block as a `SpecError`, with the texts that they point into."""
    try:
        yield
    except SpecError:
        raise
    except DiagnosticError as error:
        raise kind(error.diagnostics, sources) from None
