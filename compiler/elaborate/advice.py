"""What to do about a product that does not fit: the rule with its numbers, and the edit that repairs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics import Edit
from dlc.compiler.dims import Dim
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import Declared, Tensor
from dlc.grammar import ast
from dlc.grammar.format import unparse


@dataclass(frozen=True, slots=True)
class Advice:
    rule: str | None = None
    help: str | None = None
    fix: tuple[Edit, ...] = ()


def for_product(operands: Sequence[Tensor], scope: Scope) -> Advice:
    """Advice for `W @ A` whose inner sizes differ: the columns of W must equal the rows of A."""
    left, right = operands
    declared = left.declared
    if declared is None or len(declared.items) != 2 or left.type.rank != 2 or not right.type.rank:
        return Advice()
    wanted, (first, last) = right.type.axes[0].size, left.type.sizes
    if first == wanted and last != wanted:
        return _transposed(declared, scope)
    item = declared.items[1]
    text = _spelled(item, wanted, scope)
    if text is None:
        return Advice()
    place = item.span
    return Advice(
        _law(declared, text, first, wanted, scope),
        f"write {text} in place of {unparse(item)} at {place.line}:{place.column}",
        (Edit(place, text),),
    )


def _transposed(declared: Declared, scope: Scope) -> Advice:
    """`W[l] : (n[l-1], n[l])`: rows and columns are swapped."""
    (a, b), place = declared.items, declared.span
    swapped = f"({unparse(b)}, {unparse(a)})"
    return Advice(
        f"{declared.name} : {swapped}: as many rows as the result, as many columns as what it multiplies",
        f"rows and columns of {declared.name} are swapped: write {swapped} at {place.line}:{place.column}",
        (Edit(place, swapped),),
    )


def _spelled(item: ast.Expr, wanted: Dim, scope: Scope) -> str | None:
    """How the wanted size is written in the manner of the item that is wrong: `n[1]` beside `n[0]`, else a number."""
    value = wanted.constant
    if not isinstance(value, int):
        return None
    if isinstance(item, ast.Number):
        return str(value)
    if isinstance(item, ast.Index) and isinstance(item.base, ast.Name):
        sizes = scope.find(item.base.id)
        if isinstance(sizes, list) and value in sizes and all(isinstance(i, ast.Number) for i in item.indices):
            return f"{item.base.id}[{sizes.index(value)}]"
    return None


def _law(declared: Declared, text: str, first: Dim, wanted: Dim, scope: Scope) -> str:
    """`W[l] : (n[l], n[l-1]),  so W[2] : (n[2], n[1]) = (16, 32)`."""
    head = unparse(declared.items[0])
    fixed = f"{declared.name} : ({head}, {text}) = ({first}, {wanted})"
    family, _, index = declared.name.partition("[")
    name, _, place = head.partition("[")
    follows = index and place == index and text == f"{name}[{_before(index)}]"
    return f"{family}[l] : ({name}[l], {name}[l-1]),  so {fixed}" if follows else fixed


def _before(index: str) -> str:
    number = index.rstrip("]")
    return str(int(number) - 1) if number.isdigit() else ""
