"""Takes out of sums what they do not run over, and does without sums that are 0 or follow from others.

Needs: an expanded program with its gradients. Leaves: for a sum over places of `x * c / s`, where c and s have one
number for all of these places, `sum(x) * c / s`: the sums of a batch normalization's backward pass become those of dZ
and of dZ * (Z - mean), each computed once. A sum of terms whose own sums the program has (or that are 0, as
`sum(Z - mean(Z))` is) is made of those, so that it needs no pass over the data. Does not take a product of sums apart,
and leaves an operand alone that something else reads.

Of choices it takes factors only out of a rectifier's gradient, `x * c if max(0, z) > 0 else 0`, and divisors only where
they are roots of something plus a positive number, which are not 0: a choice that the text makes may be there to keep a
division by 0 out, and the branch not taken counts for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dlc.compiler.dims import ONE, Dim
from dlc.compiler.ir import Builder, Graph, Node, rebuild, substituted, through_bodies

Axes = tuple[int, ...]
Fixed = Callable[[Node], bool]
"""Whether a factor is taken out."""


@dataclass(frozen=True, slots=True)
class Term:
    """sign * product(over) / product(under) * core, where `over` and `under` are what is taken out."""

    core: Node
    sign: int = 1
    over: tuple[Node, ...] = ()
    under: tuple[Node, ...] = ()


@through_bodies
def factor(graph: Graph) -> Graph:
    """The graph with both steps done: factors first, then what they have made equal."""
    if not any(node.op == "sum" for node in graph.nodes):
        return graph
    return _split(_factored(graph))


def _factored(graph: Graph) -> Graph:
    """Sums without what they do not run over, and choices without what is the same for many of their elements."""
    users = graph.users()
    roots = set(graph.roots.values())

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op == "select" and _rectifies(inputs[0]):
            chosen = b.typed(node.op, inputs, node.attrs, node.type, node.span)
            return _times(b, _term(b, chosen, partial(_shared, chosen)), node)
        if node.op != "sum" or len(users[node.inputs[0]]) > 1 or node.inputs[0] in roots:
            return None
        term = _term(b, inputs[0], partial(_fixed, node.attr("axes")))
        return _times(b, replace(term, core=b.typed("sum", (term.core,), node.attrs, node.type, node.span)), node)

    return rebuild(graph, rule)


def _split(graph: Graph) -> Graph:
    """Sums of terms, as the terms' sums where all of them are known."""
    known = {(node.inputs[0], node.attr("axes")): node for node in graph.nodes if node.op == "sum"}
    b = Builder()
    for node in graph.nodes:
        b.adopt(node)
    made: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.op != "sum" or node in graph.roots.values():
            continue
        axes = node.attr("axes")
        terms = _terms(b, node.inputs[0], axes)
        rest = [term for term in terms if not _is_zero_sum(term.core, axes)]
        if len(terms) > 1 and rest and all((term.core, axes) in known for term in rest):
            parts = [_times(b, replace(term, core=known[term.core, axes]), node) for term in rest]
            made[node] = parts[0]
            for part in parts[1:]:
                made[node] = b.typed("add", (made[node], part), (), node.type, node.span)
    return substituted(graph, made) if made else graph


def _terms(b: Builder, node: Node, axes: Axes) -> list[Term]:
    """A value as a sum of terms."""
    if node.op == "add" and all(value.type.sizes == node.type.sizes for value in node.inputs):
        return [term for value in node.inputs for term in _terms(b, value, axes)]
    return [_term(b, node, partial(_fixed, axes))]


def _term(b: Builder, node: Node, fixed: Fixed, chosen: bool = False) -> Term:
    """A value as one term."""
    factors = _Factors([], [], [], chosen=chosen)
    if not _collect(b, node, fixed, factors) or not (factors.over or factors.under):
        return Term(node)
    core = _product(b, factors.rest, node)
    return Term(node) if core is None else Term(core, factors.sign, tuple(factors.over), tuple(factors.under))


@dataclass(slots=True)
class _Factors:
    """`rest` are the factors that differ along the axes. `chosen`: they are those of a branch of a choice."""

    over: list[Node]
    under: list[Node]
    rest: list[Node]
    sign: int = 1
    chosen: bool = False


def _collect(b: Builder, node: Node, fixed: Fixed, found: _Factors) -> bool:
    """Sort the factors of a value. False where there is no more than factors that are taken out."""
    if fixed(node):
        found.over.append(node)
    elif node.op == "neg":
        found.sign = -found.sign
        return _collect(b, node.inputs[0], fixed, found)
    elif node.op == "mul":
        return all(_collect(b, value, fixed, found) for value in node.inputs)
    elif node.op == "div" and fixed(node.inputs[1]) and (not found.chosen or _positive(node.inputs[1])):
        found.under.append(node.inputs[1])
        return _collect(b, node.inputs[0], fixed, found)
    elif node.op == "select" and _rectifies(node.inputs[0]) and _is_zero(node.inputs[2]) and not fixed(node.inputs[1]):
        inside = _term(b, node.inputs[1], fixed, chosen=True)
        found.over += inside.over
        found.under += inside.under
        found.sign *= inside.sign
        chosen = (node.inputs[0], inside.core, node.inputs[2])
        found.rest.append(b.typed("select", chosen, node.attrs, node.type, node.span))
    else:
        found.rest.append(node)
    return True


def _rectifies(mask: Node) -> bool:
    """Whether a condition is the mask of a rectifier's gradient: which of two values a maximum or minimum took."""
    return mask.op in ("gt", "lt", "ge", "le") and any(value.op in ("max", "min") for value in mask.inputs)


def _positive(node: Node) -> bool:
    """Whether a divisor is the root of something plus a positive number."""
    if node.op in ("broadcast", "expand"):
        return _positive(node.inputs[0])
    terms = node.inputs[0].inputs if node.op == "sqrt" and node.inputs[0].op == "add" else ()
    return any(term.op == "constant" and term.attr("value") > 0 for term in terms)


def _shared(whole: Node, node: Node) -> bool:
    """Whether a value has one number for many elements of another."""
    if not node.type.rank or node.type.rank != whole.type.rank:
        return not node.type.rank
    return any(own == ONE != size for own, size in zip(node.type.sizes, whole.type.sizes, strict=True))


def _fixed(axes: Axes, node: Node) -> bool:
    """Whether a value has one number for all places along the axes."""
    return not node.type.rank or all(node.type.sizes[axis] == ONE for axis in axes)


def _product(b: Builder, factors: Sequence[Node], like: Node) -> Node | None:
    """The product, in an order of its own, so that equal ones are one node. None where it has another shape: as no
    product broadcasts both sides, one factor has the whole shape, and it is the first."""
    result: Node | None = None
    for value in sorted(factors, key=lambda value: (value.type.sizes != like.type.sizes, value.number)):
        result = value if result is None else b.typed("mul", (result, value), (), like.type, like.span)
    return result if result is not None and result.type.sizes == like.type.sizes else None


def _times(b: Builder, term: Term, like: Node) -> Node:
    """A sum times the factors of its term."""
    result = term.core
    for value in term.over:
        result = b.typed("mul", (result, value), (), like.type, like.span)
    for value in term.under:
        result = b.typed("div", (result, value), (), like.type, like.span)
    return result if term.sign > 0 else b.typed("neg", (result,), (), like.type, like.span)


def _is_zero(node: Node) -> bool:
    while node.op in ("broadcast", "expand"):
        node = node.inputs[0]
    return node.op == "constant" and node.attr("value") == 0


def _is_zero_sum(node: Node, axes: Axes) -> bool:
    """Whether a value is `x - mean(x)` over these axes."""
    if node.op != "sub" or node.inputs[0].type.sizes != node.type.sizes:
        return False
    x, mean = node.inputs
    count = math.prod((x.type.sizes[axis] for axis in axes), start=ONE)
    if mean.op not in ("mul", "div"):
        return False
    total, share = mean.inputs
    if mean.op == "mul":
        total, share = (total, share) if total.op == "sum" else (share, total)
        if share.op != "div" or not _is_count(share.inputs[0], ONE):
            return False
        share = share.inputs[1]
    return total.op == "sum" and total.inputs[0] is x and total.attr("axes") == axes and _is_count(share, count)


def _is_count(node: Node, count: Dim) -> bool:
    """Whether a value is a number of places."""
    if node.op == "size":
        return bool(node.attr("dim") == count)
    return node.op == "constant" and count.constant == node.attr("value")
