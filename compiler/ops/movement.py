"""The same elements in another place or shape. Axes are positions, sizes in attributes are dimensions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import ONE, Axis, Dim, Facts, Symbol, TensorType, Truth, demand
from dlc.compiler.ops.base import Bad, Movement, Sample, ShapeError, axes_in_place, op, ordinal
from dlc.compiler.ops.numeric import np

if TYPE_CHECKING:
    from dlc.compiler.ir import Builder, Node


def axes_of(*sizes: int) -> tuple[Axis, ...]:
    """Axes of known sizes, for samples; a 1 is a written 1."""
    return tuple(Axis(Dim.of(size), one=size == 1) for size in sizes)


@op("rename")
class Rename(Movement):
    """The same value; an annotation gave its axes new names or marked written 1s. `Builder.typed` states the type."""

    samples = (Sample(((3, 4),)),)

    def type(self, facts: Facts, x: TensorType) -> TensorType:
        return x

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [ct]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        return [axes_in_place(node.inputs[0])]

    def reference(self, x: Any) -> Any:
        return x


@op("transpose")
class Transpose(Movement):
    """`x.T`: rows become columns."""

    samples = (Sample(((3, 4),)),)
    bad = (Bad(((3,),), "D114"), Bad(((2, 3, 4),), "D114"))

    def type(self, facts: Facts, x: TensorType) -> TensorType:
        if x.rank != 2:
            raise ShapeError(
                "D114",
                f"{{0}} has {x.rank} {'axis' if x.rank == 1 else 'axes'}, {x}: only a matrix has a transpose",
                [(0, None)],
                rule=".T turns (n, m) into (m, n)",
                help="use rearrange to move the axes of other tensors",
            )
        return replace(x, axes=x.axes[::-1])

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [b.add("transpose", ct)]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        return [{0: (1, 0), 1: (0, 0)}]

    def reference(self, x: Any) -> Any:
        return x.T


@op("permute")
class Permute(Movement):
    """Axis i of the result is axis `order[i]` of x."""

    samples = (Sample(((2, 3, 4),), (("order", (2, 0, 1)),)),)

    def type(self, facts: Facts, x: TensorType, *, order: tuple[int, ...]) -> TensorType:
        return x.with_axes(tuple(x.axes[axis] for axis in order))

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        order = node.attr("order")
        return [b.add("permute", ct, order=tuple(order.index(axis) for axis in range(len(order))))]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        return [{axis: (i, 0) for i, axis in enumerate(node.attr("order"))}]

    def reference(self, x: Any, *, order: tuple[int, ...]) -> Any:
        return np.transpose(x, order)


@op("reshape")
class Reshape(Movement):
    """The elements in their order (the last axis runs fastest), under other `axes` with the same product."""

    samples = (
        Sample(((2, 3, 4),), (("axes", axes_of(6, 4)),)),
        Sample(((6,),), (("axes", axes_of(1, 6)),)),
        Sample(((1, 1),), (("axes", ()),)),
    )
    bad = (Bad(((2, 3),), "D106", (("axes", axes_of(4, 2)),)),)

    def type(self, facts: Facts, x: TensorType, *, axes: tuple[Axis, ...]) -> TensorType:
        before, after = (math.prod((axis.size for axis in side), start=ONE) for side in (x.axes, axes))
        result = TensorType(axes, x.kind, x.classes)
        if demand(before, after, facts) is not Truth.YES:
            raise ShapeError(
                "D106",
                f"{{0}} has {before} elements and cannot be arranged as {result}, which has {after}",
                [(0, None)],
                rule="an arrangement keeps the number of elements",
            )
        return result

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        """What is merged with others or taken apart. The slowest axis of a group does not count where it is the slowest
        before and after: (m, R, k) as (m*R, k) leaves what belongs to an example side by side."""
        before, after = node.inputs[0].type.sizes, node.type.sizes
        moved: list[int] = []
        for own, new in axis_groups(before, after):
            if len(own) > 1 or len(new) > 1:
                stays = _when_it_runs(before[own[0]]) == _when_it_runs(after[new[0]])
                moved += own[1:] if stays else own
        return [tuple(moved)]

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [b.add("reshape", ct, axes=node.inputs[0].type.axes)]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        """An axis goes on where one of its size stands behind as many elements."""
        before, after = node.inputs[0].type.sizes, node.type.sizes
        starts = {(math.prod(after[:j], start=ONE), size): j for j, size in enumerate(after) if size != ONE}
        places = ((i, starts.get((math.prod(before[:i], start=ONE), size))) for i, size in enumerate(before))
        return [{i: (j, 0) for i, j in places if j is not None}]

    def reference(self, x: Any, *, axes: tuple[int, ...]) -> Any:
        return np.reshape(x, axes)


def axis_groups(before: tuple[Dim, ...], after: tuple[Dim, ...]) -> Iterator[tuple[list[int], list[int]]]:
    """Which axes become which, in the smallest groups; axes of size 1 are in none."""
    ends: dict[Dim, int] = {}
    kept = [i for i, size in enumerate(after) if size != ONE]
    product = ONE
    for count, axis in enumerate(kept, 1):
        product = product * after[axis]
        ends[product] = count
    own: list[int] = []
    product, done = ONE, 0
    for axis, size in enumerate(before):
        if size == ONE:
            continue
        own.append(axis)
        product = product * size
        if ends.get(product, done) > done:
            yield own, kept[done : ends[product]]
            own, done = [], ends[product]


def _when_it_runs(size: Dim) -> frozenset[Symbol]:
    """The dimensions in a size that are known only at run time."""
    return frozenset(symbol for symbol in size.symbols if symbol.kind != "rigid")


@op("broadcast")
class Broadcast(Movement):
    """x repeated along its axes of size 1 (a scalar along all) until it has `axes`."""

    samples = (
        Sample(((3, 1),), (("axes", axes_of(3, 4)),)),
        Sample(((),), (("axes", axes_of(2, 3)),)),
        Sample(((2, 3),), (("axes", axes_of(2, 3)),)),
    )
    bad = (Bad(((3, 2),), "D106", (("axes", axes_of(3, 4)),)), Bad(((3,),), "D106", (("axes", axes_of(3, 4)),)))

    def type(self, facts: Facts, x: TensorType, *, axes: tuple[Axis, ...]) -> TensorType:
        result = TensorType(axes, x.kind, x.classes)
        grows = x.rank == 0 or x.rank == len(axes)
        for have, want in zip(x.axes, axes, strict=False):
            grows = grows and (have.size.constant == 1 or demand(have.size, want.size, facts) is Truth.YES)
        if not grows:
            raise ShapeError(
                "D106",
                f"{{0}} is {x} and cannot be broadcast to {result}",
                [(0, None)],
                rule="broadcast repeats a scalar, or axes of size 1",
            )
        return result

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [ct]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        return [axes_in_place(node.inputs[0])]

    def reference(self, x: Any, *, axes: tuple[int, ...]) -> Any:
        return np.broadcast_to(x, axes)


@op("drop")
class Drop(Movement):
    """x without `axes`, which have size 1."""

    samples = (Sample(((3, 1, 2),), (("axes", (1,)),)), Sample(((1, 1),), (("axes", (0, 1)),)))
    bad = (Bad(((3, 2),), "D106", (("axes", (1,)),)),)

    def type(self, facts: Facts, x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
        for axis in axes:
            if demand(x.axes[axis].size, ONE, facts) is not Truth.YES:
                raise ShapeError(
                    "D106",
                    f"axis {axis + 1} of {{0}} has size {x.axes[axis].size}, so it cannot be dropped: {x}",
                    [(0, axis)],
                    rule="drop removes axes of size 1",
                )
        return x.with_axes(tuple(axis for i, axis in enumerate(x.axes) if i not in axes))

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [b.add("expand", ct, axes=node.attr("axes"))]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        gone = node.attr("axes")
        kept = [axis for axis in range(node.inputs[0].type.rank) if axis not in gone]
        return [{axis: (i, 0) for i, axis in enumerate(kept)}]

    def reference(self, x: Any, *, axes: tuple[int, ...]) -> Any:
        return np.squeeze(x, axis=axes)


@op("expand")
class Expand(Movement):
    """x with new axes, written 1, that stand at the positions `axes` of the result."""

    samples = (Sample(((3, 2),), (("axes", (1,)),)), Sample(((),), (("axes", (0, 1)),)))

    def type(self, facts: Facts, x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
        old = iter(x.axes)
        rank = x.rank + len(axes)
        return x.with_axes(tuple(Axis(ONE, one=True) if i in axes else next(old) for i in range(rank)))

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [b.add("drop", ct, axes=node.attr("axes"))]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        new = node.attr("axes")
        old = [axis for axis in range(node.type.rank) if axis not in new]
        return [{i: (axis, 0) for i, axis in enumerate(old)}]

    def reference(self, x: Any, *, axes: tuple[int, ...]) -> Any:
        return np.expand_dims(x, axes)


@op("position")
class Position(Movement):
    """1, 2, 3, … along `axis` of x; written 1 on all other axes. It depends on the shape of x alone."""

    differentiable = False
    samples = (Sample(((3, 4),), (("axis", 1),)), Sample(((3,),), (("axis", 0),)))

    def type(self, facts: Facts, x: TensorType, *, axis: int) -> TensorType:
        return TensorType(tuple(a if i == axis else Axis(ONE, a.name, one=True) for i, a in enumerate(x.axes)))

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [(node.attr("axis"),)]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        return [axes_in_place(node.inputs[0])]

    def reference(self, x: Any, *, axis: int) -> Any:
        shape = [-1 if i == axis else 1 for i in range(np.ndim(x))]
        return np.arange(1.0, x.shape[axis] + 1.0).reshape(shape)


# --- parts -----------------------------------------------------------------------------------------------------


@op("concat")
class Concat(Movement):
    """The operands one after the other along `axis`."""

    samples = (
        Sample(((2, 3), (4, 3)), (("axis", 0),)),
        Sample(((2, 3), (2, 1), (2, 2)), (("axis", 1),)),
    )
    bad = (Bad(((2, 3), (2, 4)), "D102", (("axis", 0),)), Bad(((2, 3), (2,)), "D103", (("axis", 0),)))

    def type(self, facts: Facts, *types: TensorType, axis: int) -> TensorType:
        first = types[0]
        for number, other in enumerate(types[1:], 1):
            self._fits(facts, first, other, axis, number)
        size = sum((t.axes[axis].size for t in types[1:]), first.axes[axis].size)
        names = [t.axes[axis].name for t in types]
        joined = Axis(size, next((name for name in names if name), None))
        axes = tuple(joined if i == axis else a for i, a in enumerate(first.axes))
        return TensorType(axes, first.kind, first.classes)

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [(node.attr("axis"),)] * len(node.inputs)

    def _fits(self, facts: Facts, first: TensorType, other: TensorType, axis: int, number: int) -> None:
        if first.rank != other.rank:
            raise ShapeError(
                "D103",
                f"{{0}} has {first.rank} axes and {{{number}}} has {other.rank}: {first} and {other}",
                [(0, None), (number, None)],
                rule="concat joins tensors of the same rank",
            )
        for i, (a, b) in enumerate(zip(first.axes, other.axes, strict=True)):
            if i != axis and demand(a.size, b.size, facts) is not Truth.YES:
                raise ShapeError(
                    "D102",
                    f"{{0}} and {{{number}}} differ in the {ordinal(i)} axis: {a.size} against {b.size}, "
                    f"{first} and {other}",
                    [(0, i), (number, i)],
                    rule=f"concat along the {ordinal(axis)} axis needs equal sizes in all others",
                    help=_halved(a.size, b.size),
                )

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        axis, start, parts = node.attr("axis"), Dim.of(0), []
        for operand in node.inputs:
            size = operand.type.axes[axis].size
            parts.append(b.add("slice", ct, axis=axis, start=start, size=size))
            start = start + size
        return parts

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        axis, start, result = node.attr("axis"), 0, []
        for value in node.inputs:
            result.append({**axes_in_place(value), axis: (axis, -start)})
            start += int(value.type.axes[axis].size.constant or 0)
        return result

    def reference(self, *arrays: Any, axis: int) -> Any:
        return np.concatenate(arrays, axis=axis)


@op("slice")
class Slice(Movement):
    """`size` elements of `axis`, from `start` (counted from 0)."""

    samples = (
        Sample(((5, 3),), (("axis", 0), ("size", Dim.of(2)), ("start", Dim.of(1)))),
        Sample(((5, 3),), (("axis", 1), ("size", Dim.of(1)), ("start", Dim.of(2)))),
    )

    def type(self, facts: Facts, x: TensorType, *, axis: int, start: Dim, size: Dim) -> TensorType:
        part = replace(x.axes[axis], size=size)
        return replace(x, axes=tuple(part if i == axis else a for i, a in enumerate(x.axes)), one_hot=False)

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [(node.attr("axis"),)]

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        """The part, and zeros on both sides."""
        axis, axes = node.attr("axis"), node.inputs[0].type.axes
        before: Dim = node.attr("start")
        after = axes[axis].size - before - node.attr("size")
        parts = [_zeros(b, axes, axis, before), ct, _zeros(b, axes, axis, after)]
        return [b.add("concat", *(part for part in parts if part is not None), axis=axis)]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        axis, start = node.attr("axis"), node.attr("start").constant
        kept = axes_in_place(node.inputs[0], but=(axis,))
        return [kept if start is None else {**kept, axis: (axis, int(start))}]

    def reference(self, x: Any, *, axis: int, start: int, size: int) -> Any:
        return np.take(x, np.arange(start, start + size), axis=axis)


def _halved(a: Dim, b: Dim) -> str | None:
    """A size that was odd when it was halved: 250 gives 125, 62, and back 124."""
    if not isinstance((a - b).constant, int) or abs(int((a - b).constant or 0)) != 1:
        return None
    return (
        "an odd size that is halved and doubled again is one smaller: `require n_H % 16 == 0` where it comes in (2 for "
        "each halving), or pad it"
    )


def _zeros(b: Builder, axes: tuple[Axis, ...], axis: int, size: Dim) -> Node | None:
    if size.constant == 0:
        return None
    shape = tuple(replace(a, size=size, one=False) if i == axis else a for i, a in enumerate(axes))
    return b.add("broadcast", b.constant(0.0), axes=shape)


@op("reverse")
class Reverse(Movement):
    """The last element of `axis` first."""

    samples = (Sample(((2, 3),), (("axis", 1),)),)

    def type(self, facts: Facts, x: TensorType, *, axis: int) -> TensorType:
        return x

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [(node.attr("axis"),)]

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [b.add("reverse", ct, axis=node.attr("axis"))]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        return [axes_in_place(node.inputs[0], but=(node.attr("axis"),))]

    def reference(self, x: Any, *, axis: int) -> Any:
        return np.flip(x, axis)


@op("reverse_each")
class ReverseEach(Movement):
    """Each example's own first steps along `axis` turned round; y, of shape (m), says how many those are. What stands
    behind them stays. The examples lie along the axis `examples`."""

    samples = (
        Sample(((2, 3, 4), (3,)), (("axis", 2), ("examples", 1)), low=1, high=5, kinds=("real", "index")),
        Sample(((3, 5), (3,)), (("axis", 1), ("examples", 0)), low=1, high=5, kinds=("real", "index")),
    )

    def type(self, facts: Facts, x: TensorType, y: TensorType, *, axis: int, examples: int) -> TensorType:
        return x

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [(node.attr("axis"),), ()]

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        """The permutation is its own inverse."""
        return [b.add("reverse_each", ct, node.inputs[1], **node.keywords), None]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        return [axes_in_place(node.inputs[0], but=(node.attr("axis"),)), {0: (node.attr("examples"), 0)}]

    def reference(self, x: Any, y: Any, *, axis: int, examples: int) -> Any:
        result = np.array(x)
        to, origin = (np.moveaxis(array, (examples, axis), (0, 1)) for array in (result, x))
        for example, steps in enumerate(np.asarray(y, int)):
            to[example, :steps] = origin[example, :steps][::-1]
        return result


@op("shift")
class Shift(Movement):
    """Each element of `axis` one place later; 0 comes first, the last is lost."""

    samples = (Sample(((2, 3),), (("axis", 1),)), Sample(((1,),), (("axis", 0),)))

    def type(self, facts: Facts, x: TensorType, *, axis: int) -> TensorType:
        return replace(x, one_hot=False)

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [(node.attr("axis"),)]

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        axis = node.attr("axis")
        return [b.add("reverse", b.add("shift", b.add("reverse", ct, axis=axis), axis=axis), axis=axis)]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        axis = node.attr("axis")
        return [{**axes_in_place(node.inputs[0]), axis: (axis, -1)}]

    def reference(self, x: Any, *, axis: int) -> Any:
        shifted = np.roll(x, 1, axis)
        shifted[(slice(None),) * axis + (0,)] = 0.0
        return shifted


# --- by class index --------------------------------------------------------------------------------------------


@op("one_hot")
class OneHot(Movement):
    """Columns that are 1 in the row of their class and 0 elsewhere; the new axis, of `classes`, is `axis`."""

    differentiable = False
    samples = (
        Sample(((4,),), (("axis", 0), ("classes", Dim.of(5))), low=0, high=5, kinds=("index",)),
        Sample(((2, 3),), (("axis", 2), ("classes", Dim.of(5))), low=0, high=5, kinds=("index",)),
    )

    def type(self, facts: Facts, x: TensorType, *, axis: int, classes: Dim) -> TensorType:
        return TensorType((*x.axes[:axis], Axis(classes), *x.axes[axis:]), "real", classes, one_hot=True)

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        axis = node.attr("axis")
        return [{i: (i + (i >= axis), 0) for i in range(node.inputs[0].type.rank)}]

    def reference(self, x: Any, *, axis: int, classes: int) -> Any:
        shape = [classes if i == axis else 1 for i in range(np.ndim(x) + 1)]
        return (np.expand_dims(x, axis) == np.arange(classes).reshape(shape)).astype(float)


@op("gather")
class Gather(Movement):
    """`E @ one_hot(x)` as a look-up: E is (n, V), x holds class indices (m, …), the result is (n, m, …)."""

    samples = (
        Sample(((3, 5), (4,)), low=0, high=5, kinds=("real", "index")),
        Sample(((3, 5), (2, 4)), low=0, high=5, kinds=("real", "index")),
    )

    def type(self, facts: Facts, table: TensorType, x: TensorType) -> TensorType:
        return TensorType((*table.axes[:-1], *x.axes))

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [(node.inputs[0].type.rank - 1,), ()]

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        table, x = node.inputs
        return [b.add("scatter_add", ct, x, axis=table.type.axes[-1]), None]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        table, x = (value.type.rank for value in node.inputs)
        return [axes_in_place(node.inputs[0], but=(table - 1,)), {i: (table - 1 + i, 0) for i in range(x)}]

    def reference(self, table: Any, x: Any) -> Any:
        return np.take(table, np.asarray(x, int), axis=-1)


@op("scatter_add")
class ScatterAdd(Movement):
    """The sums of y's columns (n, m, …) that have the same class index in x (m, …): (n, V), its last axis `axis`."""

    samples = (
        Sample(((3, 6), (6,)), (("axis", Axis(Dim.of(5))),), low=0, high=5, kinds=("real", "index")),
        Sample(((3, 2, 4), (2, 4)), (("axis", Axis(Dim.of(5))),), low=0, high=5, kinds=("real", "index")),
    )

    def type(self, facts: Facts, y: TensorType, x: TensorType, *, axis: Axis) -> TensorType:
        return TensorType((*y.axes[: y.rank - x.rank], axis))

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        """All places of one class index are added up."""
        y, x = (value.type.rank for value in node.inputs)
        return [tuple(range(y - x, y)), tuple(range(x))]

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return [b.add("gather", ct, node.inputs[1]), None]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        y, x = (value.type.rank for value in node.inputs)
        return [axes_in_place(node.inputs[0], but=range(y - x, y)), {}]

    def reference(self, y: Any, x: Any, *, axis: int) -> Any:
        columns = y.reshape(*y.shape[: np.ndim(y) - np.ndim(x)], -1)
        total = np.zeros((*columns.shape[:-1], axis))
        for column, label in enumerate(np.asarray(x, int).ravel()):
            total[..., label] += columns[..., column]
        return total
