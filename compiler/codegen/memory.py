"""Where everything lies: the memory plan.

There are two allocations. The *persistent* part, the same for all programs, holds the program's numbers (inputs of the
optimizer such as `t`, results such as the loss), the parameters, the states, and all gradients in one stretch. The
*transient* part belongs to one run of one program: its inputs, then what the kernels hand on, each buffer for as long
as it is needed. It grows with the number of examples: offsets are `fixed + per_example * M` bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dlc.compiler.codegen.fuse import Group, canonical
from dlc.compiler.codegen.layout import LANES, Layout, Size, is_scalar, layout_of, round_up
from dlc.compiler.codegen.schedule import Schedule
from dlc.compiler.codegen.stored import Settled, loop_of, loop_times, readings
from dlc.compiler.codegen.values import Role, role
from dlc.compiler.dims import TensorType
from dlc.compiler.ir import Graph, Node

LINE = 64
"""Everything starts at a multiple of this many bytes: a line of the cache."""

SEED, STEP = 0, 1
"""The first two numbers are int64: what draws depend on besides their name."""


@dataclass(eq=False)
class Buffer:
    """A piece of memory. `kind` is `real`, `index` (int64), `truth` (a real 0 or 1) or `partial` (float64, one for each unit of
    a kernel)."""

    name: str
    part: str
    kind: str
    size: Size
    layout: Layout | None = None
    offset: Size = field(default_factory=Size)


@dataclass(frozen=True)
class Persistent:
    """The persistent part. `numbers` are float64 slots by name, `tensors` the buffers by role and name."""

    numbers: Mapping[str, int]
    tensors: Mapping[tuple[str, str], Buffer]
    types: Mapping[tuple[str, str], TensorType]
    bytes: int


@dataclass(frozen=True)
class Plan:
    """The transient part of one program. `place` is where each value is read; `stores` what each group writes, and
    where to; `partials` belong to totals. `copies` are done at the end."""

    inputs: Mapping[str, Buffer]
    results: Mapping[str, Buffer]
    place: Mapping[Node, Buffer]
    stores: Mapping[Group, list[tuple[Node, Buffer]]]
    partials: Mapping[Node, Buffer]
    copies: list[tuple[Node, Buffer]]
    size: Size


def persistent_part(
    programs: Mapping[str, Graph], declared: Mapping[tuple[str, str], TensorType], item: int
) -> Persistent:
    """Collect what all programs share. `declared` may hold tensors that no program reads."""
    types: dict[tuple[str, str], TensorType] = dict(declared)
    numbers = {"seed": SEED, "step of draws": STEP}
    for graph in programs.values():
        for node in graph.nodes:
            if node.op in ("parameter", "state", "gradient"):
                types.setdefault((node.op, str(node.attr("name"))), node.type)
            elif node.op == "scalar":
                numbers.setdefault(str(node.attr("name")), len(numbers))
    for graph in programs.values():
        for root, node in graph.roots.items():
            kind, _, name = root.partition(".")
            if kind == "update" and ("parameter", name) not in types:
                types.setdefault(("state", name), node.type)
            elif kind == "gradient":
                types.setdefault(("gradient", name), node.type)
            elif is_scalar(node.type) and kind != "update":
                numbers.setdefault(f"result {root}", len(numbers))
    order = {"parameter": 0, "state": 1, "gradient": 2}
    offset = round_up(8 * len(numbers), LINE)
    tensors: dict[tuple[str, str], Buffer] = {}
    for key in sorted(types, key=lambda key: order[key[0]]):
        layout = layout_of(types[key])
        size = Size(round_up(layout.elements.fixed * item, LINE))
        tensors[key] = Buffer(key[1], "persistent", "real", size, layout, Size(offset))
        offset += size.fixed
    return Persistent(numbers, tensors, types, offset)


def kind_of(node: Node) -> str:
    return {"index": "index", "bool": "truth"}.get(node.type.kind, "real")


def buffer_of(name: str, node: Node, item: int) -> Buffer:
    """A transient buffer for a value."""
    layout = layout_of(node.type, node)
    kind = kind_of(node)
    elements = layout.elements
    size = elements.times(8 if kind == "index" else item)
    return Buffer(name, "transient", kind, Size(round_up(size.fixed, LINE), size.per_example), layout)


def plan(
    graph: Graph, settled: Settled, made: Schedule, shared: Persistent, names: Mapping[Node, str], item: int
) -> Plan:
    """Give every stored value of a program its place."""
    place: dict[Node, Buffer] = {}
    inputs: dict[str, Buffer] = {}
    for node in graph.nodes:
        if role(node) is Role.MEMORY and node.op != "input":
            place[node] = shared.tensors[node.op, str(node.attr("name"))]
    offset = Size()
    for node in sorted((n for n in graph.nodes if n.op == "input"), key=lambda n: str(n.attr("name"))):
        buffer = place[node] = inputs[str(node.attr("name"))] = buffer_of(str(node.attr("name")), node, item)
        buffer.offset, offset = offset, offset + buffer.size
    for root, node in made.in_place.items():
        place[node] = target_of(root, shared)
    results: dict[str, Buffer] = {}
    for root, node in graph.roots.items():
        if is_scalar(node.type) or root in made.in_place or root in made.copies:
            continue
        if role(node) is not Role.MEMORY and node not in place:
            place[node] = buffer_of(names[node], node, item)
    stores, partials, needed = wanted_buffers(settled, made, place, names, item)
    for root, node in graph.roots.items():
        if not is_scalar(node.type) and not root.startswith("update."):
            results[root] = place[node]
    last = set(results.values()) | {place[node] for node in made.copies.values()}
    size = allocate(made.groups, stores, partials, settled, place, last, offset)
    copies = [(node, target_of(root, shared)) for root, node in made.copies.items()]
    del needed
    return Plan(inputs, results, place, stores, partials, copies, size)


def target_of(root: str, shared: Persistent) -> Buffer:
    """The persistent buffer of `update.<name>` or `gradient.<name>`."""
    kind, _, name = root.partition(".")
    if kind == "gradient":
        return shared.tensors["gradient", name]
    return shared.tensors.get(("parameter", name)) or shared.tensors["state", name]
