"""Products with weights in a scan's step, in parts: `W @ concat(a, x)` as `W[:, :n] @ a + W[:, n:] @ x`, so that what
does not depend on a carry can leave the loop, and a slice of `W @ x` as a product with a slice of `W`.

Weights are what is the same at every step: their slices are taken before the loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlc.compiler.dims import ZERO, Dim
from dlc.compiler.ir import Builder, Node, rebuild
from dlc.compiler.ops.contraction import labels_of
from dlc.compiler.passes.opened import Opened, Reads, in_order


def take_apart(loop: Opened) -> None:
    """Products of concatenations as sums of products; what is only sliced, as slices of the weights."""
    graph = loop.graph
    roots = set(graph.roots.values())
    users = graph.users()

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        new = b.typed(node.op, inputs, node.attrs, node.type, node.span)
        if node.op in ("matmul", "einsum"):
            return _by_parts(loop, new)
        if node.op == "slice":
            (whole,) = node.inputs
            if whole not in roots and all(user.op == "slice" for user in users[whole]):
                return Slices(loop, node.attr("axis"), node.attr("start"), node.attr("size")).of(inputs[0])
        return new

    loop.roots = dict(rebuild(graph, rule, loop.inner).roots)


def _by_parts(loop: Opened, node: Node) -> Node:
    """A product of weights and a concatenation over the summed axis, as a sum."""
    labels = labels_of(node)
    for side in (0, 1):
        whole, weights = node.inputs[side], node.inputs[1 - side]
        if whole.op != "concat" or loop.reads(weights) is not Reads.CONSTANTS or loop.reads(whole) is Reads.CONSTANTS:
            continue
        label = labels[side][whole.attr("axis")]
        if label in labels[2]:
            continue
        axis = labels[1 - side].index(label)
        terms = []
        for start, part in parts(whole):
            factor = Slices(loop, axis, start, part.type.axes[whole.attr("axis")].size).of(weights)
            pair = (part, factor) if side == 0 else (factor, part)
            terms.append(_by_parts(loop, loop.inner.typed(node.op, pair, node.attrs, node.type, node.span)))
        return added(loop.inner, terms)
    return node


def parts(concat: Node) -> Iterator[tuple[Dim, Node]]:
    """The operands of a concatenation, and where they start."""
    start = ZERO
    for part in concat.inputs:
        yield start, part
        start = start + part.type.axes[concat.attr("axis")].size


def added(b: Builder, terms: Sequence[Node]) -> Node:
    """The sum of values of one shape."""
    total = terms[0]
    for term in terms[1:]:
        total = b.typed("add", (total, term), (), total.type, total.span)
    return total


class Slices:
    """The same slice of several values: of sums of products with weights, of the weights."""

    def __init__(self, loop: Opened, axis: int, start: Dim, size: Dim) -> None:
        self.loop, self.axis, self.start, self.size = loop, axis, start, size
        self._without: dict[Node, Node | None] = {}

    def of(self, x: Node) -> Node:
        """The slice of a value."""
        if x.type.axes[self.axis].size == self.size:
            return x
        if x.op == "transpose":
            turned = Slices(self.loop, 1 - self.axis, self.start, self.size)
            return self.loop.inner.add("transpose", turned.of(x.inputs[0]))
        for value in in_order(x, self._without, terms_of):
            self._without[value] = self._sum(value) if terms_of(value) else self._part(value)
        found = self._without[x]
        return found or self.loop.inner.add("slice", x, axis=self.axis, start=self.start, size=self.size)

    def _sum(self, x: Node) -> Node | None:
        """A slice of a sum, where those of its terms need no slice of them."""
        values = [self._without[value] for value in x.inputs]
        found = [value for value in values if value is not None]
        return added(self.loop.inner, found) if len(found) == len(values) else None

    def _part(self, x: Node) -> Node | None:
        """A slice of a value without the value."""
        if x.op == "concat" and x.attr("axis") == self.axis:
            found = ((begin, part.type.axes[self.axis].size, part) for begin, part in parts(x))
            return next((part for begin, size, part in found if (begin, size) == (self.start, self.size)), None)
        if x.op not in ("matmul", "einsum"):
            return None
        labels = labels_of(x)
        label = labels[2][self.axis]
        for side in (0, 1):
            weights = x.inputs[side]
            free = label in labels[side] and label not in labels[1 - side]
            if free and self.loop.reads(weights) is Reads.CONSTANTS:
                place = labels[side].index(label)
                factor = Slices(self.loop, place, self.start, self.size).of(weights)
                pair = (factor, x.inputs[1]) if side == 0 else (x.inputs[0], factor)
                here = factor.type.axes[place]
                axes = tuple(here if i == self.axis else own for i, own in enumerate(x.type.axes))
                return self.loop.inner.typed(x.op, pair, x.attrs, x.type.with_axes(axes), x.span)
        return None


def terms_of(node: Node) -> tuple[Node, ...]:
    """The operands of a sum of two values of its shape."""
    same = node.op == "add" and all(value.type.sizes == node.type.sizes for value in node.inputs)
    return node.inputs if same else ()
