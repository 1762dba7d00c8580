"""The text of one kernel, for each kind of group."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dlc.compiler.codegen.body import RESERVED, Argument, Arguments, Body, offset_text
from dlc.compiler.codegen.contractions import CHUNK, stack
from dlc.compiler.codegen.fuse import Group, canonical
from dlc.compiler.codegen.host.machine import Dtype, Host, item_bytes
from dlc.compiler.codegen.layout import (
    ROW_BLOCK,
    NotSupported,
    about,
    count_text,
    factor_text,
    fixed,
    layout_of,
    product,
    sizes_of,
)
from dlc.compiler.codegen.loops import INDENT, Loops, indented
from dlc.compiler.codegen.maps import filters, gather, slid, turned_filters
from dlc.compiler.codegen.memory import Buffer
from dlc.compiler.codegen.products import Product
from dlc.compiler.codegen.text import bare
from dlc.compiler.codegen.views import Strided
from dlc.compiler.codegen.work import Tile, Units, tile_of
from dlc.compiler.ir import Node
from dlc.compiler.ops import OPS, Reduction

SUM, PART = "sums[i - begin]", "parts[i - begin]"
PLACES = "ikl"
"""Names of the indices along the axes of class indices."""


@dataclass(frozen=True)
class Target:
    """What the text depends on besides the graph."""

    dtype: Dtype
    path: str
    cpu: Host
    check: bool

    @property
    def item(self) -> int:
        return item_bytes(self.dtype)


@dataclass(frozen=True)
class Kernel:
    """A kernel's text without its name, and what it is called with. `panels` are the definitions it needs above it."""

    body: tuple[str, ...]
    panels: tuple[tuple[str, str], ...]
    arguments: tuple[Argument, ...]
    units: Units
    names: frozenset[str]

    @property
    def without_names(self) -> tuple[str, ...]:
        """The text with numbers in place of the names that come from the spec."""
        numbers: dict[str, str] = {}

        def numbered(word: re.Match[str]) -> str:
            name = word.group()
            return numbers.setdefault(name, f"${len(numbers)}") if name in self.names else name

        return tuple(re.sub(r"[A-Za-z_]\w*", numbered, line) for line in self.body)


class KernelWriter:
    """Writes the kernel of a group."""

    def __init__(
        self,
        group: Group,
        place: Mapping[Node, Buffer],
        stores: Sequence[tuple[Node, Buffer]],
        partials: Mapping[Node, Buffer],
        names: Mapping[Node, str],
        target: Target,
        units: Units,
        product: Product | None = None,
        parts: str = "",
        slices: Mapping[Node, Buffer] = MappingProxyType({}),
        turn: str = "",
    ) -> None:
        """`parts` is how many parts a `gather` adds up, `slices` are those of sequences in a scan's step, and
        `turn` is the step's number."""
        self.group, self.place, self.partials, self.target, self.units = group, place, partials, target, units
        self.stores, self.product, self.names, self.parts = stores, product, names, parts
        self.arguments = Arguments(target.check, target.item)
        self.body = Body(place, names, target.dtype, self.arguments)
        self.body.slices, self.body.turn = slices, turn
        self.body.copied = {node for node, _ in stores if node not in group.members}
        self.panels: dict[str, str] = {}
        self.ahead: list[str] = []

    def write(self) -> Kernel:
        """The kernel of the group."""
        product = self.product
        if product is not None:
            lines = {"tile": self.tile, "sweep": self.sweep, "dot": self.dot}[product.form](product)
        elif self.group.kind == "columns":
            lines = self.columns()
        elif self.group.kind == "transpose":
            lines = self.transposition()
        elif self.group.kind == "scatter":
            lines = self.scatter()
        elif self.group.kind == "slid":
            lines = slid(self)
        elif self.group.kind == "stack":
            lines = stack(self)
        elif self.group.kind == "filters":
            lines = filters(self)
        elif self.group.kind == "gather":
            lines = gather(self)
        else:
            lines = self.rows()
        for size in sorted(set(re.findall(r"\bdim_\w+", "\n".join([*self.ahead, *lines])))):
            self.arguments.word(size)
        body = (*self.arguments.lines(), *self.ahead, "for unit in range(first, last):", *indented(lines))
        names = frozenset(self.arguments.taken - RESERVED)
        return Kernel(body, tuple(self.panels.items()), tuple(self.arguments.entries), self.units, names)

    @property
    def count(self) -> str:
        """The number of rows of the group (of elements in a row where these are shared out)."""
        if self.group.kind == "scatter":
            return str(self.units.rows)
        return count_text(self.group.domain[0])

    def block(self, unit: str = "unit") -> list[str]:
        """The rows of a unit, `begin` to `end`; or its row `i`, and the places of the row's outermost axis."""
        if self.units.part:
            part, times, outer = self.units.part, self.units.times, self.group.domain[1][0]
            return [
                f"i = {unit} // {times}",
                f"begin = {unit} % {times} * {part}",
                f"end = min(begin + {part}, {outer})",
            ]
        size = self.units.block
        if size == 1:
            return [f"begin, end = {unit}, {unit} + 1"]
        return [f"begin = {unit} * {size}", f"end = min(begin + {size}, {self.count})"]

    # --- rows --------------------------------------------------------------------------------------------------

    def rows(self) -> list[str]:
        return [*self.block(), *self.over_rows(self.loops(self.stores, {}))]

    def loops(self, stores: Sequence[tuple[Node, Buffer]], given: Mapping[Node, str]) -> Loops:
        return Loops(self.group, self.body, stores, given, self.partials, self.stretch)

    def over_rows(self, loops: Loops, one: bool = False) -> list[str]:
        """The loops over the rows of a unit, `begin` to `end`, or over its (part of the) one row `i`."""
        start, row = loops.begin_unit(), loops.row()
        looped = row if one or self.stretch else ["for i in range(begin, end):", *indented(row)]
        self.ahead += loops.ahead
        return [*start, *loops.zeros, *looped, *loops.after, *loops.end_unit()]

    @property
    def stretch(self) -> int:
        """Elements of a row for each place of its outermost axis, where units are parts of rows."""
        return about(product(self.group.domain[1][1:])) if self.units.part else 0

    # --- columns -----------------------------------------------------------------------------------------------

    def columns(self) -> list[str]:
        """Sums of a block of columns: row after row is added to them, and then each is finished."""
        reduction = self.group.reduction
        op = OPS[reduction.op]
        assert isinstance(op, Reduction)
        (operand,) = reduction.inputs
        rows = layout_of(operand.type, operand).rows
        place = tuple({"i": "r", "j": "i"}.get(index, index) for index in canonical(operand))
        added = self.body.statement(
            lambda: f"{PART} = {bare(op.combine(self.body.emitter, PART, self.body.value(operand, place)))}"
        )
        many = count_text(rows)
        each = [f"for r in range(chunk, min(chunk + {CHUNK}, {many})):", *indented(self.over_block(added))]
        sums = self.in_chunks(op, many, each)
        loops = Loops(self.group, self.body, self.stores, {reduction: SUM}, self.partials)
        start = loops.begin_unit()
        return [*self.block(), *start, *sums, *self.over_block(loops.row()), *loops.end_unit()]

    def over_block(self, lines: Sequence[str]) -> list[str]:
        return ["for i in range(begin, end):", *indented(lines)]

    def in_chunks(self, op: Reduction, count: str, lines: Sequence[str]) -> list[str]:
        """Sums of `count` terms for each element of a block: `lines` add those of a chunk to its parts, which are then
        added to the sums. Short sums of short sums keep the rounding noise of long ones down."""
        size = self.units.block * self.target.item
        zero, emitter = op.identity(self.body.emitter), self.body.emitter
        return [
            f"sums, parts = real_at({self.body.scratch(size)}), real_at({self.body.scratch(size)})",
            *self.over_block([f"{SUM} = {zero}"]),
            f"for chunk in range(0, {count}, {CHUNK}):",
            *indented(self.over_block([f"{PART} = {zero}"])),
            *indented(lines),
            *indented(self.over_block([f"{SUM} = {bare(op.combine(emitter, SUM, PART))}"])),
        ]

    # --- products ----------------------------------------------------------------------------------------------

    def finish(self, value: str) -> tuple[list[str], list[str], list[str]]:
        """What follows a product for each of its rows `i`: the statements before, for, and after the rows of a unit."""
        anchor = self.group.anchor
        assert anchor is not None
        if anchor in self.group.totals:
            part = f"{self.arguments.pointer(self.partials[anchor])}[unit]"
            return [], [f"{part} = {value}"], []
        loops = Loops(self.group, self.body, self.stores, {anchor: value}, self.partials)
        return loops.begin_unit(), loops.row(), loops.end_unit()

    def address(self, operand: Strided, *terms: tuple[str, int]) -> str:
        """The address of an element of an operand."""
        assert self.product is not None
        side = "left" if operand is self.product.left else "right"
        start = self.arguments.address(self.place[operand.base], side)
        item = self.target.item
        strides = tuple(stride * item for _, stride in terms)
        offset = offset_text(tuple(index for index, _ in terms), strides, operand.offset * item)
        return start if offset == "0" else f"{start} + {offset}"

    def element(self, operand: Strided, offset: str) -> str:
        """An element of an operand, to be read."""
        buffer = self.place[operand.base]
        offset = f"{offset} + {operand.offset}" if operand.offset else offset
        if self.target.check:
            offset = f"inside({offset}, {self.arguments.end(buffer)}, {self.arguments.flag})"
        return f"{self.arguments.pointer(buffer)}[{offset}]"

    def tile(self, product: Product) -> list[str]:
        """A block of rows by the panels of a unit, then the members, element by element, while the block is hot."""
        cut = tile_of(product, self.target.cpu, self.target.dtype)
        layout, width, direct = product.layout, fixed(product.layout.width), self.direct()
        out = fixed(direct.layout.row_length) if direct is not None and direct.layout is not None else cut.columns
        depth = count_text(product.depth)
        lines = self.block(f"unit // {cut.times}" if cut.times > 1 else "unit")
        column = "0"
        if cut.times > 1:
            column = "column"
            lines.append(f"column = unit % {cut.times} * {cut.columns}")
        if direct is None:
            size = (self.units.block + ROW_BLOCK) * cut.columns * self.target.item
            lines.append(f"tile_start = {self.body.scratch(size)}")
        calls = self.panel_calls(product, cut, column, out, depth, direct)
        if direct is not None:
            return [*lines, *calls]
        calls.append("tile = real_at(tile_start)")
        inside = "j" if column == "0" else "j - column"
        before, row, after = self.finish(f"tile[(i - begin) * {cut.columns} + {inside}]")
        last = f"min(column + {cut.columns}, {width})" if width % cut.columns else f"column + {cut.columns}"
        limits = f"range({width})" if column == "0" else f"range(column, {last})"
        row = [line.replace(f"range({layout.width})", limits) if line.startswith("for j in") else line for line in row]
        return [*lines, *calls, *before, *self.over_block(row), *after]

    def panel_calls(
        self, product: Product, cut: Tile, column: str, out: int, depth: str, direct: Buffer | None
    ) -> list[str]:
        """The calls that compute a unit's block."""
        item, lanes = self.target.item, self.target.cpu.lanes(self.target.dtype)
        a_row, a_k = map(fixed, product.row_strides)
        b_k = fixed(product.column_strides[1])
        rows = self.address(product.rows, ("begin", a_row))

        def call(vectors: int) -> list[str]:
            name = self.panel(a_row, a_k, b_k, out, vectors, product.known_depth, packed=product.packs)
            columns = self.address(product.columns, (column, 1))
            to = "tile_start"
            if direct is not None:
                to = f"{self.arguments.address(direct)} + begin * {out * item}"
                to += f" + {column} * {item}" if column != "0" else ""
            checks = self.checks(product, column, vectors * lanes, depth, direct, out) if self.target.check else []
            return [*checks, f"{name}({rows}, {columns}, {to}, end - begin, {depth})"]

        if not cut.rest:
            return call(cut.vectors)
        narrow = f"if column == {(cut.times - 1) * cut.columns}:"
        return [narrow, *indented(call(cut.rest)), "else:", *indented(call(cut.vectors))]

    def checks(
        self, product: Product, place: str, width: int, depth: str, direct: Buffer | None, out: int
    ) -> list[str]:
        """Under check: the last element that a panel touches of each operand lies inside its buffer."""
        a_row, a_k = map(fixed, product.row_strides)
        b_k = fixed(product.column_strides[1])
        flag = self.arguments.flag
        overhang = f"((end - begin + {ROW_BLOCK - 1}) // {ROW_BLOCK} * {ROW_BLOCK} - 1)"
        last_a = f"(begin + {overhang}) * {a_row} + ({depth} - 1) * {a_k} + {product.rows.offset}"
        last_b = f"{place} + ({depth} - 1) * {b_k} + {width - 1 + product.columns.offset}"
        lines = [
            f"inside({last_a}, {self.arguments.end(self.place[product.rows.base])}, {flag})",
            f"inside({last_b}, {self.arguments.end(self.place[product.columns.base])}, {flag})",
        ]
        if direct is not None:
            last_c = f"(begin + {overhang}) * {out} + {place} + {width - 1}"
            lines.append(f"inside({last_c}, {self.arguments.end(direct)}, {flag})")
        return lines

    def panel(
        self, a_row: int, a_k: int, b_k: int, c_row: int, vectors: int, depth: int | None, **options: bool
    ) -> str:
        """The name of a panel function, which is defined above the kernel; `options` are those of `matmul_panel`."""
        words = [a_row, a_k, b_k, c_row, vectors] + ([] if depth is None else [depth])
        chosen = [option for option, wanted in options.items() if wanted]
        name = "_".join(map(str, ["panel", *words, *chosen]))
        known = ("" if depth is None else f", depth={depth}") + "".join(f", {option}=True" for option in chosen)
        strides = f"a_row={a_row}, a_k={a_k}, b_k={b_k}, c_row={c_row}, vectors={vectors}{known}"
        self.panels[name] = f"{name} = matmul_panel({self.target.dtype!r}, {strides})"
        return name

    def direct(self) -> Buffer | None:
        """The buffer that the panels can write to themselves: nothing follows the product."""
        if list(self.group.members) != [self.group.anchor] or self.group.totals or len(self.stores) != 1:
            return None
        (node, buffer), *_ = self.stores
        if buffer.layout is None or not isinstance(buffer.layout.row_length, int):
            return None
        usual, own = layout_of(node.type, node), buffer.layout  # a step of a sequence may have its features far apart
        return buffer if all(own.strides[axis] == usual.strides[axis] for axis in usual.inner) else None

    def made_in_place(self) -> Buffer | None:
        """Where an anchor can be written by its own kernel: its place, if it lies there as a value by itself does."""
        anchor = self.group.anchor
        assert anchor is not None
        place = self.place.get(anchor)
        stored = any(buffer is place for node, buffer in self.stores if node is anchor)
        return place if stored and self.body.lies_by_itself(anchor) else None

    def sweep(self, product: Product) -> list[str]:
        """A stretch of a long vector: the terms of the sum are added to all of it, four at a time."""
        _, along = product.row_strides
        weight = product.column_strides[1]
        depth = count_text(product.depth)

        def term(k: str) -> tuple[str, str]:
            factor = self.element(product.columns, offset_text((k,), (weight,)))
            return factor, self.element(product.rows, f"{k} * {along} + i")

        four = [term(f"(k + {u})" if u else "k") for u in range(4)]
        added = " + ".join(f"f{u} * {element}" for u, (_, element) in enumerate(four))
        factors = ", ".join(factor for factor, _ in four)
        each = [
            f"last_k = min(chunk + {CHUNK}, {depth})",
            "whole = chunk + (last_k - chunk) // 4 * 4",
            "for k in range(chunk, whole, 4):",
            f"{INDENT}f0, f1, f2, f3 = {factors}",
            *indented(self.over_block([f"{PART} += {added}"])),
            "for k in range(whole, last_k):",
            f"{INDENT}f0 = {four[0][0]}",
            *indented(self.over_block([f"{PART} += f0 * {four[0][1]}"])),
        ]
        op = OPS["sum"]
        assert isinstance(op, Reduction)
        sums = self.in_chunks(op, depth, each)
        before, row, after = self.finish(SUM)
        return [*self.block(), *sums, *before, *self.over_block(row), *after]

    def dot(self, product: Product) -> list[str]:
        """One sum for each element."""
        if product.layout.width == 1:
            return self.dots(product)
        depth = count_text(product.depth)
        left = self.element(product.rows, offset_text(("i", "k"), product.row_strides))
        right = self.element(product.columns, offset_text(("j", "k"), product.column_strides))
        before, row, after = self.finish("terms")
        place = 1 + next(number for number, line in enumerate(row) if line.startswith("for j in"))
        terms = ["terms = real(0)", f"for k in range({depth}):", f"{INDENT}terms += {left} * {right}"]
        row = [*row[:place], *indented(terms), *row[place:]]
        return [*self.block(), *before, *self.over_block(row), *after]

    def dots(self, product: Product) -> list[str]:
        """A column of sums, four rows at a time: the vector that all of them read is loaded once for four."""
        depth = count_text(product.depth)
        right = self.element(product.columns, offset_text(("0", "k"), product.column_strides))

        def sums(first: str, count: int) -> list[str]:
            rows = [f"({first} + {u})" if u else first for u in range(count)]
            terms = [f"t{u}" for u in range(count)]
            lefts = [self.element(product.rows, offset_text((row, "k"), product.row_strides)) for row in rows]
            return [
                f"{' = '.join(terms)} = real(0)",
                f"for k in range({depth}):",
                f"{INDENT}x = {right}",
                *(f"{INDENT}{term} += {left} * x" for term, left in zip(terms, lefts, strict=True)),
                *(f"sums[{row} - begin] = {term}" for row, term in zip(rows, terms, strict=True)),
            ]

        before, row, after = self.finish(SUM)
        return [
            *self.block(),
            f"sums = real_at({self.body.scratch(self.units.block * self.target.item)})",
            "whole = begin + (end - begin) // 4 * 4",
            "for i in range(begin, whole, 4):",
            *indented(sums("i", 4)),
            "for i in range(whole, end):",
            *indented(sums("i", 1)),
            *before,
            *self.over_block(row),
            *after,
        ]

    # --- scattered sums ----------------------------------------------------------------------------------------

    def scatter(self) -> list[str]:
        """A block of the table's elements at a time, so that no two units add to the same one."""
        anchor = self.group.anchor
        assert anchor is not None
        values, places = anchor.inputs
        table = self.place[anchor]
        assert table.layout is not None
        if values.type.rank != places.type.rank + 1 or places.type.rank > len(PLACES):
            raise NotSupported("sums by class index of more axes than one", anchor)
        point = tuple(PLACES[: places.type.rank])
        chosen = self.body.load(self.place[places], point)
        sum_at, element = self.body.element(table, ("j", "n")), self.body.load(self.place[values], ("j", *point))
        adding = [f"n = {chosen}", "for j in range(begin, end):", f"{INDENT}{sum_at} += {element}"]
        for index, size in reversed(list(zip(point, sizes_of(places.type), strict=True))):
            adding = [f"for {index} in range({factor_text(size)}):", *indented(adding)]
        return [
            *self.block(),
            f"for n in range({table.layout.rows}):",
            f"{INDENT}for j in range(begin, end):",
            f"{INDENT}{INDENT}{sum_at} = real(0)",
            *adding,
        ]

    # --- transposed copies ---------------------------------------------------------------------------------------

    def transposition(self) -> list[str]:
        """Rows of the copy are columns of its source."""
        anchor = self.group.anchor
        assert anchor is not None
        if anchor.type.rank > 2:
            return turned_filters(self)
        (source,) = anchor.inputs
        given, made = self.place[source], self.place[anchor]
        assert given.layout is not None
        assert made.layout is not None
        from_row, to_row = given.layout.row_length, made.layout.row_length
        if not (isinstance(from_row, int) and isinstance(to_row, int)):
            element = self.body.at(given, f"j * {factor_text(from_row)} + i")
            turned = [f"{self.body.at(made, f'i * {factor_text(to_row)} + j')} = {element}"]
            return [
                *self.block(),
                *self.over_block([f"for j in range({count_text(given.layout.rows)}):", *indented(turned)]),
            ]
        name = f"move_{from_row}_{to_row}"
        self.panels[name] = f"{name} = transpose({self.target.dtype!r}, source_row={from_row}, target_row={to_row})"
        item = self.target.item
        start = f"{self.arguments.address(given)} + begin * {item}"
        end = f"{self.arguments.address(made)} + begin * {to_row * item}"
        rows = count_text(given.layout.rows)
        return [*self.block(), f"{name}({start}, {end}, {rows}, end - begin)"]
