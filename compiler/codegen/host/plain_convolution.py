"""The meaning of `convolution.py` in scalar loops: correct on every CPU that Numba knows, and the oracle of its tests.

Result place i of an axis sees, through tap k of the window, image place i * stride - before + k; what lies outside the
image is 0. All three functions go over these (result place, tap) pairs. Rows after the last one of an example are those
of the next.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from dlc.compiler.codegen.host.address import float32_at, float64_at
from dlc.compiler.codegen.host.machine import Dtype, Host

__all__ = ["convolve_rows_plain", "filter_gradient_rows_plain", "input_gradient_rows_plain"]


def padded_to_three(sizes: Sequence[int], filler: int) -> tuple[int, int, int]:
    """One number for each of three spatial axes; with two, the axis in the middle is `filler`."""
    first, *middle, last = sizes
    return first, middle[0] if middle else filler, last


def convolve_rows_plain(
    dtype: Dtype,
    *,
    image: Sequence[int],
    result: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    before: Sequence[int],
    groups: int = 1,
    filter_row: int,
    start: str = "zero",
    cpu: Host | None = None,
) -> Any:
    """`convolution.convolve_rows`, one sum for each element of the result."""
    at = float32_at if dtype == "float32" else float64_at
    zero = np.dtype(dtype).type(0)
    height, depth, width = padded_to_three(image[:-1], 1)
    out_height, out_depth, out_width = padded_to_three(result[:-1], 1)
    f0, f1, f2 = padded_to_three(window, 1)
    s0, s1, s2 = padded_to_three(stride, 1)
    p0, p1, p2 = padded_to_three(before, 0)
    channels, out_channels = image[-1], result[-1]
    each, out_each = channels // groups, out_channels // groups
    from_row = start == "row"

    @njit(error_model="numpy")
    def rows(x: int, w: int, y: int, begin: int, end: int, bias: int) -> None:
        given, filters, made, first = at(x), at(w), at(y), at(bias)
        for row in range(begin, end):
            example, i = row // out_height, row % out_height
            for j in range(out_depth):
                for l in range(out_width):
                    for c in range(out_channels):
                        total = first[c] if from_row else zero
                        for a in range(max(0, p0 - i * s0), min(f0, height + p0 - i * s0)):
                            for b in range(max(0, p1 - j * s1), min(f1, depth + p1 - j * s1)):
                                for d in range(max(0, p2 - l * s2), min(f2, width + p2 - l * s2)):
                                    place = (example * height + i * s0 - p0 + a) * depth + j * s1 - p1 + b
                                    place = (place * width + l * s2 - p2 + d) * channels + c // out_each * each
                                    tap = a * filter_row + (b * f2 + d) * each * out_channels + c
                                    for k in range(each):
                                        total += given[place + k] * filters[tap + k * out_channels]
                        made[(((row - begin) * out_depth + j) * out_width + l) * out_channels + c] = total

    if from_row:

        @njit(error_model="numpy")
        def convolve_row(x: int, w: int, y: int, begin: int, end: int, bias: int) -> None:
            rows(x, w, y, begin, end, bias)

        return convolve_row

    @njit(error_model="numpy")
    def convolve(x: int, w: int, y: int, begin: int, end: int) -> None:
        rows(x, w, y, begin, end, w)

    return convolve


def input_gradient_rows_plain(
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
    """`convolution.input_gradient_rows`, one sum for each element of dx: over the result places that saw it."""
    at = float32_at if dtype == "float32" else float64_at
    zero = np.dtype(dtype).type(0)
    height, depth, width = padded_to_three(image[:-1], 1)
    out_height, out_depth, out_width = padded_to_three(result[:-1], 1)
    f0, f1, f2 = padded_to_three(window, 1)
    s0, s1, s2 = padded_to_three(stride, 1)
    p0, p1, p2 = padded_to_three(before, 0)
    channels, out_channels = image[-1], result[-1]
    each, out_each = channels // groups, out_channels // groups

    @njit(error_model="numpy")
    def seen_by(place: int, tap: int, before: int, stride: int, size: int) -> int:
        """The result place that sees this place through this tap, or -1."""
        moved = place + before - tap
        return moved // stride if moved >= 0 and moved % stride == 0 and moved // stride < size else -1

    @njit(error_model="numpy")
    def input_gradient(dy: int, w_turned: int, dx: int, begin: int, end: int) -> None:
        given, filters, made = at(dy), at(w_turned), at(dx)
        for line in range(begin, end):
            example, i = line // height, line % height
            for j in range(depth):
                for l in range(width):
                    for c in range(channels):
                        group = c // each
                        total = zero
                        for a in range(f0):
                            row = seen_by(i, a, p0, s0, out_height)
                            for b in range(f1):
                                middle = seen_by(j, b, p1, s1, out_depth)
                                for d in range(f2):
                                    last = seen_by(l, d, p2, s2, out_width)
                                    if row < 0 or middle < 0 or last < 0:
                                        continue
                                    place = (example * out_height + row) * out_depth + middle
                                    place = (place * out_width + last) * out_channels
                                    tap = a * filter_row + (b * f2 + d) * out_channels * each + c - group * each
                                    for k in range(group * out_each, (group + 1) * out_each):
                                        total += given[place + k] * filters[tap + k * each]
                        made[(((line - begin) * depth + j) * width + l) * channels + c] = total

    return input_gradient


def filter_gradient_rows_plain(
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
    """`convolution.filter_gradient_rows`: every result place adds the image place that a tap saw, times its dy."""
    at = float32_at if dtype == "float32" else float64_at
    height, depth, width = padded_to_three(image[:-1], 1)
    out_height, out_depth, out_width = padded_to_three(result[:-1], 1)
    f0, f1, f2 = padded_to_three(window, 1)
    s0, s1, s2 = padded_to_three(stride, 1)
    p0, p1, p2 = padded_to_three(before, 0)
    channels, out_channels = image[-1], result[-1]
    each, out_each = channels // groups, out_channels // groups

    @njit(error_model="numpy")
    def filter_gradient(x: int, dy: int, dw: int, begin: int, end: int) -> None:
        given, moved, made = at(x), at(dy), at(dw)
        for row in range(begin, end):
            example, i = row // out_height, row % out_height
            for j in range(out_depth):
                for l in range(out_width):
                    seen = ((row * out_depth + j) * out_width + l) * out_channels
                    for a in range(max(0, p0 - i * s0), min(f0, height + p0 - i * s0)):
                        for b in range(max(0, p1 - j * s1), min(f1, depth + p1 - j * s1)):
                            for d in range(max(0, p2 - l * s2), min(f2, width + p2 - l * s2)):
                                place = (example * height + i * s0 - p0 + a) * depth + j * s1 - p1 + b
                                place = (place * width + l * s2 - p2 + d) * channels
                                tap = a * filter_row + (b * f2 + d) * each * out_channels
                                for k in range(each):
                                    for c in range(out_channels):
                                        value = given[place + c // out_each * each + k]
                                        made[tap + k * out_channels + c] += value * moved[seen + c]

    return filter_gradient
