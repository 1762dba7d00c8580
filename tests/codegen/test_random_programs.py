"""Random programs of movements, products, sums and arithmetic give the reference's numbers, and stay in their buffers.
The generated text runs as plain Python."""

from __future__ import annotations

from collections.abc import Sequence

import nets
import numpy as np
import pytest
from interpreted import Interpreted
from moves import EXAMPLES, Chain, einsum, random_labels, values_of
from nets import M

from dlc.compiler.autodiff import differentiate
from dlc.compiler.codegen import generate
from dlc.compiler.codegen.layout import is_scalar
from dlc.compiler.ir import Graph, Node
from dlc.compiler.passes import AFTER_GRADIENTS, BEFORE_CODE, run
from dlc.runtime.reference import evaluate


def assert_runs(roots: Sequence[Node], leaves: Sequence[Node], seed: int) -> None:
    """Compile, run, and compare every root."""
    passes = (*AFTER_GRADIENTS, *BEFORE_CODE)
    graph = run(Graph.of({f"output.{number}": node for number, node in enumerate(roots)}), passes)
    rng = np.random.default_rng(seed)
    values = {str(leaf.attr("name")): rng.standard_normal(values_of(leaf).shape) for leaf in leaves}
    bound = {("input", name): array for name, array in values.items()}
    expected = evaluate(graph, bound, {M: EXAMPLES})
    physical = dict(values)
    for leaf in leaves:
        for axis, size in enumerate(leaf.type.sizes):
            if size.constant is None:
                physical[str(leaf.attr("name"))] = np.moveaxis(values[str(leaf.attr("name"))], axis, 0)
    module = generate({"forward": graph}, name="Net", dtype="float64", path="plain", check=True)
    found = Interpreted(module).run("forward", physical, EXAMPLES)
    for root, value in expected.items():
        np.testing.assert_allclose(found[root], value, rtol=1e-10, atol=1e-12, err_msg=f"{root} of seed {seed}")


def test_a_product_and_what_follows() -> None:
    b = nets.Builder()
    x, w = nets.leaf(b, "input", "X", 5, M), nets.leaf(b, "input", "W", 9, 5)
    assert_runs([b.add("tanh", b.add("matmul", w, x))], [x, w], 0)


SIZES: list[dict[str, object]] = [
    {"i": 2, "j": 3, "k": 4, "l": 5, "o": 1},
    {"i": M, "j": 3, "k": 4, "l": 5, "o": 1},
    {"i": 3, "j": 2, "k": 5, "l": M, "o": 1},
]


@pytest.mark.parametrize("sizes", SIZES)
def test_contractions(sizes: dict[str, object]) -> None:
    """Each contraction, and the same with operands that are read through movements and with a value that follows."""
    for seed in range(60):
        left, right, result = random_labels(seed)
        if left and right:
            x, y, z = einsum(left, right, result, sizes)
            assert_runs([z], [x, y], seed)
            b = nets.Builder()
            for node in (x, y):
                b.adopt(node)
            operands = [b.add("permute", x, order=tuple(range(x.type.rank))[::-1]), b.add("tanh", y)]
            after = b.add("einsum", *operands, left=tuple(left[::-1]), right=tuple(right), result=tuple(result))
            assert_runs([b.add("exp", b.add("neg", after)), after], [x, y], seed)


@pytest.mark.parametrize(
    ("left", "right", "result", "sizes"),
    [
        ("ijk", "ikl", "ijl", {"i": 2, "j": 3, "k": 300, "l": 2}),  # the sum in chunks, side by side
        ("ijk", "ilk", "ijl", {"i": M, "j": 3, "k": 300, "l": 2}),  # in chunks, each by itself
        ("ijk", "ikl", "ijl", {"i": 2, "j": 3, "k": M, "l": 2}),
        ("ijkno", "iknol", "ijl", {"i": 2, "j": 2, "k": M, "n": 20, "o": 30, "l": 3}),
        ("ijk", "ikl", "ijl", {"i": 2, "j": 400, "k": 3, "l": 30}),  # a unit is a part of a row
    ],
)
def test_stacks_of_products(left: str, right: str, result: str, sizes: dict[str, object]) -> None:
    """Long sums, and rows that several units share."""
    x, y, z = einsum(left, right, result, sizes)
    b = nets.Builder()
    for node in (x, y, z):
        b.adopt(node)
    assert_runs([z], [x, y], 0)
    assert_runs([b.add("tanh", z), b.add("sum", z, axes=(0, 1, 2))], [x, y], 1)


class Random(Chain):
    """A chain of movements with arithmetic between them, sums, and values of earlier steps."""

    def __init__(self, seed: int) -> None:
        kinds = ("permute", "reshape", "regroup", "slice", "reverse", "expand", "drop", "broadcast", "concat", "shift")
        self.kept: list[Node] = []
        self.weights: list[Node] = []
        super().__init__(seed, (*kinds, *("compute", "again", "total", "product") * 3))

    @property
    def leaves(self) -> list[Node]:
        return [self.leaf, *self.weights]

    def compute(self, node: Node) -> Node:
        made = self.b.add(self.chance.choice(["tanh", "neg", "sigmoid"]), node)
        self.kept.append(made)
        return made

    def again(self, node: Node) -> Node:
        """With an earlier value of the same shape, or itself."""
        same = [other for other in self.kept if other.type.sizes == node.type.sizes]
        made = self.b.add(self.chance.choice(["add", "mul"]), node, self.chance.choice([*same, node]))
        self.kept.append(made)
        return made

    def total(self, node: Node) -> Node:
        """A sum along some axes, beside which everything goes on."""
        axes = tuple(sorted(self.chance.sample(range(node.type.rank), self.chance.randint(1, node.type.rank))))
        made = self.b.add("sum", node, axes=axes)
        self.kept.append(made)
        return self.b.add("mul", node, made)

    def product(self, node: Node) -> Node:
        """A product with weights, of which one may have been there, on either side."""
        if node.type.rank > 3:
            return node
        last = self.chance.random() < 0.5
        depth = node.type.sizes[-1 if last else 0]
        if depth.constant is None:
            return node
        width = self.chance.choice([1, 2, 5])
        shape = (int(depth.constant), width) if last else (width, int(depth.constant))
        w = nets.leaf(self.b, "input", f"W{len(self.weights)}", *shape)
        self.weights.append(w)
        made = self.b.add("matmul", node, w) if last else self.b.add("matmul", w, node)
        self.kept.append(made)
        return made

    @property
    def roots(self) -> list[Node]:
        """Everything that arithmetic made, and the end of the chain."""
        return [node for node in (*self.kept, self.node) if node is not self.leaf and not is_scalar(node.type)]

    @property
    def gradients(self) -> list[Node]:
        """Of the end of the chain with respect to all leaves that it depends on."""
        seed = self.b.add("broadcast", self.b.constant(1.0), axes=self.node.type.axes)
        found = differentiate(self.b, [(self.node, seed)], self.leaves)
        return [found[leaf] for leaf in self.leaves if leaf in found and found[leaf] is not seed]


@pytest.mark.parametrize("part", range(4))
def test_random_programs(part: int) -> None:
    for seed in range(100 * part, 100 * part + 100):
        program = Random(seed)
        if program.roots:
            assert_runs(program.roots, program.leaves, seed)


@pytest.mark.parametrize("part", range(4))
def test_gradients_of_random_programs(part: int) -> None:
    for seed in range(100 * part, 100 * part + 100):
        program = Random(seed)
        if program.roots:
            assert_runs([*program.roots, *program.gradients], program.leaves, seed)
