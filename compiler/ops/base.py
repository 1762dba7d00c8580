"""What an op is: one object that knows its type, its gradient, its text in a fused loop, and its meaning.

Families, by how a value of the result depends on the operands. Passes and code generation ask for the family
and never for an op's name, so a new op works everywhere as soon as its object exists:

- `Leaf`         no operands: inputs, parameters, constants, draws
- `Elementwise`  each element from the elements at the same place (written 1s broadcast)
- `Reduction`    axes folded to size 1 by an associative combination
- `Contraction`  sums of products: `@` (a `MatrixProduct`), `einsum`, convolutions
- `Window`       axes folded by a window that slides over them: pooling
- `Movement`     the same elements in another place or shape
- `Loop`         a program of its own that runs once for each step of an axis: a scan
- `Stable`       a function with a stable evaluation of its own (softmax): differentiated whole, then expanded

An op is either primitive (`vjp`, `reference`, `emit` where its family needs one) or a `Composite`, which only says
how it decomposes. `differentiable = False` is said, never implied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from dlc.compiler.dims import ONE, ZERO, Dim, Facts, Mismatch, TensorType, broadcast
from dlc.compiler.ir.formula import formula

if TYPE_CHECKING:
    from dlc.compiler.ir import Builder, Node


class ShapeError(Exception):
    """An op's type rule refuses its operands.

    `message`, `rule` and `help` may hold `{0}`, `{1}`, … where the text of an operand belongs; `operands` are the
    numbers of the operands whose declarations the reader should see, each with the axis that is at fault (or None).
    """

    def __init__(
        self,
        code: str,
        message: str,
        operands: Sequence[tuple[int, int | None]] = (),
        rule: str | None = None,
        help: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.operands, self.rule, self.help = code, message, tuple(operands), rule, help

    def about(self, *numbers: int) -> ShapeError:
        """The same refusal, where `{0}`, `{1}`, … are the operands of these numbers."""
        names = [f"{{{number}}}" for number in numbers]
        texts = [None if text is None else text.format(*names) for text in (self.message, self.rule, self.help)]
        places = [(numbers[operand], axis) for operand, axis in self.operands]
        return ShapeError(self.code, texts[0] or "", places, texts[1], texts[2])


@dataclass(frozen=True, slots=True)
class Sample:
    """Valid operands for an op's tests: shapes of the operands (sizes drawn small), attributes, and the interval the
    values are drawn from (kept away from kinks and poles, so that finite differences mean something). `kinds` of the
    operands are real where it is empty; an `index` operand is drawn from the whole numbers of the interval. `body`
    makes a loop's attribute `step`."""

    shapes: tuple[tuple[int, ...], ...]
    attrs: tuple[tuple[str, Hashable], ...] = ()
    low: float = -2.0
    high: float = 2.0
    kinds: tuple[str, ...] = ()
    body: Callable[[], Hashable] | None = None

    @property
    def attributes(self) -> dict[str, Hashable]:
        """All attributes; a body is made anew each time."""
        return dict(self.attrs) | ({} if self.body is None else {"step": self.body()})


@dataclass(frozen=True, slots=True)
class Bad:
    """Operands that the type rule must refuse, and the code of the diagnostic."""

    shapes: tuple[tuple[int, ...], ...]
    code: str
    attrs: tuple[tuple[str, Hashable], ...] = ()
    body: Callable[[], Hashable] | None = None

    attributes = Sample.attributes


class Emitter(Protocol):
    """How an elementwise op writes itself in a fused scalar loop: text in, text out."""

    def number(self, value: float) -> str:
        """A literal of the program's dtype (a bare Python float would promote float32 arithmetic to float64)."""
        ...

    def call(self, function: str, *arguments: str) -> str:
        """A call of one of the host's functions: `exp log sqrt abs tanh sin cos erf sign floor ceil sigmoid softplus
        isnan`,
        `pow(x, y)`, `max(x, y)`, `min(x, y)`; `real(x)` makes a number of a truth value or an index, `index(x)` an
        index of a whole number."""
        ...


class Op:
    """The common part. Subclasses are registered by `@op("name")`, which makes the one instance."""

    name: ClassVar[str]
    differentiable: ClassVar[bool] = True
    commutative: ClassVar[bool] = False
    costly: ClassVar[bool] = False
    """Whether a value that exists is rather kept than computed again."""
    filler: ClassVar[float] = 0.0
    """What stands in a place that does not count (past an example's end), so that a fold does not see it."""
    samples: ClassVar[Sequence[Sample]] = ()
    bad: ClassVar[Sequence[Bad]] = ()

    def type(self, facts: Facts, *types: Any, **attrs: Any) -> TensorType:
        """The result's type from the operands' `TensorType`s. Raises `ShapeError`."""
        raise NotImplementedError

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        """The cotangents of the operands, as IR, from the result's cotangent `ct` (same shape as the result).
        None where no gradient flows. An operand that broadcast may get the result's shape: `pullback` sums it."""
        raise NotImplementedError

    def pullback(self, b: Builder, node: Node, ct: Node) -> list[Node | None]:
        """What autodiff asks: `vjp`, with each cotangent in its operand's own shape."""
        parts = zip(self.vjp(b, node, ct), node.inputs, strict=True)
        return [None if part is None else unbroadcast(b, part, operand.type) for part, operand in parts]

    def together(self, node: Node) -> Hashable:
        """What the computation is called whose result the node is: nodes with one name are pulled back at once."""
        return node

    def pullback_all(
        self, b: Builder, results: Sequence[tuple[Node, Node]], wanted: Collection[Node]
    ) -> list[Node | None]:
        """The cotangents of the operands that are `wanted`, from the pairs of a node and its cotangent of all results
        of one computation."""
        ((node, ct),) = results
        return self.pullback(b, node, ct)

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        """For each operand the axes along which an element of the result depends on elements at other places: what a
        reduction folds, what a product sums, what a window slides over. None: each place for itself."""
        return [() for _ in node.inputs]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        """For each operand its axes that go on in the result: `(j, offset)` for axis i says that place p of the
        result's axis j reads no place of i beyond p + offset. An axis that is missing may be read everywhere."""
        return [{} for _ in node.inputs]

    def work(self, node: Node) -> Dim:
        """The floating-point operations of computing the value."""
        return ZERO

    def reference(self, *arrays: Any, **attrs: Any) -> Any:
        """The meaning, in NumPy float64 (class indices and truth values too), on arrays in the logical shape. A `Dim`
        among the attributes arrives as an int, a tuple of `Axis` as a tuple of sizes."""
        raise NotImplementedError


class Leaf(Op):
    """No operands. The reference executor binds inputs, parameters and states; `reference` serves the others."""

    differentiable = False


class Elementwise(Op):
    """`emit` writes the scalar text; the type is the broadcast of the operands' types.

    `gradients` are the cotangents of the operands as formulas over the operands `x`, `y`, `z`, the result `r` and
    its cotangent `ct`; an op may define `vjp` in their place.
    """

    result_kind: ClassVar[str] = "real"
    gradients: ClassVar[Sequence[str | None]] = ()

    def type(self, facts: Facts, *types: Any, **attrs: Any) -> TensorType:
        result: TensorType = types[0]
        widest = 0
        for number, other in enumerate(types[1:], 1):
            met = broadcast(result, other, facts)
            if isinstance(met, Mismatch):
                raise mismatch_error(result, other, met).about(widest, number)
            widest = number if other.rank > result.rank else widest
            result = met
        return result.of_kind(self.result_kind)

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        values = {**dict(zip("xyz", node.inputs, strict=False)), "r": node, "ct": ct}
        return [None if text is None else formula(text).build(b, values) for text in self.gradients]

    def pullback(self, b: Builder, node: Node, ct: Node) -> list[Node | None]:
        parts = zip(self._masked(b, node, ct), node.inputs, strict=True)
        return [None if part is None else unbroadcast(b, part, operand.type) for part, operand in parts]

    def _masked(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        """A branch that `select` did not take gets the gradient 0, even where its own derivative is inf or NaN: the
        choice stays outermost while the cotangent passes through elementwise ops."""
        if ct.op != "select":
            return self.vjp(b, node, ct)
        condition, taken, other = ct.inputs
        if is_number(other, 0):
            parts = self._masked(b, node, taken)
            return [None if part is None else b.add("select", condition, part, other) for part in parts]
        if is_number(taken, 0):
            parts = self._masked(b, node, other)
            return [None if part is None else b.add("select", condition, taken, part) for part in parts]
        return self.vjp(b, node, ct)

    def emit(self, e: Emitter, *operands: Any, **attrs: Any) -> str:
        """The scalar text, from the texts of the operands."""
        raise NotImplementedError

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        return [axes_in_place(value) for value in node.inputs]

    def work(self, node: Node) -> Dim:
        return elements(node.type)


class Reduction(Op):
    """Folds `axes` (a tuple of positions) to size 1, written. `identity` starts, `combine` adds one element."""

    costly = True

    def identity(self, e: Emitter) -> str:
        raise NotImplementedError

    def combine(self, e: Emitter, total: str, element: str) -> str:
        raise NotImplementedError

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [node.attr("axes")]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        return [axes_in_place(node.inputs[0], but=node.attr("axes"))]

    def work(self, node: Node) -> Dim:
        return elements(node.inputs[0].type)


class Contraction(Op):
    """Sums of products of two operands. `filters` is the operand whose axes are (f, …, n_C_prev, n_C), where one is."""

    costly = True

    filters: int | None = None

    def summed(self, node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The axes of both operands that the sums run over."""
        raise NotImplementedError

    def fans(self, node: Node, operand: int) -> tuple[int, int]:
        """fan_in and fan_out of a parameter that is this operand: how many products one element of the result sums, and
        how many elements of the result one element of the other operand reaches. Its sizes are known."""
        sizes = [int(size.constant or 1) for size in node.inputs[operand].type.sizes]
        fan_in = math.prod(sizes[axis] for axis in self.summed(node)[operand])
        return fan_in, math.prod(sizes) // fan_in

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return self.summed(node)

    def work(self, node: Node) -> Dim:
        """A multiplication and an addition for each product."""
        left = node.inputs[0].type.axes
        return math.prod((left[axis].size for axis in self.summed(node)[0]), start=elements(node.type) * 2)


class MatrixProduct(Contraction):
    """Contracts the last axis of the first operand with the first axis of the second."""

    def summed(self, node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (node.inputs[0].type.rank - 1,), (0,)

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        rows, right = node.inputs[0].type.rank - 1, node.inputs[1].type.rank
        return [{i: (i, 0) for i in range(rows)}, {i: (rows + i - 1, 0) for i in range(1, right)}]


class Window(Op):
    """Folds a window of each place of `axes`, as the window slides over them."""

    costly = True

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [node.attr("axes") for _ in node.inputs]


class Movement(Op):
    """Rearranges elements without arithmetic."""


class Loop(Op):
    """Runs a program of its own, a `Body` among the attributes, once for each step of an axis.

    Nodes are single values, so a loop with several results is several nodes: same operands, same attributes but
    `take`, which says what the node takes of the run. They are computed, and pulled back, together.
    """

    costly = True

    def together(self, node: Node) -> Hashable:
        return (node.op, node.inputs, tuple(item for item in node.attrs if item[0] != "take"))

    def run(self, *arrays: Any, **attrs: Any) -> Any:
        """The meaning of all results at once. A `Body` arrives as a function that runs it: from the values of its
        `held` leaves and the number of the step, from 1, to those of its roots."""
        raise NotImplementedError

    def taken(self, results: Any, take: str) -> Any:
        """What one node takes of a run."""
        raise NotImplementedError

    def reference(self, *arrays: Any, take: str = "", **attrs: Any) -> Any:
        return self.taken(self.run(*arrays, **attrs), take)


class Stable(Op):
    """Is evaluated by other ops, in a stable form, which `expand` writes after differentiation and simplification."""

    costly = True

    def expand(self, b: Builder, node: Node) -> Node:
        raise NotImplementedError


class Composite(Op):
    """Expands into other ops while the program is built; never reaches a graph."""

    differentiable = False

    def decompose(self, b: Builder, *inputs: Any, **attrs: Any) -> Node:
        raise NotImplementedError


OPS: dict[str, Op] = {}


def op(name: str) -> Callable[[type[Op]], type[Op]]:
    """Registers the one instance of an op class under `name`; a missing part fails here, at import."""

    def register(cls: type[Op]) -> type[Op]:
        if name in OPS:
            raise ValueError(f"op {name!r} is registered twice")
        cls.name = name
        needed = ["decompose"] if issubclass(cls, Composite) else ["type", "reference"]
        if issubclass(cls, Loop):
            needed = ["type", "run", "taken", *(["pullback_all"] if cls.differentiable else [])]
        elif cls.differentiable and not getattr(cls, "gradients", ()):
            needed.append("vjp")
        if issubclass(cls, Elementwise):
            needed.append("emit")
        if issubclass(cls, Reduction):
            needed += ["identity", "combine"]
        if issubclass(cls, Stable):
            needed.append("expand")
        missing = [part for part in needed if not _overridden(cls, part)]
        if missing:
            raise TypeError(f"op {name!r} lacks {', '.join(missing)}")
        OPS[name] = cls()
        return cls

    return register


_FAMILIES = (Op, Leaf, Elementwise, Reduction, Contraction, MatrixProduct, Window, Movement, Loop, Stable, Composite)


def _overridden(cls: type[Op], part: str) -> bool:
    """Whether `part` is defined by the op itself or concretely by its family."""
    owner = next(c for c in cls.__mro__ if part in vars(c))
    return owner not in _FAMILIES or (owner is Elementwise and part == "type")


def is_number(node: Node, value: float) -> bool:
    """Whether a node is the constant `value`, as a scalar."""
    return node.op == "constant" and node.attr("value") == value


def axes_in_place(value: Node, but: Collection[int] = ()) -> Mapping[int, tuple[int, int]]:
    """What `follows` says of axes that stay where they are."""
    return {i: (i, 0) for i in range(value.type.rank) if i not in but}


def elements(type: TensorType) -> Dim:
    """How many elements a tensor has."""
    return math.prod(type.sizes, start=ONE)


def unbroadcast(b: Builder, ct: Node, type: TensorType) -> Node:
    """A cotangent summed over the axes along which its operand, of `type`, broadcast."""
    if type.rank == 0 and ct.type.rank:
        everything = tuple(range(ct.type.rank))
        return b.add("drop", b.add("sum", ct, axes=everything), axes=everything)
    grown = tuple(
        i
        for i, (narrow, wide) in enumerate(zip(type.axes, ct.type.axes, strict=True))
        if narrow.size.constant == 1 and wide.size.constant != 1
    )
    return b.add("sum", ct, axes=grown) if grown else ct


def mismatch_error(left: TensorType, right: TensorType, met: Mismatch) -> ShapeError:
    """Why two operands of an elementwise op do not fit, by the language's three rules of broadcasting."""
    if met.reason == "rank":
        return ShapeError(
            "D103",
            f"{{0}} has {left.rank} axes and {{1}} has {right.rank}: {left} against {right}",
            [(0, None), (1, None)],
            rule="both sides of + - * / have the same rank, or one side is a scalar",
            help=_rank_help(left, right),
        )
    a, b = met.left_axis, met.right_axis
    places = [(0, a), (1, b)]
    if met.reason == "both broadcast":
        return ShapeError(
            "D104",
            f"{{0}} and {{1}} would both broadcast: {left} against {right}",
            places,
            rule="only one side of an operation may broadcast",
            help="transpose one side if they are meant to be equal; write broadcast(…, (…)) if both are meant to grow",
        )
    assert a is not None
    assert b is not None
    x, y = left.axes[a], right.axes[b]
    if x.size.constant == 1 or y.size.constant == 1:
        which = 0 if x.size.constant == 1 else 1
        return ShapeError(
            "D105",
            f"the {ordinal(a)} axis of {{{which}}} only happens to have size 1, so it does not broadcast: "
            f"{left} against {right}",
            places,
            rule="an axis broadcasts only where it is written 1",
            help=f"write 1 in the shape of {{{which}}} if it is meant to broadcast",
        )
    return ShapeError(
        "D102",
        f"{{0}} and {{1}} differ in the {ordinal(a)} axis: {x.size} against {y.size}, {left} against {right}",
        places,
        rule="elementwise operations need equal shapes; an axis written 1 broadcasts",
    )


def _rank_help(left: TensorType, right: TensorType) -> str | None:
    """`(V, 1)` beside `(V, m, T)`: the 1s that are missing."""
    which, small, large = (0, left, right) if left.rank < right.rank else (1, right, left)
    kept = [str(axis.size) for axis in small.axes]
    return f"give {{{which}}} the shape ({', '.join(kept + ['1'] * (large.rank - small.rank))})"


def ordinal(axis: int) -> str:
    """How a message speaks of an axis: "the first axis" cannot be taken for the index 1."""
    words = ("first", "second", "third", "fourth", "fifth", "sixth")
    return words[axis] if axis < len(words) else f"{axis + 1}th"
