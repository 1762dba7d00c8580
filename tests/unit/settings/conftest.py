"""Reads the text of a block as the command would, with a small compile-time evaluator in the elaborator's place."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import pytest

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.settings import DataSettings, TrainSettings, read_data, read_train
from dlc.grammar import ast
from dlc.grammar.parse import parse

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": Fraction, "^": operator.pow}


def evaluate(expr: ast.Expr) -> Any:
    """Numbers, the hyper `size = 32`, and arithmetic; every other name is N101."""
    match expr:
        case ast.Number():
            return expr.value
        case ast.Unary():
            return -evaluate(expr.operand)
        case ast.Binary():
            return OPERATORS[expr.op](evaluate(expr.left), evaluate(expr.right))
        case ast.Name(id="size"):
            return 32
    raise DiagnosticError(Diagnostic("N101", "not known", expr.span))


def block(text: str) -> ast.Block | None:
    tree, problems = parse(text, "net.dl")
    assert not problems
    return next((item for item in tree.items if isinstance(item, ast.Block)), None)


@pytest.fixture
def train() -> Callable[..., tuple[TrainSettings, list[Diagnostic]]]:
    def read(*lines: str, overrides: Mapping[str, str] | None = None, **more: Any) -> Any:
        text = "train:\n" + "".join(f"    {line}\n" for line in lines) if lines else ""
        return read_train(block(text), evaluate, overrides, **more)

    return read


@pytest.fixture
def data() -> Callable[..., tuple[DataSettings | None, list[Diagnostic]]]:
    def read(*lines: str, **more: Any) -> Any:
        text = "data:\n" + "".join(f"    {line}\n" for line in lines)
        return read_data(block(text), evaluate, **more)

    return read
