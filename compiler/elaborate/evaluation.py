"""How losses and metrics are computed over a whole split, one batch at a time.

In a metric `m` is the whole split. A sum over `m` goes on over the split's batches, and the formula around it is
applied once, to the totals. A sum over `m` inside a sum over `m` (as in R²) needs the inner total first: one pass over
the split for each level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.dims import Dim, TensorType, scalar
from dlc.compiler.elaborate.padding import Padded, mean, padded_symbols, seen
from dlc.compiler.elaborate.shapes import is_batch
from dlc.compiler.ir import Builder, Graph, Node, topological
from dlc.compiler.ops import OPS
from dlc.compiler.passes import AFTER_GRADIENTS, BEFORE_CODE, BEFORE_GRADIENTS, run
from dlc.compiler.program import CheckedModel, M

ADDITIVE = ("sum", "matmul", "einsum", "scatter_add")
"""What folds the examples and goes on over the batches of a split, but for a table of all pairs of examples."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`levels[k]` is the program of pass k: its roots `sum.<i>` are totals of one batch, to be added over the batches;
    later levels read earlier totals as leaves `scalar("sum.<i>")`. `formulas[name]` (root `value`) gives the metric, or
    `loss`, from the totals, with `m` the number of examples of the split."""

    levels: tuple[Graph, ...]
    formulas: Mapping[str, Graph]


def evaluation_programs(checked: CheckedModel) -> Evaluation:
    """The passes and formulas of a model's loss and metrics. Raises `DiagnosticError` for a metric that cannot be
    computed batch by batch."""
    graph = run(_wanted(checked), (*BEFORE_GRADIENTS, *AFTER_GRADIENTS, *BEFORE_CODE), facts=checked.facts)
    split = _Split()
    formulas = {name: Graph.of({"value": split.formula(node)}) for name, node in graph.roots.items()}
    levels = tuple(Graph.of(level, graph.names) for level in split.levels)
    return Evaluation(levels, formulas)


def _wanted(checked: CheckedModel) -> Graph:
    """The loss and the metrics of the evaluation program; what still has `m` is averaged over it."""
    b = Builder()
    padded = padded_symbols(declaration.type for declaration in checked.inputs.values())
    for node in checked.evaluation.nodes:
        b.adopt(node)
    roots: dict[str, Node] = {}
    losses = [node for root, node in checked.evaluation.roots.items() if root.startswith("loss.")]
    for node in losses:
        term = _average(b, padded, node)
        roots["loss"] = term if "loss" not in roots else b.add("add", roots["loss"], term)
    for root, node in checked.evaluation.roots.items():
        if root.startswith("metric."):
            roots[root.removeprefix("metric.")] = _average(b, padded, node)
    return Graph.of(roots, checked.evaluation.names)


def _average(b: Builder, padded: Padded, node: Node) -> Node:
    """The mean of a value over all its places that count, as a scalar."""
    axes = tuple(range(node.type.rank))
    folded = tuple(i for i in axes if node.type.axes[i].size.constant != 1)
    if folded:
        node = mean(b, node, folded, seen(b, padded, node.type, folded))
    return b.add("drop", node, axes=axes) if axes else node


class _Split:
    """Cuts metric graphs at their sums over `m`."""

    def __init__(self) -> None:
        self.levels: list[dict[str, Node]] = []
        self.b = Builder()
        self._cut: dict[Node, tuple[Node, int]] = {}

    def formula(self, node: Node) -> Node:
        """The value as a formula of totals."""
        value, _ = self._visit(node)
        if value.type.depends_on(M):
            raise DiagnosticError(not_additive(node))
        return value

    def _visit(self, root: Node) -> tuple[Node, int]:
        """The value with inner totals replaced by leaves, and how many passes must come before it."""
        for node in topological([root]):
            if node not in self._cut:
                self._cut[node] = self._after_inputs(node)
        return self._cut[root]

    def _after_inputs(self, node: Node) -> tuple[Node, int]:
        if node.op == "size" and M in node.attr("dim").symbols:
            return self._split_size(node), 0
        visited = [self._cut[value] for value in node.inputs]
        level = max((depth for _, depth in visited), default=0)
        inputs = tuple(value for value, _ in visited)
        new = node if inputs == node.inputs else self.b.typed(node.op, inputs, node.attrs, node.type, node.span)
        if not folds_examples(node):
            return new, level
        if not is_additive(node):
            raise DiagnosticError(not_additive(node))
        return self._total(new, level), level + 1

    def _split_size(self, node: Node) -> Node:
        """`m` in a metric is the number of examples of the split: given as a scalar, not the batch's own size."""
        dim = node.attr("dim")
        each = dim.substitute({M: 1})
        if dim != Dim.symbol(M) * each:
            raise DiagnosticError(not_additive(node))
        m = self.b.typed("scalar", (), (("name", "m"),), scalar(), node.span)
        return m if each == 1 else self.b.add("mul", self.b.size(each), m)

    def _total(self, node: Node, level: int) -> Node:
        while len(self.levels) <= level:
            self.levels.append({})
        name = f"sum.{sum(len(roots) for roots in self.levels)}"
        self.levels[level][name] = node
        return self.b.typed("scalar", (), (("name", name),), TensorType(node.type.axes), node.span)


def folds_examples(node: Node) -> bool:
    """Whether the value of one example depends on the others here."""
    if pairs(node) and not any(map(pairs, node.inputs)):
        return True
    for value, axes in zip(node.inputs, OPS[node.op].crosses(node), strict=True):
        if axes and any(is_batch(value.type.axes[axis].size) for axis in axes):
            return True
    return False


def pairs(node: Node) -> bool:
    """Whether a value has one place for each pair of examples, (m, m)."""
    unknown = [axis.size for axis in node.type.axes if axis.size.constant is None]
    return len(unknown) > 1 and sum(map(is_batch, unknown)) > 1


def is_additive(node: Node) -> bool:
    """Whether what folds the examples here is a sum that goes on over the batches of a split."""
    return node.op in ADDITIVE and not any(map(pairs, (node, *node.inputs)))


def not_additive(node: Node) -> Diagnostic:
    return Diagnostic(
        "U901",
        "a loss or metric that folds the examples by something other than a sum is not supported yet",
        node.span,
        rule="a metric's sums over m go on over the batches of the split; its formula is applied once",
    )
