"""A chain of movements seen as memory under other strides: element by element what NumPy's movements give."""

from __future__ import annotations

import random

import nets
import numpy as np
from nets import M

from dlc.compiler.codegen.layout import layout_of, sizes_of
from dlc.compiler.codegen.products import product_of
from dlc.compiler.codegen.views import Strided, view_of
from dlc.compiler.dims import Axis, Dim
from dlc.compiler.ir import Builder, Graph, Node
from dlc.runtime.reference import evaluate

EXAMPLES = 3


def axes(*sizes: object) -> tuple[Axis, ...]:
    return tuple(
        Axis(size if isinstance(size, Dim) else Dim.symbol(size) if size is M else Dim.of(size), one=size == 1)
        for size in sizes
    )


def memory_of(values: np.ndarray, node: Node) -> np.ndarray:
    """A value as it lies in memory; what is between its elements is NaN."""
    layout = layout_of(node.type, node)
    memory = np.full(layout.elements.at(16), np.nan)
    for place in np.ndindex(values.shape):
        memory[sum(i * stride for i, stride in zip(place, layout.strides, strict=True))] = values[place]
    return memory


def read(view: Strided, memory: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """All elements of a view."""
    found = np.empty(shape)
    for place in np.ndindex(shape):
        found[place] = memory[view.offset + sum(i * stride for i, stride in zip(place, view.strides, strict=True))]
    return found


def assert_view_is_right(leaf: Node, node: Node) -> bool:
    """Whether there is a view; if so, it must give the value."""
    view = view_of(node)
    if view is None:
        return False
    assert view.base is leaf
    shape = tuple(EXAMPLES if size is None else size for size in sizes_of(leaf.type))
    values = np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)
    bound = {("input", leaf.attr("name")): values}
    expected = evaluate(Graph.of({"output.x": node}), bound, {M: EXAMPLES})["output.x"]
    np.testing.assert_array_equal(read(view, memory_of(values, leaf), expected.shape), expected)
    return True


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
    """Z = W A, dW = dZ A.T and dA = W.T dZ of the layer behind a flatten."""
    b = Builder()
    maps = nets.leaf(b, "input", "X", M, 4, 5, 6)
    w, dz = nets.leaf(b, "parameter", "W", 32, 120), nets.leaf(b, "input", "dZ", 32, M)
    flat = b.add("reshape", b.add("permute", maps, order=(1, 2, 3, 0)), axes=axes(120, M))
    forward = product_of(b.add("matmul", w, flat))
    assert (forward.form, forward.rows.base, forward.row_strides) == ("tile", maps, (128, 1))
    weights = product_of(b.add("matmul", dz, b.add("transpose", flat)))
    assert (weights.form, weights.rows.base, weights.row_strides) == ("tile", maps, (1, 128))


def test_a_view_that_a_tile_could_leave_is_stored() -> None:
    """The last rows of a matrix: a block of rows would reach behind it."""
    b = Builder()
    x = nets.leaf(b, "input", "X", 40, M)
    w = nets.leaf(b, "parameter", "W", 32, 9)
    part = b.add("slice", w, axis=1, start=Dim.of(2), size=Dim.of(7))
    rows = b.add("slice", x, axis=0, start=Dim.of(33), size=Dim.of(7))
    assert product_of(b.add("matmul", part, rows)).left.base is part


def test_where_axes_do_not_lie_inside_each_other_there_is_no_view() -> None:
    b = Builder()
    x = nets.leaf(b, "input", "X", 6, M)
    padded = nets.leaf(b, "parameter", "W", 3, 5)
    assert view_of(b.add("reshape", padded, axes=axes(15))) is None
    assert view_of(b.add("reverse", x, axis=1)) is None
    joined = b.add("concat", x, x, axis=0)
    assert view_of(b.add("transpose", joined)) is None
    assert view_of(b.add("transpose", joined), {joined}) == Strided(joined, (16, 1))


# --- random chains -------------------------------------------------------------------------------------------------


def random_move(b: Builder, node: Node, chance: random.Random) -> Node:
    """A random movement of a value; the same value where the movement has no place."""
    sizes = node.type.sizes
    rank = len(sizes)
    known = [axis for axis, size in enumerate(sizes) if size.constant is not None]
    kind = chance.choice(["transpose", "permute", "broadcast", "drop", "expand", "slice", "reverse", "merge", "divide"])
    if kind == "transpose" and rank == 2:
        return b.add("transpose", node)
    if kind == "permute":
        return b.add("permute", node, order=tuple(chance.sample(range(rank), rank)))
    ones = [axis for axis in known if sizes[axis].constant == 1]
    if kind == "broadcast" and ones:
        axis = chance.choice(ones)
        wide = tuple(Axis(Dim.of(3)) if i == axis else a for i, a in enumerate(node.type.axes))
        return b.add("broadcast", node, axes=wide)
    if kind == "drop" and ones and rank > 1:
        return b.add("drop", node, axes=(chance.choice(ones),))
    if kind == "expand" and rank < 5:
        return b.add("expand", node, axes=(chance.randrange(rank + 1),))
    if kind == "slice" and known:
        axis = chance.choice(known)
        total = int(sizes[axis].constant or 0)
        start = chance.randrange(total)
        return b.add("slice", node, axis=axis, start=Dim.of(start), size=Dim.of(chance.randint(1, total - start)))
    if kind == "reverse":
        return b.add("reverse", node, axis=chance.choice(known or [0]))
    if kind == "merge" and rank > 1:
        axis = chance.randrange(rank - 1)
        merged = Axis(sizes[axis] * sizes[axis + 1])
        if merged.size.constant is None and Dim.of(1) not in (sizes[axis], sizes[axis + 1]):
            return node
        return b.add("reshape", node, axes=(*node.type.axes[:axis], merged, *node.type.axes[axis + 2 :]))
    if kind == "divide" and known and rank < 5:
        axis = chance.choice(known)
        total = int(sizes[axis].constant or 0)
        part = chance.choice([k for k in range(1, total + 1) if total % k == 0])
        parts = axes(part, total // part)
        return b.add("reshape", node, axes=(*node.type.axes[:axis], *parts, *node.type.axes[axis + 1 :]))
    return node


LEAVES = [(6, M), (M, 2, 3, 4), (2, 6, M), (M, 4, 4), (4, 6), (12,), (1, M), (2, 3, 4)]


def chain(seed: int) -> tuple[Node, Node]:
    """A bound value, and a random chain of movements over it."""
    chance = random.Random(seed)
    b = Builder()
    leaf = node = nets.leaf(b, "input", "X", *chance.choice(LEAVES))
    for _ in range(chance.randint(1, 6)):
        node = random_move(b, node, chance)
    return leaf, node


def test_random_chains_read_what_numpy_gives() -> None:
    viewed = [assert_view_is_right(*chain(seed)) for seed in range(400)]
    assert sum(viewed) > 200
