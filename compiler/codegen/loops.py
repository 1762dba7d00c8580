"""The loops of a kernel: what its members, totals and stores become, row by row.

Inside a row, members are computed in one loop after another: a reduction has to end before what reads it begins. A
value read once is written into its reader's formula; others get a variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.compiler.codegen.body import Body, family
from dlc.compiler.codegen.fuse import INNER, Group, canonical, reads
from dlc.compiler.codegen.memory import Buffer
from dlc.compiler.codegen.stored import inner_of, loop_of, loop_times
from dlc.compiler.codegen.text import KernelEmitter, ScalarEmitter, bare
from dlc.compiler.ir import Node
from dlc.compiler.ops import OPS, Reduction

INDENT = "    "
NOTHING: Mapping[Node, str] = {}
INLINE_LENGTH = 70
"""A value read once stays in its reader's formula up to this many characters."""


def indented(lines: Sequence[str], depth: int = 1) -> list[str]:
    return [INDENT * depth + line for line in lines]


class Loops:
    """Writes the statements for one row (or one element, in an epilogue) of a group."""

    def __init__(
        self, group: Group, body: Body, stores: Sequence[tuple[Node, Buffer]], given: Mapping[Node, str] = NOTHING
    ) -> None:
        """`given` are members that are there already when a row begins: the product, the sum of a column."""
        self.group, self.body, self.given = group, body, given
        body.locals.update(given)
        self.stores: dict[Node, list[Buffer]] = {}
        for node, buffer in stores:
            self.stores.setdefault(node, []).append(buffer)
        self.times = loop_times(group) if group.kind == "rows" or group.whole else {}
        self.sums: dict[Node, str] = {}  # totals: the float64 variable of the unit
        self.members = list(dict.fromkeys([*group.members, *self.stores]))

    def loop(self, node: Node) -> tuple[int, ...]:
        """The sizes of the loop inside a row that a value belongs to."""
        return inner_of(node) if node in self.given else loop_of(node)

    # --- totals ------------------------------------------------------------------------------------------------

    def begin_unit(self) -> list[str]:
        """Totals start for every unit."""
        lines = []
        for node in self.group.totals:
            if node is not self.group.anchor:
                self.sums[node] = self.body.arguments.fresh(f"{self.body.names[node]}_part")
                lines.append(f"{self.sums[node]} = {_reduction(node).identity(ScalarEmitter())}")
        return lines

    def end_unit(self, partials: Mapping[Node, Buffer]) -> list[str]:
        """They are added up by the program, unit after unit."""
        arguments = self.body.arguments
        lines = []
        for node, name in self.sums.items():
            index = f"inside(unit, {arguments.end(partials[node])}, {arguments.flag})" if arguments.check else "unit"
            lines.append(f"{arguments.pointer(partials[node])}[{index}] = {name}")
        return lines

    # --- one row -----------------------------------------------------------------------------------------------

    def row(self) -> list[str]:
        """The statements for row `i`."""
        lines: list[str] = []
        last = max([self.times.get(node, 0) for node in [*self.members, *self.group.totals]], default=0)
        for time in range(last + 1):
            lines += self.row_values(time)
            for inner in self.inner_loops(time):
                lines += self.inner_loop(time, inner)
        return lines

    def row_values(self, time: int) -> list[str]:
        """What is one number a row."""
        nodes = [n for n in [*self.members, *self.sums] if self.times.get(n, 0) == time and not self.loop(n)]
        emitter = ScalarEmitter()
        return self.elements(nodes, {node: name for node, name in self.sums.items() if node in nodes}, emitter)

    def inner_loops(self, time: int) -> list[tuple[int, ...]]:
        """The different loops at a time, in the order of their first member."""
        nodes = [node for node in [*self.members, *self.sums] if self.times.get(node, 0) == time and self.loop(node)]
        return list(dict.fromkeys(self.loop(node) for node in nodes))

    def inner_loop(self, time: int, inner: tuple[int, ...]) -> list[str]:
        """One loop over the elements of a row, with what is reduced in it."""
        nodes = [n for n in [*self.members, *self.sums] if self.times.get(n, 0) == time and self.loop(n) == inner]
        before, after = [], []
        rows: dict[Node, str] = {}
        for node in nodes:
            if isinstance(OPS[node.op], Reduction) and node not in self.given:
                rows[node] = self.body.arguments.fresh(self.body.names[node])
                before.append(f"{rows[node]} = {_reduction(node).identity(self.body.emitter)}")
                if node in self.sums:
                    after.append(self.add(node, self.sums[node], rows[node], ScalarEmitter()))
        held = set(self.body.locals)
        lines = self.elements(nodes, rows, self.body.emitter)
        self.body.locals = {node: name for node, name in self.body.locals.items() if node in held}
        for node, name in rows.items():
            if node not in self.sums:
                self.body.locals[node] = name
                after += self.stored(node)
        for size, index in reversed(list(zip(inner, INNER, strict=False)) if lines else []):  # perhaps all are inline
            lines = [f"for {index} in range({size}):", *indented(lines)]
        return before + lines + after

    def elements(self, nodes: Sequence[Node], reductions: Mapping[Node, str], emitter: KernelEmitter) -> list[str]:
        """The statements for one element: values in order, then what is added up, then the stores: a value that is
        written over its operand is written after the operand was read."""
        lines: list[str] = []
        for node in nodes:
            kept = node in self.stores or self.read_later(node, nodes) or self.shared(node, nodes)
            if node not in reductions and kept:
                lines += self.define(node)
        for node, name in reductions.items():
            lines += self.added(node, name, emitter)
        for node in nodes:
            lines += self.stored(node) if node not in reductions else []
        return lines

    def read_later(self, node: Node, nodes: Sequence[Node]) -> bool:
        """Whether a number of the row is read in other loops of the row (a cheap element is computed again there)."""
        if self.loop(node):
            return False
        readers = [reader for reader in [*self.members, *self.sums] if reader not in nodes and reader not in self.given]
        return any(value is node for reader in readers for value, _ in reads(reader))

    def shared(self, node: Node, nodes: Sequence[Node]) -> bool:
        """Whether a value deserves a variable: it is read more than once, or its formula is long."""
        if node in self.given:
            return False
        readings = sum(value is node for reader in nodes if reader not in self.given for value, _ in reads(reader))
        if readings != 1:
            return readings > 1
        return self.body.length(node) > INLINE_LENGTH

    def define(self, node: Node) -> list[str]:
        """A variable for a member."""
        if node not in self.group.members or node in self.given:
            return []
        lines = self.body.statement(lambda: bare(self.body.formula(node, canonical(node))))
        suffix = "" if node not in self.stores else "_ij" if self.loop(node) else "_i"
        name = self.body.locals[node] = self.body.arguments.fresh(family(self.body.names[node]) + suffix)
        lines[-1] = f"{name} = {lines[-1]}"
        return lines

    def stored(self, node: Node) -> list[str]:
        return [line for buffer in self.stores.get(node, ()) for line in self.written(node, buffer)]

    def written(self, node: Node, buffer: Buffer) -> list[str]:
        point = canonical(node)
        return self.body.statement(lambda: self.body.store(buffer, point, self.body.value(node, point)))

    def added(self, node: Node, total: str, emitter: KernelEmitter) -> list[str]:
        """An element added to a reduction."""
        (value,) = node.inputs
        return self.body.statement(lambda: self.add(node, total, self.body.value(value, canonical(value)), emitter))

    def add(self, node: Node, total: str, element: str, emitter: KernelEmitter) -> str:
        return f"{total} = {bare(_reduction(node).combine(emitter, total, element))}"


def _reduction(node: Node) -> Reduction:
    op = OPS[node.op]
    assert isinstance(op, Reduction)
    return op
