"""Steps of all examples as the rows of one matrix: element by element, `(n, m, T)` is `(n, m * T)`.

A layer that maps every step is a matrix product over all steps of all examples, `(k, n) @ (n, m * T)`, and so is its
gradient. What follows it element by element, and what it sums over the features, is moved to the side of the matrix
too, so that it joins the product's kernel: here the reshape back to `(k, m, T)` is moved behind such operations, as far
as it goes. Both forms lie the same in memory (`layout.py`), so a reshape costs nothing where it stays.

Needs: contractions as matrix products (`forms.py`). Does not take apart what tells the steps from each other.
"""

from __future__ import annotations

import math
from dataclasses import replace

from dlc.compiler.codegen.layout import is_scalar
from dlc.compiler.codegen.values import DRAWS
from dlc.compiler.dims import ONE, Axis, TensorType
from dlc.compiler.ir import Builder, Graph, Node, rebuild
from dlc.compiler.ops import OPS, Elementwise, Reduction


def as_rows(graph: Graph) -> Graph:
    """The graph with reshapes of rows to steps as late as possible."""

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        op = OPS[node.op]
        if node.op in DRAWS or not isinstance(op, Elementwise | Reduction):
            return None
        at = next((found for value in inputs if (found := merged_at(value)) is not None), None)
        if at is None:
            return None
        if isinstance(op, Reduction):
            return _reduced(b, node, inputs[0], at)
        operands = [_as_rows(b, value, at) for value in inputs]
        if None in operands:
            return None
        done = b.add(node.op, *(value for value in operands if value is not None), **node.keywords)
        return b.typed("reshape", (done,), (("axes", node.type.axes),), node.type, node.span)

    return rebuild(graph, rule)


def _reduced(b: Builder, node: Node, value: Node, at: int) -> Node | None:
    """A reduction over features, or over all examples and steps, of the matrix. Where a sum runs over the steps alone,
    the features are summed first."""
    axes: tuple[int, ...] = node.attr("axes")
    features = tuple(axis for axis in axes if axis < at)
    behind = len(axes) - len(features)
    (rows,) = value.inputs
    if behind in (0, value.type.rank - at):
        done = b.add(node.op, rows, axes=(*features, at) if behind else features)
        return b.typed("reshape", (done,), (("axes", node.type.axes),), node.type, node.span)
    if not features or node.op != "sum":
        return None
    inner = b.add("sum", rows, axes=features)
    steps = b.add("reshape", inner, axes=(*inner.type.axes[:at], *value.type.axes[at:]))
    return b.typed("sum", (steps,), (("axes", axes[len(features) :]),), node.type, node.span)


def merged_at(node: Node) -> int | None:
    """The axis of the examples, where a value is a reshape `(n, m * T)` to `(n, m, T)`."""
    if node.op != "reshape" or is_scalar(node.type):
        return None
    before, after = node.inputs[0].type, node.type
    at = before.rank - 1
    rows = merged_type(after, at) if 0 < at < after.rank - 1 else None
    return at if rows is not None and rows.sizes == before.sizes else None


def merged_type(type: TensorType, at: int) -> TensorType | None:
    """The type with the axes from `at` on as one; None where that would not be rows of examples."""
    size = math.prod(type.sizes[at:], start=ONE)
    batch = [symbol for symbol in type.sizes[at].symbols if symbol.kind == "batch"]
    return replace(type, axes=(*type.axes[:at], Axis(size))) if batch and size != type.sizes[at] else None


def _as_rows(b: Builder, value: Node, at: int) -> Node | None:
    """An operand with one axis from `at` on; None where it has examples or steps, but not both."""
    if not value.type.rank:
        return value
    if merged_at(value) == at:
        return value.inputs[0]
    rest = value.type.sizes[at:]
    if all(size == ONE for size in rest):
        axis = Axis(ONE, one=True)
    elif (rows := merged_type(value.type, at)) is not None and ONE not in rest:
        axis = rows.axes[-1]
    else:
        return None
    return b.add("reshape", value, axes=(*value.type.axes[:at], axis))
