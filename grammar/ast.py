"""The syntax tree of a `.dl` file: frozen records, a span on each, no meaning attached.

Read it beside `dl.lark`. Expressions come first, then shapes, statements, definitions, and the file.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlc.grammar.span import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Anything that stands in the text.

    The span of what has a block below it is its header line; brackets around an expression belong to its span.
    """

    span: Span


# --- expressions -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Tree):
    """`12_288`, `1e-3`. `text` is the number as written."""

    value: int | float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class String(Tree):
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Name(Tree):
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListExpr(Tree):
    """`[64, 32, 10]`"""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetExpr(Tree):
    """`{16, 32, 64}`: a search domain."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Tree):
    """`-x`, `not x`"""

    op: str
    operand: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Tree):
    """`op` is one of `+ - * / // % @ ^ == != < <= > >= and or ..`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional(Tree):
    """`then if condition else otherwise`"""

    then: Expr
    condition: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply(Tree):
    """`value -> target as name`; in `einsum` and `rearrange` the arrow between two shape patterns."""

    value: Expr
    target: Expr
    name: Name | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Index(Tree):
    """`W[l]`, `A[s, k]`: a member of a family or an element of a list."""

    base: Expr
    indices: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeIndex(Tree):
    """`a<t-1>`, `a<0>`, `a<T>`"""

    base: Expr
    time: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument(Tree):
    """One argument of a call; `name` where it is given by keyword."""

    name: Name | None
    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Tree):
    function: Expr
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute(Tree):
    """`fc1.W`, `dev.loss`"""

    base: Expr
    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Transpose(Tree):
    """`W.T`"""

    operand: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(Tree):
    """`(n, m)`: a shape, a pattern, or a tuple of expressions; `(x)` in an expression is just `x`."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest(Tree):
    """`...`: the further axes of a definition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread(Tree):
    """`f...`: `f` once for each further axis."""

    value: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedAxis(Tree):
    """`k = T` in a shape: an axis called `k` of size `T`."""

    name: Name
    size: Expr


Expr = (
    Number
    | String
    | Name
    | ListExpr
    | SetExpr
    | Unary
    | Binary
    | Conditional
    | Apply
    | Index
    | TimeIndex
    | Call
    | Attribute
    | Transpose
    | Shape
    | Rest
    | Spread
    | NamedAxis
)

# --- statements ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyper(Tree):
    """`hyper units = 64 in {16, 32, 64}`"""

    name: Name
    default: Expr
    domain: Expr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DimDecl(Tree):
    """`dim T <= 128`"""

    names: tuple[Name, ...]
    bound: Expr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration(Tree):
    """`input X : (64, m)`, `param W[l], V[l] : (n, k) ~ he`, …

    `kind` is `input`, `target`, `param` or `state`; `targets` are Name, Index or TimeIndex;
    `qualifiers` are what stands after the shape (`one_hot`, `index(V)`, `optional`).
    """

    kind: str
    frozen: bool
    targets: tuple[Expr, ...]
    shape: Shape | None
    qualifiers: tuple[Expr, ...]
    initializer: Expr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Equation(Tree):
    """`Z[l] : (n[l], m) = W[l] @ A[l-1] + b[l]`, `h, c = LSTM(64)(x)`"""

    targets: tuple[Expr, ...]
    shape: Shape | None
    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw(Tree):
    """`D : (n, m) ~ bernoulli(0.8)`"""

    targets: tuple[Expr, ...]
    shape: Shape | None
    distribution: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class StateUpdate(Tree):
    """`mu := 0.9 * mu + 0.1 * mean(Z, over = m)`"""

    target: Expr
    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Tree):
    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Tree):
    """`metric F1 = …`, `metric accuracy(Y_hat, Y)`; without a name, the called function names it."""

    name: Name | None
    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Tree):
    """`output Y_hat`, `output p = softmax(Z)`, `output a : (n_a, m, T)`.

    Exactly one of these: `value` alone (an expression or a bare name), or `name` with `value`.
    """

    name: Name | None
    shape: Shape | None
    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class For(Tree):
    """`for l in 1..L:`, `for n_C in [64, 128]:`; several names take a list of tuples apart."""

    targets: tuple[Name, ...]
    iterable: Expr
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class If(Tree):
    condition: Expr
    body: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class When(Tree):
    """`when training:` / `otherwise:`"""

    training: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan(Tree):
    """`scan t in 1..T:`"""

    name: Name
    range: Expr
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Require(Tree):
    condition: Expr
    message: String | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze(Tree):
    targets: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Tree):
    targets: tuple[Expr, ...]
    path: String


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionStatement(Tree):
    """An expression that stands alone (`penalty(W)`); names uses it to say that its value is lost."""

    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken(Tree):
    """A statement that could not be read; a problem says why.

    `word` is the statement word in front, or empty. `names` are those that it would have defined, as far as one can
    tell: whoever meets one of them later does not know it, and has nothing new to say.
    """

    word: str
    names: tuple[Name, ...]


Statement = (
    Hyper
    | DimDecl
    | Declaration
    | Equation
    | Draw
    | StateUpdate
    | Loss
    | Metric
    | Output
    | For
    | If
    | When
    | Scan
    | Require
    | Freeze
    | Load
    | ExpressionStatement
    | Broken
)

# --- definitions and the file ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(Tree):
    """An argument of a definition: `slope = 0.01`, `Y : (...)`, `units = 64 in {16, 64}`."""

    name: Name
    shape: Shape | None
    default: Expr | None
    domain: Expr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition(Tree):
    """`kind` is `model`, `layer`, `function`, `optimizer`, `schedule`, `initializer` or `regularizer`.

    Exactly one of `body` (a block) and `value` (`function f(x) = value`) is given.
    """

    kind: str
    name: Name
    parameters: tuple[Parameter, ...]
    body: tuple[Statement, ...] | None
    value: Expr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Import(Tree):
    path: String


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Tree):
    """`split = 0.8, 0.1, 0.1`: one line of a `data:` or `train:` block."""

    name: Name
    values: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Tree):
    """A `data:` or `train:` block; `kind` says which. It belongs to the model above it."""

    kind: str
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class File(Tree):
    """A whole file, items in the order of the text."""

    items: tuple[Definition | Import | Block | Equation | Broken, ...]
