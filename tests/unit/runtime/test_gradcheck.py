"""The gradient check finds wrong gradients, and is not misled by kinks, zeros or rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dlc.compiler.dims import Axis, Dim, TensorType
from dlc.compiler.program import InputDeclaration, M
from dlc.grammar.span import Span
from dlc.runtime.gradcheck import FLOOR, Checked, gradcheck, relative_error, synthetic

Array = NDArray[np.float64]
X = InputDeclaration("X", "input", TensorType((Axis(Dim.of(3)), Axis(Dim.symbol(M), "m"))), Span("net.dl", 1, 1, 1, 2))


class Handmade:
    """An engine for one parameter `w` of three numbers: a cost and a gradient, right or wrong."""

    def __init__(self, cost: Callable[[Array, Array], float], gradient: Callable[[Array, Array], Array]) -> None:
        self.parameters = {"w": np.zeros((3, 1))}
        self.cost, self.gradient = cost, gradient

    def loss(self, inputs: Any) -> tuple[float, float]:
        value = self.cost(self.parameters["w"], inputs["X"])
        return value, value

    def gradients(self, inputs: Any, regularized: bool) -> tuple[float, dict[str, Array]]:
        return self.loss(inputs)[1], {"w": self.gradient(self.parameters["w"], inputs["X"])}


def checked(cost: Callable[[Array, Array], float], gradient: Callable[[Array, Array], Array]) -> Checked:
    engine: Any = Handmade(cost, gradient)
    (found,) = gradcheck(engine, {"X": X}, ["w"])
    assert (engine.parameters["w"] == 0).all(), "the parameters are as they were"
    return found


def smooth(w: Array, x: Array) -> float:
    return float(np.tanh(x @ w).sum())


def smooth_gradient(w: Array, x: Array) -> Array:
    return np.asarray(x.T @ (1 - np.tanh(x @ w) ** 2))


def test_a_right_gradient_is_great() -> None:
    found = checked(smooth, smooth_gradient)
    assert (found.verdict, found.redrawn, found.checked) == ("great", 0, 3)
    assert found.error < 1e-9


@pytest.mark.parametrize("factor", [1 + 1e-3, 1.01, 2.0, -1.0, 0.0])
def test_a_wrong_gradient_worries(factor: float) -> None:
    found = checked(smooth, lambda w, x: factor * smooth_gradient(w, x))
    assert found.verdict == "worry"
    assert found.error == pytest.approx(abs(factor - 1) / (abs(factor) + 1), rel=1e-3)


def test_a_gradient_slightly_wrong_is_to_be_looked_at() -> None:
    assert checked(smooth, lambda w, x: (1 + 1e-6) * smooth_gradient(w, x)).verdict == "look"


def test_one_wrong_entry_is_enough() -> None:
    def wrong(w: Array, x: Array) -> Array:
        gradient = smooth_gradient(w, x)
        gradient[1] *= 0.5
        return gradient

    assert checked(smooth, wrong).verdict == "worry"


def test_a_kink_inside_the_step_is_drawn_again() -> None:
    """|w[0] - k| with k a little beside the first point that is drawn: the central difference is far off there."""
    engine: Any = Handmade(smooth, smooth_gradient)
    random = np.random.default_rng(1)
    synthetic({"X": X}, random, 5)
    kink = 0.1 * random.standard_normal((3, 1))[0, 0] + 3e-6

    def cost(w: Array, x: Array) -> float:
        return smooth(w, x) + abs(float(w[0, 0]) - kink)

    def gradient(w: Array, x: Array) -> Array:
        return smooth_gradient(w, x) + np.array([[np.sign(w[0, 0] - kink)], [0], [0]])

    engine.cost, engine.gradient = cost, gradient
    (found,) = gradcheck(engine, {"X": X}, ["w"])
    assert (found.verdict, found.redrawn) == ("great", 1)


def test_a_wrong_gradient_cannot_hide_behind_kinks() -> None:
    def cost(w: Array, x: Array) -> float:
        return float(np.abs(x @ w).sum())

    assert checked(cost, lambda w, x: x.T @ np.sign(x @ w)).verdict == "great"
    assert checked(cost, lambda w, x: 1.001 * (x.T @ np.sign(x @ w))).verdict == "worry"


def test_a_gradient_of_zero_has_no_relative_error() -> None:
    found = checked(lambda w, x: 10.0 + 1e-16 * float(w.sum()), lambda w, x: np.zeros((3, 1)))
    assert found.verdict == "great"


def test_the_relative_error_is_the_course_s() -> None:
    assert relative_error(np.array([3.0, 4.0]), np.array([0.0, 0.0]), FLOOR) == 1.0
    assert relative_error(np.array([1.0]), np.array([3.0]), FLOOR) == 0.5
    assert relative_error(np.array([1e-12]), np.array([0.0]), 0.01) == pytest.approx(1e-10)


def test_large_parameters_are_checked_in_some_entries() -> None:
    engine: Any = Handmade(smooth, smooth_gradient)
    (found,) = gradcheck(engine, {"X": X}, ["w"], entries=2)
    assert (found.checked, found.count) == (2, 3)
