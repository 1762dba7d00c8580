"""What a generator draws, and what its prediction draws: numbers of its own, the same in compiled code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.compiler.codegen.by_step import by_step
from dlc.runtime.program import Model

HEAD = """
model Noisy(V = 5, n = 4):
    dim T
    target y : (V, m, T) one_hot
    e : (n, m, T) ~ normal(0, 1)
"""
STATES = "    y_hat = (shift(y) -> Dense(n)) + e -> RNN(n) -> Dense(V, softmax)\n"
LOOKS_BACK = """
    x = shift(y) -> Dense(n)
    S = einsum(x, e, (d, m, q), (d, m, k) -> (q, k, m))
    a = softmax(S if position(S, over = k) <= position(S, over = q) else -1e9, over = k)
    y_hat = einsum(a, e, (q, k, m), (d, m, k) -> (d, m, q)) -> Dense(V, softmax)
"""
FIRST = """
    k<0> : (1, m) = 1
    s<0> : (n, m) = 0
    scan t in 1..T:
        k<t> : (1, m) = 0 * k<t-1>
        s<t> = s<t-1> + k<t-1> * e<t>
    y_hat = s -> Dense(V, softmax)
"""
"""Noise that each step sees its own of; and noise of all steps before, which is wanted whole; and of the first."""
TAIL = """
    loss cross_entropy(y_hat, y)
    output words = generate(y, from = y_hat, max = 9, by = sample(temperature = 1))
    output r = generate(y, from = y_hat, max = 9, by = sample(temperature = 1))
    output q = generate(y, from = y_hat, max = 9, until = 2, by = beam(width = 3, alpha = 0.7))
    output g = generate(y, from = y_hat, max = 4, by = greedy)
"""


def compiled(folder: Path, text: str, target: str, seed: int = 1) -> Model:
    path = folder / "net.dl"
    path.write_text(text)
    model = dlc.load(path).compile(dtype="float64", target=target, seed=seed)  # type: ignore[arg-type]
    for name, value in model.params.items():
        value[...] = 2 * np.random.default_rng(len(name)).standard_normal(value.shape)
    return model


@pytest.fixture(params=[STATES, LOOKS_BACK], ids=["states", "looks back"])
def text(request: pytest.FixtureRequest) -> str:
    return HEAD + str(request.param) + TAIL


def test_noise_in_what_is_predicted(tmp_path: Path, text: str) -> None:
    """Compiled code writes the reference's words, and computes no step twice for them."""
    reference = compiled(tmp_path, text, "reference")
    examples = np.zeros((3, 1), int)
    expected, found = (model.forward(y=examples) for model in (reference, compiled(tmp_path, text, "native")))
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name
    nodes = by_step(reference.main.programs.graphs["forward"]).nodes
    turns = [node.attr("step") for node in nodes if node.op == "generate"]
    assert not any("words" in turn.held() for turn in turns)


def test_the_noise_of_a_step_stays(tmp_path: Path) -> None:
    """A prediction that reads the noise of the first step alone is the same at all steps."""
    text = HEAD + FIRST + TAIL
    words = compiled(tmp_path, text, "reference").forward(y=np.zeros((8, 1), int))["g"]
    assert np.array_equal(words, np.repeat(words[:, :1], 4, axis=1))
    assert len(set(words[:, 0])) > 1


def test_two_samples_are_two_texts(tmp_path: Path) -> None:
    """Of the same seed each comes again, whether there are others or not."""
    text = HEAD + STATES + TAIL
    found = compiled(tmp_path, text, "reference").forward(y=np.zeros((3, 1), int))
    assert not np.array_equal(found["words"], found["r"])
    alone = text.replace("    output r", "    # r")
    again = compiled(tmp_path, alone, "reference").forward(y=np.zeros((3, 1), int))
    assert np.array_equal(again["words"], found["words"])
    other = compiled(tmp_path, text, "reference", seed=2).forward(y=np.zeros((3, 1), int))
    assert not np.array_equal(other["words"], found["words"])
