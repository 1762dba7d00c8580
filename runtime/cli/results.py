"""A run with data to be measured or predicted, and how its outputs read: classes by their names, numbers by columns."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.dims import Dim
from dlc.compiler.program import M
from dlc.runtime.checkpoint import RunFolder, load_checkpoint, open_run
from dlc.runtime.cli.options import Common
from dlc.runtime.cli.output import print_warnings, say
from dlc.runtime.cli.resuming import require_trained_settings
from dlc.runtime.data.columns import as_array
from dlc.runtime.data.dataset import Examples, apply
from dlc.runtime.data.dimensions import dimension_sizes
from dlc.runtime.data.fingerprint import changed, fingerprint
from dlc.runtime.data.layout import LENGTHS
from dlc.runtime.endings import written_by
from dlc.runtime.engine import rows_of
from dlc.runtime.errors import told
from dlc.runtime.memory import memory_told
from dlc.runtime.metrics import BATCH, classified, target_of
from dlc.runtime.program import Model
from dlc.runtime.saved import open_model_of, require_data_folder, require_same_classes
from dlc.runtime.texts import class_names, generated_texts

Array = NDArray[Any]
NEW_DATA = "name new data with --data FILE"


@dataclass(frozen=True, slots=True)
class Opened:
    """A run, its model with the best parameters, and the epoch that they are of."""

    run: RunFolder
    model: Model
    epoch: int


def opened(common: Common, folder: Path) -> Opened:
    """The trained model in a run folder; `--seed` draws in place of the run's own. Raises DiagnosticError."""
    with told({}):
        run = open_run(folder)
        require_trained_settings(common, run)
        if sys.stderr.isatty():
            say(common, f"compiling {run.settings['model']}")
        model = open_model_of(run, threads=common.threads, dtype=common.dtype)
        if common.seed is not None:
            model.engine.seed = common.seed
        return Opened(run, model, load_checkpoint(run.checkpoint, {}, exact=False).progress.epoch)


def from_file(opened: Opened, file: Path, with_targets: bool) -> Examples:
    """New data through the saved preprocessing. Raises DiagnosticError."""
    model = opened.model
    with told(model.spec.prepared.sources):
        if model.preprocessing is None:
            message = "the model was trained on arrays, so how a file becomes its inputs is not known"
            help = "in Python: dlc.open(folder).forward(X=…)"
            raise DiagnosticError(Diagnostic("R601", message, None, help=help))
        return apply(model.preprocessing, file, model.spec.inputs, with_targets, model.dtype)


def from_split(common: Common, opened: Opened, split: str | None) -> tuple[str, Examples]:
    """A split of the run's own data, the test split where there is one; it is told where the data has changed since.
    Raises DiagnosticError."""
    with told({}):
        require_data_folder(opened.run)
    kept, data = opened.model.preprocessing, opened.model.load_data()
    opened.model.preprocessing = kept
    with told({}):
        require_same_classes(kept, data.preprocessing, NEW_DATA)
    print_warnings(common, changed(opened.run.settings.get("data"), fingerprint(data), NEW_DATA), {})
    splits = data.splits
    chosen = split or next(name for name in ("test", "dev", "train") if name in splits)
    if chosen not in splits:
        message = f"the data has no {chosen} split: it has {', '.join(splits)}"
        raise DiagnosticError(Diagnostic("T402", message, None))
    return chosen, splits[chosen]


def outputs(model: Model, examples: Examples) -> dict[str, Array]:
    """The outputs for all examples, examples first. Where each has its own number of steps, zeros stand behind them."""
    parts: list[dict[str, Array]] = []
    inputs = model.spec.inputs
    wanted = {n: array for n, array in examples.arrays.items() if n not in inputs or inputs[n].role == "input"}
    for start in range(0, examples.count, BATCH):
        batch = rows_of(wanted, model.spec.inputs, slice(start, start + BATCH))
        with memory_told(examples):
            parts.append(model.engine.forward(batch))
    axes = {name: batch_axis(model, name) for name in parts[0]}
    return {
        name: _joined([np.moveaxis(part[name], axis, 0) for part in parts])
        for name, axis in axes.items()
        if axis is not None
    }


def written(model: Model, count: int) -> dict[str, Array]:
    """What a model without inputs writes, so many times, examples first."""
    graph = model.spec.checked.evaluation
    targets = {}
    for name in filter(None, map(written_by, graph.nodes)):
        declaration = model.spec.inputs[name]
        steps = declaration.type.sizes[-1].constant or 1  # of which nothing is read but how many examples there are
        targets[name] = np.zeros((count, int(steps)), np.int64)
    found = model.engine.forward(targets)
    return {name: array for name, array in found.items() if batch_axis(model, name) == 0}


def _joined(parts: list[Array]) -> Array:
    """Arrays of examples, one behind the other, all as large as the largest."""
    sizes = np.max([part.shape[1:] for part in parts], axis=0) if parts[0].ndim > 1 else ()
    result = np.zeros((sum(map(len, parts)), *sizes), parts[0].dtype)
    start = 0
    for part in parts:
        result[(slice(start, start + len(part)), *map(slice, part.shape[1:]))] = part
        start += len(part)
    return result


def steps_of(model: Model, output: str, examples: Examples) -> tuple[int, NDArray[np.int64]] | None:
    """The axis of an output (examples first) that is a dimension of each example's own, and its lengths."""
    axes = list(model.spec.checked.evaluation.roots[f"output.{output}"].type.sizes)
    axes.insert(0, axes.pop(batch_axis(model, output) or 0))
    sizes = {s.name: size for s, (size, _) in dimension_sizes(examples.arrays, model.spec.inputs).items()}
    for place, size in enumerate(axes[1:], 1):
        for name in sizes:
            if [symbol.name for symbol in size.symbols] == [name] and size == Dim.symbol(next(iter(size.symbols))):
                same = np.full(examples.count, sizes[name])
                return place, as_array(examples.arrays.get(LENGTHS + name, same))
    return None


def batch_axis(model: Model, output: str) -> int | None:
    """Where an output has its examples."""
    sizes = model.spec.checked.evaluation.roots[f"output.{output}"].type.sizes
    return next((axis for axis, size in enumerate(sizes) if M in size.symbols), None)


@dataclass(frozen=True, slots=True)
class Classes:
    """The `one_hot` target, the output that predicts it, and the classes by name. `axis` is the class axis of a
    prediction with its examples first."""

    target: str
    output: str
    labels: tuple[str, ...]
    axis: int


def classes_of(model: Model) -> Classes | None:
    """What a model classifies; None where no output has the shape of a `one_hot` target."""
    pair = classified(model.spec.checked)
    if pair is None:
        return None
    target, output = pair
    declaration = model.spec.inputs[target]
    count = declaration.classes or 0
    named = model.preprocessing.entries.get(target) if model.preprocessing is not None else None
    labels = class_names(named, count)
    axis = declaration.class_axis or 0
    batch = batch_axis(model, output) or 0
    # With the examples moved to the front, an axis before theirs is one further back.
    return Classes(target, output, tuple(map(str, labels)), axis + 1 if axis < batch else axis)


def sequences_of(model: Model, output: str, array: Array, lengths: NDArray[np.int64], place: int) -> list[list[str]]:
    """Columns for an output whose steps, on the axis `place`, are each example's own: a text for each example, with
    blanks between the steps; of classes the predicted ones, by their names."""
    classes = classes_of(model)
    if classes is not None and classes.output == output:
        predicted = np.moveaxis(array, classes.axis, -1).argmax(axis=-1)
        steps = [row.reshape(-1)[:count] for row, count in zip(predicted, lengths.tolist(), strict=True)]
        named = (model.preprocessing.vocabularies if model.preprocessing is not None else {}).get(classes.target)
        if named is not None:
            return [[named.decode(row.tolist()) for row in steps]]
        return [[" ".join(classes.labels[number] for number in row) for row in steps]]
    features = np.moveaxis(array, place, -1).reshape(len(array), -1, array.shape[place])
    return [
        [" ".join(str(value) for value in row[:count]) for row, count in zip(column, lengths.tolist(), strict=True)]
        for column in np.moveaxis(features, 1, 0)
    ]


def shown_texts(model: Model, output: str, array: Array, examples: Examples) -> list[str] | None:
    """An output as one text for each example: what was generated, or what a sequence is; None for another output."""
    texts = generated_texts(model, output, array)
    if texts is not None or (steps := steps_of(model, output, examples)) is None:
        return texts
    found = sequences_of(model, output, array, steps[1], steps[0])
    return found[0] if len(found) == 1 else None


def given_texts(model: Model, name: str, rows: Sequence[Array]) -> list[str] | None:
    """What some examples of an input or target are as texts, those that are made of texts."""
    entry = model.preprocessing.entries.get(name) if model.preprocessing is not None else None
    if entry is None or entry.tokens is None:
        return None
    flat = [list(row.reshape(-1)) for row in rows]  # a float32 as it is: of Python it would have more digits
    if entry.vocabulary is not None:
        return [entry.vocabulary.decode(row) for row in flat]
    named = entry.classes
    return [" ".join(str(value if named is None else named[value]) for value in row) for row in flat]


def columns_of(model: Model, output: str, width: int) -> list[str]:
    """Names for the values of an output: those of the target that it predicts, else the output's own, numbered."""
    entries: Mapping[str, Any] = model.preprocessing.entries if model.preprocessing is not None else {}
    entry = entries.get(target_of(model.spec.checked, output) or "")
    if entry is not None and width > 1 and len(entry.columns) == width:
        return list(entry.columns)
    return [output] if width == 1 else [f"{output}_{i + 1}" for i in range(width)]
