"""The text of an expression as this round of its loops reads it: `W[l-1]` is `W[1]` in round 2."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import Any

from dlc.compiler.elaborate.scope import Scope
from dlc.grammar import ast
from dlc.grammar.format import unparse


def written(expr: ast.Expr, scope: Scope, limit: int = 60) -> str:
    """The text of an expression with the loop indices in force filled in: `W[l-1]` reads `W[1]` in round 2."""
    filled = fill(expr, scope.indices) if scope.indices else expr
    text = plain(filled) if filled is expr else _text(filled)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text(expr: ast.Expr) -> str:
    if isinstance(expr, ast.Shape) and len(expr.items) == 1:
        return f"({unparse(expr.items[0])})"
    return unparse(expr)


_texts: dict[int, tuple[ast.Expr, str]] = {}
"""The texts of expressions in which nothing is filled in, by their identity: a layer's text is read once for each of
its uses. The expression is kept beside its text, so that no other one can have its identity."""
_MOST_TEXTS = 10_000


def plain(expr: ast.Expr) -> str:
    """The text of an expression as the file has it; of a shape, as in a declaration."""
    if isinstance(expr, ast.Name):
        return expr.id
    known = _texts.get(id(expr))
    if known is None:
        if len(_texts) >= _MOST_TEXTS:
            _texts.clear()
        known = _texts[id(expr)] = expr, _text(expr)
    return known[1]


def fill(expr: Any, indices: dict[str, int]) -> Any:
    """The expression with loop indices replaced by their values, and sums of numbers computed."""
    if not indices:
        return expr
    if isinstance(expr, ast.Name):
        if expr.id not in indices:
            return expr
        value = indices[expr.id]
        return ast.Number(value=value, text=str(value), span=expr.span)
    if isinstance(expr, tuple):
        filled = tuple(fill(item, indices) for item in expr)
        return filled if any(new is not old for new, old in zip(filled, expr, strict=True)) else expr
    if isinstance(expr, ast.Argument):
        return replace(expr, value=fill(expr.value, indices))
    if isinstance(expr, ast.Attribute):
        return replace(expr, base=fill(expr.base, indices))
    if not isinstance(expr, ast.Tree):
        return expr
    before = {name: getattr(expr, name) for name in _parts(type(expr))}  # type: ignore[arg-type]  # a class has a hash of its own
    changed = {name: fill(part, indices) for name, part in before.items()}
    if all(changed[name] is part for name, part in before.items()):
        return expr
    result = replace(expr, **changed)
    match result:
        case ast.Binary(op="+" | "-" as op, left=ast.Number(value=int(a)), right=ast.Number(value=int(b))):
            value = a + b if op == "+" else a - b
            return ast.Number(value=value, text=str(value), span=result.span)
    return result


@cache
def _parts(kind: type) -> tuple[str, ...]:
    """What an index may stand in, of a kind of expression."""
    return tuple(f.name for f in fields(kind) if f.name not in ("span", "op", "text", "name"))
