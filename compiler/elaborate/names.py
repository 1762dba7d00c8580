"""Definitions that no model uses: their names are checked all the same.

What a model uses is elaborated, with sizes; the rest of a file is read for names that stand for nothing. A name counts
as known where the definition binds it anywhere, so that only what cannot be meant is reported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, Related
from dlc.compiler.elaborate.habits import for_unknown
from dlc.compiler.elaborate.library import Source, standard_names
from dlc.compiler.elaborate.over import WORDS
from dlc.compiler.elaborate.primitives import CONSTANTS, PRIMITIVES
from dlc.compiler.elaborate.report import Findings
from dlc.compiler.elaborate.scope import Scope
from dlc.grammar import ast
from dlc.grammar.span import Span

AMBIENT = {
    "model": ("m",),
    "layer": ("m",),
    "function": ("m",),
    "optimizer": ("W", "dW", "m", "t", "step", "epoch"),
    "schedule": ("m", "t", "step", "epoch"),
    "initializer": ("fan_in", "fan_out"),
    "regularizer": ("W", "m", "t", "step", "epoch"),
}
"""What a definition may read without being given it."""
_PATTERNS = ("einsum", "rearrange", "generate")
"""Calls whose arguments bind names of their own."""
_WORDS = ("over", "shape", "by")
"""Arguments that name axes or ways of doing something."""


def note_own_names(source: Source, findings: Findings) -> None:
    """A definition of the file, or of one that it imports, wins over the library's of the same name; a note says so."""
    library = set(standard_names()) | set(PRIMITIVES)
    noted: set[Path] = set()

    def note(file: Source, related: tuple[Related, ...]) -> None:
        noted.add(file.path)
        for name, definition in file.definitions.items():
            if name in library and definition.kind != "model":
                message = f"{name} is the file's own here: it takes the place of the standard library's"
                findings.add(Diagnostic("N215", message, definition.name.span, "note", related=related))
        for item, imported in file.imports:
            if imported.path not in noted:
                note(imported, related or (Related("imported here", item.span),))

    note(source, ())


def check_names(source: Source, scope: Scope, findings: Findings) -> None:
    """Reports the unknown names in every definition of the file that is no model, and in a model's choices: the side
    that is not taken is not elaborated. Of a model with errors some lines were not elaborated to their end either."""
    own = [name for name, definition in source.definitions.items() if definition.kind != "model"]
    every = [text for name in source.definitions for text in (source.definitions[name], *source.others.get(name, ()))]
    failed: dict[int, list[Span]] = defaultdict(list)
    for error in findings.found:
        if error.severity == "error" and error.span is not None and error.span.line == error.span.end_line:
            failed[error.span.line].append(error.span)
    for definition in every:
        bound = {*CONSTANTS, *AMBIENT[definition.kind], *_bound(definition)}
        texts: Iterable[Any] = (definition,)
        if definition.kind == "model":
            texts = _values(definition) if findings.failed else _choices(definition)
        for name in (name for text in texts for name in _read(text)):
            if any(place.column <= name.span.column < place.end_column for place in failed[name.span.line]):
                continue  # an error stands there already
            if name.id not in bound and scope.find(name.id) is None and name.id not in PRIMITIVES:
                near = findings.suggestion(name.id, [*bound, *scope.names, *own, *standard_names(), *PRIMITIVES])
                help = for_unknown(name.id, near)
                findings.add(Diagnostic("N201", f"unknown name {name.id}", name.span, help=help))


def _values(tree: Any) -> Iterator[Any]:
    """The statements of a model that give values, and the values themselves where a name stands beside them."""
    for part in parts(tree):
        match part:
            case ast.Equation() | ast.Draw() | ast.StateUpdate() | ast.Loss():
                yield part
            case ast.Metric(value=value) | ast.Output(value=value):
                yield value
            case ast.Hyper() | ast.Freeze() | ast.Load():
                continue
            case _:
                yield from _values(part)


def _choices(tree: Any) -> Iterator[Any]:
    """The choices that are made before anything runs, the outermost only."""
    for part in parts(tree):
        if isinstance(part, ast.If | ast.When | ast.Conditional):
            yield part
        else:
            yield from _choices(part)


def parts(tree: Any) -> Iterator[Any]:
    """The trees directly inside a tree, in the order of the text."""
    for field in fields(tree):
        value = getattr(tree, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, ast.Tree):
                yield item


def _bound(tree: Any) -> Iterator[str]:
    """Every name that a definition binds: arguments, targets, loop variables, and the new names of patterns."""
    match tree:
        case ast.Parameter(name=name, shape=shape):
            yield name.id
            yield from _all(shape)
        case ast.Declaration(kind="input", targets=targets, shape=shape):
            yield from _targets(targets)
            yield from _all(shape)
        case ast.Declaration(targets=targets) | ast.Equation(targets=targets) | ast.Draw(targets=targets):
            yield from _targets(targets)
        case ast.For(targets=targets) | ast.DimDecl(names=targets) | ast.Broken(names=targets):
            yield from _targets(targets)
        case ast.Hyper(name=name):
            yield name.id
        case ast.Scan(name=name) | ast.Output(name=ast.Name() as name) | ast.Apply(name=ast.Name() as name):
            yield name.id
        case ast.NamedAxis(name=name):
            yield name.id
    for part in parts(tree):
        yield from _bound(part)


def _targets(targets: tuple[ast.Expr, ...]) -> Iterator[str]:
    for target in targets:
        base = target
        while isinstance(base, ast.Index | ast.TimeIndex):
            base = base.base
        if isinstance(base, ast.Name):
            yield base.id


def _all(tree: Any) -> Iterator[str]:
    if isinstance(tree, ast.Name):
        yield tree.id
    for part in parts(tree) if tree is not None else ():
        yield from _all(part)


def _read(tree: Any) -> Iterator[ast.Name]:
    """Every name that a definition reads."""
    match tree:
        case ast.Name():
            yield tree
        case ast.Broken():
            return
        case ast.Call(function=ast.Name(id=name)) if name in _PATTERNS:
            return
        case ast.Argument(name=name, value=value):
            if name is None or name.id not in _WORDS:
                yield from _read(value)
        case ast.Attribute(base=base):
            yield from _read(base)
        case ast.NamedAxis(size=size):
            yield from _read(size)
        case ast.Parameter(default=default):
            if isinstance(default, ast.Tree) and not (isinstance(default, ast.Name) and default.id in WORDS):
                yield from _read(default)
        case ast.Definition(parameters=parameters, body=body, value=value):
            for part in (*parameters, *(body or ()), *((value,) if value is not None else ())):
                yield from _read(part)
        case ast.Declaration(shape=shape, initializer=initializer):
            for part in (shape, initializer):
                if part is not None:
                    yield from _read(part)
        case _:
            for part in parts(tree):
                yield from _read(part)
