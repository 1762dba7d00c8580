"""The Python API's own arrays against the declarations."""

from __future__ import annotations

import numpy as np
import pytest
from data_project import declare

from dlc.compiler.diagnostics import DiagnosticError
from dlc.compiler.dims import Symbol
from dlc.compiler.program import M
from dlc.runtime.data.arrays import check_arrays

X = declare("X", 3, M)
Y = declare("Y", 4, M, role="target", one_hot=True)
INPUTS = {"X": X, "Y": Y}
GOOD = np.arange(6.0).reshape(3, 2)


def refused(given, inputs=INPUTS, need_targets=False, **options):
    with pytest.raises(DiagnosticError) as caught:
        check_arrays(inputs, given, need_targets, **options)
    return [(d.code, d.message, d.help) for d in caught.value.diagnostics]


def test_an_array_without_examples_or_without_steps():
    inputs = {"x": declare("x", 1, M, Symbol("T", "runtime"))}
    for shape, what in (((1, 0, 4), "there are no examples"), ((1, 3, 0), "an example has at least one step")):
        ((_, message, _),) = refused({"x": np.zeros(shape)}, inputs)
        assert message == f"x has shape {shape}: {what}"


def test_examples_come_first():
    x = check_arrays(INPUTS, {"X": GOOD}, False)["X"]
    np.testing.assert_array_equal(x, GOOD.T)
    assert (x.dtype, x.flags.c_contiguous) == (np.float32, True)
    assert check_arrays(INPUTS, {"X": GOOD}, False, dtype="float64")["X"].dtype == np.float64


@pytest.mark.parametrize("value", [[[1, 2], [3, 4], [5, 6]], np.ones((3, 2), np.float16), np.ones((3, 2), bool)])
def test_what_numpy_understands_is_taken(value):
    np.testing.assert_array_equal(check_arrays(INPUTS, {"X": value}, False)["X"], np.transpose(value))


def test_an_array_that_lies_right_is_not_copied():
    rows = np.ones((5, 3), np.float32)
    assert np.shares_memory(check_arrays(INPUTS, {"X": rows.T}, False)["X"], rows)


def test_images_and_inputs_without_m():
    inputs = {"A": declare("A", M, 2, 3), "B": declare("B", 2, M, 3), "C": declare("C", 2, 3)}
    a, b, c = np.arange(24.0).reshape(4, 2, 3), np.arange(24.0).reshape(2, 4, 3), np.arange(6.0).reshape(2, 3)
    arrays = check_arrays(inputs, {"A": a, "B": b, "C": c}, True)
    np.testing.assert_array_equal(arrays["A"], a)
    np.testing.assert_array_equal(arrays["B"], np.moveaxis(b, 1, 0))
    np.testing.assert_array_equal(arrays["C"], c)


@pytest.mark.parametrize(
    "labels", [[3, 0], np.array([3, 0], np.uint8), np.array([3.0, 0.0]), np.array([[0, 1], [0, 0], [0, 0], [1, 0]])]
)
def test_class_numbers_and_exact_one_hot_columns_are_the_same(labels):
    y = check_arrays(INPUTS, {"X": GOOD, "Y": labels}, True)["Y"]
    assert (y.tolist(), y.dtype) == ([3, 0], np.int64)


def test_soft_labels_stay_real():
    soft = np.array([[0.5, 0], [0.5, 0], [0, 0], [0, 1]])
    y = check_arrays(INPUTS, {"X": GOOD, "Y": soft}, True)["Y"]
    np.testing.assert_array_equal(y, soft.T)
    assert y.dtype == np.float32


def test_index_inputs():
    inputs = {"w": declare("w", 2, M, index=True, classes=5)}
    w = check_arrays(inputs, {"w": [[0, 1, 2], [4, 3, 0]]}, False)["w"]
    assert (w.tolist(), w.dtype) == ([[0, 4], [1, 3], [2, 0]], np.int64)


def test_missing_values_of_optional_names():
    inputs = {
        "X": declare("X", 1, M, optional=True),
        "Y": declare("Y", 4, M, one_hot=True, optional=True),
    }
    arrays = check_arrays(inputs, {"X": [[np.nan, 1]], "Y": [np.nan, 2]}, True)
    np.testing.assert_array_equal(arrays["X"], [[np.nan], [1]])
    assert arrays["Y"].tolist() == [-1, 2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"X": GOOD.T}, ("V506", "X has shape (2, 3), X : (3, m) needs (3, m)", "pass X.T")),
        ({"X": np.zeros((4, 2))}, ("V506", "X has shape (4, 2), X : (3, m) needs (3, m)", None)),
        ({"X": np.zeros(3)}, ("V506", "X has shape (3), X : (3, m) needs (3, m)", None)),
        ({"X": 1.0}, ("V506", "X has shape (), X : (3, m) needs (3, m)", None)),
        ({"X": np.zeros((3, 0))}, ("V506", "X has shape (3, 0): there are no examples", None)),
        ({"X": [[1, 2], [3]]}, ("V507", "X is not an array: its rows differ in length", None)),
        ({"X": GOOD.astype(str)}, ("V507", "X holds texts, X : (3, m) needs numbers", None)),
        ({"X": GOOD.astype(object)}, ("V507", "X holds Python objects, X : (3, m) needs numbers", None)),
        ({"X": GOOD * 1j}, ("V507", "X holds complex numbers, X : (3, m) needs numbers", None)),
        ({"X": None}, ("V507", "X holds Python objects, X : (3, m) needs numbers", None)),
        ({"X": GOOD.astype("M8[s]")}, ("V507", "X holds datetime64[s], X : (3, m) needs numbers", None)),
        (
            {"X": np.where(GOOD == 5, np.nan, GOOD)},
            ("V502", "X[2, 1] is nan", "an input or target declared `optional` may have missing values"),
        ),
        ({"X": np.where(GOOD == 4, -np.inf, GOOD)}, ("V502", "X[2, 0] is -inf", None)),
        ({"X": np.where(GOOD == 3, 1e39, GOOD)}, ("V502", "X[1, 1] is 1e+39, beyond the range of float32", None)),
        (
            {"X": GOOD, "Y": [0, 4]},
            (
                "V503",
                "Y[1]: 4 is not among the classes 0..3 of Y : (4, m) one_hot",
                "class numbers are 0..3",
            ),
        ),
        (
            {"X": GOOD, "Y": [-1, 1]},
            (
                "V503",
                "Y[0]: -1 is not among the classes 0..3 of Y : (4, m) one_hot",
                "class numbers are 0..3",
            ),
        ),
        (
            {"X": GOOD, "Y": [np.nan, 1]},
            ("V502", "Y[0]: the label is missing", "an input or target declared `optional` may have missing values"),
        ),
        ({"X": GOOD, "Y": [0, 2.7]}, ("V507", "Y[1] is 2.7, Y : (4, m) one_hot takes whole numbers", None)),
        (
            {"X": GOOD, "Y": ["cat", "dog"]},
            ("V507", "Y holds texts, Y : (4, m) one_hot needs numbers", "pass class numbers 0, 1, 2, …"),
        ),
        (
            {"X": GOOD, "Y": np.zeros((1, 2))},
            ("V506", "Y has shape (1, 2), Y : (4, m) one_hot needs (m) or (4, m)", None),
        ),
        (
            {"X": GOOD, "Y": np.zeros((2, 4))},
            ("V506", "Y has shape (2, 4), Y : (4, m) one_hot needs (m) or (4, m)", "pass Y.T"),
        ),
        (
            {"X": GOOD, "Y": [0, 1, 2]},
            (
                "V506",
                "X and Y must have the same m: X has 2 examples, Y has 3",
                "X has shape (3, 2), Y has shape (3)",
            ),
        ),
        ({"X": GOOD, "y": [0, 1]}, ("V508", "the model has no input or target y", "did you mean Y?")),
        ({"X": GOOD, "rate": 1}, ("V508", "the model has no input or target rate", "the inputs and targets are: X, Y")),
        ({}, ("V508", "the input X is missing: X : (3, m)", "pass X=…")),
    ],
)
def test_messages(given, expected):
    assert refused(given) == [expected]


def test_many_bad_pixels_are_one_message():
    images = np.ones((3, 4, 4, 2))
    images[1, 2, 3, 0], images[2, :, :, 1] = np.inf, np.nan
    (found,) = refused({"A": images}, {"A": declare("A", M, 4, 4, 2)})
    message = "A[1, 2, 3, 0] is inf, not a finite number; 17 values of A are not, in 2 examples"
    assert found == ("V502", message, None)


def test_targets_are_asked_for():
    assert refused({"X": GOOD}, need_targets=True) == [
        ("V508", "the target Y is missing: Y : (4, m) one_hot", "pass Y=…"),
    ]


def test_only_what_is_required():
    assert check_arrays(INPUTS, {}, False, required=[]) == {}
    assert [code for code, *_ in refused({}, required=["Y"])] == ["V508"]


def test_all_mistakes_are_told_at_once():
    assert [code for code, *_ in refused({"X": GOOD.T, "Y": ["a"], "Z": 1})] == ["V508", "V506", "V507"]


def test_ten_bad_elements_and_a_count():
    found = refused({"X": np.full((3, 5), np.nan)})
    assert [message for _, message, _ in found[:2]] == ["X[0, 0] is nan", "X[1, 0] is nan"]
    assert (len(found), found[10][1]) == (11, "and 5 more values like these")


def test_lengths_are_of_run_time_dimensions():
    ((code, message, _),) = refused({"X": GOOD}, lengths={"T": [1, 2]})
    assert (code, message) == ("V510", "no input has its own T for each example")


def test_the_declaration_is_the_second_place():
    with pytest.raises(DiagnosticError) as caught:
        check_arrays(INPUTS, {"X": GOOD.T}, False)
    ((related,),) = (d.related for d in caught.value.diagnostics)
    assert (related.message, related.span) == ("X : (3, m) is declared here", X.span)
