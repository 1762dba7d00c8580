"""`dlc check`: parse and prove."""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path

import click

from dlc import __version__
from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.diagnostics.render import json_text
from dlc.compiler.diagnostics.sarif import sarif_text
from dlc.compiler.program import CheckedModel
from dlc.runtime.cli.fix import fix
from dlc.runtime.cli.options import Common, verb
from dlc.runtime.cli.output import rendered, request_of
from dlc.runtime.preparation import prepare_all


@verb("check", "Prove every dimension of a file, against its data's headers too.", formats=("text", "json", "sarif"))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--fix", "fixing", is_flag=True, help="Apply the sure fixes to the files.")
def command(common: Common, files: tuple[Path, ...], fixing: bool) -> int:
    found: list[Diagnostic] = []
    for file in files:
        changed = fix(file, functools.partial(_found, common, file)) if fixing and file.is_file() else []
        own, sources, lines = _check(common, file)
        found += own
        if changed and common.format == "text":
            print("\n".join(changed) + "\n")
        if common.format == "text":
            if shown := [d for d in own if d.severity != "note" or common.verbose]:
                print(rendered(common, shown, sources, sys.stdout))
            if lines and not common.quiet:
                print("\n".join(lines))
    if common.json:
        print(json_text(found))
    if common.format == "sarif":
        print(sarif_text(found, __version__))
    return 1 if any(diagnostic.severity == "error" for diagnostic in found) else 0


def _found(common: Common, file: Path) -> list[Diagnostic]:
    return _check(common, file)[0]


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
        lines = [f"{file}: no model; its definitions are proved"]
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
