"""`@`: the last axis of the first operand against the first axis of the second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import ONE, Axis, Facts, TensorType, Truth, demand
from dlc.compiler.ops.base import Bad, MatrixProduct, Sample, ShapeError, op
from dlc.compiler.ops.numeric import np

if TYPE_CHECKING:
    from dlc.compiler.ir import Builder, Node


@op("matmul")
class MatMul(MatrixProduct):
    """`(k, n) @ (n, m)` is `(k, m)`, `(k, n) @ (n, m, T)` is `(k, m, T)`; the result's axes keep their names."""

    samples = (
        Sample(((3, 4), (4, 2))),
        Sample(((3, 1), (1, 2))),
        Sample(((3, 4), (4, 2, 5))),
        Sample(((2, 3, 4), (4, 5))),
        Sample(((2, 3, 4), (4, 2, 2))),
        Sample(((4,), (4, 2))),
        Sample(((3, 4), (4,))),
        Sample(((4,), (4,))),
    )
    bad = (Bad(((3, 4), (3, 4)), "D101"), Bad(((), (3, 4)), "D101"), Bad(((3, 4), ()), "D101"))

    def type(self, facts: Facts, a: TensorType, b: TensorType) -> TensorType:
        for number, operand in enumerate((a, b)):
            if operand.rank == 0:
                raise ShapeError(
                    "D101",
                    f"@ multiplies matrices, and {{{number}}} is a scalar: {a} @ {b}",
                    [(number, None)],
                    rule="(k, n) @ (n, m) is (k, m)",
                    help="write * to multiply by a number",
                )
        if demand(a.axes[-1].size, b.axes[0].size, facts) is not Truth.YES:
            raise ShapeError(
                "D101",
                "{0} and {1} do not fit: the columns of {0} must equal the rows of {1}",
                [(0, a.rank - 1), (1, 0)],
                rule=f"(k, n) @ (n, m) is (k, m); here the n are {a.axes[-1].size} and {b.axes[0].size}",
            )
        return TensorType(a.axes[:-1] + b.axes[1:])

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        """dW = dZ @ A.T and dA = W.T @ dZ; other ranks are seen as the matrices that their axes merge to."""
        x, y = node.inputs
        rows, columns = x.type.axes[:-1], y.type.axes[1:]
        left = _shaped(b, x, (*_merged(rows), x.type.axes[-1]))
        right = _shaped(b, y, (y.type.axes[0], *_merged(columns)))
        middle = _shaped(b, ct, _merged(rows) + _merged(columns))
        dx = b.add("matmul", middle, b.add("transpose", right))
        dy = b.add("matmul", b.add("transpose", left), middle)
        return [_shaped(b, dx, x.type.axes), _shaped(b, dy, y.type.axes)]

    def reference(self, a: Any, b: Any) -> Any:
        return np.tensordot(a, b, axes=1)


def _merged(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """One axis with the elements of all."""
    if len(axes) == 1:
        return axes
    return (Axis(math.prod((axis.size for axis in axes), start=ONE), one=not axes),)


def _shaped(b: Builder, x: Node, axes: tuple[Axis, ...]) -> Node:
    return x if x.type.rank == len(axes) else b.add("reshape", x, axes=axes)
