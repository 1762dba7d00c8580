"""What the tests of every op share: operands drawn from its samples, and its value as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.compiler.dims import Dim, TensorType, tensor
from dlc.compiler.ir import Body, Builder, Graph, Node
from dlc.compiler.ops import OPS, Sample
from dlc.runtime.reference import Running

SAMPLES = [(name, i) for name, op in sorted(OPS.items()) for i in range(len(op.samples))]
"""Every sample of every op."""


def operand_types(sample: Sample) -> list[TensorType]:
    kinds = sample.kinds or ("real",) * len(sample.shapes)
    classes = Dim.of(int(sample.high)) if "index" in kinds else None
    return [
        tensor(*shape, kind=kind, classes=classes if kind == "index" else None)
        for shape, kind in zip(sample.shapes, kinds, strict=True)
    ]


def draw_operands(sample: Sample, rng: np.random.Generator) -> list[np.ndarray]:
    """Arrays from the sample's interval: whole numbers for class indices, 0 and 1 for truth values."""
    arrays = []
    for type, shape in zip(operand_types(sample), sample.shapes, strict=True):
        if type.kind == "bool":
            arrays.append(rng.integers(0, 2, shape).astype(float))
        elif type.kind == "index":
            arrays.append(rng.integers(int(sample.low), int(sample.high), shape).astype(float))
        else:
            arrays.append(rng.uniform(sample.low, sample.high, shape))
    return arrays


def as_graph(name: str, sample: Sample) -> tuple[Builder, Graph, list[Node]]:
    """The op on inputs `x0`, `x1`, …; its root is `value`."""
    b = Builder()
    inputs = [b.typed("input", (), (("name", f"x{i}"),), type) for i, type in enumerate(operand_types(sample))]
    value = b.add(name, *inputs, **sample.attributes)
    return b, Graph.of({"value": value}), inputs


def bound(arrays: Sequence[np.ndarray]) -> dict[tuple[str, str], Any]:
    return {("input", f"x{i}"): array for i, array in enumerate(arrays)}


def numbers(value: Any) -> Any:
    """An attribute as `reference` gets it: sizes for dimensions and axes, functions for bodies."""
    if isinstance(value, tuple):
        return tuple(map(numbers, value))
    if isinstance(value, Body):
        return Running(value, {}, None)
    size = getattr(value, "size", value)
    return int(size.constant) if isinstance(size, Dim) else value
