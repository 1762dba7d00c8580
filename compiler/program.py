"""What checking a model yields: its declarations, and its programs as graphs.

One text, three programs: *training* (draws, batch statistics, `:=`), *deterministic training* (each draw replaced by
its mean, no state change) and *evaluation* (`otherwise`). Each is a `Graph`; the declarations are common to all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from dlc.compiler.dims import Condition, Facts, Symbol, TensorType
from dlc.compiler.ir import Graph, Node
from dlc.grammar import ast
from dlc.grammar.span import Span

M = Symbol("m", "batch")
"""The number of examples: known only when a batch arrives, never 1 by assumption."""


@dataclass(frozen=True, slots=True)
class InputDeclaration:
    """An `input` or a `target`.

    `type` is the declared type. `one_hot`: the data holds class indices (shape without the class axis, which is
    `class_axis`), the model sees one-hot columns. `index`: the data are integers in 0..classes-1.
    """

    name: str
    role: str
    type: TensorType
    span: Span
    one_hot: bool = False
    index: bool = False
    optional: bool = False
    classes: int | None = None
    class_axis: int | None = None


@dataclass(frozen=True, slots=True)
class Initial:
    """How a parameter or state begins: the initializer's graph (root `value`), of the tensor's own shape or a scalar.

    Draws in it are numbered by the tensor's name, so that a parameter's first value depends on the seed and its name
    alone. `fan_in` and `fan_out` are read from the contraction that uses the parameter (0 where none does).
    """

    graph: Graph
    text: str
    fan_in: int = 0
    fan_out: int = 0


@dataclass(frozen=True, slots=True)
class ParameterDeclaration:
    """A `param`: `shape` is its declared shape, `weight` whether a contraction or a gather uses it (it has a fan-in:
    regularizers apply to it)."""

    name: str
    type: TensorType
    span: Span
    initial: Initial = field(repr=False)
    frozen: bool = False
    weight: bool = False
    rule: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size.constant or 0) for size in self.type.sizes)

    @property
    def count(self) -> int:
        """The number of values."""
        total = 1
        for size in self.shape:
            total *= size
        return total


@dataclass(frozen=True, slots=True)
class StateDeclaration:
    """A `state`, or an optimizer's slot (`owner` is then the parameter it belongs to)."""

    name: str
    type: TensorType
    span: Span
    initial: Initial = field(repr=False)
    owner: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size.constant or 0) for size in self.type.sizes)


@dataclass(frozen=True, slots=True)
class LoadDeclaration:
    """A `load` line: first values that a file has. `places` are the names of what is loaded as checkpoints know it
    (empty for the whole network), each with its span; `path` is written at `path_span`."""

    places: tuple[tuple[str, Span], ...]
    path: str
    span: Span
    path_span: Span


def covers(place: str, name: str) -> bool:
    """Whether a tensor stands under a place: `backbone` covers `backbone.conv[1].W` and `backbone[2].W`, and the empty
    place covers all."""
    return not place or name == place or name.startswith((place + ".", place + "["))


def places(names: Iterable[str]) -> list[str]:
    """Every place under which tensors of these names stand: `backbone`, `backbone.conv[1]` and `backbone.conv[1].W`."""
    parts = (name.split(".") for name in names)
    return list(dict.fromkeys(".".join(part[: i + 1]) for part in parts for i in range(len(part))))


@dataclass(frozen=True, slots=True)
class Requirement:
    """What the data must keep, because a line of the model needs it: a condition on run-time dimensions, in its
    plainest form. `message` is what a `require` says, where it is one."""

    condition: Condition
    span: Span | None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What a statement defined: its name, its text with loop indices filled in (`rule`), the shape as written
    (`(n[2], m)`, empty where none is), the layer it stands in (for an applied instance: its kind), and the
    nodes that were made for it."""

    name: str
    rule: str
    type: TensorType
    span: Span
    layer: str = ""
    written: str = ""
    nodes: tuple[Node, ...] = field(default=(), repr=False)
    instance: bool = False


@dataclass(frozen=True, slots=True)
class Partial:
    """What is known of a model with an error: the lines that have a type, which of them are parameters, and its blocks,
    whose settings may be wrong too (`evaluate` as in `CheckedModel`)."""

    name: str
    lines: tuple[Line, ...]
    parameters: frozenset[str]
    data: ast.Block | None
    train: ast.Block | None
    evaluate: Callable[[ast.Expr], Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class HyperDeclaration:
    """A `hyper` or a model argument: its value in this program, its default and its search domain (as text)."""

    name: str
    value: Any
    default: Any
    domain: ast.Expr | None
    span: Span


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """A proved model with all sizes known.

    Graph roots: every program has `loss.<k>`, one a loss line, of type `(m)` or `()`; `training` has `update.<state>`
    for each `:=` too; `evaluation` has `output.<name>` and `metric.<name>`. `compiler/elaborate/training.py` makes from
    them what runs. `names` are the named values of the deterministic program. `scope` holds the model's names, and
    `evaluate` computes a compile-time expression in it (DiagnosticError where it is wrong). `requirements` are checked
    when data arrives.
    """

    name: str
    file: str
    inputs: Mapping[str, InputDeclaration]
    parameters: Mapping[str, ParameterDeclaration]
    states: Mapping[str, StateDeclaration]
    hypers: Mapping[str, HyperDeclaration]
    outputs: tuple[str, ...]
    metrics: tuple[str, ...]
    training: Graph
    deterministic: Graph
    evaluation: Graph
    names: Mapping[str, Node]
    shapes: Mapping[str, TensorType]
    lines: tuple[Line, ...]
    data: ast.Block | None
    train: ast.Block | None
    sources: Mapping[str, str]
    evaluate: Callable[[ast.Expr], Any] = field(repr=False)
    scope: Any = field(repr=False)
    requirements: tuple[Requirement, ...] = ()
    loads: tuple[LoadDeclaration, ...] = ()

    @property
    def tensors(self) -> dict[str, ParameterDeclaration | StateDeclaration]:
        """Parameters and states by name."""
        return {**self.parameters, **self.states}

    @property
    def facts(self) -> Facts:
        """What its programs may take for granted: data that breaks a requirement is refused before they run."""
        conditions = (requirement.condition for requirement in self.requirements)
        return reduce(lambda facts, condition: condition.assumed(facts), conditions, Facts.empty)

    @property
    def parameter_count(self) -> int:
        return sum(p.count for p in self.parameters.values())
