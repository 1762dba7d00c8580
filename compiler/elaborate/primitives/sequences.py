"""What sequences need: each example's own length, steps turned round or one place later, and generation."""

from __future__ import annotations

from typing import Any

from dlc.compiler.dims import ONE, Axis, TensorType
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.over import axes_of
from dlc.compiler.elaborate.padding import examples_of, is_padded, lengths_along, lengths_of
from dlc.compiler.elaborate.primitives.registry import REQUIRED, Site, primitive
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.values import Range, Tensor, describe
from dlc.compiler.ir import Node
from dlc.compiler.ops import ShapeError
from dlc.grammar.span import Span


def time_axis(e: Context, type: TensorType, span: Span, help: str) -> int:
    """The axis of the steps, where the text does not name it: the one known only at run time, else the one called T,
    else the only one behind the examples."""
    runtime = [i for i, axis in enumerate(type.axes) if any(s.kind == "runtime" for s in axis.size.symbols)]
    examples = type.axis_named("m")
    behind = range(type.rank if examples is None else examples + 1, type.rank)
    for found in (runtime, type.axes_named("T"), behind):
        if len(found) == 1:
            return found[0]
    which = "has several axes known only at run time" if len(runtime) > 1 else "has no axis that is called T"
    raise stop("D110", f"{type} {which}, so it is not clear which one counts the steps", span, help=help)


def _axis_of(e: Context, site: Site, x: Tensor) -> int:
    """The one axis that `over` names, or that counts the steps."""
    if site.given["over"] is None:
        return time_axis(e, x.type, site.span, "write `over = …`")
    axes = axes_of(e, site.given["over"], x.type, site.span)
    if len(axes) != 1:
        raise stop("D110", f"{site.name} goes along one axis, and this names {len(axes)}", site.place("over"))
    return axes[0]


def _tensor(e: Context, site: Site) -> Tensor:
    """The argument as it is: class indices stay class indices."""
    value = site.given["x"]
    return value if isinstance(value, Tensor) else site.tensor(e, "x")


def _node(e: Context, site: Site, x: Tensor, op: str, *more: Node, **attrs: Any) -> Tensor:
    return Tensor(e.b.add(op, x.node, *more, span=e.findings.place(site.span), **attrs))


@primitive("lengths", x=REQUIRED, over=None)
def _lengths(e: Context, site: Site) -> Any:
    """Each example's own number of steps, written 1 on all axes but m."""
    x = _tensor(e, site)
    size = x.type.axes[_axis_of(e, site, x)].size
    try:
        node = lengths_along(e.b, e.padded, x.type, size)
    except ShapeError as error:
        raise e.refused(error, [x], [site.exprs["x"]], site.span, site.scope) from None
    if not node.type.rank:
        node = e.b.add("broadcast", node, axes=tuple(Axis(ONE, axis.name, one=True) for axis in x.type.axes))
    return Tensor(node)


@primitive("shift", x=REQUIRED, over=None)
def _shift(e: Context, site: Site) -> Any:
    """Each element one step later; the first is 0."""
    x = _tensor(e, site)
    axis = _axis_of(e, site, x)
    if x.type.kind == "index":
        raise stop(
            "N214",
            "shift puts a 0 first, and among class numbers 0 is a class",
            site.place("x"),
            help="shift the columns: shift(one_hot(…), over = …)",
        )
    return _node(e, site, x, "shift", axis=axis)


@primitive("reverse", x=REQUIRED, over=None)
def _reverse(e: Context, site: Site) -> Any:
    """A range or a list from its end; a tensor's steps turned round, each example's own."""
    value = site.given["x"]
    if isinstance(value, Range):
        return range(value.last, value.first - 1, -1)
    if isinstance(value, list):
        return value[::-1]
    if not isinstance(value, Tensor):
        raise stop("N214", f"reverse turns round a range, a list or a tensor, not {describe(value)}", site.place("x"))
    axis = _axis_of(e, site, value)
    size = value.type.axes[axis].size
    if not is_padded(e.padded, size):
        return _node(e, site, value, "reverse", axis=axis)
    try:
        examples = examples_of(value.type, size)
    except ShapeError as error:
        raise e.refused(error, [value], [site.exprs["x"]], site.span, site.scope) from None
    return _node(e, site, value, "reverse_each", lengths_of(e.b, e.padded, size), axis=axis, examples=examples)
