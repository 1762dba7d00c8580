"""`dlc show`: the table of a model's layers, with their rules, shapes, parameters, work and memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from dlc.compiler.dims import ZERO, Condition, Dim, Symbol, TensorType
from dlc.compiler.dims.poly import Term
from dlc.compiler.program import CheckedModel, Line, M, Partial


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `flops` and `memory` (bytes, float32) are for one example; `rule` is the law as the file states it."""

    name: str
    rule: str
    shape: str
    parameters: int
    flops: int
    memory: int


def shape_table(checked: CheckedModel | Partial) -> list[Row]:
    """The rows in the order of the text: inputs, parameters, applied layers and named values.

    What stands inside a layer is told by the layer's own row; its parameters follow it. Of a model with an error, the
    rows that are proved.
    """
    inside = {line.name for line in checked.lines if line.instance}
    rows = []
    for line in checked.lines:
        nested = _inside(line, inside)
        if nested and line.name not in checked.parameters:
            continue
        rows.append(_row(line, line.name in checked.parameters))
    return rows


def accepted(checked: CheckedModel) -> str:
    """`this network accepts n_H x n_W exactly when both are divisible by 32`: what it needs of the data."""
    groups: dict[str, list[str]] = {}
    symbols = sorted({s for r in checked.requirements for s in r.condition.symbols}, key=lambda s: s.name)
    for requirement in checked.requirements:
        (what, name) = _property(requirement.condition)
        groups.setdefault(what, []).append(name)
    sizes = " x ".join(symbol.name for symbol in symbols)
    parts = []
    for what, names in groups.items():
        if not what:
            parts += names
        elif len(groups) == 1 and len(names) == len(symbols) > 1:
            parts.append(f"{'both' if len(names) == 2 else 'all'} are {what}")
        else:
            parts.append(f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} {what}")
    return f"this network accepts {sizes} exactly when {' and '.join(parts)}"


def _property(condition: Condition) -> tuple[str, str]:
    """What a condition says of one dimension, and of which; ("", its text) where it says something else."""
    relations = list(condition.relations)
    if len(relations) == 1:
        (relation,) = relations
        (atom,) = relation.left.atoms() if len(relation.left.atoms()) == 1 else (None,)
        if relation.op == ">=" and isinstance(atom, Symbol) and relation.left == Dim.symbol(atom):
            return f"at least {relation.right}", atom.name
        remainder = isinstance(atom, Term) and atom.op == "%" and relation.left == Dim.atom(atom)
        if relation.op == "==" and isinstance(atom, Term) and remainder and relation.right == ZERO:
            return f"divisible by {atom.q}", str(atom.p)
    return "", str(condition)


def _inside(line: Line, instances: set[str]) -> bool:
    return any(line.name != path and line.name.startswith(path + ".") for path in instances)


def _row(line: Line, parameter: bool) -> Row:
    if parameter:
        return Row(line.name, line.rule, str(line.type), _count(line.type), 0, 0)
    return Row(line.name, line.rule, str(line.type), 0, _each(line.flops), 4 * _elements(line.type))


def _each(work: Dim) -> int:
    """Work of a batch of one example."""
    symbols = dict.fromkeys(work.symbols, 1)
    return int(work.evaluate(symbols))


def _count(type: TensorType) -> int:
    return prod(int(size.constant or 0) for size in type.sizes)


def _elements(type: TensorType) -> int:
    count = Dim.of(1)
    for size in type.sizes:
        count = count * size
    return int(count.evaluate(dict.fromkeys(count.symbols, 1))) if M in count.symbols else 0


__all__ = ["Row", "accepted", "shape_table"]
