"""The meaning of `pooling.py` in scalar loops: correct on every CPU that Numba knows, and the oracle of its tests.

All are written for three spatial axes; of two, the first and the last are used, with a window of 1 between them.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numba import njit

from dlc.compiler.codegen.host.address import float32_at, float64_at
from dlc.compiler.codegen.host.machine import Dtype, Host
from dlc.compiler.codegen.host.plain_convolution import padded_to_three

__all__ = ["pool_gradient_rows_plain", "pool_rows_plain"]

Three = tuple[int, int, int]


class Sizes(NamedTuple):
    """Sizes along three spatial axes, and what reads and writes numbers of the dtype."""

    image: Three
    result: Three
    window: Three
    stride: Three
    before: Three
    channels: int
    at: Any
    zero: Any


def sizes_of(
    dtype: Dtype, image: Sequence[int], result: Sequence[int], window: Sequence[int], stride: Sequence[int],
    before: Sequence[int],
) -> Sizes:  # fmt: skip
    at, zero = (float32_at, np.float32(0)) if dtype == "float32" else (float64_at, np.float64(0))
    return Sizes(
        padded_to_three(image[:-1], 1), padded_to_three(result[:-1], 1), padded_to_three(window, 1),
        padded_to_three(stride, 1), padded_to_three(before, 0), image[-1], at, zero,
    )  # fmt: skip


@njit(error_model="numpy")
def first_tap(place: int, stride: int, before: int) -> int:
    """The first tap of the window of a place of the result that stands on the image."""
    return max(0, before - place * stride)


@njit(error_model="numpy")
def last_tap(place: int, stride: int, before: int, window: int, image: int) -> int:
    """One past the last tap that stands on the image."""
    return min(window, image + before - place * stride)


def pool_rows_plain(
    dtype: Dtype, fold: Literal["max", "min", "sum"], *, image: Sequence[int], result: Sequence[int],
    window: Sequence[int], stride: Sequence[int], before: Sequence[int], cpu: Host | None = None,
) -> Any:  # fmt: skip
    """`pooling.pool_rows`, in loops."""
    (d, h, w), (_, rh, rw), (fd, fh, fw), (sd, sh, sw), (pd, ph, pw), n_c, at, zero = sizes_of(
        dtype, image, result, window, stride, before
    )
    adds, sign = fold == "sum", zero - 1 if fold == "min" else zero + 1
    lowest = zero - np.inf

    @njit(error_model="numpy")
    def rows(x: int, y: int, begin: int, end: int) -> None:
        given, made = at(x), at(y)
        for i in range(begin, end):
            for j in range(rh):
                for k in range(rw):
                    for c in range(n_c):
                        total = zero if adds else lowest
                        for a in range(first_tap(i, sd, pd), last_tap(i, sd, pd, fd, d)):
                            for b in range(first_tap(j, sh, ph), last_tap(j, sh, ph, fh, h)):
                                for e in range(first_tap(k, sw, pw), last_tap(k, sw, pw, fw, w)):
                                    place = ((i * sd - pd + a) * h + j * sh - ph + b) * w + k * sw - pw + e
                                    seen = sign * given[place * n_c + c]
                                    if adds:
                                        total += seen
                                    elif seen > total or np.isnan(seen):
                                        total = seen
                        made[(((i - begin) * rh + j) * rw + k) * n_c + c] = sign * total

    return rows


def pool_gradient_rows_plain(
    dtype: Dtype, fold: Literal["max", "min", "sum"], *, image: Sequence[int], result: Sequence[int],
    window: Sequence[int], stride: Sequence[int], before: Sequence[int], cpu: Host | None = None,
) -> Any:  # fmt: skip
    """`pooling.pool_gradient_rows`, in loops: every window that reaches a row says where its gradient goes."""
    (d, h, w), (rd, rh, rw), (fd, fh, fw), (sd, sh, sw), (pd, ph, pw), n_c, at, zero = sizes_of(
        dtype, image, result, window, stride, before
    )
    adds, sign = fold == "sum", zero - 1 if fold == "min" else zero + 1

    @njit(error_model="numpy")
    def spread(x: int, dy: int, dx: int, begin: int, end: int) -> None:
        given, back, made = at(x), at(dy), at(dx)
        for place in range((end - begin) * h * w * n_c):
            made[place] = zero
        for i in range(rd):
            for j in range(rh):
                for k in range(rw):
                    for c in range(n_c):
                        part, winner, best = back[((i * rh + j) * rw + k) * n_c + c], -1, zero
                        for a in range(first_tap(i, sd, pd), last_tap(i, sd, pd, fd, d)):
                            for b in range(first_tap(j, sh, ph), last_tap(j, sh, ph, fh, h)):
                                for e in range(first_tap(k, sw, pw), last_tap(k, sw, pw, fw, w)):
                                    place = ((i * sd - pd + a) * h + j * sh - ph + b) * w + k * sw - pw + e
                                    if adds:
                                        if begin <= i * sd - pd + a < end:
                                            made[(place - begin * h * w) * n_c + c] += part
                                    elif winner < 0 or sign * given[place * n_c + c] > best:
                                        winner, best = place, sign * given[place * n_c + c]
                        if winner >= 0 and begin <= winner // (h * w) < end:
                            made[(winner - begin * h * w) * n_c + c] += part

    if adds:

        @njit(error_model="numpy")
        def rows_of_sums(dy: int, dx: int, begin: int, end: int) -> None:
            spread(dy, dy, dx, begin, end)

        return rows_of_sums

    @njit(error_model="numpy")
    def rows(x: int, dy: int, dx: int, begin: int, end: int) -> None:
        spread(x, dy, dx, begin, end)

    return rows
