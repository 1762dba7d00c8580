"""Demands that are neither proved nor refuted where they stand: whose obligation they become.

A type rule demands that two sizes are equal. Where the sizes are not known, the answer may be open:

- in a definition that is checked for all sizes, the demand is an obligation of every use (`Assumed`): it counts as
  true below it, and each use is elaborated with its own sizes, so it is decided there;
- in a model, a demand on one run-time dimension is a condition that is checked when data arrives (`Required`); a
  demand on `m`, or between unrelated dimensions, is a mistake, and the message shows sizes for which it fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dlc.compiler.diagnostics import Diagnostic, Related
from dlc.compiler.dims import Condition, Facts, Relation, Symbol, Truth, decide, divisibility, example, strongest
from dlc.compiler.program import Requirement

if TYPE_CHECKING:
    from dlc.compiler.elaborate.context import Context
    from dlc.grammar.span import Span


@dataclass(frozen=True, slots=True)
class Obligation:
    """A demand that was taken down, and the statement that needs it."""

    relation: Relation
    place: Span | None


@dataclass(slots=True)
class Ledger:
    """What one program left open. `refused` is the demand that the message in the making is about."""

    e: Context
    taken: list[Obligation] = field(default_factory=list)
    refused: Relation | None = None
    against: Obligation | None = None

    def accepts(self, relation: Relation) -> bool:
        """Whether somebody else can be asked for it."""
        return True

    def settle(self, relation: Relation) -> bool:
        """Takes a demand down and assumes it below; not where it excludes what was demanded before."""
        facts = self.e.b.facts
        truth = decide(relation, facts)
        if truth is Truth.UNKNOWN and not self.accepts(relation):
            return False
        more = facts.assume(relation) if truth is Truth.UNKNOWN else facts
        if truth is Truth.NO or more.contradictory:
            return False
        if truth is Truth.UNKNOWN:
            self.e.b.facts = more
            place = self.e.at
            self.taken.append(Obligation(relation, self.e.findings.place(place) if place is not None else None))
        return True

    def promise(self, condition: Condition, place: Span, message: str | None) -> bool:
        """A `require` on sizes that are not known yet: whether somebody can be asked to keep it."""
        return True

    def free(self, symbols: Iterable[Symbol]) -> bool:
        """Whether nothing was demanded of these sizes so far."""
        asked = frozenset().union(*(o.relation.left.symbols | o.relation.right.symbols for o in self.taken))
        return asked.isdisjoint(symbols)

    def refuse(self, relation: Relation) -> None:
        self.refused = relation
        if self.taken and decide(relation) is Truth.UNKNOWN and decide(relation, self.e.b.facts) is Truth.NO:
            self.against = self._opposed(relation)

    def _opposed(self, relation: Relation) -> Obligation | None:
        """The earlier demand that this one excludes."""
        for earlier in self.taken:
            if decide(relation, Facts.empty.assume(earlier.relation)) is Truth.NO:
                return earlier
        return self.taken[-1] if self.taken else None

    def explained(self, diagnostic: Diagnostic) -> Diagnostic:
        """The message of a refused demand, with what refutes it: an earlier demand, or sizes for which it fails."""
        relation, against = self.refused, self.against
        self.refused = self.against = None
        if relation is None or not relation.left.symbols | relation.right.symbols:
            return diagnostic
        if against is not None and against.place is not None:
            diagnostic = replace(
                diagnostic, related=(*diagnostic.related, Related(f"this needs {against.relation}", against.place))
            )
            note: str | None = f"here {relation}, and above {against.relation}: no sizes do both"
        else:
            note = refutation(relation, self.e.b.facts)
        free = relation.left.symbols | relation.right.symbols
        if len(free) > 1 and relation.op == "==" and all(symbol.kind == "runtime" for symbol in free):
            diagnostic = replace(
                diagnostic, help=diagnostic.help or f"if the data keeps it, write `require {relation}`"
            )
        if diagnostic.rule is None:
            return replace(diagnostic, rule=note)
        return replace(diagnostic, rule=f"{diagnostic.rule}; {note}" if note else diagnostic.rule)


@dataclass(slots=True)
class Required(Ledger):
    """The ledger of a model: conditions that are checked when data arrives."""

    promises: list[Requirement] = field(default_factory=list)

    def accepts(self, relation: Relation) -> bool:
        """One run-time dimension alone may be asked to be divisible, or long enough."""
        symbols = relation.left.symbols | relation.right.symbols
        if len(symbols) != 1 or any(symbol.kind != "runtime" for symbol in symbols):
            return False
        return relation.op != "==" or divisibility(relation)

    def promise(self, condition: Condition, place: Span, message: str | None) -> bool:
        """A `require` on run-time dimensions is an obligation of the data."""
        if any(symbol.kind != "runtime" for symbol in condition.symbols):
            return False
        self.promises.append(Requirement(condition, place, message))
        return True

    def requirements(self) -> list[Requirement]:
        """What the data must keep: demands on one dimension are said together, in the plainest form."""
        single = [o for o in self.taken if o.relation.op != "!="]
        single += [Obligation(r, p.span) for p in self.promises for r in _simple(p)]
        result = [p for p in self.promises if not _simple(p)]
        by_symbol: dict[Symbol, list[Obligation]] = {}
        for obligation in single:
            (symbol,) = obligation.relation.left.symbols | obligation.relation.right.symbols
            by_symbol.setdefault(symbol, []).append(obligation)
        for obligations in by_symbol.values():
            for relation in strongest([o.relation for o in obligations]):
                needs = [o for o in obligations if relation in strongest([o.relation])]
                result.append(Requirement(Condition((relation,)), (needs or obligations[-1:])[0].place))
        return list(dict.fromkeys(result))


def requirements(programs: Iterable[Context]) -> tuple[Requirement, ...]:
    """What the data must keep for all programs of a model."""
    together: dict[Requirement, None] = {}
    for e in programs:
        if isinstance(e.ledger, Required):
            together |= dict.fromkeys(e.ledger.requirements())
    return tuple(together)


def _simple(promise: Requirement) -> tuple[Relation, ...]:
    """The relations of a `require` without words of its own, each on one dimension."""
    relations = tuple(promise.condition.relations)
    plain = promise.message is None and (promise.condition.all or len(relations) == 1)
    nested = all(isinstance(part, Relation) for part in promise.condition.parts)
    one = all(len(r.left.symbols | r.right.symbols) == 1 for r in relations)
    return relations if plain and nested and one else ()


def refutation(relation: Relation, facts: Facts) -> str | None:
    """`unequal when n = 3, k = 2`, for a demand that does not hold for all sizes."""
    what = "unequal" if relation.op == "==" else f"not {relation}"
    if decide(relation, facts) is Truth.NO:
        names = ", ".join(sorted(symbol.name for symbol in relation.left.symbols | relation.right.symbols))
        return f"{what} for every {names}"
    if {symbol.kind for symbol in relation.left.symbols | relation.right.symbols} == {"batch"}:
        return "m is any number of examples"
    found = example(relation.negated(), facts)
    if found is None:
        return None
    return f"{what} when {', '.join(f'{symbol} = {size}' for symbol, size in found.items())}"
