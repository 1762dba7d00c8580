"""`dlc show`: the table of layers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.diagnostics.display import width_of
from dlc.compiler.show import Row, accepted, shape_table, smallest
from dlc.runtime.cli.options import Common, verb
from dlc.runtime.cli.output import print_json, print_warnings, request_of, table
from dlc.runtime.errors import SpecError
from dlc.runtime.preparation import prepare

COLUMNS = ("name", "rule", "shape", "size", "parameters", "FLOPs", "memory")
ALIGNED = "<<<>>>>"
RULE = 1
LEAST_WANTED = (3, 6, 5)
"""What a narrow terminal goes without, in this order: size, memory, FLOPs."""
LEAST_RULE, GAP = 16, 2
"""Characters."""


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
    cells = [COLUMNS, *(_cells(row) for row in rows)]
    columns = list(range(len(COLUMNS)))
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        columns, cells = fitted(cells, width)
    print(table(cells, "".join(ALIGNED[i] for i in columns)))
    if left := [name for i, name in enumerate(COLUMNS) if i not in columns]:
        print(f"\nleft out, as the terminal has {width} columns: {', '.join(left)}")


def fitted(rows: Sequence[tuple[str, ...]], width: int) -> tuple[list[int], list[tuple[str, ...]]]:
    """The columns for which a terminal has room, and the rows with these, so that each stays on its line: long rules
    are cut first, then columns are left out, then names are cut at their front."""
    columns = list(range(len(COLUMNS)))
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    for number in LEAST_WANTED:
        others = sum(widths[i] for i in columns if i != RULE) + GAP * (len(columns) - 1)
        if width - others >= LEAST_RULE:
            break
        columns.remove(number)
    others = sum(widths[i] for i in columns if i != RULE) + GAP * (len(columns) - 1)
    rule = max(width - others, LEAST_RULE)
    name = max(widths[0] + min(width - others - rule, 0), LEAST_RULE)
    cut = [(_cut(row[0], name, front=True), _cut(row[RULE], rule), *row[RULE + 1 :]) for row in rows]
    return columns, [tuple(row[i] for i in columns) for row in cut]


def _cut(text: str, room: int, front: bool = False) -> str:
    if width_of(text) <= room:
        return text
    return "…" + text[len(text) - room + 1 :] if front else text[: room - 1] + "…"


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
