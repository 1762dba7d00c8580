"""`dlc fmt`: the one canonical layout. A file with syntax errors is left as it is."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import click

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.elaborate.library import diagnostic_of
from dlc.grammar.canonical import formatted
from dlc.runtime.cli.files import read_text, replace_text, spec_files
from dlc.runtime.cli.options import Common, verb
from dlc.runtime.cli.output import print_json, print_mistakes

STDIN = Path("-")


@verb("fmt", "The one canonical layout; FILE may be a folder, or - for stdin to stdout.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing; name the files that would change, and exit with 1.")
@click.option("--diff", is_flag=True, help="Change nothing; show what would change.")
def command(common: Common, files: tuple[Path, ...], check: bool, diff: bool) -> int:
    found: list[Diagnostic] = []
    changed: list[str] = []
    for path in spec_files(files):
        try:
            text = _stdin() if path == STDIN else read_text(path)
        except DiagnosticError as error:
            found += _told(common, error.diagnostics, {})
            continue
        name = "<stdin>" if path == STDIN else str(path)
        new, problems = formatted(text, name)
        if problems:
            found += _told(common, [diagnostic_of(problem) for problem in problems], {name: text})
            continue
        if new != text:
            changed.append(name)
            _change(common, path, name, (text, new), check, diff)
        elif path == STDIN and not check and not diff:
            print(text, end="")
    if common.json and STDIN not in files:
        print_json({"changed": changed, "diagnostics": [diagnostic.as_json() for diagnostic in found]})
    return 1 if found or (changed and check) else 0


def _change(common: Common, path: Path, name: str, texts: tuple[str, str], check: bool, diff: bool) -> None:
    old, new = texts
    if diff and not common.json:
        lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), name, name)
        print("".join(line if line.endswith("\n") else f"{line}\n\\ no newline at the end\n" for line in lines), end="")
    if path == STDIN and not check and not diff:
        print(new, end="")
    elif not check and not diff:
        replace_text(path, new)
    if not diff and path != STDIN and not common.json and not common.quiet:
        print(f"{name} would change" if check else f"{name} formatted")


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DiagnosticError(Diagnostic("N210", f"stdin is not UTF-8 text (byte {error.start})", None)) from None


def _told(common: Common, found: list[Diagnostic], sources: dict[str, str]) -> list[Diagnostic]:
    if not common.json:
        print_mistakes(common, found, sources)
    return found
