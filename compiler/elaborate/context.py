"""What every part of the elaborator shares: the builder of the program, its findings and its declarations."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dlc.compiler.diagnostics import Related
from dlc.compiler.dims import ONE, Dim, TensorType
from dlc.compiler.elaborate.advice import for_elementwise, for_product
from dlc.compiler.elaborate.habits import for_times
from dlc.compiler.elaborate.obligations import Ledger, Required
from dlc.compiler.elaborate.padding import Padded, both, folds_examples, hidden, is_padded, seen
from dlc.compiler.elaborate.recurrences import for_step
from dlc.compiler.elaborate.report import Findings, Poisoned, Stop, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Declared, Instance, Tensor, describe
from dlc.compiler.ir import Builder, Node
from dlc.compiler.ops import OPS, Contraction, Elementwise, Movement, ShapeError
from dlc.compiler.program import InputDeclaration, Line, LoadDeclaration, covers
from dlc.grammar import ast
from dlc.grammar.span import Span

if TYPE_CHECKING:
    from dlc.compiler.elaborate.definitions import Rigid
    from dlc.compiler.elaborate.spatial import Freed
    from dlc.compiler.elaborate.steps import Frame

MOST_STEPS = 400_000
"""Expressions evaluated in one program; more is a runaway loop or recursion, not a network."""


@dataclass(slots=True)
class PendingInitial:
    """A parameter or state whose initializer is elaborated once its fan-in is known. `ones` are the places of the 1s
    that `...` adds to its value; they are not stored."""

    name: str
    node: Node
    initializer: ast.Expr | None
    scope: Scope
    declared: Declared
    place: Span
    frozen: bool = False
    ones: tuple[int, ...] = ()


@dataclass(slots=True)
class Context:
    """One program of a model while it is elaborated.

    `_mode` is `training`, `deterministic` or `evaluation`; it is asked for below, so that it is known who asked.
    Everything declared is keyed by its full name. `lines` is what `show` prints, kept in training mode only. `known`
    gives for the value of an optional input whether it is known (0 or 1); `asked` are the values of which the program
    asked that. `divided` are the places where a `when` was met, `random` says that a draw was, `changed` are states
    behind a `:=`: by them programs differ (`modes.py`). `ambient` holds what an initializer (`fan_in`), a schedule
    (`epoch`) or a regularizer (`W`, `m`) may read without being given it; `dense` names the one-hot inputs that come as
    real arrays.
    `padded` are the dimensions that are each example's own (`own_lengths`: their names, before they are declared),
    `scans` the scans whose steps are being elaborated, outermost first; `counted` is work that a loop counts already.
    `ledger` takes what is demanded of sizes that are not known, `rigid` makes the inputs of a definition that is
    checked for all sizes; `at` is the statement being executed, `several` the value whose outputs all get names.
    `path` is the place of the layer whose text is executed, and `settled` are the places known to be frozen: layers
    there go by their `otherwise`, as in evaluation. `freed` makes spatial sizes unknown (`spatial.py`), `turned` is the
    `if` whose other branch is taken (`choices.py`). `said` is what was said of values already.
    """

    _mode: str
    findings: Findings
    b: Builder = field(default_factory=Builder)
    hypers: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, InputDeclaration] = field(default_factory=dict)
    parameters: dict[str, PendingInitial] = field(default_factory=dict)
    states: dict[str, PendingInitial] = field(default_factory=dict)
    updates: dict[str, Node] = field(default_factory=dict)
    losses: list[tuple[Node, Span]] = field(default_factory=list)
    metrics: dict[str, tuple[Node, Span]] = field(default_factory=dict)
    outputs: dict[str, tuple[Node, Span]] = field(default_factory=dict)
    names: dict[str, Node] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    frozen: list[tuple[str, Span]] = field(default_factory=list)
    loads: list[LoadDeclaration] = field(default_factory=list)
    known: dict[Node, Node] = field(default_factory=dict)
    asked: set[Node] = field(default_factory=set)
    overrides: dict[str, Any] = field(default_factory=dict)
    dense: frozenset[str] = frozenset()
    ambient: dict[str, Any] = field(default_factory=dict)
    draw_shape: TensorType | None = None
    draw_name: str = ""
    draws: int = 0
    drawn: dict[str, int] = field(default_factory=dict)
    padded: Padded = frozenset()
    own_lengths: frozenset[str] = frozenset()
    scans: list[Frame] = field(default_factory=list)
    scanned: int = 0
    counted: set[Node] = field(default_factory=set)
    ledger: Ledger = field(init=False)
    rigid: Rigid | None = None
    at: Span | None = None
    freed: Freed | None = None
    turned: Span | None = None
    several: ast.Expr | None = None
    depth: int = 0
    rounds: int = 0
    steps: int = 0
    path: str = ""
    settled: tuple[str, ...] = ()
    said: set[tuple[str, frozenset[Node]]] = field(default_factory=set)
    divided: set[str] = field(default_factory=set)
    changed: set[Node] = field(default_factory=set)
    random: bool = False

    @property
    def deterministic(self) -> bool:
        """Whether a draw is replaced by its mean; whoever asks is a draw."""
        self.random = True
        return self._mode == "deterministic"

    @property
    def training(self) -> bool:
        """Whether updates count, and lines are kept for `show`."""
        return self._mode == "training"

    @property
    def evaluation(self) -> bool:
        return self._mode == "evaluation"

    @property
    def follows_training(self) -> bool:
        """Which side of a `when` counts here: a part that is frozen is a fixed function, the one that predicts."""
        return not self.evaluation and not any(covers(place, self.path) for place in self.settled)

    def says(self, what: str, *values: Node) -> bool:
        """Whether something is said of some values for the first time: what is wrong with a prediction, its loss tells,
        and no metric tells it again."""
        known = (what, frozenset(values)) in self.said
        self.said.add((what, frozenset(values)))
        return not known

    @property
    def settled_parameters(self) -> frozenset[str]:
        """The parameters that are not learned, as far as they are declared."""
        return frozenset(name for name, pending in self.parameters.items() if pending.frozen)

    def in_mode(self, mode: str) -> Context:
        """The same program in another mode, in which no update counts."""
        program = copy(self)
        program._mode, program.updates = mode, {}
        return program

    def __post_init__(self) -> None:
        self.keep(Required(self))

    def count(self, steps: int, span: Span) -> None:
        """Counts the work of elaboration, so that a runaway program ends with a diagnostic."""
        before, self.steps = self.steps, self.steps + steps
        if before > MOST_STEPS:
            raise Poisoned
        if self.steps > MOST_STEPS:
            raise stop("D118", "this program is too large to unroll", span)

    def op(
        self, name: str, operands: Sequence[Tensor], exprs: Sequence[ast.Expr], span: Span, scope: Scope, **attrs: Any
    ) -> Tensor:
        """`name(*operands)` as a node; a refusal of the op's type rule becomes a diagnostic with both places."""
        try:
            place = self.findings.place(span)
            node = self.b.add(name, *(t.node for t in operands), span=place, **attrs)
            return Tensor(self.blind(node) if self.padded else node)
        except ShapeError as error:
            raise self.refused(error, operands, exprs, span, scope, times=name == "mul") from None

    def seen(self, value: Node, axes: tuple[int, ...]) -> Node | None:
        """Which places a fold of a value over some axes may see: those of examples that have not ended, in a step of a
        scan either. None where it may see everything. Raises `ShapeError` where that cannot be told."""
        if not axes:
            return None
        places = seen(self.b, self.padded, value.type, axes)
        for frame in self.scans if folds_examples(value.type, axes) else ():
            if is_padded(self.padded, frame.axis.size) and frame.depends(value):
                going_on = frame.within(self, value.type)
                places = going_on if places is None else both(self.b, places, going_on)
        return places

    def blind(self, node: Node) -> Node:
        """The same operation where it cannot see padding: what it folds is hidden behind the op's own filler. What is
        only moved is not seen."""
        op = OPS[node.op]
        if isinstance(op, Movement):
            return node
        places: list[Node | None] = []
        unknown: ShapeError | None = None
        for number, (value, axes) in enumerate(zip(node.inputs, op.crosses(node), strict=True)):
            try:
                places.append(self.seen(value, axes))
            except ShapeError as error:
                places.append(None)
                unknown = error.about(number)
        if unknown is not None and not (isinstance(op, Contraction) and any(places)):
            raise unknown  # a product with 0 is 0, so of two factors one has to know where an example ends
        inputs = [hidden(self.b, value, seen, op.filler) for value, seen in zip(node.inputs, places, strict=True)]
        return node if tuple(inputs) == node.inputs else self.b.add(node.op, *inputs, span=node.span, **node.keywords)

    def refused(
        self,
        error: ShapeError,
        operands: Sequence[Tensor],
        exprs: Sequence[ast.Expr],
        span: Span,
        scope: Scope,
        times: bool = False,
    ) -> Stop:
        """The diagnostic of a refused operation (`times`: of a `*`): names for `{0}`, `{1}`, and the operands'
        declarations."""
        texts = [written(expr, scope) if expr is not None else "this" for expr in exprs]
        texts += ["this"] * (len(operands) - len(texts))
        error = self._of_target(error, operands)
        related: list[Related] = []
        for number, axis in error.operands:
            declared = operands[number].declared if number < len(operands) else None
            if declared is None or not declared.items:
                continue
            whole = axis is None or axis >= len(declared.items)
            place = declared.span if whole else declared.items[axis or 0].span
            related.append(Related(declared.describe(operands[number].type), place))
        problem = stop(
            error.code,
            error.message.format(*texts),
            span,
            label=_operand_types(error.code, operands),
            rule=error.rule.format(*texts) if error.rule else None,
            help=error.help.format(*texts) if error.help else None,
        )
        diagnostic = replace(problem.diagnostic, related=tuple(dict.fromkeys(related)))
        if error.code in ("D101", "D102") and len(operands) == 2:
            product = error.code == "D101"
            recurs = any(frame.recurs(operands[1].node, self.at) for frame in self.scans)
            advice = (
                for_product(operands, scope, recurs) if product else for_elementwise(operands, error.operands, scope)
            )
            diagnostic = replace(
                diagnostic, rule=advice.rule or diagnostic.rule, help=advice.help or diagnostic.help, fix=advice.fix
            )
        if times and (meant := for_times(operands, texts)) is not None:
            diagnostic = replace(diagnostic, rule=problem.diagnostic.rule, help=meant, fix=())
        if self.scans and (meant := for_step(self.scans, error, operands, exprs, scope)) is not None:
            diagnostic = replace(diagnostic, help=meant, fix=())
        return Stop(diagnostic)

    def _of_target(self, error: ShapeError, operands: Sequence[Tensor]) -> ShapeError:
        """A target's axis of size 1 is written 1 and does not broadcast all the same."""
        if error.code != "D105":
            return error
        for number, operand in enumerate(operands):
            declaration = self.target_of(operand.node)
            if declaration is not None and _narrower(error, operands, number):
                types = " against ".join(str(each.type) for each in operands)
                own = operand.declared is not None and operand.declared.name == declaration.name
                what = "is a target" if own else f"is computed from the target {declaration.name}"
                message = f"{{{number}}} {what}, and a target does not broadcast: {types}"
                rule = "a prediction and its target have equal shapes; nothing broadcasts"
                turned = len(operands) == 2 and operands[0].type.sizes == operands[1].type.sizes[::-1]
                sizes = ", ".join(map(str, operand.type.sizes[::-1]))
                help = f"the examples stand in columns: declare {declaration.name} : ({sizes})" if turned else None
                return ShapeError(error.code, message, error.operands, rule=rule, help=help)
        return error

    def target_of(self, node: Node) -> InputDeclaration | None:
        """The target that a value is, or is computed from place by place: its axes are the target's."""
        met, waiting = {node}, [node]
        while waiting:
            node = waiting.pop()
            if node.op == "input":
                declaration = self.inputs.get(str(node.attr("name")))
                if declaration is not None and declaration.role == "target":
                    return declaration
            elif node.op in ("rename", "one_hot") or isinstance(OPS[node.op], Elementwise):
                waiting += [value for value in node.inputs if value not in met]
                met.update(node.inputs)
        return None

    def keep(self, ledger: Ledger) -> None:
        """What is demanded of unknown sizes goes to this ledger."""
        self.ledger = ledger
        self.b.facts = replace(self.b.facts, ledger=ledger)

    def report(self, mistake: Stop) -> None:
        """Adds a mistake to the findings, with what refutes the demand that was not met."""
        self.findings.add(self.ledger.explained(mistake.diagnostic))

    def made_since(self, first: int) -> tuple[Node, ...]:
        """The nodes made since the builder had `first` of them, without what a loop counts already."""
        return tuple(node for node in self.b.made[first:] if node not in self.counted)

    def node(self, value: Any, span: Span) -> Node:
        """A value as a node: tensors as they are, numbers as constants, sizes as run-time scalars."""
        from fractions import Fraction

        match value:
            case Tensor():
                return value.node
            case bool():
                return self.b.constant(1.0 if value else 0.0)
            case int() | float() | Fraction():
                return self.b.constant(float(value))
            case Dim():
                if is_padded(self.padded, value):
                    raise stop(
                        "D119",
                        f"{value} is each example's own length: as a number it is no one value",
                        span,
                        rule="a number beside tensors is the same for all examples",
                        help=f"write lengths(x, over = {value}), of the tensor x whose steps are counted",
                    )
                return self.b.size(value)
        advice = None
        if isinstance(value, Instance):
            advice = "apply it first, in brackets: (x -> Layer(…)) + y; `->` binds more loosely than `+` and `*`"
        raise stop("N214", f"a tensor or a number belongs here, not {describe(value)}", span, help=advice)

    def real(self, value: Any, span: Span) -> Tensor:
        """A value as a real tensor: truth values and class indices count as 0, 1, 2, …"""
        if isinstance(value, Tensor) and value.node.type.kind == "real":
            return value
        node = self.node(value, span)
        if node.type.kind != "real":
            node = self.b.add("real", node, span=span)
        return Tensor(node, value.declared if isinstance(value, Tensor) else None)


def _narrower(error: ShapeError, operands: Sequence[Tensor], number: int) -> bool:
    """Whether it is this operand that has size 1 where the two differ."""
    axes = [axis for operand, axis in error.operands if operand == number and axis is not None]
    return all(operands[number].type.sizes[axis] == ONE for axis in axes)


def _operand_types(code: str, operands: Sequence[Tensor]) -> str | None:
    if len(operands) != 2:
        return str(operands[0].type) if operands else None
    sign = "@" if code == "D101" else "against"
    return f"{operands[0].type} {sign} {operands[1].type}"
