"""What padding must not change: a padded batch against its examples one by one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dlc
from dlc.compiler.dims import Dim
from dlc.compiler.program import InputDeclaration, M
from dlc.runtime.data.arrays import check_arrays
from dlc.runtime.data.layout import LENGTHS, Layout
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


def spoiled(array: Array, dims: Sequence[Dim], lengths: Mapping[str, Sequence[int]], garbage: float) -> Array:
    """The array with garbage in its padding."""
    if not any(dim == M_DIM for dim in dims):
        return array
    result = np.full_like(array, garbage)
    for example in range(array.shape[list(dims).index(M_DIM)]):
        own = {name: values[example] for name, values in lengths.items()}
        cut = tuple(slice(example, example + 1) if dim == M_DIM else slice(0, _size(dim, 1, own)) for dim in dims)
        result[cut] = array[cut]
    return result


def with_garbage(model: Model, given: Mapping[str, Array], lengths: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """What the engine is given: the arrays with garbage in their padding, and the lengths."""
    inputs = model.spec.inputs
    fill = {name: 0 if d.one_hot or d.index else 1e3 for name, d in inputs.items()}
    dirty = {name: spoiled(array, array_sizes(inputs[name]), lengths, fill[name]) for name, array in given.items()}
    physical = dict(check_arrays(inputs, dirty, True, None, "float64"))
    return physical | {LENGTHS + name: np.array(values) for name, values in lengths.items()}


def assert_padding_is_not_seen(
    model: Model, lengths: Mapping[str, Sequence[int]], *, losses: bool = True, drawn: Collection[str] = ()
) -> None:
    """Outputs, loss and gradients of the padded batch, with garbage in the padding, are those of its examples alone.

    The garbage goes to the engine itself, past the reader of arrays, which would have replaced it by zeros. Outputs
    that are `drawn` at random are left out: the draws are the batch's.
    """
    examples = len(next(iter(lengths.values())))
    sizes = {name: max(values) for name, values in lengths.items()}
    given = synthetic(model, examples, sizes)
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
