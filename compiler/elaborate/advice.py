"""What to do about a product that does not fit (the rule with its numbers, and the edit that repairs it), and about a
loss that does not belong to its activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlc.compiler.diagnostics import Edit
from dlc.compiler.dims import Dim
from dlc.compiler.elaborate.report import Findings
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import Declared, Tensor
from dlc.compiler.ir import Node
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span


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
    if left.node.op != "parameter":
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


CROSSED = {
    "binary_cross_entropy": ("softmax", "cross_entropy", "gives one distribution over the classes"),
    "cross_entropy": ("sigmoid", "binary_cross_entropy", "gives a yes or no for each feature"),
}
"""The activation that does not belong before a loss, the loss that does, and why."""


def crossed_loss(findings: Findings, name: str, prediction: Any, shown: str, place: Span) -> None:
    """Warns of a softmax output under binary cross-entropy, and of a sigmoid output under cross-entropy."""
    activation, better, reason = CROSSED[name]
    if not isinstance(prediction, Tensor) or _activation(prediction.node) != activation:
        return
    findings.warn(
        "P306",
        f"{shown} is a {activation} output, and {name} is not its loss",
        place,
        rule=f"{activation} {reason}; its loss is {better}",
        help=f"write {better} here",
    )


def _activation(node: Node) -> str | None:
    """Which activation a value has just left: its own formula tells."""
    while node.op in ("rename", "real"):
        node = node.inputs[0]
    if node.op != "div":
        return None
    above, below = node.inputs
    if above.op == "exp" and below.op == "sum" and below.inputs[0] is above:
        return "softmax"
    one = above.op == "constant" and above.attr("value") == 1
    return "sigmoid" if one and below.op == "add" and any(x.op == "exp" for x in below.inputs) else None
