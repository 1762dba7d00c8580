"""Yes, no or unknown: the one place where questions about dimensions are answered.

`equal(a, b, facts)` is about *all* admissible sizes, those that keep the symbols' bounds and the facts:

- YES: a and b are equal for every admissible assignment (2*n and n + n; n and g*(n/g));
- NO: they differ for every admissible assignment (n and n + 1; 2*n and 2*k + 1; 512 and 511);
- UNKNOWN: neither was shown. This covers `n == k` and `m == 1`, which hold for some sizes and fail for others, and
  questions beyond the method. It is never a yes.

So UNKNOWN means different things at different places, and the caller knows which. Where the sizes come from a use,
an unknown relation is an obligation, decided again at each use with the sizes known. Where they are universally
quantified and nobody will ever supply them otherwise (the rigid sizes of a layer that demands W @ A for W : (n, n)
and A : (k, m), with no `require n == k`), one failing assignment refutes the definition: `counterexample` looks for
it and the message shows it ("unequal when n = 1, k = 2"). The orderings and `is_integer` answer in the same sense.

The method is sound and incomplete: canonical forms, facts as rewrites, intervals, and a short search that adds known
inequalities. Answers never depend on the order of dictionaries or on time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from enum import Enum
from fractions import Fraction
from functools import lru_cache, wraps
from itertools import islice, product
from typing import Any, TypeVar, cast

from dlc.compiler.dims.bounds import interval, is_integral
from dlc.compiler.dims.facts import Facts, Known, Relation, canonical
from dlc.compiler.dims.poly import ONE, ZERO, Dim, DimLike, Monomial, Number, Term, integral, inverse, times
from dlc.compiler.dims.symbol import DimTooLarge, Symbol
from dlc.compiler.dims.terms import content, divide, mod, quotient


class Truth(Enum):
    """The answer to a question about dimensions. It has no truth value: compare with `is Truth.YES`."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        raise TypeError("a Truth may be unknown; compare it with `is Truth.YES`, `is Truth.NO` or `is Truth.UNKNOWN`")

    def __invert__(self) -> Truth:
        return Truth.NO if self is Truth.YES else Truth.YES if self is Truth.NO else self


def _truth(value: bool) -> Truth:
    return Truth.YES if value else Truth.NO


_Question = TypeVar("_Question", bound=Callable[..., Truth])


def _within_limits(question: _Question) -> _Question:
    """A question whose proof outgrows the limits of the algebra is not decided."""

    @wraps(question)
    def asked(*args: Any, **kwargs: Any) -> Truth:
        try:
            return question(*args, **kwargs)
        except DimTooLarge:
            return Truth.UNKNOWN

    return cast(_Question, asked)


def equal(a: DimLike, b: DimLike, facts: Facts = Facts.empty) -> Truth:
    """Whether a = b, in the sense of the module's docstring."""
    if a is b:
        return Truth.YES
    if type(a) is not Dim or type(b) is not Dim:
        a, b = Dim.of(a), Dim.of(b)
    if a.constant is not None and b.constant is not None:
        return Truth.YES if a.constant == b.constant else Truth.NO
    if a == b:
        return Truth.YES
    return _answer(a, b, facts.known)


@lru_cache(maxsize=1 << 13)
@_within_limits
def _answer(a: Dim, b: Dim, known: Known) -> Truth:
    """The answer to a question about unknowns; a program asks most of them several times."""
    facts = known.facts
    difference = _numerator(canonical(a - b, facts), facts)
    if difference.constant is not None:
        return _truth(difference.constant == 0)
    if _both_ways(lambda sizes: a.evaluate(sizes) == b.evaluate(sizes), a.symbols | b.symbols, facts):
        return Truth.UNKNOWN
    if _never_zero(difference, facts):
        return Truth.NO
    if _at_least_zero(a - b, facts) and _at_least_zero(b - a, facts):
        return Truth.YES
    return Truth.UNKNOWN


@_within_limits
def less(a: DimLike, b: DimLike, facts: Facts = Facts.empty) -> Truth:
    """Whether a < b."""
    a, b = Dim.of(a), Dim.of(b)
    if a.constant is not None and b.constant is not None:
        return _truth(a.constant < b.constant)
    return _smaller(a, b, facts.known)


@lru_cache(maxsize=1 << 13)
def _smaller(a: Dim, b: Dim, known: Known) -> Truth:
    facts, difference = known.facts, b - a
    if _both_ways(lambda sizes: a.evaluate(sizes) < b.evaluate(sizes), a.symbols | b.symbols, facts):
        return Truth.UNKNOWN
    if _above_zero(_numerator(canonical(difference, facts), facts), facts):
        return Truth.YES
    return Truth.NO if _at_least_zero(-difference, facts) else Truth.UNKNOWN


def less_equal(a: DimLike, b: DimLike, facts: Facts = Facts.empty) -> Truth:
    """Whether a <= b."""
    return ~less(b, a, facts)


def positive(a: DimLike, facts: Facts = Facts.empty) -> Truth:
    """Whether a is at least 1, as every size must be."""
    return less(ZERO, a, facts)


def decide(relation: Relation, facts: Facts = Facts.empty) -> Truth:
    """Whether a relation holds."""
    a, b = relation.left, relation.right
    match relation.op:
        case "==":
            return equal(a, b, facts)
        case "!=":
            return ~equal(a, b, facts)
        case "<":
            return less(a, b, facts)
        case "<=":
            return less_equal(a, b, facts)
        case ">":
            return less(b, a, facts)
        case ">=":
            return less_equal(b, a, facts)
    raise ValueError(f"no relation {relation.op!r}")


@_within_limits
def is_integer(a: DimLike, facts: Facts = Facts.empty) -> Truth:
    """Whether a is a whole number; of a quotient, whether it divides exactly."""
    a = Dim.of(a)
    if a.constant is not None:
        return _truth(isinstance(a.constant, int))
    if is_integral(a):
        return Truth.YES
    a = canonical(a, facts)
    if is_integral(a) or any(is_integral(a - known) for known in facts.integers):
        return Truth.YES
    numerator, divisor = _fraction(a)
    rest = canonical(mod(numerator, divisor), facts)
    if rest.constant is not None:
        return _truth(rest.constant == 0)
    if _never_zero(rest, facts):
        return Truth.NO
    return _by_residues(numerator, divisor)


# --- demands ---------------------------------------------------------------------------------------------------


def demand(a: DimLike, b: DimLike, facts: Facts = Facts.empty) -> Truth:
    """Whether a = b, where the text *needs* it.

    A question (`equal`) chooses what is done; a demand that is not met is a mistake. What is unknown goes to the ledger
    of the facts, if there is one: YES says that it is proved, or taken down as an obligation.
    """
    truth = equal(a, b, facts)
    return truth if truth is Truth.YES else _settled(Relation("==", Dim.of(a), Dim.of(b)), truth, facts)


def demand_that(relation: Relation, facts: Facts = Facts.empty) -> Truth:
    """Whether a relation holds, demanded."""
    truth = decide(relation, facts)
    return truth if truth is Truth.YES else _settled(relation, truth, facts)


def demand_size(a: Dim, facts: Facts = Facts.empty) -> Truth:
    """Whether a is at least 1, demanded."""
    if a.constant is not None and a.constant >= 1:
        return Truth.YES
    return demand_that(Relation(">=", a, ONE), facts)


def demand_integer(a: Dim, facts: Facts = Facts.empty) -> Truth:
    """Whether a is a whole number, demanded: of n/heads, that n % heads is 0."""
    truth = is_integer(a, facts)
    return truth if truth is Truth.YES else _settled(Relation("==", mod(*_fraction(a)), ZERO), truth, facts)


def _settled(relation: Relation, truth: Truth, facts: Facts) -> Truth:
    """A demand that these facts do not prove; the ledger may know more by now."""
    if facts.ledger is None:
        return truth
    if truth is Truth.UNKNOWN and facts.ledger.settle(relation):
        return Truth.YES
    facts.ledger.refuse(relation)
    return truth


# --- proofs ----------------------------------------------------------------------------------------------------

_TRIED = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 18, 23, 32, 33, 34, 47, 64, 65, 66, 95, 128)
"""Sizes at which a question is asked before a proof is looked for."""


def _both_ways(holds: Callable[[dict[Symbol, int]], bool], asked: frozenset[Symbol], facts: Facts) -> bool:
    """Whether admissible sizes were found that say yes, and others that say no: then nothing can be proved."""
    relations = _about(asked, facts)
    everything = asked.union(*(r.left.symbols | r.right.symbols for r in relations))
    values = {s: facts.solved.get(s, Dim.symbol(s)) for s in everything}
    free = sorted(frozenset().union(*(v.symbols for v in values.values())), key=lambda s: s.key)
    answers: set[bool] = set()
    for size in _TRIED:
        for step in (0, 1) if len(free) > 1 else (0,):
            sizes = {s: max(s.lower, size + step * i) for i, s in enumerate(free)}
            chosen = _chosen(values, sizes)
            try:
                if chosen is not None and all(r.holds(chosen) for r in relations):
                    answers.add(holds(chosen))
            except ZeroDivisionError:
                continue
            if len(answers) == 2:
                return True
    return False


def _about(asked: frozenset[Symbol], facts: Facts) -> list[Relation]:
    """The facts that say something of these unknowns, or of what these depend on."""
    left = list(facts.relations)
    found: list[Relation] = []
    reached = set(asked)
    while True:
        near = [r for r in left if not reached.isdisjoint(r.left.symbols | r.right.symbols)]
        if not near:
            return found
        found += near
        left = [r for r in left if r not in near]
        reached.update(*(r.left.symbols | r.right.symbols for r in near))


def _chosen(values: dict[Symbol, Dim], sizes: dict[Symbol, int]) -> dict[Symbol, int] | None:
    """The unknowns for given sizes of those that are free; None where they are not admissible."""
    chosen: dict[Symbol, int] = {}
    try:
        for symbol, value in values.items():
            number = value.evaluate(sizes)
            if not isinstance(number, int) or not _admits(symbol, number):
                return None
            chosen[symbol] = number
    except ZeroDivisionError:
        return None
    return chosen


# How far the search goes. Its answer past these limits is UNKNOWN; the proofs of networks need one or two steps.
_DEPTH = 3
_STEPS = 40
_WIDEST = 16
_MANY_FACTS = 40
"""Beside more facts than this the search takes one step, beside twice as many none: who has so many asks as often."""


def _at_least_zero(difference: Dim, facts: Facts) -> bool:
    """Shows difference >= 0; a whole number above -1 is at least 0."""
    form = canonical(difference, facts)
    if is_integral(difference) or is_integral(form):
        return _above_zero(_numerator(canonical(difference + 1, facts), facts), facts)
    form = _numerator(form, facts)
    return _search(form, facts, strict=False)


def _above_zero(form: Dim, facts: Facts) -> bool:
    """Shows that a canonical form is > 0; its constant may be rounded up to a multiple of the other coefficients."""
    constant = form.terms.get((), 0)
    divisor = content(form - constant)
    if is_integral((form - constant) * (1 / Fraction(divisor))):
        form = form - constant + -(-constant // divisor) * divisor
    return _search(form, facts, strict=True)


def _search(difference: Dim, facts: Facts, strict: bool) -> bool:
    """Whether difference = a positive combination of the known inequalities + something bounded below by 0."""
    known = _inequalities(difference, facts)
    deepest = _DEPTH if len(known) <= _MANY_FACTS else 1 if len(known) <= 2 * _MANY_FACTS else 0
    level, seen = [difference], {difference}
    for depth in range(deepest + 1):
        following: list[Dim] = []
        for left in level:
            low, _ = interval(left)
            if low is not None and (low > 0 or (low == 0 and not strict)):
                return True
            if depth < deepest and left.constant is None and len(left.terms) <= _WIDEST:
                following += islice(_reductions(left, known), max(0, 2 * _STEPS - len(following)))
        fresh = [d for d in dict.fromkeys(following) if d not in seen]
        level = sorted(fresh, key=lambda d: len(d.terms))[: max(0, _STEPS - len(seen))]
        seen.update(level)
    return False


def _reductions(difference: Dim, known: tuple[Dim, ...]) -> Iterator[Dim]:
    """The difference less a multiple of a known inequality, chosen so that a term goes."""
    for inequality in known:
        for factor in _factors(difference, inequality):
            try:
                yield difference - factor * inequality
            except DimTooLarge:
                continue


def _factors(difference: Dim, inequality: Dim) -> list[Dim]:
    """The positive monomials f for which f * inequality shares a term with the difference."""
    found: dict[Monomial, Number] = {}
    for monomial, coefficient in difference.terms.items():
        for other, by in inequality.terms.items():
            ratio = Fraction(coefficient) / by
            if other and ratio > 0:
                found.setdefault(times(monomial, inverse(other)), integral(ratio))
    return [f for m, c in found.items() if (low := interval(f := Dim({m: c}))[0]) is not None and low >= 0]


def _inequalities(difference: Dim, facts: Facts) -> tuple[Dim, ...]:
    """What is known to be at least 0: the facts, and what `%` and `min` say of themselves."""
    known = list(facts.at_least_zero)
    for atom in sorted(difference.atoms(), key=lambda a: a.key):
        value = Dim.atom(atom)
        if isinstance(atom, Term) and atom.op == "%":
            known += [atom.q - value - (1 if is_integral(value) else 0), value]
        elif isinstance(atom, Term) and atom.op == "min":
            known += [atom.p - value, atom.q - value]
    return tuple(known)


def _never_zero(difference: Dim, facts: Facts) -> bool:
    if _above_zero(difference, facts) or _above_zero(-difference, facts):
        return True
    primitive = difference * (1 / Fraction(content(difference)))
    for other in facts.nonzero:
        other = other * (1 / Fraction(content(other)))
        if primitive in (other, -other):
            return True
    constant = primitive.terms.get((), 0)
    step = content(primitive - constant)
    return is_integral(primitive) and constant % step != 0


def _numerator(difference: Dim, facts: Facts) -> Dim:
    """The difference times its divisors, which are positive: zero and of one sign exactly where it is."""
    for _ in range(8):
        divisors = {a for m in difference.terms for a, e in m if isinstance(a, Term) and a.op == "/" and a.p == ONE}
        if not divisors:
            break
        divisor = min(divisors, key=lambda a: a.key)
        cleared = ZERO
        most = max(dict(m).get(divisor, 0) for m in difference.terms)
        for monomial, coefficient in difference.terms.items():
            power = dict(monomial).get(divisor, 0)
            rest = tuple((a, e) for a, e in monomial if a != divisor)
            cleared = cleared + Dim({rest: coefficient}) * divisor.q ** (most - power)
        difference = canonical(cleared, facts)
    return _common_factor_out(_fraction(difference)[0])


def _fraction(dim: Dim) -> tuple[Dim, Dim]:
    """(P, M) with dim = P / M, P of integer coefficients without negative powers, M a monomial."""
    lowest: dict[object, int] = {}
    below = ONE
    for monomial in dim.terms:
        for atom, exponent in monomial:
            lowest[atom] = min(lowest.get(atom, 0), exponent)
    for monomial in dim.terms:
        for atom, _ in monomial:
            if lowest[atom] < 0:
                below = below * Dim.atom(atom) ** -lowest.pop(atom) if atom in lowest else below
                lowest[atom] = 0
    below = below * math.lcm(*(c.denominator for c in dim.terms.values()))
    return dim * below, below


def _common_factor_out(dim: Dim) -> Dim:
    """Without the positive factors that all its terms share: n*k - n becomes k - 1."""
    if not dim.terms:
        return dim
    for atom in sorted(dim.atoms(), key=lambda a: a.key):
        low, _ = interval(Dim.atom(atom))
        if low is not None and low > 0:
            least = min(dict(m).get(atom, 0) for m in dim.terms)
            if least > 0:
                dim = quotient(dim, Dim.atom(atom) ** least)
    return dim


def _by_residues(numerator: Dim, divisor: Dim) -> Truth:
    """Decides numerator % c for a constant c by trying every residue of the unknowns: (n^2 + n)/2 is whole."""
    symbols = sorted(numerator.symbols, key=lambda s: s.key)
    c = divisor.constant
    if not isinstance(c, int) or c ** len(symbols) > 4096 or any(isinstance(a, Term) for a in numerator.atoms()):
        return Truth.UNKNOWN
    zero = {
        numerator.evaluate(dict(zip(symbols, values, strict=True))) % c == 0
        for values in product(range(c), repeat=len(symbols))
    }
    return Truth.UNKNOWN if len(zero) == 2 else _truth(zero.pop())


# --- examples, and solving -------------------------------------------------------------------------------------


def counterexample(a: DimLike, b: DimLike, facts: Facts = Facts.empty, limit: int = 4000) -> dict[Symbol, int] | None:
    """Small admissible sizes, in order of name, for which a and b differ; None where the search finds none."""
    a, b = Dim.of(a), Dim.of(b)
    return example(Relation("!=", a, b), facts, limit)


def example(relation: Relation, facts: Facts = Facts.empty, limit: int = 4000) -> dict[Symbol, int] | None:
    """Small admissible sizes for which the relation and all facts hold."""
    asked = relation.left.symbols | relation.right.symbols
    everything = asked.union(*(r.left.symbols | r.right.symbols for r in facts.relations))
    values = {s: facts.solved.get(s, Dim.symbol(s)) for s in everything}
    free = sorted(frozenset().union(*(v.symbols for v in values.values())), key=lambda s: s.key)
    for sizes in _small(free, limit):
        try:
            found = {s: v.evaluate(sizes) for s, v in values.items()}
            chosen = {s: v for s, v in found.items() if isinstance(v, int)}
            admissible = len(chosen) == len(found) and all(_admits(s, v) for s, v in chosen.items())
            if admissible and all(r.holds(chosen) for r in (relation, *facts.relations)):
                return {s: chosen[s] for s in sorted(asked, key=lambda s: s.key)}
        except ZeroDivisionError:
            continue
    return None


def _admits(symbol: Symbol, value: int) -> bool:
    return symbol.lower <= value and (symbol.upper is None or value <= symbol.upper)


def _small(symbols: list[Symbol], limit: int) -> Iterator[dict[Symbol, int]]:
    """Assignments in order of their sum above the lower bounds."""
    tried = 0
    for total in range(limit):
        for steps in _compositions(total, len(symbols)):
            sizes = {s: s.lower + step for s, step in zip(symbols, steps, strict=True)}
            if all(_admits(s, v) for s, v in sizes.items()):
                yield sizes
            tried += 1
            if tried >= limit:
                return


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 0:
        if total == 0:
            yield ()
        return
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def solve(pattern: Dim, unknown: Symbol, actual: DimLike, facts: Facts = Facts.empty) -> Dim | None:
    """The value of the one unknown for which pattern = actual: d of `heads*d` against 512, n of `2*n + 1` against 9.

    None where the pattern is not linear in the unknown, or the value is not shown to be a whole number of at least
    `unknown.lower`; `solve_exactly` gives the value before that test, for a message or an obligation.
    """
    value = solve_exactly(pattern, unknown, actual, facts)
    if value is None or is_integer(value, facts) is not Truth.YES:
        return None
    return None if less(value, unknown.lower, facts) is Truth.YES else value


def solve_exactly(pattern: Dim, unknown: Symbol, actual: DimLike, facts: Facts = Facts.empty) -> Dim | None:
    """The rational value of the unknown (512/7, n/heads) for which pattern = actual; None where it is not linear."""
    direct = pattern - actual
    for difference in (direct, canonical(direct, facts)):
        factor = ZERO
        rest = difference
        for monomial, coefficient in difference.terms.items():
            if (unknown, 1) in monomial:
                head = Dim({monomial: coefficient})
                factor = factor + quotient(head, Dim.symbol(unknown))
                rest = rest - head
        if factor == ZERO or unknown in factor.symbols or unknown in rest.symbols:
            continue
        if equal(factor, ZERO, facts) is Truth.NO:
            return quotient(-rest, factor)
    return None


def divides(divisor: Dim, whole: Dim, facts: Facts = Facts.empty) -> Truth:
    """Whether whole / divisor is exact."""
    exact, rest = divide(whole, divisor)
    if rest == ZERO and is_integral(exact):
        return Truth.YES
    return is_integer(quotient(whole, divisor), facts)
