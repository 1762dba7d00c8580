"""What `rearrange`, `einsum`, `concat`, `split` and lists as tensors refuse, and where they say so."""

from __future__ import annotations

import pytest
from short_models import only, place, told

# --- mistakes --------------------------------------------------------------------------------------------------

HEAD = "input x : (12, m, 5)\ninput y : (2, m, 5)\n"
MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "lost": ("rearrange(x, (n, m, T) -> (n, m))", "D123", "T stands on the left of the arrow only", "T"),
    "from nowhere": ("rearrange(x, (n, m, T) -> (n, m, T, k))", "D123", "k stands on the right of the arrow only", "k"),
    "twice": ("rearrange(x, (n, m, T) -> (n, m, T * n))", "D123", "a second n stands on the right", "n"),
    "not divisible": (
        "rearrange(x, (5 * d, m, T) -> (5, d, m, T))",
        "D123",
        "this is (12, m, 5): it needs a size of the form 5 * d = 12, and d would be 12/5",
        "x",
    ),
    "another size": ("rearrange(x, (10, m, T) -> (m, 10, T))", "D123", "it needs 10 here", "x"),
    "two unknowns": ("rearrange(x, (a * b, m, T) -> (a, b, m, T))", "D112", "2 unknowns: a, b", "a * b"),
    "ranks": ("rearrange(x, (n, m) -> (m, n))", "D123", "it needs 2 axes", "x"),
    "no arrow": ("rearrange(x, (n, m, T))", "D123", "needs a pattern with an arrow", "(n, m, T)"),
    "the examples renamed": ("rearrange(x, (n, k, T) -> (k, n, T))", "D123", "would call the examples of x k", "k"),
    "a size that is not": (
        "rearrange(x, (n, m, T) -> (n, m, T = 6))",
        "D123",
        "T is 5 on the left of the arrow, and 6",
        "T = 6",
    ),
    "no further axes": ("rearrange(x, (n, m, T) -> (n, m, T, ...))", "D123", "`...` stands on the right", "..."),
    "further axes lost": ("rearrange(x, (n, ...) -> (n))", "D123", "`...` stands on the left", "..."),
    "unequal": ("einsum(x, y, (n, m, T), (n, m, T) -> (m))", "D123", "this is (2, m, 5): it needs n = 12 here", "y"),
    "a result's own name": ("einsum(x, y, (n, m, T), (k, m, T) -> (q, m))", "D123", "q stands on the right", "q"),
    "a diagonal": ("einsum(x, (k, m, k) -> (k, m))", "D123", "it needs k = 12 here", "x"),
    "a pattern missing": (
        "einsum(x, y, (n, m, T) -> (m))",
        "N205",
        "as many patterns as tensors, and 3",
        "einsum(x, y, (n, m, T) -> (m))",
    ),
    "einsum without arrow": (
        "einsum(x, y, (n, m, T), (n, m, T))",
        "D123",
        "needs a pattern with an arrow",
        "(n, m, T)",
    ),
    "concat's sizes": (
        "concat(x, y, over = last)",
        "D102",
        "x and y differ in the first axis: 12 against 2",
        "concat(x, y, over = last)",
    ),
    "concat's ranks": ("concat(x, drop(sum(y, over = last), over = last), over = first)", "D103", "3 axes", "concat"),
    "concat of one": ("concat(x, over = first)", "N204", "joins two tensors or more", "concat(x, over = first)"),
    "concat along nothing": ("concat(x, y)", "N204", "concat needs over", "concat(x, y)"),
    "concat along two": ("concat(x, y, over = (first, last))", "D110", "one axis", "(first, last)"),
    "split's sum": (
        "split(x, (3, 8), over = first)",
        "D124",
        "the parts have 3 + 8 = 11 elements together, and the first axis of x has 12",
        "(3, 8)",
    ),
    "split by a number": (
        "split(x, 3, over = first)",
        "D124",
        "needs the sizes of its parts, and this is the number 3",
        "3",
    ),
    "split into nothing": ("split(x, (12, 0), over = first)", "D111", "a part has 0", "(12, 0)"),
    "a keyword": ("einsum(x, (n, m, T) -> (m), over = first)", "N203", "einsum has no argument over", "over"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_told_where_they_are(case: str) -> None:
    text, code, words, at = MISTAKES[case]
    body = f"{HEAD}output Z = {text}"
    error = only(body)
    assert error.code == code, error.message
    assert words in error.message
    assert place(error, body).startswith(at)


def test_a_diagonal_has_its_own_message() -> None:
    error = only("input x : (5, m, 5)\noutput Z = einsum(x, (k, m, k) -> (k, m))")
    assert error.code == "D123"
    assert "k stands twice in one operand" in error.message
    assert error.help == "call one of them otherwise: `k2 = k`"


def test_the_operand_that_fixed_a_size_is_shown() -> None:
    error = only(f"{HEAD}output Z = einsum(x, y, (n, m, T), (n, m, T) -> (m))")
    assert "n is 12, from x" in [related.message for related in error.related]


def test_what_does_not_divide_is_told_with_its_numbers() -> None:
    error = only("heads = 7\ninput x : (512, m)\noutput Z = rearrange(x, (heads * d, m) -> (heads, d, m))")
    assert "heads * d = 512, and d would be 512/7" in error.message
    assert error.help == "504, 511 and 518 can be divided by 7"


# --- m ---------------------------------------------------------------------------------------------------------

MIXED = {
    "a sum over m": ("einsum(x, x, (n, m, T), (n, m, T) -> (n, T))", "sums over m"),
    "pairs": ("einsum(x, x, (n, m, T), (n, k = m, T) -> (m, k))", "(m, m): each example beside every other"),
    "pairs by @": ("drop(sum(x, over = last), over = last).T @ drop(sum(x, over = last), over = last)", "beside every"),
    "joined": ("concat(x, x, over = m)", "moves elements along m"),
    "taken apart": (
        "rearrange(rearrange(x, (n, m, T) -> (m * T, n)), (5 * m, n) -> (n, m, 5))",
        "moves elements along m",
    ),
    "hidden": ("rearrange(x, (n, m, T) -> (n * m, T))", "moves elements along m"),
    "places": ("x * position(x, over = m)", "moves elements along m"),
}


@pytest.mark.parametrize("case", MIXED)
def test_a_prediction_that_mixes_examples_is_refused(case: str) -> None:
    text, label = MIXED[case]
    body = f"input x : (12, m, T = 5)\noutput Z = {text}".replace("(T * m, n)", "(5 * m, n)").replace(
        "(n, m, T))", "(n, m, T))"
    )
    errors = told(body.replace("(5 * m, n) -> (n, m, T)", "(5 * m, n) -> (n, m, 5)"))
    assert [error.code for error in errors] == ["P302"], [error.message for error in errors]
    assert label in (errors[0].label or "")


def test_one_pair_of_examples_is_one_mistake() -> None:
    body = "input x : (3, m)\nS = einsum(x, x, (n, m), (n, k = m) -> (m, k))\noutput Z = exp(S) * 2 + S"
    assert [error.code for error in told(body)] == ["P302"]


def test_a_table_of_pairs_is_no_metric_yet() -> None:
    body = (
        "input x : (3, m)\ntarget y : (3, m)\nY_hat = x * 2\nloss squared_error(Y_hat, y)\n"
        "metric c = sum(abs(einsum(Y_hat, y, (i, m), (i, k = m) -> (m, k))), over = all)\noutput Y_hat"
    )
    assert {error.code for error in told(body)} == {"U901"}


# --- lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("[[1, 2], [3]]", "D106", "the lists at [0] and [1] have 2 and 1 elements"),
        ("[[1, 2], 3]", "D106", "at [1] stands the number 3"),
        ("[[1, 2], [3, [4]]]", "D106", "at [1, 1] stands a list"),
        ("[[1, 2], [3, true_or_not]]", "N201", "unknown name"),
        ("[[1, 2], [3, x]]", "D106", "stands a tensor of shape (2, m)"),
        ("[[1, 2], [3, m]]", "D106", "stands m"),
        ("[[1, 2, 3], [4, 5, 6]]", "D106", "the second axis differs, 2 against 3"),
        ("[1, 2]", "D106", "2 axes, and its value has 1"),
        ("[[], []]", "D106", "an empty list"),
    ],
)
def test_a_list_that_is_no_such_tensor(value: str, code: str, words: str) -> None:
    body = f"input x : (2, m)\nK : (2, 2) = {value}\noutput K @ x"
    error = only(body)
    assert error.code == code
    assert words in error.message
    assert place(error, body) in value


def test_a_list_of_data_belongs_into_a_file() -> None:
    row = ", ".join(["1"] * 400)
    rows = ", ".join(["row"] * 300)
    error = only(f"input x : (2, m)\nrow = [{row}]\nK : (300, 400) = [{rows}]\noutput x")
    assert error.code == "D118"
    assert "120,000" in error.message
