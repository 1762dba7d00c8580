"""The recurrent layers as plain loops over steps, on NumPy arrays or torch tensors alike."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

Values = Mapping[str, Any]

NUMPY = SimpleNamespace(
    tanh=np.tanh,
    sigmoid=lambda z: 1 / (1 + np.exp(-z)),
    rows=lambda *parts: np.concatenate(parts, axis=0),
    steps=lambda parts: np.stack(parts, axis=-1),
    zeros=lambda *shape: np.zeros(shape),
    back=lambda x: x[:, :, ::-1],
)
"""What the loops need of a library of arrays."""


def of_torch(torch: Any) -> SimpleNamespace:
    """The same of torch."""
    return SimpleNamespace(
        tanh=torch.tanh,
        sigmoid=torch.sigmoid,
        rows=lambda *parts: torch.cat(parts, 0),
        steps=lambda parts: torch.stack(parts, -1),
        zeros=lambda *shape: torch.zeros(*shape, dtype=torch.float64),
        back=lambda x: torch.flip(x, (2,)),
    )


def rnn(lib: Any, p: Values, name: str, x: Any) -> Any:
    """Course 5, week 1: a<t> = tanh(W_aa a<t-1> + W_ax x<t> + b_a)."""
    a, steps = lib.zeros(p[f"{name}.b_a"].shape[0], x.shape[1]), []
    for t in range(x.shape[2]):
        a = lib.tanh(p[f"{name}.W_aa"] @ a + p[f"{name}.W_ax"] @ x[:, :, t] + p[f"{name}.b_a"])
        steps.append(a)
    return lib.steps(steps)


def gru(lib: Any, p: Values, name: str, x: Any) -> Any:
    """Course 5, week 1: the full gated recurrent unit."""
    W, b = (lambda gate: p[f"{name}.W_{gate}"]), (lambda gate: p[f"{name}.b_{gate}"])
    c, steps = lib.zeros(b("c").shape[0], x.shape[1]), []
    for t in range(x.shape[2]):
        both = lib.rows(c, x[:, :, t])
        renew = lib.sigmoid(W("u") @ both + b("u"))
        relevant = lib.sigmoid(W("r") @ both + b("r"))
        candidate = lib.tanh(W("c") @ lib.rows(relevant * c, x[:, :, t]) + b("c"))
        c = renew * candidate + (1 - renew) * c
        steps.append(c)
    return lib.steps(steps)


def lstm(lib: Any, p: Values, name: str, x: Any) -> tuple[Any, Any]:
    """Course 5, week 1: update, forget and output gate."""
    W, b = (lambda gate: p[f"{name}.W_{gate}"]), (lambda gate: p[f"{name}.b_{gate}"])
    a = c = lib.zeros(b("c").shape[0], x.shape[1])
    activations, cells = [], []
    for t in range(x.shape[2]):
        both = lib.rows(a, x[:, :, t])
        update, forget, out = (lib.sigmoid(W(gate) @ both + b(gate)) for gate in "ufo")
        c = update * lib.tanh(W("c") @ both + b("c")) + forget * c
        a = out * lib.tanh(c)
        activations.append(a)
        cells.append(c)
    return lib.steps(activations), lib.steps(cells)


def bidirectional(lib: Any, p: Values, name: str, x: Any) -> Any:
    """Both directions of an LSTM, one above the other."""
    ahead, _ = lstm(lib, p, f"{name}.forward", x)
    back, _ = lstm(lib, p, f"{name}.backward", lib.back(x))
    return lib.rows(ahead, lib.back(back))
