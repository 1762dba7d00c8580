"""The text of a scan: a loop in its program, whose body calls kernels that work on one step.

A step is fused, scheduled and planned like a program of its own. What it carries lies in two buffers that change places
after each step; what it collects is written to its place in the sequence, and slices of sequences are read there.
Needs: steps in the forms that kernels like (`forms.prepare`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from dlc.compiler.codegen.fuse import Group, domain_of
from dlc.compiler.codegen.kernels import KernelWriter
from dlc.compiler.codegen.layout import (
    Layout,
    Size,
    Stride,
    count_text,
    dim_text,
    factor_text,
    is_scalar,
    layout_of,
)
from dlc.compiler.codegen.memory import (
    LINE,
    Buffer,
    Plan,
    allocate,
    buffer_of,
    extent_of,
    kind_of,
    lifetimes,
    parts_of,
    parts_of_joined,
    whole,
)
from dlc.compiler.codegen.program import Call, ProgramWriter, size_text
from dlc.compiler.codegen.values import INNER_STEPS, Role, is_slice, role
from dlc.compiler.codegen.views import Strided, offset_of, reached
from dlc.compiler.codegen.work import units_of
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ops import OPS, Loop
from dlc.compiler.ops.loop import Step


@dataclass(frozen=True)
class Given:
    """A buffer of a step that is a part of one of the program around it, or of one that the loop keeps: `start`
    elements behind its start, and with each step `stride` elements on."""

    base: Node | Buffer
    start: Stride = 0
    stride: Stride = 0


@dataclass(frozen=True)
class Carry:
    """A value that is carried: the step's leaf, what it is before the first step, and where it lies before and after a
    step. A single number lies in the variable `name`."""

    leaf: Node
    root: str
    first: Node
    old: Buffer
    new: Buffer
    name: str


@dataclass
class StepWriter(ProgramWriter):
    """Writes the loop of a scan. `copies` is how many there are of what it carries."""

    copies = 1

    outer: ProgramWriter = field(kw_only=True)
    group: Group = field(kw_only=True)
    takes: Mapping[str, Node] = field(kw_only=True)
    block: Buffer = field(init=False)

    def __post_init__(self) -> None:
        anchor = self.group.anchor
        assert anchor is not None
        self.scan: Node = anchor
        self.step: Step = anchor.attr("step")
        self.held = {str(node.attr("name")): node for node in self.graph.nodes if node.op == "held"}
        self.own = frozenset(self.graph.nodes)
        self.taken = self.outer.taken
        self.given: dict[Buffer, Given] = {}
        self.fuse()
        self.t = self.fresh("t")
        around = self.outer.number_of_step
        self.number_of_step = f"({around} * {INNER_STEPS} + {self.t})" if around else self.t
        self.lasting: dict[Buffer, int] = {}  # what lies in the block through all steps, and how many of it
        self.plan = self.planned()
        self.inside = {
            *self.given, *self.plan.place.values(), *self.plan.partials.values(),
            *(buffer for stores in self.plan.stores.values() for _, buffer in stores),
            *self.lasting, *(writer.block for writer in self.steps.values()),
        }  # fmt: skip
        for buffer in self.inside:
            buffer.loop = self
        self.block = Buffer("steps", "transient", "real", self.plan.size)

    # --- the plan ----------------------------------------------------------------------------------------------

    def planned(self) -> Plan:
        """Give every stored value of a step its place."""
        item, made, settled = self.target.item, self.made, self.settled
        place: dict[Node, Buffer] = {}
        self.carries = list(self.carried(place))
        for name, value in self.step.operands(self.scan.inputs).items():
            leaf = self.held.get(name)
            if leaf is None or is_scalar(leaf.type) or name.startswith("carry."):
                continue
            if is_slice(leaf):
                self.slices[leaf] = self.slice_of(leaf, self.sequence(value, name))
            else:
                base, start = offset_of(value, self.group.bases)
                place[leaf] = self.part_of(Given(base, start), leaf, layout_of(leaf.type, leaf))
        targets: dict[Node, list[Buffer]] = {}
        for root, node in self.graph.roots.items():
            if not is_scalar(node.type):
                for value, buffer in self.targets(root, node):
                    targets.setdefault(value, []).append(buffer)
        apart = ("joined", "grown")  # whose parts are written in their places
        needed = {value for group in made.groups if group.kind not in apart for value in group.bases}
        for node in self.graph.nodes:
            if node in settled.stored and node not in place:
                goes = [buffer for buffer in targets.get(node, ()) if self.can_take(node, buffer)]
                own = node in needed and not any(buffer not in self.given for buffer in goes)
                lies = goes if not own else []
                place[node] = lies[0] if lies else buffer_of(self.names[node], node, item)
        for group in made.groups:
            if group.kind == "joined" and group.anchor is not None:
                owner = place[group.anchor]
                place |= parts_of_joined(group.anchor, owner, item)
                for other in targets.pop(group.anchor, ()):
                    for part, buffer in parts_of_joined(group.anchor, other, item) if other is not owner else ():
                        targets.setdefault(part, []).append(buffer)
        stores = {
            group: [
                (node, buffer)
                for node in group.members
                if settled.home[node] is group and node in place
                for buffer in dict.fromkeys([place[node], *targets.get(node, ())])
            ]
            for group in made.groups
            if group.kind != "joined"
        }
        partials = {
            node: Buffer(f"{self.names[node]}_parts", "transient", "partial", self.room(group, 8))
            for group in made.groups
            for node in group.totals
        }
        for group in made.groups:
            for node in group.sums:
                partials[node] = parts_of(node, group, self.names, self.room, item)
        offset = Size()
        for carry in self.carries:
            self.lasting |= {carry.old: self.copies, carry.new: self.copies}
        for buffer, count in self.lasting.items():
            buffer.offset, offset = offset, offset + buffer.size.times(count)
        blocks = {group: writer.block for group, writer in self.steps.items()}
        lives = lifetimes(made.groups, settled, place, stores, partials, set(), blocks)
        size = allocate([life for life in lives if life.buffer not in self.lasting], offset)
        return Plan({}, {}, place, stores, partials, [], size)

    def can_take(self, node: Node, buffer: Buffer) -> bool:
        """Whether a value may be made in a buffer: a loop leaves its results as they lie by themselves."""
        usual = layout_of(node.type, node).strides
        return role(node) is not Role.LOOPED or (buffer.layout is not None and buffer.layout.strides == usual)

    def carried(self, place: dict[Node, Buffer]) -> Iterator[Carry]:
        """What the step carries."""
        for i in range(self.step.carries):
            name = f"carry.{i}"
            first = self.scan.inputs[self.step.sequences + i]
            root = self.graph.roots[name]
            leaf = self.held.get(name) or carry_leaf(self.scan, i)
            title = self.names[root] if root.op != "held" else f"carry_{i}"
            old, new = (buffer_of(f"{word}_{title}", root, self.target.item) for word in ("old", "new"))
            if is_scalar(root.type):
                old.size = new.size = Size()
            else:
                place[leaf] = old
                self.names.setdefault(leaf, title)
            yield Carry(leaf, name, first, old, new, self.fresh(title) if is_scalar(root.type) else "")

    @property
    def axes(self) -> tuple[int, ...]:
        """The scanned axes of the sequences."""
        return tuple(self.scan.attr("axes"))

    def sequence(self, value: Node, name: str) -> tuple[Strided, int]:
        """How a sequence lies, and its scanned axis."""
        return reached(value, self.group.bases), self.axes[int(name.partition(".")[2])]

    def slice_of(self, node: Node, sequence: tuple[Strided, int]) -> Buffer:
        """The slice of one step, with the axes of `node`."""
        view, axis = sequence
        strides = tuple(stride for place, stride in enumerate(view.strides) if place != axis)
        own = layout_of(node.type, node)
        row = own.row_length if own.row_axis is None else strides[own.row_axis]
        layout = replace(own, strides=strides, row_length=row)
        return self.part_of(Given(view.base, view.offset, view.strides[axis]), node, layout)

    def part_of(self, given: Given, node: Node, layout: Layout) -> Buffer:
        """A buffer that is a part of an outer one: from its first element to its last."""
        item = 8 if kind_of(node) == "index" else self.target.item
        extent = extent_of(layout, item)
        if layout.strides == layout_of(node.type, node).strides:  # whole rows: vectors may reach over the last element
            extent = layout.elements.times(item).in_lines(LINE)
        buffer = Buffer(self.names[node], "around", kind_of(node), extent, layout)
        self.given[buffer] = given
        return buffer

    def targets(self, root: str, node: Node) -> Iterator[tuple[Node, Buffer]]:
        """Where a root goes, and the value that is written there: the carry, and its place in what is collected."""
        for carry in self.carries:
            if carry.root == root:
                yield node, carry.new
        for take, result in self.takes.items():
            if take == root and not is_scalar(result.type):
                lies = Strided(result, layout_of(result.type, result).strides)
                yield node, self.slice_of(node, (lies, result.type.rank - 1))

    # --- the text ----------------------------------------------------------------------------------------------

    def loop(self) -> list[Call]:
        """The loop's lines go to the program; the kernels that it calls."""
        calls = [self.copied(carry.first, carry.old, self.outer) for carry in self.carries if not carry.name]
        begin = self.lines
        begin += [f"{carry.name} = {self.outer.scalar(carry.first)}" for carry in self.carries if carry.name]
        self.lines = []
        for carry in self.carries:
            if carry.name:
                self.scalars[carry.leaf] = carry.name
        for group in self.made.groups:
            calls += self.calls_of(group)
        self.collect_numbers()
        self.turn()
        body, self.lines = self.lines, []
        calls += [call for carry in self.carries if (call := self.last(carry)) is not None]
        calls += [self.copied(node, buffer, self.outer) for node, buffer in self.elsewhere()]
        steps = dim_text(self.scan.attr("axis").size)
        order = f"range({steps} - 1, -1, -1)" if self.scan.attr("reverse") else f"range({steps})"
        fixed, moving = self.addresses()
        indented = [line and f"    {line}" for line in (*moving, *body)]
        self.outer.lines += [*fixed, *begin, f"for {self.t} in {order}:", *indented, *self.lines, ""]
        return calls

    def elsewhere(self) -> Iterator[tuple[Node, Buffer]]:
        """Results that the step around this loop carries or collects too, besides where the loop leaves them."""
        for node, buffer in self.outer.plan.stores.get(self.group, ()):
            if buffer is not self.outer.plan.place[node]:
                yield node, buffer

    def addresses(self) -> tuple[list[str], list[str]]:
        """The addresses before the loop, and those of each step."""
        block = self.outer.address(self.block)
        fixed: list[str] = []
        moving: list[str] = []
        for buffer, name in self.used.items():
            given = self.given.get(whole(buffer))
            if buffer.inside is not None:
                moves = given.stride != 0 if given is not None else whole(buffer) in self.lasting
                (moving if moves else fixed).append(f"{name} = {self.part_text(buffer)}")
                continue
            if given is None:
                fixed.append(f"{name} = {block} + {size_text(buffer.offset)}")
                continue
            item = 8 if buffer.kind == "index" else self.target.item
            around = given.base if isinstance(given.base, Buffer) else self.outer.plan.place[given.base]
            line = f"{name} = {self.address(around)}"
            line += f" + {factor_text(given.start * item)}" if given.start != 0 else ""
            if given.stride != 0:
                moving.append(f"{line} + {self.t} * {factor_text(given.stride * item)}")
            else:
                fixed.append(line)
        return fixed, moving

    def turn(self) -> None:
        """What is new becomes old."""
        wide = [(self.address(c.old), self.address(c.new)) for c in self.carries if not c.name]
        for old, new in wide:
            self.lines.append(f"{old}, {new} = {new}, {old}")
        numbers = [(carry.name, self.scalar(self.graph.roots[carry.root])) for carry in self.carries if carry.name]
        if numbers:
            self.lines.append(f"{', '.join(n for n, _ in numbers)} = {', '.join(v for _, v in numbers)}")

    def collect_numbers(self) -> None:
        """Single numbers of a step that are collected."""
        for take, result in self.takes.items():
            if take.startswith("last.") or not is_scalar(self.graph.roots[take].type):
                continue
            layout = layout_of(result.type, result)
            number, place = self.scalar(self.graph.roots[take]), self.outer.plan.place[result]
            self.lines.append(
                f"real_at({self.outer.address(place)})[{self.t} * {factor_text(layout.strides[-1])}] = real({number})"
            )

    def last(self, carry: Carry) -> Call | None:
        """What a carry is after the last step goes where the program wants it."""
        result = self.takes.get(f"last.{carry.root.partition('.')[2]}")
        if result is None:
            return None
        if carry.name:
            self.outer.scalars[result] = carry.name
            return None
        return self.copied(carry.leaf, self.outer.plan.place[result], self)

    def copied(self, node: Node, buffer: Buffer, of: ProgramWriter) -> Call:
        """A kernel that copies a value of a program to a buffer."""
        group = Group("rows", domain_of(layout_of(node.type, node)))
        units = self.units[group] = units_of(group, self.target.cpu, self.target.dtype)
        writer = KernelWriter(
            group, of.plan.place, [(node, buffer)], {}, of.names, self.target, units, slices=of.slices
        )
        return self.called(group, writer.write(), [])

    # --- what lies around ----------------------------------------------------------------------------------------

    def address(self, buffer: Buffer) -> str:
        return super().address(buffer) if buffer in self.inside else self.outer.address(buffer)

    def scalar(self, node: Node) -> str:
        """Single numbers that are given come from the program around the scan."""
        if node not in self.scalars and node.op == "held":
            return self.held_number(node)
        return super().scalar(node) if node in self.own else self.outer.scalar(node)

    def held_number(self, leaf: Node) -> str:
        """A single number that the scan gives: a constant, or an element of a sequence."""
        name = str(leaf.attr("name"))
        value = self.step.operands(self.scan.inputs)[name]
        if name.startswith("constant."):
            return self.outer.scalar(value)
        view, axis = self.sequence(value, name)
        place = self.outer.plan.place[view.base]
        at = "int64_at" if place.kind == "index" else "real_at"
        start = f"{count_text(view.offset)} + " if view.offset != 0 else ""
        variable = self.scalars[leaf] = self.fresh(self.names[leaf])
        element = f"{at}({self.outer.address(place)})[{start}{self.t} * {factor_text(view.strides[axis])}]"
        self.lines.append(f"{variable} = {element if place.kind == 'index' else f'float64({element})'}")
        return variable


def steps_of(writer: ProgramWriter) -> dict[Group, StepWriter]:
    """The writers of a program's scans."""
    from dlc.compiler.codegen.generators import TurnWriter  # which writes loops like these

    found: dict[Group, StepWriter] = {}
    for group in writer.made.groups:
        if group.kind == "scan" and group.anchor is not None:
            anchor = group.anchor
            loop = OPS[anchor.op]
            assert isinstance(loop, Loop)
            together = loop.together(anchor)
            takes = {
                str(node.attr("take")): node
                for node in writer.graph.nodes
                if node.op == anchor.op and loop.together(node) == together
            }
            graph = step_graph(anchor, takes) if anchor.op == "scan" else anchor.attr("step").graph
            made = StepWriter if anchor.op == "scan" else TurnWriter
            title, shared, target, kernels = writer.title, writer.shared, writer.target, writer.kernels
            found[group] = made(title, graph, shared, target, kernels, outer=writer, group=group, takes=takes)
    return found


def step_graph(scan: Node, takes: Mapping[str, Node]) -> Graph:
    """What a step computes, with what it carries before the step where that is collected."""
    step: Step = scan.attr("step")
    roots = {name: node for name, node in step.graph.roots.items() if name.startswith("carry.") or name in takes}
    held, b = step.held(), Builder()
    for take in takes:
        kind, _, number = take.partition(".")
        if kind == "before":
            leaf = held.get(f"carry.{number}") or carry_leaf(scan, int(number))
            roots[take] = b.typed("rename", (leaf,), (), leaf.type, scan.span)
    return Graph.of(roots, step.graph.names)


def carry_leaf(scan: Node, number: int) -> Node:
    """The leaf of a carry that no step reads."""
    type = scan.attr("step").graph.roots[f"carry.{number}"].type
    return Builder().typed("held", (), (("name", f"carry.{number}"),), type, scan.span)
