"""`--set name=value`: which of the names are hypers and which are settings, and what the values are."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.settings import DATA_KEYS, TRAIN_KEYS
from dlc.compiler.settings.overrides import parsed
from dlc.grammar import ast
from dlc.grammar.parse import parse

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "^": operator.pow,
}


def assignments(path: Path, model: str | None, texts: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Which of `--set`'s names are hypers, with their values, and which are settings of a block, with their texts.

    Raises DiagnosticError (T401) with the nearest name for one that is neither.
    """
    if not texts:
        return {}, {}
    hypers = _hypers_of(path, model)
    inputs = _inputs_of(path, model)
    values: dict[str, Any] = {}
    settings: dict[str, str] = {}
    found: list[Diagnostic] = []
    for name, text in texts.items():
        if name in hypers:
            try:
                values[name] = value_of(name, text)
            except DiagnosticError as error:
                found += error.diagnostics
        elif name in TRAIN_KEYS or name in DATA_KEYS or name in inputs:
            settings[name] = text
        else:
            found.append(_unknown(name, [*hypers, *TRAIN_KEYS, *DATA_KEYS]))
    if found:
        raise DiagnosticError(*found)
    return values, settings


def _unknown(name: str, known: list[str]) -> Diagnostic:
    near = did_you_mean(name, known)
    help = f"did you mean {near}?" if near else f"what can be set: {', '.join(dict.fromkeys(known))}"
    return Diagnostic("T401", f"--set {name}: there is no such hyper and no such setting", None, help=help)


def _statements(path: Path, model: str | None) -> Iterator[Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    file, _ = parse(text, str(path))
    for item in file.items:
        if isinstance(item, ast.Definition) and item.kind == "model" and model in (None, item.name.id):
            yield from item.parameters
            yield from item.body or ()


def _hypers_of(path: Path, model: str | None) -> list[str]:
    return [s.name.id for s in _statements(path, model) if isinstance(s, ast.Hyper | ast.Parameter)]


def _inputs_of(path: Path, model: str | None) -> list[str]:
    declared = [s for s in _statements(path, model) if isinstance(s, ast.Declaration) and s.kind in ("input", "target")]
    return [target.id for s in declared for target in s.targets if isinstance(target, ast.Name)]


def value_of(name: str, text: str) -> Any:
    """The value of a hyper from the command line: numbers, lists, words, and arithmetic of numbers. Raises T402."""
    found: list[Diagnostic] = []
    lines = parsed("train", {name: text}, found)
    if found:
        raise DiagnosticError(*found)
    if len(lines[0].values) != 1:
        help = f"a list is written in brackets: --set '{name}=[{text}]'"
        raise DiagnosticError(Diagnostic("T402", f"--set {name} takes one value, not {text}", lines[0].span, help=help))
    return _literal(lines[0].values[0], name, text)


def _literal(expr: Any, name: str, text: str) -> Any:
    match expr:
        case ast.Number() | ast.String():
            return expr.value
        case ast.Name(id="true" | "True"):
            return True
        case ast.Name(id="false" | "False"):
            return False
        case ast.Name():
            return expr.id
        case ast.ListExpr():
            return [_literal(item, name, text) for item in expr.items]
        case ast.Unary(op="-"):
            return -_number(expr.operand, name, text)
        case ast.Binary() if expr.op in OPERATORS:
            return _arithmetic(expr.op, _number(expr.left, name, text), _number(expr.right, name, text), expr, text)
    raise DiagnosticError(Diagnostic("T402", f"--set {name} takes a number, a word or a list, not {text}", expr.span))


def _number(expr: Any, name: str, text: str) -> Any:
    value = _literal(expr, name, text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DiagnosticError(Diagnostic("T402", f"--set {name}: {value!r} is not a number", expr.span))
    return value


def _arithmetic(op: str, left: Any, right: Any, expr: Any, text: str) -> Any:
    try:
        if op == "^" and abs(right) > 1000:
            raise OverflowError
        value = OPERATORS[op](left, right)
    except (ZeroDivisionError, OverflowError):
        raise DiagnosticError(Diagnostic("T402", f"{text} has no value", expr.span)) from None
    return int(value) if op == "/" and value == int(value) and isinstance(left, int) else value
