"""Lengths as users give them, run-time sizes of arrays, and what folds examples of different lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from padded import compiled, synthetic

import dlc
from dlc.runtime.gradcheck import GREAT, gradcheck
from dlc.runtime.metrics import measure

LENGTHS = [2, 6, 1, 4]
WITHIN = np.arange(6)[None, :] < np.array(LENGTHS)[:, None]

STEPS = """
model Net:
    dim T <= 9
    input  x : (3, m, T)
    target y : (2, m, T)
    h     = x -> Dense(4, tanh)
    y_hat = h -> RNN(3) -> Dense(2)
    loss   squared_error(y_hat, y)
    metric error   = (y_hat - y)^2
    metric share   = sum(y_hat > 0, over = all) / sum(abs(y), over = all)
    metric typical = mean(abs(y_hat), over = (m, T))
    output y_hat
"""


def refused(code: str, call: Any, *parts: str) -> None:
    with pytest.raises(dlc.DataError) as caught:
        call()
    (found,) = caught.value.diagnostics
    assert found.code == code
    for part in parts:
        assert part in found.message


def test_metrics_are_means_over_the_steps_that_count(tmp_path: Path) -> None:
    model = compiled(STEPS, tmp_path)
    given = synthetic(model, 4, {"T": 6})
    lengths = {"T": LENGTHS}
    y_hat = model.forward(x=given["x"], lengths=lengths)["y_hat"][:, WITHIN]
    y = given["y"][:, WITHIN]
    wanted = {
        "error": np.mean((y_hat - y) ** 2),
        "share": np.sum(y_hat > 0) / np.sum(np.abs(y)),
        "typical": np.mean(np.mean(np.abs(y_hat), axis=1)),
    }
    found = model.evaluate(**given, lengths=lengths)
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-12)
    assert found["loss"] == pytest.approx(model.loss(**given, lengths=lengths), rel=1e-12)


def test_metrics_do_not_depend_on_the_batches(tmp_path: Path) -> None:
    model = compiled(STEPS, tmp_path)
    given = synthetic(model, 4, {"T": 6})
    inputs = model._arrays(given, True, {"T": LENGTHS})
    work = model.main
    whole, parts = (measure(work.engine, work.checked, work.programs, inputs, size) for size in (4, 3))
    assert parts == pytest.approx(whole, rel=1e-12)


def test_batch_statistics_skip_the_padding(tmp_path: Path) -> None:
    text = """
model Net:
    dim T
    input  x : (3, m, T)
    target y : (3, m, T)
    state  mu : (3, 1, 1) ~ zeros
    when training:
        mean_x = mean(x, over = (m, T))
        var_x  = mean((x - mean_x)^2, over = (m, T))
        mu    := mean_x
        z = (x - mean_x) / sqrt(var_x + 1)
    otherwise:
        z = x - mu
    y_hat = z -> Dense(3)
    loss squared_error(y_hat, y)
    output y_hat
train:
    optimizer = GradientDescent(lr = 1e-30)
    batch     = all
    epochs    = 1
"""
    model = compiled(text, tmp_path)
    given = synthetic(model, 4, {"T": 6})
    model.fit(**given, lengths={"T": LENGTHS})
    counted = given["x"][:, WITHIN]
    np.testing.assert_allclose(model.state["mu"].ravel(), counted.mean(axis=1), rtol=1e-12)
    z = (given["x"] - counted.mean(axis=1)[:, None, None]) / np.sqrt(counted.var(axis=1) + 1)[:, None, None]
    W, b = model.params["dense[1].W"], model.params["dense[1].b"]
    error = np.tensordot(W, z, 1) + b[:, :, None] - given["y"]
    assert model.loss(**given, lengths={"T": LENGTHS}) == pytest.approx(
        np.sum(error[:, WITHIN] ** 2) / 2 / 4, rel=1e-12
    )


def test_examples_that_have_ended_do_not_count_in_a_step(tmp_path: Path) -> None:
    text = """
model Net:
    dim T
    input  x : (2, m, T)
    target y : (2, m)
    s<0> : (2, m) = 0
    scan t in 1..T:
        when training:
            s<t> = s<t-1> + x<t> - mean(x<t>, over = m)
        otherwise:
            s<t> = s<t-1> + x<t>
    loss squared_error(s<T>, y)
    output x
"""
    model = compiled(text, tmp_path)
    given = synthetic(model, 4, {"T": 6})
    counted = np.where(WITHIN, given["x"], 0)
    means = counted.sum(axis=1, keepdims=True) / WITHIN.sum(axis=0)
    last = np.sum(np.where(WITHIN, given["x"] - means, 0), axis=2)
    wanted = np.sum((last - given["y"]) ** 2) / 2 / 4
    assert model.loss(**given, lengths={"T": LENGTHS}) == pytest.approx(wanted, rel=1e-12)


def test_gradcheck_of_a_padded_batch(tmp_path: Path) -> None:
    model = compiled(STEPS, tmp_path)
    found = list(gradcheck(model.engine, dict(model.spec.inputs), list(model.params), 1, 20))
    assert [each.name for each in found] == list(model.params)
    assert max(each.error for each in found) < GREAT


def test_what_stands_in_the_padding_is_not_read(tmp_path: Path) -> None:
    model = compiled(STEPS, tmp_path)
    x = synthetic(model, 4, {"T": 6})["x"]
    wanted = model.forward(x=x, lengths={"T": LENGTHS})["y_hat"]
    x[:, ~WITHIN] = np.nan
    np.testing.assert_array_equal(model.forward(x=x, lengths={"T": LENGTHS})["y_hat"], wanted)


def test_missing_lengths_are_full(tmp_path: Path) -> None:
    model = compiled(STEPS, tmp_path)
    given = synthetic(model, 4, {"T": 6})
    assert model.loss(**given) == model.loss(**given, lengths={"T": [6, 6, 6, 6]})


def test_lengths_are_checked(tmp_path: Path) -> None:
    model = compiled(STEPS, tmp_path)
    x = synthetic(model, 4, {"T": 6})["x"]
    for lengths, part in (
        ({"T": [2, 6, 1]}, "there are 4 examples, and 3 lengths of T"),
        ({"T": [2, 7, 1, 4]}, "the length of example 1 is 7, and x has T = 6"),
        ({"T": [0, 6, 1, 4]}, "the length of example 0 is 0"),
        ({"T": [2.5, 6, 1, 4]}, "one whole number for each example"),
        ({"S": [2, 6, 1, 4]}, "no input has its own S"),
    ):
        refused("V510", lambda lengths=lengths: model.forward(x=x, lengths=lengths), part)


def test_arrays_agree_on_a_runtime_dimension(tmp_path: Path) -> None:
    model = compiled(STEPS, tmp_path)
    given = synthetic(model, 4, {"T": 6})
    refused("V509", lambda: model.loss(x=given["x"], y=given["y"][:, :, :5]), "x has T = 6, y has 5")
    long = synthetic(model, 4, {"T": 10})
    refused("V509", lambda: model.loss(**long), "x has T = 10", "dim T <= 9")


def test_a_computed_axis_of_an_input(tmp_path: Path) -> None:
    text = """
model Net:
    dim T
    input a : (2 * T + 1, m)
    input b : (T, m)
    output s = sum(a, over = first) + sum(b, over = first)
"""
    model = compiled(text, tmp_path)
    a, b = np.arange(14.0).reshape(7, 2), np.ones((3, 2))
    wanted = [a[:5, 0].sum() + 2, a[:, 1].sum() + 3]
    np.testing.assert_allclose(model.forward(a=a, b=b, lengths={"T": [2, 3]})["s"][0], wanted)
    refused("V509", lambda: model.forward(a=a, b=np.ones((2, 2))), "b has T = 2, so a needs 2*T + 1 = 5, not 7")


def test_what_the_model_requires_of_its_dimensions(tmp_path: Path) -> None:
    text = """
model Net:
    dim T
    require T >= 3
    input x : (3, m, T)
    output third = x<3>
"""
    model = compiled(text, tmp_path)
    x = np.arange(24.0).reshape(3, 2, 4)
    np.testing.assert_array_equal(model.forward(x=x)["third"], x[:, :, 2])
    refused("V511", lambda: model.forward(x=x[:, :, :2]), "the model needs T >= 3, and the data has T = 2")
    refused("V511", lambda: model.forward(x=x, lengths={"T": [4, 2]}), "T = 2 in example 1")


def test_a_dimension_without_examples_is_a_plain_size(tmp_path: Path) -> None:
    text = """
model Net:
    dim V
    input E : (2, V)
    input x : (3, m)
    output y = (x -> Dense(2)) * (sum(E, over = V) / V)
"""
    model = compiled(text, tmp_path)
    E, x = np.arange(8.0).reshape(2, 4), np.ones((3, 5))
    W = model.params["dense[1].W"]
    b = model.params["dense[1].b"]
    np.testing.assert_allclose(model.forward(E=E, x=x)["y"], (W @ x + b) * E.mean(axis=1, keepdims=True))


def test_training_with_lengths(tmp_path: Path) -> None:
    model = compiled(STEPS + "train:\n    batch = 3\n    epochs = 30\n    optimizer = Adam(lr = 0.05)\n", tmp_path)
    given = synthetic(model, 4, {"T": 6})
    before = model.loss(**given, lengths={"T": LENGTHS})
    model.fit(**given, lengths={"T": LENGTHS})
    assert model.loss(**given, lengths={"T": LENGTHS}) < before / 2


def test_a_step_draws_anew(tmp_path: Path) -> None:
    text = """
model Net:
    dim T
    input x : (1, m, T)
    state kept : (1, 1, 1) ~ zeros
    param w : (1, 1, 1) ~ zeros
    scan t in 1..T:
        when training:
            D : (1, m) ~ bernoulli(0.5)
            d<t> = D * x<t>
        otherwise:
            d<t> = x<t>
    when training:
        kept := sum(d, over = all)
    loss drop(sum(w^2 * d, over = first), over = first)
    output x
train:
    optimizer = GradientDescent(lr = 1e-30)
    batch     = all
    epochs    = 1
"""
    model = compiled(text, tmp_path)
    model.fit(x=np.ones((1, 1, 400)))
    assert 150 < model.state["kept"][0, 0, 0] < 250
