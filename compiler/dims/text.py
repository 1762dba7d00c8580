"""The text of a dimension, in the course's manner and a stable order: `2*n + 1`, `n[1]*m`, `floor((n - f)/s) + 1`."""

from __future__ import annotations

from fractions import Fraction

from dlc.compiler.dims.poly import Atom, Dim, Monomial, Number, Term, monomial_of
from dlc.compiler.dims.symbol import Symbol

_LAST = {"runtime": 1, "batch": 2}


def text(dim: Dim) -> str:
    """Terms over one divisor stand together: `(n + 1)/k`."""
    groups: dict[tuple[Monomial, int], dict[Monomial, Number]] = {}
    for monomial, coefficient in dim.terms.items():
        below = monomial_of((atom, -exponent) for atom, exponent in monomial if exponent < 0)
        above = tuple((atom, exponent) for atom, exponent in monomial if exponent > 0)
        group = groups.setdefault((below, coefficient.denominator), {})
        group[above] = coefficient.numerator
    if not groups:
        return "0"
    ordered = sorted(groups.items(), key=lambda item: _group_order(item[1]))
    return _signed([_over(_sum(above), below, divisor) for (below, divisor), above in ordered])


def _group_order(above: dict[Monomial, Number]) -> tuple[object, ...]:
    return min(_order((monomial, coefficient)) for monomial, coefficient in above.items())


def _order(term: tuple[Monomial, Number]) -> tuple[object, ...]:
    """Highest degree first, sums before differences, by name, the constant last."""
    monomial, coefficient = term
    degree = sum(exponent for _, exponent in monomial)
    return (not monomial, coefficient < 0, -degree, tuple(_atom_order(atom) for atom, _ in monomial))


def _atom_order(atom: Atom) -> tuple[object, ...]:
    if isinstance(atom, Symbol):
        return (_LAST.get(atom.kind, 0), atom.name, atom.uid)
    return (-1, text_of_atom(atom), 0)


def _sum(terms: dict[Monomial, Number]) -> list[str]:
    return [_product(monomial, coefficient) for monomial, coefficient in sorted(terms.items(), key=_order)]


def _signed(parts: list[str]) -> str:
    if parts[0].startswith("-") and not parts[-1].startswith("-"):
        parts = [parts[-1], *parts[:-1]]
    result = parts[0]
    for part in parts[1:]:
        result += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
    return result


def _over(above: list[str], below: Monomial, divisor: int) -> str:
    divisors = ([str(divisor)] if divisor != 1 else []) + _powers(below)
    if not divisors:
        return _signed(above)
    top = above[0] if len(above) == 1 else f"({_signed(above)})"
    return f"{top}/{divisors[0]}" if len(divisors) == 1 else f"{top}/({'*'.join(divisors)})"


def _product(monomial: Monomial, coefficient: Number) -> str:
    if coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1:
        return text_of_atom(monomial[0][0])
    sign = "-" if coefficient < 0 else ""
    size = abs(coefficient)
    factors = ([str(size)] if size != 1 or not monomial else []) + _powers(monomial)
    return sign + "*".join(factors)


def _powers(monomial: Monomial) -> list[str]:
    ordered = sorted(monomial, key=lambda power: _atom_order(power[0]))
    return [_factor(atom) if exponent == 1 else f"{_factor(atom)}^{exponent}" for atom, exponent in ordered]


def _factor(atom: Atom) -> str:
    name = text_of_atom(atom)
    return f"({name})" if isinstance(atom, Term) and atom.op in ("%", "/") else name


def text_of_atom(atom: Atom) -> str:
    """`n[1]`, `floor(n/2)`, `n % 2`, `min(a, b)`"""
    if isinstance(atom, Symbol):
        return atom.name
    if atom.op in ("min", "max"):
        return f"{atom.op}({atom.p}, {atom.q})"
    p, q = _operand(atom.p), _operand(atom.q)
    if atom.op == "%":
        return f"{p} % {q}"
    return f"{p}/{q}" if atom.op == "/" else f"{atom.op}({p}/{q})"


def _operand(dim: Dim) -> str:
    simple = dim.constant is not None and isinstance(dim.constant, int) and dim.constant >= 0
    if not simple and len(dim.terms) == 1:
        ((monomial, coefficient),) = dim.terms.items()
        plain = all(exponent > 0 for _, exponent in monomial) and not isinstance(coefficient, Fraction)
        simple = plain and len(monomial) == 1 and coefficient == 1
    return str(dim) if simple else f"({dim})"
