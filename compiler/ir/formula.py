"""Formulas as text: `ct * (1 - r**2)`. The ops' derivatives and both sides of the rewriting rules are written so.

The text is a Python expression. Operators are the elementwise ops and `@`, `x.T` is the transpose, a call is the op
of that name; keyword arguments are attributes: `sum(exp(z), axes=k)` takes the attribute from the variable `k`.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, Union

if TYPE_CHECKING:
    from dlc.compiler.ir.builder import Builder
    from dlc.compiler.ir.node import Node

Formula: TypeAlias = Union["Variable", "Number", "Apply"]


@dataclass(frozen=True, slots=True)
class Variable:
    """A value given by name."""

    name: str

    def build(self, b: Builder, values: Mapping[str, Any]) -> Node:
        node: Node = values[self.name]
        return node


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float

    def build(self, b: Builder, values: Mapping[str, Any]) -> Node:
        return b.constant(self.value)


@dataclass(frozen=True, slots=True)
class Apply:
    """An op on operands; an attribute is a literal or the `Variable` that holds it."""

    op: str
    operands: tuple[Formula, ...]
    attrs: tuple[tuple[str, Hashable], ...] = ()

    def build(self, b: Builder, values: Mapping[str, Any]) -> Node:
        """The formula's value for the given nodes and attributes."""
        operands = [operand.build(b, values) for operand in self.operands]
        return b.add(self.op, *operands, **self.attributes(values))

    def attributes(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[item.name] if isinstance(item, Variable) else item for name, item in self.attrs}


@cache
def formula(text: str) -> Formula:
    """The formula that a text says."""
    return _read(ast.parse(text.strip(), mode="eval").body)


_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
}
_COMPARISON: dict[type[ast.cmpop], str] = {
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Eq: "eq",
    ast.NotEq: "ne",
}


def _read(tree: ast.expr) -> Formula:
    match tree:
        case ast.Name(id=name):
            return Variable(name)
        case ast.Constant(value=int() | float() as value):
            return Number(float(value))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return Number(-float(value))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Apply("neg", (_read(operand),))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Apply("not", (_read(operand),))
        case ast.BinOp(left=left, op=operator, right=right):
            return Apply(_BINARY[type(operator)], (_read(left), _read(right)))
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return Apply(_COMPARISON[type(operator)], (_read(left), _read(right)))
        case ast.Attribute(value=operand, attr="T"):
            return Apply("transpose", (_read(operand),))
        case ast.Call(func=ast.Name(id=op), args=arguments, keywords=keywords):
            attrs = tuple(sorted((str(k.arg), _attribute(k.value)) for k in keywords))
            return Apply(op, tuple(map(_read, arguments)), attrs)
    raise ValueError(f"not a formula: {ast.unparse(tree)}")


def _attribute(tree: ast.expr) -> Hashable:
    return Variable(tree.id) if isinstance(tree, ast.Name) else ast.literal_eval(tree)
