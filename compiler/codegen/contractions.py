"""Stacks of matrix products: an `einsum` of two operands that share axes which the result keeps, and have others each.

Every other contraction is a matrix product or a sum of products element by element (`forms.py`). A stack is written as
loops over the result and the sum, around whatever strides the operands have; the innermost one runs over elements of
the result that lie side by side, where the operands allow it, so that it becomes vector code.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlc.compiler.codegen.body import offset_text
from dlc.compiler.codegen.fuse import INNER, canonical
from dlc.compiler.codegen.layout import Count, Stride, about, count_text, factor_text, layout_of, sizes_of
from dlc.compiler.codegen.loops import indented
from dlc.compiler.codegen.tiled import on_the_tile, tiled
from dlc.compiler.codegen.views import Strided, reached
from dlc.compiler.ir import Node
from dlc.compiler.ops.contraction import labels_of

if TYPE_CHECKING:
    from dlc.compiler.codegen.kernels import KernelWriter

CHUNK = 256
"""Terms of a long sum that are added to each other before they are added to the rest."""

LONGEST = 4096
"""Elements of the result that are summed up side by side, at most: they stay in the first cache."""


@dataclass(frozen=True, slots=True)
class Along:
    """An axis of a stack: its size, and the strides of both operands and of the result along it, 0 where they have no
    such axis."""

    size: Count
    left: Stride
    right: Stride
    made: Stride


@dataclass(frozen=True)
class Stack:
    """A stack of products as strides, without axes of size 1. `made` are the result's axes as they are in `point`, the
    index of an element; `summed` the others, outermost first."""

    left: Strided
    right: Strided
    point: tuple[str, ...]
    made: tuple[Along, ...]
    summed: tuple[Along, ...]

    @property
    def side_by_side(self) -> int | None:
        """Which axis of the result is the innermost loop: the elements along it, and the operands' that they need, lie
        one after the other."""
        for place, axis in enumerate(self.made):
            near = axis.made == 1 and {axis.left, axis.right} <= {0, 1}
            if near and isinstance(axis.size, int) and axis.size <= LONGEST:
                return place
        return None


def stack_of(node: Node, at_hand: Container[Node]) -> Stack:
    """The strides of a contraction; values `at_hand` lie in memory."""
    left, right = (reached(operand, at_hand) for operand in node.inputs)
    every = labels_of(node)
    sizes: dict[str, Count] = {}
    for labels, value in zip(every, (*node.inputs, node), strict=True):
        sizes |= dict(zip(labels, sizes_of(value.type), strict=True))
    strides = (left.strides, right.strides, layout_of(node.type, node).strides)
    known = [dict(zip(labels, steps, strict=True)) for labels, steps in zip(every, strides, strict=True)]

    def along(label: str) -> Along:
        return Along(sizes[label], *(steps.get(label, 0) for steps in known))

    wide = [label for label in every[2] if sizes[label] != 1]
    gone = [label for label in every[0] if sizes[label] != 1 and label not in wide]
    point = tuple(index for index in canonical(node) if index != "0")
    return Stack(left, right, point, tuple(map(along, wide)), tuple(map(along, gone)))


# --- the text --------------------------------------------------------------------------------------------------------


def stack(writer: KernelWriter) -> list[str]:
    """One row of the result, or a part of it, and what follows, element by element, while it is hot."""
    anchor, part, item = writer.group.anchor, writer.units.part, writer.target.item
    assert anchor is not None
    outer, across = writer.group.domain[1][0], about(outermost_stride(anchor))
    lines = writer.block() if part else [f"i, begin, end = unit, 0, {count_text(outer)}"]
    direct = writer.made_in_place()
    if direct is None:
        tile = writer.body.tiles[anchor] = writer.arguments.fresh(f"{writer.names[anchor]}_tile")
        room = writer.body.scratch((part or about(outer)) * across * item)
        start = f"{tile}_start"
        lines += [f"{start} = {room} - begin * {across * item}", f"{tile} = real_at({start})"]
        result = f"{tile}[{writer.body.inside_row(anchor, canonical(anchor))}]"
    else:
        result = writer.body.element(direct, canonical(anchor))
        row = layout_of(anchor.type, anchor).row_length
        start = f"{writer.arguments.address(direct)} + i * {factor_text(row * item)}"
    made = stack_of(anchor, writer.group.bases)
    plan = tiled(made)
    lines += products(writer, made, result) if plan is None else on_the_tile(writer, made, plan, result, start)
    stores = [(node, buffer) for node, buffer in writer.stores if buffer is not direct]
    if not stores and not writer.group.totals and not writer.group.sums:
        return lines
    return [*lines, *writer.over_rows(writer.loops(stores, {anchor: ""}), one=True)]


def outermost_stride(node: Node) -> Stride:
    """Elements from one place of a row's outermost axis to the next."""
    layout = layout_of(node.type, node)
    return next(layout.strides[axis] for axis in layout.inner if layout.sizes[axis] != 1)


def products(writer: KernelWriter, made: Stack, result: str) -> list[str]:
    """The elements of a row, written to `result`: each sum by itself, or those that lie side by side together."""
    names = [writer.arguments.fresh("d") for _ in made.summed]
    indices, axes = (*made.point, *names), (*made.made, *made.summed)
    left, right = (
        writer.body.at(writer.place[operand.base], offset_text(indices, steps, operand.offset))
        for operand, steps in ((made.left, tuple(a.left for a in axes)), (made.right, tuple(a.right for a in axes)))
    )
    near = made.side_by_side
    depth = list(zip(names, (axis.size for axis in made.summed), strict=True))
    if near is None:
        lines = added_up(depth, "sums", "parts", lambda to: [f"{to} += {left} * {right}"], list)
        lines.append(f"{result} = sums")
    else:
        index, axis = made.point[near], made.made[near]
        assert isinstance(axis.size, int)
        beside = [(index, axis.size)]
        ahead = [] if axis.left and axis.right else [f"x = {right if axis.left else left}"]
        first, second = (left if axis.left else "x"), (right if axis.right else "x")
        room = [f"real_at({writer.body.scratch(axis.size * writer.target.item)})" for _ in range(2)]
        lines = [f"sums, parts = ({', '.join(room)})"]
        lines += added_up(
            depth,
            f"sums[{index}]",
            f"parts[{index}]",
            lambda to: [*ahead, *looped(beside, [f"{to} += {first} * {second}"])],
            lambda each: looped(beside, each),
        )
        lines += looped(beside, [f"{result} = sums[{index}]"])
    others = [(made.point[place], axis.size) for place, axis in enumerate(made.made) if place != near]
    return looped([(index, size) for index, size in sorted(others) if index != "i"], lines)


def added_up(
    depth: Sequence[tuple[str, Count]],
    whole: str,
    part: str,
    term: Callable[[str], list[str]],
    over: Callable[[list[str]], list[str]],
) -> list[str]:
    """The loops of a sum: `term` adds one term to `whole`, or, where there are many, to a `part` that is then added to
    it; `over` repeats a statement for every sum of several."""
    rest, inner, terms = list(depth), list[tuple[str, Count]](), 1
    while rest and isinstance(size := rest[-1][1], int) and terms * size <= CHUNK:
        inner.insert(0, rest.pop())
        terms *= size
    if not rest:
        return [*over([f"{whole} = real(0)"]), *looped(inner, term(whole))]
    name, many = rest.pop()
    step = max(CHUNK // terms, 1)
    each = [
        *over([f"{part} = real(0)"]),
        f"for {name} in range(chunk, min(chunk + {step}, {count_text(many)})):",
        *indented(looped(inner, term(part))),
        *over([f"{whole} += {part}"]),
    ]
    chunks = [f"for chunk in range(0, {count_text(many)}, {step}):", *indented(each)]
    return [*over([f"{whole} = real(0)"]), *looped(rest, chunks)]


def looped(axes: Sequence[tuple[str, Count]], lines: list[str]) -> list[str]:
    """Statements in a loop for each axis; a unit has the places `begin` to `end` of the outermost one inside a row."""
    for index, size in reversed(axes):
        limits = "begin, end" if index == INNER[0] else count_text(size)
        lines = [f"for {index} in range({limits}):", *indented(lines)]
    return lines
