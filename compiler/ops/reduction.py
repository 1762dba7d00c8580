"""Folds over axes. The reduced axes (`axes`, a tuple of positions) stay, with size 1, and count as written 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import ONE, Axis, Facts, TensorType
from dlc.compiler.ir.formula import formula
from dlc.compiler.ops.base import Composite, Emitter, Reduction, Sample, op
from dlc.compiler.ops.numeric import np

if TYPE_CHECKING:
    from dlc.compiler.ir import Builder, Node

Axes = tuple[int, ...]

SAMPLES = (
    Sample(((3, 4),), (("axes", (0,)),)),
    Sample(((3, 4),), (("axes", (0, 1)),)),
    Sample(((2, 3, 4),), (("axes", (0, 2)),)),
    Sample(((5,),), (("axes", (0,)),)),
    Sample(((1, 4),), (("axes", (0,)),)),
)


def folded(x: TensorType, axes: Axes) -> TensorType:
    """The type with `axes` reduced to a written 1."""
    kept = (Axis(ONE, axis.name, one=True) if i in axes else axis for i, axis in enumerate(x.axes))
    return TensorType(tuple(kept))


class Fold(Reduction):
    """The common type rule."""

    samples = SAMPLES

    def type(self, facts: Facts, x: TensorType, *, axes: Axes) -> TensorType:
        return folded(x, axes)


@op("sum")
class Sum(Fold):
    """The sum over `axes`."""

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [b.add("broadcast", ct, axes=node.inputs[0].type.axes)]

    def identity(self, e: Emitter) -> str:
        return e.number(0.0)

    def combine(self, e: Emitter, total: str, element: str) -> str:
        return f"({total} + {element})"

    def reference(self, x: Any, *, axes: Axes) -> Any:
        return np.sum(x, axis=axes, keepdims=True)


@op("prod")
class Product(Fold):
    """The product over `axes`."""

    filler = 1.0

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        """Each element's cotangent has the product of all others; where one factor is 0, that is not r / x."""
        values = {"x": node.inputs[0], "r": node, "ct": ct, "k": node.attr("axes")}
        values["full"] = formula("select(x == 0, 1, x)").build(b, values)
        values["zeros"] = formula("sum(real(x == 0), axes=k)").build(b, values)
        values["rest"] = formula("prod(full, axes=k)").build(b, values)
        others = formula("select(x == 0, select(zeros == 1, rest, 0), r / full)").build(b, values)
        return [b.add("mul", ct, others)]

    def identity(self, e: Emitter) -> str:
        return e.number(1.0)

    def combine(self, e: Emitter, total: str, element: str) -> str:
        return f"({total} * {element})"

    def reference(self, x: Any, *, axes: Axes) -> Any:
        return np.prod(x, axis=axes, keepdims=True)


class ExtremeFold(Fold):
    """The largest or smallest; equal extremes share the gradient evenly."""

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        values = {"x": node.inputs[0], "r": node, "ct": ct, "k": node.attr("axes")}
        values["hit"] = formula("real(x == r)").build(b, values)
        return [formula("ct / sum(hit, axes=k) * hit").build(b, values)]


@op("reduce_max")
class ReduceMax(ExtremeFold):
    """The largest over `axes`."""

    filler = -math.inf

    def identity(self, e: Emitter) -> str:
        return e.number(-math.inf)

    def combine(self, e: Emitter, total: str, element: str) -> str:
        return e.call("max", total, element)

    def reference(self, x: Any, *, axes: Axes) -> Any:
        return np.max(x, axis=axes, keepdims=True)


@op("reduce_min")
class ReduceMin(ExtremeFold):
    """The smallest over `axes`."""

    filler = math.inf

    def identity(self, e: Emitter) -> str:
        return e.number(math.inf)

    def combine(self, e: Emitter, total: str, element: str) -> str:
        return e.call("min", total, element)

    def reference(self, x: Any, *, axes: Axes) -> Any:
        return np.min(x, axis=axes, keepdims=True)


@op("mean")
class Mean(Composite):
    """The sum over `axes` divided by their size."""

    samples = SAMPLES

    def decompose(self, b: Builder, x: Node, *, axes: Axes) -> Node:
        count = math.prod((x.type.axes[axis].size for axis in axes), start=ONE)
        return b.add("div", b.add("sum", x, axes=axes), b.size(count))

    def reference(self, x: Any, *, axes: Axes) -> Any:
        return np.mean(x, axis=axes, keepdims=True)


@op("argmax")
class ArgMax(Composite):
    """The position, from 0, of the first of the largest elements along the one axis of `axes`: a class index."""

    samples = (Sample(((3, 4),), (("axes", (0,)),)), Sample(((3, 4),), (("axes", (1,)),)))

    def decompose(self, b: Builder, x: Node, *, axes: Axes) -> Node:
        (axis,) = axes
        count = x.type.axes[axis].size
        values = {"x": x, "k": axes, "p": b.add("position", x, axis=axis), "n": b.size(count + 1)}
        first = formula("reduce_min(select(x == reduce_max(x, axes=k), p, n), axes=k) - 1").build(b, values)
        return b.add("index", first, classes=count)

    def reference(self, x: Any, *, axes: Axes) -> Any:
        return np.expand_dims(np.argmax(x, axis=axes[0]), axes[0]).astype(float)
