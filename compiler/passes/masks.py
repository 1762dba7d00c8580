"""Reads the mask of a rectifier from what the rectifier left.

Needs: an expanded program. Leaves: `z > 0` as `max(0, z) > 0` wherever the rectified value exists in the program, so
that the backward pass reads A[l], which the weight gradient needs anyway, and neither Z[l] nor a mask is kept. The two
are equal for every z (both are false for NaN: max(0, NaN) is NaN or 0). Does not touch other comparisons.
"""

from __future__ import annotations

from dlc.compiler.ir import Builder, Graph, Node, rebuild, through_bodies


@through_bodies
def share_masks(graph: Graph) -> Graph:
    """The graph with the rectifiers' masks taken from their results."""
    rectified: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.op == "max":
            for zero, value in (node.inputs, node.inputs[::-1]):
                if _is_zero(zero) and value.type.rank:
                    rectified[value] = node
    if not rectified:
        return graph
    wanted = {n for n in graph.nodes if n.op == "gt" and n.inputs[0] in rectified and _is_zero(n.inputs[1])}
    made: dict[Node, Node] = {}

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        new = b.typed(node.op, inputs, node.attrs, node.type, node.span)
        made[node] = new
        if node not in wanted:
            return new
        rectifier = rectified[node.inputs[0]]
        if rectifier in made:
            result = made[rectifier]
        else:
            operands = tuple(made[value] for value in rectifier.inputs)
            result = b.typed(rectifier.op, operands, rectifier.attrs, rectifier.type, rectifier.span)
        return b.typed("gt", (result, inputs[1]), node.attrs, node.type, node.span)

    return rebuild(graph, rule)


def _is_zero(node: Node) -> bool:
    return node.op == "constant" and node.attr("value") == 0
