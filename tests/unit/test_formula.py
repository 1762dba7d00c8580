"""Formulas as text: the ops' derivatives and the rewriting rules are read from them."""

from __future__ import annotations

import pytest

from dlc.compiler.dims import Symbol, tensor
from dlc.compiler.ir import Builder
from dlc.compiler.ir.formula import Apply, Number, Variable, formula

M = Symbol("m", "batch")


def test_operators_calls_and_attributes() -> None:
    x, y = Variable("x"), Variable("y")
    assert formula("-x + 2 * y") == Apply("add", (Apply("neg", (x,)), Apply("mul", (Number(2.0), y))))
    assert formula("x @ y.T") == Apply("matmul", (x, Apply("transpose", (y,))))
    assert formula("x ** -1") == Apply("pow", (x, Number(-1.0)))
    assert formula("sum(x, axes=k)") == Apply("sum", (x,), (("axes", Variable("k")),))
    assert formula("drop(x, axes=(0, 1))") == Apply("drop", (x,), (("axes", (0, 1)),))
    assert formula("select(not (x > 0), y, 0)").operands[0] == Apply("not", (Apply("gt", (x, Number(0.0))),))


def test_building_equals_calling_the_builder() -> None:
    b = Builder()
    x = b.typed("input", (), (("name", "x"),), tensor(3, M))
    built = formula("sum(x / 2, axes=k)").build(b, {"x": x, "k": (0,)})
    assert built is b.add("sum", b.add("div", x, b.constant(2.0)), axes=(0,))


def test_what_is_no_formula_is_refused() -> None:
    with pytest.raises(ValueError, match="not a formula"):
        formula("[x for x in y]")
