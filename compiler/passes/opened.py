"""A scan taken apart: what passes change in it, and how it is put together again.

`reopened` gives each scan of a graph, all its results at once, to a change. An opened step has its leaves bound to
values outside, so that sequences, constants and collected values can be added and are numbered in the end; what no
result needs, such as a carry that nothing reads, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from operator import attrgetter
from typing import TypeAlias

from dlc.compiler.dims import Axis, TensorType
from dlc.compiler.ir import Builder, Graph, Node, bodies, rebuild, substituted, topological
from dlc.compiler.ops import OPS
from dlc.compiler.ops.base import elements
from dlc.compiler.ops.loop import Parts, Step, closed

Take: TypeAlias = Callable[[str], Node]
"""From `carry.0`, `out.1`, … to the node that takes it of a scan."""


class Reads(IntEnum):
    """What a value of a step depends on, at most."""

    CONSTANTS = 0
    SEQUENCES = 1
    CARRIES = 2


@dataclass
class Opened:
    """`given` has for each leaf of the step the value outside; `scanned` the axis of those that are sequences. `roots`
    are the step's results, under the names that they have in the scan; `carries` its carries in order. `became` has the
    nodes of the step in the graph that `scan` is a node of."""

    scan: Node
    became: Mapping[Node, Node]
    outer: Builder
    axis: Axis
    reverse: bool
    inner: Builder
    roots: dict[str, Node]
    carries: list[Node]
    given: dict[Node, Node]
    scanned: dict[Node, int]
    names: dict[str, Node]
    _reads: dict[Node, Reads] = field(default_factory=dict)

    @staticmethod
    def of(b: Builder, scan: Node, operands: Sequence[Node]) -> Opened:
        """The scan of a node, with operands in another graph."""
        step: Step = scan.attr("step")
        inner = Builder()
        values = step.operands(operands)
        leaves = step.held()
        carries = {
            name: inner.typed("held", (), (("name", name),), leaves[name].type if name in leaves else value.type)
            for name, value in values.items()
            if name.startswith("carry.")
        }
        new: dict[Node, Node] = {}
        merged: dict[Hashable, Node] = {}
        given = {carries[name]: values[name] for name in carries}
        scanned: dict[Node, int] = {}
        for node in step.graph.nodes:
            name = str(node.attr("name"))
            if node.op != "held":
                inputs = tuple(new[value] for value in node.inputs)
                new[node] = inner.typed(node.op, inputs, node.attrs, node.type, node.span)
            elif name in carries:
                new[node] = carries[name]
            else:
                kind, _, number = name.partition(".")
                at = scan.attr("axes")[int(number)] if kind == "sequence" else None
                leaf = merged.setdefault((values[name], at), inner.typed("held", (), node.attrs, node.type, node.span))
                new[node], given[leaf] = leaf, values[name]
                if at is not None:
                    scanned[leaf] = at
        roots = {name: new[node] for name, node in step.graph.roots.items()}
        names = {name: new[node] for name, node in step.graph.names.items()}
        time, reverse = scan.attr("axis"), scan.attr("reverse")
        return Opened(scan, new, b, time, reverse, inner, roots, [*carries.values()], given, scanned, names)

    # --- what is in it -----------------------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        return Graph.of(self.roots, self.names)

    def root(self, carry: Node) -> str:
        """What the new value of a carry is called."""
        return f"carry.{self.carries.index(carry)}"

    def reads(self, node: Node) -> Reads:
        """What a value depends on; a draw is another one at each step and counts as carried."""
        for value in in_order(node, self._reads):
            if value in self.given:
                carried = Reads.CARRIES if value in self.carries else Reads.CONSTANTS
                self._reads[value] = Reads.SEQUENCES if value in self.scanned else carried
            elif draws(value):
                self._reads[value] = Reads.CARRIES
            else:
                self._reads[value] = max((self._reads[x] for x in value.inputs), default=Reads.CONSTANTS)
        return self._reads[node]

    def needed(self, takes: Iterable[str]) -> set[Node]:
        """The nodes that some of the results depend on, through earlier steps too."""
        wanted = [
            self.roots[f"carry.{take.partition('.')[2]}" if not take.startswith("out.") else take] for take in takes
        ]
        while True:
            found = set(topological(wanted))
            more = [self.roots[self.root(leaf)] for leaf in self.carries if leaf in found]
            if found.issuperset(more):
                return found
            wanted += more

    # --- changes -----------------------------------------------------------------------------------------------

    def sequence(self, value: Node) -> Node:
        """A leaf for the slices along the last axis of a value."""
        at = value.type.rank - 1
        for leaf, axis in self.scanned.items():
            if axis == at and self.given[leaf] is value:
                return leaf
        leaf = self._leaf(f"sequence.+{len(self.given)}", value.type.with_axes(value.type.axes[:-1]))
        self.given[leaf], self.scanned[leaf] = value, at
        return leaf

    def constant(self, value: Node) -> Node:
        """A leaf for a value that is the same at every step."""
        for leaf, own in self.given.items():
            if own is value and leaf not in self.scanned and leaf not in self.carries:
                return leaf
        leaf = self._leaf(f"constant.+{len(self.given)}", value.type)
        self.given[leaf] = value
        return leaf

    def collect(self, node: Node) -> str:
        """What the collected values of a node are called."""
        for name, root in self.roots.items():
            if root is node:
                return name
        name = f"out.{1 + max((int(root[4:]) for root in self.roots if root.startswith('out.')), default=-1)}"
        self.roots[name] = node
        return name

    def substitute(self, made: Mapping[Node, Node]) -> None:
        """Puts other values in the place of some."""
        graph = substituted(self.graph, made, self.inner)
        self.roots, self.names = dict(graph.roots), dict(graph.names)

    def close(self, takes: Iterable[str]) -> Take:
        """The scan again, for these results, by the names that they have here."""
        takes = list(takes)
        found = self.needed(takes)
        numbers = {take.partition(".")[2] for take in takes if not take.startswith("out.")}
        kept = [c for c in self.carries if c in found or self.root(c)[6:] in numbers]
        names = {self.root(leaf)[6:]: str(i) for i, leaf in enumerate(kept)}
        outs = {name: f"out.{i}" for i, name in enumerate(n for n in self.roots if n.startswith("out.") and n in takes)}
        roots = {f"carry.{new}": self.roots[f"carry.{old}"] for old, new in names.items()}
        roots |= {new: self.roots[old] for old, new in outs.items()}
        constants = {l: v for l, v in self.given.items() if l not in self.scanned and l not in self.carries}
        parts = Parts(
            roots,
            {leaf: (self.given[leaf], at) for leaf, at in self.scanned.items()},
            {leaf: self.given[leaf] for leaf in kept},
            constants,
            self.names,
        )
        take = closed(self.outer, parts, self.axis, self.reverse)

        def taken(name: str) -> Node:
            kind, _, number = name.partition(".")
            return take(outs[name] if kind == "out" else f"{kind}.{names[number]}")

        return taken

    def _leaf(self, name: str, type: TensorType) -> Node:
        return self.inner.typed("held", (), (("name", name),), type)


def in_order(
    node: Node, done: Container[Node], made_of: Callable[[Node], Iterable[Node]] = attrgetter("inputs")
) -> Iterator[Node]:
    """What a value is made of and then the value, as far as it is not done; the caller does each before the next."""
    waiting = [node]
    while waiting:
        value = waiting[-1]
        missing = [] if value in done else [part for part in made_of(value) if part not in done]
        if missing:
            waiting += missing
        else:
            waiting.pop()
            if value not in done:
                yield value


def draws(node: Node) -> bool:
    """Whether a value is drawn, or computed by a loop that draws."""
    return node.op in ("draw_uniform", "draw_normal") or any(any(map(draws, b.graph.nodes)) for b in bodies(node))


def reopened(graph: Graph, change: Callable[[Opened, Sequence[str]], Take | None]) -> Graph:
    """The graph with each scan changed: `change` is given the scan and the results that the graph takes of it, and says
    what stands for each, or None where the scan stays as it is."""
    takes: dict[Hashable, list[str]] = {}
    for node in graph.nodes:
        if node.op == "scan":
            takes.setdefault(together(node), []).append(node.attr("take"))
    changed: dict[Hashable, Take | None] = {}

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        key = together(node) if node.op == "scan" else None
        if key is None:
            return None
        if key not in changed:
            changed[key] = change(Opened.of(b, node, inputs), takes[key])
        take = changed[key]
        return take(node.attr("take")) if take is not None else None

    return rebuild(graph, rule) if takes else graph


def together(scan: Node) -> Hashable:
    return OPS[scan.op].together(scan)


def grows_by(type: TensorType) -> int:
    """With which power of sizes that are known only at run time the number of elements grows: 1 for (n, m)."""
    size = elements(type)
    return max((sum(exponent for _, exponent in monomial) for monomial in size.terms), default=0)


def nominal(type: TensorType) -> float:
    """About the number of elements where what is known only at run time is 64: for comparisons."""
    terms = elements(type).terms.items()
    return sum(abs(float(factor)) * 64.0 ** sum(power for _, power in monomial) for monomial, factor in terms)


def costly(node: Node) -> bool:
    """Whether a value is rather kept than computed again. An elementwise function of more than (n, m) values a step is
    computed again as fast as it is read."""
    from dlc.compiler.ops import Elementwise

    op = OPS[node.op]
    return op.costly and not (isinstance(op, Elementwise) and grows_by(node.type) > 1)
