"""Activations behind loops: the same values, and the stable losses of the language without a loop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from padded import compiled

from dlc.compiler.dims import tensor
from dlc.compiler.ir import Builder, Graph
from dlc.compiler.ir.formula import formula
from dlc.compiler.ops.loop import Step
from dlc.compiler.passes import hoist, verify
from dlc.runtime.reference import evaluate

NET = """
model Net:
    dim T
    input  x : (3, m, T)
    target y : (2, m, T)
    a<0> : (2, m) = 0
    param W : (2, 5) ~ he
    param U : (2, 2) ~ he
    scan t in 1..T:
        a<t> = tanh(W @ concat(a<t-1>, x<t>, over = first))
        {}
    {}
    loss {}(y_hat, y)
    output y_hat
"""


@pytest.mark.parametrize(
    ("g", "loss"), [("sigmoid", "binary_cross_entropy"), ("softmax", "cross_entropy")], ids=lambda value: str(value)
)
@pytest.mark.parametrize("scale", [1, 1e4])
def test_a_loss_is_as_stable_as_without_a_loop(g: str, loss: str, scale: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = {"x": rng.normal(size=(3, 4, 5)), "y": np.eye(2)[:, rng.integers(0, 2, (4, 5))]}
    lengths = {"T": [5, 2, 4, 1]}
    found = []
    for inside, behind in ((f"y_hat<t> = {g}(U @ a<t>)", ""), ("", f"y_hat = {g}(U @ a)")):
        model = compiled(NET.format(inside, behind, loss), tmp_path)
        model.params["U"][...] *= scale
        found.append((*model.loss_and_grads(**data, lengths=lengths), model.forward(x=data["x"], lengths=lengths)))
    (one, gradients, outputs), (other, expected, predicted) = found
    assert np.isfinite(other)
    assert one == pytest.approx(other, rel=1e-12)
    for name, gradient in expected.items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-9, atol=1e-12 * np.abs(gradient).max())
    np.testing.assert_allclose(outputs["y_hat"], predicted["y_hat"], rtol=1e-12, atol=1e-300)


def scanned(roots: Mapping[str, str], takes: tuple[str, ...]) -> Graph:
    """A scan over x (3, 2, 4) that carries a (3, 2)."""
    b = Builder()
    x, a = tensor(3, 2), tensor(3, 2)
    values = {
        name: b.typed("held", (), (("name", held),), type)
        for name, held, type in (("x", "sequence.0", x), ("a", "carry.0", a))
    }
    step = Step(Graph.of({name: formula(text).build(b, values) for name, text in roots.items()}), 1, 1)
    outer = Builder()
    inputs = [
        outer.typed("input", (), (("name", name),), type)
        for name, type in (("x", tensor(3, 2, 4)), ("a", tensor(3, 2)))
    ]
    axis = tensor(4).axes[0]
    scans = {
        take: outer.add("scan", *inputs, step=step, take=take, axes=(2,), axis=axis, reverse=False) for take in takes
    }
    return Graph.of(scans)


def run(graph: Graph) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    arrays = {("input", "x"): rng.normal(size=(3, 2, 4)), ("input", "a"): rng.normal(size=(3, 2))}
    return dict(evaluate(graph, arrays, {}))


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("sigmoid(a + x)", "sigmoid"),
        ("softmax(2 * (a + x), axes=(0,))", "softmax"),
        ("exp(tanh(a * x))", "exp"),
        ("max(0, a - x)", "max"),
        ("a + x", "scan"),
        ("tanh(x) * a", "scan"),
    ],
)
def test_what_ends_in_an_activation_ends_behind_the_loop(text: str, last: str) -> None:
    graph = scanned({"carry.0": "tanh(a + x)", "out.0": text}, ("out.0", "carry.0", "last.0"))
    found = hoist(graph)
    verify(found)
    assert found.roots["out.0"].op == last
    assert found.roots["carry.0"].op == found.roots["last.0"].op == "scan"
    before, after = run(graph), run(found)
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-12)


def test_what_the_step_reads_stays_in_it() -> None:
    graph = scanned({"carry.0": "tanh(a + x) * a", "out.0": "tanh(a + x)"}, ("out.0", "carry.0"))
    found = hoist(graph)
    assert found.roots["out.0"].op == "scan"
    assert found.roots["out.0"].attr("step").graph.roots["out.0"].op == "tanh"
