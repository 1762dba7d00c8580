"""The graph in the forms that kernels like: a last rewriting before code generation.

Contractions of any rank become what there is code for. An `einsum` that sums nothing, or whose one operand has all the
axes of the other, is a product element by element, and a sum: nothing of it is read often enough to be worth a tile,
and it fuses with what surrounds it. Others become matrix products of the operands as matrices, which views read where
they lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dlc.compiler.codegen.invariant import moved_out, of_constants
from dlc.compiler.codegen.layout import is_scalar, layout_of, sizes_of
from dlc.compiler.codegen.places import as_rows
from dlc.compiler.codegen.sliding import TO_INPUT
from dlc.compiler.codegen.unrolled import over_patches
from dlc.compiler.codegen.values import Role, role
from dlc.compiler.dims import ONE, Axis
from dlc.compiler.ir import Builder, Graph, Node, bodies, rebuild, through_bodies
from dlc.compiler.ops import OPS, Reduction
from dlc.compiler.ops.contraction import labels_of
from dlc.compiler.ops.loop import Step

Labels = tuple[str, ...]


@through_bodies
def prepare(graph: Graph) -> Graph:
    """Forms that kernels like better: a product with 1/s in place of a tensor's division by s, where s is one number
    for all elements or for many; a sum in place of a slice of a single number; filters with their channels turned for
    the gradient of an image; contractions as products; and a value of its own for a root that is another bound value
    (two parameters that change places)."""

    steps = {step: of_constants(step) for node in graph.nodes for step in bodies(node) if isinstance(step, Step)}

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if isinstance(node.attr("step"), Step):
            return moved_out(b, node, inputs, *steps[node.attr("step")])
        if node.op == TO_INPUT:
            return b.typed(node.op, (inputs[0], turned(b, inputs[1])), node.attrs, node.type, node.span)
        if node.op == "div" and not is_scalar(node.type) and _spread(inputs[1], node):
            return b.typed("mul", (inputs[0], b.add("div", b.constant(1.0), inputs[1])), (), node.type, node.span)
        if node.op == "slice" and is_scalar(node.type) and not is_scalar(inputs[0].type) and node.type.kind == "real":
            return _element(b, node, inputs[0])
        if isinstance(OPS[node.op], Reduction) and all(inputs[0].type.sizes[axis] == ONE for axis in node.attr("axes")):
            return b.typed("rename", inputs, (), node.type, node.span)
        if node.op == "shift" and node.type.sizes[node.attr("axis")] == ONE:
            return b.typed("broadcast", (b.constant(0.0),), (("axes", node.type.axes),), node.type, node.span)
        if node.op == "einsum" or (node.op == "matmul" and not plain_product(inputs)):
            return Contracted(b, node, inputs).written()
        return None

    b = Builder()
    made = as_rows(rebuild(over_patches(graph), rule, b))
    roots = {
        name: b.typed("rename", (node,), (), node.type, node.span) if role(node) is Role.MEMORY else node
        for name, node in made.roots.items()
    }
    return Graph.of(roots, made.names)


def turned(b: Builder, filters: Node) -> Node:
    """Filters (f, …, n_C_prev, n_C) as (f, …, n_C, n_C_prev): the order in which the gradient of an image reads them.
    With one channel on either side both lie the same in memory."""
    rank = filters.type.rank
    order = (*range(rank - 2), rank - 1, rank - 2)
    if filters.op == "permute" and filters.attr("order") == order:
        return filters.inputs[0]
    if 1 in sizes_of(filters.type)[-2:]:
        return filters
    return b.add("permute", filters, order=order)


def _spread(divisor: Node, result: Node) -> bool:
    """Whether one number divides many."""
    sizes = zip(sizes_of(divisor.type), sizes_of(result.type), strict=True) if divisor.type.rank else ()
    return is_scalar(divisor.type) or any(own == 1 and size != 1 for own, size in sizes)


def _element(b: Builder, node: Node, x: Node) -> Node:
    """One element of a vector as a sum, as which the program's body gets single numbers."""
    axis = node.attr("axis")
    here = b.add("eq", b.add("position", x, axis=axis), b.size(node.attr("start") + ONE))
    chosen = b.add("select", here, x, b.constant(0.0))
    return b.typed("sum", (chosen,), (("axes", (axis,)),), node.type, node.span)


# --- contractions --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contracted:
    """A contraction with a label for every axis; equal labels are the same axis. Axes of size 1 count nowhere."""

    b: Builder
    node: Node
    inputs: tuple[Node, ...]

    @property
    def labels(self) -> tuple[Labels, Labels, Labels]:
        """Of both operands and of the result."""
        return labels_of(self.node)

    def axis(self, label: str) -> Axis:
        left, right, _ = self.labels
        operand, place = (0, left.index(label)) if label in left else (1, right.index(label))
        return self.inputs[operand].type.axes[place]

    def wide(self, labels: Sequence[str]) -> Labels:
        """Those that are not of size 1."""
        return tuple(label for label in labels if self.axis(label).size != ONE)

    def written(self) -> Node | None:
        """The contraction in other ops; None where it is a stack of matrix products, which have no such form."""
        left, right, result = (self.wide(labels) for labels in self.labels)
        both = set(left) & set(right)
        if both in (set(left), set(right)) or both <= set(result):
            return self.element_by_element()
        if both & set(result):
            return None
        return self.as_matrices()

    # --- element by element ------------------------------------------------------------------------------------

    def element_by_element(self) -> Node:
        """A product of both operands, summed, in the order of the axes of the one that has them all."""
        left, right, result = self.labels
        order = left if set(self.wide(left)) >= set(self.wide(right)) else right
        order += tuple(label for label in dict.fromkeys((*left, *right)) if label not in order)
        first, second = (self.along(order, number) for number in (0, 1))
        if both_grow(first, second):
            first = self.b.add("broadcast", first, axes=tuple(map(self.axis, order)))
        product = self.b.add("mul", first, second)
        summed = tuple(place for place, label in enumerate(order) if label not in result)
        wide = tuple(place for place in summed if self.axis(order[place]).size != ONE)
        product = self.b.add("sum", product, axes=wide) if wide else product
        product = self.b.add("drop", product, axes=summed) if summed else product
        kept = tuple(label for label in order if label in result)
        return self.ordered(product, kept)

    def along(self, order: Labels, number: int) -> Node:
        """An operand with its axes in an order, 1 where it has none."""
        own = self.labels[number]
        kept = tuple(label for label in order if label in own)
        moved = permuted(self.b, self.inputs[number], own, kept)
        if kept == order:
            return moved
        axes = tuple(replace(self.axis(l), one=self.axis(l).size == ONE) if l in own else WRITTEN_ONE for l in order)
        return self.b.add("reshape", moved, axes=axes)

    # --- as matrices -------------------------------------------------------------------------------------------

    def as_matrices(self) -> Node:
        """A matrix product, turned so that its result lies as the contraction's own."""
        left, right, result = self.labels
        rows = tuple(label for label in result if label in self.wide(left))
        columns = tuple(label for label in result if label in self.wide(right))
        summed = tuple(label for label in self.wide(left) if label not in result)
        first = self.matrix(0, rows, summed)
        second = self.matrix(1, summed, columns)
        layout = layout_of(self.node.type, self.node)
        inside = [result[axis] for axis in layout.inner if layout.sizes[axis] != 1]
        if inside and inside[-1] in columns:
            first, second = self.b.add("transpose", second), self.b.add("transpose", first)
            rows, columns = columns, rows
        ones = tuple(label for label in result if label not in (*rows, *columns))
        made = self.b.add("matmul", first, second)
        order = (*ones, *rows, *columns)
        if len(order) != 2 or ones:
            made = self.b.add("reshape", made, axes=tuple(map(self.axis, order)))
        return self.ordered(made, order)

    def matrix(self, number: int, first: Labels, second: Labels) -> Node:
        """An operand with its axes merged to two."""
        own = self.labels[number]
        ones = tuple(label for label in own if label not in (*first, *second))
        moved = permuted(self.b, self.inputs[number], own, (*ones, *first, *second))
        if (len(ones), len(first), len(second)) == (0, 1, 1):
            return moved
        return self.b.add("reshape", moved, axes=(self.merged(first), self.merged(second)))

    def merged(self, labels: Labels) -> Axis:
        return Axis(math.prod((self.axis(label).size for label in labels), start=ONE))

    def ordered(self, made: Node, labels: Labels) -> Node:
        """The result, its axes in their order, with its own type."""
        done = permuted(self.b, made, labels, self.labels[2])
        return self.b.typed(done.op, done.inputs, done.attrs, self.node.type, self.node.span)


WRITTEN_ONE = Axis(ONE, one=True)


def both_grow(x: Node, y: Node) -> bool:
    """Whether each of two operands broadcasts along an axis of the other."""
    pairs = zip(x.type.sizes, y.type.sizes, strict=True)
    return {a == ONE for a, b in pairs if a != b} == {True, False}


def plain_product(inputs: Sequence[Node]) -> bool:
    """Whether operands of a matrix product are matrices and vectors, of which more than one product is summed."""
    left, right = (operand.type for operand in inputs)
    return max(left.rank, right.rank) <= 2 and left.sizes[-1] != ONE


def permuted(b: Builder, x: Node, labels: Labels, order: Labels) -> Node:
    """A value with its labelled axes in another order."""
    if labels == order:
        return x
    if len(labels) == 2:
        return b.add("transpose", x)
    return b.add("permute", x, order=tuple(map(labels.index, order)))
