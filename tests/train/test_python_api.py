"""The Python API as the interface has it."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from trained_models import SOFTMAX, clouds, numpy_step, spec

import dlc


def test_checking_imports_neither_numpy_nor_numba(tmp_path: Path) -> None:
    (tmp_path / "net.dl").write_text(SOFTMAX)
    program = (
        "import sys, dlc\nassert dlc.check('net.dl') == []\nspec = dlc.load('net.dl', n=[4, 8, 3])\n"
        "assert spec.parameters['W[2]'].shape == (3, 8)\n"
        "assert not {'numpy', 'numba', 'click', 'rich'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


def test_what_a_spec_knows_without_compiling(tmp_path: Path) -> None:
    net = spec(tmp_path)
    assert net.name == "Net"
    assert (net.shapes["A[1]"], str(net.shapes["A[1]"])) == ((6, "m"), "(6, m)")
    assert (net.parameters["W[2]"].shape, net.parameters["W[2]"].count) == ((3, 6), 18)
    assert not net.parameters["W[2]"].frozen


def test_a_wrong_spec_raises_its_diagnostics(tmp_path: Path) -> None:
    with pytest.raises(dlc.SpecError) as caught:
        spec(tmp_path, SOFTMAX.replace("(n[1], n[0])", "(n[0], n[1])"))
    assert [d.severity for d in caught.value.diagnostics] == ["error"]
    assert f"--> {tmp_path / 'net.dl'}:" in str(caught.value)
    assert "1 error" in str(caught.value)
    assert {d.severity for d in dlc.check(tmp_path / "net.dl")} == {"error"}


def test_hypers_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(dlc.SpecError, match=r"no hyper called k"):
        spec(tmp_path, k=3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_hypers_are_finite(tmp_path: Path, value: float) -> None:
    path = tmp_path / "net.dl"
    path.write_text(
        "model Net(rate = 0.1):\n    input X : (2, m)\n    output Y = X\ntrain:\n    optimizer = Adam(lr = rate)\n"
    )
    with pytest.raises(dlc.SpecError, match=f"rate is {value}, and a hyper is finite"):
        dlc.load(path, rate=value)


def test_parameters_are_ordered_writable_and_in_the_declared_shape(tmp_path: Path) -> None:
    model = spec(tmp_path).compile()
    assert list(model.params) == ["W[1]", "b[1]", "W[2]", "b[2]"]
    assert [array.shape for array in model.params.values()] == [(6, 4), (6, 1), (3, 6), (3, 1)]
    x, _ = clouds()
    model.params["W[2]"][...] = 0
    model.params["b[2]"] = np.log([[1.0], [2.0], [5.0]])
    assert np.allclose(model.forward(X=x)["Y_hat"], np.array([[1], [2], [5]]) / 8, atol=1e-6)
    with pytest.raises(KeyError, match=r"did you mean 'W\[1\]'"):
        model.params["w[1]"]
    with pytest.raises(ValueError, match="shape"):
        model.params["b[2]"] = np.zeros(3)


def test_frozen_parameters_are_there_and_stay(tmp_path: Path) -> None:
    model = spec(tmp_path, SOFTMAX.replace("    param W[1]", "    frozen param W[1]")).compile()
    before = model.params["W[1]"].copy()
    x, y = clouds()
    assert "W[1]" not in model.loss_and_grads(X=x, Y=y)[1]
    model.fit(X=x, Y=y, epochs=2)
    assert (model.params["W[1]"] == before).all()


def test_first_values_depend_on_seed_and_name_alone(tmp_path: Path) -> None:
    net = spec(tmp_path)
    first = net.compile(seed=3)
    assert (net.compile(seed=3, threads=2).params["W[1]"] == first.params["W[1]"]).all()
    assert (net.compile(seed=4).params["W[1]"] != first.params["W[1]"]).any()
    fewer = spec(tmp_path, SOFTMAX.replace("    param b[1] : (n[1], 1)    ~ zeros\n", "").replace(" + b[1]", ""))
    assert (fewer.compile(seed=3).params["W[2]"] == first.params["W[2]"]).all()
    wide = net.compile(seed=3, dtype="float64").params["W[1]"]
    assert (wide.astype(np.float32) == first.params["W[1]"]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", ["native", "plain", "reference"])
def test_loss_and_gradients_are_the_course_s(tmp_path: Path, dtype: str, target: str) -> None:
    model = spec(tmp_path).compile(dtype=dtype, target=target)  # type: ignore[arg-type]
    x, y = clouds(37)
    loss, grads = numpy_step({n: np.array(a, np.float64) for n, a in model.params.items()}, x.astype(np.float64), y)
    close = 1e-11 if dtype == "float64" else 1e-5
    found, mine = model.loss_and_grads(X=x, Y=y)
    assert found == pytest.approx(loss, rel=close)
    assert model.loss(X=x, Y=y) == pytest.approx(loss, rel=close)
    for name, grad in grads.items():
        assert mine[name].shape == grad.shape
        assert np.linalg.norm(mine[name] - grad) <= close * np.linalg.norm(grad), name


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 100])
def test_any_number_of_examples(tmp_path: Path, count: int) -> None:
    net, (x, _) = spec(tmp_path), clouds(100)
    whole = net.compile(dtype="float64").forward(X=x)["Y_hat"]
    part = net.compile(dtype="float64").forward(X=x[:, :count])["Y_hat"]
    assert part.shape == (3, count)
    assert np.allclose(part, whole[:, :count], rtol=1e-12)


def test_prediction_asks_only_for_what_it_reads(tmp_path: Path) -> None:
    model = spec(tmp_path).compile()
    x, y = clouds()
    assert (model.forward(X=x, Y=y)["Y_hat"] == model.forward(X=x)["Y_hat"]).all()
    with pytest.raises(dlc.DataError, match="the input X is missing"):
        model.forward()
    with pytest.raises(dlc.DataError, match="the target Y is missing"):
        model.loss(X=x)


def test_arrays_turned_round_are_told_how_to_turn(tmp_path: Path) -> None:
    model = spec(tmp_path).compile()
    x, _ = clouds()
    with pytest.raises(ValueError, match=r"pass X\.T"):
        model.forward(X=x.T)
    x[2, 3] = np.nan
    with pytest.raises(ValueError, match=r"X\[2, 3\] is nan"):
        model.forward(X=x)


def test_lengths_need_a_run_time_dimension(tmp_path: Path) -> None:
    x, _ = clouds()
    with pytest.raises(dlc.DataError, match="no input has its own T"):
        spec(tmp_path).compile().forward(X=x, lengths={"T": [1]})


def test_one_hot_targets_may_be_classes_columns_or_soft(tmp_path: Path) -> None:
    model = spec(tmp_path).compile(dtype="float64")
    x, y = clouds()
    columns = np.eye(3)[y].T
    soft = 0.7 * columns + 0.1
    assert model.loss(X=x, Y=columns) == model.loss(X=x, Y=y)
    expected = -(soft * np.log(model.forward(X=x)["Y_hat"])).sum(axis=0).mean()
    assert model.loss(X=x, Y=soft) == pytest.approx(expected, rel=1e-12)
    before = model.params["W[1]"].copy()
    model.fit(X=x, Y=soft, epochs=1)
    assert (model.params["W[1]"] != before).any()
    assert model.loss(X=x, Y=soft) < expected


def test_fit_knows_its_arguments(tmp_path: Path) -> None:
    model = spec(tmp_path).compile()
    x, y = clouds()
    with pytest.raises(dlc.SpecError, match="did you mean epochs"):
        model.fit(X=x, Y=y, epoch=3)
    with pytest.raises(dlc.SpecError, match="did you mean Adam"):
        model.fit(X=x, Y=y, optimizer="Adamm(lr = 1)")
    with pytest.raises(dlc.SpecError, match="batch must be"):
        model.fit(X=x, Y=y, batch=0)
    with pytest.raises(dlc.SpecError, match="no data: block"):
        model.fit()


def test_a_saved_model_opens_again_and_goes_on(tmp_path: Path) -> None:
    net, (x, y) = spec(tmp_path, n=[4, 8, 3]), clouds()
    model = net.compile()
    model.fit(X=x, Y=y, epochs=2, optimizer="Adam(lr = 0.01)")
    model.save(tmp_path / "run")
    again = dlc.open(tmp_path / "run")
    assert again.spec.checked.hypers["n"].value == [4, 8, 3]
    assert all((model.params[name] == again.params[name]).all() for name in model.params)
    assert (model.forward(X=x)["Y_hat"] == again.forward(X=x)["Y_hat"]).all()


def test_an_optimizer_s_state_is_saved(tmp_path: Path) -> None:
    net = spec(tmp_path, SOFTMAX.replace("GradientDescent(lr = 0.5)", "Adam(lr = 0.01)"))
    x, y = clouds()
    model, whole = net.compile(), net.compile()
    whole.fit(X=x, Y=y, epochs=4)
    model.fit(X=x, Y=y, epochs=2)
    model.save(tmp_path / "run")
    again = dlc.open(tmp_path / "run")
    again.fit(X=x, Y=y, epochs=2)
    assert all((whole.params[name] == again.params[name]).all() for name in whole.params)


def test_a_model_is_not_saved_among_other_files(tmp_path: Path) -> None:
    model = spec(tmp_path).compile()
    with pytest.raises(dlc.SpecError, match="holds other files"):
        model.save(tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_prediction_is_called_from_other_numba_code(tmp_path: Path, dtype: str) -> None:
    from numba import njit

    model = spec(tmp_path).compile(dtype=dtype)
    predict = model.predict_jit

    @njit
    def most_likely(params, x):  # type: ignore[no-untyped-def]
        y = predict(params, x)
        return [y[:, i].argmax() for i in range(y.shape[1])]

    x, _ = clouds(21)
    params = tuple(model.params.values())
    expected = model.forward(X=x)["Y_hat"]
    assert (predict(params, x) == expected).all()
    assert most_likely(params, x) == expected.argmax(axis=0).tolist()
    changed = tuple(np.zeros_like(array) for array in params)
    assert np.allclose(predict(changed, x), 1 / 3)
    assert (model.forward(X=x)["Y_hat"] == expected).all()


READER = """
model Reader(V = 5, n_a = 3):
    dim T_x
    dim T_y
    input  x : (m, T_x) index(V)
    target y : (V, m, T_y) one_hot
    a = one_hot(x) -> RNN(n_a)
    y_hat = (shift(y) -> Dense(n_a)) + mean(a, over = T_x) -> RNN(n_a) -> Dense(V, softmax)
    loss   cross_entropy(y_hat, y)
    output s = generate(y, from = y_hat, until = 0, max = 6, by = sample(temperature = 1))
    output last = a<T_x>
"""


def test_the_prediction_of_a_sequence_is_called_from_other_numba_code(tmp_path: Path) -> None:
    """All examples are as long as the array; what only a target has a size for is not asked for."""
    model = spec(tmp_path, READER).compile()
    for steps in (4, 7):
        x = np.random.default_rng(steps).integers(0, 5, (3, steps))
        expected = model.forward(x=x)
        s, last = model.predict_jit(tuple(model.params.values()), x)
        assert np.array_equal(s, expected["s"])
        assert np.array_equal(last, expected["last"])
