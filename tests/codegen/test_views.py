"""Movements read at a point: as memory under other strides, and by index arithmetic, what NumPy's movements give."""

from __future__ import annotations

import nets
import numpy as np
import pytest
from moves import EXAMPLES, Chain, axes, expected, memory_of, values_of
from nets import M

from dlc.compiler.codegen import body as reading
from dlc.compiler.codegen.body import Arguments, Body, offset_text
from dlc.compiler.codegen.layout import about, layout_of
from dlc.compiler.codegen.memory import Buffer, kind_of
from dlc.compiler.codegen.products import product_of
from dlc.compiler.codegen.views import Strided, of_itself, view_of
from dlc.compiler.dims import Dim
from dlc.compiler.ir import Builder, Node

STRIDED = ("transpose", "permute", "broadcast", "drop", "expand", "slice", "reverse", "reshape", "regroup")
"""Movements that can be views."""


def assert_view_is_right(leaf: Node, node: Node) -> bool:
    """Whether there is a view; if so, it must give the value."""
    view = view_of(node)
    if view is None:
        return False
    assert view.base is leaf
    values = values_of(leaf)
    memory, wanted = memory_of(values, leaf), expected(node, {leaf: values})
    start, *strides = (about(number, m=EXAMPLES) for number in (view.offset, *view.strides))
    found = np.empty_like(wanted)
    for place in np.ndindex(found.shape):
        found[place] = memory[start + sum(i * stride for i, stride in zip(place, strides, strict=True))]
    np.testing.assert_array_equal(found, wanted)
    return True


def assert_text_is_right(leaves: list[Node], node: Node) -> None:
    """The text that kernels read the value with, element by element."""
    values = {leaf: values_of(leaf) for leaf in leaves}
    place = {
        leaf: Buffer(str(leaf.attr("name")), "transient", kind_of(leaf), layout.elements, layout)
        for leaf in leaves
        for layout in [layout_of(leaf.type)]
    }
    arguments = Arguments()
    point = tuple(f"p{axis}" for axis in range(node.type.rank))
    text = Body(place, {}, "float64", arguments).value(node, point)
    known = {arguments.pointer(place[leaf]): memory_of(values[leaf], leaf) for leaf in leaves}
    wanted = expected(node, values)
    code = compile(text, "element", "eval")
    for index in np.ndindex(wanted.shape):
        names = dict(zip(point, index, strict=True)) | known | {"m": EXAMPLES, "real": float}
        assert eval(code, names) == wanted[index], f"{text} at {index}"


# --- views ---------------------------------------------------------------------------------------------------------


def test_a_flattened_feature_map_is_its_rows() -> None:
    """(m, H, W, C) lies as rows of H*W*C: its matrix of columns (H*W*C, m), and the way back, move nothing."""
    b = Builder()
    maps = nets.leaf(b, "input", "X", M, 4, 5, 6)
    flat = b.add("reshape", b.add("permute", maps, order=(1, 2, 3, 0)), axes=axes(120, M))
    assert view_of(flat) == Strided(maps, (1, 128))
    assert assert_view_is_right(maps, flat)
    columns = nets.leaf(b, "input", "dA", 120, M)
    back = b.add("permute", b.add("reshape", columns, axes=axes(4, 5, 6, M)), order=(3, 0, 1, 2))
    assert view_of(back) == Strided(columns, (128, 30, 6, 1))
    assert assert_view_is_right(columns, back)


def test_a_product_reads_a_flattened_feature_map_without_a_copy() -> None:
    """Z = W A and dW = dZ A.T of the layer behind a flatten."""
    b = Builder()
    maps = nets.leaf(b, "input", "X", M, 4, 5, 6)
    w, dz = nets.leaf(b, "parameter", "W", 32, 120), nets.leaf(b, "input", "dZ", 32, M)
    flat = b.add("reshape", b.add("permute", maps, order=(1, 2, 3, 0)), axes=axes(120, M))
    forward = product_of(b.add("matmul", w, flat))
    assert (forward.form, forward.rows.base, forward.row_strides) == ("tile", maps, (128, 1))
    weights = product_of(b.add("matmul", dz, b.add("transpose", flat)))
    assert (weights.form, weights.rows.base, weights.row_strides) == ("tile", maps, (1, 128))


def test_a_product_reads_a_part_in_place_unless_a_tile_could_leave_the_memory() -> None:
    """W has twelve rows of 32. A sum runs over just its terms; what a tile computes side by side comes in fours."""
    b = Builder()
    w, x = nets.leaf(b, "parameter", "W", 32, 12), nets.leaf(b, "input", "X", 40, M)
    for start, size, inside in ((2, 7, True), (8, 4, True), (9, 3, False)):
        part = b.add("slice", w, axis=1, start=Dim.of(start), size=Dim.of(size))
        rows = b.add("slice", x, axis=0, start=Dim.of(40 - size), size=Dim.of(size))
        product = product_of(b.add("matmul", part, rows))
        assert product.left == Strided(w, (1, 32), 32 * start)
        assert product.right == Strided(x, (1, 48), 40 - size)
        turned = b.add("transpose", part)
        rows = b.add("slice", x, axis=0, start=Dim.of(0), size=Dim.of(32))
        product = product_of(b.add("matmul", turned, rows))
        assert product.left == (Strided(w, (32, 1), 32 * start) if inside else of_itself(turned))


def test_where_axes_do_not_lie_inside_each_other_there_is_no_view() -> None:
    b = Builder()
    x = nets.leaf(b, "input", "X", 6, M)
    padded = nets.leaf(b, "parameter", "W", 3, 5)
    assert view_of(b.add("reshape", padded, axes=axes(15))) is None
    joined = b.add("concat", x, x, axis=0)
    assert view_of(b.add("transpose", joined)) is None
    assert view_of(b.add("transpose", joined), {joined}) == Strided(joined, (16, 1))


def test_random_chains_as_views() -> None:
    chains = [Chain(seed, STRIDED) for seed in range(400)]
    assert sum(assert_view_is_right(chain.leaf, chain.node) for chain in chains) > 200


# --- texts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("views", [True, False])
def test_random_chains_as_text(views: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With views, and with index arithmetic alone."""
    if not views:
        monkeypatch.setattr(reading, "view_of", lambda node: None)
    for seed in range(400):
        chain = Chain(seed, (*STRIDED, "reverse_examples", "slice_examples", "concat", "shift"))
        assert_text_is_right([chain.leaf], chain.node)


@pytest.mark.parametrize(("sizes", "axis"), [((M, 4, 4), 3), ((M, 3), 0), ((M, 3), 1), ((2, M), 2), ((5,), 0)])
def test_one_hot_columns_stand_on_any_axis(sizes: tuple[object, ...], axis: int) -> None:
    b = Builder()
    labels = nets.leaf(b, "input", "Y", *sizes, kind="index", classes=3)
    assert_text_is_right([labels], b.add("one_hot", labels, axis=axis, classes=Dim.of(3)))


@pytest.mark.parametrize("sizes", [(M,), (M, 3), (2, M), (M, 2, 2)])
def test_a_table_is_read_at_class_indices(sizes: tuple[object, ...]) -> None:
    b = Builder()
    table = nets.leaf(b, "input", "E", 4, 5)
    labels = nets.leaf(b, "input", "Y", *sizes, kind="index", classes=5)
    assert_text_is_right([table, labels], b.add("gather", table, labels))
    turned = nets.leaf(b, "input", "F", 5, 4)
    assert_text_is_right([turned, labels], b.add("gather", b.add("transpose", turned), labels))


def test_an_offset_is_text_without_products_by_one_or_zero() -> None:
    assert offset_text(("i", "0", "j"), (64, 8, 1)) == "i * 64 + j"
    assert offset_text(("i", "j"), (0, 1), 5) == "j + 5"
    assert offset_text(("i", "j"), (16, -1), 15) == "i * 16 + 15 - j"
    assert offset_text(("j",), (-3,), 9) == "9 - j * 3"
    assert offset_text(("0",), (4,)) == "0"
