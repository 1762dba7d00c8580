"""Conditions on unknowns, and their plainest form: `16*floor(n/16) == n` says `n % 16 == 0`.

A relation that sees an unknown only through remainders is periodic: the residues for which it holds say what it means.
Several of them, and lower bounds, are combined to the strongest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.dims.facts import Facts, Relation, expand
from dlc.compiler.dims.poly import ZERO, Dim, Term
from dlc.compiler.dims.symbol import DimTooLarge, Symbol
from dlc.compiler.dims.terms import mod

_LONGEST = 4096
"""A period beyond this is not looked through; neither is a lower bound."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on sizes that are not known yet: a relation, or several joined by `and` or by `or`."""

    parts: tuple[Relation | Condition, ...]
    all: bool = True

    def negated(self) -> Condition:
        return Condition(tuple(part.negated() for part in self.parts), not self.all)

    def assumed(self, facts: Facts) -> Facts:
        """The facts below it: each part, where all of them hold; of an `or` nothing follows."""
        for part in self.parts if self.all or len(self.parts) == 1 else ():
            facts = facts.assume(part) if isinstance(part, Relation) else part.assumed(facts)
        return facts

    def holds(self, sizes: Mapping[Symbol, int]) -> bool:
        return (all if self.all else any)(part.holds(sizes) for part in self.parts)

    @property
    def symbols(self) -> frozenset[Symbol]:
        return frozenset().union(*(r.left.symbols | r.right.symbols for r in self.relations))

    @property
    def relations(self) -> Iterator[Relation]:
        for part in self.parts:
            yield from (part,) if isinstance(part, Relation) else part.relations

    def __str__(self) -> str:
        return (" and " if self.all else " or ").join(map(str, self.parts))


def divisibility(relation: Relation) -> bool:
    """Whether an equality depends on its one unknown through remainders alone: it holds for whole residue classes."""
    try:
        difference = expand(relation.left - relation.right)
    except DimTooLarge:
        return False
    return (
        relation.op == "=="
        and all(isinstance(a, Term) and a.op == "%" for a in difference.atoms())
        and (period(relation) is not None)
    )


def period(relation: Relation) -> int | None:
    """A number after which the remainders of a relation repeat; None where it is not known or too long."""
    result = 1
    for term in _terms(relation.left - relation.right):
        if term.op not in ("%", "floor", "ceil") or not isinstance(term.q.constant, int):
            return None
        scale = math.lcm(*(c.denominator for c in term.p.terms.values()), 1)
        result = math.lcm(result, term.q.constant * scale)
        if result > _LONGEST:
            return None
    return result


def _terms(dim: Dim) -> Iterator[Term]:
    for atom in dim.atoms():
        if isinstance(atom, Term):
            yield atom
            yield from _terms(atom.p)
            yield from _terms(atom.q)


def strongest(relations: Sequence[Relation]) -> tuple[Relation, ...]:
    """Relations on one unknown, said together: one remainder, one lower bound, and what is neither."""
    symbols = {s for r in relations for s in r.left.symbols | r.right.symbols}
    if len(symbols) != 1:
        return tuple(dict.fromkeys(relations))
    (symbol,) = symbols
    periodic = [r for r in relations if divisibility(r)]
    others = [r for r in relations if r not in periodic]
    result = _residue(periodic, symbol)
    bounds = {r: _least(r, symbol) for r in others}
    lower = max((b for b in bounds.values() if b is not None), default=symbol.lower)
    step = result[0].left.terms if result and result[0].right == ZERO else None
    if lower > symbol.lower and not (step and _divisor(result[0]) >= lower):
        result.append(Relation(">=", Dim.symbol(symbol), Dim.of(lower)))
    return (*result, *dict.fromkeys(r for r, bound in bounds.items() if bound is None))


def _divisor(relation: Relation) -> int:
    (atom,) = relation.left.atoms()
    return int(atom.q.constant or 0) if isinstance(atom, Term) else 0


def _residue(relations: list[Relation], symbol: Symbol) -> list[Relation]:
    """`n % d == r` for periodic relations together, where the residues that keep them all are one class."""
    if not relations:
        return []
    whole = math.lcm(*(period(r) or 1 for r in relations))
    if whole > _LONGEST:
        return list(dict.fromkeys(relations))
    start = -(-symbol.lower // whole) * whole
    good = [k for k in range(whole) if all(r.holds({symbol: start + k}) for r in relations)]
    step = whole // len(good) if good and whole % len(good) == 0 else 0
    if not step or good != list(range(good[0], whole, step)):
        return list(dict.fromkeys(relations))
    if step == 1:
        return []
    return [Relation("==", mod(Dim.symbol(symbol), Dim.of(step)), Dim.of(good[0]))]


def _least(relation: Relation, symbol: Symbol) -> int | None:
    """The size from which on an inequality holds, where there is one that is not far."""
    if relation.op in ("==", "!="):
        return None
    least: int | None = None
    for size in range(symbol.lower, symbol.lower + _LONGEST):
        holds = relation.holds({symbol: size})
        if holds and least is None:
            least = size
        if not holds and least is not None:
            return None
        if least is not None and size > least + 256:
            return least
    return None


__all__ = ["Condition", "divisibility", "period", "strongest"]
