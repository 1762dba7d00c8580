"""Makes a safetensors file with the names and axes of a spec from the weights of another framework, by a map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Related
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.program import CheckedModel, places
from dlc.runtime.weights.header import REAL, TORCH, read_header
from dlc.runtime.weights.layouts import Misfit, arranged, filters_of, rearranged
from dlc.runtime.weights.names import COUNTER, ROLES, Rule
from dlc.runtime.weights.plan import Weights
from dlc.runtime.weights.torchfile import TorchFile
from dlc.runtime.weights.values import stored_values

Array = NDArray[Any]
MOST_TOLD = 10
"""Mistakes that one call tells."""


class Tensor(Protocol):
    """What is known of a tensor before its values are read."""

    @property
    def dtype(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class Source(Protocol):
    """A file of tensors by name."""

    @property
    def tensors(self) -> Mapping[str, Tensor]: ...

    def value(self, name: str) -> Array: ...


class SafetensorsFile:
    """The tensors of a safetensors file."""

    def __init__(self, path: Path) -> None:
        self._header = read_header(path, str(path), None)
        self._path = path

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        return self._header.tensors

    def value(self, name: str) -> Array:
        weights = Weights(self._path, str(self._path), None, {name: name})
        return next(array for _, array in stored_values(weights, self._header, weights.names))


def source_of(path: Path) -> Source:
    """A file of torch or a safetensors file, by its first bytes. Raises DiagnosticError R607, R612, R613."""
    if not path.is_file():
        raise DiagnosticError(Diagnostic("R607", f"there is no file {path}", None))
    try:
        with path.open("rb") as file:
            first = file.read(4)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DiagnosticError(Diagnostic("R607", f"{path} cannot be opened: {reason}", None)) from None
    return TorchFile(path) if first.startswith(TORCH) else SafetensorsFile(path)


@dataclass(slots=True)
class Converted:
    """The arrays by the spec's names, in its order; what the map leaves out, and what it gives no value."""

    arrays: dict[str, Array] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def converted(source: Source, checked: CheckedModel, rules: list[Rule], shown: str) -> Converted:
    """All tensors of a file, as the lines of a map say. Real values of 16 bits become 32.

    Raises DiagnosticError, ten at most: R610 (a shape), R611 (no real numbers), R614 (a name).
    """
    named = _Names(source, checked, rules, shown)
    result = Converted(left_out=named.left_out)
    filters = filters_of(checked)
    found = named.wrong
    for name, declaration in checked.tensors.items():
        if name not in named.origins:
            result.missing.append(name)
            continue
        there, rule = named.origins[name]
        try:
            if source.tensors[there].dtype not in REAL:
                raise _Unreal(f"{there} in {shown} is {source.tensors[there].dtype}")
            value = _real(source.value(there), f"{there} in {shown}")
            if rule.layout is not None:
                value = rearranged(value, declaration.shape, rule.layout)
            else:
                value = arranged(value, declaration.shape, name in filters)
        except Misfit as misfit:
            sizes = f"{there} is {source.tensors[there].shape} and {name} {declaration.shape}"
            found.append(Diagnostic("R610", f"{sizes}: {misfit}", rule.span))
            continue
        except _Unreal as mistake:
            help = f"leave it out: {there} -> -"
            found.append(Diagnostic("R611", str(mistake), rule.span, help=help))
            continue
        result.arrays[name] = np.array(value, order="C")
    if found:
        raise DiagnosticError(*_first(found))
    return result


class _Unreal(Exception):
    """A tensor does not hold finite real numbers."""


def _real(value: Array, what: str) -> Array:
    kept = value if value.dtype == np.float64 else value.astype(np.float32)
    if not np.isfinite(kept).all():
        raise _Unreal(f"{what} holds values that are not finite numbers")
    return kept


def _first(found: list[Diagnostic]) -> Iterator[Diagnostic]:
    yield from found[:MOST_TOLD]
    if len(found) > MOST_TOLD:
        last = found[MOST_TOLD]
        yield Diagnostic(last.code, f"and {len(found) - MOST_TOLD:,} more mistakes like these", None)


class _Names:
    """Which tensor of a file becomes which of the spec: `origins` has the file's name and the line of the map."""

    def __init__(self, source: Source, checked: CheckedModel, rules: list[Rule], shown: str) -> None:
        self.shown = shown
        self.names = frozenset(checked.tensors)
        self.origins: dict[str, tuple[str, Rule]] = {}
        self.left_out: list[str] = []
        self.wrong: list[Diagnostic] = []
        used: set[int] = set()
        for there in source.tensors:
            number, match = _line(rules, there)
            if match is None:
                self._unnamed(there)
                continue
            used.add(number)
            self._give(there, rules[number], *match)
        for number, rule in enumerate(rules):
            if number not in used:
                self._unused(rule, source.tensors)

    def _give(self, there: str, rule: Rule, target: str | None, rest: str) -> None:
        if target is None or rest == COUNTER:
            self.left_out.append(there)
            return
        own = self._own(target, rest)
        if len(own) != 1:
            self.wrong.append(self._homeless(there, rule, target, rest))
        elif own[0] in self.origins:
            other, first = self.origins[own[0]]
            related = (Related(f"{other} too", first.span),) if first is not rule else ()
            message = f"{own[0]} would be {there} and {other}"
            self.wrong.append(Diagnostic("R614", message, rule.span, related=related))
        else:
            self.origins[own[0]] = there, rule

    def _own(self, target: str, rest: str) -> list[str]:
        """The spec's tensors that may be meant: the one of this name, or those of the layer that have the role."""
        if not rest:
            return [target] if target in self.names else []
        return [name for role in ROLES[rest] if (name := f"{target}.{role}") in self.names]

    # --- mistakes ------------------------------------------------------------------------------------------------

    def _unnamed(self, there: str) -> None:
        message = f"no line of the map is about {there[:100]} of {self.shown}"
        help = "give it a line; `name -> -` leaves it out"
        self.wrong.append(Diagnostic("R614", message, None, help=help))

    def _unused(self, rule: Rule, names: Iterable[str]) -> None:
        near = did_you_mean(rule.text.partition("->")[0].strip(), places(list(names)[:500]))
        help = f"did you mean {near}?" if near else "for each tensor the first line counts that fits it"
        message = f"no tensor of {self.shown} falls to this line"
        self.wrong.append(Diagnostic("R614", message, rule.span, help=help))

    def _homeless(self, there: str, rule: Rule, target: str, rest: str) -> Diagnostic:
        inside = sorted(name for name in self.names if name.rpartition(".")[0] == target)
        if inside and rest:
            message = f"{there} is the {rest} of a layer, and {target} has {', '.join(inside)}"
            help = f"give it a line of its own, `{there} -> …`, or leave it out, `{there} -> -`"
            return Diagnostic("R614", message, rule.span, help=help)
        if inside:
            message = f"{there} is one tensor, and {target} is a layer of {', '.join(inside)}"
            return Diagnostic("R614", message, rule.span)
        near = did_you_mean(target, places(self.names))
        help = f"did you mean {near}?" if near else "`dlc show` lists the names of the spec"
        return Diagnostic("R614", f"the spec has nothing called {target}", rule.span, help=help)


def _line(rules: list[Rule], there: str) -> tuple[int, tuple[str | None, str] | None]:
    """The first line that fits a name."""
    for number, rule in enumerate(rules):
        match = rule.match(there)
        if match is not None:
            return number, match
    return -1, None
