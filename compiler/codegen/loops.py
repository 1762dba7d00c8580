"""The loops of a kernel: what its members, totals and stores become, row by row.

Inside a row, members are computed in one loop after another: a reduction has to end before what reads it begins. A
value read once is written into its reader's formula; others get a variable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dlc.compiler.codegen.body import Body, Saved, family
from dlc.compiler.codegen.fuse import INNER, Group, canonical, reads
from dlc.compiler.codegen.layout import Stride, count_text, factor_text, layout_of
from dlc.compiler.codegen.memory import Buffer
from dlc.compiler.codegen.runs import NoRun, Run, run_length
from dlc.compiler.codegen.stored import inner_of, loop_of, loop_times
from dlc.compiler.codegen.text import KernelEmitter, ScalarEmitter, bare
from dlc.compiler.codegen.values import fitted
from dlc.compiler.ir import Node
from dlc.compiler.ops import OPS, Reduction

INDENT = "    "
NOTHING: Mapping[Node, str] = {}
NOWHERE: Mapping[Node, Buffer] = {}
INLINE_LENGTH = 70
"""A value read once stays in its reader's formula up to this many characters."""


def indented(lines: Sequence[str], depth: int = 1) -> list[str]:
    return [INDENT * depth + line for line in lines]


class Loops:
    """Writes the statements for one row (or one element, in an epilogue) of a group."""

    def __init__(
        self,
        group: Group,
        body: Body,
        stores: Sequence[tuple[Node, Buffer]],
        given: Mapping[Node, str] = NOTHING,
        partials: Mapping[Node, Buffer] = NOWHERE,
        stretch: int = 0,
    ) -> None:
        """`given` are members that are there already when a row begins: the product, the sum of a column; the body
        knows where those without a name lie. `partials`
        are the places for what a unit adds up. With a `stretch`, a unit is a part of one row, so many elements for each
        of the places `begin` to `end` of the row's outermost axis."""
        self.group, self.body, self.given, self.partials, self.stretch = group, body, given, partials, stretch
        body.locals.update({node: name for node, name in given.items() if name})
        self.stores: dict[Node, list[Buffer]] = {}
        for node, buffer in stores:
            self.stores.setdefault(node, []).append(buffer)
        self.times = loop_times(group) if group.kind == "rows" or group.whole else {}
        self.sums: dict[Node, str] = {}  # totals: the float64 variable of the unit
        self.ahead: list[str] = []  # before all units
        self.zeros: list[str] = []  # before the rows of a unit, and after them
        self.after: list[str] = []
        self.members = list(dict.fromkeys([*group.members, *self.stores]))

    def loop(self, node: Node) -> tuple[Stride, ...]:
        """The sizes of the loop inside a row that a value belongs to."""
        return inner_of(node) if node in self.given else loop_of(node)

    @property
    def everything(self) -> list[Node]:
        """All that the loops compute."""
        return [*self.members, *self.sums, *(node for node in self.group.sums if node is not self.group.anchor)]

    # --- totals ------------------------------------------------------------------------------------------------

    def begin_unit(self) -> list[str]:
        """Totals start for every unit."""
        lines = []
        for node in self.group.totals:
            if node is not self.group.anchor:
                self.sums[node] = self.body.arguments.fresh(f"{self.body.names[node]}_part")
                lines.append(f"{self.sums[node]} = {_reduction(node).identity(ScalarEmitter())}")
        for node in self.group.sums:
            if node is not self.group.anchor:
                size, zero = layout_of(node.type, node).count, _reduction(node).identity(ScalarEmitter())
                lines += [f"for e in range({count_text(size)}):", f"{INDENT}{self.part(node, 'e')} = {zero}"]
        return lines

    def part(self, node: Node, index: str) -> str:
        """An element of what this unit adds up."""
        size = factor_text(layout_of(node.type, node).count)
        return self.body.at(self.partials[node], f"unit * {size}" + (f" + {index}" if index != "0" else ""))

    def end_unit(self) -> list[str]:
        """They are added up by the program, unit after unit."""
        return [f"{self.body.at(self.partials[node], 'unit')} = {name}" for node, name in self.sums.items()]

    # --- one row -----------------------------------------------------------------------------------------------

    def row(self) -> list[str]:
        """The statements for row `i`."""
        lines: list[str] = []
        last = max([self.times.get(node, 0) for node in self.everything], default=0)
        for time in range(last + 1):
            lines += self.row_values(time)
            for inner in self.inner_loops(time):
                lines += self.inner_loop(time, inner)
        return lines

    def row_values(self, time: int) -> list[str]:
        """What is one number a row."""
        nodes = [n for n in self.everything if self.times.get(n, 0) == time and not self.loop(n)]
        emitter = ScalarEmitter()
        return self.elements(nodes, {node: name for node, name in self.sums.items() if node in nodes}, emitter)

    def inner_loops(self, time: int) -> list[tuple[Stride, ...]]:
        """The different loops at a time, in the order of their first member."""
        nodes = [node for node in self.everything if self.times.get(node, 0) == time and self.loop(node)]
        return list(dict.fromkeys(self.loop(node) for node in nodes))

    def inner_loop(self, time: int, inner: tuple[Stride, ...]) -> list[str]:
        """One loop over the elements of a row, with what is reduced in it."""
        nodes = [n for n in self.everything if self.times.get(n, 0) == time and self.loop(n) == inner]
        known = tuple(size for size in inner if isinstance(size, int))
        if len(inner) > 1 and known == inner:
            try:
                return self.in_runs(nodes, known)
            except NoRun:
                pass
        return self.nested(nodes, inner)

    def in_runs(self, nodes: Sequence[Node], inner: tuple[int, ...]) -> list[str]:
        """The loop as runs (see `runs.py`). Raises NoRun, and leaves everything as it was."""
        body, saved = self.body, self.body.saved()
        stretch = self.stretch or math.prod(inner)
        length = run_length(inner, stretch)
        body.run = run = Run(inner, length, body.arguments.item)
        try:
            rows, before, after = self.row_numbers(nodes)
            parts = {node: self.run_sums(node, run) for node in nodes if self.in_parts(node)}
            lines = self.elements(nodes, rows, body.emitter, {node: f"{name}[k]" for node, name in parts.items()})
        except NoRun:
            body.restore(saved)
            raise
        body.run = None
        self.forget(saved, rows)
        each = stretch // length
        scale = f" * {each}" if each > 1 else ""
        runs = f"begin{scale}, end{scale}" if self.stretch else str(math.prod(inner) // length)
        self.ahead += run.ahead
        for node, name in parts.items():
            self.folded(node, name, run, before, after)
        if lines:  # perhaps all are inline
            lines = [f"for j in range({runs}):", f"{INDENT}for k in range({length}):", *indented(lines, 2)]
        return [*run.ahead_of_row, *before, *lines, *self.finished(rows, after)]

    def run_sums(self, node: Node, run: Run) -> str:
        """A sum with one number for each channel is added up in as many numbers as a run has elements: their name."""
        kept = [index for index in fitted(node, canonical(node.inputs[0])) if index not in ("0", "i")]
        if kept != [run.names[-1]]:
            raise NoRun
        name = self.body.arguments.fresh(f"{self.body.names[node]}_run")
        run.ahead.append(f"{name} = real_at({self.body.scratch(run.length * run.item)})")
        return name

    def folded(self, node: Node, name: str, run: Run, before: list[str], after: list[str]) -> None:
        """These start at 0, and are added up for each channel when the unit ends, or the row, as the sum says."""
        op, channel = _reduction(node), run.names[-1]
        zeros = [f"for k in range({run.length}):", f"{INDENT}{name}[k] = {op.identity(self.body.emitter)}"]
        whole = node in self.group.sums
        point = fitted(node, canonical(node.inputs[0]))
        emitter: KernelEmitter = ScalarEmitter() if whole else self.body.emitter
        element = f"{name}[j * {run.channels} + {channel}]"
        adds = bare(op.combine(emitter, "folded", f"float64({element})" if whole else element))
        fold = [
            f"for {channel} in range({run.channels}):",
            f"{INDENT}folded = {op.identity(emitter)}",
            f"{INDENT}for j in range({run.length // run.channels}):",
            f"{INDENT}{INDENT}folded = {adds}",
        ]
        if whole:
            self.zeros += zeros
            self.after += [*fold, f"{INDENT}{self.part(node, self.body.place_in(node))} = folded"]
        else:
            before += zeros
            after += [*fold, *(f"{INDENT}{self.body.element(buffer, point)} = folded" for buffer in self.stores[node])]

    def in_parts(self, node: Node) -> bool:
        """Whether a reduction has more than one number a row, or is a sum over rows."""
        reduced = isinstance(OPS[node.op], Reduction) and node not in self.given
        return reduced and (node in self.group.sums or bool(inner_of(node)))

    def row_numbers(self, nodes: Sequence[Node]) -> tuple[dict[Node, str], list[str], list[str]]:
        """The reductions that give one number a row: their variables, and what stands before and after the loop."""
        rows: dict[Node, str] = {}
        before, after = [], []
        for node in nodes:
            if isinstance(OPS[node.op], Reduction) and node not in self.given and not self.in_parts(node):
                rows[node] = self.body.arguments.fresh(self.body.names[node])
                before.append(f"{rows[node]} = {_reduction(node).identity(self.body.emitter)}")
                if node in self.sums:
                    after.append(self.add(node, self.sums[node], rows[node], ScalarEmitter()))
        return rows, before, after

    def nested(self, nodes: Sequence[Node], inner: tuple[Stride, ...]) -> list[str]:
        """The loop as one loop for each axis. What is reduced over the last of them is a variable outside of those."""
        saved = self.body.saved()
        rows, before, after = self.row_numbers(nodes)
        parts = [node for node in nodes if self.in_parts(node)]
        inside = {node: self.body.arguments.fresh(self.body.names[node]) for node in parts if self.trailing(node)}
        targets = {node: self.part(node, self.body.place_in(node)) for node in parts if node in self.group.sums}
        targets |= {
            node: self.body.element(self.stores[node][0], fitted(node, canonical(node.inputs[0])))
            for node in parts
            if node not in targets and node not in inside
        }
        targets |= inside
        lines = self.elements(nodes, rows, self.body.emitter, targets)
        self.forget(saved, rows)
        depth = {node: len(inner_of(node)) for node in inside}
        for level in reversed(range(len(inner) if lines else 0)):
            limits = "begin, end" if self.stretch and level == 0 else count_text(inner[level])
            lines = [f"for {INNER[level]} in range({limits}):", *indented(lines)]
            ready = [node for node in inside if depth[node] == level]
            zeros = [f"{inside[node]} = {_reduction(node).identity(self.body.emitter)}" for node in ready]
            kept = [
                f"{self.body.element(b, canonical(n))} = {inside[n]}" for n in ready for b in self.stores.get(n, ())
            ]
            lines = [*zeros, *lines, *kept]
        added_up = [node for node in parts if node not in self.group.sums and node not in inside]
        zeros = [line for node in added_up for line in self.zeroed(node)]
        copies = [line for node in added_up for line in self.repeated(node)]
        return [*zeros, *before, *lines, *copies, *self.finished(rows, after)]

    def trailing(self, node: Node) -> bool:
        """Whether a reduction folds the last axes of a row, so that its numbers are finished one after the other."""
        if node in self.group.sums:
            return False
        (operand,) = node.inputs
        indices, own = (sorted(set(canonical(value)) - {"0", "i"}) for value in (operand, node))  # outermost first
        kept = indices[: len(own)]
        return own == kept and all(
            node.type.axes[axis].size == operand.type.axes[axis].size
            for axis, index in enumerate(canonical(operand))
            if index in kept
        )

    def zeroed(self, node: Node) -> list[str]:
        """Before the loop, a reduction's numbers of a row start in memory."""
        identity = _reduction(node).identity(self.body.emitter)
        return self.over_numbers(node, [f"{self.body.element(self.stores[node][0], canonical(node))} = {identity}"])

    def repeated(self, node: Node) -> list[str]:
        """After the loop, they are copied to the other places where they are wanted."""
        first, *others = (self.body.element(buffer, canonical(node)) for buffer in self.stores[node])
        return self.over_numbers(node, [f"{other} = {first}" for other in others]) if others else []

    def over_numbers(self, node: Node, lines: list[str]) -> list[str]:
        """Loops over the numbers of a row."""
        for level in reversed(range(len(inner_of(node)))):
            lines = [f"for {INNER[level]} in range({count_text(inner_of(node)[level])}):", *indented(lines)]
        return lines

    def forget(self, saved: Saved, rows: Mapping[Node, str]) -> None:
        """After a loop, the variables of its elements are gone; those of the row's numbers are there."""
        self.body.locals = {node: name for node, name in self.body.locals.items() if node in saved.locals}
        self.body.locals |= {node: name for node, name in rows.items() if node not in self.sums}

    def finished(self, rows: Mapping[Node, str], after: list[str]) -> list[str]:
        return [*after, *(line for node in rows if node not in self.sums for line in self.stored(node))]

    def elements(
        self,
        nodes: Sequence[Node],
        rows: Mapping[Node, str],
        emitter: KernelEmitter,
        parts: Mapping[Node, str] = NOTHING,
    ) -> list[str]:
        """The statements for one element: values in order, then what is added up (numbers of the row, and parts of
        larger sums), then the stores: what is written over an operand is written after the operand was read."""
        reductions = {**rows, **parts}
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
        readers = [reader for reader in self.everything if reader not in nodes and reader not in self.given]
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
        if node in self.group.sums and self.body.run is None:
            emitter = ScalarEmitter()
        return self.body.statement(lambda: self.add(node, total, self.body.value(value, canonical(value)), emitter))

    def add(self, node: Node, total: str, element: str, emitter: KernelEmitter) -> str:
        return f"{total} = {bare(_reduction(node).combine(emitter, total, element))}"


def _reduction(node: Node) -> Reduction:
    op = OPS[node.op]
    assert isinstance(op, Reduction)
    return op
