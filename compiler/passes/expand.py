"""Writes the stable ops and the powers out.

Needs: a program whose gradients exist. Leaves: no `Stable` op (softmax(z) is e^(z - max z) / sum(e^(z - max z))), no
matrix product that is elementwise or one sum, and small whole powers as products. Does not look for anything:
`stabilise` did.
"""

from __future__ import annotations

from dlc.compiler.ir import Graph, Node, through_bodies
from dlc.compiler.ops import OPS, MatrixProduct, Stable
from dlc.compiler.passes.rewrite import Rewriter, Rule, on, rewrite, rule


@through_bodies
def expand(graph: Graph) -> Graph:
    """The graph with `EXPAND` applied."""
    return rewrite(graph, EXPAND)


@on(Stable)
def stably(b: Rewriter, node: Node) -> Node:
    """The op's own stable evaluation."""
    op = OPS[node.op]
    assert isinstance(op, Stable)
    return op.expand(b, node)


@on(MatrixProduct)
def thin(b: Rewriter, node: Node) -> Node | None:
    """A matrix product without a real sum, or with a single result: `(n, 1) @ (1, m)` is elementwise, `(1, k) @ (k, 1)`
    one sum. Loops do better there than tiles."""
    left, right = node.inputs
    if left.type.rank != 2 or right.type.rank != 2:
        return None
    if left.type.axes[1].size.constant == 1:
        return b.add("mul", _grown(b, left, node), _grown(b, right, node))
    if all(size.constant == 1 for size in node.type.sizes):
        return b.add("sum", b.add("mul", left, b.add("transpose", right)), axes=(1,))
    return None


def _grown(b: Rewriter, value: Node, like: Node) -> Node:
    return value if value.type.sizes == like.type.sizes else b.add("broadcast", value, axes=like.type.axes)


EXPAND: tuple[Rule, ...] = (
    stably,
    thin,
    rule("x ** 2", "x * x"),
    rule("x ** 3", "x * x * x"),
    rule("x ** 4", "(x * x) * (x * x)"),
    rule("x ** -2", "1 / (x * x)"),
)
