"""Factors out of sums, and sums out of sums: the same values, and as few passes over the data as the course needs."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pass_cases import M, text

import dlc
from dlc.compiler.dims import Dim, tensor
from dlc.compiler.driver import programs
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ir.formula import formula
from dlc.compiler.passes import verify
from dlc.compiler.passes.factor import factor
from dlc.runtime.reference import evaluate

TYPES = {
    **dict.fromkeys("xyz", tensor(M, 2, 3, 4)),
    "channel": tensor(1, 1, 1, 4),
    "scale": tensor(1, 1, 1, 4),
    "example": tensor(M, 1, 1, 4),
    "row": tensor(1, 2, 1, 1),
    "s": tensor(),
}
EXAMPLES = 5


def program(*texts: str) -> Graph:
    """One root for each formula (`0`, `1`, …) over the inputs of `TYPES`, and `n` = m * 2 * 3."""
    b = Builder()
    values = {name: b.typed("input", (), (("name", name),), type) for name, type in TYPES.items()}
    values["n"] = b.size(Dim.symbol(M) * 6)
    values["n_maps"] = b.size(Dim.symbol(M))
    return Graph.of({str(i): formula(each).build(b, values) for i, each in enumerate(texts)}, {})


def assert_same_values(before: Graph, after: Graph, seed: int = 0) -> None:
    verify(after)
    assert set(after.roots) == set(before.roots)
    rng = np.random.default_rng(seed)
    bindings = {
        ("input", name): rng.standard_normal([EXAMPLES if size.constant is None else size.constant for size in t.sizes])
        for name, t in TYPES.items()
    }
    wanted, found = (evaluate(graph, bindings, {M: EXAMPLES}) for graph in (before, after))
    for name, value in wanted.items():
        scale = max(np.abs(value).max(), 1)
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12 * scale, err_msg=name)


ALL = "axes=(0, 1, 2)"
MEAN = f"(sum(x, {ALL}) / n)"
FACTORED = [
    (f"sum(x * channel, {ALL})", f"mul(sum(x, {ALL}), channel)"),
    (f"sum(channel * x / scale, {ALL})", f"div(mul(sum(x, {ALL}), channel), scale)"),
    (f"sum(-(x * s) * channel, {ALL})", f"neg(mul(mul(sum(x, {ALL}), s), channel))"),
    (f"sum((x / scale) * (y / scale), {ALL})", f"div(div(sum(mul(x, y), {ALL}), scale), scale)"),
    ("sum(x * example * row, axes=(1, 2))", "mul(sum(mul(x, row), axes=(1, 2)), example)"),
    ("sum(x * row, axes=(2, 3))", "mul(sum(x, axes=(2, 3)), row)"),
    ("sum(x * s, axes=(3,))", "mul(sum(x, axes=(3,)), s)"),
    (f"sum(select(max(x, 0) > 0, y * channel, 0), {ALL})", f"mul(sum(select(gt(max(x, 0), 0), y, 0), {ALL}), channel)"),
    (
        "select(max(x, 0) > 0, y * example / sqrt(scale + 1), 0)",
        "div(mul(select(gt(max(x, 0), 0), y, 0), example), sqrt(add(scale, 1)))",
    ),
    ("select(max(x, 0) > 0, -(y * channel), 0)", "neg(mul(select(gt(max(x, 0), 0), y, 0), channel))"),
]
STAYS = [
    f"sum(x * y, {ALL})",
    f"sum(channel / x, {ALL})",
    f"sum(x * example, {ALL})",
    "sum(x * row, axes=(0, 1))",
    f"sum(x + channel, {ALL})",
    f"sum(x + y * channel, {ALL})",
    f"sum(exp(x * channel), {ALL})",
    f"sum(x - {MEAN}, {ALL})",
    "select(max(x, 0) > 0, y * channel, z)",
    "select(channel > 0, y / channel, 0)",
    "select(max(x, 0) > 0, y / scale, 0)",
    "select(x > 0, y * channel, 0)",
    "select(x > 0, y * z, 0)",
    "select(x > 0, channel + y, 0)",
    f"max(x * channel, {ALL})".replace("max", "reduce_max"),
]


@pytest.mark.parametrize(("before", "after"), FACTORED, ids=[before for before, _ in FACTORED])
def test_what_a_sum_or_a_choice_does_not_run_over_leaves_it(before: str, after: str) -> None:
    graph = program(before, f"sum(z, {ALL})")
    made = factor(graph)
    assert text(made.roots["0"]) == after
    assert_same_values(graph, made)


@pytest.mark.parametrize("stays", STAYS)
def test_what_is_not_the_same_along_all_axes_stays(stays: str) -> None:
    graph = program(stays, "sum(z, axes=(1,))")
    assert text(factor(graph).roots["0"]) == text(graph.roots["0"])


def test_an_operand_that_something_else_reads_stays_whole() -> None:
    for other in ("exp(x * channel)", "x * channel"):
        graph = program(f"sum(x * channel, {ALL})", other)
        made = factor(graph)
        assert {name: text(node) for name, node in made.roots.items()} == {
            name: text(node) for name, node in graph.roots.items()
        }


# --- sums of terms ---------------------------------------------------------------------------------------------------

TERMS = [
    # the formula, the sums that the program has, and what it becomes
    (f"sum(x + y * channel, {ALL})", ("x", "y"), "sum(x) + sum(y) * channel"),
    (f"sum(x + (y / scale + z * s), {ALL})", ("x", "y", "z"), "sum(x) + sum(y) / scale + sum(z) * s"),
    (f"sum(y * channel + (x - {MEAN}) * scale, {ALL})", ("x", "y"), "sum(y) * channel"),
    (f"sum((x - {MEAN}) * scale + y, {ALL})", ("x", "y"), "sum(y)"),
    (f"sum((x - sum(x, {ALL}) * (1 / n)) + y, {ALL})", ("x", "y"), "sum(y)"),
]
UNKNOWN = [
    (f"sum(x + y, {ALL})", ("x",)),
    (f"sum(x + y * z, {ALL})", ("x", "y", "z")),
    (f"sum((x - sum(x, {ALL}) / n_maps) + y, {ALL})", ("x", "y")),
    (f"sum((x - sum(x, axes=(1, 2)) / 6) + y, {ALL})", ("x", "y")),
    (f"sum((x - sum(z, {ALL}) / n) + y, {ALL})", ("x", "y", "z")),
    (f"sum(x + channel, {ALL})", ("x",)),
]


def with_sums(wanted: str, known: tuple[str, ...]) -> Graph:
    """The formula is read by the root `0`, and is no root itself; the others are the sums that there are."""
    return program(f"exp(0.01 * {wanted})", *(f"sum({name}, {ALL})" for name in known))


def passes_over_data(graph: Graph) -> Counter[str]:
    return Counter(
        text(node) for node in graph.nodes if node.op == "sum" and node.inputs[0].type.sizes[0] == Dim.symbol(M)
    )


@pytest.mark.parametrize(("wanted", "known", "after"), TERMS, ids=[case[0] for case in TERMS])
def test_a_sum_of_terms_is_made_of_their_sums(wanted: str, known: tuple[str, ...], after: str) -> None:
    graph = with_sums(wanted, known)
    made = factor(graph)
    spelled = after
    for name in "xyz":
        spelled = spelled.replace(f"sum({name})", f"sum({name}, {ALL})")
    assert text(made.roots["0"]) == text(program(f"exp(0.01 * ({spelled}))").roots["0"])
    assert passes_over_data(made) == Counter(f"sum({name}, {ALL})" for name in known)
    assert_same_values(graph, made)


@pytest.mark.parametrize(("wanted", "known"), UNKNOWN, ids=[case[0] for case in UNKNOWN])
def test_a_sum_with_a_term_that_is_not_known_stays(wanted: str, known: tuple[str, ...]) -> None:
    graph = with_sums(wanted, known)
    assert text(factor(graph).roots["0"]) == text(graph.roots["0"])


def test_a_root_is_summed_as_it_is_written() -> None:
    """It has to be there anyway, and what it is called belongs to it."""
    graph = program(f"sum(x + y, {ALL})", f"sum(x, {ALL})", f"sum(y, {ALL})")
    made = factor(graph)
    assert {name: text(node) for name, node in made.roots.items()} == {
        name: text(node) for name, node in graph.roots.items()
    }


# --- any formula -----------------------------------------------------------------------------------------------------


def random_formula(rng: random.Random, depth: int) -> str:
    """Of the shape of x, y and z."""

    def inner() -> str:
        return random_formula(rng, depth - 1)

    if depth == 0:
        return rng.choice("xyz")
    factor_ = rng.choice(["channel", "scale", "example", "row", "s", "0.5", "(channel * s)", "exp(example)"])
    axes = rng.choice(["0, 1, 2", "1, 2", "0, 2", "3", "0, 1, 2, 3", "0"])
    return rng.choice(
        [
            lambda: f"({inner()} * {factor_})",
            lambda: f"({factor_} * {inner()})",
            lambda: f"({inner()} / (2 + tanh({factor_})))",
            lambda: f"-{inner()}",
            lambda: f"({inner()} + {inner()})",
            lambda: f"({inner()} - {MEAN})",
            lambda: f"({inner()} * {inner()})",
            lambda: f"select({rng.choice('xyz')} > {rng.choice('xyz')}, {inner()}, 0)",
            lambda: f"select({rng.choice('xyz')} > 0, {inner()}, {inner()})",
            lambda: f"({inner()} * tanh(sum({inner()}, axes=({axes},))))",
        ]
    )()


def test_random_formulas_keep_their_values() -> None:
    changed = 0
    for seed in range(300):
        rng = random.Random(seed)
        axes = rng.choice(["0, 1, 2", "1, 2", "0, 2", "0, 1, 2, 3"])
        texts = [f"tanh(sum({random_formula(rng, rng.randint(1, 5))}, axes=({axes})))" for _ in range(2)]
        texts += [f"sum({name}, axes=({axes}))" for name in rng.sample("xyz", rng.randint(0, 3))]
        graph = program(*texts, random_formula(rng, 3))
        made = factor(graph)
        changed += [text(node) for node in made.roots.values()] != [text(node) for node in graph.roots.values()]
        assert_same_values(graph, made, seed)
    assert changed > 100


# --- what it is for --------------------------------------------------------------------------------------------------

NET = """
model Net:
    input  X : (m, 6, 5, 3)
    target Y : (m, 6, 5, 4)
    param W[1] : (3, 3, 3, 4) ~ he
    param W[2] : (3, 3, 4, 4) ~ he
    A = relu(convolve(X, W[1], pad = same) -> BatchNorm())
    Z = convolve(A, W[2], pad = same) -> BatchNorm()
    Y_hat = relu(Z + A)
    loss   squared_error(Y_hat, Y)
    output Y_hat
"""


def sums_of_maps(graph: Graph) -> list[Node]:
    """The sums over the places of all examples."""
    return [node for node in graph.nodes if node.op == "sum" and node.attr("axes") == (0, 1, 2)]


def test_batch_norm_s_backward_pass_has_two_sums_over_the_data(tmp_path: Path) -> None:
    """Forward the mean and the variance; backward the sums of dZ and dZ * (Z - mean Z), which are dbeta's and dgamma's
    too: four for each of the two normalizations, and no other sum over the places of feature maps."""
    path = tmp_path / "net.dl"
    path.write_text(NET.lstrip("\n"))
    spec = dlc.load(path)
    graph = programs(spec.checked).graphs["backward"]
    assert len(sums_of_maps(graph)) == 8
