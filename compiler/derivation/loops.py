"""Loops as equations: a gradient's scan in the course's `a<t>`, for `dlc derive`.

What the scan carries from step to step becomes an equation that looks one step ahead, what it adds up over all steps a
sum over t, and a sequence that it collects an equation of its own:

    da<t>  = W_ya.T @ dy_hat<t> + W_aa.T @ (da<t+1> * (1 - a<t+1>^2))
    dW_aa  = 1/m * sum(da<t> * (1 - a<t>^2) @ a<t-1>.T, over = t)
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from dlc.compiler.autodiff import cotangent_name
from dlc.compiler.derivation.unpadded import SILENT
from dlc.compiler.dims import Axis, TensorType
from dlc.compiler.ir import Builder, Node, topological
from dlc.compiler.ops.loop import Step
from dlc.compiler.passes.opened import in_order, together

SHORT = (*SILENT, "transpose", "held", "neg")
"""What is written out however often it is used."""


@dataclass(frozen=True, slots=True)
class Equation:
    """`name` is what `node` computes, whose leaves are inputs with the names that are shown."""

    name: str
    node: Node


class Loops:
    """Writes the loops of a derivation as equations. `forward` are the named values of the forward pass, by node;
    `cotangents` the names of the others. `extra` are sequences that a loop reads and nobody named."""

    def __init__(self, forward: Mapping[Node, str], cotangents: Mapping[Node, str]) -> None:
        self.forward, self.cotangents = forward, cotangents
        self.b = Builder()
        self.new: dict[Node, Node] = {}
        self.equations: dict[Hashable, list[Equation]] = {}
        self.extra: dict[Node, str] = {}
        self.told: set[Node] = set()
        self.ahead = set(topological(forward))
        self.run_ahead = {together(node) for node in self.ahead if node.op == "scan"}
        self._loops: dict[Hashable, _Loop] = {}
        self._count = 0

    def written(self, node: Node) -> Node:
        """A value as others write it: by its name, if it has one."""
        for value in in_order(node, self.new, self._parts):
            name = self.forward.get(value) or self.cotangents.get(value)
            self.new[value] = self.spelled(value) if name is None else self.leaf(name, value.type)
        return self.new[node]

    def spelled(self, node: Node) -> Node:
        """A value written out."""
        if node.op == "scan":
            return self.loop(node).result(node)
        return self.b.again(node, tuple(self.written(value) for value in node.inputs))

    def _parts(self, node: Node) -> tuple[Node, ...]:
        return () if node in self.forward or node in self.cotangents or node.op == "scan" else node.inputs

    def loop(self, scan: Node) -> _Loop:
        key = together(scan)
        if key not in self._loops:
            self._loops[key] = _Loop(self, scan)
            self.equations[key] = self._loops[key].equations()
        return self._loops[key]

    def leaf(self, name: str, type: TensorType) -> Node:
        return self.b.typed("input", (), (("name", name),), type)

    def fresh(self) -> str:
        """A name for a value that has none: the error of a unit, as lectures call it."""
        self._count += 1
        return f"delta_{self._count}"

    def sequence(self, node: Node) -> str:
        """What a whole sequence is called; one without a name gets one, and a line of its own."""
        name = self.forward.get(node) or self.cotangents.get(node)
        if name is None and node.op == "input":
            name = str(node.attr("name"))
        if name is None and node.op == "scan" and self.is_backward(node):
            name = self.loop(node).collected.get(str(node.attr("take")))
        if name is None and node not in self.extra:
            self.extra[node] = self.fresh()
        return name or self.extra[node]

    def is_backward(self, node: Node) -> bool:
        """Whether a value belongs to the backward pass."""
        while node.op in SILENT:
            node = node.inputs[0]
        ahead = node in self.ahead or (node.op == "scan" and together(node) in self.run_ahead)
        return bool(node.inputs) and node.op != "position" and not ahead

    def behind(self, nodes: Iterable[Node]) -> list[Equation]:
        """The equations of the loops that values depend on, and of what these read; none is given twice."""
        found = []
        for value in topological(nodes):
            if value in self.extra and value not in self.told:
                self.told.add(value)
                found.append(Equation(self.extra[value], self.spelled(value)))
            if value.op == "scan":
                found += self.equations.pop(together(value), [])
        return found


def at(name: str, place: Place | str) -> str:
    """`a` or `a<t>` at another place: `a<t+1>`."""
    return f"{name.removesuffix('<t>')}<{place}>"


@dataclass(frozen=True, slots=True)
class Place:
    """`t`, `t+1`, … or the first or the last step."""

    base: str = "t"
    steps: int = 0

    def __str__(self) -> str:
        if self.base.isdigit():
            return str(int(self.base) + self.steps)
        return f"{self.base}{self.steps:+d}" if self.steps else self.base

    def moved(self, steps: int) -> Place:
        return Place(self.base, self.steps + steps)


NOW = Place()


@dataclass
class _Loop:
    """One scan. `ahead` is the way from a step to the one that computed what it is given, `ends` the first step that it
    takes and the last. `named` are the values that are written as `name<t>`, `defined` those that have a line, and
    `collected` says what the sequences that it gives are called."""

    loops: Loops
    scan: Node
    made: dict[tuple[Node, Place], Node] = field(default_factory=dict)
    collected: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.step: Step = self.scan.attr("step")
        self.given = self.step.operands(self.scan.inputs)
        self.ahead = 1 if self.scan.attr("reverse") else -1
        ends = ("1", str(self.scan.attr("axis").size))
        self.ends = ends[::-1] if self.scan.attr("reverse") else ends
        self.users = self.step.graph.users()
        self.backward = self._backward()
        self.named = self._named()

    # --- what has a name ---------------------------------------------------------------------------------------

    def _named(self) -> dict[Node, str]:
        """The values that are written as `name<t>`."""
        names = self.step.graph.names
        outside = {at(name, NOW) for name in self.loops.cotangents.values()}
        ahead = {*names, *(at(name, NOW) for name in self.loops.forward.values())}
        cotangents = ({cotangent_name(name) for name in ahead} & names.keys()) - outside
        found: dict[Node, str] = {}
        for name, node in names.items():
            often = len(set(self.users[node])) > 1 or self._is_carried(node)
            if node.op != "held" and node not in found and name not in outside and (name not in cotangents or often):
                found[node] = name
        self.defined = {name: node for node, name in found.items() if name in cotangents}
        self._name_shared(found)
        called = {node: name for name, node in names.items() if name in cotangents}
        self._name_collected(called, found)
        for leaf in self._first_given():
            self._name(leaf, called, found)
        while (circle := self._circle(found)) is not None:
            self._name(circle, called, found)
        return found

    def _name_shared(self, found: dict[Node, str]) -> None:
        """What belongs to the backward pass and is used more than once."""
        for node in self.step.graph.nodes:
            shared = len({user for user in self.users[node] if user.op not in SILENT}) > 1
            if shared and node in self.backward and node not in found and node.op not in SHORT:
                self._name(node, {}, found)

    def _name_collected(self, called: Mapping[Node, str], found: dict[Node, str]) -> None:
        """What is collected: it is read outside."""
        for take, root in self.step.graph.roots.items():
            if take.startswith("out.") and root in self.backward:
                if root not in found:
                    outside = self._outside(take)
                    self._name(root, called if outside is None else {root: outside}, found)
                self.collected[take] = found[root].removesuffix("<t>")

    def _name(self, node: Node, called: Mapping[Node, str], found: dict[Node, str]) -> None:
        """Gives a value the name that it is called by, or a new one, and a line."""
        found[node] = called.get(node) or self.loops.fresh()
        self.defined[found[node]] = node

    def _outside(self, take: str) -> str | None:
        """What the whole sequence of a collected value is called outside."""
        mine = together(self.scan)
        for node, name in self.loops.cotangents.items():
            if node.op == "scan" and node.attr("take") == take and together(node) == mine:
                return name
        return None

    def _first_given(self) -> list[Node]:
        """The carries that begin with something, as the gradient of what stands behind a loop."""
        held = self.step.held()
        carries = [held[name] for name in self.given if name.startswith("carry.") and name in held]
        return [leaf for leaf in carries if not _is_zero(self.given[str(leaf.attr("name"))])]

    def _circle(self, named: Collection[Node]) -> Node | None:
        """A carry that steps before it lead back to with no named value between, but for mere sums."""
        held, roots = self.step.held(), self.step.graph.roots
        carries = {name: leaf for name, leaf in held.items() if name.startswith("carry.")}
        for name, leaf in carries.items():
            if leaf not in named and self._added(name, named) is None:
                waiting, seen = [roots[name]], set[Node]()
                while waiting:
                    node = waiting.pop()
                    if node is leaf:
                        return leaf
                    if node not in named and node not in seen:
                        seen.add(node)
                        carried = str(node.attr("name")) if node.op == "held" else ""
                        waiting += [roots[carried]] if carried in carries else node.inputs
        return None

    def _is_carried(self, node: Node) -> bool:
        """Whether a value is the sum of something and what the loop carries."""
        return node.op == "add" and any(
            value.op == "held" and str(value.attr("name")).startswith("carry.") for value in node.inputs
        )

    def _backward(self) -> Collection[Node]:
        """The values that depend on a cotangent."""
        found: set[Node] = set()
        for node in self.step.graph.nodes:
            name = str(node.attr("name"))
            if node.op == "held":
                given = self.given[name]
                if name.startswith("carry.") or (name.startswith("sequence.") and self.loops.is_backward(given)):
                    found.add(node)
            elif any(value in found for value in node.inputs):
                found.add(node)
        return found

    # --- values ------------------------------------------------------------------------------------------------

    def value(self, node: Node, place: Place = NOW) -> Node:
        """A value of a step as others write it: by its name, if it has one."""
        if node in self.named:
            return self.loops.leaf(at(self.named[node], place), node.type)
        if (node, place) not in self.made:
            self.made[node, place] = self.spelled(node, place)
        return self.made[node, place]

    def spelled(self, node: Node, place: Place = NOW) -> Node:
        """A value of a step written out."""
        if node.op == "one_hot" and node.inputs[0].op == "held":
            words = self.loops.sequence(self.given[str(node.inputs[0].attr("name"))])
            return self.loops.leaf(at(words, place), node.type)
        if node.op != "held":
            return self.loops.b.again(node, tuple(self.value(value, place) for value in node.inputs))
        name = str(node.attr("name"))
        if name.startswith("constant."):
            return self.loops.written(self.given[name])
        if name.startswith("carry."):
            return self.value(self.step.graph.roots[name], place.moved(self.ahead))
        return self._slice(self.given[name], node.type, place)

    def _slice(self, given: Node, type: TensorType, place: Place) -> Node:
        """A sequence at a step."""
        loops = self.loops
        while given.op in SILENT and given not in loops.forward and given not in loops.cotangents:
            given = given.inputs[0]
        if given.op == "position":
            return loops.leaf(str(place), type)
        if given.op == "constant":
            return loops.b.typed("constant", (), given.attrs, given.type)
        before = None if given in loops.forward else _before(given)
        if before is not None:
            back = 1 if given.attr("reverse") else -1
            return loops.leaf(at(self._before_name(given, before), place.moved(back)), type)
        return loops.leaf(at(loops.sequence(given), place), type)

    def _before_name(self, scan: Node, number: str) -> str:
        """How a loop's own text calls what it carries."""
        for node, name in self.loops.forward.items():
            if node.op == "scan" and together(node) == together(scan) and node.attr("take") == f"carry.{number}":
                return name
        root = scan.attr("step").graph.roots[f"carry.{number}"]
        return next((name for name, node in scan.attr("step").graph.names.items() if node is root), f"s_{number}")

    # --- results -----------------------------------------------------------------------------------------------

    def result(self, scan: Node) -> Node:
        """What a `take` of the scan is, outside of it."""
        kind, _, number = str(scan.attr("take")).partition(".")
        if kind == "last":
            added = self._added(f"carry.{number}", self.named)
            if added is not None:
                return self._sum(self.value(added))
            return self.value(self.step.graph.roots[f"carry.{number}"], Place(self.ends[1]))
        return self.loops.leaf(self.loops.sequence(scan), scan.type)

    def _added(self, name: str, named: Collection[Node]) -> Node | None:
        """What each step adds to a carry that is nothing but a sum."""
        root, given = self.step.graph.roots[name], self.given[name]
        leaf = self.step.held().get(name)
        if leaf is None or root.op != "add" or leaf not in root.inputs or not _is_zero(given):
            return None
        if set(self.users[leaf]) != {root} or root in named:
            return None
        return root.inputs[1] if root.inputs[0] is leaf else root.inputs[0]

    def _sum(self, value: Node) -> Node:
        """A value of each step, added up over t."""
        b, rank = self.loops.b, value.type.rank
        axis = Axis(self.scan.attr("axis").size, "t")
        longer = TensorType((*value.type.axes, axis))
        shown = b.typed("expand", (value,), (("axes", (rank,)),), longer)
        total = b.typed("sum", (shown,), (("axes", (rank,)),), value.type)
        return b.typed("drop", (total,), (("axes", (rank,)),), value.type)

    def equations(self) -> list[Equation]:
        """The lines of the loop, in the order of its step; a carry that begins with something has a line for that."""
        order = {node: place for place, node in enumerate(self.step.graph.nodes)}
        lines = []
        for name, node in sorted(self.defined.items(), key=lambda item: order[item[1]]):
            if node.op == "held":
                given = self.given[str(node.attr("name"))]
                lines.append(Equation(at(name, self.ends[0]), self.loops.spelled(given)))
            lines.append(Equation(at(name, NOW), self.spelled(node)))
        return lines


def _is_zero(node: Node) -> bool:
    while node.op in SILENT:
        node = node.inputs[0]
    return node.op == "constant" and node.attr("value") == 0


def _before(node: Node) -> str | None:
    """The number of the carry whose value before each step a sequence is."""
    while node.op in SILENT:
        node = node.inputs[0]
    kind, _, number = str(node.attr("take")).partition(".")
    return str(number) if node.op == "scan" and kind == "before" else None


__all__ = ["Equation", "Loops"]
