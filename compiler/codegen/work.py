"""How the work of a kernel is cut into units, which threads share out.

Units do not depend on the number of threads, so that partial sums do not either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dlc.compiler.codegen.fuse import Group
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


@dataclass(frozen=True, slots=True)
class Units:
    """`times` units for each `block` rows; `rows` is None for m. `work` is about how many operations a unit does for
    each row, and for each row and example where `per_example`."""

    rows: int | None
    block: int
    times: int = 1
    work: int = 1
    per_example: bool = False

    @property
    def partial_bytes(self) -> Size:
        """Room for one float64 a unit."""
        if self.rows is None:
            return Size(64, round_up(math.ceil(8 * self.times / self.block), 4))
        return Size(round_up(8 * self.times * math.ceil(self.rows / self.block), 64))

    @property
    def total_work(self) -> Size:
        """About how many operations the kernel does, for m examples."""
        if self.rows is None:
            return Size(0, self.work)
        return Size(0, self.work * self.rows) if self.per_example else Size(self.work * self.rows)


@dataclass(frozen=True, slots=True)
class Tile:
    """The columns of a product cut for the tile: a unit does `columns` of them, in `count` panels of `vectors` vectors;
    the last unit of a row of units may have one panel of `rest` vectors instead."""

    columns: int
    count: int
    vectors: int
    rest: int
    times: int


def tile_of(product: Product, cpu: Host, dtype: Dtype) -> Tile:
    """Panels as wide as the CPU likes them; what is left over is a narrower one."""
    lanes, vectors = cpu.lanes(dtype), len(cpu.tiles)
    full, rest = divmod(math.ceil(product.layout.width / lanes), vectors)
    if not full:
        return Tile(rest * lanes, 1, rest, 0, 1)
    return Tile(vectors * lanes, 1, vectors, rest, full + (1 if rest else 0))


def units_of(group: Group, cpu: Host, dtype: Dtype, product: Product | None = None) -> Units:
    """The units of a group's kernel."""
    rows, inner = group.domain
    width = math.prod(inner)
    if group.kind == "contraction":
        assert product is not None
        return product_units(product, cpu, dtype)
    if group.kind == "columns":
        (operand,) = group.reduction.inputs
        folded = layout_of(operand.type, operand).rows
        return Units(rows, COLUMNS, 1, 1 if folded is None else folded, folded is None)
    if group.kind == "scatter":
        return Units(width, COLUMNS, 1, 1, True)
    if group.kind == "transpose":
        return Units(rows, LANES, 1, width)
    width = max([width, *(layout_of(node.type, node).width for node in group.members)])
    return Units(rows, min(max(round_up(ELEMENTS // width, LANES), LANES), 1024), 1, 8 * width)


def tile_rows(cpu: Host) -> int:
    """The rows of a unit of a product."""
    return round_up(TALLEST * cpu.tiles[-1][0], ROW_BLOCK)


def product_units(product: Product, cpu: Host, dtype: Dtype) -> Units:
    rows, width = product.layout.rows, product.layout.width
    work = (product.depth or 1) * width
    dynamic = product.depth is None
    if product.form == "tile":
        return Units(rows, tile_rows(cpu), tile_of(product, cpu, dtype).times, work, dynamic)
    if product.form == "sweep":
        return Units(rows, SWEEP, 1, work, dynamic)
    return Units(rows, LANES, 1, work, dynamic)


def product_of_group(group: Group, at_hand: object) -> Product | None:
    """The product that anchors a group; values `at_hand` lie in memory themselves."""
    anchor: Node | None = group.anchor
    return product_of(anchor, at_hand) if group.kind == "contraction" and anchor is not None else None
