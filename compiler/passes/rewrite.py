"""Local rewriting: rules as pairs of formulas, and the one driver that applies them to a fixed point.

    rule("x + -y", "x - y")

The letter of a variable says what it may stand for:

    c, d        a constant
    s, t        a scalar that is no constant
    u, v, w     a tensor with axes
    k           an attribute
    others      any value

A constant or scalar that was broadcast is seen as what it is. The operands of a commutative op match in either order.

A `Rewriter` is a builder whose every new node is rewritten at once. Its operands are rewritten already, so rules see
canonical operands, and one sweep over a graph reaches the fixed point.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from dlc.compiler.dims import Facts, TensorType, same_sizes
from dlc.compiler.ir import Builder, Graph, Node, rebuild
from dlc.compiler.ir.formula import Apply, Formula, Number, Variable, formula
from dlc.compiler.ops import OPS, Op, ShapeError
from dlc.grammar.span import Span

Values = Mapping[str, Any]
DEEPEST = 200


class Rule(Protocol):
    """Rewrites a node, or says None."""

    def matches(self, op: str) -> bool:
        """Whether the rule could apply to nodes of this op."""
        ...

    def __call__(self, b: Rewriter, node: Node) -> Node | None: ...


@dataclass(frozen=True)
class FormulaRule:
    """Replaces what has the form `left` by `right`, when `when` holds of what the variables stand for."""

    left: str
    right: str
    when: Callable[[Values], bool] | None = None
    ordered: bool = False

    @cached_property
    def pattern(self) -> Apply:
        pattern = formula(self.left)
        assert isinstance(pattern, Apply)
        return pattern

    def matches(self, op: str) -> bool:
        return op == self.pattern.op

    def __call__(self, b: Rewriter, node: Node) -> Node | None:
        for values in match(b, self.pattern, node, {}, self.ordered):
            if self.when is None or self.when(values):
                return formula(self.right).build(b, values)
        return None


def rule(left: str, right: str, when: Callable[[Values], bool] | None = None, ordered: bool = False) -> FormulaRule:
    """`left` becomes `right`. `ordered`: the operands of the outermost op match as written only."""
    return FormulaRule(left, right, when, ordered)


@dataclass(frozen=True)
class FunctionRule:
    """What no formula says, for the ops that `about` picks."""

    about: Callable[[Op], bool]
    function: Callable[[Rewriter, Node], Node | None] = field(repr=False)

    def matches(self, op: str) -> bool:
        return self.about(OPS[op])

    def __call__(self, b: Rewriter, node: Node) -> Node | None:
        return self.function(b, node)


def on(*families: type[Op], op: str | None = None) -> Callable[[Callable[[Rewriter, Node], Node | None]], FunctionRule]:
    """Makes a function `(b, node) -> Node | None` a rule about the op called `op`, or about the ops of the families."""

    def about(candidate: Op) -> bool:
        return candidate.name == op if op else isinstance(candidate, families)

    return lambda function: FunctionRule(about, function)


class Rewriter(Builder):
    """A builder whose nodes are rewritten as they are made."""

    def __init__(self, rules: Sequence[Rule], facts: Facts = Facts.empty) -> None:
        Builder.__init__(self, facts)
        self._rules = rules
        self._by_op: dict[str, list[Rule]] = {}
        self._done: dict[Node, Node] = {}
        self._commutes: dict[tuple[object, ...], Node] = {}
        self._depth = 0

    def add(self, op: str, *inputs: Node, span: Span | None = None, **attrs: Hashable) -> Node:
        return self.rewritten(Builder.add(self, op, *inputs, span=span, **attrs))

    def rewritten(self, node: Node) -> Node:
        """What the rules make of a node whose operands are rewritten already; it has the node's type."""
        done = self._done.get(node)
        if done is None:
            self._depth += 1
            if self._depth > DEEPEST:
                raise RecursionError(f"rewriting does not come to an end at {node!r}")
            try:
                done = self._done[node] = self._once(node)
            finally:
                self._depth -= 1
        return done

    def _once(self, node: Node) -> Node:
        swapped = (node.op, node.inputs[::-1], node.attrs)
        if swapped in self._commutes:
            return self._commutes[swapped]
        for candidate in self._candidates(node.op):
            try:
                new = candidate(self, node)
            except ShapeError:
                continue
            if new is not None and new is not node:
                return self.fitted(new, node.type)
        if OPS[node.op].commutative:
            self._commutes[node.op, node.inputs, node.attrs] = node
        return node

    def _candidates(self, op: str) -> list[Rule]:
        found = self._by_op.get(op)
        if found is None:
            found = self._by_op[op] = [candidate for candidate in self._rules if candidate.matches(op)]
        return found

    def fitted(self, node: Node, type: TensorType) -> Node:
        """A replacement in the shape of what it replaces: where it came out smaller, it is broadcast."""
        if same_sizes(node.type, type, self.facts) is None:
            return node
        return self.add("broadcast", node, axes=type.axes)


def rewrite(graph: Graph, rules: Sequence[Rule]) -> Graph:
    """The graph with the rules applied until none applies."""
    b = Rewriter(rules)

    def again(_: Builder, node: Node, inputs: tuple[Node, ...]) -> Node:
        return b.rewritten(b.again(node, inputs))

    return rebuild(graph, again, b)


# --- matching --------------------------------------------------------------------------------------------------


def match(b: Rewriter, pattern: Formula, node: Node, values: Values, ordered: bool = False) -> Iterator[Values]:
    """Every way in which a node has the form of a pattern, as values of the variables."""
    if isinstance(pattern, Variable):
        yield from _match_variable(pattern.name, node, values)
    elif isinstance(pattern, Number):
        seen = through_broadcast(node)
        if seen.op == "constant" and seen.attr("value") == pattern.value:
            yield values
    elif node.op == pattern.op:
        yield from _match_operands(b, pattern, node, values, ordered)
    elif _known(pattern, values) and _build(b, pattern, values) is node:
        yield values


def _match_operands(b: Rewriter, pattern: Apply, node: Node, values: Values, ordered: bool) -> Iterator[Values]:
    attrs = node.keywords
    if len(pattern.operands) != len(node.inputs) or attrs.keys() != dict(pattern.attrs).keys():
        return
    bound = dict(values)
    for name, item in pattern.attrs:
        wanted = bound.setdefault(item.name, attrs[name]) if isinstance(item, Variable) else item
        if wanted != attrs[name]:
            return
    orders = [node.inputs]
    if OPS[node.op].commutative and not ordered and node.inputs[0] is not node.inputs[1]:
        orders.append(node.inputs[::-1])
    for operands in orders:
        yield from _match_all(b, pattern.operands, operands, bound)


def _match_all(b: Rewriter, patterns: Sequence[Formula], nodes: Sequence[Node], values: Values) -> Iterator[Values]:
    if not patterns:
        yield values
        return
    for bound in match(b, patterns[0], nodes[0], values):
        yield from _match_all(b, patterns[1:], nodes[1:], bound)


def _match_variable(name: str, node: Node, values: Values) -> Iterator[Values]:
    seen = through_broadcast(node)
    kind = _KINDS.get(name[0])
    if kind is not None:
        if kind != _kind(seen):
            return
        node = seen
    if values.get(name, node) is node:
        yield {**values, name: node}


_KINDS = {"c": "constant", "d": "constant", "s": "scalar", "t": "scalar", "u": "tensor", "v": "tensor", "w": "tensor"}


def _kind(node: Node) -> str:
    if node.op == "constant":
        return "constant"
    return "tensor" if node.type.rank else "scalar"


def through_broadcast(node: Node) -> Node:
    """The scalar that a node repeats, or the node."""
    return node.inputs[0] if node.op == "broadcast" and node.inputs[0].type.rank == 0 else node


def _known(pattern: Formula, values: Values) -> bool:
    """Whether all variables have values, so that the only node of that form is the one it builds: with z known to be
    `a - b`, the pattern `-z` is the node `b - a`."""
    if isinstance(pattern, Variable):
        return pattern.name in values
    if isinstance(pattern, Number):
        return True
    attributes = all(item.name in values for _, item in pattern.attrs if isinstance(item, Variable))
    return attributes and all(_known(operand, values) for operand in pattern.operands)


def _build(b: Rewriter, pattern: Formula, values: Values) -> Node | None:
    try:
        return pattern.build(b, values)
    except ShapeError:
        return None
