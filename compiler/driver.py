"""The pipeline on one page: text in, proved model out; proved model in, programs out."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Related
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.corners import prove_corners
from dlc.compiler.elaborate.definitions import prove_definitions
from dlc.compiler.elaborate.expressions import evaluate
from dlc.compiler.elaborate.library import Loader, Source, file_scope, library_sources
from dlc.compiler.elaborate.model import elaborate_model
from dlc.compiler.elaborate.names import check_names, note_own_names
from dlc.compiler.elaborate.optimizer import read_optimizer, regularization
from dlc.compiler.elaborate.report import LIBRARY, Findings
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.statements import Body
from dlc.compiler.elaborate.training import Programs, training_programs
from dlc.compiler.elaborate.values import Poison, Tensor
from dlc.compiler.ir import Builder, Node
from dlc.compiler.passes.erase import plain_type
from dlc.compiler.program import CheckedModel, Partial
from dlc.grammar import ast


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found. `checked` is the model asked for (or the only one), None where an error was found; `proved`
    are all that were checked, none where an error was found; `models` are the names of all models in the file;
    `sources` the texts that diagnostics point into; `partial` what is known of the models with errors."""

    diagnostics: list[Diagnostic]
    models: tuple[str, ...] = ()
    checked: CheckedModel | None = None
    sources: dict[str, str] = field(default_factory=dict)
    proved: tuple[CheckedModel, ...] = ()
    partial: tuple[Partial, ...] = ()


def check(
    path: Path | str,
    *,
    model: str | None = None,
    hypers: Mapping[str, Any] | None = None,
    root: Path | None = None,
    text: str | None = None,
    dense: frozenset[str] = frozenset(),
    corners: bool = True,
) -> CheckResult:
    """Parses, resolves and proves a file; never raises on what its text says.

    `hypers` override the model's hypers. `root` widens the folder that imports must stay in. `text` is used in place
    of the file's content. Without `model`, every model of the file is checked, and `checked` is the only one. Without
    `corners` the values that a search may try are left unproved.
    """
    path = Path(path)
    with deep_recursion(), without_collector():
        return _check(path, model, hypers or {}, root, text, dense, corners)


def _check(
    path: Path,
    model: str | None,
    hypers: Mapping[str, Any],
    root: Path | None,
    text: str | None,
    dense: frozenset[str],
    corners: bool,
) -> CheckResult:
    loader = Loader(root if root is not None else path.parent)
    source = loader.load(path, path.name if root is None and text is not None else str(path), text)
    findings = Findings(list(loader.found))
    if source is None:
        return CheckResult(findings.found, (), None, loader.sources)
    findings.found += _stray_blocks(source)
    models = [item for item in source.file.items if isinstance(item, ast.Definition) and item.kind == "model"]
    names = tuple(item.name.id for item in models)
    checked: list[CheckedModel] = []
    if _goes_on(loader):
        scope = file_scope(source, lambda file, names: constants(file, names, findings))
        prove_definitions(source, scope, findings, evaluate)
        for definition in _chosen(models, model, source, findings):
            blocks = _blocks(source, definition)
            elaborate = partial(
                elaborate_model,
                definition,
                scope,
                file=str(path),
                sources=loader.sources,
                data=blocks["data"],
                train=blocks["train"],
                dense=dense,
            )
            done = elaborate(hypers=hypers, findings=findings)
            if done is not None:
                checked.append(done)
                if corners:
                    _prove_corners(done, definition, hypers, elaborate, findings)
        check_names(source, scope, findings)
        note_own_names(source, findings)
    used = {d.span.file for d in findings.found if d.span} | {r.span.file for d in findings.found for r in d.related}
    if any(file.startswith(LIBRARY) for file in used):
        loader.sources.update(library_sources())
    proved = () if findings.failed else tuple(checked)
    alone = proved[0] if len(proved) == 1 else None
    return CheckResult(findings.found, names, alone, loader.sources, proved, tuple(findings.partial))


def programs(
    checked: CheckedModel,
    optimizer: ast.Expr | None = None,
    regularize: tuple[ast.Expr, ...] = (),
    clip: tuple[str, float] | None = None,
) -> Programs:
    """The programs that run, after all passes. Raises `DiagnosticError` where the train block is at fault."""
    return training_programs(checked, optimizer, regularize, clip)


def check_training(
    checked: CheckedModel, optimizer: ast.Expr | None, regularize: tuple[ast.Expr, ...] = ()
) -> list[Diagnostic]:
    """What is wrong with the optimizer and the regularizers of a `train:` block, found on one parameter each."""
    learned = [name for name, parameter in checked.parameters.items() if not parameter.frozen][:1]
    weights = [name for name, parameter in checked.parameters.items() if parameter.weight][:1]
    b = Builder()

    def leaf(name: str) -> Node:
        return b.typed("parameter", (), (("name", name),), plain_type(checked.parameters[name].type))

    try:
        read_optimizer(checked, optimizer).updates(b, {name: leaf(name) for name in learned})
        regularization(checked, b, regularize, {name: leaf(name) for name in weights})
    except DiagnosticError as error:
        return error.diagnostics
    return []


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Expressions are trees, up to 250 operators deep, in functions in layers: deeper than Python's usual limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 5_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@contextmanager
def without_collector() -> Iterator[None]:
    """A check makes much and drops little: the collector of cycles would walk through all of it over and over."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _prove_corners(
    checked: CheckedModel,
    definition: ast.Definition,
    given: Mapping[str, Any],
    elaborate: Callable[..., CheckedModel | None],
    findings: Findings,
) -> None:
    """Adds what is wrong at the edges of the search domains."""

    def errors(hypers: Mapping[str, Any]) -> list[Diagnostic]:
        found = Findings()
        elaborate(hypers={**given, **hypers}, findings=found)
        return [diagnostic for diagnostic in found.found if diagnostic.severity == "error"]

    for diagnostic in prove_corners(checked, definition, given, errors):
        findings.add(diagnostic)


def constants(source: Source, scope: Scope, findings: Findings) -> None:
    """Gives a file's scope its top-level constants."""
    equations = [item for item in source.file.items if isinstance(item, ast.Equation | ast.Broken)]
    Body(Context("evaluation", findings), evaluate, None, None).run(equations, scope)
    for name, value in scope.names.items():
        if isinstance(value, Tensor):
            message = f"{name} is a tensor: above the models stand numbers, lists and the like"
            findings.add(Diagnostic("N213", message, scope.places[name], help="write it in the model"))
            scope.names[name] = Poison()


def _chosen(
    models: list[ast.Definition], wanted: str | None, source: Source, findings: Findings
) -> list[ast.Definition]:
    if wanted is None:
        return models
    chosen = [item for item in models if item.name.id == wanted]
    if not chosen:
        names = [item.name.id for item in models]
        near = did_you_mean(wanted, names)
        help_text = f"did you mean {near}?" if near else f"its models are: {', '.join(names)}" if names else None
        place = models[0].name.span if models else None
        findings.add(Diagnostic("N212", f"the file has no model called {wanted}", place, help=help_text))
    return chosen


def _goes_on(loader: Loader) -> bool:
    """Whether the rest can be proved: the names that a broken statement would have defined are known not to be known.
    Those of a file that was not read, or of an import that is broken, may be any."""
    for mistake in loader.found:
        if mistake.severity != "error" or mistake.code == "N202":
            continue
        if mistake.code[0] != "S" or mistake.code in ("S024", "S025") or mistake.span is None:
            return False
        line = loader.sources[mistake.span.file].split("\n")[mistake.span.line - 1].lstrip()
        if line.startswith("import") and ('"' in line or "'" in line):
            return False
    return True


def _stray_blocks(source: Source) -> list[Diagnostic]:
    """Blocks that would count for nothing: above every model, or a second one of a kind."""
    found: list[Diagnostic] = []
    seen: dict[str, ast.Block] | None = None
    for item in source.file.items:
        if isinstance(item, ast.Broken) or (isinstance(item, ast.Definition) and item.kind == "model"):
            seen = {}
        if not isinstance(item, ast.Block):
            continue
        if seen is None:
            help = "a block belongs to the model above it: move it below the model"
            found.append(Diagnostic("N213", f"no model stands above this `{item.kind}:` block", item.span, help=help))
        elif item.kind in seen:
            first = Related("first here", seen[item.kind].span)
            found.append(Diagnostic("N202", f"the model has two `{item.kind}:` blocks", item.span, related=(first,)))
        else:
            seen[item.kind] = item
    return found


def _blocks(source: Source, definition: ast.Definition) -> dict[str, ast.Block | None]:
    """The `data:` and `train:` blocks that belong to a model: those below it, before the next model."""
    found: dict[str, ast.Block | None] = {"data": None, "train": None}
    inside = False
    for item in source.file.items:
        if isinstance(item, ast.Definition) and item.kind == "model":
            inside = item is definition
        elif isinstance(item, ast.Broken) and item.word == "model":
            inside = False
        elif isinstance(item, ast.Block) and inside:
            found[item.kind] = item
    return found


__all__ = ["CheckResult", "Programs", "check", "check_training", "constants", "programs"]
