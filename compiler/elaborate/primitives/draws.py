"""Draws: random numbers of the shape that a statement declares."""

from __future__ import annotations

from typing import Any

from dlc.compiler.dims import Axis, Dim, TensorType
from dlc.compiler.elaborate.arithmetic import is_number
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.over import axes_of
from dlc.compiler.elaborate.primitives.registry import REQUIRED, Site, primitive
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.values import Over, Tensor
from dlc.compiler.ir import Node


def _standard(e: Context, site: Site, kind: str) -> Tensor:
    """A standard draw of the shape that the statement declares."""
    if e.draw_shape is None:
        raise stop(
            "N213",
            f"`{site.name}` draws numbers: it stands after `~`",
            site.span,
            help="write `D : (…) ~ " + site.name + "(…)`",
        )
    e.draws += 1
    name = e.draw_name if e.draws == 1 else f"{e.draw_name}#{e.draws}"
    steps = tuple(frame.axis for frame in reversed(e.scans))
    node = e.b.typed(kind, (), (("name", name),), TensorType((*e.draw_shape.axes, *steps)), site.span)
    for frame in e.scans:  # drawn anew at each step: a sequence of draws
        node = frame.slice(e, node, node.type.rank - 1)
    return Tensor(node)


def _affine(e: Context, site: Site, shift: Tensor, scale: Tensor, draw: Tensor) -> Tensor:
    grown = e.op("mul", [draw, scale], [], site.span, site.scope)
    return e.op("add", [grown, shift], [], site.span, site.scope)


@primitive("normal", mean=0, std=1)
def _normal(e: Context, site: Site) -> Any:
    mean, std = site.tensor(e, "mean"), site.tensor(e, "std")
    return mean if e.deterministic else _affine(e, site, mean, std, _standard(e, site, "draw_normal"))


@primitive("uniform", a=0, b=1)
def _uniform(e: Context, site: Site) -> Any:
    a, b = site.tensor(e, "a"), site.tensor(e, "b")
    if e.deterministic:
        total = e.op("add", [a, b], [], site.span, site.scope)
        return e.op("mul", [total, Tensor(e.b.constant(0.5))], [], site.span, site.scope)
    width = e.op("sub", [b, a], [], site.span, site.scope)
    return _affine(e, site, a, width, _standard(e, site, "draw_uniform"))


@primitive("bernoulli", p=REQUIRED)
def _bernoulli(e: Context, site: Site) -> Any:
    p = site.given["p"]
    if is_number(p) and not isinstance(p, Dim) and not 0 <= p <= 1:
        raise stop("N214", f"a probability lies between 0 and 1, and this is {p}", site.place("p"))
    probability = site.tensor(e, "p")
    if e.deterministic:
        return probability
    hit = e.op("lt", [_standard(e, site, "draw_uniform"), probability], [], site.span, site.scope)
    return e.real(hit, site.span)


@primitive("categorical", P=REQUIRED)
def _categorical(e: Context, site: Site) -> Any:
    """A class for each column of probabilities, (n, m): class numbers of shape (m). In deterministic training it is the
    most probable class, as class numbers have no mean."""
    P = site.tensor(e, "P")
    (axis,) = axes_of(e, Over("features"), P.type, site.span)
    classes = P.type.axes[axis].size
    if e.deterministic:
        best = e.op("argmax", [P], [], site.span, site.scope, axes=(axis,))
        return e.op("drop", [best], [], site.span, site.scope, axes=(axis,))
    u = _standard(e, site, "draw_uniform")
    left = P.type.sizes[:axis] + P.type.sizes[axis + 1 :]
    if u.type.sizes != left:
        wanted = TensorType(tuple(Axis(size) for size in left))
        raise stop(
            "D106",
            f"categorical draws one class for each column of probabilities, {wanted}, and this is declared {u.type}",
            site.span,
            label=f"P is {P.type}",
            rule="z : (m) ~ categorical(P) with P : (n, m)",
        )
    b = e.b
    passed = b.add("ge", b.add("expand", u.node, axes=(axis,)), _summed_up(e, P.node, axis))
    number = b.add("sum", b.add("real", passed), axes=(axis,))
    number = b.add("min", number, b.size(classes - 1))  # the probabilities may add up to a little less than 1
    return Tensor(b.add("index", b.add("drop", number, axes=(axis,)), classes=classes))


def _summed_up(e: Context, P: Node, axis: int) -> Node:
    """P[1], P[1] + P[2], … along an axis: a product with the lower triangle of ones."""
    size = P.type.axes[axis].size
    square = (Axis(size), Axis(size))
    table = e.b.add("broadcast", e.b.constant(0.0), axes=square)
    rows, columns = (e.b.add("position", table, axis=side) for side in (0, 1))
    triangle = e.b.add("real", e.b.add("le", e.b.add("broadcast", columns, axes=square), rows))
    labels = tuple(f"axis {i}" for i in range(P.type.rank))
    result = (*labels[:axis], "sum", *labels[axis + 1 :])
    return e.b.add("einsum", triangle, P, left=("sum", labels[axis]), right=labels, result=result)


@primitive("randn")
def _randn(e: Context, site: Site) -> Any:
    """The course's `randn * 0.01`."""
    return _standard(e, site, "draw_normal")


@primitive("orthogonal")
def _orthogonal(e: Context, site: Site) -> Any:
    """Orthonormal rows, or columns where there are fewer: a matrix that keeps lengths (Saxe et al. 2013)."""
    draw = _standard(e, site, "draw_normal")
    if e.deterministic:
        return e.op("mul", [draw, Tensor(e.b.constant(0.0))], [], site.span, site.scope)
    return e.op("orthogonalise", [draw], [], site.span, site.scope)
