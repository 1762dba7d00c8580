"""Whole trainings through the Python API, held against NumPy and against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained_models import SOFTMAX, clouds, numpy_step, spec

import dlc
from dlc.runtime.engine import Target
from dlc.runtime.train import example_order

TARGETS: list[Target] = ["native", "plain", "reference"]


def values(model: dlc.Model) -> dict[str, Any]:
    return {name: np.array(array, np.float64) for name, array in model.params.items()}


@pytest.mark.parametrize("target", TARGETS)
def test_gradient_descent_is_the_course_s(tmp_path: Path, target: Target) -> None:
    """Three epochs, the last batch smaller, step by step in NumPy."""
    model = spec(tmp_path).compile(dtype="float64", seed=4, target=target)
    x, y = clouds(50)
    p = values(model)
    losses = []
    for epoch in (1, 2, 3):
        order, total = example_order(50, 4, epoch, True), 0.0
        for start in range(0, 50, 16):
            rows = order[start : start + 16]
            loss, grads = numpy_step(p, x[:, rows].astype(np.float64), y[rows])
            total += loss * len(rows)
            p = {name: value - 0.5 * grads[name] for name, value in p.items()}
        losses.append(total / 50)
    history = model.fit(X=x, Y=y)
    assert np.allclose(history["train.loss"], losses, rtol=1e-12)
    for name, value in p.items():
        assert np.allclose(model.params[name], value, rtol=1e-10, atol=1e-13), name


def test_adam_takes_t_from_one(tmp_path: Path) -> None:
    model = spec(tmp_path).compile(dtype="float64", target="reference")
    x, y = clouds(16)
    w, v, s = values(model)["W[1]"], 0.0, 0.0
    for t in range(1, 4):
        _, grads = numpy_step(values(model), x.astype(np.float64), y)
        v = 0.9 * v + 0.1 * grads["W[1]"]
        s = 0.999 * s + 0.001 * grads["W[1]"] ** 2
        w = w - 0.01 * (v / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
        model.fit(X=x, Y=y, epochs=1, batch="all", optimizer="Adam(lr = 0.01)")
        assert np.allclose(model.params["W[1]"], w, rtol=1e-12)


def test_one_fit_is_as_good_as_several(tmp_path: Path) -> None:
    net = spec(tmp_path, SOFTMAX.replace("GradientDescent(lr = 0.5)", "Adam(lr = inverse_decay(0.1, rate = 1))"))
    x, y = clouds()
    one, several = net.compile(), net.compile()
    one.fit(X=x, Y=y, epochs=4)
    for _ in range(4):
        several.fit(X=x, Y=y, epochs=1)
    assert all((one.params[name] == several.params[name]).all() for name in one.params)


@pytest.mark.parametrize("target", TARGETS)
def test_training_is_the_same_on_every_number_of_threads(tmp_path: Path, target: Target) -> None:
    net, (x, y) = spec(tmp_path, n=[4, 40, 3]), clouds(200)
    models = [net.compile(threads=threads, target=target) for threads in (1, 2, 3)]
    for model in models:
        model.fit(X=x, Y=y, epochs=3)
    for name, array in models[0].params.items():
        assert all((array == other.params[name]).all() for other in models[1:])


def test_dropout_draws_the_same_in_generated_and_in_reference_code(tmp_path: Path) -> None:
    net = spec(tmp_path, SOFTMAX.replace("tanh(W[1] @ X + b[1])", "tanh(W[1] @ X + b[1]) -> Dropout(0.5)"))
    x, y = clouds()
    models = [net.compile(dtype="float64", target=target) for target in TARGETS]
    for model in models:
        model.fit(X=x, Y=y, epochs=2)
    for name, array in models[0].params.items():
        assert np.allclose(array, models[1].params[name], rtol=1e-9, atol=1e-12)
        assert np.allclose(array, models[2].params[name], rtol=1e-9, atol=1e-12)


def test_the_loss_leaves_regularization_out_and_the_cost_has_it(tmp_path: Path) -> None:
    net = spec(tmp_path, SOFTMAX + "    regularize = l2(0.3)\n")
    x, y = clouds(16)
    model = net.compile(dtype="float64")
    p = values(model)
    loss, grads = numpy_step(p, x.astype(np.float64), y)
    penalty = 0.3 / (2 * 16) * sum((p[name] ** 2).sum() for name in ("W[1]", "W[2]"))
    found, plain = model.loss_and_grads(X=x, Y=y)
    cost, regularized = model.loss_and_grads(X=x, Y=y, regularized=True)
    assert np.allclose([found, model.loss(X=x, Y=y), cost], [loss, loss, loss + penalty], rtol=1e-12)
    assert np.allclose(plain["W[1]"], grads["W[1]"], rtol=1e-9)
    assert np.allclose(regularized["W[1]"], grads["W[1]"] + 0.3 / 16 * p["W[1]"], rtol=1e-9)
    assert np.allclose(regularized["b[1]"], grads["b[1]"], rtol=1e-9)
    history = model.fit(X=x, Y=y, epochs=1, batch="all")
    assert np.allclose([history["train.loss"][0], history["train.cost"][0]], [loss, loss + penalty], rtol=1e-12)


def test_a_model_without_inputs_goes_down_its_own_slope(tmp_path: Path) -> None:
    text = "model J:\n    param a, b, c : () ~ constant(2)\n    loss 3 * (a + b * c)\n"
    model = spec(tmp_path, text).compile(dtype="float64")
    assert model.loss() == 18.0
    loss, grads = model.loss_and_grads()
    assert (loss, {name: float(value) for name, value in grads.items()}) == (18.0, {"a": 3.0, "b": 6.0, "c": 6.0})
    history = model.fit(epochs=2, optimizer="GradientDescent(lr = 0.1)")
    a, b = 2 - 2 * 0.3, 2 - 0.1 * 6
    b -= 0.1 * 3 * b
    assert np.allclose([float(value) for value in model.params.values()], [a, b, b])
    assert np.allclose(history["train.loss"], [18.0, 3 * (1.7 + 1.4**2)])


# --- the best epoch, and the end -------------------------------------------------------------------------------


CONSTANT = """
model Net:
    dim T
    input  c : (T, 3)
    input  X : (3, m)
    target Y : (1, m)
    param w : (1, 1) ~ constant(0.5)
    Y_hat = sum(w * (c @ X), over = first)
    loss   squared_error(Y_hat, Y)
    output Y_hat

train:
    optimizer = GradientDescent(lr = 0.1)
    batch     = 4
    epochs    = 2
"""


@pytest.mark.parametrize("target", TARGETS)
def test_all_batches_read_a_constant_of_the_data_set(tmp_path: Path, target: Target) -> None:
    model = spec(tmp_path, CONSTANT).compile(dtype="float64", seed=4, target=target)
    rng = np.random.default_rng(3)
    c, x, y = rng.standard_normal((5, 3)), rng.standard_normal((3, 10)), rng.standard_normal((1, 10))
    s, w = (c @ x).sum(axis=0), 0.5
    for epoch in (1, 2):
        order = example_order(10, 4, epoch, True)
        for rows in (order[:4], order[4:8], order[8:]):
            w -= 0.1 * np.mean((w * s[rows] - y[0, rows]) * s[rows])
    model.fit(c=c, X=x, Y=y)
    assert np.allclose(model.params["w"], w, rtol=1e-12)


def test_a_model_without_examples_is_trained_on_its_constants(tmp_path: Path) -> None:
    text = CONSTANT.replace("(3, m)", "(3, 1)").replace("(1, m)", "(1, 1)")
    model = spec(tmp_path, text).compile(dtype="float64")
    model.fit(c=np.ones((2, 3)), X=np.ones((3, 1)), Y=np.array([[12.0]]))
    assert np.allclose(model.params["w"], 0.5 + 0.1 * (12 - 3) * 6 + 0.1 * (12 - 6 * 5.9) * 6, rtol=1e-12)


def test_early_stopping_gives_the_best_epoch_back(tmp_path: Path) -> None:
    """A learning rate that overshoots: the dev loss falls, then rises for good."""
    net = spec(tmp_path, SOFTMAX.replace("lr = 0.5", "lr = 8"))
    x, y = clouds(64)
    dev_x, dev_y = clouds(300)
    model = net.compile(dtype="float64")
    dev = {"X": dev_x, "Y": dev_y}
    history = model.fit(X=x, Y=y, dev=dev, epochs=60, early_stop="patience(4, on = dev.loss)")
    curve = history["dev.loss"]
    best = int(np.argmin(curve))
    assert history.end == "stopped early"
    assert len(curve) == best + 1 + 4
    assert model.evaluate(**dev)["loss"] == curve[best]
    assert [record.improved for record in history.epochs] == [
        loss == min(curve[: i + 1]) for i, loss in enumerate(curve)
    ]


def test_the_best_accuracy_is_the_greatest(tmp_path: Path) -> None:
    net, (x, y) = spec(tmp_path), clouds()
    model = net.compile()
    history = model.fit(X=x, Y=y, dev={"X": x, "Y": y}, epochs=30, early_stop="patience(3, on = dev.accuracy)")
    curve = history["dev.accuracy"]
    assert model.evaluate(X=x, Y=y)["accuracy"] == max(curve)


def test_a_divergence_leaves_the_last_good_parameters(tmp_path: Path) -> None:
    text = (
        "model Line:\n    input X : (2, m)\n    target Y : (1, m)\n    Y_hat = X -> Dense(1)\n"
        "    loss squared_error(Y_hat, Y)\n    output Y_hat\ntrain:\n    batch = all\n"
        "    optimizer = GradientDescent(lr = 1e4)\n"
    )
    model = spec(tmp_path, text).compile()
    x = np.ones((2, 8), np.float32)
    with pytest.raises(dlc.SpecError, match="training diverged in epoch") as caught:
        model.fit(X=x, Y=np.ones((1, 8)), epochs=100)
    assert caught.value.diagnostics[0].code == "R604"
    assert all(np.isfinite(array).all() for array in model.params.values())
    assert 0 < model.progress.epoch < 100


def test_steps_end_within_an_epoch(tmp_path: Path) -> None:
    model = spec(tmp_path).compile()
    x, y = clouds(50)
    history = model.fit(X=x, Y=y, steps=6)
    assert (history.progress.step, len(history.epochs)) == (6, 2)


def test_an_interrupt_between_batches_changes_nothing(tmp_path: Path) -> None:
    """Stopped after every group of batches and gone on, the bits are those of the whole training."""
    net, (x, y) = spec(tmp_path), clouds(64)
    whole, pieces = net.compile(), net.compile()
    whole.fit(X=x, Y=y, epochs=3)
    inputs = {"X": np.ascontiguousarray(x.T), "Y": y}
    import dlc.runtime.train as loop

    def stop_again(progress: object, of: int) -> None:
        training.stop_requested = True

    class Impatient(loop.Nobody):
        on_batches = staticmethod(stop_again)  # type: ignore[assignment]

    for _ in range(3 * 4 + 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "CALL_FLOPS", 1.0)
            with pieces.training(inputs, None, net.train, Impatient(), more=False) as training:
                training.run()
    assert pieces.progress.epoch == 3
    assert all((whole.params[name] == pieces.params[name]).all() for name in whole.params)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    order = example_order(1000, 7, 3, True)
    assert sorted(order.tolist()) == list(range(1000))
    assert (order == example_order(1000, 7, 3, True)).all()
    assert (order != example_order(1000, 7, 4, True)).any()
    assert (order != example_order(1000, 8, 3, True)).any()
    assert example_order(5, 1, 1, False).tolist() == [0, 1, 2, 3, 4]
