"""Holds the header of a weights file against the places that a `load` line names.

    load backbone from "vgg19.safetensors"

The file may come from this network, from one that has the same part, or hold that part alone. So the values of
`backbone.conv[1].W` are looked for under the place itself, then under the bare names (`conv[1].W`), then under the one
other place that has all names with all shapes (`features.conv[1].W`), with a warning: it may be another part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Related
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.elaborate.report import LIBRARY
from dlc.compiler.program import CheckedModel, covers, places
from dlc.grammar.span import Span
from dlc.runtime.data.paths import located, neighbour
from dlc.runtime.weights.header import REAL, Header, read_header

SHOWN = 3
"""Names that one message lists."""
MOST_COMPARED = 1000
"""Names among which the one that was meant is looked for."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A file, and by the model's names those that its values have there."""

    path: Path
    shown: str
    span: Span | None
    names: Mapping[str, str]


def planned(checked: CheckedModel, folder: Path, root: Path | None = None) -> tuple[list[Weights], list[Diagnostic]]:
    """What the `load` lines of a model read, by the headers of their files. Paths start in `folder`, and stay inside
    `root` (by default `folder`). Finds R607 to R612."""
    weights: list[Weights] = []
    found: list[Diagnostic] = []
    for load in checked.loads:
        try:
            path = located(load.path, load.path_span, folder, root, code="R607", what="weights")
            header = read_header(path, load.path, load.path_span)
        except DiagnosticError as error:
            found += error.diagnostics
            continue
        names, wrong = matched(checked, load.places, header, load.path)
        found += wrong
        weights.append(Weights(path, load.path, load.span, names))
    return weights, found


def asked(checked: CheckedModel, path: Path, place: str) -> tuple[Weights, list[Diagnostic]]:
    """What a file has for a place of a model, and warnings (R609). Raises DiagnosticError N201, R607 to R612."""
    declared = checked.tensors
    if not any(covers(place, name) for name in declared):
        near = did_you_mean(place, places(declared))
        help = f"did you mean {near}?" if near else None
        raise DiagnosticError(Diagnostic("N201", f"no parameter or state is called {place or 'all'}", None, help=help))
    if not path.is_file():
        if path.is_dir():
            best = path / "best.safetensors"
            help = f"a saved model has its weights in {best}" if best.is_file() else None
            raise DiagnosticError(Diagnostic("R607", f"{path} is a folder, not a file", None, help=help))
        raise DiagnosticError(Diagnostic("R607", f"there is no file {path}", None, help=neighbour(path)[0]))
    names, found = matched(checked, [(place, None)], read_header(path, str(path), None), str(path))
    if wrong := [diagnostic for diagnostic in found if diagnostic.severity == "error"]:
        raise DiagnosticError(*wrong)
    return Weights(path, str(path), None, names), [found_ for found_ in found if found_.severity == "warning"]


def matched(
    checked: CheckedModel, places: Iterable[tuple[str, Span | None]], header: Header, shown: str
) -> tuple[dict[str, str], list[Diagnostic]]:
    """By the model's names those of the file, for all that stands under the places; and what does not fit."""
    names: dict[str, str] = {}
    found: list[Diagnostic] = []
    for place, span in places:
        part = Part(checked, place, span, header, shown)
        if part.wanted:
            names |= part.names
            found += part.findings()
    return names, found


class Part:
    """One place after `load`, and where in the file it stands."""

    def __init__(self, checked: CheckedModel, place: str, span: Span | None, header: Header, shown: str) -> None:
        self.checked, self.place, self.span, self.header, self.shown = checked, place, span, header, shown
        declared = self.declared = checked.tensors
        self.wanted = {name: self._inside(name) for name in declared if covers(place, name)}
        self.under = self._where()
        self.names = {name: _joined(self.under, inside) for name, inside in self.wanted.items()}

    def _inside(self, name: str) -> str:
        """The name within the place: `conv[1].W` of `backbone.conv[1].W`; nothing for the place itself."""
        return name.removeprefix(self.place).removeprefix(".") if self.place else name

    def _where(self) -> str:
        """The place in the file. Its own where anything stands there; else the one where all fits, or where all names
        are; else the bare names."""
        if any(covers(self.place, name) for name in self.header.tensors):
            return self.place
        if "" in self.wanted.values():
            return self.place
        named = [place for place in self._places() if self._has_names(place)]
        others = [place for place in named if self._has_shapes(place)] or named
        return others[0] if len(others) == 1 or "" in others else ""

    def _places(self) -> list[str]:
        """The places in the file that have the first name, the bare names first."""
        first = next(iter(self.wanted.values()))
        end = first if first.startswith("[") else f".{first}"
        places = [name.removesuffix(end) for name in self.header.tensors if name.endswith(end)]
        return ["", *places]

    def _has_names(self, place: str) -> bool:
        return all(_joined(place, inside) in self.header.tensors for inside in self.wanted.values())

    def _has_shapes(self, place: str) -> bool:
        there = ((name, self.header.tensors[_joined(place, inside)]) for name, inside in self.wanted.items())
        return all(stored.shape == self.declared[name].shape for name, stored in there)

    # --- what does not fit -------------------------------------------------------------------------------------

    def findings(self) -> list[Diagnostic]:
        """R608 to R611, each once for all names that it holds for."""
        tensors = self.header.tensors
        missing = [name for name in self.wanted if self.names[name] not in tensors]
        if len(missing) == len(self.wanted):
            return [self._nothing()]
        there = {name: tensors[self.names[name]] for name in self.wanted if name not in missing}
        wrong = [name for name, stored in there.items() if stored.dtype not in REAL]
        shapes = [name for name, stored in there.items() if stored.shape != self.declared[name].shape]
        found = [self._missing(missing)] if missing else []
        found += [self._types(wrong)] if wrong else []
        found += [self._shapes(shapes)] if shapes else []
        return found or self._further()

    @property
    def _what(self) -> str:
        return self.place or "the network"

    def _unused(self) -> list[str]:
        """The names of the file that nothing in the network is called; the state of a checkpoint's optimizer (`W:v`)
        is none of them."""
        used = {*self.names.values(), *self.declared}
        return [name for name in self.header.tensors if name not in used and ":" not in name]

    def _nothing(self) -> Diagnostic:
        others = [place for place in self._places() if self._has_names(place)]
        if len(others) > 1:
            message = f'"{self.shown}" has several parts like {self._what}: {_listed(others)}'
            help = f"give it the name that it has there: {others[0]}, say"
            return Diagnostic("R608", message, self.span, help=help)
        names = [_cut(name) for name in self._unused()]
        message = f'"{self.shown}" has nothing for {self._what}'
        if not names:
            return Diagnostic("R608", f"{message}: it holds no tensors", self.span)
        return Diagnostic("R608", f"{message}: its names are {_listed(names)}", self.span, help=self._named(names))

    def _missing(self, missing: Sequence[str]) -> Diagnostic:
        absent = [_cut(self.names[name]) for name in missing]
        message = f'"{self.shown}" has no {_listed(absent, "or")}, which {self._what} needs'
        owner = absent[0].rpartition(".")[0]
        unused = self._unused()
        beside = [name for name in unused if name.rpartition(".")[0] == owner] or unused
        near = did_you_mean(absent[0], beside[:MOST_COMPARED])
        help = f"did you mean {near}, which it has? A map renames: dlc convert --map" if near else self._named(unused)
        return Diagnostic("R608", message, self.span, related=self._declared(missing[0]), help=help)

    def _named(self, names: Iterable[str]) -> str | None:
        """What to do where the names are not those of this network."""
        if any(name.endswith((".weight", ".running_mean")) for name in names):
            return "these are names of torch: `dlc convert` with a map gives the tensors the names of this network"
        return None

    def _types(self, wrong: Sequence[str]) -> Diagnostic:
        kinds = [f"{self.names[name]} is {self.header.tensors[self.names[name]].dtype}" for name in wrong]
        message = f'"{self.shown}" does not fit {self._what}: {_listed(kinds)}'
        rule = f"parameters are real numbers: {', '.join(REAL)}"
        return Diagnostic("R611", message, self.span, related=self._declared(wrong[0]), rule=rule)

    def _shapes(self, wrong: Sequence[str]) -> Diagnostic:
        first, *_ = wrong
        shape, stored = self.declared[first].shape, self.header.tensors[self.names[first]].shape
        there = "there" if self.names[first] == first else f"there, as {self.names[first]},"
        sizes = f"{first} is {_shape(stored)} {there} and {_shape(shape)} here"
        message = f'"{self.shown}" does not fit {self._what}: {sizes}'
        if len(wrong) > 1:
            message += f", and {_listed(wrong[1:])} {'differs' if len(wrong) == 2 else 'differ'} too"
        rule = getattr(self.declared[first], "rule", "") or first
        help = None
        if sorted(stored) == sorted(shape):
            help = "the axes stand in another order: `dlc convert` brings the weights of torch into this one"
        elif _without_ones(stored) == _without_ones(shape):
            help = "they differ in axes of size 1 alone: `dlc convert` adds them"
        related = self._declared(first)
        return Diagnostic("R610", message, self.span, related=related, rule=f"{rule} = {_shape(shape)}", help=help)

    def _further(self) -> list[Diagnostic]:
        """What the file has and the network does not: an error beside tensors of the same layer, a warning under the
        very place, a note elsewhere; and whether the part has another name there."""
        owners = {name.rpartition(".")[0] for name in self.names.values()}
        if not self.under and self.place and any("." in name for name in self.header.tensors):
            owners -= {""}  # what stands beside the bare names is of other layers
        beside, under, elsewhere = list[str](), list[str](), list[str]()
        for name in self._unused():
            if name.rpartition(".")[0] in owners:
                beside.append(name)
            else:
                (under if covers(self.place, name) else elsewhere).append(name)
        found = []
        if beside:
            message = f'"{self.shown}" has {_listed(beside)}, and {self._what} has no such parameter'
            help = "a layer that has one tensor more computes something else: write the layer as it was trained"
            found.append(Diagnostic("R609", message, self.span, help=help))
        if under:
            message = f'"{self.shown}" has more layers than {self._what}: {_listed(under)}'
            help = "what stands after them is not loaded; where that is meant, leave these names out of the file"
            found.append(Diagnostic("R609", message, self.span, "warning", help=help))
        if self.under != self.place:
            found.append(self._elsewhere(elsewhere))
        return found

    def _elsewhere(self, unread: Sequence[str]) -> Diagnostic:
        """Where the part was found. Bare names are a file of this part alone; another name may be another part that has
        the same shapes."""
        rest = f"; not read: {_listed(unread)}" if unread else ""
        if not self.under:
            message = f'"{self.shown}" has {self._what} under the bare names{rest}'
            return Diagnostic("R609", message, self.span, "note")
        message = (
            f'"{self.shown}" has nothing called {self._what}; {self.under} has all of its names and shapes, and is '
        )
        help = f"where it is the same part, call it {self.under} here too; else it is another file that is meant"
        return Diagnostic("R609", f"{message}loaded{rest}", self.span, "warning", help=help)

    def _declared(self, name: str) -> tuple[Related, ...]:
        """The second place: where the tensor is declared, or the layer made that has it, in the user's own text."""
        made = {line.name: line.span for line in self.checked.lines if line.instance}
        span, owner = self.declared[name].span, name
        while span.file.startswith(LIBRARY):
            owner = owner.rpartition(".")[0]
            if not owner:
                return ()
            span = made.get(owner, span)
        return (Related(f"{name} : {_shape(self.declared[name].shape)}", span),)


def _joined(place: str, inside: str) -> str:
    return place + inside if inside.startswith("[") or not place or not inside else f"{place}.{inside}"


def _listed(names: Sequence[str], word: str = "and") -> str:
    """`a, b and c`; of many the first three and a count."""
    shown = [_cut(name) for name in names[:SHOWN]]
    if len(names) > SHOWN:
        return f"{', '.join(shown)} {word} {len(names) - SHOWN:,} more"
    return f" {word} ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _cut(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:99]}…"


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def _without_ones(shape: Iterable[int]) -> list[int]:
    return [size for size in shape if size != 1]
