"""Generators step by step: from a prediction for all steps to a `Turn`, which computes the next one alone.

Along time, a value is wanted in one of two forms: *now*, its place of the step, or *whole*, all places up to it. What
is local in time passes these forms on. A shift now is its operand one step back: the word before, or a value that the
step before has carried over. A scan is its step, with what it carries. What is folded over time is wanted whole, and
grows by a place with each step: a cache. Where the number of steps is known, it has all places from the beginning, and
the masks that make a prediction causal hide what is not yet written.

A prediction that has no such form is computed for all steps each time, on all words so far.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from dlc.compiler.codegen.plain_turn import plain_turn
from dlc.compiler.codegen.time_axes import sized, time_axes
from dlc.compiler.dims import ONE, Axis, Dim, Symbol, TensorType, scalar
from dlc.compiler.elaborate.causal import EXISTS, reads_of
from dlc.compiler.ir import Builder, Graph, Node, bodies, rebuild, topological
from dlc.compiler.ops import OPS
from dlc.compiler.ops.generate import Prefix, Turn
from dlc.compiler.ops.loop import Step

Made = tuple[Turn, tuple[Node, ...]]
"""A turn, and the operands of its generator."""


def by_step(graph: Graph) -> Graph:
    """The graph with a `Turn` in each generator; the graph itself where there is none."""
    if not any(isinstance(node.attr("step"), Prefix) for node in graph.nodes):
        return graph
    made: dict[Hashable, Made] = {}

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        prefix = node.attr("step")
        if not isinstance(prefix, Prefix):
            return None
        if prefix not in made:
            made[prefix] = turn_of(b, prefix, inputs, node.attr("longest"))
        turn, operands = made[prefix]
        attrs = tuple((name, turn if name == "step" else value) for name, value in node.attrs)
        return b.typed(node.op, operands, attrs, node.type, node.span)

    return rebuild(graph, rule)


def turn_of(b: Builder, prefix: Prefix, inputs: tuple[Node, ...], longest: int) -> Made:
    """The turn of a generator of at most `longest` steps; first values of what it carries are built beside it."""
    try:
        return _OneStep(b, prefix, inputs, longest).made()
    except NoStep:
        return Turn(sized(prefix, longest), 0, 0, ()), inputs


class NoStep(Exception):
    """A value has no form for one step alone."""


class Form(NamedTuple):
    """A value at the step's place, or `back` places before it, along the axes `now`; whole along other axes of time."""

    node: Node
    now: frozenset[int]
    back: int = 0


class Recipe(NamedTuple):
    """A form made of others."""

    needs: tuple[Form, ...]
    build: Callable[..., Node]


class _OneStep:
    """Makes the turn of one generator."""

    def __init__(self, outer: Builder, prefix: Prefix, inputs: tuple[Node, ...], longest: int) -> None:
        self.outer, self.inputs, self.b = outer, inputs, Builder()
        self.graph, self.time = prefix.graph, prefix.time
        self.written = prefix.time and Symbol(f"{prefix.time.name}_written", "written", upper=longest)
        self.whole = prefix.steps if self.written is None else Dim.symbol(self.written)
        self.times = time_axes(prefix)
        held = (node for node in prefix.graph.nodes if node.op == "held")
        self.words = next((node for node in held if node.attr("name") == "words"), None)
        self.reads = reads_of(self.words, prefix.time)
        self.spoken, self.fixed = self._dependences()
        self.sequences: dict[Node, tuple[Node, int]] = {}
        self.carries: dict[Node, Node] = {}
        self.constants: dict[Node, Node] = {}
        self.grows: dict[Node, Node] = {}
        self.roots: dict[str, Node] = {}
        self.later: list[tuple[str, Form]] = []
        self.forms: dict[Form, Node] = {}
        self.scans: dict[Hashable, Mapping[str, Node]] = {}

    def made(self) -> Made:
        prediction = self.graph.roots["prediction"]
        self.roots["prediction"] = self.form(Form(prediction, frozenset({prediction.type.rank - 1})))
        while self.later:
            name, form = self.later.pop()
            self.roots[name] = self.form(form)
        turn = Turn(
            plain_turn(Graph.of(self.roots)),
            len(self.sequences),
            len(self.carries),
            tuple(axis for _, axis in self.sequences.values()),
            self.written,
        )
        given = (*(value for value, _ in self.sequences.values()), *self.carries.values(), *self.constants.values())
        return turn, given

    def _dependences(self) -> tuple[set[Node], set[Node]]:
        """What depends on the words; and what depends neither on them nor on how many there are."""
        spoken, fixed = {node for node in self.graph.nodes if node is self.words}, set[Node]()
        for node in self.graph.nodes:
            inputs = node.inputs if node.op != "position" else ()  # of whose operand only the shape counts
            if any(value in spoken for value in inputs):
                spoken.add(node)
            dim = node.attr("dim")
            symbols = node.type.symbols | (dim.symbols if isinstance(dim, Dim) else frozenset())
            if node not in spoken and self.time not in symbols and all(value in fixed for value in inputs):
                fixed.add(node)
        return spoken, fixed

    # --- forms -------------------------------------------------------------------------------------------------

    def form(self, wanted: Form) -> Node:
        """A form, after those that it needs."""
        recipes: dict[Form, Recipe] = {}
        waiting = [wanted]
        while waiting:
            form = waiting[-1]
            if form not in recipes and form not in self.forms:
                recipes[form] = self.recipe(form)
            missing = [] if form in self.forms else [need for need in recipes[form].needs if need not in self.forms]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            if form not in self.forms:
                self.b.span = form.node.span
                self.forms[form] = recipes[form].build(*(self.forms[need] for need in recipes[form].needs))
        return self.forms[wanted]

    def type(self, node: Node, now: frozenset[int]) -> TensorType:
        """The type of a form: 1 along the axes that are now."""
        axes = list(node.type.axes)
        for axis in self.times[node]:
            name = axes[axis].name
            axes[axis] = Axis(ONE, name, one=True) if axis in now else Axis(self.whole, name)
        if any(self.time in axis.size.symbols for axis in axes):
            raise NoStep
        return node.type.with_axes(tuple(axes))

    def recipe(self, form: Form) -> Recipe:
        """How a form is made. Raises NoStep."""
        node, now, back = form
        if node is self.words:
            return self.word(form, node.type)
        if node.op == "size" and self.time in node.attr("dim").symbols:
            if self.time is None or node.attr("dim") != Dim.symbol(self.time):
                raise NoStep
            return Recipe((), self.number)
        if node.op == "held":
            return self.given(form)
        if node.op == "constant":
            return Recipe((), lambda: self.b.constant(node.attr("value")))
        if node in self.fixed and not now:
            return Recipe((), lambda: self.constant(self.outside(node)))
        if node.op == "slice" and node.inputs[0] in self.fixed and node.attr("start") == Dim.of(0):
            return self.first_places(form)
        if back and node in self.spoken and self.settled(form):
            return Recipe((), lambda: self.before(form))
        if node in self.spoken and self.times[node] - now:
            if len(self.times[node]) == 1:
                return self.grown(form)
            if not now:
                raise NoStep
        if node.op == "position":
            return Recipe((), lambda: self.position(form))
        if node.op == "shift" and node.attr("axis") in now:
            return self.shifted(form, node.inputs[0], None)
        if node.op == "concat" and node.attr("axis") in now:
            return self.begun(form)
        if node.op == "scan":
            return self.scan(form)
        return self.local(form)

    def settled(self, form: Form) -> bool:
        """Whether a place of a value never changes once its step has come: it reads the words before it alone."""
        reads = self.reads(form.node)
        return reads.ahead is None and all(reads.axes.get(axis, EXISTS) <= EXISTS for axis in self.times[form.node])

    # --- leaves ------------------------------------------------------------------------------------------------

    def number(self) -> Node:
        """The number of the step: so many words there are with its own."""
        return self.b.typed("held", (), (("name", "number"),), scalar())

    def word(self, form: Form, words: TensorType) -> Recipe:
        if not form.now or form.back != 1:
            raise NoStep
        type = words.with_axes(words.axes[:1])
        return Recipe((), lambda: self.b.add("expand", self.b.typed("held", (), (("name", "word"),), type), axes=(1,)))

    def leaf(self, kind: str, given: Mapping[Node, object], type: TensorType) -> Node:
        return self.b.typed("held", (), (("name", f"{kind}.{len(given)}"),), type, self.b.span)

    def given(self, form: Form) -> Recipe:
        """A value from outside; along time, where it has one, its slice."""
        node, now, _ = form
        value = self.inputs[int(str(node.attr("name")).partition(".")[2])]
        if not now:
            return Recipe((), lambda: self.constant(value))
        return self.along(form, value)

    def first_places(self, form: Form) -> Recipe:
        """Of a value from outside that has all places, those that there are so far: what was drawn for each step."""
        node, now, _ = form
        (value,) = node.inputs
        if self.times[node] != {node.attr("axis")} or self.times[value]:
            raise NoStep
        if now:
            return self.along(form, self.outside(value))
        attrs = tuple((name, self.whole if name == "size" else given) for name, given in node.attrs)
        type = self.type(node, now)
        return Recipe((Form(value, now),), lambda whole: self.b.typed("slice", (whole,), attrs, type, node.span))

    def along(self, form: Form, value: Node) -> Recipe:
        """A sequence from outside, at the step's place."""
        node, now, back = form
        if len(now) > 1 or node.type.kind != "real":
            raise NoStep
        if back:
            return Recipe((), lambda: self.before(form))
        (axis,) = now

        def sequence() -> Node:
            axes = tuple(a for i, a in enumerate(node.type.axes) if i != axis)
            leaf = self.leaf("sequence", self.sequences, node.type.with_axes(axes))
            self.sequences[leaf] = value, axis
            return self.b.add("expand", leaf, axes=(axis,))

        return Recipe((), sequence)

    def constant(self, value: Node) -> Node:
        """A leaf for a value of the program around."""
        leaf = self.leaf("constant", self.constants, value.type)
        self.constants[leaf] = value
        return leaf

    def carry(self, type: TensorType, first: Node) -> tuple[Node, str]:
        """A leaf for what is carried, and the name of its root."""
        leaf = self.leaf("carry", self.carries, type)
        self.carries[leaf] = first
        return leaf, str(leaf.attr("name"))

    def zeros(self, type: TensorType) -> Node:
        if type.kind != "real":
            raise NoStep
        zero = self.outer.constant(0.0)
        return self.outer.add("broadcast", zero, axes=type.axes) if type.rank else zero

    def before(self, form: Form) -> Node:
        """What a value was one step before. In the first step nobody reads it."""
        node, now, _ = form
        if self.times[node] - now:
            raise NoStep
        type = self.type(node, now)
        leaf, root = self.carry(type, self.zeros(type))
        self.later.append((root, Form(node, now)))
        return leaf

    def grown(self, form: Form) -> Recipe:
        """A value at all places so far: one more with each step."""
        node, _, _ = form
        (axis,) = self.times[node]
        if not self.settled(form):
            raise NoStep

        def put(row: Node) -> Node:
            type = self.type(node, frozenset())
            if self.written is None:
                leaf, root = self.carry(type, self.zeros(type))
            else:
                leaf = self.leaf("grown", self.grows, type)
                root = str(leaf.attr("name"))
                self.grows[leaf] = row
            self.roots[root] = self.b.add("put", leaf, row, self.number(), axis=axis)
            return self.roots[root]

        return Recipe((Form(node, frozenset({axis})),), put)

    # --- operations --------------------------------------------------------------------------------------------

    def local(self, form: Form) -> Recipe:
        """What each place of time has for itself: operands in the same form, and whole where they are folded."""
        node, now, back = form
        needs = []
        for value, follows in zip(node.inputs, OPS[node.op].follows(node), strict=True):
            there: set[int] = set()
            for axis in self.times[value] & follows.keys():
                to, offset = follows[axis]
                if to not in self.times[node] or (to in now and offset):
                    raise NoStep
                there |= {axis} if to in now else set()
            needs.append(Form(value, frozenset(there), back if there else 0))
        attrs = tuple((name, self.attribute(form, value)) for name, value in node.attrs)
        type = self.type(node, now)
        return Recipe(tuple(needs), lambda *inputs: self.b.typed(node.op, inputs, attrs, type, node.span))

    def attribute(self, form: Form, value: Hashable) -> Hashable:
        """An attribute, with the axes of the form. Only those of the result depend on time."""
        if value == form.node.type.axes:
            return self.type(form.node, form.now).axes
        sizes = [value] if isinstance(value, Dim) else [value.size] if isinstance(value, Axis) else []
        sizes += [axis.size for axis in value if isinstance(axis, Axis)] if isinstance(value, tuple) else []
        if bodies(form.node) or any(self.time in size.symbols for size in sizes if isinstance(size, Dim)):
            raise NoStep
        return value

    def position(self, form: Form) -> Node:
        node, now, back = form
        axis = node.attr("axis")
        type = self.type(node, now)
        if axis in now:
            number = self.b.add("sub", self.number(), self.b.constant(1.0)) if back else self.number()
            return self.b.add("broadcast", number, axes=type.axes)
        zeros = self.b.add("broadcast", self.b.constant(0.0), axes=type.axes)
        return self.b.typed("position", (zeros,), node.attrs, type, node.span)

    def shifted(self, form: Form, value: Node, first: Node | None) -> Recipe:
        """A value one step back, and what comes first in the first step: 0, if nothing else."""
        if form.back:
            raise NoStep
        needs = (Form(value, form.now, 1), *([Form(first, frozenset())] if first is not None else []))

        def chosen(before: Node, *firsts: Node) -> Node:
            begins = self.b.add("le", self.number(), self.b.constant(1.0))
            return self.b.add("select", begins, firsts[0] if firsts else self.b.constant(0.0), before)

        return Recipe(needs, chosen)

    def begun(self, form: Form) -> Recipe:
        """`y<0>` and what comes behind it: the first place, and the sequence without its last one."""
        node, axis = form.node, form.node.attr("axis")
        first, rest = node.inputs if len(node.inputs) == 2 else (node, node)
        length = node.type.sizes[axis]
        shifts = rest.op == "slice" and rest.attr("axis") == axis and rest.attr("start") == Dim.of(0)
        if not shifts or rest.attr("size") != length - ONE or first not in self.fixed or len(self.times[node]) > 1:
            raise NoStep
        return self.shifted(form, rest.inputs[0], first)

    # --- scans -------------------------------------------------------------------------------------------------

    def scan(self, form: Form) -> Recipe:
        """A scan over time is its step; its results now are those of that step."""
        node, now, back = form
        step: Step = node.attr("step")
        last = node.type.rank - 1
        kind = str(node.attr("take")).partition(".")[0]
        inside = {symbol for inner in step.graph.nodes for symbol in inner.type.symbols}
        if kind == "last" or now != {last} or node.attr("reverse") or self.time in inside:
            raise NoStep
        if any(inner.op in ("draw_uniform", "draw_normal") for inner in step.graph.nodes):
            raise NoStep
        needs = []
        for i, (name, value) in enumerate(step.operands(node.inputs).items()):
            there = frozenset({node.attr("axes")[i]} if i < step.sequences else ())
            if self.times[value] - there or (name.startswith("carry.") and value not in self.fixed):
                raise NoStep
            there &= self.times[value]
            needs.append(Form(value, there, back if there else 0))

        def taken(*operands: Node) -> Node:
            key = OPS["scan"].together(node), back
            if key not in self.scans:
                self.scans[key] = self.inlined(node, operands, back)
            found = self.scans[key]
            return self.b.add("expand", found[str(node.attr("take"))], axes=(last,))

        return Recipe(tuple(needs), taken)

    def inlined(self, node: Node, operands: tuple[Node, ...], back: int) -> Mapping[str, Node]:
        """One step of a scan, by what is taken of it."""
        step: Step = node.attr("step")
        given = step.operands(operands)
        for i, axis in enumerate(node.attr("axes")):
            given[f"sequence.{i}"] = self.b.add("drop", given[f"sequence.{i}"], axes=(axis,))
        carried: dict[str, str] = {}
        for i in range(step.carries):
            name = f"carry.{i}"
            type = step.graph.roots[name].type
            given[name], carried[name] = self.carry(type, self.outside(node.inputs[step.sequences + i]))
        new: dict[Node, Node] = {}
        for inner in step.graph.nodes:
            inputs = tuple(new[value] for value in inner.inputs)
            if inner.op == "held":
                new[inner] = given[str(inner.attr("name"))]
            else:
                new[inner] = self.b.typed(inner.op, inputs, inner.attrs, inner.type, inner.span)
        found = {take: new[root] for take, root in step.graph.roots.items()}
        for name, root in carried.items():
            value = found[name]
            if back:  # before the first step there is none
                begins = self.b.add("le", self.number(), self.b.constant(1.0))
                value = self.b.add("select", begins, given[name], value)
            self.roots[root] = value
            found[name.replace("carry", "before")] = given[name]
        return found

    def outside(self, value: Node) -> Node:
        """A value that does not depend on time, in the program around."""
        new: dict[Node, Node] = {}
        for node in topological([value]):
            if node.op == "position":
                shape = self.type(node, self.times[node] - {node.attr("axis")}).axes
                zeros = self.outer.add("broadcast", self.outer.constant(0.0), axes=shape)
                new[node] = self.outer.typed("position", (zeros,), node.attrs, node.type, node.span)
            elif node not in self.fixed:
                continue
            elif node.op == "held":
                new[node] = self.inputs[int(str(node.attr("name")).partition(".")[2])]
            else:
                inputs = tuple(new[operand] for operand in node.inputs)
                new[node] = self.outer.typed(node.op, inputs, node.attrs, node.type, node.span)
        return new[value]
