"""Draws: random numbers of the shape that a statement declares."""

from __future__ import annotations

from typing import Any

from dlc.compiler.dims import Dim, TensorType
from dlc.compiler.elaborate.arithmetic import is_number
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.primitives.registry import PRIMITIVES, REQUIRED, Signature, Site, not_yet, primitive
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.values import Tensor


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
    return not_yet(e, site)


@primitive("randn")
def _randn(e: Context, site: Site) -> Any:
    """The course's `randn * 0.01`."""
    return _standard(e, site, "draw_normal")


for _name in ("orthogonal",):
    PRIMITIVES[_name] = Signature((), not_yet, variadic=True)
