"""Tensor types, as the checker sees them, and the rule of elementwise operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from dlc.compiler.dims.facts import Facts
from dlc.compiler.dims.poly import Dim, DimLike
from dlc.compiler.dims.solver import Truth, demand, equal
from dlc.compiler.dims.symbol import Symbol


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a tensor.

    `name` is what the nearest declaration or pattern calls it. `one` says that it is *written* 1, or left by a
    reduction, and so may broadcast; a size that merely computes to 1 does not.
    """

    size: Dim
    name: str | None = None
    one: bool = False

    def __str__(self) -> str:
        return str(self.size)


@dataclass(frozen=True, slots=True)
class TensorType:
    """Rank, sizes and kind of a tensor.

    `kind` is `real`, `index` (whole numbers 0..classes-1) or `bool`. `one_hot` marks a real tensor whose columns are
    one-hot over `classes` classes, so that a contraction with it can be a gather.
    """

    axes: tuple[Axis, ...]
    kind: str = "real"
    classes: Dim | None = None
    one_hot: bool = False
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        """Computed once: a type is part of what makes nodes equal."""
        if not self._hash:
            object.__setattr__(self, "_hash", hash((self.axes, self.kind, self.classes, self.one_hot)))
        return self._hash

    def with_axes(self, axes: tuple[Axis, ...]) -> TensorType:
        """A tensor of the same kind with other axes."""
        return self if axes is self.axes else TensorType(axes, self.kind, self.classes, self.one_hot)

    def of_kind(self, kind: str) -> TensorType:
        """A tensor of these sizes and a kind, with neither classes nor marks; often it is this one."""
        plain = self.classes is None and not self.one_hot
        return self if plain and kind == self.kind else TensorType(self.axes, kind)

    @property
    def rank(self) -> int:
        return len(self.axes)

    @property
    def sizes(self) -> tuple[Dim, ...]:
        return tuple(axis.size for axis in self.axes)

    @property
    def symbols(self) -> frozenset[Symbol]:
        return frozenset().union(*(axis.size.symbols for axis in self.axes))

    def axis_named(self, name: str) -> int | None:
        """The position of the first axis of that name; `axes_named` counts them."""
        return next(iter(self.axes_named(name)), None)

    def axes_named(self, name: str) -> tuple[int, ...]:
        """The positions of all axes of that name: two of them make an `over` ambiguous."""
        return tuple(i for i, axis in enumerate(self.axes) if axis.name == name)

    def axes_of_size(self, size: Dim, facts: Facts = Facts.empty) -> tuple[int, ...]:
        """The positions of all axes shown to have that size."""
        return tuple(i for i, axis in enumerate(self.axes) if equal(axis.size, size, facts) is Truth.YES)

    def depends_on(self, symbol: Symbol) -> bool:
        """Whether the symbol stands in one of the sizes (a tensor with `m` has examples)."""
        return any(symbol in axis.size.symbols for axis in self.axes)

    def substitute(self, mapping: Mapping[Symbol, DimLike]) -> TensorType:
        """The type with unknown sizes replaced; names and marks stay."""
        axes = tuple(replace(axis, size=axis.size.substitute(mapping)) for axis in self.axes)
        classes = None if self.classes is None else self.classes.substitute(mapping)
        return replace(self, axes=axes, classes=classes)

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.axes))})"


@cache
def scalar(kind: str = "real") -> TensorType:
    """The type of one number, `()`."""
    return TensorType((), kind)


def tensor(*sizes: DimLike | Axis | Symbol, kind: str = "real", classes: DimLike | None = None) -> TensorType:
    """A type from its sizes. An int 1 counts as written, a symbol names its axis; give an `Axis` to say otherwise."""
    return TensorType(tuple(map(_axis, sizes)), kind, None if classes is None else Dim.of(classes))


def _axis(size: DimLike | Axis | Symbol) -> Axis:
    if isinstance(size, Axis):
        return size
    if isinstance(size, Symbol):
        return Axis(Dim.symbol(size), size.name)
    if isinstance(size, Dim) and len(size.symbols) == 1:
        (symbol,) = size.symbols
        return Axis(size, symbol.name if size == Dim.symbol(symbol) else None)
    return Axis(Dim.of(size), one=not isinstance(size, Dim) and size == 1)


@dataclass(frozen=True)
class Mismatch:
    """Where two types disagree.

    `reason` is `rank`, `size` or `both broadcast`. The axes are positions in the two types (None for `rank`); for
    `both broadcast`, `left_axis` is the one that the left side would broadcast and `right_axis` the right side's.
    `truth` is NO where the sizes differ always, UNKNOWN where it was not decided.
    """

    left_axis: int | None
    right_axis: int | None
    reason: str
    truth: Truth = Truth.NO


def broadcast(a: TensorType, b: TensorType, facts: Facts = Facts.empty) -> TensorType | Mismatch:
    """The type of an elementwise operation of a and b.

    The ranks are the same, or one side is a scalar. An axis broadcasts only where it is written 1, and only one of
    the two sides may broadcast. A name is the left operand's where the two differ, the right's where the left is a
    broadcast 1 or has none. The mark `one` stays where both sides have it.
    """
    if not b.axes or a.axes == b.axes:
        return a.of_kind(_kind(a, b))
    if not a.axes:
        return b.of_kind(_kind(a, b))
    if len(a.axes) != len(b.axes):
        return Mismatch(None, None, "rank")
    axes: list[Axis] = []
    stretched: list[int | None] = [None, None]
    for i, (left, right) in enumerate(zip(a.axes, b.axes, strict=True)):
        truth = equal(left.size, right.size, facts)
        if truth is Truth.YES:
            axes.append(_merged(left, right))
        elif left.one == right.one:
            truth = demand(left.size, right.size, facts)
            if truth is not Truth.YES:
                return Mismatch(i, i, "size", truth)
            axes.append(_merged(left, right))
        elif left.one:
            stretched[0] = i if stretched[0] is None else stretched[0]
            axes.append(_named(right, left.name))
        else:
            stretched[1] = i if stretched[1] is None else stretched[1]
            axes.append(_named(left, right.name))
    if stretched[0] is not None and stretched[1] is not None:
        return Mismatch(stretched[0], stretched[1], "both broadcast")
    return TensorType(tuple(axes), _kind(a, b))


def _merged(left: Axis, right: Axis) -> Axis:
    """The axis of two that are equally long; the left one itself where it says all there is to say."""
    if left is right or (left.name and (right.one or not left.one)):
        return left
    return Axis(left.size, left.name or right.name, left.one and right.one)


def _named(axis: Axis, name: str | None) -> Axis:
    """The axis, with a name if it has none."""
    return axis if axis.name or not name else Axis(axis.size, name, axis.one)


def same_sizes(
    a: TensorType, b: TensorType, facts: Facts = Facts.empty, ask: Callable[[Dim, Dim, Facts], Truth] = equal
) -> Mismatch | None:
    """None where both types have equal rank and sizes, without any broadcast; else the first disagreement. `demand`
    asks where they have to."""
    if a.rank != b.rank:
        return Mismatch(None, None, "rank")
    for i, (left, right) in enumerate(zip(a.axes, b.axes, strict=True)):
        truth = ask(left.size, right.size, facts)
        if truth is not Truth.YES:
            return Mismatch(i, i, "size", truth)
    return None


def _kind(a: TensorType, b: TensorType) -> str:
    return a.kind if a.kind == b.kind else "real"
