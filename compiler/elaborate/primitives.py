"""The functions that the compiler knows; everything else in the library is text.

Each has a signature (names and defaults) and a handler. A primitive called without its first tensor is a function of
that tensor, so it may stand in a chain: `x -> reverse(over = T)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlc.compiler.dims import Dim, TensorType
from dlc.compiler.elaborate.arithmetic import is_number, round_number, simplest
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.over import axes_of
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.shapes import Evaluate, shape_axes
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Over, Range, Tensor, describe
from dlc.compiler.ops.base import ordinal
from dlc.grammar import ast
from dlc.grammar.span import Span

REQUIRED = object()


@dataclass(slots=True)
class Site:
    """One call: its arguments by name with their expressions, its place and scope."""

    name: str
    given: dict[str, Any]
    exprs: dict[str, ast.Expr]
    span: Span
    scope: Scope
    evaluate: Evaluate

    def tensor(self, e: Context, name: str) -> Tensor:
        """The argument as a real tensor."""
        return e.real(self.given[name], self.place(name))

    def place(self, name: str) -> Span:
        return self.exprs[name].span if name in self.exprs else self.span

    def apply(self, e: Context, op: str, *names: str, **attrs: Any) -> Tensor:
        """The op on the arguments called `names`."""
        operands = [self.tensor(e, name) for name in names]
        return e.op(op, operands, [self.exprs.get(name) for name in names], self.span, self.scope, **attrs)  # type: ignore[misc]


Handler = Callable[[Context, Site], Any]


@dataclass(frozen=True, slots=True)
class Signature:
    """`parameters` in order with their defaults; `variadic` collects further positional arguments under `more`."""

    parameters: tuple[tuple[str, Any], ...]
    handler: Handler
    variadic: bool = False


PRIMITIVES: dict[str, Signature] = {}


def primitive(name: str, *, variadic: bool = False, **parameters: Any) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        PRIMITIVES[name] = Signature(tuple(parameters.items()), handler, variadic)
        return handler

    return register


# --- of one tensor or number -----------------------------------------------------------------------------------


def _erf(x: float) -> float:
    return math.erf(x)


def _sign(x: float) -> float:
    return float((x > 0) - (x < 0))


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def _sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0 else math.nan


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.0 else math.inf


_SCALAR: dict[str, Callable[[float], float]] = {
    "exp": _exp,
    "log": _log,
    "sqrt": _sqrt,
    "tanh": math.tanh,
    "erf": _erf,
}


def _unary(name: str, on_number: Callable[[Any], Any]) -> None:
    def handler(e: Context, site: Site) -> Any:
        value = site.given["x"]
        if is_number(value) and not (isinstance(value, Dim) and name not in ("floor", "ceil")):
            return on_number(value)
        return site.apply(e, name, "x")

    PRIMITIVES[name] = Signature((("x", REQUIRED),), handler)


for _name, _function in _SCALAR.items():
    _unary(_name, lambda x, f=_function: f(float(x)))  # type: ignore[misc]
_unary("sign", lambda x: simplest((x > 0) - (x < 0)))
_unary("abs", abs)


@primitive("floor", x=REQUIRED)
def _floor(e: Context, site: Site) -> Any:
    return _round(e, site, "floor")


@primitive("ceil", x=REQUIRED)
def _ceil(e: Context, site: Site) -> Any:
    return _round(e, site, "ceil")


def _round(e: Context, site: Site, kind: str) -> Any:
    value = site.given["x"]
    return round_number(kind, value, site.place("x")) if is_number(value) else site.apply(e, kind, "x")


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
    e.asked.add(node)
    return Tensor(e.known[node])


# --- of two, or over axes --------------------------------------------------------------------------------------


def _extreme(name: str, reduce: str) -> None:
    def handler(e: Context, site: Site) -> Any:
        x, y = site.given["x"], site.given["y"]
        if y is None:
            if isinstance(x, list) and x and all(is_number(item) for item in x) and site.given["over"] is None:
                return (max if name == "max" else min)(x)
            return _reduce(e, site, reduce)
        if is_number(x) and is_number(y):
            from dlc.compiler.dims import dim_max, dim_min

            if isinstance(x, Dim) or isinstance(y, Dim):
                return simplest((dim_max if name == "max" else dim_min)(Dim.of(x), Dim.of(y)))
            return (max if name == "max" else min)(x, y)
        return site.apply(e, name, "x", "y")

    PRIMITIVES[name] = Signature(
        (("x", REQUIRED), ("y", None), ("over", None), ("window", None), ("stride", None), ("pad", None)), handler
    )


_extreme("max", "reduce_max")
_extreme("min", "reduce_min")


def _reduction(name: str, op: str) -> None:
    def handler(e: Context, site: Site) -> Any:
        return _reduce(e, site, op)

    PRIMITIVES[name] = Signature(
        (("x", REQUIRED), ("over", None), ("window", None), ("stride", None), ("pad", None)), handler
    )


for _name in ("sum", "mean", "prod", "argmax"):
    _reduction(_name, _name)


def _reduce(e: Context, site: Site, op: str) -> Any:
    if site.given.get("window") is not None:
        raise stop("U901", f"`{site.name}` with a window is not supported yet", site.span)
    x = site.tensor(e, "x")
    over = site.given["over"] or Over("features" if op == "argmax" else "all")
    axes = axes_of(e, over, x.type, site.span)
    if not axes:
        return x
    if op == "argmax" and len(axes) != 1:
        raise stop("D110", "argmax counts along one axis", site.place("over"))
    return e.op(op, [x], [site.exprs["x"]], site.span, site.scope, axes=axes)


# --- moving elements -------------------------------------------------------------------------------------------


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


@primitive("len", x=REQUIRED)
def _len(e: Context, site: Site) -> Any:
    value = site.given["x"]
    if isinstance(value, (list, str)):
        return len(value)
    raise stop("N214", f"len counts a list, not {describe(value)}", site.place("x"))


@primitive("reverse", x=REQUIRED, over=None)
def _reverse(e: Context, site: Site) -> Any:
    value = site.given["x"]
    if isinstance(value, Range):
        return range(value.last, value.first - 1, -1)
    if isinstance(value, list):
        return value[::-1]
    return _not_yet(e, site)


def _not_yet(e: Context, site: Site) -> Any:
    raise stop("U901", f"`{site.name}` is not supported yet", site.span)


for _name in (
    "einsum",
    "rearrange",
    "concat",
    "split",
    "shift",
    "convolve",
    "convolve_transpose",
    "lengths",
    "generate",
    "orthogonal",
    "bleu",
):
    PRIMITIVES[_name] = Signature((), _not_yet, variadic=True)


# --- draws -----------------------------------------------------------------------------------------------------


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
    shape = TensorType(tuple(replace(axis, name=axis.name) for axis in e.draw_shape.axes))
    return Tensor(e.b.typed(kind, (), (("name", name),), shape, site.span))


def _affine(e: Context, site: Site, shift: Tensor, scale: Tensor, draw: Tensor) -> Tensor:
    grown = e.op("mul", [draw, scale], [], site.span, site.scope)
    return e.op("add", [grown, shift], [], site.span, site.scope)


@primitive("normal", mean=0, std=1)
def _normal(e: Context, site: Site) -> Any:
    mean, std = site.tensor(e, "mean"), site.tensor(e, "std")
    return mean if e.mode == "deterministic" else _affine(e, site, mean, std, _standard(e, site, "draw_normal"))


@primitive("uniform", a=0, b=1)
def _uniform(e: Context, site: Site) -> Any:
    a, b = site.tensor(e, "a"), site.tensor(e, "b")
    if e.mode == "deterministic":
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
    if e.mode == "deterministic":
        return probability
    hit = e.op("lt", [_standard(e, site, "draw_uniform"), probability], [], site.span, site.scope)
    return e.real(hit, site.span)


@primitive("categorical", P=REQUIRED)
def _categorical(e: Context, site: Site) -> Any:
    return _not_yet(e, site)


@primitive("randn")
def _randn(e: Context, site: Site) -> Any:
    """The course's `randn * 0.01`."""
    return _standard(e, site, "draw_normal")


def index_range(value: Any, span: Span) -> Sequence[Any]:
    """What a `for` goes through."""
    if isinstance(value, Range):
        return range(value.first, value.last + 1)
    if isinstance(value, (list, range)):
        return value
    raise stop("N214", f"`for` goes through a range or a list, not {describe(value)}", span)
