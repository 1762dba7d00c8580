"""Which axes `over = …` means."""

from __future__ import annotations

from dlc.compiler.dims import Axis, Dim, TensorType, Truth, equal
from dlc.compiler.elaborate.arithmetic import is_number, to_dim
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.shapes import Evaluate, further_axes
from dlc.compiler.elaborate.values import Over, describe
from dlc.compiler.ops.base import ordinal
from dlc.grammar import ast
from dlc.grammar.span import Span

WORDS = ("first", "last", "all", "features")


def read_over(e: Context, expr: ast.Expr, scope: Scope, evaluate: Evaluate) -> Over:
    """The meaning of the expression after `over =`."""
    match expr:
        case ast.Rest():
            return Over("rest", rest=further_axes(scope, expr.span), span=expr.span)
        case ast.Shape(items=items):
            return Over("several", parts=tuple(read_over(e, item, scope, evaluate) for item in items), span=expr.span)
        case ast.Name(id=name):
            value = scope.find(name)
            if isinstance(value, Over):
                return value
            if name in WORDS and (value is None or not is_number(value)):
                return Over(name, span=expr.span)
            size = to_dim(value, expr.span) if is_number(value) else None
            return Over("axis", name=name, size=size, span=expr.span)
    value = evaluate(expr, scope)
    if isinstance(value, Over):
        return value
    if not is_number(value):
        raise stop("N214", f"`over` names an axis, not {describe(value)}", expr.span)
    return Over("axis", size=to_dim(value, expr.span), span=expr.span)


def axes_of(e: Context, over: Over, type: TensorType, span: Span) -> tuple[int, ...]:
    """The positions of the axes that `over` means in a tensor of this type.

    A name means the axis called so, else the only axis of that size; two candidates are an error that shows both.
    """
    rank = type.rank
    match over.kind:
        case "all":
            return tuple(range(rank))
        case "several":
            return _several(e, over, type, span)
        case "rest":
            return tuple(i for i, axis in enumerate(type.axes) if any(_same(e, axis, other) for other in over.rest))
    if rank == 0:
        raise stop("D110", "`over` names an axis, and this is a scalar: it has none", over.span or span)
    match over.kind:
        case "first":
            return (0,)
        case "last":
            return (rank - 1,)
        case "features":
            return (rank - 1,) if type.axes[0].name == "m" and rank > 1 else (0,)
    called = [i for i, axis in enumerate(type.axes) if over.name is not None and axis.name == over.name]
    if len(called) == 1:
        return (called[0],)
    sized = called or [i for i, axis in enumerate(type.axes) if _size_is(e, axis, over.size)]
    if len(sized) == 1:
        return (sized[0],)
    what = over.name or str(over.size)
    names = ", ".join(axis.name or str(axis.size) for axis in type.axes)
    if sized:
        which = " and ".join(f"the {ordinal(i)} axis ({type.axes[i].name or type.axes[i].size})" for i in sized)
        raise stop(
            "D110", f"`over = {what}` could mean {which} of {type}", over.span or span, help="name the axes differently"
        )
    raise stop(
        "D110",
        f"no axis of {type} is called {what}",
        over.span or span,
        help=f"its axes are called {names}; also: {', '.join(WORDS)}",
    )


def _several(e: Context, over: Over, type: TensorType, span: Span) -> tuple[int, ...]:
    """The axes of all parts, each named once."""
    axes: set[int] = set()
    for part in over.parts:
        found = axes_of(e, part, type, span)
        for axis in axes.intersection(found):
            name = type.axes[axis].name or type.axes[axis].size
            message = f"`over` names the {ordinal(axis)} axis ({name}) of {type} twice"
            raise stop("D110", message, part.span or span, rule="each axis is named once", help="leave one out")
        axes.update(found)
    return tuple(sorted(axes))


def _same(e: Context, axis: Axis, other: Axis) -> bool:
    if axis.name is not None or other.name is not None:
        return axis.name == other.name
    return equal(axis.size, other.size, e.b.facts) is Truth.YES


def _size_is(e: Context, axis: Axis, size: Dim | None) -> bool:
    return size is not None and equal(axis.size, size, e.b.facts) is Truth.YES
