"""The step of a generator without what is certain there."""

from __future__ import annotations

from dlc.compiler.dims import ONE
from dlc.compiler.ir import Builder, Graph, Node, rebuild
from dlc.compiler.ops.base import is_number
from dlc.compiler.passes.stabilise import stabilise


def plain_turn(graph: Graph) -> Graph:
    """Without the choices whether a place is there: the step's own is. And with the choice between the word before and
    nothing behind the product with a table, not before it: so the word can be looked up there."""

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op == "select" and inputs[0].op == "le" and inputs[1].type == node.type:
            left, right = map(_number_in, inputs[0].inputs)
            all_there = _is_written(left) and right.op == "held" and right.attr("name") == "number"
            return inputs[1] if left is right or all_there else None
        if node.op == "matmul" and inputs[1].op == "select":
            begins, zero, value = inputs[1].inputs
            if is_number(zero, 0) and not begins.type.rank and value.op == "one_hot":
                return b.add("select", begins, zero, b.add("matmul", inputs[0], value))
        return None

    return stabilise(rebuild(graph, rule))


def _number_in(value: Node) -> Node:
    """The number that a value repeats, or the value."""
    while value.op in ("broadcast", "expand", "drop", "rename") and value.inputs[0].type.sizes.count(ONE) == (
        value.inputs[0].type.rank
    ):
        value = value.inputs[0]
    return value


def _is_written(value: Node) -> bool:
    """Whether a value has the numbers of the places that are written."""
    while value.op == "broadcast":
        value = value.inputs[0]
    return value.op == "position" and any(s.kind == "written" for s in value.type.symbols)
