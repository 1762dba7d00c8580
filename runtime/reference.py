"""The reference executor: any graph, computed node by node from the ops' own meanings, in NumPy float64.

It needs no generated code and is the oracle of everything faster (`target="reference"`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dlc.compiler.dims import Axis, Dim, Symbol, TensorType
from dlc.compiler.ir import Body, Graph, Node
from dlc.compiler.ops import OPS, Loop

Array: TypeAlias = npt.NDArray[np.float64]
Draw: TypeAlias = Callable[[str, str, tuple[int, ...]], npt.ArrayLike]
"""`draw(op, name, shape)` gives the numbers of one draw; `op` is `draw_uniform` or `draw_normal`."""

BOUND = ("input", "parameter", "state", "gradient", "scalar", "length", "held")


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
    runs: dict[Hashable, Any] = {}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            values[node] = _value(node, values, runs, bindings, sizes, draw)
            for operand in set(node.inputs):
                remaining[operand] -= 1
                if not remaining[operand]:
                    del values[operand]
    return {name: values[node] for name, node in graph.roots.items()}


@dataclass(frozen=True, slots=True)
class Running:
    """A loop's body as a function: from the values of its `held` leaves at one step to those of its roots. A draw is
    a new one at each step. `sizes` are run-time dimensions that the loop itself decides."""

    body: Body
    sizes: Mapping[Symbol, int]
    draw: Draw | None

    def __call__(
        self, held: Mapping[str, npt.ArrayLike], step: int, sizes: Mapping[Symbol, int] | None = None
    ) -> dict[str, Array]:
        bindings = {("held", name): value for name, value in held.items()}
        return evaluate(self.body.graph, bindings, {**self.sizes, **(sizes or {})}, self.draw and self._drawn(step))

    def _drawn(self, step: int) -> Draw:
        assert self.draw is not None
        outer = self.draw
        return lambda op, name, shape: outer(op, f"{name}<{step}>", shape)


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
    runs: dict[Hashable, Any],
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
        attrs = {name: _given(value, sizes, draw) for name, value in node.attrs}
        operands = [values[operand] for operand in node.inputs]
        op = OPS[node.op]
        if isinstance(op, Loop):
            result = _taken(op, node, operands, runs, attrs)
        else:
            result = op.reference(*operands, **attrs)
    array = np.asarray(result, np.float64)
    if array.shape != shape:
        name = f" {node.attr('name')}" if node.attr("name") else ""
        raise ValueError(f"{node.op}{name} is declared {node.type} = {shape}, and its value is {array.shape}")
    return array


def _taken(op: Loop, node: Node, operands: list[Array], runs: dict[Hashable, Any], attrs: dict[str, Any]) -> Any:
    """One result of a loop, which runs once for all of them."""
    take = attrs.pop("take")
    together = op.together(node)
    if together not in runs:
        runs[together] = op.run(*operands, **attrs)
    return op.taken(runs[together], take)


def shape_of(type: TensorType, sizes: Mapping[Symbol, int]) -> tuple[int, ...]:
    """The shape of a type for given sizes."""
    return tuple(int(size.evaluate(sizes)) for size in type.sizes)


def _given(value: Any, sizes: Mapping[Symbol, int], draw: Draw | None) -> Any:
    """An attribute with its dimensions as numbers and its graph as a function."""
    match value:
        case Dim():
            return int(value.evaluate(sizes))
        case Axis():
            return int(value.size.evaluate(sizes))
        case Body():
            return Running(value, sizes, draw)
        case tuple():
            return tuple(_given(item, sizes, draw) for item in value)
    return value
