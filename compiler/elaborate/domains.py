"""The domain of a hyper, after `in`: which values `dlc search` may try."""

from __future__ import annotations

from typing import Any

from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.dims import Dim
from dlc.compiler.elaborate.arithmetic import is_number
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.shapes import Evaluate
from dlc.compiler.elaborate.values import Range, describe
from dlc.grammar import ast
from dlc.grammar.format import unparse

INTERVALS = ("uniform", "log", "log1m")
FORMS = "{a, b, c}, a..b, uniform(a, b), log(a, b), log1m(a, b)"


def check_domain(expr: ast.Expr, name: str, default: Any, scope: Scope, evaluate: Evaluate) -> None:
    """Raises `Stop` where a domain has not one of the five forms, or its values are not of the default's kind."""
    match expr:
        case ast.SetExpr(items=items):
            for item in items:
                value = evaluate(item, scope)
                if is_number(value) != is_number(default):
                    message = f"{name} is {describe(default)}, and its domain holds {describe(value)}"
                    raise stop("T402", message, item.span)
        case ast.Binary(op=".."):
            value = evaluate(expr, scope)
            if isinstance(value, Range) and value.last < value.first:
                raise stop("T402", f"the domain {unparse(expr)} is empty", expr.span)
            _number(name, default, expr)
        case ast.Call(function=ast.Name(id=kind), arguments=arguments) if kind in INTERVALS:
            if len(arguments) != 2 or any(argument.name is not None for argument in arguments):
                raise stop("T402", f"{kind} takes its two ends", expr.span, rule=f"{kind}(a, b)")
            ends = [evaluate(argument.value, scope) for argument in arguments]
            _interval(kind, ends, expr)
            _number(name, default, expr)
        case _:
            called = expr.function if isinstance(expr, ast.Call) else expr
            near = did_you_mean(unparse(called), INTERVALS)
            help = f"did you mean {near}?" if near else None
            raise stop("T402", f"{unparse(expr)} is not a domain", expr.span, rule=f"a domain is {FORMS}", help=help)


def _number(name: str, default: Any, expr: ast.Expr) -> None:
    if not is_number(default):
        raise stop("T402", f"{name} is {describe(default)}, and its domain {unparse(expr)} holds numbers", expr.span)


def _interval(kind: str, ends: list[Any], expr: ast.Call) -> None:
    for end, argument in zip(ends, expr.arguments, strict=True):
        if not is_number(end) or isinstance(end, Dim):
            raise stop("T402", f"an end of {kind} is a number, not {describe(end)}", argument.value.span)
    first, last = map(float, ends)
    if not first < last:
        raise stop("T402", f"{unparse(expr)} is empty: its first end is the smaller one", expr.span)
    if kind == "log" and first <= 0:
        message = f"a log scale has no {first:g}: both ends are above 0"
        raise stop("T402", message, expr.arguments[0].value.span)
    if kind == "log1m" and last >= 1:
        message = f"log1m is a log scale of 1 - x, so both ends are below 1, and this is {last:g}"
        raise stop("T402", message, expr.arguments[1].value.span)
