"""Lists as tensors: a Sobel filter, anchors, a row of prices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dlc.compiler.dims import Axis, Dim
from dlc.compiler.elaborate.arithmetic import is_number
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.values import Tensor, Tuple, describe
from dlc.grammar.span import Span

MOST_NUMBERS = 100_000
"""What is longer is data, and belongs into a file."""


def table(e: Context, value: list[Any], span: Span) -> Tensor:
    """The tensor of a list of numbers, or of lists of one length."""
    shape = _shape(value, span)
    values = tuple(_numbers(value, shape, (), span))
    return Tensor(
        e.b.add("table", span=e.findings.place(span), axes=tuple(Axis(Dim.of(n)) for n in shape), values=values)
    )


def _shape(value: Any, span: Span) -> tuple[int, ...]:
    """The lengths along the first element of each level."""
    shape: list[int] = []
    total = 1
    while isinstance(value, list):
        if not value:
            raise stop("D106", "an empty list is no tensor: an axis has at least one place", span)
        shape.append(len(value))
        total *= len(value)
        if total > MOST_NUMBERS:
            message = f"a list as a tensor has at most {MOST_NUMBERS:,} numbers, and this has {total:,}"
            raise stop("D118", message, span, help="put them into a file, and read them in `data:`")
        value = value[0]
    return tuple(shape)


def _numbers(value: Any, shape: tuple[int, ...], place: tuple[int, ...], span: Span) -> Iterator[float]:
    """The numbers in order; `place` are the indices of this part of the list."""
    where = f"[{', '.join(map(str, place))}]"
    if len(place) == len(shape):
        if not is_number(value) or (isinstance(value, Dim) and value.constant is None):
            raise stop("D106", f"a list as a tensor holds numbers, and at {where} stands {_what(value)}", span)
        yield float(value.constant or 0) if isinstance(value, Dim) else float(value)
        return
    if not isinstance(value, list):
        raise stop("D106", f"a list as a tensor holds lists of one depth, and at {where} stands {_what(value)}", span)
    if len(value) != shape[len(place)]:
        first = f"[{', '.join(['0'] * len(place))}]"
        raise stop(
            "D106",
            f"the lists at {first} and {where} have {shape[len(place)]} and {len(value)} elements",
            span,
            rule="a list as a tensor: all lists of one level are equally long",
        )
    for i, item in enumerate(value):
        yield from _numbers(item, shape, (*place, i), span)


def _what(value: Any) -> str:
    return "several values; a list is written [a, b]" if isinstance(value, Tuple) else describe(value)


__all__ = ["table"]
