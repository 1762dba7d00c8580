"""What a loop has computed is given to the loop of its gradient: the same values, few kept, none computed twice."""

from __future__ import annotations

import pytest
from loop_cases import TIME, assert_equal, by_hand, ops, shape, steps

from dlc.compiler.dims import tensor
from dlc.compiler.ir import Graph
from dlc.compiler.passes import BEFORE_CODE, keep, run
from dlc.compiler.program import M

A, W, X = tensor(2, M), tensor(2, 2), tensor(2, M, TIME)


def one(**roots: str) -> Graph:
    takes = tuple(name.replace("_", ".") for name in roots if name.startswith(("carry_", "out_")))
    return by_hand(roots, takes, {"x": (X, 2)}, {"a": A}, {"W": W})


def kept(graph: Graph) -> list[str]:
    """The ops of what a graph's first scan collects for others."""
    return [node.op for name, node in steps(graph)[0].graph.roots.items() if name.startswith("out.")]


@pytest.mark.parametrize(
    ("roots", "names"),
    [
        ({"carry_0": "x * tanh(W @ a)"}, ["tanh"]),
        ({"z": "sigmoid(W @ a)", "carry_0": "z * (1 - z) * x"}, ["sigmoid"]),
        ({"carry_0": "x * exp(2 * tanh(W @ a))"}, ["tanh", "exp"]),
        ({"carry_0": "x * softmax(W @ a, axes=(0,))"}, ["exp", "sum"]),
        ({"carry_0": "max(0, W @ a) * x + a"}, ["max"]),
        ({"carry_0": "sin(W @ a)"}, ["matmul"]),
        ({"carry_0": "W @ a + 3 * x * a"}, []),
        ({"carry_0": "x * tanh(draw * a)"}, ["draw_uniform", "tanh"]),
        ({"carry_0": "a * tanh(x)"}, ["tanh"]),
        ({"carry_0": "(tanh(W) @ a) * x"}, ["matmul"]),
    ],
    ids=lambda value: str(value),
)
@pytest.mark.parametrize("reverse", [False, True])
def test_few_values_are_kept(roots: dict[str, str], names: list[str], reverse: bool) -> None:
    before = by_hand(roots, ("carry.0",), {"x": (X, 2)}, {"a": A}, {"W": W}, reverse)
    after = run(before, (keep,))
    assert sorted(kept(after)) == sorted(names)
    assert not ops(steps(after)[1]) & ({*names} - {"matmul", "sum"})
    assert_equal(before, after)


def test_what_is_collected_anyway_is_not_collected_again() -> None:
    before = one(carry_0="tanh(W @ a + x)", out_0="sigmoid(W @ a)")
    after = run(before, (keep,))
    assert len(steps(after)[0].graph.roots) == 2
    assert not ops(steps(after)[1]) & {"tanh", "sigmoid"}
    assert_equal(before, after)


def test_the_loops_of_the_gradient_are_given_no_weights_that_they_do_not_read() -> None:
    before = by_hand(
        {"carry_0": "tanh(W @ a + V @ x + b)"},
        ("carry.0",),
        {"x": (X, 2)},
        {"a": A},
        {"W": W, "V": W, "b": tensor(2, 1)},
    )
    after = run(before, (keep,))
    backward = next(node for node in after.nodes if node.op == "scan" and node.attr("step") is steps(after)[1])
    names = [value.attr("name") for value in backward.inputs if value.op == "input"]
    assert sorted(names) == ["V", "W", "x"]


def test_what_grows_with_two_sizes_is_computed_again() -> None:
    """tanh at each place of a second axis: reading it takes as long."""
    keys = tensor(2, M, TIME)
    roots = {"h": "tanh(K + expand(a, axes=(2,)))", "carry_0": "tanh(drop(sum(h * h, axes=(2,)), axes=(2,)) + x)"}
    before = by_hand(roots, ("carry.0",), {"x": (X, 2)}, {"a": A}, {"K": keys})
    after = run(before, (keep,))
    assert all(shape(node) != (2, 0, 0) for node in steps(after)[0].graph.roots.values())
    assert "tanh" in ops(steps(after)[1])
    assert_equal(before, after)


def test_nothing_is_left_to_keep() -> None:
    after = run(one(carry_0="x * tanh(W @ a)"), (keep,))
    again = run(after, BEFORE_CODE)
    assert kept(again) == ["tanh"]
    assert_equal(after, again)
