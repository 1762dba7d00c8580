"""What is known about given data: missing values, class indices, places along an axis."""

from __future__ import annotations

from typing import Any

from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.over import axes_of
from dlc.compiler.elaborate.primitives.registry import REQUIRED, Site, primitive
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Over, Tensor, describe


@primitive("known", x=REQUIRED)
def _known(e: Context, site: Site) -> Any:
    """1 where an optional input has a value, 0 where it is missing."""
    x = site.tensor(e, "x")
    node = x.node
    while node.op == "rename" and node not in e.known:
        node = node.inputs[0]
    if node not in e.known:
        shown = written(site.exprs["x"], site.scope) if "x" in site.exprs else "this"
        raise stop(
            "N214",
            f"`known` asks whether an optional input has a value, and {shown} is none",
            site.place("x"),
            help=f"declare it so: `target {shown} : {x.declared.written if x.declared else x.type} optional`",
        )
    e.asked |= {node, *(frame.leaves[node][0] for frame in e.scans if node in frame.leaves)}
    return Tensor(e.known[node])


@primitive("one_hot", x=REQUIRED, over=None)
def _one_hot(e: Context, site: Site) -> Any:
    value = site.given["x"]
    if not isinstance(value, Tensor) or value.type.kind != "index" or value.type.classes is None:
        raise stop(
            "N214",
            f"one_hot needs class indices, and this is {describe(value)}",
            site.place("x"),
            help="declare the input with `index(V)`",
        )
    last = site.given["over"] is not None and site.given["over"].kind == "last"
    axis = value.type.rank if last else 0
    columns = e.op("one_hot", [value], [site.exprs["x"]], site.span, site.scope, classes=value.type.classes, axis=axis)
    if value.node not in e.known:
        return columns
    e.asked.add(value.node)
    return Tensor(e.b.add("mul", columns.node, e.b.add("expand", e.known[value.node], axes=(axis,))))


@primitive("position", x=REQUIRED, over=None)
def _position(e: Context, site: Site) -> Any:
    x = site.tensor(e, "x")
    over = site.given["over"]
    axes = axes_of(e, over if over is not None else Over("features"), x.type, site.span)
    if len(axes) != 1:
        raise stop("D110", "position counts along one axis", site.place("over"))
    return e.op("position", [x], [site.exprs["x"]], site.span, site.scope, axis=axes[0])
