"""A model's own statements, and the checked model from its three programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.dims import Dim, Symbol, TensorType
from dlc.compiler.elaborate.arithmetic import to_dim, to_int
from dlc.compiler.elaborate.choices import prove_choices
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.domains import check_domain
from dlc.compiler.elaborate.expressions import evaluate
from dlc.compiler.elaborate.initial import declare_parameters, declare_states, require_places
from dlc.compiler.elaborate.modes import MODES, SAME
from dlc.compiler.elaborate.obligations import requirements
from dlc.compiler.elaborate.padding import hidden, padded_symbols, valid
from dlc.compiler.elaborate.proofs import prove_programs, same_in_all
from dlc.compiler.elaborate.report import Findings, Poisoned, Stop, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.shapes import annotate, is_batch, names_in, shape_axes
from dlc.compiler.elaborate.spatial import Freed, advise_sizes
from dlc.compiler.elaborate.statements import Body
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Declared, Function, Instance, Poison, Primitive, Tensor, describe
from dlc.compiler.ir import Graph, Node
from dlc.compiler.ops import ShapeError
from dlc.compiler.program import (
    CheckedModel,
    HyperDeclaration,
    InputDeclaration,
    Line,
    LoadDeclaration,
    M,
    Partial,
    covers,
)
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.parse import parse_definitions
from dlc.grammar.span import Span


def elaborate_model(
    definition: ast.Definition,
    files: Scope,
    hypers: Mapping[str, Any],
    findings: Findings,
    *,
    file: str,
    sources: Mapping[str, str],
    data: ast.Block | None = None,
    train: ast.Block | None = None,
    dense: frozenset[str] = frozenset(),
) -> CheckedModel | None:
    """Elaborates a model's three programs. None where an error was found.

    `dense` names one-hot inputs that come as real arrays (soft labels) in this program.
    """
    programs: dict[str, Context] = {}
    scopes: dict[str, Scope] = {}

    def walk(
        mode: str, found: Findings, freed: Freed | None = None, turned: Span | None = None
    ) -> tuple[Context, Scope]:
        e, scope = walk_knowing((), mode, found, freed, turned)
        frozen = tuple(place for place, _ in e.frozen)
        if any(covers(place, path) for place in frozen for path in e.divided):
            return walk_knowing(frozen, mode, found, freed, turned)
        return e, scope

    def walk_knowing(
        frozen: tuple[str, ...], mode: str, found: Findings, freed: Freed | None, turned: Span | None
    ) -> tuple[Context, Scope]:
        """One walk. A `freeze` may stand below what it freezes, so which layers are frozen is known after a first."""
        e = Context(mode, found, dense=dense, freed=freed, turned=turned, settled=frozen)
        scope = files.child(path="", kind="model", indices={}, counts={})
        scope.names["m"] = Dim.symbol(M)
        e.own_lengths = beside_examples(definition.body or ())
        Body(e, evaluate, None, None).run(_with_arguments(e, definition, scope, hypers), scope)
        return e, scope

    for mode in MODES:
        same = SAME[mode](programs["training"]) if mode in SAME else None
        if same is not None:
            programs[mode], scopes[mode] = same, scopes["training"]
            continue
        programs[mode], scopes[mode] = walk(mode, findings)
        if findings.failed:
            lines = programs["training"].lines
            known = frozenset(programs["training"].parameters)
            compile_time = _compile_time(scopes["training"])
            findings.partial.append(Partial(definition.name.id, tuple(lines), known, data, train, compile_time))
            advise_sizes(findings, lambda found, freed: walk("training", found, freed)[0])
            return None
    training, deterministic, evaluation = (programs[mode] for mode in MODES)
    _unknown_hypers(definition, hypers, training, findings)
    graphs = {mode: _graph(e, findings) for mode, e in programs.items()}
    same_in_all(programs, findings)
    prove_choices(definition, scopes["training"], lambda found, at: walk("training", found, turned=at)[1], findings)
    if findings.failed:
        return None
    parameters = declare_parameters(training, findings, evaluate)
    states = declare_states(training, findings, evaluate)
    require_places(training, findings)
    scope = scopes["evaluation"]
    checked = CheckedModel(
        name=definition.name.id,
        file=file,
        inputs=evaluation.inputs,
        parameters=parameters,
        states=states,
        hypers=training.hypers,
        outputs=tuple(evaluation.outputs),
        metrics=tuple(evaluation.metrics),
        training=graphs["training"],
        deterministic=graphs["deterministic"],
        evaluation=graphs["evaluation"],
        names=deterministic.names,
        shapes={**{k: v.type for k, v in evaluation.names.items()}, **{k: v.type for k, v in training.names.items()}},
        lines=tuple(training.lines),
        data=data,
        train=train,
        sources=sources,
        evaluate=_compile_time(scope),
        scope=scope,
        requirements=requirements(programs.values()),
        loads=tuple(training.loads),
    )
    prove_programs(checked, training, evaluation, findings)
    return None if findings.failed else checked


def _compile_time(scope: Scope) -> Callable[[ast.Expr], Any]:
    """What computes an expression of a block with the model's names. Raises `DiagnosticError`."""

    def compute(expr: ast.Expr) -> Any:
        found = Findings()
        try:
            return evaluate(Context("evaluation", found), expr, scope)
        except Stop as mistake:
            raise DiagnosticError(*found.found, mistake.diagnostic) from None
        except Poisoned:
            raise DiagnosticError(*found.found) from None

    return compute


def _with_arguments(
    e: Context, definition: ast.Definition, scope: Scope, hypers: Mapping[str, Any]
) -> tuple[ast.Statement, ...]:
    """A model's arguments are hypers: they are declared as if written first in its body."""
    e.overrides = dict(hypers)
    arguments: list[ast.Statement] = []
    for parameter in definition.parameters:
        if parameter.default is None and parameter.name.id not in hypers:
            e.findings.add(
                Diagnostic(
                    "N204",
                    f"{definition.name.id} needs {parameter.name.id}",
                    parameter.name.span,
                    help=f"give it a default, {parameter.name.id} = …, or a value with --set {parameter.name.id}=…",
                )
            )
            scope.names[parameter.name.id] = Poison()
            continue
        default = parameter.default or ast.Number(value=0, text="0", span=parameter.span)
        arguments.append(ast.Hyper(name=parameter.name, default=default, domain=parameter.domain, span=parameter.span))
    return (*arguments, *(definition.body or ()))


def execute_in_model(body: Body, statement: ast.Statement, scope: Scope) -> None:
    """The statements that only a model has."""
    e = body.e
    match statement:
        case ast.Hyper():
            _hyper(body, statement, scope)
        case ast.DimDecl():
            for name in statement.names:
                _dimension(body, name, statement.bound, scope)
        case ast.Declaration():
            for target in statement.targets:
                _input(body, statement, target, scope)
        case ast.Loss():
            e.losses.append((_loss(body, statement, scope), statement.value.span))
        case ast.Metric():
            _metric(body, statement, scope)
        case ast.Output():
            _output(body, statement, scope)
        case ast.Freeze():
            for target in statement.targets:
                e.frozen.append((_place_of(body, target, scope), target.span))
        case ast.Load():
            places = tuple((_place_of(body, target, scope), target.span) for target in statement.targets)
            e.loads.append(LoadDeclaration(places, statement.path.value, statement.span, statement.path.span))
        case _:
            raise stop("N213", "this statement does not belong into a model", statement.span)


def _dimension(body: Body, name: ast.Name, bound: ast.Expr | None, scope: Scope) -> None:
    """`dim T <= 128`: a size that comes with the data; beside `m` in an input it is each example's own."""
    upper = None
    if bound is not None:
        upper = to_int(body.evaluate(bound, scope), bound.span, "the bound of a dimension")
        if upper < 1:
            raise stop("D111", f"a size is at least 1, and {name.id} is bounded by {upper}", bound.span)
    symbol = Symbol(name.id, "runtime", upper=upper)
    if name.id in body.e.own_lengths:
        body.e.padded |= {symbol}
    body.define(name, Dim.symbol(symbol), scope)


def beside_examples(statements: Sequence[ast.Statement]) -> frozenset[str]:
    """The names that stand in the shape of an input together with `m`: a dimension among them is each example's own,
    above that input too."""
    shapes = [s.shape for s in statements if isinstance(s, ast.Declaration) and s.kind in ("input", "target")]
    items = ([getattr(item, "size", item) for item in shape.items] for shape in shapes if shape is not None)
    names = ({name for item in each for name in names_in(item)} for each in items)
    return frozenset().union(*(found for found in names if "m" in found))


def _place_of(body: Body, target: ast.Expr, scope: Scope) -> str:
    """The name of what is frozen or loaded, as checkpoints know it: an instance may have been given a second name.
    `all`, where the text gives it no other meaning, is the whole network: the empty name."""
    value = scope.find(target.id) if isinstance(target, ast.Name) else None
    if value is None and isinstance(target, ast.Name) and target.id == "all":
        return ""
    return value.path if isinstance(value, Instance) and value.path is not None else body.place(target, scope)


def _hyper(body: Body, statement: ast.Hyper, scope: Scope) -> None:
    name = statement.name.id
    default = body.evaluate(statement.default, scope)
    value = _given(body, name, default, scope) if name in body.e.overrides else default
    if not _same_kind(value, default):
        message = f"{name} is {describe(default)} in the file, and {describe(value)} is given"
        raise stop("T402", message, statement.name.span)
    if any(isinstance(number, float) and not math.isfinite(number) for number in _items(value)):
        raise stop("T402", f"{name} is {value}, and a hyper is finite", statement.name.span)
    if statement.domain is not None:
        check_domain(statement.domain, name, default, scope, body.evaluate)
    body.e.hypers[name] = HyperDeclaration(name, value, default, statement.domain, statement.span)
    body.define(statement.name, value, scope)


def _given(body: Body, name: str, default: Any, scope: Scope) -> Any:
    """A value from outside: Python's own, or the text of an expression (`--set n=[64,32,10]`)."""
    value = body.e.overrides[name]
    if isinstance(value, str) and not isinstance(default, str):
        file, problems = parse_definitions(f"{name} = {value}\n", f"--set {name}")
        item = file.items[0] if len(file.items) == 1 else None
        if problems or not isinstance(item, ast.Equation):
            raise stop("T402", f"{name} = {value} is not a value", file.span)
        return body.evaluate(item.value, scope)
    if isinstance(value, (list, tuple)):
        return [int(item) if hasattr(item, "__index__") else item for item in value]
    return int(value) if hasattr(value, "__index__") and not isinstance(value, bool) else value


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _same_kind(a: Any, b: Any) -> bool:
    """Whether one value may take the place of the other: both numbers, both functions, or both of one type."""
    kinds = ((int, float, Fraction, Dim), (Function, Primitive))
    return type(a) is type(b) or any(isinstance(a, kind) and isinstance(b, kind) for kind in kinds)


def _input(body: Body, statement: ast.Declaration, target: ast.Expr, scope: Scope) -> None:
    """`input X : (64, m)`: a leaf; a one-hot one is the one-hot columns of class indices."""
    e = body.e
    if not isinstance(target, ast.Name):
        raise stop("U901", "families of inputs are not supported yet", target.span)
    name = target.id
    if statement.shape is None:
        raise stop(
            "D112",
            f"{statement.kind} {name} needs a shape",
            target.span,
            help=f"write `{statement.kind} {name} : (n_x, m)`",
        )
    axes = shape_axes(e, statement.shape, scope, body.evaluate)
    if statement.kind == "target":  # a target's axes never broadcast
        axes = [replace(axis, one=False) for axis in axes]
    if e.freed is not None:
        axes = e.freed(axes)
    type = TensorType(tuple(axes))
    one_hot, optional, classes = _qualifiers(body, statement, scope)
    declared = Declared(
        name,
        statement.shape.span,
        statement.shape.items,
        written(statement.shape, scope),
        f"{name} : {unparse(statement.shape)}",
    )
    class_axis = None
    if one_hot:
        class_axis = type.rank - 1 if type.rank > 1 and type.axes[0].name == "m" else 0
        if type.rank == 0 or is_batch(type.axes[class_axis].size):
            raise stop(
                "D115",
                f"{name} is one_hot: its first axis counts the classes, and {type} has none",
                statement.shape.span,
            )
        classes = type.axes[class_axis].size
    given = name in e.inputs
    if given:
        raise stop("N202", f"{name} is declared twice", target.span, related=[("first here", e.inputs[name].span)])
    e.inputs[name] = InputDeclaration(
        name,
        statement.kind,
        type,
        statement.span,
        one_hot,
        classes is not None and not one_hot,
        optional,
        int(classes.constant) if classes is not None and classes.constant is not None else None,
        class_axis,
    )
    e.padded |= padded_symbols([type])
    node = _input_node(e, name, type, one_hot and name not in e.dense, class_axis, classes, statement.span)
    if optional:
        node = _without_gaps(e, node)
    e.names[name] = node
    law = written(statement.shape, scope)
    e.lines.append(Line(name, f"{statement.kind} {name} : {law}", type, statement.span, "", law))
    body.define(target, Tensor(node, declared), scope)


def _qualifiers(body: Body, statement: ast.Declaration, scope: Scope) -> tuple[bool, bool, Dim | None]:
    one_hot = optional = False
    classes: Dim | None = None
    for qualifier in statement.qualifiers:
        match qualifier:
            case ast.Name(id="one_hot"):
                one_hot = True
            case ast.Name(id="optional"):
                optional = True
            case ast.Call(function=ast.Name(id="index"), arguments=(argument,)):
                classes = to_dim(body.evaluate(argument.value, scope), argument.span)
            case _:
                text = unparse(qualifier)
                near = did_you_mean(text, ["one_hot", "optional", "index(V)"])
                raise stop(
                    "N201",
                    f"unknown kind of input {text}",
                    qualifier.span,
                    help=f"did you mean {near}?" if near else None,
                )
    return one_hot, optional, classes


def _input_node(
    e: Context, name: str, type: TensorType, one_hot: bool, class_axis: int | None, classes: Dim | None, span: Span
) -> Node:
    if one_hot:
        assert class_axis is not None
        rest = tuple(axis for i, axis in enumerate(type.axes) if i != class_axis)
        leaf = e.b.typed("input", (), (("name", name),), TensorType(rest, "index", classes), span)
        columns = replace(type, one_hot=True, classes=classes)
        return e.b.typed("one_hot", (leaf,), (("axis", class_axis), ("classes", classes)), columns, span)
    kind = replace(type, kind="index", classes=classes) if classes is not None and class_axis is None else type
    return e.b.typed("input", (), (("name", name),), kind, span)


def _without_gaps(e: Context, node: Node) -> Node:
    """An optional input counts as 0 where it is missing (NaN, or class number -1), so that no NaN reaches a loss or a
    gradient; `known` tells the two apart."""
    zero, kind = e.b.constant(0.0), node.type.kind
    if node.op == "one_hot" or kind == "index":
        number = e.b.add("real", node.inputs[0] if node.op == "one_hot" else node)
        known = e.b.add("real", e.b.add("ge", number, zero))
        if kind == "index":
            value = e.b.add("index", e.b.add("max", number, zero), classes=node.type.classes)
        else:
            known = e.b.add("expand", known, axes=(node.attr("axis"),))
            value = e.b.add("mul", node, known)
    else:
        known = e.b.add("known", node)
        value = e.b.add("select", e.b.add("gt", known, zero), node, zero)
    e.known[value] = known
    return value


def _loss(body: Body, statement: ast.Loss, scope: Scope) -> Node:
    """A loss is a scalar, or has `m` exactly once; its other axes, one renamed from `m` too, are summed (the course's
    sum over t)."""
    e = body.e
    value = e.real(body.evaluate(statement.value, scope), statement.value.span)
    examples = [i for i, axis in enumerate(value.type.axes) if is_batch(axis.size)]
    batch = [i for i in examples if value.type.axes[i].name == "m"] or examples
    if len(batch) > 1 or any(value.type.axes[i].size != Dim.symbol(M) for i in batch):
        raise stop(
            "D115",
            f"a loss is a scalar or has m once, and this is {value.type}",
            statement.value.span,
            rule="J = 1/m * sum over the examples of L",
        )
    others = tuple(i for i in range(value.type.rank) if i not in batch)
    node = value.node
    if others:
        summed = tuple(i for i in others if value.type.axes[i].size.constant != 1)
        node = e.op("sum", [value], [statement.value], statement.span, scope, axes=summed).node if summed else node
        node = e.b.add("drop", node, axes=others, span=statement.span)
    return node


def _metric(body: Body, statement: ast.Metric, scope: Scope) -> None:
    name = statement.name.id if statement.name is not None else _called(statement.value)
    if name is None:
        raise stop("N213", "this metric needs a name", statement.value.span, help="write `metric name = …`")
    if name in ("loss", "cost"):
        message = f"{name} is measured already: a metric has a name of its own"
        raise stop("N202", message, statement.name.span if statement.name is not None else statement.value.span)
    if name in body.e.metrics:
        raise stop(
            "N202",
            f"the metric {name} is defined twice",
            statement.span,
            related=[("first here", body.e.metrics[name][1])],
        )
    value = body.e.real(body.evaluate(statement.value, scope), statement.value.span)
    _known_lengths(body.e, value, statement.value, scope)
    body.e.metrics[name] = (value.node, statement.span)


def _known_lengths(e: Context, value: Tensor, expr: ast.Expr, scope: Scope) -> Tensor:
    """The value with zeros in its padding; a refusal where a padded axis stands without the examples."""
    try:
        return Tensor(hidden(e.b, value.node, valid(e.b, e.padded, value.type), 0.0), value.declared)
    except ShapeError as error:
        raise e.refused(error, [value], [expr], expr.span, scope) from None


def _called(expr: ast.Expr) -> str | None:
    return expr.function.id if isinstance(expr, ast.Call) and isinstance(expr.function, ast.Name) else None


def _output(body: Body, statement: ast.Output, scope: Scope) -> None:
    value = body.evaluate(statement.value, scope)
    name = statement.name.id if statement.name is not None else written(statement.value, scope)
    if not isinstance(statement.value, (ast.Name, ast.Index)) and statement.name is None:
        raise stop("N213", "this output needs a name", statement.value.span, help="write `output name = …`")
    tensor = value if isinstance(value, Tensor) else body.e.real(value, statement.value.span)
    if statement.shape is not None:
        tensor = annotate(body.e, tensor, statement.shape, name, scope, body.evaluate, statement.value.span)
    if statement.name is not None:  # class numbers stay what they are for the lines below
        body.define(statement.name, tensor, scope)
    tensor = body.e.real(tensor, statement.value.span)
    if tensor.type.depends_on(M):
        tensor = _known_lengths(body.e, tensor, statement.value, scope)
    if name in body.e.outputs:
        raise stop(
            "N202",
            f"the output {name} is given twice",
            statement.span,
            related=[("first here", body.e.outputs[name][1])],
        )
    body.e.outputs[name] = (tensor.node, statement.value.span)


def _graph(e: Context, findings: Findings) -> Graph:
    """The program's graph, its roots named as `CheckedModel` says."""
    roots: dict[str, Node] = {}
    for number, (node, _) in enumerate(e.losses):
        roots[f"loss.{number}"] = node
    roots |= {f"update.{name}": node for name, node in e.updates.items()}
    if e.evaluation:
        roots |= {f"output.{name}": node for name, (node, _) in e.outputs.items()}
        roots |= {f"metric.{name}": node for name, (node, _) in e.metrics.items()}
    return Graph.of(roots, e.names)


def _unknown_hypers(definition: ast.Definition, given: Mapping[str, Any], e: Context, findings: Findings) -> None:
    for name in given:
        if name not in e.hypers:
            near = did_you_mean(name, list(e.hypers))
            has = ", ".join(e.hypers) or "none"
            findings.add(
                Diagnostic(
                    "T406",
                    f"{definition.name.id} has no hyper called {name}",
                    definition.name.span,
                    help=f"did you mean {near}?" if near else f"its hypers are: {has}",
                )
            )


__all__ = ["elaborate_model", "execute_in_model"]
