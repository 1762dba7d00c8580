"""Stacks of products on the micro-kernel: for each place of the other axes, a matrix product of strided operands.

The tile wants the columns of the result and of one operand side by side. Where an operand's terms lie side by side
instead (the keys in Q K), its matrix is turned on the stack first. Columns that are no whole vectors, and so would
overhang, are computed beside and copied. Sizes and strides have to be numbers here; else loops do it
(`contractions.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dlc.compiler.codegen.body import offset_text
from dlc.compiler.codegen.fuse import INNER
from dlc.compiler.codegen.layout import count_text, fixed, round_up
from dlc.compiler.codegen.loops import INDENT, indented
from dlc.compiler.codegen.sliding import LARGEST_TILE
from dlc.compiler.codegen.views import Strided

if TYPE_CHECKING:
    from dlc.compiler.codegen.contractions import Along, Stack
    from dlc.compiler.codegen.kernels import KernelWriter

Index: TypeAlias = "tuple[str, Along]"


@dataclass(frozen=True)
class Tiled:
    """A stack as matrix products. `columns` lie side by side in the result, and belong to one operand, `rows` belong
    to the other one; the products are repeated along the `others`. The operand with the columns has to be `turned`
    where its terms lie side by side."""

    rows: Index
    columns: Index
    depth: Along
    others: tuple[Index, ...]
    rows_first: bool
    turned: bool

    def of_rows(self, axis: Along) -> int:
        """The stride of the operand with the rows."""
        return fixed(axis.left if self.rows_first else axis.right)

    def of_columns(self, axis: Along) -> int:
        return fixed(axis.right if self.rows_first else axis.left)


def tiled(made: Stack) -> Tiled | None:
    """A stack for the tile; None where it cannot be one."""
    axes = [pair for pair in zip(made.point, made.made, strict=True) if pair[0] != "i"]
    numbers = [number for axis in (*made.made, *made.summed) for number in (axis.left, axis.right, axis.made)]
    known = all(isinstance(axis.size, int) for _, axis in axes) and len(made.summed) == 1
    column = next((pair for pair in axes if pair[1].made == 1), None)
    if column is None or not known or not all(isinstance(number, int) for number in numbers):
        return None
    rows_first, (depth,) = column[1].left == 0, made.summed
    if (column[1].left == 0) == (column[1].right == 0) or not isinstance(depth.size, int):
        return None
    own = [pair for pair in axes if (pair[1].right if rows_first else pair[1].left) == 0 and pair is not column]
    if not own:
        return None
    rows = max(own, key=lambda pair: fixed(pair[1].size or 0))
    step, along = (column[1].right, depth.right) if rows_first else (column[1].left, depth.left)
    others = tuple(pair for pair in axes if pair not in (rows, column))
    large = max(fixed(rows[1].size or 0), depth.size) * fixed(column[1].size or 0) > LARGEST_TILE
    if fixed(rows[1].size or 0) < 2 or 1 not in (step, along) or large:
        return None
    return Tiled(rows, column, depth, others, rows_first, step != 1)


def on_the_tile(writer: KernelWriter, made: Stack, plan: Tiled, result: str, start: str) -> list[str]:
    """The elements of a row: `result` is the text of one, `start` the address of the row's first."""
    item, lanes = writer.target.item, writer.target.cpu.lanes(writer.target.dtype)
    (row, rows), (column, columns) = plan.rows, plan.columns
    width, depth = fixed(columns.size or 0), fixed(plan.depth.size or 0)
    wide, outermost = round_up(width, lanes), row == INNER[0]
    begin, count = ("begin", "end - begin") if outermost else ("0", str(rows.size))
    given = (made.left, made.right) if plan.rows_first else (made.right, made.left)
    ends = {row: "(end - 1)" if outermost else str(fixed(rows.size or 0) - 1), column: str(width - 1)}
    steps = [[of(axis) for axis in (*made.made, plan.depth)] for of in (plan.of_rows, plan.of_columns)]
    a, b = (
        _address(writer, made, operand, strides, {row: begin, column: "0"})
        for operand, strides in zip(given, steps, strict=True)
    )
    lines = [
        line
        for operand, strides in zip(given, steps, strict=True)
        for line in _inside(writer, made, operand, strides, ends, depth)
    ]
    b_k = plan.of_columns(plan.depth)
    if plan.turned:
        lines += _turned(writer, b, plan.of_columns(columns), wide, width, depth)
        b, b_k = "turned", wide
    direct = width == wide
    if direct:
        strides = [fixed(axis.made) * item for axis in made.made]
        c = _sum(start, offset_text(_placed(made, {row: begin, column: "0", "i": "0"}), strides))
    else:
        lines.append(f"beside_start = {writer.body.scratch(fixed(rows.size or 0) * wide * item)}")
        c = "beside_start"
    c_row = fixed(rows.made) if direct else wide
    most = len(writer.target.cpu.tiles)
    for first in range(0, wide, most * lanes):
        vectors = min(most, (wide - first) // lanes)
        a_row, a_k = plan.of_rows(rows), plan.of_rows(plan.depth)
        panel = writer.panel(a_row, a_k, b_k, c_row, vectors, depth, exact=True)
        moved = f" + {first * item}" if first else ""
        lines.append(f"{panel}({a}, {b}{moved}, {c}{moved}, {count}, {depth})")
    if not direct:
        copied = [f"{result} = beside[({row} - {begin}) * {wide} + {column}]"]
        lines.append("beside = real_at(beside_start)")
        limits = "begin, end" if outermost else str(rows.size)
        lines += [f"for {row} in range({limits}):", f"{INDENT}for {column} in range({width}):", *indented(copied, 2)]
    for index, axis in reversed(plan.others):
        limits = "begin, end" if index == INNER[0] else count_text(axis.size)
        lines = [f"for {index} in range({limits}):", *indented(lines)]
    return lines


def _turned(writer: KernelWriter, source: str, from_row: int, wide: int, width: int, depth: int) -> list[str]:
    """The operand with the columns, so that these lie side by side."""
    name = f"move_{from_row}_{wide}"
    dtype = writer.target.dtype
    writer.panels[name] = f"{name} = transpose({dtype!r}, source_row={from_row}, target_row={wide})"
    room = writer.body.scratch(depth * wide * writer.target.item)
    return [f"turned = {room}", f"{name}({source}, turned, {width}, {depth})"]


def _address(writer: KernelWriter, made: Stack, operand: Strided, strides: list[int], places: dict[str, str]) -> str:
    """The address of an operand's first term, with some indices at other places."""
    item = writer.target.item
    point = (*_placed(made, places), "0")
    offset = offset_text(point, [stride * item for stride in strides], fixed(operand.offset) * item)
    return _sum(writer.arguments.address(writer.place[operand.base]), offset)


def _inside(
    writer: KernelWriter, made: Stack, operand: Strided, strides: list[int], places: dict[str, str], depth: int
) -> list[str]:
    """Under check: the last element that a product reads of an operand lies inside its buffer."""
    if not writer.target.check:
        return []
    last = offset_text((*_placed(made, places), str(depth - 1)), strides, operand.offset)
    return [f"inside({last}, {writer.arguments.end(writer.place[operand.base])}, {writer.arguments.flag})"]


def _placed(made: Stack, places: dict[str, str]) -> tuple[str, ...]:
    return tuple(places.get(index, index) for index in made.point)


def _sum(start: str, offset: str) -> str:
    return start if offset == "0" else f"{start} + {offset}"
