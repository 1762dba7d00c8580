"""`dlc sample`: what a trained model writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlc.runtime.cli.options import Common, Positive, Whole, verb
from dlc.runtime.cli.output import print_json

if TYPE_CHECKING:
    from dlc.compiler.ops.generate import Choice
    from dlc.runtime.cli.results import Opened
    from dlc.runtime.data.dataset import Examples
    from dlc.runtime.program import Model

SHOWN = 5
"""Examples of a run's own data, where nothing says how many."""


@verb("sample", "What a run's model writes: as many texts as wanted, or one for each example of its inputs.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--count", type=Whole(1, 10**6), metavar="N", help="How many texts (1; of a run's own data 5).")
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE", help="A file with the inputs.")
@click.option("--temperature", type=Positive(), metavar="T", help="Draw: low plays safe.")
@click.option("--top-k", type=Whole(0), metavar="K", help="Draw from the K most probable words; 0: from all.")
@click.option("--start", metavar="TEXT", help="What each text begins with.")
def command(
    common: Common,
    run: Path,
    count: int | None,
    data: Path | None,
    temperature: float | None,
    top_k: int | None,
    start: str | None,
) -> int:
    from dlc.runtime.cli import results
    from dlc.runtime.errors import told

    opened = results.opened(common, run)
    if temperature is not None or top_k is not None:
        opened.model.engine.by = drawing(opened.model, temperature, top_k)
    with told(opened.model.spec.prepared.sources):
        found = texts(common, opened, count, data, start or "")
    if common.json:
        print_json(found)
        return 0
    several = len(set(opened.model.spec.outputs).intersection(found[0])) > 1
    for place, record in enumerate(found):
        if place and (several or any("\n" in text for text in record.values())):
            print()
        print("\n".join(f"{n}: {text}" for n, text in record.items()) if several else " -> ".join(record.values()))
    return 0


def drawing(model: Model, temperature: float | None, top_k: int | None) -> Choice:
    """The spec's own way of drawing with other settings."""
    from dlc.compiler.ops.generate import Sampling

    ways = [node.attr("by") for node in model.spec.checked.evaluation.nodes if node.op == "generate"]
    spec = next((by for by in ways if isinstance(by, Sampling)), Sampling())
    return Sampling(temperature or spec.temperature, spec.top_k if top_k is None else top_k)


def texts(common: Common, opened: Opened, count: int | None, data: Path | None, start: str) -> list[dict[str, str]]:
    """For each example its inputs that are texts, and what is written, by name; it begins with `start`. Raises
    DiagnosticError, and click.UsageError for a beginning that cannot be."""
    from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
    from dlc.runtime.cli.results import from_file, from_split, given_texts, outputs, written
    from dlc.runtime.engine import reads
    from dlc.runtime.texts import begun, generated_texts

    model = opened.model
    wanted = reads(model.main.programs.graphs["forward"])
    inputs = [name for name, declaration in model.spec.inputs.items() if declaration.role == "input" and name in wanted]
    columns: dict[str, list[str]] = {}
    examples = None
    if inputs or data is not None:
        examples = from_file(opened, data, False) if data is not None else from_split(common, opened, None)[1]
        most = count or (examples.count if data is not None else SHOWN)
        examples = examples.chosen(range(min(most, examples.count)))
        for name in inputs:
            if (shown := given_texts(model, name, unpadded(model, name, examples))) is not None:
                columns[name] = shown
    if start:
        try:
            model.engine.words = begun(model, start)
        except ValueError as error:
            raise click.UsageError(f"--start {start!r}: {error}") from None
    made = outputs(model, examples) if examples is not None else written(model, count or 1)
    found = {name: shown for name, array in made.items() if (shown := generated_texts(model, name, array)) is not None}
    if not found:
        message = f"{model.spec.name} generates nothing: it has no output that is made by generate"
        help = "output s = generate(y, from = y_hat, max = 60); `dlc predict` gives the other outputs"
        raise DiagnosticError(Diagnostic("R615", message, None, help=help))
    columns |= found
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def unpadded(model: Model, name: str, examples: Examples) -> list[Any]:
    """An input of each example, as long as it is."""
    from dlc.runtime.data.columns import as_array
    from dlc.runtime.data.layout import LENGTHS

    column = [examples.arrays[name][i] for i in range(examples.count)]
    for symbol in model.spec.inputs[name].type.symbols:
        lengths = examples.arrays.get(LENGTHS + symbol.name)
        if lengths is not None and column[0].ndim == 1:
            return [row[:length] for row, length in zip(column, as_array(lengths), strict=True)]
    return column
