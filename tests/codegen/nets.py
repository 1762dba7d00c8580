"""Programs for the tests of code generation, built by hand through the builder, autodiff and the passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from dlc.compiler.autodiff import differentiate
from dlc.compiler.dims import Dim, Symbol, tensor
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.passes import AFTER_GRADIENTS, BEFORE_CODE, BEFORE_GRADIENTS, run

M = Symbol("m", "batch")
Optimizer = Callable[[Builder, str, Node, Node], dict[str, Node]]


def leaf(b: Builder, op: str, name: str, *sizes: object, kind: str = "real", classes: int | None = None) -> Node:
    return b.typed(op, (), (("name", name),), tensor(*sizes, kind=kind, classes=classes))


def number(b: Builder, name: str) -> Node:
    return b.typed("scalar", (), (("name", name),), tensor())


def activation(b: Builder, name: str, z: Node) -> Node:
    if name == "relu":
        return b.add("max", z, b.constant(0.0))
    if name == "softmax":
        return b.add("softmax", z, axes=(0,))
    return z if name == "identity" else b.add(name, z)


def dense(
    sizes: list[int],
    hidden: str = "relu",
    last: str = "softmax",
    *,
    dropout: float = 0.0,
) -> tuple[Graph, dict[str, tuple[int, ...]]]:
    """The training graph (roots `output.Y_hat` and `loss.1` of type (m)), and the parameters' shapes."""
    b = Builder()
    a = leaf(b, "input", "X", sizes[0], M)
    shapes: dict[str, tuple[int, ...]] = {}
    names: dict[str, Node] = {}
    for l in range(1, len(sizes)):
        w = leaf(b, "parameter", f"W[{l}]", sizes[l], sizes[l - 1])
        bias = leaf(b, "parameter", f"b[{l}]", sizes[l], 1)
        shapes[f"W[{l}]"], shapes[f"b[{l}]"] = (sizes[l], sizes[l - 1]), (sizes[l], 1)
        z = names[f"Z[{l}]"] = b.add("add", b.add("matmul", w, a), bias)
        a = names[f"A[{l}]"] = activation(b, last if l == len(sizes) - 1 else hidden, z)
        if dropout and l < len(sizes) - 1:
            draw = leaf(b, "draw_uniform", f"D[{l}]", sizes[l], M)
            kept = b.add("real", b.add("lt", draw, b.constant(1 - dropout)))
            a = b.add("div", b.add("mul", a, kept), b.constant(1 - dropout))
    if last == "softmax":
        labels = leaf(b, "input", "Y", M, kind="index", classes=sizes[-1])
        y = b.add("one_hot", labels, axis=0, classes=Dim.of(sizes[-1]))
        loss = b.add("neg", b.add("sum", b.add("mul", y, b.add("log", a)), axes=(0,)))
    else:
        y = leaf(b, "input", "Y", sizes[-1], M)
        if last == "sigmoid":
            one = b.constant(1.0)
            first = b.add("mul", y, b.add("log", a))
            second = b.add("mul", b.add("sub", one, y), b.add("log", b.add("sub", one, a)))
            loss = b.add("neg", b.add("sum", b.add("add", first, second), axes=(0,)))
        else:
            e = b.add("sub", a, y)
            loss = b.add("sum", b.add("mul", e, e), axes=(0,))
    return Graph.of({"output.Y_hat": a, "loss.1": b.add("drop", loss, axes=(0,))}, names), shapes


def programs(
    model: tuple[Graph, Mapping[str, tuple[int, ...]]], optimizer: Optimizer | None = None, decay: float = 0.0
) -> dict[str, Graph]:
    """The five programs of a model, after all passes."""
    graph, _ = model
    done = run(graph, BEFORE_GRADIENTS)
    b = Builder()
    for node in done.nodes:
        b.adopt(node)
    made = {"forward": Graph.of({"output.Y_hat": done.roots["output.Y_hat"]}, done.names)}
    leaves = {str(n.attr("name")): n for n in done.nodes if n.op == "parameter"}
    per_example = done.roots["loss.1"]
    count = b.size(Dim.symbol(M))
    seed = b.add("broadcast", b.constant(1.0), axes=per_example.type.axes)
    cts = differentiate(b, [(per_example, seed)], list(leaves.values()))
    total = b.add("drop", b.add("sum", per_example, axes=(0,)), axes=(0,))
    loss = cost = b.add("div", total, count)
    gradients = {name: b.add("div", cts[leaf_], count) for name, leaf_ in leaves.items()}
    names = dict(done.names) | {f"d{name}": cts[node] for name, node in done.names.items() if node in cts}
    names |= {f"d{name}": node for name, node in gradients.items()}
    if decay:
        for name, w in leaves.items():
            if w.type.rank == 2 and name.startswith("W"):
                square = b.add("sum", b.add("mul", w, w), axes=(0, 1))
                half = b.add("div", b.constant(decay / 2), count)
                cost = b.add("add", cost, b.add("mul", half, b.add("drop", square, axes=(0, 1))))
                scaled = b.add("mul", b.add("div", b.constant(decay), count), w)
                gradients[name] = b.add("add", gradients[name], scaled)
    roots = {"loss": loss, "cost": cost} | {f"gradient.{name}": node for name, node in gradients.items()}
    made["backward"] = Graph.of(roots, names)
    made["evaluate"] = Graph.of({"sum.loss": total}, done.names)
    rule = optimizer or sgd
    updates = {}
    for name, node in gradients.items():
        updates |= {f"update.{key}": value for key, value in rule(b, name, leaves[name], node).items()}
    made["train"] = Graph.of({"loss": loss, "cost": cost} | updates, names)
    given = {}
    for name, w in leaves.items():
        d = b.typed("gradient", (), (("name", name),), w.type)
        given |= {f"update.{key}": value for key, value in rule(b, name, w, d).items()}
    made["update"] = Graph.of(given)
    return {title: run(g, (*AFTER_GRADIENTS, *BEFORE_CODE)) for title, g in made.items()}


# --- optimizers --------------------------------------------------------------------------------------------------


def scaled(b: Builder, factor: float, x: Node) -> Node:
    return b.add("mul", b.constant(factor), x)


def like(b: Builder, name: str, w: Node) -> Node:
    return b.typed("state", (), (("name", name),), w.type)


def sgd(b: Builder, name: str, w: Node, dw: Node) -> dict[str, Node]:
    return {name: b.add("sub", w, scaled(b, 0.1, dw))}


def momentum(b: Builder, name: str, w: Node, dw: Node) -> dict[str, Node]:
    v = b.add("add", scaled(b, 0.9, like(b, f"v.{name}", w)), scaled(b, 0.1, dw))
    rate = b.add("div", b.constant(0.2), b.add("add", b.constant(1.0), number(b, "epoch")))
    return {name: b.add("sub", w, b.add("mul", rate, v)), f"v.{name}": v}


def adam(b: Builder, name: str, w: Node, dw: Node) -> dict[str, Node]:
    t = number(b, "t")
    one = b.constant(1.0)
    v = b.add("add", scaled(b, 0.9, like(b, f"v.{name}", w)), scaled(b, 0.1, dw))
    s = b.add("add", scaled(b, 0.999, like(b, f"s.{name}", w)), scaled(b, 0.001, b.add("mul", dw, dw)))
    v_hat = b.add("div", v, b.add("sub", one, b.add("pow", b.constant(0.9), t)))
    s_hat = b.add("div", s, b.add("sub", one, b.add("pow", b.constant(0.999), t)))
    step = b.add("div", scaled(b, 0.01, v_hat), b.add("add", b.add("sqrt", s_hat), b.constant(1e-8)))
    return {name: b.add("sub", w, step), f"v.{name}": v, f"s.{name}": s}


def rmsprop(b: Builder, name: str, w: Node, dw: Node) -> dict[str, Node]:
    s = b.add("add", scaled(b, 0.9, like(b, f"s.{name}", w)), scaled(b, 0.1, b.add("mul", dw, dw)))
    step = b.add("div", scaled(b, 0.01, dw), b.add("add", b.add("sqrt", s), b.constant(1e-8)))
    return {name: b.add("sub", w, step), f"s.{name}": s}


# --- data --------------------------------------------------------------------------------------------------------


def data(graph: Graph, m: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs of a graph for m examples."""
    rng = np.random.default_rng(seed)
    made: dict[str, np.ndarray] = {}
    for node in graph.nodes:
        if node.op == "input":
            shape = tuple(m if size.constant is None else int(size.constant) for size in node.type.sizes)
            name = str(node.attr("name"))
            if node.type.kind == "index":
                made[name] = rng.integers(0, int(node.type.classes.constant), shape)
            else:
                made[name] = rng.random(shape) if name == "Y" else rng.standard_normal(shape)
    return made
