"""What is done pixel by pixel to many images: arrays in, the machine code of `pixel_kernels.py` called.

It runs without the interpreter lock, so that it goes on beside training. Images are C-contiguous
(examples, height, width, channels).
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_loaded: dict[str, Any] = {}
_loading = threading.Lock()


def cut(images: Array, tops: NDArray[np.int64], lefts: NDArray[np.int64], result: Array) -> None:
    """A part of each image, from its own row and column on; what lies outside of the image is left as it is."""
    _, height, width, channels = images.shape
    pixel = channels * images.itemsize
    _run("cut", len(images), images, height, width, pixel, result, *result.shape[1:3], tops, lefts)


def turn_bilinear(images: Array, cosines: Array, sines: Array, result: Array) -> None:
    """Each image (bytes to float32, reals to their own type) turned about its middle; a pixel is the bilinear mean of
    the four around its place before the turn, those outside of the image being 0."""
    _run(f"turn_bilinear_{images.dtype}", len(images), images, *images.shape[1:], result, cosines, sines)


def turn_nearest(images: Array, cosines: Array, sines: Array, result: Array) -> None:
    """The same with the nearest pixel; a result from outside is left as it is."""
    _, height, width, channels = images.shape
    _run("turn_nearest", len(images), images, height, width, channels * images.itemsize, result, cosines, sines)


def shift(images: Array, shifts: Array, least: float, greatest: float) -> None:
    """To the first channels of each image of reals are added its own shifts, within bounds; in place."""
    _, height, width, channels = images.shape
    bounds = np.array([least, greatest])
    shifts = np.ascontiguousarray(shifts, np.float64)
    _run(
        f"shift_{images.dtype}", len(images), images, height * width, channels, shifts, shifts.shape[1], bounds
    )  # fmt: skip


def look_up(bytes: Array, table: Array, result: Array) -> None:
    """`table[bytes]`, of 256 reals."""
    _run(f"look_up_{table.dtype}", bytes.size, bytes, table, result)


def _run(name: str, count: int, *given: Array | int) -> None:
    """Runs a kernel on all examples; arrays are given by their addresses."""
    assert all(item.flags.c_contiguous for item in given if isinstance(item, np.ndarray)), name
    block = np.array([item.ctypes.data if isinstance(item, np.ndarray) else item for item in given], np.int64)
    _kernel(name)(block.ctypes.data, 0, count)


def _kernel(name: str) -> Any:
    """Of several threads that ask for the first time one compiles. Raises R605, as every use of the cache folder."""
    with _loading:
        if name not in _loaded:
            from dlc.runtime.loader import load_host, require_own_folder

            require_own_folder()
            _loaded[name] = KERNEL(load_host(f"dlc_pixels_{name}"))
        return _loaded[name]
