"""dlc as a contender: the case as a `.dl` text, trained, or asked to predict, through the public Python API.

`fit` is timed as a user calls it, an epoch at a time, so its figure includes what the rivals' does not: drawing a new
order of the examples each epoch and gathering every batch.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cases import BETA1, BETA2, CHECK_STEPS, EPSILON, MOMENTUM, Case

ROOT = Path(__file__).resolve().parents[1]
OPTIMIZERS = {
    "sgd": "GradientDescent(lr = {lr!r})",
    "momentum": f"HeavyBall(lr = {{lr!r}}, beta = {MOMENTUM})",
    "adam": f"Adam(lr = {{lr!r}}, beta1 = {BETA1}, beta2 = {BETA2}, eps = {EPSILON!r})",
    "none": "GradientDescent(lr = {lr!r})",
}


def spec_text(case: Case) -> str:
    """The case in the language of dlc: a dense network, or a model from a file with a `train:` block of its own."""
    train = f"""\
train:
    optimizer = {OPTIMIZERS[case.optimizer].format(lr=case.learning_rate)}
    batch     = {case.batch}
    epochs    = 1
"""
    if case.spec:
        return (ROOT / f"{case.spec}.dl").read_text(encoding="utf-8").partition("train:\n")[0] + train
    *hidden, last = case.widths[1:]
    chain = [f"Dense({n}, relu)" for n in hidden] + [f"Dense({last}, {'sigmoid' if case.binary else 'softmax'})"]
    return f"""\
model Net:
    input  X : ({case.widths[0]}, m)
    target Y : ({last}, m){"" if case.binary else " one_hot"}

    Y_hat = X -> {" -> ".join(chain)}

    loss   {"binary_cross_entropy" if case.binary else "cross_entropy"}(Y_hat, Y)
    output Y_hat

{train}"""


def compiled(case: Case, threads: int) -> Any:
    """The model with the case's initial numbers. Raises where its parameters are not the case's."""
    dlc: Any = importlib.import_module("dlc")
    with tempfile.TemporaryDirectory() as folder:
        if case.spec:  # with the files that it imports
            shutil.copytree((ROOT / case.spec).parent, folder, dirs_exist_ok=True)
        file = Path(folder) / "net.dl"
        file.write_text(spec_text(case), encoding="utf-8")
        model = dlc.load(str(file), **case.hypers).compile(dtype="float32", seed=1, threads=threads)
    for numbers, own in ((case.parameters(), model.params), (case.states(), model.state)):
        if set(numbers) != set(own):
            raise ValueError(f"the spec and the case differ in {sorted(set(numbers) ^ set(own))}")
        for name, value in numbers.items():
            own[name][...] = value.reshape(own[name].shape)
    return model


def arrays(case: Case) -> tuple[dict[str, Any], dict[str, int]]:
    """Inputs and targets in the shapes that the model declares, and each one's axis of examples."""
    x, y = case.data()
    if case.text:
        return {"Y": y}, {"Y": 0}
    if case.binary:
        y = y.astype(np.float32)[:, None]
    found, axes = {"X": x, "Y": y}, {"X": 0, "Y": 0}
    for name, array in found.items():
        if array.ndim < 4 and array.dtype == np.float32:  # (n, m) or (n, m, T)
            found[name], axes[name] = array.transpose(array.ndim - 1, *range(array.ndim - 1)), 1
    return found, axes


class Dlc:
    """See `rivals.Rival` for the meaning of the methods."""

    def __init__(self, case: Case, threads: int) -> None:
        self.case, self.model = case, compiled(case, threads)
        self.data, self.axes = arrays(case)
        self.version = f"dlc {importlib.import_module('dlc').__version__}"

    def first_step(self) -> None:
        if self.case.predicts:
            self._predict(0)
        else:
            self._fit_first_batch(epochs=1)

    def check(self) -> tuple[float, float]:
        if self.case.predicts:
            return self._predicted_loss(0), self._predicted_loss(1)
        before = self._first_loss()
        self._fit_first_batch(epochs=CHECK_STEPS)
        return before, self._first_loss()

    def train(self, steps: int) -> int:
        if self.case.predicts:
            for number in range(steps):
                self._predict(number)
            return steps
        steps_per_epoch = -(-self.case.examples // self.case.batch)
        epochs = max(1, steps // steps_per_epoch)
        self.model.fit(**self.data, epochs=epochs, batch=self.case.batch)
        return epochs * steps_per_epoch

    def _batch(self, number: int) -> dict[str, Any]:
        part = slice(number * self.case.batch, (number + 1) * self.case.batch)
        return {name: array[(slice(None),) * self.axes[name] + (part,)] for name, array in self.data.items()}

    def _first_loss(self) -> float:
        return float(self.model.loss(**self._batch(0)))

    def _fit_first_batch(self, epochs: int) -> None:
        self.model.fit(**self._batch(0), epochs=epochs, batch=self.case.batch)

    def _predict(self, number: int) -> Any:
        x = self._batch(number % (self.case.examples // self.case.batch))["X"]
        return self.model.forward(X=x)["Y_hat"]

    def _predicted_loss(self, number: int) -> float:
        """The cross-entropy of columns of probabilities."""
        y = self._batch(number)["Y"]
        return float(-np.log(self._predict(number)[y, np.arange(len(y))]).mean())
