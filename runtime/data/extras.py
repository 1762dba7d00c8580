"""The packages that only some data needs: imported where it is read, and asked for where they are not installed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.grammar.span import Span


def extra(module: str, package: str, reads: str, span: Span | None) -> ModuleType:
    """The module of an optional package; `reads` is what it reads. Raises V512 where it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        message = f"{reads} are read with the package {package}, which is not installed"
        raise DiagnosticError(Diagnostic("V512", message, span, help="pip install 'dlc[data]'")) from None
