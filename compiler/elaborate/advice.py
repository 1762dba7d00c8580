"""What to do about a product that does not fit (the rule with its numbers, and the edit that repairs it), and about a
loss that does not belong to its activation."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlc.compiler.diagnostics import Edit
from dlc.compiler.dims import Dim
from dlc.compiler.elaborate.probabilities import no_probability
from dlc.compiler.elaborate.report import Findings
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.text import fill, written
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


def for_product(operands: Sequence[Tensor], scope: Scope, recurs: bool) -> Advice:
    """Advice for `W @ A` whose inner sizes differ: the columns of W must equal the rows of A. `recurs`: A is a<t-1>, in
    the line that defines a<t>."""
    left, right = operands
    turned = right.declared
    if turned is not None and left.type.rank == right.type.rank == 2 and left.type.sizes[1] == right.type.sizes[1]:
        return _examples_in_rows(turned, scope)
    declared = left.declared
    if declared is None or len(declared.items) != 2 or left.type.rank != 2 or not right.type.rank:
        return Advice()
    if left.node.op != "parameter":
        return Advice()
    wanted, (first, last) = right.type.axes[0].size, left.type.sizes
    if first == wanted and last != wanted:
        if not left.type.axes[1].one:
            return _transposed(declared, scope)
        return _square(declared, right) if recurs else _one_row(declared)
    advice = _respelled(declared, 1, wanted, left.type.sizes, scope)
    return replace(advice, fix=()) if recurs and left.type.axes[0].one else advice  # its one row would broadcast


def _examples_in_rows(declared: Declared, scope: Scope) -> Advice:
    """`W @ X` with X : (m, 64): the examples stand in columns."""
    if len(declared.items) != 2 or written(declared.items[0], scope) != "m":
        return Advice()
    shape = f"({written(declared.items[1], scope)}, m)"
    return Advice(
        rule=f"the examples stand in columns, {declared.name} : {shape}",
        help=f"declare {declared.name} : {shape}, or write {declared.name}.T here",
    )


def for_elementwise(operands: Sequence[Tensor], places: Sequence[tuple[int, int | None]], scope: Scope) -> Advice:
    """Advice for `W @ A + b` whose sizes differ in one axis: a parameter is given the other side's size."""
    for number, axis in places:
        this, other = operands[number], operands[1 - number]
        declared = this.declared
        if axis is None or declared is None or this.node.op != "parameter" or axis >= len(declared.items):
            continue
        advice = _respelled(declared, axis, other.type.axes[axis].size, this.type.sizes, scope)
        if advice.help is not None:
            return advice
    return Advice()


def _respelled(declared: Declared, axis: int, wanted: Dim, sizes: Sequence[Dim], scope: Scope) -> Advice:
    """Another size on one axis of a declaration, written in the manner of the item that stands there."""
    item = declared.items[axis]
    spelled = _spelled(item, wanted, scope)
    if spelled is None:
        return Advice()
    place = item.span
    return Advice(
        _law(declared, axis, spelled, [wanted if i == axis else size for i, size in enumerate(sizes)], scope),
        f"write {spelled[0]} in place of {unparse(item)} at {place.line}:{place.column}",
        (Edit(place, spelled[0]),),
    )


def _square(declared: Declared, before: Tensor) -> Advice:
    """`W_aa : (n_a, 1)` before a<t-1>: what it gives is part of a<t>, which has the shape of a<t-1>."""
    row, place = declared.items[0], declared.span
    size, shape = before.type.axes[0].size, f"({unparse(row)}, {unparse(row)})"
    return Advice(
        f"a step has the shape of the step before, {before.type}: {declared.name} : ({size}, {size})",
        f"write {shape} at {place.line}:{place.column}",
        (Edit(place, shape),),
    )


def _one_row(declared: Declared) -> Advice:
    """`W : (n, 1)` before A : (n, m). The 1 would broadcast as rows, so that nothing proves the swap to be meant."""
    a, b = map(unparse, declared.items)
    place = declared.span
    return Advice(
        help=f"for one row write ({b}, {a}) at {place.line}:{place.column}, else as many rows as it has units"
    )


def _transposed(declared: Declared, scope: Scope) -> Advice:
    """`W[l] : (n[l-1], n[l])`: rows and columns are swapped."""
    (a, b), place = declared.items, declared.span
    swapped = f"({unparse(b)}, {unparse(a)})"
    family, _, index = declared.name.partition("[")
    here = f"{declared.name} : ({written(b, scope)}, {written(a, scope)})"
    law = f"{family}[l] : {swapped},  so {here}" if index and here != f"{declared.name} : {swapped}" else here
    return Advice(
        f"{law}: as many rows as the result, as many columns as what it multiplies",
        f"rows and columns of {declared.name} are swapped: write {swapped} at {place.line}:{place.column}",
        (Edit(place, swapped),),
    )


def _spelled(item: ast.Expr, wanted: Dim, scope: Scope) -> tuple[str, str] | None:
    """How the wanted size is written in the manner of the item that is wrong, in general and in this round of the
    loop: `n[l-1]` and `n[1]` beside `n[l]`; a number beside a number."""
    value = wanted.constant
    if not isinstance(value, int):
        return None
    if isinstance(item, ast.Number):
        return str(value), str(value)
    if not isinstance(item, ast.Index) or not isinstance(item.base, ast.Name) or len(item.indices) != 1:
        return None
    name, index = item.base.id, item.indices[0]
    sizes, now = scope.find(name), fill(index, scope.indices)
    places = [i for i, size in enumerate(sizes) if size == value] if isinstance(sizes, list) else []
    if not places or not isinstance(now, ast.Number):
        return None
    best = min(places, key=lambda i: abs(i - now.value))
    return f"{name}[{_counted(index, best, scope)}]", f"{name}[{best}]"


def _counted(index: ast.Expr, value: int, scope: Scope) -> str:
    """The index `value` in the manner of `index`: `l-1` where that counts from the loop's l."""
    variable = index.left if isinstance(index, ast.Binary) else index
    if isinstance(variable, ast.Name) and variable.id in scope.indices:
        step = value - scope.indices[variable.id]
        return f"{variable.id}{step:+d}" if step else variable.id
    return str(value)


def _law(declared: Declared, axis: int, spelled: tuple[str, str], sizes: Sequence[Dim], scope: Scope) -> str:
    """`W[l] : (n[l], n[l-1]),  so W[2] : (n[2], n[1]) = (16, 32)`."""
    general = [unparse(item) for item in declared.items]
    here = [written(item, scope) for item in declared.items]
    general[axis], here[axis] = spelled
    fixed = f"{declared.name} : ({', '.join(here)}) = ({', '.join(map(str, sizes))})"
    if general != here:
        family = declared.rule.partition(" :")[0]
        return f"{family} : ({', '.join(general)}),  so {fixed}"
    law = _course(declared.name, here)
    return f"{law},  so {fixed}" if law else fixed


def _course(name: str, sizes: Sequence[str]) -> str | None:
    """`W[l] : (n[l], n[l-1])` where `W[2] : (n[2], n[1])` is an instance of it."""
    family, _, index = name.rstrip("]").partition("[")
    if not index.isdigit() or len(sizes) != 2:
        return None
    base = sizes[0].partition("[")[0]
    follows = list(sizes) == [f"{base}[{index}]", f"{base}[{int(index) - 1}]"]
    return f"{family}[l] : ({base}[l], {base}[l-1])" if follows else None


FARTHEST_DIVISOR = 1000
"""A divisor farther away than this is no advice."""


def for_remainder(condition: ast.Expr, number: Callable[[ast.Expr], Any]) -> str | None:
    """For `n % k == 0` that does not hold: the nearest numbers that divide n, and that k divides."""
    match condition:
        case ast.Binary(op="==", left=ast.Binary(op="%", left=first, right=second), right=ast.Number(value=0)):
            n, k = (_count(number(side)) for side in (first, second))
            near = _divisors(n, k) if n and k else []
            text = f"{n} can be divided by {' and '.join(map(str, near))}; " if near else ""
            return text + multiples(n, k) if n and k else None
    return None


def _count(value: Any) -> int:
    """A size known as a number; 0 for everything else."""
    size = value.constant if isinstance(value, Dim) else value
    return size if isinstance(size, int) and size > 0 else 0


def _divisors(a: int, b: int) -> list[int]:
    """4 and 8 for 512 and 7: the nearest below and above, where they are near."""
    steps = range(FARTHEST_DIVISOR)
    below = (b - step for step in steps if step < b and a % (b - step) == 0)
    above = (b + step for step in steps if a % (b + step) == 0)
    return [found for side in (below, above) if (found := next(side, None)) is not None]


def multiples(a: int, b: int) -> str:
    """`504, 511 and 518 can be divided by 7` beside 512."""
    below = a // b * b
    near = ", ".join(str(n) for n in (below - b, below) if n > 0)
    return f"{f'{near} and ' if near else ''}{below + b} can be divided by {b}"


@dataclass(frozen=True, slots=True)
class Declarations:
    """Of a model, the names of its targets, and of the parameters that are not learned."""

    targets: frozenset[str]
    frozen: frozenset[str]


CROSSED = {
    "binary_cross_entropy": ("softmax", "cross_entropy", "gives one distribution over the classes"),
    "cross_entropy": ("sigmoid", "binary_cross_entropy", "gives a yes or no for each feature"),
}
"""The activation that does not belong before a loss, the loss that does, and why."""


FORGOTTEN = {"binary_cross_entropy": "sigmoid", "cross_entropy": "softmax"}
"""The activation that belongs before a loss."""


def crossed_loss(
    findings: Findings, name: str, prediction: Any, target: Any, declared: Declarations, shown: str, place: Span
) -> None:
    """Warns of a softmax output under binary cross-entropy, of a sigmoid output under cross-entropy, of one that is
    neither, and of a target in the prediction's place."""
    activation, better, reason = CROSSED[name]
    if isinstance(prediction, Tensor) and isinstance(target, Tensor):
        _turned_round(findings, name, (prediction, target), declared.targets, place)
    if not isinstance(prediction, Tensor):
        return
    wrong = no_probability(prediction.node, declared.frozen)
    if wrong is not None:
        forgotten = FORGOTTEN[name]
        findings.warn(
            "P313",
            f"{shown} {wrong}, and {name} takes the logarithm of probabilities",
            place,
            rule=f"{forgotten} makes probabilities of numbers",
            help=f"end the last layer in {forgotten}: Dense(n, {forgotten}), or {forgotten}({shown}) here",
        )
    if _activation(prediction.node) != activation:
        return
    findings.warn(
        "P306",
        f"{shown} is a {activation} output, and {name} is not its loss",
        place,
        rule=f"{activation} {reason}; its loss is {better}",
        help=f"write {better} here",
    )


def _turned_round(
    findings: Findings, name: str, given: tuple[Tensor, Tensor], targets: Container[str], place: Span
) -> None:
    """`cross_entropy(Y, Y_hat)` takes the logarithm of the target."""
    first, second = (_input_name(tensor.node) in targets for tensor in given)
    if first and not second:
        findings.warn(
            "P312",
            f"{name} is given the target first: it takes the logarithm of the prediction",
            place,
            rule=f"{name}(Y_hat, Y)",
            help="write the prediction first",
        )


def _input_name(node: Node) -> str | None:
    """The input that a value is, as it came or as one-hot columns."""
    while node.op in ("rename", "real", "one_hot") and node.inputs:
        node = node.inputs[0]
    return str(node.attr("name")) if node.op == "input" else None


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
