"""The text of kernels around the host's convolutions and pooling: their units, what follows them, and sums in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.compiler.codegen.layout import factor_text, fixed, layout_of
from dlc.compiler.codegen.loops import INDENT, indented
from dlc.compiler.codegen.memory import Buffer
from dlc.compiler.codegen.products import laid
from dlc.compiler.codegen.sliding import FOLDS, FORWARD, TO_FILTERS, TO_INPUT, UNFOLDS, Geometry, geometry_of
from dlc.compiler.codegen.work import COLUMNS
from dlc.compiler.ir import Node

if TYPE_CHECKING:
    from dlc.compiler.codegen.kernels import KernelWriter

CONVOLUTIONS = {FORWARD: "convolve_rows", TO_INPUT: "input_gradient_rows", TO_FILTERS: "filter_gradient_rows"}


def slid(writer: KernelWriter) -> list[str]:
    """Some rows of one example's feature maps, and what follows them, element by element, while they are hot."""
    anchor = writer.group.anchor
    assert anchor is not None
    geometry, layout, item = geometry_of(anchor), layout_of(anchor.type, anchor), writer.target.item
    outer, part = geometry.made(anchor.op)[0], writer.units.part
    across = fixed(layout.width) // outer
    lines = writer.block() if part else ["i = unit"]
    begin, end = ("begin", "end") if part else ("0", str(outer))
    direct = writer.made_in_place()
    if direct is None:
        lines.append(f"tile_start = {writer.body.scratch(((part or outer) * across + 16) * item)}")
        to = "tile_start"
    else:
        to = f"{writer.arguments.address(direct)} + i * {layout.row_length * item}"
        to += f" + begin * {across * item}" if part else ""
        last = (
            f"i * {layout.row_length} + {end} * {across} - 1"
            if part
            else f"i * {layout.row_length} + {layout.width - 1}"
        )
        lines += inside(writer, direct, last)
    given = [of_example(writer, operand) for operand in anchor.inputs]
    lines += operands_inside(writer, anchor, geometry)
    lines.append(f"{called(writer, anchor, geometry)}({', '.join([*given, to, begin, end])})")
    if direct is None:
        tile = writer.body.tiles[anchor] = writer.arguments.fresh(f"{writer.names[anchor]}_tile")
        lines.append(f"{tile} = real_at(tile_start{f' - begin * {across * item}' if part else ''})")
    stores = [(node, buffer) for node, buffer in writer.stores if buffer is not direct]
    if not stores and not writer.group.totals and not writer.group.sums:
        return lines
    return [*lines, *writer.over_rows(writer.loops(stores, {anchor: ""}), one=True)]


def filters(writer: KernelWriter) -> list[str]:
    """A part of the sum over the places of all examples: the result's rows are shared out evenly among the units."""
    (node,) = writer.group.sums
    geometry, parts = geometry_of(node), writer.units.rows
    outer, item = geometry.result[0], writer.target.item
    many = f"{factor_text(layout_of(node.inputs[0].type, node).rows)} * {outer}"
    x, dy = (of_example(writer, operand) for operand in node.inputs)
    buffer, size = writer.partials[node], layout_of(node.type, node).elements.fixed
    to = f"{writer.arguments.address(buffer)} + unit * {size * item}"
    return [
        f"for e in range({size}):",
        f"{INDENT}{writer.body.at(buffer, f'unit * {size} + e')} = real(0)",
        *inside(writer, buffer, f"unit * {size} + {geometry.window[0] * geometry.filter_row - 1}"),
        f"place, last_place = unit * {many} // {parts}, (unit + 1) * {many} // {parts}",
        "while place < last_place:",
        f"{INDENT}i = place // {outer}",
        f"{INDENT}begin = place - i * {outer}",
        f"{INDENT}end = min({outer}, last_place - i * {outer})",
        *indented(operands_inside(writer, node, geometry)),
        f"{INDENT}{called(writer, node, geometry)}({x}, {dy}, {to}, begin, end)",
        f"{INDENT}place += end - begin",
    ]


def gather(writer: KernelWriter) -> list[str]:
    """The parts of a sum are added to the first of them, always in the same order, and what follows is computed."""
    node = writer.group.gathers
    assert node is not None
    buffer, layout = writer.partials[node], layout_of(node.type, node)
    writer.body.parts[node] = buffer
    size, row = factor_text(layout.count), factor_text(layout.row_length)
    limits = "begin, end" if row == "1" else f"begin * {row}, end * {row}"
    if writer.units.part:
        limits = f"i * {row} + begin * {writer.stretch}, i * {row} + end * {writer.stretch}"
    added = f"{writer.body.at(buffer, 'e')} += {writer.body.at(buffer, f'u * {size} + e')}"
    lines = [f"for u in range(1, {writer.parts}):", f"{INDENT}for e in range({limits}):", f"{INDENT}{INDENT}{added}"]
    return [*writer.block(), *lines, *writer.over_rows(writer.loops(writer.stores, {node: ""}))]


def turned_filters(writer: KernelWriter) -> list[str]:
    """One place of the filters after the other: its matrix of channels, transposed, some rows of the copy at a time."""
    anchor = writer.group.anchor
    assert anchor is not None
    given, made = writer.place[anchor.inputs[0]], writer.place[anchor]
    rows, columns = layout_of(anchor.type, anchor).known[-2:]
    times, item = writer.units.times, writer.target.item
    name = f"move_{rows}_{columns}"
    writer.panels[name] = f"{name} = transpose({writer.target.dtype!r}, source_row={rows}, target_row={columns})"
    start, end = (f"{writer.arguments.address(buffer)} + place * {rows * columns * item}" for buffer in (given, made))
    return [
        f"place, begin = unit // {times}, unit % {times} * {COLUMNS}",
        f"end = min(begin + {COLUMNS}, {rows})",
        *(line for buffer in (given, made) for line in inside(writer, buffer, f"(place + 1) * {rows * columns} - 1")),
        f"{name}({start} + begin * {item}, {end} + begin * {columns * item}, {columns}, end - begin)",
    ]


def called(writer: KernelWriter, node: Node, geometry: Geometry) -> str:
    """The name of the host's function for a convolution or for windows, which is defined above the kernel."""
    dtype = repr(writer.target.dtype)
    if node.op in CONVOLUTIONS:
        function, given = CONVOLUTIONS[node.op], dtype
        name = f"{function}_{geometry.title}"
    else:
        function = "pool_rows" if node.op in FOLDS else "pool_gradient_rows"
        fold = FOLDS.get(node.op) or UNFOLDS[node.op]
        name, given = f"{function}_{fold}_{geometry.title}", f"{dtype}, {fold!r}"
    writer.panels[name] = f"{name} = {function}({given}, {geometry.text})"
    return name


def operands_inside(writer: KernelWriter, node: Node, geometry: Geometry) -> list[str]:
    """Under check: the last element of each operand, of example `i`, lies inside its buffer."""
    lines = []
    for operand, count in zip(node.inputs, geometry.read(node.op), strict=True):
        value = laid(operand, writer.place)
        layout = layout_of(value.type, value)
        start = f"i * {layout.row_length} + " if layout.rows is None else ""
        lines += inside(writer, writer.place[value], f"{start}{count - 1}")
    return lines


def inside(writer: KernelWriter, buffer: Buffer, last: str) -> list[str]:
    """Under check: an element that the host's functions touch lies inside its buffer."""
    if not writer.target.check:
        return []
    return [f"inside({last}, {writer.arguments.end(buffer)}, {writer.arguments.flag})"]


def of_example(writer: KernelWriter, operand: Node) -> str:
    """The address of an operand; of feature maps, those of example `i`."""
    value = laid(operand, writer.group.bases)
    start = writer.arguments.address(writer.place[value])
    layout = layout_of(operand.type, operand)
    anchor = writer.group.anchor
    examples = anchor is None or anchor.op not in (FORWARD, TO_INPUT) or operand is not anchor.inputs[1]
    return f"{start} + i * {layout.row_length * writer.target.item}" if examples else start
