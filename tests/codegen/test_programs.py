"""Every program of many small networks gives the reference's numbers, by tiles and by plain loops."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nets
import numpy as np
import pytest
from against_reference import assert_equal_to_reference, fill, module

from dlc.runtime.native import Native

SIZES = (1, 2, 15, 16, 17, 33, 100)

NETS = {
    "relu-softmax": (lambda: nets.dense([20, 33, 17, 5]), nets.adam, 0.1),
    "logistic": (lambda: nets.dense([7, 1], last="sigmoid"), nets.sgd, 0.0),
    "one feature": (lambda: nets.dense([1, 16, 1], "tanh", "identity"), nets.momentum, 0.0),
    "narrow": (lambda: nets.dense([2, 3, 5, 1], "sigmoid", "sigmoid"), nets.sgd, 0.0),
    "dropout": (lambda: nets.dense([100, 130, 7, 3], dropout=0.3), nets.momentum, 0.0),
    "softmax regression": (lambda: nets.dense([70, 17]), nets.rmsprop, 0.2),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NETS)
def test_tiles_give_the_reference(name: str, dtype: str) -> None:
    model, optimizer, decay = NETS[name]
    programs = nets.programs(model(), optimizer, decay)
    native = Native(module(programs, dtype), threads=2)
    fill(native)
    for m in SIZES:
        for title in programs if dtype == "float64" else ("forward", "train"):
            assert_equal_to_reference(native, programs[title], title, m)


@pytest.mark.parametrize("name", ["relu-softmax", "logistic"])
def test_plain_loops_give_the_reference(name: str) -> None:
    model, optimizer, decay = NETS[name]
    programs = nets.programs(model(), optimizer, decay)
    native = Native(module(programs, "float64", "plain"))
    fill(native)
    for m in (1, 17, 33):
        assert_equal_to_reference(native, programs["train"], "train", m)


def test_any_number_of_examples_needs_no_second_compilation() -> None:
    programs = nets.programs(nets.dense([4, 3]))
    made = module(programs)
    native = Native(made)
    fill(native)
    assert_equal_to_reference(native, programs["forward"], "forward", 3)
    code = native.address("forward")
    assert_equal_to_reference(native, programs["forward"], "forward", 5000)
    assert native.address("forward") == code


@pytest.mark.parametrize("path", ["tile", "plain"])
def test_nan_is_not_lost(path: str) -> None:
    """max, min and their reductions give NaN where an operand is NaN, as NumPy's do: a diverged network must show."""
    import dlc

    text = """
model Net:
    input X : (3, m)
    A = X -> Dense(4, relu)
    output p = A -> Dense(1)
    output q = max(A, over = first)
    output r = min(max(X -> Dense(5), -1), 1)
"""
    folder = Path(tempfile.mkdtemp())
    (folder / "net.dl").write_text(text)
    model = dlc.load(folder / "net.dl").compile(target="native" if path == "tile" else "plain")
    model.params["dense[1].W"][0, 0] = np.nan
    model.params["dense[3].W"][0, 0] = np.nan
    outputs = model.forward(X=np.ones((3, 2)))
    assert np.isnan(outputs["p"]).all()
    assert np.isnan(outputs["q"]).all()
    assert np.isnan(outputs["r"][0]).all()
