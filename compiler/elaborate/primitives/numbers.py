"""Functions of one or two numbers or tensors, element by element: `exp`, `floor`, `max(a, b)`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dlc.compiler.dims import Dim
from dlc.compiler.elaborate.arithmetic import is_number, round_number, simplest
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.primitives.reductions import reduced
from dlc.compiler.elaborate.primitives.registry import PRIMITIVES, REQUIRED, Signature, Site, primitive
from dlc.compiler.elaborate.report import stop


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
    "sin": lambda x: math.sin(x) if math.isfinite(x) else math.nan,
    "cos": lambda x: math.cos(x) if math.isfinite(x) else math.nan,
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


def _extreme(name: str, reduce: str) -> None:
    def handler(e: Context, site: Site) -> Any:
        x, y = site.given["x"], site.given["y"]
        if y is None:
            if isinstance(x, list) and x and all(is_number(item) for item in x) and site.given["over"] is None:
                return (max if name == "max" else min)(x)
            return reduced(e, site, reduce)
        unused = next((key for key in ("over", "window", "stride", "pad") if site.given[key] is not None), None)
        if unused is not None:
            message = f"`{name}` of two values compares them place by place: `{unused}` has no meaning"
            raise stop("N203", message, site.place(unused))
        if is_number(x) and is_number(y):
            from dlc.compiler.dims import dim_max, dim_min

            if isinstance(x, Dim) or isinstance(y, Dim):
                if isinstance(x, float) or isinstance(y, float):
                    return site.apply(e, name, "x", "y")
                return simplest((dim_max if name == "max" else dim_min)(Dim.of(x), Dim.of(y)))
            return (max if name == "max" else min)(x, y)
        return site.apply(e, name, "x", "y")

    PRIMITIVES[name] = Signature(
        (("x", REQUIRED), ("y", None), ("over", None), ("window", None), ("stride", None), ("pad", None)), handler
    )


_extreme("max", "reduce_max")
_extreme("min", "reduce_min")
