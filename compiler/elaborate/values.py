"""What a name can stand for while a program is elaborated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import Axis, Condition, Dim, TensorType
from dlc.compiler.ir import Node
from dlc.grammar import ast
from dlc.grammar.span import Span

if TYPE_CHECKING:
    from dlc.compiler.elaborate.scope import Scope

Number = int | Fraction | float | Dim
"""A compile-time number: exact where it can be; a `Dim` where a size is not known yet."""


@dataclass(frozen=True, slots=True)
class Declared:
    """Where and how a tensor's shape was written: the second place of a message.

    `items` are the spans of the shape's items (empty where the shape was not written), `written` the text of the
    shape with loop indices filled in (`(n[2], n[1])`), `rule` the law as the file states it (`W[l] : (n[l], n[l-1])`).
    """

    name: str
    span: Span
    items: tuple[ast.Expr, ...] = ()
    written: str = ""
    rule: str = ""

    def describe(self, type: TensorType) -> str:
        """`W[2] : (n[2], n[0]) = (16, 64)`, without the repetition where the shape was written in numbers."""
        shown = f"{self.name} : {self.written}" if self.written else self.name
        return shown if self.written == str(type) else f"{shown} = {type}"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value that exists at run time: its IR node, and where its shape was declared, if it was."""

    node: Node
    declared: Declared | None = None

    @property
    def type(self) -> TensorType:
        return self.node.type


@dataclass(frozen=True, slots=True)
class Tuple:
    """Several values: the outputs of a layer, or `(1, 4, 3)`. Of `outputs` the first may be taken alone."""

    items: tuple[Any, ...]
    outputs: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """`a..b`, inclusive, empty when b < a."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Over:
    """Which axes an `over =` means, before it is known of which tensor: `first`, `last`, `all`, `features`, a name
    (with the size of that name, if it has one), the further axes of a definition, or several of these."""

    kind: str
    name: str | None = None
    size: Dim | None = None
    rest: tuple[Axis, ...] = ()
    parts: tuple[Over, ...] = ()
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """A name that stands for itself: a way of padding, `valid` or `same`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True)
class Family:
    """`W[l]`: one value for each value of its compile-time indices. `broken`: a statement that defines members failed,
    so that a missing one is no mistake of its own."""

    name: str
    span: Span
    members: dict[tuple[int, ...], Any] = field(default_factory=dict)
    places: dict[tuple[int, ...], Span] = field(default_factory=dict)
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A `function`, `schedule`, `initializer` or `regularizer` of the language, perhaps with some arguments given.
    `others` are the same function for arguments with m in another place."""

    definition: ast.Definition
    scope: Scope
    given: tuple[tuple[str, Any], ...] = ()
    others: tuple[ast.Definition, ...] = ()


@dataclass(frozen=True, slots=True)
class Primitive:
    """A function that the compiler knows, perhaps with keyword arguments given."""

    name: str
    call: Callable[..., Any]
    given: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """A `layer` (or `optimizer`) definition, not yet an instance. `others` are the same layer for inputs with m in
    another place."""

    definition: ast.Definition
    scope: Scope
    others: tuple[ast.Definition, ...] = ()


@dataclass(slots=True, eq=False)
class Instance:
    """`Dense(64, relu)`: a layer with its arguments and, once it is placed, its name and parameters.

    `path` is None until the instance is placed; `parameters` holds what its first application declared, `written` the
    arguments' texts. `within` is the instance in whose text it is placed; `in_function`: it was made in the text of a
    function.
    """

    layer: Layer
    arguments: dict[str, Any]
    span: Span
    text: ast.Expr | None = None
    written: dict[str, ast.Expr] = field(default_factory=dict)
    path: str | None = None
    named: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    uses: list[Span] = field(default_factory=list)
    within: Instance | None = None
    in_function: bool = False

    @property
    def applied_again(self) -> Instance | None:
        """The instance whose second application this one's text belongs to, itself or one around it: the parameters
        exist already."""
        if len(self.uses) > 1:
            return self
        return self.within.applied_again if self.within is not None else None


@dataclass(frozen=True, slots=True)
class Poison:
    """The value of a name whose statement failed: using it fails silently, so that one mistake gives one error."""


def describe(value: Any) -> str:
    """What kind of thing a value is, for messages."""
    match value:
        case Tensor():
            return f"a tensor of shape {value.type}"
        case bool():
            return "a truth value"
        case Condition():
            return f"whether {value}, which is known only when data arrives"
        case Dim() if value.constant is None:
            return f"{value}, which is known only when data arrives"
        case int() | Fraction() | float() | Dim():
            return f"the number {value}"
        case str():
            return "a text"
        case list():
            return "a list"
        case Tuple():
            return "several values"
        case Range():
            return "a range"
        case Family():
            return f"the family {value.name}[…]"
        case Function(definition=definition, given=(_, *_) as given):
            waiting = next(p.name.id for p in definition.parameters if p.name.id not in dict(given))
            return f"a function: {definition.name.id} still needs {waiting}"
        case Function() | Primitive():
            return "a function"
        case Layer():
            return f"the layer {value.definition.name.id}, which needs its arguments first"
        case Instance():
            return f"an instance of {value.layer.definition.name.id}"
        case Word(name=name):
            return f"the word `{name}`"
        case Over():
            return "a choice of axes"
        case _:
            return "something else"
