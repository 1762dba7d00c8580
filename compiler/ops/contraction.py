"""Sums of products: `@`, the last axis of the first operand against the first of the second, and `einsum`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import ONE, Axis, Facts, TensorType, Truth, demand
from dlc.compiler.ops.base import Bad, Contraction, MatrixProduct, Sample, ShapeError, op
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


Labels = tuple[str, ...]


def _labels(left: str, right: str, result: str) -> tuple[tuple[str, Labels], ...]:
    return (("left", tuple(left)), ("result", tuple(result)), ("right", tuple(right)))


@op("einsum")
class Einsum(Contraction):
    """`left`, `right` and `result` label the axes of both operands and of the result; equal labels are the same axis.

    A label that the result lacks is summed and stands in both operands, so the sum cannot be taken of one alone.
    """

    samples = (
        Sample(((3, 4), (4, 2)), _labels("ij", "jk", "ik")),
        Sample(((2, 3, 4), (2, 5, 4)), _labels("bij", "bkj", "bik")),
        Sample(((4, 2, 3), (4, 5, 3)), _labels("dqm", "dkm", "qkm")),
        Sample(((3, 4), (4, 3)), _labels("ij", "ji", "")),
        Sample(((3,), (4,)), _labels("i", "j", "ji")),
        Sample(((2, 3), (2, 3)), _labels("ij", "ij", "ij")),
    )
    bad = (
        Bad(((3, 4), (5, 2)), "D123", _labels("ij", "jk", "ik")),
        Bad(((3, 4), (4,)), "D123", _labels("ij", "jk", "ik")),
        Bad(((3, 3), (3, 2)), "D123", _labels("ii", "ij", "j")),
        Bad(((3, 4), (4, 2)), "D123", _labels("ij", "jk", "k")),
    )

    def type(
        self, facts: Facts, a: TensorType, b: TensorType, *, left: Labels, right: Labels, result: Labels
    ) -> TensorType:
        sides = ((a, left), (b, right))
        for number, (operand, labels) in enumerate(sides):
            if operand.rank != len(labels) or len(set(labels)) != len(labels):
                raise ShapeError(
                    "D123",
                    f"{{{number}}} is {operand}, and its axes are to be called ({', '.join(labels)})",
                    [(number, None)],
                    rule="each axis of an operand has a name of its own",
                )
        every = Counter((*left, *right, *result))
        for label, times in every.items():
            if times < 2:
                raise ShapeError(
                    "D123",
                    f"{label} stands once in ({', '.join(left)}), ({', '.join(right)}) -> ({', '.join(result)}): "
                    "{0} and {1}",
                    [(0, None), (1, None)],
                    rule="an axis of the result is an axis of an operand; a summed one is an axis of both",
                )
        axes: dict[str, Axis] = dict(zip(right, b.axes, strict=True))
        for i, (label, axis) in enumerate(zip(left, a.axes, strict=True)):
            other = axes.get(label, axis)
            if demand(axis.size, other.size, facts) is not Truth.YES:
                raise ShapeError(
                    "D123",
                    f"{label} is {axis.size} in {{0}} and {other.size} in {{1}}: {a} and {b}",
                    [(0, i), (1, right.index(label))],
                    rule="axes of one name have equal sizes",
                )
            axes[label] = Axis(axis.size, axis.name, axis.one and other.one)
        return TensorType(tuple(axes[label] for label in result))

    def summed(self, node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
        left, right, result = (node.attr(side) for side in ("left", "right", "result"))
        gone = [label for label in left if label not in result]
        return tuple(map(left.index, gone)), tuple(map(right.index, gone))

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        result = node.attr("result")
        sides = (node.attr("left"), node.attr("right"))
        return [{i: (result.index(label), 0) for i, label in enumerate(side) if label in result} for side in sides]

    def fans(self, node: Node, operand: int) -> tuple[int, int]:
        """An axis that both operands have and the result keeps is a stack of products: it counts in neither fan."""
        own, other = node.attr("left"), node.attr("right")
        own, other = (own, other) if operand == 0 else (other, own)
        sizes = dict(zip(own, node.inputs[operand].type.sizes, strict=True))
        known = {label: int(size.constant or 1) for label, size in sizes.items()}
        fan_in = math.prod(known[label] for label in own if label not in node.attr("result"))
        return fan_in, math.prod(known[label] for label in own if label not in other)

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        x, y = node.inputs
        left, right, result = (node.attr(side) for side in ("left", "right", "result"))
        return [
            b.add("einsum", ct, y, left=result, right=right, result=left),
            b.add("einsum", x, ct, left=left, right=result, result=right),
        ]

    def reference(self, a: Any, b: Any, *, left: Labels, right: Labels, result: Labels) -> Any:
        number = {label: i for i, label in enumerate(dict.fromkeys(left + right))}
        sides = [[number[label] for label in labels] for labels in (left, right, result)]
        return np.einsum(a, sides[0], b, sides[1], sides[2], optimize=True)


def labels_of(node: Node) -> tuple[Labels, Labels, Labels]:
    """A label for each axis of both operands and of the result of a contraction; equal labels are the same axis."""
    if node.op == "einsum":
        return node.attr("left"), node.attr("right"), node.attr("result")
    left, right = (operand.type.rank for operand in node.inputs)
    first = tuple(f"a{axis}" for axis in range(left - 1))
    second = tuple(f"b{axis}" for axis in range(right - 1))
    return (*first, "k"), ("k", *second), first + second


def _merged(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """One axis with the elements of all."""
    if len(axes) == 1:
        return axes
    return (Axis(math.prod((axis.size for axis in axes), start=ONE), one=not axes),)


def _shaped(b: Builder, x: Node, axes: tuple[Axis, ...]) -> Node:
    return x if x.type.rank == len(axes) else b.add("reshape", x, axes=axes)
