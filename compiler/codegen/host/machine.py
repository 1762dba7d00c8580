"""What the generated code needs to know of the CPU: how wide a vector is and how large a tile the registers hold."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Literal

import llvmlite.binding as llvm

__all__ = ["Dtype", "Host", "host", "item_bytes"]

Dtype = Literal["float32", "float64"]


def item_bytes(dtype: Dtype) -> int:
    return 4 if dtype == "float32" else 8


@dataclass(frozen=True, slots=True)
class Host:
    """The sizes a matrix tile is built from.

    A tile of `rows` x `vectors` accumulators stays in registers while the sum over k runs, so
    rows * vectors + vectors + 1 must not exceed the number of vector registers; and a core with two multiply-add units
    of latency 4 wants 8 of them or more.
    """

    name: str
    vector_bytes: int
    """Bytes of one vector register."""
    tiles: tuple[tuple[int, ...], ...]
    """tiles[v - 1]: the tile heights, in rows, of a panel of v vectors, tallest first. The last entry is the panel that
    a wide matrix is cut into."""
    depth_block: int = 192
    """Terms of the sum over k added in registers before they are added to memory: a (depth_block, panel) piece of B
    stays in the caches next to the core, and short chains keep the rounding noise of long sums down."""
    packed_block: int = 128
    """The same where such a piece is copied: it stays in the first cache."""
    registers: int = 16
    """Vector registers."""

    def lanes(self, dtype: Dtype) -> int:
        """Elements in one vector."""
        return self.vector_bytes // item_bytes(dtype)

    def overhang(self, vectors: int, rows: int) -> int:
        """The rows that a panel of `rows` rows writes, unless it is exact: rounded up to the lowest tile."""
        lowest = self.tiles[vectors - 1][-1]
        return -(-rows // lowest) * lowest

    def panels(self, dtype: Dtype, columns: int) -> list[tuple[int, int, int]]:
        """Cut a matrix of `columns` columns (padding included) into panels: (first column, count, vectors of each)."""
        full, rest = divmod(-(-columns // self.lanes(dtype)), len(self.tiles))
        pieces = [(0, full, len(self.tiles))] if full else []
        return [*pieces, (full * len(self.tiles) * self.lanes(dtype), 1, rest)] if rest else pieces

    def row_length(self, dtype: Dtype, columns: int) -> int:
        """A good row length for a matrix: whole vectors, and no multiple of 1024 bytes.

        Such a multiple would put the rows of a panel into a few sets of the cache, which then push each other out.
        """
        length = -(-columns // 16) * 16
        return length + 16 * (length * item_bytes(dtype) % 1024 == 0)


@functools.cache
def host() -> Host:
    """The record of the CPU that Numba compiles for: this one, unless NUMBA_CPU_FEATURES says otherwise."""
    chosen = os.environ.get("NUMBA_CPU_FEATURES")
    if chosen is not None:
        features = {name[1:] for name in chosen.split(",") if name.startswith("+")}
    else:
        features = {name for name, present in llvm.get_host_cpu_features().items() if present}
    if "avx512f" in features:
        return Host("avx512", vector_bytes=64, tiles=((16, 4), (8, 2), (8, 2), (6, 2)), registers=32)
    if {"avx2", "fma"} <= features:
        return Host("avx2", vector_bytes=32, tiles=((12, 4), (6, 2)))
    if "neon" in features:
        return Host("neon", vector_bytes=16, tiles=((16, 4), (8, 2), (8, 2), (6, 2)), registers=32)
    return Host("generic", vector_bytes=16, tiles=((8, 4), (4, 2)))
