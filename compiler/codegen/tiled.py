"""Stacks of products on the micro-kernel: for each place of the other axes, a matrix product of strided operands.

The tile wants the columns of the result and of one operand side by side. Where an operand's terms lie side by side
instead (the keys in Q K), its matrix is turned on the stack first. Columns that are no whole vectors, and so would
overhang, are computed beside and copied; so is, block by block, what depends on a run-time dimension. What has no such
form is left to loops (`contractions.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dlc.compiler.codegen.body import offset_text
from dlc.compiler.codegen.fuse import INNER
from dlc.compiler.codegen.layout import Stride, about, count_text, factor_text, fixed, round_up
from dlc.compiler.codegen.loops import INDENT, indented
from dlc.compiler.codegen.sliding import LARGEST_TILE
from dlc.compiler.codegen.views import Strided

if TYPE_CHECKING:
    from dlc.compiler.codegen.contractions import Along, Stack
    from dlc.compiler.codegen.kernels import KernelWriter

BLOCK = 48
"""Rows of a block where sizes are not known."""

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

    @property
    def known(self) -> bool:
        """Whether all sizes and strides that count are numbers, and the result is small enough for the stack."""
        axes = (self.rows[1], self.columns[1], self.depth)
        sizes = [axis.size for axis in axes if isinstance(axis.size, int)]
        strides = [self.of_rows(self.rows[1]), self.of_rows(self.depth), self.rows[1].made]
        small = len(sizes) == len(axes) and max(sizes[0], sizes[2]) * sizes[1] <= LARGEST_TILE
        return small and all(isinstance(stride, int) for stride in strides)

    def of_rows(self, axis: Along) -> Stride:
        """The stride of the operand with the rows."""
        return axis.left if self.rows_first else axis.right

    def of_columns(self, axis: Along) -> Stride:
        return axis.right if self.rows_first else axis.left


def tiled(made: Stack) -> Tiled | None:
    """A stack for the tile; None where it cannot be one."""
    axes = [pair for pair in zip(made.point, made.made, strict=True) if pair[0] != "i"]
    column = next((pair for pair in axes if pair[1].made == 1), None)
    if column is None or len(made.summed) != 1 or (column[1].left == 0) == (column[1].right == 0):
        return None
    rows_first, (depth,) = column[1].left == 0, made.summed
    own = [pair for pair in axes if (pair[1].right if rows_first else pair[1].left) == 0 and pair is not column]
    if not own:
        return None
    rows = max(own, key=lambda pair: about(pair[1].size))
    others = tuple(pair for pair in axes if pair not in (rows, column))
    step, along = (column[1].right, depth.right) if rows_first else (column[1].left, depth.left)
    plan = Tiled(rows, column, depth, others, rows_first, turned=step != 1)
    from_row = step if plan.turned else along
    fits = isinstance(from_row, int) and 1 in (step, along) and about(rows[1].size) > 1
    if plan.turned:  # on the stack
        fits = fits and isinstance(depth.size, int) and depth.size * BLOCK <= LARGEST_TILE
    return plan if fits else None


def on_the_tile(writer: KernelWriter, made: Stack, plan: Tiled, result: str, start: str) -> list[str]:
    """The elements of a row: `result` is the text of one, `start` the address of the row's first."""
    given = (made.left, made.right) if plan.rows_first else (made.right, made.left)
    (row, rows), (column, columns) = plan.rows, plan.columns
    outermost = row == INNER[0]
    begin = "begin" if outermost else "0"
    ends = {row: "(end - 1)" if outermost else f"({count_text(rows.size)} - 1)"}
    ends[column] = f"({count_text(columns.size)} - 1)"
    steps = [[of(axis) for axis in (*made.made, plan.depth)] for of in (plan.of_rows, plan.of_columns)]
    a, b = (
        _address(writer, made, operand, strides, {row: begin, column: "0"})
        for operand, strides in zip(given, steps, strict=True)
    )
    lines = [
        line
        for operand, strides in zip(given, steps, strict=True)
        for line in _inside(writer, made, operand, strides, ends, plan.depth)
    ]
    lines += (_at_once if plan.known else _in_blocks)(writer, made, plan, result, (a, b, start))
    for index, axis in reversed(plan.others):
        limits = "begin, end" if index == INNER[0] else count_text(axis.size)
        lines = [f"for {index} in range({limits}):", *indented(lines)]
    return lines


Addresses = tuple[str, str, str]
"""Of the operand with the rows, of that with the columns, and of the result's row."""


def _at_once(writer: KernelWriter, made: Stack, plan: Tiled, result: str, at: Addresses) -> list[str]:
    """Whole matrices."""
    item, lanes = writer.target.item, writer.target.cpu.lanes(writer.target.dtype)
    (row, rows), (column, columns) = plan.rows, plan.columns
    width, depth, height = (fixed(axis.size or 0) for axis in (columns, plan.depth, rows))
    a, b, start = at
    begin, count = ("begin", "end - begin") if row == INNER[0] else ("0", str(height))
    wide = round_up(width, lanes)
    lines: list[str] = []
    b_k = plan.of_columns(plan.depth)
    if plan.turned:
        lines += _turned(writer, b, fixed(plan.of_columns(columns)), wide, str(width), depth)
        b, b_k = "turned", wide
    direct = width == wide
    c, c_row = "beside_start", wide
    if direct:
        strides = [axis.made * item for axis in made.made]
        c = _sum(start, offset_text(_placed(made, {row: begin, column: "0", "i": "0"}), strides))
        c_row = fixed(rows.made)
    else:
        lines.append(f"beside_start = {writer.body.scratch(height * wide * item)}")
    most = len(writer.target.cpu.tiles)
    for first in range(0, wide, most * lanes):
        vectors = min(most, (wide - first) // lanes)
        a_row, a_k = fixed(plan.of_rows(rows)), fixed(plan.of_rows(plan.depth))
        panel = writer.panel(a_row, a_k, fixed(b_k), c_row, vectors, depth, exact=True)
        moved = f" + {first * item}" if first else ""
        lines.append(f"{panel}({a}, {b}{moved}, {c}{moved}, {count}, {depth})")
    if direct:
        return lines
    limits = "begin, end" if row == INNER[0] else str(height)
    return [
        *lines,
        "beside = real_at(beside_start)",
        f"for {row} in range({limits}):",
        f"{INDENT}for {column} in range({width}):",
        f"{INDENT}{INDENT}{result} = beside[({row} - {begin}) * {wide} + {column}]",
    ]


def _in_blocks(writer: KernelWriter, made: Stack, plan: Tiled, result: str, at: Addresses) -> list[str]:
    """Blocks of some rows and columns, each computed beside and copied."""
    item, lanes = writer.target.item, writer.target.cpu.lanes(writer.target.dtype)
    (row, rows), (column, columns) = plan.rows, plan.columns
    most = len(writer.target.cpu.tiles) * lanes
    wide = min(most, round_up(columns.size, lanes)) if isinstance(columns.size, int) else most
    a, b, _ = at
    begin, end = ("begin", "end") if row == INNER[0] else ("0", count_text(rows.size))
    a_row, a_k = (factor_text(plan.of_rows(axis)) for axis in (rows, plan.depth))
    b_k = wide if plan.turned else fixed(plan.of_columns(plan.depth))
    name = f"strided_panel_{b_k}_{wide}_{wide // lanes}"
    writer.panels[name] = f"{name} = strided_panel({writer.target.dtype!r}, {b_k}, {wide}, {wide // lanes})"
    step = factor_text(plan.of_columns(columns) * item)
    block = [f"b_start = {b} + side * {step}"]
    if plan.turned:
        block += _turned(
            writer, "b_start", fixed(plan.of_columns(columns)), wide, "last_side - side", fixed(plan.depth.size or 0)
        )
    a = f"{a} + (top - {begin}) * {factor_text(plan.of_rows(rows) * item)}"
    given = "turned" if plan.turned else "b_start"
    depth = count_text(plan.depth.size)
    return [
        f"beside_start = {writer.body.scratch(BLOCK * wide * item)}",
        "beside = real_at(beside_start)",
        f"for side in range(0, {count_text(columns.size)}, {wide}):",
        *indented(
            [
                f"last_side = min(side + {wide}, {count_text(columns.size)})",
                *block,
                f"for top in range({begin}, {end}, {BLOCK}):",
                f"{INDENT}bottom = min(top + {BLOCK}, {end})",
                f"{INDENT}{name}({a}, {given}, beside_start, bottom - top, {depth}, {a_row}, {a_k})",
                f"{INDENT}for {row} in range(top, bottom):",
                f"{INDENT}{INDENT}for {column} in range(side, last_side):",
                f"{INDENT * 3}{result} = beside[({row} - top) * {wide} + {column} - side]",
            ]
        ),
    ]


def _turned(writer: KernelWriter, source: str, from_row: int, wide: int, width: str, depth: int) -> list[str]:
    """The operand with the columns, so that these lie side by side."""
    name = f"move_{from_row}_{wide}"
    dtype = writer.target.dtype
    writer.panels[name] = f"{name} = transpose({dtype!r}, source_row={from_row}, target_row={wide})"
    room = writer.body.scratch(depth * wide * writer.target.item)
    return [f"turned = {room}", f"{name}({source}, turned, {width}, {depth})"]


def _address(
    writer: KernelWriter, made: Stack, operand: Strided, strides: Sequence[Stride], places: Mapping[str, str]
) -> str:
    """The address of an operand's first term, with some indices at other places."""
    item = writer.target.item
    point = (*_placed(made, places), "0")
    offset = offset_text(point, [stride * item for stride in strides], operand.offset * item)
    return _sum(writer.arguments.address(writer.place[operand.base]), offset)


def _inside(
    writer: KernelWriter,
    made: Stack,
    operand: Strided,
    strides: Sequence[Stride],
    places: Mapping[str, str],
    depth: Along,
) -> list[str]:
    """Under check: the last element that a product reads of an operand lies inside its buffer."""
    if not writer.target.check:
        return []
    last = offset_text((*_placed(made, places), f"({count_text(depth.size)} - 1)"), strides, operand.offset)
    return [f"inside({last}, {writer.arguments.end(writer.place[operand.base])}, {writer.arguments.flag})"]


def _placed(made: Stack, places: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(places.get(index, index) for index in made.point)


def _sum(start: str, offset: str) -> str:
    return start if offset == "0" else f"{start} + {offset}"
