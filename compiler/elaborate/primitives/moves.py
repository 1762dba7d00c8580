"""The same elements in another place or shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.compiler.dims import TensorType
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.over import axes_of
from dlc.compiler.elaborate.primitives.registry import PRIMITIVES, REQUIRED, Signature, Site, not_yet, primitive
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.shapes import shape_axes
from dlc.compiler.elaborate.values import Range, Tensor, describe
from dlc.compiler.ops.base import ordinal
from dlc.grammar import ast
from dlc.grammar.span import Span


@primitive("drop", x=REQUIRED, over=REQUIRED)
def _drop(e: Context, site: Site) -> Any:
    x = site.tensor(e, "x")
    axes = axes_of(e, site.given["over"], x.type, site.span)
    for axis in axes:
        if x.type.axes[axis].size.constant != 1:
            raise stop(
                "D106",
                f"drop removes axes of size 1, and the {ordinal(axis)} axis of {x.type} is {x.type.axes[axis].size}",
                site.span,
            )
    return e.op("drop", [x], [site.exprs["x"]], site.span, site.scope, axes=axes)


@primitive("broadcast", x=REQUIRED, shape=REQUIRED)
def _broadcast(e: Context, site: Site) -> Any:
    shape = site.exprs["shape"]
    if not isinstance(shape, ast.Shape):
        shape = ast.Shape(items=(shape,), span=shape.span)
    axes = tuple(shape_axes(e, shape, site.scope, site.evaluate))
    x = site.tensor(e, "x")
    wrong = [
        i
        for i, (have, want) in enumerate(zip(x.type.axes, axes, strict=False))
        if have.size != want.size and have.size.constant != 1
    ]
    if (x.type.rank not in (0, len(axes))) or wrong:
        raise stop("D106", f"{x.type} cannot be broadcast to {TensorType(axes)}: only axes of size 1 grow", site.span)
    return e.op("broadcast", [x], [site.exprs["x"]], site.span, site.scope, axes=axes)


@primitive("len", x=REQUIRED)
def _len(e: Context, site: Site) -> Any:
    value = site.given["x"]
    if isinstance(value, (list, str)):
        return len(value)
    help = "sizes have names: those in the declaration, as n_x in X : (n_x, m)" if isinstance(value, Tensor) else None
    raise stop("N214", f"len counts a list, not {describe(value)}", site.place("x"), help=help)


for _name in ("einsum", "rearrange", "concat", "split"):
    PRIMITIVES[_name] = Signature((), not_yet, variadic=True)


def index_range(value: Any, span: Span) -> Sequence[Any]:
    """What a `for` goes through."""
    if isinstance(value, Range):
        return range(value.first, value.last + 1)
    if isinstance(value, (list, range)):
        return value
    raise stop("N214", f"`for` goes through a range or a list, not {describe(value)}", span)
