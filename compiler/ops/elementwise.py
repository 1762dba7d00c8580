"""Elementwise arithmetic: each op's derivative, scalar text and meaning.

In a gradient, `x`, `y`, `z` are the operands, `r` is the result and `ct` its cotangent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import Dim, Facts, TensorType
from dlc.compiler.ir.formula import formula
from dlc.compiler.ops.base import Bad, Elementwise, Emitter, Sample, op
from dlc.compiler.ops.numeric import np

if TYPE_CHECKING:
    from dlc.compiler.ir import Builder, Node


def unary(low: float = -2.0, high: float = 2.0) -> tuple[Sample, ...]:
    return (Sample(((3, 4),), low=low, high=high), Sample(((),), low=low, high=high))


def binary(low: float = -2.0, high: float = 2.0) -> tuple[Sample, ...]:
    """Equal shapes, a broadcast axis on either side, a scalar on either side."""
    shapes = (((3, 4), (3, 4)), ((3, 4), (3, 1)), ((1, 4), (3, 4)), ((), (3,)), ((2, 3, 2), ()))
    return tuple(Sample(pair, low=low, high=high) for pair in shapes)


UNEQUAL = (
    Bad(((3, 4), (3, 5)), "D102"),
    Bad(((3, 4), (4,)), "D103"),
    Bad(((3, 1), (1, 4)), "D104"),
)


# --- of one value ----------------------------------------------------------------------------------------------


@op("neg")
class Neg(Elementwise):
    """-x"""

    gradients = ("-ct",)
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return f"(-{x})"

    def reference(self, x: Any) -> Any:
        return -x


@op("exp")
class Exp(Elementwise):
    """e^x"""

    costly = True
    gradients = ("ct * r",)
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("exp", x)

    def reference(self, x: Any) -> Any:
        return np.exp(x)


@op("log")
class Log(Elementwise):
    """The natural logarithm."""

    costly = True
    gradients = ("ct / x",)
    samples = unary(0.2, 3.0)

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("log", x)

    def reference(self, x: Any) -> Any:
        return np.log(x)


@op("sqrt")
class Sqrt(Elementwise):
    """The square root."""

    gradients = ("ct / (2 * r)",)
    samples = unary(0.2, 3.0)

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("sqrt", x)

    def reference(self, x: Any) -> Any:
        return np.sqrt(x)


@op("abs")
class Abs(Elementwise):
    """|x|; the derivative at 0 is 0."""

    gradients = ("ct * sign(x)",)
    samples = (*unary(0.1, 2.0), *unary(-2.0, -0.1))

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("abs", x)

    def reference(self, x: Any) -> Any:
        return np.abs(x)


@op("tanh")
class Tanh(Elementwise):
    """(e^x - e^-x) / (e^x + e^-x)"""

    costly = True
    gradients = ("ct * (1 - r**2)",)
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("tanh", x)

    def reference(self, x: Any) -> Any:
        return np.tanh(x)


@op("sin")
class Sin(Elementwise):
    """The sine of an angle in radians."""

    costly = True
    gradients = ("ct * cos(x)",)
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("sin", x)

    def reference(self, x: Any) -> Any:
        return np.sin(x)


@op("cos")
class Cos(Elementwise):
    """The cosine of an angle in radians."""

    costly = True
    gradients = ("-(ct * sin(x))",)
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("cos", x)

    def reference(self, x: Any) -> Any:
        return np.cos(x)


@op("erf")
class Erf(Elementwise):
    """2/sqrt(pi) times the integral of e^(-t^2) from 0 to x."""

    costly = True
    gradients = (f"ct * ({2 / math.sqrt(math.pi)!r} * exp(-x**2))",)
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("erf", x)

    def reference(self, x: Any) -> Any:
        return np.vectorize(math.erf, otypes=[float])(x)


@op("sigmoid")
class Sigmoid(Elementwise):
    """1 / (1 + e^-x), for every x without overflow."""

    costly = True
    gradients = ("ct * (r * (1 - r))",)
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("sigmoid", x)

    def reference(self, x: Any) -> Any:
        small = np.exp(-np.abs(x))
        return np.where(x >= 0, 1.0, small) / (1.0 + small)


@op("softplus")
class Softplus(Elementwise):
    """log(1 + e^x), for every x without overflow."""

    costly = True
    gradients = ("ct * sigmoid(x)",)
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("softplus", x)

    def reference(self, x: Any) -> Any:
        return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


@op("sign")
class Sign(Elementwise):
    """-1, 0 or 1."""

    differentiable = False
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("sign", x)

    def reference(self, x: Any) -> Any:
        return np.sign(x)


@op("floor")
class Floor(Elementwise):
    """The largest whole number that is not above x."""

    differentiable = False
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("floor", x)

    def reference(self, x: Any) -> Any:
        return np.floor(x)


@op("ceil")
class Ceil(Elementwise):
    """The smallest whole number that is not below x."""

    differentiable = False
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("ceil", x)

    def reference(self, x: Any) -> Any:
        return np.ceil(x)


@op("known")
class Known(Elementwise):
    """0 where an optional input is missing (NaN), else 1."""

    differentiable = False
    samples = unary()

    def emit(self, e: Emitter, x: str) -> str:
        return f"({e.number(0.0)} if {e.call('isnan', x)} else {e.number(1.0)})"

    def reference(self, x: Any) -> Any:
        return np.where(np.isnan(x), 0.0, 1.0)


@op("real")
class Real(Elementwise):
    """A truth value as 0 or 1, a class index as a number."""

    differentiable = False
    samples = (Sample(((3, 4),), kinds=("bool",)), Sample(((4,),), kinds=("index",), low=0, high=5))

    def emit(self, e: Emitter, x: str) -> str:
        return e.call("real", x)

    def reference(self, x: Any) -> Any:
        return x


@op("index")
class Index(Elementwise):
    """A whole number as a class index below `classes`."""

    differentiable = False
    samples = (Sample(((4,),), (("classes", Dim.of(5)),), kinds=("index",), low=0, high=5),)

    def type(self, facts: Facts, x: TensorType, *, classes: Dim) -> TensorType:
        return TensorType(x.axes, "index", classes)

    def emit(self, e: Emitter, x: str, *, classes: Dim) -> str:
        return e.call("index", x)

    def reference(self, x: Any, *, classes: int) -> Any:
        return x


# --- of two values ---------------------------------------------------------------------------------------------


@op("add")
class Add(Elementwise):
    """x + y"""

    commutative = True
    gradients = ("ct", "ct")
    samples = binary()
    bad = UNEQUAL

    def emit(self, e: Emitter, x: str, y: str) -> str:
        return f"({x} + {y})"

    def reference(self, x: Any, y: Any) -> Any:
        return x + y


@op("sub")
class Sub(Elementwise):
    """x - y"""

    gradients = ("ct", "-ct")
    samples = binary()
    bad = UNEQUAL

    def emit(self, e: Emitter, x: str, y: str) -> str:
        return f"({x} - {y})"

    def reference(self, x: Any, y: Any) -> Any:
        return x - y


@op("mul")
class Mul(Elementwise):
    """x * y, elementwise"""

    commutative = True
    gradients = ("ct * y", "ct * x")
    samples = binary()
    bad = UNEQUAL

    def emit(self, e: Emitter, x: str, y: str) -> str:
        return f"({x} * {y})"

    def reference(self, x: Any, y: Any) -> Any:
        return x * y


@op("div")
class Div(Elementwise):
    """x / y"""

    gradients = ("ct / y", "-(ct * r / y)")
    samples = binary(0.3, 2.0)
    bad = UNEQUAL

    def emit(self, e: Emitter, x: str, y: str) -> str:
        return f"({x} / {y})"

    def reference(self, x: Any, y: Any) -> Any:
        return x / y


@op("mod")
class Mod(Elementwise):
    """x - y * floor(x / y)"""

    gradients = ("ct", "-(ct * floor(x / y))")
    samples = (Sample(((3, 4), (3, 4)), low=2.1, high=2.9), Sample(((), (3,)), low=1.1, high=1.9))
    bad = UNEQUAL

    def emit(self, e: Emitter, x: str, y: str) -> str:
        return f"({x} % {y})"

    def reference(self, x: Any, y: Any) -> Any:
        return np.mod(x, y)


@op("pow")
class Pow(Elementwise):
    """x^y. With respect to the exponent, the derivative at x = 0 is taken as 0."""

    costly = True
    samples = binary(0.3, 2.0)
    bad = UNEQUAL

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        x, y = node.inputs
        values = {"x": x, "y": y, "r": node, "ct": ct}
        if y.op == "constant":
            lower = b.constant(y.attr("value") - 1.0)
            return [formula("ct * (y * x**lower)").build(b, values | {"lower": lower}), None]
        base = formula("select(y == 0, 0, ct * (y * x**(y - 1)))")
        exponent = formula("select(x == 0, 0, ct * (r * log(x)))")
        return [base.build(b, values), exponent.build(b, values)]

    def emit(self, e: Emitter, x: str, y: str) -> str:
        return e.call("pow", x, y)

    def reference(self, x: Any, y: Any) -> Any:
        return np.power(x, y)


class Extreme(Elementwise):
    """The larger or smaller of two. At a tie the gradient goes to a constant, so that relu'(0) = 0 as in the course,
    else to the first operand, so that leaky_relu'(0) = slope."""

    samples = (
        Sample(((3, 4), (3, 4))),
        Sample(((3, 4), (3, 1))),
        Sample(((1, 4), (3, 4))),
        Sample(((), (3,))),
    )
    bad = UNEQUAL
    beats = ""

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        x, y = node.inputs
        zero = b.constant(0.0)
        if y.op == "constant":
            wins = b.add(self.beats, x, y)
            return [b.add("select", wins, ct, zero), b.add("select", wins, zero, ct)]
        wins = b.add(self.beats, y, x)
        return [b.add("select", wins, zero, ct), b.add("select", wins, ct, zero)]


@op("max")
class Max(Extreme):
    """The larger of two."""

    beats = "gt"

    def emit(self, e: Emitter, x: str, y: str) -> str:
        return e.call("max", x, y)

    def reference(self, x: Any, y: Any) -> Any:
        return np.maximum(x, y)


@op("min")
class Min(Extreme):
    """The smaller of two."""

    beats = "lt"

    def emit(self, e: Emitter, x: str, y: str) -> str:
        return e.call("min", x, y)

    def reference(self, x: Any, y: Any) -> Any:
        return np.minimum(x, y)


# --- truth values ----------------------------------------------------------------------------------------------


class Truth(Elementwise):
    """A truth value for each element; no gradient flows through it."""

    differentiable = False
    result_kind = "bool"


class Comparison(Truth):
    """`sign` between two numbers."""

    samples = (*binary(), Sample(((6,), (6,)), low=0, high=3, kinds=("index", "index")))
    bad = UNEQUAL
    sign = ""

    def emit(self, e: Emitter, x: str, y: str) -> str:
        return f"({x} {self.sign} {y})"


@op("lt")
class Less(Comparison):
    """x < y"""

    sign = "<"

    def reference(self, x: Any, y: Any) -> Any:
        return np.less(x, y)


@op("le")
class LessEqual(Comparison):
    """x <= y"""

    sign = "<="

    def reference(self, x: Any, y: Any) -> Any:
        return np.less_equal(x, y)


@op("gt")
class Greater(Comparison):
    """x > y"""

    sign = ">"

    def reference(self, x: Any, y: Any) -> Any:
        return np.greater(x, y)


@op("ge")
class GreaterEqual(Comparison):
    """x >= y"""

    sign = ">="

    def reference(self, x: Any, y: Any) -> Any:
        return np.greater_equal(x, y)


@op("eq")
class Equal(Comparison):
    """x == y"""

    commutative = True
    sign = "=="

    def reference(self, x: Any, y: Any) -> Any:
        return np.equal(x, y)


@op("ne")
class NotEqual(Comparison):
    """x != y"""

    commutative = True
    sign = "!="

    def reference(self, x: Any, y: Any) -> Any:
        return np.not_equal(x, y)


@op("and")
class And(Truth):
    """Both hold."""

    commutative = True
    samples = (Sample(((3, 4), (3, 4)), kinds=("bool", "bool")),)
    bad = UNEQUAL

    def emit(self, e: Emitter, x: str, y: str) -> str:
        return f"({x} and {y})"

    def reference(self, x: Any, y: Any) -> Any:
        return np.logical_and(x, y)


@op("or")
class Or(Truth):
    """At least one holds."""

    commutative = True
    samples = (Sample(((3, 4), (3, 4)), kinds=("bool", "bool")),)
    bad = UNEQUAL

    def emit(self, e: Emitter, x: str, y: str) -> str:
        return f"({x} or {y})"

    def reference(self, x: Any, y: Any) -> Any:
        return np.logical_or(x, y)


@op("not")
class Not(Truth):
    """It does not hold."""

    samples = (Sample(((3, 4),), kinds=("bool",)),)

    def emit(self, e: Emitter, x: str) -> str:
        return f"(not {x})"

    def reference(self, x: Any) -> Any:
        return np.logical_not(x)


@op("select")
class Select(Elementwise):
    """`select(c, x, y)`: x where c holds, else y. The branch not taken gives neither value nor gradient."""

    gradients = (None, "select(x, ct, 0)", "select(x, 0, ct)")
    samples = (
        Sample(((3, 4), (3, 4), (3, 4)), kinds=("bool", "real", "real")),
        Sample(((3, 4), (3, 1), ()), kinds=("bool", "real", "real")),
        Sample(((), (3,), (3,)), kinds=("bool", "real", "real")),
    )
    bad = (Bad(((3, 4), (3, 5), ()), "D102"), Bad(((3, 4), (), (4,)), "D103"))

    def type(self, facts: Facts, c: TensorType, x: TensorType, y: TensorType) -> TensorType:
        chosen = super().type(facts, c, x, y)
        return TensorType(chosen.axes, x.kind, x.classes) if x.kind == y.kind else chosen

    def emit(self, e: Emitter, c: str, x: str, y: str) -> str:
        return f"({x} if {c} else {y})"

    def reference(self, c: Any, x: Any, y: Any) -> Any:
        return np.where(c, x, y)
