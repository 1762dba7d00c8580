"""Which axes of a generator's values are time, and its prediction with a known number of steps."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from dlc.compiler.codegen.layout import NotSupported
from dlc.compiler.dims import Axis, Dim, Symbol, scalar
from dlc.compiler.ir import Body, Builder, Graph, Node, rebuild
from dlc.compiler.ops import OPS
from dlc.compiler.ops.generate import Prefix
from dlc.compiler.ops.loop import Step


def time_axes(prefix: Prefix) -> Mapping[Node, frozenset[int]]:
    """The axes of each value that go along time: those of its size, where it is known at run time alone; otherwise
    those that the words' axis goes on in, and what meets them element by element."""
    steps = prefix.steps
    if prefix.time is not None:
        return {
            node: frozenset(i for i, size in enumerate(node.type.sizes) if size == steps) for node in prefix.graph.nodes
        }
    found: dict[Node, set[int]] = {node: set() for node in prefix.graph.nodes}
    for node in prefix.graph.nodes:
        if node.op == "held" and node.attr("name") == "words":
            found[node].add(1)
    count = -1
    while count != (count := sum(map(len, found.values()))):
        for node in prefix.graph.nodes:
            for value, axis, to in _same_axes(node):
                if value.type.sizes[axis] == steps == node.type.sizes[to] and (
                    axis in found[value] or to in found[node]
                ):
                    found[value].add(axis)
                    found[node].add(to)
    return {node: frozenset(axes) for node, axes in found.items()}


def _same_axes(node: Node) -> list[tuple[Node, int, int]]:
    """An operand, its axis, and the axis of the result that it goes on in."""
    if isinstance(node.attr("step"), Step):
        if node.op != "scan" or str(node.attr("take")).startswith("last."):
            return []
        return [(value, axis, node.type.rank - 1) for value, axis in zip(node.inputs, node.attr("axes"), strict=False)]
    if node.op == "concat":  # `y<0>`, and the words without the last one
        axis = node.attr("axis")
        rest = node.inputs[-1]
        begun = [(rest.inputs[0], axis, axis)] if rest.op == "slice" and rest.attr("axis") == axis else []
        kept = [(value, i, i) for value in node.inputs for i in range(node.type.rank) if i != axis]
        return [*begun, *kept]
    pairs = zip(node.inputs, OPS[node.op].follows(node), strict=True)
    return [(value, axis, to) for value, follows in pairs for axis, (to, _) in follows.items()]


def sized(prefix: Prefix, longest: int) -> Graph:
    """The prediction for `longest` steps, of which those up to `number` are asked for."""
    if prefix.time is None:
        return prefix.graph
    return _with_size(prefix.graph, prefix.time, longest, outermost=True)


def _with_size(graph: Graph, time: Symbol, size: int, *, outermost: bool = False) -> Graph:
    """The graph with a number in place of a dimension; how many steps there are is the number of the step."""
    sizes = {time: size}
    bodies: dict[Body, Body] = {}

    def attribute(value: Hashable) -> Hashable:
        match value:
            case Dim():
                return value.substitute(sizes)
            case Axis():
                return _axis(value, sizes)
            case tuple():
                return tuple(map(attribute, value))
            case Body():  # results of one run share its body
                if value not in bodies:
                    bodies[value] = value.with_graph(_with_size(value.graph, time, size))
                return bodies[value]
        return value

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op == "size" and time in node.attr("dim").symbols:
            if not outermost or node.attr("dim") != Dim.symbol(time):
                raise NotSupported("this number of steps in what is generated", node)
            return b.typed("held", (), (("name", "number"),), scalar())
        type = node.type.with_axes(tuple(_axis(axis, sizes) for axis in node.type.axes))
        attrs = tuple((name, attribute(value)) for name, value in node.attrs)
        return b.typed(node.op, inputs, attrs, type, node.span)

    return rebuild(graph, rule)


def _axis(axis: Axis, sizes: Mapping[Symbol, int]) -> Axis:
    return Axis(axis.size.substitute(sizes), axis.name, axis.one)
