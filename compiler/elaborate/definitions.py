"""The proof at the definition: a layer or function is elaborated once for all sizes, before any use.

The new names of its input patterns and the arguments that stand in sizes are rigid unknowns; what else an argument is
(a list, a layer, a word) is not known here, and a statement that reads it is decided at each use. A demand on the
unknowns that is open is an obligation of the uses (`obligations.py`); one that is refuted is a mistake for every size.

`...` is tried with one further axis, with none, with two, and with m at either end where the definition does not name
it: only what fails in all of them is a mistake. And because no true definition may be refused, a mistake is told only
where the statement fails for concrete sizes too, for every set of them that is tried: those that keep the obligations
first. What the rigid proof is too strict for (a window that must be a number) is thereby left to the uses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.dims import ZERO, Axis, Dim, DimTooLarge, Facts, Relation, Symbol, TensorType, Truth, decide, example
from dlc.compiler.elaborate.arithmetic import is_number, simplest, to_dim
from dlc.compiler.elaborate.calls import read_default
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.library import Source
from dlc.compiler.elaborate.names import parts
from dlc.compiler.elaborate.obligations import Ledger
from dlc.compiler.elaborate.report import Findings, Poisoned, Stop, too_large
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.shapes import Evaluate, bind_pattern, names_in
from dlc.compiler.elaborate.statements import Body
from dlc.compiler.elaborate.values import Function, Instance, Layer, Poison, Tensor
from dlc.compiler.program import M
from dlc.grammar import ast
from dlc.grammar.span import Span

Eval = Callable[[Context, ast.Expr, Scope], Any]
Size = Dim | int | Fraction
Sizes = Callable[[str, int], Size]
"""The size of a new name, from the name and how many there are before it."""

_TRIED: tuple[tuple[int | Fraction, ...], ...] = (
    (4,),
    (1,),
    (2,),
    (64, 16, 4, 32, 8),
    (12,),
    (3, 2, 1),
    (1, 2, 3),
    (7, 5, 3, 2, 11),
    (Fraction(1, 2), 8),
)
"""Sizes that are tried before a mistake is told, given to the unknowns in turn."""


_MOST_STEPS = 100_000
"""Expressions evaluated in trying; a mistake in a very large definition is told after fewer sizes."""


@dataclass(slots=True)
class Rigid:
    """Makes the inputs of the definition that `instance` is of.

    `sizes` gives a new name its size: an unknown, or a number where a mistake is tried; `given` keeps them. `rest` is
    what `...` stands for, `classes` makes the inputs class indices; `done` are the statements executed in full, `sure`
    the mistakes that no tried size can confirm, as it takes one branch only.
    """

    sizes: Sizes
    rest: tuple[str, ...]
    classes: bool = False
    given: dict[str, Size] = field(default_factory=dict)
    instance: Instance | None = None
    e: Context = field(init=False, repr=False)
    done: set[Span] = field(default_factory=set)
    sure: set[Span] = field(default_factory=set)

    def size(self, name: str) -> Any:
        """The size that a new name stands for."""
        if name not in self.given:
            self.given[name] = self.sizes(name, len(self.given))
        return simplest(Dim.of(self.given[name]))

    def tensor(
        self,
        name: str,
        shape: ast.Shape | None,
        scope: Scope,
        evaluate: Evaluate,
        span: Span,
        qualifiers: Sequence[ast.Expr] = (),
    ) -> Any:
        """A tensor of the pattern's own shape; Poison where the pattern says nothing, or reads what is not known."""
        if shape is None:
            return Poison()
        try:
            axes = tuple(self._axes(shape, scope, evaluate))
            classes = self._classes(qualifiers, scope, evaluate)
        except Poisoned:
            return Poison()
        e = self.e
        kind = TensorType(axes) if classes is None else TensorType(axes, "index", classes)
        return Tensor(e.b.typed("input", (), (("name", name),), kind, span))

    def _classes(self, qualifiers: Sequence[ast.Expr], scope: Scope, evaluate: Evaluate) -> Dim | None:
        for qualifier in qualifiers:
            if isinstance(qualifier, ast.Call) and len(qualifier.arguments) == 1:
                argument = qualifier.arguments[0].value
                return to_dim(evaluate(argument, scope), argument.span)
        return Dim.of(5) if self.classes else None

    def _axes(self, shape: ast.Shape, scope: Scope, evaluate: Evaluate) -> Iterator[Axis]:
        names = scope.child()
        for item in shape.items:
            if isinstance(item, ast.Rest):
                yield from scope.rest if scope.rest is not None else self._further()
            else:
                yield self._axis(item, names, evaluate)

    def _further(self) -> Iterator[Axis]:
        for name in self.rest:
            yield Axis(Dim.symbol(M) if name == "m" else Dim.of(self.size(name)), name)

    def _axis(self, item: ast.Expr, names: Scope, evaluate: Evaluate) -> Axis:
        if isinstance(item, ast.NamedAxis):
            if item.name.id == "m" and names.find("m") is None:
                names.names["m"] = Dim.symbol(M)
            return Axis(self._axis(item.size, names, evaluate).size, item.name.id, one=_one(item.size))
        if isinstance(item, ast.Name):
            if item.id not in _known(names):
                names.names[item.id] = Dim.symbol(M) if item.id == "m" else self.size(item.id)
            return Axis(to_dim(evaluate(item, names), item.span), item.id)
        for name in sorted(names_in(item)):
            if names.find(name) is None:
                names.names[name] = self.size(name)
        return Axis(to_dim(evaluate(item, names), item.span), one=_one(item))


def _one(item: ast.Expr) -> bool:
    return isinstance(item, ast.Number) and item.value == 1


def _known(scope: Scope) -> set[str]:
    return {name for level in scope.chain() if level.kind != "file" for name in level.names}


# --- which definitions, and what their arguments are ------------------------------------------------------------


def prove_definitions(source: Source, scope: Scope, findings: Findings, evaluate: Eval) -> None:
    """Proves the layers and functions of a file; what is wrong for every size is told at its line."""
    for name, first in source.definitions.items():
        if isinstance(scope.find(name), Poison):
            continue  # another definition of this name could not be read
        for definition in (first, *source.others.get(name, ())):
            if definition.kind in ("layer", "function") and any(True for _ in _shapes(definition)):
                Proof(replace(scope.find(name), definition=definition), findings, evaluate).run()


def _shapes(definition: ast.Definition) -> Iterator[ast.Shape]:
    """The shapes written in a definition: patterns and declarations."""
    for tree in _all(definition):
        match tree:
            case ast.Parameter(shape=ast.Shape() as shape):
                yield shape
            case ast.Declaration(shape=ast.Shape() as shape):
                yield shape
            case ast.Equation(shape=ast.Shape() as shape) | ast.Draw(shape=ast.Shape() as shape):
                yield shape
            case ast.Output(shape=ast.Shape() as shape):
                yield shape


def _all(tree: Any) -> Iterator[Any]:
    yield tree
    for part in parts(tree):
        yield from _all(part)


def sizes_of(definition: ast.Definition, scope: Scope, inside: tuple[Span, ...] = ()) -> set[str]:
    """The names that stand in sizes: in shapes, in whole-number arithmetic, as steps, and what these are made of or
    compared with, and what is given to such an argument of another definition."""
    found: set[str] = set()
    inside = (*inside, definition.span)
    for tree in _all(definition):
        match tree:
            case ast.Shape() | ast.Binary(op="//" | "%" | ".."):
                found |= {name for part in parts(tree) for name in names_in(part)}
            case ast.Declaration(kind="input", qualifiers=qualifiers):
                found |= {name for qualifier in qualifiers for name in names_in(qualifier)}
            case ast.Spread(value=value):
                found.add(value.id)
            case ast.NamedAxis(size=size):
                found |= names_in(size)
            case ast.Argument(name=ast.Name(id="stride" | "window" | "groups"), value=value):
                found |= names_in(value)
            case ast.Call(function=ast.Name(id=name)):
                callee = scope.find(name)
                if isinstance(callee, Layer | Function) and callee.definition.span not in inside:
                    found.update(_given_to(callee, tree, inside))
    before = -1
    while len(found) != before:
        before = len(found)
        for tree in _all(definition):
            match tree:
                case ast.Equation(targets=(ast.Name(id=name),), value=value) if name in found:
                    found |= names_in(value)
                case ast.Binary(op="==" | "!=" | "<" | "<=" | ">" | ">=") if names_in(tree) & found:
                    found |= names_in(tree)
                case ast.Parameter(name=argument, default=default) if argument.id in found and default is not None:
                    found |= names_in(default)
    return found


def _given_to(callee: Layer | Function, call: ast.Call, inside: tuple[Span, ...]) -> Iterator[str]:
    """The names in the arguments of a call that stand in sizes there."""
    names = [parameter.name.id for parameter in callee.definition.parameters]
    sizes = sizes_of(callee.definition, callee.scope, inside).intersection(names) - _not_numbers(callee.definition)
    for number, argument in enumerate(call.arguments):
        key = argument.name.id if argument.name is not None else names[number] if number < len(names) else None
        if key in sizes:
            yield from names_in(argument.value)


def _only_compared(definition: ast.Definition) -> set[str]:
    """The arguments that are compared with numbers and stand nowhere else: they decide only which branch is taken."""
    trees = [*definition.parameters, *(definition.body or ()), *((definition.value,) if definition.value else ())]
    everywhere = Counter(tree.id for part in trees for tree in _all(part) if isinstance(tree, ast.Name))
    compared: Counter[str] = Counter()
    for tree in _all(definition):
        match tree:
            case (
                ast.Binary(op="==" | "!=" | "<" | "<=" | ">" | ">=", left=ast.Name(id=name), right=ast.Number())
                | ast.Binary(op="==" | "!=" | "<" | "<=" | ">" | ">=", left=ast.Number(), right=ast.Name(id=name))
            ):
                compared[name] += 1
    arguments = {parameter.name.id for parameter in definition.parameters if parameter.shape is None}
    return {name for name in arguments if 0 < compared[name] == everywhere[name] - 1}


def _judged(definition: ast.Definition) -> Iterator[ast.Statement | ast.Expr]:
    """What a mistake is judged with: the statements, and within one the sides of a choice, outermost first."""
    sides: set[Span] = set()
    for tree in _all(definition):
        if isinstance(tree, ast.Conditional):
            sides |= {tree.then.span, tree.otherwise.span}
        if isinstance(tree, ast.Statement) or (isinstance(tree, ast.Expr) and tree.span in sides):
            yield tree


def _not_numbers(definition: ast.Definition) -> set[str]:
    """The names that are called, applied, indexed or counted: functions, layers and lists."""
    found: set[str] = set()
    for tree in _all(definition):
        match tree:
            case ast.Call(function=ast.Name(id="len" | "reverse"), arguments=(ast.Argument(value=ast.Name(id=name)),)):
                found.add(name)
            case ast.Call(function=ast.Name(id=name)) | ast.Index(base=ast.Name(id=name)):
                found.add(name)
            case ast.Apply(target=ast.Name(id=name)) | ast.For(iterable=ast.Name(id=name)):
                found.add(name)
    return found


def further_axes_of(definition: ast.Definition) -> list[tuple[str, ...]]:
    """What `...` may stand for, the usual first."""
    items = [item for shape in _shapes(definition) for item in shape.items]
    if not any(isinstance(item, ast.Rest | ast.Spread) for item in items):
        return [()]
    names_m = any(
        (isinstance(i, ast.Name) and i.id == "m") or (isinstance(i, ast.NamedAxis) and i.name.id == "m") for i in items
    )
    if names_m:
        return [("d1",), (), ("d1", "d2")]
    return [("d1", "m"), ("m", "d1"), ("m",), ("d1", "m", "d2"), ("m", "d1", "d2"), ("d1",), (), ("d1", "d2")]


# --- the walks ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Walk:
    """One elaboration of a definition: its mistakes with the facts at each, the statements done in full, the sizes of
    its names, and what was assumed in the end."""

    mistakes: dict[Span, tuple[Diagnostic, Facts]]
    done: set[Span]
    sure: set[Span]
    sizes: Mapping[str, Size]
    facts: Facts
    steps: int

    def holds(self, statement: Span) -> bool:
        """Whether the statement was executed without a mistake in it."""
        return statement in self.done and not any(statement.contains(span) for span in self.mistakes)

    def keeps(self, facts: Facts) -> bool:
        """Whether the sizes of this walk keep what was assumed; what they do not decide counts as kept."""
        return not any(_broken(relation, self.sizes) for relation in facts.relations)


def _broken(relation: Relation, sizes: Mapping[str, Size]) -> bool:
    given = {s: sizes[s.name] for s in relation.left.symbols | relation.right.symbols if s.name in sizes}
    return decide(relation.substitute(given)) is Truth.NO


@dataclass(slots=True)
class _Noted(Findings):
    """Findings with the facts that held where each was made."""

    e: Context | None = None
    facts: dict[Span, Facts] = field(default_factory=dict)

    def add(self, diagnostic: Diagnostic) -> None:
        before = len(self.found)
        Findings.add(self, diagnostic)
        if len(self.found) > before and self.e is not None and (span := self.found[-1].span) is not None:
            self.facts.setdefault(span, self.e.b.facts)


class Proof:
    """The proof of one definition."""

    def __init__(self, value: Layer | Function, findings: Findings, evaluate: Eval) -> None:
        self.value, self.findings, self.evaluate = value, findings, evaluate
        self.definition = value.definition
        self.compared = _only_compared(self.definition)
        self.numbers = sizes_of(self.definition, value.scope) - _not_numbers(self.definition)
        self.others = _not_numbers(self.definition)
        whens = any(isinstance(tree, ast.When) for tree in _all(self.definition))
        self.modes = ("training", "evaluation") if whens else ("training",)
        self.statements = list(_judged(self.definition))

    def run(self) -> None:
        """Adds what is wrong for every size to the findings, and tells them which statements were proved."""
        choices = further_axes_of(self.definition)
        wrong: dict[Span, tuple[Diagnostic, Facts]] | None = None
        sure: set[Span] = set()
        for rest in choices:
            walk = self.walk(unknowns, rest)
            self.findings.proved |= {span for span in walk.done if walk.holds(span)}
            sure |= walk.sure
            wrong = walk.mistakes if wrong is None else {s: w for s, w in wrong.items() if s in walk.mistakes}
            if not wrong:
                return
        assert wrong is not None
        tried = self._confirmed({span: found for span, found in wrong.items() if span not in sure}, choices)
        wrong = {span: found for span, found in wrong.items() if span in sure or span in tried}
        for span, (diagnostic, _) in wrong.items():
            self.findings.proved -= {statement for statement in self.findings.proved if statement.contains(span)}
            self.findings.add(diagnostic)
        if wrong:
            self.findings.refuted.add(self.definition.name.span)

    def _confirmed(
        self, wrong: dict[Span, tuple[Diagnostic, Facts]], choices: list[tuple[str, ...]]
    ) -> dict[Span, tuple[Diagnostic, Facts]]:
        """The mistakes that are mistakes for all sizes tried: their statement fails, and never comes out."""
        homes = {span: self._statement(span) for span in wrong}
        dismissed: set[Span] = set()
        failing: set[Span] = set()
        steps = 0
        # A statement that comes out for sizes that break an obligation above it does not count: such a use fails there.
        for sizes in [*(s for _, facts in wrong.values() for s in _keeping(facts)), *map(_in_turn, _TRIED)]:
            for rest in choices:
                for classes in (False, True):
                    if steps > _MOST_STEPS:
                        break
                    walk = self.walk(sizes, rest, classes=classes)
                    steps += walk.steps
                    dismissed |= {s for s, home in homes.items() if walk.holds(home) and walk.keeps(wrong[s][1])}
                    failing |= {s for s, home in homes.items() if any(home.contains(m) for m in walk.mistakes)}
                    if len(dismissed) == len(wrong):
                        return {}
        return {span: found for span, found in wrong.items() if span in failing - dismissed}

    def _statement(self, span: Span) -> Span:
        """The innermost statement around a place, or the side of a choice."""
        around = [s.span for s in self.statements if s.span.contains(span)]
        return around[-1] if around else self.definition.span

    def walk(self, sizes: Sizes, rest: tuple[str, ...], *, classes: bool = False) -> _Walk:
        """Elaborates the definition in each of its programs."""
        mistakes: dict[Span, tuple[Diagnostic, Facts]] = {}
        done: set[Span] | None = None
        sure: set[Span] = set()
        steps = 0
        for mode in self.modes:
            rigid = Rigid(sizes, rest, classes)
            findings = _Noted(proved=self.findings.proved, refuted=self.findings.refuted)
            e = findings.e = rigid.e = Context(mode, findings, rigid=rigid)
            e.keep(Ledger(e))
            self._elaborate(e, rigid)
            steps += e.steps
            for found in findings.found:
                if found.severity == "error" and found.code != "U901" and found.span is not None:
                    mistakes.setdefault(found.span, (found, findings.facts.get(found.span, Facts.empty)))
            done = rigid.done if done is None else done | rigid.done
            sure |= rigid.sure
        return _Walk(mistakes, done or set(), sure, rigid.given, e.b.facts, steps)

    def _elaborate(self, e: Context, rigid: Rigid) -> None:
        definition = self.definition
        instance = Instance(self.value, {}, definition.span) if isinstance(self.value, Layer) else None
        rigid.instance = instance
        scope = self.value.scope.child(
            path="", rest=None, indices={}, counts={}, instance=instance, kind=definition.kind
        )
        if instance is not None:
            instance.uses.append(definition.name.span)

        def evaluate(expr: ast.Expr, at: Scope) -> Any:
            return self.evaluate(e, expr, at)

        try:
            for parameter in definition.parameters:
                scope.names[parameter.name.id] = self._argument(e, rigid, parameter, scope, evaluate)
                scope.places[parameter.name.id] = parameter.name.span
            if definition.value is not None:
                e.at = definition.value.span
                self.evaluate(e, definition.value, scope)
                rigid.done.add(definition.span)
            else:
                Body(e, self.evaluate, [], None).run(definition.body or (), scope)
        except Stop as mistake:
            e.report(mistake)
        except DimTooLarge as error:
            e.report(too_large(error, definition.name.span))
        except (Poisoned, RecursionError):
            pass

    def _argument(self, e: Context, rigid: Rigid, parameter: ast.Parameter, scope: Scope, evaluate: Evaluate) -> Any:
        """What an argument stands for while its definition is checked."""
        name, default = parameter.name.id, parameter.default
        if parameter.shape is not None:
            tensor = rigid.tensor(name, parameter.shape, scope, evaluate, parameter.span)
            if isinstance(tensor, Poison):
                return tensor
            owner = self.definition.name.id
            return bind_pattern(e, parameter.shape, tensor, name, scope, evaluate, "D109", parameter.span, owner)
        if default is None:
            return rigid.size(name) if name in self.numbers | self.compared else Poison()
        value = read_default(e, default, scope, evaluate)
        if name in self.compared and type(value) is int and value >= 1:
            return rigid.size(name)
        if name in self.numbers and is_number(value) and not isinstance(value, float):
            return value if isinstance(value, Dim) else rigid.size(name)
        return value


def unknowns(name: str, number: int) -> Size:
    """A rigid unknown for each name."""
    return Dim.symbol(Symbol(name))


def _in_turn(values: tuple[int | Fraction, ...]) -> Sizes:
    return lambda name, number: values[number % len(values)]


def _keeping(facts: Facts) -> Iterator[Sizes]:
    """Small sizes that keep all obligations."""
    symbols = frozenset().union(*(r.left.symbols | r.right.symbols for r in facts.relations))
    total = sum((Dim.symbol(symbol) for symbol in symbols), start=ZERO)
    found = example(Relation(">=", total, ZERO), facts) if symbols else None
    if found is not None:
        sizes = {symbol.name: value for symbol, value in found.items()}
        yield lambda name, number: sizes.get(name, 6)


__all__ = ["Proof", "Rigid", "further_axes_of", "prove_definitions", "unknowns"]
