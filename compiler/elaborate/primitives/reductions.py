"""Folds over axes: `sum`, `mean`, `prod`, `argmax`; with a window they slide."""

from __future__ import annotations

import math
from typing import Any

from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.over import axes_of
from dlc.compiler.elaborate.padding import hidden, mean
from dlc.compiler.elaborate.primitives.convolution import slides, windowed
from dlc.compiler.elaborate.primitives.registry import PRIMITIVES, REQUIRED, Signature, Site
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.values import Over, Tensor
from dlc.compiler.ops import ShapeError


def _reduction(name: str, op: str) -> None:
    def handler(e: Context, site: Site) -> Any:
        return reduced(e, site, op)

    PRIMITIVES[name] = Signature(
        (("x", REQUIRED), ("over", None), ("window", None), ("stride", None), ("pad", None)), handler
    )


for _name in ("sum", "mean", "prod", "argmax"):
    _reduction(_name, _name)


def reduced(e: Context, site: Site, op: str) -> Any:
    if slides(site):
        return windowed(e, site, op.removeprefix("reduce_"))
    x = site.tensor(e, "x")
    over = site.given["over"] or Over("features" if op == "argmax" else "all")
    axes = axes_of(e, over, x.type, site.span)
    if not axes:
        return x
    if op == "argmax" and len(axes) != 1:
        raise stop("D110", "argmax counts along one axis", site.place("over"))
    if op in ("mean", "argmax") and e.padded:
        return _of_each_example(e, op, x, axes, site)
    return e.op(op, [x], [site.exprs["x"]], site.span, site.scope, axes=axes)


def _of_each_example(e: Context, op: str, x: Tensor, axes: tuple[int, ...], site: Site) -> Tensor:
    """Folds that count places: a mean divides by how many count, an argmax finds one that counts."""
    e.b.span, outer = e.findings.place(site.span), e.b.span
    try:
        places = e.seen(x.node, axes)
        if op == "mean":
            return Tensor(mean(e.b, x.node, axes, places))
        return Tensor(e.b.add("argmax", hidden(e.b, x.node, places, -math.inf), axes=axes))
    except ShapeError as error:
        raise e.refused(error, [x], [site.exprs["x"]], site.span, site.scope) from None
    finally:
        e.b.span = outer
