"""The text of kernels around the host's convolutions: their units, what follows them, and sums in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.codegen.layout import layout_of
from dlc.compiler.codegen.loops import INDENT, Loops
from dlc.compiler.codegen.products import laid
from dlc.compiler.codegen.sliding import FORWARD, TO_FILTERS, TO_INPUT, Geometry, geometry_of
from dlc.compiler.ir import Node

if TYPE_CHECKING:
    from dlc.compiler.codegen.kernels import KernelWriter

FUNCTIONS = {FORWARD: "convolve_rows", TO_INPUT: "input_gradient_rows", TO_FILTERS: "filter_gradient_rows"}


def convolution(writer: KernelWriter) -> list[str]:
    """A part of one example's feature maps, and what follows it, element by element, while it is hot."""
    anchor = writer.group.anchor
    assert anchor is not None
    geometry, layout, item = geometry_of(anchor), layout_of(anchor.type, anchor), writer.target.item
    made, units = geometry.made(anchor.op), writer.units
    outer, across = made[0], layout.width // made[0]
    direct = next((buffer for node, buffer in writer.stores if node is anchor), None)
    lines = writer.block() if units.part else ["i = unit"]
    begin, end = ("begin", "end") if units.part else ("0", str(outer))
    if direct is None:
        writer.body.tiles[anchor] = tile = writer.arguments.fresh(f"{writer.names[anchor]}_tile")
        room = (units.part or outer) * across * item
        lines.append(f"tile_start = scratch({room + 64})")
        to = "tile_start"
    else:
        to = f"{writer.arguments.address(direct)} + i * {layout.row_length * item}"
        to += f" + begin * {across * item}" if units.part else ""
    given, filters = (of_example(writer, operand) for operand in anchor.inputs)
    lines.append(f"{called(writer, anchor, geometry)}({given}, {filters}, {to}, {begin}, {end})")
    if direct is None:
        start = f"tile_start - begin * {across * item}" if units.part else "tile_start"
        lines.append(f"{tile} = real_at({start})")
    stores = [(node, buffer) for node, buffer in writer.stores if node is not anchor]
    if not stores and not writer.group.totals and not writer.group.sums:
        return lines
    loops = Loops(writer.group, writer.body, stores, {anchor: ""}, writer.partials, writer.stretch)
    if units.part:
        return [*lines, *loops.rows()]
    start, row = loops.begin_unit(), loops.row()
    return [*lines, *start, *loops.ahead, *row, *loops.after, *loops.end_unit()]


def filters(writer: KernelWriter) -> list[str]:
    """A part of the sum over the places of all examples: the result's rows are shared out evenly among the units."""
    (node,) = writer.group.sums
    geometry, parts = geometry_of(node), writer.units.rows
    outer, item = geometry.result[0], writer.target.item
    x, dy = (of_example(writer, operand) for operand in node.inputs)
    buffer = writer.partials[node]
    size = layout_of(node.type, node).elements.fixed
    name = called(writer, node, geometry)
    part = writer.body.at(buffer, f"unit * {size} + e")
    return [
        f"for e in range({size}):",
        f"{INDENT}{part} = real(0)",
        f"place, end = unit * m * {outer} // {parts}, (unit + 1) * m * {outer} // {parts}",
        "while place < end:",
        f"{INDENT}i = place // {outer}",
        f"{INDENT}begin = place - i * {outer}",
        f"{INDENT}last_k = min({outer}, begin + end - place)",
        f"{INDENT}{name}({x}, {dy}, {writer.arguments.address(buffer)} + unit * {size * item}, begin, last_k)",
        f"{INDENT}place += last_k - begin",
    ]


def gather(writer: KernelWriter) -> list[str]:
    """The parts of a sum are added to the first of them, always in the same order, and what follows is computed."""
    node = writer.group.gathers
    assert node is not None
    assert writer.group.source is not None
    buffer, layout = writer.partials[node], layout_of(node.type, node)
    writer.body.parts[node] = buffer
    size, row = layout.elements.fixed, layout.row_length
    first, end = ("begin", "end") if row == 1 else (f"begin * {row}", f"end * {row}")
    if writer.units.part:
        inner = writer.stretch
        first, end = f"i * {row} + begin * {inner}", f"i * {row} + end * {inner}"
    added = f"{writer.body.at(buffer, 'e')} += {writer.body.at(buffer, f'u * {size} + e')}"
    lines = [f"for u in range(1, {writer.parts}):", f"{INDENT}for e in range({first}, {end}):", f"{INDENT}{INDENT}{added}"]
    loops = Loops(writer.group, writer.body, writer.stores, {node: ""}, writer.partials, writer.stretch)
    return [*writer.block(), *lines, *loops.rows()]


def called(writer: KernelWriter, node: Node, geometry: Geometry) -> str:
    """The name of the host's function for a convolution, which is defined above the kernel."""
    function = FUNCTIONS[node.op]
    name = f"{function}_{geometry.title}"
    strides = "".join(f"_{number}" for number in (*geometry.stride, *geometry.before))
    name += f"{strides}_{geometry.groups}"
    writer.panels[name] = f"{name} = {function}({writer.target.dtype!r}, {geometry.text})"
    return name


def of_example(writer: KernelWriter, operand: Node) -> str:
    """The address of an operand, of example `i` where it has examples."""
    value = laid(operand, writer.place)
    start = writer.arguments.address(writer.place[value])
    layout = layout_of(value.type, value)
    return f"{start} + i * {layout.row_length * writer.target.item}" if layout.rows is None else start
