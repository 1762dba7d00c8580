"""How the work of a kernel is cut into units, which threads share out.

Units do not depend on the number of threads, so that partial sums do not either.
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

from dlc.compiler.codegen.fuse import Group, costly
from dlc.compiler.codegen.host.machine import Dtype, Host
from dlc.compiler.codegen.layout import LANES, ROW_BLOCK, Size, layout_of, round_up
from dlc.compiler.codegen.products import Product, product_of
from dlc.compiler.ir import Node

TALLEST = 12
"""Tiles of the tallest kind that a unit of a product has: its rows of A stay in the second cache, and no lower tile is
needed but at the end."""
SWEEP = 1024
"""Elements of a vector that are summed up together: they and one row of the operand stay in the first cache."""
COLUMNS = 64
ELEMENTS = 2048
"""Elements that a unit of a row kernel works on, about."""


COSTLY, CHEAP = 64, 8
"""Operations that an elementwise value counts for, an exponential or a sum, beside the one of a multiply-add."""


@dataclass(frozen=True, slots=True)
class Units:
    """`times` units for each `block` rows; `rows` is None for m. `work` is about how many operations the kernel does,
    as a function of m."""

    rows: int | None
    block: int
    times: int
    work: Size

    @property
    def partial_bytes(self) -> Size:
        """Room for one float64 a unit."""
        if self.rows is None:
            return Size(64, round_up(math.ceil(8 * self.times / self.block), 4))
        return Size(round_up(8 * self.times * math.ceil(self.rows / self.block), 64))


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
    full, rest = divmod(math.ceil(product.layout.width / lanes), vectors)
    if not full:
        return Tile(rest * lanes, rest, 0, 1)
    return Tile(vectors * lanes, vectors, rest, full + (1 if rest else 0))


def units_of(group: Group, cpu: Host, dtype: Dtype, product: Product | None = None) -> Units:
    """The units of a group's kernel."""
    rows, inner = group.domain
    width = math.prod(inner)
    if product is not None:
        return product_units(group, product, cpu, dtype)
    if group.kind == "columns":
        (operand,) = group.reduction.inputs
        folded = layout_of(operand.type, operand).rows
        return Units(rows, COLUMNS, 1, _count(folded).times(rows or 1))
    if group.kind == "scatter":
        return Units(width, COLUMNS, 1, Size(0, width))
    if group.kind == "transpose":
        return Units(rows, LANES, 1, _count(rows).times(CHEAP * width))
    width = max([width, *(layout_of(node.type, node).width for node in group.members)])
    block = min(max(round_up(ELEMENTS // width, LANES), LANES), 1024)
    return Units(rows, block, 1, _count(rows).times(row_work(group)))


def product_units(group: Group, product: Product, cpu: Host, dtype: Dtype) -> Units:
    rows, width = product.layout.rows, product.layout.width
    if product.depth is None:
        work = Size((rows or 0) * row_work(group), (rows or 0) * width)
    else:
        work = _count(rows).times(product.depth * width + row_work(group))
    if product.form == "tile":
        block = round_up(TALLEST * cpu.tiles[-1][0], ROW_BLOCK)
        return Units(rows, block, tile_of(product, cpu, dtype).times, work)
    return Units(rows, SWEEP if product.form == "sweep" else LANES, 1, work)


def row_work(group: Group) -> int:
    """About how many operations the members need for one row, the product left out."""
    members = [node for node in [*group.members, *group.totals] if node is not group.anchor]
    return sum(max(layout_of(n.type, n).width, LANES) * (COSTLY if costly(n) else CHEAP) for n in members)


def _count(rows: int | None) -> Size:
    return Size(0, 1) if rows is None else Size(rows)


def product_of_group(group: Group, at_hand: Container[Node]) -> Product | None:
    """The product that anchors a group; values `at_hand` lie in memory themselves."""
    anchor: Node | None = group.anchor
    return product_of(anchor, at_hand) if group.kind == "contraction" and anchor is not None else None
