"""Written shapes: declared ones, annotations that are proved, and patterns that bind names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from dlc.compiler.diagnostics import Related
from dlc.compiler.dims import (
    Axis,
    Dim,
    Symbol,
    TensorType,
    Truth,
    demand,
    demand_integer,
    demand_size,
    solve_exactly,
)
from dlc.compiler.elaborate.advice import multiples
from dlc.compiler.elaborate.arithmetic import is_number, simplest, to_dim, whole
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.report import Stop, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.tables import table
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Declared, Tensor, Tuple, describe
from dlc.compiler.ops.base import ordinal
from dlc.compiler.program import M
from dlc.grammar import ast
from dlc.grammar.span import Span

Evaluate = Callable[[ast.Expr, Scope], Any]
MOST_VALUES = 10**15


def shape_axes(e: Context, shape: ast.Shape, scope: Scope, evaluate: Evaluate) -> list[Axis]:
    """The axes of a shape all of whose names are known."""
    return _axes(e, shape.items, shape.span, scope, evaluate)


def _axes(e: Context, items: Sequence[ast.Expr], span: Span, scope: Scope, evaluate: Evaluate) -> list[Axis]:
    axes: list[Axis] = []
    for item in items:
        match item:
            case ast.Rest():
                axes += further_axes(scope, item.span)
            case ast.Spread(value=name):
                axes += [Axis(size, name.id) for size in _spread(e, item, name, scope, evaluate)]
            case ast.NamedAxis(name=name, size=expr):
                size = size_of(e, expr, scope, evaluate)
                axes.append(Axis(size, name.id, one=_is_one(expr)))
            case ast.Number():
                axes.append(Axis(size_of(e, item, scope, evaluate), one=_is_one(item)))
            case _:
                called = item.id if isinstance(item, ast.Name) else None
                axes.append(Axis(size_of(e, item, scope, evaluate), called))
    holdable(axes, span)
    return axes


def stored_axes(e: Context, shape: ast.Shape, scope: Scope, evaluate: Evaluate) -> tuple[list[Axis], tuple[int, ...]]:
    """The axes of a parameter as it is stored, and where the written 1s that `...` stands for are put in: a Dense has
    the same `b` before (n, m) and (n, m, T)."""
    rests = [i for i, item in enumerate(shape.items) if isinstance(item, ast.Rest)]
    if not rests:
        return shape_axes(e, shape, scope, evaluate), ()
    if len(rests) > 1:
        raise stop("N214", "a parameter's shape has at most one `...`", shape.span)
    parts = shape.items[: rests[0]], shape.items[rests[0] + 1 :]
    before, after = (_axes(e, items, shape.span, scope, evaluate) for items in parts)
    ones = range(len(before), len(before) + len(further_axes(scope, shape.items[rests[0]].span)))
    return before + after, tuple(ones)


def holdable(axes: Sequence[Axis], span: Span) -> None:
    """Refuses a tensor that no machine can hold."""
    values = math.prod(int(axis.size.constant or 1) for axis in axes)
    if values > MOST_VALUES:
        about = len(str(values)) - 1
        raise stop("D118", f"a tensor of about 10^{about} values is more than any machine holds", span)


def _is_one(expr: ast.Expr) -> bool:
    return isinstance(expr, ast.Number) and expr.value == 1


def further_axes(scope: Scope, span: Span) -> tuple[Axis, ...]:
    if scope.rest is None:
        raise stop(
            "N214", "`...` stands for the further axes of a layer's or function's input; none is declared here", span
        )
    return scope.rest


def factors(expr: ast.Expr) -> list[ast.Expr]:
    """The factors of a written product: `... * c` has two."""
    if isinstance(expr, ast.Binary) and expr.op == "*":
        return factors(expr.left) + factors(expr.right)
    return [expr]


def _evaluated(expr: ast.Expr, scope: Scope, evaluate: Evaluate) -> Any:
    """The value of a size; in a product `...` is as large as the further axes together."""
    parts = factors(expr)
    if not any(isinstance(part, ast.Rest) for part in parts):
        return evaluate(expr, scope)
    sizes = [axis.size for part in parts if isinstance(part, ast.Rest) for axis in further_axes(scope, part.span)]
    sizes += [to_dim(evaluate(part, scope), part.span) for part in parts if not isinstance(part, ast.Rest)]
    return simplest(math.prod(sizes, start=Dim.of(1)))


def size_of(e: Context, expr: ast.Expr, scope: Scope, evaluate: Evaluate) -> Dim:
    """The size that an expression in a shape stands for."""
    value = _evaluated(expr, scope, evaluate)
    if isinstance(value, Fraction) or (isinstance(value, float) and isinstance(expr, ast.Binary)):
        raise _not_exact(expr, value, scope, evaluate)
    if isinstance(value, Dim):
        whole(e, value, expr, scope)
    size = to_dim(value, expr.span)
    if demand_size(size, e.b.facts) is not Truth.YES:
        raise stop("D111", f"a size is at least 1, and {written(expr, scope)} is {size}", expr.span)
    return size


def _spread(e: Context, item: ast.Spread, name: ast.Name, scope: Scope, evaluate: Evaluate) -> list[Dim]:
    """`f...`: one size for each further axis; a tuple gives each its own."""
    count = len(further_axes(scope, item.span))
    value = evaluate(name, scope)
    if not isinstance(value, Tuple | list):
        return [size_of(e, name, scope, evaluate)] * count
    sizes = list(value.items if isinstance(value, Tuple) else value)
    if len(sizes) != count:
        text = f"{name.id} has {len(sizes)} sizes, and `...` stands for {count} axes here"
        raise stop("D112", text, item.span)
    return [to_dim(size, item.span) for size in sizes]


def _not_exact(expr: ast.Expr, value: Any, scope: Scope, evaluate: Evaluate) -> Stop:
    """`d_model / heads` with 512 and 7: says so, and names 504, 511 and 518."""
    text = written(expr, scope)
    if isinstance(expr, ast.Binary) and expr.op == "/":
        a, b = evaluate(expr.left, scope), evaluate(expr.right, scope)
        if isinstance(a, int) and isinstance(b, int):
            return stop(
                "D107",
                f"{text} does not divide exactly: {a} / {b}",
                expr.span,
                label=f"{a} / {b} = {float(value):g}",
                rule="a bare / in a size must divide exactly",
                help=f"{multiples(a, b)}; floor({text}) drops the rest",
            )
    return stop("D107", f"a size must be a whole number, and {text} is {value}", expr.span)


def annotate(
    e: Context, value: Any, shape: ast.Shape, target: str, scope: Scope, evaluate: Evaluate, span: Span
) -> Tensor:
    """Proves that a value has its annotated shape; the annotation renames the axes and marks written 1s.

    A scalar fills the annotated shape (`a<0> : (n_a, m) = 0`).
    """
    axes = shape_axes(e, shape, scope, evaluate)
    declared = Declared(target, shape.span, shape.items, written(shape, scope))
    if isinstance(value, list):
        value = table(e, value, span)
    tensor = e.real(value, span) if not isinstance(value, Tensor) else value
    if tensor.type.rank == 0 and axes:
        node = e.b.add("broadcast", tensor.node, span=span, axes=tuple(axes))
        return Tensor(node, declared)
    wrong = _first_difference(e, axes, tensor.type)
    if wrong is not None:
        raise _annotation_error(e, axes, tensor, shape, target, scope, span, wrong)
    kind = tensor.type.with_axes(tuple(_claimed(e, tensor, axes)))
    node = tensor.node if kind == tensor.type else e.b.typed("rename", (tensor.node,), (), kind, span)
    return Tensor(node, declared)


def _claimed(e: Context, tensor: Tensor, axes: Sequence[Axis]) -> Sequence[Axis]:
    """The axes that a value has by an annotation or a pattern. A 1 that is written there broadcasts, but no axis of a
    target does, nor of what is computed from one place by place."""
    marked = any(axis.one and not have.one for axis, have in zip(axes, tensor.type.axes, strict=True))
    if not marked or e.target_of(tensor.node) is None:
        return axes
    return [replace(axis, one=have.one) for axis, have in zip(axes, tensor.type.axes, strict=True)]


def _first_difference(e: Context, axes: Sequence[Axis], type: TensorType) -> int | None:
    """The first axis in which the annotation and the type differ; -1 for different ranks."""
    if len(axes) != type.rank:
        return -1
    for i, (want, have) in enumerate(zip(axes, type.axes, strict=True)):
        if demand(want.size, have.size, e.b.facts) is not Truth.YES:
            return i
    return None


def _annotation_error(
    e: Context,
    axes: Sequence[Axis],
    tensor: Tensor,
    shape: ast.Shape,
    target: str,
    scope: Scope,
    span: Span,
    wrong: int,
) -> Stop:
    want = TensorType(tuple(axes))
    place = shape.items[wrong].span if 0 <= wrong < len(shape.items) else shape.span
    related = [(Declared(target, shape.span, written=written(shape, scope)).describe(want), place)]
    if wrong < 0:
        axes_text = f"{len(axes)} axes, and its value has {tensor.type.rank}"
        message = f"{target} is declared with {axes_text}: {want} against {tensor.type}"
    else:
        sizes = f"{axes[wrong].size} against {tensor.type.axes[wrong].size}"
        message = (
            f"{target} is declared {want}, and its value is {tensor.type}: the {ordinal(wrong)} axis differs, {sizes}"
        )
    return stop(
        "D106",
        message,
        span,
        label=f"{tensor.type}",
        related=related,
        rule="a shape beside a name is a claim that is proved: the value has exactly this shape",
    )


def bind_pattern(
    e: Context,
    shape: ast.Shape,
    tensor: Tensor,
    name: str,
    scope: Scope,
    evaluate: Evaluate,
    code: str,
    where: Span,
    owner: str,
) -> Tensor:
    """Matches a tensor against a pattern: new names are bound to the sizes found, known ones must be equal.

    `m` binds the axis *called* m and nothing else does. `where` is the place of the argument; `owner` who asks.
    """
    items, axes = list(shape.items), list(tensor.type.axes)
    spread = [i for i, item in enumerate(items) if isinstance(item, (ast.Rest, ast.Spread))]
    fail = _PatternFailure(e, shape, tensor, name, scope, code, where, owner)
    if len(spread) > 1:
        raise stop("N214", "a pattern has at most one `...`", shape.span)
    if spread:
        at = spread[0]
        many = len(axes) - (len(items) - 1)
        if many < 0:
            raise fail(f"at least {len(items) - 1} axes", None)
        _bind_rest(e, items[at], axes[at : at + many], scope, evaluate, fail)
        pairs = [*zip(items[:at], axes[:at], strict=True), *zip(items[at + 1 :], axes[at + many :], strict=True)]
        middle = axes[at : at + many]
    else:
        if len(items) != len(axes):
            raise fail(f"{len(items)} axes" if len(items) != 1 else "1 axis", None)
        pairs, at, middle = list(zip(items, axes, strict=True)), 0, []
    bound = [_bind_item(e, item, axis, scope, evaluate, fail) for item, axis in pairs]
    renamed = bound[:at] + middle + bound[at:] if spread else bound
    kind = tensor.type.with_axes(tuple(_claimed(e, tensor, renamed)))
    node = tensor.node if kind == tensor.type else e.b.typed("rename", (tensor.node,), (), kind, where)
    return Tensor(node, tensor.declared or Declared(name, shape.span, shape.items, written(shape, scope)))


def _bind_rest(
    e: Context, item: ast.Expr, axes: list[Axis], scope: Scope, evaluate: Evaluate, fail: _PatternFailure
) -> None:
    """`...` is bound to the axes that are left over; `f...` says that each of them is f."""
    if isinstance(item, ast.Spread):
        for axis in axes:
            _bind_item(e, item.value, axis, scope, evaluate, fail)
    home = next(s for s in scope.chain() if s.parent is None or s.parent.kind != s.kind or s.kind == "file")
    if scope.rest is None:
        for level in scope.chain():
            level.rest = tuple(axes)
            if level is home:
                break
        return
    same = len(scope.rest) == len(axes) and all(
        demand(a.size, b.size, e.b.facts) is Truth.YES for a, b in zip(scope.rest, axes, strict=True)
    )
    if not same:
        raise fail.unequal(TensorType(scope.rest))


def _bind_item(e: Context, item: ast.Expr, axis: Axis, scope: Scope, evaluate: Evaluate, fail: _PatternFailure) -> Axis:
    if isinstance(item, ast.NamedAxis):
        if item.name.id == "m":
            return _bind_examples(e, item, axis, scope, evaluate, fail)
        inner = _bind_item(e, item.size, axis, scope, evaluate, fail)
        return replace(inner, name=item.name.id)
    if isinstance(item, ast.Name):
        if item.id == "m" and scope.kind in ("layer", "function"):
            if axis.name != "m":
                raise fail("the examples, m, here", item)
            before = next((level.names["m"] for level in scope.levels() if "m" in level.names), None)
            if before is not None and demand(to_dim(before, item.span), axis.size, e.b.facts) is not Truth.YES:
                raise fail(f"m = {before} here", item)
            scope.names.setdefault("m", simplest(axis.size))
            return axis
        known = scope.find(item.id) if not is_definition(scope, item.id) else None
        if known is None:
            if axis.name == "m" and scope.kind == "layer":
                raise fail(f"{item.id} here, where the value has the examples m", item)
            scope.names[item.id] = simplest(axis.size)
            return Axis(axis.size, item.id, axis.one)
        if not is_number(known):
            raise stop("N214", f"{item.id} is {describe(known)}, not a size", item.span)
        if demand(to_dim(known, item.span), axis.size, e.b.facts) is not Truth.YES:
            raise fail(f"{item.id} = {known} here", item)
        return Axis(axis.size, item.id, axis.one)
    size = _solve(e, item, axis, scope, evaluate, fail)
    if demand(size, axis.size, e.b.facts) is not Truth.YES:
        raise fail(
            f"{written(item, scope)} = {size} here" if not isinstance(item, ast.Number) else f"{size} here", item
        )
    return replace(axis, name=None, one=axis.one or _is_one(item))


def is_definition(scope: Scope, name: str) -> bool:
    """A name of the library or the file (a function called `n`) does not stand in the way of a pattern's new name."""
    return all(name not in level.names for level in scope.chain() if level.kind != "file")


def _bind_examples(
    e: Context, item: ast.NamedAxis, axis: Axis, scope: Scope, evaluate: Evaluate, fail: _PatternFailure
) -> Axis:
    """`m = m * R` binds R: how many regions each example has; `m = 1` is one image. The axis must be called m."""
    inside = scope.kind in ("layer", "function")
    if inside and axis.name != "m":
        raise fail("the examples, m, here", item)
    if inside and all("m" not in level.names for level in scope.levels()):
        scope.names["m"] = simplest(Dim.symbol(M) if is_batch(axis.size) else axis.size)
    size = _solve(e, item.size, axis, scope, evaluate, fail)
    if demand(size, axis.size, e.b.facts) is not Truth.YES:
        raise fail(f"{written(item.size, scope)} = {size} here", item)
    return replace(axis, name="m")


def _solve(e: Context, item: ast.Expr, axis: Axis, scope: Scope, evaluate: Evaluate, fail: _PatternFailure) -> Dim:
    """The size of an item, after solving for the one name in it that is new (`heads * d`)."""
    unknown = sorted({n for n in names_in(item) if scope.find(n) is None})
    if not unknown:
        return size_of(e, item, scope, evaluate)
    if len(unknown) > 1:
        raise stop("D112", f"{written(item, scope)} has {len(unknown)} unknowns: {', '.join(unknown)}", item.span)
    symbol = Symbol(unknown[0], "rigid", uid=-1)
    inner = scope.child()
    inner.names[unknown[0]] = Dim.symbol(symbol)
    pattern = to_dim(_evaluated(item, inner, evaluate), item.span)
    solved = solve_exactly(pattern, symbol, axis.size, e.b.facts)
    fits = solved is not None and demand_integer(solved, e.b.facts) is Truth.YES
    if solved is None or not fits or demand_size(solved, e.b.facts) is not Truth.YES:
        would = f", and {axis.size} is not" if solved is None else f" = {axis.size}, and {unknown[0]} would be {solved}"
        raise fail(f"a size of the form {written(item, scope)}{would}", item, _divisible(axis.size, solved))
    scope.names[unknown[0]] = simplest(solved)
    return pattern.substitute({symbol: solved})


def _divisible(whole: Dim, solved: Dim | None) -> str | None:
    """Which sizes would do, where one does not divide."""
    if solved is None or not isinstance(solved.constant, Fraction) or not isinstance(whole.constant, int):
        return None
    times = whole.constant / solved.constant
    return multiples(whole.constant, int(times)) if times.denominator == 1 and times > 0 else None


def names_in(expr: Any) -> set[str]:
    match expr:
        case ast.Name(id=name):
            return {name}
        case ast.Binary(left=a, right=b):
            return names_in(a) | names_in(b)
        case ast.Unary(operand=a):
            return names_in(a)
        case ast.Call(arguments=arguments):
            return set().union(*(names_in(a.value) for a in arguments))
        case ast.Index(base=base, indices=indices):
            return names_in(base).union(*map(names_in, indices))
        case _:
            return set()


class _PatternFailure:
    """Makes the diagnostic of a value that does not fit a pattern."""

    def __init__(
        self, e: Context, shape: ast.Shape, tensor: Tensor, name: str, scope: Scope, code: str, where: Span, owner: str
    ) -> None:
        self.e, self.shape, self.tensor, self.name = e, shape, tensor, name
        self.scope, self.code, self.where, self.owner = scope, code, where, owner

    def unequal(self, before: TensorType) -> Stop:
        """`(...)` twice means equal shapes: the classic is a target (m, 1) against a prediction (1, m)."""
        error = self(f"the axes {before} of the argument before it", None)
        if len(self.shape.items) > 1:
            return error
        turned = self.tensor.type.rank == 2 and self.tensor.type.sizes == before.sizes[::-1]
        declared = self.tensor.declared
        advice = None
        if turned and declared is not None and declared.items:
            a, b = (written(item, self.scope) for item in declared.items)
            advice = (
                f"the examples stand in columns: declare {declared.name} : ({b}, {a}), or write {declared.name}.T here"
            )
        own, other = self.tensor.type, before
        if other.rank == own.rank + 1 and other.sizes[:-1] == own.sizes and other.axes[-1].name is not None:
            last = other.axes[-1].name
            advice = f"the prediction is made at every step: a<{last}> is the last step alone of a sequence a"
        return Stop(
            replace(
                error.diagnostic,
                message=f"{self.owner} needs equal shapes, and {self.name} is {self.tensor.type} against {before}",
                rule=f"{self.owner}(Y_hat : (...), Y : (...)): `(...)` twice means equal shapes; nothing broadcasts",
                help=advice,
            )
        )

    def __call__(self, need: str, item: ast.Expr | None, advice: str | None = None) -> Stop:
        pattern = written(self.shape, self.scope)
        related = [(f"{self.owner} takes {self.name} : {pattern}", item.span if item is not None else self.shape.span)]
        declared = self.tensor.declared
        if declared is not None and declared.items:
            related.append((declared.describe(self.tensor.type), declared.span))
        error = stop(
            self.code,
            f"{self.owner} takes {self.name} : {pattern}, and this is {self.tensor.type}: it needs {need}",
            self.where,
            label=str(self.tensor.type),
            related=related,
            rule=f"{self.name} : {pattern}",
            help=advice or _flatten_help(self.tensor.type, self.shape) or _layout_help(self.tensor.type, self.shape),
        )
        notes = tuple(Related(r.message, r.span) for r in error.diagnostic.related)
        return Stop(replace(error.diagnostic, related=notes))


def _flatten_help(type: TensorType, shape: ast.Shape) -> str | None:
    """`Conv -> Dense` without `Flatten`: inserts it, with the size."""
    first = shape.items[0] if shape.items else None
    if not isinstance(first, ast.Name) or first.id == "m" or type.rank < 3 or type.axes[0].name != "m":
        return None
    total = Dim.of(1)
    for axis in type.axes[1:]:
        total = total * axis.size
    return f"put `-> Flatten()` before it: {type} becomes ({total}, m)"


def _layout_help(type: TensorType, shape: ast.Shape) -> str | None:
    """Columns `(n, m)`, or the channels first, before a layer of feature maps."""
    first = shape.items[0] if shape.items else None
    if not isinstance(first, ast.Name) or first.id != "m" or type.rank < 2 or type.axes[0].name == "m":
        return None
    return "feature maps have the examples first and the channels last: (m, n_H, n_W, n_C)"


def is_batch(size: Dim) -> bool:
    """Whether a size grows with the examples."""
    return size.constant is None and M in size.symbols
