"""The library's recurrent layers: their values against plain loops, their gradients against torch's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from padded import assert_padding_is_not_seen, compiled, synthetic
from recurrences import NUMPY, bidirectional, gru, lstm, of_torch, rnn

from dlc.runtime.gradcheck import GREAT, gradcheck
from dlc.runtime.program import Model

LAYERS: dict[str, tuple[str, Callable[..., Any]]] = {
    "rnn[1]": ("RNN(4)", rnn),
    "gru[1]": ("GRU(4)", gru),
    "lstm[1]": ("LSTM(4)", lambda lib, p, name, x: lstm(lib, p, name, x)[0]),
    "bidirectional[1]": ("Bidirectional(LSTM(4), LSTM(4))", bidirectional),
}


def net(layer: str) -> str:
    return f"""
model Net:
    dim T
    input  x : (3, m, T)
    target y : (2, m, T)
    a     = x -> {layer}
    y_hat = a -> Dense(2)
    loss   squared_error(y_hat, y)
    output a
    output last = a<T>
    output first_step = a<1>
"""


@pytest.fixture(params=list(LAYERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str, tmp_path: Path) -> Model:
    return compiled(net(LAYERS[name][0]), tmp_path)


def test_values(name: str, model: Model) -> None:
    x = synthetic(model, 5, {"T": 6})["x"]
    found = model.forward(x=x)
    wanted = LAYERS[name][1](NUMPY, model.params, name, x)
    np.testing.assert_allclose(found["a"], wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found["last"], wanted[:, :, -1], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found["first_step"], wanted[:, :, 0], rtol=1e-12, atol=1e-12)


def test_gradients_equal_torch(name: str, model: Model) -> None:
    torch = pytest.importorskip("torch")
    lib = of_torch(torch)
    given = synthetic(model, 5, {"T": 6})
    p = {n: torch.tensor(np.array(v), requires_grad=True) for n, v in model.params.items()}
    x, y = (torch.tensor(given[n]) for n in ("x", "y"))
    a = LAYERS[name][1](lib, p, name, x)
    y_hat = torch.einsum("ij,jmt->imt", p["dense[1].W"], a) + p["dense[1].b"][:, :, None]
    wanted = ((y_hat - y) ** 2).sum() / 2 / 5
    wanted.backward()
    loss, gradients = model.loss_and_grads(**given)
    assert loss == pytest.approx(float(wanted.detach()), rel=1e-12)
    for parameter, gradient in gradients.items():
        exact = p[parameter].grad.numpy()
        assert np.linalg.norm(gradient - exact) <= 1e-9 * np.linalg.norm(exact), parameter


def test_gradients_equal_differences(model: Model) -> None:
    found = list(gradcheck(model.engine, dict(model.spec.inputs), list(model.params), 1, 10))
    assert max(each.error for each in found) < GREAT


def test_padding_is_not_seen(model: Model) -> None:
    assert_padding_is_not_seen(model, {"T": [2, 6, 1, 4]})


def test_parameters_are_called_as_the_language_says(tmp_path: Path) -> None:
    text = """
model Net:
    dim T
    input x : (m, T) index(9)
    h = x -> Embedding(9, 5) -> RNN(4) -> GRU(3) -> Bidirectional(LSTM(2), RNN(6, relu))
    output h
"""
    model = compiled(text, tmp_path)
    shapes = {name: value.shape for name, value in model.params.items()}
    gates = {f"gru[1].W_{gate}": (3, 7) for gate in "cur"} | {f"gru[1].b_{gate}": (3, 1) for gate in "cur"}
    ahead = "bidirectional[1].forward"
    gates |= {f"{ahead}.W_{gate}": (2, 5) for gate in "cufo"} | {f"{ahead}.b_{gate}": (2, 1) for gate in "cufo"}
    back = "bidirectional[1].backward"
    assert shapes == gates | {
        "embedding[1].E": (5, 9),
        "rnn[1].W_aa": (4, 4),
        "rnn[1].W_ax": (4, 5),
        "rnn[1].b_a": (4, 1),
        f"{back}.W_aa": (6, 6),
        f"{back}.W_ax": (6, 3),
        f"{back}.b_a": (6, 1),
    }


def test_an_embedding_takes_columns(tmp_path: Path) -> None:
    text = "model Net:\n    dim T\n    input x : (m, T) index(9)\n    output h = x -> Embedding(9, 5)\n"
    model = compiled(text, tmp_path)
    x = synthetic(model, 4, {"T": 6})["x"]
    np.testing.assert_array_equal(model.forward(x=x)["h"], model.params["embedding[1].E"][:, x])


def test_both_outputs_of_an_lstm(tmp_path: Path) -> None:
    text = """
model Net:
    dim T
    input x : (3, m, T)
    h, cell = LSTM(4)(x)
    output h
    output cell
    output last_cell = cell<T>
"""
    model = compiled(text, tmp_path)
    x = synthetic(model, 4, {"T": 6})["x"]
    found = model.forward(x=x)
    a, c = lstm(NUMPY, model.params, "lstm[1]", x)
    np.testing.assert_allclose(found["h"], a, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found["cell"], c, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found["last_cell"], c[:, :, -1], rtol=1e-12, atol=1e-12)
