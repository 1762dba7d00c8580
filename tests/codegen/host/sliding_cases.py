"""What the tests of kernels over windows share: geometries, guarded memory, calls from Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dlc.compiler.codegen.host.kernels import kernel as host_kernel
from dlc.compiler.codegen.host.machine import Dtype, Host

GUARD = 96  # bytes before and behind every result
AVX2 = Host("avx2", vector_bytes=32, tiles=((12, 4), (6, 2)))
NARROW = Host("narrow", vector_bytes=16, tiles=((4, 1), (5,)))


class Geometry(NamedTuple):
    """Windows over a dense (*spatial, C); pads are (before, after) for each spatial axis."""

    image: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    @property
    def channels(self) -> int:
        return self.image[-1]

    @property
    def result(self) -> tuple[int, ...]:
        sizes = zip(self.image[:-1], self.window, self.stride, self.pads, strict=True)
        return (*((n + sum(pad) - f) // s + 1 for n, f, s, pad in sizes), self.channels)

    @property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The arguments of a kernel."""
        before = tuple(pad[0] for pad in self.pads)
        return {
            "image": self.image, "result": self.result, "window": self.window, "stride": self.stride, "before": before
        }  # fmt: skip

    def with_channels(self, channels: int) -> Geometry:
        return self._replace(image=(*self.image[:-1], channels))


def callable_kernel(kernel: Any, arguments: int) -> Any:
    """A kernel as a Python function of addresses and numbers."""
    compiled = host_kernel(f"void({', '.join(['intp'] * arguments)})", cache=False)
    if arguments == 4:
        return compiled(lambda a, b, begin, end: kernel(a, b, begin, end))
    if arguments == 5:
        return compiled(lambda a, b, c, begin, end: kernel(a, b, c, begin, end))
    return compiled(lambda a, b, c, begin, end, d: kernel(a, b, c, begin, end, d))


def small_numbers(rng: np.random.Generator, shape: Sequence[int], dtype: Dtype) -> Any:
    """Integers from -3 to 3: full of equal values, and sums of their products are exact in any order."""
    return rng.integers(-3, 4, shape).astype(dtype)


class Guarded:
    """Memory for an array between guard bands that nobody may write to."""

    def __init__(self, shape: Sequence[int], dtype: Dtype, fill: float = 99.0) -> None:
        item = np.dtype(dtype).itemsize
        size = int(np.prod(shape)) * item
        self.bytes = np.full(size + 2 * GUARD, 0xA5, np.uint8)
        self.array = self.bytes[GUARD : GUARD + size].view(dtype).reshape(shape)
        self.array[...] = fill
        self.address = self.bytes.ctypes.data + GUARD

    @property
    def intact(self) -> bool:
        outside = np.concatenate([self.bytes[:GUARD], self.bytes[self.bytes.size - GUARD :]])
        return bool((outside == 0xA5).all())


class Readable:
    """An array with 64 bytes of NaN behind it: they may be read, and must not count."""

    def __init__(self, values: Any) -> None:
        self.flat = np.concatenate([values.ravel(), np.full(64 // values.itemsize, np.nan, values.dtype)])
        self.array = self.flat[: values.size].reshape(values.shape)
        self.address = self.flat.ctypes.data


def row_ranges(rows: int) -> list[tuple[int, int]]:
    """All rows, none, one at a time at both ends, and a range that begins and ends in the middle."""
    ranges = {(0, rows), (0, 0), (0, 1), (rows - 1, rows), (rows // 3, rows - rows // 4), (1 % rows, rows)}
    return sorted(ranges)
