"""The rewriting before code generation keeps every value, and leaves no contraction without code."""

from __future__ import annotations

import nets
import numpy as np
import pytest
from moves import einsum, expected, random_labels
from nets import M

from dlc.compiler.codegen.forms import prepare
from dlc.compiler.codegen.products import product_of
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ops import OPS
from dlc.compiler.ops.contraction import labels_of


def prepared(node: Node) -> Node:
    return prepare(Graph.of({"output.x": node})).roots["output.x"]


def assert_same_value(x: Node, y: Node, node: Node) -> Node:
    """The node as it is prepared, which must have its value and its type."""
    rng = np.random.default_rng(0)
    values = {
        leaf: rng.standard_normal([3 if size.constant is None else int(size.constant) for size in leaf.type.sizes])
        for leaf in (x, y)
    }
    made = prepared(node)
    assert made.type == node.type
    np.testing.assert_allclose(expected(made, values), expected(node, values), rtol=1e-12, atol=1e-12)
    return made


def ops(node: Node) -> set[str]:
    return {node.op}.union(*(ops(operand) for operand in node.inputs))


def test_random_contractions_keep_their_values() -> None:
    stacks = 0
    for seed in range(300):
        left, right, result = random_labels(seed)
        if left and right:
            made = assert_same_value(*einsum(left, right, result))
            stack = [
                {*left} - {*right},
                {*right} - {*left},
                {*left} & {*right} & {*result},
                {*left, *right} - {*result},
            ]
            assert ("einsum" in ops(made)) == all(labels - {"o"} for labels in stack)
            stacks += "einsum" in ops(made)
    assert 5 < stacks < 150


@pytest.mark.parametrize("sample", OPS["matmul"].samples)
def test_products_of_any_rank_are_products_of_matrices(sample: object) -> None:
    b = Builder()
    x, y = (nets.leaf(b, "input", f"X{i}", *shape) for i, shape in enumerate(sample.shapes))  # type: ignore[attr-defined]
    product = b.add("matmul", x, y)
    assert labels_of(product)[2] == tuple(
        label for label in (*labels_of(product)[0], *labels_of(product)[1]) if label != "k"
    )
    made = assert_same_value(x, y, product)
    assert all(max(x.type.rank for x in n.inputs) <= 2 for n in Graph.of({"x": made}).nodes if n.op == "matmul")


def test_a_gram_matrix_reads_its_feature_map_in_place() -> None:
    """The sum over all places of C x C products: both operands are the feature map's memory."""
    x, y, gram = einsum("oijk", "oijl", "kl", {"o": 1, "i": 6, "j": 8, "k": 16, "l": 16})
    made = assert_same_value(x, y, gram)
    product = product_of(made)
    assert product.form == "tile"
    assert {product.left.base.op, product.right.base.op} == {"input"}


def test_what_is_read_once_is_no_product_of_matrices() -> None:
    """Scores of a few words for each example: every element of the larger operand is read once."""
    made = assert_same_value(*einsum("nmw", "nm", "wm", {"n": 30, "m": M, "w": 6}))
    assert {"mul", "sum"} <= ops(made)
    assert not ops(made) & {"einsum", "matmul"}


def test_a_stack_of_products_stays() -> None:
    assert prepared(einsum("ijk", "ikl", "ijl")[2]).op == "einsum"
