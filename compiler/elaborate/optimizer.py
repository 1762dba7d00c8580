"""Optimizers and regularizers of the `train:` block: text, elaborated once for each parameter.

An optimizer is written for one parameter `W` with gradient `dW` at step `t`. A regularizer is a formula of `W`; its
derivative is derived like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.autodiff import differentiate
from dlc.compiler.diagnostics import DiagnosticError
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.dims import Dim, TensorType, scalar
from dlc.compiler.elaborate.arithmetic import is_number
from dlc.compiler.elaborate.calls import bind_parameter, call_function, make_instance
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.expressions import evaluate
from dlc.compiler.elaborate.habits import for_unknown
from dlc.compiler.elaborate.library import standard_names
from dlc.compiler.elaborate.report import Findings, Poisoned, Stop, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.statements import Body, fit
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Declared, Function, Instance, Layer, Tensor, describe
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.passes.erase import plain_type
from dlc.compiler.program import CheckedModel, Initial, M, StateDeclaration
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span

RUN_TIME = ("t", "step", "epoch")
"""Scalars that change while training; all begin at 1."""
_NOWHERE = Span("std/optimizers.dl", 1, 1, 1, 1)
DEFAULT = ast.Call(function=ast.Name(id="Adam", span=_NOWHERE), arguments=(), span=_NOWHERE)
"""What trains a model that does not say."""


@dataclass(frozen=True, slots=True)
class Optimizer:
    """A resolved optimizer: its definition and the expression that gives its arguments."""

    checked: CheckedModel
    expr: ast.Expr

    def updates(self, b: Builder, gradients: Mapping[str, Node]) -> tuple[dict[str, Node], dict[str, StateDeclaration]]:
        """The roots `update.<name>` of all parameters and of the slots, and the slots' declarations."""
        findings = Findings()
        roots: dict[str, Node] = {}
        slots: dict[str, StateDeclaration] = {}
        for name, gradient in gradients.items():
            try:
                step = _Step(self, b, name, gradient, findings)
                roots |= step.roots
                slots |= step.slots
            except (Stop, Poisoned) as failure:
                if isinstance(failure, Stop):
                    findings.add(failure.diagnostic)
            if findings.failed:
                raise DiagnosticError(*findings.found)
        return roots, slots


def read_optimizer(checked: CheckedModel, expr: ast.Expr | None) -> Optimizer:
    """The optimizer that an expression such as `Adam(lr = 1e-3)` names. Raises `DiagnosticError`."""
    expr = expr or DEFAULT
    called = expr.function if isinstance(expr, ast.Call) else expr
    name = called.id if isinstance(called, ast.Name) else unparse(called)
    value = checked.scope.find(name) if isinstance(called, ast.Name) else None
    if not isinstance(value, Layer) or value.definition.kind != "optimizer":
        near = did_you_mean(name, [n for n in standard_names() if _is_optimizer(checked, n)])
        what = f"{name} is {describe(value)}, not an optimizer" if value is not None else f"unknown optimizer {name}"
        raise DiagnosticError(stop("T402", what, expr.span, help=for_unknown(name, near)).diagnostic)
    _check_rate(checked, expr, value)
    return Optimizer(checked, expr)


def _check_rate(checked: CheckedModel, expr: ast.Expr, optimizer: Layer) -> None:
    """A learning rate that is a plain number is not negative."""
    first = optimizer.definition.parameters[:1]
    for position, argument in enumerate(expr.arguments if isinstance(expr, ast.Call) else ()):
        name = argument.name or (first[0].name if first and position == 0 else None)
        if name is None or name.id != "lr":
            continue
        try:
            rate = checked.evaluate(argument.value)
        except DiagnosticError:
            continue  # a schedule, which reads the epoch
        if is_number(rate) and not isinstance(rate, Dim) and rate < 0:
            message = f"a learning rate is not negative, and this is {written(argument.value, checked.scope)}"
            rule = "W := W - lr * dW: a step against the gradient"
            raise DiagnosticError(stop("T402", message, argument.value.span, rule=rule).diagnostic)


def _is_optimizer(checked: CheckedModel, name: str) -> bool:
    value = checked.scope.find(name)
    return isinstance(value, Layer) and value.definition.kind == "optimizer"


def _run_time(e: Context, scope: Scope) -> None:
    """`t`, `step` and `epoch` as scalars, and `m` as the batch's; schedules see them too."""
    for name in RUN_TIME:
        e.ambient[name] = Tensor(e.b.typed("scalar", (), (("name", name),), scalar()))
    e.ambient["m"] = Dim.symbol(M)
    scope.names |= e.ambient


class _Step:
    """One parameter's update: the optimizer's body with W, dW and its states."""

    def __init__(self, rule: Optimizer, b: Builder, name: str, gradient: Node, findings: Findings) -> None:
        self.e = Context("training", findings, b=b)
        self.name = name
        parameter = rule.checked.parameters[name]
        self.leaf = b.typed("parameter", (), (("name", name),), plain_type(parameter.type))
        self.slots: dict[str, StateDeclaration] = {}
        self.roots: dict[str, Node] = {}
        instance = self._instance(rule)
        definition = instance.layer.definition
        self.scope = instance.layer.scope.child(path=name, indices={}, counts={}, kind="optimizer", instance=instance)
        _run_time(self.e, self.scope)
        declared = Declared("W", parameter.span)
        self.scope.names["W"] = Tensor(self.leaf, declared)
        self.scope.names["dW"] = Tensor(gradient, Declared("dW", parameter.span))
        for item in definition.parameters:
            bind_parameter(self.e, definition, item, instance.arguments, {}, self.scope, rule.expr.span, evaluate)
        self._run(definition.body or ())
        if self.scope.names["W"].node is self.leaf:
            message = f"{definition.name.id} never changes W: nothing would be learned"
            help = "write what becomes of it: `W := W - lr * dW`"
            raise stop("N213", message, rule.expr.span, help=help)
        self.roots[f"update.{name}"] = self.scope.names["W"].node

    def _instance(self, rule: Optimizer) -> Instance:
        """The optimizer with its arguments, which may use schedules: `lr = inverse_decay(0.2, rate = 1)`."""
        outer = rule.checked.scope.child(kind="train")
        _run_time(self.e, outer)
        expr = rule.expr
        if not isinstance(expr, ast.Call):
            expr = ast.Call(function=expr, arguments=(), span=expr.span)
        layer = evaluate(self.e, expr.function, outer)
        assert isinstance(layer, Layer)
        return make_instance(self.e, layer, expr, outer, evaluate)

    def _run(self, statements: Sequence[ast.Statement]) -> None:
        for statement in statements:
            match statement:
                case ast.Declaration(kind="state"):
                    for target in statement.targets:
                        self._slot(statement, target)
                case ast.StateUpdate():
                    self._assign(statement)
                case ast.If():
                    condition = evaluate(self.e, statement.condition, self.scope)
                    self._run(statement.body if condition is True else statement.otherwise)
                case ast.Equation(targets=(ast.Name(id=name) as target, *_)) if self._changes(name):
                    help = f"write {name} := …"
                    raise stop("N202", f"{name} has a value: it is changed by `:=`", target.span, help=help)
                case ast.Equation():
                    Body(self.e, evaluate, None, None).execute(statement, self.scope)
                case _:
                    raise stop("N213", "an optimizer holds states, equations and `:=`", statement.span)

    def _changes(self, name: str) -> bool:
        """Whether a name is the parameter or one of the states, which a step changes."""
        return name == "W" or f"{self.name}:{name}" in self.slots

    def _slot(self, statement: ast.Declaration, target: ast.Expr) -> None:
        """`state v ~ zeros`: a tensor of the parameter's shape."""
        name = written(target, self.scope)
        full = f"{self.name}:{name}"
        type = TensorType(self.leaf.type.axes)
        leaf = self.e.b.typed("state", (), (("name", full),), type)
        inner = Context("training", self.e.findings)
        inner.draw_shape, inner.draw_name = type, full
        old = Tensor(leaf, Declared(name, target.span))
        expr = statement.initializer or ast.Name(id="zeros", span=target.span)
        value = inner.real(evaluate(inner, expr, self.scope), expr.span)
        first = fit(inner, value, old, name, expr.span).node
        initial = Initial(Graph.of({"value": first}), unparse(expr))
        self.slots[full] = StateDeclaration(full, type, target.span, initial, self.name)
        Body(self.e, evaluate, None, None).define(target, old, self.scope)
        self.roots[f"update.{full}"] = leaf

    def _assign(self, statement: ast.StateUpdate) -> None:
        name = written(statement.target, self.scope)
        old = self.scope.names.get(name)
        if not isinstance(old, Tensor) or (name != "W" and f"{self.name}:{name}" not in self.slots):
            known = ["W", *(slot.split(":")[-1] for slot in self.slots)]
            near = did_you_mean(name, known)
            raise stop(
                "N214",
                f"`:=` changes W or a state, and {name} is none",
                statement.target.span,
                help=f"did you mean {near}?" if near else f"declare it: `state {name} ~ zeros`",
            )
        value = self.e.real(evaluate(self.e, statement.value, self.scope), statement.value.span)
        new = fit(self.e, value, old, name, statement.value.span)
        self.scope.names[name] = new
        if name != "W":
            self.roots[f"update.{self.name}:{name}"] = new.node


def regularization(
    checked: CheckedModel, b: Builder, terms: Sequence[ast.Expr], weights: Mapping[str, Node]
) -> tuple[Node | None, dict[str, Node]]:
    """The regularization of the cost, and its gradient for each weight. Raises `DiagnosticError`."""
    if not terms or not weights:
        return None, {}
    findings = Findings()
    total: Node | None = None
    for expr in terms:
        for name, leaf in weights.items():
            try:
                node = _penalty(checked, b, expr, name, leaf, findings)
            except Stop as mistake:
                findings.add(mistake.diagnostic)
                raise DiagnosticError(*findings.found) from None
            except Poisoned:
                raise DiagnosticError(*findings.found) from None
            total = node if total is None else b.add("add", total, node)
    assert total is not None
    cotangents = differentiate(b, [(total, b.constant(1.0))], list(weights.values()))
    found = {name: cotangents.get(leaf) for name, leaf in weights.items()}
    return total, {name: node for name, node in found.items() if node is not None}


def _penalty(checked: CheckedModel, b: Builder, expr: ast.Expr, name: str, leaf: Node, findings: Findings) -> Node:
    """One regularizer for one weight, as a scalar."""
    e = Context("training", findings, b=b)
    called = expr.function if isinstance(expr, ast.Call) else expr
    value = checked.scope.find(called.id) if isinstance(called, ast.Name) else None
    if not isinstance(value, Function) or value.definition.kind != "regularizer":
        text = unparse(called)
        near = did_you_mean(text, [n for n in standard_names() if n in ("l1", "l2")])
        raise stop("T402", f"{text} is not a regularizer", expr.span, help=f"did you mean {near}?" if near else None)
    outer = checked.scope.child(kind="train")
    _run_time(e, outer)
    e.ambient["W"] = Tensor(leaf, Declared("W", checked.parameters[name].span))
    call = expr if isinstance(expr, ast.Call) else ast.Call(function=expr, arguments=(), span=expr.span)
    result = call_function(e, value, call, [], outer, evaluate)
    node = e.real(result, expr.span).node
    if any(size.constant != 1 for size in node.type.sizes):
        raise stop("D115", f"a regularizer is a scalar, and this is {node.type}", expr.span)
    return b.add("drop", node, axes=tuple(range(node.type.rank))) if node.type.rank else node


__all__ = ["DEFAULT", "Optimizer", "read_optimizer", "regularization"]
