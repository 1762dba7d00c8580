"""exp, log, tanh, erf ... and random numbers as straight-line LLVM code, so that loops over them vectorise.

A call of the C library in a loop keeps LLVM from vectorising it (the PyPI build of Numba has no vector library). These
intrinsics write the formulas of `formulas.py` instead, for float32 or float64 as their argument is. They carry no
fast-math flags of their own: infinities and NaN come out as they should.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dlc.compiler.codegen.host.formulas import (
    FLOAT32,
    FLOAT64,
    Format,
    erf_formula,
    exp_formula,
    expm1_formula,
    log1p_formula,
    log_formula,
    normal_formula,
    random_bits,
    sigmoid_formula,
    softplus_formula,
    tanh_formula,
    uniform_formula,
)

__all__ = [
    "erf",
    "exp",
    "expm1",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "normal01_float32",
    "normal01_float64",
    "sigmoid",
    "softplus",
    "tanh",
    "uniform01_float32",
    "uniform01_float64",
]


# Numba adds the fast-math flags of the calling function to every float operation that carries none. These formulas mean
# what they say (x + magic - magic is no x), so each operation carries a flag that says nothing about it.
HARMLESS = {"fadd": "arcp", "fsub": "arcp", "fmul": "arcp", "fdiv": "nsz"}
CONTRACT = ("contract",)


class Value:
    """An LLVM value that the operators of a formula work on."""

    def __init__(self, m: LlvmArithmetic, value: ir.Value) -> None:
        self.m = m
        self.value = value

    def combine(self, other: Value | int, on_floats: str, on_integers: str) -> Value:
        right = ir.Constant(self.value.type, other) if isinstance(other, int) else other.value
        if isinstance(self.value.type, ir.IntType):
            return Value(self.m, getattr(self.m.builder, on_integers)(self.value, right))
        operation = getattr(self.m.builder, on_floats)
        return Value(self.m, operation(self.value, right, flags=(HARMLESS[on_floats],)))

    def __add__(self, other: Value) -> Value:
        return self.combine(other, "fadd", "add")

    def __sub__(self, other: Value) -> Value:
        return self.combine(other, "fsub", "sub")

    def __mul__(self, other: Value) -> Value:
        return self.combine(other, "fmul", "mul")

    def __truediv__(self, other: Value) -> Value:
        return self.combine(other, "fdiv", "udiv")

    def __neg__(self) -> Value:
        return Value(self.m, self.m.builder.fneg(self.value))

    def __and__(self, other: Value) -> Value:
        return self.combine(other, "and_", "and_")

    def __or__(self, other: Value) -> Value:
        return self.combine(other, "or_", "or_")

    def __xor__(self, other: Value) -> Value:
        return self.combine(other, "xor", "xor")

    def __lshift__(self, places: int) -> Value:
        return self.combine(places, "shl", "shl")

    def __rshift__(self, places: int) -> Value:
        return self.combine(places, "lshr", "lshr")


class LlvmArithmetic:
    """The arithmetic of `formulas.py` on LLVM values. `fused` allows fma where the formula does."""

    def __init__(self, builder: ir.IRBuilder, kind: types.Float, fused: bool = True) -> None:
        self.builder = builder
        self.float = ir.FloatType() if kind is types.float32 else ir.DoubleType()
        self.int = ir.IntType(kind.bitwidth)
        self.format: Format = FLOAT32 if kind is types.float32 else FLOAT64
        self.fused = fused

    def number(self, value: float) -> Value:
        return Value(self, ir.Constant(self.float, float(value)))

    def integer(self, value: int) -> Value:
        return Value(self, ir.Constant(self.int, value))

    def word(self, value: int) -> Value:
        return Value(self, ir.Constant(ir.IntType(64), value))

    def bits(self, x: Value) -> Value:
        return Value(self, self.builder.bitcast(x.value, self.int))

    def from_bits(self, n: Value) -> Value:
        return Value(self, self.builder.bitcast(n.value, self.float))

    def halved(self, n: Value) -> Value:
        return Value(self, self.builder.ashr(n.value, ir.Constant(self.int, 1)))

    def narrow(self, word: Value) -> Value:
        return Value(self, self.builder.trunc(word.value, self.int)) if self.int.width < 64 else word

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        if not self.fused:
            return a * b + c
        product = self.builder.fmul(a.value, b.value, flags=CONTRACT)
        return Value(self, self.builder.fadd(product, c.value, flags=CONTRACT))

    def sqrt(self, x: Value) -> Value:
        kind = ir.FunctionType(self.float, [self.float])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.sqrt.f{self.int.width}")
        return Value(self, self.builder.call(function, [x.value]))

    def abs(self, x: Value) -> Value:
        return self.from_bits(self.bits(x) & self.integer((1 << self.int.width - 1) - 1))

    def signed(self, size: Value, sign: Value) -> Value:
        """`size`, which is not negative, with the sign of `sign`."""
        return self.from_bits(self.bits(size) | (self.bits(sign) & self.integer(1 << self.int.width - 1)))

    def less(self, a: Value, b: Value) -> Value:
        return Value(self, self.builder.fcmp_ordered("<", a.value, b.value, flags=("arcp",)))

    def equal(self, a: Value, b: Value) -> Value:
        return Value(self, self.builder.fcmp_ordered("==", a.value, b.value, flags=("arcp",)))

    def both(self, p: Value, q: Value) -> Value:
        return Value(self, self.builder.and_(p.value, q.value))

    def where(self, condition: Value, chosen: Value, other: Value) -> Value:
        return Value(self, self.builder.select(condition.value, chosen.value, other.value))

    def at_most(self, x: Value, bound: float) -> Value:
        """min(x, bound), and NaN for NaN."""
        return self.where(self.less(self.number(bound), x), self.number(bound), x)

    def at_least(self, x: Value, bound: float) -> Value:
        return self.where(self.less(x, self.number(bound)), self.number(bound), x)


def unary(formula: Callable[[Any, Any], Any]) -> Any:
    """The intrinsic of a formula of one variable, on float32 or float64."""

    @intrinsic
    def compiled(typing: Any, x: Any) -> Any:
        kind = x if isinstance(x, types.Float) else types.float64

        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            m = LlvmArithmetic(builder, kind)
            return formula(m, Value(m, args[0])).value

        return kind(kind), lower

    return compiled


exp = unary(exp_formula)
expm1 = unary(expm1_formula)
log = unary(log_formula)
log1p = unary(log1p_formula)
tanh = unary(tanh_formula)
sigmoid = unary(sigmoid_formula)
softplus = unary(softplus_formula)
erf = unary(erf_formula)


def larger_or_smaller(name: str) -> Any:
    """The intrinsic of llvm.maximum or llvm.minimum: NaN where either is NaN, like NumPy's, and as a reduction over a
    row it vectorises, which a comparison of floats that may be NaN does not."""

    @intrinsic
    def compiled(typing: Any, x: Any, y: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            symbol, kind = f"llvm.{name}.f{signature.return_type.bitwidth}", args[0].type
            declared = ir.FunctionType(kind, [kind, kind])
            return builder.call(cgutils.get_or_insert_function(builder.module, declared, symbol), args)

        kind = types.float32 if x is types.float32 and y is types.float32 else types.float64
        return kind(kind, kind), lower

    return compiled


maximum = larger_or_smaller("maximum")
minimum = larger_or_smaller("minimum")


Sample = Callable[[LlvmArithmetic, Callable[[Value], Value], Value], Value]


def random_function(kind: types.Float, sample: Sample) -> Any:
    """The intrinsic f(seed, draw, step, index) of a random number; `sample` draws uniform ones at positions."""

    @intrinsic
    def compiled(typing: Any, seed: Any, draw: Any, step: Any, index: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            # Nothing is fused, so that NumPy computes the same bits.
            m = LlvmArithmetic(builder, kind, fused=False)
            seed, draw, step, position = (Value(m, arg) for arg in args)

            def uniform(at: Value) -> Value:
                bits: Value = uniform_formula(m, random_bits(m, seed, draw, step, at))
                return bits

            return sample(m, uniform, position).value

        return kind(types.int64, types.int64, types.int64, types.int64), lower

    return compiled


def one_uniform(m: LlvmArithmetic, uniform: Callable[[Value], Value], index: Value) -> Value:
    return uniform(index)


def one_normal(m: LlvmArithmetic, uniform: Callable[[Value], Value], index: Value) -> Value:
    first = index * m.word(2)
    number: Value = normal_formula(m, uniform(first), uniform(first + m.word(1)))
    return number


uniform01_float32 = random_function(types.float32, one_uniform)
uniform01_float64 = random_function(types.float64, one_uniform)
normal01_float32 = random_function(types.float32, one_normal)
normal01_float64 = random_function(types.float64, one_normal)
