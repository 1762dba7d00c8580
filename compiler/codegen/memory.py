"""Where everything lies: the memory plan.

There are two allocations. The *persistent* part, the same for all programs, holds the program's numbers (inputs of the
optimizer such as `t`, results such as the loss), the parameters, the states, and all gradients in one stretch. The
*transient* part belongs to one run of one program: its inputs, then what the kernels hand on, each buffer for as long
as it is needed. It grows with the number of examples: offsets are `fixed + per_example * M` bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dlc.compiler.codegen.arena import SEED_NUMBER, STEP_NUMBER, VIOLATIONS_NUMBER
from dlc.compiler.codegen.fuse import Group
from dlc.compiler.codegen.layout import (
    Layout,
    Size,
    Stride,
    about,
    is_scalar,
    layout_of,
    plain,
    runtime_names,
    size_of,
)
from dlc.compiler.codegen.schedule import Schedule
from dlc.compiler.codegen.stored import Settled, last_uses, loop_of, loop_times, readings
from dlc.compiler.dims import ZERO, TensorType
from dlc.compiler.ir import Graph, Node

LINE = 64
"""Everything starts at a multiple of this many bytes: a line of the cache."""

BOUND = frozenset({"input", "parameter", "state", "gradient", "scalar", "length"})
"""Leaves that lie in memory; a `scalar` does where it is a tensor (the total of an earlier pass over the data). A
`length` is each example's own of a run-time dimension: an input too, called `length T`."""


GIVEN = frozenset({"input", "scalar", "length"})
"""Those that each call of a program brings."""


def given_name(node: Node) -> str:
    """The name of what a call brings."""
    return f"length {node.attr('name')}" if node.op == "length" else str(node.attr("name"))


@dataclass(eq=False)
class Buffer:
    """A piece of memory. `kind` is `real`, `index` (int64), `truth` (a real 0 or 1) or `partial` (float64, one for each
    unit of a kernel)."""

    name: str
    part: str
    kind: str
    size: Size
    layout: Layout | None = None
    offset: Size = field(default_factory=Size)
    inside: tuple[Buffer, Stride] | None = None
    """The buffer that it is a part of, and where it starts there, in elements."""
    loop: object = None
    """The loop in whose block of memory the offset counts; None for the program's own."""

    def same_memory(self, other: Buffer) -> bool:
        """Whether both are the same elements of the transient part."""
        mine, theirs = (self.offset, self.kind, self.layout), (other.offset, other.kind, other.layout)
        return self.part == other.part == "transient" and self.loop is other.loop and mine == theirs


@dataclass(frozen=True)
class Persistent:
    """The persistent part. `numbers` are slots of eight bytes by name: `t` and other scalars and `result loss` are
    float64, `input X` is the address of an input (in the transient part, or in a data set's own memory). `tensors` are
    the buffers by role and name."""

    numbers: Mapping[str, int]
    tensors: Mapping[tuple[str, str], Buffer]
    types: Mapping[tuple[str, str], TensorType]
    bytes: int


@dataclass(frozen=True)
class Plan:
    """The transient part of one program. `place` is where each value is read; `stores` what each group writes, and
    where to; `partials` belong to totals and sums; `copies` are done at the end."""

    inputs: Mapping[str, Buffer]
    results: Mapping[str, Buffer]
    place: Mapping[Node, Buffer]
    stores: Mapping[Group, list[tuple[Node, Buffer]]]
    partials: Mapping[Node, Buffer]
    copies: list[tuple[Node, Buffer]]
    size: Size


def persistent_part(
    graphs: Iterable[Graph],
    results: Mapping[str, TensorType],
    declared: Mapping[tuple[str, str], TensorType],
    item: int,
) -> Persistent:
    """Collect what all programs share. What they read are leaves of `graphs`, `results` are the types of their roots;
    `declared` may hold tensors that no program reads."""
    graphs = tuple(graphs)
    types: dict[tuple[str, str], TensorType] = dict(declared)
    numbers = {"seed": SEED_NUMBER, "step of draws": STEP_NUMBER, "violations": VIOLATIONS_NUMBER}
    for graph in graphs:
        for node in graph.nodes:
            if node.op in ("parameter", "state", "gradient"):
                types.setdefault((node.op, str(node.attr("name"))), node.type)
            elif node.op in GIVEN and not (node.op == "scalar" and is_scalar(node.type)):
                numbers.setdefault(f"input {given_name(node)}", len(numbers))
            elif node.op == "scalar":
                numbers.setdefault(str(node.attr("name")), len(numbers))
    for root, type in results.items():
        kind, _, name = root.partition(".")
        if kind == "update" and ("parameter", name) not in types:
            types.setdefault(("state", name), type)
        elif kind == "gradient":
            types.setdefault(("gradient", name), type)
        elif is_scalar(type) and kind != "update":
            numbers.setdefault(f"result {root}", len(numbers))
    order = {"parameter": 0, "state": 1, "gradient": 2}
    for name in sorted(set().union(*map(runtime_names, graphs))):
        numbers.setdefault(f"dim {name}", len(numbers))
    offset = Size.of(8 * len(numbers)).in_lines(LINE).fixed
    tensors: dict[tuple[str, str], Buffer] = {}
    for key in sorted(types, key=lambda key: order[key[0]]):
        layout = layout_of(types[key])
        size = layout.elements.times(item).in_lines(LINE)
        name = f"d{key[1]}" if key[0] == "gradient" else key[1]
        tensors[key] = Buffer(name, "persistent", "real", size, layout, Size.of(offset))
        offset += size.fixed
    return Persistent(numbers, tensors, types, offset + LINE)  # vectors may read past the end of the last tensor


def kind_of(node: Node) -> str:
    return {"index": "index", "bool": "truth"}.get(node.type.kind, "real")


def buffer_of(name: str, node: Node, item: int) -> Buffer:
    """A transient buffer for a value."""
    layout = layout_of(node.type, node)
    kind = kind_of(node)
    size = layout.elements.times(8 if kind == "index" else item).in_lines(LINE)
    return Buffer(name, "transient", kind, size, layout)


def extent_of(layout: Layout, item: int) -> Size:
    """From the first element to the last."""
    extent = Size.of(1)
    for size, stride in zip(layout.sizes, layout.strides, strict=True):
        extent += (size_of(size) + Size.of(-1)).times(stride).times(1 if about(stride) > 0 else 0)
    return extent.times(item)


def part_of(owner: Buffer, whole: Layout, node: Node, start: Stride, item: int) -> Buffer:
    """A value inside the buffer of another one, with that one's strides."""
    own = layout_of(node.type, node)
    row = own.row_length if own.row_axis is None else whole.strides[own.row_axis]
    layout = replace(own, strides=whole.strides, row_length=row)
    extent = extent_of(layout, 8 if kind_of(node) == "index" else item)
    return Buffer(owner.name, "inside", kind_of(node), extent, layout, inside=(owner, start))


def parts_of_joined(concat: Node, owner: Buffer, item: int) -> Iterator[tuple[Node, Buffer]]:
    """Where the parts of a `concat` lie that nothing copies."""
    whole = owner.layout or layout_of(concat.type, concat)
    axis, start = concat.attr("axis"), ZERO
    for part in concat.inputs:
        yield part, part_of(owner, whole, part, plain(start * whole.strides[axis]), item)
        start = start + part.type.sizes[axis]


def plan(
    graph: Graph,
    settled: Settled,
    made: Schedule,
    shared: Persistent,
    partial_size: Callable[[Group, Stride], Size],
    names: Mapping[Node, str],
    item: int,
    blocks: Mapping[Group, Buffer],
) -> Plan:
    """Give every stored value of a program its place. `blocks` are what the steps of scans need."""
    place: dict[Node, Buffer] = {}
    inputs: dict[str, Buffer] = {}
    offset = Size()
    for node in sorted((n for n in graph.nodes if n.op in BOUND), key=lambda n: str(n.attr("name"))):
        name = given_name(node)
        if node.op == "scalar" and is_scalar(node.type):
            continue
        if node.op in GIVEN:
            place[node] = inputs[name] = buffer_of(name, node, item)
            inputs[name].offset, offset = offset, offset + inputs[name].size
        else:
            place[node] = shared.tensors[node.op, name]
    for node in graph.nodes:
        if node.op == "table":  # the program writes it when it begins
            place[node] = buffer_of(names[node], node, item)
            place[node].offset, offset = offset, offset + place[node].size
    for root, node in made.in_place.items():
        place[node] = target_of(root, shared)
    for node in graph.nodes:
        if node in settled.stored and node not in place:
            place[node] = buffer_of(names[node], node, item)
    for group in made.groups:
        if group.kind == "joined" and group.anchor is not None:
            place |= parts_of_joined(group.anchor, place[group.anchor], item)
    stores = {
        group: [(node, place[node]) for node in group.members if settled.home[node] is group and node in place]
        for group in made.groups
        if group.kind != "joined"
    }
    partials = {
        node: Buffer(f"{names[node]}_parts", "transient", "partial", partial_size(group, 8))
        for group in made.groups
        for node in group.totals
    }
    for group in made.groups:
        for node in group.sums:
            partials[node] = parts_of(node, group, names, partial_size, item)
    results = {
        root: place[node]
        for root, node in graph.roots.items()
        if not is_scalar(node.type) and not root.startswith("update.")
    }
    results |= {root: target_of(root, shared) for root in graph.roots if root.startswith("gradient.")}
    copies = [(node, target_of(root, shared)) for root, node in made.copies.items()]
    kept = {*results.values(), *(place[node] for node, _ in copies)}
    size = allocate(lifetimes(made.groups, settled, place, stores, partials, kept, blocks), offset)
    return Plan(inputs, results, place, stores, partials, copies, size)


def parts_of(
    node: Node, group: Group, names: Mapping[Node, str], partial_size: Callable[[Group, Stride], Size], item: int
) -> Buffer:
    """Room for what each unit of a group adds up. Sums over the examples are float64; those of filters are large, and
    few."""
    layout = layout_of(node.type, node)
    kind = "real" if group.kind == "filters" else "partial"
    size = partial_size(group, layout.count * (item if kind == "real" else 8))
    return Buffer(f"{names[node]}_parts", "transient", kind, size, layout)


def target_of(root: str, shared: Persistent) -> Buffer:
    """The persistent buffer of `update.<name>` or `gradient.<name>`."""
    kind, _, name = root.partition(".")
    if kind == "gradient":
        return shared.tensors["gradient", name]
    return shared.tensors.get(("parameter", name)) or shared.tensors["state", name]


@dataclass
class Life:
    """A buffer and the kernels, by their number, that first write and last read it. It may take the place of
    `successor_of`, which its kernel reads element by element before it writes."""

    buffer: Buffer
    first: int
    last: int
    successor_of: list[Buffer] = field(default_factory=list)


def lifetimes(
    groups: Sequence[Group],
    settled: Settled,
    place: Mapping[Node, Buffer],
    stores: Mapping[Group, list[tuple[Node, Buffer]]],
    partials: Mapping[Node, Buffer],
    kept: set[Buffer],
    blocks: Mapping[Group, Buffer],
) -> list[Life]:
    """The transient buffers in the order in which they are first written."""
    lives: dict[Buffer, Life] = {}
    for number, group in enumerate(groups):
        for _, value, _ in readings(group, settled.home):
            buffer = whole(place[value]) if value in place else None
            if buffer in lives:
                lives[buffer].last = max(number, lives[buffer].last)  # a result stays to the end
        if group.gathers is not None:
            lives[partials[group.gathers]].last = number
        written = [buffer for _, buffer in stores.get(group, ())] + [partials[n] for n in [*group.totals, *group.sums]]
        written += [blocks[group]] if group in blocks else []
        for buffer in map(whole, written):
            if buffer.part == "transient" and buffer not in lives:
                lives[buffer] = Life(buffer, number, len(groups) if buffer in kept else number)
        for node, buffer in stores.get(group, ()):
            if buffer in lives:
                lives[buffer].successor_of = [place[v] for v in consumed(node, group, settled, place)]
    return list(lives.values())


def whole(buffer: Buffer) -> Buffer:
    """The buffer that gets room: that which another one is inside of."""
    while buffer.inside is not None:
        buffer = buffer.inside[0]
    return buffer


def consumed(node: Node, group: Group, settled: Settled, place: Mapping[Node, Buffer]) -> list[Node]:
    """The stored values whose elements are read for the last time, in this group, before `node` is written."""
    times, uses = loop_times(group), last_uses(group, settled.stored)
    late: set[Node] = set()
    found: dict[Node, None] = {}
    for member, value, own in readings(group, settled.home):
        if value not in place or place[value].part != "transient" or value.op in GIVEN:
            continue
        mine, theirs = place[node], place[value]
        same = (
            own and group.kind in ("rows", "contraction") and mine.layout == theirs.layout and mine.kind == theirs.kind
        )
        before = uses[member] < times[node]
        if same and (before or (uses[member] == times[node] and loop_of(member) == loop_of(node))):
            found[value] = None
        else:
            late.add(value)
    return [value for value in found if value not in late and settled.home.get(value) is not group]


def allocate(lives: Sequence[Life], start: Size) -> Size:
    """Give each buffer a slot that is free while it lives. A slot grows with its buffers; offsets are given at the end,
    and the whole size is returned."""
    slots: list[list[Buffer]] = []
    sizes: list[Size] = []
    free_from: list[int] = []
    for life in lives:
        number = _slot(life, slots, sizes, free_from)
        if number is None:
            number = len(slots)
            slots.append([])
            sizes.append(life.buffer.size)
            free_from.append(0)
        slots[number].append(life.buffer)
        sizes[number] = sizes[number] if sizes[number].covers(life.buffer.size) else life.buffer.size
        free_from[number] = life.last + 1
    offset = start
    for buffers, size in zip(slots, sizes, strict=True):
        for buffer in buffers:
            buffer.offset = offset
        offset = offset + size
    return offset


def _slot(life: Life, slots: list[list[Buffer]], sizes: list[Size], free_from: list[int]) -> int | None:
    """The slot for a buffer: its operand's, if that ends here, else the smallest free one that is or can be made large
    enough."""
    for number, buffers in enumerate(slots):
        if buffers[-1] in life.successor_of and free_from[number] == life.first + 1:
            return number
    wanted = life.buffer.size
    free = [number for number in range(len(slots)) if free_from[number] <= life.first]
    free.sort(key=lambda number: abs(sizes[number].at(LINE) - wanted.at(LINE)))
    return next((number for number in free if sizes[number].covers(wanted) or wanted.covers(sizes[number])), None)
