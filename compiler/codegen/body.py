"""The text of values inside a kernel: loads, stores, formulas, and what the kernel takes as arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dlc.compiler.codegen.fuse import canonical
from dlc.compiler.codegen.layout import (
    EXAMPLES,
    NotSupported,
    Stride,
    about,
    count_text,
    factor_text,
    grows,
    is_scalar,
    layout_of,
    product,
    sizes_of,
)
from dlc.compiler.codegen.memory import Buffer
from dlc.compiler.codegen.runs import NoRun, Run
from dlc.compiler.codegen.text import BUILT_IN, KernelEmitter, identifier
from dlc.compiler.codegen.values import (
    DRAWS,
    Point,
    Role,
    draw_number,
    fitted,
    inside_image,
    operand_points,
    role,
    starts_of_parts,
)
from dlc.compiler.codegen.views import Strided, view_of
from dlc.compiler.codegen.windows import window_text
from dlc.compiler.ir import Node
from dlc.compiler.ops import OPS, Elementwise

Argument = Node | Buffer | str
"""What a kernel is given: a single number, a buffer's address, or one of the words `m`, `seed`, `step`, `flag`."""

PLAIN = frozenset({0.0, 0.5, 1.0, 2.0})
"""Constants written into a kernel; others are arguments, so that a new learning rate needs no new kernel."""

_USED = """
    m i j k l n r args first last given numbers unit sums parts chunk whole last_k f0 f1 f2 f3 t0 t1 t2 t3 x tile
    tile_start terms begin end column step seed flag e c u v p q s folded best v0 v1 v2 v3 v4 v5 w0 w1 w2 w3 w4 w5
    c0 c1 c2 c3 c4 c5 place last_place turned beside beside_start side last_side top bottom b_start
"""
RESERVED = BUILT_IN | frozenset(_USED.split())

MOST_ON_STACK = 1 << 20
"""Bytes that a kernel may ask for on the stack of the thread that runs it: threads have 8 MiB on Linux, and on some
systems less."""

RENAMED = frozenset({"rename", "transpose", "permute", "drop", "expand", "broadcast"})
"""Movements that only give axes other places."""

AT = {"real": "real_at", "truth": "real_at", "index": "int64_at", "partial": "float64_at"}


@dataclass
class Arguments:
    """The argument block of a kernel: its entries in order, and their names inside the kernel."""

    check: bool = False
    item: int = 4
    entries: list[Argument] = field(default_factory=lambda: ["m"])
    names: dict[Argument, str] = field(default_factory=lambda: {"m": "m"})
    pointers: dict[Buffer, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=lambda: set(RESERVED))

    def name(self, entry: Argument, wish: str) -> str:
        """The name of an entry, which is added on first use."""
        if entry not in self.names:
            self.names[entry] = self.fresh(wish)
            self.entries.append(entry)
        return self.names[entry]

    def word(self, word: str) -> None:
        """A number that every kernel knows under one name: a run-time dimension."""
        if word not in self.names:
            self.names[word] = word
            self.entries.append(word)

    def fresh(self, wish: str) -> str:
        """A name that nothing else has."""
        made = identifier(wish, self.taken)
        self.taken.add(made)
        return made

    def address(self, buffer: Buffer, wish: str | None = None) -> str:
        """The address of a buffer, in bytes."""
        buffer = self.one(buffer)
        if buffer not in self.names:
            self.names[buffer] = f"{self.fresh(wish or family(identifier(buffer.name)))}_start"
            self.taken.add(self.names[buffer])
            self.entries.append(buffer)
        return self.names[buffer]

    def pointer(self, buffer: Buffer) -> str:
        """A typed pointer to a buffer."""
        buffer = self.one(buffer)
        if buffer not in self.pointers:
            self.pointers[buffer] = self.address(buffer).removesuffix("_start")
        return self.pointers[buffer]

    def end(self, buffer: Buffer) -> str:
        """Under check: how many elements the buffer has."""
        return f"{self.address(buffer)}_end"

    def one(self, buffer: Buffer) -> Buffer:
        """The argument for a buffer. What is written over an operand has the operand's name: LLVM makes no vectors of a
        loop where one name reads what another one writes."""
        for entry in self.entries:
            if isinstance(entry, Buffer) and entry is not buffer and entry.same_memory(buffer):
                return entry
        return buffer

    @property
    def flag(self) -> str:
        return self.name("flag", "flag")

    def lines(self) -> list[str]:
        """The statements that open the block."""
        single = any(isinstance(entry, Node) for entry in self.entries)
        lines = ["given, numbers = int64_at(args), float64_at(args)" if single else "given = int64_at(args)"]
        place = 0
        for entry in self.entries:
            name = self.names[entry]
            lines.append(f"{name} = real(numbers[{place}])" if isinstance(entry, Node) else f"{name} = given[{place}]")
            place += 1
            if isinstance(entry, Buffer) and entry in self.pointers:
                lines.append(f"{self.pointers[entry]} = {AT[entry.kind]}({name})")
            if self.check and isinstance(entry, Buffer):
                lines.append(f"{name}_end = given[{place}]")
                place += 1
        return lines


def family(name: str) -> str:
    """An identifier without its indices, so that the kernels of equal layers have equal texts: `W_1` gives `W`."""
    return re.sub(r"(_\d+)+(?=_|$)", "", name) or name


class NoRoom(NoRun, NotSupported):
    """A kernel would need more memory on the stack than there may be: where its loop can be written without runs it is,
    and else the program is refused."""


@dataclass(frozen=True)
class Saved:
    """The state of a body's text."""

    locals: Mapping[Node, str]
    entries: list[Argument]
    names: Mapping[Argument, str]
    pointers: Mapping[Buffer, str]
    taken: set[str]
    on_stack: int


class Body:
    """Writes what the members of a group are worth, at a point of its loops.

    `locals` are members whose value a variable holds. A member that is neither held nor stored is written out where it
    is read; so is an inline value, which may be stored by a later kernel (`copied` are those that are there).
    """

    def __init__(
        self, place: Mapping[Node, Buffer], names: Mapping[Node, str], dtype: str, arguments: Arguments
    ) -> None:
        self.place, self.names, self.dtype, self.arguments = place, names, dtype, arguments
        self.locals: dict[Node, str] = {}
        self.copied: set[Node] = set()
        self.emitter = KernelEmitter()
        self.ahead: list[str] = []
        self.on_stack = 0
        self.branching = False
        self.run: Run | None = None
        self.turn = ""  # the number of the step, in a scan's step
        self.slices: Mapping[Node, Buffer] = {}  # of sequences, in a scan's step
        self.tiles: dict[Node, str] = {}  # values of the row at hand, by the name of where the row would start
        self.parts: dict[Node, Buffer] = {}  # values added up in memory that is not their own

    def saved(self) -> Saved:
        """What a text that is given up must not have changed."""
        given = self.arguments
        entries, taken = list(given.entries), set(given.taken)
        return Saved(dict(self.locals), entries, dict(given.names), dict(given.pointers), taken, self.on_stack)

    def restore(self, saved: Saved) -> None:
        given = self.arguments
        self.locals, given.entries, given.names = dict(saved.locals), list(saved.entries), dict(saved.names)
        given.pointers, given.taken = dict(saved.pointers), set(saved.taken)
        self.run, self.ahead, self.on_stack = None, [], saved.on_stack

    def scratch(self, bytes: int) -> str:
        """The call for so many bytes on the stack, which belong to the kernel until it ends. Raises NoRoom."""
        self.on_stack += bytes
        if self.on_stack > MOST_ON_STACK:
            most = f"and a kernel may have {MOST_ON_STACK:,}"
            raise NoRoom(f"rows that need {self.on_stack:,} bytes beside them, {most}")
        return f"scratch({bytes})"

    # --- values ------------------------------------------------------------------------------------------------

    def value(self, node: Node, point: Point) -> str:
        """The text of a value at a point."""
        if is_scalar(node.type):
            return self.number(node)
        if self.run is not None and self.run.of_channel(point):
            return self.run.spread(self, node, point)
        if node in self.tiles:
            return f"{self.tiles[node]}[{self.inside_row(node, point)}]"
        if node in self.parts:
            return self.load(self.parts[node], point)
        if node in self.locals and point == canonical(node):
            if self.run is not None and not self.locals[node].isidentifier():
                raise NoRun
            return self.locals[node]
        stored = node in self.place and (role(node) is not Role.INLINE or node in self.copied)
        return self.load(self.place[node], point) if stored else self.formula(node, point)

    def formula(self, node: Node, point: Point) -> str:
        """The value written out."""
        if node.op in DRAWS:
            return self.draw(node, point)
        op = OPS[node.op]
        if isinstance(op, Elementwise):
            parts = [self.value(v, p) for v, p in zip(node.inputs, operand_points(node, point), strict=True)]
            text = op.emit(self.emitter, *parts, **node.keywords)
            return op.emit(self.emitter, *map(self.held, parts), **node.keywords) if " if " in text else text
        if role(node) is Role.INLINE:
            return self.moved(node, point)
        if self.run is not None:
            raise NoRun
        if role(node) is Role.WINDOWED:
            return self.windowed(node, point)
        raise NotSupported(f"{node.op} inside a fused loop", node)

    def held(self, text: str) -> str:
        """A variable for a text that a choice would read on one side only: such a branch keeps a loop from vectors."""
        if self.branching or text.isidentifier() or re.fullmatch(r"-?(real\([^()]*\)|INF|NAN)", text):
            return text
        name = self.arguments.fresh("x")
        self.ahead.append(f"{name} = {text}")
        return name

    def statement(self, write: Callable[[], str]) -> list[str]:
        """A statement, after the variables that its text asks for."""
        line = write()
        ahead, self.ahead = self.ahead, []
        return [*ahead, line]

    def length(self, node: Node) -> int:
        """The length of a value's formula."""
        length = len(self.formula(node, canonical(node)))
        self.arguments.taken -= {line.partition(" ")[0] for line in self.ahead}
        self.ahead = []
        return length

    def windowed(self, node: Node, point: Point) -> str:
        """The variable that holds a fold over the neighbourhood of a place."""
        name = self.arguments.fresh(family(self.names[node]))
        self.ahead += window_text(node, point, name, self.value, self.emitter)
        return name

    def moved(self, node: Node, point: Point) -> str:
        """An inline value: some element of its operand, or a number made from its place."""
        view = view_of(node)
        if view is not None and self.lies_by_itself(view.base) and not self.at_hand(node, point):
            return self.load(self.place[view.base], point, view)
        if self.run is not None and node.op not in RENAMED:
            raise NoRun
        if node in self.slices:
            return self.load(self.slices[node], point)
        if node.op == "position":
            return f"real({point[node.attr('axis')]} + 1)"
        places = operand_points(node, point)
        if node.op == "gather":
            index = self.value(node.inputs[1], places[0])
            table = node.inputs[0]
            return self.value(table, (*point[: table.type.rank - 1], index))
        if node.op == "reverse_each":
            axis, length = node.attr("axis"), f"int({self.value(node.inputs[1], places[1])})"
            place = f"({length} - 1 - {point[axis]} if {point[axis]} < {length} else {point[axis]})"
            return self.value(node.inputs[0], (*point[:axis], place, *point[axis + 1 :]))
        if node.op == "concat":
            return self.joined(node, point, places)
        if node.op == "shift":
            return f"({self.branch(node.inputs[0], places[0])} if {point[node.attr('axis')]} > 0 else real(0))"
        if node.op == "im2col" and (seen := inside_image(node, places[0])):
            return f"({self.branch(node.inputs[0], places[0])} if {seen} else real(0))"
        element = self.value(node.inputs[0], places[0])
        if node.op == "one_hot":
            return f"(real(1) if {element} == {point[node.attr('axis')]} else real(0))"
        return element

    def lies_by_itself(self, node: Node) -> bool:
        """Whether a value lies in memory as views take it to, and not as a part of a sequence or a concatenation."""
        layout = self.place[node].layout if node in self.place else None
        return layout is not None and layout.strides == layout_of(node.type, node).strides

    def at_hand(self, node: Node, point: Point) -> bool:
        """Whether movements lead to a value that a variable holds."""
        while role(node) is Role.INLINE and node.inputs:
            point, node = operand_points(node, point)[0], node.inputs[0]
        return (node in self.locals and point == canonical(node)) or node in self.tiles or node in self.parts

    def branch(self, node: Node, point: Point) -> str:
        """The text of a value at a point that may lie outside of it, where it is not read: no variable reads it."""
        before, self.branching = self.branching, True
        try:
            return self.value(node, point)
        finally:
            self.branching = before

    def joined(self, node: Node, point: Point, places: list[Point]) -> str:
        """The part of a `concat` that the index lies in."""
        *heads, text = (self.branch(part, place) for part, place in zip(node.inputs, places, strict=True))
        for head, end in zip(reversed(heads), reversed(starts_of_parts(node)), strict=False):
            text = f"({head} if {point[node.attr('axis')]} < {end} else {text})"
        return text

    def number(self, node: Node) -> str:
        """A single number: a literal, or an argument."""
        if node.op == "constant" and abs(node.attr("value")) in PLAIN:
            return self.emitter.number(node.attr("value"))
        return self.arguments.name(node, family(self.names.get(node, node.op)))

    def draw(self, node: Node, point: Point) -> str:
        """A random number: it depends on the seed, the step, the draw's name and the element's number."""
        seed, step = self.arguments.name("seed", "seed_"), self.arguments.name("step", "step_")
        if self.run is not None and point != canonical(node):
            raise NoRun
        place = element_number(node, point) if self.run is None else self.run.number(point)
        if self.turn:
            sizes = (EXAMPLES if size is None else size for size in sizes_of(node.type))
            place = f"{self.arguments.name(self.turn, 'turn')} * {factor_text(product(sizes))} + {place}"
        given = f"{seed}, {draw_number(node.attr('name'))}, {step}, {place}"
        return f"{DRAWS[node.op]}_{self.dtype}({given})"

    # --- memory ------------------------------------------------------------------------------------------------

    def load(self, buffer: Buffer, point: Point, view: Strided | None = None) -> str:
        text = self.element(buffer, point, view)
        if buffer.kind == "partial":
            return f"real({text})"
        return f"({text} != {self.emitter.number(0)})" if buffer.kind == "truth" else text

    def store(self, buffer: Buffer, point: Point, value: str) -> str:
        return f"{self.element(buffer, point)} = {f'real({value})' if buffer.kind == 'truth' else value}"

    def element(self, buffer: Buffer, point: Point, view: Strided | None = None) -> str:
        """`W[i * 512 + j]`: an element of the value that lies there, or of a view of it."""
        assert buffer.layout is not None
        strides, start = (view.strides, view.offset) if view else (buffer.layout.strides, 0)
        if self.run is not None:
            return self.at(buffer, self.run.offset(point, strides, start))
        return self.at(buffer, offset_text(point, strides, start))

    def at(self, buffer: Buffer, index: str) -> str:
        """An element by its number."""
        if self.arguments.check:
            index = f"inside({index}, {self.arguments.end(buffer)}, {self.arguments.flag})"
        return f"{self.arguments.pointer(buffer)}[{index}]"

    def place_in(self, reduction: Node) -> str:
        """The number of the element of a sum over rows that an element of its operand belongs to."""
        (operand,) = reduction.inputs
        point = fitted(reduction, canonical(operand))
        return offset_text(point, layout_of(reduction.type, reduction).strides)

    def inside_row(self, node: Node, point: Point) -> str:
        """Where an element lies in its row, counted from the row's start."""
        layout = layout_of(node.type, node)
        inner = tuple("0" if axis == layout.row_axis else index for axis, index in enumerate(point))
        return offset_text(inner, layout.strides) if self.run is None else self.run.offset(inner, layout.strides)


def offset_text(point: Point, strides: Sequence[Stride], start: Stride = 0) -> str:
    """Where an element lies, counted in elements from `start`: the largest stride first."""
    terms = [(stride, index) for stride, index in zip(strides, point, strict=True) if index != "0" and stride != 0]
    text = " + ".join(_term(stride, index) for stride, index in sorted(terms, key=_largest) if about(stride) > 0)
    text = " + ".join([*filter(None, [text]), *([count_text(start)] if start != 0 else [])]) or "0"
    return "".join([text, *(f" - {_term(-1 * stride, index)}" for stride, index in terms if about(stride) < 0)])


def _term(stride: Stride, index: str) -> str:
    return index if stride == 1 else f"{index} * {factor_text(stride)}"


def _largest(term: tuple[Stride, str]) -> int:
    return -about(term[0])


def element_number(node: Node, point: Point) -> str:
    """The number of an element of a draw, examples first: in the order in which they lie, where there are examples."""
    sizes = sizes_of(node.type)
    first = next((axis for axis, size in enumerate(sizes) if grows(size)), 0)
    text = "0"
    for axis in (*range(first, len(sizes)), *range(first)):
        size, index = sizes[axis], point[axis]
        text = index if text == "0" else text if size == 1 else f"({text}) * {factor_text(size)} + {index}"
    return text
