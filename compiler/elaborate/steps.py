"""Time indices: `x<t>`, `a<t-1>`, `a<0>`, `a<T>`, on both sides of an equation.

In a scan, `x<t>` is a slice of a sequence and `a<t-1>` what the step before left (a *carry*): leaves that the frame of
the scan hands out. Outside, a time index takes one step of a sequence: a number, or each example's own last one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import ONE, Axis, Dim, TensorType, Truth, demand, demand_size, same_sizes
from dlc.compiler.elaborate.arithmetic import is_number, to_dim
from dlc.compiler.elaborate.calls import Eval
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.padding import chosen, is_padded, last_step, lengths_along, numbers_along
from dlc.compiler.elaborate.places import place_name
from dlc.compiler.elaborate.primitives.sequences import time_axis
from dlc.compiler.elaborate.report import Poisoned, Stop, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Declared, Family, Poison, Tensor, describe
from dlc.compiler.ir import Node
from dlc.compiler.ops import ShapeError
from dlc.compiler.ops.base import ordinal
from dlc.compiler.program import M
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span

if TYPE_CHECKING:
    from dlc.compiler.elaborate.statements import Body

LEFT = "a<t> = … stands in a scan over t, and a<0> = … before it"
SAME = "a<0>, a<1>, … are steps of one sequence"


@dataclass(slots=True)
class Carry:
    """What a step finds of the step before: the leaf that stands for it, its first value, and who asked."""

    leaf: Node
    start: Tensor
    place: Span


@dataclass(slots=True, eq=False)
class Frame:
    """One scan while its step is elaborated.

    `leaves` are the slices of sequences: for a leaf the sequence and its axis. `now` holds the step's results so far by
    the text before `<t>`, `carries` what it read of the step before. `written` are the names whose steps its lines
    define. `names` are the spec's own names of the step's values, for `derive`. `failed`: a line of the step is wrong,
    so that what is missing is no mistake of its own.
    """

    name: str
    axis: Axis
    number: int
    written: dict[str, Span]
    leaves: dict[Node, tuple[Node, int]] = field(default_factory=dict)
    carries: dict[str, Carry] = field(default_factory=dict)
    now: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Span] = field(default_factory=dict)
    names: dict[str, Node] = field(default_factory=dict)
    failed: bool = False
    _inside: dict[Node, bool] = field(default_factory=dict)

    def leaf(self, e: Context, kind: str, type: TensorType, span: Span | None = None) -> Node:
        """A new leaf for something that each step finds."""
        count = len(self.leaves) + len(self.carries)
        leaf = e.b.typed("held", (), (("name", f"{kind}.{count}@{self.number}"),), type, span)
        self._inside[leaf] = True
        return leaf

    def slice(self, e: Context, node: Node, axis: int) -> Node:
        """This step's slice of a sequence, without the axis; class indices stay beneath their one-hot columns."""
        type = node.type
        rest = replace(type, axes=type.axes[:axis] + type.axes[axis + 1 :])
        if node.op == "rename":
            return e.b.typed("rename", (self.slice(e, node.inputs[0], axis),), (), rest, node.span)
        if node.op == "one_hot" and node.attr("axis") != axis:
            classes = node.attr("axis")
            indices = self.slice(e, node.inputs[0], axis - (classes < axis))
            attrs = (("axis", classes - (axis < classes)), ("classes", node.attr("classes")))
            return e.b.typed("one_hot", (indices,), attrs, rest, node.span)
        for leaf, sequence in self.leaves.items():
            if sequence == (node, axis):
                return leaf
        leaf = self.leaf(e, "sequence", rest, node.span)
        self.leaves[leaf] = (node, axis)
        if node in e.known:
            e.known[leaf] = self.slice(e, e.known[node], axis)
        return leaf

    def step(self, e: Context) -> Node:
        """The number of the step, from 1, as a scalar."""
        return self.slice(e, numbers_along(e.b, 1, 0, self.axis.size), 0)

    def within(self, e: Context, type: TensorType) -> Node:
        """Which examples have not ended at this step, in the place of the examples of a type. Raises `ShapeError`."""
        return e.b.add("le", self.step(e), lengths_along(e.b, e.padded, type, self.axis.size))

    def goes_through(self, whole: Tensor) -> bool:
        """Whether a value is a sequence whose steps these are."""
        found = whole.type.axes_named(self.axis.name) if self.axis.name is not None else ()
        return bool(found) and not self.depends(whole.node)

    def carried(self, node: Node) -> str | None:
        """The a of which a value is a<t-1>."""
        return next((key for key, carry in self.carries.items() if carry.leaf is node), None)

    def recurs(self, node: Node, at: Span | None) -> bool:
        """Whether a value is a<t-1>, and the line at a place defines a<t>."""
        key = self.carried(node)
        place = self.written.get(key.partition("[")[0]) if key is not None else None
        return place is not None and at is not None and at.contains(place)

    def depends(self, node: Node) -> bool:
        """Whether a value changes from step to step."""
        waiting = [node]
        while waiting:
            value = waiting[-1]
            open = [each for each in value.inputs if each not in self._inside]
            if value not in self._inside and open:
                waiting += open
                continue
            waiting.pop()
            self._inside.setdefault(value, any(self._inside[each] for each in value.inputs))
        return self._inside[node]


def in_scan(scope: Scope) -> Frame | None:
    """The scan in whose step these lines stand, within one definition."""
    return next((level.scan for level in scope.levels() if level.scan is not None), None)


def base_name(base: ast.Expr) -> str:
    while isinstance(base, ast.Index):
        base = base.base
    return base.id if isinstance(base, ast.Name) else ""


# --- the left side ---------------------------------------------------------------------------------------------


def define_step(body: Body, target: ast.TimeIndex, value: Any, scope: Scope) -> None:
    """`a<t> = …` in a scan, `a<0> = …` before it."""
    key, text = body.place(target.base, scope), written(target, scope)
    if isinstance(target.time, ast.Number) and target.time.value == 0:
        home = _home(scope)
        if f"{key}<0>" in home.names:
            related = [("first here", home.places[f"{key}<0>"])] if f"{key}<0>" in home.places else []
            raise stop("N202", f"{text} is defined twice", target.span, related=related)
        home.names[f"{key}<0>"], home.places[f"{key}<0>"] = value, target.span
        return
    frame, offset = _step_of(target.time, scope)
    if frame is None or offset:
        raise stop("N216", f"{text} cannot stand on the left side here", target.span, rule=LEFT)
    if frame is not in_scan(scope):
        inner = in_scan(scope)
        assert inner is not None
        raise stop(
            "N216", f"{text} is a result of the outer scan, inside a step of {inner.name}", target.span, rule=LEFT
        )
    if is_number(value) or isinstance(value, bool):
        value = body.e.real(value, target.span)
    if not isinstance(value, Tensor):
        raise stop("N216", f"{text} is a step of a sequence, and this is {describe(value)}", target.span)
    if key in frame.now:
        raise stop("N202", f"{text} is defined twice", target.span, related=[("first here", frame.places[key])])
    if _whole(body.e, target.base, scope, body.eval) is not None:
        name = target.base.id if isinstance(target.base, ast.Name) else key
        place = scope.place(name)
        related = [(f"{key} is defined here", place)] if place is not None else []
        raise stop("N202", f"{key} is defined already, so {text} cannot be", target.span, related=related)
    frame.now[key], frame.places[key] = value, target.span


def _home(scope: Scope) -> Scope:
    """Where a<0> lives: in the definition, or in the step of a scan that it stands in; a `for` has none of its own."""
    levels = list(scope.levels())
    return next((level for level in levels if level.scan is not None), levels[-1])


def poison_step(body: Body, target: ast.TimeIndex, scope: Scope) -> None:
    """The line of a<0> failed (that of a<t> makes its whole scan fail)."""
    if in_scan(scope) is None or isinstance(target.time, ast.Number):
        _home(scope).names.setdefault(f"{body.place(target.base, scope)}<0>", Poison())


# --- the right side --------------------------------------------------------------------------------------------


def time_index(e: Context, expr: ast.TimeIndex, scope: Scope, evaluate: Eval) -> Any:
    """`x<t>` and `a<t-1>` in a scan; `a<0>`, `a<3>` and `a<T>` anywhere."""
    if isinstance(expr.time, ast.Number) and expr.time.value == 0:
        return _start(e, expr, scope, evaluate)
    frame, offset = _step_of(expr.time, scope)
    if frame is None:
        return _fixed_step(e, expr, scope, evaluate)
    key = _key(e, expr.base, scope, evaluate)
    if not offset and key in frame.now:
        return _sound(frame.now[key])
    whole = _whole(e, expr.base, scope, evaluate)
    if offset not in (0, -1):
        what = "a step to come" if offset > 0 else f"{-offset} steps back"
        help = f"carry it along: b<{frame.name}> = {key}<{frame.name}-1>, and read b<{frame.name}-1>"
        raise stop(
            "N217",
            f"{written(expr, scope)} is {what}: a step reads its own values and those of the step before",
            expr.span,
            help=help if offset < 0 else "write the line one step later: <t> in place of <t+1>, <t-1> in place of <t>",
        )
    if whole is None:
        return _carried(e, expr, key, offset, frame, scope, evaluate)
    if not isinstance(whole, Tensor):
        raise _no_sequence(expr, whole, scope)
    axis = _steps_axis(e, expr, whole, frame.axis, scope)
    if demand(whole.type.axes[axis].size, frame.axis.size, e.b.facts) is not Truth.YES:
        sizes = f"{whole.type.axes[axis].size} steps, and the scan over {frame.name} has {frame.axis.size}"
        raise stop("D110", f"{key} has {sizes}", expr.span, label=str(whole.type))
    if offset:
        whole = _begun(e, expr, key, whole, axis, scope)
    node = _step_within(e, frame, whole.node, axis) if frame.depends(whole.node) else frame.slice(e, whole.node, axis)
    return Tensor(node, _slice_of(whole.declared, written(expr, scope), axis))


def _slice_of(declared: Declared | None, name: str, axis: int) -> Declared | None:
    """How the shape of a step follows from the sequence's own declaration."""
    if declared is None or axis >= len(declared.items):
        return declared
    items = declared.items[:axis] + declared.items[axis + 1 :]
    return Declared(name, declared.span, items, f"({', '.join(map(unparse, items))})")


def _step_of(time: ast.Expr, scope: Scope) -> tuple[Frame | None, int]:
    """The scan whose step an index names, and how many steps off it is."""
    name, offset = time, 0
    if isinstance(time, ast.Binary) and isinstance(time.right, ast.Number):
        name, offset = time.left, int(time.right.value) * (1 if time.op == "+" else -1)
    if not isinstance(name, ast.Name):
        return None, 0
    frames = (level.scan for level in scope.chain() if level.scan is not None and level.scan.name == name.id)
    return next(frames, None), offset


def _sound(value: Any) -> Any:
    if isinstance(value, Poison):
        raise Poisoned
    return value


def _whole(e: Context, base: ast.Expr, scope: Scope, evaluate: Eval) -> Any:
    """The sequence that a name (or a family's member) stands for outside the scan; None where it stands for none."""
    if isinstance(base, ast.Name):
        value = scope.find(base.id)
        return None if isinstance(value, Family) else _sound(value)
    if isinstance(base, ast.Index) and isinstance(base.base, ast.Name):
        family = scope.find(base.base.id)
        if family is None:
            return None
        if isinstance(family, Family):
            indices = tuple(evaluate(e, index, scope) for index in base.indices)
            return _sound(family.members.get(indices))
    return evaluate(e, base, scope)


def _key(e: Context, base: ast.Expr, scope: Scope, evaluate: Eval) -> str:
    """The name of a sequence, as `define_step` knows it."""
    return place_name(base, scope, lambda expr, at: evaluate(e, expr, at))


def _start(e: Context, expr: ast.TimeIndex, scope: Scope, evaluate: Eval) -> Any:
    value = scope.find(f"{_key(e, expr.base, scope, evaluate)}<0>")
    if value is None:
        text = written(expr, scope)
        help = f"write it before the scan: {text} : (…) = 0"
        raise stop("N217", f"no line says what {text} is", expr.span, help=help)
    return _sound(value)


def _carried(
    e: Context, expr: ast.TimeIndex, key: str, offset: int, frame: Frame, scope: Scope, evaluate: Eval
) -> Tensor:
    """A result of this scan: of the step before, or of this one where its line is still to come."""
    text = written(expr, scope)
    place = frame.written.get(base_name(expr.base))
    if place is None and scope.find(f"{key}<0>") is None:
        evaluate(e, expr.base, scope)  # an unknown name
    if frame.failed:
        raise Poisoned
    if place is None:
        raise stop(
            "N217",
            f"{text} is read, and no line of this scan says what {key}<{frame.name}> is",
            expr.span,
            help=f"write {key}<{frame.name}> = …",
        )
    if not offset:
        raise stop(
            "N217",
            f"{text} is read before its line",
            expr.span,
            related=[(f"{key}<{frame.name}> is defined here", place)],
            help=f"{key}<{frame.name}-1> is the value of the step before",
        )
    if key in frame.carries:
        return Tensor(frame.carries[key].leaf, frame.carries[key].start.declared)
    start = _sound(scope.find(f"{key}<0>"))
    if start is None:
        raise stop(
            "N217",
            f"at the first step {text} is {key}<0>, and no line says what that is",
            expr.span,
            related=[(f"{key}<{frame.name}> is defined here", place)],
            rule=f"{key}<0> is what an equation says it is",
            help=f"write it before the scan: {key}<0> : (…) = 0",
        )
    if not isinstance(start, Tensor) or start.type.kind == "bool":
        start = e.real(start, expr.span)
    leaf = frame.leaf(e, "carry", start.type, expr.span)
    frame.carries[key] = Carry(leaf, start, expr.span)
    return Tensor(leaf, start.declared)


def _begun(e: Context, expr: ast.TimeIndex, key: str, whole: Tensor, axis: int, scope: Scope) -> Tensor:
    """The sequence one step later, with `x<0>` first."""
    start = scope.find(f"{key}<0>")
    if start is None:
        raise stop(
            "N217",
            f"at the first step {written(expr, scope)} is {key}<0>, and no line says what that is",
            expr.span,
            rule=f"{key}<0> is what an equation says it is",
            help=f"write it before the scan: {key}<0> : (…) = 0",
        )
    start = e.real(_sound(start), expr.span)
    type = whole.type
    wanted = TensorType(type.axes[:axis] + type.axes[axis + 1 :])
    if start.type.rank == 0 and wanted.rank:
        start = Tensor(e.b.add("broadcast", start.node, axes=wanted.axes))
    if same_sizes(start.type, wanted, e.b.facts, demand) is not None:
        raise unlike(f"{key}<0>", start, expr.span, f"a step of {key}", wanted, whole.declared)
    first = start.node
    if type.kind == "index":
        first = e.b.add("index", first, classes=type.classes)
    size = type.axes[axis].size
    later = e.b.add("slice", whole.node, axis=axis, start=Dim.of(0), size=size - 1)
    joined = e.b.add("concat", e.b.add("expand", first, axes=(axis,)), later, axis=axis, span=expr.span)
    return Tensor(e.b.typed("rename", (joined,), (), replace(joined.type, axes=type.axes)), whole.declared)


def _step_within(e: Context, frame: Frame, node: Node, axis: int) -> Node:
    """This step of a value that the step itself computes: chosen by its number."""
    numbers = numbers_along(e.b, node.type.rank, axis, node.type.axes[axis].size)
    hit = e.b.add("eq", numbers, frame.step(e))
    return chosen(e.b, node, hit, axis)


def _steps_axis(e: Context, expr: ast.TimeIndex, whole: Tensor, steps: Axis, scope: Scope) -> int:
    """The axis called by the dimension, else the only one of its size."""
    type, base = whole.type, written(expr.base, scope)
    called = type.axes_named(steps.name) if steps.name is not None else ()
    found = called or type.axes_of_size(steps.size, e.b.facts)
    if len(found) == 1:
        return found[0]
    shown = steps.name or str(steps.size)
    if not found:
        raise stop(
            "D110",
            f"{base} is {type}: no axis is called {shown}, so it has no steps to take one of",
            expr.span,
            label=str(type),
            related=[(whole.declared.describe(type), whole.declared.span)] if whole.declared is not None else [],
            rule=f"{written(expr, scope)} is a slice of {base} : (…, {shown})",
        )
    which = " or ".join(f"the {ordinal(i)} axis ({type.axes[i].name or type.axes[i].size})" for i in found)
    message = f"{written(expr, scope)} could be a slice along {which} of {type}"
    raise stop("D110", message, expr.span, help=f"call one of them {shown}")


def _no_sequence(expr: ast.TimeIndex, value: Any, scope: Scope) -> Stop:
    base = written(expr.base, scope)
    return stop("N216", f"{base} is {describe(value)}: it has no steps", expr.span)


# --- a step outside a scan -------------------------------------------------------------------------------------


def _fixed_step(e: Context, expr: ast.TimeIndex, scope: Scope, evaluate: Eval) -> Tensor:
    """`a<T>`, each example's own last step, and `a<3>`."""
    text = written(expr, scope)
    name = expr.time.left if isinstance(expr.time, ast.Binary) else expr.time
    if isinstance(name, ast.Name) and scope.find(name.id) is None:
        help = f"`scan {name.id} in 1..T:` gives it a meaning; <0>, <T> and numbers have one everywhere"
        raise stop("N216", f"{text} stands outside a scan over {name.id}", expr.span, help=help)
    number = evaluate(e, expr.time, scope)
    if not is_number(number):
        raise stop("N216", f"a time index is a step, and {written(expr.time, scope)} is {describe(number)}", expr.span)
    at = to_dim(number, expr.time.span)
    whole = evaluate(e, expr.base, scope)
    if not isinstance(whole, Tensor):
        raise _no_sequence(expr, whole, scope)
    if isinstance(name, ast.Name) and whole.type.rank:
        size = to_dim(evaluate(e, name, scope), name.span)
        axis = _steps_axis(e, expr, whole, Axis(size, name.id), scope)
    else:
        axis = time_axis(e, whole.type, expr.span, "give the axis of the steps the name T")
    _there(e, text, at, whole, axis, expr.span)
    try:
        return Tensor(_taken(e, whole.node, axis, at), _slice_of(whole.declared, text, axis))
    except ShapeError as error:
        raise e.refused(error, [whole], [expr.base], expr.span, scope) from None


def _there(e: Context, text: str, at: Dim, whole: Tensor, axis: int, span: Span) -> None:
    """Proves that the sequence has this step; of a size that is not known yet it is demanded."""
    size = whole.type.axes[axis].size
    if demand_size(at, e.b.facts) is Truth.YES and demand_size(size - at + 1, e.b.facts) is Truth.YES:
        return
    steps = f"{whole.type} has steps 1 to {size}"
    raise stop("N217", f"{text} is outside the sequence: {steps}", span, label=str(whole.type))


def _taken(e: Context, node: Node, axis: int, at: Dim) -> Node:
    """One step of a sequence, without the axis. A scan knows what it ended with."""
    size = node.type.axes[axis].size
    if at == size:
        last = _scan_ended_with(e, node, axis)
        if last is not None:
            return last
    if is_padded(e.padded, at):
        return last_step(e.b, e.padded, node, axis, at)
    return e.b.add("drop", e.b.add("slice", node, axis=axis, start=at - 1, size=ONE), axes=(axis,))


def _scan_ended_with(e: Context, node: Node, axis: int) -> Node | None:
    whole = node
    while whole.op == "rename":
        whole = whole.inputs[0]
    take = str(whole.attr("take", ""))
    if whole.op != "scan" or not take.startswith("carry.") or axis != whole.type.rank - 1:
        return None
    if is_padded(e.padded, node.type.axes[axis].size) and not node.type.depends_on(M):
        return None
    attrs = {**whole.keywords, "take": f"last.{take.removeprefix('carry.')}"}
    last = e.b.add("scan", *whole.inputs, **attrs)
    e.counted.add(last)
    axes = node.type.axes[:-1]
    return e.b.typed("rename", (last,), (), replace(last.type, axes=axes), last.span)


def unlike(name: str, value: Tensor, span: Span, other: str, type: TensorType, declared: Declared | None) -> Stop:
    return stop(
        "D106",
        f"{name} is {value.type}, and {other} is {type}: every step of a sequence has the same shape",
        span,
        label=str(value.type),
        related=[(f"{other} : {type}", declared.span)] if declared is not None else [],
        rule=SAME,
        help=f"write the shape beside it: {other} : {value.type} = …" if not type.rank else None,
    )
