"""First values of parameters and states: drawn from the seed and the tensor's name, and from nothing else.

So a seed gives the same bits on every machine, for any number of threads and in any order of declarations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.codegen.host.random_reference import normal01_reference, uniform01_reference
from dlc.compiler.codegen.values import INNER_STEPS, draw_number
from dlc.compiler.program import ParameterDeclaration, StateDeclaration
from dlc.runtime.reference import evaluate

Array = NDArray[Any]
Source = Callable[[str, str, tuple[int, ...]], Array]
_STEPS = re.compile(r"(<\d+>)+$")


def draws(seed: int, step: int, dtype: str = "float64", batch_axes: Mapping[str, int] | None = None) -> Source:
    """The source of a program's draws at one step, the bits that generated code draws.

    An element's number counts in physical order: examples first, then what stands behind them; `batch_axes` says where
    a draw has its examples. A draw in a loop has the number of the step behind its name, `D<3>`, and goes on counting
    from step to step.
    """
    axes = batch_axes or {}

    def draw(op: str, name: str, shape: tuple[int, ...]) -> Array:
        base, turn = _STEPS.sub("", name), 0
        for number in re.findall(r"\d+", name[len(base) :]):
            turn = turn * INNER_STEPS + int(number) - 1
        axis = axes.get(base, 0)
        order = (*range(axis, len(shape)), *range(axis))
        count = math.prod(shape)
        indices = turn * count + np.arange(count, dtype=np.int64).reshape([shape[i] for i in order])
        function = normal01_reference if op == "draw_normal" else uniform01_reference
        values = function(seed, draw_number(base), step, indices, dtype)
        return np.transpose(values, np.argsort(order)) if shape else values

    return draw


def first_value(declaration: ParameterDeclaration | StateDeclaration, seed: int, dtype: str) -> Array:
    """The value a parameter or state begins with, in its declared shape, computed in float64 and rounded once."""
    value = evaluate(declaration.initial.graph, {}, {}, draws(seed, 0))["value"]
    return np.array(np.broadcast_to(value, declaration.shape), dtype=dtype, order="C")
