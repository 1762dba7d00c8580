"""What of a measure has no compiled form: counts of n-grams, which no array holds.

A program is cut there: what it reads is computed by the compiled part, and the rest by the ops' NumPy meanings.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ops import OPS


@dataclass(frozen=True, slots=True)
class Parts:
    """`compiled` has the roots that can be, and as `border.<i>` what `rest` reads of it, there leaves with the op
    `held`. `rest` is None where all can be compiled."""

    compiled: Graph
    rest: Graph | None


def parts_of(graph: Graph) -> Parts:
    """A program in two parts. Leaves, as inputs and lengths, stand in each part that reads them."""
    behind: set[Node] = set()
    for node in graph.nodes:
        if not OPS[node.op].compiled or any(value in behind for value in node.inputs):
            behind.add(node)
    if not behind:
        return Parts(graph, None)
    read = (value for node in graph.nodes if node in behind for value in node.inputs)
    borders = {
        node: f"border.{i}" for i, node in enumerate(dict.fromkeys(v for v in read if v.inputs and v not in behind))
    }
    b, new = Builder(), dict[Node, Node]()
    for node in graph.nodes:
        if node in borders:
            new[node] = b.typed("held", (), (("name", borders[node]),), node.type, node.span)
        elif node in behind or not node.inputs:
            new[node] = b.typed(node.op, tuple(new[value] for value in node.inputs), node.attrs, node.type, node.span)
    first = {name: node for name, node in graph.roots.items() if node not in behind}
    first |= {name: node for node, name in borders.items()}
    rest = {name: new[node] for name, node in graph.roots.items() if node in behind}
    return Parts(Graph.of(first, graph.names), Graph.of(rest))
