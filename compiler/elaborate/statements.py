"""Executes statements: names get their values, declarations their parameters, losses and outputs their nodes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from dlc.compiler.dims import Condition, DimTooLarge, TensorType, Truth, demand
from dlc.compiler.elaborate.advice import for_remainder
from dlc.compiler.elaborate.arithmetic import COMPARISONS, to_int, undecided
from dlc.compiler.elaborate.blocks import defined, defined_twice, inner_names
from dlc.compiler.elaborate.branches import both_branches
from dlc.compiler.elaborate.calls import Eval, place_instance
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.declarations import layer_input, parameter
from dlc.compiler.elaborate.habits import defined_below, drawn_parameter
from dlc.compiler.elaborate.places import place_name
from dlc.compiler.elaborate.primitives import index_range
from dlc.compiler.elaborate.recurrences import for_size, meant_scan, unknown_size
from dlc.compiler.elaborate.report import Poisoned, Stop, stop, too_large
from dlc.compiler.elaborate.scan import scan, scanned_names, stands_in_step
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.shapes import annotate, shape_axes
from dlc.compiler.elaborate.steps import define_step, poison_step
from dlc.compiler.elaborate.text import fill, written
from dlc.compiler.elaborate.values import Declared, Family, Instance, Poison, Tensor, Tuple, describe
from dlc.compiler.program import Line
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.lines import DEFINITION_WORDS
from dlc.grammar.span import Span

MOST_ROUNDS = 20_000
"""A `for` is unrolled; more rounds than this are no network."""


class Body:
    """The statements of one definition, executed in order. `outputs` collects what it returns."""

    def __init__(
        self, e: Context, evaluate: Eval, inputs: Sequence[tuple[Any, ast.Expr]] | None, span: Span | None
    ) -> None:
        self.e, self.eval, self.span = e, evaluate, span
        self.inputs = list(inputs) if inputs is not None else None
        self.taken = 0
        self.outputs: list[Any] = []
        self.levels: list[
            tuple[Sequence[ast.Statement], int]
        ] = []  # the blocks around, each with its statement's number
        self.broken = False  # a line that could not be read may have been an input or an output

    def evaluate(self, expr: ast.Expr, scope: Scope) -> Any:
        return self.eval(self.e, expr, scope)

    def run(self, statements: Sequence[ast.Statement], scope: Scope) -> None:
        """Executes statements; a failed one poisons the names that it would have defined, and the next goes on."""
        outer = self.e.at
        for number, statement in enumerate(statements):
            self.e.at = statement.span
            self.levels.append((statements, number))
            try:
                self.execute(statement, scope)
                if self.e.rigid is not None:
                    self.e.rigid.done.add(statement.span)
            except (Stop, Poisoned, DimTooLarge, RecursionError) as failure:
                if scope.kind == "layer" and _everything_rests_on(statement, failure):
                    raise
                if isinstance(failure, DimTooLarge):
                    failure = too_large(failure, statement.span)
                if isinstance(failure, RecursionError):
                    failure = stop("D118", "this is nested too deep", statement.span)
                if isinstance(failure, Stop):
                    failure = defined_below(failure, self.levels, scope)
                    if scope.kind == "model" and (size := unknown_size(failure, statement)) is not None:
                        failure = for_size(failure, size, scope)
                        scope.names[size] = Poison()
                    self.e.report(failure)
                for frame in self.e.scans:
                    frame.failed = True
                self.poison(statement, scope)
            finally:
                self.levels.pop()
                self.e.at = outer

    def execute(self, statement: ast.Statement, scope: Scope) -> None:
        if self.e.scans:
            stands_in_step(statement, scope)
        match statement:
            case ast.Declaration():
                self.declaration(statement, scope)
            case ast.Equation():
                self.equation(statement, scope)
            case ast.Draw():
                self.draw(statement, scope)
            case ast.StateUpdate():
                self.update(statement, scope)
            case ast.Output():
                self.output(statement, scope)
            case ast.For():
                self.loop(statement, scope)
            case ast.If():
                self.branch(statement, scope)
            case ast.When(training=training, otherwise=otherwise):
                sides = (training, otherwise) if self.e.follows_training else (otherwise, training)
                if self.e.follows_training:
                    self.e.divided.add(self.e.path)
                self.choose(*sides, scope)
            case ast.Require():
                self.require(statement, scope)
            case ast.Scan():
                scan(self, statement, scope)
            case ast.Broken():
                raise Poisoned
            case ast.ExpressionStatement():
                self.evaluate(statement.value, scope)
                raise stop("N213", "this value is lost: give it a name", statement.span)
            case _:
                self.model_statement(statement, scope)

    def model_statement(self, statement: ast.Statement, scope: Scope) -> None:
        from dlc.compiler.elaborate.model import execute_in_model

        if scope.kind != "model":
            kind = type(statement).__name__.lower().replace("dimdecl", "dim")
            raise stop("N213", f"`{kind}` stands in a model, not in a {scope.kind}", statement.span)
        execute_in_model(self, statement, scope)

    # --- names -------------------------------------------------------------------------------------------------

    def define(self, target: ast.Expr, value: Any, scope: Scope) -> None:
        """Gives a name (or a family's member) its value; a name is defined once."""
        match target:
            case ast.Name(id=name):
                home = next((level for level in scope.levels() if name in level.names), None)
                if home is not None:
                    if isinstance(home.names[name], Poison):
                        return
                    raise defined_twice(name, target.span, home)
                scope.names[name] = value
                scope.places[name] = target.span
            case ast.Index(base=ast.Name(id=name)):
                family = self.family(target, scope)
                indices = self.indices(target, scope)
                if indices in family.members and not isinstance(family.members[indices], Poison):
                    place = family.places.get(indices, family.span)
                    message = f"{written(target, scope)} is defined twice"
                    raise stop("N202", message, target.span, related=[("first here", place)])
                family.members[indices] = value
                family.places[indices] = target.span
            case ast.TimeIndex():
                define_step(self, target, value, scope)
            case _:
                raise stop("N214", "a name belongs on the left side", target.span)
        self.record(target, value, scope)

    def family(self, target: ast.Index, scope: Scope) -> Family:
        """The family that a target belongs to; it lives in the definition's own scope, beyond `for` rounds."""
        assert isinstance(target.base, ast.Name)
        name = target.base.id
        home = scope
        while home.parent is not None and home.kind == home.parent.kind and home.instance is home.parent.instance:
            if name in home.names or home.scan is not None:
                break
            home = home.parent
        value = home.names.get(name)
        if isinstance(value, Poison):
            raise Poisoned
        if value is None:
            value = home.names[name] = Family(name, target.base.span)
            home.places[name] = target.base.span
        if not isinstance(value, Family):
            raise stop("N202", f"{name} is {describe(value)} already, not a family", target.span)
        return value

    def indices(self, target: ast.Index, scope: Scope) -> tuple[int, ...]:
        return tuple(to_int(self.evaluate(i, scope), i.span, "an index") for i in target.indices)

    def place(self, target: ast.Expr, scope: Scope) -> str:
        """What a target is called by where it stands."""
        return place_name(target, scope, self.evaluate)

    def record(self, target: ast.Expr, value: Any, scope: Scope) -> None:
        """Remembers named tensors for messages, `show` and `derive`, and names instances."""
        name = self.place(target, scope)
        if isinstance(value, Instance):
            called = scope.in_round(name) if isinstance(target, ast.Name) else name
            place_instance(value, called, scope, named=True)
        if isinstance(value, Tensor) and scope.kind in ("model", "layer"):
            names = self.e.scans[-1].names if self.e.scans else self.e.names
            names.setdefault(scope.qualified(name), value.node)

    def poison(self, statement: ast.Statement, scope: Scope) -> None:
        targets: tuple[ast.Expr, ...] = ()
        match statement:
            case ast.Declaration(targets=targets) | ast.Equation(targets=targets) | ast.Draw(targets=targets):
                pass
            case ast.Output():
                self.outputs.append(Poison())
                if statement.name is not None:
                    scope.names.setdefault(statement.name.id, Poison())
            case ast.Broken():
                self.poison_broken(statement, scope)
            case ast.Hyper():
                targets = (statement.name,)
            case ast.DimDecl(names=targets):
                pass
            case ast.If() | ast.When() | ast.For():
                for name in inner_names(statement):
                    family = scope.find(name)
                    if isinstance(family, Family):
                        family.broken = True
                    else:
                        scope.names.setdefault(name, Poison())
            case ast.Scan():
                for name in scanned_names(statement):
                    scope.names.setdefault(name, Poison())
        for target in targets:
            with suppress(Stop, Poisoned):  # an index that cannot be computed was reported with the statement
                match target:
                    case ast.Name(id=name):
                        scope.names[name] = Poison()
                    case ast.Index(base=ast.Name()):
                        self.family(target, scope).members.setdefault(self.indices(target, scope), Poison())
                    case ast.TimeIndex():
                        poison_step(self, target, scope)

    def poison_broken(self, statement: ast.Broken, scope: Scope) -> None:
        """What a statement that could not be read would have defined, for the whole definition."""
        *_, home = scope.levels()
        for name in statement.names:
            known = home.find(name.id)
            if isinstance(known, Family):
                known.broken = True
            elif statement.word in DEFINITION_WORDS or known is None:
                home.names[name.id] = Poison()
        self.broken |= statement.word in ("", "output")

    # --- declarations ------------------------------------------------------------------------------------------

    def declaration(self, statement: ast.Declaration, scope: Scope) -> None:
        if statement.kind in ("input", "target"):
            if scope.kind == "model":
                self.model_statement(statement, scope)
            else:
                layer_input(self, statement, scope)
            return
        if scope.kind not in ("model", "layer"):
            raise stop("N213", f"a {scope.kind} has no `{statement.kind}` of its own", statement.span)
        for target in statement.targets:
            parameter(self, statement, target, scope)

    # --- equations ---------------------------------------------------------------------------------------------

    def equation(self, statement: ast.Equation, scope: Scope) -> None:
        first = len(self.e.b.made)
        value = (
            self.all_of(statement.value, scope) if len(statement.targets) > 1 else self.evaluate(statement.value, scope)
        )
        if isinstance(value, Poison):
            raise Poisoned
        if len(statement.targets) > 1:
            self.several(statement, value, scope)
            return
        (target,) = statement.targets
        name = self.place(target, scope)
        if statement.shape is not None:
            value = annotate(self.e, value, statement.shape, name, scope, self.evaluate, statement.value.span)
        elif isinstance(value, Tensor) and value.declared is None:
            value = Tensor(value.node, Declared(name, target.span))
        if isinstance(value, Tensor) and scope.kind in ("model", "layer") and self.e.training:
            law = written(statement.shape, scope) if statement.shape is not None else ""
            text = self.equation_text(statement, scope)
            self.e.lines.append(
                Line(
                    scope.qualified(name),
                    text,
                    value.type,
                    statement.span,
                    scope.layer,
                    law,
                    self.e.made_since(first),
                )
            )
        self.define(target, value, scope)

    def equation_text(self, statement: ast.Equation, scope: Scope) -> str:
        """The equation as this round reads it: loop indices filled in, the branch taken in place of the choice."""
        value = statement.value
        while isinstance(value, ast.Conditional):
            condition = self.evaluate(value.condition, scope)
            if not isinstance(condition, bool):
                break
            value = value.then if condition else value.otherwise
        target = written(statement.targets[0], scope)
        shape = f" : {written(statement.shape, scope)}" if statement.shape is not None else ""
        return f"{target}{shape} = {unparse(fill(value, scope.indices))}"

    def all_of(self, expr: ast.Expr, scope: Scope) -> Any:
        """All outputs of a layer, whose own text may take all of another's."""
        around, self.e.several = self.e.several, expr
        try:
            return self.evaluate(expr, scope)
        finally:
            self.e.several = around

    def several(self, statement: ast.Equation, value: Any, scope: Scope) -> None:
        """Each name gets its value. Of a layer's outputs the last may be left out."""
        items = value.items if isinstance(value, Tuple) else value if isinstance(value, list) else (value,)
        names, count = len(statement.targets), len(items)
        if count < names or (count > names and not (isinstance(value, Tuple) and value.outputs)):
            message = f"{names} names take {count} value{'s' * (count != 1)}"
            raise stop("N214", message, statement.span, help="give every value a name" if count > names else None)
        for target, item in zip(statement.targets, items, strict=False):
            if isinstance(item, Poison):
                raise Poisoned
            self.define(target, item, scope)

    def draw(self, statement: ast.Draw, scope: Scope) -> None:
        """`D : (n, m) ~ bernoulli(0.8)`: drawn anew at each step; the mean in deterministic training."""
        if statement.shape is None:
            raise stop("D112", "a draw needs a shape", statement.span, help="write `D : (n, m) ~ …`")
        for target in statement.targets:
            axes = tuple(shape_axes(self.e, statement.shape, scope, self.evaluate))
            name = self.place(target, scope)
            saved = (self.e.draw_shape, self.e.draw_name, self.e.draws)
            self.e.draw_shape, self.e.draw_name, self.e.draws = TensorType(axes), self.draw_name(name, scope), 0
            try:
                value = self.evaluate(statement.distribution, scope)
            except Stop as failure:
                raise drawn_parameter(failure, statement, scope) from None
            finally:
                self.e.draw_shape, self.e.draw_name, self.e.draws = saved
            tensor = annotate(self.e, value, statement.shape, name, scope, self.evaluate, statement.distribution.span)
            self.define(target, tensor, scope)

    def draw_name(self, name: str, scope: Scope) -> str:
        """Equal names are the same draw: a layer that is applied again, or a function, draws anew."""
        full = scope.qualified(name)
        count = self.e.drawn[full] = self.e.drawn.get(full, 0) + 1
        return full if count == 1 else f"{full}@{count}"

    def update(self, statement: ast.StateUpdate, scope: Scope) -> None:
        """`mu := …`, only while training; it counts for the lines below it."""
        if self.e.scans:
            raise stop(
                "N216",
                "a state changes once in a training step, and this is a step of a scan",
                statement.span,
                help="apply the layer to the whole sequence; or collect a<t> = …, and change the state after the scan",
            )
        if isinstance(statement.target, ast.Name) and scope.find(statement.target.id) is None:
            name = statement.target.id
            help = f"an equation is {name} = …; a state is declared: state {name} : (n, 1) ~ zeros"
            raise stop("N201", f"`:=` changes a `state`, and no {name} is declared", statement.target.span, help=help)
        old = self.evaluate(statement.target, scope)
        name = scope.qualified(self.place(statement.target, scope))
        if not isinstance(old, Tensor) or name not in self.e.states:
            raise stop(
                "N214", f"`:=` changes a `state`, and {written(statement.target, scope)} is none", statement.target.span
            )
        if self.e.evaluation:
            raise stop(
                "N213", "a state changes only while training", statement.span, help="write it under `when training:`"
            )
        value = self.e.real(self.evaluate(statement.value, scope), statement.value.span)
        new = fit(self.e, value, old, name, statement.value.span)
        if self.e.training:
            ones = self.e.states[name].ones
            self.e.updates[name] = self.e.b.add("drop", new.node, axes=ones) if ones else new.node
            self.e.changed |= {new.node, self.e.updates[name]}
            self.rebind(statement.target, new, scope)

    def rebind(self, target: ast.Expr, value: Tensor, scope: Scope) -> None:
        """Gives a state's name its new value for the lines below."""
        if isinstance(target, ast.Index):
            self.family(target, scope).members[self.indices(target, scope)] = value
        elif isinstance(target, ast.Name):
            home = next(level for level in scope.chain() if target.id in level.names)
            home.names[target.id] = value

    def output(self, statement: ast.Output, scope: Scope) -> None:
        if scope.kind == "model":
            self.model_statement(statement, scope)
            return
        value = self.evaluate(statement.value, scope)
        if isinstance(value, Poison):
            raise Poisoned
        if statement.shape is not None:
            name = statement.name.id if statement.name is not None else unparse(statement.value)
            value = annotate(self.e, value, statement.shape, name, scope, self.evaluate, statement.value.span)
        if statement.name is not None:
            self.define(statement.name, value, scope)
        self.outputs.append(value)

    # --- control -----------------------------------------------------------------------------------------------

    def loop(self, statement: ast.For, scope: Scope) -> None:
        """`for` is unrolled; a name without index is local to its round."""
        try:
            iterable = self.evaluate(statement.iterable, scope)
        except Stop as failure:
            raise meant_scan(failure, statement) from None
        items = index_range(iterable, statement.iterable.span)
        rounds = (items.stop - items.start) * items.step if isinstance(items, range) else len(items)
        self.e.rounds += max(0, rounds)
        if self.e.rounds > MOST_ROUNDS:
            many = f"{rounds:,} rounds are too many to unroll; all loops together may have {MOST_ROUNDS:,}"
            raise stop("D118", many, statement.iterable.span)
        for item in items:
            inner = scope.child()
            pair = list(item.items) if isinstance(item, Tuple) else item
            values = pair if len(statement.targets) > 1 else [item]
            if not isinstance(values, list) or len(values) != len(statement.targets):
                names, each = len(statement.targets), len(values) if isinstance(values, list) else 1
                message = f"each round gives {each} value{'s' * (each != 1)} to {names} names"
                help = "write the list in pairs: `for l, n in [(1, 64), (2, 32)]:`"
                raise stop("N214", message, statement.iterable.span, help=help)
            for target, value in zip(statement.targets, values, strict=True):
                self.define(target, value, inner)
                if isinstance(value, int):
                    inner.indices[target.id] = value
            self.run(statement.body, inner)

    def branch(self, statement: ast.If, scope: Scope) -> None:
        """`if` is chosen at compile time; names of the branch taken are the definition's own."""
        condition = self.evaluate(statement.condition, scope)
        if isinstance(condition, Tensor):
            raise stop(
                "N208",
                "an `if` is decided before anything runs, and this condition is a tensor",
                statement.condition.span,
                help="choose elementwise: `x if c else y`",
            )
        if isinstance(condition, Condition):
            if self.e.rigid is None:
                raise undecided(condition, statement.condition.span)
            both_branches(self, statement, condition, scope)
            return
        if not isinstance(condition, bool):
            raise stop("N214", f"a condition is true or false, not {describe(condition)}", statement.condition.span)
        if statement.span == self.e.turned:
            condition = not condition
        taken, other = (statement.body, statement.otherwise)[:: 1 if condition else -1]
        self.choose(taken, other, scope)

    def choose(self, taken: Sequence[ast.Statement], other: Sequence[ast.Statement], scope: Scope) -> None:
        """Executes one of two branches. A name that both define goes on below them; a name of one only is local."""
        inner = scope.child()
        self.run(taken, inner)
        both = defined(other)
        for name, value in inner.names.items():
            if name in both:
                scope.names[name] = value
                if name in inner.places:
                    scope.places[name] = inner.places[name]
            elif name in inner.places:
                scope.locals[name] = inner.places[name]
        for name in both.keys() - inner.names.keys():
            scope.locals.setdefault(name, both[name])

    def require(self, statement: ast.Require, scope: Scope) -> None:
        condition = self.evaluate(statement.condition, scope)
        if condition is True:
            return
        if isinstance(condition, Tensor):
            message = "a requirement is decided before anything runs, and this condition is a tensor"
            raise stop("N208", message, statement.condition.span)
        if isinstance(condition, Condition):
            self.require_later(statement, condition)
            return
        if condition is not False:
            raise stop("N214", f"`require` needs a condition, not {describe(condition)}", statement.condition.span)
        help = for_remainder(statement.condition, lambda side: self.evaluate(side, scope))
        raise _unmet(statement, self.filled_in(statement.condition, scope), help)

    def filled_in(self, condition: ast.Expr, scope: Scope) -> str:
        """A condition with its numbers: `n % heads == 0, and here 2 == 0`."""
        text = written(condition, scope)
        if not isinstance(condition, ast.Binary) or condition.op not in COMPARISONS:
            return text
        sides = [self.evaluate(side, scope) for side in (condition.left, condition.right)]
        here = f" {condition.op} ".join(map(str, sides))
        return text if here == text else f"{text}, and here {here}"

    def require_later(self, statement: ast.Require, condition: Condition) -> None:
        """A requirement on sizes that are not known yet: the obligation of a use, or of the data, and a fact below."""
        facts = condition.assumed(self.e.b.facts)
        if facts.contradictory:
            raise _unmet(statement, f"{condition}, and what is required above excludes it")
        text = statement.message.value if statement.message is not None else None
        if not self.e.ledger.promise(condition, statement.condition.span, text):
            raise undecided(condition, statement.condition.span)
        self.e.b.facts = facts


def _unmet(statement: ast.Require, rule: str, help: str | None = None) -> Stop:
    text = f": {statement.message.value}" if statement.message is not None else ""
    return stop("D113", f"a requirement fails{text}", statement.condition.span, rule=rule, help=help)


def _everything_rests_on(statement: ast.Statement, failure: Exception) -> bool:
    """Without its input, or what it requires, every further line of a layer would fail too; so it would with a size
    that no parameter can have."""
    match statement:
        case ast.Require() | ast.Declaration(kind="input") | ast.Broken(word="input" | "require"):
            return True
        case ast.Declaration(kind="param"):
            return isinstance(failure, Stop) and failure.diagnostic.code == "D112"
    return False


def fit(e: Context, value: Tensor, old: Tensor, name: str, span: Span) -> Tensor:
    """A value for a tensor that exists: the same shape, or a scalar that fills it."""
    axes = old.type.axes
    if value.type.rank == 0 and axes:
        return Tensor(e.b.add("broadcast", value.node, span=span, axes=axes), old.declared)
    same = value.type.rank == len(axes) and all(
        demand(a, b.size, e.b.facts) is Truth.YES for a, b in zip(value.type.sizes, axes, strict=True)
    )
    if not same:
        raise stop(
            "D106",
            f"{name} is {old.type}, and its new value is {value.type}",
            span,
            related=[("declared here", old.declared.span)] if old.declared is not None else [],
        )
    node = (
        value.node
        if value.type.axes == axes
        else e.b.typed("rename", (value.node,), (), value.type.with_axes(axes), span)
    )
    return Tensor(node, old.declared)


def run_body(
    e: Context,
    statements: Sequence[ast.Statement],
    scope: Scope,
    evaluate: Eval,
    *,
    inputs: Sequence[tuple[Any, ast.Expr]] | None = None,
    span: Span | None = None,
) -> list[Any]:
    """Executes a layer's or function's body and returns its outputs. Raises `Poisoned` where one of them failed."""
    body = Body(e, evaluate, inputs, span)
    body.run(statements, scope)
    if body.broken:
        raise Poisoned
    if body.inputs is not None and body.taken < len(body.inputs):
        extra = body.inputs[body.taken][1]
        raise stop(
            "N205",
            f"the layer takes {body.taken} input{'s' * (body.taken != 1)}, and {len(body.inputs)} are given",
            extra.span,
        )
    if any(isinstance(output, Poison) for output in body.outputs):
        raise Poisoned
    return body.outputs


__all__ = ["Body", "fit", "run_body"]
