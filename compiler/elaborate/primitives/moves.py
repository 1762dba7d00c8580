"""The same elements in another place or shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.compiler.dims import ZERO, Dim, TensorType, Truth, demand, demand_size
from dlc.compiler.elaborate.arithmetic import to_dim
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.over import axes_of
from dlc.compiler.elaborate.padding import is_padded
from dlc.compiler.elaborate.patterns import as_shape, contracted, rearranged
from dlc.compiler.elaborate.primitives.registry import REQUIRED, Site, primitive
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.shapes import shape_axes
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Range, Tensor, Tuple, describe
from dlc.compiler.ops.base import ordinal
from dlc.grammar import ast
from dlc.grammar.span import Span


@primitive("drop", x=REQUIRED, over=REQUIRED)
def _drop(e: Context, site: Site) -> Any:
    """Removes axes of size 1; class indices stay class indices."""
    value = site.given["x"]
    x = value if isinstance(value, Tensor) else site.tensor(e, "x")
    axes = axes_of(e, site.given["over"], x.type, site.span)
    for axis in axes:
        if demand(x.type.axes[axis].size, 1, e.b.facts) is not Truth.YES:
            raise stop(
                "D106",
                f"drop removes axes of size 1, and the {ordinal(axis)} axis of {x.type} is {x.type.axes[axis].size}",
                site.span,
            )
    return e.op("drop", [x], [site.exprs["x"]], site.span, site.scope, axes=axes)


@primitive("broadcast", patterns=("shape",), x=REQUIRED, shape=REQUIRED)
def _broadcast(e: Context, site: Site) -> Any:
    shape = site.given["shape"]
    axes = tuple(shape_axes(e, as_shape(shape.expr), shape.scope, site.evaluate))
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


@primitive("rearrange", patterns=("pattern",), x=REQUIRED, pattern=REQUIRED)
def _rearrange(e: Context, site: Site) -> Any:
    """The axes in another order, taken apart or put together; class indices stay class indices."""
    value = site.given["x"]
    tensor = value if isinstance(value, Tensor) else site.tensor(e, "x")
    pattern = site.given["pattern"]
    return rearranged(e, tensor, site.exprs["x"], pattern.expr, pattern.scope, site.evaluate, site.span)


@primitive("einsum", variadic=True)
def _einsum(e: Context, site: Site) -> Any:
    """Any number of tensors, and as many patterns, the last with the arrow."""
    if len(site.more) < 2 or len(site.more) % 2:
        raise stop(
            "N205",
            f"einsum takes as many patterns as tensors, and {len(site.more)} arguments are given",
            site.span,
            rule="einsum(Q, K, (d, q, m), (d, k, m) -> (q, k, m))",
        )
    count = len(site.more) // 2
    tensors = [(e.real(given.value(), given.expr.span), given.expr) for given in site.more[:count]]
    return contracted(e, tensors, [given.expr for given in site.more[count:]], site.scope, site.evaluate, site.span)


# --- parts -----------------------------------------------------------------------------------------------------


def _one_axis(e: Context, site: Site, x: Tensor) -> int:
    axes = axes_of(e, site.given["over"], x.type, site.span)
    if len(axes) != 1:
        raise stop("D110", f"{site.name} goes along one axis, and this names {len(axes)}", site.place("over"))
    return axes[0]


@primitive("concat", variadic=True, over=REQUIRED)
def _concat(e: Context, site: Site) -> Any:
    """The tensors one after the other along an axis of the first."""
    if len(site.more) < 2:
        rule = "concat(a<t-1>, x<t>, over = first)"
        raise stop("N204", "concat joins two tensors or more", site.span, rule=rule)
    tensors = _same_kind(e, [(given.value(), given.expr) for given in site.more])
    axis = _one_axis(e, site, tensors[0])
    for tensor, given in list(zip(tensors, site.more, strict=True))[:-1]:
        if axis < tensor.type.rank and is_padded(e.padded, tensor.type.axes[axis].size):
            raise stop(
                "D119",
                f"{tensor.type.axes[axis].size} is each example's own length: what is joined behind it would stand "
                "after the padding",
                given.expr.span,
                rule="padding cannot be observed: it stays at the end of an axis",
                help="only the last of the tensors may have each example's own length along this axis",
            )
    return e.op("concat", tensors, [given.expr for given in site.more], site.span, site.scope, axis=axis)


def _same_kind(e: Context, values: Sequence[tuple[Any, ast.Expr]]) -> list[Tensor]:
    """Class indices of the same classes stay what they are; all else counts as real numbers."""
    kinds = {(value.type.kind, value.type.classes) for value, _ in values if isinstance(value, Tensor)}
    if len(kinds) == 1 and all(isinstance(value, Tensor) for value, _ in values):
        return [value for value, _ in values]
    return [e.real(value, expr.span) for value, expr in values]


@primitive("split", x=REQUIRED, sizes=REQUIRED, over=REQUIRED)
def _split(e: Context, site: Site) -> Any:
    """The parts of an axis, of the given sizes: undoes `concat`."""
    value = site.given["x"]
    x = value if isinstance(value, Tensor) else site.tensor(e, "x")
    axis = _one_axis(e, site, x)
    sizes = _part_sizes(e, site)
    whole = x.type.axes[axis].size
    total = sum(sizes, start=ZERO)
    if demand(total, whole, e.b.facts) is not Truth.YES:
        declared = x.declared
        raise stop(
            "D124",
            f"the parts have {' + '.join(map(str, sizes))} = {total} elements together, and the {ordinal(axis)} axis "
            f"of {written(site.exprs['x'], site.scope)} has {whole}",
            site.place("sizes"),
            label=f"{total} against {whole}",
            related=[(declared.describe(x.type), declared.span)] if declared is not None and declared.items else [],
            rule="split undoes concat: the sizes of the parts add up to the whole axis",
        )
    _padding_behind(e, site, sizes)
    parts, start = [], ZERO
    for size in sizes:
        parts.append(e.op("slice", [x], [site.exprs["x"]], site.span, site.scope, axis=axis, start=start, size=size))
        start = start + size
    return Tuple(tuple(parts))


def _part_sizes(e: Context, site: Site) -> list[Dim]:
    value = site.given["sizes"]
    if not isinstance(value, Tuple | list):
        raise stop(
            "D124",
            f"split needs the sizes of its parts, and this is {describe(value)}",
            site.place("sizes"),
            rule="p, b, c = split(y, (1, 4, 3), over = first)",
        )
    sizes = [to_dim(size, site.place("sizes")) for size in (value.items if isinstance(value, Tuple) else value)]
    for size in sizes:
        if demand_size(size, e.b.facts) is not Truth.YES:
            raise stop("D111", f"a size is at least 1, and a part has {size}", site.place("sizes"))
    return sizes


def _padding_behind(e: Context, site: Site, sizes: Sequence[Dim]) -> None:
    """Of an axis with each example's own length, only the last part can have a length of its own."""
    for size in sizes[:-1]:
        if is_padded(e.padded, size):
            raise stop(
                "D119",
                f"{size} is each example's own length: the parts behind it would begin at another step in each example",
                site.place("sizes"),
                rule="padding cannot be observed: it stays at the end of an axis",
            )


def index_range(value: Any, span: Span) -> Sequence[Any]:
    """What a `for` goes through."""
    if isinstance(value, Range):
        return range(value.first, value.last + 1)
    if isinstance(value, (list, range)):
        return value
    raise stop("N214", f"`for` goes through a range or a list, not {describe(value)}", span)
