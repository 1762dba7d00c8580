"""The intermediate representation: typed, immutable nodes in topologically ordered graphs.

A `Node` is one value of the program: an op, the values it reads, its attributes, and its tensor type. Nodes are made
only by a `Builder` (`builder.py`), which gives equal values the same node, so common subexpressions never exist twice.
A `Graph` is the nodes that some named roots need, inputs before users. A `Body` is a graph inside an attribute: what a
loop runs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from dlc.compiler.dims import TensorType
from dlc.grammar.span import Span


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value. Two nodes are the same value exactly when they are the same object.

    `op` names an entry of `dlc.compiler.ops.OPS`; `attrs` are its static arguments, sorted by name; `span` is the
    text that first asked for this value; `number` is its place among those that its builder made.
    """

    op: str
    inputs: tuple[Node, ...]
    attrs: tuple[tuple[str, Hashable], ...]
    type: TensorType
    span: Span | None
    number: int

    def attr(self, name: str, default: Any = None) -> Any:
        """The attribute called `name`."""
        for key, value in self.attrs:
            if key == name:
                return value
        return default

    @property
    def keywords(self) -> dict[str, Any]:
        """The attributes as keyword arguments of the op's methods."""
        return dict(self.attrs)

    def __repr__(self) -> str:
        return self.numbered(lambda node: node.number)

    def numbered(self, number: Callable[[Node], int]) -> str:
        """The node as a line of text, with numbers for it and what it reads."""
        inputs = ", ".join(f"%{number(value)}" for value in self.inputs)
        attrs = "".join(f", {k}={v}" for k, v in self.attrs)
        return f"%{number(self)} = {self.op}({inputs}{attrs}) : {self.type}"


@dataclass(frozen=True, slots=True)
class Graph:
    """What some roots need. `roots` names the results (`loss`, `output.Y_hat`, `gradient.W[1]`, `update.W[1]`, …);
    `names` maps the spec's own names (`Z[2]`, `dZ[2]`) to their values."""

    roots: Mapping[str, Node]
    names: Mapping[str, Node] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()

    @staticmethod
    def of(roots: Mapping[str, Node], names: Mapping[str, Node] | None = None) -> Graph:
        """The graph of the roots; names of values that no root needs are dropped."""
        nodes = topological(roots.values())
        alive = set(nodes)
        return Graph(dict(roots), {k: v for k, v in (names or {}).items() if v in alive}, nodes)

    def users(self) -> dict[Node, list[Node]]:
        """For each node the nodes that read it, in order (one entry per reading)."""
        users: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for value in node.inputs:
                users[value].append(node)
        return users

    def name_of(self) -> dict[Node, str]:
        """The first spec name of each named value."""
        result: dict[Node, str] = {}
        for name, node in self.names.items():
            result.setdefault(node, name)
        return result

    def __str__(self) -> str:
        named = self.name_of()
        number = {node: place for place, node in enumerate(self.nodes)}.__getitem__
        lines = [node.numbered(number) + (f"   # {named[node]}" if node in named else "") for node in self.nodes]
        lines += [f"return {name} = %{number(node)}" for name, node in self.roots.items()]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, slots=True)
class Body:
    """A graph that a node carries as an attribute, equal only to itself: nodes that share one are results of one
    computation. Its leaves called `held` are given by the node that runs it."""

    graph: Graph

    def with_graph(self, graph: Graph) -> Self:
        """The same with another graph; itself where it is the same graph."""
        return self if graph is self.graph else replace(self, graph=graph)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.graph.nodes)} nodes)"


def topological(roots: Iterable[Node]) -> tuple[Node, ...]:
    """All nodes the roots need, inputs before users; the order depends on the roots alone."""
    order: dict[Node, None] = {}
    for root in roots:
        stack = [root]
        while stack:
            node = stack[-1]
            missing = [value for value in reversed(node.inputs) if value not in order]
            if missing:
                stack += missing
            else:
                order[node] = None  # again, where it was reached on another way meanwhile: it keeps its place
                stack.pop()
    return tuple(order)
