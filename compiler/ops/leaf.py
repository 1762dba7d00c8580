"""Values without operands: what is bound from outside, constants, sizes and draws."""

from __future__ import annotations

from typing import Any

from dlc.compiler.dims import Axis, Dim, Facts, TensorType, scalar
from dlc.compiler.ops.base import Leaf, Sample, op
from dlc.compiler.ops.numeric import np


class Bound(Leaf):
    """Made with `Builder.typed`, which states the type; the program gets its value by `name` when it runs."""

    def type(self, facts: Facts, *types: Any, **attrs: Any) -> TensorType:
        raise TypeError(f"{self.name} has no type rule: state its type with Builder.typed")

    def reference(self, *arrays: Any, **attrs: Any) -> Any:
        raise TypeError(f"the value of {self.name} {attrs.get('name')} is bound from outside")


@op("input")
class Input(Bound):
    """`name`: an `input` or a `target`; class indices where the type's kind is `index`."""


@op("parameter")
class Parameter(Bound):
    """`name`: a `param`, learned or frozen."""


@op("state")
class State(Bound):
    """`name`: a `state`, or an optimizer's slot."""


@op("gradient")
class Gradient(Bound):
    """`name`: the gradient of a parameter, given to an optimizer that runs alone."""


@op("scalar")
class Scalar(Bound):
    """`name`: a number that the training loop knows: `t`, `step`, `epoch`."""


@op("length")
class Length(Bound):
    """`name`: each example's own value of that run-time dimension, `(m)`, in a batch padded to the longest."""


@op("held")
class Held(Bound):
    """`name`: in the body of a loop, a value that the loop gives it: `sequence.<i>`, `carry.<i>`, `constant.<i>`."""


@op("draw_uniform")
class DrawUniform(Bound):
    """`name`: uniform in [0, 1), drawn anew at each step; equal names are the same draw."""

    costly = True


@op("draw_normal")
class DrawNormal(Bound):
    """`name`: standard normal, drawn anew at each step; equal names are the same draw."""

    costly = True


@op("constant")
class Constant(Leaf):
    """`value`: a number."""

    samples = (Sample((), (("value", 2.5),)),)

    def type(self, facts: Facts, *, value: float) -> TensorType:
        return scalar()

    def reference(self, *, value: float) -> Any:
        return np.float64(value)


@op("table")
class Table(Leaf):
    """`values`: numbers that the text lists, as a tensor with `axes`; the last axis runs fastest."""

    samples = (
        Sample((), (("axes", (Axis(Dim.of(2)), Axis(Dim.of(3)))), ("values", (1.0, 0.0, -1.0, 2.0, 0.5, -2.0)))),
        Sample((), (("axes", (Axis(Dim.of(1)),)), ("values", (3.0,)))),
    )

    def type(self, facts: Facts, *, axes: tuple[Axis, ...], values: tuple[float, ...]) -> TensorType:
        return TensorType(axes)

    def reference(self, *, axes: tuple[int, ...], values: tuple[float, ...]) -> Any:
        return np.reshape(values, axes)


@op("size")
class Size(Leaf):
    """`dim`: a dimension's value as a number, known when a batch arrives."""

    samples = (Sample((), (("dim", Dim.of(7)),)),)

    def type(self, facts: Facts, *, dim: Dim) -> TensorType:
        return scalar()

    def reference(self, *, dim: int) -> Any:
        return np.float64(dim)
