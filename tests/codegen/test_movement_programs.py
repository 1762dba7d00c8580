"""Whole networks that move elements about: loss and gradients are the reference's, and no kernel leaves its buffers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spread import spread

import dlc

HEAD = """
model Net:
    input  X : (24, m)
    target Y : (5, m) one_hot
"""
TAIL = """
    Y_hat = B -> Dense(5, softmax)
    loss   cross_entropy(Y_hat, Y)
    output Y_hat
"""

NETS = {
    "rearranged, computed and flattened": """
    A = X -> Dense(24, tanh)
    F = rearrange(A, (3 * 2 * c, m) -> (m, 3, 2, c))
    H = rearrange(F * F, (m, h, w, c) -> (h, w * c, m))
    B = rearrange(H, (h, d, m) -> (d * h, m))
""",
    "joined": """
    A = X -> Dense(3, tanh)
    S = A * A if A > 0 else -A / 2
    C = X -> Dense(40, relu)
    B = concat(S, C, X, over = first)
""",
    "split, reversed and shifted": """
    A = X -> Dense(24, tanh)
    p, q, r = split(A, (1, 16, 7), over = first)
    B = concat(reverse(r, over = first) * r, p, shift(q, over = first) + q * position(q, over = first), over = first)
""",
    "broadcast and products of parts": """
    A = X -> Dense(24, tanh)
    p, q, r = split(A, (1, 8, 15), over = first)
    D = broadcast(p, (4, m)) -> Dense(4, relu)
    C = (q -> Dense(4, relu)) * (r -> Dense(4, relu))
    B = C + D
""",
    "parameters": """
    param V : (6, 4) ~ normal(1)
    param u : (8) ~ normal(1)
    A = X -> Dense(24, tanh)
    W = rearrange(V, (a, b) -> (b * a, 1))
    v, w = split(u, (1, 7), over = first)
    B = A * W * sum(drop(v, over = first)) * sum(drop(sum(w), over = first))
""",
    "scores of a few vectors": """
    param E : (8, 24) ~ normal(1)
    P = E @ X
    A = X -> Dense(8 * 3, tanh)
    T = rearrange(A, (8 * w, m) -> (8, m, w))
    S = einsum(T, P, (n, m, w), (n, m) -> (w, m))
    B = concat(S, X, over = first)
""",
    "a gram matrix": """
    param I : (1, 3, 5, 3) ~ normal(1)
    G = einsum(I, tanh(I), (1, i, j, k), (1, i, j, k2) -> (k, k2))
    A = X -> Dense(3, tanh)
    B = G @ A
""",
    "regions of all examples": """
    A = X -> Dense(24, tanh)
    F = rearrange(A, (d * 3, m) -> (d, m = m * 3))
    G = F -> Dense(16, relu) -> Dense(6, tanh)
    B = rearrange(G * G, (d, m * 3) -> (d * 3, m))
""",
    "a product with steps": """
    A = X -> Dense(24, tanh)
    F = rearrange(A, (d * 3, m) -> (d, m, 3))
    param W : (6, 8) ~ he
    B = rearrange(tanh(W @ F), (d, m, t) -> (t * d, m))
""",
    "looked up": """
    input x : (m, 3) index(6)
    param E : (4, 6) ~ normal(1)
    V = E @ one_hot(x)
    B = concat(rearrange(V * V, (n, m, t) -> (n * t, m)), X, over = first)
""",
}


ALWAYS = {
    "rearranged, computed and flattened",
    "split, reversed and shifted",
    "scores of a few vectors",
    "regions of all examples",
    "looked up",
}


@pytest.mark.parametrize("name", spread(NETS, ALWAYS))
def test_gradients_are_the_reference_s(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CHECK", "1")
    (tmp_path / "net.dl").write_text(HEAD + NETS[name].strip("\n") + TAIL)
    spec = dlc.load(tmp_path / "net.dl")
    compiled = spec.compile(dtype="float64", seed=3)
    reference = spec.compile(dtype="float64", seed=3, target="reference")
    rng = np.random.default_rng(0)
    for m in (1, 16, 33):
        data = {"X": rng.standard_normal((24, m)), "Y": rng.integers(0, 5, m)}
        if "input x" in NETS[name]:
            data["x"] = rng.integers(0, 6, (m, 3))
        loss, gradients = compiled.loss_and_grads(**data)
        expected, known = reference.loss_and_grads(**data)
        assert loss == pytest.approx(expected, rel=1e-12)
        for parameter, gradient in known.items():
            np.testing.assert_allclose(gradients[parameter], gradient, rtol=1e-10, atol=1e-13, err_msg=parameter)
