"""The language page on dense networks, sentence by sentence, with the values that the programs compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.compiler.driver import check, programs
from dlc.compiler.program import CheckedModel, M
from dlc.runtime.initial import draws
from dlc.runtime.reference import evaluate

RNG = np.random.default_rng(5)
X = RNG.standard_normal((3, 4))


def proved(text: str, **hypers: Any) -> CheckedModel:
    result = check(Path("net.dl"), text=text, hypers=hypers)
    assert result.checked is not None, [d.message for d in result.diagnostics]
    return result.checked


def found(text: str) -> list[tuple[str, str]]:
    return [(d.severity, d.code) for d in check(Path("net.dl"), text=text).diagnostics]


def model(body: str) -> str:
    return "model Net:\n    input X : (3, m)\n" + "".join(f"    {line}\n" for line in body.splitlines())


def computed(text: str, graph: str = "forward", **values: Any) -> Mapping[str, Any]:
    """The roots of one program for 4 examples; values are bound by name, missing parameters to ones."""
    checked = proved(text)
    bindings: dict[tuple[str, str], Any] = {("parameter", n): np.ones(p.shape) for n, p in checked.parameters.items()}
    bindings |= {("state", n): np.zeros(s.shape) for n, s in checked.states.items()}
    bindings |= {("input", n): v for n, v in ({"X": X} | values).items() if n in checked.inputs}
    bindings |= {("parameter", n): v for n, v in values.items() if n in checked.parameters}
    bindings |= {("state", n): v for n, v in values.items() if n in checked.states}
    bindings |= {("scalar", n): 1.0 for n in ("t", "step", "epoch")}
    made = programs(checked)
    for slot in made.slots:
        bindings["state", slot] = np.zeros(made.slots[slot].shape)
    return evaluate(made.graphs[graph], bindings, {M: 4}, draws(1, 1))


def output(body: str, **values: Any) -> Any:
    """The value of `Z`."""
    return computed(model(body + "\noutput out = Z"), **values)["output.out"]


# --- values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("A[0, 0] = X\nfor s in 1..2:\n    A[s, 0] = 2 * A[s-1, 0]\n    A[s, 1] = A[s, 0] + s\nZ = A[2, 1]", 4 * X + 2),
        ("A[0] = X\nfor l, c in [(1, 2), (2, 5)]:\n    A[l] = A[l-1] * c\nZ = A[2]", 10 * X),
        ("for i in reverse(1..3):\n    A[i] = X if i == 3 else A[i+1] * i\nZ = A[1]", 2 * X),
        ("for i in 3..1:\n    A[i] = undefined\nZ = X", X),
        ("sizes = [[1, 2], [3]]\nZ = X * sizes[0][1] * sizes[1][0] * len(sizes)", 12 * X),
        ("k = 1/2\nZ = k * X + 7 // 2 + 7 % 4 - 2^-1", X / 2 + 5.5),
        ("α = 3\nŶ = α * X\nZ = Ŷ", 3 * X),
        ("Z = X if X > 0 else 0.1 * X", np.where(X > 0, X, 0.1 * X)),
        ("Z = X if 2 > 1 and not 1 == 2 else X @ X", X),
        ("Z = 1 * (X >= 0 and X < 1 or X == 5)", ((X >= 0) & (X < 1)).astype(float)),
        ("Z = X -> leaky_relu(slope = 0.5) -> sum(over = first)", np.where(X > 0, X, X / 2).sum(0, keepdims=True)),
        ("f = leaky_relu(slope = 0.5)\nZ = f(X)", np.where(X > 0, X, X / 2)),
        ("Z = X - mean(X, over = 3)", X - X.mean(0, keepdims=True)),
        ("c = drop(sum(X, over = first), over = first)\nZ = c", X.sum(0)),
        ("A : (h = 3, m) = X\nZ = sum(A, over = h)", X.sum(0, keepdims=True)),
        ("Z = position(X, over = first) * X", np.arange(1, 4)[:, None] * X),
        ("Z : (3, m) = 2", np.full((3, 4), 2.0)),
        ("param a : (3, 1) ~ ones\nZ = broadcast(a, (3, m)) + sum(X, over = first)", 1 + X.sum(0) + 0 * X),
        ("Z = max(X, 0) - min(X, 0)", np.abs(X)),
        ("Z = max(X, over = first)", X.max(0, keepdims=True)),
        ("if 1 == 1:\n    Z = X\nelse:\n    Z = 2 * X", X),
    ],
)  # fmt: skip
def test_values(body: str, expected: Any) -> None:
    np.testing.assert_allclose(output(body), expected, rtol=1e-12)


def test_functions_with_blocks_keywords_and_numbers() -> None:
    text = """
function spread(z : (k, m), scale = 2):
    c = z - mean(z, over = first)
    output scale * c
function area(n) = n * n + 1
"""
    body = "Z = (X -> spread(scale = 3)) + spread(X) * area(2)"
    centred = X - X.mean(0, keepdims=True)
    got = computed(text + model(body + "\noutput out = Z"))["output.out"]
    np.testing.assert_allclose(got, 13 * centred, rtol=1e-12)


def test_a_name_inside_a_function_is_not_the_models() -> None:
    checked = proved("function f(z):\n    A = 2 * z\n    output A\n" + model("A = f(X)\noutput A"))
    assert str(checked.shapes["A"]) == "(3, m)"
    assert checked.names["A"] is checked.names.get("A")
    assert "z" not in checked.shapes


def test_word_numbers_take_columns() -> None:
    text = "model N:\n    input w : (m) index(5)\n    param E : (2, 5)\n    output e = E @ one_hot(w)\n"
    E, w = RNG.standard_normal((2, 5)), np.array([4, 0, 0, 2])
    np.testing.assert_array_equal(computed(text, E=E, w=w)["output.e"], E[:, w])


# --- missing values --------------------------------------------------------------------------------------------


def test_missing_labels_give_neither_loss_nor_gradient() -> None:
    text = model(
        "target Y : (2, m) optional\nparam W : (2, 3) ~ he\nY_hat = W @ X\n"
        "loss known(Y) * (Y_hat - Y)^2\nmetric error = mean(known(Y) * abs(Y_hat - Y), over = all)\noutput Y_hat"
    )
    W, Y = RNG.standard_normal((2, 3)), RNG.standard_normal((2, 4))
    Y[0, 1] = Y[1, 3] = np.nan
    got = computed(text, "backward", W=W, Y=Y)
    E = np.where(np.isnan(Y), 0, W @ X - np.nan_to_num(Y))
    np.testing.assert_allclose(got["loss"], (E**2).sum() / 4, rtol=1e-12)
    np.testing.assert_allclose(got["gradient.W"], 2 * E @ X.T / 4, rtol=1e-12)


def test_missing_classes_give_neither_loss_nor_gradient() -> None:
    text = model(
        "target Y : (2, m) one_hot optional\nparam W : (2, 3) ~ he\nY_hat = softmax(W @ X)\n"
        "loss known(Y) * cross_entropy(Y_hat, Y)\noutput Y_hat"
    )
    W, Y = RNG.standard_normal((2, 3)), np.array([1, -1, 0, -1])
    got = computed(text, "backward", W=W, Y=Y)
    P = np.exp(W @ X) / np.exp(W @ X).sum(0)
    dZ = (P - np.eye(2)[:, Y]) * (Y >= 0)
    np.testing.assert_allclose(got["loss"], -np.log(P[Y, np.arange(4)])[Y >= 0].sum() / 4, rtol=1e-12)
    np.testing.assert_allclose(got["gradient.W"], dZ @ X.T / 4, rtol=1e-12)


def test_a_missing_word_takes_no_column() -> None:
    text = "model N:\n    input w : (m) index(5) optional\n    param E : (2, 5)\n    output e = E @ one_hot(w)\n"
    E = RNG.standard_normal((2, 5))
    got = computed(text, E=E, w=np.array([4, -1, 0, -1]))["output.e"]
    np.testing.assert_array_equal(got, np.stack([E[:, 4], 0 * E[:, 0], E[:, 0], 0 * E[:, 0]], axis=1))


def test_a_value_that_may_be_missing_wants_to_be_asked() -> None:
    assert found(model("target Y : (3, m) optional\nloss (X * 1 - Y)^2\noutput X")) == [("warning", "P310")]
    assert found(model("target Y : (3, m)\nloss known(Y) * (X - Y)^2\noutput X")) == [("error", "N214")]


# --- states, draws, programs -----------------------------------------------------------------------------------

RUNNING = """target Y : (3, m)
for i in 1..2:
    state mu[i] : (3, 1) ~ zeros
    when training:
        mu[i] := 0.9 * mu[i] + 0.1 * mean(X, over = m)
c = X - mu[1]
loss squared_error(c -> Dense(3), Y)
output c"""


def test_a_state_changes_in_training_for_the_lines_below() -> None:
    mu = RNG.standard_normal((3, 1))
    values: dict[str, Any] = {"Y": 0 * X, "mu[1]": mu}
    new = 0.9 * mu + 0.1 * X.mean(1, keepdims=True)
    trained = computed(model(RUNNING), "train", **values)
    np.testing.assert_allclose(trained["update.mu[1]"], new, rtol=1e-12)
    h = np.ones((3, 3)) @ (X - new) + 1
    np.testing.assert_allclose(trained["loss"], (h**2).sum() / 2 / 4, rtol=1e-12)
    np.testing.assert_allclose(computed(model(RUNNING), **values)["output.c"], X - mu, rtol=1e-12)


def test_a_layer_that_is_applied_twice_draws_twice() -> None:
    checked = proved(model("target Y : (3, m)\nd = Dropout(0.5)\nloss squared_error(d(X) + d(X), Y)\noutput X"))
    names = {node.attr("name") for node in checked.training.nodes if node.op == "draw_uniform"}
    assert names == {"d.D", "d.D@2"}


def test_several_losses_without_m() -> None:
    text = "model J:\n    param a, b : () ~ ones\n    loss a^2\n    loss 3 * b\n"
    got = computed(text, "backward", a=np.float64(2), b=np.float64(5))
    assert (float(got["loss"]), float(got["gradient.a"]), float(got["gradient.b"])) == (19, 4, 3)


def test_a_parameter_that_no_loss_reaches_has_the_gradient_zero() -> None:
    text = model("target Y : (3, m)\nparam q : (2, 1) ~ ones\nloss squared_error(X -> Dense(3), Y)\noutput X")
    assert found(text) == [("warning", "P303")]
    got = computed(text, "train", Y=X)
    np.testing.assert_array_equal(computed(text, "backward", Y=X)["gradient.q"], np.zeros((2, 1)))
    np.testing.assert_array_equal(got["update.q"], np.ones((2, 1)))


# --- what is refused, and what is remarked -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("A = X\nfor l in 1..2:\n    A = 2 * A\noutput A", ("error", "N202")),
        ("A = X\nif 1 == 1:\n    A = 2 * X\noutput A", ("error", "N202")),
        ("if 1 == 1:\n    A = X\noutput A", ("error", "N201")),
        ("m = 3\noutput X", ("error", "N202")),
        ("when training:\n    param W : (3, 3) ~ he\n    A = W @ X\notherwise:\n    A = X\noutput A", None),
        ("f = Dense(3)\noutput A = X -> f -> relu -> f", ("warning", "P305")),
        ("f = Dense(3)\noutput A = (X -> f) + (X -> f)", None),
        ("target Y : (3, m)\nloss binary_cross_entropy(softmax(X -> Dense(3)), Y)\noutput X", ("warning", "P306")),
        ("target Y : (3, m)\nloss cross_entropy(X -> Dense(3, sigmoid), Y)\noutput X", ("warning", "P306")),
        ("target Y : (3, m)\nloss cross_entropy(X -> Dense(3, softmax), Y)\noutput X", None),
        ("target Y : (1, m)\nloss (X -> Dense(3)) - Y\noutput X", ("error", "D105")),
        ("dim T\noutput X", None),
        ("F : (2, 2) = [[1, 2], [3, 4]]\noutput X", None),
        ("x = categorical(X)\noutput X", ("error", "N213")),
        ("hyper k = 3 in {1, 3}\nhyper lr = 0.1 in log(1e-3, 1)\nhyper b = 0.9 in log1m(0.9, 0.999)\noutput X", None),
        ("hyper k = 3 in lgo(1, 3)\noutput X", ("error", "T402")),
    ],
)
def test_findings(body: str, expected: tuple[str, str] | None) -> None:
    assert found(model(body)) == ([expected] if expected else [])


ZERO_LAYER = """
layer L(n, begin):
    input A : (k, m)
    param W : (n, k) ~ begin
    output tanh(W @ A)
"""


@pytest.mark.parametrize(
    ("body", "warned"),
    [
        ("Y_hat = X -> L(4, zeros) -> L(3, he)", True),
        ("Y_hat = X -> L(4, he) -> L(3, zeros)", False),
        ("param E : (3, 3) ~ zeros * 2\nparam W : (3, 3)\nY_hat = W @ relu(E @ X)", True),
        ("param E : (3, 3) ~ zeros\nparam W : (3, 3)\nY_hat = W.T @ relu(E @ X)", True),
        # as in skip-gram: the units of one meet those of the other, which were drawn
        ("param E : (3, 3) ~ zeros\nparam W : (3, 3)\nY_hat = einsum(E @ X, W @ X, (a, m), (b, m) -> (a, m))", False),
    ],
)
def test_hidden_weights_that_begin_at_zero(body: str, warned: bool) -> None:
    text = ZERO_LAYER + model(f"target Y : (3, m)\n{body}\nloss squared_error(Y_hat, Y)\noutput Y_hat")
    assert [code for _, code in found(text)] == (["P307"] if warned else [])


def test_own_names_win_and_a_note_says_so() -> None:
    assert found("function relu(z) = z\n" + model("output A = relu(X)")) == [("note", "N215")]


def test_imported_names_win_over_the_library_and_a_note_says_so(tmp_path: Path) -> None:
    (tmp_path / "deep.dl").write_text("function relu(z) = z\n")
    (tmp_path / "parts.dl").write_text('import "deep.dl"\nlayer Dense(n):\n    input A : (k, m)\n    output A\n')
    (tmp_path / "net.dl").write_text('import "parts.dl"\nimport "deep.dl"\n' + model("output A = X -> Dense(8)"))
    notes = check(tmp_path / "net.dl").diagnostics
    assert [(d.severity, d.code, Path(d.span.file).name, d.span.line) for d in notes if d.span] == [
        ("note", "N215", "parts.dl", 2),
        ("note", "N215", "deep.dl", 1),
    ]
    assert all(
        Path(related.span.file).name == "net.dl" and related.span.line == 1 for d in notes for related in d.related
    )


def test_definitions_that_nobody_uses_are_read_for_unknown_names() -> None:
    text = "layer L(n):\n    input A : (k, m)\n    param W : (n, kk)\n    output relo(W @ A)\n" + model("output X")
    result = check(Path("net.dl"), text=text)
    assert result.checked is None
    assert [d.message for d in result.diagnostics] == ["unknown name kk", "unknown name relo"]


def test_imported_files_bring_their_own_constants(tmp_path: Path) -> None:
    (tmp_path / "parts.dl").write_text("units = 7\nlayer Wide():\n    input A : (n, m)\n    output A -> Dense(units)\n")
    (tmp_path / "net.dl").write_text('import "parts.dl"\n' + model("output A = X -> Wide()"))
    checked = check(tmp_path / "net.dl").checked
    assert checked is not None
    assert checked.parameters["wide[1].dense[1].W"].shape == (7, 3)


def test_several_models_have_their_own_blocks() -> None:
    form = "model {}:\n    input X : (3, m)\n    output X\n"
    text = form.format("A") + "train:\n    batch = 3\n" + form.format("B")
    one, two = (check(Path("net.dl"), text=text, model=name).checked for name in "AB")
    assert one is not None
    assert one.train is not None
    assert two is not None
    assert two.train is None
    assert check(Path("net.dl"), text=text).checked is None
