"""`dlc show`: the table of a model's layers, with their rules, shapes, parameters, work and memory."""

from __future__ import annotations

from dataclasses import dataclass

from dlc.compiler.dims import Dim, TensorType
from dlc.compiler.program import CheckedModel, Line, M


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `flops` and `memory` (bytes, float32) are for one example; `rule` is the law as the file states it."""

    name: str
    rule: str
    shape: str
    parameters: int
    flops: int
    memory: int


def shape_table(checked: CheckedModel) -> list[Row]:
    """The rows in the order of the text: inputs, parameters, applied layers and named values.

    What stands inside a layer is told by the layer's own row; its parameters follow it.
    """
    inside = {line.name for line in checked.lines if line.instance}
    rows = []
    for line in checked.lines:
        nested = _inside(line, inside)
        if nested and line.name not in checked.parameters:
            continue
        rows.append(_row(checked, line))
    return rows


def _inside(line: Line, instances: set[str]) -> bool:
    return any(line.name != path and line.name.startswith(path + ".") for path in instances)


def _row(checked: CheckedModel, line: Line) -> Row:
    parameter = checked.parameters.get(line.name)
    if parameter is not None:
        return Row(line.name, line.rule, str(line.type), parameter.count, 0, 0)
    return Row(line.name, line.rule, str(line.type), 0, _each(line.flops), 4 * _elements(line.type))


def _each(work: Dim) -> int:
    """Work of a batch of one example."""
    symbols = dict.fromkeys(work.symbols, 1)
    return int(work.evaluate(symbols))


def _elements(type: TensorType) -> int:
    count = Dim.of(1)
    for size in type.sizes:
        count = count * size
    return int(count.evaluate(dict.fromkeys(count.symbols, 1))) if M in count.symbols else 0


__all__ = ["Row", "shape_table"]
