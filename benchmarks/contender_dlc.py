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

SPECS = Path(__file__).resolve().parents[1] / "specs"
OPTIMIZERS = {
    "sgd": "GradientDescent(lr = {lr!r})",
    "momentum": f"HeavyBall(lr = {{lr!r}}, beta = {MOMENTUM})",
    "adam": f"Adam(lr = {{lr!r}}, beta1 = {BETA1}, beta2 = {BETA2}, eps = {EPSILON!r})",
    "none": "GradientDescent(lr = {lr!r})",
}


def spec_text(case: Case) -> str:
    """The case in the language of dlc: a dense network, or a model of the zoo with a `train:` block of its own."""
    train = f"""\
train:
    optimizer = {OPTIMIZERS[case.optimizer].format(lr=case.learning_rate)}
    batch     = {case.batch}
    epochs    = 1
"""
    if case.spec:
        return (SPECS / f"{case.spec}.dl").read_text(encoding="utf-8").partition("train:\n")[0] + train
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
            shutil.copytree((SPECS / case.spec).parent, folder, dirs_exist_ok=True)
        file = Path(folder) / "net.dl"
        file.write_text(spec_text(case), encoding="utf-8")
        model = dlc.load(str(file), **case.hypers).compile(dtype="float32", seed=1, threads=threads)
    for numbers, own in ((case.parameters(), model.params), (case.states(), model.state)):
        if set(numbers) != set(own):
            raise ValueError(f"the spec and the case differ in {sorted(set(numbers) ^ set(own))}")
        for name, value in numbers.items():
            own[name][...] = value.reshape(own[name].shape)
    return model


class Dlc:
    """See `rivals.Rival` for the meaning of the methods."""

    def __init__(self, case: Case, threads: int) -> None:
        self.case, self.model = case, compiled(case, threads)
        x, classes = case.data()
        self.x = x.T if x.ndim == 2 else x
        self.y = classes.astype(np.float32)[None, :] if case.binary else classes
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
        self.model.fit(X=self.x, Y=self.y, epochs=epochs, batch=self.case.batch)
        return epochs * steps_per_epoch

    def _batch(self, number: int) -> tuple[Any, Any]:
        size = self.case.batch
        part = slice(number * size, (number + 1) * size)
        return (self.x[:, part], self.y[..., part]) if self.x.ndim == 2 else (self.x[part], self.y[part])

    def _first_loss(self) -> float:
        x, y = self._batch(0)
        return float(self.model.loss(X=x, Y=y))

    def _fit_first_batch(self, epochs: int) -> None:
        x, y = self._batch(0)
        self.model.fit(X=x, Y=y, epochs=epochs, batch=self.case.batch)

    def _predict(self, number: int) -> Any:
        x, _ = self._batch(number % (self.case.examples // self.case.batch))
        return self.model.forward(X=x)["Y_hat"]

    def _predicted_loss(self, number: int) -> float:
        """The cross-entropy of columns of probabilities."""
        _, y = self._batch(number)
        return float(-np.log(self._predict(number)[y, np.arange(len(y))]).mean())
