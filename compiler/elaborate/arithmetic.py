"""Operators: exact on compile-time numbers, IR nodes on tensors."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from dlc.compiler.diagnostics import Edit
from dlc.compiler.dims import Condition, Dim, Relation, Truth, ceildiv, decide, demand_integer, floordiv, mod, quotient
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.report import Poisoned, Stop, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Tensor, describe
from dlc.compiler.ir import Node
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span

TENSOR_OPS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "%": "mod",
    "^": "pow",
    "@": "matmul",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
    "==": "eq",
    "!=": "ne",
    "and": "and",
    "or": "or",
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
LONGEST = 100_000
LARGEST = 10**30
"""Compile-time integers beyond this are a mistake, not a size."""


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Dim, Fraction)) and not isinstance(value, bool)


def to_dim(value: Any, span: Span) -> Dim:
    """A compile-time number as a dimension; it must be a whole number (or may still turn out to be one)."""
    if isinstance(value, Dim):
        return value
    if type(value) is int:  # the usual case, without a fraction in between; a truth value is none
        return Dim.of(value)
    if isinstance(value, bool) or not is_number(value):
        raise stop("N208", f"a size is a whole number known before anything runs, not {describe(value)}", span)
    exact = Fraction(value) if not isinstance(value, float) else None
    if exact is None or exact.denominator != 1:
        help = "floor(…) rounds down, ceil(…) rounds up"
        raise stop("D117", f"a size must be a whole number, and this is {value}", span, help=help)
    return Dim.of(int(exact))


def to_int(value: Any, span: Span, what: str = "this") -> int:
    """A compile-time whole number."""
    if type(value) is int:  # the usual case; a truth value is none
        return value
    if isinstance(value, Dim) and value.constant is not None:
        value = value.constant
    if isinstance(value, Dim) and _rigid(value):
        raise Poisoned
    if isinstance(value, bool) or not isinstance(value, (int, Fraction)) or Fraction(value).denominator != 1:
        raise stop("N208", f"{what} must be a whole number known before anything runs, not {describe(value)}", span)
    return int(value)


def _rigid(value: Dim) -> bool:
    """Whether each use will know it: in the proof of a definition for all sizes nothing is said of it."""
    return all(symbol.kind == "rigid" for symbol in value.symbols)


def simplest(value: Any) -> Any:
    """A number in its plainest form: a `Dim` without unknowns is an int or a Fraction, a whole Fraction an int."""
    if isinstance(value, Dim) and value.constant is not None:
        value = value.constant
    if type(value) is int:  # at once: asking whether a number is a Fraction takes long
        return value
    if isinstance(value, Fraction) and value.denominator == 1:
        return int(value)
    return value


def binary(e: Context, expr: ast.Binary, left: Any, right: Any, scope: Scope) -> Any:
    """`left op right`."""
    if isinstance(left, Tensor) or isinstance(right, Tensor) or _grows_with_data(expr.op, left, right):
        return tensor_binary(e, expr, left, right, scope)
    if expr.op in ("==", "!=") and not (is_number(left) and is_number(right)):
        return (left == right) == (expr.op == "==")
    if isinstance(left, list) and isinstance(right, list) and expr.op == "+":
        if len(left) + len(right) > LONGEST:
            raise stop("D118", f"a list of {len(left) + len(right):,} elements is too long", expr.span)
        return left + right
    if isinstance(left, bool) and isinstance(right, bool) and expr.op in ("and", "or"):
        return (left and right) if expr.op == "and" else (left or right)
    logical = expr.op in ("and", "or")
    if logical and isinstance(left, (bool, Condition)) and isinstance(right, (bool, Condition)):
        return _joined(expr.op, left, right)
    for value, side in ((left, expr.left), (right, expr.right)):
        if logical and not isinstance(value, (bool, Condition)):
            raise stop("N214", f"`{expr.op}` joins two conditions, and this is {describe(value)}", side.span)
        if not logical and not is_number(value):
            raise stop("N214", f"`{expr.op}` needs numbers or tensors, not {describe(value)}", side.span)
    if expr.op in COMPARISONS:
        return compare(e, expr.op, left, right)
    if expr.op == "@":
        raise stop("N214", "`@` multiplies matrices; for numbers write `*`", expr.span)
    return numbers(expr.op, left, right, expr.span)


def _joined(op: str, left: bool | Condition, right: bool | Condition) -> bool | Condition:
    """`and` and `or` of conditions; one of them may be decided already."""
    if isinstance(left, Condition) and isinstance(right, Condition):
        return Condition((left, right), op == "and")
    decided, other = (left, right) if isinstance(left, bool) else (right, left)
    return decided if decided is (op == "or") else other


def _grows_with_data(op: str, left: Any, right: Any) -> bool:
    """`0.7 / m`, `1 / (2 * m)`: a real number that is known only when a batch arrives is a scalar tensor."""
    if op == "/" and isinstance(right, Dim) and isinstance(left, (int, Fraction)):
        return any(symbol.kind != "rigid" for symbol in right.symbols)
    return (isinstance(left, Dim) and isinstance(right, float)) or (isinstance(left, float) and isinstance(right, Dim))


def tensor_binary(e: Context, expr: ast.Binary, left: Any, right: Any, scope: Scope) -> Tensor:
    if expr.op == "//":
        whole = tensor_binary(
            e, ast.Binary(op="/", left=expr.left, right=expr.right, span=expr.span), left, right, scope
        )
        return e.op("floor", [whole], [expr], expr.span, scope)
    if expr.op not in TENSOR_OPS:
        raise stop("N208", f"`{expr.op}` needs numbers known before anything runs", expr.span)
    operands = []
    for value, side in ((left, expr.left), (right, expr.right)):
        if expr.op in ("and", "or", "==", "!="):
            operands.append(Tensor(e.node(value, side.span), getattr(value, "declared", None)))
        elif expr.op == "@" and isinstance(value, Tensor) and value.type.kind == "index":
            raise _class_numbers(expr, side, value, scope)
        else:
            operands.append(e.real(value, side.span))
    if expr.op in ("==", "!=") and len({t.type.kind for t in operands}) > 1:
        operands = [e.real(t, expr.span) for t in operands]
    if expr.op in COMPARISONS and all(_is_position(operand.node) for operand in operands):
        operands[0] = _beside(e, operands[0], operands[1])
    return e.op(TENSOR_OPS[expr.op], operands, [expr.left, expr.right], expr.span, scope)


def _is_position(node: Node) -> bool:
    """Whether a value counts places: `position(S, over = q)`, or that and a number."""
    while node.op in ("add", "sub", "rename"):
        node = next((value for value in node.inputs if value.op != "constant"), node.inputs[0])
    return node.op == "position"


def _beside(e: Context, left: Tensor, right: Tensor) -> Tensor:
    """Positions along two axes of one tensor are compared each with each: a causal mask says so on purpose."""
    if left.type.rank != right.type.rank:
        return left
    axes = tuple(b if a.one else a for a, b in zip(left.type.axes, right.type.axes, strict=True))
    return Tensor(e.b.add("broadcast", left.node, axes=axes), left.declared)


def _class_numbers(expr: ast.Binary, side: ast.Expr, value: Tensor, scope: Scope) -> Stop:
    """`E @ x` with word numbers multiplies by a number that is a name."""
    text, declared = written(side, scope), value.declared
    return stop(
        "N214",
        f"{text} holds class numbers, which name things: `@` would multiply by them as if they were amounts",
        side.span,
        label=f"{value.type}, numbers from 0 to {value.type.classes - 1 if value.type.classes is not None else 0}",
        related=[(f"{declared.name} : index({value.type.classes})", declared.span)] if declared is not None else [],
        rule=f"E : (n, V),  E @ one_hot({text}) : (n, m) takes the columns of E",
        help=f"write one_hot({text})",
        fix=[Edit(side.span, f"one_hot({unparse(side)})")],
    )


def numbers(op: str, left: Any, right: Any, span: Span) -> Any:
    """Arithmetic on compile-time numbers; between integers `/` is an exact rational."""
    symbolic = isinstance(left, Dim) or isinstance(right, Dim)
    if op in ("/", "//", "%") and right == 0:
        raise stop("D117", "this divides by zero", span)
    if symbolic and not isinstance(left, float) and not isinstance(right, float):
        return simplest(_dims(op, Dim.of(left), Dim.of(right), span))
    if op == "/":
        exact = isinstance(left, (int, Fraction)) and isinstance(right, (int, Fraction))
        return within(Fraction(left) / Fraction(right), span) if exact else float(left) / float(right)
    if op == "^":
        return power(left, right, span)
    act = {"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod}[op]
    return within(act(left, right), span)


def _dims(op: str, left: Dim, right: Dim, span: Span) -> Dim:
    match op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return quotient(left, right)
        case "//":
            return floordiv(left, right)
        case "%":
            return mod(left, right)
        case _:
            exponent = right.constant
            if isinstance(exponent, int) and 0 <= exponent <= 16:
                return left**exponent
            if _rigid(right):
                raise Poisoned
            raise stop("N208", f"a size to the power of {right} is not known before anything runs", span)


def power(left: Any, right: Any, span: Span) -> Any:
    """`left ^ right`, exact for whole exponents."""
    if isinstance(left, (int, Fraction)) and isinstance(right, int):
        if abs(right) > 200 or (left not in (0, 1, -1) and abs(right) * math.log10(max(abs(float(left)), 2.0)) > 60):
            raise stop("D118", "this number is too large", span)
        if left == 0 and right < 0:
            raise stop("D117", "this divides by zero", span)
        return within(Fraction(left) ** right, span)
    try:
        result = float(left) ** float(right)
    except OverflowError:
        raise stop("D118", "this number is too large", span) from None
    if isinstance(result, complex):
        raise stop("N214", "a root of a negative number is not real", span)
    return result


def within(value: Any, span: Span) -> Any:
    """The number, if its digits are within reason."""
    if isinstance(value, int):
        if abs(value) > LARGEST:
            raise stop("D118", "this number is too large to be a size", span)
        return value
    if isinstance(value, Fraction) and max(abs(value.numerator), value.denominator) > LARGEST**2:
        raise stop("D118", "this fraction has too many digits", span, help="write one of its numbers with a point: 1.0")
    return simplest(value)


def compare(e: Context, op: str, left: Any, right: Any) -> bool | Condition:
    """A comparison of compile-time numbers; of sizes that are not known yet it may be open."""
    if not isinstance(left, Dim) and not isinstance(right, Dim):
        return COMPARISONS[op](left, right)
    relation = Relation(op, Dim.of(exact(left)), Dim.of(exact(right)))
    truth = decide(relation, e.b.facts)
    return Condition((relation,)) if truth is Truth.UNKNOWN else truth is Truth.YES


def exact(value: Any) -> Dim | int | Fraction:
    """A compile-time number as the algebra of sizes takes it: 0.5 is 1/2."""
    if not isinstance(value, float):
        return value  # type: ignore[no-any-return]
    return Fraction(repr(value)) if math.isfinite(value) else Fraction(LARGEST if value > 0 else -LARGEST)


def undecided(condition: Condition, span: Span) -> Stop:
    """A choice that must be made before anything runs, and cannot."""
    return stop("N208", f"whether {condition} is known only when data arrives", span)


def whole(e: Context, value: Dim, expr: ast.Expr, scope: Scope) -> None:
    """A bare `/` in a shape must divide exactly: raises D107, and names the neighbours that would do."""
    if demand_integer(value, e.b.facts) is Truth.YES:
        return
    text = written(expr, scope)
    help_text = None
    if isinstance(expr, ast.Binary) and expr.op == "/":
        help_text = (
            f"write floor({written(expr.left, scope)} / {written(expr.right, scope)}) if the rest is to be dropped"
        )
    raise stop("D107", f"{text} is {value}, which is not a whole number", expr.span, help=help_text)


def round_number(kind: str, value: Any, span: Span) -> Any:
    """`floor(a / b)` and `ceil(a / b)` of compile-time numbers."""
    if isinstance(value, Dim):
        return simplest(floordiv(value, Dim.of(1)) if kind == "floor" else ceildiv(value, Dim.of(1)))
    if isinstance(value, float) and not math.isfinite(value):
        raise stop("D117", f"{kind}({value}) is not a number", span)
    return math.floor(value) if kind == "floor" else math.ceil(value)
