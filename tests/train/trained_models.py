"""Small specs and data for whole trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dlc

SOFTMAX = """\
model Net(n = [4, 6, 3]):
    input  X : (n[0], m)
    target Y : (n[2], m) one_hot
    param W[1] : (n[1], n[0]) ~ normal(0, 0.5)
    param b[1] : (n[1], 1)    ~ zeros
    param W[2] : (n[2], n[1]) ~ normal(0, 0.5)
    param b[2] : (n[2], 1)    ~ zeros
    A[1] = tanh(W[1] @ X + b[1])
    Y_hat = softmax(W[2] @ A[1] + b[2])
    loss   cross_entropy(Y_hat, Y)
    metric accuracy(Y_hat, Y)
    output Y_hat

train:
    optimizer = GradientDescent(lr = 0.5)
    batch     = 16
    epochs    = 3
"""


def spec(folder: Path, text: str = SOFTMAX, **hypers: Any) -> dlc.Spec:
    path = folder / "net.dl"
    path.write_text(text, encoding="utf-8")
    return dlc.load(path, **hypers)


def clouds(count: int = 50, features: int = 4, classes: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """X (features, count) in one cloud a class, and the class numbers."""
    rng = np.random.default_rng(5)
    y = rng.integers(0, classes, count)
    centers = rng.normal(0, 2, (features, classes))
    return (centers[:, y] + rng.standard_normal((features, count))).astype(np.float32), y


def numpy_step(
    p: dict[str, NDArray[Any]], x: NDArray[Any], y: NDArray[np.int64]
) -> tuple[float, dict[str, NDArray[Any]]]:
    """The loss of SOFTMAX and its gradients, as the course derives them, in float64."""
    m = x.shape[1]
    a = np.tanh(p["W[1]"] @ x + p["b[1]"])
    z = p["W[2]"] @ a + p["b[2]"]
    e = np.exp(z - z.max(axis=0))
    y_hat = e / e.sum(axis=0)
    dz2 = y_hat - np.eye(len(y_hat))[y].T
    dz1 = p["W[2]"].T @ dz2 * (1 - a**2)
    grads = {
        "W[2]": dz2 @ a.T / m,
        "b[2]": dz2.sum(axis=1, keepdims=True) / m,
        "W[1]": dz1 @ x.T / m,
        "b[1]": dz1.sum(axis=1, keepdims=True) / m,
    }
    return float(-np.log(y_hat[y, np.arange(m)]).mean()), grads
