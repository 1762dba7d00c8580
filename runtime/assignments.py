"""`--set name=value`: which of the names are hypers and which are settings of a block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.settings import DATA_KEYS, TRAIN_KEYS
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.parse import parse


def assignments(path: Path, model: str | None, texts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The hypers and the settings among the given names, each with its text; a hyper wins where both have the name.

    Raises DiagnosticError (T401) with the nearest name for one that is neither. Of a file that cannot be read, or not
    all of it, nothing is known to be missing: what is wrong with it is the check's to say.
    """
    items, whole = _items(path)
    statements = list(_statements(items, model))
    hypers = [s.name.id for s in statements if isinstance(s, ast.Hyper | ast.Parameter)]
    known = [*hypers, *TRAIN_KEYS, *DATA_KEYS, *_inputs(statements)]
    if (unknown := [name for name in texts if name not in known]) and whole:
        optimizer = _optimizer(items)
        raise DiagnosticError(*(_unknown(name, texts[name], known, optimizer) for name in unknown))
    settings = {name: text for name, text in texts.items() if name in known and name not in hypers}
    return {name: text for name, text in texts.items() if name in hypers}, settings


def _items(path: Path) -> tuple[Sequence[ast.Tree], bool]:
    """What stands in a file, as far as it can be read, and whether that is all of it."""
    try:
        tree, problems = parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError):
        return (), False
    return tree.items, not problems


def _statements(items: Sequence[ast.Tree], model: str | None) -> Iterator[ast.Statement | ast.Parameter]:
    """Everything in the bodies of the file's models."""
    for item in items:
        if isinstance(item, ast.Definition) and item.kind == "model" and model in (None, item.name.id):
            yield from item.parameters
            yield from item.body or ()


def _inputs(statements: list[ast.Statement | ast.Parameter]) -> list[str]:
    declared = [s for s in statements if isinstance(s, ast.Declaration) and s.kind in ("input", "target")]
    return [target.id for s in declared for target in s.targets if isinstance(target, ast.Name)]


def _optimizer(items: Sequence[ast.Tree]) -> ast.Call | None:
    """The optimizer that the first `train:` block calls."""
    for item in items:
        for setting in item.settings if isinstance(item, ast.Block) and item.kind == "train" else ():
            if setting.name.id == "optimizer" and isinstance(setting.values[0], ast.Call):
                return setting.values[0]
    return None


def _unknown(name: str, text: str, known: list[str], optimizer: ast.Call | None) -> Diagnostic:
    near = did_you_mean(name, known)
    help = f"did you mean {near}?" if near else f"what can be set: {', '.join(dict.fromkeys(known))}"
    if optimizer is not None and name in [argument.name.id for argument in optimizer.arguments if argument.name]:
        call = unparse(optimizer.function)
        help = f"{name} is an argument of the optimizer: --set 'optimizer={call}({name} = {text})'"
    return Diagnostic("T401", f"--set {name}: there is no such hyper and no such setting", None, help=help)
