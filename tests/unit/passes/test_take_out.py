"""Loops without what need not be in them: the same values, and steps of one product and elementwise work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from loop_cases import TIME, around, assert_equal, by_hand, derived, ops, products, shape, steps

from dlc.compiler.dims import tensor
from dlc.compiler.ir import Graph
from dlc.compiler.passes import BEFORE_CODE, keep, run, take_out
from dlc.compiler.program import M

SPECS = Path(__file__).resolve().parents[3] / "specs"
SIMPLIFIED_GRU = """
layer Simplified(n_c):
    input x : (n_x, m, T)
    param W_c, W_u : (n_c, n_c + n_x) ~ glorot
    param b_c, b_u : (n_c, 1)         ~ zeros
    c<0> : (n_c, m) = 0
    scan t in 1..T:
        G_u  = sigmoid(W_u @ concat(c<t-1>, x<t>, over = first) + b_u)
        c<t> = G_u * tanh(W_c @ concat(c<t-1>, x<t>, over = first) + b_c) + (1 - G_u) * c<t-1>
    output c : (n_c, m, T)
"""
OTHERS = """
layer Relu(n):
    input x : (n_x, m, T)
    param W : (n, n) ~ glorot
    param U : (n, n_x) ~ glorot
    param v : (n, 1) ~ normal(0, 1)
    a<0> : (n, m) = 0
    scan t in 1..T:
        p    = tanh(U @ (2 * x<t>)) * v
        a<t> = relu(W @ a<t-1> + p) + v * a<t-1>
        h<t> = tanh(W @ a<t>) * p
    output h : (n, m, T)

layer Normed(n):
    input x : (n_x, m, T)
    param W : (n, n_x) ~ glorot
    a<0> : (n, m) = 0
    scan t in 1..T:
        z    = a<t-1> + W @ x<t>
        a<t> = softmax(z - mean(z, over = first) + exp(W @ x<t>), over = first)
    output a : (n, m, T)

layer Twice(n):
    input x : (n_x, m, T)
    param W : (n, n + n_x) ~ glorot
    param V : (n, 2 * n)   ~ glorot
    a<0> : (n, m) = 1
    b<0> : (n, m) = 0
    scan t in 1..T:
        a<t> = tanh(W @ concat(b<t-1>, x<t>, over = first))
        b<t> = tanh(V @ concat(a<t>, b<t-1>, over = first)) - a<t-1>
    output concat(b, a, over = first)
"""
DECODER = """
model Net:
    dim T_x
    dim T
    input  x : (3, m, T_x)
    input  z : (2, m, T)
    target y : (2, m, T)
    attend = AdditiveAttention(5)
    param W_s : (4, 4 + 3 + 2) ~ glorot
    param b_s : (4, 1)         ~ zeros
    s<0> : (4, m) = 0
    scan t in 1..T:
        s<t> = tanh(W_s @ concat(s<t-1>, attend(s<t-1>, x), z<t>, over = first) + b_s)
    y_hat = s -> Dense(2)
    loss   squared_error(y_hat, y)
    output y_hat
"""
PEEPHOLE = (SPECS / "sequences/lstm_peephole.dl").read_text().partition("# How many")[0]
NETS = {
    "RNN": around("RNN(4)"),
    "relu": around("RNN(4, relu)"),
    "GRU": around("GRU(4)"),
    "simplified GRU": SIMPLIFIED_GRU + around("Simplified(4)"),
    "LSTM": around("LSTM(4)"),
    "peephole": PEEPHOLE + around("PeepholeLSTM(4)"),
    "bidirectional": around("Bidirectional(LSTM(4), GRU(3))"),
    "deep": around("GRU(4) -> LSTM(3) -> RNN(2)"),
    "one example of each size 1": around("LSTM(1)"),
    "words": around("Embedding(7, 3) -> LSTM(4)", classes=7),
    "decoder": DECODER,
    **{name: OTHERS + around(f"{name}(4)") for name in ("Relu", "Normed", "Twice")},
}


def written(text: str, folder: Path) -> tuple[Graph, Graph]:
    before = derived(text, folder)
    return before, run(before, (keep, take_out))


@pytest.mark.parametrize("text", NETS.values(), ids=list(NETS))
def test_loss_and_gradients_are_the_same(text: str, tmp_path: Path) -> None:
    before, after = written(text, tmp_path)
    for seed in range(2):
        assert_equal(before, after, seed)
    assert_equal(after, run(after, BEFORE_CODE))


def test_an_lstm_has_one_product_in_each_step(tmp_path: Path) -> None:
    _, after = written(around("LSTM(4)"), tmp_path)
    forward, backward = steps(after)
    assert products(forward) == [(16, 4)]
    assert products(backward) == [(4, 16)]
    assert (forward.carries, backward.carries) == (2, 2)
    assert not ops(backward) & {"tanh", "sigmoid", "exp", "sum"}
    assert [take for take in forward.graph.roots if take.startswith("out.")] == [f"out.{i}" for i in range(5)]
    assert [take for take in backward.graph.roots if take.startswith("out.")] == ["out.0"]


def test_the_weights_of_the_gradients_product_are_those_of_the_loops_transposed(tmp_path: Path) -> None:
    _, after = written(around("LSTM(4)"), tmp_path)
    forward, backward = (next(n for n in after.nodes if n.op == "scan" and n.attr("step") is s) for s in steps(after))
    (weights,) = (value for value in forward.inputs if shape(value) == (16, 4))
    (turned,) = (value for value in backward.inputs if shape(value) == (4, 16))
    assert turned.op == "transpose"
    assert turned.inputs == (weights,)


@pytest.mark.parametrize(
    ("layer", "forward", "backward"),
    [
        ("RNN(4)", [(4, 4)], [(4, 4)]),
        ("Simplified(4)", [(8, 4)], [(4, 8)]),
        ("GRU(4)", [(8, 4), (4, 4)], [(4, 4), (4, 8)]),
        ("PeepholeLSTM(4)", [(16, 4), (8, 4), (4, 4)], [(4, 4), (4, 16), (4, 8)]),
    ],
)
def test_as_few_products_as_the_recurrence_allows(
    layer: str, forward: list[tuple[int, int]], backward: list[tuple[int, int]], tmp_path: Path
) -> None:
    _, after = written(SIMPLIFIED_GRU + PEEPHOLE + around(layer), tmp_path)
    first, second = steps(after)
    assert sorted(products(first)) == sorted(forward)
    assert sorted(products(second)) == sorted(backward)


@pytest.mark.parametrize(("layer", "rows"), [("RNN(4)", 4), ("GRU(4)", 12), ("LSTM(4)", 16)])
def test_the_products_of_the_sequence_are_one_before_the_loop(layer: str, rows: int, tmp_path: Path) -> None:
    _, after = written(around(layer), tmp_path)
    x = next(node for node in after.nodes if node.op == "input" and node.attr("name") == "x")
    found = [node for node in after.nodes if node.op == "matmul" and node.inputs[1] is x]
    assert [shape(node) for node in found] == [(rows, 0, 0)]
    assert all(x not in node.inputs for node in after.nodes if node.op == "scan")


def test_the_gradient_of_the_sequence_is_one_product_behind_the_loop(tmp_path: Path) -> None:
    """Of the first of two layers the second gets no more than dZ."""
    _, after = written(around("Dense(5) -> LSTM(4)"), tmp_path)
    _, backward = steps(after)
    found = [n for n in after.nodes if n.op == "matmul" and n.inputs[1].op == "scan" and shape(n) == (5, 0, 0)]
    assert [node.inputs[1].attr("step") for node in found] == [backward]
    assert products(backward) == [(4, 16)]


def test_the_gradients_of_all_weights_are_two_products(tmp_path: Path) -> None:
    """dZ with a<t-1> and with x<t>, all gates at once, over the examples and steps."""
    _, after = written(around("LSTM(4)"), tmp_path)
    _, backward = steps(after)
    found = [n for n in after.nodes if n.op == "einsum" and n.inputs[0].attr("step") is backward]
    assert sorted(shape(node) for node in found) == [(16, 3), (16, 4)]
    sums = [n for n in after.nodes if n.op == "sum" and n.inputs[0].attr("step") is backward]
    assert [shape(node) for node in sums] == [(16, 1, 1)]


def test_an_output_of_each_step_is_computed_behind_the_loop(tmp_path: Path) -> None:
    _, after = written(OTHERS + around("Relu(4)"), tmp_path)
    forward, _ = steps(after)
    assert products(forward) == [(4, 4)]
    assert "tanh" not in ops(forward)


def test_what_an_attention_computes_of_all_places_is_not_collected(tmp_path: Path) -> None:
    """(5, m, T_x) at each step would be (5, m, T_x, T); one number for each place may be."""
    before, after = written(DECODER, tmp_path)
    for graph in (before, after):
        assert any(shape(node) == (5, 0, 0) for step in steps(graph) for node in step.graph.nodes)
    kept = {shape(node) for node in after.nodes if node.type.rank == 4}
    assert kept == {(1, 0, 0, 0), (1, 0, 1, 0), (3, 0, 1, 0)}


def test_an_attentions_bias_is_a_sum_of_what_is_added_up_for_its_keys(tmp_path: Path) -> None:
    """Carried are ds, dv and the gradient at all places; that of the bias sums the last of these."""
    _, after = written(DECODER, tmp_path)
    _, backward = steps(after)
    carried = [shape(node) for take, node in backward.graph.roots.items() if take.startswith("carry.")]
    assert sorted(carried) == [(1, 5), (4, 0), (5, 0, 0)]


A, W, X = tensor(2, M), tensor(2, 2), tensor(2, M, TIME)
WORDS = tensor(M, TIME, kind="index", classes=5)
STEPS_BY_HAND: dict[str, dict[str, Any]] = {
    "a product of weights on the right": {
        "roots": {"carry_0": "tanh(a + (x.T @ W).T + (a.T @ W).T)"},
    },
    "a product that is kept and collected": {
        "roots": {"z": "W @ x", "carry_0": "tanh(a + z)", "out_0": "z * a", "out_1": "sigmoid(W @ x + x)"},
        "takes": ("carry.0", "out.0", "out.1"),
    },
    "weights that are computed": {
        "roots": {"V": "tanh(W) @ W.T", "carry_0": "tanh(V @ a + V.T @ x)", "out_0": "V @ (W @ carry_0)"},
        "takes": ("last.0", "out.0"),
    },
    "einsum": {
        "roots": {
            "ax": "concat(a, x, axis=0)",
            "z": "einsum(V, ax, left=('o', 'i'), right=('i', 'm'), result=('o', 'm'))",
            "carry_0": "tanh(z + einsum(x, x, left=('i', 'm'), right=('i', 'm'), result=('i', 'm')))",
        },
        "constants": {"V": tensor(2, 4)},
    },
    "sums": {
        "roots": {
            "carry_0": "tanh(W @ a + x)",
            "carry_1": "s + (carry_0 @ x.T - 2 * W) + W * drop(sum(a, axes=(0, 1)), axes=(0, 1))",
            "carry_2": "x + t",
        },
        "takes": ("last.0", "last.1", "last.2"),
        "carries": {"a": A, "s": W, "t": A},
    },
    "a sum that is read": {
        "roots": {"carry_0": "tanh(s @ a + x)", "carry_1": "s + carry_0 @ x.T", "out_0": "carry_1 @ x"},
        "takes": ("out.0", "last.1"),
        "carries": {"a": A, "s": W},
    },
    "draws": {
        "roots": {"d": "real(draw < 0.5)", "carry_0": "tanh(W @ (x * d) + W @ a)", "out_0": "W @ (a * d)"},
        "takes": ("carry.0", "out.0"),
    },
    "a factor that is not known before the loop": {
        "roots": {"carry_0": "tanh(W @ (c + a) + b * (W @ c))", "carry_1": "s + c * a + b"},
        "takes": ("carry.0", "last.1"),
        "sequences": {},
        "carries": {"a": A, "s": A},
        "constants": {"W": W, "c": A, "b": tensor(2, 1)},
    },
    "a slice of a sum that is read too": {
        "roots": {
            "z": "V @ a + U @ x",
            "first": "slice(z, axis=0, start=zero, size=two)",
            "carry_0": "tanh(first) + tanh(slice(z, axis=0, start=two, size=two))",
            "out_0": "z",
        },
        "takes": ("carry.0", "out.0"),
        "constants": {"V": tensor(4, 2), "U": tensor(4, 2)},
    },
    "gates of one product": {
        "roots": {
            "z": "V @ concat(a, x, axis=0)",
            "gate": "sigmoid(slice(z, axis=0, start=zero, size=two))",
            "carry_0": "gate * tanh(slice(z, axis=0, start=two, size=two)) + a",
        },
        "constants": {"V": tensor(4, 4)},
    },
    "look-ups": {
        "roots": {"carry_0": "tanh(W @ gather(E, w) + W @ a)", "out_0": "gather(E, w) * a"},
        "takes": ("carry.0", "out.0"),
        "sequences": {"w": (WORDS, 1)},
        "constants": {"W": W, "E": tensor(2, 5)},
    },
    "scalars": {
        "roots": {"carry_0": "tanh(u * (W @ (x * u)) + exp(u) * a)", "out_0": "tanh(u) * x"},
        "takes": ("carry.0", "out.0"),
        "sequences": {"x": (X, 2), "u": (tensor(TIME), 0)},
    },
    "nothing is carried": {
        "roots": {"h": "tanh(W @ x)", "out_0": "h * sum(h, axes=(0,))", "out_1": "W @ W"},
        "takes": ("out.0", "out.1"),
        "carries": {},
    },
    "one carry of another": {
        "roots": {"carry_0": "tanh(W @ x)", "carry_1": "tanh(W @ a + W @ c)"},
        "takes": ("carry.1", "before.0", "last.0"),
        "carries": {"a": A, "c": A},
    },
    "one side of a product has one example": {
        "roots": {"carry_0": "tanh(W @ sum(x, axes=(1,)) + W @ a)", "out_0": "sum(a, axes=(1,)) @ sum(x, axes=(0,))"},
        "takes": ("carry.0", "out.0"),
    },
}
DEFAULTS = {"takes": ("carry.0",), "sequences": {"x": (X, 2)}, "carries": {"a": A}, "constants": {"W": W}}


@pytest.mark.parametrize("case", STEPS_BY_HAND.values(), ids=list(STEPS_BY_HAND))
@pytest.mark.parametrize("reverse", [False, True])
def test_steps_by_hand(case: dict[str, Any], reverse: bool) -> None:
    before = by_hand(**{**DEFAULTS, **case}, reverse=reverse)
    after = run(before, (keep, take_out))
    assert_equal(before, after)
    assert_equal(after, run(after, BEFORE_CODE))


def test_gates_that_are_one_product_stay_one() -> None:
    after = run(by_hand(**{**DEFAULTS, **STEPS_BY_HAND["gates of one product"]}), (keep, take_out))
    assert [products(step) for step in steps(after)] == [[(4, 2)], [(2, 4)]]


def test_a_product_that_is_read_whole_and_in_parts_is_computed_once() -> None:
    roots = {"z": "V @ a", "g": "slice(z, axis=0, start=zero, size=two)", "carry_0": "tanh(g * sum(z, axes=(0,)) + x)"}
    before = by_hand(roots, ("carry.0",), {"x": (X, 2)}, {"a": A}, {"V": tensor(4, 2)})
    after = run(before, (keep, take_out))
    assert [products(step) for step in steps(after)] == [[(4, 2)], [(2, 4)]]
    assert_equal(before, after)


def test_a_sum_of_what_nothing_else_reads_stays_in_the_loop() -> None:
    """Collected it would be of the size of the sequence. For the gradient the carry is collected anyway."""
    roots = {"carry_0": "tanh(W @ a + x)", "carry_1": "s + 2 * carry_0 * a"}
    before = by_hand(roots, ("last.1",), {"x": (X, 2)}, {"a": A, "s": A}, {"W": W})
    (alone,) = steps(run(Graph.of({"loss": before.roots["loss"]}), (keep, take_out)))
    assert alone.carries == 2
    assert not any(take.startswith("out.") for take in alone.graph.roots)
    forward, _ = steps(run(before, (keep, take_out)))
    assert forward.carries == 1


def test_the_gradient_of_what_all_steps_multiply_is_one_product() -> None:
    """W.T @ dz<t> at each step is W.T @ the sum of dz<t>."""
    roots = {"carry_0": "tanh(W @ a + V @ c)"}
    before = by_hand(roots, ("carry.0",), {"x": (X, 2)}, {"a": A}, {"W": W, "V": W, "c": A})
    after = run(before, (keep, take_out))
    assert [products(step) for step in steps(after)] == [[(2, 2)], [(2, 2)]]
    assert steps(after)[1].carries == 1
    assert_equal(before, after)


def test_long_formulas_and_values_that_are_read_often() -> None:
    """Neither as deep as the formula, nor once for each way to a value."""
    roots = {"z0": "W @ x + W @ a"}
    roots |= {f"z{i + 1}": f"z{i} + z{i}" for i in range(40)} | {"y0": "tanh(z40)"}
    roots |= {f"y{i + 1}": f"0.5 * x + y{i}" for i in range(600)} | {"carry_0": "tanh(y600 + a)", "out_0": "exp(y600)"}
    before = by_hand(roots, ("carry.0",), {"x": (X, 2)}, {"a": A}, {"W": W})
    after = run(before, (keep, take_out))
    assert products(steps(after)[0]) == [(2, 2)]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_is_scanned(axis: int) -> None:
    sizes = [2, M]
    sizes.insert(axis, TIME)
    roots = {"carry_0": "tanh(W @ a + W @ x)", "out_0": "W @ (x * carry_0)"}
    before = by_hand(roots, ("carry.0", "out.0"), {"x": (tensor(*sizes), axis)}, {"a": A}, {"W": W})
    after = run(before, (keep, take_out))
    assert products(steps(after)[0]) == [(2, 2)]
    assert_equal(before, after)


def test_what_is_the_same_at_every_step_is_computed_before_the_loop() -> None:
    roots = {"carry_0": "tanh((tanh(W) @ W.T) @ a + x)"}
    before = by_hand(roots, ("carry.0",), {"x": (X, 2)}, {"a": A}, {"W": W})
    after = run(before, (keep, take_out))
    forward, backward = steps(after)
    assert products(forward) == products(backward) == [(2, 2)]
    assert [node.op for node in after.nodes].count("tanh") == 1


def test_a_draw_stays_in_its_step() -> None:
    roots = {"carry_0": "tanh(W @ (x * draw) + a)"}
    before = by_hand(roots, ("carry.0",), {"x": (X, 2)}, {"a": A}, {"W": W})
    after = run(before, (keep, take_out))
    assert products(steps(after)[0]) == [(2, 2)]
    assert all(node.op != "draw_uniform" for node in after.nodes)


def test_a_loop_in_a_loop(tmp_path: Path) -> None:
    text = """
model Net:
    dim T_x
    dim T
    input  x : (3, m, T_x, T)
    target y : (2, m, T)
    param V : (2, 2 + 4) ~ glorot
    h<0> : (2, m) = 0
    read = LSTM(4)
    scan t in 1..T:
        a    = read(x<t>)
        h<t> = tanh(V @ concat(h<t-1>, a<T_x>, over = first))
    loss   squared_error(h, y)
    output h
"""
    before, after = written(text, tmp_path)
    assert_equal(before, after)
