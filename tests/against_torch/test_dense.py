"""Loss and all gradients of the dense specs equal torch's at the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc

torch = pytest.importorskip("torch")
F = torch.nn.functional
SPECS = Path(__file__).resolve().parents[2] / "specs" / "dense"
M = 7
"""Examples in the batch: odd, and no multiple of any tile."""

Values = dict[str, Any]


def dense(p: Values, name: str, A: Any) -> Any:
    return p[f"{name}.W"] @ A + p[f"{name}.b"]


def bce(A: Any, Y: Any) -> Any:
    return F.binary_cross_entropy(A, Y, reduction="sum") / M


def ce(Z: Any, labels: Any) -> Any:
    return F.cross_entropy(Z.T, labels)


def shallow(p: Values, d: Values) -> Any:
    A = torch.tanh(p["W[1]"] @ d["X"] + p["b[1]"])
    return bce(torch.sigmoid(p["W[2]"] @ A + p["b[2]"]), d["Y"])


def deep(p: Values, d: Values) -> Any:
    A = d["X"]
    for l in range(1, 5):
        A = torch.relu(p[f"W[{l}]"] @ A + p[f"b[{l}]"])
    return bce(torch.sigmoid(p["W[5]"] @ A + p["b[5]"]), d["Y"])


def regression(p: Values, d: Values) -> Any:
    A = F.leaky_relu(dense(p, "dense[1]", d["X"]), 0.1)
    A = F.gelu(dense(p, "dense[2]", A))
    return ((dense(p, "dense[3]", A) - d["Y"]) ** 2).sum() / 2 / M


def multi_label(p: Values, d: Values) -> Any:
    A = F.softplus(dense(p, "dense[2]", F.elu(dense(p, "dense[1]", d["X"]))))
    return bce(torch.sigmoid(dense(p, "dense[3]", A)), d["Y"])


def dropped(p: Values, d: Values) -> Any:
    A = torch.relu(dense(p, "dense[2]", torch.relu(dense(p, "dense[1]", d["X"]))))
    return bce(torch.sigmoid(dense(p, "dense[3]", A)), d["Y"])


def own_parts(p: Values, d: Values) -> Any:
    def block(name: str, A: Any) -> Any:
        return F.silu(p[f"{name}.W"] @ A + p[f"{name}.b"])

    shared = block("shared", d["X"])
    Y_hat = dense(p, "dense[1]", block("block[1]", shared))
    huber = F.huber_loss(Y_hat, d["Y"], delta=0.5, reduction="sum") / M
    return huber + 0.1 * ((dense(p, "side", shared) - d["Y"]) ** 2).sum() / 2 / M


MODELS: dict[str, Callable[[Values, Values], Any]] = {
    "logistic_regression": lambda p, d: bce(torch.sigmoid(p["w"].T @ d["X"] + p["b"]), d["Y"]),
    "softmax_regression": lambda p, d: ce(p["W"] @ d["X"] + p["b"], d["Y"]),
    "shallow": shallow,
    "deep": deep,
    "dropout": dropped,
    "regularized": lambda p, d: ce(dense(p, "dense[2]", torch.tanh(dense(p, "dense[1]", d["X"]))), d["Y"]),
    "regression": regression,
    "multi_label": multi_label,
    "own_parts": own_parts,
    "computation_graph": lambda p, d: 3 * (p["a"] + p["b"] * p["c"]),
}


def inputs(spec: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random data of the declared shapes: labels for one-hot targets, probabilities for the others."""
    data = {}
    for name, declaration in spec.checked.inputs.items():
        sizes = [M if size.constant is None else int(size.constant) for size in declaration.type.sizes]
        if declaration.one_hot:
            data[name] = rng.integers(0, declaration.classes, M)
        elif declaration.role == "target":
            data[name] = rng.uniform(0.05, 0.95, sizes)
        else:
            data[name] = rng.normal(size=sizes)
    return data


@pytest.mark.parametrize(("dtype", "target"), [("float64", "reference"), ("float64", "native"), ("float32", "native")])
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients(name: str, dtype: str, target: str) -> None:
    spec = dlc.load(SPECS / f"{name}.dl")
    model = spec.compile(dtype=dtype, seed=3, target=target)
    rng = np.random.default_rng(5)
    for value in model.params.values():
        value[...] = rng.normal(size=value.shape) / np.sqrt(max(value.shape, default=1))
    data = inputs(spec, rng)
    loss, gradients = model.loss_and_grads(**data)
    p = {k: torch.tensor(np.array(v), dtype=torch.float64, requires_grad=True) for k, v in model.params.items()}
    d = {k: torch.tensor(v) for k, v in data.items()}
    expected = MODELS[name](p, d)
    expected.backward()
    tolerance = 1e-10 if dtype == "float64" else 1e-5
    assert abs(loss - expected.item()) <= tolerance * max(1, abs(expected.item()))
    for key, value in gradients.items():
        wanted = p[key].grad.numpy()
        assert value.shape == wanted.shape
        assert np.linalg.norm(value - wanted) <= tolerance * np.linalg.norm(wanted), key
    assert set(gradients) == set(p)
