"""`dlc show`: the table of layers."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import click

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.show import Row, accepted, shape_table, smallest
from dlc.runtime.cli.options import Common, verb
from dlc.runtime.cli.output import print_json, print_warnings, request_of, table
from dlc.runtime.errors import SpecError
from dlc.runtime.preparation import prepare


@verb("show", "The table of layers: rules, shapes, parameters, work and memory.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--graph", type=click.Path(path_type=Path), metavar="OUT.svg", help="Draw the network.")
@click.option("--rules", is_flag=True, help="Forward rules only.")
def command(common: Common, file: Path, graph: Path | None, rules: bool) -> int:
    if graph is not None:
        raise DiagnosticError(Diagnostic("U901", "`dlc show --graph` is not yet supported", None))
    prepared = prepare(replace(request_of(common, file), weights=False), headers=False)
    if prepared.checked is None:
        for partial in () if common.json else prepared.partial:
            _print_table(partial.name, _told(common, shape_table(partial)), rules)
            print("\nthe rest is not known: there are errors\n")
        raise SpecError(prepared.diagnostics, prepared.sources)
    print_warnings(common, prepared.diagnostics, prepared.sources)
    checked = prepared.checked
    rows = shape_table(checked)
    if common.json:
        print_json([asdict(row) for row in rows])
        return 0
    _print_table(checked.name, _told(common, rows), rules)
    if not rules:
        print(f"\n{checked.parameter_count:,} parameters")
        if checked.requirements:
            print(f"\n{accepted(checked)}; size, FLOPs and memory are for {smallest(checked)}")
    return 0


def _told(common: Common, rows: list[Row]) -> list[Row]:
    """The rows for people: of a chain its layers tell; `-v` gives all."""
    return rows if common.verbose else [row for row in rows if not row.chain]


def _print_table(name: str, rows: list[Row], rules: bool) -> None:
    if rules:
        print("\n".join(row.rule for row in rows))
        return
    print(f"{name}\n")
    header = ("name", "rule", "shape", "size", "parameters", "FLOPs", "memory")
    print(table(_fitted([_cells(row) for row in rows]), "<<<>>>>", header))


def _fitted(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """On a terminal, long rules are cut so that a row stays on its line."""
    if not sys.stdout.isatty():
        return rows
    others = max((len(row[0]) + len(row[2]) for row in rows), default=0) + 54
    room = max(24, shutil.get_terminal_size().columns - others)
    return [(name, rule if len(rule) <= room else rule[: room - 1] + "…", *rest) for name, rule, *rest in rows]


def _cells(row: Row) -> tuple[str, ...]:
    """Zeros are left blank."""
    parameters = f"{row.total:,}" if row.total else ""
    flops = f"{row.flops:,}" if row.flops else ""
    size, memory = f"{row.size:,}" if row.size else "", _bytes(row.memory) if row.memory else ""
    return row.name, row.rule, row.shape, size, parameters, flops, memory


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.1f} MiB"
