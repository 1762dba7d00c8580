"""The verifier: what every graph is, before and after every pass.

Inputs stand before their users, every op is registered and in a graph's vocabulary, every type is what the op's rule
says (sizes and kind; names of axes and marks of written 1s are the checker's own), and the roots are alive. The same
holds of the bodies of loops, which have from outside only what their loop gives them.
"""

from __future__ import annotations

from dlc.compiler.dims import Axis, Facts, TensorType, demand, same_sizes
from dlc.compiler.ir.builder import bodies
from dlc.compiler.ir.node import Body, Graph, Node


class BrokenGraph(Exception):
    """An internal error: a pass broke a graph. `when` says where, the text shows the node's surroundings."""

    def __init__(self, problem: str, graph: Graph, node: Node | None = None, when: str = "") -> None:
        self.problem, self.node = problem, node
        lines = [f"{problem}{f' {when}' if when else ''}"]
        if node is not None:
            lines += [f"  reads    {value!r}" for value in node.inputs]
            lines += [f"  here --> {node!r}"]
            lines += [f"  read by  {user!r}" for user in graph.nodes if node in user.inputs]
            lines += [f"  from {node.span}"] if node.span else []
        super().__init__("\n".join(lines))


GIVEN = ("held", "draw_uniform", "draw_normal")
"""The leaves of a loop's body that have their values from outside."""


def verify(
    graph: Graph, facts: Facts = Facts.settled, when: str = "", *, inside: bool = False, sound: set[Node] | None = None
) -> None:
    """Raises `BrokenGraph` for the first thing that is wrong. `inside`: the graph is a loop's body. Nodes that are
    `sound`, of a graph that was verified with the same facts, need not be looked at again; those of this one are added.
    """
    seen: set[Node] = set()
    verified: set[Body] = set()
    sound = set() if sound is None else sound
    for node in graph.nodes:
        if node in seen:
            raise BrokenGraph("a node stands twice", graph, node, when)
        if not seen.issuperset(node.inputs):
            raise BrokenGraph("a node stands before its input", graph, node, when)
        seen.add(node)
        if node in sound:
            continue
        for body in bodies(node):
            if body not in verified:
                verify(body.graph, facts, f"in {node!r} {when}", inside=True, sound=sound)
                verified.add(body)
        problem = _place_problem(node, inside) or _type_problem(node, facts)
        if problem is not None:
            raise BrokenGraph(problem, graph, node, when)
    sound |= seen
    for role, named in (("root", graph.roots), ("name", graph.names)):
        for name, node in named.items():
            if node not in seen:
                raise BrokenGraph(f"the {role} {name} is not in the graph", graph, node, when)


def _place_problem(node: Node, inside: bool) -> str | None:
    from dlc.compiler.ops import OPS
    from dlc.compiler.ops.leaf import Bound

    if inside and isinstance(OPS.get(node.op), Bound) and node.op not in GIVEN:
        return f"the body of a loop reads {node.op} {node.attr('name')} past its loop"
    if not inside and node.op == "held":
        return "only the body of a loop holds what a loop gives"
    return None


def _type_problem(node: Node, facts: Facts) -> str | None:
    from dlc.compiler.ops import OPS, Composite, ShapeError
    from dlc.compiler.ops.leaf import Bound

    op = OPS.get(node.op)
    if op is None:
        return f"no op is called {node.op}"
    if isinstance(op, Composite):
        return f"the composite {node.op} was not decomposed"
    if tuple(sorted(node.attrs, key=lambda item: item[0])) != node.attrs:
        return "the attributes are not sorted"
    if isinstance(op, Bound):
        return None
    try:
        ruled = op.type(facts, *(_broadcasting(value.type) for value in node.inputs), **node.keywords)
    except (ShapeError, TypeError) as error:
        return f"the type rule of {node.op} refuses: {error}"
    if same_sizes(ruled, node.type, facts, demand) is not None or ruled.kind != node.type.kind:
        return f"the type rule of {node.op} says {ruled} {ruled.kind}"
    return None


def _broadcasting(type: TensorType) -> TensorType:
    """Every axis of size 1 may broadcast here: whether it was written 1 was proved when the program was checked."""
    if not any(axis.size.constant == 1 and not axis.one for axis in type.axes):
        return type
    axes = tuple(Axis(axis.size, axis.name, axis.one or axis.size.constant == 1) for axis in type.axes)
    return TensorType(axes, type.kind, type.classes, type.one_hot)
