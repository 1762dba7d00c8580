"""Everything that may be done with a proved network, on random data: a defect of dlc is an exception.

The programs are made and computed by the reference executor (which holds every value against its declared shape), the
table and the derivation are printed, and what was proved is held against what is computed: an output depends on no
other example, padding is not seen, and a batch of one is a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.derivation import render_derivation
from dlc.compiler.diagnostics import DiagnosticError, json_text, render_all
from dlc.compiler.dims import Dim, Symbol
from dlc.compiler.driver import CheckResult, Programs, check
from dlc.compiler.elaborate.evaluation import folds_examples
from dlc.compiler.elaborate.padding import padded_symbols
from dlc.compiler.ir import Node, bodies
from dlc.compiler.program import CheckedModel, M
from dlc.compiler.settings import read_train
from dlc.compiler.show import shape_table
from dlc.runtime.data.arrays import check_arrays
from dlc.runtime.data.layout import LENGTHS, Layout, has_examples
from dlc.runtime.engine import ReferenceEngine, programs_of, rows_of
from dlc.runtime.metrics import measure

Array = NDArray[Any]
EXAMPLES = 3
MOST_VALUES = 2_000_000
"""A network with more values than this is proved and not computed."""
MOST_STEPS = 40
LENGTHS_TRIED = ((4, 2, 3), (6, 5, 2), (1, 1, 1), (20, 17, 19), (8, 8, 8), (39, 16, 24))
"""The lengths of the examples of a batch; the first that a model's requirements take are used."""
CLOSE = 1e-6


def proved_and_run(text: str) -> CheckResult:
    """Checks a text and does everything that a proved network must be able to do. Raises on a defect of dlc."""
    result = check("mutated.dl", text=text)
    render_all(result.diagnostics, result.sources, color=False, width=100)
    json_text(result.diagnostics)
    wrong = [d for d in result.diagnostics if d.severity == "error"]
    assert wrong or result.checked is not None or len(result.models) != 1, "neither a network nor an error"
    for name in result.models if not wrong else ():
        one = check("mutated.dl", text=text, model=name).checked
        assert one is not None, f"{name} is proved with the others and not alone"
        computed(one)
    return result


def computed(checked: CheckedModel) -> None:
    """Makes a model's programs, prints them, and computes them on random data."""
    shape_table(checked)
    settings, wrong = read_train(checked.train, checked.evaluate, {}, checked.metrics)
    if wrong:
        return
    try:
        made = programs_of(checked, settings)
    except DiagnosticError:
        return
    if any(root.startswith("loss.") for root in checked.deterministic.roots):
        render_derivation(checked, settings.regularize)
    if any(node.op == "generate" and isinstance(node.attr("until"), str) for node in _nodes(checked)):
        return  # a word of a vocabulary that no data gives
    batch = _batch(checked)
    if batch is None or _values(checked, made, batch) > MOST_VALUES:
        return
    _run(checked, made, batch)


def _run(checked: CheckedModel, made: Programs, batch: dict[str, Array]) -> None:
    engine = ReferenceEngine(checked, made, "float64", 1)
    random = np.random.default_rng(5)
    for name, value in engine.parameters.items():
        value[...] = random.uniform(0.1, 1, value.shape) * random.choice([-1, 1], value.shape)
        assert checked.parameters[name].shape == value.shape
    outputs = engine.forward(batch)
    _others_are_not_read(checked, engine, batch, outputs)
    _one_by_one(checked, engine, batch, outputs)
    if "backward" in made.graphs:
        loss, gradients = engine.gradients(batch, False)
        assert np.ndim(loss) == 0
        assert all(gradients[name].shape == checked.parameters[name].shape for name in gradients)
        engine.gradients(batch, True)
        assert np.allclose(engine.loss(batch)[0], loss, equal_nan=True), "two losses of one text"
    measured = measure(engine, checked, made, batch)
    again = measure(engine, checked, made, batch, size=2)
    assert measured.keys() == again.keys()
    if "train" in made.graphs:
        engine.train(batch, np.arange(EXAMPLES), EXAMPLES, 0, 1, 0, 1)


# --- data ------------------------------------------------------------------------------------------------------------


def _batch(checked: CheckedModel) -> dict[str, Array] | None:
    """Physical arrays of a batch that the model takes, with lengths; None where none of a few sizes is taken."""
    symbols = sorted({s for d in checked.inputs.values() for s in d.type.symbols if s != M}, key=lambda s: s.name)
    own = {symbol.name for symbol in padded_symbols(d.type for d in checked.inputs.values())}
    for lengths in list(product(LENGTHS_TRIED, repeat=len(symbols)))[:40]:
        sizes = {symbol: max(found) for symbol, found in zip(symbols, lengths, strict=True)}
        if any(s.upper is not None and size > s.upper for s, size in sizes.items()):
            continue
        given = {s.name: found for s, found in zip(symbols, lengths, strict=True) if s.name in own}
        try:
            arrays = _arrays(checked, sizes)
            if arrays is not None:
                needs = checked.requirements
                found = check_arrays(checked.inputs, arrays, True, given, "float64", requirements=needs)
                return _spoiled(checked, found)
        except DiagnosticError:
            continue
    return None


def _arrays(checked: CheckedModel, sizes: Mapping[Symbol, int]) -> dict[str, Array] | None:
    """Random data in the declared shapes."""
    random = np.random.default_rng(0)
    found = {}
    for name, declaration in checked.inputs.items():
        layout = Layout.of(declaration)
        labels = declaration.one_hot or declaration.index
        shape = [int(size.evaluate({M: EXAMPLES, **sizes})) for size in declaration.type.sizes]
        if min(shape, default=1) < 1 or np.prod([float(n) for n in shape]) > MOST_VALUES:
            return None
        if declaration.one_hot:
            shape = [shape[axis] for axis in layout.label_axes]
        if labels:
            found[name] = random.integers(0, declaration.classes or 1, shape)
        else:
            found[name] = random.uniform(0.1, 0.9, shape) if declaration.role == "target" else random.normal(size=shape)
    return found


def _nodes(checked: CheckedModel) -> Iterator[Node]:
    graphs = [checked.training, checked.deterministic, checked.evaluation]
    while graphs:
        graph = graphs.pop()
        yield from graph.nodes
        graphs += {body: body.graph for node in graph.nodes for body in bodies(node)}.values()


def _values(checked: CheckedModel, made: Programs, batch: Mapping[str, Array]) -> float:
    """About how many numbers the programs compute."""
    most = {name.removeprefix(LENGTHS): int(max(found)) for name, found in batch.items() if name.startswith(LENGTHS)}
    total = 0.0
    for graph in made.graphs.values():
        total += _in_graph(graph.nodes, most, 1.0)
    return total


def _in_graph(nodes: Any, most: Mapping[str, int], times: float) -> float:
    total = 0.0
    for node in nodes:
        total += times * float(np.prod([float(_size(size, most)) for size in node.type.sizes]))
        for body in bodies(node):
            steps = node.attr("longest") or MOST_STEPS
            if node.attr("axis") is not None:
                steps = _size(node.attr("axis").size, most)
            total += _in_graph(body.graph.nodes, most, times * steps)
    return total


def _size(size: Dim, most: Mapping[str, int]) -> int:
    return int(size.evaluate({s: EXAMPLES if s == M else most.get(s.name, MOST_STEPS) for s in size.symbols}))


# --- what was proved -------------------------------------------------------------------------------------------------


def _others_are_not_read(
    checked: CheckedModel, engine: ReferenceEngine, batch: dict[str, Array], outputs: Mapping[str, Array]
) -> None:
    """Other data of one example change no bit of the others' outputs."""
    changed = dict(batch)
    random = np.random.default_rng(9)
    for name, array in batch.items():
        if name.startswith(LENGTHS) or not has_examples(name, checked.inputs):
            continue
        declaration = checked.inputs[name]
        changed[name] = array.copy()
        one, labels = array[:1], array.dtype.kind in "iu"
        moved = one + random.normal(size=one.shape)
        changed[name][:1] = random.integers(0, declaration.classes, one.shape) if labels else moved
    if not any(has_examples(name, checked.inputs) for name in batch):
        return
    for name, value in engine.forward(changed).items():
        type = checked.evaluation.roots[f"output.{name}"].type
        axes = [axis for axis, size in enumerate(type.sizes) if M in size.symbols]
        assert len(axes) <= 1, f"{name} has the examples on two axes"
        before = outputs[name]
        if not axes:
            np.testing.assert_array_equal(value, before, f"{name} has no m and depends on an example")
            continue
        each = value.shape[axes[0]] // EXAMPLES
        other = [axis for axis in range(value.ndim) if axis != axes[0]]
        same = ((value == before) | ((value != value) & (before != before))).all(axis=tuple(other))
        assert np.count_nonzero(~same) <= each, f"{name} of one example depends on another"
        if type.sizes[axes[0]] == Dim.symbol(M):
            assert same[1:].all(), f"{name} of one example depends on another"


def _one_by_one(
    checked: CheckedModel, engine: ReferenceEngine, batch: dict[str, Array], outputs: Mapping[str, Array]
) -> None:
    """Each example alone, cut to its own lengths, gives what it gives in the padded batch; so does the loss."""
    if not any(has_examples(name, checked.inputs) for name in batch):
        return
    if any(node.op.startswith("draw") or (node.op == "generate") for node in _nodes(checked)):
        return
    folded = any(folds_examples(node) for node in checked.deterministic.nodes)
    total, losses = 0.0, "backward" in engine.programs.graphs and not folded
    for example in range(EXAMPLES):
        alone = _cut(checked, rows_of(batch, checked.inputs, slice(example, example + 1)))
        for name, value in engine.forward(alone).items():
            type = checked.evaluation.roots[f"output.{name}"].type
            if Dim.symbol(M) in type.sizes:
                rows = np.moveaxis(outputs[name], type.sizes.index(Dim.symbol(M)), 0)[example]
                one = np.moveaxis(value, type.sizes.index(Dim.symbol(M)), 0)[0]
                rest = rows[tuple(slice(0, n) for n in one.shape)]
                _close(rest, one, f"{name} of example {example} alone")
        total += engine.loss(alone)[0] / EXAMPLES if losses else 0.0
    if losses:
        _close(np.asarray(engine.loss(batch)[0]), np.asarray(total), "the loss of the examples one by one")


def _close(found: Array, wanted: Array, what: str) -> None:
    if np.isfinite(wanted).all() and np.isfinite(found).all() and np.abs(wanted).max(initial=0) < 1e6:
        np.testing.assert_allclose(found, wanted, CLOSE, CLOSE, err_msg=what)


def _cut(checked: CheckedModel, arrays: dict[str, Array]) -> dict[str, Array]:
    """One example without its padding."""
    own = {name.removeprefix(LENGTHS): int(found[0]) for name, found in arrays.items() if name.startswith(LENGTHS)}
    result = {}
    for name, array in arrays.items():
        given = name.startswith(LENGTHS) or not has_examples(name, checked.inputs)
        result[name] = array if given else array[(slice(None), *_within(checked, name, array, own))]
    return result


def _spoiled(checked: CheckedModel, arrays: dict[str, Array]) -> dict[str, Array]:
    """A batch with large numbers in its padding."""
    lengths = {name.removeprefix(LENGTHS): found for name, found in arrays.items() if name.startswith(LENGTHS)}
    result = dict(arrays)
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not has_examples(name, checked.inputs):
            continue
        result[name] = np.full_like(array, 1e3)
        for example in range(EXAMPLES):
            own = {symbol: int(found[example]) for symbol, found in lengths.items()}
            place = (example, *_within(checked, name, array, own))
            result[name][place] = array[place]
    return result


def _within(checked: CheckedModel, name: str, array: Array, own: Mapping[str, int]) -> list[slice]:
    """The part of a physical array, examples aside, that is within the lengths of one of them."""
    layout = Layout.of(checked.inputs[name])
    axes = range(len(layout.sizes)) if array.ndim == len(layout.sizes) else layout.label_axes
    sizes = [checked.inputs[name].type.sizes[axis] for axis in axes if axis != layout.batch]
    return [slice(0, int(size.evaluate({s: own[s.name] for s in size.symbols}))) for size in sizes]
