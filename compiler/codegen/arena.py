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
OVERHANG = 256
"""Bytes behind the last buffer that vectors may read."""
SEED_NUMBER, STEP_NUMBER, VIOLATIONS_NUMBER = 0, 1, 2


class MemoryViolation(Exception):
    """Generated code reached outside its buffers: a mistake of the compiler, found under DLC_CHECK=1."""


Extent = tuple[tuple[int, tuple[Any, ...]], ...]
"""A number that depends on sizes, as a sum: 3 + 5 * m * T is ((3, ()), (5, ("m", "T"))). A factor may also be rounded:
("floor", extent, extent)."""

Sizes = Mapping[str, int]
"""`m`, and M, which is m rounded up to 16; and the run-time dimensions by name."""

ROUNDED: Mapping[str, Callable[[int, int], int]] = {
    "floor": lambda p, q: p // q,
    "ceil": lambda p, q: -(-p // q),
    "%": lambda p, q: p % q,
    "min": min,
    "max": max,
}


def number(extent: Extent, sizes: Sizes) -> int:
    """What an extent is for some sizes."""
    total = 0
    for count, factors in extent:
        for factor in factors:
            if isinstance(factor, str):
                count *= sizes[factor]
            else:
                op, p, q = factor
                count *= ROUNDED[op](number(p, sizes), number(q, sizes))
        total += count
    return total


class Place(NamedTuple):
    """Where a tensor lies: in which part, and from which byte on. `strides` count elements; `kind` is `real`, `index`
    (int64) or `truth` (a real 0 or 1)."""

    part: str
    kind: str
    start: Extent
    shape: tuple[Extent, ...]
    strides: tuple[Extent, ...]

    @property
    def examples(self) -> int | None:
        """The axis that runs over the examples."""
        return next((axis for axis, size in enumerate(self.shape) if any("m" in term[1] for term in size)), None)


class ProgramTable(NamedTuple):
    """What a program reads and leaves, and the bytes of the transient part that it needs."""

    inputs: dict[str, Place]
    tensors: dict[str, Place]
    numbers: dict[str, int]
    bytes: Extent


class Tables(NamedTuple):
    """The memory plan of a module. `numbers` are the slots of eight bytes at the start of the persistent part;
    `dim T` is that of a run-time dimension."""

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
        self.sizes: dict[str, int] = {}
        self.resize(1, {})
        self.parameters, self.states, self.gradients = (
            {name: self.view(place) for (role, name), place in tables.tensors.items() if role == wanted}
            for wanted in ("parameter", "state", "gradient")
        )

    def resize(self, m: int, dims: Sizes) -> None:
        """From now on there are m examples, and the run-time dimensions have these sizes."""
        self.sizes = {"m": m, "M": capacity(m), **dims}
        for name, size in dims.items():
            if f"dim {name}" in self.tables.numbers:
                self.words[self.tables.numbers[f"dim {name}"]] = size

    def view(self, place: Place) -> Array:
        """A tensor as an array in the declared shape."""
        kind = np.dtype(np.int64) if place.kind == "index" else self.dtype
        shape = tuple(number(size, self.sizes) for size in place.shape)
        strides = tuple(number(stride, self.sizes) * kind.itemsize for stride in place.strides)
        memory = self.persistent if place.part == "persistent" else self.transient
        return np.ndarray(shape, kind, memory, number(place.start, self.sizes), strides)

    def reserve(self, title: str) -> None:
        """Make the transient part large enough for a program."""
        needed = number(self.tables.programs[title].bytes, self.sizes) + OVERHANG
        if needed > self.transient.nbytes:
            self.transient = aligned(needed)

    def write_inputs(self, title: str, inputs: Mapping[str, Array]) -> None:
        """Copy the inputs of a program to their places."""
        self.reserve(title)
        for name, place in self.tables.programs[title].inputs.items():
            target = self.view(place)
            self.words[self.tables.numbers[f"input {name}"]] = target.ctypes.data
            given = np.asarray(inputs[name])
            target[...] = given if place.examples is None else np.moveaxis(given, 0, place.examples)

    def call(self, title: str) -> None:
        """Run a program on what lies in memory. Raises MemoryViolation under check."""
        self.reserve(title)
        if title not in self.calls:
            self.calls[title] = PROGRAM(self.addresses(title))
        self.words[VIOLATIONS_NUMBER] = 0
        with self.pool:
            memory = self.persistent.ctypes.data, self.transient.ctypes.data
            self.calls[title](*memory, self.sizes["m"], self.pool_address)
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
        self,
        title: str,
        inputs: Mapping[str, Array],
        m: int,
        scalars: Mapping[str, float] | None = None,
        step: int = 0,
        dims: Sizes | None = None,
    ) -> dict[str, Array]:
        """Run a program on m examples and give its results; updates change parameters and states in place.

        `scalars` are the numbers it reads (`t`, `step`, `epoch`), `step` is the number of its draws, `dims` are the
        run-time dimensions.
        """
        self.resize(m, dims or {})
        self.write_inputs(title, inputs)
        self.words[STEP_NUMBER] = step
        for name, value in (scalars or {}).items():
            if name in self.tables.numbers:
                self.numbers[self.tables.numbers[name]] = value
        self.call(title)
        table = self.tables.programs[title]
        results: dict[str, Array] = {root: np.array(self.numbers[slot]) for root, slot in table.numbers.items()}
        return results | {root: self.view(place).copy(order="K") for root, place in table.tensors.items()}


def capacity(m: int) -> int:
    """The rows that there is room for: m rounded up to 16."""
    return -(-max(m, 1) // 16) * 16


def aligned(count: int) -> NDArray[np.uint8]:
    """Zeroed memory that starts at a line of the cache."""
    memory = np.zeros(count + CACHE_LINE, np.uint8)
    skipped = -memory.ctypes.data % CACHE_LINE
    return memory[skipped : skipped + count]
