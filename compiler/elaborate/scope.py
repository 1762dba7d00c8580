"""Names and what they stand for, innermost first; and where parameters get their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import Axis
from dlc.compiler.elaborate.values import Instance
from dlc.grammar.span import Span

if TYPE_CHECKING:
    from dlc.compiler.elaborate.steps import Frame


@dataclass(slots=True)
class Scope:
    """One level of names.

    `path` is the place that parameters declared here are named by (`stage[3].conv[1]`); it is shared by the scopes of
    one definition. `lookup` answers for names that no scope holds (definitions, the standard library); `rest` is what
    `...` stands for in this definition, `indices` the loop variables in force, for texts such as `W[2]`; `locals` are
    the names that one branch of an `if` alone defines, with their places. `scan` is the scan whose step this is,
    `steps` the names that a step of a scan here defined for itself, with their places and the name of the step.
    """

    parent: Scope | None = None
    path: str = ""
    lookup: Callable[[str], Any] | None = None
    names: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Span] = field(default_factory=dict)
    rest: tuple[Axis, ...] | None = None
    indices: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    instance: Instance | None = None
    kind: str = "file"
    locals: dict[str, Span] = field(default_factory=dict)
    scan: Frame | None = None
    steps: dict[str, tuple[Span, str]] = field(default_factory=dict)

    def child(self, **changes: Any) -> Scope:
        """A scope inside this one, of the same definition."""
        settings: dict[str, Any] = {
            "path": self.path,
            "rest": self.rest,
            "indices": dict(self.indices),
            "counts": self.counts,
            "instance": self.instance,
            "kind": self.kind,
        }
        return Scope(parent=self, **(settings | changes))

    def chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def levels(self) -> Iterator[Scope]:
        """The scopes of one definition, from this one outwards: in all of them a name is defined once."""
        for scope in self.chain():
            yield scope
            outer = scope.parent
            if outer is None or outer.kind != scope.kind or outer.instance is not scope.instance:
                return

    def find(self, name: str) -> Any:
        """The value of `name`, or None."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            if scope.lookup is not None:
                found = scope.lookup(name)
                if found is not None:
                    return found
            scope = scope.parent
        return None

    def place(self, name: str) -> Span | None:
        """Where `name` was defined, if a scope holds it."""
        return next((scope.places[name] for scope in self.chain() if name in scope.places), None)

    def known(self) -> list[str]:
        """All names that scopes hold, for suggestions."""
        return [name for scope in self.chain() for name in scope.names]

    def in_round(self, name: str) -> str:
        """What an instance is called that a round of a `for` names for itself: `f` of round 2 is `f[2]`."""
        return f"{name}[{', '.join(map(str, self.indices.values()))}]" if self.indices else name

    def qualified(self, name: str) -> str:
        """The name as checkpoints and messages give it."""
        return f"{self.path}.{name}" if self.path else name

    @property
    def layer(self) -> str:
        """The kind of the layer whose text this is; empty in a model."""
        return self.instance.layer.definition.name.id if self.instance is not None else ""

    def number(self, kind: str) -> int:
        """The next number for an unnamed instance of this kind."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return self.counts[kind]
