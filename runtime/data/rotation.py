"""Turning images, pixel by pixel; without the interpreter lock, so that it goes on beside training."""

# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def turn_bilinear(images: Any, cosines: Any, sines: Any, result: Any) -> None:
    count, height, width, channels = images.shape
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    for i in range(count):
        for y in range(height):
            for x in range(width):
                from_y = cosines[i] * (y - middle_y) - sines[i] * (x - middle_x) + middle_y
                from_x = sines[i] * (y - middle_y) + cosines[i] * (x - middle_x) + middle_x
                top, left = int(np.floor(from_y)), int(np.floor(from_x))
                down, right = from_y - top, from_x - left
                for c in range(channels):
                    value = 0.0
                    for dy in range(2):
                        for dx in range(2):
                            if 0 <= top + dy < height and 0 <= left + dx < width:
                                share = (down if dy else 1 - down) * (right if dx else 1 - right)
                                value += share * images[i, top + dy, left + dx, c]
                    result[i, y, x, c] = value


@njit(nogil=True, cache=True, error_model="numpy")
def turn_nearest(images: Any, cosines: Any, sines: Any, result: Any) -> None:
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
