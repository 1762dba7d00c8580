"""`dlc check`: parse and prove."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.diagnostics.render import json_text
from dlc.compiler.program import CheckedModel
from dlc.runtime.cli.options import Common, verb
from dlc.runtime.cli.output import rendered, request_of
from dlc.runtime.preparation import prepare_all


@verb("check", "Prove every dimension of a file, against its data's headers too.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(common: Common, files: tuple[Path, ...]) -> int:
    found: list[Diagnostic] = []
    for file in files:
        own, sources, lines = _check(common, file)
        found += own
        if not common.json:
            if shown := [d for d in own if d.severity != "note" or common.verbose]:
                print(rendered(common, shown, sources, sys.stdout))
            if lines and not common.quiet:
                print("\n".join(lines))
    if common.json:
        print(json_text(found))
    return 1 if any(diagnostic.severity == "error" for diagnostic in found) else 0


def _check(common: Common, file: Path) -> tuple[list[Diagnostic], dict[str, str], list[str]]:
    """The findings of a file, the texts that they point into, and a line for each proved model."""
    try:
        results = list(prepare_all(request_of(common, file)))
    except DiagnosticError as error:
        return error.diagnostics, {}, []
    found = [diagnostic for result in results for diagnostic in result.diagnostics]
    sources = {name: text for result in results for name, text in result.sources.items()}
    lines = [f"{file}: {summary(result.checked)}" for result in results if result.checked is not None]
    if not lines and not any(diagnostic.severity == "error" for diagnostic in found):
        lines = [f"{file}: no model; its definitions are checked where they are used"]
    return list(dict.fromkeys(found)), sources, lines


def summary(checked: CheckedModel) -> str:
    """`Digits: 3 layers, 8,970 parameters, every dimension proved`"""
    layers = len({_layer(name) for name, parameter in checked.parameters.items() if parameter.weight})
    count = checked.parameter_count
    parts = [f"{layers} layer{'s' if layers != 1 else ''}"] if layers else []
    parts += [f"{count:,} parameter{'s' if count != 1 else ''}", "every dimension proved"]
    return f"{checked.name}: {', '.join(parts)}"


def _layer(parameter: str) -> str:
    """What the parameter belongs to: `dense[1].W` to `dense[1]`, `W[2]` to `[2]`."""
    path, _, name = parameter.rpartition(".")
    index = re.search(r"(\[[^\]]*\])*$", name)
    return f"{path}{index.group() if index else ''}"
