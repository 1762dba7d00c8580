"""YES must hold for all small sizes, NO must fail for all of them, and the questions that networks ask are decided."""

from __future__ import annotations

import pytest
from dim_strategies import GRID, Case, K, M, N, S, dimensions, divisors, polynomials
from hypothesis import given
from hypothesis import strategies as st

from dlc.compiler.dims import (
    Dim,
    Facts,
    Relation,
    Symbol,
    Truth,
    ceildiv,
    counterexample,
    decide,
    dim_max,
    dim_min,
    equal,
    floordiv,
    is_integer,
    less,
    less_equal,
    mod,
    positive,
    quotient,
    solve,
    solve_exactly,
)

n, k, s, m = map(Dim.symbol, (N, K, S, M))
YES, NO, UNKNOWN = Truth.YES, Truth.NO, Truth.UNKNOWN
OPS = ("==", "!=", "<", "<=", ">", ">=")


def know(*relations: tuple[Dim, str, Dim | int]) -> Facts:
    facts = Facts.empty
    for left, op, right in relations:
        facts = facts.assume(Relation(op, left, Dim.of(right)))
    return facts


@given(dimensions(), dimensions(), st.sampled_from(OPS))
def test_answers_are_sound(a: Case, b: Case, op: str) -> None:
    relation = Relation(op, a.dim, b.dim)
    truth = decide(relation)
    held = {relation.holds(values) for values in GRID}
    if truth is YES:
        assert held == {True}
    if truth is NO:
        assert held == {False}


@st.composite
def consistent_facts(draw: st.DrawFn) -> tuple[list[Relation], dict[Symbol, int]]:
    """Relations that all hold for the sizes given beside them: of the kinds that `require` and `if` state."""
    sizes = draw(st.sampled_from(GRID))
    relations = []
    for _ in range(draw(st.integers(1, 3))):
        left = draw(polynomials() | dimensions()).dim
        kind = draw(st.sampled_from(("value", "divides", "order", "order")))
        right = draw(polynomials()).dim
        if kind == "divides":
            left = mod(left, draw(divisors()).dim)
        if kind != "order":
            right = Dim.of(left.evaluate(sizes))
        true = [relation for o in OPS if (relation := Relation(o, left, right)).holds(sizes)]
        relations.append(draw(st.sampled_from(true)))
    return relations, sizes


@given(consistent_facts(), dimensions(), dimensions(), st.sampled_from(OPS))
def test_answers_under_facts_are_sound(
    known: tuple[list[Relation], dict[Symbol, int]], a: Case, b: Case, op: str
) -> None:
    relations, sizes = known
    facts = Facts.empty
    for relation in relations:
        facts = facts.assume(relation)
    assert not facts.contradictory
    for relation in relations:
        assert decide(relation, facts) is not NO
    admissible = [sizes, *(values for values in GRID if all(r.holds(values) for r in relations))]
    asked = Relation(op, a.dim, b.dim)
    truth = decide(asked, facts)
    held = {asked.holds(values) for values in admissible}
    if truth is YES:
        assert held == {True}
    if truth is NO:
        assert held == {False}
    whole = {a.meaning(values).denominator == 1 for values in admissible}
    assert is_integer(a.dim, facts) is UNKNOWN or whole == {is_integer(a.dim, facts) is YES}


@given(dimensions())
def test_is_integer_is_sound(case: Case) -> None:
    whole = {case.meaning(values).denominator == 1 for values in GRID}
    truth = is_integer(case.dim)
    assert truth is not YES or whole == {True}
    assert truth is not NO or whole == {False}


@given(dimensions(), dimensions())
def test_a_counterexample_differs(a: Case, b: Case) -> None:
    found = counterexample(a.dim, b.dim, limit=200)
    if found is not None:
        assert a.dim.evaluate(found) != b.dim.evaluate(found)
    elif equal(a.dim, b.dim) is NO:
        pytest.fail("different for every size, but no counterexample found")


@pytest.mark.parametrize(
    ("a", "b", "truth"),
    [
        (Dim.of(512), 512, YES),
        (Dim.of(512), 511, NO),
        (n, n + 1, NO),
        (n, k, UNKNOWN),
        (m, 1, UNKNOWN),
        (2 * n, 2 * k + 1, NO),
        (n * k, k * n, YES),
        (floordiv(n, 2) + ceildiv(n, 2), n, YES),
        (n - mod(n, k), k * floordiv(n, k), YES),
        (dim_min(n, k) + dim_max(n, k), n + k, YES),
        (quotient(n, k + 1) * (k + 1), n, YES),
        (16 * floordiv(n, 16), n, UNKNOWN),
        (n * k + 1, n, NO),
        (n * n + 1, 2 * n, UNKNOWN),
        (s, 4, NO),
    ],
)
def test_equal(a: Dim, b: Dim | int, truth: Truth) -> None:
    assert equal(a, b) is truth


def test_a_truth_is_never_a_bool() -> None:
    with pytest.raises(TypeError):
        bool(equal(n, k))


def test_divisibility_makes_floors_exact() -> None:
    facts = know((mod(n, 16), "==", 0))
    halves = n
    for _ in range(4):
        halves = floordiv(halves, 2)
    assert equal(16 * halves, n, facts) is YES
    assert is_integer(quotient(n, 16), facts) is YES
    assert is_integer(quotient(n, 32), facts) is UNKNOWN
    assert is_integer(quotient(n, k), know((mod(n, k), "==", 0))) is YES
    assert equal(mod(3 * n, k), 0, know((mod(n, k), "==", 0))) is YES


def test_a_unet_skip_needs_divisibility() -> None:
    """Two poolings and two up-convolutions give n back exactly where 4 divides n; the course's 250 does not."""
    down = floordiv(floordiv(n, 2), 2)
    up = 4 * down
    assert equal(up, n) is UNKNOWN
    assert equal(up.substitute({N: 250}), 250) is NO
    assert equal(up, n, know((mod(n, 4), "==", 0))) is YES
    assert counterexample(up, n) == {N: 1}


def test_multi_head_reassembly() -> None:
    """heads * (d_model/heads) is d_model again once heads divides it."""
    facts = know((mod(n, k), "==", 0))
    d = quotient(n, k)
    assert is_integer(d, facts) is YES
    assert equal(k * d, n, facts) is YES
    product = know((k * n, "==", 512))
    assert equal(n * k, 512, product) is YES
    assert is_integer(quotient(512, k), product) is YES


def test_a_convolution_has_positive_size_where_the_filter_fits() -> None:
    pad, f = Dim.symbol(Symbol("p", lower=0)), Dim.symbol(Symbol("f"))
    out = floordiv(n + 2 * pad - f, s) + 1
    assert positive(out) is UNKNOWN
    assert positive(out, know((n + 2 * pad, ">=", f))) is YES
    assert positive(floordiv(n - 5, 2) + 1, know((n, ">=", 5))) is YES
    assert positive(floordiv(n - 5, 2) + 1, know((n, "<", 5))) is NO


def test_orderings() -> None:
    assert less(n, n + k) is YES
    assert less(n + k, n) is NO
    assert less_equal(k, n * k) is YES
    assert less_equal(n, 5) is UNKNOWN
    facts = know((n, "<=", k), (k, "<", m))
    assert less(n, m, facts) is YES
    assert less_equal(n * s, k * s, facts) is YES
    assert less(mod(n, k), k) is YES


def test_facts_of_an_untaken_branch() -> None:
    assert know((n, "==", 3), (n, "!=", 3)).contradictory
    assert know((n, "<", k), (k, "<=", n)).contradictory
    assert not know((n, "!=", 3)).contradictory
    assert equal(n, 1, know((n, "!=", 1))) is NO
    assert equal(2 * n, 2 * k, know((n, "!=", k))) is NO


def test_counterexamples_respect_facts() -> None:
    assert counterexample(n, k) in ({N: 1, K: 2}, {N: 2, K: 1})
    assert counterexample(2 * n, n + n) is None
    found = counterexample(floordiv(n, 2), quotient(n, 4), know((mod(n, 4), "==", 0)))
    assert found is not None
    assert found[N] % 4 == 0
    assert counterexample(n, k, know((n * k, "==", 512))) == {K: 512, N: 1}


@pytest.mark.parametrize(
    ("pattern", "actual", "value"),
    [
        (8 * n, Dim.of(512), 64),
        (7 * n, Dim.of(512), None),
        (2 * n + 1, Dim.of(9), 4),
        (2 * n + 1, Dim.of(8), None),
        (k * n, k * m, m),
        (n + k, k + 3, 3),
        (n, Dim.of(0), None),
        (n * n, Dim.of(9), None),
        (floordiv(n, 2), Dim.of(4), None),
    ],
)
def test_solve(pattern: Dim, actual: Dim, value: Dim | int | None) -> None:
    assert solve(pattern, N, actual) == value


def test_solving_up_to_a_division() -> None:
    assert solve_exactly(7 * n, N, 512) == quotient(512, 7)
    assert solve_exactly(k * n, N, m) == quotient(m, k)
    assert solve(k * n, N, m) is None
    assert solve(k * n, N, m, know((mod(m, k), "==", 0))) == quotient(m, k)
