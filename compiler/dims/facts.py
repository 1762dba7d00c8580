"""What is known about the unknowns: `require`, the condition of a taken branch, an obligation already accepted.

A fact is used as strongly as its form allows:

- an equality becomes a substitution (`heads * d == 512` gives d = 512/heads, known to be an integer), and a
  divisibility a new unknown: from `n % g == 0` follows n = g * k, after which n/g, floor(n/g) and (2n) % g come out
  by plain algebra; an equality that no unknown can be solved for is kept and divided out;
- an inequality tightens a symbol's bounds, or is kept as a polynomial that is at least 0;
- `!=` is kept as a polynomial that is not 0.

`canonical` brings a dimension to the form in which proofs compare: the facts applied, and floor, ceil and max
written with `%` and `min` alone, by floor(p/q) = (p - p % q)/q, ceil(p/q) = (p + -p % q)/q, max(p, q) = p + q - min.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import ClassVar, Protocol

from dlc.compiler.dims.bounds import interval, is_integral
from dlc.compiler.dims.poly import ONE, ZERO, Atom, Dim, DimLike, Term
from dlc.compiler.dims.symbol import DimTooLarge, Symbol
from dlc.compiler.dims.terms import build, content, dim_min, divide, lead, mod, power, quotient

MOST_INEQUALITIES = 80
"""Further ones prove nothing: every proof reads them all."""
OPS = ("==", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Relation:
    """`left op right`, op one of `== != < <= > >=`."""

    op: str
    left: Dim
    right: Dim

    def holds(self, values: Mapping[Symbol, int]) -> bool:
        """Whether it is true for given sizes."""
        difference = self.left.evaluate(values) - self.right.evaluate(values)
        return {
            "==": difference == 0,
            "!=": difference != 0,
            "<": difference < 0,
            "<=": difference <= 0,
            ">": difference > 0,
            ">=": difference >= 0,
        }[self.op]

    def negated(self) -> Relation:
        """The fact of the branch not taken."""
        opposite = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
        return Relation(opposite[self.op], self.left, self.right)

    def substitute(self, mapping: Mapping[Symbol, DimLike]) -> Relation:
        return Relation(self.op, self.left.substitute(mapping), self.right.substitute(mapping))

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


class Ledger(Protocol):
    """Where a demand goes that is neither proved nor refuted (`solver.demand`)."""

    def settle(self, relation: Relation) -> bool:
        """Whether the relation is taken down, as an obligation of somebody else, and counts as true from here on."""
        ...

    def refuse(self, relation: Relation) -> None:
        """The relation was refuted: what comes next is the message."""
        ...


@dataclass(frozen=True)
class Facts:
    """A set of relations, immutable; `Facts.empty` knows only the symbols' own bounds, and `Facts.settled`, for graphs
    that were proved before, takes open demands on run-time dimensions for met.

    `contradictory` is true where the relations were seen to exclude each other (a branch that is never taken). Where
    there is a `ledger`, it decides about demands that the facts leave open.
    """

    relations: tuple[Relation, ...] = ()
    contradictory: bool = False
    solved: Mapping[Symbol, Dim] = field(default_factory=dict)
    rewritten: Mapping[Term, Dim] = field(default_factory=dict)
    zero: tuple[Dim, ...] = ()
    nonzero: tuple[Dim, ...] = ()
    at_least_zero: tuple[Dim, ...] = ()
    integers: tuple[Dim, ...] = ()
    ledger: Ledger | None = field(default=None, compare=False, repr=False)

    empty: ClassVar[Facts]
    settled: ClassVar[Facts]

    @cached_property
    def known(self) -> Known:
        """These facts as the key of a cache."""
        return Known(self if self.ledger is None else replace(self, ledger=None))

    def assume(self, relation: Relation) -> Facts:
        """These facts and one more. A relation beyond the algebra's limits is kept, but proves nothing."""
        from dlc.compiler.dims.solver import Truth, decide

        known = decide(relation, self)
        more = replace(self, relations=(*self.relations, relation))
        if known is not Truth.UNKNOWN:
            return replace(more, contradictory=True) if known is Truth.NO else more
        try:
            return more._learn(relation.op, canonical(relation.left - relation.right, self))
        except DimTooLarge:
            return more

    def _learn(self, op: str, difference: Dim) -> Facts:
        match op:
            case "==":
                return self._equal(difference)
            case "!=":
                return self._different(difference)
            case "<" | "<=":
                return self._at_least(-difference, strict=op == "<")
        return self._at_least(difference, strict=op == ">")

    # --- inequalities ------------------------------------------------------------------------------------------

    def _different(self, difference: Dim) -> Facts:
        more = replace(self, nonzero=(*self.nonzero, difference))
        for sign in (1, -1):
            low, _ = interval(difference * sign)
            if low == 0 and is_integral(difference):
                return more._at_least(difference * sign, strict=True)
        return more

    def _at_least(self, difference: Dim, *, strict: bool) -> Facts:
        if difference.constant is not None:
            return self
        difference = difference * (1 / Fraction(content(difference)))
        if strict and is_integral(difference):
            difference = difference - 1
        bound = _single(difference)
        if bound is None:
            kept = len(self.at_least_zero) < MOST_INEQUALITIES
            return replace(self, at_least_zero=(*self.at_least_zero, difference)) if kept else self
        symbol, coefficient, constant = bound
        limit = -Fraction(constant) / coefficient
        if coefficient > 0:
            tight = replace(symbol, lower=max(symbol.lower, -(-limit.numerator // limit.denominator)))
        else:
            floor = limit.numerator // limit.denominator
            tight = replace(symbol, upper=floor if symbol.upper is None else min(symbol.upper, floor))
        return self._substituted(symbol, Dim.symbol(tight))

    # --- equalities --------------------------------------------------------------------------------------------

    def _equal(self, difference: Dim) -> Facts:
        """Learns difference = 0."""
        parameterised = self._divisible(difference)
        if parameterised is not None:
            return parameterised
        solution = _solvable(difference)
        if solution is not None:
            symbol, value = solution
            return self._solve_for(symbol, value)
        for atom in sorted(difference.atoms(), key=lambda a: a.key):
            rest = _solve_atom(difference, atom) if isinstance(atom, Term) else None
            if isinstance(atom, Term) and rest is not None:
                return self._rewrite(atom, rest)
        return replace(self, zero=(*self.zero, difference))

    def _divisible(self, difference: Dim) -> Facts | None:
        """From p % q = r, and so p = q*k + r, a new unknown k, where p has an unknown to solve for."""
        remainders = [a for a in difference.atoms() if isinstance(a, Term) and a.op == "%"]
        if len(remainders) != 1:
            return None
        term = remainders[0]
        rest = _solve_atom(difference, term)
        low, _ = interval(term.p)
        if rest is None or low is None or low < 0 or not (is_integral(rest) and is_integral(term.p)):
            return None
        least = 1 if low > 0 and rest == ZERO else 0
        fresh = Symbol(f"({term.p})/({term.q})", "quotient", lower=least, uid=len(self.relations))
        solution = _solvable(term.p - rest - term.q * Dim.symbol(fresh), avoid=fresh)
        if solution is None or not is_integral(solution[1]):
            return None
        more = self._solve_for(solution[0], solution[1])
        return more._also_at_least(rest)._also_at_least(term.q - rest - 1)

    def _solve_for(self, symbol: Symbol, value: Dim) -> Facts:
        more = self._substituted(symbol, value)
        if not is_integral(value):
            more = replace(more, integers=(*more.integers, value))
        more = more._also_at_least(value - symbol.lower)
        return more if symbol.upper is None else more._also_at_least(-value + symbol.upper)

    def _also_at_least(self, difference: Dim) -> Facts:
        difference = canonical(difference, self)
        low, _ = interval(difference)
        return self if low is not None and low >= 0 else self._at_least(difference, strict=False)

    def _substituted(self, symbol: Symbol, value: Dim) -> Facts:
        """Replaces an unknown everywhere in what is known."""

        def new(d: Dim) -> Dim:
            return expand(d.substitute({symbol: value}))

        rewritten = {}
        for term, old in self.rewritten.items():
            for atom in Dim.atom(term).substitute({symbol: value}).atoms():
                if isinstance(atom, Term) and Dim.atom(term).substitute({symbol: value}) == Dim.atom(atom):
                    rewritten[atom] = new(old)
        return replace(
            self,
            solved={**{s: new(d) for s, d in self.solved.items()}, symbol: value},
            rewritten=rewritten,
            zero=_open(map(new, self.zero)),
            nonzero=_open(map(new, self.nonzero)),
            at_least_zero=_open(map(new, self.at_least_zero)),
            integers=_open(map(new, self.integers)),
        )

    def _rewrite(self, term: Term, value: Dim) -> Facts:
        low, high = interval(Dim.atom(term))
        more = replace(self, rewritten={**self.rewritten, term: value})
        if low is not None:
            more = more._also_at_least(value - low)
        return more if high is None else more._also_at_least(-value + high)


class _Settled:
    """The ledger of graphs that were proved before: a demand on run-time dimensions that is open was decided when their
    text was elaborated. Of other unknowns nothing was ever left open."""

    def settle(self, relation: Relation) -> bool:
        return any(symbol.kind == "runtime" for symbol in relation.left.symbols | relation.right.symbols)

    def refuse(self, relation: Relation) -> None:
        pass


class Known:
    """Facts as a key: two are the same where they were learnt in the same order."""

    __slots__ = ("facts", "hash")

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.hash = hash(facts.relations)

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Known) and self.facts.relations == other.facts.relations


Facts.empty = Facts()
Facts.settled = Facts(ledger=_Settled())


def _open(dims: Iterable[Dim]) -> tuple[Dim, ...]:
    """Those that still say something: a constant does not."""
    return tuple(dim for dim in dims if dim.constant is None)


# --- the form in which proofs compare --------------------------------------------------------------------------


def canonical(dim: Dim, facts: Facts = Facts.empty) -> Dim:
    """The dimension under the facts, in the basis of symbols, `%`, `min` and reciprocals."""
    if dim.constant is not None:
        return dim
    if facts.solved:
        dim = dim.substitute(facts.solved)
    dim = expand(dim)
    if facts.rewritten:
        dim = expand(dim.replace(lambda atom: facts.rewritten.get(atom) if isinstance(atom, Term) else None))
    for zero in facts.zero:
        _, dim = divide(dim, zero)
    return dim


@lru_cache(maxsize=1 << 14)
def expand(dim: Dim) -> Dim:
    """The same value, with floor, ceil, max and quotients written by `%`, `min` and reciprocals."""
    for _ in range(8):
        before = dim
        dim = _expand_once(dim)
        if dim == before:
            break
    return dim


def _expand_once(dim: Dim) -> Dim:
    terms = {atom: _expand_term(atom) for atom in dim.atoms() if isinstance(atom, Term)}
    if not terms:
        return dim
    result = ZERO
    for monomial, coefficient in dim.terms.items():
        product = Dim.of(coefficient)
        for atom, exponent in monomial:
            product = product * power(terms[atom] if isinstance(atom, Term) else Dim.atom(atom), exponent)
        result = result + product
    return result


def _expand_term(term: Term) -> Dim:
    p, q = expand(term.p), expand(term.q)
    match term.op:
        case "floor":
            return quotient(p - mod(p, q), q)
        case "ceil":
            return quotient(p + mod(-p, q), q)
        case "max":
            return p + q - _least(p, q)
        case "min":
            return _least(p, q)
        case "/":
            return p * (Dim.atom(Term("/", ONE, q)) if len(q.terms) > 1 and p != ONE else quotient(ONE, q))
    return build(term.op, p, q)


def _least(p: Dim, q: Dim) -> Dim:
    """min(p, q) = q + min(p - q, 0), with the difference primitive and its leading coefficient positive."""
    difference = p - q
    if difference == ZERO:
        return p
    scale = Dim.of(content(difference))
    difference = quotient(difference, scale)
    if difference.terms[lead(difference)] < 0:
        return p + scale * dim_min(-difference, ZERO)
    return q + scale * dim_min(difference, ZERO)


# --- solving for one atom --------------------------------------------------------------------------------------


def _single(difference: Dim) -> tuple[Symbol, int | Fraction, int | Fraction] | None:
    """(s, c, k) where the polynomial is c*s + k."""
    symbols = [m for m in difference.terms if m]
    if len(symbols) != 1 or len(symbols[0]) != 1:
        return None
    ((atom, exponent),) = symbols[0]
    if not isinstance(atom, Symbol) or exponent != 1:
        return None
    return atom, difference.terms[symbols[0]], difference.terms.get((), 0)


def _solvable(difference: Dim, avoid: Symbol | None = None) -> tuple[Symbol, Dim] | None:
    """A symbol that occurs once and linearly, and its value; one with coefficient 1 or -1 before others."""
    best: tuple[object, Symbol, Dim] | None = None
    for monomial, coefficient in difference.terms.items():
        for atom, exponent in monomial:
            if not isinstance(atom, Symbol) or exponent != 1 or atom == avoid:
                continue
            value = _solve_atom(difference, atom)
            if value is None:
                continue
            rank = (not is_integral(value), len(monomial), abs(coefficient), atom.key)
            if best is None or rank < best[0]:  # type: ignore[operator]
                best = rank, atom, value
    return None if best is None else best[1:]


def _solve_atom(difference: Dim, atom: Atom) -> Dim | None:
    """The atom's value where difference = 0, if it occurs in one term only: its coefficient there is not 0."""
    found = [m for m in difference.terms if any(a == atom for a, _ in m)]
    if len(found) != 1 or dict(found[0])[atom] != 1:
        return None
    head = Dim({found[0]: difference.terms[found[0]]})
    rest = difference - head
    factor = quotient(head, Dim.atom(atom))
    value = quotient(-rest, factor)
    if any(_contains(d, atom) for d in (rest, factor)) or not _positive(factor):
        return None
    return value


def _positive(factor: Dim) -> bool:
    low, high = interval(factor)
    if low is not None and low >= 0:
        return factor.constant is not None or all(e < 0 or _atom_positive(a) for m in factor.terms for a, e in m)
    return high is not None and high <= 0 and _positive(-factor)


def _atom_positive(atom: Atom) -> bool:
    low, _ = interval(Dim.atom(atom))
    return low is not None and low > 0


def _contains(dim: Dim, atom: Atom) -> bool:
    if isinstance(atom, Symbol):
        return atom in dim.symbols
    return any(
        a == atom or (isinstance(a, Term) and (_contains(a.p, atom) or _contains(a.q, atom))) for a in dim.atoms()
    )
