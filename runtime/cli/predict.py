"""`dlc predict`: the outputs for new data, as CSV."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlc.runtime.cli.options import Common, verb
from dlc.runtime.cli.output import number, print_json

if TYPE_CHECKING:
    from dlc.runtime.cli.results import Opened
    from dlc.runtime.data.dataset import Examples


@verb("predict", "The outputs of a run for new data, with the saved preprocessing.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), metavar="FILE", help="A file with the inputs.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="OUT.csv", help="Write there, not to stdout.")
def command(common: Common, run: Path, data: Path, out: Path | None) -> int:
    from dlc.runtime.checkpoint import write_whole
    from dlc.runtime.cli import results

    opened = results.opened(common, run)
    names, rows = predictions(opened, results.from_file(opened, data, False))
    if common.json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return 0
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    if out is None:
        sys.stdout.write(text.getvalue())
    else:
        write_whole(out, text.getvalue().encode())
        if not common.quiet:
            print(f"{out}: {len(rows):,} predictions", file=sys.stderr)
    return 0


def predictions(opened: Opened, examples: Examples) -> tuple[list[str], list[list[Any]]]:
    """The columns of the table and its rows, one an example: for classes the predicted one and a probability each, for
    what was generated its text, for sequences their steps with blanks between them, otherwise the numbers."""
    from dlc.runtime.cli.results import classes_of, columns_of, outputs, sequences_of, steps_of
    from dlc.runtime.texts import generated_texts

    model = opened.model
    classes = classes_of(model)
    names: list[str] = []
    columns: list[list[Any]] = []
    for name, array in outputs(model, examples).items():
        if (texts := generated_texts(model, name, array)) is not None:
            names.append(name)
            columns.append(texts)
            continue
        if (steps := steps_of(model, name, examples)) is not None:
            place, lengths = steps
            found = sequences_of(model, name, array, lengths, place)
            names += columns_of(model, name, len(found))
            columns += found
            continue
        flat = array.reshape(len(array), -1)
        if classes is not None and classes.output == name and array.ndim == 2:
            names += [name, *(f"{name}_{label}" for label in classes.labels)]
            columns.append([classes.labels[i] for i in flat.argmax(axis=1)])
        else:
            names += columns_of(model, name, flat.shape[1])
        columns += [[number(value) for value in column] for column in flat.T]
    return names, [list(row) for row in zip(*columns, strict=True)]
