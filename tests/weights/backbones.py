"""Specs that load weights, and files for them to load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Arrays = dict[str, NDArray[np.float32]]

SPEC = """
layer Backbone(n):
    input A : (n_in, m)
    output A -> Dense(n, relu) -> BatchNorm() -> Dense(n, relu) as second

model Tuned(n = 4):
    input  X : (3, m)
    target Y : (1, m)
    backbone = Backbone(n)
    {lines}
    Y_hat = X -> backbone -> Dense(1) as top
    loss   squared_error(Y_hat, Y)
    output Y_hat

train:
    optimizer = Adam(lr = 1e-2)
    batch     = 8
    epochs    = 3
"""
"""`{lines}` stands for the lines to be tried."""

BACKBONE = {
    "dense[1].W": (4, 3),
    "dense[1].b": (4, 1),
    "batchnorm[1].gamma": (4, 1),
    "batchnorm[1].beta": (4, 1),
    "second.W": (4, 4),
    "second.b": (4, 1),
    "batchnorm[1].mu": (4, 1),
    "batchnorm[1].s2": (4, 1),
}
"""The parameters and states of `Backbone(4)` on three features, by their names within it."""


def spec(folder: Path, *lines: str, name: str = "net.dl") -> Path:
    """A file with these lines in its model."""
    path = folder / name
    path.write_text(SPEC.format(lines="\n    ".join(lines)), encoding="utf-8")
    return path


def values(place: str = "backbone.", seed: int = 7) -> Arrays:
    """Random values of a backbone that stands under a place."""
    rng = np.random.default_rng(seed)
    return {place + name: rng.uniform(0.1, 1, size=shape).astype("float32") for name, shape in BACKBONE.items()}


def data(count: int = 24) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(3)
    return {"X": rng.normal(size=(3, count)), "Y": rng.normal(size=(1, count))}


def written(folder: Path, arrays: Arrays, name: str = "backbone.safetensors") -> Path:
    save_file(arrays, folder / name)
    return folder / name
