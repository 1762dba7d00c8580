"""Functions that are differentiated whole and evaluated in a form that cannot overflow.

`stabilise` finds them in the textbook's formulas; `expand` writes them out after differentiation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import Facts, TensorType
from dlc.compiler.ir.formula import formula
from dlc.compiler.ops.base import Sample, Stable, axes_in_place, op
from dlc.compiler.ops.numeric import np
from dlc.compiler.ops.reduction import Axes, folded

if TYPE_CHECKING:
    from dlc.compiler.ir import Builder, Node


class OverAxes(Stable):
    """A function along `axes`, its gradient and its evaluation as formulas.

    `x` is the operand, `r` the result, `ct` its cotangent, `k` the axes; in `stably`, `top` is the largest x and
    `low` is x - top, which is at most 0.
    """

    samples = (
        Sample(((3, 4),), (("axes", (0,)),)),
        Sample(((2, 3, 4),), (("axes", (0, 2)),)),
        Sample(((5,),), (("axes", (0,)),)),
    )
    filler = -math.inf
    gradient = ""
    stably = ""

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [node.attr("axes")]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        return [axes_in_place(node.inputs[0], but=node.attr("axes"))]

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        values = {"x": node.inputs[0], "r": node, "ct": ct, "k": node.attr("axes")}
        return [formula(self.gradient).build(b, values)]

    def expand(self, b: Builder, node: Node) -> Node:
        values = {"x": node.inputs[0], "k": node.attr("axes")}
        values["top"] = formula("reduce_max(x, axes=k)").build(b, values)
        values["low"] = formula("x - top").build(b, values)
        return formula(self.stably).build(b, values)


@op("softmax")
class Softmax(OverAxes):
    """e^x / sum(e^x)"""

    gradient = "r * (ct - sum(ct * r, axes=k))"
    stably = "exp(low) / sum(exp(low), axes=k)"

    def type(self, facts: Facts, x: TensorType, *, axes: Axes) -> TensorType:
        return TensorType(x.axes)

    def reference(self, x: Any, *, axes: Axes) -> Any:
        grown = np.exp(x - np.max(x, axis=axes, keepdims=True))
        return grown / np.sum(grown, axis=axes, keepdims=True)


@op("log_softmax")
class LogSoftmax(OverAxes):
    """x - log(sum(e^x))"""

    gradient = "ct - softmax(x, axes=k) * sum(ct, axes=k)"
    stably = "low - log(sum(exp(low), axes=k))"

    def type(self, facts: Facts, x: TensorType, *, axes: Axes) -> TensorType:
        return TensorType(x.axes)

    def reference(self, x: Any, *, axes: Axes) -> Any:
        low = x - np.max(x, axis=axes, keepdims=True)
        return low - np.log(np.sum(np.exp(low), axis=axes, keepdims=True))


@op("logsumexp")
class LogSumExp(OverAxes):
    """log(sum(e^x))"""

    gradient = "ct * softmax(x, axes=k)"
    stably = "top + log(sum(exp(low), axes=k))"

    def type(self, facts: Facts, x: TensorType, *, axes: Axes) -> TensorType:
        return folded(x, axes)

    def reference(self, x: Any, *, axes: Axes) -> Any:
        top = np.max(x, axis=axes, keepdims=True)
        return top + np.log(np.sum(np.exp(x - top), axis=axes, keepdims=True))
