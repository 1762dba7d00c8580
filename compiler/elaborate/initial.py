"""How parameters and states begin: their initializers, once it is known which contraction uses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dlc.compiler.diagnostics import Diagnostic, Edit, Related
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.elaborate.calls import Eval
from dlc.compiler.elaborate.context import Context, PendingInitial
from dlc.compiler.elaborate.report import Findings, Poisoned, Stop, stop
from dlc.compiler.elaborate.statements import fit
from dlc.compiler.elaborate.values import Function, Tensor
from dlc.compiler.ir import Builder, Graph, Node, rebuild, topological
from dlc.compiler.ops import OPS, Contraction, Elementwise
from dlc.compiler.ops.base import elements
from dlc.compiler.program import Initial, ParameterDeclaration, StateDeclaration, covers, places
from dlc.grammar import ast
from dlc.grammar.format import unparse

Fans = Mapping[Node, tuple[int, int]]


_KEEPING = ("rename", "transpose", "permute", "reshape", "drop", "expand", "reverse")
"""Moves after which a tensor has the same elements."""
_KNOWN = ("parameter", "constant", "table", "size", "scalar")
"""Leaves that are no data."""
MOST_LISTED = 8
"""Places that one message lists."""


def fans(nodes: Iterable[Node]) -> dict[Node, tuple[int, int]]:
    """fan_in and fan_out of each parameter that a contraction uses: the sizes that one output sums over, and that one
    input reaches. The first use counts. A parameter is used behind moves too, and behind elementwise operations with
    what is no data: `(g * W) @ X` uses W, and `A @ (Z + b)` no b."""
    origin: dict[Node, tuple[Node, ...]] = {}
    found: dict[Node, tuple[int, int]] = {}
    weights = _Weights()
    for node in nodes:
        op = OPS[node.op]
        weights.add(node)
        if node.op == "parameter":
            origin[node] = (node,) if node.type.rank else ()
        elif node.op in _KEEPING or (isinstance(op, Elementwise) and node in weights.free):
            of = dict.fromkeys(parameter for value in node.inputs for parameter in origin.get(value, ()))
            origin[node] = tuple(parameter for parameter in of if elements(parameter.type) == elements(node.type))
        if isinstance(op, Contraction):
            for number, operand in enumerate(node.inputs):
                for parameter in origin.get(operand, ()) if operand.type.rank else ():
                    found.setdefault(parameter, op.fans(node, number))
    return found


def _as_declared(node: Node) -> tuple[int, int] | None:
    """The fans of a parameter that nothing reads (a warning says so): as if `W @ A` used it."""
    sizes = [int(size.constant or 1) for size in node.type.sizes]
    return (sizes[-1], sizes[0]) if sizes else None


class _Weights:
    """Which values are `free` of data: made of parameters, numbers and draws. What a contraction makes of a draw is
    data: a generator's first layer."""

    def __init__(self) -> None:
        self.free: set[Node] = set()
        self._drawn: set[Node] = set()

    def add(self, node: Node) -> None:
        """Operands come before what uses them."""
        drawn = _is_draw(node) or any(value in self._drawn for value in node.inputs)
        free = all(value in self.free for value in node.inputs)
        if not node.inputs:
            free = node.op in _KNOWN or drawn
        if drawn:
            self._drawn.add(node)
        if free and not (drawn and isinstance(OPS[node.op], Contraction)):
            self.free.add(node)


def declare_parameters(e: Context, findings: Findings, evaluate: Eval) -> dict[str, ParameterDeclaration]:
    """The model's parameters with their initial values' graphs."""
    known = fans(e.b.made)
    read = {value for node in e.b.made for value in node.inputs}
    values = FirstValues(findings, evaluate)
    result: dict[str, ParameterDeclaration] = {}
    for name, pending in e.parameters.items():
        fan = known.get(pending.node)
        initial = values.of(pending, fan if pending.node in read else _as_declared(pending.node))
        if initial is None:
            continue
        result[name] = ParameterDeclaration(
            name,
            pending.node.type,
            pending.declared.span,
            initial,
            pending.frozen or _frozen(name, e),
            fan is not None,
            f"{name} : {pending.declared.written}",
        )
    return result


def declare_states(e: Context, findings: Findings, evaluate: Eval) -> dict[str, StateDeclaration]:
    """The model's `state`s."""
    values = FirstValues(findings, evaluate)
    result: dict[str, StateDeclaration] = {}
    for name, pending in e.states.items():
        initial = values.of(pending, None)
        if initial is not None:
            result[name] = StateDeclaration(name, pending.node.type, pending.declared.span, initial)
    return result


def require_places(e: Context, findings: Findings) -> None:
    """Adds an N201 for each place after `freeze` or `load` under which nothing stands."""
    loaded = [place for load in e.loads for place in load.places]
    asked = ((e.frozen, list(e.parameters), "parameter"), (loaded, [*e.parameters, *e.states], "parameter or state"))
    for targets, names, what in asked:
        for target, span in targets:
            if any(covers(target, name) for name in names):
                continue
            near = did_you_mean(target, places(names))
            literal = span.end_column - span.column == len(target)
            fix = (Edit(span, near),) if near and literal else ()
            help = f"did you mean {near}?" if near else _top(names)
            findings.add(Diagnostic("N201", f"no {what} is called {target or 'all'}", span, help=help, fix=fix))
    for number, (target, span) in enumerate(loaded):
        before = (other for other in loaded[:number] if covers(other[0], target) or covers(target, other[0]))
        if first := next(before, None):
            related = (Related("first here", first[1]),)
            findings.add(Diagnostic("N202", f"{target or 'the network'} is loaded twice", span, related=related))


def _top(names: Sequence[str]) -> str | None:
    """The outermost places, where they are few."""
    found = [place for place in places(names) if "." not in place]
    return f"there are {', '.join(found)}" if 0 < len(found) <= MOST_LISTED else None


def _frozen(name: str, e: Context) -> bool:
    return any(covers(target, name) for target, _ in e.frozen)


class FirstValues:
    """The first values of parameters or states. Those that one text names alike, for tensors of one type, differ at
    most in the name of their draw: the value is elaborated once, and drawn under each name."""

    def __init__(self, findings: Findings, evaluate: Eval) -> None:
        self.findings, self.evaluate = findings, evaluate
        self.known: dict[tuple[object, ...], tuple[str, Initial]] = {}

    def of(self, pending: PendingInitial, fan: tuple[int, int] | None) -> Initial | None:
        """The graph of a first value; None where it is wrong."""
        key = self._key(pending, fan)
        if key is not None and key in self.known:
            name, initial = self.known[key]
            return replace(initial, graph=_drawn_as(pending.name, name, initial.graph))
        found = _initial(pending, fan, self.findings, self.evaluate)
        if found is not None and key is not None and _names_draws(found.graph, pending.name):
            self.known[key] = pending.name, found
        return found

    def _key(self, pending: PendingInitial, fan: tuple[int, int] | None) -> tuple[object, ...] | None:
        """What a first value depends on, where it is a bare name such as `he`: which place of the text names which
        initializer, the type and the fans. None for everything else, which may read the names around it."""
        expr = pending.initializer
        value = pending.scope.find(expr.id) if isinstance(expr, ast.Name) else None
        if not isinstance(value, Function) or value.given:
            return None
        return id(expr), id(value), pending.node.type, fan


def _is_draw(node: Node) -> bool:
    return node.op.startswith("draw_")


def _names_draws(graph: Graph, name: str) -> bool:
    """Whether all draws of a first value are called after it, alone or with a number."""
    return all(str(node.attr("name")).partition("#")[0] == name for node in graph.nodes if _is_draw(node))


def _drawn_as(new: str, old: str, graph: Graph) -> Graph:
    """A first value's graph with its draws called after another tensor."""

    def renamed(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if not _is_draw(node):
            return None
        name = new + str(node.attr("name")).removeprefix(old)
        return b.typed(node.op, inputs, (("name", name),), node.type, node.span)

    return rebuild(graph, renamed) if any(map(_is_draw, graph.nodes)) else graph


def _initial(
    pending: PendingInitial, fan: tuple[int, int] | None, findings: Findings, evaluate: Eval
) -> Initial | None:
    """The graph of a first value. Without `~`, weights begin as `he` says and everything else at zero."""
    expr = pending.initializer or ast.Name(id="he" if fan is not None else "zeros", span=pending.declared.span)
    e = Context("training", findings)
    type = pending.node.type
    e.draw_shape, e.draw_name = type, pending.name
    scope = pending.scope.child()
    if fan is not None:
        e.ambient = dict(zip(("fan_in", "fan_out"), fan, strict=True))
        scope.names |= e.ambient
    old = Tensor(pending.node, pending.declared)
    try:
        value = e.real(evaluate(e, expr, scope), expr.span)
        node = fit(e, value, old, pending.name, expr.span).node
        _stands_alone(node, pending.name, expr)
    except Stop as mistake:
        findings.add(_explained(mistake.diagnostic, pending.name, fan))
        return None
    except Poisoned:
        return None
    return Initial(Graph.of({"value": node}), unparse(expr), *(fan or (0, 0)))


def _stands_alone(node: Node, name: str, expr: ast.Expr) -> None:
    """A first value is computed before there is data, from numbers and draws alone."""
    for value in topological([node]):
        if value.op in ("input", "parameter", "state", "scalar", "size"):
            what = "the batch" if value.op == "size" else str(value.attr("name"))
            raise stop(
                "N208",
                f"the first value of {name} cannot depend on {what}: it is computed before training begins",
                expr.span,
                rule="an initializer is made of numbers, sizes, fan_in, fan_out and draws",
            )


def _explained(diagnostic: Diagnostic, name: str, fan: tuple[int, int] | None) -> Diagnostic:
    """`he` on a tensor that no contraction uses has no fan-in."""
    if fan is None and diagnostic.code == "N201" and "fan_" in diagnostic.message:
        return Diagnostic(
            "N208",
            f"this initializer needs a fan-in, and no `@` uses {name} itself",
            diagnostic.span,
            rule="fan_in is the number of products that one output sums: the columns of W in W @ A",
            help="write normal(0, 0.01), or zeros",
        )
    return diagnostic
