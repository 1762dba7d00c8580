"""Values that are plainly no probabilities: a softmax or a sigmoid was forgotten.

Only what is provable is said: a product with a learned parameter may become any number, and so may what sums,
rectifiers and their like make of it. Where nothing is known of a value, nothing is said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dlc.compiler.ir import Node
from dlc.compiler.ops import OPS, Contraction, Movement
from dlc.compiler.ops.loop import Step


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether a value may become any number, however low and however high."""

    low: bool = False
    high: bool = False

    def __bool__(self) -> bool:
        return self.low or self.high

    def and_of(self, other: Reach) -> Reach:
        """Of a sum. Two that go opposite ways may hold each other: max(z, 0) + min(1 - z, 0)."""
        both = Reach(self.low or other.low, self.high or other.high)
        return both if both != ANYTHING or ANYTHING in (self, other) else NOTHING

    def turned(self) -> Reach:
        return Reach(self.high, self.low)


FOLLOWED = ("add", "sub", "neg", "mul", "div", "max", "min")
FARTHEST = 30
"""So many operations behind a value are followed."""
NOTHING, ANYTHING = Reach(), Reach(low=True, high=True)


def no_probability(node: Node, frozen: Collection[str]) -> str | None:
    """What a value may be that no probability is, in words; None where it may be one, or nothing is known. `frozen` are
    the parameters that are not learned."""
    found = _Numbers(frozen, {})
    top, numbers = found.behind(node)
    if top.op == "tanh" and numbers.reach(top.inputs[0]).low:
        return "is between -1 and 1"
    reach = numbers.reach(top)
    if not reach:
        return None
    return "may be any number" if reach == ANYTHING else f"has no {'lower' if reach.low else 'upper'} bound"


@dataclass(slots=True)
class _Numbers:
    """The reach of the values of one graph. `given` are the values that the leaves of a loop's step stand for, with the
    graph that they are from."""

    frozen: Collection[str]
    given: Mapping[str, tuple[Node, _Numbers]]
    known: dict[Node, Reach] = field(default_factory=dict)

    def behind(self, node: Node) -> tuple[Node, _Numbers]:
        """The operation that a value is the result of, under its names and out of its loop, and the graph around it."""
        while node.op == "real" or (isinstance(OPS[node.op], Movement) and len(node.inputs) == 1):
            node = node.inputs[0]
        if node.op == "scan" and not str(node.attr("take")).startswith("before."):
            step: Step = node.attr("step")
            given = {name: (value, self) for name, value in step.operands(node.inputs).items()}
            return _Numbers(self.frozen, given).behind(step.root(str(node.attr("take"))))
        if node.op == "held":
            name = str(node.attr("name"))
            value = None if name.startswith("carry.") else self.given.get(name)
            return value[1].behind(value[0]) if value is not None else (node, self)
        if node.op == "select" and node.inputs[2].op == "held":  # past an example's own end a carry stays as it is
            return self.behind(node.inputs[1])
        return node, self

    def reach(self, value: Node, far: int = 0) -> Reach:
        """How far a value goes, as far as it is followed."""
        node, around = self.behind(value)
        if around is not self:
            return around.reach(node, far)
        if node not in self.known:
            self.known[node] = NOTHING if far > FARTHEST else self._reach(node, far + 1)
        return self.known[node]

    def _reach(self, node: Node, far: int) -> Reach:
        if isinstance(OPS[node.op], Contraction):
            return ANYTHING if any(map(self.learned, node.inputs)) else NOTHING
        if node.op not in FOLLOWED:
            return NOTHING
        reaches = [self.reach(value, far) for value in node.inputs]
        match node.op:
            case "add":
                a, b = reaches
                return a.and_of(b)
            case "sub":
                a, b = reaches
                return NOTHING if a and b else a or b.turned()
            case "neg":
                return reaches[0].turned()
            case "mul" | "div":
                return self._scaled(node, reaches)
            case "max":
                a, b = reaches
                return Reach(a.low and b.low, a.high or b.high)
            case "min":
                a, b = reaches
                return Reach(a.low or b.low, a.high and b.high)
        return NOTHING

    def _scaled(self, node: Node, reaches: Sequence[Reach]) -> Reach:
        """Of a product with a number, or with a learned parameter."""
        (value, factor), (reach, other) = node.inputs, reaches
        if node.op == "mul" and value.op == "constant":
            factor, reach = value, other
        if factor.op == "constant":
            number = float(factor.attr("value"))
            return NOTHING if not number else reach if number > 0 else reach.turned()
        grows = node.op == "mul" and any(reaches) and any(map(self.learned, node.inputs))
        return ANYTHING if grows else NOTHING

    def learned(self, value: Node) -> bool:
        node, _ = self.behind(value)
        return node.op == "parameter" and str(node.attr("name")) not in self.frozen
