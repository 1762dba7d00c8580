"""Trees as short text, so that a test can show the whole tree that it expects.

An expression is written in prefix form, `(* 2 (@ W X))`; a statement as its class with the fields that say something.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from dlc.grammar import ast
from dlc.grammar.parse import parse


def text_of(node: Any) -> str:
    match node:
        case None:
            return "-"
        case bool() | str():
            return str(node)
        case tuple():
            return "[" + " ".join(map(text_of, node)) + "]"
        case ast.Number():
            return node.text
        case ast.String():
            return repr(node.value)
        case ast.Name():
            return node.id
        case ast.Unary() | ast.Binary():
            parts = [node.operand] if isinstance(node, ast.Unary) else [node.left, node.right]
            return f"({node.op} {' '.join(map(text_of, parts))})"
        case ast.Conditional():
            return f"(if {text_of(node.condition)} {text_of(node.then)} {text_of(node.otherwise)})"
        case ast.Apply():
            name = f" as {node.name.id}" if node.name else ""
            return f"(-> {text_of(node.value)} {text_of(node.target)}{name})"
        case ast.Index():
            return f"{text_of(node.base)}{text_of(node.indices)}"
        case ast.TimeIndex():
            return f"{text_of(node.base)}<{text_of(node.time)}>"
        case ast.Call():
            return f"({' '.join(['call', text_of(node.function), *map(text_of, node.arguments)])})"
        case ast.Argument():
            return (f"{node.name.id}=" if node.name else "") + text_of(node.value)
        case ast.Attribute():
            return f"{text_of(node.base)}.{node.name.id}"
        case ast.Transpose():
            return f"{text_of(node.operand)}.T"
        case ast.ListExpr():
            return f"(list {text_of(node.items)})"
        case ast.SetExpr():
            return f"(set {text_of(node.items)})"
        case ast.Shape():
            return f"(shape {text_of(node.items)})"
        case ast.Rest():
            return "..."
        case ast.Spread():
            return f"{node.value.id}..."
        case ast.NamedAxis():
            return f"{node.name.id}={text_of(node.size)}"
    fields = [(f.name, getattr(node, f.name)) for f in dataclasses.fields(node) if f.name != "span"]
    said = [f"{name}={text_of(value)}" for name, value in fields if value not in (None, (), False)]
    return f"({' '.join([type(node).__name__, *said])})"


def read(text: str) -> ast.File:
    """The tree of a text without problems."""
    file, problems = parse(text, "test.dl")
    assert problems == []
    return file


def statement(text: str) -> Any:
    """The tree of one statement in a model; `text` may have a block below it."""
    body = "".join(f"    {line}\n" for line in text.splitlines())
    (model,) = read(f"model M:\n{body}").items
    assert isinstance(model, ast.Definition)
    (node,) = model.body or ()
    return node


def expression(text: str) -> ast.Expr:
    node = statement(f"x = {text}")
    assert isinstance(node, ast.Equation)
    return node.value
