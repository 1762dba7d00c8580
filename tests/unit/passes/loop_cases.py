"""What the tests of the passes about loops share: networks with loops, their gradients, and what is in their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dlc.compiler.autodiff import differentiate
from dlc.compiler.dims import Axis, Dim, Symbol, TensorType, tensor
from dlc.compiler.driver import check
from dlc.compiler.elaborate.training import gradient_graph
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ir.formula import formula
from dlc.compiler.ops.loop import Step
from dlc.compiler.passes import AFTER_GRADIENTS, BEFORE_CODE, BEFORE_GRADIENTS, keep, run, take_out
from dlc.compiler.program import M
from dlc.runtime.reference import evaluate, shape_of

EXAMPLES = 4
TIME = Axis(Dim.symbol(Symbol("T", "runtime")), "T")
STEPS = {"T": 5, "T_x": 6, "T_y": 4}
LENGTHS = {"T": [3, 5, 1, 4], "T_x": [6, 2, 4, 1], "T_y": [4, 1, 3, 2]}
EARLIER = tuple(one for one in BEFORE_CODE if one not in (keep, take_out))
"""The passes that stand before those."""
Arrays = Mapping[tuple[str, str], npt.NDArray[np.float64]]


def around(layer: str, classes: int = 0) -> str:
    """A network around one layer of a sequence; of words, where there are classes."""
    kind = f"(m, T) index({classes})" if classes else "(3, m, T)"
    return f"""
model Net:
    dim T
    input  x : {kind}
    target y : (2, m, T)
    y_hat = x -> {layer} -> Dense(2)
    loss   squared_error(y_hat, y)
    output y_hat
"""


def derived(text: str, folder: Path) -> Graph:
    """Loss and gradients of a network, as `keep` and `take_out` are given them."""
    path = folder / "net.dl"
    path.write_text(text)
    found = check(path)
    assert found.checked is not None, found.diagnostics
    return run(gradient_graph(found.checked), (*AFTER_GRADIENTS, *EARLIER), facts=found.checked.facts)


Given = Mapping[str, TensorType]


def by_hand(
    roots: Mapping[str, str],
    takes: Sequence[str],
    sequences: Mapping[str, tuple[TensorType, int]],
    carries: Given,
    constants: Given,
    reverse: bool = False,
) -> Graph:
    """A scan from formulas over the names of what it is given, a sequence with its scanned axis: a sum of squares of
    the results that are taken of it, and the gradient."""
    inner, b = Builder(), Builder()
    types = {name: _slice(type, axis) for name, (type, axis) in sequences.items()}
    values: dict[str, Any] = {"zero": Dim.of(0), "two": Dim.of(2)}
    for group, found in (("sequence", types), ("carry", carries), ("constant", constants)):
        for i, (name, type) in enumerate(found.items()):
            values[name] = inner.typed("held", (), (("name", f"{group}.{i}"),), type)
    values["draw"] = inner.typed("draw_uniform", (), (("name", "mask"),), tensor(2, M))
    for name, text in roots.items():
        values[name] = formula(text).build(inner, values)
    step = Step(
        Graph.of({name.replace("_", "."): values[name] for name in roots if name.startswith(("carry_", "out_"))}),
        len(sequences),
        len(carries),
    )
    outside = {**{name: type for name, (type, _) in sequences.items()}, **carries, **constants}
    inputs = {name: b.typed("input", (), (("name", name),), type) for name, type in outside.items()}
    axes = tuple(axis for _, axis in sequences.values())
    total = b.constant(0.0)
    for number, take in enumerate(takes, 1):
        node = b.add("scan", *inputs.values(), step=step, take=take, axes=axes, axis=TIME, reverse=reverse)
        every = tuple(range(node.type.rank))
        squares = b.add("drop", b.add("sum", b.add("mul", node, node), axes=every), axes=every)
        total = b.add("add", total, b.add("mul", b.constant(float(number)), squares))
    forward = run(Graph.of({"loss": total}), BEFORE_GRADIENTS)
    real = [node for node in forward.nodes if node.op == "input" and node.type.kind == "real"]
    again = Builder()
    gradients = differentiate(again, [(forward.roots["loss"], again.constant(1.0))], real)
    found = {f"gradient.{node.attr('name')}": gradients[node] for node in real if node in gradients}
    return run(Graph.of({**forward.roots, **found}), (*AFTER_GRADIENTS, *EARLIER))


def _slice(type: TensorType, axis: int) -> TensorType:
    return type.with_axes(type.axes[:axis] + type.axes[axis + 1 :])


def arrays_for(graph: Graph, seed: int = 0) -> Arrays:
    """A value for each leaf; the lengths of the examples lie in between."""
    random = np.random.default_rng(seed)
    found: dict[tuple[str, str], npt.NDArray[np.float64]] = {}
    for node in graph.nodes:
        name = str(node.attr("name"))
        if node.op == "length":
            found[node.op, name] = np.array(LENGTHS[name], float)
        elif node.op in ("input", "parameter"):
            shape = shape_of(node.type, sizes_of(graph))
            classes = node.type.classes
            real = 0.7 * random.standard_normal(shape)
            index = node.type.kind == "index" and classes is not None
            found[node.op, name] = random.integers(0, int(classes.constant), shape) if index else real
    return found


def sizes_of(graph: Graph) -> dict[Symbol, int]:
    symbols = {symbol for node in graph.nodes for size in node.type.sizes for symbol in size.symbols}
    return {symbol: EXAMPLES if symbol == M else STEPS[symbol.name] for symbol in symbols}


def drawn(op: str, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """The numbers of a draw: equal for equal names."""
    random = np.random.default_rng(sum(map(ord, op + name)))
    return random.random(shape) if op == "draw_uniform" else random.standard_normal(shape)


def assert_equal(before: Graph, after: Graph, seed: int = 0, *, zeros: bool = False) -> None:
    """The same values, up to the rounding of sums in another order. `zeros`: gradients may be 0."""
    arrays, sizes = arrays_for(before, seed), sizes_of(before)
    wanted, found = (evaluate(graph, arrays, sizes, drawn) for graph in (before, after))
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        largest = np.abs(value).max()
        assert largest > 1e-6 or (zeros and name != "loss"), name
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-12 * largest, err_msg=name)


def steps(graph: Graph) -> list[Step]:
    """The steps of a graph's scans, in order: the gradient's come after the scan's own."""
    return list(dict.fromkeys(node.attr("step") for node in graph.nodes if node.op == "scan"))


def ops(step: Step) -> set[str]:
    return {node.op for node in step.graph.nodes}


def products(step: Step) -> list[tuple[int, int]]:
    """The shapes of the matrices that a step's products have on their left."""
    return [shape(node.inputs[0]) for node in step.graph.nodes if node.op in ("matmul", "einsum")]


def shape(node: Node) -> tuple[int, ...]:
    """Known sizes; 0 for others."""
    return tuple(int(size.constant or 0) for size in node.type.sizes)
