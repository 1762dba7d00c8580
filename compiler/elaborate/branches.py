"""Both branches of a choice that the sizes decide, where the sizes are not known: each with its own fact.

A definition that is checked for all sizes goes both ways. A name that both branches define goes on below them where one
value stands for both: `S = A` under `stride == 1` beside a value whose size at stride 1 is A's. Where none does, it is
not known here, and each use decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import Axis, Condition, Dim, Facts, TensorType, Truth, equal
from dlc.compiler.elaborate.arithmetic import is_number
from dlc.compiler.elaborate.blocks import defined
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.report import Poisoned, Stop, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import Family, Poison, Tensor
from dlc.grammar import ast
from dlc.grammar.span import Span

if TYPE_CHECKING:
    from dlc.compiler.elaborate.statements import Body


def either_value(e: Context, expr: ast.Conditional, condition: Condition, evaluate: Callable[[ast.Expr], Any]) -> Any:
    """`x if n > 1 else y` for an n that is not known."""
    facts = e.b.facts
    known = (condition.assumed(facts), condition.negated().assumed(facts))
    values = []
    for side, below in zip((expr.then, expr.otherwise), known, strict=True):
        e.b.facts = below
        try:
            values.append(evaluate(side))
        finally:
            e.b.facts = facts
    value = _merged(e, values[0], values[1], known)
    if isinstance(value, Poison):
        raise Poisoned
    return value


def both_branches(body: Body, statement: ast.If, condition: Condition, scope: Scope) -> None:
    """Executes both branches of an `if`."""
    e, facts = body.e, body.e.b.facts
    before = len(body.outputs)
    known = (condition.assumed(facts), condition.negated().assumed(facts))
    untouched = {id(table): dict(table) for table in _tables(e, scope)}
    scopes, outputs, made = [], [], []
    for statements, below in zip((statement.body, statement.otherwise), known, strict=True):
        inner = scope.child()
        e.b.facts = below
        body.run(statements, inner)
        e.b.facts = facts
        scopes.append(inner)
        outputs.append(body.outputs[before:])
        del body.outputs[before:]
        made.append({id(table): dict(table) for table in _tables(e, scope)})
        for table in _tables(e, scope):
            _set(table, untouched.get(id(table), {}))
    for table in _tables(e, scope):
        one, other = (tables.get(id(table), {}) for tables in made)
        _set(table, _joined(e, one, other, known))
    body.outputs += _all_merged(e, outputs[0], outputs[1], known)
    _define(e, statement, scopes, scope, known)


def _set(table: dict[Any, Any], content: dict[Any, Any]) -> None:
    table.clear()
    table.update(content)


def _joined(e: Context, one: dict[Any, Any], other: dict[Any, Any], known: tuple[Facts, Facts]) -> dict[Any, Any]:
    """Members of a family that one branch made are not known below; declarations are."""
    joined = {**one, **other}
    for key, value in joined.items():
        if isinstance(value, Tensor) and one.get(key) is not other.get(key):
            joined[key] = _merged(e, one[key], other[key], known) if key in one and key in other else Poison()
    return joined


def _tables(e: Context, scope: Scope) -> list[dict[Any, Any]]:
    """What a branch adds to, beyond its own names: it is as it was when the other branch begins."""
    families = [value for level in scope.levels() for value in level.names.values() if isinstance(value, Family)]
    parts = [scope.instance.parameters] if scope.instance is not None else []
    steps = [table for frame in e.scans for table in (frame.now, frame.places)]
    return [
        e.parameters,
        e.states,
        e.updates,
        *parts,
        *steps,
        *(f.members for f in families),
        *(f.places for f in families),
    ]


def _define(e: Context, statement: ast.If, scopes: Sequence[Scope], scope: Scope, known: tuple[Facts, Facts]) -> None:
    then, otherwise = scopes
    for number, statements in enumerate((statement.otherwise, statement.body)):
        theirs = defined(statements)
        for name in scopes[number].names:
            if name not in theirs and name in scopes[number].places:
                scope.locals[name] = scopes[number].places[name]
    for name in sorted(then.names.keys() & otherwise.names.keys()):
        scope.names[name] = _merged(e, then.names[name], otherwise.names[name], known)
        _demand_one_shape(e, name, then, otherwise)
        if name in then.places:
            scope.places[name] = then.places[name]


def _demand_one_shape(e: Context, name: str, then: Scope, otherwise: Scope) -> None:
    """Tells a name whose shapes in the branches differ for every size; each tried size takes one branch only, so the
    proof alone decides. Behind an obligation on these sizes an axis may have been broadcast, and the uses decide."""
    a, b = then.names[name], otherwise.names[name]
    if e.rigid is None or e.findings.uses or not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return
    if a.type.rank == b.type.rank:
        pairs = zip(a.type.sizes, b.type.sizes, strict=True)
        unequal = next(((x, y) for x, y in pairs if equal(x, y, e.b.facts) is Truth.NO), None)
        if unequal is None or not e.ledger.free(unequal[0].symbols | unequal[1].symbols):
            return
    places = then.places.get(name), otherwise.places.get(name)
    if places[0] is not None and places[1] is not None:
        e.rigid.sure.add(places[1])
        e.report(two_shapes(name, (a.type, places[0]), (b.type, places[1])))


def two_shapes(name: str, one: tuple[TensorType, Span], other: tuple[TensorType, Span]) -> Stop:
    """The mistake of a name that has one shape in one branch and another in the other."""
    return stop(
        "D116",
        f"{name} is {one[0]} in one branch and {other[0]} in the other",
        other[1],
        label=str(other[0]),
        related=[(f"{one[0]} here", one[1])],
        rule="a name that both branches define has the same shape in both",
        help="give the two different names, and use each in its own branch",
    )


def _all_merged(e: Context, a: Sequence[Any], b: Sequence[Any], known: tuple[Facts, Facts]) -> list[Any]:
    if len(a) != len(b):
        return [Poison()] * max(len(a), len(b))
    return [_merged(e, x, y, known) for x, y in zip(a, b, strict=True)]


def _merged(e: Context, a: Any, b: Any, known: tuple[Facts, Facts]) -> Any:
    """The value that stands for both, or Poison."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.type.rank != b.type.rank or a.type.kind != b.type.kind:
            return Poison()
        axes = []
        for x, y in zip(a.type.axes, b.type.axes, strict=True):
            size = _size(e, x.size, y.size, known)
            if size is None:
                return Poison()
            axes.append(Axis(size, x.name if x.name == y.name else None, x.one and y.one))
        kind = replace(a.type, axes=tuple(axes), classes=None, one_hot=False)
        return Tensor(e.b.typed("rename", (a.node, b.node), (), kind), a.declared)
    if is_number(a) and is_number(b) and not isinstance(a, float) and not isinstance(b, float):
        size = _size(e, Dim.of(a), Dim.of(b), known)
        return Poison() if size is None else size
    same = type(a) is type(b) and isinstance(a, (bool, str, float)) and a == b
    return a if same else Poison()


def _size(e: Context, a: Dim, b: Dim, known: tuple[Facts, Facts]) -> Dim | None:
    """One formula for both branches: where b is a under the first branch's fact, b says both, and the reverse."""
    if equal(a, b, e.b.facts) is Truth.YES or equal(a, b, known[1]) is Truth.YES:
        return a
    return b if equal(a, b, known[0]) is Truth.YES else None
