"""Arrays of sequences, each of its own length: padded in the file, cut to the longest of each batch."""

from __future__ import annotations

import numpy as np
import pytest
from data_project import declare

from dlc.compiler.dims import Dim, Symbol
from dlc.compiler.dims.terms import floordiv
from dlc.compiler.program import M
from dlc.runtime.data.dataset import apply
from dlc.runtime.data.layout import LENGTHS

T = Symbol("T", "runtime")
BOUNDED = Symbol("T", "runtime", upper=4)
LINES = 'source = npz("a.npz")'
X = np.arange(30.0).reshape(2, 3, 5)
"""x : (2, m, T), three examples of five steps."""


def only(found):
    (diagnostic,) = found
    return diagnostic.code, diagnostic.message


@pytest.mark.parametrize(("lines", "x"), [(LINES, X), (f'{LINES}\nx = array("x").T', X.T)])
def test_lengths_stand_in_an_array_of_their_name(project, lines, x):
    made = project(lines, [declare("x", 2, M, T)], a={"x": x, "T": np.array([2, 4, 1])})
    assert made.headers() == []
    part = made.load(dtype="float64").splits["train"]
    column = part.arrays["x"]
    assert part.arrays[LENGTHS + "T"].tolist() == [2, 4, 1]
    assert column.shape == (3, 2, 4)
    np.testing.assert_array_equal(column[1], X[:, 1, :4])
    batch = column[np.array([2, 0])]
    assert batch.flags.c_contiguous
    np.testing.assert_array_equal(batch[1], X[:, 0, :2])
    np.testing.assert_array_equal(batch[0], X[:, 2, [0, 0]])


def test_without_lengths_all_are_as_long_as_the_array(project):
    arrays = project(LINES, [declare("x", 2, M, T)], a={"x": X}).load().splits["train"].arrays
    assert list(arrays) == ["x"]
    assert isinstance(arrays["x"], np.ndarray)
    assert arrays["x"].shape == (3, 2, 5)


def test_padding_is_not_read(project):
    """Neither NaN nor what is no class."""
    x, y = X.copy(), np.array([[0, 1, 1, -1, 9], [1, 0, 1, 0, -1], [1, 9, 9, 9, 9]])
    x[:, 2, 1:] = np.nan
    inputs = [declare("x", 2, M, T), declare("y", 2, M, T, role="target", one_hot=True)]
    part = project(LINES, inputs, a={"x": x, "y": y, "T": [3, 4, 1]}).load().splits["train"]
    assert np.isfinite(part.arrays["x"][:]).all()
    assert part.arrays["y"][:].tolist() == [[0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1]]
    assert part.declared()["y"].shape == (3, 4)


def test_one_hot_columns_in_the_file(project):
    y = np.eye(3)[[[0, 2], [1, 1]]].transpose(2, 0, 1)
    inputs = [declare("y", 3, M, T, role="target", one_hot=True)]
    arrays = project(LINES, inputs, a={"y": y, "T": [2, 1]}).load().splits["train"].arrays
    assert arrays["y"][:].tolist() == [[0, 2], [1, 1]]
    assert arrays["y"][np.array([1])].tolist() == [[1]]


def test_a_computed_number_of_steps(project):
    """T_y = floor((T - 2) / 2) + 1, as behind a convolution."""
    steps = floordiv(Dim.symbol(T) - 2, Dim.of(2)) + 1
    inputs = [declare("x", 2, M, T), declare("y", 1, M, steps, role="target")]
    data = {"x": np.arange(48.0).reshape(2, 3, 8), "y": np.arange(12.0).reshape(1, 3, 4), "T": [5, 2, 6]}
    arrays = project(LINES, inputs, a=data).load(dtype="float64").splits["train"].arrays
    assert arrays["x"].shape == (3, 2, 6)
    assert arrays["y"].shape == (3, 1, 3)
    assert arrays["y"][np.array([1, 0])].tolist() == [[[4, 4]], [[0, 1]]]


def test_files_of_other_sizes(project):
    lines = 'train = npz("a.npz")\ntest = npz("b.npz")'
    made = project(lines, [declare("x", 2, M, T)], a={"x": X, "T": [2, 5, 1]}, b={"x": X[:, :2, :3]})
    splits = made.load(dtype="float64").splits
    assert splits["train"].lengths["T"].tolist() == [2, 5, 1]
    assert splits["test"].lengths == {}
    np.testing.assert_array_equal(splits["test"].arrays["x"], X[:, :2, :3].transpose(1, 0, 2))


def test_new_files(project):
    made = project(LINES, [declare("x", 2, M, T)], a={"x": X, "T": [2, 5, 1]})
    fitted = made.load().preprocessing
    np.savez(made.folder / "new.npz", x=np.arange(24.0).reshape(2, 2, 6), T=[6, 2])
    part = apply(fitted, made.folder / "new.npz", made.inputs, False, "float64")
    assert part.lengths["T"].tolist() == [6, 2]
    np.testing.assert_array_equal(part.arrays["x"][1], [[6, 7], [18, 19]])


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([2, 4], 'array "T" of a.npz is (2) of type <i8: it must hold the T of each of the 3 examples, whole numbers'),
        (
            [2.0, 4.0, 1.0],
            'array "T" of a.npz is (3) of type <f8: it must hold the T of each of the 3 examples, whole numbers',
        ),
    ],
)
def test_an_array_that_holds_no_lengths(project, lengths, message):
    found = project(LINES, [declare("x", 2, M, T)], a={"x": X, "T": np.array(lengths)}).headers()
    assert only(found) == ("T404", message)


def test_lengths_that_cannot_be(project):
    made = project(LINES, [declare("x", 2, M, T)], a={"x": X, "T": [2, 6, 1]})
    assert only(made.refused()) == ("V510", "a.npz: the length of example 1 is 6, and x has T = 5")


def test_arrays_that_disagree(project):
    inputs = [declare("x", 2, M, T), declare("y", M, T, role="target")]
    found = project(LINES, inputs, a={"x": X, "y": np.zeros((3, 4))}).refused()
    assert only(found) == ("V509", "a.npz: x and y must have the same T: x has T = 5, y has 4")


def test_a_bound(project):
    found = project(LINES, [declare("x", 2, M, BOUNDED)], a={"x": X}).refused()
    assert only(found) == ("V509", "a.npz: x has T = 5, and the model says `dim T <= 4`")


def test_what_is_fitted_over_steps_is_not_yet_supported(project):
    found = project(f'{LINES}\nx = array("x") -> standardize', [declare("x", 2, M, T)], a={"x": X}).headers()
    message = "the steps of x : (2, m, T) are each example's own: what is fitted over them is not yet supported"
    assert only(found) == ("U901", message)
    found = project(f'{LINES}\nx = array("x") / 2', [declare("x", 2, M, T)], a={"x": X})
    np.testing.assert_array_equal(found.load().splits["train"].arrays["x"], X.transpose(1, 0, 2) / 2)
