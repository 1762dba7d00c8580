"""Simplification: same values, the course's form, a fixed point."""

from __future__ import annotations

import random

import numpy as np
import pytest
from pass_cases import TYPES, M, labels, program, text, with_gradient

from dlc.compiler.dims import scalar
from dlc.compiler.ir import Builder, Graph, Node, rebuild
from dlc.compiler.ir.formula import formula
from dlc.compiler.passes import erase, expand, run, simplify
from dlc.runtime.reference import evaluate

FORMS = [
    ("x * 1 + 0", "x"),
    ("0 - x", "neg(x)"),
    ("x + -y", "sub(x, y)"),
    ("-x + y", "sub(y, x)"),
    ("-x - -y", "sub(y, x)"),
    ("-x * -y", "mul(x, y)"),
    ("x + -2 * y", "sub(x, mul(2, y))"),
    ("sum(-x, axes=(0,))", "neg(sum(x, axes=(0,)))"),
    ("sum(x * s, axes=(0,))", "mul(s, sum(x, axes=(0,)))"),
    ("2 * (3 * x)", "mul(6, x)"),
    ("x * 2 * s", "mul(mul(2, s), x)"),
    ("x ** 1", "x"),
    ("x ** 0.5", "sqrt(x)"),
    ("x + x", "mul(2, x)"),
    ("x - (1 - 1) * 5", "x"),
    ("exp(0) * x", "x"),
    ("W.T.T", "W"),
    ("(W @ x.T.T).T", "transpose(matmul(W, x))"),
    ("(x @ z.T).T", "matmul(z, transpose(x))"),
    ("(x.T @ z).T", "matmul(transpose(z), x)"),
    ("x * 3 / 4", "mul(0.75, x)"),
    ("0.8 * x / 0.8", "x"),
    ("x / 3", "div(x, 3)"),
    ("x / 2 / 3", "div(x, 6)"),
    ("-drop(-sum(row, axes=(1,)), axes=(0, 1))", "drop(sum(row, axes=(1,)), axes=(0, 1))"),
    ("W @ -x", "neg(matmul(W, x))"),
    ("select(x > 0, y, y)", "y"),
    ("select(x > 0, y, 0) + select(x > 0, 0, z)", "select(gt(x, 0), y, z)"),
    ("sum(sum(x, axes=(0,)), axes=(1,))", "sum(x, axes=(0, 1))"),
    ("sum(row, axes=(0,))", "row"),
    ("1 - (1 - x)", "x"),
    ("x * y - z * y", "mul(y, sub(x, z))"),
    ("(y * x) / (x * y)", "div(mul(y, x), mul(y, x))"),
    ("0 * real(x > 0)", "broadcast(0, axes=(3, m))"),
    ("0 * x", "mul(0, x)"),
    ("x - x", "sub(x, x)"),
    ("x / x", "div(x, x)"),
]


@pytest.mark.parametrize(("before", "after"), FORMS, ids=[form[0] for form in FORMS])
def test_forms(before: str, after: str) -> None:
    _, graph, _ = program(before)
    shown = text(run(graph, (simplify,)).roots["0"])
    assert (
        shown.replace("Axis(size=Dim(3), name=None, one=False)", "3").replace(
            "Axis(size=Dim(m), name=None, one=False)", "m"
        )
        == after
    )


def test_broadcasts_only_where_an_op_does_not_broadcast_by_itself() -> None:
    b, _, inputs = program()
    axes = inputs["x"].type.axes
    values = {**inputs, "axes": axes}
    grown = formula("broadcast(column, axes=axes) * x + broadcast(s, axes=axes)").build(b, values)
    both = formula("broadcast(column, axes=axes) + row").build(b, values)
    once = formula("exp(broadcast(column, axes=axes))").build(b, values)
    counted = formula("sum(broadcast(row, axes=axes), axes=(0,))").build(b, values)
    graph = run(erase(Graph.of({"grown": grown, "both": both, "once": once, "counted": counted})), (simplify,))
    assert text(graph.roots["grown"]) == "add(mul(column, x), s)"
    assert text(graph.roots["both"]).startswith("add(broadcast(column")
    assert text(graph.roots["once"]).startswith("broadcast(exp(column)")
    assert text(graph.roots["counted"]) == "mul(3, row)"


def test_one_hot_columns_sum_to_1() -> None:
    b, _, inputs = program()
    graph = Graph.of({"0": formula("x * sum(Y, axes=(0,))").build(b, {"x": inputs["x"], "Y": labels(b)})})
    assert text(run(graph, (erase, simplify)).roots["0"]) == "x"


@pytest.mark.parametrize(
    ("activation", "gradient"),
    [
        ("tanh(z)", "mul(x, sub(1, pow(tanh(z), 2)))"),
        ("max(0, z)", "select(gt(z, 0), x, 0)"),
        ("max(z, 0)", "select(gt(z, 0), x, 0)"),
        ("max(0.01 * z, z)", "select(gt(z, 0), x, mul(0.01, x))"),
        ("1 / (1 + exp(-z))", "mul(x, mul(sigmoid(z), sub(1, sigmoid(z))))"),
        ("select(z > 0, z, exp(z) - 1)", "select(gt(z, 0), x, mul(x, exp(z)))"),
        ("log(1 + exp(z))", "mul(x, sigmoid(z))"),
        ("z ** 2", "mul(2, mul(x, z))"),
    ],
)
def test_derivatives_read_like_the_course(activation: str, gradient: str) -> None:
    """x stands for dA: the gradient of sum(dA * g(z)) is dA * g'(z)."""
    _, graph, _ = program(f"{activation} * x")
    assert text(with_gradient(graph, "z").roots["gradient"]) == gradient


def test_hidden_layer_reads_like_the_course() -> None:
    """dZ1 = W2.T @ dZ2 * (1 - A1^2)"""
    _, graph, _ = program("sigmoid(W @ tanh(z))")
    dz2 = "mul(sigmoid(matmul(W, tanh(z))), sub(1, sigmoid(matmul(W, tanh(z)))))"
    da1 = f"matmul(transpose(W), {dz2})"
    assert text(with_gradient(graph, "z").roots["gradient"]) == f"mul({da1}, sub(1, pow(tanh(z), 2)))"


def test_powers_are_written_out_for_the_machine() -> None:
    _, graph, _ = program("x ** 2 + y ** 3")
    assert text(expand(graph).roots["0"]) == "add(mul(x, x), mul(mul(y, y), y))"


class RandomProgram:
    """Random formulas over `TYPES`, with the shapes that fit."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.b, _, self.inputs = program()

    def matrix(self, depth: int) -> Node:
        """A value of shape (3, m)."""
        r, b = self.random, self.b
        if depth == 0:
            return self.inputs[r.choice(["x", "y", "z"])]
        x = self.matrix(depth - 1)
        match r.randrange(8):
            case 0:
                return b.add(r.choice(["neg", "tanh", "sigmoid", "abs", "sign"]), x)
            case 1 | 2:
                return b.add(r.choice(["add", "sub", "mul", "max", "min"]), x, self.matrix(depth - 1))
            case 3:
                return b.add(r.choice(["add", "sub", "mul"]), *r.sample([x, self.part(depth - 1)], 2))
            case 4:
                grown = b.add("broadcast", self.part(depth - 1), axes=x.type.axes)
                return b.add(r.choice(["add", "sub", "mul"]), *r.sample([x, grown], 2))
            case 5:
                condition = b.add(r.choice(["lt", "ge"]), x, self.part(depth - 1))
                chosen = [self.matrix(depth - 1), b.constant(float(r.randrange(2)))]
                return b.add("select", condition, *r.sample(chosen, 2))
            case 6:
                return b.add("transpose", b.add(r.choice(["neg", "tanh"]), b.add("transpose", x)))
            case _:
                return b.add("div", x, b.constant(float(r.choice([-2, -1, 1, 4]))))

    def part(self, depth: int) -> Node:
        """A scalar, a constant, a row, a column or a sum."""
        r, b = self.random, self.b
        match r.randrange(6):
            case 0:
                return self.inputs[r.choice(["s", "t"])]
            case 1:
                return b.constant(float(r.choice([-2, -1, 0, 1, 3])))
            case 2:
                return self.inputs[r.choice(["row", "column"])]
            case 3:
                return b.add("mul", b.constant(float(r.choice([-2, 3]))), self.inputs["s"])
            case 4:
                return b.add("neg", self.part(depth))
        return b.add("sum", self.matrix(depth), axes=r.choice([(0,), (1,), (0, 1)]))


@pytest.mark.parametrize("seed", range(150))
def test_random_programs_keep_their_value_and_reach_a_fixed_point(seed: int) -> None:
    made = RandomProgram(seed)
    graph = erase(Graph.of({"0": made.matrix(5)}))
    simple = run(graph, (simplify,))
    rng = np.random.default_rng(seed)
    bindings = {("input", name): rng.normal(size=[4 if s == M else s for s in _shape(name)]) for name in TYPES}
    before, after = (evaluate(g, bindings, {M: 4})["0"] for g in (graph, simple))
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9 * (1 + np.abs(before).max()))
    b = Builder()
    again = run(simple, (simplify,))
    assert rebuild(again, _as_it_is, b).roots["0"] is rebuild(simple, _as_it_is, b).roots["0"]


def _as_it_is(b: Builder, node: Node, inputs: tuple[Node, ...]) -> None:
    return None


def _shape(name: str) -> list[object]:
    return [M if axis.size.constant is None else int(axis.size.constant) for axis in TYPES[name].axes]


def test_division_by_the_constant_zero_ends() -> None:
    b = Builder()
    x = b.typed("input", (), (("name", "x"),), scalar())
    quotient = b.add("div", b.add("mul", b.constant(2.0), x), b.constant(0.0))
    graph = run(Graph.of({"y": quotient}), (simplify,))
    assert evaluate(graph, {("input", "x"): 3.0}, {})["y"] == float("inf")
