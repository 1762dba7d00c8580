"""Metrics of a whole split, whatever the batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.compiler.driver import check
from dlc.runtime.metrics import classified, confusion, measure, shown, target_of

REGRESSION = """\
model Net:
    input  X : (2, m)
    target Y : (1, m)
    Y_hat = X -> Dense(1)
    loss   squared_error(Y_hat, Y)
    metric R2(Y_hat, Y)
    metric worst = mean(abs(Y_hat - Y), over = m)
    output Y_hat
"""
BINARY = """\
model Net:
    input  X : (2, m)
    target Y : (1, m)
    P = X -> Dense(1, sigmoid)
    loss   binary_cross_entropy(P, Y)
    metric accuracy(P, Y)
    metric precision(P, Y)
    metric recall(P, Y)
    metric F1(P, Y)
    output P
"""


def compiled(folder: Path, text: str, target: str) -> dlc.Model:
    (folder / "net.dl").write_text(text)
    return dlc.load(folder / "net.dl").compile(dtype="float64", target=target)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["native", "reference"])
@pytest.mark.parametrize("size", [1, 7, 16, 100])
def test_sums_inside_sums_take_the_whole_split(tmp_path: Path, target: str, size: int) -> None:
    model = compiled(tmp_path, REGRESSION, target)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 53)), rng.standard_normal((1, 53))
    y_hat = model.params["dense[1].W"] @ x + model.params["dense[1].b"]
    inputs = {"X": np.ascontiguousarray(x.T), "Y": y.T.copy()}
    found = measure(model.engine, model.spec.checked, model.main.programs, inputs, size)
    assert found["R2"] == pytest.approx(1 - ((y - y_hat) ** 2).sum() / ((y - y.mean()) ** 2).sum(), rel=1e-10)
    assert found["loss"] == pytest.approx(((y - y_hat) ** 2).mean() / 2, rel=1e-10)
    assert found["worst"] == pytest.approx(np.abs(y - y_hat).mean(), rel=1e-10)


@pytest.mark.parametrize("target", ["native", "reference"])
def test_the_formula_is_applied_once_to_the_totals(tmp_path: Path, target: str) -> None:
    """F1 of a split is not the mean of the batches' F1."""
    model = compiled(tmp_path, BINARY, target)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 600))
    y = (rng.uniform(size=(1, 600)) < 0.3).astype(float)
    p = model.forward(X=x)["P"] > 0.5
    true, called, positive = (p * y).sum(), p.sum(), y.sum()
    found = model.evaluate(X=x, Y=y)
    assert found["accuracy"] == pytest.approx((p == (y > 0.5)).mean())
    assert found["precision"] == pytest.approx(true / called)
    assert found["recall"] == pytest.approx(true / positive)
    assert found["F1"] == pytest.approx(2 * true / (called + positive))


def test_confusion_counts_truth_by_prediction() -> None:
    truth, predicted = np.array([0, 0, 1, 2, 2, -1]), np.array([0, 1, 1, 0, 2, 2])
    assert confusion(truth, predicted, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0961538, "0.0962"), (0.0, "0.0000"), (1.23e-5, "1.230e-05"), (12345.6, "1.235e+04"), (float("nan"), "nan")],
)
def test_numbers_as_people_read_them(value: float, text: str) -> None:
    assert shown(value) == text


def test_an_output_goes_with_the_target_of_its_loss() -> None:
    """Two targets of one shape: the loss lines say which output predicts which, not the order of the declarations."""
    text = """
model Net:
    input  X : (5, m)
    target Y : (3, m)
    target D : (3, m) one_hot
    Y_hat = X -> Dense(3, sigmoid)
    D_hat = X -> Dense(3, softmax)
    loss binary_cross_entropy(Y_hat, Y)
    loss 0.5 * cross_entropy(D_hat, D)
    output Y_hat
    output D_hat
"""
    checked = check("net.dl", text=text).checked
    assert checked is not None
    assert target_of(checked, "Y_hat") == "Y"
    assert target_of(checked, "D_hat") == "D"
    assert classified(checked) == ("D", "D_hat")
