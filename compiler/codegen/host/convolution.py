"""Convolutions over dense images, channels last: y from x and W, dx from dy and W, dW from x and dy, rows at a time.

Functions for jitted code, written in LLVM vector code by `correlation.py` and `filter_gradient.py`, and by
`depthwise.py` where each channel has a filter of its own. `plain_convolution.py` says the same in plain loops.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba import types
from numba.extending import intrinsic

from dlc.compiler.codegen.host.correlation import Correlation, Filters, RowStart
from dlc.compiler.codegen.host.depthwise import (
    depthwise_filter_gradient_rows,
    depthwise_input_gradient_rows,
    depthwise_rows,
)
from dlc.compiler.codegen.host.filter_gradient import FilterGradient
from dlc.compiler.codegen.host.machine import Dtype, Host, host
from dlc.compiler.codegen.host.windows import spatial_axes

__all__ = ["convolve_rows", "filter_gradient_rows", "input_gradient_rows"]


def depthwise(image: Sequence[int], result: Sequence[int], groups: int) -> bool:
    """Whether each channel has a filter of its own: there is no sum over channels, and nothing for a tile to do."""
    return groups > 1 and image[-1] == result[-1] == groups


def convolve_rows(
    dtype: Dtype,
    *,
    image: Sequence[int],
    result: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    before: Sequence[int],
    groups: int = 1,
    filter_row: int,
    start: RowStart = "zero",
    cpu: Host | None = None,
) -> Any:
    """A function for jitted code that computes rows of one example's convolution.

    `image` = (*places, C_in) and `result` = (*places, C_out) are the example's shapes, with 2 or 3 spatial axes, and
    `window`, `stride` and `before`, the padding before, have a number for each of those. Rows are places of the first.

    The function is called as f(x, w, y, begin, end), with byte addresses: of the example, of the filters (*window,
    C_in / groups, C_out), where a step along the first axis is `filter_row` elements and all else is dense, and of
    where row `begin` of the result goes. It writes rows begin .. end - 1 and nothing else; up to 64 bytes after x and w
    may be read. The sums start at 0, or ("row") at C_out numbers whose address is a sixth argument.
    """
    if depthwise(image, result, groups):
        return depthwise_rows(
            dtype, image=image, result=result, window=window, stride=stride, before=before, groups=groups,
            filter_row=filter_row, start=start, cpu=cpu,
        )  # fmt: skip
    each, row = image[-1] // groups, result[-1]
    static = Correlation(
        dtype,
        spatial_axes(image[:-1], result[:-1], window, stride, before, back=False),
        sources=image[-1],
        targets=result[-1],
        groups=groups,
        stored=Filters(filter_row, window[-1] * each * row, each * row, row),
        next_group=result[-1] // groups,
        start=start,
        cpu=cpu or host(),
    )
    if start == "row":

        @intrinsic
        def convolve_row(typing: Any, x: Any, w: Any, y: Any, begin: Any, end: Any, bias: Any) -> tuple[Any, Any]:
            return types.void(*[types.intp] * 6), static.lower

        return convolve_row

    @intrinsic
    def convolve(typing: Any, x: Any, w: Any, y: Any, begin: Any, end: Any) -> tuple[Any, Any]:
        return types.void(*[types.intp] * 5), static.lower

    return convolve


def input_gradient_rows(
    dtype: Dtype,
    *,
    image: Sequence[int],
    result: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    before: Sequence[int],
    groups: int = 1,
    filter_row: int,
    cpu: Host | None = None,
) -> Any:
    """A function for jitted code that computes rows of one example's dx from dy; sizes as in `convolve_rows`.

    It is called as f(dy, w_turned, dx, begin, end), with byte addresses: of the example's dy, of the filters with their
    last two axes exchanged, (*window, C_out, C_in / groups), and of where row `begin` of dx goes. It writes rows
    begin .. end - 1 of dx and nothing else; up to 64 bytes after dy and w_turned may be read.
    """
    if depthwise(image, result, groups):
        return depthwise_input_gradient_rows(
            dtype, image=image, result=result, window=window, stride=stride, before=before, groups=groups,
            filter_row=filter_row, cpu=cpu,
        )  # fmt: skip
    row = image[-1] // groups
    tap = result[-1] * row
    static = Correlation(
        dtype,
        spatial_axes(result[:-1], image[:-1], window, stride, before, back=True),
        sources=result[-1],
        targets=image[-1],
        groups=groups,
        stored=Filters(filter_row, window[-1] * tap, tap, row),
        next_group=tap // groups,
        start="zero",
        cpu=cpu or host(),
    )

    @intrinsic
    def input_gradient(typing: Any, dy: Any, w_turned: Any, dx: Any, begin: Any, end: Any) -> tuple[Any, Any]:
        return types.void(*[types.intp] * 5), static.lower

    return input_gradient


def filter_gradient_rows(
    dtype: Dtype,
    *,
    image: Sequence[int],
    result: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    before: Sequence[int],
    groups: int = 1,
    filter_row: int,
    cpu: Host | None = None,
) -> Any:
    """A function for jitted code that adds what rows of one example contribute to dW; sizes as in `convolve_rows`.

    It is called as f(x, dy, dw, begin, end), with byte addresses of the example, of its dy, and of dW, which is stored
    as W is, and adds the part of the result's rows begin .. end - 1. Up to 64 bytes after x and dy may be read.
    """
    if depthwise(image, result, groups):
        return depthwise_filter_gradient_rows(
            dtype, image=image, result=result, window=window, stride=stride, before=before, groups=groups,
            filter_row=filter_row, cpu=cpu,
        )  # fmt: skip
    static = FilterGradient(
        dtype,
        spatial_axes(image[:-1], result[:-1], window, stride, before, back=False),
        channels=image[-1],
        out_channels=result[-1],
        groups=groups,
        filter_row=filter_row,
        cpu=cpu or host(),
    )

    @intrinsic
    def filter_gradient(typing: Any, x: Any, dy: Any, dw: Any, begin: Any, end: Any) -> tuple[Any, Any]:
        return types.void(*[types.intp] * 5), static.lower

    return filter_gradient
