"""Products with one-hot columns that were moved are look-ups, and their gradients sums by class: the same values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from loop_cases import assert_equal, derived
from padded import compiled

from dlc.compiler.dims import Dim, tensor
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ir.formula import formula
from dlc.compiler.passes import BEFORE_CODE, keep, look_up, run, take_out, verify
from dlc.compiler.program import M
from dlc.runtime.reference import evaluate


def net(first: str, step: str = "W @ a<t-1> + h<t>") -> str:
    """A recurrent network of words, whose `h` has 4 rows."""
    return f"""
model Net:
    dim T
    input  w : (7, m, T) one_hot
    target y : (2, m, T)
    {first}
    a<0> : (4, m) = 0
    param W : (4, 4) ~ glorot
    scan t in 1..T:
        a<t> = tanh({step})
    y_hat = a -> Dense(2)
    loss   squared_error(y_hat, y)
    output y_hat
"""


U = "param U : (4, 7) ~ glorot"
NETS = {
    "a layer of the words before": net("h = shift(w, over = T) -> Dense(4)"),
    "words of both directions": net("h = w -> Bidirectional(RNN(2), LSTM(2))"),
    "the word before in a step": net(f"{U}\n    w<0> : (7, m) = 0", "W @ a<t-1> + U @ w<t-1>"),
    "words beside other things": net(f"{U}\n    h = shift(w, over = T)", "W @ a<t-1> + U @ h<t>"),
}


@pytest.mark.parametrize("text", NETS.values(), ids=list(NETS))
def test_no_product_with_one_hot_columns_is_left(text: str, tmp_path: Path) -> None:
    before = derived(text, tmp_path)
    after = run(before, (keep, take_out, look_up))
    assert_equal(before, after)
    assert_equal(after, run(after, BEFORE_CODE))
    ops = [node.op for node in after.nodes]
    assert {"gather", "scatter_add"} <= {*ops}
    assert "one_hot" not in ops


MOVED = {
    "shift(X, axis=2)": "shift(X, axis=2)",
    "reverse(X, axis=1)": "reverse(X, axis=1)",
    "slice(X, axis=2, start=s1, size=s2)": "a slice",
    "concat(slice(X, axis=2, start=s1, size=s2), X, axis=2)": "two parts",
    "concat(zeros, X, axis=2)": "zeros",
    "reshape(shift(X, axis=2), axes=flat)": "flat",
}


@pytest.mark.parametrize("text", list(MOVED), ids=list(MOVED.values()))
@pytest.mark.parametrize("turned", [False, True])
def test_columns_are_moved_as_one_hot_ones_are(text: str, turned: bool) -> None:
    """W @ X, and Z @ X.T in both orders of its factors."""
    b = Builder()
    words = b.typed("input", (), (("name", "words"),), tensor(M, 4, kind="index", classes=5))
    values = {
        "X": b.add("one_hot", words, axis=0, classes=Dim.of(5)),
        "W": b.typed("input", (), (("name", "W"),), tensor(3, 5)),
        "s1": Dim.of(1),
        "s2": Dim.of(2),
        "zeros": b.add("broadcast", b.constant(0.0), axes=tensor(5, M, 1).axes),
        "flat": tensor(5, Dim.symbol(M) * 4).axes,
    }
    moved: Node = formula(text).build(b, values)
    z = b.typed("input", (), (("name", "Z"),), moved.type.with_axes((tensor(3).axes[0], *moved.type.axes[1:])))
    labels = tuple("mt"[: moved.type.rank - 1])
    sides = [(moved, ("v", *labels)), (z, ("n", *labels))]
    (first, left), (second, right) = sides[::-1] if turned else sides
    counted = b.add("einsum", first, second, left=left, right=right, result=("n", "v") if turned else ("v", "n"))
    graph = Graph.of({"taken": b.add("matmul", values["W"], moved), "counted": counted})
    after = look_up(graph)
    verify(after)
    assert not {"matmul", "einsum"} & {node.op for node in after.nodes}
    random = np.random.default_rng(0)
    shape = tuple(int(size.evaluate({M: 3})) for size in z.type.sizes)
    arrays = {
        ("input", "words"): random.integers(0, 5, (3, 4)),
        ("input", "W"): random.normal(size=(3, 5)),
        ("input", "Z"): random.normal(size=shape),
    }
    wanted, found = (evaluate(one, arrays, {M: 3}) for one in (graph, after))
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-14, atol=1e-14)


def test_columns_whose_classes_change_places_are_no_look_up() -> None:
    b = Builder()
    words = b.typed("input", (), (("name", "words"),), tensor(M, kind="index", classes=5))
    x = b.add("reverse", b.add("one_hot", words, axis=0, classes=Dim.of(5)), axis=0)
    product = b.add("matmul", b.typed("input", (), (("name", "W"),), tensor(3, 5)), x)
    assert look_up(Graph.of({"": product})).roots[""].op == "matmul"


def test_a_stack_of_products_stays_one() -> None:
    """Of each example its own sum."""
    b = Builder()
    words = b.typed("input", (), (("name", "words"),), tensor(M, 4, kind="index", classes=5))
    x = b.add("one_hot", words, axis=0, classes=Dim.of(5))
    z = b.typed("input", (), (("name", "Z"),), tensor(3, M, 4))
    product = b.add("einsum", z, x, left=("n", "m", "t"), right=("v", "m", "t"), result=("n", "v", "m"))
    assert [node.op for node in look_up(Graph.of({"": product})).nodes][-1] == "einsum"


def test_a_metric_that_counts_by_class(tmp_path: Path) -> None:
    """The sum of the squares of a table over all examples, on what every batch leaves of the table."""
    text = """
model Net:
    input  x : (3, m)
    target y : (2, m) one_hot
    y_hat = x -> Dense(2, softmax)
    loss   cross_entropy(y_hat, y)
    metric share = sum(einsum(y_hat, y, (i, m), (j, m) -> (i, j))^2)
    output y_hat
"""
    model = compiled(text, tmp_path)
    x, y = np.random.default_rng(0).normal(size=(3, 5)), np.array([0, 1, 1, 0, 1])
    table = model.forward(x=x)["y_hat"] @ np.eye(2)[y]
    assert model.evaluate(x=x, y=y)["share"] == pytest.approx(np.sum(table**2), rel=1e-12)
    assert any(node.op == "scatter_add" for level in model.main.programs.evaluation.levels for node in level.nodes)
