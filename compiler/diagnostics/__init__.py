"""Errors as data: the record that every phase makes, the table of codes, and the one renderer that shows them."""

from dlc.compiler.diagnostics.record import Diagnostic, DiagnosticError, Edit, Related
from dlc.compiler.diagnostics.render import arrange, json_text, render, render_all, summary
from dlc.compiler.diagnostics.suggest import did_you_mean

__all__ = [
    "Diagnostic",
    "DiagnosticError",
    "Edit",
    "Related",
    "arrange",
    "did_you_mean",
    "json_text",
    "render",
    "render_all",
    "summary",
]
