"""Which names the statements of a block define: what stays local to a branch, and what fails with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlc.compiler.elaborate.report import Stop, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.grammar import ast
from dlc.grammar.span import Span


def defined_twice(name: str, span: Span, home: Scope) -> Stop:
    if name == "m":
        return stop("N202", "m is the number of examples: it has its meaning already", span)
    place = home.places.get(name)
    return stop(
        "N202",
        f"{name} is defined twice",
        span,
        related=[("first here", place)] if place is not None else [],
        rule="a name is an equation, not a box: it has one value",
        help=f"give the second another name, or an index: {name}[1], {name}[2]",
    )


def defined(statements: Sequence[ast.Statement]) -> dict[str, Span]:
    """The names without index that statements define for the lines below them, with their places."""
    found: dict[str, Span] = {}
    for statement in statements:
        match statement:
            case ast.Declaration(targets=targets) | ast.Equation(targets=targets) | ast.Draw(targets=targets):
                found |= {target.id: target.span for target in targets if isinstance(target, ast.Name)}
            case ast.Output(name=ast.Name(id=name, span=span)):
                found[name] = span
            case ast.Broken(names=names):
                found |= {name.id: name.span for name in names}
            case ast.If(body=one, otherwise=other) | ast.When(training=one, otherwise=other):
                both = defined(one).keys() & defined(other).keys()
                found |= {name: span for name, span in defined(one).items() if name in both}
    return found


def inner_names(statement: ast.If | ast.When | ast.For) -> Iterator[str]:
    """Every name that the blocks of a statement define, families too."""
    match statement:
        case ast.If(body=one, otherwise=other) | ast.When(training=one, otherwise=other):
            inner = (*one, *other)
        case ast.For(body=inner):
            pass
    for part in inner:
        match part:
            case ast.Declaration(targets=targets) | ast.Equation(targets=targets) | ast.Draw(targets=targets):
                yield from (name for target in targets if (name := _base(target)) is not None)
            case ast.Broken(names=names):
                yield from (name.id for name in names)
            case ast.If() | ast.When() | ast.For():
                yield from inner_names(part)


def _base(target: ast.Expr) -> str | None:
    """`a` of a[l], a<t> and a[l]<t>."""
    while isinstance(target, ast.Index | ast.TimeIndex):
        target = target.base
    return target.id if isinstance(target, ast.Name) else None
