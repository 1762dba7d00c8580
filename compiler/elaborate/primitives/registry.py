"""The table of the functions that the compiler knows, and the one call of one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.shapes import Evaluate
from dlc.compiler.elaborate.values import Tensor, Word
from dlc.grammar import ast
from dlc.grammar.span import Span

REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Further:
    """One of any number of arguments: its expression, and its value when it is asked for."""

    expr: ast.Expr
    value: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A shape that is not evaluated where it stands: its names may be bound by it."""

    expr: ast.Expr
    scope: Scope


@dataclass(slots=True)
class Site:
    """One call: its arguments by name with their expressions, its place and scope. `more` are the arguments of a call
    that takes any number of them."""

    name: str
    given: dict[str, Any]
    exprs: dict[str, ast.Expr]
    span: Span
    scope: Scope
    evaluate: Evaluate
    more: tuple[Further, ...] = ()

    def tensor(self, e: Context, name: str) -> Tensor:
        """The argument as a real tensor."""
        return e.real(self.given[name], self.place(name))

    def place(self, name: str) -> Span:
        return self.exprs[name].span if name in self.exprs else self.span

    def apply(self, e: Context, op: str, *names: str, **attrs: Any) -> Tensor:
        """The op on the arguments called `names`."""
        operands = [self.tensor(e, name) for name in names]
        return e.op(op, operands, [self.exprs.get(name) for name in names], self.span, self.scope, **attrs)  # type: ignore[misc]


Handler = Callable[[Context, Site], Any]


@dataclass(frozen=True, slots=True)
class Signature:
    """`parameters` in order with their defaults. Those in `patterns` arrive as a `Pattern`; with `variadic`,
    arguments without a name are collected in `Site.more`, and the parameters are given by name."""

    parameters: tuple[tuple[str, Any], ...]
    handler: Handler
    variadic: bool = False
    patterns: tuple[str, ...] = ()
    names: list[str] = field(init=False)
    required: list[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", [name for name, _ in self.parameters])
        object.__setattr__(self, "required", [name for name, default in self.parameters if default is REQUIRED])


PRIMITIVES: dict[str, Signature] = {}
VALID, SAME = Word("valid"), Word("same")
CONSTANTS: dict[str, Any] = {"valid": VALID, "same": SAME, "true": True, "false": False}
"""Names that are values wherever a file gives them no other meaning."""


def primitive(
    name: str, *, variadic: bool = False, patterns: tuple[str, ...] = (), **parameters: Any
) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        PRIMITIVES[name] = Signature(tuple(parameters.items()), handler, variadic, patterns)
        return handler

    return register
