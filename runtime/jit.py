"""The prediction as a Numba function, for other Numba code to call.

    predict = model.predict_jit
    y = predict(tuple(model.params.values()), x)

It is the generated `forward` program with memory of its own for each call, so threads may call it at once. Parameters
and inputs have their declared shapes; inputs are copied to where the program reads them, examples first. All examples
of a batch are as long as its arrays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import njit

from dlc.compiler.codegen.arena import CACHE_LINE, SEED_NUMBER, Extent, Place
from dlc.compiler.codegen.host.kernels import declared
from dlc.compiler.codegen.layout import FORMS, NotSupported
from dlc.compiler.codegen.module import PROGRAM_SIGNATURE, Module
from dlc.runtime.loader import load_programs

INDICES = "ijklpq"
LENGTH = "length "
"""Begins the name of an input that holds the examples' lengths in a dimension."""


def jitted_prediction(
    module: Module, tensors: Sequence[tuple[str, str]], inputs: Sequence[str], outputs: Sequence[str], seed: int
) -> Callable[..., Any]:
    """`predict(params, *arrays)`: the output, or a tuple of them.

    `tensors` says what the entries of `params` are, by role (`parameter`, `state`) and name, `inputs` what the arrays
    are, and `outputs` which roots to return. `seed` is that of all draws.
    """
    table = module.tables.programs["forward"]
    dtype = np.dtype(module.dtype)
    writer = _Writer(module, dtype)
    writer.memory(inputs)
    writer.line(f"persistent_index[{SEED_NUMBER}] = {seed}")
    for number, key in enumerate(tensors):
        writer.copy_in(f"params[{number}]", module.tables.tensors[key])
    for number, name in enumerate(inputs):
        writer.copy_in(f"x{number}", table.inputs[name])
        writer.point(name)
    for name in table.inputs:
        if name.startswith(LENGTH):
            writer.whole_length(name)
    writer.line("forward(persistent.ctypes.data, transient.ctypes.data, m, 0)")
    found = [writer.copy_out(number, root) for number, root in enumerate(outputs)]
    # Numba lets go of an array after its last use, and the program has only seen addresses.
    writer.line("persistent_index[0] = transient.size")
    writer.line(f"return {found[0] if len(found) == 1 else '(' + ', '.join(found) + ')'}")
    symbol = module.symbol(module.programs["forward"])
    llvm.add_symbol(symbol, load_programs({"forward": module})["forward"])
    space: dict[str, Any] = {"np": np, "forward": declared(symbol, PROGRAM_SIGNATURE), "REAL": dtype.type}
    # The text holds nothing of a spec but sizes and offsets: names are numbered.
    exec(compile(writer.text(len(inputs)), "<predict>", "exec"), space)
    predict: Callable[..., Any] = njit(nogil=True)(space["predict"])
    return predict


class _Writer:
    """Writes the body of the function, line by line."""

    def __init__(self, module: Module, dtype: np.dtype[Any]) -> None:
        self.module, self.dtype = module, dtype
        self.table = module.tables.programs["forward"]
        self.lines: list[str] = []
        self.known = {"m": "m", "M": "M"}
        self.dimensions: dict[str, int] = {}

    def line(self, text: str, depth: int = 0) -> None:
        self.lines.append("    " * (depth + 1) + text)

    def text(self, count: int) -> str:
        arguments = ", ".join(["params", *(f"x{i}" for i in range(count))])
        return f"def predict({arguments}):\n" + "\n".join(self.lines) + "\n"

    def memory(self, inputs: Sequence[str]) -> None:
        """The number of examples, and the two parts, each from a line of the cache on."""
        places = [(i, self.table.inputs[name]) for i, name in enumerate(inputs)]
        sized = [(i, place.examples) for i, place in places if place.examples is not None]
        self.line(f"m = x{sized[0][0]}.shape[{sized[0][1]}]" if sized else "m = 1")
        self.line("M = (max(m, 1) + 15) // 16 * 16")
        for name, slot in self.module.tables.numbers.items():
            if name.startswith("dim "):
                self.dimension(name.removeprefix("dim "), slot, places)
        for part, count in (
            ("persistent", f"{self.module.tables.bytes}"),
            ("transient", self.text_of(self.table.bytes)),
        ):
            self.line(f"{part}_room = np.zeros({count} + {CACHE_LINE}, np.uint8)")
            self.line(f"{part}_skip = -{part}_room.ctypes.data % {CACHE_LINE}")
            size = f"({part}_room.size - {CACHE_LINE}) // 8 * 8"
            self.line(f"{part} = {part}_room[{part}_skip : {part}_skip + {size}]")
            self.line(f"{part}_real, {part}_index = {part}.view(REAL), {part}.view(np.int64)")
        for name, slot in self.dimensions.items():
            self.line(f"persistent_index[{slot}] = {name}")

    def dimension(self, name: str, slot: int, places: Sequence[tuple[int, Place]]) -> None:
        """A run-time dimension is the size of an axis of an input. Those of targets alone are not read."""
        for number, place in places:
            for axis, size in enumerate(place.shape):
                if size == ((1, (name,)),):
                    known = self.known[name] = f"dim_{len(self.known)}"
                    self.dimensions[known] = slot
                    self.line(f"{known} = x{number}.shape[{axis}]")
                    return
        if re.search(rf"\bdim_{name}\b", self.module.programs["forward"].text):
            self.size(name)

    def size(self, name: str) -> str:
        """The variable that holds a size. Raises NotSupported where none does."""
        if name not in self.known:
            raise NotSupported(f"a prediction as a Numba function where no input says what {name} is")
        return self.known[name]

    def copy_in(self, source: str, place: Place) -> None:
        """Element by element, from the declared shape."""
        cells, start, kind = self._cells(place)
        axes = self._loops(place)
        index = f"[{', '.join(INDICES[: len(place.shape)])}]" if place.shape else "[()]"
        self.line(f"{cells}[{start}] = {kind}({source}{index})", axes)

    def whole_length(self, name: str) -> None:
        """Gives every example the length of the array."""
        place = self.table.inputs[name]
        cells, start, kind = self._cells(place)
        axes = self._loops(place)
        self.line(f"{cells}[{start}] = {kind}({self.size(name.removeprefix(LENGTH))})", axes)
        self.point(name)

    def copy_out(self, number: int, root: str) -> str:
        """The name of an array with an output."""
        if root in self.table.numbers:
            self.line(f"y{number} = np.array(persistent.view(np.float64)[{self.table.numbers[root]}])")
            return f"y{number}"
        place = self.table.tensors[root]
        shape = ", ".join(map(self.text_of, place.shape))
        self.line(f"y{number} = np.empty(({shape},), REAL)")
        cells, start, _ = self._cells(place)
        axes = self._loops(place)
        self.line(f"y{number}[{', '.join(INDICES[: len(place.shape)])}] = {cells}[{start}]", axes)
        return f"y{number}"

    def point(self, name: str) -> None:
        """Tells the program where an input lies."""
        slot, place = self.module.tables.numbers[f"input {name}"], self.table.inputs[name]
        self.line(f"persistent_index[{slot}] = {place.part}.ctypes.data + {self.text_of(place.start)}")

    def _cells(self, place: Place) -> tuple[str, str, str]:
        """The array that holds a tensor, the position of its element, and what converts a value for it."""
        index = place.kind == "index"
        item = 8 if index else self.dtype.itemsize
        steps = [f"{i} * ({self.text_of(stride)})" for i, stride in zip(INDICES, place.strides, strict=False)]
        start = " + ".join([f"({self.text_of(place.start)}) // {item}", *steps])
        return f"{place.part}_{'index' if index else 'real'}", start, "np.int64" if index else "REAL"

    def _loops(self, place: Place) -> int:
        for axis, size in enumerate(place.shape):
            self.line(f"for {INDICES[axis]} in range({self.text_of(size)}):", axis)
        return len(place.shape)

    def text_of(self, extent: Extent) -> str:
        """A number that depends on sizes."""
        terms = [" * ".join([str(count), *map(self._factor, factors)]) for count, factors in extent]
        return " + ".join(terms) or "0"

    def _factor(self, factor: str | tuple[str, Extent, Extent]) -> str:
        if isinstance(factor, str):
            return self.size(factor)
        op, p, q = factor
        return FORMS[op].format(self.text_of(p), self.text_of(q))
