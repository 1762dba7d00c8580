"""The library's layers of sequences in torch, with dlc's parameters by name; sequences are (n, m, T) here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

Values = dict[str, Any]


def dense(p: Values, name: str, a: Any) -> Any:
    return affine(p[f"{name}.W"], p[f"{name}.b"], a)


def affine(W: Any, b: Any, a: Any) -> Any:
    return torch.tensordot(W, a, 1) + b.reshape(-1, *[1] * (a.dim() - 1))


def recurrent(kind: Any, weights: list[Any], biases: list[Any], x: Any, *start: Any) -> Any:
    """One of torch's own layers: its gates one above the other, each weight for [a<t-1>, x<t>]."""
    n_a = weights[0].shape[0]
    parameters = {
        "weight_ih_l0": torch.cat([W[:, n_a:] for W in weights]),
        "weight_hh_l0": torch.cat([W[:, :n_a] for W in weights]),
        "bias_ih_l0": torch.cat([b.flatten() for b in biases]),
        "bias_hh_l0": torch.zeros(n_a * len(biases), dtype=torch.float64),
    }
    begun = tuple(a.T[None] for a in start)
    state = (begun if len(begun) > 1 else begun[0],) if begun else ()
    layer = kind(x.shape[0], n_a, dtype=torch.float64)
    return torch.func.functional_call(layer, parameters, (x.permute(2, 1, 0), *state))


def rnn(W: Any, b: Any, x: Any, *start: Any) -> Any:
    return recurrent(torch.nn.RNN, [W], [b], x, *start)[0].permute(2, 1, 0)


def library_rnn(p: Values, name: str, x: Any) -> Any:
    return rnn(torch.cat([p[f"{name}.W_aa"], p[f"{name}.W_ax"]], 1), p[f"{name}.b_a"], x)


def lstm(p: Values, name: str, x: Any, *start: Any) -> tuple[Any, Any]:
    """All activations, and the last memory cell. torch's gates are update, forget, candidate, output."""
    weights, biases = ([p[f"{name}{kind}_{gate}"] for gate in "ufco"] for kind in "Wb")
    a, (_, c) = recurrent(torch.nn.LSTM, weights, biases, x, *start)
    return a.permute(2, 1, 0), c[0].T


def both_ways(p: Values, name: str, x: Any, layer: Callable[[Values, str, Any], Any]) -> Any:
    back = layer(p, f"{name}.backward", torch.flip(x, (2,)))
    return torch.cat([layer(p, f"{name}.forward", x), torch.flip(back, (2,))])


def two_lstms(p: Values, name: str, x: Any) -> Any:
    return both_ways(p, name, x, lambda p, name, x: lstm(p, f"{name}.", x)[0])


def columns(E: Any, words: Any) -> Any:
    """The embeddings (n, m, T) of words (m, T)."""
    return F.embedding(words, E.T).movedim(-1, 0)


def one_hot(words: Any, V: int) -> Any:
    return F.one_hot(words, V).movedim(-1, 0).double()


def shifted(words: Any, V: int) -> Any:
    """y<t-1> at step t, nothing at the first."""
    return F.pad(one_hot(words, V)[:, :, :-1], (1, 0))


def ce(Z: Any, labels: Any) -> Any:
    """The course's: summed over the steps, the mean over the examples."""
    return F.cross_entropy(Z.movedim(0, 1), labels, reduction="sum") / labels.shape[0]


def bce(Z: Any, y: Any) -> Any:
    return F.binary_cross_entropy_with_logits(Z, y, reduction="sum") / y.shape[1]


def attention(p: Values, name: str, heads: int, q: Any, k: Any, causal: bool = False) -> Any:
    def split(W: str, a: Any) -> Any:
        Z = torch.tensordot(p[f"{name}.{W}"], a, 1)
        return Z.reshape(heads, -1, *Z.shape[1:]).permute(2, 0, 3, 1)  # m, heads, steps, features

    A = F.scaled_dot_product_attention(split("W_Q", q), split("W_K", k), split("W_V", k), is_causal=causal)
    return torch.tensordot(p[f"{name}.W_O"], A.permute(1, 3, 0, 2).reshape(-1, q.shape[1], q.shape[2]), 1)


def norm(p: Values, name: str, a: Any) -> Any:
    gamma, beta = (p[f"{name}.{each}"].flatten() for each in ("gamma", "beta"))
    return F.layer_norm(a.movedim(0, -1), (a.shape[0],), gamma, beta).movedim(-1, 0)


def feed_forward(p: Values, name: str, a: Any) -> Any:
    return dense(p, f"{name}.dense[2]", torch.relu(dense(p, f"{name}.dense[1]", a)))


def encoder_block(p: Values, name: str, x: Any, causal: bool = False) -> Any:
    a = norm(p, f"{name}.norm_1", x + attention(p, f"{name}.attend", 2, x, x, causal))
    return norm(p, f"{name}.norm_2", a + feed_forward(p, f"{name}.feed", a))


def decoder_block(p: Values, name: str, y: Any, x: Any) -> Any:
    a = norm(p, f"{name}.norm_1", y + attention(p, f"{name}.attend", 2, y, y, True))
    b = norm(p, f"{name}.norm_2", a + attention(p, f"{name}.look", 2, a, x))
    return norm(p, f"{name}.norm_3", b + feed_forward(p, f"{name}.feed", b))


def positions(n: int, T: int) -> Any:
    table = np.zeros((n, 1, T))
    for pos in range(T):
        for i in range(0, n, 2):
            table[i, 0, pos] = np.sin(pos / 10_000 ** (i / n))
            table[i + 1, 0, pos] = np.cos(pos / 10_000 ** (i / n))
    return torch.tensor(table)


def batch_norm(p: Values, name: str, a: Any) -> Any:
    """Of (m, n, ...), as while training."""
    return F.batch_norm(a, None, None, p[f"{name}.gamma"].flatten(), p[f"{name}.beta"].flatten(), training=True)


def norm_of_all(p: Values, name: str, parts: list[Any]) -> list[Any]:
    """Of (n, m, T) with T of their own, by the statistics of all of them."""
    columns = torch.cat([a.flatten(1) for a in parts], 1)
    normed = batch_norm(p, name, columns.T).T.split([a.shape[1] * a.shape[2] for a in parts], 1)
    return [part.reshape(a.shape) for part, a in zip(normed, parts, strict=True)]
