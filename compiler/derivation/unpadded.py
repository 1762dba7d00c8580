"""A graph for examples that are all as long as their axes.

In a program every example has a length of its own, and what stands behind its end is kept out of whatever reads it.
That is no part of a derivation: conditions on a place and a length are true here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from dlc.compiler.dims import ONE
from dlc.compiler.ir import Builder, Graph, Node, rebuild
from dlc.compiler.ops.loop import Step
from dlc.compiler.passes.opened import in_order

SILENT = ("rename", "drop", "expand", "broadcast", "permute", "real")
"""What an equation does not show."""
COMPARES = ("le", "lt", "ge", "gt")


def without_padding(graph: Graph, around: Mapping[str, Node] | None = None) -> Graph:
    """The graph for examples that are all as long as their axes. `around` has the values that a body's leaves hold."""
    steps: dict[Step, Step] = {}
    known = _Leaves(around or {})

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op == "select" and known.tell_padding(node.inputs[0]):
            return b.add("broadcast", inputs[1], axes=node.type.axes) if inputs[1].type.rank else inputs[1]
        if node.op == "and":
            kept = [inputs[i] for i in (0, 1) if not known.tell_padding(node.inputs[i])]
            return kept[0] if len(kept) == 1 and kept[0].type == node.type else None
        if node.op == "sum" and known.tell_padding(node.inputs[0]):
            counted = math.prod((node.inputs[0].type.sizes[axis] for axis in node.attr("axes")), start=ONE)
            return b.add("broadcast", b.size(counted), axes=node.type.axes)
        step = node.attr("step")
        if node.op != "scan" or not isinstance(step, Step):
            return None
        if step not in steps:
            inner = {name: known.outermost(value) for name, value in step.operands(node.inputs).items()}
            steps[step] = step.with_graph(without_padding(step.graph, inner))
        attrs = tuple((name, steps[step] if name == "step" else value) for name, value in node.attrs)
        return b.typed(node.op, inputs, attrs, node.type, node.span)

    return rebuild(graph, rule)


class _Leaves:
    """What values are computed from. `around` has what a body's leaves hold."""

    def __init__(self, around: Mapping[str, Node]) -> None:
        self.around = around
        self.found: dict[Node, frozenset[str]] = {}

    def outermost(self, node: Node) -> Node:
        return self.around.get(str(node.attr("name")), node) if node.op == "held" else node

    def tell_padding(self, node: Node) -> bool:
        """Whether a value tells which places count: it compares places with lengths, and nothing else."""
        while (node := self.outermost(node)).op in SILENT:
            node = node.inputs[0]
        if node.op not in COMPARES:
            return False
        places, ends = sorted(map(self.of, node.inputs), key=lambda leaves: "position" not in leaves)
        return places == {"position"} and "length" in ends and ends <= {"length", "size", "constant"}

    def of(self, node: Node) -> frozenset[str]:
        """The ops of the leaves of a value."""
        for value in in_order(node, self.found, self._parts):
            parts = (self.found[each] for each in self._parts(value))
            self.found[value] = frozenset().union(*parts) or frozenset({value.op})
        return self.found[node]

    def _parts(self, node: Node) -> tuple[Node, ...]:
        outer = self.outermost(node)
        return (outer,) if outer is not node else () if node.op == "position" else node.inputs


__all__ = ["SILENT", "without_padding"]
