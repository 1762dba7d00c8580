"""Algebra on the graph, so that derived gradients read like the course's and nothing is computed twice or for nothing.

Needs: any graph. Leaves: the same values, up to rounding. Signs and numbers stand in front, broadcasts only where an
op does not broadcast by itself, and what is known is computed. Does not assume that a value is finite: 0 * x becomes
0 only where x cannot be inf or NaN, x - x and x / x stay. Does not undo what the program says for its precision:
sums are not reordered, and x / 3 does not become 1/3 * x.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from dlc.compiler.dims import ONE, same_sizes
from dlc.compiler.ir import Graph, Node, through_bodies
from dlc.compiler.ops import OPS, Elementwise, Movement, ShapeError
from dlc.compiler.passes.rewrite import Rewriter, Rule, Values, on, rewrite, rule, through_broadcast


@through_bodies
def simplify(graph: Graph) -> Graph:
    """The graph with `SIMPLIFY` applied to a fixed point."""
    return rewrite(graph, SIMPLIFY)


def number(test: Callable[[float], bool]) -> Callable[[Values], bool]:
    """A condition on the constant `c`."""
    return lambda values: test(values["c"].attr("value"))


def divides(values: Values) -> bool:
    """`c / d` is folded to a number only where the constant `d` is not 0; else the rule would apply for ever."""
    return bool(values["d"].attr("value") != 0)


NEUTRAL: tuple[Rule, ...] = (
    rule("x + 0", "x"),
    rule("x - 0", "x"),
    rule("0 - x", "-x"),
    rule("x * 1", "x"),
    rule("x * -1", "-x"),
    rule("x / 1", "x"),
    rule("x / -1", "-x"),
    rule("x ** 1", "x"),
    rule("x ** 0", "1"),
    rule("x ** -1", "1 / x"),
    rule("x ** 0.5", "sqrt(x)"),
    rule("1 - (1 - x)", "x"),
)

SIGNS: tuple[Rule, ...] = (
    rule("-(-x)", "x"),
    rule("-(x - y)", "y - x"),
    rule("x + -y", "x - y"),
    rule("x - -y", "x + y"),
    rule("-x - y", "-(x + y)"),
    rule("x + c", "x - -c", when=number(lambda c: c < 0)),
    rule("x - c", "x + -c", when=number(lambda c: c < 0)),
    rule("x + c * y", "x - -c * y", when=number(lambda c: c < 0)),
    rule("x - c * y", "x + -c * y", when=number(lambda c: c < 0)),
    rule("-x * y", "-(x * y)", ordered=True),
    rule("x * -y", "-(x * y)", ordered=True),
    rule("-x / y", "-(x / y)"),
    rule("x / -y", "-(x / y)"),
    rule("-(c * x)", "-c * x"),
    rule("-(c / x)", "-c / x"),
    rule("(-x) ** 2", "x ** 2"),
    rule("abs(-x)", "abs(x)"),
    rule("sum(-x, axes=k)", "-sum(x, axes=k)"),
    rule("-x @ y", "-(x @ y)"),
    rule("x @ -y", "-(x @ y)"),
)

NUMBERS_IN_FRONT: tuple[Rule, ...] = (
    rule("v * c", "c * v", ordered=True),
    rule("s * c", "c * s", ordered=True),
    rule("v * s", "s * v", ordered=True),
    rule("c * (d * x)", "(c * d) * x"),
    rule("c * (s * v)", "(c * s) * v"),
    rule("s * (c * v)", "(c * s) * v"),
    rule("s * (t * v)", "(s * t) * v"),
    rule("u * (c * v)", "c * (u * v)", ordered=True),
    rule("(c * u) * v", "c * (u * v)", ordered=True),
    rule("u * (s * v)", "s * (u * v)", ordered=True),
    rule("(s * u) * v", "s * (u * v)", ordered=True),
    rule("(c * u) / v", "c * (u / v)"),
    rule("(s * u) / v", "s * (u / v)"),
    rule("c * x / d", "c / d * x", when=divides),
    rule("c * (x / d)", "c / d * x", when=divides),
    rule("x / c / d", "x / (c * d)"),
    rule("x * (1 / v)", "x / v"),
    rule("x + x", "2 * x"),
    rule("x + c * x", "(c + 1) * x"),
    rule("c * x + d * x", "(c + d) * x"),
    rule("x * y - x * z", "x * (y - z)"),
    rule("x * y + x * z", "x * (y + z)"),
    rule("sum(c * v, axes=k)", "c * sum(v, axes=k)"),
    rule("sum(s * v, axes=k)", "s * sum(v, axes=k)"),
    rule("sum(v / c, axes=k)", "sum(v, axes=k) / c"),
    rule("sum(v / s, axes=k)", "sum(v, axes=k) / s"),
)

CHOICES: tuple[Rule, ...] = (
    rule("select(p, x, x)", "x"),
    rule("select(not p, x, y)", "select(p, y, x)"),
    rule("select(p, select(p, x, y), z)", "select(p, x, z)"),
    rule("select(p, x, select(p, y, z))", "select(p, x, z)"),
    rule("select(p, x, 0) + select(p, 0, y)", "select(p, x, y)"),
    rule("c * select(p, x, 0)", "select(p, c * x, 0)"),
    rule("c * select(p, 0, x)", "select(p, 0, c * x)"),
    rule("x > c * x", "x > 0", when=number(lambda c: c < 1)),
    rule("c * x > x", "x > 0", when=number(lambda c: c > 1)),
    rule("real(index(x, classes=k))", "x"),
)

MOVES: tuple[Rule, ...] = (
    rule("x.T.T", "x"),
    rule("(x @ y.T).T", "y @ x.T"),
    rule("(x.T @ y).T", "y.T @ x"),
    rule("drop(-x, axes=k)", "-drop(x, axes=k)"),
    rule("expand(-x, axes=k)", "-expand(x, axes=k)"),
    rule("drop(expand(x, axes=k), axes=k)", "x"),
    rule("expand(drop(x, axes=k), axes=k)", "x"),
    rule("reverse(reverse(x, axis=k), axis=k)", "x"),
    rule("reshape(reshape(x, axes=k1), axes=k2)", "reshape(x, axes=k2)"),
    rule("broadcast(broadcast(x, axes=k1), axes=k2)", "broadcast(x, axes=k2)"),
)


# --- what no formula says --------------------------------------------------------------------------------------


@on(Elementwise)
def compute(b: Rewriter, node: Node) -> Node | None:
    """An elementwise op of constants is a constant, where it is finite."""
    if node.type.kind != "real" or not node.inputs or any(x.op != "constant" for x in node.inputs):
        return None
    import numpy as np

    with np.errstate(all="ignore"):
        value = float(OPS[node.op].reference(*(np.float64(x.attr("value")) for x in node.inputs), **node.keywords))
    return b.constant(value) if math.isfinite(value) else None


@on(Elementwise)
def without_broadcast(b: Rewriter, node: Node) -> Node | None:
    """An operand is not broadcast where the op does it by itself; a value that is the same along an axis is computed
    once, and then broadcast."""
    grown = [i for i, x in enumerate(node.inputs) if x.op == "broadcast"]
    for chosen in (grown, *([i] for i in grown)) if len(grown) > 1 else (grown,):
        if chosen:
            inputs = [x.inputs[0] if i in chosen else x for i, x in enumerate(node.inputs)]
            try:
                type = OPS[node.op].type(b.facts, *(x.type for x in inputs), **node.keywords)
            except ShapeError:
                continue
            if chosen is grown or same_sizes(type, node.type, b.facts) is None:
                return b.add(node.op, *inputs, **node.keywords)
    return None


@on(op="mul")
def times_zero(b: Rewriter, node: Node) -> Node | None:
    """0 * x is 0 where x cannot be inf or NaN."""
    for zero, x in (node.inputs, node.inputs[::-1]):
        seen = through_broadcast(zero)
        if seen.op == "constant" and seen.attr("value") == 0 and _always_finite(x):
            return b.constant(0.0)
    return None


def _always_finite(x: Node) -> bool:
    if x.op == "constant":
        return math.isfinite(x.attr("value"))
    if x.op in ("real", "broadcast", "neg", "transpose"):
        return _always_finite(x.inputs[0])
    return x.op in ("size", "one_hot", "position") or x.type.kind != "real"


@on(op="sum")
def sum_of_ones(b: Rewriter, node: Node) -> Node | None:
    """A sum over axes of size 1 adds nothing up."""
    x, axes = node.inputs[0], node.attr("axes")
    kept = tuple(axis for axis in axes if x.type.axes[axis].size.constant != 1)
    if kept == axes:
        return None
    return b.add("sum", x, axes=kept) if kept else x


@on(op="sum")
def sum_of_one_hot(b: Rewriter, node: Node) -> Node | None:
    """Each one-hot column sums to 1."""
    x, axes = node.inputs[0], node.attr("axes")
    if x.op != "one_hot" or x.attr("axis") not in axes:
        return None
    others = tuple(axis for axis in axes if axis != x.attr("axis"))
    summed = tuple(node.type.axes[i] if i == x.attr("axis") else axis for i, axis in enumerate(x.type.axes))
    ones = b.add("broadcast", b.constant(1.0), axes=summed)
    return b.add("sum", ones, axes=others) if others else ones


@on(op="sum")
def sum_of_equals(b: Rewriter, node: Node) -> Node | None:
    """A sum along axes on which the value is the same is a product."""
    x, axes = node.inputs[0], node.attr("axes")
    if x.op != "broadcast":
        return None
    inner = x.inputs[0]
    equal = tuple(i for i in axes if inner.type.rank == 0 or inner.type.axes[i].size.constant == 1)
    if equal != axes:
        return None
    return b.add("mul", b.size(math.prod((x.type.axes[i].size for i in axes), start=ONE)), inner)


@on(op="sum")
def sum_of_sum(b: Rewriter, node: Node) -> Node | None:
    """One sum over all axes."""
    x = node.inputs[0]
    if x.op != "sum":
        return None
    return b.add("sum", x.inputs[0], axes=tuple(sorted({*x.attr("axes"), *node.attr("axes")})))


@on(Movement)
def move_nothing(b: Rewriter, node: Node) -> Node | None:
    """A movement to the shape that a value has already."""
    if node.op not in ("broadcast", "reshape", "rename"):
        return None
    same = same_sizes(node.inputs[0].type, node.type, b.facts) is None
    return node.inputs[0] if same else None


@on(Movement)
def move_a_number(b: Rewriter, node: Node) -> Node | None:
    """A broadcast scalar is broadcast to the moved shape at once."""
    movable = len(node.inputs) == 1 and node.op not in ("broadcast", "shift") and OPS[node.op].differentiable
    seen = through_broadcast(node.inputs[0])
    return seen if movable and seen is not node.inputs[0] else None


SIMPLIFY: tuple[Rule, ...] = (
    compute,
    *NEUTRAL,
    *SIGNS,
    *NUMBERS_IN_FRONT,
    *CHOICES,
    *MOVES,
    times_zero,
    sum_of_ones,
    sum_of_one_hot,
    sum_of_equals,
    sum_of_sum,
    move_nothing,
    move_a_number,
    without_broadcast,
)
