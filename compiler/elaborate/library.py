"""Where names of definitions come from: the file itself, its imports, and the standard library.

The library is `.dl` text in `specs/std/`. It is indexed by its header lines and parsed one definition at a time, so
that a check pays for what a file uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, Edit, Related
from dlc.compiler.elaborate.overloads import overloads
from dlc.compiler.elaborate.report import LIBRARY
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import Function, Layer
from dlc.grammar import ast
from dlc.grammar.parse import parse, parse_definitions
from dlc.grammar.problems import Problem

_HEADER = re.compile(r"^(layer|function|optimizer|schedule|initializer|regularizer)\s+([^\W\d]\w*)", re.MULTILINE)
_LARGEST_FILE = 4_000_000


@dataclass(frozen=True, slots=True)
class _Slice:
    """One definition of the library before it is parsed."""

    file: str
    text: str
    line: int


@lru_cache(maxsize=1)
def _index() -> dict[str, list[_Slice]]:
    folder = Path(__file__).resolve().parents[2] / "specs" / "std"
    index: dict[str, list[_Slice]] = {}
    for path in sorted(folder.glob("*.dl")):
        text = path.read_text(encoding="utf-8")
        starts = list(_HEADER.finditer(text))
        ends = [match.start() for match in starts[1:]] + [len(text)]
        for match, end in zip(starts, ends, strict=True):
            line = text.count("\n", 0, match.start()) + 1
            index.setdefault(match.group(2), []).append(_Slice(LIBRARY + path.name, text[match.start() : end], line))
    return index


def standard_names() -> list[str]:
    """The names of the standard library."""
    return list(_index())


def library_sources() -> dict[str, str]:
    """The library's files by the names that diagnostics give them."""
    folder = Path(__file__).resolve().parents[2] / "specs" / "std"
    return {LIBRARY + path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.dl"))}


@lru_cache(maxsize=256)
def _definitions(name: str) -> tuple[ast.Definition, ...]:
    """The definitions of a name of the library: several where layers differ in the place of m."""
    found = []
    for part in _index().get(name, ()):
        file, problems = parse_definitions(part.text, part.file, part.line)
        assert not problems, problems
        found += [item for item in file.items if isinstance(item, ast.Definition)]
    return tuple(found)


@lru_cache(maxsize=1)
def library_scope() -> Scope:
    """The scope of the library's own definitions: they see each other and nothing else."""
    scope = Scope(kind="file")
    cache: dict[str, Any] = {}

    def lookup(name: str) -> Any:
        if name not in cache:
            found = _definitions(name)
            cache[name] = as_value(found[0], scope, found[1:]) if found else None
        return cache[name]

    scope.lookup = lookup
    return scope


def as_value(definition: ast.Definition, scope: Scope, others: tuple[ast.Definition, ...] = ()) -> Any:
    """What the name of a definition stands for; `others` are its definitions for other places of m."""
    layer = definition.kind in ("layer", "optimizer")
    return Layer(definition, scope, others) if layer else Function(definition, scope, others=others)


@dataclass(slots=True)
class Source:
    """A parsed file with everything it imports. `others` holds the further definitions of a name, for other places of
    m."""

    path: Path
    file: ast.File
    text: str
    definitions: dict[str, ast.Definition] = field(default_factory=dict)
    imports: list[tuple[ast.Import, Source]] = field(default_factory=list)
    others: dict[str, list[ast.Definition]] = field(default_factory=dict)


def diagnostic_of(problem: Problem) -> Diagnostic:
    """A syntax problem as a diagnostic."""
    return Diagnostic(
        problem.code,
        problem.message,
        problem.span,
        "error",
        problem.label,
        tuple(Related(text, span) for text, span in problem.related),
        None,
        problem.help,
        tuple(Edit(span, text) for span, text in problem.fix),
    )


class Loader:
    """Reads a file and its imports. Paths stay inside `root`; a file that imports itself is read once."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.found: list[Diagnostic] = []
        self.sources: dict[str, str] = {}
        self._loaded: dict[Path, Source] = {}

    def load(self, path: Path, shown: str, text: str | None = None) -> Source | None:
        """The parsed file; None where it cannot be read (a diagnostic says why)."""
        if text is None:
            text = self._read(path, shown, None)
            if text is None:
                return None
        self.sources[shown] = text
        file, problems = parse(text, shown)
        self.found += [diagnostic_of(problem) for problem in problems]
        source = Source(path, file, text)
        self._loaded[path.resolve()] = source
        for item in file.items:
            if isinstance(item, ast.Definition):
                self._define(source, item)
            elif isinstance(item, ast.Import):
                self._import(source, item, shown)
        return source

    def _read(self, path: Path, shown: str, item: ast.Import | None) -> str | None:
        span = item.path.span if item is not None else None
        try:
            if path.stat().st_size > _LARGEST_FILE:
                self.found.append(Diagnostic("D118", f"{shown} is too large for a spec", span))
                return None
            return path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            self.found.append(Diagnostic("N210", f"{shown} is not UTF-8 text (byte {error.start})", span))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self.found.append(Diagnostic("N210", f"cannot read {shown}: {reason}", span))
        return None

    def _define(self, source: Source, item: ast.Definition) -> None:
        name = item.name.id
        if name not in source.definitions:
            source.definitions[name] = item
            return
        before = [source.definitions[name], *source.others.get(name, [])]
        clash = next((other for other in before if not overloads(item, other)), None)
        if clash is None:
            source.others.setdefault(name, []).append(item)
            return
        layers = item.kind == clash.kind == "layer"
        rule = "two definitions of a layer take the same arguments, and their inputs differ in the place of m"
        related = (Related("first here", clash.name.span),)
        self.found.append(
            Diagnostic(
                "N202", f"{name} is defined twice", item.name.span, related=related, rule=rule if layers else None
            )
        )

    def _import(self, source: Source, item: ast.Import, shown: str) -> None:
        path = (source.path.parent / item.path.value).resolve()
        if not path.is_relative_to(self.root):
            self.found.append(
                Diagnostic(
                    "N210",
                    f"{item.path.value} lies outside the folder {self.root.name}/",
                    item.path.span,
                    help="keep imports inside the folder of the file that is checked, or widen it with --root",
                )
            )
            return
        loaded = self._loaded.get(path)
        if loaded is None:
            text = self._read(path, item.path.value, item)
            if text is None:
                return
            folder = str(Path(shown).parent)
            name = item.path.value if folder == "." else f"{folder}/{item.path.value}"
            loaded = self.load(path, name, text)
        if loaded is not None:
            self._clash(source, item, loaded)
            source.imports.append((item, loaded))

    def _clash(self, source: Source, item: ast.Import, new: Source) -> None:
        for other, before in source.imports:
            if before is new:
                continue
            for name in sorted(set(before.definitions) & set(new.definitions)):
                if name not in source.definitions:
                    self.found.append(
                        Diagnostic(
                            "N211",
                            f"{name} is defined by two imports",
                            item.span,
                            related=(Related(f"this import defines {name} too", other.span),),
                        )
                    )


def file_scope(source: Source, constants: Callable[[Source, Scope], None], seen: Sequence[Path] = ()) -> Scope:
    """The names a file's definitions see: its own, then its imports', then the library's. `constants` gives a file's
    scope the values of its top-level equations."""
    scope = Scope(kind="file")
    cache: dict[str, Any] = {}
    inner = [*seen, source.path]
    imported = [file_scope(other, constants, inner) for _, other in source.imports if other.path not in inner]

    def lookup(name: str) -> Any:
        if name not in cache:
            cache[name] = find(name)
        return cache[name]

    def find(name: str) -> Any:
        own = source.definitions.get(name)
        if own is not None:
            others = tuple(source.others.get(name, ()))
            return as_value(own, scope, others) if own.kind != "model" else None
        for other in imported:
            found = other.names.get(name) if name in other.names else (other.lookup(name) if other.lookup else None)
            if found is not None:
                return found
        return library_scope().find(name)

    scope.lookup = lookup
    constants(source, scope)
    return scope
