"""The rule of elementwise operations, where it differs from NumPy's, and what axes keep."""

from __future__ import annotations

import pytest

from dlc.compiler.dims import (
    Axis,
    Dim,
    Facts,
    Mismatch,
    Relation,
    Symbol,
    TensorType,
    Truth,
    broadcast,
    floordiv,
    same_sizes,
    scalar,
    tensor,
)

M, N, K = Symbol("m", "batch"), Symbol("n"), Symbol("k")
n, k = Dim.symbol(N), Dim.symbol(K)


def sizes(result: TensorType | Mismatch) -> tuple[Dim, ...]:
    assert isinstance(result, TensorType)
    return result.sizes


@pytest.mark.parametrize(
    ("type", "text"), [(tensor(64, M), "(64, m)"), (scalar(), "()"), (tensor(N), "(n)"), (tensor(2 * n, 1), "(2*n, 1)")]
)
def test_text(type: TensorType, text: str) -> None:
    assert str(type) == text


def test_equal_shapes_and_scalars() -> None:
    assert sizes(broadcast(tensor(64, M), tensor(64, M))) == (64, Dim.symbol(M))
    assert broadcast(scalar(), tensor(64, M)) == tensor(64, M)
    assert broadcast(tensor(64, M), scalar()) == tensor(64, M)
    assert broadcast(scalar("index"), scalar("index")) == scalar("index")


def test_a_written_one_broadcasts_and_a_computed_one_does_not() -> None:
    matrix, bias = tensor(N, M), tensor(N, 1)
    assert broadcast(matrix, bias) == broadcast(bias, matrix) == matrix
    computed = TensorType((Axis(n), Axis(Dim.of(1))))
    assert broadcast(matrix, computed) == Mismatch(1, 1, "size", Truth.UNKNOWN)
    assert broadcast(tensor(N, 5), computed) == Mismatch(1, 1, "size", Truth.NO)


def test_ranks_are_not_promoted() -> None:
    assert broadcast(tensor(N, M), tensor(M)) == Mismatch(None, None, "rank")
    assert broadcast(tensor(1, N, M), tensor(N, M)) == Mismatch(None, None, "rank")


def test_both_sides_may_not_broadcast_at_once() -> None:
    assert broadcast(tensor(N, 1), tensor(1, M)) == Mismatch(1, 0, "both broadcast")
    assert broadcast(tensor(1, M), tensor(N, 1)) == Mismatch(0, 1, "both broadcast")
    assert sizes(broadcast(tensor(1, 1), tensor(N, M))) == (n, Dim.symbol(M))


def test_the_first_disagreement_is_reported() -> None:
    assert broadcast(tensor(64, 3, M), tensor(64, 4, M)) == Mismatch(1, 1, "size", Truth.NO)
    assert broadcast(tensor(N, M), tensor(K, M)) == Mismatch(0, 0, "size", Truth.UNKNOWN)
    facts = Facts.empty.assume(Relation("==", n, k))
    assert isinstance(broadcast(tensor(N, M), tensor(K, M), facts), TensorType)


def test_names_are_the_left_operands_and_marks_need_both() -> None:
    left = TensorType((Axis(n, "q"), Axis(Dim.of(1), "left", one=True), Axis(Dim.of(1), one=True)))
    right = TensorType((Axis(n, "k"), Axis(k, "right"), Axis(Dim.of(1), "r", one=True)))
    result = broadcast(left, right)
    assert isinstance(result, TensorType)
    assert [axis.name for axis in result.axes] == ["q", "right", "r"]
    assert [axis.one for axis in result.axes] == [False, False, True]


def test_axes_are_found_by_name_and_by_size() -> None:
    attention = TensorType((Axis(n, "k"), Axis(n, "q"), Axis(Dim.symbol(M), "m")))
    assert attention.axis_named("q") == 1
    assert attention.axis_named("n") is None
    assert attention.axes_of_size(n) == (0, 1)
    assert attention.depends_on(M)
    assert not attention.depends_on(K)
    assert attention.rank == 3


def test_substitution_reaches_sizes_and_classes() -> None:
    words = tensor(floordiv(n, 2), M, kind="index", classes=k)
    known = words.substitute({N: 9, K: 100})
    assert known.sizes == (4, Dim.symbol(M))
    assert known.classes == 100
    assert known.kind == "index"


def test_equal_shapes_without_broadcasting() -> None:
    assert same_sizes(tensor(10, M), tensor(10, M)) is None
    assert same_sizes(tensor(10, M), tensor(1, M)) == Mismatch(0, 0, "size", Truth.NO)
    assert same_sizes(tensor(10, M), tensor(10)) == Mismatch(None, None, "rank")
