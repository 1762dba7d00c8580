"""Loops as equations: a gradient's scan in the course's `a<t>`, for `dlc derive`.

What the scan carries from step to step becomes an equation that looks one step ahead, what it adds up over all steps a
sum over t, and a sequence that it collects an equation of its own:

    da<t>  = W_ya.T @ dy_hat<t> + W_aa.T @ (da<t+1> * (1 - a<t+1>^2))
    dW_aa  = 1/m * sum(da<t> * (1 - a<t>^2) @ a<t-1>.T, over = t)

Every example counts as long as the axis: what keeps the places past an example's end out is no part of a lecture.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from dlc.compiler.autodiff import cotangent_name
from dlc.compiler.dims import ONE, Axis, TensorType
from dlc.compiler.ir import Builder, Graph, Node, rebuild, topological
from dlc.compiler.ops import OPS
from dlc.compiler.ops.loop import Step
from dlc.compiler.passes.opened import in_order

SILENT = ("rename", "drop", "expand", "broadcast", "permute", "real")
"""What an equation does not show."""
SHORT = (*SILENT, "transpose", "held", "neg")
"""What is written out however often it is used."""
COMPARES = ("le", "lt", "ge", "gt")


@dataclass(frozen=True, slots=True)
class Equation:
    """`name` is what `node` computes, whose leaves are inputs with the names that are shown."""

    name: str
    node: Node


# --- without padding ---------------------------------------------------------------------------------------------


def without_padding(graph: Graph, around: Mapping[str, Node] | None = None) -> Graph:
    """The graph for examples that are all as long as their axes. `around` has the values that a body's leaves hold."""
    steps: dict[Step, Step] = {}
    known = _Leaves(around or {})

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op == "select" and known.tell_padding(node.inputs[0]):
            return b.add("broadcast", inputs[1], axes=node.type.axes) if inputs[1].type.rank else inputs[1]
        if node.op == "and":
            kept = [inputs[i] for i in (0, 1) if not known.tell_padding(node.inputs[i])]
            return kept[0] if len(kept) == 1 and kept[0].type == node.type else None
        if node.op == "sum" and known.tell_padding(node.inputs[0]):
            counted = math.prod((node.inputs[0].type.sizes[axis] for axis in node.attr("axes")), start=ONE)
            return b.add("broadcast", b.size(counted), axes=node.type.axes)
        step = node.attr("step")
        if node.op != "scan" or not isinstance(step, Step):
            return None
        if step not in steps:
            inner = {name: known.outermost(value) for name, value in step.operands(node.inputs).items()}
            steps[step] = step.with_graph(without_padding(step.graph, inner))
        attrs = tuple((name, steps[step] if name == "step" else value) for name, value in node.attrs)
        return b.typed(node.op, inputs, attrs, node.type, node.span)

    return rebuild(graph, rule)


class _Leaves:
    """What values are computed from. `around` has what a body's leaves hold."""

    def __init__(self, around: Mapping[str, Node]) -> None:
        self.around = around
        self.found: dict[Node, frozenset[str]] = {}

    def outermost(self, node: Node) -> Node:
        return self.around.get(str(node.attr("name")), node) if node.op == "held" else node

    def tell_padding(self, node: Node) -> bool:
        """Whether a value tells which places count: it compares places with lengths, and nothing else."""
        while (node := self.outermost(node)).op in SILENT:
            node = node.inputs[0]
        if node.op not in COMPARES:
            return False
        places, ends = sorted(map(self.of, node.inputs), key=lambda leaves: "position" not in leaves)
        return places == {"position"} and "length" in ends and ends <= {"length", "size", "constant"}

    def of(self, node: Node) -> frozenset[str]:
        """The ops of the leaves of a value."""
        for value in in_order(node, self.found, self._parts):
            parts = (self.found[each] for each in self._parts(value))
            self.found[value] = frozenset().union(*parts) or frozenset({value.op})
        return self.found[node]

    def _parts(self, node: Node) -> tuple[Node, ...]:
        outer = self.outermost(node)
        return (outer,) if outer is not node else () if node.op == "position" else node.inputs


# --- equations ---------------------------------------------------------------------------------------------------


class Loops:
    """Writes the loops of a derivation as equations. `forward` are the named values of the forward pass, by node;
    `cotangents` the names of the others."""

    def __init__(self, forward: Mapping[Node, str], cotangents: Mapping[Node, str]) -> None:
        self.forward, self.cotangents = forward, cotangents
        self.b = Builder()
        self.new: dict[Node, Node] = {}
        self.equations: dict[Hashable, list[Equation]] = {}
        self.extra: dict[Node, str] = {}
        self.told: set[Node] = set()
        self.ahead = set(topological(forward))
        self.run_ahead = {_together(node) for node in self.ahead if node.op == "scan"}
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
        key = _together(scan)
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
        ahead = node in self.ahead or (node.op == "scan" and _together(node) in self.run_ahead)
        return bool(node.inputs) and node.op != "position" and not ahead

    def behind(self, nodes: Iterable[Node]) -> list[Equation]:
        """The equations of the loops that values depend on, and of what these read; none is given twice."""
        found = []
        for value in topological(nodes):
            if value in self.extra and value not in self.told:
                self.told.add(value)
                found.append(Equation(self.extra[value], self.spelled(value)))
            if value.op == "scan":
                found += self.equations.pop(_together(value), [])
        return found


def _together(scan: Node) -> Hashable:
    return OPS[scan.op].together(scan)


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
    """One scan. `ahead` is the way from a step to the one that computed what it is given."""

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
        backward = self._backward()
        for node in self.step.graph.nodes:
            shared = len({user for user in self.users[node] if user.op not in SILENT}) > 1
            if (
                shared
                and node in backward
                and node not in found
                and node.op not in (*SILENT, "transpose", "held", "neg")
            ):
                found[node] = self.loops.fresh()
                self.defined[found[node]] = node
        called = {node: name for name, node in names.items() if name in cotangents}
        for take, root in self.step.graph.roots.items():
            if take.startswith("out.") and root in backward:
                if root not in found:
                    found[root] = self._outside(take) or called.get(root) or self.loops.fresh()
                    self.defined[found[root]] = root
                self.collected[take] = found[root].removesuffix("<t>")
        for leaf in self._first_given():
            self._name(leaf, called, found)
        while (circle := self._circle(found)) is not None:
            self._name(circle, called, found)
        return found

    def _outside(self, take: str) -> str | None:
        """What the whole sequence of a collected value is called outside."""
        mine = _together(self.scan)
        for node, name in self.loops.cotangents.items():
            if node.op == "scan" and node.attr("take") == take and _together(node) == mine:
                return name
        return None

    def _name(self, leaf: Node, called: Mapping[Node, str], found: dict[Node, str]) -> None:
        found[leaf] = called.get(leaf) or self.loops.fresh()
        self.defined[found[leaf]] = leaf

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
            return self.loops.leaf(
                at(self.loops.sequence(self.given[str(node.inputs[0].attr("name"))]), place), node.type
            )
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
            if node.op == "scan" and _together(node) == _together(scan) and node.attr("take") == f"carry.{number}":
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


__all__ = ["Equation", "Loops", "without_padding"]
