"""Makes nodes: asks the op for the type, and gives equal values the same node."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial, wraps
from typing import TYPE_CHECKING

from dlc.compiler.dims import Dim, Facts, TensorType
from dlc.compiler.ir.node import Body, Graph, Node
from dlc.grammar.span import Span

if TYPE_CHECKING:
    from dlc.compiler.ops import Composite, Op


@cache
def _ops() -> tuple[dict[str, Op], type[Composite]]:
    """The table of ops, and which of them decompose: imported late, as ops are written in terms of nodes, and once, as
    an import statement in the way of each node takes its time."""
    from dlc.compiler.ops import OPS, Composite

    return OPS, Composite


@dataclass(slots=True)
class Builder:
    """Builds one program. `facts` are what type rules may take for granted: all that was proved before, unless the
    elaborator says otherwise. `span` is the default place of new nodes; `made` are the nodes in the order of their
    making."""

    facts: Facts = Facts.settled
    span: Span | None = None
    made: list[Node] = field(default_factory=list)
    _known: dict[tuple[object, ...], Node] = field(default_factory=dict)

    def add(self, op: str, *inputs: Node, span: Span | None = None, **attrs: Hashable) -> Node:
        """The value `op(*inputs, **attrs)`; a composite op gives the value it decomposes into.

        Raises `ShapeError` where the op's type rule refuses.
        """
        ops, composite = _ops()
        rule = ops[op]
        if isinstance(rule, composite):
            outer, self.span = self.span, span or self.span
            try:
                return rule.decompose(self, *inputs, **attrs)
            finally:
                self.span = outer
        kind = rule.type(self.facts, *[value.type for value in inputs], **attrs)
        return self.typed(op, inputs, tuple(sorted(attrs.items())) if attrs else (), kind, span)

    def typed(
        self,
        op: str,
        inputs: tuple[Node, ...],
        attrs: tuple[tuple[str, Hashable], ...],
        type: TensorType,
        span: Span | None = None,
    ) -> Node:
        """The same for a type that is known already (passes that rebuild nodes)."""
        key = (op, inputs, attrs, type)
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = Node(op, inputs, attrs, type, span or self.span, len(self._known))
            self.made.append(node)
        return node

    def adopt(self, node: Node) -> Node:
        """Makes a node of another graph this builder's own: asking for the same value gives it back."""
        return self._known.setdefault((node.op, node.inputs, node.attrs, node.type), node)

    def again(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        """The value of a node of another graph on other inputs; that node itself where they are its own."""
        if inputs == node.inputs:
            return self.adopt(node)
        return self.typed(node.op, inputs, node.attrs, node.type, node.span)

    def constant(self, value: float) -> Node:
        """A number, as a scalar."""
        return self.add("constant", value=float(value))

    def size(self, dim: Dim) -> Node:
        """A dimension's value as a real scalar; a constant where it is known."""
        known = dim.constant
        return self.constant(float(known)) if known is not None else self.add("size", dim=dim)


def rebuild(
    graph: Graph, rule: Callable[[Builder, Node, tuple[Node, ...]], Node | None], builder: Builder | None = None
) -> Graph:
    """The graph with every node passed through `rule(builder, node, new inputs)`; None keeps the node as it is, the
    same object where its inputs are the same."""
    builder = builder or Builder()
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        inputs = tuple(new[value] for value in node.inputs)
        builder.span = node.span
        replaced = rule(builder, node, inputs)
        new[node] = replaced if replaced is not None else builder.again(node, inputs)
    return Graph.of(_map(graph.roots, new), _map(graph.names, new))


def substituted(graph: Graph, made: Mapping[Node, Node], builder: Builder | None = None) -> Graph:
    """The graph with other nodes in place of some, which may read what comes later."""
    b = builder or Builder()
    new: dict[Node, Node] = {}
    waiting = list(graph.roots.values())
    while waiting:
        node = made.get(waiting[-1], waiting[-1])
        missing = [value for value in node.inputs if value not in new]
        if missing:
            waiting += missing
            continue
        inputs = tuple(new[value] for value in node.inputs)
        new[waiting.pop()] = b.again(node, inputs)
    names = {name: new[node] for name, node in graph.names.items() if node in new}
    return Graph.of({name: new[node] for name, node in graph.roots.items()}, names)


def through_bodies(one: Callable[[Graph], Graph]) -> Callable[[Graph], Graph]:
    """A pass that goes through the bodies of a graph's loops too, innermost first; nodes that share a body go on
    sharing one."""

    @wraps(one)
    def everywhere(graph: Graph) -> Graph:
        found = dict.fromkeys(body for node in graph.nodes for body in bodies(node))
        new = {body: body.with_graph(everywhere(body.graph)) for body in found}
        return one(rebuild(graph, partial(_with_bodies, new)) if new else graph)

    return everywhere


def bodies(node: Node) -> tuple[Body, ...]:
    """The graphs that a node carries."""
    return tuple(value for _, value in node.attrs if isinstance(value, Body))


def _with_bodies(new: Mapping[Body, Body], b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node:
    attrs = tuple((name, new[value] if isinstance(value, Body) else value) for name, value in node.attrs)
    return b.typed(node.op, inputs, attrs, node.type, node.span)


def _map(named: Mapping[str, Node], new: Mapping[Node, Node]) -> dict[str, Node]:
    return {name: new[node] for name, node in named.items()}
