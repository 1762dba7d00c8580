"""Reading settings: what is written becomes a value, a value is held against its rule, a mistake names its place.

Functions here raise `DiagnosticError`; the readers of the two blocks catch it per setting, so that five mistakes give
five messages.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Edit, Related
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.settings.schema import Schema
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span

Evaluate = Callable[[ast.Expr], Any]


@dataclass(frozen=True, slots=True)
class Form:
    """A function that a setting knows: `norm(5)` makes a `Clip` of its arguments.

    `parameters` are in the order of positional arguments; `fixed` are the record's other fields. With `bare`, a name
    as an argument is a text (the name of a column), not a hyper. A record with a field `span` gets the place of the
    first argument.
    """

    record: Callable[..., Any]
    schema: type[Schema]
    parameters: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    bare: bool = False


def mistake(message: str, span: Span, help: str | None = None, related: tuple[Related, ...] = ()) -> Diagnostic:
    """A value that cannot be: T402."""
    return Diagnostic("T402", message, span, help=help, related=related)


def wrong(message: str, span: Span, help: str | None = None) -> DiagnosticError:
    """The same, to be raised."""
    return DiagnosticError(mistake(message, span, help))


def unsupported(message: str, span: Span) -> DiagnosticError:
    """What the language has and this version has not (U901)."""
    return DiagnosticError(Diagnostic("U901", message, span))


def unknown(message: str, name: str, span: Span, known: Iterable[str], what: str) -> DiagnosticError:
    """A name that is not known (T401): the help has the one that was meant, or all of them."""
    names = list(known)
    meant = did_you_mean(name, names)
    help = f"did you mean {meant}?" if meant else f"{what}: {', '.join(names)}" if names else None
    fix = (Edit(span, meant),) if meant else ()
    return DiagnosticError(Diagnostic("T401", message, span, help=help, fix=fix))


def gathered(block: ast.Block | None, given: Sequence[ast.Setting], found: list[Diagnostic]) -> dict[str, ast.Setting]:
    """The settings of a block by key, those `given` on the command line over it. A key that stands twice is T402."""
    settings: dict[str, ast.Setting] = {}
    for setting in block.settings if block else ():
        first = settings.setdefault(setting.name.id, setting)
        if first is not setting:
            related = (Related(f"{first.name.id} is set here first", first.name.span),)
            found.append(mistake(f"{setting.name.id} is set twice", setting.name.span, related=related))
    return settings | {setting.name.id: setting for setting in given}


def only(setting: ast.Setting) -> ast.Expr:
    """The value of a setting that takes one."""
    if len(setting.values) != 1:
        raise wrong(f"{setting.name.id} takes one value, not {len(setting.values)}", setting.span)
    return setting.values[0]


def checked(
    schema: type[Schema], written: Mapping[str, ast.Expr], evaluate: Evaluate, bare: bool = False
) -> dict[str, Any]:
    """The values of `written`, each evaluated and held against its field of the schema.

    Raises T402 for all that break their rule, at the value's own place.
    """
    values = {name: _value(expr, name, schema, evaluate, bare) for name, expr in written.items()}
    try:
        return schema.model_validate(values).model_dump(exclude_unset=True)
    except ValidationError as error:
        names = dict.fromkeys(str(entry["loc"][0]) for entry in error.errors())
    raise DiagnosticError(*(_broken(schema, name, written[name], values[name]) for name in names))


def called(expr: ast.Expr, forms: Mapping[str, Form], evaluate: Evaluate, what: str) -> Any:
    """The record that a call of one of the `forms` makes; a bare name is a call without arguments."""
    name, arguments = _taken_apart(expr, forms, what)
    form = forms[name]
    written: dict[str, ast.Expr] = {}
    for position, argument in enumerate(arguments):
        key = _parameter(name, form, position, argument)
        if key in written:
            raise wrong(f"{name} has its argument {key} twice", argument.span)
        written[key] = argument.value
    for key, rule in form.schema.model_fields.items():
        if rule.is_required() and key not in written:
            raise wrong(f"{name} needs its argument {key}: {rule.description}", expr.span)
    values = checked(form.schema, written, evaluate, form.bare) | dict(form.fixed)
    if "span" in getattr(form.record, "__dataclass_fields__", ()):
        values["span"] = next(iter(written.values()), expr).span
    return form.record(**values)


def _taken_apart(expr: ast.Expr, forms: Mapping[str, Form], what: str) -> tuple[str, tuple[ast.Argument, ...]]:
    function, arguments = (expr.function, expr.arguments) if isinstance(expr, ast.Call) else (expr, ())
    if not isinstance(function, ast.Name):
        raise wrong(f"{what} is one of {', '.join(forms)}, not {unparse(expr)}", expr.span)
    if function.id not in forms:
        raise unknown(f"{what} knows no {function.id}", function.id, function.span, forms, "it knows")
    return function.id, arguments


def _parameter(name: str, form: Form, position: int, argument: ast.Argument) -> str:
    if argument.name is not None:
        if argument.name.id not in form.parameters:
            message = f"{name} has no argument {argument.name.id}"
            raise unknown(message, argument.name.id, argument.name.span, form.parameters, "its arguments are")
        return argument.name.id
    if position >= len(form.parameters):
        count = len(form.parameters)
        takes = f"at most {count} argument{'s' if count != 1 else ''}" if count else "no arguments"
        raise wrong(f"{name} takes {takes}", argument.span)
    return form.parameters[position]


def _value(expr: ast.Expr, name: str, schema: type[Schema], evaluate: Evaluate, bare: bool) -> Any:
    """Texts and words (`all`, `max`, `dev.loss`) as texts; everything else is the evaluator's."""
    words = _words(schema.model_fields[name].annotation)
    match expr:
        case ast.String():
            return expr.value
        case ast.Name(id=word) if bare or word in words:
            return word
        case ast.Attribute(base=ast.Name(id=owner)):
            return f"{owner}.{expr.name.id}"
    try:
        return _plain(evaluate(expr))
    except DiagnosticError:
        meant = did_you_mean(unparse(expr), words)
        if meant is None:
            raise
    raise DiagnosticError(replace(_broken(schema, name, expr, None), help=f"did you mean {meant}?"))


def _broken(schema: type[Schema], name: str, expr: ast.Expr, value: Any) -> Diagnostic:
    text = unparse(expr)
    literal = isinstance(expr.operand if isinstance(expr, ast.Unary) else expr, ast.Number)
    if isinstance(value, int | float) and not literal:
        text += f" = {value:g}"
    return mistake(f"{name} must be {schema.model_fields[name].description}, not {text}", expr.span)


def _words(annotation: Any) -> tuple[str, ...]:
    """The words that a field's type spells out: `all` of `int | Literal["all"]`."""
    if typing.get_origin(annotation) is typing.Literal:
        return tuple(word for word in typing.get_args(annotation) if isinstance(word, str))
    return tuple(word for part in typing.get_args(annotation) for word in _words(part))


def _plain(value: Any) -> Any:
    """An exact rational or a constant dimension as a number."""
    value = getattr(value, "constant", value)
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    return value
