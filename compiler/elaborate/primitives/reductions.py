"""Folds over axes: `sum`, `mean`, `prod`, `argmax`; with a window they slide."""

from __future__ import annotations

from typing import Any

from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.over import axes_of
from dlc.compiler.elaborate.primitives.convolution import slides, windowed
from dlc.compiler.elaborate.primitives.registry import PRIMITIVES, REQUIRED, Signature, Site
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.values import Over


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
    return e.op(op, [x], [site.exprs["x"]], site.span, site.scope, axes=axes)
