"""The reference executor: bindings, sizes, draws, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from dlc.compiler.dims import Symbol, tensor
from dlc.compiler.ir import Builder, Graph
from dlc.runtime.reference import evaluate

M = Symbol("m", "batch")


def program() -> Graph:
    b = Builder()
    x = b.typed("input", (), (("name", "X"),), tensor(2, M))
    d = b.typed("draw_uniform", (), (("name", "D"),), tensor(2, M))
    kept = b.add("real", b.add("lt", d, b.constant(0.5)))
    return Graph.of({"kept": b.add("mul", x, kept), "m": b.size(x.type.axes[1].size), "X": x})


def test_roots_draws_and_sizes() -> None:
    asked = []

    def draw(op: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
        asked.append((op, name, shape))
        return np.array([[0.1, 0.9, 0.4], [0.5, 0.2, 0.7]])

    x = np.arange(1.0, 7.0).reshape(2, 3)
    values = evaluate(program(), {("input", "X"): x}, {M: 3}, draw)
    assert asked == [("draw_uniform", "D", (2, 3))]
    assert values["kept"].tolist() == [[1, 0, 3], [0, 5, 0]]
    assert values["m"] == 3
    assert values["X"].tolist() == x.tolist()


def test_a_value_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"input X is declared \(2, m\) = \(2, 3\), and its value is \(3, 2\)"):
        evaluate(program(), {("input", "X"): np.zeros((3, 2))}, {M: 3}, lambda op, name, shape: np.zeros(shape))


def test_what_is_not_bound_is_named() -> None:
    with pytest.raises(KeyError, match="D is drawn"):
        evaluate(program(), {("input", "X"): np.zeros((2, 3))}, {M: 3})
