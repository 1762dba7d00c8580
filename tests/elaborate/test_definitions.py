"""Definitions are proved for all sizes: what is wrong for every size is told in the layer, what depends on the sizes
at the use, and nothing that is right for some use is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.driver import check, constants
from dlc.compiler.elaborate.definitions import prove_definitions
from dlc.compiler.elaborate.expressions import evaluate
from dlc.compiler.elaborate.library import Loader, file_scope
from dlc.compiler.elaborate.report import Findings

MODEL = "\nmodel Net:\n    input X : (3, m)\n    output Z = X -> Dense(1)\n"


def told(text: str) -> list[Diagnostic]:
    return [d for d in check(Path("net.dl"), text=text).diagnostics if d.severity == "error"]


def layer(body: str, header: str = "layer L(n):") -> str:
    return header + "\n" + "".join(f"    {line}\n" for line in body.splitlines())


# --- wrong for every size: at the line, though no model uses the layer -------------------------------------------

WRONG = {
    "a product": ("input A : (n_in, m)\nparam W : (n, n_in + 1) ~ he\noutput W @ A", 4, "D101", "(n, n_in + 1) @"),
    "a sum": ("input A : (k, m)\nparam b : (k + n, 1) ~ zeros\noutput A + b", 4, "D102", "k against k + n"),
    "twice": ("input A : (k, m)\nparam b : (2 * k, 1) ~ zeros\noutput A + b", 4, "D102", "2*k"),
    "an annotation": ("input A : (k, m)\nZ : (k + 1, m) = A\noutput Z", 3, "D106", "k + 1 against k"),
    "an output's shape": ("input A : (k, m)\noutput A : (2 * k, m)", 3, "D106", "2*k against k"),
    "ranks": ("input A : (k, m)\nparam b : (k) ~ zeros\noutput A + b", 4, "D103", "2 axes"),
    "a size below one": ("input A : (k, m)\nparam W : (k - k, k) ~ he\noutput W @ A", 3, "D111", "at least 1"),
    "odd and even": (
        "input A : (2 * k, m)\nparam b : (2 * n + 1, 1) ~ zeros\noutput A + b",
        4,
        "D102",
        "2*k against 2*n + 1",
    ),
    "a scalar multiplied": ("input A : (k, m)\noutput A @ 2", 3, "D101", "scalar"),
    "a transpose of three axes": ("input A : (k, m, T)\noutput A.T", 3, "D114", "3 axes"),
    "two obligations that exclude each other": (
        "input A : (k, m)\nparam b : (n, 1) ~ zeros\nparam c : (n + 1, 1) ~ zeros\nU = A + b\nV = A + c\noutput U",
        6,
        "D102",
        "k against n + 1",
    ),
    "against a requirement": (
        "input A : (k, m)\nrequire k == n\nparam b : (n + 1, 1) ~ zeros\noutput A + b",
        5,
        "D102",
        "k against n + 1",
    ),
    "a requirement that never holds": ("input A : (k, m)\nrequire k < 1\noutput A", 3, "D113", "fails"),
    "requirements that exclude each other": (
        "input A : (k, m)\nrequire k > n\nrequire n > k + 2\noutput A",
        4,
        "D113",
        "fails",
    ),
    "inside one branch, under its fact": (
        "input A : (k, m)\nif k == n:\n    param b : (n + 1, 1) ~ zeros\n    output A + b\nelse:\n    output A",
        5,
        "D102",
        "k against n + 1",
    ),
    "inside the other branch": (
        "input A : (k, m)\nparam b : (n, 1) ~ zeros\nif k != n:\n    output A + b\nelse:\n    output A",
        5,
        "D102",
        "k against n",
    ),
    "for any further axes": (
        "input A : (k, m, ...)\nparam b : (k + 1, 1, ...) ~ zeros\noutput A + b",
        4,
        "D102",
        "k + 1",
    ),
    "only in one of two programs": (
        "input A : (k, m)\nwhen training:\n    output A\notherwise:\n    B : (k + 1, m) = A\n    output B",
        6,
        "D106",
        "k + 1",
    ),
    "a parameter with examples": (
        "input A : (k, m)\nparam b : (k, m) ~ zeros\noutput A + b",
        3,
        "D117",
        "each example",
    ),
    "a product that never divides": (
        "input A : (2 * k + 1, m)\nparam b : ((2 * k + 1) / 2, 1) ~ zeros\noutput A",
        3,
        "D107",
        "not a whole number",
    ),
    "over no axis": ("input A : (k, m)\noutput sum(A, over = T)", 3, "D110", "called T"),
    "a use in it": (
        "input A : (k, m)\nH = A -> Two()\nparam b : (k, 1) ~ zeros\noutput H + b",
        5,
        "D102",
        "2*k against k",
    ),
}
TWO = "layer Two():\n    input A : (k, m)\n    param W : (2 * k, k) ~ he\n    output W @ A\n"


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_for_every_size_is_told_in_the_definition(name: str) -> None:
    body, line, code, words = WRONG[name]
    (error,) = told(layer(body) + TWO + MODEL)
    assert error.span is not None
    assert (error.code, error.span.line) == (code, line)
    assert words in f"{error.message} {error.label}"


@pytest.mark.parametrize("name", WRONG)
def test_and_told_once_where_the_layer_is_used(name: str) -> None:
    body, line, code, _ = WRONG[name]
    use = MODEL.replace("Dense(1)", "L(3)") + "    output P = X -> L(4)\n"
    (error,) = told(layer(body) + TWO + use)
    assert error.span is not None
    assert (error.code, error.span.line) == (code, line)


def test_a_function_with_shapes_is_proved_too() -> None:
    (error,) = told("function f(a : (n, m), b : (n + 1, m)) = a + b\n" + MODEL)
    assert (error.code, error.label) == ("D102", "(n, m) against (n + 1, m)")


LONG = "A + concat(A, A, over = first)"
CHOICES = {
    "an argument of the condition alone": (
        "layer L(k):",
        f"if k > 3:\n    output A\nelse:\n    output {LONG}",
        6,
    ),
    "unequal to a number": ("layer L(k):", f"if k != 4:\n    output A\nelse:\n    output {LONG}", 6),
    "far from the usual sizes": ("layer L(k):", f"if k > 100:\n    output {LONG}\nelse:\n    output A", 4),
    "not what the default takes": ("layer L(k = 2):", f"if k > 3:\n    output {LONG}\nelse:\n    output A", 4),
    "one side of a choice": ("layer L():", f"output A if n > 3 else {LONG}", 3),
    "the other side of a choice": ("layer L(k):", f"output {LONG} if k == 3 else A", 3),
}


@pytest.mark.parametrize("name", CHOICES)
def test_each_branch_is_judged_by_itself(name: str) -> None:
    header, body, line = CHOICES[name]
    text = layer("input A : (n, m)\n" + body, header)
    for use in ("Dense(1)", header.removeprefix("layer ").rstrip(":").replace("(k)", "(5)").replace("(k = 2)", "()")):
        (error,) = told(text + MODEL.replace("Dense(1)", use))
        assert error.span is not None
        assert (error.code, error.span.line) == ("D102", line)


@pytest.mark.parametrize("other", ["concat(A, A, over = first)", "rearrange(A, (n, m) -> (n, 1, m))"])
@pytest.mark.parametrize("condition", ["n > 3", "k > 3"])
def test_a_name_has_one_shape_in_both_branches(other: str, condition: str) -> None:
    body = f"input A : (n, m)\nif {condition}:\n    B = A\nelse:\n    B = {other}\noutput B"
    for use in ("Dense(1)", "L(5)"):
        (error,) = told(layer(body, "layer L(k):") + MODEL.replace("Dense(1)", use))
        assert error.span is not None
        assert (error.code, error.span.line) == ("D116", 6)
        assert [r.span.line for r in error.related] == [4]


@pytest.mark.parametrize(
    "sides",
    [
        ("A", "A -> Dense(q)"),
        ("A", "sum(A, over = first)"),
        ("A + b", "concat(b, b, over = first)"),
    ],
)
def test_shapes_that_may_agree_are_left_to_the_uses(sides: tuple[str, str]) -> None:
    body = "input A : (n, m)\ninput b : (q, m)\nif k > 3:\n    B = {}\nelse:\n    B = {}\noutput B".format(*sides)
    assert not told(layer(body, "layer L(k):") + MODEL)


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("layer L(p):", "require p >= 0 and p < 1\nif p > 0:\n    output A * 2\nelse:\n    output A"),
        ("layer L(k = 0):", "if k > 3:\n    output A\nelse:\n    output 2 * A"),
        ("layer L(f):", "if f > 0:\n    output A.T @ f\nelse:\n    output f @ A"),
        ("layer L():", "output A if n > 3 else sum(A, over = first)"),
        ("layer L():", "S = A if n == 4 else A -> Dense(4)\nparam b : (4, 1) ~ zeros\noutput S + b"),
    ],
)
def test_a_branch_that_may_be_right_is_left_to_the_uses(header: str, body: str) -> None:
    assert not told(layer("input A : (n, m)\n" + body, header) + MODEL)


def test_the_message_says_that_no_size_helps() -> None:
    (error,) = told(layer(WRONG["a sum"][0]) + MODEL)
    assert error.rule is not None
    assert error.rule.endswith("unequal for every k, n")


def test_two_demands_that_exclude_each_other_are_both_shown() -> None:
    (error,) = told(layer(WRONG["two obligations that exclude each other"][0]) + MODEL)
    assert [(r.message, r.span.line) for r in error.related][-1] == ("this needs k == n", 5)


# --- right for some use: nothing is said, and the use decides -----------------------------------------------------

RIGHT = {
    "sizes that may agree": "input A : (k, m)\nparam b : (n, 1) ~ zeros\noutput A + b",
    "a square": "input A : (k, m)\nparam W : (n, n) ~ he\noutput W @ A",
    "a residual": "input A : (k, m)\nH = A -> Dense(n) -> Dense(n)\noutput H + A",
    "heads": "input A : (n_A, m)\nd = n_A / n\nparam W : (n * d, n_A) ~ he\nQ : (n_A, m) = W @ A\noutput Q",
    "a branch on the sizes": (
        "input A : (k, m)\nif k == n:\n    S = A\nelse:\n    S = A -> Dense(n)\nparam b : (n, 1) ~ zeros\noutput S + b"
    ),
    "branches of different shapes": "input A : (k, m)\nif k > 2:\n    output A\nelse:\n    output sum(A, over = first)",
    "a branch that makes parameters": (
        "input A : (k, m)\nif n > 1:\n    param W : (n, k) ~ he\nelse:\n    param W : (n, k) ~ zeros\noutput W @ A"
    ),
    "a choice": "input A : (k, m)\nwidth = k if k > 8 else 8\nparam W : (width, k) ~ he\noutput W @ A",
    "and, or, not": "input A : (k, m)\nif k > 1 and not (n == 2 or k == n):\n    output A\nelse:\n    output 2 * A",
    "chained requirements": (
        'input A : (k, m)\nrequire k % n == 0\nrequire k // n > 1, "two at least"\n'
        "d : (k, m) = A\nparam b : (n * (k / n), 1) ~ zeros\noutput d + b"
    ),
    "a loop over an argument": "input A : (k, m)\nB[0] = A\nfor l in 1..n:\n    B[l] = B[l-1] * 2\noutput B[n]",
    "a power of a size": "input A : (k, m)\nparam W : (k^n, k) ~ he\noutput W @ A",
    "drop of an axis that may be 1": "input A : (k, m)\noutput drop(A, over = k)",
    "both may broadcast": "input A : (k, 1)\nparam b : (1, n) ~ zeros\noutput A + b",
    "m may be one image": "input A : (k, m)\nparam b : (k, 1) ~ zeros\noutput drop(A + b, over = m)",
    "a size of the data": "input A : (k, m)\noutput A / k + 0.7 / m",
    "max of a size": "input A : (k, m)\noutput A * max(k, 0.5)",
    "a comparison with a fraction": "input A : (k, m)\nif k > 2.5:\n    output A\nelse:\n    output -A",
    "a size as a number": "input A : (k, m)\noutput A - k",
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_may_be_right_is_not_refused(name: str) -> None:
    assert not told(layer(RIGHT[name]) + MODEL)


HEADERS = {
    "a list": (
        "layer L(n):",
        "input A : (k, m)\nB[0] = A\nfor i in 1..len(n):\n    B[i] = B[i-1] -> Dense(n[i-1])\noutput B[len(n)]",
    ),
    "a layer": ("layer L(f):", "input A : (k, m)\nH = f(A)\noutput H + A"),
    "a function": ("layer L(g):", "input A : (k, m)\noutput A -> g"),
    "a width below one": (
        "layer L(width):",
        "input A : (k, m)\nparam b : (floor(width * k), 1) ~ zeros\nparam c : (32, 1) ~ zeros\noutput b + c",
    ),
    "a default that is a size": (
        "layer L(n = 1):",
        "input A : (k, m)\nparam b : (n + 1, 1) ~ zeros\nparam c : (5, 1) ~ zeros\noutput A + (b + c)",
    ),
    "a default from a name above": (
        "layer L(f = 2, s = f):",
        "input A : (k, m)\nparam b : (s, 1) ~ zeros\nparam c : (7, 1) ~ zeros\noutput b + c",
    ),
    "words and floats": ("layer L(p = 0.5, over = first):", "input A : (k, m)\noutput p * softmax(A, over = over)"),
    "an input without a shape": ("layer L():", "input A\nparam b : (3, 1) ~ zeros\noutput A + b"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_arguments_that_are_not_known_here_are_left_to_the_uses(name: str) -> None:
    header, body = HEADERS[name]
    assert not told(layer(body, header) + MODEL)


# --- what depends on the sizes is the use's -----------------------------------------------------------------------


def test_a_use_that_breaks_an_obligation_is_at_fault() -> None:
    text = layer(RIGHT["a square"]) + MODEL.replace("Dense(1)", "L(4)")
    (error,) = told(text)
    assert error.span is not None
    assert (error.code, error.span.line, error.label) == ("D101", 8, None)
    assert [(r.message, r.span.line) for r in error.related] == [
        ("W : (n, n) = (4, 4)", 3),
        ("X : (3, m)", 7),
        ("(4, 4) @ (3, m)", 4),
    ]


def test_a_use_inside_a_layer_goes_out_to_the_model() -> None:
    outer = "layer Outer(n):\n    input A : (k, m)\n    output A -> L(n)\n"
    (error,) = told(layer(RIGHT["a square"]) + outer + MODEL.replace("Dense(1)", "Outer(4)"))
    assert error.span is not None
    assert error.span.line == 11
    assert [r.span.line for r in error.related][-2:] == [4, 7]


def test_a_requirement_is_the_callers_with_its_words() -> None:
    body = 'input A : (k, m)\nrequire k % n == 0, "n must divide the features"\noutput A'
    assert not told(layer(body) + MODEL.replace("Dense(1)", "L(3)"))
    (error,) = told(layer(body) + MODEL.replace("Dense(1)", "L(2)"))
    assert error.span is not None
    assert (error.code, error.span.line) == ("D113", 8)
    assert "n must divide the features" in error.message
    assert [(r.message, r.span.line) for r in error.related] == [("needed here, in L", 3)]


# --- every definition that ships ------------------------------------------------------------------------------------

SPECS = sorted(Path(__file__).parents[2].glob("specs/**/*.dl"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_definition_of_the_specs_is_proved(path: Path) -> None:
    """The library too, as if its files were somebody's own."""
    loader, findings = Loader(path.parent), Findings()
    source = loader.load(path, path.name)
    assert source is not None
    scope = file_scope(source, lambda file, names: constants(file, names, findings))
    prove_definitions(source, scope, findings, evaluate)
    assert not findings.found


# --- what is proved of whole models ------------------------------------------------------------------------------

HEAD = "model Net:\n    input X : (4, m)\n    target Y : (1, m)\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Y_hat = X -> Dense(8) -> BatchNorm() -> Dense(1)\nloss squared_error(Y_hat, Y)\noutput Y_hat", ["P308"]),
        ("Y_hat = X -> Dense(8, relu) -> BatchNorm() -> Dense(1)\nloss squared_error(Y_hat, Y)\noutput Y_hat", []),
        ("Z = X -> Dense(8)\nV = (Z -> BatchNorm()) + Z -> Dense(1)\nloss squared_error(V, Y)\noutput V", []),
        ("Y_hat = X -> Dense(1)\nloss = squared_error(Y_hat, Y)\noutput Y_hat", ["P309"]),
        ("output Y_hat = X -> Dense(1)", ["P309"]),
        ("Y_hat = X -> Dense(1, sigmoid)\nloss binary_cross_entropy(Y, Y_hat)\noutput Y_hat", ["P312"]),
        ("Y_hat = X -> Dense(1, sigmoid)\nloss binary_cross_entropy(Y_hat, Y)\noutput Y_hat", []),
        ("if 1 == 1:\n    A = X\nelse:\n    A = Q\nV = A -> Dense(1)\nloss squared_error(V, Y)\noutput V", ["N201"]),
        ("Y_hat = X -> Dense(1 if 2 > 1 else k)\nloss squared_error(Y_hat, Y)\noutput Y_hat", ["N201"]),
    ],
)  # fmt: skip
def test_models(body: str, expected: list[str]) -> None:
    result = check(Path("net.dl"), text=HEAD + "".join(f"    {line}\n" for line in body.splitlines()))
    assert [d.code for d in result.diagnostics] == expected


def test_an_axis_called_m_binds_how_many_there_are() -> None:
    text = "layer L():\n    input A : (m = m * R, k)\n    input B : (k, R)\n    output A @ B\n"
    model = "model Net:\n    input X : (m, 3)\n    param W : (3, 2) ~ he\n    f = L()\n    output Z = f(X, W)\n"
    (error,) = told(text + model)
    assert error.code == "D108"
    assert "R = 1" in error.message
    assert not told(text + model.replace("(3, 2)", "(3, 1)"))


CHOICE = "if k == 3:\n    B = X\nelse:\n    B = {}\noutput B"


def told_in_model(body: str) -> list[Diagnostic]:
    return told("model Net:\n" + "".join(f"    {line}\n" for line in body.splitlines()))


@pytest.mark.parametrize("taken", [3, 4])
def test_a_name_of_a_model_has_one_shape_in_both_branches(taken: int) -> None:
    (error,) = told_in_model(f"hyper k = {taken}\ninput X : (8, m)\n" + CHOICE.format("X -> Dense(4)"))
    assert error.span is not None
    assert (error.code, error.span.line, error.label) == ("D116", 7, "(4, m)")
    assert [(r.message, r.span.line) for r in error.related] == [("(8, m) here", 5)]


@pytest.mark.parametrize(
    "body",
    [
        "hyper k = 3\ninput X : (8, m)\n" + CHOICE.format("X -> Dense(8)"),
        "hyper k = 3\ninput X : (8, m)\n" + CHOICE.format("X @ X"),
        "hyper k = 3\ninput X : (k, m)\n" + CHOICE.format("X -> Dense(4)"),
        "hyper k = 3\ninput X : (8, m)\n" + CHOICE.format("X -> Dense(k)"),
        "hyper n = 3\nk = n\ninput X : (n + 5, m)\n" + CHOICE.format("X -> Dense(4)"),
        "hyper n = 4\nhyper k = 3\nd = n - k\nrequire d > 0\ninput X : (k, m)\n"
        "if k == n:\n    B = X\nelse:\n    B = X -> Dense(n)\noutput B",
    ],
)
def test_the_branch_not_taken_may_be_wrong_for_these_sizes(body: str) -> None:
    assert not told_in_model(body)


def test_the_branch_not_taken_leaves_nothing_behind() -> None:
    text = HEAD.replace("Net", "Net(k = 3)") + (
        "    if k == 3:\n        B = X -> Dense(1)\n"
        "    else:\n        H = X -> Dense(5)\n        B = H -> Dense(1)\n"
        "    loss squared_error(B, Y)\n    output B\n"
    )
    result = check(Path("net.dl"), text=text)
    assert not result.diagnostics
    model = result.checked
    assert model is not None
    assert [p.type.sizes[-1].constant for p in model.parameters.values()] == [4, 1]
    assert [line.name for line in model.lines if not line.layer] == ["X", "Y", "B"]


def test_an_argument_that_another_is_made_of_hangs_together_with_it() -> None:
    body = "    input X : (k + 5, m)\n" + "".join(
        f"    {line}\n" for line in CHOICE.format("X -> Dense(8)").splitlines()
    )
    assert not told("model Net(n = 4, k = n):\n" + body.replace("k == 3", "n == 4"))
