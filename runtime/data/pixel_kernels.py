"""What is done pixel by pixel to many images: compiled, and without the interpreter lock, so that it goes on beside
training. Images are (examples, height, width, channels)."""

# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

PLAIN = {"nogil": True, "cache": True, "error_model": "numpy"}
"""No fast math: sums in the order in which they stand, on every machine."""


@njit(**PLAIN)
def cut(images: Any, tops: Any, lefts: Any, result: Any) -> None:
    """A part of each image, from its own row and column on; what lies outside of the image is left as it is."""
    count, height, width, channels = images.shape
    for i in range(count):
        for y in range(max(0, -tops[i]), min(result.shape[1], height - tops[i])):
            for x in range(max(0, -lefts[i]), min(result.shape[2], width - lefts[i])):
                for c in range(channels):
                    result[i, y, x, c] = images[i, tops[i] + y, lefts[i] + x, c]


@njit(**PLAIN)
def turn_bilinear(images: Any, cosines: Any, sines: Any, result: Any) -> None:
    """Each image turned about its middle; a pixel is the bilinear mean of the four around its place before the turn,
    those outside of the image being 0."""
    count, height, width, channels = images.shape
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    for i in range(count):
        for y in range(height):
            for x in range(width):
                from_y = cosines[i] * (y - middle_y) - sines[i] * (x - middle_x) + middle_y
                from_x = sines[i] * (y - middle_y) + cosines[i] * (x - middle_x) + middle_x
                top, left = int(np.floor(from_y)), int(np.floor(from_x))
                down, right = from_y - top, from_x - left
                upper_left, upper_right = (1 - down) * (1 - right), (1 - down) * right
                lower_left, lower_right = down * (1 - right), down * right
                if top >= 0 and top + 1 < height and left >= 0 and left + 1 < width:
                    for c in range(channels):
                        value = upper_left * images[i, top, left, c] + upper_right * images[i, top, left + 1, c]
                        value += lower_left * images[i, top + 1, left, c]
                        result[i, y, x, c] = value + lower_right * images[i, top + 1, left + 1, c]
                    continue
                for c in range(channels):
                    value = 0.0
                    if 0 <= top < height and 0 <= left < width:
                        value += upper_left * images[i, top, left, c]
                    if 0 <= top < height and 0 <= left + 1 < width:
                        value += upper_right * images[i, top, left + 1, c]
                    if 0 <= top + 1 < height and 0 <= left < width:
                        value += lower_left * images[i, top + 1, left, c]
                    if 0 <= top + 1 < height and 0 <= left + 1 < width:
                        value += lower_right * images[i, top + 1, left + 1, c]
                    result[i, y, x, c] = value


@njit(**PLAIN)
def turn_nearest(images: Any, cosines: Any, sines: Any, result: Any) -> None:
    """The same with the nearest pixel; a result from outside is left as it is."""
    count, height, width, channels = images.shape
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    for i in range(count):
        for y in range(height):
            for x in range(width):
                from_y = cosines[i] * (y - middle_y) - sines[i] * (x - middle_x) + middle_y
                from_x = sines[i] * (y - middle_y) + cosines[i] * (x - middle_x) + middle_x
                row, column = int(np.floor(from_y + 0.5)), int(np.floor(from_x + 0.5))
                if 0 <= row < height and 0 <= column < width:
                    for c in range(channels):
                        result[i, y, x, c] = images[i, row, column, c]


@njit(**PLAIN)
def shift(images: Any, shifts: Any, least: float, greatest: float) -> None:
    """To the first channels of each image are added its own shifts, within bounds; in place."""
    count, height, width, _ = images.shape
    for i in range(count):
        for y in range(height):
            for x in range(width):
                for c in range(shifts.shape[1]):
                    images[i, y, x, c] = min(max(images[i, y, x, c] + shifts[i, c], least), greatest)


@njit(**PLAIN)
def look_up(bytes: Any, table: Any, result: Any) -> None:
    """`table[bytes]`."""
    for i in range(bytes.size):
        result[i] = table[bytes[i]]
