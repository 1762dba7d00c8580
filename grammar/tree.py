"""Builds the syntax tree while the parser runs: one method for each rule and alias of `dl.lark`.

Each method gets the values of the rule's right side, tokens included, in the order of the text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from dlc.grammar import ast
from dlc.grammar.characters import normalised, number_value, string_value
from dlc.grammar.foreign import MEANT
from dlc.grammar.format import unparse
from dlc.grammar.lexical import Token
from dlc.grammar.problems import Mistake, Problem
from dlc.grammar.span import Span

Values = list[Any]


@dataclass(frozen=True, slots=True)
class Header:
    """A line that opens a block; `build` makes the statement or definition from the statements below it."""

    word: str
    span: Span
    build: Callable[[tuple[Any, ...]], Any]


class Declared(NamedTuple):
    """What stands behind the names of a declaration: `: (10, m) one_hot`."""

    shape: ast.Shape | None
    qualifiers: tuple[ast.Expr, ...]
    end: Span | None


class Builder:
    """The methods that Lark calls. There is no state: a token knows its file and its place."""

    # --- small parts -----------------------------------------------------------------------------------------------

    @staticmethod
    def nothing(_: Values) -> tuple[()]:
        return ()

    @staticmethod
    def absent(_: Values) -> None:
        return None

    @staticmethod
    def second(c: Values) -> Any:
        return c[1]

    @staticmethod
    def first(c: Values) -> Any:
        return c[0]

    kind = role = first

    @staticmethod
    def exprs(c: Values) -> tuple[ast.Expr, ...]:
        return tuple(c[::2])

    names = elements = exprs

    @staticmethod
    def arguments(c: Values) -> tuple[ast.Argument, ...]:
        return tuple(c[::2])

    @staticmethod
    def parameters(c: Values) -> tuple[ast.Parameter, ...]:
        return tuple(c[1:-1:2])

    # --- expressions -----------------------------------------------------------------------------------------------

    @staticmethod
    def name(c: Values) -> ast.Name:
        return ast.Name(id=normalised(c[0].text), span=c[0].span)

    @staticmethod
    def number(c: Values) -> ast.Number:
        return ast.Number(value=number_value(c[0].text), text=c[0].text, span=c[0].span)

    @staticmethod
    def string(c: Values) -> ast.String:
        return ast.String(value=string_value(c[0].text), span=c[0].span)

    @staticmethod
    def rest(c: Values) -> ast.Rest:
        return ast.Rest(span=c[0].span)

    @staticmethod
    def spread(c: Values) -> ast.Spread:
        return ast.Spread(value=c[0], span=c[0].span.to(c[1].span))

    @staticmethod
    def list(c: Values) -> ast.ListExpr:
        return ast.ListExpr(items=c[1] if len(c) > 2 else (), span=c[0].span.to(c[-1].span))

    @staticmethod
    def set(c: Values) -> ast.SetExpr:
        return ast.SetExpr(items=c[1], span=c[0].span.to(c[-1].span))

    @staticmethod
    def shape(c: Values) -> ast.Shape:
        return ast.Shape(items=tuple(c[1:-1:2]), span=c[0].span.to(c[-1].span))

    @classmethod
    def parentheses(cls, c: Values) -> ast.Expr:
        """`(x)` is `x`, with the brackets in its span; what only a shape may hold makes a shape of it."""
        if isinstance(c[1], ast.NamedAxis | ast.Rest | ast.Spread):
            return cls.shape(c)
        return replace(c[1], span=c[0].span.to(c[2].span))  # type: ignore[no-any-return]

    @staticmethod
    def named_axis(c: Values) -> ast.NamedAxis:
        return ast.NamedAxis(name=c[0], size=c[2], span=c[0].span.to(c[2].span))

    @staticmethod
    def positional(c: Values) -> ast.Argument:
        return ast.Argument(name=None, value=c[0], span=c[0].span)

    @staticmethod
    def keyword(c: Values) -> ast.Argument:
        return ast.Argument(name=c[0], value=c[2], span=c[0].span.to(c[2].span))

    @staticmethod
    def call(c: Values) -> ast.Call:
        return ast.Call(function=c[0], arguments=c[2], span=c[0].span.to(c[3].span))

    @staticmethod
    def index(c: Values) -> ast.Index:
        return ast.Index(base=c[0], indices=c[2], span=c[0].span.to(c[3].span))

    @staticmethod
    def attribute(c: Values) -> ast.Attribute | ast.Transpose:
        span = c[0].span.to(c[2].span)
        if c[2].id == "T":
            return ast.Transpose(operand=c[0], span=span)
        return ast.Attribute(base=c[0], name=c[2], span=span)

    @staticmethod
    def time_index(c: Values) -> ast.TimeIndex:
        return ast.TimeIndex(base=c[0], time=time_of(c[1]), span=c[0].span.to(c[1].span))

    @staticmethod
    def unary(c: Values) -> ast.Unary:
        return ast.Unary(op=c[0].text, operand=c[1], span=c[0].span.to(c[1].span))

    @staticmethod
    def binary(c: Values) -> ast.Binary:
        return ast.Binary(op=MEANT.get(c[1].text, c[1].text), left=c[0], right=c[2], span=c[0].span.to(c[2].span))

    @staticmethod
    def chained(c: Values) -> ast.Expr:
        """`a < b < c` has no meaning; both readings of other languages are habits that mislead."""
        pairs = [f"{unparse(c[i])} {c[i + 1].text} {unparse(c[i + 2])}" for i in range(0, len(c) - 2, 2)]
        text = " and ".join(pairs)
        span = c[0].span.to(c[-1].span)
        raise Mistake(
            Problem("S007", "comparisons do not chain", span, help=f"write {text}", fix=((span, text),)),
        )

    @staticmethod
    def conditional(c: Values) -> ast.Conditional:
        return ast.Conditional(then=c[0], condition=c[2], otherwise=c[4], span=c[0].span.to(c[4].span))

    @staticmethod
    def apply(c: Values) -> ast.Apply:
        name = c[4] if len(c) == 5 else None
        return ast.Apply(value=c[0], target=c[2], name=name, span=c[0].span.to(c[-1].span))

    # --- statements ------------------------------------------------------------------------------------------------

    @staticmethod
    def hyper(c: Values) -> ast.Hyper:
        _, name, _, default, domain = c
        return ast.Hyper(name=name, default=default, domain=domain, span=c[0].span.to((domain or default).span))

    @staticmethod
    def dim(c: Values) -> ast.DimDecl:
        return ast.DimDecl(names=c[1], bound=c[2], span=c[0].span.to((c[2] or c[1][-1]).span))

    @staticmethod
    def undeclared(_: Values) -> Declared:
        return Declared(None, (), None)

    @staticmethod
    def declared_shape(c: Values) -> Declared:
        return Declared(c[1], tuple(c[2:]), c[-1].span)

    @staticmethod
    def declaration(c: Values) -> ast.Declaration:
        frozen, role, targets, declared, initial = c
        if isinstance(targets[-1], ast.Call) and declared.shape is None:
            raise Mistake(_shape_without_colon(targets[-1]))
        if role.text in ("param", "state") and declared.qualifiers:
            raise Mistake(_without_tilde(role, declared))
        end = initial.span if initial else declared.end or targets[-1].span
        return ast.Declaration(
            kind=role.text,
            frozen=frozen is not None,
            targets=definable(targets),
            shape=declared.shape,
            qualifiers=declared.qualifiers,
            initializer=initial,
            span=(frozen or role).span.to(end),
        )

    @staticmethod
    def equation(c: Values) -> ast.Equation:
        targets, shape, _, value = c
        return ast.Equation(targets=definable(targets), shape=shape, value=value, span=c[0][0].span.to(value.span))

    @staticmethod
    def draw(c: Values) -> ast.Draw:
        targets, shape, _, value = c
        return ast.Draw(targets=definable(targets), shape=shape, distribution=value, span=c[0][0].span.to(value.span))

    @staticmethod
    def update(c: Values) -> ast.StateUpdate:
        return ast.StateUpdate(target=definable(c[:1])[0], value=c[2], span=c[0].span.to(c[2].span))

    @staticmethod
    def loss(c: Values) -> ast.Loss:
        return ast.Loss(value=c[1], span=c[0].span.to(c[1].span))

    @staticmethod
    def metric(c: Values) -> ast.Metric:
        return ast.Metric(name=None, value=c[1], span=c[0].span.to(c[1].span))

    @staticmethod
    def named_metric(c: Values) -> ast.Metric:
        return ast.Metric(name=plain_name(c[1]), value=c[3], span=c[0].span.to(c[3].span))

    @staticmethod
    def output(c: Values) -> ast.Output:
        _, subject, shape, value = c
        span = c[0].span.to((value or shape or subject).span)
        if value is None:
            return ast.Output(name=None, shape=shape, value=subject, span=span)
        return ast.Output(name=plain_name(subject), shape=shape, value=value, span=span)

    @classmethod
    def require(cls, c: Values) -> ast.Require:
        message = cls.string(c[3:]) if len(c) == 4 else None
        return ast.Require(condition=c[1], message=message, span=c[0].span.to(c[-1].span))

    @staticmethod
    def freeze(c: Values) -> ast.Freeze:
        return ast.Freeze(targets=c[1], span=c[0].span.to(c[1][-1].span))

    @classmethod
    def load(cls, c: Values) -> ast.Load:
        return ast.Load(targets=c[1], path=cls.string(c[3:]), span=c[0].span.to(c[3].span))

    @staticmethod
    def expression(c: Values) -> ast.ExpressionStatement:
        return ast.ExpressionStatement(value=c[0], span=c[0].span)

    # --- headers ---------------------------------------------------------------------------------------------------

    @staticmethod
    def for_header(c: Values) -> Header:
        span = c[0].span.to(c[-1].span)
        return Header("for", span, lambda body: ast.For(targets=c[1], iterable=c[3], body=body, span=span))

    @staticmethod
    def scan_header(c: Values) -> Header:
        span = c[0].span.to(c[-1].span)
        return Header("scan", span, lambda body: ast.Scan(name=c[1], range=c[3], body=body, span=span))

    @staticmethod
    def if_header(c: Values) -> Header:
        span = c[0].span.to(c[-1].span)
        return Header("if", span, lambda body: ast.If(condition=c[1], body=body, otherwise=(), span=span))

    @staticmethod
    def else_header(c: Values) -> Header:
        return Header("else", c[0].span.to(c[-1].span), tuple)

    @staticmethod
    def when_header(c: Values) -> Header:
        if c[1].id != "training":
            problem = Problem(
                "S019",
                f"`when {c[1].id}` is not a program of the language",
                c[1].span,
                help="write when training: and, below it, otherwise:",
                fix=((c[1].span, "training"),),
            )
            raise Mistake(problem)
        span = c[0].span.to(c[-1].span)
        return Header("when", span, lambda body: ast.When(training=body, otherwise=(), span=span))

    @staticmethod
    def otherwise_header(c: Values) -> Header:
        return Header("otherwise", c[0].span.to(c[-1].span), tuple)

    # --- definitions and the file ----------------------------------------------------------------------------------

    @staticmethod
    def parameter(c: Values) -> ast.Parameter:
        name, shape, default, domain = c
        span = name.span.to((domain or default or shape or name).span)
        return ast.Parameter(name=name, shape=shape, default=default, domain=domain, span=span)

    @staticmethod
    def block_definition(c: Values) -> Header:
        kind, name, parameters, colon = c
        span = kind.span.to(colon.span)
        return Header(
            kind.text,
            span,
            lambda body: ast.Definition(
                kind=kind.text, name=name, parameters=parameters, body=body, value=None, span=span
            ),
        )

    @staticmethod
    def value_definition(c: Values) -> ast.Definition:
        kind, name, parameters, equals, value = c
        if kind.text in ("model", "layer", "optimizer"):
            problem = Problem(
                "S018",
                f"a {kind.text} is a block of statements",
                equals.span,
                help=f"end the line with `:` and write the {kind.text} below it, indented",
            )
            raise Mistake(problem)
        span = kind.span.to(value.span)
        return ast.Definition(kind=kind.text, name=name, parameters=parameters, body=None, value=value, span=span)

    @classmethod
    def import_file(cls, c: Values) -> ast.Import:
        return ast.Import(path=cls.string(c[1:]), span=c[0].span.to(c[1].span))

    @staticmethod
    def section(c: Values) -> Header:
        span = c[0].span.to(c[-1].span)
        return Header(c[0].text, span, lambda body: ast.Block(kind=c[0].text, settings=body, span=span))

    @staticmethod
    def setting(c: Values) -> ast.Setting:
        return ast.Setting(name=c[0], values=c[2], span=c[0].span.to(c[2][-1].span))


def time_of(token: Token) -> ast.Expr:
    """The expression in a time index: `t-1` of `<t-1>`."""
    inner = token.text[1:-1]
    sign = "+" if "+" in inner else "-" if "-" in inner else ""
    first, _, second = inner.partition(sign) if sign else (inner, "", "")
    base = _time_part(token, first, 1)
    if not sign:
        return base
    one = _time_part(token, second, 2 + len(first))
    return ast.Binary(op=sign, left=base, right=one, span=base.span.to(one.span))


def _time_part(token: Token, text: str, offset: int) -> ast.Name | ast.Number:
    word = text.strip()
    column = token.column + offset + len(text) - len(text.lstrip())
    span = Span(token.file, token.line, column, token.line, column + len(word))
    if word[0].isdecimal():
        return ast.Number(value=number_value(word), text=word, span=span)
    return ast.Name(id=normalised(word), span=span)


def definable(targets: Any) -> tuple[ast.Expr, ...]:
    """The left side of a definition: names, members of families (`W[l]`) and steps (`a<t>`)."""
    for target in targets:
        base = target
        while isinstance(base, ast.Index | ast.TimeIndex):
            base = base.base
        if not isinstance(base, ast.Name):
            raise Mistake(_not_definable(target))
    return tuple(targets)


def _not_definable(target: ast.Expr) -> Problem:
    text = unparse(target)
    help = "on the left stand a name, a member of a family `W[l]` or a step `a<t>`"
    if isinstance(target, ast.Call):
        help = f"a function is defined by `function {text} = …`"
    elif isinstance(target, ast.Binary) and target.op == "-" and " - " in text and text.count(" ") == 2:
        name = text.replace(" - ", "_")
        help = f"a name has no hyphen: write {name}" if name.isidentifier() else help
    elif isinstance(target, ast.Shape):
        help = "several names stand without brackets: `h, c = …`"
    return Problem("S022", f"`{text}` cannot be defined", target.span, help=help)


def _shape_without_colon(target: ast.Call) -> Problem:
    """`param W (n, m)`"""
    name = target.function.span
    gap = Span(name.file, name.end_line, name.end_column, name.end_line, name.end_column)
    help = f"write {unparse(target.function)} : ({', '.join(unparse(a.value) for a in target.arguments)})"
    return Problem("S022", "`:` is missing before the shape", target.span, help=help, fix=((gap, " :"),))


def _without_tilde(role: Token, declared: Declared) -> Problem:
    """`param W : (n, k) he`"""
    first = declared.qualifiers[0].span
    place = Span(first.file, first.line, first.column, first.line, first.column)
    if isinstance(declared.qualifiers[0], ast.Name) and declared.qualifiers[0].id in ("one_hot", "optional", "index"):
        return Problem("S001", f"a {role.text} has no kind: it holds real numbers", first, help="leave it out")
    help = f"write ~ {unparse(declared.qualifiers[0])}"
    return Problem("S001", "`~` is missing before the initializer", first, help=help, fix=((place, "~ "),))


def plain_name(target: ast.Expr) -> ast.Name:
    if not isinstance(target, ast.Name):
        help = "write `metric name = …` or `output name = …`"
        raise Mistake(Problem("S022", f"`{unparse(target)}` is not a plain name", target.span, help=help))
    return target
