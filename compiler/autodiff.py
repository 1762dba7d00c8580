"""Reverse-mode differentiation: from a program's values to the program of their gradients.

For a value v the *cotangent* is the derivative of the result with respect to v; it has v's shape. The chain rule goes
through the nodes from the results back to the operands: an op's `pullback` turns the cotangent of its result into the
cotangents of its operands, and a value that is read several times gets the sum. The results of one computation (a loop
has several) are pulled back together, when the cotangents of all are complete. The gradients are nodes like all others,
so simplification, fusion and code generation treat them alike.

Needs: nodes without composites. Leaves: the cotangent of every value that lies between `wrt` and the results, so
that `dZ[2]` can be shown. Does not simplify.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeAlias

from dlc.compiler.ir import Builder, Node, topological
from dlc.compiler.ops import OPS

Cotangents: TypeAlias = dict[Node, Node]
"""The cotangent of each visited value. A value that no result depends on, or that no gradient reaches, has none."""


def differentiate(b: Builder, results: Sequence[tuple[Node, Node]], wrt: Sequence[Node]) -> Cotangents:
    """The cotangents of `wrt` and of all values between it and the results.

    `results` are pairs of a value and its own cotangent, a scalar or of the value's shape: (cost, 1) gives the gradient
    of the cost; (loss, 1) for a loss of shape (m) gives that of the sum over the examples, the course's convention.
    `get` answers None for a value without a path. The node that first read a value names the place of its cotangent.
    """
    order = topological(value for value, _ in results)
    for node in order:
        b.adopt(node)
    between = depending(order, wrt)
    parts: dict[Node, list[Node]] = {}
    for value, seed in results:
        if value in between:
            parts.setdefault(value, []).append(_full(b, seed, value))
    first = {OPS[node.op].together(node): node for node in reversed(order)}
    waiting: dict[Hashable, list[tuple[Node, Node]]] = {}
    cotangents: Cotangents = {}
    for node in reversed(order):
        op = OPS[node.op]
        together = op.together(node)
        b.span = node.span
        if node in parts:
            cotangents[node] = _sum(b, parts[node])
            waiting.setdefault(together, []).append((node, cotangents[node]))
        if first[together] is not node or together not in waiting or not node.inputs or not op.differentiable:
            continue
        for operand, part in zip(node.inputs, op.pullback_all(b, waiting[together], between), strict=True):
            if part is not None and operand in between:
                parts.setdefault(operand, []).append(part)
    return cotangents


def cotangent_name(name: str) -> str:
    """`dZ[2]` for `Z[2]`, `dense[1].dW` for `dense[1].W`."""
    path, dot, last = name.rpartition(".")
    return f"{path}{dot}d{last}"


def depending(order: Iterable[Node], wrt: Sequence[Node]) -> set[Node]:
    """The nodes whose value depends on one of `wrt`."""
    found = set(wrt)
    for node in order:
        if any(value in found for value in node.inputs):
            found.add(node)
    return found


def _full(b: Builder, seed: Node, value: Node) -> Node:
    """A result's cotangent in the result's shape."""
    return seed if seed.type.rank == value.type.rank else b.add("broadcast", seed, axes=value.type.axes)


def _sum(b: Builder, parts: Sequence[Node]) -> Node:
    """The contributions in the order in which they came: the last reader's first, the same in every run."""
    total = parts[0]
    for part in parts[1:]:
        total = b.add("add", total, part)
    return total
