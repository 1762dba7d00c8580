"""The text of one program: addresses, single numbers, and the kernels in their order."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from dlc.compiler.codegen.arena import SEED_NUMBER, STEP_NUMBER
from dlc.compiler.codegen.body import Argument
from dlc.compiler.codegen.fuse import Group, domain_of
from dlc.compiler.codegen.kernels import Kernel, KernelWriter, Target
from dlc.compiler.codegen.layout import (
    NotSupported,
    Size,
    Stride,
    count_text,
    dim_text,
    factor_text,
    fixed,
    is_scalar,
    layout_of,
)
from dlc.compiler.codegen.memory import Buffer, Persistent, Plan, plan, target_of
from dlc.compiler.codegen.products import laid
from dlc.compiler.codegen.schedule import Schedule, schedule
from dlc.compiler.codegen.stored import Settled, settle
from dlc.compiler.codegen.text import BUILT_IN, WORDS, ScalarEmitter, bare, comment, identifier
from dlc.compiler.codegen.values import DRAWS, Role, draw_number, role
from dlc.compiler.codegen.work import Units, product_of_group, units_of
from dlc.compiler.equations import Printer
from dlc.compiler.ir import Graph, Node
from dlc.compiler.ops import OPS, Elementwise, Movement, Reduction

PIECE = 64
"""Numbers of a table that are written by one loop."""

WORTH_THREADS = 500_000
"""Operations (about five microseconds of them) from which on a kernel is shared out among threads."""


@dataclass(frozen=True)
class Call:
    """One kernel of a program: the group it came from, its name and text."""

    group: Group
    name: str
    kernel: Kernel


@dataclass(frozen=True)
class Program:
    """The text of a program as a function `name(persistent, transient, m, pool)`, the kernels it calls, its plan."""

    name: str
    lines: tuple[str, ...]
    calls: tuple[Call, ...]
    plan: Plan
    numbers: Mapping[str, int]
    """Where single results lie among the numbers, by root."""


class KernelNames(Protocol):
    """The kernels of the module. Their names are global, so no variable of a program may have one of them."""

    variables: set[str]

    @property
    def pieces(self) -> Mapping[str, object]: ...

    def name(self, group: Group, kernel: Kernel) -> str:
        """The name of a kernel; equal texts have the same, and no variable has it."""
        ...

    def host(self, wish: str, says: str, kernel: Kernel) -> str:
        """The same for a kernel that does nothing but call a function of the host."""
        ...


@dataclass
class ProgramWriter:
    """Writes one program."""

    title: str
    graph: Graph
    shared: Persistent
    target: Target
    kernels: KernelNames
    lines: list[str] = field(default_factory=list)
    scalars: dict[Node, str] = field(default_factory=dict)
    used: dict[Buffer, str] = field(default_factory=dict)
    slices: dict[Node, Buffer] = field(default_factory=dict)
    """Where a step's slices of sequences lie, in a scan."""
    number_of_step: str = ""
    """The number of the step, in a scan: what is drawn depends on it."""

    def __post_init__(self) -> None:
        self.taken = set(RESERVED)
        shown, self.graph = self.graph.roots, behind_views(self.graph)
        self.fuse()
        blocks = {group: writer.block for group, writer in self.steps.items()}
        self.plan = plan(
            self.graph, self.settled, self.made, self.shared, self.room, self.names, self.target.item, blocks
        )
        results = {root: seen_as(buffer, shown[root]) for root, buffer in self.plan.results.items()}
        self.plan = replace(self.plan, results=results)

    def fuse(self) -> None:
        """Decide what is computed where, here and in the steps of scans."""
        from dlc.compiler.codegen.scans import steps_of  # which are programs inside of programs

        cpu, dtype = self.target.cpu, self.target.dtype
        self.settled: Settled = settle(self.graph, len(cpu.tiles) * cpu.lanes(dtype))
        self.made: Schedule = schedule(self.graph, self.settled)
        self.names = names_of(self.graph)
        self.steps = steps_of(self)
        kernels = [group for group in self.made.groups if group.kind not in ("scan", "joined", "grown")]
        self.products = {group: product_of_group(group) for group in kernels}
        self.units = {group: units_of(group, cpu, dtype, self.products[group]) for group in kernels}

    def room(self, group: Group, bytes: Stride) -> Size:
        """For so many bytes of each unit of a group."""
        return self.units[group].room(bytes)

    def write(self) -> Program:
        calls = [call for group in self.made.groups for call in self.calls_of(group)]
        calls += [self.copy(node, buffer) for node, buffer in self.plan.copies if not is_scalar(node.type)]
        results = self.results()
        head = ["M = (m + 15) // 16 * 16", "numbers = float64_at(persistent)"]
        if re.search(r"\bseed\b", "\n".join(self.lines)):
            head.append(f"seed, step = int64_at(persistent)[{SEED_NUMBER}], int64_at(persistent)[{STEP_NUMBER}]")
        text = "\n".join([*self.lines, *(self.address_line(buffer, "") for buffer in self.used)])
        for size in sorted(set(re.findall(r"\bdim_\w+", text))):
            slot = self.shared.numbers.get(f"dim {size.removeprefix('dim_')}")
            head += [f"{size} = int64_at(persistent)[{slot}]"] if slot is not None else []  # or a loop sets it
        if self.target.check:
            head.append(f"flag = persistent + {8 * self.shared.numbers['violations']}")
        tables = [line for node in self.graph.nodes if node.op == "table" for line in self.table(node)]
        addresses = [self.address_line(buffer, name) for buffer, name in self.used.items()]
        return Program(self.title, (*head, *addresses, *tables, "", *self.lines), tuple(calls), self.plan, results)

    # --- addresses ---------------------------------------------------------------------------------------------

    def address(self, buffer: Buffer) -> str:
        if buffer not in self.used:
            if buffer.inside is not None:
                self.address(buffer.inside[0])
            self.used[buffer] = self.fresh(buffer.name)
        return self.used[buffer]

    def address_line(self, buffer: Buffer, name: str) -> str:
        """Where a buffer lies; an input may lie anywhere."""
        if buffer.inside is not None:
            return f"{name} = {self.part_text(buffer)}"
        for given, place in self.plan.inputs.items():
            if place is buffer:
                return f"{name} = int64_at(persistent)[{self.shared.numbers[f'input {given}']}]"
        return f"{name} = {buffer.part} + {size_text(buffer.offset)}"

    def part_text(self, buffer: Buffer) -> str:
        """The address of a part of another buffer."""
        assert buffer.inside is not None
        owner, start = buffer.inside
        item = 8 if buffer.kind == "index" else self.target.item
        return f"{self.address(owner)} + {factor_text(start * item)}" if start != 0 else self.address(owner)

    def table(self, node: Node) -> list[str]:
        """Numbers that the spec lists, written where kernels read them; in pieces, as long tuples compile slowly."""
        layout = layout_of(node.type, node)
        memory, strides = [0.0] * layout.elements.fixed, [fixed(stride) for stride in layout.strides]
        for value, place in zip(node.attr("values"), itertools.product(*map(range, layout.known)), strict=True):
            memory[sum(index * stride for index, stride in zip(place, strides, strict=True))] = value
        to = f"real_at({self.address(self.plan.place[node])})"
        return [
            line
            for start in range(0, len(memory), PIECE)
            for line in (
                f"for e, value in enumerate({tuple(memory[start : start + PIECE])!r}):",
                f"    {to}[{start} + e] = real(value)",
            )
        ]

    # --- kernels -----------------------------------------------------------------------------------------------

    def calls_of(self, group: Group) -> list[Call]:
        """The lines of a kernel's call, or of a loop over those of a step."""
        if group.kind in ("joined", "grown"):
            return []
        return self.steps[group].loop() if group in self.steps else [self.call(group)]

    def call(self, group: Group) -> Call:
        """The lines of one kernel's call, and of the totals it leaves."""
        stores, partials = self.plan.stores[group], self.plan.partials
        for node in group.totals:
            self.address(partials[node])
        units, product = self.units[group], self.products[group]
        parts = unit_count(self.units[group.source]) if group.source is not None else ""
        writer = KernelWriter(
            group, self.plan.place, stores, partials, self.names, self.target, units, product, parts,
            self.slices, self.number_of_step,
        )  # fmt: skip
        made = writer.write()
        return self.called(group, made, [node for node, _ in stores])

    def copy(self, node: Node, buffer: Buffer) -> Call:
        """A root that could not be written where it belongs while others still read the old value."""
        group = Group("rows", domain_of(layout_of(node.type, node)))
        units = units_of(group, self.target.cpu, self.target.dtype)
        writer = KernelWriter(group, self.plan.place, [(node, buffer)], {}, self.names, self.target, units)
        self.units[group] = units
        return self.called(group, writer.write(), [])

    def called(self, group: Group, made: Kernel, stored: list[Node]) -> Call:
        name = self.kernels.name(group, made)
        given = [text for entry in made.arguments for text in self.argument(entry)]
        self.lines += self.comments(group, stored)
        units = self.units[group]
        many = unit_count(units)
        pool = threads_text(units.work)
        self.lines += wrapped(f"given = pack({', '.join(given)})")
        self.lines.append(f"launch({pool}, address_of({name}), given, {many})")
        for node in group.totals:
            self.total(node, many)
        self.lines.append("")
        return Call(group, name, made)

    def argument(self, entry: Argument) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        if isinstance(entry, Node):
            number = self.scalar(entry)
            return [number if entry.type.kind == "real" else f"float64({number})"]
        if not self.target.check:
            return [self.address(entry)]
        item = 8 if entry.kind in ("index", "partial") else self.target.item
        size = entry.size
        return [self.address(entry), f"({size_text(size)}) // {item}"]

    def total(self, node: Node, many: str) -> None:
        """Add up what the units left, always in the same order."""
        op = OPS[node.op]
        name = self.fresh(self.names[node])
        parts = f"float64_at({self.used[self.plan.partials[node]]})[unit]"
        if not isinstance(op, Reduction):  # a product of two vectors: one unit
            self.lines.append(f"{name} = {parts.replace('[unit]', '[0]')}")
        else:
            emitter = ScalarEmitter()
            self.lines.append(f"{name} = {op.identity(emitter)}")
            self.lines.append(f"for unit in range({many}):")
            self.lines.append(f"    {name} = {bare(op.combine(emitter, name, parts))}")
        self.scalars[node] = name

    @cached_property
    def shown_names(self) -> tuple[dict[Node, str], dict[Node, str]]:
        """What values are called in comments; and those that are updates, by what they update."""
        named = dict(self.graph.name_of())
        updates = {
            node: root.partition(".")[2] for root, node in self.made.in_place.items() if root.startswith("update.")
        }
        named |= updates
        for node in self.graph.nodes:
            if node.op == "div" and node.inputs[0].op == "constant" and node.inputs[1].op == "size":
                named[node] = Printer({}).text(node).removesuffix(" * 1")
            elif node in self.settled.stored:
                named.setdefault(node, self.names[node])
        return named, updates

    def comments(self, group: Group, stored: list[Node]) -> list[str]:
        """What a kernel computes, as equations: every member that has a name in the spec, and what it stores."""
        named, updates = self.shown_names
        shown = [node for node in group.members if node in named or node in stored]
        return [f"# {self.equation(node, named, updates)}" for node in [*shown, *group.totals, *group.sums]]

    def equation(self, node: Node, named: Mapping[Node, str], updates: Mapping[Node, str]) -> str:
        """`A[1] = max(Z[1], 0) : (64, m)    net.dl:14`; an update reads `W[1] := …`."""
        left = f"{updates[node]} := " if node in updates else f"{named.get(node, self.names[node])} = "
        place = f"    {node.span.file.rpartition('/')[2]}:{node.span.line}" if node.span is not None else ""
        return comment(f"{left}{Printer(named).text(node, root=True)} : {node.type}", place)

    # --- single numbers ----------------------------------------------------------------------------------------

    def scalar(self, node: Node) -> str:
        """The name (or literal) of a single number, computed here if it is not yet."""
        if node.op == "constant":
            return ScalarEmitter().number(node.attr("value"))
        if node in self.scalars:
            return self.scalars[node]
        if isinstance(OPS[node.op], Movement) and len(node.inputs) == 1 and is_scalar(node.inputs[0].type):
            return self.scalar(node.inputs[0])
        text = bare(self.scalar_text(node))
        name = self.fresh(self.names[node])
        self.lines.append(f"{name} = {text}")
        self.scalars[node] = name
        return name

    def scalar_text(self, node: Node) -> str:
        op = OPS[node.op]
        if node.op == "scalar":
            return f"numbers[{self.shared.numbers[str(node.attr('name'))]}]"
        if node.op == "size":
            return f"float64({dim_text(node.attr('dim'))})"
        if node in self.plan.place:
            buffer = self.plan.place[node]
            at = "int64_at" if buffer.kind == "index" else "real_at"
            element = f"{at}({self.address(buffer)})[0]"
            return element if buffer.kind == "index" else f"float64({element})"
        if isinstance(op, Elementwise):
            return op.emit(ScalarEmitter(), *map(self.scalar, node.inputs), **node.keywords)
        if node.op in DRAWS:
            return f"{DRAWS[node.op]}_float64(seed, {draw_number(node.attr('name'))}, step, {self.number_of_step or 0})"
        if node.op == "position":
            return "1.0"
        raise NotSupported(f"{node.op} as a single number", node)

    def fresh(self, wish: str) -> str:
        """A variable."""
        made = identifier(wish, self.taken | self.kernels.pieces.keys())
        self.taken.add(made)
        self.kernels.variables.add(made)
        return made

    def results(self) -> dict[str, int]:
        """Write single results among the numbers, and single parameters and states back."""
        found: dict[str, int] = {}
        writes: list[str] = []
        for root, node in self.graph.roots.items():
            if not is_scalar(node.type):
                continue
            kind = root.partition(".")[0]
            value = self.scalar(node)
            if kind in ("update", "gradient"):
                writes.append(f"real_at({self.address(target_of(root, self.shared))})[0] = real({value})")
            else:
                found[root] = self.shared.numbers[f"result {root}"]
                writes.append(f"numbers[{found[root]}] = float64({value})")
        self.lines += writes
        return found


RESERVED = BUILT_IN | {
    "given",
    "persistent",
    "transient",
    "m",
    "pool",
    "M",
    "numbers",
    "flag",
    "unit",
    "seed",
    "step",
    "e",
    "value",
}


def behind_views(graph: Graph) -> Graph:
    """The graph with results that lie just as another computed value does given as that value, without a copy."""

    def base(root: str, node: Node) -> Node:
        found = node if root.startswith(("update.", "gradient.")) else laid(node)
        return node if role(found) in (Role.MEMORY, Role.INLINE, Role.SCALAR) else found

    return Graph.of({root: base(root, node) for root, node in graph.roots.items()}, graph.names)


def seen_as(buffer: Buffer, node: Node) -> Buffer:
    """A result's buffer with the sizes of the value that is asked for."""
    layout = layout_of(node.type, node)
    return buffer if buffer.layout == layout else replace(buffer, layout=layout)


def names_of(graph: Graph) -> dict[Node, str]:
    """An identifier for every value: the spec's name, the leaf's, or the op's."""
    given = graph.name_of()
    roots = {node: name.partition(".")[2] or name for name, node in graph.roots.items()}
    names: dict[Node, str] = {}
    taken: set[str] = set(RESERVED)
    for node in graph.nodes:
        wish = (
            given.get(node)
            or node.attr("name")
            or (f"new_{roots[node]}" if node in roots else WORDS.get(node.op, node.op))
        )
        names[node] = identifier(str(wish), taken)
        taken.add(names[node])
    return names


def wrapped(call: str) -> list[str]:
    """A call, broken after commas where it is long."""
    return textwrap.wrap(call, 110, subsequent_indent=" " * 4, break_long_words=False, break_on_hyphens=False)


def size_text(size: Size) -> str:
    return dim_text(size.dim, "M")


def unit_count(units: Units) -> str:
    """The number of units."""
    if isinstance(units.rows, int):
        return str(-(-units.rows // units.block) * units.times)
    rows = count_text(units.rows)
    rows = f"({rows})" if units.block == 1 and not rows.isalnum() else rows
    rows = rows if units.block == 1 else f"({rows} + {units.block - 1}) // {units.block}"
    return rows + (f" * {units.times}" if units.times > 1 else "")


def threads_text(work: Size) -> str:
    """The pool, where there is work enough for several threads."""
    fixed = work.at(0)
    each = work.at(1) - fixed
    if fixed >= WORTH_THREADS:
        return "pool"
    if not each:
        return "0"
    enough = -(-(WORTH_THREADS - fixed) // each)
    return f"pool if m >= {enough} else 0" if enough > 1 else "pool"
