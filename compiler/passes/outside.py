"""Values of a scan's step outside of the scan, at all steps at once.

What a value is made of comes from the sequences and constants that the scan is given, from what it carries, and from
values of the step that it collects. Which those are is decided in a first run, with leaves in their place; the second
run, when the scan stands, writes the program.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dlc.compiler.dims import Dim, TensorType
from dlc.compiler.ir import Builder, Node, topological
from dlc.compiler.ops import OPS, Elementwise, Movement
from dlc.compiler.passes.all_steps import Operand, at_all_steps
from dlc.compiler.passes.apart import parts
from dlc.compiler.passes.opened import Opened, Reads, Take, costly, grows_by, in_order, nominal


@dataclass(frozen=True, slots=True)
class Part:
    """A value of the step that is a part of a concatenation there."""

    whole: Node
    axis: int
    start: Dim
    size: Dim


@dataclass
class Decisions:
    """What the first run leaves for the second: the collected values by name, and which parts of a concatenation were
    asked for, in which sums."""

    names: dict[Node, str] = field(default_factory=dict)
    asked: dict[Hashable, dict[Dim, Dim]] = field(default_factory=dict)


class Outside:
    """`inside` are the nodes that the next step needs: they stay in the loop, and are collected where something outside
    reads them. `carried` are the new values of the carries that stay, by what they are called. `used` are the results
    of the scan that are asked for."""

    def __init__(
        self,
        loop: Opened,
        inside: Collection[Node],
        carried: Mapping[Node, str],
        b: Builder,
        used: Iterable[str],
        decided: Decisions | None = None,
    ) -> None:
        self.loop, self.inside, self.carried, self.b = loop, inside, carried, b
        self.first = decided is None
        self.decided = decided or Decisions()
        self.take: Take = self._leaf
        self.used = dict.fromkeys(used)
        self.largest = max((0.0, *(nominal(leaf.type) for leaf in loop.scanned)))
        self._parts = _parts(loop)
        self._values: dict[Node, Node] = {}
        self._before: dict[Node, Node | None] = {}
        self._goes: dict[Node, bool] = {}

    def _leaf(self, take: str) -> Node:
        """In the first run: what stands for a result of the scan."""
        self.used[take] = None
        kind, _, number = take.partition(".")
        if kind == "out":
            (node,) = (node for node, name in self.decided.names.items() if name == take)
        else:
            node = self.loop.roots[f"carry.{number}"]
        type = node.type if kind == "last" else self._with_time(node.type)
        return self.b.typed("held", (), (("name", take),), type)

    def _with_time(self, type: TensorType) -> TensorType:
        return type.with_axes((*type.axes, self.loop.axis))

    # --- values ------------------------------------------------------------------------------------------------

    def varies(self, node: Node) -> bool:
        """Whether a value may differ from step to step."""
        return self.loop.reads(node) is not Reads.CONSTANTS

    def operand(self, node: Node) -> Operand:
        """A value that is the same at every step, or has time as its last axis."""
        timed = self.varies(node)
        return Operand(self.timed(node) if timed else self.constant(node), timed)

    def constant(self, node: Node) -> Node:
        """A value that is the same at every step."""
        for value in in_order(node, self._values):
            inputs = tuple(self._values[x] for x in value.inputs)
            given = self.loop.given.get(value)
            self._values[value] = given or self.b.typed(value.op, inputs, value.attrs, value.type, value.span)
        return self._values[node]

    def timed(self, node: Node) -> Node:
        """A value at all steps; time is the last axis."""
        for value in in_order(node, self._values, self._made_of):
            self._values[value] = self._timed(value)
        return self._values[node]

    def _made_of(self, node: Node) -> Sequence[Node]:
        """The values outside that a value is made of there, which differ from step to step."""
        if node in self.loop.given or node in self.carried:
            return ()
        part = self.part(node)
        if part is not None:
            return (part.whole,)
        stays = node in self.decided.names or (self.first and not self.goes(node))
        return () if stays else [value for value in node.inputs if self.varies(value)]

    def _timed(self, node: Node) -> Node:
        if node in self.loop.given:
            return self._given(node)
        if node in self.carried:
            return self.take(self.carried[node])
        part = self.part(node)
        if part is not None:
            return self.slice(self.timed(part.whole), part.axis, part.start, part.size)
        if node not in self.decided.names and (self.goes(node) or not self.first):
            found = at_all_steps(self.b, node, [self.operand(value) for value in node.inputs], self.loop.axis)
            if found is not None:
                return found
        return self.take(self._collected(node))

    def part(self, node: Node) -> Part | None:
        """What a value is a part of, where that is collected and not made outside of its parts."""
        part = self._parts.get(node)
        if part is None:
            return None
        collected = part.whole in self.decided.names or (self.first and not self.goes(part.whole))
        return part if collected or part.whole in self.carried or self.part(part.whole) is not None else None

    def _given(self, leaf: Node) -> Node:
        """A sequence with its scanned axis last; what is carried, before each step."""
        if leaf not in self.loop.scanned:
            return self.take(self.loop.root(leaf).replace("carry", "before"))
        value, axis = self.loop.given[leaf], self.loop.scanned[leaf]
        others = tuple(i for i in range(value.type.rank) if i != axis)
        return value if axis == len(others) else self.b.add("permute", value, order=(*others, axis))

    def _collected(self, node: Node) -> str:
        """The name of a collected value."""
        names = self.decided.names
        if node not in names:
            known = (name for name, root in self.loop.roots.items() if root is node and name.startswith("out."))
            numbers = [int(name[4:]) for name in (*self.loop.roots, *names.values()) if name.startswith("out.")]
            names[node] = next(known, f"out.{1 + max(numbers, default=-1)}")
        return names[node]

    def before(self, node: Node) -> Node | None:
        """A value of sequences and constants at all steps, without the loop; None for what has no such form, or is of
        a size there that none of the sequences is of."""
        for value in in_order(node, self._before):
            self._before[value] = self._alone(value)
        return self._before[node]

    def _alone(self, node: Node) -> Node | None:
        if not self.varies(node) or node in self.loop.given:
            return self.operand(node).value
        leaves = [leaf.type for leaf in topological([node]) if leaf in self.loop.scanned]
        if grows_by(node.type) > max(1, *map(grows_by, leaves)):
            return None
        values = [self._before[value] for value in node.inputs]
        found = [Operand(x, self.varies(own)) for x, own in zip(values, node.inputs, strict=True) if x is not None]
        return at_all_steps(self.b, node, found, self.loop.axis) if len(found) == len(values) else None

    def slice(self, x: Node, axis: int, start: Dim, size: Dim) -> Node:
        """A part of a value; the value where it is all of it."""
        return x if x.type.axes[axis].size == size else self.b.add("slice", x, axis=axis, start=start, size=size)

    # --- what goes outside -------------------------------------------------------------------------------------

    def goes(self, node: Node) -> bool:
        """Whether a value is computed outside, of what is there and of what may be collected: it is costly, or made of
        something that is computed outside, or of what is there anyway."""
        for value in in_order(node, self._goes):
            self._goes[value] = self._is_worth(value) and self._is_possible(value)
        return self._goes[node]

    def _is_worth(self, node: Node) -> bool:
        if node in self.inside or node in self.loop.given or not self.varies(node):
            return False
        timed = [value for value in node.inputs if self.varies(value)]
        simple = isinstance(OPS[node.op], Elementwise | Movement)
        return costly(node) or any(self._goes[value] for value in timed) or (simple and all(map(self.is_there, timed)))

    def _is_possible(self, node: Node) -> bool:
        if not self._is_small(node) or not all(self.reachable(value) for value in node.inputs if self.varies(value)):
            return False
        operands = [
            Operand(self.b.typed("held", (), (("name", "any"),), self._with_time(value.type)), True)
            if self.varies(value)
            else Operand(self.constant(value), False)
            for value in node.inputs
        ]
        return bool(operands) and at_all_steps(self.b, node, operands, self.loop.axis) is not None

    def is_there(self, node: Node) -> bool:
        """Whether a value can be had without collecting more: where a carry is taken before each step, it is so after
        each."""
        if node in self.decided.names or node in self.loop.scanned:
            return True
        name = self.carried.get(node) or (self.loop.root(node) if node in self.loop.carries else "")
        return name in self.used or name.replace("carry", "before") in self.used

    def reachable(self, node: Node) -> bool:
        """Whether a value can be had outside, and is not large."""
        return node in self.loop.given or node in self.carried or self._is_small(node)

    def _is_small(self, node: Node) -> bool:
        """Whether the values of all steps are at most some columns for each example and step, or no more than what the
        scan is given."""
        return grows_by(node.type) <= 1 or nominal(node.type) <= self.largest


def _parts(loop: Opened) -> dict[Node, Part]:
    """The values that a step puts into a concatenation, each with the largest that it is in: collected, that serves for
    all of them."""
    found: dict[Node, Part] = {}
    for node in loop.graph.nodes:
        if node.op != "concat" or any(loop.reads(x) is not Reads.CARRIES or x in loop.given for x in node.inputs):
            continue
        axis = node.attr("axis")
        for start, value in parts(node):
            if value not in found or len(found[value].whole.inputs) < len(node.inputs):
                found[value] = Part(node, axis, start, value.type.axes[axis].size)
    return found
