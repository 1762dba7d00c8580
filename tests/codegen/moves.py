"""Random chains of movements and random contractions, and the memory that they read."""

from __future__ import annotations

import random
from dataclasses import replace
from math import prod

import nets
import numpy as np
from nets import M

from dlc.compiler.codegen.layout import is_scalar, layout_of, size_of, sizes_of
from dlc.compiler.dims import Axis, Dim, Symbol
from dlc.compiler.ir import Builder, Graph, Node
from dlc.runtime.reference import evaluate

EXAMPLES = 3
LEAVES = [(6, M), (M, 2, 3, 4), (2, 6, M), (M, 4, 4), (4, 6), (12,), (1, M), (2, 3, 4), (8, Dim.symbol(M) * 2)]


def axes(*sizes: object) -> tuple[Axis, ...]:
    made = [Dim.symbol(size) if isinstance(size, Symbol) else Dim.of(size) for size in sizes]  # type: ignore[arg-type]
    return tuple(Axis(size, one=size == Dim.of(1)) for size in made)


def values_of(leaf: Node, seed: int = 0) -> np.ndarray:
    """Different numbers for all elements of a bound value; class indices are random."""
    shape = tuple(size_of(size).at(EXAMPLES) for size in sizes_of(leaf.type))
    if leaf.type.classes is not None:
        return np.random.default_rng(seed).integers(0, int(leaf.type.classes.constant or 0), shape)
    return np.arange(1.0, 1.0 + prod(shape)).reshape(shape)


def expected(node: Node, values: dict[Node, np.ndarray]) -> np.ndarray:
    """What NumPy's movements give."""
    bound = {("input", str(leaf.attr("name"))): array for leaf, array in values.items()}
    return evaluate(Graph.of({"output.x": node}), bound, {M: EXAMPLES})["output.x"]


def memory_of(values: np.ndarray, node: Node) -> np.ndarray:
    """A value as it lies in memory; between its elements there are numbers that no result may have."""
    layout = layout_of(node.type, node)
    memory = np.full(layout.elements.at(16), -(10**9), values.dtype)
    for place in np.ndindex(values.shape):
        memory[sum(i * stride for i, stride in zip(place, layout.strides, strict=True))] = values[place]
    return memory


class Chain:
    """A random chain of movements over a bound value `leaf`."""

    def __init__(self, seed: int, kinds: tuple[str, ...]) -> None:
        self.chance, self.b = random.Random(seed), Builder()
        self.node = self.leaf = nets.leaf(self.b, "input", "X", *self.chance.choice(LEAVES))
        for _ in range(self.chance.randint(1, 6)):
            self.node = getattr(self, self.chance.choice(kinds))(self.node)

    def any_axis(self, node: Node) -> int | None:
        """An axis of known size."""
        known = [axis for axis, size in enumerate(node.type.sizes) if size.constant is not None]
        return self.chance.choice(known) if known else None

    def size(self, node: Node, axis: int) -> int:
        return int(node.type.sizes[axis].constant or 0)

    def transpose(self, node: Node) -> Node:
        return self.b.add("transpose", node) if node.type.rank == 2 else node

    def permute(self, node: Node) -> Node:
        rank = node.type.rank
        return self.b.add("permute", node, order=tuple(self.chance.sample(range(rank), rank)))

    def broadcast(self, node: Node) -> Node:
        axis = self.any_axis(node)
        if axis is None or self.size(node, axis) != 1:
            return node
        wide = tuple(Axis(Dim.of(3)) if i == axis else a for i, a in enumerate(node.type.axes))
        return self.b.add("broadcast", node, axes=wide)

    def drop(self, node: Node) -> Node:
        axis = self.any_axis(node)
        if axis is None or self.size(node, axis) != 1 or node.type.rank == 1:
            return node
        return self.b.add("drop", node, axes=(axis,))

    def expand(self, node: Node) -> Node:
        if node.type.rank == 4:
            return node
        return self.b.add("expand", node, axes=(self.chance.randrange(node.type.rank + 1),))

    def slice(self, node: Node) -> Node:
        axis = self.any_axis(node)
        if axis is None:
            return node
        total = self.size(node, axis)
        start = self.chance.randrange(total)
        size = self.chance.randint(1, total - start)
        part = self.b.add("slice", node, axis=axis, start=Dim.of(start), size=Dim.of(size))
        return node if is_scalar(part.type) else part  # single numbers are no elements

    def slice_examples(self, node: Node) -> Node:
        """From an example on: a start that is known when the program runs."""
        for axis, size in enumerate(node.type.sizes):
            if size.constant is None:
                times = int(next(iter(size.terms.values())))
                start = Dim.symbol(M) * self.chance.randrange(times)
                return self.b.add("slice", node, axis=axis, start=start, size=size - start)
        return node

    def reverse(self, node: Node) -> Node:
        axis = self.any_axis(node)
        return node if axis is None else self.b.add("reverse", node, axis=axis)

    def reverse_examples(self, node: Node) -> Node:
        return self.b.add("reverse", node, axis=self.chance.randrange(node.type.rank))

    def reshape(self, node: Node) -> Node:
        """The axes on one side of m, or of a random one, are merged and divided anew."""
        sizes = node.type.sizes
        middle = next((i for i, size in enumerate(sizes) if size.constant is None), self.chance.randrange(len(sizes)))
        before = self.divided(prod(self.size(node, axis) for axis in range(middle)))
        after = self.divided(prod(self.size(node, axis) for axis in range(middle + 1, len(sizes))))
        made = (*before, replace(node.type.axes[middle], one=False), *after)
        return self.b.add("reshape", node, axes=made) if len(made) <= 4 else node

    def regroup(self, node: Node) -> Node:
        """All axes are merged and divided anew; the one with m may get some of the others."""
        total = prod(node.type.sizes, start=Dim.of(1))
        if total.constant is not None:
            return node
        made = list(self.divided(int(next(iter(total.terms.values())))))
        place = self.chance.randrange(len(made) + 1)
        if place == len(made):
            made.append(Axis(Dim.of(1)))
        made[place] = Axis(made[place].size * Dim.symbol(M))
        return self.b.add("reshape", node, axes=tuple(made)) if len(made) <= 4 else node

    def divided(self, total: int) -> tuple[Axis, ...]:
        parts = []
        while total > 1 or self.chance.random() < 0.1:
            parts.append(self.chance.choice([part for part in range(1, total + 1) if total % part == 0]))
            total //= parts[-1]
        return axes(*parts)

    def concat(self, node: Node) -> Node:
        axis = self.chance.randrange(node.type.rank)
        return self.b.add("concat", node, self.reverse(node), node, axis=axis)

    def shift(self, node: Node) -> Node:
        return self.b.add("shift", node, axis=self.chance.randrange(node.type.rank))


# --- contractions --------------------------------------------------------------------------------------------------

SIZES = {"i": 2, "j": 3, "k": 4, "l": 5, "o": 1}


def einsum(left: str, right: str, result: str, sizes: dict[str, object] | None = None) -> tuple[Node, Node, Node]:
    """Both operands and their contraction."""
    b = Builder()
    known = sizes or SIZES
    x = nets.leaf(b, "input", "X", *(known[label] for label in left))
    y = nets.leaf(b, "input", "Y", *(known[label] for label in right))
    return x, y, b.add("einsum", x, y, left=tuple(left), right=tuple(right), result=tuple(result))


def random_labels(seed: int) -> tuple[str, str, str]:
    """Labels of which each stands at least twice."""
    chance = random.Random(seed)
    sides: list[list[str]] = [[], [], []]
    for label in chance.sample(sorted(SIZES), chance.randint(1, 5)):
        for side in chance.choice([(0, 1), (0, 2), (1, 2), (0, 1, 2)]):
            sides[side].append(label)
    for side in sides:
        chance.shuffle(side)
    return "".join(sides[0]), "".join(sides[1]), "".join(sides[2])
