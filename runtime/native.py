"""Generated code with its memory: parameters as arrays, programs as calls."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.codegen import Module
from dlc.compiler.codegen.host.pool import Pool
from dlc.compiler.codegen.layout import round_up
from dlc.compiler.codegen.memory import LINE, SEED, STEP, VIOLATIONS, Buffer
from dlc.compiler.codegen.program import Program
from dlc.runtime.batches import DataMemory, run_batches
from dlc.runtime.loader import load_program

Array = NDArray[Any]
PROGRAM = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)


class MemoryViolation(Exception):
    """Generated code reached outside its buffers: a mistake of the compiler, found under DLC_CHECK=1."""


class Native:
    """A generated module and its two allocations.

    `parameters`, `states` and `gradients` map names to arrays in the declared shape, views of the persistent part that
    stay valid; writing into them changes the model. Inputs are *physical*: examples first, then the other axes in their
    order; class numbers are int64. Programs are compiled on first use.
    """

    def __init__(self, module: Module, *, threads: int = 1, seed: int = 0) -> None:
        self.module = module
        self.dtype = np.dtype(module.dtype)
        self.pool = Pool(threads)
        self.persistent = aligned(module.persistent.bytes)
        self.transient = aligned(0)
        self.numbers = self.persistent[: 8 * len(module.persistent.numbers)].view(np.float64)
        self.words = self.numbers.view(np.int64)
        self.words[SEED] = seed
        self._calls: dict[str, Any] = {}
        self.data = DataMemory(self.dtype)
        self.parameters, self.states, self.gradients = (
            {name: self._tensor(buffer) for (role, name), buffer in module.persistent.tensors.items() if role == kind}
            for kind in ("parameter", "state", "gradient")
        )

    # --- memory --------------------------------------------------------------------------------------------------

    def _tensor(self, buffer: Buffer) -> Array:
        return view(self.persistent, buffer, buffer.offset.fixed, 0, self.dtype)

    def reserve(self, program: Program, m: int) -> int:
        """Make the transient part large enough for m examples; gives M, m rounded up."""
        capacity = round_up(max(m, 1), 16)
        needed = program.plan.size.at(capacity)
        if needed > self.transient.nbytes:
            self.transient = aligned(needed)
        return capacity

    def write_inputs(self, program: Program, inputs: Mapping[str, Array], m: int) -> None:
        """Copy the inputs of a program to their places."""
        capacity = self.reserve(program, m)
        for name, buffer in program.plan.inputs.items():
            offset = buffer.offset.at(capacity)
            self.words[self.module.persistent.numbers[f"input {name}"]] = self.transient.ctypes.data + offset
            place = view(self.transient, buffer, offset, m, self.dtype)
            assert buffer.layout is not None
            batch = buffer.layout.row_axis if buffer.layout.rows is None else None
            place[...] = inputs[name] if batch is None else np.moveaxis(np.asarray(inputs[name]), 0, batch)

    # --- training ------------------------------------------------------------------------------------------------

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
    ) -> tuple[float, float, int]:
        """`count` steps on the batches from number `first` on, of the examples in `order`, `batch` at a time; the last
        batch may be smaller. `step` updates were made before. Returns the sums over the examples of loss and cost, and
        the number of examples.

        The arrays of `data` are physical, as for `run`; what has to be converted is converted on the first call with
        that array and kept.
        """
        program = self.program(title)
        examples = len(order)
        capacity = self.reserve(program, min(batch, examples))
        del capacity
        whole = bool(np.array_equal(order, np.arange(examples)))
        columns = self.data.columns(program, data, self.module.persistent.numbers, whole and batch >= examples)
        sums = np.zeros(3)
        numbers = self.module.persistent.numbers
        counters = np.array([numbers[name] for name in ("t", "step") if name in numbers], np.int64)
        if "epoch" in numbers:
            self.numbers[numbers["epoch"]] = epoch
        results = np.array([program.numbers["loss"], program.numbers["cost"]], np.int64)
        given = np.ascontiguousarray(order, np.int64)
        self.words[VIOLATIONS] = 0
        with self.pool:
            run_batches(
                self.address(title), self.persistent.ctypes.data, self.transient.ctypes.data, self.pool_address, columns,
                given, whole, batch, first, count, step, counters, results, sums,
            )  # fmt: skip
        self.verify(title)
        return float(sums[0]), float(sums[1]), int(sums[2])

    # --- programs ------------------------------------------------------------------------------------------------

    def program(self, title: str) -> Program:
        return self.module.plans[title]

    def call(self, title: str, m: int) -> None:
        """Run a program on what lies in memory."""
        self.reserve(self.program(title), m)
        self.words[VIOLATIONS] = 0
        if title not in self._calls:
            self._calls[title] = PROGRAM(self.address(title))
        with self.pool:
            self._calls[title](self.persistent.ctypes.data, self.transient.ctypes.data, m, self.pool_address)
        self.verify(title)

    def address(self, title: str) -> int:
        """The machine code of a program, compiled now if it is not yet."""
        return load_program(self.module, title).address

    @property
    def pool_address(self) -> int:
        return self.pool.address if self.pool.threads > 1 else 0

    def verify(self, title: str) -> None:
        """Under check: raise what the kernels have noted."""
        if self.words[VIOLATIONS]:
            raise MemoryViolation(f"{title} touched memory outside its buffers {self.words[VIOLATIONS]} times")

    def run(
        self, title: str, inputs: Mapping[str, Array], m: int, scalars: Mapping[str, float] | None = None, step: int = 0
    ) -> dict[str, Array]:
        """Run a program on m examples and give its roots, but for updates, which change parameters and states.

        `scalars` are the numbers it reads (`t`, `step`, `epoch`), `step` is the number of its draws.
        """
        program = self.program(title)
        self.write_inputs(program, inputs, m)
        self.words[STEP] = step
        for name, value in (scalars or {}).items():
            if name in self.module.persistent.numbers:
                self.numbers[self.module.persistent.numbers[name]] = value
        self.call(title, m)
        capacity = round_up(max(m, 1), 16)
        results = {root: np.array(self.numbers[place]) for root, place in program.numbers.items()}
        for root, buffer in program.plan.results.items():
            memory = self.persistent if buffer.part == "persistent" else self.transient
            results[root] = view(memory, buffer, buffer.offset.at(capacity), m, self.dtype).copy(order="K")
        return results


def aligned(count: int) -> NDArray[np.uint8]:
    """Zeroed memory that starts at a line of the cache."""
    memory = np.zeros(count + LINE, np.uint8)
    skipped = -memory.ctypes.data % LINE
    return memory[skipped : skipped + count]


def view(memory: NDArray[np.uint8], buffer: Buffer, offset: int, m: int, dtype: np.dtype[Any]) -> Array:
    """A buffer as an array in the declared shape."""
    layout = buffer.layout
    assert layout is not None
    kind = np.dtype(np.int64) if buffer.kind == "index" else dtype
    shape = tuple(m if size is None else size for size in layout.sizes)
    strides = tuple(stride * kind.itemsize for stride in layout.strides)
    return np.ndarray(shape, kind, memory, offset, strides)
