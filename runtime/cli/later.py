"""Verbs that the interface has and this version has not."""

from __future__ import annotations

import click

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.cli.options import Common, verb


def not_yet(name: str, help: str) -> click.Command:
    """The command that says so, whatever it is given."""

    def run(common: Common, arguments: tuple[str, ...]) -> int:
        raise DiagnosticError(Diagnostic("U901", f"`dlc {name}` is not yet supported", None))

    command = verb(name, f"{help} (not yet supported)")(
        click.argument("arguments", nargs=-1, type=click.UNPROCESSED)(run)
    )
    command.context_settings = {"ignore_unknown_options": True}
    return command
