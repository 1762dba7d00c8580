"""`orthogonal`, `categorical` and `bleu`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from short_models import model, only

RNG = np.random.default_rng(5)


@pytest.mark.parametrize(("shape", "rows"), [("(5, 9)", 5), ("(9, 5)", 9), ("(4, 4)", 4), ("(3, 2, 2)", 3)])
def test_an_orthogonal_parameter_is_orthogonal(tmp_path: Path, shape: str, rows: int) -> None:
    net = model(tmp_path, f"input x : (2, m)\nparam W : {shape} ~ orthogonal\noutput Z = x")
    W = np.reshape(net.params["W"], (rows, -1))
    product = W @ W.T if W.shape[0] <= W.shape[1] else W.T @ W
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)
    assert np.abs(W).min() < np.abs(W).max(), "no permutation matrix"


def test_orthogonal_may_be_scaled(tmp_path: Path) -> None:
    net = model(
        tmp_path,
        "input x : (3, m)\nparam W : (3, 3) ~ gain(2)\noutput Z = W @ x",
        above="initializer gain(g) = g * orthogonal()\n",
    )
    W = np.asarray(net.params["W"])
    np.testing.assert_allclose(W @ W.T, 4 * np.eye(3), atol=1e-12)


def test_a_vector_is_not_orthogonal() -> None:
    assert only("input x : (3, m)\nparam w : (3) ~ orthogonal\noutput Z = w @ x").code == "D114"


DRAWN = """input x : (3, m)
target y : (3, m)
param b : (3, 1) ~ ones
P = softmax(x)
when training:
    z : (m) ~ categorical(P)
    hit = one_hot(z)
otherwise:
    hit = P
loss sum(b * hit * y, over = first)
output P"""


def test_categorical_draws_each_class_as_often_as_its_probability_says(tmp_path: Path) -> None:
    """The classes that one training step drew are read from the gradient that it takes."""
    net = model(tmp_path, DRAWN)
    m = 20_000
    P = np.array([0.1, 0.6, 0.3])
    x = np.log(np.repeat(P[:, None], m, 1))
    y = np.arange(1.0, 4.0)[:, None] * np.ones((1, m))
    before = np.array(net.params["b"])
    net.fit({"x": x, "y": y}, batch="all", epochs=1, optimizer="GradientDescent(lr = 1)")
    share = (before - net.params["b"]).ravel() / np.arange(1.0, 4.0)
    np.testing.assert_allclose(share, P, atol=4 * 0.5 / math.sqrt(m))
    assert share.sum() == pytest.approx(1.0, abs=1e-12)


def test_without_randomness_the_most_probable_class_is_drawn(tmp_path: Path) -> None:
    net = model(tmp_path, DRAWN)
    x, y = RNG.normal(size=(2, 3, 50))
    expected = np.mean(y[np.argmax(x, 0), np.arange(50)])
    assert net.loss(x=x, y=y) == pytest.approx(expected, rel=1e-12)


def test_categorical_needs_the_shape_without_the_classes() -> None:
    error = only("input x : (3, m)\nz : (3, m) ~ categorical(softmax(x))\noutput Z = one_hot(z)")
    assert error.code == "D106"
    assert "(m)" in error.message


# --- bleu ------------------------------------------------------------------------------------------------------


def score(texts: Sequence[Sequence[int]], references: Sequence[Sequence[int]]) -> float:
    """BLEU of a corpus, counted by hand."""
    logs = 0.0
    for n in range(1, 5):
        matches = total = 0
        for text, reference in zip(texts, references, strict=True):
            left = [tuple(reference[i : i + n]) for i in range(len(reference) - n + 1)]
            for i in range(len(text) - n + 1):
                total += 1
                gram = tuple(text[i : i + n])
                if gram in left:
                    left.remove(gram)
                    matches += 1
        if not matches:
            return 0.0
        logs += math.log(matches / total) / 4
    long, want = sum(map(len, texts)), sum(map(len, references))
    return min(1.0, math.exp(1 - want / long)) * math.exp(logs)


BLEU = (
    "dim S\ndim T\ninput s : (m, S) index(3)\ntarget y : (m, T) index(3)\nmetric b = bleu(s, y)\noutput Z = one_hot(s)"
)


@pytest.mark.parametrize("longer", [0, 6])
def test_bleu_is_the_scores_of_all_texts_together(tmp_path: Path, longer: int) -> None:
    net = model(tmp_path, BLEU)
    s, y = RNG.integers(0, 3, size=(30, 9)), RNG.integers(0, 3, size=(30, 9 + longer))
    own, theirs = RNG.integers(2, 10, size=30), RNG.integers(1 + longer, 10 + longer, size=30)
    own[0], theirs[0] = 9, 9 + longer
    expected = score(
        [list(t[:n]) for t, n in zip(s, own, strict=True)], [list(t[:n]) for t, n in zip(y, theirs, strict=True)]
    )
    assert 0 < expected < 1
    assert net.evaluate(s=s, y=y, lengths={"S": own, "T": theirs})["b"] == pytest.approx(expected, rel=1e-12)


def test_a_text_equals_itself(tmp_path: Path) -> None:
    net = model(tmp_path, BLEU.replace("dim S\n", "").replace("S)", "T)"))
    s = RNG.integers(0, 3, size=(4, 8))
    assert net.evaluate(s=s, y=s)["b"] == pytest.approx(1.0, rel=1e-12)


def test_nothing_in_common_scores_nothing(tmp_path: Path) -> None:
    net = model(tmp_path, BLEU)
    assert net.evaluate(s=np.zeros((4, 8)), y=np.ones((4, 8)))["b"] == 0.0


def test_one_hot_targets_are_texts_too(tmp_path: Path) -> None:
    net = model(
        tmp_path,
        "dim T\ninput s : (m, T) index(3)\ntarget y : (3, m, T) one_hot\nmetric b = bleu(s, y)\noutput Z = one_hot(s)",
    )
    s, y = RNG.integers(0, 3, size=(2, 20, 9))
    assert net.evaluate(s=s, y=y)["b"] == pytest.approx(score(s.tolist(), y.tolist()), rel=1e-12)


def test_bleu_of_numbers_is_refused() -> None:
    body = "input s : (m, 5)\ntarget y : (m, 5) index(4)\nmetric b = bleu(s, y)\noutput Z = s * 2"
    error = only(body)
    assert error.code == "N214"
    assert "class numbers of shape (m, T)" in error.message
