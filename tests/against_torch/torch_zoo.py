"""How a spec of the zoo is held against a loss that is written in torch: same weights, same data, float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch_layers import M, Parameters, Values, torch

import dlc

SPECS = Path(__file__).resolve().parents[2] / "specs"


@dataclass(frozen=True)
class Case:
    """A spec made small, and its loss in torch from parameters and data."""

    file: str
    loss: Callable[[Parameters, Values], Any]
    hypers: dict[str, Any] = field(default_factory=dict)
    model: str | None = None

    def spec(self) -> dlc.Spec:
        return dlc.load(SPECS / f"{self.file}.dl", model=self.model, **self.hypers)

    @property
    def normalizes(self) -> bool:
        """Whether there are running statistics."""
        return bool(self.spec().checked.states)


def inputs(spec: dlc.Spec, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random data of the declared shapes: labels for one-hot targets, yes or no for the others."""
    data = {}
    for name, declaration in spec.checked.inputs.items():
        sizes = [M if size.constant is None else int(size.constant) for size in declaration.type.sizes]
        if declaration.one_hot:
            sizes.pop(declaration.class_axis)
            data[name] = rng.integers(0, declaration.classes, sizes)
        elif declaration.role == "target":
            data[name] = rng.integers(0, 2, sizes).astype(float)
        else:
            data[name] = rng.normal(size=sizes)
    return data


def compiled(spec: dlc.Spec, target: str, rng: np.random.Generator) -> dlc.Model:
    """Biases and normalizations with random values, for what they start with hides mistakes."""
    model = spec.compile(dtype="float64", seed=3, target=target)
    for key, value in model.params.items():
        if key.endswith(".gamma"):
            value[...] = rng.uniform(0.5, 1.5, size=value.shape)
        elif key.endswith((".b", ".beta")):
            value[...] = rng.normal(size=value.shape) / 4
    return model


def in_torch(model: dlc.Model) -> Parameters:
    """The model's parameters and states."""
    p = Parameters({k: torch.tensor(np.array(v), requires_grad=True) for k, v in model.params.items()})
    p.update({k: torch.tensor(np.array(v)) for k, v in model.state.items()})
    return p


def compare_losses(case: Case, target: str) -> None:
    """The loss and every gradient."""
    spec, rng = case.spec(), np.random.default_rng(5)
    model, data = compiled(spec, target, rng), inputs(spec, rng)
    loss, gradients = model.loss_and_grads(**data)
    p = in_torch(model)
    expected = case.loss(p, {k: torch.tensor(v) for k, v in data.items()})
    expected.backward()
    assert abs(loss - expected.item()) <= 1e-9 * abs(expected.item())
    assert set(gradients) == {k for k, parameter in spec.parameters.items() if not parameter.frozen}
    wanted = {key: p[key].grad.numpy() for key in gradients}
    # What batch norm cancels has the gradient zero: both sides are rounding there, so a norm has a floor.
    floor = 1e-6 * max(np.linalg.norm(value) for value in wanted.values())
    for key, value in gradients.items():
        assert value.shape == wanted[key].shape
        assert np.linalg.norm(value - wanted[key]) <= 1e-9 * max(np.linalg.norm(wanted[key]), floor), key


def compare_running_statistics(case: Case, target: str) -> None:
    """The states that a step of training leaves, and the loss of the evaluation that reads them. The step leaves the
    parameters as they are."""
    spec, rng = case.spec(), np.random.default_rng(6)
    model, data = compiled(spec, target, rng), inputs(spec, rng)
    given = {k: torch.tensor(v) for k, v in data.items()}
    p = in_torch(model)
    with torch.no_grad():
        for _ in range(2):
            case.loss(p, given)
        model.fit(**data, epochs=2, batch=M, optimizer="GradientDescent(lr = 1e-30)")
        assert model.state
        for key, value in model.state.items():
            np.testing.assert_allclose(value, p[key].numpy(), rtol=1e-9, atol=1e-12, err_msg=key)
        p.training = False
        expected = case.loss(p, given).item()
    assert abs(model.evaluate(**data)["loss"] - expected) <= 1e-9 * abs(expected)
