"""What the tests of the passes share: formulas over inputs, their gradients, and evaluation in float32."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dlc.compiler.autodiff import differentiate
from dlc.compiler.dims import Dim, Symbol, TensorType, tensor
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ir.formula import formula
from dlc.compiler.ops import OPS
from dlc.compiler.passes import AFTER_GRADIENTS, BEFORE_GRADIENTS, erase, run

M = Symbol("m", "batch")
TYPES: dict[str, TensorType] = {
    "x": tensor(3, M),
    "y": tensor(3, M),
    "z": tensor(3, M),
    "Y": tensor(3, M),
    "p": tensor(3, M),
    "column": tensor(3, 1),
    "row": tensor(1, M),
    "W": tensor(4, 3),
    "s": tensor(),
    "t": tensor(),
}


def program(*texts: str, **more: Node) -> tuple[Builder, Graph, dict[str, Node]]:
    """One root for each formula (`0`, `1`, …) over the inputs of `TYPES`."""
    b = Builder()
    values = {name: b.typed("input", (), (("name", name),), type) for name, type in TYPES.items()}
    roots = {str(i): formula(text).build(b, values) for i, text in enumerate(texts)}
    return b, erase(Graph.of(roots, values)), values


def labels(b: Builder, classes: int = 3) -> Node:
    """One-hot columns (classes, m) over the class indices `labels`."""
    index = b.typed("input", (), (("name", "labels"),), tensor(M, kind="index", classes=classes))
    return b.add("one_hot", index, axis=0, classes=Dim.of(classes))


def with_gradient(graph: Graph, name: str, before: bool = True) -> Graph:
    """Adds the root `gradient`, of the sum of root 0 with respect to an input; `before`: stabilised before that."""
    graph = run(graph, BEFORE_GRADIENTS if before else (erase,))
    (x,) = (node for node in graph.nodes if node.op == "input" and node.attr("name") == name)
    b = Builder()
    cotangents = differentiate(b, [(graph.roots["0"], b.constant(1.0))], [x])
    full = Graph.of({**graph.roots, "gradient": cotangents[x]}, graph.names)
    return run(full, AFTER_GRADIENTS) if before else full


def text(node: Node) -> str:
    """A node as a formula, for comparisons with what the course writes."""
    if node.op in ("input", "parameter"):
        return str(node.attr("name"))
    if node.op == "constant":
        return f"{node.attr('value'):g}"
    if node.op == "size":
        return str(node.attr("dim"))
    attrs = "".join(f", {key}={value}" for key, value in node.attrs if key != "classes")
    return f"{node.op}({', '.join(map(text, node.inputs))}{attrs})"


def in_float32(graph: Graph, arrays: Mapping[str, np.ndarray], m: int) -> dict[str, np.ndarray]:
    """The roots when every single operation rounds to float32."""
    values: dict[Node, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if node.op == "input":
                result = arrays[node.attr("name")]
            else:
                attrs = {key: _numbers(value, m) for key, value in node.attrs}
                result = OPS[node.op].reference(*(values[x] for x in node.inputs), **attrs)
            values[node] = np.asarray(result, np.float32)
    return {name: values[node] for name, node in graph.roots.items()}


def _numbers(value: object, m: int) -> object:
    if isinstance(value, tuple):
        return tuple(_numbers(item, m) for item in value)
    size = getattr(value, "size", value)
    return int(size.evaluate({M: m})) if isinstance(size, Dim) else value
