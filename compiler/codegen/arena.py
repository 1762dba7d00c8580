"""A generated module's memory, and its programs as calls: NumPy arrays in, NumPy arrays out.

`Tables` is plain data that the memory plan leaves behind, so that a standalone module can carry it as a literal.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.codegen.host.pool import Pool

__all__ = ["Arena", "MemoryViolation", "Place", "ProgramTable", "Tables"]

Array = NDArray[Any]
PROGRAM = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)
CACHE_LINE = 64
SEED_NUMBER, STEP_NUMBER, VIOLATIONS_NUMBER = 0, 1, 2


class MemoryViolation(Exception):
    """Generated code reached outside its buffers: a mistake of the compiler, found under DLC_CHECK=1."""


class Place(NamedTuple):
    """Where a tensor lies: in which part, from byte `fixed + per_example * M` on, where M is m rounded up to 16.

    A size in `shape` is `fixed + per_example * m`; `strides` count elements; `kind` is `real`, `index` (int64) or
    `truth` (a real 0 or 1).
    """

    part: str
    kind: str
    fixed: int
    per_example: int
    shape: tuple[tuple[int, int], ...]
    strides: tuple[int, ...]

    @property
    def examples(self) -> int | None:
        """The axis that runs over the examples."""
        return next((axis for axis, (_, per_example) in enumerate(self.shape) if per_example), None)


class ProgramTable(NamedTuple):
    """What a program reads and leaves, and the bytes of the transient part it needs: `fixed + per_example * M`."""

    inputs: dict[str, Place]
    tensors: dict[str, Place]
    numbers: dict[str, int]
    fixed: int
    per_example: int


class Tables(NamedTuple):
    """The memory plan of a module. `numbers` are the slots of eight bytes at the start of the persistent part."""

    dtype: str
    bytes: int
    numbers: dict[str, int]
    tensors: dict[tuple[str, str], Place]
    programs: dict[str, ProgramTable]


class Arena:
    """The two allocations of a module, persistent and transient.

    `parameters`, `states` and `gradients` map names to arrays in the declared shape: views that stay valid, and writing
    into them changes the model. Inputs are *physical*: examples first, then the other axes in their order; class
    numbers are int64. `addresses(title)` gives the machine code of a program, and that of the kernel `help_out`.
    """

    def __init__(self, tables: Tables, addresses: Callable[[str], int], threads: int = 1, seed: int = 0) -> None:
        self.tables, self.addresses = tables, addresses
        self.dtype = np.dtype(tables.dtype)
        self.pool = Pool(threads, lambda: addresses("dlc_help_out"))
        self.persistent = aligned(tables.bytes)
        self.transient = aligned(0)
        self.numbers = self.persistent[: 8 * len(tables.numbers)].view(np.float64)
        self.words = self.numbers.view(np.int64)
        self.words[SEED_NUMBER] = seed
        self.calls: dict[str, Any] = {}
        self.parameters, self.states, self.gradients = (
            {name: self.view(place, 0) for (role, name), place in tables.tensors.items() if role == wanted}
            for wanted in ("parameter", "state", "gradient")
        )

    def view(self, place: Place, m: int) -> Array:
        """A tensor of m examples as an array in the declared shape."""
        kind = np.dtype(np.int64) if place.kind == "index" else self.dtype
        shape = tuple(fixed + per_example * m for fixed, per_example in place.shape)
        strides = tuple(stride * kind.itemsize for stride in place.strides)
        memory = self.persistent if place.part == "persistent" else self.transient
        return np.ndarray(shape, kind, memory, place.fixed + place.per_example * capacity(m), strides)

    def reserve(self, title: str, m: int) -> None:
        """Make the transient part large enough for a program on m examples."""
        table = self.tables.programs[title]
        needed = table.fixed + table.per_example * capacity(m)
        if needed > self.transient.nbytes:
            self.transient = aligned(needed)

    def write_inputs(self, title: str, inputs: Mapping[str, Array], m: int) -> None:
        """Copy the inputs of a program to their places."""
        self.reserve(title, m)
        for name, place in self.tables.programs[title].inputs.items():
            target = self.view(place, m)
            self.words[self.tables.numbers[f"input {name}"]] = target.ctypes.data
            given = np.asarray(inputs[name])
            target[...] = given if place.examples is None else np.moveaxis(given, 0, place.examples)

    def call(self, title: str, m: int) -> None:
        """Run a program on what lies in memory. Raises MemoryViolation under check."""
        self.reserve(title, m)
        if title not in self.calls:
            self.calls[title] = PROGRAM(self.addresses(title))
        self.words[VIOLATIONS_NUMBER] = 0
        with self.pool:
            self.calls[title](self.persistent.ctypes.data, self.transient.ctypes.data, m, self.pool_address)
        self.verify(title)

    @property
    def pool_address(self) -> int:
        return self.pool.address if self.pool.threads > 1 else 0

    def verify(self, title: str) -> None:
        """Raise what the kernels have noted under check."""
        if self.words[VIOLATIONS_NUMBER]:
            count = self.words[VIOLATIONS_NUMBER]
            raise MemoryViolation(f"{title} reached outside its buffers {count} times")

    def run(
        self, title: str, inputs: Mapping[str, Array], m: int, scalars: Mapping[str, float] | None = None, step: int = 0
    ) -> dict[str, Array]:
        """Run a program on m examples and give its results; updates change parameters and states in place.

        `scalars` are the numbers it reads (`t`, `step`, `epoch`), `step` is the number of its draws.
        """
        self.write_inputs(title, inputs, m)
        self.words[STEP_NUMBER] = step
        for name, value in (scalars or {}).items():
            if name in self.tables.numbers:
                self.numbers[self.tables.numbers[name]] = value
        self.call(title, m)
        table = self.tables.programs[title]
        results: dict[str, Array] = {root: np.array(self.numbers[slot]) for root, slot in table.numbers.items()}
        return results | {root: self.view(place, m).copy(order="K") for root, place in table.tensors.items()}


def capacity(m: int) -> int:
    """The rows that there is room for: m rounded up to 16."""
    return -(-max(m, 1) // 16) * 16


def aligned(count: int) -> NDArray[np.uint8]:
    """Zeroed memory that starts at a line of the cache."""
    memory = np.zeros(count + CACHE_LINE, np.uint8)
    skipped = -memory.ctypes.data % CACHE_LINE
    return memory[skipped : skipped + count]
