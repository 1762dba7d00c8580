"""Calls: functions, primitives, layers made into instances, and instances applied to tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from dlc.compiler.diagnostics import Edit
from dlc.compiler.elaborate.advice import CROSSED, Declarations, crossed_loss
from dlc.compiler.elaborate.axis_names import renamed_back
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.habits import for_argument, misplaced
from dlc.compiler.elaborate.over import WORDS, read_over
from dlc.compiler.elaborate.overloads import chosen
from dlc.compiler.elaborate.primitives import PRIMITIVES, REQUIRED, Further, Pattern, Signature, Site
from dlc.compiler.elaborate.report import LIBRARY, Poisoned, Stop, Use, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.shapes import bind_pattern
from dlc.compiler.elaborate.tables import table
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Function, Instance, Layer, Primitive, Tensor, Tuple, describe
from dlc.compiler.program import Line
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span

DEEPEST = 30
"""Functions and layers nested deeper than this call themselves."""
STEPS_OF_A_LAYER = 100
NO_ADVICE: Mapping[str, str] = {}
Eval = Callable[[Context, ast.Expr, Scope], Any]


@dataclass(frozen=True, slots=True)
class Given:
    """One evaluated argument and its expression."""

    value: Any
    expr: ast.Expr


def call(e: Context, expr: ast.Call, scope: Scope, evaluate: Eval, value: Any = None) -> Any:
    """`f(a, b, name = c)`."""
    callee = evaluate(e, expr.function, scope) if value is None else value
    match callee:
        case Primitive():
            return call_primitive(e, callee, expr, [], scope, evaluate)
        case Function():
            return call_function(e, callee, expr, [], scope, evaluate)
        case Layer():
            return make_instance(e, callee, expr, scope, evaluate)
        case Instance():
            inputs = []
            for argument in expr.arguments:
                if argument.name is not None:
                    raise stop("N203", "a layer's inputs are given by their order", argument.name.span)
                inputs.append(Given(evaluate(e, argument.value, scope), argument.value))
            return apply_instance(e, callee, inputs, expr.span, scope, evaluate)
    text = written(expr.function, scope)
    product = isinstance(callee, (Tensor, int, float)) and len(expr.arguments) == 1
    bracketed = f"({text})" if isinstance(expr.function, ast.Binary | ast.Conditional) else text
    factor = unparse(expr.arguments[0].value) if product else ""
    help = f"a product is written with `*`: {bracketed} * ({factor})" if product else None
    raise stop("N206", f"{text} is {describe(callee)}: it cannot be called", expr.span, help=help)


def apply_value(e: Context, expr: ast.Apply, scope: Scope, evaluate: Eval) -> Any:
    """`x -> f as name`: a chain carries the first of several outputs."""
    value = evaluate(e, expr.value, scope)
    if isinstance(value, Tuple):
        value = value.items[0]
    target = evaluate(e, expr.target, scope)
    given = Given(value, expr.value)
    name_span = expr.target.span
    if isinstance(target, Instance):
        if expr.name is not None:
            place_instance(target, scope.in_round(expr.name.id), scope, named=True)
            define_instance(e, expr.name, target, scope)
        result = apply_instance(e, target, [given], name_span, scope, evaluate)
        _twice_in_chain(e, expr, target, scope)
        return result
    if expr.name is not None:
        raise stop("N214", f"`as` names an instance of a layer, and this is {describe(target)}", expr.name.span)
    bare = ast.Call(function=expr.target, arguments=(), span=name_span)
    if isinstance(target, Function):
        return call_function(e, target, bare, [given], scope, evaluate)
    if isinstance(target, Primitive):
        return call_primitive(e, target, bare, [given], scope, evaluate)
    if isinstance(target, Layer):
        kind = target.definition.name.id
        raise stop("N206", f"{kind} is a layer: make an instance of it first", name_span, help=f"write {kind}(…)")
    raise stop("N206", f"{written(expr.target, scope)} is {describe(target)}: nothing can be applied to it", name_span)


def _twice_in_chain(e: Context, expr: ast.Apply, instance: Instance, scope: Scope) -> None:
    """`x -> f -> f` is legal, and one set of weights: a warning, unless it is the round of a loop."""
    if not instance.named or isinstance(expr.target, ast.Call) or not isinstance(expr.value, ast.Apply):
        return
    text = written(expr.target, scope)
    before: ast.Expr = expr.value
    while isinstance(before, ast.Apply):
        if written(before.target, scope) == text:
            e.findings.warn(
                "P305",
                f"{text} stands twice in one chain: both places share one set of weights",
                expr.target.span,
                related=[("first here", before.target.span)],
                help="make a second instance if two layers are meant",
            )
            return
        before = before.value


def define_instance(e: Context, name: ast.Name, instance: Instance, scope: Scope) -> None:
    if any(name.id in level.names for level in scope.levels()):
        raise stop("N202", f"{name.id} is defined twice", name.span, related=_place(scope, name.id))
    scope.names[name.id] = instance
    scope.places[name.id] = name.span


def _place(scope: Scope, name: str) -> list[tuple[str, Span]]:
    place = scope.place(name)
    return [("first here", place)] if place is not None else []


# --- primitives ------------------------------------------------------------------------------------------------


def call_primitive(
    e: Context, callee: Primitive, expr: ast.Call, piped: list[Given], scope: Scope, evaluate: Eval
) -> Any:
    signature = PRIMITIVES[callee.name]
    names = signature.names
    given: dict[str, Any] = dict(callee.given)
    exprs: dict[str, ast.Expr] = {}
    more = [Further(item.expr, functools.partial(_known, item.value)) for item in piped if signature.variadic]
    for name, item in zip(names, piped if not signature.variadic else (), strict=False):
        given[name], exprs[name] = item.value, item.expr
    free = [name for name in names if name not in given]
    waiting = not piped and _first_is_left_out(expr, signature)
    _read_arguments(
        e, callee.name, expr, free[1:] if waiting else free, names, given, exprs, scope, evaluate, signature
    )
    missing = [name for name in signature.required if name not in given]
    if missing and missing == names[:1] and not signature.variadic:
        return replace(callee, given=tuple(given.items()))
    if missing:
        raise stop(
            "N204",
            f"{callee.name} needs {' and '.join(missing)}",
            expr.span,
            rule=_signature(callee.name, signature),
        )
    for name, default in signature.parameters:
        given.setdefault(name, default)
    if signature.variadic:
        values = (a.value for a in expr.arguments if a.name is None)
        more += [Further(value, functools.partial(evaluate, e, value, scope)) for value in values]

    def evaluate_here(item: ast.Expr, inner: Scope) -> Any:
        return evaluate(e, item, inner)

    return signature.handler(e, Site(callee.name, given, exprs, expr.span, scope, evaluate_here, tuple(more)))


def _known(value: Any) -> Any:
    return value


def _first_is_left_out(expr: ast.Call, signature: Signature) -> bool:
    """Whether a call leaves its first tensor to come: `x -> rearrange((m, n) -> (n, m))`."""
    required = signature.required
    if signature.variadic or not required or required[0] != signature.names[0]:
        return False
    named = {a.name.id for a in expr.arguments if a.name is not None}
    placed = sum(1 for a in expr.arguments if a.name is None)
    return required[0] not in named and placed + len(named.intersection(required)) < len(required)


def _signature(name: str, signature: Signature) -> str:
    parameters = [p if d is REQUIRED and not signature.variadic else f"{p} = …" for p, d in signature.parameters]
    return f"{name}({', '.join([*(['x', 'y', '…'] if signature.variadic else []), *parameters])})"


def _read_arguments(
    e: Context,
    name: str,
    expr: ast.Call,
    free: list[str],
    names: list[str],
    given: dict[str, Any],
    exprs: dict[str, ast.Expr],
    scope: Scope,
    evaluate: Eval,
    signature: Signature | None = None,
) -> None:
    """Evaluates the arguments of a call into `given`, by place and by name; of a primitive as its signature says."""
    position = 0
    for argument in expr.arguments:
        if argument.name is None:
            if signature is not None and signature.variadic:
                continue
            if position >= len(free):
                raise stop(
                    "N205",
                    f"{name} takes {len(names)} argument{'s' * (len(names) != 1)}",
                    argument.span,
                    rule=f"{name}({', '.join(names)})",
                )
            key = free[position]
            position += 1
        else:
            key = argument.name.id
            if key not in names:
                raise _no_argument(name, argument.name, names)
            if key in given:
                raise stop("N203", f"{name} is given {key} twice", argument.span)
        if signature is not None and key in signature.patterns:
            given[key] = Pattern(argument.value, scope)
        else:
            given[key] = _argument(e, key, argument.value, scope, evaluate)
        exprs[key] = argument.value


def _no_argument(callee: str, name: ast.Name, names: Sequence[str]) -> Stop:
    help, own = for_argument(name.id, names)
    fix = [Edit(name.span, own)] if own is not None else []
    message = f"{callee} has no argument {name.id}"
    return stop("N203", message, name.span, rule=f"{callee}({', '.join(names)})", help=help, fix=fix)


def _argument(e: Context, key: str, expr: ast.Expr, scope: Scope, evaluate: Eval) -> Any:
    if key == "over":
        return read_over(e, expr, scope, functools.partial(evaluate, e))
    try:
        return evaluate(e, expr, scope)
    except Stop as mistake:
        if key == "pad" and mistake.diagnostic.code == "N201" and mistake.diagnostic.help is None:
            mistake.diagnostic = replace(mistake.diagnostic, help="`pad` is `valid`, `same` or a number")
        raise


# --- functions of the language ---------------------------------------------------------------------------------


def call_function(
    e: Context, callee: Function, expr: ast.Call, piped: list[Given], scope: Scope, evaluate: Eval
) -> Any:
    definition = callee.definition
    name = definition.name.id
    names = [p.name.id for p in definition.parameters]
    given: dict[str, Any] = dict(callee.given)
    exprs: dict[str, ast.Expr] = {}
    for item in piped:
        first = next((n for n in names if n not in given), None)
        if first is None:
            raise stop("N205", f"{name} takes no tensor", expr.span)
        given[first], exprs[first] = item.value, item.expr
    required = [p.name.id for p in definition.parameters if p.default is None]
    free = [n for n in names if n not in given]
    positional = sum(1 for a in expr.arguments if a.name is None)
    partial = definition.kind == "function" and not piped and bool(required)
    keyword = {a.name.id for a in expr.arguments if a.name is not None}
    if (
        partial
        and required[0] in free
        and required[0] not in keyword
        and positional < len([r for r in required if r in free])
    ):
        free = [n for n in free if n != required[0]]
    _read_arguments(e, name, expr, free, names, given, exprs, scope, evaluate)
    missing = [n for n in required if n not in given]
    if partial and missing == required[:1]:
        return replace(callee, given=tuple(given.items()))
    if missing:
        raise stop(
            "N204",
            f"{name} needs {' and '.join(missing)}",
            expr.span,
            related=[("declared here", definition.name.span)],
            rule=f"{name}({', '.join(names)})",
        )
    if name in CROSSED and definition.span.file.startswith(LIBRARY):
        first = names[0]
        shown = written(exprs[first], scope) if first in exprs else "this"
        targets = frozenset(name for name, declaration in e.inputs.items() if declaration.role == "target")
        declared = Declarations(targets, e.settled_parameters)
        if isinstance(given[first], Tensor) and e.says(name, given[first].node):
            crossed_loss(e.findings, name, given[first], given.get(names[-1]), declared, shown, expr.span)
    return run_function(e, callee, given, exprs, expr.span, evaluate)


def run_function(
    e: Context, callee: Function, given: dict[str, Any], exprs: dict[str, ast.Expr], span: Span, evaluate: Eval
) -> Any:
    """Elaborates a function's text with its arguments."""
    first = next((p.name.id for p in callee.definition.parameters if p.shape is not None), None)
    definition = chosen(callee, given.get(first) if first is not None else None, span)
    if definition.name.span in e.findings.refuted:
        raise Poisoned
    inner = callee.scope.child(path="", rest=None, indices={}, counts={}, instance=None, kind="function")
    if definition.kind != "function":
        inner.names.update(e.ambient)
    with inside(e, definition, span, exprs):
        try:
            for parameter in definition.parameters:
                bind_parameter(e, definition, parameter, given, exprs, inner, span, evaluate)
        except Stop as failure:
            _said_of(e, given, failure)
            raise
        if definition.value is not None:
            found = [evaluate(e, definition.value, inner)]
        else:
            from dlc.compiler.elaborate.statements import run_body

            found = run_body(e, definition.body or (), inner, evaluate)
        bound = ((given.get(p.name.id), inner.names.get(p.name.id)) for p in definition.parameters)
        return _outputs(definition, renamed_back(e, found, bound))


def _said_of(e: Context, given: Mapping[str, Any], failure: Stop) -> None:
    """Raises `Poisoned` where it was said already that the shapes of these values differ: by the loss, of a metric."""
    values = (value.node for value in given.values() if isinstance(value, Tensor))
    if failure.diagnostic.code == "D109" and not e.says("D109", *values):
        raise Poisoned from None


def _outputs(definition: ast.Definition, outputs: list[Any]) -> Any:
    if not outputs:
        raise stop("N213", f"{definition.name.id} has no `output`", definition.name.span)
    return outputs[0] if len(outputs) == 1 else Tuple(tuple(outputs), outputs=True)


def bind_parameter(
    e: Context,
    definition: ast.Definition,
    parameter: ast.Parameter,
    given: dict[str, Any],
    exprs: dict[str, ast.Expr],
    inner: Scope,
    span: Span,
    evaluate: Eval,
) -> None:
    """Gives a parameter its argument or default; a shaped one is matched against its pattern."""
    name = parameter.name.id

    def evaluate_here(item: ast.Expr, at: Scope) -> Any:
        return evaluate(e, item, at)

    if name in given:
        value = given[name]
    else:
        assert parameter.default is not None
        value = read_default(e, parameter.default, inner, evaluate_here)
    if parameter.shape is not None:
        where = exprs[name].span if name in exprs else span
        tensor = table(e, value, where) if isinstance(value, list) else e.real(value, where)
        value = bind_pattern(e, parameter.shape, tensor, name, inner, evaluate_here, "D109", where, definition.name.id)
    inner.names[name] = value
    inner.places[name] = parameter.name.span


def read_default(e: Context, default: ast.Expr, scope: Scope, evaluate: Callable[[ast.Expr, Scope], Any]) -> Any:
    """The value of an argument that is not given; `over = features` chooses axes."""
    chooses_axes = isinstance(default, ast.Name) and default.id in WORDS
    return read_over(e, default, scope, evaluate) if chooses_axes else evaluate(default, scope)


@contextmanager
def inside(
    e: Context,
    definition: ast.Definition,
    span: Span,
    texts: Mapping[str, ast.Expr],
    advice: Mapping[str, str] = NO_ADVICE,
    path: str | None = None,
) -> Iterator[None]:
    """While a definition's text is elaborated for the use at `span`; a layer's stands at `path`. A mistake that leaves
    it is told at the use, with the `advice` about the argument that it lies in."""
    if e.depth >= DEEPEST:
        raise stop("D118", f"{definition.name.id} calls itself, or is nested too deep", span)
    e.depth += 1
    around, e.path = e.path, e.path if path is None else path
    e.findings.uses.append(Use(span, definition.name.id, definition, texts, advice))
    try:
        yield
    except Stop as mistake:
        mistake.diagnostic = e.findings.at_use(mistake.diagnostic)
        raise
    finally:
        e.depth -= 1
        e.path = around
        e.findings.uses.pop()


# --- layers ----------------------------------------------------------------------------------------------------


def make_instance(e: Context, layer: Layer, expr: ast.Call, scope: Scope, evaluate: Eval) -> Instance:
    """`Dense(64, relu)`: binds the arguments; parameters come with the first application."""
    definition = layer.definition
    names = [p.name.id for p in definition.parameters]
    given: dict[str, Any] = {}
    texts: dict[str, ast.Expr] = {}
    _read_arguments(e, definition.name.id, expr, names, names, given, texts, scope, evaluate)
    missing = [p.name.id for p in definition.parameters if p.default is None and p.name.id not in given]
    if missing:
        raise stop(
            "N204",
            f"{definition.name.id} needs {' and '.join(missing)}",
            expr.span,
            related=[("declared here", definition.name.span)],
            rule=f"{definition.name.id}({', '.join(names)})",
        )
    return Instance(layer, given, expr.span, text=expr, written=texts, in_function=scope.kind == "function")


def place_instance(instance: Instance, name: str, scope: Scope, *, named: bool) -> None:
    """Gives an instance its place in the names of parameters; the first place it gets stays."""
    if instance.path is None:
        instance.path = scope.qualified(name)
        instance.named = named
        instance.within = scope.instance


def _inputs(definition: ast.Definition) -> Iterator[str]:
    """The names of a layer's inputs."""
    for statement in definition.body or ():
        if isinstance(statement, ast.Declaration) and statement.kind == "input":
            yield from (unparse(target) for target in statement.targets)


def apply_instance(
    e: Context, instance: Instance, inputs: list[Given], span: Span, scope: Scope, evaluate: Eval
) -> Any:
    """Runs a layer's text on its inputs. A second application uses the parameters of the first."""
    from dlc.compiler.elaborate.statements import run_body

    definition = chosen(instance.layer, inputs[0].value if inputs else None, span)
    if definition.name.span in e.findings.refuted:
        raise Poisoned
    if instance.path is None:
        kind = definition.name.id.lower()
        place_instance(instance, f"{kind}[{scope.number(kind)}]", scope, named=False)
    path = instance.path or ""
    inner = instance.layer.scope.child(path=path, rest=None, indices={}, counts={}, instance=instance, kind="layer")
    instance.uses.append(span)
    e.count(STEPS_OF_A_LAYER, span)
    advice = misplaced(definition, instance.layer.scope, instance.arguments, instance.written)
    with inside(e, definition, span, instance.written, advice, path):
        for parameter in definition.parameters:
            bind_parameter(e, definition, parameter, instance.arguments, {}, inner, span, evaluate)
            value = inner.names[parameter.name.id]
            if isinstance(value, Instance):
                place_instance(value, parameter.name.id, inner, named=True)
        given = [(item.value, item.expr) for item in inputs]
        first = len(e.b.made)
        found = run_body(e, definition.body or (), inner, evaluate, inputs=given, span=span)
        bound = zip((item.value for item in inputs), map(inner.names.get, _inputs(definition)), strict=False)
        outputs = _outputs(definition, renamed_back(e, found, bound))
        result = outputs.items[0] if isinstance(outputs, Tuple) else outputs
        if isinstance(result, Tensor) and e.training:
            text = written(instance.text, scope) if instance.text is not None else definition.name.id
            nodes = e.made_since(first)
            e.lines.append(Line(path, text, result.type, span, definition.name.id, "", nodes, instance=True))
        return outputs
