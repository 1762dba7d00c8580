"""`scan t in 1..T:`

A step is elaborated once, in the program's own builder, with leaves in the place of what each step finds (`steps.py`).
When the step is done, what depends on such a leaf is cut out and becomes the scan's own program; everything else that
it reads, parameters above all, is a constant of the scan. So a layer in a step is an ordinary layer, and what does not
depend on the step is computed once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dlc.compiler.dims import Axis, Truth, demand, positive, same_sizes
from dlc.compiler.elaborate.arithmetic import is_number, to_dim
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.padding import is_padded
from dlc.compiler.elaborate.report import Poisoned, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.steps import SAME, Carry, Frame, base_name, in_scan, unlike
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Declared, Poison, Tensor, describe
from dlc.compiler.ir import Builder, Graph, Node, topological
from dlc.compiler.ops import ShapeError
from dlc.compiler.ops.loop import Step
from dlc.compiler.program import M
from dlc.grammar import ast
from dlc.grammar.span import Span

if TYPE_CHECKING:
    from dlc.compiler.elaborate.statements import Body

RANGE = "a scan goes through a dimension from its first step to its last: `scan t in 1..T:`"


def scan(body: Body, statement: ast.Scan, scope: Scope) -> None:
    """Elaborates one step, makes the loop of it, and gives its results their names."""
    e = body.e
    e.scanned += 1
    frame = Frame(statement.name.id, _axis(body, statement, scope), e.scanned, time_targets(statement.body))
    inner = scope.child(scan=frame)
    e.scans.append(frame)
    try:
        body.define(statement.name, Tensor(frame.step(e)), inner)
        body.run(statement.body, inner)
    finally:
        e.scans.pop()
        scope.steps |= {name: (place, frame.name) for name, place in inner.places.items() if name != frame.name}
    if frame.failed or any(isinstance(value, Poison) for value in frame.now.values()):
        raise Poisoned
    if not frame.now:
        help = f"write a result of each step: a<{frame.name}> = …"
        raise stop("N216", "this scan has no results: nothing is left of its steps", statement.name.span, help=help)
    for key, whole in _close(e, frame, statement).items():
        body.define(_target(key, frame.places[key]), whole, scope)


def _target(key: str, span: Span) -> ast.Expr:
    """The left side that a result has after the scan: `a`, or the member `a[2]` that this round of a `for` wrote."""
    name, _, indices = key.partition("[")
    base = ast.Name(id=name, span=span)
    if not indices:
        return base
    numbers = (ast.Number(value=int(i), text=i.strip(), span=span) for i in indices.removesuffix("]").split(","))
    return ast.Index(base=base, indices=tuple(numbers), span=span)


def stands_in_step(statement: ast.Statement, scope: Scope) -> None:
    """Raises for what belongs to a whole program and not to one step of it."""
    if in_scan(scope) is None:
        return
    match statement:
        case ast.Declaration(kind=kind):
            what, help = f"a `{kind}`", "declare it before the scan; a layer that is used in it has its own parameters"
        case ast.Loss() | ast.Metric() | ast.Output():
            what = f"`{type(statement).__name__.lower()}`"
            help = "name the value, a<t> = …, and write this after the scan, where a is the whole sequence"
        case ast.Hyper() | ast.DimDecl() | ast.Freeze() | ast.Load():
            what, help = "this statement", "write it before the scan"
        case _:
            return
    raise stop("N216", f"{what} does not stand in a step of a scan", statement.span, help=help)


def _axis(body: Body, statement: ast.Scan, scope: Scope) -> Axis:
    """The time axis that `1..T` means."""
    range = statement.range
    if not isinstance(range, ast.Binary) or range.op != "..":
        raise stop("N216", "a scan needs a range", range.span, rule=RANGE)
    first = body.evaluate(range.left, scope)
    if first != 1:
        shown = written(range.left, scope)
        raise stop("N216", f"a scan begins with step 1, and this begins with {shown}", range.left.span, rule=RANGE)
    last = body.evaluate(range.right, scope)
    if not is_number(last):
        raise stop("N216", f"a scan ends with a dimension, and this is {describe(last)}", range.right.span, rule=RANGE)
    size = to_dim(last, range.right.span)
    if positive(size, body.e.b.facts) is Truth.NO:
        raise stop("D111", f"a scan has at least one step, and {written(range.right, scope)} is {size}", range.span)
    return Axis(size, range.right.id if isinstance(range.right, ast.Name) else None)


def time_targets(statements: tuple[ast.Statement, ...]) -> dict[str, Span]:
    """The names whose steps the statements define, of families too, with the first place of each."""
    found: dict[str, Span] = {}
    for target in _time_targets(statements):
        found.setdefault(base_name(target.base), target.span)
    return found


def _time_targets(statements: tuple[ast.Statement, ...]) -> list[ast.TimeIndex]:
    found: list[ast.TimeIndex] = []
    for statement in statements:
        match statement:
            case ast.Equation(targets=targets) | ast.Draw(targets=targets) | ast.Declaration(targets=targets):
                found += [target for target in targets if isinstance(target, ast.TimeIndex)]
            case ast.If(body=one, otherwise=other) | ast.When(training=one, otherwise=other):
                found += _time_targets((*one, *other))
            case ast.For(body=inner):
                found += _time_targets(inner)
    return found


def scanned_names(statement: ast.Scan) -> list[str]:
    """The names that a scan defines for the lines below it."""
    inner = (name for each in statement.body if isinstance(each, ast.Scan) for name in scanned_names(each))
    return [*time_targets(statement.body), *inner]


# --- the loop --------------------------------------------------------------------------------------------------


def _close(e: Context, frame: Frame, statement: ast.Scan) -> dict[str, Tensor]:
    """The loop of the step's program, and its results as whole sequences."""
    news = {key: _carried_on(e, frame, key, carry) for key, carry in frame.carries.items()}
    roots = {f"carry.{i}": news[key] for i, key in enumerate(frame.carries)}
    takes = {key: f"carry.{i}" for i, key in enumerate(frame.carries)}
    for key, value in frame.now.items():
        if key not in takes:
            takes[key] = f"out.{len(takes) - len(frame.carries)}"
            roots[takes[key]] = value.node
    step, inputs, axes = _cut_out(e, frame, roots)
    wholes: dict[str, Tensor] = {}
    for key, take in takes.items():
        node = e.b.add(
            "scan",
            *inputs,
            span=e.findings.place(statement.name.span),
            step=step,
            take=take,
            axes=axes,
            axis=frame.axis,
            reverse=False,
        )
        if wholes:
            e.counted.add(node)
        type = replace(node.type, axes=(*frame.now[key].type.axes, frame.axis))
        node = node if type == node.type else e.b.typed("rename", (node,), (), type, node.span)
        wholes[key] = Tensor(node, Declared(key, frame.places[key]))
    return wholes


def _carried_on(e: Context, frame: Frame, key: str, carry: Carry) -> Node:
    """The carry's next value, in the shape of its first; past an example's own end it stays as it is."""
    value: Tensor = frame.now.get(key) or _undefined(key, frame, carry)
    kind = carry.leaf.type
    if kind.kind == "real":
        value = e.real(value, frame.places[key])
    elif value.type.kind != "index":
        message = f"{key}<{frame.name}> holds real numbers, and {key}<0> class numbers"
        raise stop("D106", message, frame.places[key], rule=SAME)
    if value.type.rank == 0 and carry.start.type.rank:
        value = Tensor(e.b.add("broadcast", value.node, axes=carry.start.type.axes), value.declared)
        frame.now[key] = value
    if same_sizes(value.type, carry.start.type, e.b.facts, demand) is not None:
        name = f"{key}<{frame.name}>"
        raise unlike(name, value, frame.places[key], f"{key}<0>", carry.start.type, carry.start.declared)
    node = value.node if value.type == kind else e.b.typed("rename", (value.node,), (), kind, value.node.span)
    if is_padded(e.padded, frame.axis.size) and kind.depends_on(M):
        try:
            node = e.b.add("select", frame.within(e, kind), node, carry.leaf)
            node = e.b.add("index", node, classes=kind.classes) if kind.kind == "index" else node
        except ShapeError as error:
            raise e.refused(error, [value], [], frame.places[key], Scope()) from None
        node = node if node.type == kind else e.b.typed("rename", (node,), (), kind, node.span)
    return node


def _undefined(key: str, frame: Frame, carry: Carry) -> Tensor:
    text = f"{key}<{frame.name}>"
    message = f"{key}<{frame.name}-1> is read, and no line of this scan says what {text} is"
    raise stop("N217", message, carry.place, help=f"write {text} = …")


def _cut_out(e: Context, frame: Frame, roots: dict[str, Node]) -> tuple[Step, tuple[Node, ...], tuple[int, ...]]:
    """The step's program on leaves of its own, what the loop reads, and the scanned axis of each sequence."""
    order = topological(roots.values())
    sequences = [node for node in order if node in frame.leaves]
    names = {node: f"sequence.{i}" for i, node in enumerate(sequences)}
    names |= {carry.leaf: f"carry.{i}" for i, carry in enumerate(frame.carries.values())}
    b = Builder(e.b.facts)
    new: dict[Node, Node] = {}
    constants: list[Node] = []

    def held(node: Node, name: str) -> Node:
        return b.typed("held", (), (("name", name),), node.type, node.span)

    e.counted |= {node for node in order if frame.depends(node)}
    needed = set(roots.values()).union(*(node.inputs for node in order if frame.depends(node)))
    for node in order:
        if node in names:
            new[node] = held(node, names[node])
        elif frame.depends(node):
            inputs = tuple(new[value] for value in node.inputs)
            new[node] = b.typed(node.op, inputs, node.attrs, node.type, node.span)
        elif node.op == "constant":
            new[node] = b.typed(node.op, (), node.attrs, node.type, node.span)
        elif node in needed:
            new[node] = held(node, f"constant.{len(constants)}")
            constants.append(node)
    called = {name: new[node] for name, node in frame.names.items() if frame.depends(node) and node in new}
    graph = Graph.of({name: new[node] for name, node in roots.items()}, called)
    starts = tuple(carry.start.node for carry in frame.carries.values())
    read = tuple(frame.leaves[node][0] for node in sequences)
    axes = tuple(frame.leaves[node][1] for node in sequences)
    return Step(graph, len(sequences), len(starts)), (*read, *starts, *constants), axes
