"""dlc as a contender: the case written as a `.dl` text, and trained through the public Python API.

`fit` is timed as a user calls it, an epoch at a time, so its figure includes what the rivals' does not: drawing a new
order of the examples each epoch and gathering every batch.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cases import CHECK_STEPS, Case


def spec_text(case: Case) -> str:
    """The case in the language of dlc."""
    *hidden, last = case.widths[1:]
    chain = [f"Dense({n}, relu)" for n in hidden] + [f"Dense({last}, {'sigmoid' if case.binary else 'softmax'})"]
    optimizer = {"sgd": "GradientDescent", "adam": "Adam"}[case.optimizer]
    return f"""\
model Net:
    input  X : ({case.widths[0]}, m)
    target Y : ({last}, m){"" if case.binary else " one_hot"}

    Y_hat = X -> {" -> ".join(chain)}

    loss   {"binary_cross_entropy" if case.binary else "cross_entropy"}(Y_hat, Y)
    output Y_hat

train:
    optimizer = {optimizer}(lr = {case.learning_rate!r})
    batch     = {case.batch}
    epochs    = 1
"""


class Dlc:
    """See `rivals.Rival` for the meaning of the methods."""

    def __init__(self, case: Case, threads: int) -> None:
        dlc: Any = importlib.import_module("dlc")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "net.dl"
            file.write_text(spec_text(case), encoding="utf-8")
            self.model: Any = dlc.load(str(file)).compile(dtype="float32", seed=1, threads=threads)
        for layer, (weight, bias) in enumerate(case.parameters(), start=1):
            self.model.params[f"dense[{layer}].W"][...] = weight
            self.model.params[f"dense[{layer}].b"][...] = bias.reshape(self.model.params[f"dense[{layer}].b"].shape)
        x, classes = case.data()
        self.x = x.T
        self.y = classes.astype(np.float32)[None, :] if case.binary else classes
        self.batch = case.batch
        self.version = f"dlc {dlc.__version__}"

    def first_step(self) -> None:
        self._fit_first_batch(epochs=1)

    def check(self) -> tuple[float, float]:
        before = self._first_loss()
        self._fit_first_batch(epochs=CHECK_STEPS)
        return before, self._first_loss()

    def train(self, steps: int) -> int:
        steps_per_epoch: int = -(-self.x.shape[1] // self.batch)
        epochs = max(1, steps // steps_per_epoch)
        self.model.fit(X=self.x, Y=self.y, epochs=epochs, batch=self.batch)
        return epochs * steps_per_epoch

    def _first_loss(self) -> float:
        return float(self.model.loss(X=self.x[:, : self.batch], Y=self.y[..., : self.batch]))

    def _fit_first_batch(self, epochs: int) -> None:
        self.model.fit(X=self.x[:, : self.batch], Y=self.y[..., : self.batch], epochs=epochs, batch=self.batch)
