"""What the generated code needs to know of the CPU: how wide a vector is and how large a tile the registers hold."""

from __future__ import annotations

import functools
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
    rows * vectors + vectors + 1 must not exceed the number of vector registers.
    """

    name: str
    vector_bytes: int
    """Bytes of one vector register."""
    vectors: int
    """Vectors side by side in a full column panel."""
    heights: tuple[int, ...]
    """Tile heights in rows for a panel of `vectors` vectors, tallest first."""
    depth_block: int
    """Terms of the sum over k added in registers before they are added to memory: a (depth_block, panel) piece of B
    stays in the L1 cache, and short chains keep the rounding noise of long sums down."""

    def lanes(self, dtype: Dtype) -> int:
        """Elements in one vector."""
        return self.vector_bytes // item_bytes(dtype)

    def panel(self, dtype: Dtype) -> int:
        """Columns of a full panel."""
        return self.vectors * self.lanes(dtype)

    def panels(self, dtype: Dtype, columns: int) -> list[tuple[int, int, int]]:
        """Cut a matrix of `columns` columns (padding included) into panels: (first column, count, vectors of each)."""
        lanes = self.lanes(dtype)
        full, rest = divmod(-(-columns // lanes), self.vectors)
        pieces = [(0, full, self.vectors)] if full else []
        return [*pieces, (full * self.panel(dtype), 1, rest)] if rest else pieces


@functools.cache
def host() -> Host:
    """The record of the CPU this process runs on."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Host("avx512", vector_bytes=64, vectors=2, heights=(12, 4), depth_block=384)
    if features.get("avx2") and features.get("fma"):
        return Host("avx2", vector_bytes=32, vectors=2, heights=(6, 2), depth_block=384)
    if features.get("neon"):
        return Host("neon", vector_bytes=16, vectors=4, heights=(6, 2), depth_block=384)
    return Host("generic", vector_bytes=16, vectors=2, heights=(6, 2), depth_block=384)
