"""How the work of a kernel is cut into units, which threads share out.

Units do not depend on the number of threads, so that partial sums do not either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dlc.compiler.codegen.fuse import Group, costly
from dlc.compiler.codegen.host.machine import Dtype, Host
from dlc.compiler.codegen.layout import LANES, ROW_BLOCK, Count, Size, Stride, about, layout_of, round_up, size_of
from dlc.compiler.codegen.layout import product as elements
from dlc.compiler.codegen.products import Product, product_of
from dlc.compiler.codegen.sliding import RESULT, geometry_of, rows_of_unit
from dlc.compiler.codegen.stored import loop_of
from dlc.compiler.codegen.values import Role, role
from dlc.compiler.dims import Dim
from dlc.compiler.ir import Node
from dlc.compiler.ops import OPS

TALLEST = 12
"""Tiles of the tallest kind that a unit of a product has: its rows of A stay in the second cache, and no lower tile is
needed but at the end."""
PACKED_ROWS, PACKED_UNITS = (72, 288), 8
"""Rows that a unit of a product with a packed operand has, at least and at most: they share what is packed. Within
that, so many units at least."""
SWEEP = 1024
"""Elements of a vector that are summed up together: they and one row of the operand stay in the first cache."""
COLUMNS = 64
ELEMENTS = 2048
"""Elements that a unit of a row kernel works on, about."""
PART = 16384
"""Elements of a part of a row, about, where one row is enough work for several threads."""
FILTER_UNITS, FILTER_ROOM = (4, 16), 1 << 19
"""Parts in which the gradient of filters is summed up, at least and at most, and the elements that all should have."""

COSTLY, CHEAP = 64, 8
"""Operations that an elementwise value counts for, an exponential or a sum, beside the one of a multiply-add."""


@dataclass(frozen=True, slots=True)
class Units:
    """`times` units for each `block` rows; `work` is about how many operations the kernel does,
    as a function of m. Where a unit is a part of one row, `part` is how many places of the row's outermost axis."""

    rows: Count
    block: int
    times: int
    work: Size
    part: int = 0

    def room(self, bytes: Stride) -> Size:
        """Room for so many bytes a unit."""
        each = Size(Dim.of(bytes)).times(self.times)
        if not isinstance(self.rows, int):
            all_rows = size_of(self.rows).times(each.dim).dim.terms
            many = Size(Dim({monomial: math.ceil(count / self.block) for monomial, count in all_rows.items()}))
            return (many + each).in_lines(64)
        return each.times(math.ceil(self.rows / self.block)).in_lines(64)


@dataclass(frozen=True, slots=True)
class Tile:
    """The columns of a product cut for the tile: a unit does `columns` of them, a panel of `vectors` vectors; the last
    of `times` units side by side may have a panel of `rest` vectors instead."""

    columns: int
    vectors: int
    rest: int
    times: int


def tile_of(product: Product, cpu: Host, dtype: Dtype) -> Tile:
    """Panels as wide as the CPU likes them; what is left over is a narrower one."""
    lanes, vectors = cpu.lanes(dtype), len(cpu.tiles)
    full, rest = divmod(-(-about(product.layout.width) // lanes), vectors)
    if not full:
        return Tile(rest * lanes, rest, 0, 1)
    return Tile(vectors * lanes, vectors, rest, full + (1 if rest else 0))


def units_of(group: Group, cpu: Host, dtype: Dtype, product: Product | None = None) -> Units:
    """The units of a group's kernel."""
    rows, inner = group.domain
    width = about(elements(inner))
    if product is not None:
        return product_units(group, product, cpu, dtype)
    if group.kind == "columns":
        (operand,) = group.reduction.inputs
        folded = layout_of(operand.type, operand).rows
        return Units(rows, COLUMNS, 1, size_of(folded).times(rows if isinstance(rows, int) else 1))
    if group.kind == "scatter":
        return Units(elements(inner), COLUMNS, 1, Size.of(0, width))
    if group.kind == "transpose" and group.anchor is not None and group.anchor.type.rank > 2:
        *window, turned, other = layout_of(group.anchor.type, group.anchor).known
        count = math.prod(window)
        return Units(count, 1, math.ceil(turned / COLUMNS), Size.of(CHEAP * count * turned * other))
    if group.kind == "transpose":
        return Units(rows, LANES, 1, size_of(rows).times(CHEAP * width))
    if group.kind == "filters":
        assert isinstance(rows, int)
        parts = min(max(FILTER_ROOM // (width * rows), FILTER_UNITS[0]), FILTER_UNITS[1])
        parts = 1 << (parts.bit_length() - 1)
        return Units(parts, 1, 1, work_of(group.sums[0]))
    if group.kind in ("slid", "stack"):
        assert group.anchor is not None
        work = work_of(group.anchor) + size_of(rows).times(row_work(group))
        stack = group.kind == "stack"
        if not all(isinstance(size, int) for size in inner) or (stack and follows_rows(group)):
            return Units(rows, 1, 1, work)
        outer = about(inner[0]) if stack else geometry_of(group.anchor).made(group.anchor.op)[0]
        part = max(RESULT * outer // width, 1) if stack else rows_of_unit(group.anchor)
        return Units(rows, 1, math.ceil(outer / part), work, part if part < outer else 0)
    width = max([width, *(about(layout_of(node.type, node).width) for node in group.members)])
    work = size_of(rows).times(row_work(group))
    if len(inner) > 1 and width > PART and splits(group) and all(isinstance(size, int) for size in inner):
        outer = about(inner[0])
        part = max(PART // (width // outer), 1)
        return Units(rows, 1, math.ceil(outer / part), work, part)
    block = min(max(ELEMENTS // width, 1), 1024)
    return Units(rows, block if block < LANES else round_up(block, LANES), 1, work)


def follows_rows(group: Group) -> bool:
    """Whether something of a stack's group needs entire rows of it."""
    return group.whole and any(role(node) is Role.REDUCED and node not in group.totals for node in group.computed)


def splits(group: Group) -> bool:
    """Whether a row can be shared out: nothing of it needs another part of it."""
    return group.kind in ("rows", "gather") and all(
        loop_of(node) == group.domain[1]
        and (node in group.totals or node in group.sums or role(node) is not Role.REDUCED)
        for node in group.computed
    )


def work_of(node: Node) -> Size:
    """The operations of a convolution, of windows, or of a stack of products."""
    work = OPS[node.op].work(node)
    fixed = about(work, m=0)
    return Size.of(fixed // 2, (about(work, m=1) - fixed) // 2)


def product_units(group: Group, product: Product, cpu: Host, dtype: Dtype) -> Units:
    rows, width = product.layout.rows, about(product.layout.width)
    if isinstance(product.depth, int):
        work = size_of(rows).times(product.depth * width + row_work(group))
    else:
        many = rows if isinstance(rows, int) else 0
        work = Size.of(many * row_work(group)) + size_of(product.depth).times(many * width)
    if product.form == "tile":
        times, tallest = tile_of(product, cpu, dtype).times, cpu.tiles[-1][0]
        block = TALLEST * tallest
        if product.packs:
            fewest, most = PACKED_ROWS
            blocks = max(-(-about(rows) // most), -(-PACKED_UNITS // times))
            block = round_up(max(-(-about(rows) // blocks), fewest), tallest)
        return Units(rows, round_up(block, ROW_BLOCK), times, work)
    return Units(rows, SWEEP if product.form == "sweep" else LANES, 1, work)


def row_work(group: Group) -> int:
    """About how many operations the members need for one row, the product left out."""
    members = [node for node in group.computed if not group.given(node)]
    return sum(max(about(layout_of(n.type, n).width), LANES) * (COSTLY if costly(n) else CHEAP) for n in members)


def product_of_group(group: Group) -> Product | None:
    """The product that anchors a group."""
    anchor: Node | None = group.anchor
    return product_of(anchor, group.bases) if group.kind == "contraction" and anchor is not None else None
