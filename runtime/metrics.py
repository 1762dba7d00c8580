"""Loss and metrics of a whole split, batch by batch.

In a metric `m` is the whole split: its sums over `m` go on over the batches, and the formula around them is applied
once, to the totals. A sum that needs another sum first takes a pass of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.driver import Programs
from dlc.compiler.ir import Graph, topological
from dlc.compiler.passes import AFTER_GRADIENTS, BEFORE_GRADIENTS, run
from dlc.compiler.program import CheckedModel, InputDeclaration
from dlc.runtime.data.columns import Columns
from dlc.runtime.data.sequences import total_steps
from dlc.runtime.engine import Engine, bind_inputs, example_count, reads, rows_of
from dlc.runtime.reference import evaluate

BATCH = 256
"""Examples a batch of an evaluation has at least: large enough for the matrix tile, small enough for the cache."""


def batches(
    inputs: Columns, declarations: Mapping[str, InputDeclaration], size: int
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The inputs in batches of examples, each with its rows; once as they are where nothing has examples.

    Where examples have lengths of their own, the shortest come first: little of a batch is then padding.
    """
    count, steps = example_count(inputs, declarations), total_steps(inputs)
    if count is None:
        yield slice(None), rows_of(inputs, declarations, slice(None))
        return
    order = None if steps is None else np.argsort(steps, kind="stable")
    for start in range(0, count, size):
        part = slice(start, start + size)
        rows = part if order is None else order[part]
        yield rows, rows_of(inputs, declarations, rows)


def measure(
    engine: Engine, checked: CheckedModel, programs: Programs, inputs: Columns, size: int = BATCH
) -> dict[str, float]:
    """`loss` (where the model has one) and every metric of the examples, by the evaluation program."""
    plan = programs.evaluation
    count = example_count(inputs, checked.inputs) or 1
    known: dict[str, Any] = {"m": np.float64(count)}
    for level in range(len(plan.levels)):
        totals: dict[str, Any] = {}
        for _, batch in batches(inputs, checked.inputs, size):
            for name, value in engine.totals(level, batch, known).items():
                totals[name] = totals.get(name, 0.0) + np.asarray(value, np.float64)
        known |= totals
    wanted = frozenset[str]().union(*map(reads, plan.formulas.values()))
    bindings, sizes = bind_inputs(wanted, inputs, checked.inputs)
    bindings |= {("scalar", name): value for name, value in known.items()}
    bindings |= {("parameter", name): value for name, value in engine.parameters.items()}
    bindings |= {("state", name): value for name, value in engine.states.items()}
    return {name: float(evaluate(graph, bindings, sizes)["value"].reshape(())) for name, graph in plan.formulas.items()}


@dataclass(frozen=True, slots=True)
class Confusion:
    """`counts[truth, prediction]`: how often a class was taken for another."""

    target: str
    output: str
    labels: tuple[str, ...]
    counts: NDArray[np.int64]


def target_of(checked: CheckedModel, output: str) -> str | None:
    """The target that an output predicts: of its shape, and read by a loss or metric line that reads the output.

    Where no line reads both, the only target of that shape.
    """
    node = checked.evaluation.roots[f"output.{output}"]
    shown = {node, *node.inputs} if node.op == "select" else {node}  # an output shows zeros in its padding
    alike = [d.name for d in checked.inputs.values() if d.role == "target" and d.type.sizes == node.type.sizes]
    for root, line in checked.evaluation.roots.items():
        if not root.startswith(("loss.", "metric.")):
            continue
        read = topological([line])
        names = {str(value.attr("name")) for value in read if value.op == "input"}
        if shown.intersection(read) and names & set(alike):
            return next(name for name in alike if name in names)
    return alike[0] if len(alike) == 1 else None


def classified(checked: CheckedModel) -> tuple[str, str] | None:
    """The first `one_hot` target that an output predicts, and that output."""
    for output in checked.outputs:
        target = target_of(checked, output)
        if target is not None and checked.inputs[target].one_hot:
            return target, output
    return None


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """The table of counts; a missing truth (-1) is not counted."""
    known = truth >= 0
    return np.bincount(truth[known] * classes + predicted[known], minlength=classes**2).reshape(classes, classes)


def example_losses(engine: Engine, checked: CheckedModel, inputs: Columns) -> NDArray[np.float64] | None:
    """Each example's own loss in float64, by the evaluation program; None where no loss line has examples."""
    roots = {
        name: node for name, node in checked.evaluation.roots.items() if name.startswith("loss.") and node.type.rank
    }
    if not roots:
        return None
    graph = run(Graph.of(roots), (*BEFORE_GRADIENTS, *AFTER_GRADIENTS))
    known: dict[tuple[str, str], Any] = {("parameter", name): value for name, value in engine.parameters.items()}
    known |= {("state", name): value for name, value in engine.states.items()}
    losses = np.zeros(example_count(inputs, checked.inputs) or 1)
    for rows, batch in batches(inputs, checked.inputs, BATCH):
        given, sizes = bind_inputs(reads(graph), batch, checked.inputs)
        values = evaluate(graph, known | given, sizes)
        losses[rows] = sum(value.reshape(-1) for value in values.values())
    return losses


def shown(value: float) -> str:
    """A measured number as people read it: `0.0962`, `1.23e-05`, `nan`."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3e}"
