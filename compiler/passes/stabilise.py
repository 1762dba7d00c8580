"""Write the formula, get the kernel: the textbook's formulas in forms that do not overflow, and look-ups for products.

Needs: an erased program, before differentiation, so that the gradients come from the stable forms too. Leaves: the
same values in exact arithmetic (in float64 to 1e-12 where the left side is finite), and finite ones where the left
side overflows; gradients at ±1e4 are right. Includes `simplify`, because the table is written for simplified formulas.
Does not evaluate the stable ops: `expand` does, after differentiation.
"""

from __future__ import annotations

from dlc.compiler.ir import Graph, Node, through_bodies
from dlc.compiler.passes.rewrite import Rewriter, Rule, on, rewrite, rule
from dlc.compiler.passes.simplify import SIMPLIFY


@through_bodies
def stabilise(graph: Graph) -> Graph:
    """The graph with `STABILISE` and `SIMPLIFY` applied to a fixed point."""
    return rewrite(graph, (*STABILISE, *SIMPLIFY))


TANH: tuple[Rule, ...] = (
    rule("(exp(z) - exp(-z)) / (exp(z) + exp(-z))", "tanh(z)"),
    rule("(exp(2 * z) - 1) / (exp(2 * z) + 1)", "tanh(z)"),
    rule("(1 - exp(-2 * z)) / (1 + exp(-2 * z))", "tanh(z)"),
)

SIGMOID: tuple[Rule, ...] = (
    rule("exp(z) / (1 + exp(z))", "sigmoid(z)"),
    rule("x / (1 + exp(z))", "x * sigmoid(-z)"),
    rule("log(sigmoid(z))", "-softplus(-z)"),
    rule("log(1 - sigmoid(z))", "-softplus(z)"),
    rule("log(1 + exp(z))", "softplus(z)"),
)

SOFTMAX: tuple[Rule, ...] = (
    rule("exp(z) / sum(exp(z), axes=k)", "softmax(z, axes=k)"),
    rule("softmax(z - reduce_max(z, axes=k), axes=k)", "softmax(z, axes=k)"),
    rule("log(softmax(z, axes=k))", "log_softmax(z, axes=k)"),
    rule("log(sum(exp(z), axes=k))", "logsumexp(z, axes=k)"),
    rule("z - logsumexp(z, axes=k)", "log_softmax(z, axes=k)"),
    # The same where some places do not count (padding): -1e999 is minus infinity.
    rule("log(sum(select(v, exp(z), 0), axes=k))", "logsumexp(select(v, z, -1e999), axes=k)"),
    rule("exp(z) / sum(select(v, exp(z), 0), axes=k)", "exp(z - logsumexp(select(v, z, -1e999), axes=k))"),
)

BINARY_CROSS_ENTROPY: tuple[Rule, ...] = (
    rule("(1 - y) * softplus(z) + y * softplus(-z)", "softplus(z) - y * z"),
    rule("y * softplus(-z) - (y - 1) * softplus(z)", "softplus(z) - y * z"),
    rule(
        "sum((1 - y) * softplus(z), axes=k) + sum(y * softplus(-z), axes=k)",
        "sum(softplus(z) - y * z, axes=k)",
    ),
)

OTHERS: tuple[Rule, ...] = (
    rule("log(exp(z))", "z"),
    rule("sqrt(z ** 2)", "abs(z)"),
    rule("sqrt(z * z)", "abs(z)"),
)


@on(op="matmul")
def look_up(b: Rewriter, node: Node) -> Node | None:
    """`E @ one_hot(x)` takes columns of E, and its gradient adds columns up."""
    table, columns = node.inputs
    if columns.op != "one_hot" or columns.attr("axis") != 0 or table.type.rank != 2:
        return None
    return b.add("gather", table, columns.inputs[0])


STABILISE: tuple[Rule, ...] = (*TANH, *SIGMOID, *SOFTMAX, *BINARY_CROSS_ENTROPY, *OTHERS, look_up)
