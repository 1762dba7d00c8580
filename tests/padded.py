"""What padding must not change: a padded batch against its examples one by one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import dlc
from dlc.compiler.dims import Dim
from dlc.compiler.program import InputDeclaration, M
from dlc.runtime.data.arrays import check_arrays
from dlc.runtime.data.columns import Column
from dlc.runtime.data.layout import LENGTHS, Layout
from dlc.runtime.data.sequences import padded
from dlc.runtime.metrics import measure
from dlc.runtime.program import Model

Array = NDArray[Any]
EXACT = 1e-12
M_DIM = Dim.symbol(M)


def compiled(text: str, folder: Path, seed: int = 0, **hypers: Any) -> Model:
    """The model by the reference executor, with parameters away from their first values (biases are not zero)."""
    path = folder / "net.dl"
    path.write_text(text)
    return loaded(path, seed=seed, **hypers)


def loaded(path: Path, model: str | None = None, seed: int = 0, **hypers: Any) -> Model:
    """The same of a file."""
    net = dlc.load(path, model=model, **hypers).compile(dtype="float64", target="reference")
    random = np.random.default_rng(seed)
    for value in net.params.values():
        value[...] = 0.7 * random.standard_normal(value.shape)
    return net


def synthetic(model: Model, examples: int, sizes: Mapping[str, int], seed: int = 1) -> dict[str, Array]:
    """Arrays in the declared shapes: class numbers and real numbers."""
    random = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for name, declaration in model.spec.inputs.items():
        shape = [_size(dim, examples, sizes) for dim in array_sizes(declaration)]
        labels = declaration.one_hot or declaration.index
        real = random.uniform(0.1, 0.9, shape) if declaration.role == "target" else random.standard_normal(shape)
        arrays[name] = random.integers(0, declaration.classes, shape) if labels else real
    return arrays


def array_sizes(declaration: InputDeclaration) -> list[Dim]:
    layout = Layout.of(declaration)
    axes = layout.label_axes if declaration.one_hot else range(declaration.type.rank)
    return [declaration.type.sizes[axis] for axis in axes]


def _size(dim: Dim, examples: int, sizes: Mapping[str, int]) -> int:
    return int(dim.evaluate({s: examples if s == M else sizes[s.name] for s in dim.symbols}))


def one_example(array: Array, dims: Sequence[Dim], example: int, own: Mapping[str, int]) -> Array:
    """One example of a padded array, cut to its own lengths; an array without examples as it is."""
    if not any(dim == M_DIM for dim in dims):
        return array
    cut = [slice(example, example + 1) if dim == M_DIM else slice(0, _size(dim, 1, own)) for dim in dims]
    return array[tuple(cut)]


def spoiled(array: Array, dims: Sequence[Dim], lengths: Mapping[str, Sequence[int]], garbage: Any) -> Array:
    """The array with garbage in its padding: a number, or an array of them."""
    if not any(dim == M_DIM for dim in dims):
        return array
    result = np.array(np.broadcast_to(garbage, array.shape), array.dtype)
    for example in range(array.shape[list(dims).index(M_DIM)]):
        own = {name: values[example] for name, values in lengths.items()}
        cut = tuple(slice(example, example + 1) if dim == M_DIM else slice(0, _size(dim, 1, own)) for dim in dims)
        result[cut] = array[cut]
    return result


def with_garbage(
    model: Model, given: Mapping[str, Array], lengths: Mapping[str, Sequence[int]], seed: int = 2
) -> dict[str, Array]:
    """What the engine is given: the arrays with garbage in their padding (large numbers, any classes), and the lengths.

    The reader of arrays, which replaces what stands there, is passed by.
    """
    inputs, random = model.spec.inputs, np.random.default_rng(seed)
    dirty: dict[str, Array] = {}
    for name, array in given.items():
        d = inputs[name]
        labels = d.one_hot or d.index
        fill = random.integers(0, d.classes, array.shape) if labels else 1e3 * random.standard_normal(array.shape)
        dirty[name] = spoiled(array, array_sizes(d), lengths, fill)
    physical = dict(check_arrays(inputs, dirty, True, None, "float64"))
    return physical | {LENGTHS + name: np.array(values) for name, values in lengths.items()}


def assert_padding_is_not_seen(
    model: Model, lengths: Mapping[str, Sequence[int]], *, losses: bool = True, drawn: Collection[str] = ()
) -> None:
    """Outputs, loss and gradients of the padded batch, with garbage in the padding, are those of its examples alone.

    Outputs that are `drawn` at random are left out: the draws are the batch's.
    """
    examples = len(next(iter(lengths.values())))
    given = _longest(model, lengths)
    dims = {name: array_sizes(declaration) for name, declaration in model.spec.inputs.items()}
    physical = with_garbage(model, given, lengths)
    targets = [name for name, d in model.spec.inputs.items() if d.role == "target"]
    compared = set(model.spec.outputs) - set(drawn)
    outputs = {n: value for n, value in model.engine.forward(physical).items() if n in compared} if compared else {}
    losses = losses and bool(targets)
    loss, gradients = model.engine.gradients(physical, False) if losses else (0.0, {})
    total, sums = 0.0, dict.fromkeys(gradients, 0.0)
    for example in range(examples):
        own = {name: values[example] for name, values in lengths.items()}
        alone = {name: one_example(array, dims[name], example, own) for name, array in given.items()}
        read = {name: array for name, array in alone.items() if name not in targets}
        single = model.forward(**read) if compared else {}
        for name in compared:
            value = single[name]
            type = model.spec.checked.evaluation.roots[f"output.{name}"].type
            np.testing.assert_allclose(one_example(outputs[name], type.sizes, example, own), value, EXACT, EXACT)
        if losses:
            part, found = model.loss_and_grads(**alone)
            total += part / examples
            sums = {name: sums[name] + value / examples for name, value in found.items()}
    np.testing.assert_allclose(loss, total, EXACT, EXACT)
    for name, value in gradients.items():
        assert np.all(np.isfinite(value)), name
        np.testing.assert_allclose(value, sums[name], EXACT, EXACT, err_msg=name)
    for name, value in outputs.items():
        type = model.spec.checked.evaluation.roots[f"output.{name}"].type
        clean = spoiled(value, type.sizes, lengths, 0.0)
        np.testing.assert_array_equal(clean, value, err_msg=f"{name} shows its padding")


def _longest(model: Model, lengths: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """Arrays of examples as long as the longest."""
    sizes = {name: max(values) for name, values in lengths.items()}
    return synthetic(model, len(next(iter(lengths.values()))), sizes)


def assert_metrics_are_of_the_examples(model: Model, lengths: Mapping[str, Sequence[int]]) -> None:
    """Loss and metrics of a padded batch are those of its examples one after the other, none of them padded."""
    given = _longest(model, lengths)
    inputs, work = model.spec.inputs, model.main
    physical = check_arrays(inputs, given, True, lengths, "float64")
    own = {name: physical[LENGTHS + name] for name in lengths}
    columns: dict[str, Column] = dict(physical)
    for name, declaration in inputs.items():
        if Layout.of(declaration).dimensions:
            columns[name] = padded(physical[name], Layout.of(declaration), own)
    alone = measure(work.engine, work.checked, work.programs, columns, 1)
    assert model.evaluate(**given, lengths=lengths) == pytest.approx(alone, rel=EXACT)


ANYTHING = [(np.nan, -3), (np.inf, 10**6), (-1e300, 0)]
"""What may stand in the padding of numbers, and of class numbers."""


def assert_garbage_changes_no_bit(model: Model, lengths: Mapping[str, Sequence[int]]) -> None:
    """Whatever is given behind an example's end: outputs, loss, gradients and metrics keep their bits. Numbers that
    pass the reader of arrays keep theirs in the engine too."""
    inputs, given = model.spec.inputs, _longest(model, lengths)
    wanted = _given_bits(model, given, lengths)
    labels = {name for name, declaration in inputs.items() if declaration.one_hot or declaration.index}
    for number, label in ANYTHING:
        dirty = {
            name: spoiled(array, array_sizes(inputs[name]), lengths, label if name in labels else number)
            for name, array in given.items()
        }
        assert any(not np.array_equal(dirty[name], array) for name, array in given.items())
        assert _given_bits(model, dirty, lengths) == wanted, (number, label)
    first, *others = (_engine_values(model, with_garbage(model, given, lengths, seed)) for seed in (3, 4, 5))
    for other in others:
        for name, value in first.items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)


def _given_bits(model: Model, given: Mapping[str, Array], lengths: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    inputs = model.spec.inputs
    read = {name: array for name, array in given.items() if inputs[name].role == "input"}
    seen = {symbol.name for name in read for symbol in inputs[name].type.symbols}
    outputs = model.forward(**read, lengths={name: own for name, own in lengths.items() if name in seen})
    loss, gradients = model.loss_and_grads(**given, lengths=lengths)
    bits = {name: array.tobytes() for name, array in (outputs | gradients).items()}
    return {**bits, "loss": loss, "measured": model.evaluate(**given, lengths=lengths)}


def _engine_values(model: Model, physical: Mapping[str, Array]) -> dict[str, Any]:
    loss, gradients = model.engine.gradients(physical, False)
    return {**model.engine.forward(physical), **gradients, "loss": loss}
