"""Reverse mode on whole programs: sums of contributions, what has no gradient, and the course's check."""

from __future__ import annotations

import numpy as np
import pytest

from dlc.compiler.autodiff import differentiate
from dlc.compiler.dims import Symbol, tensor
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ir.formula import formula
from dlc.runtime.reference import evaluate

M = Symbol("m", "batch")


def leaf(b: Builder, op: str, name: str, *sizes: int | Symbol) -> Node:
    return b.typed(op, (), (("name", name),), tensor(*sizes))


def test_two_line_computation_graph() -> None:
    """The course's J = 3(a + bc) at a = 5, b = 3, c = 2: J = 33, da = 3, db = 3c = 6, dc = 3b = 9."""
    b = Builder()
    names = {name: leaf(b, "parameter", name) for name in ("a", "b", "c")}
    cost = formula("3 * (a + b * c)").build(b, names)
    cotangents = differentiate(b, [(cost, b.constant(1.0))], list(names.values()))
    graph = Graph.of({"J": cost, **{f"d{name}": cotangents[x] for name, x in names.items()}})
    values = evaluate(graph, {("parameter", "a"): 5.0, ("parameter", "b"): 3.0, ("parameter", "c"): 2.0}, {})
    assert {name: float(value) for name, value in values.items()} == {"J": 33, "da": 3, "db": 6, "dc": 9}


def test_contributions_of_several_readers_add_up() -> None:
    """d/dx of x * x + exp(x) is 2x + e^x."""
    b = Builder()
    x = leaf(b, "parameter", "x", 3)
    value = formula("x * x + exp(x)").build(b, {"x": x})
    gradient = differentiate(b, [(value, b.constant(1.0))], [x])[x]
    array = np.array([0.5, 1.0, -2.0])
    found = evaluate(Graph.of({"dx": gradient}), {("parameter", "x"): array}, {})["dx"]
    assert found == pytest.approx(2 * array + np.exp(array), rel=1e-14)


def test_several_results_with_their_own_cotangents() -> None:
    """The sum of a loss (m) over the examples plus 0.5 times a penalty."""
    b = Builder()
    w, x = leaf(b, "parameter", "w", 1), leaf(b, "input", "x", M)
    loss = formula("broadcast(w, axes=k) * x").build(b, {"w": w, "x": x, "k": x.type.axes})
    penalty = formula("drop(w * w, axes=(0,))").build(b, {"w": w})
    pairs = [(loss, b.constant(1.0)), (penalty, b.constant(0.5))]
    graph = Graph.of({"dw": differentiate(b, pairs, [w])[w]})
    bindings = {("parameter", "w"): [3.0], ("input", "x"): [1.0, 2.0, 4.0]}
    assert evaluate(graph, bindings, {M: 3})["dw"] == pytest.approx([7 + 3])


def test_value_without_a_path_has_no_cotangent() -> None:
    b = Builder()
    w, v, x = leaf(b, "parameter", "w", 2), leaf(b, "parameter", "v", 2), leaf(b, "input", "x", 2)
    value = formula("w * x + floor(v)").build(b, {"w": w, "v": v, "x": x})
    cotangents = differentiate(b, [(value, b.constant(1.0))], [w, v])
    assert w in cotangents
    assert cotangents.get(v) is None
    assert cotangents.get(x) is None


def test_the_values_between_have_their_cotangents() -> None:
    """dZ and dA can be shown: the cotangent of every value on the way, in that value's shape."""
    b = Builder()
    w, x = leaf(b, "parameter", "W", 2, 3), leaf(b, "input", "X", 3, M)
    z = b.add("matmul", w, x)
    a = b.add("tanh", z)
    cotangents = differentiate(b, [(a, b.constant(1.0))], [w])
    assert str(cotangents[z].type) == str(cotangents[a].type) == "(2, m)"


def test_the_same_program_gives_the_same_gradient() -> None:
    def text() -> str:
        b = Builder()
        w, x = leaf(b, "parameter", "W", 2, 3), leaf(b, "input", "X", 3, M)
        value = formula("tanh(W @ X) * (W @ X) + exp(W @ X)").build(b, {"W": w, "X": x})
        return str(Graph.of({"dW": differentiate(b, [(value, b.constant(1.0))], [w])[w]}))

    assert text() == text()


def test_deep_network_against_central_differences() -> None:
    """Course 2, week 1: the relative error of the whole gradient vector is below 1e-7. The sizes are 2-3-5-4-2-1."""
    sizes = [2, 3, 5, 4, 2, 1]
    rng = np.random.default_rng(3)
    b = Builder()
    a: Node = leaf(b, "input", "X", 2, M)
    bindings: dict[tuple[str, str], np.ndarray] = {("input", "X"): rng.normal(size=(2, 7))}
    weights: list[Node] = []
    for l in range(1, len(sizes)):
        w, c = leaf(b, "parameter", f"W[{l}]", sizes[l], sizes[l - 1]), leaf(b, "parameter", f"b[{l}]", sizes[l], 1)
        weights += [w, c]
        bindings["parameter", f"W[{l}]"] = rng.normal(size=(sizes[l], sizes[l - 1]))
        bindings["parameter", f"b[{l}]"] = rng.normal(size=(sizes[l], 1))
        z = formula("W @ A + b").build(b, {"W": w, "A": a, "b": c})
        a = formula("1 / (1 + exp(-z))" if l == len(sizes) - 1 else "tanh(z)").build(b, {"z": z})
    y = leaf(b, "input", "Y", 1, M)
    bindings["input", "Y"] = rng.integers(0, 2, (1, 7)).astype(float)
    loss = formula("-(Y * log(a) + (1 - Y) * log(1 - a))").build(b, {"Y": y, "a": a})
    cost = formula("sum(L, axes=(0, 1)) / m").build(b, {"L": loss, "m": b.size(y.type.axes[1].size)})
    cotangents = differentiate(b, [(cost, b.constant(1.0))], weights)
    gradients = evaluate(Graph.of({w.attr("name"): cotangents[w] for w in weights}), bindings, {M: 7})
    forward = Graph.of({"J": cost})
    derived, numerical = [], []
    for w in weights:
        key = ("parameter", w.attr("name"))
        for place in np.ndindex(*bindings[key].shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = bindings[key].copy()
                moved[place] += step
                ends.append(evaluate(forward, {**bindings, key: moved}, {M: 7})["J"].item())
            numerical.append((ends[0] - ends[1]) / 2e-5)
            derived.append(gradients[w.attr("name")][place])
    error = np.linalg.norm(np.subtract(derived, numerical))
    assert error / (np.linalg.norm(derived) + np.linalg.norm(numerical)) < 1e-7
