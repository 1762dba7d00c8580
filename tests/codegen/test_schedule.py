"""Updates read old values; the order of kernels, and what happens in place."""

from __future__ import annotations

import nets
import numpy as np
from against_reference import assert_equal_to_reference, fill, module

from dlc.compiler.dims import Dim
from dlc.compiler.ir import Builder, Graph
from dlc.compiler.passes import BEFORE_CODE, BEFORE_GRADIENTS, run
from dlc.runtime.native import Native


def checked(graph: Graph, *sizes: int) -> Native:
    """The native form of a graph, after its one program has been compared with the reference."""
    graph = run(graph, (*BEFORE_GRADIENTS, *BEFORE_CODE))
    native = Native(module({"train": graph}))
    fill(native)
    for m in sizes:
        assert_equal_to_reference(native, graph, "train", m)
    return native


def test_two_parameters_that_change_places() -> None:
    b = Builder()
    p, q = nets.leaf(b, "parameter", "p", 5, 3), nets.leaf(b, "parameter", "q", 5, 3)
    native = checked(Graph.of({"update.p": q, "update.q": p}), 1)
    before = {name: array.copy() for name, array in native.parameters.items()}
    native.run("train", {}, 1)
    assert np.array_equal(native.parameters["p"], before["q"])
    assert np.array_equal(native.parameters["q"], before["p"])


def test_updates_that_read_each_other() -> None:
    b = Builder()
    p, q = nets.leaf(b, "parameter", "p", 4, 1), nets.leaf(b, "parameter", "q", 4, 1)
    checked(Graph.of({"update.p": b.add("add", p, q), "update.q": b.add("mul", p, q)}), 1)


def test_a_matrix_that_is_used_after_its_update_is_computed() -> None:
    """The product with W.T must see the old W, wherever the update of W stands among the roots."""
    b = Builder()
    x, w = nets.leaf(b, "input", "X", 20, nets.M), nets.leaf(b, "parameter", "W", 9, 20)
    z = b.add("matmul", w, x)
    gradient = b.add("matmul", z, b.add("transpose", x))
    back = b.add("matmul", b.add("transpose", w), z)
    cost = b.add("drop", b.add("sum", b.add("mul", back, back), axes=(0, 1)), axes=(0, 1))
    checked(Graph.of({"update.W": b.add("sub", w, nets.scaled(b, 1e-3, gradient)), "cost": cost}), 1, 33)


def test_a_state_that_follows_the_batch() -> None:
    """A running mean over the examples, as batch norm keeps it, and the normalised values that read the old one."""
    b = Builder()
    x, mu = nets.leaf(b, "input", "X", 17, nets.M), nets.leaf(b, "state", "mu", 17, 1)
    mean = b.add("div", b.add("sum", x, axes=(1,)), b.size(Dim.symbol(nets.M)))
    centred = b.add("sub", x, mu)
    new = b.add("add", nets.scaled(b, 0.9, mu), nets.scaled(b, 0.1, mean))
    spread = b.add("sum", b.add("mul", centred, centred), axes=(1,))
    checked(Graph.of({"update.mu": new, "output.spread": spread, "output.centred": centred}), 1, 16, 50)


def test_clipping_by_the_norm_of_all_gradients() -> None:
    """The factor is known only when every gradient is: no update may happen before."""
    b = Builder()
    x = nets.leaf(b, "input", "X", 6, nets.M)
    roots, total = {}, b.constant(0.0)
    updates = []
    for name, rows in (("U", 4), ("V", 35)):
        w = nets.leaf(b, "parameter", name, rows, 6)
        d = b.add("matmul", b.add("matmul", w, x), b.add("transpose", x))
        total = b.add("add", total, b.add("drop", b.add("sum", b.add("mul", d, d), axes=(0, 1)), axes=(0, 1)))
        updates.append((name, w, d))
    factor = b.add("div", b.constant(2.0), b.add("max", b.constant(2.0), b.add("sqrt", total)))
    for name, w, d in updates:
        roots[f"update.{name}"] = b.add("sub", w, b.add("mul", factor, d))
    checked(Graph.of(roots), 1, 19)


def test_single_numbers() -> None:
    """J = 3 (a + b c) and gradient descent on it: no tensor at all."""
    b = Builder()
    a, p, c = (nets.leaf(b, "parameter", name) for name in "abc")
    j = b.add("mul", b.constant(3.0), b.add("add", a, b.add("mul", p, c)))
    roots = {"output.J": j, "update.a": b.add("sub", a, b.constant(0.3))}
    roots["update.b"] = b.add("sub", p, b.add("mul", b.constant(0.3), c))
    roots["update.c"] = b.add("sub", c, b.add("mul", b.constant(0.3), p))
    native = checked(Graph.of(roots), 1)
    for name, value in (("a", 5.0), ("b", 3.0), ("c", 2.0)):
        native.parameters[name][...] = value
    assert native.run("train", {}, 1)["output.J"] == 33.0
    assert [float(native.parameters[name]) for name in "abc"] == [4.7, 3 - 0.3 * 2, 2 - 0.3 * 3]


def test_products_of_every_form() -> None:
    """Vectors and matrices on both sides, transposed or not: tiles, sweeps and dots."""
    b = Builder()
    x, v = nets.leaf(b, "input", "X", 12, nets.M), nets.leaf(b, "parameter", "v", 12, 1)
    w, u = nets.leaf(b, "parameter", "W", 12, 30), nets.leaf(b, "parameter", "u", 30)
    xt, wt = b.add("transpose", x), b.add("transpose", w)
    roots = {
        "output.vX": b.add("matmul", b.add("transpose", v), x),
        "output.Xt_v": b.add("matmul", xt, v),
        "output.Xt_W": b.add("matmul", xt, w),
        "output.Wt_X": b.add("matmul", wt, x),
        "output.W_u": b.add("matmul", w, u),
        "output.u_Wt": b.add("matmul", u, wt),
        "output.u_u": b.add("matmul", u, u),
        "output.XXt": b.add("matmul", x, xt),
        "output.W_Wt": b.add("matmul", w, wt),
        "output.Wt_W": b.add("matmul", wt, w),
        "output.outer": b.add("matmul", v, b.add("transpose", v)),
    }
    checked(Graph.of(roots), 1, 18)


def test_argmax_and_other_reductions_inside_a_row() -> None:
    b = Builder()
    x = nets.leaf(b, "input", "X", 11, nets.M)
    top = b.add("reduce_max", x, axes=(0,))
    place = b.add("select", b.add("eq", x, top), b.add("position", x, axis=0), b.constant(12.0))
    first = b.add("reduce_min", place, axes=(0,))
    chosen = b.add("index", b.add("sub", b.add("drop", first, axes=(0,)), b.constant(1.0)), classes=Dim.of(11))
    labels = nets.leaf(b, "input", "Y", nets.M, kind="index", classes=11)
    right = b.add("sum", b.add("real", b.add("eq", chosen, labels)), axes=(0,))
    largest = b.add("reduce_max", x, axes=(1,))
    checked(
        Graph.of({"sum.right": right, "output.largest": largest, "output.top": top, "output.chosen": chosen}), 1, 40
    )


def test_look_ups_and_their_gradients() -> None:
    """A row gather inside a fused loop, and the sums of columns by class index; a missing class is no business of
    theirs, so indices are in range."""
    b = Builder()
    table, words = nets.leaf(b, "parameter", "E", 70, 9), nets.leaf(b, "input", "x", nets.M, kind="index", classes=9)
    x = nets.leaf(b, "input", "X", 70, nets.M)
    e = b.add("tanh", b.add("add", b.add("gather", table, words), x))
    d = b.add("scatter_add", e, words, axis=table.type.axes[1])
    w = nets.leaf(b, "parameter", "W", 3, 70)
    z = b.add("matmul", w, b.add("gather", table, words))
    checked(Graph.of({"output.z": z, "output.e": e, "update.E": b.add("sub", table, nets.scaled(b, 0.1, d))}), 1, 50)


def test_parts_joined_and_taken_apart() -> None:
    b = Builder()
    x, y = nets.leaf(b, "input", "X", 5, nets.M), nets.leaf(b, "input", "Y", 3, nets.M)
    joined = b.add("concat", b.add("tanh", x), y, b.add("exp", x), axis=0)
    w = nets.leaf(b, "parameter", "W", 20, 13)
    z = b.add("matmul", w, joined)
    part = b.add("slice", z, axis=0, start=Dim.of(4), size=Dim.of(7))
    back = b.add("reverse", b.add("mul", part, part), axis=0)
    later = b.add("shift", back, axis=0)
    total = b.add("sum", later, axes=(0, 1))
    checked(Graph.of({"output.z": b.add("neg", joined), "output.back": back, "sum.total": total}), 1, 20)
