"""Convolutions and sliding windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.compiler.dims import ZERO, Dim
from dlc.compiler.elaborate.arithmetic import is_number, to_dim
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.over import axes_of
from dlc.compiler.elaborate.padding import is_padded, padded_axes, seen
from dlc.compiler.elaborate.primitives.registry import CONSTANTS, REQUIRED, SAME, VALID, Site, primitive
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.shapes import holdable
from dlc.compiler.elaborate.values import Tensor, Tuple, describe
from dlc.compiler.ops import sliding


@primitive("convolve", A=REQUIRED, W=REQUIRED, stride=1, pad=VALID, groups=1)
def _convolve(e: Context, site: Site) -> Any:
    groups = to_dim(site.given["groups"], site.place("groups"))
    if groups.constant is not None and groups.constant < 1:
        raise stop("D122", f"a convolution has at least 1 group, not {groups}", site.place("groups"))
    return _convolution(e, site, groups=groups)


@primitive("convolve_transpose", A=REQUIRED, W=REQUIRED, stride=1, pad=VALID)
def _convolve_transpose(e: Context, site: Site) -> Any:
    return _convolution(e, site)


def _convolution(e: Context, site: Site, **attrs: Any) -> Tensor:
    x = site.tensor(e, "A")
    axes = max(x.type.rank - 2, 0)  # between the examples and the channels
    stride, pads = _sizes(site, "stride", axes), _pads(site, axes)
    _own_middle(e, site, x, range(1, axes + 1), stride, pads)
    result = site.apply(e, site.name, "A", "W", stride=stride, pads=pads, **attrs)
    holdable(result.type.axes, site.span)
    return result


def slides(site: Site) -> bool:
    """Whether a reduction has a window; without one, a stride or a padding means nothing."""
    if site.given["window"] is not None:
        return True
    for name in ("stride", "pad"):
        if site.given[name] is not None:
            raise stop("N204", f"`{name}` moves a window, and no `window` is given", site.place(name))
    return False


def windowed(e: Context, site: Site, kind: str) -> Tensor:
    """`max(A, over = ..., window = 2, stride = 2)`: a reduction whose window slides along the axes of `over`."""
    x, over = site.tensor(e, "x"), site.given["over"]
    if kind == "argmax":
        raise stop("N203", "argmax finds one place along a whole axis: it has no window", site.place("window"))
    if over is None:
        raise stop(
            "N204",
            f"`{site.name}` with a window needs the axes that it slides along",
            site.span,
            help="write `over = ...` for the further axes of an input (m, ..., n_C), or name the axes",
        )
    order = [axis for part in over.parts or (over,) for axis in axes_of(e, part, x.type, site.span)]
    count = len(order)
    inward = sorted(range(count), key=order.__getitem__)
    axes = tuple(sorted(order))
    window, stride = (tuple(_sizes(site, name, count)[i] for i in inward) for name in ("window", "stride"))
    pads = tuple(_pads(site, count)[i] for i in inward)
    _own_middle(e, site, x, axes, stride, pads)
    attrs: dict[str, Any] = {"axes": axes, "window": window, "stride": stride, "pads": pads}
    if kind == "mean" and set(axes) & set(padded_axes(e.padded, x.type)):
        return _mean_of_each_example(e, site, x, **attrs)
    return site.apply(e, f"window_{kind}", "x", **attrs)


def _own_middle(
    e: Context, site: Site, x: Tensor, axes: Sequence[int], stride: tuple[Dim, ...], pads: tuple[sliding.Pad, ...]
) -> None:
    """With `same` and a stride, where the first window begins depends on the length, and each example has its own."""
    for axis, step, pad in zip(axes, stride, pads, strict=True):
        if pad == sliding.SAME and step != 1 and is_padded(e.padded, x.type.axes[axis].size):
            raise stop(
                "U901",
                f"`pad = same` with a stride is not supported along {x.type.axes[axis].size}, a length of its own",
                site.place("pad"),
                help="write the padding as a number",
            )


def _mean_of_each_example(e: Context, site: Site, x: Tensor, *, axes: tuple[int, ...], **attrs: Any) -> Tensor:
    """The mean of each window over the places that count; a window of padding alone has no place, and counts as one."""
    total = site.apply(e, "window_sum", "x", axes=axes, **attrs)
    within = seen(e.b, e.padded, x.type, axes)
    assert within is not None
    wide = tuple(x.type.axes[i] if i in axes else axis for i, axis in enumerate(within.type.axes))
    places = e.b.add("broadcast", e.b.add("real", within), axes=wide)
    count = e.b.add("max", e.b.add("window_sum", places, axes=axes, **attrs), e.b.constant(1.0))
    return e.op("div", [total, Tensor(count)], [], site.span, site.scope)


def _per_axis(site: Site, name: str, axes: int) -> list[Any]:
    """An argument as one value an axis: a number stands for all of them."""
    value = site.given[name]
    items = list(value.items) if isinstance(value, Tuple) else value if isinstance(value, list) else [value] * axes
    if len(items) != axes:
        count = f"{len(items)} value{'s' * (len(items) != 1)}"
        raise stop("D122", f"`{name}` has {count}, and the window slides along {axes} axes", site.place(name))
    return items


def _sizes(site: Site, name: str, axes: int) -> tuple[Dim, ...]:
    if site.given[name] is None:
        return (Dim.of(1),) * axes
    return tuple(to_dim(item, site.place(name)) for item in _per_axis(site, name, axes))


def _pads(site: Site, axes: int) -> tuple[sliding.Pad, ...]:
    return tuple(_pad(site, item) for item in _per_axis(site, "pad", axes))


def _pad(site: Site, value: Any) -> sliding.Pad:
    if value is None or value == VALID:
        return ZERO, ZERO
    if value == SAME:
        return sliding.SAME
    if isinstance(value, str):
        help = f"write `pad = {value}`, without quotes" if value in CONSTANTS else "write `valid`, `same` or a number"
        raise stop("D122", "`pad` is a word or a number, not a text", site.place("pad"), help=help)
    if not is_number(value):
        raise stop("D122", f"`pad` is `valid`, `same` or a number, not {describe(value)}", site.place("pad"))
    amount = to_dim(value, site.place("pad"))
    return amount, amount
