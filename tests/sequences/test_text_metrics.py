"""BLEU and perplexity in compiled code: what the meanings of their ops give, for texts of their own lengths."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import dlc

WRITER = """
model Writer(V = 4, n = 3):
    dim T_x
    dim T
    input  x : (n, m, T_x)
    target y : (V, m, T) one_hot
    y<0> : (V, m) = 0
    a<0> : (n, m) = mean(x, over = T_x)<1>
    param W : (n, n + V) ~ glorot
    scan t in 1..T:
        a<t> = tanh(W @ concat(a<t-1>, y<t-1>, over = first))
    y_hat = a -> Dense(V, softmax)
    loss   cross_entropy(y_hat, y)
    s = generate(y, from = y_hat, until = 0, max = 9, by = greedy)
    metric bleu(s, y)
    metric perplexity(y_hat, y)
    output s
"""
EXAMPLES = 90


def grams(words: list[int], n: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def bleu(texts: list[list[int]], references: list[list[int]]) -> float:
    """Papineni et al. 2002, of all texts together."""
    score = 0.0
    for n in range(1, 5):
        pairs = [(grams(s, n), grams(y, n)) for s, y in zip(texts, references, strict=True)]
        score += np.log(sum((s & y).total() for s, y in pairs) / sum(s.total() for s, _ in pairs)) / 4
    written, wanted = (sum(map(len, each)) for each in (texts, references))
    return float(np.exp(min(0.0, 1 - wanted / written) + score))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bleu_and_perplexity(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "net.dl"
    path.write_text(WRITER)
    reference, native = (dlc.load(path).compile(dtype=dtype, target=t) for t in ("reference", "native"))
    random = np.random.default_rng(2)
    for name, value in reference.params.items():
        value[...] = native.params[name] = 3 * random.standard_normal(value.shape)
    x, steps = random.standard_normal((3, EXAMPLES, 5)).astype(dtype), random.integers(1, 6, EXAMPLES)
    words = reference.forward(x=x, lengths={"T_x": steps.tolist()})["s"].astype(int)
    texts = [row[: np.argmax(row == 0) + 1 if 0 in row else len(row)].tolist() for row in words]
    y = np.where(random.random(words.shape) < 0.2, random.integers(0, 4, words.shape), words)
    lengths = np.clip([len(text) + random.integers(-1, 3) for text in texts], 1, 9)
    given = {"x": x, "y": y, "lengths": {"T_x": steps.tolist(), "T": lengths.tolist()}}
    expected, found = reference.evaluate(**given), native.evaluate(**given)
    told = bleu(texts, [row[:length].tolist() for row, length in zip(y, lengths, strict=True)])
    assert 0 < told < 1
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert expected["bleu"] == pytest.approx(told, rel=tolerance)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=tolerance), name
