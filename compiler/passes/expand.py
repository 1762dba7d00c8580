"""Writes the stable ops and the powers out.

Needs: a program whose gradients exist. Leaves: no `Stable` op, and small whole powers as products; softmax(z) is
e^(z - max z) / sum(e^(z - max z)). Does not look for anything: `stabilise` did.
"""

from __future__ import annotations

from dlc.compiler.ir import Graph, Node
from dlc.compiler.ops import OPS, Stable
from dlc.compiler.passes.rewrite import Rewriter, Rule, on, rewrite, rule


def expand(graph: Graph) -> Graph:
    """The graph with `EXPAND` applied."""
    return rewrite(graph, EXPAND)


@on(Stable)
def stably(b: Rewriter, node: Node) -> Node:
    """The op's own stable evaluation."""
    op = OPS[node.op]
    assert isinstance(op, Stable)
    return op.expand(b, node)


EXPAND: tuple[Rule, ...] = (
    stably,
    rule("x ** 2", "x * x"),
    rule("x ** 3", "x * x * x"),
    rule("x ** 4", "(x * x) * (x * x)"),
    rule("x ** -2", "1 / (x * x)"),
)
