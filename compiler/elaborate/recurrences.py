"""What to write in place of a mistake in a recurrence, and for a length that no line declares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import Dim
from dlc.compiler.elaborate.habits import BELOW
from dlc.compiler.elaborate.report import Stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import Tensor
from dlc.compiler.ops import ShapeError
from dlc.grammar import ast
from dlc.grammar.format import unparse

if TYPE_CHECKING:
    from dlc.compiler.elaborate.steps import Frame


def for_step(
    scans: Sequence[Frame], error: ShapeError, operands: Sequence[Tensor], exprs: Sequence[ast.Expr], scope: Scope
) -> str | None:
    """In a step of a scan: a whole sequence in the place of its step, and a first value without a shape."""
    ranks = {operands[number].type.rank for number, _ in error.operands if number < len(operands)}
    for number, _ in error.operands:
        if number >= min(len(operands), len(exprs)):
            continue
        for frame in scans:
            key = frame.carried(operands[number].node)
            if key is not None and not operands[number].type.rank and error.code == "D101":
                weights = operands[1 - number].declared
                rows = unparse(weights.items[-1]) if number == 1 and weights is not None and weights.items else "…"
                return f"{key}<0> is one number: give it the shape of a step, {key}<0> : ({rows}, m) = …"
            if error.code != "D103" or operands[number].type.rank != max(ranks):
                continue
            for name in _plain_names(exprs[number]):
                value = scope.find(name)
                if isinstance(value, Tensor) and frame.goes_through(value):
                    return f"write {name}<{frame.name}>: {name} is the whole sequence, {value.type}"
    return None


def _plain_names(tree: Any) -> Iterator[str]:
    """The names in an expression, but for those with a time index."""
    if isinstance(tree, ast.Name):
        yield tree.id
    elif isinstance(tree, tuple):
        for part in tree:
            yield from _plain_names(part)
    elif isinstance(tree, ast.Tree) and not isinstance(tree, ast.TimeIndex):
        for part in fields(tree):
            yield from _plain_names(getattr(tree, part.name))


def meant_scan(failure: Stop, statement: ast.For) -> Stop:
    """`for t in 1..T:` over steps that are known only with the data."""
    range = statement.iterable
    match range:
        case ast.Binary(op="..", left=ast.Number(value=1), right=ast.Name(id=last)) if last != "m":
            pass
        case _:
            return failure
    if failure.diagnostic.code != "N208" or len(statement.targets) != 1:
        return failure
    help = f"a loop over the steps of the data is a scan: scan {statement.targets[0].id} in {unparse(range)}:"
    return Stop(replace(failure.diagnostic, help=help))


def unknown_size(failure: Stop, statement: ast.Statement) -> str | None:
    """The name of a size that no line above defines: what is missing is one line, however many shapes wait for it."""
    place, message = failure.diagnostic.span, failure.diagnostic.message
    unknown = message.startswith("unknown name ") or message.endswith(BELOW)
    match statement:
        case ast.Declaration(shape=ast.Shape(span=sizes)) | ast.Scan(range=ast.Binary(span=sizes)):
            if unknown and place is not None and sizes.contains(place):
                return message.removeprefix("unknown name ").removesuffix(BELOW)
    return None


def for_size(failure: Stop, name: str, scope: Scope) -> Stop:
    """What to do about a size without a line of its own, where no spelling is near."""
    help = failure.diagnostic.help or ""
    if failure.diagnostic.code != "N201" or help.startswith("did you mean"):
        return failure
    others = [other for other, value in scope.names.items() if other != "m" and isinstance(value, Dim)]
    declared = f"; dim {others[0]} is declared" if len(others) == 1 else ""
    help = f"above it write {name} = 64, or dim {name} for a length that comes with the data{declared}"
    return Stop(replace(failure.diagnostic, help=help))
