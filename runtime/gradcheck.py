"""Numerical against derived gradients, as the course checks them.

The derivative of the cost J by one entry of a parameter is approximated from both sides,

    approx = (J(theta + h) - J(theta - h)) / (2 h),

and the vectors of all entries of a parameter are compared by `||approx - exact|| / (||approx|| + ||exact||)` (course 2,
week 1, "Gradient checking"). J is the deterministic training program with regularization, in float64, on synthetic data
drawn from the declared inputs. Three details make the number mean something:

- *A floor under the denominator.* Where a gradient is zero (the bias before a batch normalization), both vectors are
  rounding noise, and their quotient would be about 1.
- *Kinks.* Where `max(0, z)` bends inside the step, the two sides differ and neither is wrong. With d+ and d- the
  slopes to the right and to the left, a bend makes an error of at most |d+ - d-|, and a smooth J has
  |d+ - d-| = h J'', which is tiny; an entry whose error is not larger than its |d+ - d-| is drawn again, at another
  point with other data. A wrong derivative is far off from both slopes, so it cannot hide behind this.
- *Large parameters* are checked in some entries, drawn with a seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.dims import Symbol
from dlc.compiler.program import InputDeclaration, Requirement
from dlc.runtime.data.layout import LENGTHS, Layout
from dlc.runtime.engine import Arrays, Engine

Array = NDArray[Any]

STEP = 1e-5
"""h, relative to an entry larger than 1. Truncation grows as h^2, rounding as 1/h; they meet near here in float64."""
GREAT, LOOK = 1e-7, 1e-5
"""The course's thresholds: up to the first all is well, above the second there is a mistake somewhere."""
FLOOR = 1e-2
"""The least denominator, times 1 + |J|: rounding in J makes differences of about 1e-16 J / h."""
NOISE = 1e-8
"""Below this part of the denominator an entry's error is rounding and no kink."""
EXAMPLES = 5
STEPS = 4
LARGEST = 1000
ENTRIES = 100
POINTS = 20
"""At how many points an entry is drawn again before it counts as it is."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One parameter: `checked` of its `count` entries, `redrawn` of them because of a kink."""

    name: str
    shape: tuple[int, ...]
    checked: int
    redrawn: int
    error: float

    @property
    def count(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def verdict(self) -> str:
        """`great`, `look` or `worry`."""
        return "great" if self.error <= GREAT else "look" if self.error <= LOOK else "worry"


def gradcheck(
    engine: Engine,
    inputs: dict[str, InputDeclaration],
    learned: list[str],
    seed: int = 1,
    entries: int = ENTRIES,
    examples: int = EXAMPLES,
    requirements: Sequence[Requirement] = (),
) -> Iterator[Checked]:
    """Checks each learned parameter, one after the other. The engine must compute in float64; its parameters are as
    they were in the end."""
    kept = {name: np.array(array) for name, array in engine.parameters.items()}
    random = np.random.default_rng(seed)
    try:
        for name in learned:
            yield _check(engine, inputs, name, kept, random, entries, examples, requirements)
    finally:
        for name, array in kept.items():
            engine.parameters[name][...] = array


def _check(
    engine: Engine,
    inputs: dict[str, InputDeclaration],
    name: str,
    first: Arrays,
    random: np.random.Generator,
    entries: int,
    examples: int,
    requirements: Sequence[Requirement],
) -> Checked:
    shape = first[name].shape
    count = first[name].size
    chosen = np.arange(count) if count <= entries else np.sort(random.choice(count, entries, replace=False))
    pending, redrawn = chosen, 0
    approx: list[float] = []
    exact: list[float] = []
    scale = 1.0
    for point in range(POINTS):
        data = synthetic(inputs, random, examples, requirements)
        _move(engine, first, random)
        cost, grads = engine.gradients(data, True)
        if not np.isfinite(cost) and point < POINTS - 1:
            continue
        scale = max(scale, 1 + abs(cost))
        numeric, bends = _differences(engine, name, pending, data, cost)
        derived = grads[name].reshape(-1)[pending]
        error = np.abs(numeric - derived)
        kinks = (error > NOISE * (scale + np.abs(derived))) & (error <= bends) if point < POINTS - 1 else error < 0
        approx += numeric[~kinks].tolist()
        exact += derived[~kinks].tolist()
        pending, redrawn = pending[kinks], redrawn + int(kinks.sum())
        if not pending.size:
            break
    return Checked(name, shape, len(chosen), redrawn, relative_error(np.array(approx), np.array(exact), FLOOR * scale))


def relative_error(approx: Array, exact: Array, floor: float) -> float:
    """`||approx - exact|| / (||approx|| + ||exact||)`, the denominator at least `floor`."""
    size = float(np.linalg.norm(approx)) + float(np.linalg.norm(exact))
    return float(np.linalg.norm(approx - exact)) / max(size, floor)


def _differences(
    engine: Engine, name: str, entries: NDArray[np.int64], data: Arrays, cost: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each entry the central difference of the cost, and how far the slopes to the two sides are apart."""
    theta = engine.parameters[name]
    central, bends = np.empty(len(entries)), np.empty(len(entries))
    for i, entry in enumerate(entries):
        index = np.unravel_index(entry, theta.shape)
        before = theta[index]
        h = STEP * max(1.0, abs(float(before)))
        theta[index] = before + h
        right, up = engine.loss(data)[1], float(theta[index] - before)
        theta[index] = before - h
        left, down = engine.loss(data)[1], float(before - theta[index])
        theta[index] = before
        central[i] = (right - left) / (up + down)
        bends[i] = abs((right - cost) / up - (cost - left) / down)
    return central, bends


def _move(engine: Engine, first: Arrays, random: np.random.Generator) -> None:
    """A generic point: first values with some noise, so that nothing stays exactly zero."""
    for name, array in first.items():
        engine.parameters[name][...] = array + 0.1 * random.standard_normal(array.shape)


def synthetic(
    inputs: dict[str, InputDeclaration],
    random: np.random.Generator,
    examples: int,
    requirements: Sequence[Requirement] = (),
) -> dict[str, Array]:
    """Physical arrays for every input: class numbers, standard normal inputs, targets in 0..1 (where every loss of the
    library is defined). A run-time dimension has the size STEPS, or the next that the model accepts, and each
    example a length of its own."""
    fits = _fitting(requirements)
    arrays: dict[str, Array] = {}
    own: set[Symbol] = set()
    for name, declaration in inputs.items():
        layout = Layout.of(declaration)
        own |= layout.dimensions if layout.batch is not None else set()
        sizes = dict.fromkeys(layout.dimensions, fits[-1])
        shape = [examples] if layout.batch is not None else []
        shape += [int(declaration.type.sizes[i].evaluate(sizes)) for i in layout.label_axes if i != layout.batch]
        if layout.class_axis is not None or declaration.index:
            arrays[name] = random.integers(0, declaration.classes or 1, shape)
        elif declaration.role == "target":
            arrays[name] = random.uniform(0, 1, shape)
        else:
            arrays[name] = random.standard_normal(shape)
    for symbol in sorted(own, key=str):
        arrays[LENGTHS + symbol.name] = random.choice(fits, examples)
    return arrays


def _fitting(requirements: Sequence[Requirement]) -> list[int]:
    """The sizes up to STEPS, or to the first that fits, that all dimensions together may have."""
    symbols = {symbol for requirement in requirements for symbol in requirement.condition.symbols}
    found: list[int] = []
    for size in range(1, LARGEST):
        if all(requirement.condition.holds(dict.fromkeys(symbols, size)) for requirement in requirements):
            found.append(size)
        if size >= STEPS and found:
            return found
    message = "no small sizes fit all that the model needs of its run-time dimensions: give arrays of your own"
    raise DiagnosticError(Diagnostic("V511", message, requirements[0].span))
