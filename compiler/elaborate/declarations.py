"""Declarations inside layers and models: a layer's inputs, parameters and states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.dims import TensorType, Truth, demand
from dlc.compiler.elaborate.arithmetic import to_dim
from dlc.compiler.elaborate.context import PendingInitial
from dlc.compiler.elaborate.report import Poisoned, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.shapes import bind_pattern, is_batch, stored_axes
from dlc.compiler.elaborate.text import plain, written
from dlc.compiler.elaborate.values import Declared, Instance, Poison, Tensor
from dlc.compiler.program import Line
from dlc.grammar import ast
from dlc.grammar.format import unparse

if TYPE_CHECKING:
    from dlc.compiler.elaborate.statements import Body


def layer_input(body: Body, statement: ast.Declaration, scope: Scope) -> None:
    """An `input` of a layer takes the next argument and binds the new names of its pattern."""
    if statement.kind == "target":
        help = "write `input`: a layer takes what it is given"
        raise stop("N213", f"a `target` stands in a model, not in a {scope.kind}", statement.span, help=help)
    if scope.kind != "layer" or body.inputs is None:
        raise stop("N213", f"a {scope.kind} takes its tensors as arguments", statement.span)
    for target in statement.targets:
        name = plain(target)
        if body.e.rigid is not None and scope.instance is body.e.rigid.instance:
            make = body.e.rigid.tensor
            made = make(name, statement.shape, scope, body.evaluate, target.span, statement.qualifiers)
            body.inputs.append((made, target))
        if body.taken >= len(body.inputs):
            raise stop(
                "N204",
                f"input {name} is not given",
                body.span or statement.span,
                related=[("declared here", target.span)],
            )
        value, expr = body.inputs[body.taken]
        body.taken += 1
        if isinstance(value, Poison):
            raise Poisoned
        tensor = body.e.real(value, expr.span) if not isinstance(value, Tensor) else value
        _same_kind(body, statement, tensor, name, expr, scope)
        if statement.shape is not None:
            assert scope.instance is not None
            owner = scope.instance.layer.definition.name.id
            where = expr.span if len(body.inputs) > 1 or body.span is None else body.span
            tensor = bind_pattern(body.e, statement.shape, tensor, name, scope, body.evaluate, "D108", where, owner)
        body.define(target, tensor, scope)


def _same_kind(body: Body, statement: ast.Declaration, tensor: Tensor, name: str, expr: ast.Expr, scope: Scope) -> None:
    """A layer takes real numbers, or class numbers where its input says `index(V)`."""
    classes = None
    for qualifier in statement.qualifiers:
        match qualifier:
            case ast.Call(function=ast.Name(id="index"), arguments=(argument,)):
                classes = to_dim(body.evaluate(argument.value, scope), argument.span)
            case _:
                message = f"a layer's input is real or index(V), not {unparse(qualifier)}"
                raise stop("N214", message, qualifier.span)
    if classes is None and tensor.type.kind == "real":
        return
    shown = written(expr, scope)
    if classes is None:
        message = f"{shown} holds class indices, and {name} takes real numbers"
        raise stop("N214", message, expr.span, help="write `one_hot(…)`")
    if classes is not None and tensor.type.kind != "index":
        message = f"{scope.layer} takes class numbers, {name} : index({classes}), and {shown} : {tensor.type} is real"
        raise stop("N214", message, expr.span, help=f"declare the data with `index({classes})`")
    if classes is not None and tensor.type.classes != classes:
        message = f"{shown} has {tensor.type.classes} classes, and {name} takes {classes}"
        raise stop("D108", message, expr.span, related=[(f"{name} : index({classes})", statement.span)])


def _not_in_function(instance: Instance | None) -> None:
    """A layer with parameters is made in a model or in a layer: a function may be called often."""
    while instance is not None:
        if instance.in_function:
            raise stop(
                "N213",
                f"a function has no parameters of its own, and {instance.layer.definition.name.id} has some",
                instance.span,
                help="write `layer` in place of `function`, and make an instance of it: Name(…)(x)",
            )
        instance = instance.within


def parameter(body: Body, statement: ast.Declaration, target: ast.Expr, scope: Scope) -> None:
    """A `param` or `state`: a leaf of the graph, named by where it stands."""
    name = body.place(target, scope)
    full = scope.qualified(name)
    _not_in_function(scope.instance)
    shape = statement.shape
    if shape is None:
        what = f"{statement.kind} {unparse(target)}"
        help = f"write `{what} : (n, 1)`; a single number's shape is ()"
        raise stop("D112", f"{what} needs a shape", target.span, help=help)
    axes, ones = stored_axes(body.e, shape, scope, body.evaluate)
    type = TensorType(tuple(axes))
    for axis in axes:
        if axis.size.constant is not None:
            continue
        if is_batch(axis.size) and axis.name == "m":
            raise stop(
                "D117",
                f"{statement.kind} {name} cannot have one value for each example",
                target.span,
                help="leave m out of its shape",
            )
        if any(symbol.kind != "rigid" for symbol in axis.size.symbols):
            rule = "a parameter is as large for one example as for a thousand"
            message = f"the size {axis.size} of {name} is known only when data arrives"
            raise stop("D112", message, target.span, rule=rule)
    law = written(shape, scope)
    declared = Declared(name, shape.span, shape.items, law, f"{plain(target)} : {plain(shape)}")
    table = body.e.parameters if statement.kind == "param" else body.e.states
    kind = "parameter" if statement.kind == "param" else "state"
    node = body.e.b.typed(kind, (), (("name", full),), type, target.span)
    tensor = Tensor(body.e.b.add("expand", node, axes=ones) if ones else node, declared)
    instance = scope.instance
    shared = instance.applied_again if instance is not None else None
    if full in table and shared is None:
        raise stop("N202", f"{full} is declared twice", target.span, related=[("first here", table[full].place)])
    if full in table:
        _same_again(body, table[full], type, shared, full)
    else:
        place = body.e.findings.place(target.span)
        table[full] = PendingInitial(full, node, statement.initializer, scope, declared, place, statement.frozen, ones)
        body.e.lines.append(Line(full, f"{full} : {law}", type, target.span, scope.layer, law))
    if instance is not None:
        instance.parameters[name] = tensor
    body.define(target, tensor, scope)


def _same_again(body: Body, before: PendingInitial, type: TensorType, instance: Instance | None, full: str) -> None:
    """A shared instance is applied to an input of another size."""
    same = before.node.type.rank == type.rank and all(
        demand(a, b, body.e.b.facts) is Truth.YES for a, b in zip(before.node.type.sizes, type.sizes, strict=True)
    )
    if not same:
        assert instance is not None
        raise stop(
            "D108",
            f"{instance.path} is shared, and its uses need different parameters: "
            f"{full} : {before.node.type} at first, {type} here",
            instance.uses[-1],
            related=[("first applied here", instance.uses[0])],
            help="make a second instance",
        )
