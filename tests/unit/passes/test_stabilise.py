"""Both sides of every stabilising rule: equal where the left side is finite, and the right side finite at ±1e4."""

from __future__ import annotations

import numpy as np
import pytest
from pass_cases import M, in_float32, labels, program, text, with_gradient

from dlc.compiler.dims import TensorType
from dlc.compiler.ir import Graph
from dlc.compiler.ir.formula import formula
from dlc.compiler.passes import BEFORE_CODE, BEFORE_GRADIENTS, erase, run, stabilise
from dlc.runtime.reference import evaluate

SIGMOIDS = ["1 / (1 + exp(-z))", "1 / (exp(-z) + 1)", "exp(z) / (1 + exp(z))", "exp(z) / (exp(z) + 1)", "sigmoid(z)"]
CROSS_ENTROPIES = [
    "-(Y * log(a) + (1 - Y) * log(1 - a))",
    "-((1 - Y) * log(1 - a) + Y * log(a))",
    "-(log(a) * Y + log(1 - a) * (1 - Y))",
    "-Y * log(a) - (1 - Y) * log(1 - a)",
    "-(1 - Y) * log(1 - a) - Y * log(a)",
    "-(Y * log(a)) - (1 - Y) * log(1 - a)",
    "-1 * (Y * log(a) + (1 - Y) * log(1 - a))",
    "(Y - 1) * log(1 - a) - Y * log(a)",
]
EQUAL = [
    ("1 / (1 + exp(-z))", "sigmoid(z)", True),
    ("1 / (1 + exp(z))", "sigmoid(neg(z))", True),
    ("1 / (1 + exp(x - z))", "sigmoid(sub(z, x))", True),
    ("exp(z) / (1 + exp(z))", "sigmoid(z)", True),
    ("z / (1 + exp(-z))", "mul(z, sigmoid(z))", True),
    ("log(1 + exp(z))", "softplus(z)", True),
    ("log(1 / (1 + exp(-z)))", "neg(softplus(neg(z)))", True),
    ("log(1 - 1 / (1 + exp(-z)))", "neg(softplus(z))", True),
    ("(exp(z) - exp(-z)) / (exp(z) + exp(-z))", "tanh(z)", True),
    ("(exp(2 * z) - 1) / (exp(2 * z) + 1)", "tanh(z)", True),
    ("(1 - exp(-2 * z)) / (1 + exp(-2 * z))", "tanh(z)", True),
    ("exp(z) / sum(exp(z), axes=(0,))", "softmax(z, axes=(0,))", True),
    ("log(exp(z) / sum(exp(z), axes=(0,)))", "log_softmax(z, axes=(0,))", True),
    ("z - log(sum(exp(z), axes=(0,)))", "log_softmax(z, axes=(0,))", True),
    ("log(sum(exp(z), axes=(0,)))", "logsumexp(z, axes=(0,))", True),
    (
        "exp(z - reduce_max(z, axes=(0,))) / sum(exp(z - reduce_max(z, axes=(0,))), axes=(0,))",
        "softmax(z, axes=(0,))",
        False,
    ),
    ("log(exp(z))", "z", True),
    ("sqrt(z ** 2)", "abs(z)", False),
    ("sqrt(z * z)", "abs(z)", False),
]
"""Left side, right side, and whether the left side fails in float32 at ±1e4."""

EXTREME = np.array([[1e4, -1e4, 30.0, 0.0], [-1e4, -1e4, -30.0, 0.0], [-1e4, 1e4, 90.0, 5.0]])
ZERO_OR_ONE = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]])


def ordinary(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(size=(3, 5)) for name in ("x", "y", "z")}
    return {**arrays, "Y": rng.integers(0, 2, (3, 5)).astype(float)}


def values(graph: Graph, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    m = next(iter(arrays.values())).shape[-1]
    return evaluate(graph, {("input", name): array for name, array in arrays.items()}, {M: m})


@pytest.mark.parametrize(("left", "right", "fails"), EQUAL, ids=[case[0] for case in EQUAL])
def test_both_sides(left: str, right: str, fails: bool) -> None:
    _, graph, _ = program(left)
    stable = run(graph, BEFORE_GRADIENTS)
    assert text(stable.roots["0"]) == right
    raw, derived = with_gradient(graph, "z", before=False), run(with_gradient(graph, "z"), BEFORE_CODE)
    arrays = {name: array for name, array in ordinary().items() if ("input", name) in _inputs(graph)}
    for name, value in values(derived, arrays).items():
        np.testing.assert_allclose(value, values(raw, arrays)[name], rtol=1e-12, atol=1e-13)
    extreme = {name: EXTREME if name == "z" else np.zeros_like(EXTREME) for name in arrays}
    before, after = in_float32(raw, extreme, 4), in_float32(derived, extreme, 4)
    assert all(np.isfinite(value).all() for value in after.values())
    if fails:
        assert not all(np.isfinite(value).all() for value in before.values())


def _inputs(graph: Graph) -> set[tuple[str, str]]:
    return {(node.op, node.attr("name")) for node in graph.nodes}


def test_every_way_of_writing_the_binary_cross_entropy_is_one_value() -> None:
    texts = [loss.replace("a)", f"({a}))") for a in SIGMOIDS for loss in CROSS_ENTROPIES]
    assert len(texts) == 40
    _, graph, _ = program(*texts)
    stable = run(graph, BEFORE_GRADIENTS)
    assert {text(root) for root in stable.roots.values()} == {"sub(softplus(z), mul(Y, z))"}
    assert len(set(stable.roots.values())) == 1


@pytest.mark.parametrize("a", SIGMOIDS[:4])
def test_binary_cross_entropy_at_extreme_logits_in_float32(a: str) -> None:
    """The course's formula: softplus(z) - Y z, and the gradient a - Y, from logits of ±1e4."""
    _, graph, _ = program(CROSS_ENTROPIES[0].replace("a)", f"({a}))"))
    arrays = {"z": EXTREME, "Y": ZERO_OR_ONE}
    raw = in_float32(with_gradient(graph, "z", before=False), arrays, 4)
    assert not all(np.isfinite(value).all() for value in raw.values())
    derived = with_gradient(graph, "z")
    assert text(derived.roots["gradient"]) == "sub(sigmoid(z), Y)"
    stable = in_float32(run(derived, BEFORE_CODE), arrays, 4)
    loss = np.where(ZERO_OR_ONE == 1, np.log1p(np.exp(-np.abs(EXTREME))) + np.maximum(-EXTREME, 0), 0)
    loss = np.where(ZERO_OR_ONE == 0, np.log1p(np.exp(-np.abs(EXTREME))) + np.maximum(EXTREME, 0), loss)
    a_minus_y = np.where(EXTREME >= 0, 1, np.exp(np.minimum(EXTREME, 0))) / (1 + np.exp(-np.abs(EXTREME))) - ZERO_OR_ONE
    np.testing.assert_allclose(stable["0"], loss, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(stable["gradient"], a_minus_y, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        ("-sum(Y * log(a) + (1 - Y) * log(1 - a), axes=(0,))", "sub(sigmoid(z), Y)"),
        ("-sum(Y * log(a), axes=(0,)) - sum((1 - Y) * log(1 - a), axes=(0,))", "sub(sigmoid(z), Y)"),
        ("-s * (Y * log(a) + (1 - Y) * log(1 - a))", "mul(s, sub(sigmoid(z), Y))"),
        ("-1 / 2 * (Y * log(a) + (1 - Y) * log(1 - a))", "mul(0.5, sub(sigmoid(z), Y))"),
    ],
)
def test_binary_cross_entropy_with_sums_and_weights(loss: str, gradient: str) -> None:
    _, graph, _ = program(loss.replace("a)", "(1 / (1 + exp(-z))))"))
    assert text(with_gradient(graph, "z").roots["gradient"]) == gradient


def test_class_weights_stay_stable() -> None:
    """w Y log(a) + (1 - Y) log(1 - a) is no softplus(z) - Y z, but each logarithm is stable."""
    _, graph, _ = program("-(3 * Y * log(1 / (1 + exp(-z))) + (1 - Y) * log(1 - 1 / (1 + exp(-z))))")
    stable = run(with_gradient(graph, "z"), BEFORE_CODE)
    arrays = {"z": EXTREME, "Y": ZERO_OR_ONE}
    assert all(np.isfinite(value).all() for value in in_float32(stable, arrays, 4).values())
    raw = with_gradient(graph, "z", before=False)
    for name, value in values(stable, ordinary()).items():
        np.testing.assert_allclose(value, values(raw, ordinary())[name], rtol=1e-12, atol=1e-13)


def softmax_cross_entropy() -> Graph:
    b, _, _ = program()
    y = labels(b)
    z = b.typed("input", (), (("name", "z"),), TensorType(y.type.axes))
    a = formula("exp(z) / sum(exp(z), axes=(0,))").build(b, {"z": z})
    loss = formula("drop(-sum(Y * log(a), axes=(0,)), axes=(0,))").build(b, {"Y": y, "a": a})
    return Graph.of({"0": loss}, {"A": a, "Y": y})


def test_softmax_with_cross_entropy_has_the_gradient_a_minus_y() -> None:
    raw = with_gradient(softmax_cross_entropy(), "z", before=False)
    derived = with_gradient(softmax_cross_entropy(), "z")
    assert text(derived.roots["gradient"]) == "sub(softmax(z, axes=(0,)), one_hot(labels, axis=0))"
    arrays = {"z": EXTREME, "labels": np.array([0.0, 1.0, 2.0, 1.0])}
    stable = in_float32(run(derived, BEFORE_CODE), arrays, 4)
    assert not all(np.isfinite(value).all() for value in in_float32(raw, arrays, 4).values())
    assert stable["0"] == pytest.approx([0, 2e4, 0, 5 + np.log(1 + 2 * np.exp(-5))], rel=1e-6)
    assert stable["gradient"][:, 1] == pytest.approx([0, -1, 1])
    assert np.abs(stable["gradient"].sum(axis=0)).max() < 1e-6


def test_names_follow_their_values() -> None:
    """After stabilisation A is the stable softmax."""
    written = softmax_cross_entropy()
    stable = run(Graph.of({**written.roots, "output": written.names["A"]}, written.names), BEFORE_GRADIENTS)
    assert text(stable.names["A"]) == "softmax(z, axes=(0,))"
    assert stable.names["A"] is stable.roots["output"]


def test_product_with_one_hot_is_a_look_up_and_its_gradient_adds_columns_up() -> None:
    b, _, inputs = program()
    table, columns = inputs["W"], labels(b)
    graph = Graph.of({"0": formula("(W @ Y) * (W @ Y)").build(b, {"W": table, "Y": columns})})
    derived = with_gradient(graph, "W")
    assert {"gather", "scatter_add"} <= {node.op for node in derived.nodes}
    assert not {"one_hot", "matmul"} & {node.op for node in derived.nodes}
    arrays = {"W": np.random.default_rng(0).normal(size=(4, 3)), "labels": np.array([2.0, 0.0, 2.0])}
    raw = with_gradient(graph, "W", before=False)
    for name, value in values(derived, arrays).items():
        np.testing.assert_allclose(value, values(raw, arrays)[name], rtol=1e-14)


def test_what_only_looks_alike_stays() -> None:
    """Other axes, another numerator, another base: no rule may take these."""
    texts = [
        "exp(x) / sum(exp(z), axes=(0,))",
        "1 / (2 + exp(-z))",
        "log(1 - exp(z))",
        "(1 - Y) * softplus(z) + x * softplus(-z)",
        "(exp(x) - exp(-z)) / (exp(x) + exp(-z))",
        "sqrt(z ** 3)",
    ]
    _, graph, _ = program(*texts)
    assert not {"softmax", "sigmoid", "tanh", "abs"} & {node.op for node in stabilise(erase(graph)).nodes}
    assert [text(root) for root in stabilise(graph).roots.values()][3].count("softplus") == 2
