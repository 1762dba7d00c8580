"""The operations that ring arithmetic cannot open: floor, ceil, remainder, min, max and division.

Each function simplifies where it is sure and otherwise makes a normalised `Term`. They rest on three facts: a floor
depends only on the ratio, so common factors cancel; an integer part comes out of a floor (floor((2n + 1)/2) = n);
and rounding twice is rounding once (floor(floor(n/2)/2) = floor(n/4)), which is what two strides do to a length.
Divisors are positive (see `poly`); dividing by the constant 0 raises ZeroDivisionError.
"""

from __future__ import annotations

import math
from fractions import Fraction

from dlc.compiler.dims.bounds import interval, is_integral
from dlc.compiler.dims.poly import (
    ONE,
    ZERO,
    Dim,
    DimLike,
    Monomial,
    Number,
    Term,
    integral,
    inverse,
    monomial_key,
    monomial_of,
    polynomial,
    times,
)
from dlc.compiler.dims.symbol import MAX_TERMS, DimTooLarge


def floordiv(a: DimLike, b: DimLike) -> Dim:
    """floor(a / b)"""
    return _rounded("floor", Dim.of(a), Dim.of(b))


def ceildiv(a: DimLike, b: DimLike) -> Dim:
    """ceil(a / b)"""
    return _rounded("ceil", Dim.of(a), Dim.of(b))


def mod(a: DimLike, b: DimLike) -> Dim:
    """a % b = a - b * floor(a / b)"""
    a, b = Dim.of(a), Dim.of(b)
    if a.constant is not None and b.constant is not None:
        return Dim.of(a.constant % b.constant)
    p, q, common = cancel(a, b)
    p = remainder(p, q)
    if p.constant == 0 or (q == ONE and is_integral(p)):
        return ZERO
    if p.constant is not None and q.constant is not None:
        return Dim.of(p.constant % q.constant) * common
    if _surely_at_least(p, ZERO) and _surely_below(p, q):
        return p * common
    return Dim.atom(Term("%", p, q)) * common


def dim_min(a: DimLike, b: DimLike) -> Dim:
    """The smaller of two dimensions."""
    a, b = Dim.of(a), Dim.of(b)
    if _surely_at_least(b, a):
        return a
    if _surely_at_least(a, b):
        return b
    return Dim.atom(Term("min", *sorted((a, b), key=lambda d: d.key)))


def dim_max(a: DimLike, b: DimLike) -> Dim:
    """The larger of two dimensions."""
    a, b = Dim.of(a), Dim.of(b)
    if _surely_at_least(b, a):
        return b
    if _surely_at_least(a, b):
        return a
    return Dim.atom(Term("max", *sorted((a, b), key=lambda d: d.key)))


def quotient(a: DimLike, b: DimLike) -> Dim:
    """a / b, exactly: a polynomial where the division comes out, else one with a divisor in it.

    The result need not be an integer; `solver.is_integer` says whether it is.
    """
    a, b = Dim.of(a), Dim.of(b)
    if b.constant is not None:
        if not b.constant:
            raise ZeroDivisionError("division by zero")
        return a * Fraction(1, b.constant)
    if len(b.terms) == 1:
        return a * power(b, -1)
    p, q, _ = cancel(a, b)
    if len(q.terms) == 1:
        return quotient(p, q)
    exact, rest = divide(p, q)
    if rest == ZERO:
        return exact
    scale = content(p)
    return Dim.atom(Term("/", p * (1 / Fraction(scale)), q)) * scale


def power(base: Dim, exponent: int) -> Dim:
    """base^exponent, for negative exponents too."""
    if exponent >= 0:
        return base**exponent
    if base.constant is not None:
        return Dim.of(Fraction(1, base.constant) ** -exponent)
    if len(base.terms) == 1:
        ((monomial, coefficient),) = base.terms.items()
        return polynomial({inverse(monomial): 1 / Fraction(coefficient)}) ** -exponent
    return quotient(ONE, base) ** -exponent


def build(op: str, p: Dim, q: Dim) -> Dim:
    """The value of a term with new operands."""
    return {"floor": floordiv, "ceil": ceildiv, "%": mod, "min": dim_min, "max": dim_max, "/": quotient}[op](p, q)


# --- floor and ceil --------------------------------------------------------------------------------------------


def _rounded(op: str, a: Dim, b: Dim) -> Dim:
    if a.constant is not None and b.constant is not None:
        return Dim.of(a.constant // b.constant if op == "floor" else -(-a.constant // b.constant))
    p, q, _ = cancel(a, b)
    p, q = _once(op, p, q)
    whole, p = _whole_part(op, p, q)
    if q == ONE and is_integral(p):
        return whole + p
    if p.constant is not None and q.constant is not None:
        return whole + (p.constant // q.constant if op == "floor" else -(-p.constant // q.constant))
    if op == "floor" and _surely_at_least(p, ZERO) and _surely_below(p, q):
        return whole
    if op == "ceil" and _surely_below(ZERO, p) and _surely_at_least(q, p):
        return whole + 1
    return whole + Dim.atom(Term(op, p, q))


def _once(op: str, p: Dim, q: Dim) -> tuple[Dim, Dim]:
    """floor((floor(x/a) + k)/c) = floor((x + k*a)/(a*c)) for integers k and c > 0, and the same of ceil."""
    if not isinstance(q.constant, int):
        return p, q
    for monomial, coefficient in p.terms.items():
        if coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1:
            inner = monomial[0][0]
            rest = p - Dim.atom(inner)
            if isinstance(inner, Term) and inner.op == op and is_integral(rest):
                try:
                    once = cancel(inner.p + rest * inner.q, inner.q * q)
                except DimTooLarge:
                    return p, q
                return _once(op, once[0], once[1])
    return p, q


def _whole_part(op: str, p: Dim, q: Dim) -> tuple[Dim, Dim]:
    """(s, r) with p = q*s + r, s integral: the part that leaves the rounding. Text stays close to what was written."""
    whole: dict[Monomial, Number] = {}
    if isinstance(q.constant, int):
        for monomial, coefficient in p.terms.items():
            if not monomial and isinstance(coefficient, int):
                whole[()] = coefficient // q.constant if op == "floor" else -(-coefficient // q.constant)
            elif isinstance(coefficient, int) and coefficient % q.constant == 0 and is_integral(Dim({monomial: 1})):
                whole[monomial] = coefficient // q.constant
    elif len(q.terms) == 1:
        ((divisor, by),) = q.terms.items()
        for monomial, coefficient in p.terms.items():
            part = {times(monomial, inverse(divisor)): integral(Fraction(coefficient) / by)}
            if is_integral(Dim(part)):
                whole.update(part)
    else:
        exact, rest = divide(p, q)
        if is_integral(exact) and (rest == ZERO or (_surely_at_least(rest, ZERO) and _surely_below(rest, q))):
            return exact, rest
    s = polynomial(whole)
    return s, p - q * s


# --- polynomials in a ratio ------------------------------------------------------------------------------------


def cancel(a: Dim, b: Dim) -> tuple[Dim, Dim, Dim]:
    """(p, q, c) with a = c*p, b = c*q: integer coefficients, no common factor or negative power, q > 0 where b > 0."""
    if b.constant == 0:
        raise ZeroDivisionError("division by zero")
    if a.constant == 0:
        return ZERO, ONE, b
    monomials = [dict(m) for d in (a, b) for m in d.terms]
    atoms = {atom for m in monomials for atom in m}
    lowest = [(atom, min(m.get(atom, 0) for m in monomials)) for atom in atoms]
    shared = monomial_of((atom, e) for atom, e in lowest if e < 0 or (e > 0 and _surely_below(ZERO, Dim.atom(atom))))
    scale = _gcd(content(a), content(b))
    if b.constant is not None and b.constant < 0:
        scale = -scale
    common = Dim({shared: integral(scale)})
    undo = power(common, -1)
    return a * undo, b * undo, common


def divide(p: Dim, q: Dim) -> tuple[Dim, Dim]:
    """(s, r) with p = q*s + r, where no term of r is divisible by q's leading term. r = 0 where q divides p.

    Negative powers may keep a division from ending: after MAX_TERMS steps what is left counts as rest.
    """
    leading = lead(q)
    whole, rest, left = ZERO, ZERO, p
    for _ in range(MAX_TERMS):
        if not left.terms:
            break
        monomial = lead(left)
        head = Dim({monomial: left.terms[monomial]})
        ratio = times(monomial, inverse(leading))
        if all(exponent > 0 for _, exponent in ratio):
            step = Dim({ratio: integral(Fraction(left.terms[monomial]) / q.terms[leading])})
            whole, left = whole + step, left - q * step
        else:
            rest, left = rest + head, left - head
    return whole, rest + left


def remainder(p: Dim, q: Dim) -> Dim:
    """What is left of p under `% q` when whole multiples of q are taken out."""
    if isinstance(q.constant, int):
        rest = dict(p.terms)
        for monomial, coefficient in p.terms.items():
            if isinstance(coefficient, int) and is_integral(Dim({monomial: 1})):
                rest[monomial] = coefficient % q.constant
        return polynomial(rest)
    exact, left = divide(p, q)
    return left if is_integral(exact) else p


def lead(p: Dim) -> Monomial:
    """The leading monomial: of highest degree, then by name."""
    return max(p.terms, key=lambda m: (sum(e for _, e in m), monomial_key(m)))


def content(p: Dim) -> Number:
    """The positive rational c for which p / c has coprime integer coefficients; 1 for p = 0."""
    result: Number = 0
    for coefficient in p.terms.values():
        result = _gcd(result, coefficient)
    return result or 1


def _gcd(a: Number, b: Number) -> Number:
    denominator = math.lcm(a.denominator, b.denominator)
    return integral(Fraction(math.gcd(int(a * denominator), int(b * denominator)), denominator))


# --- sure comparisons, by the bounds of the symbols alone ------------------------------------------------------


def _surely_at_least(a: Dim, b: Dim) -> bool:
    low, _ = interval(a - b)
    return low is not None and low >= 0


def _surely_below(a: Dim, b: Dim) -> bool:
    low, _ = interval(b - a)
    return low is not None and low > 0
