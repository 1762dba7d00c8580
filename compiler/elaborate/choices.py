"""A name that both branches of a model's `if` define has the same shape in both, though one branch alone is taken.

The model is walked once more with the other branch taken. A branch that is not taken may be wrong for the present
sizes (`if n > 3:` guards it), and may agree for sizes that turn the condition (`if k == n:`): nothing is said where
that walk finds a mistake, nor where the branches read anything that hangs together with the condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dlc.compiler.dims import same_sizes
from dlc.compiler.elaborate.blocks import defined
from dlc.compiler.elaborate.branches import two_shapes
from dlc.compiler.elaborate.names import parts
from dlc.compiler.elaborate.report import Findings
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import Tensor
from dlc.grammar import ast
from dlc.grammar.span import Span

Walk = Callable[[Findings, Span], Scope]
"""Elaborates the model with the other branch of the `if` at a place taken."""


def prove_choices(definition: ast.Definition, taken: Scope, walk: Walk, findings: Findings) -> None:
    """Adds a mistake for each name that has two shapes. `taken` are the model's names as they are."""
    statements = definition.body or ()
    for statement in statements:
        if not isinstance(statement, ast.If):
            continue
        both = defined(statement.body).keys() & defined(statement.otherwise).keys()
        if not any(isinstance(taken.names.get(name), Tensor) for name in both) or _hangs_together(
            statement, definition
        ):
            continue
        found = Findings(proved=findings.proved, refuted=findings.refuted)
        other = walk(found, statement.span)
        if any(d.severity == "error" and d.span is not None and statement.span.contains(d.span) for d in found.found):
            continue
        for name in sorted(both):
            _compare(name, taken, other, findings)


def _compare(name: str, taken: Scope, other: Scope, findings: Findings) -> None:
    a, b = taken.names.get(name), other.names.get(name)
    if isinstance(a, Tensor) and isinstance(b, Tensor) and same_sizes(a.type, b.type) is not None:
        sides = sorted([(taken.places[name], a.type), (other.places[name], b.type)], key=lambda side: side[0].line)
        (first, one), (second, two) = sides
        findings.add(two_shapes(name, (one, first), (two, second)).diagnostic)


def _hangs_together(statement: ast.If, definition: ast.Definition) -> bool:
    """Whether the branches read a name that the condition is made of, or one that is made of such a name."""
    statements = definition.body or ()
    made = [pair for each in statements if each is not statement for pair in _made(each)]
    arguments = {p.name.id: set() if p.default is None else _names(p.default) for p in definition.parameters}
    made += [({name}, reads) for name, reads in arguments.items()]
    origins = _closed(_names(statement.condition), made)
    own = {name for each in statements if isinstance(each, ast.Hyper | ast.Equation) for name in _targets(each)}
    own |= arguments.keys()
    if not origins <= own:
        return True  # of the file, which its layers read too
    found = _closed(origins, [(reads, names) for names, reads in made])
    return any(_names(part) & found for part in (*statement.body, *statement.otherwise))


def _closed(found: set[str], pairs: Sequence[tuple[set[str], set[str]]]) -> set[str]:
    """The names, with the second of each pair whose first holds one of them."""
    before = -1
    while len(found) != before:
        before = len(found)
        found = found.union(*(further for names, further in pairs if names & found))
    return found


def _targets(statement: ast.Hyper | ast.Equation) -> set[str]:
    targets = (statement.name,) if isinstance(statement, ast.Hyper) else statement.targets
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _made(statement: ast.Statement) -> Iterator[tuple[set[str], set[str]]]:
    """The names that a statement defines, with those that they are made of."""
    match statement:
        case ast.Hyper(name=name, default=value):
            yield {name.id}, _names(value)
        case ast.Equation(targets=targets) | ast.Declaration(targets=targets) | ast.Draw(targets=targets):
            names = set().union(*map(_names, targets))
            yield names, _names(statement) - names
        case ast.If() | ast.When() | ast.For() | ast.Scan():
            names = _names(statement)
            yield names, names


def _names(tree: Any) -> set[str]:
    if isinstance(tree, ast.Name):
        return {tree.id}
    return set().union(*map(_names, parts(tree)))


__all__ = ["prove_choices"]
