"""BLEU of what a model writes: each text up to its own end, and as well in compiled code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlc

NET = """
model Writer(V = 4, n = 5):
    dim S
    dim T <= 8
    input  x : (m, S) index(6)
    target y : (V, m, T) one_hot
    e = x -> Embedding(6, 3) -> RNN(n)
    s<0> = e<S>
    y<0> : (V, m) = 0
    scan t in 1..T:
        s<t> = tanh(Dense(n)(concat(s<t-1>, y<t-1>, over = first)))
    y_hat = s -> Dense(V, softmax)
    loss   cross_entropy(y_hat, y)
    w = generate(y, from = y_hat, until = 0, by = greedy)
    metric score = bleu(w, y)
    metric R2(y_hat, y)
    output w
"""


def test_a_text_ends_with_its_last_word(tmp_path: Path) -> None:
    (tmp_path / "net.dl").write_text(NET)
    spec = dlc.load(tmp_path / "net.dl")
    reference, native = (spec.compile(dtype="float64", target=target) for target in ("reference", "native"))
    random = np.random.default_rng(0)
    for name, value in reference.params.items():
        value[...] = 2 * random.standard_normal(value.shape)
        native.params[name] = value
    x = random.integers(0, 6, (20, 4))
    words = reference.forward(x=x)["w"].astype(int)
    lengths = [row.index(0) + 1 if 0 in row else len(row) for row in words.tolist()]
    assert len(set(lengths)) > 1
    itself = [model.evaluate(x=x, y=words, lengths={"T": lengths}) for model in (reference, native)]
    assert [found["score"] for found in itself] == [pytest.approx(1.0, rel=1e-12)] * 2
    other = np.where(random.random((20, 8)) < 0.2, random.integers(0, 4, (20, 8)), words)
    wanted, found = (model.evaluate(x=x, y=other, lengths={"T": lengths}) for model in (reference, native))
    assert 0 < wanted["score"] < 1
    assert found == pytest.approx(wanted, rel=1e-9)
