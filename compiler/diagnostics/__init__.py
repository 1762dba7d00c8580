"""Errors as data: the record that every phase makes and one renderer shows."""

from dlc.compiler.diagnostics.record import Diagnostic, DiagnosticError, Edit, Related

__all__ = ["Diagnostic", "DiagnosticError", "Edit", "Related"]
