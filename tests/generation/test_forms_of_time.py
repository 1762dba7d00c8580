"""Models that read the words before in unusual ways: one step at a time, in compiled code, as the reference says."""

from __future__ import annotations

from pathlib import Path

import pytest
from padded import compiled

from dlc.compiler.codegen.by_step import by_step
from dlc.runtime.program import Model

WRITER = """
model Writer(V = 6, d = 4):
    dim T <= 9
    target y : (V, m, T) one_hot
    param K : (d, V) ~ normal(0, 1)
{body}
    loss   cross_entropy(y_hat, y)
    output words = generate(y, from = y_hat, until = 0, max = 9, by = {by})
"""

BODIES = {
    "a loop over the words, shifted behind it": """
    a = y -> LSTM(d)
    y_hat = shift(a) -> Dense(V, softmax)""",
    "values of several steps before": """
    a = shift(y) -> Dense(d, tanh)
    b = a + shift(a) + shift(shift(a))
    y_hat = b -> Dense(V, softmax)""",
    "the mean of all steps before": """
    a = shift(y) -> Dense(d, tanh)
    S = einsum(a, a, (i, m, q), (i, m, k) -> (q, k, m))
    P = broadcast(position(S, over = k), (q = T, k = T, m))
    w = 1 if P <= position(S, over = q) else 0
    b = einsum(w, a, (q, k, m), (i, m, k) -> (i, m, q)) / broadcast(position(a, over = T), (d, m, T))
    y_hat = b -> Dense(V, softmax)""",
    "a number that each step carries on": """
    y<0> : (V, m) = 0.5
    a<0> : (d, m) = 0
    c<0> : (1, 1) = 0
    param W : (d, d) ~ glorot
    scan t in 1..T:
        c<t> = c<t-1> + 0.3
        a<t> = tanh(W @ a<t-1> + K @ y<t-1> + c<t>)
    y_hat = a -> Dense(V, softmax)""",
    "no words at all": """
    param b : (V, 1, 1) ~ zeros
    y_hat = softmax(broadcast(b, (V, m, T)))""",
}

IN_FULL = """
    F = shift(y) -> RNN(d)
    S = einsum(F, K @ y, (i, m, q), (i, m, k) -> (q, k, m))
    P = broadcast(position(S, over = k), (q = T, k = T, m))
    alpha = S if P < position(S, over = q) else 0
    z = einsum(alpha, K @ y, (q, k, m), (i, m, k) -> (i, m, q))
    y_hat = tanh(z) + F -> Dense(V, softmax)"""
"""Attention to the words themselves, of which the step's own is not there yet; and a loop."""

KNOWN = WRITER.replace("(V = 6, d = 4)", "(V = 6, d = 4, T = 8)").replace("    dim T <= 9\n", "").replace(
    "max = 9", "max = 6"
)  # fmt: skip
BLOCK = """
    A = shift(y) -> Dense(d) -> PositionalEncoding() -> EncoderBlock(2, 8, causal = true)
    y_hat = A -> Dense(V, softmax)"""


def reads_all_words(model: Model) -> bool:
    graph = by_step(model.main.programs.graphs["forward"])
    (step,) = (node.attr("step") for node in graph.nodes if node.op == "generate")
    return "words" in step.held()


def assert_native_words(model: Model) -> None:
    native = model.spec.compile(dtype="float64")
    for name, value in model.params.items():
        value *= 3
        native.params[name] = value
    assert native.forward()["words"].tolist() == model.forward()["words"].tolist()


@pytest.mark.parametrize("by", ["greedy", "beam(width = 3, alpha = 0.7)"])
@pytest.mark.parametrize("what", BODIES)
def test_one_step_at_a_time(tmp_path: Path, what: str, by: str) -> None:
    model = compiled(WRITER.format(body=BODIES[what], by=by), tmp_path)
    assert not reads_all_words(model)
    assert_native_words(model)


@pytest.mark.parametrize("by", ["greedy", "beam(width = 3, alpha = 0.7)"])
def test_what_has_no_form_for_one_step_is_computed_for_all(tmp_path: Path, by: str) -> None:
    model = compiled(WRITER.format(body=IN_FULL, by=by), tmp_path)
    assert reads_all_words(model)
    assert_native_words(model)


def test_a_known_number_of_steps(tmp_path: Path) -> None:
    """Time is then an axis of a size that others may have too."""
    model = compiled(KNOWN.format(body=BLOCK, by="greedy"), tmp_path)
    assert not reads_all_words(model)
    assert_native_words(model)
