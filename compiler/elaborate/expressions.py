"""Evaluates expressions: compile-time values are computed, tensor operations become nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.dims import Condition, DimTooLarge, Mismatch, broadcast
from dlc.compiler.elaborate.arithmetic import binary, is_number, to_int, undecided
from dlc.compiler.elaborate.branches import either_value
from dlc.compiler.elaborate.calls import apply_value, call
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.habits import for_attribute, for_package, for_unknown
from dlc.compiler.elaborate.over import WORDS
from dlc.compiler.elaborate.primitives import CONSTANTS, PRIMITIVES
from dlc.compiler.elaborate.report import Poisoned, Stop, stop, too_large
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.steps import time_index
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import (
    Family,
    Function,
    Instance,
    Poison,
    Primitive,
    Range,
    Tensor,
    Tuple,
    describe,
)
from dlc.grammar import ast
from dlc.grammar.format import unparse


def evaluate(e: Context, expr: ast.Expr, scope: Scope) -> Any:
    """The value of an expression. Raises `Stop` at a mistake and `Poisoned` after one."""
    e.count(1, expr.span)
    try:
        return _VALUES.get(expr.__class__, _no_value)(e, expr, scope)
    except DimTooLarge as error:
        raise too_large(error, expr.span) from None


def _carried(e: Context, expr: ast.Expr, value: Any) -> Any:
    """Of several outputs the first goes on, but where an equation names them all: `h, c = LSTM(64)(x)`."""
    return value.items[0] if isinstance(value, Tuple) and expr is not e.several else value


def _no_value(e: Context, expr: Any, scope: Scope) -> Any:
    raise stop("N214", "this has no value here", expr.span)


def _written_value(e: Context, expr: ast.Number | ast.String, scope: Scope) -> Any:
    return expr.value


def _list(e: Context, expr: ast.ListExpr, scope: Scope) -> Any:
    return [evaluate(e, item, scope) for item in expr.items]


def _tuple(e: Context, expr: ast.Shape, scope: Scope) -> Any:
    return Tuple(tuple(evaluate(e, item, scope) for item in expr.items))


def _binary(e: Context, expr: ast.Binary, scope: Scope) -> Any:
    left = evaluate(e, expr.left, scope)
    if expr.op == "..":
        first = to_int(left, expr.left.span, "the start of a range")
        last = to_int(evaluate(e, expr.right, scope), expr.right.span, "the end of a range")
        return Range(first, last)
    if isinstance(left, bool) and expr.op in ("and", "or") and left == (expr.op == "or"):
        return left
    return binary(e, expr, left, evaluate(e, expr.right, scope), scope)


def _transpose(e: Context, expr: ast.Transpose, scope: Scope) -> Any:
    tensor = e.real(evaluate(e, expr.operand, scope), expr.operand.span)
    return e.op("transpose", [tensor], [expr.operand], expr.span, scope)


def _call(e: Context, expr: ast.Call, scope: Scope) -> Any:
    callee = name_value(e, expr.function, scope, called=True) if isinstance(expr.function, ast.Name) else None
    return _carried(e, expr, call(e, expr, scope, evaluate, value=callee))


def _apply(e: Context, expr: ast.Apply, scope: Scope) -> Any:
    return _carried(e, expr, apply_value(e, expr, scope, evaluate))


def _time_index(e: Context, expr: ast.TimeIndex, scope: Scope) -> Any:
    return time_index(e, expr, scope, evaluate)


def name_value(e: Context, expr: ast.Name, scope: Scope, *, called: bool = False) -> Any:
    """What a name stands for; after `~` an initializer's name alone is a draw, unless it is `called`."""
    value = scope.find(expr.id)
    if value is None and expr.id in PRIMITIVES:
        value = Primitive(expr.id, PRIMITIVES[expr.id].handler)
    value = CONSTANTS.get(expr.id) if value is None else value
    if value is None:
        raise unknown_name(e, expr, scope)
    if isinstance(value, Poison):
        raise Poisoned
    if e.draw_shape is not None and not called and _draws_without_arguments(value):
        return apply_value_of(e, value, expr, scope)
    return value


def _draws_without_arguments(value: Any) -> bool:
    if isinstance(value, Function):
        definition = value.definition
        return definition.kind == "initializer" and all(p.default is not None for p in definition.parameters)
    return isinstance(value, Primitive) and value.name in ("randn", "normal", "uniform", "orthogonal")


def apply_value_of(e: Context, value: Any, expr: ast.Expr, scope: Scope) -> Any:
    """Calls a value without arguments."""
    bare = ast.Call(function=expr, arguments=(), span=expr.span)
    return call(e, bare, scope, evaluate, value=value)


def unknown_name(e: Context, expr: ast.Name, scope: Scope) -> Exception:
    from dlc.compiler.elaborate.library import standard_names

    if e.findings.told("N201", expr.span):
        return Poisoned()
    local = next((level.locals[expr.id] for level in scope.chain() if expr.id in level.locals), None)
    if local is not None:
        return stop(
            "N201",
            f"{expr.id} is defined in one branch only, so it is not known here",
            expr.span,
            related=[("defined in this branch", local)],
            help=f"define {expr.id} in both branches, with the same shape",
        )
    home = next((level for level in scope.chain() if expr.id in level.steps), None)
    if home is not None:
        place, t = home.steps[expr.id]
        home.names[expr.id] = Poison()  # said once
        return stop(
            "N201",
            f"{expr.id} is local to a step of the scan over {t}, so it is not known here",
            expr.span,
            related=[("defined in the step", place)],
            help=f"write {expr.id}<{t}> = … there: then {expr.id} is the whole sequence here",
        )
    near = e.findings.suggestion(expr.id, [*scope.known(), *standard_names(), *PRIMITIVES, *CONSTANTS])
    help_text = for_unknown(expr.id, near)
    if help_text is None and expr.id in WORDS:
        help_text = f"`{expr.id}` has a meaning only after `over =`"
    return stop("N201", f"unknown name {expr.id}", expr.span, help=help_text)


def _unary(e: Context, expr: ast.Unary, scope: Scope) -> Any:
    value = evaluate(e, expr.operand, scope)
    if expr.op == "not":
        if isinstance(value, bool):
            return not value
        if isinstance(value, Condition):
            return value.negated()
        if not isinstance(value, Tensor):
            raise stop("N214", f"`not` turns a condition round, and this is {describe(value)}", expr.operand.span)
        return e.op("not", [Tensor(e.node(value, expr.operand.span))], [expr.operand], expr.span, scope)
    if is_number(value):
        return -value
    return e.op("neg", [e.real(value, expr.operand.span)], [expr.operand], expr.span, scope)


def _conditional(e: Context, expr: ast.Conditional, scope: Scope) -> Any:
    condition = evaluate(e, expr.condition, scope)
    if isinstance(condition, bool):
        return _side(e, expr.then if condition else expr.otherwise, scope)
    if isinstance(condition, Condition):
        if e.rigid is None:
            raise undecided(condition, expr.condition.span)
        return either_value(e, expr, condition, lambda side: _side(e, side, scope))
    if not isinstance(condition, Tensor):
        raise stop("N214", f"a condition is true or false, not {describe(condition)}", expr.condition.span)
    branches = [e.real(evaluate(e, side, scope), side.span) for side in (expr.then, expr.otherwise)]
    then, otherwise = (branch.type for branch in branches)
    if isinstance(broadcast(then, otherwise, e.b.facts), Mismatch):
        raise stop(
            "D116",
            f"the branches of this choice have different shapes: {then} and {otherwise}",
            expr.span,
            related=[(str(then), expr.then.span), (str(otherwise), expr.otherwise.span)],
            rule="`x if c else y` chooses elementwise: both branches have the shape of the result",
        )
    return e.op("select", [condition, *branches], [expr.condition, expr.then, expr.otherwise], expr.span, scope)


def _side(e: Context, side: ast.Expr, scope: Scope) -> Any:
    """The value of one side; a definition that is checked for all sizes judges each side by itself."""
    value = evaluate(e, side, scope)
    if e.rigid is not None:
        e.rigid.done.add(side.span)
    return value


def _index(e: Context, expr: ast.Index, scope: Scope) -> Any:
    try:
        indices = tuple(to_int(evaluate(e, index, scope), index.span, "an index") for index in expr.indices)
    except Stop as failure:
        of_tensor = isinstance(expr.base, ast.Name) and isinstance(scope.find(expr.base.id), Tensor)
        if (e.scans or of_tensor) and failure.diagnostic.code == "N208":
            meant = f"{unparse(expr.base)}<{unparse(expr.indices[0])}>".replace(" ", "")
            advice = f"a step in time stands between < and >: {meant}"
            raise Stop(replace(failure.diagnostic, help=advice)) from None
        raise
    if isinstance(expr.base, ast.Name) and scope.find(expr.base.id) is None and not _misspelt(e, expr.base, scope):
        if e.findings.told("N207", expr.span):
            raise Poisoned
        text = written(expr, scope)
        raise stop(
            "N207",
            f"{text} is not defined here: no {expr.base.id}[…] stands above",
            expr.span,
            help=f"begin the family before it is used: {text} = …",
        )
    base = evaluate(e, expr.base, scope)
    if isinstance(base, Family):
        value = base.members.get(indices)
        if value is None:
            if base.broken:
                raise Poisoned
            raise _no_member(base, indices, expr, written(expr, scope))
        if isinstance(value, Poison):
            raise Poisoned
        return value
    if isinstance(base, list):
        for number, index in enumerate(indices):
            if not isinstance(base, list):
                raise stop(
                    "N214",
                    f"{written(expr, scope)} has {len(indices)} indices, and the list only {number} levels",
                    expr.span,
                )
            if not 0 <= index < len(base):
                raise stop(
                    "N207",
                    f"{written(expr, scope)} is outside the list, which has {len(base)} elements",
                    expr.span,
                    rule=f"a list is indexed from 0 to {len(base) - 1}",
                )
            base = base[index]
        return base
    sliced = isinstance(base, Tensor)
    slices = "there are no slices: split(X, (1, 4, 3), over = first) takes a tensor apart" if sliced else None
    raise stop("N214", f"{written(expr.base, scope)} is {describe(base)}: it cannot be indexed", expr.span, help=slices)


def _misspelt(e: Context, name: ast.Name, scope: Scope) -> bool:
    return name.id in PRIMITIVES or e.findings.suggestion(name.id, scope.known()) is not None


def _no_member(base: Family, indices: tuple[int, ...], expr: ast.Index, text: str) -> Exception:
    if any(len(key) != len(indices) for key in base.members):
        count = len(next(iter(base.members)))
        what = "index" if count == 1 else "indices"
        return stop("N207", f"{base.name} has {count} {what}, and this gives {len(indices)}", expr.span)
    defined = ", ".join(f"{base.name}[{', '.join(map(str, key))}]" for key in list(base.members)[:6])
    return stop(
        "N207",
        f"{text} is not defined here",
        expr.span,
        related=[(f"{base.name}[…] is defined here", base.span)],
        help=f"so far there are {defined}" if defined else None,
    )


def _attribute(e: Context, expr: ast.Attribute, scope: Scope) -> Any:
    if isinstance(expr.base, ast.Name) and scope.find(expr.base.id) is None:
        help = for_package(expr.base.id, expr.name.id)
        if help is not None and not e.findings.told("N201", expr.span):
            raise stop("N201", f"unknown name {unparse(expr)}", expr.span, help=help)
    base = evaluate(e, expr.base, scope)
    if isinstance(base, Instance):
        if expr.name.id in base.parameters:
            return base.parameters[expr.name.id]
        if not base.uses:
            raise stop(
                "N209", f"{written(expr, scope)} exists once {base.path or 'the layer'} has been applied", expr.span
            )
        near = did_you_mean(expr.name.id, list(base.parameters))
        has = ", ".join(base.parameters) or "none"
        raise stop(
            "N201",
            f"{base.layer.definition.name.id} has no parameter {expr.name.id}",
            expr.name.span,
            help=f"did you mean {near}?" if near else f"its parameters are: {has}",
        )
    text = written(expr.base, scope)
    help = for_attribute(text, expr.name.id) if isinstance(base, Tensor) else None
    raise stop("N214", f"{text} is {describe(base)}: it has no parts", expr.span, help=help)


_VALUES: dict[type, Callable[[Context, Any, Scope], Any]] = {
    ast.Number: _written_value,
    ast.String: _written_value,
    ast.Name: name_value,
    ast.ListExpr: _list,
    ast.Shape: _tuple,
    ast.Unary: _unary,
    ast.Binary: _binary,
    ast.Conditional: _conditional,
    ast.Transpose: _transpose,
    ast.Index: _index,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.Apply: _apply,
    ast.TimeIndex: _time_index,
}
"""What evaluates a kind of expression: the most frequent question of a check, so a table and no chain of cases."""
