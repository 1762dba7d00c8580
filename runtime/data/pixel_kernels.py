"""What is done pixel by pixel to many images, in machine code; `pixel_work.py` calls it with arrays.

It stands apart because it needs Numba: a start that finds its machine code on the disk does not import this file.
Images are (examples, height, width, channels), rows of bytes or reals one after the other. Each kernel does the
examples `first` to `last` (`look_up`: the elements), so that threads can share them.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.compiler.codegen.host.address import float32_at, float64_at, int64_at, uint8_at
from dlc.compiler.codegen.host.kernels import Kernel, kernel
from dlc.runtime.batch_kernels import copy_bytes

PLAIN: dict[str, Any] = {"fastmath": ()}
"""No fast math: sums in the order in which they stand, on every machine."""


@kernel(symbol="dlc_pixels_cut", **PLAIN)
def cut(args: int, first: int, last: int) -> None:
    """A part of each image, from its own row and column on; what lies outside of the image is left as it is."""
    given = int64_at(args)
    images, height, width, pixel, result, rows, columns = (
        given[0], given[1], given[2], given[3], given[4], given[5], given[6],
    )  # fmt: skip
    tops, lefts = int64_at(given[7]), int64_at(given[8])
    for i in range(first, last):
        top, left = tops[i], lefts[i]
        start, end = max(0, -left), min(columns, width - left)
        for y in range(max(0, -top), min(rows, height - top)):
            target = result + ((i * rows + y) * columns + start) * pixel
            source = images + ((i * height + top + y) * width + left + start) * pixel
            copy_bytes(target, source, max(end - start, 0) * pixel)


@kernel(symbol="dlc_pixels_turn_nearest", **PLAIN)
def turn_nearest(args: int, first: int, last: int) -> None:
    """Each image turned about its middle, a pixel being the nearest one to its place before the turn; a result from
    outside is left as it is."""
    given = int64_at(args)
    images, height, width, pixel, result = given[0], given[1], given[2], given[3], given[4]
    cosines, sines = float64_at(given[5]), float64_at(given[6])
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    for i in range(first, last):
        for y in range(height):
            for x in range(width):
                from_y = cosines[i] * (y - middle_y) - sines[i] * (x - middle_x) + middle_y
                from_x = sines[i] * (y - middle_y) + cosines[i] * (x - middle_x) + middle_x
                row, column = int(np.floor(from_y + 0.5)), int(np.floor(from_x + 0.5))
                if row >= 0 and row < height and column >= 0 and column < width:
                    source = images + ((i * height + row) * width + column) * pixel
                    copy_bytes(result + ((i * height + y) * width + x) * pixel, source, pixel)


def turn_bilinear(image_at: Any, result_at: Any, symbol: str) -> Kernel:
    """The same for images and results of some types; a pixel is the bilinear mean of the four around its place before
    the turn, those outside of the image being 0."""

    @kernel(symbol=symbol, **PLAIN)
    def turn(args: int, first: int, last: int) -> None:
        given = int64_at(args)
        height, width, channels = given[1], given[2], given[3]
        images, result = image_at(given[0]), result_at(given[4])
        cosines, sines = float64_at(given[5]), float64_at(given[6])
        middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
        line = width * channels
        for i in range(first, last):
            for y in range(height):
                for x in range(width):
                    from_y = cosines[i] * (y - middle_y) - sines[i] * (x - middle_x) + middle_y
                    from_x = sines[i] * (y - middle_y) + cosines[i] * (x - middle_x) + middle_x
                    top, left = int(np.floor(from_y)), int(np.floor(from_x))
                    down, right = from_y - top, from_x - left
                    upper_left, upper_right = (1 - down) * (1 - right), (1 - down) * right
                    lower_left, lower_right = down * (1 - right), down * right
                    source = ((i * height + top) * width + left) * channels
                    target = ((i * height + y) * width + x) * channels
                    above, below = top >= 0 and top < height, top + 1 >= 0 and top + 1 < height
                    before, behind = left >= 0 and left < width, left + 1 >= 0 and left + 1 < width
                    if above and below and before and behind:
                        for c in range(channels):
                            at = source + c
                            value = upper_left * images[at] + upper_right * images[at + channels]
                            value += lower_left * images[at + line]
                            result[target + c] = value + lower_right * images[at + line + channels]
                        continue
                    for c in range(channels):
                        at = source + c
                        value = 0.0
                        if above and before:
                            value += upper_left * images[at]
                        if above and behind:
                            value += upper_right * images[at + channels]
                        if below and before:
                            value += lower_left * images[at + line]
                        if below and behind:
                            value += lower_right * images[at + line + channels]
                        result[target + c] = value

    return turn


turn_bilinear_uint8 = turn_bilinear(uint8_at, float32_at, "dlc_pixels_turn_bilinear_uint8")
turn_bilinear_float32 = turn_bilinear(float32_at, float32_at, "dlc_pixels_turn_bilinear_float32")
turn_bilinear_float64 = turn_bilinear(float64_at, float64_at, "dlc_pixels_turn_bilinear_float64")


def shift(image_at: Any, symbol: str) -> Kernel:
    """To the first channels of each image are added its own shifts, within bounds; in place."""

    @kernel(symbol=symbol, **PLAIN)
    def add(args: int, first: int, last: int) -> None:
        given = int64_at(args)
        images, pixels, channels, colors = image_at(given[0]), given[1], given[2], given[4]
        shifts, bounds = float64_at(given[3]), float64_at(given[5])
        least, greatest = bounds[0], bounds[1]
        for i in range(first, last):
            for p in range(pixels):
                at = (i * pixels + p) * channels
                for c in range(colors):
                    images[at + c] = min(max(images[at + c] + shifts[i * colors + c], least), greatest)

    return add


shift_float32 = shift(float32_at, "dlc_pixels_shift_float32")
shift_float64 = shift(float64_at, "dlc_pixels_shift_float64")


def look_up(real_at: Any, symbol: str) -> Kernel:
    """`table[bytes]`."""

    @kernel(symbol=symbol, **PLAIN)
    def take(args: int, first: int, last: int) -> None:
        given = int64_at(args)
        bytes, table, result = uint8_at(given[0]), real_at(given[1]), real_at(given[2])
        for i in range(first, last):
            result[i] = table[bytes[i]]

    return take


look_up_float32 = look_up(float32_at, "dlc_pixels_look_up_float32")
look_up_float64 = look_up(float64_at, "dlc_pixels_look_up_float64")
