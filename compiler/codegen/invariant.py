"""What a scan's step computes from constants alone, moved in front of the loop: transposed matrices, and tables.

A product may need a matrix in the other orientation. Inside a loop it would be copied at each step.
"""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.codegen.layout import is_scalar
from dlc.compiler.codegen.products import wants_transposed
from dlc.compiler.codegen.values import Role, role
from dlc.compiler.ir import Builder, Node, rebuild
from dlc.compiler.ops.loop import Step

Moved = tuple[Node, ...]
"""Values of a step that become constants of it."""


def of_constants(step: Step) -> tuple[Step, Moved]:
    """The step with what is moved out as further constants, and that, in their order."""
    found = dict.fromkeys(value for node in step.graph.nodes if (value := _candidate(node)) is not None)
    count = 1 + max((int(name.partition(".")[2]) for name in step.held() if name.startswith("constant.")), default=-1)
    moved = {node: f"constant.{count + i}" for i, node in enumerate(found)}
    if not moved:
        return step, ()

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        return b.typed("held", (), (("name", moved[node]),), node.type, node.span) if node in moved else None

    return replace(step, graph=rebuild(step.graph, rule)), tuple(moved)


def moved_out(b: Builder, scan: Node, inputs: tuple[Node, ...], step: Step, moved: Moved) -> Node:
    """The scan with that computed in front of it."""
    old: Step = scan.attr("step")
    given = dict(
        zip((f"constant.{i}" for i in range(len(inputs))), inputs[old.sequences + old.carries :], strict=False)
    )
    made: dict[Node, Node] = {}

    def outside(node: Node) -> Node:
        if node.op == "held":
            return given[str(node.attr("name"))]
        if node not in made:
            made[node] = b.typed(node.op, tuple(map(outside, node.inputs)), node.attrs, node.type, node.span)
        return made[node]

    attrs = tuple((name, step if name == "step" else value) for name, value in scan.attrs)
    return b.typed(scan.op, (*inputs, *map(outside, moved)), attrs, scan.type, scan.span)


def _candidate(node: Node) -> Node | None:
    """What a node shows to be worth moving: itself, a table, or an operand of a product."""
    if node.op == "table" and not is_scalar(node.type):
        return node
    if role(node) is not Role.CONTRACTED:
        return None
    operand = wants_transposed(node, ())
    return operand if operand is not None and _constant(operand) else None


def _constant(node: Node) -> bool:
    """Whether a value is made of constants alone."""
    if not node.inputs:
        return node.op == "held" and str(node.attr("name")).startswith("constant.")
    return all(map(_constant, node.inputs))
