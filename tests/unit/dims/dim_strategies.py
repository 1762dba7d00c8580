"""Random dimension expressions over three unknowns, with the meaning of each kept beside it as a Python function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from hypothesis import strategies as st

from dlc.compiler.dims import Dim, Symbol, ceildiv, dim_max, dim_min, floordiv, mod, quotient

N, K = Symbol("n"), Symbol("k")
S = Symbol("s", lower=1, upper=3)
M = Symbol("m", "batch")
SYMBOLS = (N, K, S, M)
GRID = [dict(zip(SYMBOLS, sizes, strict=True)) for sizes in product((1, 2, 3, 5), (1, 2, 4, 7), (1, 2, 3), (1, 3))]

Values = dict[Symbol, int]


@dataclass(frozen=True)
class Case:
    """A dimension and what it must evaluate to."""

    dim: Dim
    meaning: Callable[[Values], Fraction]


def _leaf() -> st.SearchStrategy[Case]:
    symbols = st.sampled_from(SYMBOLS).map(lambda s: Case(Dim.symbol(s), lambda v: Fraction(v[s])))
    numbers = st.integers(-9, 9).map(lambda i: Case(Dim.of(i), lambda v: Fraction(i)))
    return symbols | numbers


def _ring(cases: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    return (
        st.tuples(cases, cases).map(lambda t: Case(t[0].dim + t[1].dim, lambda v: t[0].meaning(v) + t[1].meaning(v)))
        | st.tuples(cases, cases).map(lambda t: Case(t[0].dim - t[1].dim, lambda v: t[0].meaning(v) - t[1].meaning(v)))
        | st.tuples(cases, cases).map(lambda t: Case(t[0].dim * t[1].dim, lambda v: t[0].meaning(v) * t[1].meaning(v)))
    )


def divisors() -> st.SearchStrategy[Case]:
    """Positive dimensions: what may stand under a fraction."""
    terms = st.lists(st.tuples(st.integers(1, 6), st.sampled_from((None, *SYMBOLS))), min_size=1, max_size=2)

    def case(parts: list[tuple[int, Symbol | None]]) -> Case:
        dim = Dim.of(0)
        for coefficient, symbol in parts:
            dim = dim + coefficient * (Dim.of(1) if symbol is None else Dim.symbol(symbol))
        return Case(dim, lambda v: Fraction(sum(c * (1 if s is None else v[s]) for c, s in parts)))

    return terms.map(case)


def _terms(cases: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    pairs, ratios = st.tuples(cases, cases), st.tuples(cases, divisors())
    return (
        ratios.map(lambda t: Case(floordiv(t[0].dim, t[1].dim), lambda v: Fraction(math.floor(_ratio(t, v)))))
        | ratios.map(lambda t: Case(ceildiv(t[0].dim, t[1].dim), lambda v: Fraction(math.ceil(_ratio(t, v)))))
        | ratios.map(lambda t: Case(mod(t[0].dim, t[1].dim), lambda v: t[0].meaning(v) % t[1].meaning(v)))
        | ratios.map(lambda t: Case(quotient(t[0].dim, t[1].dim), lambda v: _ratio(t, v)))
        | pairs.map(lambda t: Case(dim_min(t[0].dim, t[1].dim), lambda v: min(t[0].meaning(v), t[1].meaning(v))))
        | pairs.map(lambda t: Case(dim_max(t[0].dim, t[1].dim), lambda v: max(t[0].meaning(v), t[1].meaning(v))))
    )


def _ratio(pair: tuple[Case, Case], values: Values) -> Fraction:
    return pair[0].meaning(values) / pair[1].meaning(values)


def polynomials() -> st.SearchStrategy[Case]:
    return st.recursive(_leaf(), _ring, max_leaves=5)


def dimensions() -> st.SearchStrategy[Case]:
    """Polynomials with rounding terms, quotients, min and max inside."""
    return st.recursive(_leaf(), lambda cases: _ring(cases) | _terms(cases), max_leaves=6)
