"""The reference executor: any graph, computed node by node from the ops' own meanings, in NumPy float64.

It needs no generated code and is the oracle of everything faster (`target="reference"`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dlc.compiler.dims import Axis, Dim, Symbol, TensorType
from dlc.compiler.ir import Graph, Node
from dlc.compiler.ops import OPS

Array: TypeAlias = npt.NDArray[np.float64]
Draw: TypeAlias = Callable[[str, str, tuple[int, ...]], npt.ArrayLike]
"""`draw(op, name, shape)` gives the numbers of one draw; `op` is `draw_uniform` or `draw_normal`."""

BOUND = ("input", "parameter", "state", "gradient", "scalar", "length")


def evaluate(
    graph: Graph,
    bindings: Mapping[tuple[str, str], npt.ArrayLike],
    sizes: Mapping[Symbol, int],
    draw: Draw | None = None,
) -> dict[str, Array]:
    """The value of each root.

    `bindings` holds what comes from outside by op and name, `("input", "X")`, `("parameter", "W[1]")`, in the logical
    shape; class indices and truth values count as numbers. `sizes` gives each run-time dimension (m) its value. Raises
    KeyError for what is not bound and ValueError where a value has not its declared shape.
    """
    remaining = _readers(graph)
    values: dict[Node, Array] = {}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            values[node] = _value(node, values, bindings, sizes, draw)
            for operand in set(node.inputs):
                remaining[operand] -= 1
                if not remaining[operand]:
                    del values[operand]
    return {name: values[node] for name, node in graph.roots.items()}


def _readers(graph: Graph) -> dict[Node, int]:
    """How many nodes still read each value; a root is read once more, by the caller."""
    count = dict.fromkeys(graph.nodes, 0)
    for node in graph.nodes:
        for operand in set(node.inputs):
            count[operand] += 1
    for node in graph.roots.values():
        count[node] += 1
    return count


def _value(
    node: Node,
    values: Mapping[Node, Array],
    bindings: Mapping[tuple[str, str], npt.ArrayLike],
    sizes: Mapping[Symbol, int],
    draw: Draw | None,
) -> Array:
    shape = shape_of(node.type, sizes)
    if node.op in BOUND:
        result = bindings[node.op, node.attr("name")]
    elif node.op in ("draw_uniform", "draw_normal"):
        if draw is None:
            raise KeyError(f"{node.attr('name')} is drawn, and no source of draws was given")
        result = draw(node.op, node.attr("name"), shape)
    else:
        attrs = {name: _numbers(value, sizes) for name, value in node.attrs}
        result = OPS[node.op].reference(*(values[operand] for operand in node.inputs), **attrs)
    array = np.asarray(result, np.float64)
    if array.shape != shape:
        name = f" {node.attr('name')}" if node.attr("name") else ""
        raise ValueError(f"{node.op}{name} is declared {node.type} = {shape}, and its value is {array.shape}")
    return array


def shape_of(type: TensorType, sizes: Mapping[Symbol, int]) -> tuple[int, ...]:
    """The shape of a type for given sizes."""
    return tuple(int(size.evaluate(sizes)) for size in type.sizes)


def _numbers(value: Any, sizes: Mapping[Symbol, int]) -> Any:
    """An attribute with its dimensions as numbers."""
    match value:
        case Dim():
            return int(value.evaluate(sizes))
        case Axis():
            return int(value.size.evaluate(sizes))
        case tuple():
            return tuple(_numbers(item, sizes) for item in value)
    return value
