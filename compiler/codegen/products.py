"""How each matrix product is computed: which operand gives the rows of the tile, which the columns, with what strides.

A product has three forms:

- `tile`   the register-tiled panel of the host: the columns of the result and of one operand are contiguous
- `sweep`  the result is one contiguous vector, summed up row by row: dw = X dz.T of a single neuron
- `dot`    one sum for each element: z = w.T X of a single neuron, and whatever else the first two cannot do
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

from dlc.compiler.codegen.layout import (
    LANES,
    ROW_BLOCK,
    Count,
    Layout,
    Size,
    Stride,
    about,
    layout_of,
    round_up,
    size_of,
    sizes_of,
)
from dlc.compiler.codegen.views import Strided, of_itself, reached
from dlc.compiler.dims import Dim
from dlc.compiler.ir import Node

PACKS, APART = 96, 128
"""A product's columns are packed for so many rows, and where they lie so many elements apart."""


def operands(product: Node, at_hand: Container[Node] = ()) -> tuple[Strided, Strided]:
    """How a product reads its operands from memory; values `at_hand` lie there themselves. A view that a tile could
    leave is not used: the operand is then stored as a value of its own."""
    left, right = product.inputs
    return _strided(left, left.type.rank - 1, at_hand), _strided(right, 0, at_hand)


def _strided(node: Node, summed: int, at_hand: Container[Node]) -> Strided:
    """An operand, and which of its axes the sum runs over."""
    view = reached(node, at_hand)
    return view if view.base is node or _stays_inside(node, summed, view) else of_itself(node)


def laid(node: Node, at_hand: Container[Node] = ()) -> Node:
    """The value in whose memory another one lies just as it would lie by itself: a feature map behind its rows."""
    view = reached(node, at_hand)
    return view.base if view == replace(of_itself(node), base=view.base) else node


def _stays_inside(node: Node, summed: int, view: Strided) -> bool:
    """Whether whole vectors and blocks of rows stay in the memory of the base. A sum has as many terms as it has."""
    if any(about(stride) < 0 for stride in view.strides):
        return False
    extent = Size(Dim.of(view.offset) + 1)
    for axis, (size, stride) in enumerate(zip(sizes_of(node.type), view.strides, strict=True)):
        if isinstance(size, int):
            step = 1 if axis == summed else LANES if stride == 1 else ROW_BLOCK
            extent += Size(Dim.of(stride)).times(round_up(size, step) - 1)
        else:
            extent += (size_of(size) + Size.of(-1)).times(stride)
    return layout_of(view.base.type, view.base).elements.covers(extent)


@dataclass(frozen=True, slots=True)
class Product:
    """C = A B for the loops: `left` and `right` are the operands as written; `rows` is the operand that has the
    result's row axis, `columns` the other one. Strides count elements."""

    form: str
    left: Strided
    right: Strided
    depth: Count
    layout: Layout
    rows_first: bool
    """Whether the row axis belongs to the left operand."""

    @property
    def known_depth(self) -> int | None:
        """The length of the sums, where it is a number."""
        return self.depth if isinstance(self.depth, int) else None

    @property
    def rows(self) -> Strided:
        return self.left if self.rows_first else self.right

    @property
    def columns(self) -> Strided:
        return self.right if self.rows_first else self.left

    @property
    def row_strides(self) -> tuple[Stride, Stride]:
        """Of the row operand: from row to row, and along the sum."""
        return _outer_and_sum(self.rows, self.rows_first)

    @property
    def column_strides(self) -> tuple[Stride, Stride]:
        """Of the column operand: from column to column, and along the sum."""
        return _outer_and_sum(self.columns, not self.rows_first)

    @property
    def packs(self) -> bool:
        """Whether the tile should copy its columns, piece by piece, to where they lie side by side: the gradient of
        weights, which sums over all examples, for enough rows."""
        rows, many = self.layout.rows, self.known_depth is None
        return many and isinstance(rows, int) and rows >= PACKS and about(self.column_strides[1]) >= APART


def _outer_and_sum(operand: Strided, is_left: bool) -> tuple[Stride, Stride]:
    if len(operand.strides) == 1:
        return 0, operand.strides[0]
    first, second = operand.strides
    return (first, second) if is_left else (second, first)


def product_of(node: Node, at_hand: Container[Node] = ()) -> Product:
    """The form of a matrix product."""
    left, right = operands(node, at_hand)
    ranks = [operand.type.rank for operand in node.inputs]
    layout = layout_of(node.type, node)
    rows_first = layout.row_axis == 0 and ranks[0] == 2
    depth = sizes_of(node.inputs[0].type)[-1]
    product = Product("dot", left, right, depth, layout, rows_first)
    if layout.width != 1:
        steps = (*product.row_strides, *product.column_strides, layout.width)
        form = "tile" if product.column_strides[0] == 1 and all(isinstance(step, int) for step in steps) else "dot"
    else:
        form = "sweep" if product.row_strides[0] == 1 and isinstance(layout.rows, int) and layout.rows > 1 else "dot"
    return Product(form, left, right, depth, layout, rows_first)


def wants_copy(node: Node, at_hand: Container[Node]) -> Node | None:
    """The matrix of known sizes that should be stored as such, where it is seen in a larger tensor with its columns
    apart: filters, for the gradient of what they saw at all steps."""
    product = product_of(node, at_hand)
    operand = node.inputs[1 if product.rows_first else 0]
    seen = product.columns.base is not operand and all(isinstance(size, int) for size in sizes_of(operand.type))
    if product.form != "dot" or product.rows_first or not seen or not isinstance(product.layout.rows, Dim):
        return None
    return operand if operand.op == "reshape" and layout_of(operand.type, operand).strides[0] == 1 else None


def wants_transposed(node: Node, at_hand: Container[Node]) -> Node | None:
    """The operand that should be copied in the other orientation, for the product to be a tile."""
    product = product_of(node, at_hand)
    if product.form != "dot" or product.layout.width == 1:
        return None
    operand = node.inputs[1 if product.rows_first else 0]
    plain = operand.op == "transpose" and reached(operand.inputs[0], at_hand).base is operand.inputs[0]
    return operand if plain and layout_of(operand.type, operand).strides[0] == 1 and not product.rows_first else None
