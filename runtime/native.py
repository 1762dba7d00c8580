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
            place = view(self.transient, buffer, buffer.offset.at(capacity), m, self.dtype)
            assert buffer.layout is not None
            batch = buffer.layout.row_axis if buffer.layout.rows is None else None
            place[...] = inputs[name] if batch is None else np.moveaxis(np.asarray(inputs[name]), 0, batch)

    # --- programs ------------------------------------------------------------------------------------------------

    def program(self, title: str) -> Program:
        return self.module.plans[title]

    def call(self, title: str, m: int) -> None:
        """Run a program on what lies in memory."""
        if title not in self._calls:
            self._calls[title] = PROGRAM(load_program(self.module, title).address)
        self.reserve(self.program(title), m)
        self.words[VIOLATIONS] = 0
        with self.pool:
            pool = self.pool.address if self.pool.threads > 1 else 0
            self._calls[title](self.persistent.ctypes.data, self.transient.ctypes.data, m, pool)
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
