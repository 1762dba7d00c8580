"""`dlc show`: the table of a model's layers, with their rules, shapes, parameters, work and memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from dlc.compiler.dims import ZERO, Condition, Dim, Symbol, TensorType
from dlc.compiler.dims.poly import Term
from dlc.compiler.ir import Node
from dlc.compiler.ops import OPS
from dlc.compiler.program import CheckedModel, Line, M, Partial

FAR = 10_000
"""Where the search for a size that fits ends."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `size` (values), `flops` and `memory` (bytes, float32) are for one example of the `smallest` size;
    `rule` is the law as the file states it. A parameter counts its values; what stands in a layer is `inside`, and the
    layer's row has the `total` of them. `chain`: the value is that of the layer before it."""

    name: str
    rule: str
    shape: str
    size: int
    parameters: int
    flops: int
    memory: int
    total: int = 0
    inside: bool = False
    chain: bool = False


def shape_table(checked: CheckedModel | Partial) -> list[Row]:
    """The rows in the order of the text: inputs, parameters, applied layers and named values.

    What stands inside a layer is told by the layer's own row, and work is told where it is done first: a chain of
    layers does nothing of its own. Of a model with an error, the rows that are proved.
    """
    layers = {line.name for line in checked.lines if line.instance}
    counts = {line.name: _count(line.type) for line in checked.lines if line.name in checked.parameters}
    steps = smallest(checked)
    rows: list[Row] = []
    done: set[Node] = set()
    for line in checked.lines:
        inside = _inside(line, layers)
        if line.name in counts:
            count = counts[line.name]
            rows.append(Row(line.name, line.rule, str(line.type), count, count, 0, 0, 0 if inside else count, inside))
        elif not inside:
            own = [node for node in line.nodes if node not in done]
            done.update(line.nodes)
            owned = [name for name in counts if line.instance and name.startswith(line.name + ".")]
            total, size = sum(map(counts.pop, owned)), _elements(line.type, steps)
            flops, chain = _for_one(work(own), steps), bool(line.nodes) and not own and not line.instance
            rows.append(Row(line.name, line.rule, str(line.type), size, 0, flops, 4 * size, total, chain=chain))
    return rows


def smallest(checked: CheckedModel | Partial) -> int:
    """The first size that all run-time dimensions together may have: what a row's numbers are for. 1 where the sizes
    that fit are far away, or not known."""
    conditions = [each.condition for each in checked.requirements] if isinstance(checked, CheckedModel) else []
    symbols = {symbol for condition in conditions for symbol in condition.symbols}
    fits = (n for n in range(1, FAR) if all(each.holds(dict.fromkeys(symbols, n)) for each in conditions))
    return next(fits, 1)


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


def work(nodes: Iterable[Node]) -> Dim:
    """The floating-point operations of values for one batch; the results of one computation share its work."""
    once = {OPS[node.op].together(node): node for node in nodes}
    return sum((OPS[node.op].work(node) for node in once.values()), start=ZERO)


def _for_one(count: Dim, steps: int) -> int:
    return int(count.evaluate({symbol: 1 if symbol == M else steps for symbol in count.symbols}))


def _count(type: TensorType) -> int:
    return prod(int(size.constant or 0) for size in type.sizes)


def _elements(type: TensorType, steps: int) -> int:
    count = Dim.of(1)
    for size in type.sizes:
        count = count * size
    return _for_one(count, steps) if M in count.symbols else 0


__all__ = ["Row", "accepted", "shape_table", "smallest", "work"]
