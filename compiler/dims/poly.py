"""Dimension expressions as polynomials in a canonical form.

A dimension is a polynomial with rational coefficients over *atoms*. An atom is a `Symbol` (an unknown size) or a
`Term`: a rounding, remainder, minimum, maximum or undecided quotient of two polynomials, which ring arithmetic
cannot open. An exponent may be negative: `n_C/groups` is the monomial n_C * groups^-1, so that multiplying by
`groups` gives n_C back. Divisors are positive wherever a dimension makes sense; who divides states that obligation.

Equal records mean equal values; the converse is the solver's work (`solver.equal`). Simplification of terms lives
in `terms.py`, the text form in `text.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias, Union

from dlc.compiler.dims.symbol import MAX_DEGREE, MAX_INT, MAX_SIZE, MAX_TERMS, DimTooLarge, Symbol

Number: TypeAlias = int | Fraction
Atom: TypeAlias = Union[Symbol, "Term"]
Monomial: TypeAlias = tuple[tuple[Atom, int], ...]
DimLike: TypeAlias = Union[int, Fraction, "Dim"]


class Term:
    """An atom that is an operation: `op` is one of `floor ceil % min max /`, of the polynomials `p` and `q`.

    Made only by the functions of `terms.py`, which normalise it.
    """

    __slots__ = ("_hash", "key", "op", "p", "q", "size")

    def __init__(self, op: str, p: Dim, q: Dim) -> None:
        self.op, self.p, self.q = op, p, q
        self.size: int = 1 + sum(a.size for d in (p, q) for m in d.terms for a, _ in m if isinstance(a, Term))
        if self.size > MAX_SIZE:
            raise DimTooLarge(f"{self.size} roundings inside each other")
        self.key: tuple[object, ...] = (1, op, p.key, q.key)
        self._hash = hash((op, p, q))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Term) and (self.op, self.p, self.q) == (other.op, other.p, other.q)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Term({self.op!r}, {self.p}, {self.q})"


class Dim:
    """A dimension expression; immutable, hashable, compared by canonical form. Make one with `of` or `symbol`."""

    __slots__ = ("_hash", "_key", "_symbols", "constant", "terms")

    terms: Mapping[Monomial, Number]
    constant: Number | None

    def __init__(self, terms: dict[Monomial, Number]) -> None:
        """Takes canonical terms (no zero coefficient, integral coefficients as int); `polynomial` makes them so."""
        self.terms = terms
        self.constant = 0 if not terms else terms[()] if len(terms) == 1 and () in terms else None
        self._hash: int | None = None
        self._key: tuple[object, ...] | None = None
        self._symbols: frozenset[Symbol] | None = None

    @staticmethod
    def of(value: DimLike) -> Dim:
        """The dimension of an exact number; a `Dim` is returned as it is."""
        if isinstance(value, Dim):
            return value
        return _whole(value) if type(value) is int else polynomial({(): value})

    @staticmethod
    def symbol(symbol: Symbol) -> Dim:
        """The dimension that is one unknown."""
        return Dim({((symbol, 1),): 1})

    @staticmethod
    def atom(atom: Atom) -> Dim:
        """The dimension that is one atom."""
        return Dim({((atom, 1),): 1})

    # --- ring arithmetic ---------------------------------------------------------------------------------------

    def __add__(self, other: DimLike) -> Dim:
        other = Dim.of(other)
        if not self.terms or not other.terms:
            return self if self.terms else other
        terms = dict(self.terms)
        for monomial, coefficient in other.terms.items():
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return polynomial(terms)

    def __mul__(self, other: DimLike) -> Dim:
        other = Dim.of(other)
        if len(self.terms) * len(other.terms) > MAX_TERMS**2 // 4:
            raise DimTooLarge(f"a product of {len(self.terms)} by {len(other.terms)} terms")
        terms: dict[Monomial, Number] = {}
        for a, x in self.terms.items():
            for b, y in other.terms.items():
                monomial = times(a, b)
                terms[monomial] = terms.get(monomial, 0) + x * y
        return polynomial(terms)

    def __neg__(self) -> Dim:
        return Dim({monomial: -coefficient for monomial, coefficient in self.terms.items()})

    def __sub__(self, other: DimLike) -> Dim:
        return self + -Dim.of(other)

    def __rsub__(self, other: DimLike) -> Dim:
        return Dim.of(other) + -self

    __radd__ = __add__
    __rmul__ = __mul__

    def __pow__(self, exponent: int) -> Dim:
        if exponent < 0:
            raise ValueError("a dimension has no negative power; use quotient")
        if self.constant in (0, 1):
            return self if exponent else ONE
        if exponent > 2 * MAX_DEGREE or (self.constant is None and exponent > MAX_DEGREE):
            raise DimTooLarge(f"a power of {exponent}")
        result = ONE
        for _ in range(exponent):
            result = result * self
        return result

    # --- reading -----------------------------------------------------------------------------------------------

    @property
    def symbols(self) -> frozenset[Symbol]:
        """Every unknown in it, inside rounding terms too."""
        if self._symbols is None:
            found: set[Symbol] = set()
            for atom in self.atoms():
                found |= {atom} if isinstance(atom, Symbol) else atom.p.symbols | atom.q.symbols
            self._symbols = frozenset(found)
        return self._symbols

    def atoms(self) -> frozenset[Atom]:
        """The atoms of the polynomial itself, not those inside them."""
        return frozenset(atom for monomial in self.terms for atom, _ in monomial)

    @property
    def key(self) -> tuple[object, ...]:
        """A total order of dimensions, the same in every run."""
        if self._key is None:
            self._key = tuple(sorted((monomial_key(m), c) for m, c in self.terms.items()))
        return self._key

    def substitute(self, mapping: Mapping[Symbol, DimLike]) -> Dim:
        """The dimension with the unknowns of `mapping` replaced, normalised anew: a floor of constants is computed."""
        if not mapping or self.symbols.isdisjoint(mapping):
            return self
        return self.replace(lambda atom: mapping.get(atom) if isinstance(atom, Symbol) else None)

    def replace(self, new: Callable[[Atom], DimLike | None]) -> Dim:
        """The dimension with every atom replaced by `new(atom)` where that is not None, inside terms too."""
        from dlc.compiler.dims.terms import build, power

        if self.constant is not None:
            return self
        values: dict[Atom, Dim] = {}
        for atom in self.atoms():
            value = new(atom)
            if value is not None:
                values[atom] = Dim.of(value)
            elif isinstance(atom, Term):
                p, q = atom.p.replace(new), atom.q.replace(new)
                if p is not atom.p or q is not atom.q:
                    values[atom] = build(atom.op, p, q)
        if not values:
            return self
        result = ZERO
        for monomial, coefficient in self.terms.items():
            product = Dim({tuple((a, e) for a, e in monomial if a not in values): coefficient})
            for atom, exponent in monomial:
                if atom in values:
                    product = product * power(values[atom], exponent)
            result = result + product
        return result

    def evaluate(self, values: Mapping[Symbol, int]) -> Number:
        """The number for given sizes. KeyError where a symbol has no value, ZeroDivisionError for a divisor of 0."""
        total: Number = 0
        for monomial, coefficient in self.terms.items():
            product: Number = coefficient
            for atom, exponent in monomial:
                value: Number = values[atom] if isinstance(atom, Symbol) else _evaluate_term(atom, values)
                product = product * value**exponent if exponent > 0 else Fraction(product) / value**-exponent
            total = total + product
        return integral(total)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Dim):
            return self is other or (self.constant == other.constant and self.terms == other.terms)
        if isinstance(other, int | Fraction):
            return self.constant is not None and self.constant == other
        return NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.constant) if self.constant is not None else hash(frozenset(self.terms.items()))
        return self._hash

    def __str__(self) -> str:
        from dlc.compiler.dims.text import text

        return text(self)

    def __repr__(self) -> str:
        return f"Dim({self})"


# --- canonical form --------------------------------------------------------------------------------------------


def integral(value: Number) -> Number:
    """The same number, as an int where it is one."""
    if type(value) is int:  # at once: asking whether a number is a Fraction takes long
        return value
    if isinstance(value, Fraction) and value.denominator == 1:
        return value.numerator
    return value


@lru_cache(maxsize=1 << 12)
def _whole(value: int) -> Dim:
    """The dimension of a whole number: a program has few of them, and asks for each many times."""
    return polynomial({(): value})


def polynomial(terms: dict[Monomial, Number]) -> Dim:
    """The dimension of any terms: zeros dropped, whole fractions made int, the limits kept (DimTooLarge)."""
    clean: dict[Monomial, Number] = {}
    for monomial, coefficient in terms.items():
        if coefficient:
            coefficient = integral(coefficient)
            if abs(coefficient.numerator) > MAX_INT or coefficient.denominator > MAX_INT:
                raise DimTooLarge("an integer beyond 10^30")
            clean[monomial] = coefficient
    if len(clean) > MAX_TERMS:
        raise DimTooLarge(f"a sum of {len(clean)} terms")
    return Dim(clean)


def times(a: Monomial, b: Monomial) -> Monomial:
    """The product of two monomials; exponents add."""
    if not a:
        return b
    if not b:
        return a
    exponents = dict(a)
    for atom, exponent in b:
        exponents[atom] = exponents.get(atom, 0) + exponent
    if sum(map(abs, exponents.values())) > MAX_DEGREE:
        raise DimTooLarge(f"a degree beyond {MAX_DEGREE}")
    return monomial_of((atom, exponent) for atom, exponent in exponents.items() if exponent)


def monomial_of(powers: Iterable[tuple[Atom, int]]) -> Monomial:
    """Powers of different atoms in canonical order."""
    return tuple(sorted(powers, key=lambda power: power[0].key))


def inverse(monomial: Monomial) -> Monomial:
    return tuple((atom, -exponent) for atom, exponent in monomial)


def monomial_key(monomial: Monomial) -> tuple[object, ...]:
    return tuple((atom.key, exponent) for atom, exponent in monomial)


def _evaluate_term(term: Term, values: Mapping[Symbol, int]) -> Number:
    p, q = term.p.evaluate(values), term.q.evaluate(values)
    match term.op:
        case "floor":
            return p // q
        case "ceil":
            return -(-p // q)
        case "%":
            return integral(p % q)
        case "min":
            return min(p, q)
        case "max":
            return max(p, q)
    return integral(Fraction(p) / q)


ZERO = Dim({})
ONE = Dim({(): 1})
