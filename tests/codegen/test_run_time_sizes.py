"""Convolutions and pooling along sizes that are known only at run time: compiled, they are the reference executor's, in
float64, for batches of several sizes with one compilation; and what code generation makes of a convolution keeps its
value.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nets
import numpy as np
import pytest
from nets import M
from padded import compiled, synthetic
from run_time_nets import BATCHES, NETS
from spread import spread

from dlc.compiler.codegen.forms import prepare
from dlc.compiler.dims import Dim, Symbol
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ir.verify import verify
from dlc.compiler.ops.sliding import SAME, Pad
from dlc.runtime.program import Model
from dlc.runtime.reference import evaluate

CLOSE = 1e-9


def same(found: Any, wanted: Any, title: str) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape, title
    error = np.linalg.norm(found - wanted) / max(np.linalg.norm(wanted), 1e-6)
    assert error < CLOSE, f"{title}: off by {error:.2g}"


def agree(native: Model, reference: Model, batch: Mapping[str, Any]) -> None:
    """Loss, gradients and outputs for a batch, given with the size of each example or with one for all."""
    lengths = {name: size for name, size in batch.items() if isinstance(size, list)}
    sizes = {name: max(size) if isinstance(size, list) else size for name, size in batch.items()}
    arrays = synthetic(reference, max([1, *map(len, lengths.values())]), sizes)
    given: dict[str, Any] = {"lengths": lengths} if lengths else {}
    loss, gradients = native.loss_and_grads(**arrays, **given)
    wanted, known = reference.loss_and_grads(**arrays, **given)
    same(loss, wanted, f"{batch} loss")
    assert set(gradients) == set(known)
    for name, value in known.items():
        same(gradients[name], value, f"{batch} d{name}")
    inputs = {name: array for name, array in arrays.items() if reference.spec.checked.inputs[name].role == "input"}
    outputs = native.forward(**inputs, **given)
    for name, value in reference.forward(**inputs, **given).items():
        same(outputs[name], value, f"{batch} {name}")


def both(name: str, folder: Path) -> tuple[Model, Model]:
    """The compiled model and the reference, with the same parameters."""
    reference = compiled(NETS[name], folder)
    native = reference.spec.compile(dtype="float64", threads=2)
    for kept, given in ((native.params, reference.params), (native.state, reference.state)):
        for key, value in given.items():
            kept[key] = value
    return native, reference


@pytest.mark.parametrize("name", spread(NETS, NETS.keys() - {"volumes"}))
def test_compiled_networks_of_any_size_give_the_reference(name: str, tmp_path: Path) -> None:
    native, reference = both(name, tmp_path)
    for batch in BATCHES[name]:
        agree(native, reference, batch)


def test_kernels_stay_inside_their_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CHECK", "1")
    native, reference = both("one image", tmp_path)
    for batch in BATCHES["one image"]:
        agree(native, reference, batch)


# --- the rewriting ---------------------------------------------------------------------------------------------------

SIZES = [{"T": 9, "U": 12}, {"T": 13, "U": 9}]
"""The run-time dimensions' values."""


def random_convolution(seed: int) -> tuple[Node, Node, Node]:
    """A convolution of a random geometry, along one axis or two, and both its gradients for a cotangent dy."""
    chance, b = random.Random(seed), Builder()
    count = chance.choice([1, 2])
    spatial = [Dim.symbol(Symbol("T", "runtime", lower=9)), *chance.choice([[Symbol("U", "runtime", lower=9)], [6]])]
    groups, each, made = chance.choice([1, 1, 2, 3]), chance.choice([1, 2]), chance.choice([1, 2])
    f = [chance.choice([1, 1, 2, 3, 4]) for _ in range(count)]
    stride = tuple(Dim.of(chance.choice([1, 1, 2, 3])) for _ in range(count))
    pads: tuple[Pad, ...] = tuple(
        chance.choice([SAME, (Dim.of(0), Dim.of(0)), (Dim.of(before := chance.choice([1, 4])), Dim.of(before))])
        for _ in range(count)
    )
    x = nets.leaf(b, "input", "x", M, *spatial[:count], groups * each)
    filters = nets.leaf(b, "parameter", "W", *f, each, groups * made)
    same = {"stride": stride, "pads": pads, "groups": Dim.of(groups)}
    y = b.add("convolve", x, filters, **same)
    dy = nets.leaf(b, "input", "dy", *y.type.sizes)
    dx = b.add("convolve_input_gradient", dy, filters, axes=x.type.axes, **same)
    return y, dx, b.add("convolve_filter_gradient", x, dy, axes=filters.type.axes, **same)


@pytest.mark.parametrize("part", range(4))
def test_products_over_patches_have_the_values_of_convolutions(part: int) -> None:
    rng = np.random.default_rng(part)
    for seed in range(40 * part, 40 * part + 40):
        roots = dict(zip(("output.y", "output.dx", "output.dW"), random_convolution(seed), strict=True))
        graph = Graph.of(roots)
        made = prepare(graph)
        verify(made)
        assert not any(node.op.startswith("convolve") for node in made.nodes)
        for sizes in SIZES:
            known = {s: 2 if s == M else sizes[s.name] for n in graph.nodes for d in n.type.sizes for s in d.symbols}
            bound = {
                (node.op, node.attr("name")): rng.standard_normal([int(d.evaluate(known)) for d in node.type.sizes])
                for node in graph.nodes
                if not node.inputs
            }
            wanted = evaluate(graph, bound, known)
            for name, value in evaluate(made, bound, known).items():
                np.testing.assert_allclose(value, wanted[name], rtol=1e-11, atol=1e-11, err_msg=f"{name} of {seed}")


@pytest.mark.parametrize(("window", "stride", "copies"), [(3, 1, 1), (15, 4, 1), (9, 2, 2), (1, 1, 0)])
def test_patches_much_larger_than_their_image_are_not_kept_for_the_gradient(
    window: int, stride: int, copies: int
) -> None:
    b = Builder()
    x = nets.leaf(b, "input", "x", M, Symbol("T", "runtime", lower=20), 3)
    filters = nets.leaf(b, "parameter", "W", window, 3, 5)
    geometry = {"stride": (Dim.of(stride),), "pads": ((Dim.of(0), Dim.of(0)),), "groups": Dim.of(1)}
    y = b.add("convolve", x, filters, **geometry)
    dw = b.add("convolve_filter_gradient", x, y, axes=filters.type.axes, **geometry)
    made = prepare(Graph.of({"output.y": y, "output.dW": dw}))
    assert sum(node.op == "im2col" for node in made.nodes) == copies
