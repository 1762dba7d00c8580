"""What the bounds of the symbols alone say about a dimension: an interval of its values, and whether it is an integer.

`None` stands for "no bound known". Facts beyond the symbols' own bounds are `facts.py`'s.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias, cast

from dlc.compiler.dims.poly import ZERO, Atom, Dim, Monomial, Number, Term
from dlc.compiler.dims.symbol import DimTooLarge, Symbol

Bound: TypeAlias = Number | None
Interval: TypeAlias = tuple[Bound, Bound]
Finite: TypeAlias = tuple[Number, Number]


def is_integral(dim: Dim) -> bool:
    """Whether its form alone shows an integer: integer coefficients, no division, integer atoms."""
    return all(
        isinstance(coefficient, int) and all(exponent > 0 and _integral_atom(atom) for atom, exponent in monomial)
        for monomial, coefficient in dim.terms.items()
    )


def _integral_atom(atom: Atom) -> bool:
    if isinstance(atom, Symbol) or atom.op in ("floor", "ceil"):
        return True
    return atom.op != "/" and is_integral(atom.p) and is_integral(atom.q)


@lru_cache(maxsize=1 << 14)
def interval(dim: Dim) -> Interval:
    """Bounds (low, high) of its values over all admissible sizes, both inclusive; never too narrow."""
    if dim.constant is not None:
        return dim.constant, dim.constant
    low, high = _sum(dim)
    if (low is None or high is None) and _repeats(dim):
        shifted_low, shifted_high = _sum(_shifted(dim))
        low = low if shifted_low is None else shifted_low
        high = high if shifted_high is None else shifted_high
    return low, high


def _sum(dim: Dim) -> Interval:
    total: Interval = (0, 0)
    for monomial, coefficient in dim.terms.items():
        total = _plus(total, _times(_product(monomial), (coefficient, coefficient)))
    return total


def _repeats(dim: Dim) -> bool:
    seen: set[Atom] = set()
    for monomial in dim.terms:
        for atom, _ in monomial:
            if atom in seen:
                return True
            seen.add(atom)
    return False


def _shifted(dim: Dim) -> Dim:
    """The polynomial in s' = s - lower >= 0: where all its coefficients are positive, so is its value (n^2 - n)."""
    if any(exponent < 0 for monomial in dim.terms for _, exponent in monomial):
        return dim
    shift = {
        atom: Dim.symbol(_above(atom)) + atom.lower for atom in dim.atoms() if isinstance(atom, Symbol) and atom.lower
    }
    result = ZERO
    try:
        for monomial, coefficient in dim.terms.items():
            product = Dim.of(coefficient)
            for atom, exponent in monomial:
                base = shift[atom] if isinstance(atom, Symbol) and atom in shift else Dim.atom(atom)
                product = product * base**exponent
            result = result + product
    except DimTooLarge:
        return dim
    return result


def _above(symbol: Symbol) -> Symbol:
    upper = None if symbol.upper is None else symbol.upper - symbol.lower
    return Symbol(symbol.name, symbol.kind, 0, upper, symbol.uid)


def _product(monomial: Monomial) -> Interval:
    total: Interval = (1, 1)
    for atom, exponent in monomial:
        bounds = (atom.lower, atom.upper) if isinstance(atom, Symbol) else _term(atom)
        total = _times(total, _power(bounds, exponent))
    return total


def _term(term: Term) -> Interval:
    p, q = interval(term.p), interval(term.q)
    (low, high), (q_low, q_high) = p, q
    match term.op:
        case "min":
            return _least(low, q_low), high if q_high is None else q_high if high is None else min(high, q_high)
        case "max":
            return low if q_low is None else q_low if low is None else max(low, q_low), _most(high, q_high)
        case "%":
            top = q_high
            if top is not None and is_integral(term.p) and is_integral(term.q):
                top = top - 1
            if low is not None and low >= 0 and high is not None:
                top = high if top is None else min(top, high)
            return 0, top
    low, high = _times(p, _power(q, -1))
    if term.op == "floor":
        return None if low is None else math.floor(low), None if high is None else math.floor(high)
    if term.op == "ceil":
        return None if low is None else math.ceil(low), None if high is None else math.ceil(high)
    return low, high


# --- interval arithmetic ---------------------------------------------------------------------------------------


def _plus(a: Interval, b: Interval) -> Interval:
    return (
        None if a[0] is None or b[0] is None else a[0] + b[0],
        None if a[1] is None or b[1] is None else a[1] + b[1],
    )


def _times(a: Interval, b: Interval) -> Interval:
    if a == (0, 0) or b == (0, 0):
        return 0, 0
    if None not in a and None not in b:
        (p, q), (r, s) = cast(Finite, a), cast(Finite, b)
        corners = p * r, p * s, q * r, q * s
        return min(corners), max(corners)
    lows: list[float | Number] = [_extended(x, i == 0, y, j == 0) for i, x in enumerate(a) for j, y in enumerate(b)]
    low, high = min(lows), max(lows)
    return _finite(low), _finite(high)


def _extended(x: Bound, x_low: bool, y: Bound, y_low: bool) -> float | Number:
    left: float | Number = x if x is not None else -math.inf if x_low else math.inf
    right: float | Number = y if y is not None else -math.inf if y_low else math.inf
    if left == 0 or right == 0:
        return 0
    if isinstance(left, float) or isinstance(right, float):
        return math.inf if (left > 0) == (right > 0) else -math.inf
    return left * right


def _finite(value: float | Number) -> Bound:
    return None if isinstance(value, float) else value


def _power(bounds: Interval, exponent: int) -> Interval:
    if exponent == 1:
        return bounds
    if exponent < 0:
        low, high = bounds
        if low is None or low <= 0:
            return None, None
        bounds = (0 if high is None else 1 / Fraction(high), 1 / Fraction(low))
        exponent = -exponent
    total: Interval = (1, 1)
    for _ in range(exponent):
        total = _times(total, bounds)
    if exponent % 2 == 0 and (total[0] is None or total[0] < 0):
        total = (0, total[1])
    return total


def _least(a: Bound, b: Bound) -> Bound:
    return None if a is None or b is None else min(a, b)


def _most(a: Bound, b: Bound) -> Bound:
    return None if a is None or b is None else max(a, b)
