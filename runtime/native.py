"""Generated code with its memory: parameters as arrays, programs as calls, whole epochs as one."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.codegen import Module
from dlc.compiler.codegen.arena import VIOLATIONS_NUMBER, Arena, MemoryViolation, Tables
from dlc.runtime.batches import DataMemory
from dlc.runtime.loader import HOST_KERNELS, load_host, load_programs

__all__ = ["MemoryViolation", "Native"]

Array = NDArray[Any]
RUN_BATCHES = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)


class Source(Protocol):
    """Where the programs come from: a module, or what generates one for each when it is asked for."""

    @property
    def tables(self) -> Tables: ...

    def of(self, title: str) -> Module: ...


class Native(Arena):
    """Generated programs; they are compiled, or loaded from the disk, on first use. See `Arena`."""

    def __init__(self, module: Source, *, threads: int = 1, seed: int = 0) -> None:
        self.module = module
        self.code: dict[str, int] = {}
        super().__init__(module.tables, self.address, threads, seed)
        self.data = DataMemory(self.dtype)

    def address(self, title: str) -> int:
        """The machine code of a program, or of one of the host's kernels by its symbol."""
        if title in HOST_KERNELS:
            return load_host(title)
        if title not in self.code:
            self.prepare([title])
        return self.code[title]

    def prepare(self, titles: Iterable[str]) -> None:
        """Compile programs that will be needed together, or load them."""
        self.code |= load_programs({title: self.module.of(title) for title in titles if title not in self.code})

    def train_batches(
        self,
        data: Mapping[str, Array],
        order: NDArray[np.int64],
        batch: int,
        first: int,
        count: int,
        *,
        step: int,
        epoch: int,
        title: str = "train",
        dims: Mapping[str, int] | None = None,
    ) -> tuple[float, float, int]:
        """`count` steps on the batches from number `first` on, of the examples in `order`, `batch` at a time; the last
        batch may be smaller. `step` updates were made before. Returns the sums over the examples of loss and cost, and
        the number of examples.

        The arrays of `data` are physical. What has to be converted is converted on the first call with that array, and
        kept; a change of the array after that is not seen.
        """
        order = np.ascontiguousarray(order, np.int64)
        table, numbers = self.tables.programs[title], self.tables.numbers
        self.resize(min(batch, len(order)), dims or {})
        self.reserve(title)
        whole = bool(np.array_equal(order, np.arange(len(order))))
        for name, place in table.inputs.items():
            if place.examples is None:
                self.words[numbers[f"input {name}"]] = self.data.constant(name, data[name], place, self.sizes)
        columns = self.data.columns(table, data, numbers, self.sizes, padded=whole and batch >= len(order))
        counters = np.array([numbers[name] for name in ("t", "step") if name in numbers], np.int64)
        if "epoch" in numbers:
            self.numbers[numbers["epoch"]] = epoch
        run_batches = RUN_BATCHES(self.address("dlc_run_batches"))
        sums = np.zeros(3)
        self.words[VIOLATIONS_NUMBER] = 0
        given = (
            self.address(title), self.persistent.ctypes.data, self.transient.ctypes.data, self.pool_address,
            columns.ctypes.data, len(columns), order.ctypes.data, len(order), whole, batch, first, count, step,
            counters.ctypes.data, len(counters), table.numbers["loss"], table.numbers["cost"],
        )  # fmt: skip
        block = np.array(given, np.int64)
        with self.pool:
            run_batches(block.ctypes.data, sums.ctypes.data)
        self.verify(title)
        return float(sums[0]), float(sums[1]), int(sums[2])
