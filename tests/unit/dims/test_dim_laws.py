"""The algebra against arithmetic: whatever is simplified must still evaluate to what was written."""

from __future__ import annotations

import pytest
from dim_strategies import GRID, SYMBOLS, Case, K, M, N, S, dimensions, polynomials
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from dlc.compiler.dims import Dim, DimTooLarge, Symbol, ceildiv, dim_max, dim_min, floordiv, mod, quotient
from dlc.compiler.dims.facts import canonical

n, k, s, m = map(Dim.symbol, (N, K, S, M))
f, p = Dim.symbol(Symbol("f")), Dim.symbol(Symbol("p", lower=0))


@given(dimensions())
def test_construction_keeps_the_value(case: Case) -> None:
    for values in GRID[::7]:
        assert case.dim.evaluate(values) == case.meaning(values)


@given(dimensions())
def test_the_canonical_form_keeps_the_value(case: Case) -> None:
    form = canonical(case.dim)
    for values in GRID[::7]:
        assert form.evaluate(values) == case.meaning(values)


@given(polynomials(), polynomials(), polynomials())
def test_ring_laws(a: Case, b: Case, c: Case) -> None:
    x, y, z = a.dim, b.dim, c.dim
    assert x + y == y + x
    assert x * y == y * x
    assert (x + y) + z == x + (y + z)
    assert (x * y) * z == x * (y * z)
    assert x * (y + z) == x * y + x * z
    assert x - x == 0
    assert x * 1 == x
    assert hash(x + y) == hash(y + x)
    assert x**3 == x * x * x


@settings(max_examples=60)
@given(dimensions(), st.dictionaries(st.sampled_from(SYMBOLS), polynomials(), max_size=2))
def test_substitution_is_evaluation_in_two_steps(case: Case, mapping: dict[Symbol, Case]) -> None:
    try:
        replaced = case.dim.substitute({symbol: value.dim for symbol, value in mapping.items()})
    except ZeroDivisionError:
        reject()  # a divisor became the constant 0: such a dimension has no meaning
    for values in GRID[::11]:
        inner = {**values, **{symbol: int(value.meaning(values)) for symbol, value in mapping.items()}}
        if any(symbol.lower > inner[symbol] or inner[symbol] > (symbol.upper or 10**9) for symbol in mapping):
            continue
        try:
            meaning = case.meaning(inner)
        except ZeroDivisionError:
            continue
        assert replaced.evaluate(values) == meaning


@pytest.mark.parametrize(
    ("made", "simple"),
    [
        (floordiv(4 * n, 2), 2 * n),
        (floordiv(2 * n + 1, 2), n),
        (ceildiv(2 * n + 1, 2), n + 1),
        (floordiv(floordiv(n, 2), 2), floordiv(n, 4)),
        (floordiv(n * s + k * s, s), n + k),
        (floordiv(n, n + 1), 0),
        (mod(4 * n, 2), 0),
        (mod(n * k, k), 0),
        (mod(2 * n + 7, 2), 1),
        (mod(6 * n, 4 * k), 2 * mod(3 * n, 2 * k)),
        (quotient(n * n - 1, n - 1), n + 1),
        (quotient(n, k) * k, n),
        (quotient(512, 8), 64),
        (dim_min(n, 1), 1),
        (dim_max(n + 1, n), n + 1),
        (dim_max(s, 3), 3),
    ],
)
def test_simplifications_that_are_sure(made: Dim, simple: Dim | int) -> None:
    assert made == simple


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (2 * n + 1, "2*n + 1"),
        (1 - n, "1 - n"),
        (Dim.symbol(Symbol("n[1]")) * m, "n[1]*m"),
        (floordiv(n + 2 * p - f, s) + 1, "floor((n + 2*p - f)/s) + 1"),
        (ceildiv(n, 2) * k, "ceil(n/2)*k"),
        (mod(n, 16), "n % 16"),
        (3 * mod(n, 2), "3*(n % 2)"),
        (quotient(n, k), "n/k"),
        (quotient(n + 1, 2), "(n + 1)/2"),
        (quotient(512, 7), "512/7"),
        (quotient(n, k * s), "n/(k*s)"),
        (n * n - 2 * n, "n^2 - 2*n"),
        (dim_min(n, k), "min(k, n)"),
        (n - n, "0"),
        (-n, "-n"),
    ],
)
def test_text(dim: Dim, text: str) -> None:
    assert str(dim) == text


def test_constants_are_exact() -> None:
    assert Dim.of(12).constant == 12
    assert isinstance(quotient(12, 4).constant, int)
    assert quotient(1, 2) + quotient(1, 2) == 1
    assert n.constant is None
    assert floordiv(n, k).symbols == {N, K}


def test_missing_values_and_zero_divisors_are_python_errors() -> None:
    with pytest.raises(KeyError):
        (n + k).evaluate({N: 1})
    for divide in (floordiv, ceildiv, mod, quotient):
        with pytest.raises(ZeroDivisionError):
            divide(n, 0)
    with pytest.raises(ValueError, match="negative"):
        _ = n**-1


def test_limits() -> None:
    with pytest.raises(DimTooLarge):
        _ = Dim.of(10) ** 31
    with pytest.raises(DimTooLarge):
        _ = Dim.of(2) ** 10**12
    with pytest.raises(DimTooLarge):
        _ = n**65
    total = Dim.of(0)
    for i in range(200):
        total = total + Dim.symbol(Symbol(f"n[{i}]"))
    with pytest.raises(DimTooLarge):
        _ = total + 1
    with pytest.raises(DimTooLarge):
        _ = total * total
    assert Dim.of(10) ** 30 == 10**30
