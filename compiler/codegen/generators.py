"""The text of a generator: a loop in its program that computes the next prediction, and chooses words of it.

A turn is planned like a scan's step (`scans.py`). What it carries, the words and the state of the choice lie in the
loop's block. A beam has as many copies of what is carried as it has candidates: the turn runs for one candidate after
the other, and then each goes on with the states of the one that it continues. The choice is a function of the host
(`host/choice.py`), the same for all models. A carry that grows by a place has the place written where it lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dlc.compiler.codegen.fuse import Group
from dlc.compiler.codegen.kernels import Kernel
from dlc.compiler.codegen.layout import NotSupported, Size, count_text, dim_text, factor_text, layout_of, size_of
from dlc.compiler.codegen.memory import LINE, Buffer, Plan, buffer_of
from dlc.compiler.codegen.program import Call, size_text, wrapped
from dlc.compiler.codegen.scans import Carry, Given, StepWriter
from dlc.compiler.codegen.values import draw_number
from dlc.compiler.codegen.work import Units
from dlc.compiler.dims import Dim
from dlc.compiler.ir import Node
from dlc.compiler.ops.generate import Beam, Choice, Greedy, Sampling, Turn

READ = {
    "int": "given[{}]",
    "float": "numbers[{}]",
    "index": "int64_at(given[{}])",
    "wide": "float64_at(given[{}])",
    "real": "real_at(given[{}])",
    "truth": "real_at(given[{}])",
}
"""How a kernel reads what a function of the host is given: a number, or a pointer to some."""


class Passed(NamedTuple):
    """What a function of the host is given: of a kind, by a text of the program."""

    kind: str
    text: str


@dataclass
class TurnWriter(StepWriter):
    """Writes the loop of a generator."""

    def __post_init__(self) -> None:
        anchor = self.group.anchor
        assert anchor is not None
        self.by: Choice = anchor.attr("by")
        until = anchor.attr("until")
        if isinstance(until, str):
            raise NotSupported(f'until = "{until}" without a vocabulary', anchor)
        self.until = -1 if until is None else int(until)
        self.longest: int = anchor.attr("longest")
        self.copies = self.by.width if isinstance(self.by, Beam) else 1
        self.every: dict[Buffer, str] = {}
        super().__post_init__()

    @property
    def turn_(self) -> Turn:
        assert isinstance(self.step, Turn)
        return self.step

    @property
    def axes(self) -> tuple[int, ...]:
        return self.turn_.axes

    # --- the plan ----------------------------------------------------------------------------------------------

    def planned(self) -> Plan:
        prediction = self.graph.roots["prediction"]
        self.prediction = buffer_of("prediction", prediction, self.target.item)
        layout = self.prediction.layout
        assert layout is not None
        self.layout, self.examples = layout, layout.sizes[1]
        classes = layout.sizes[0]
        assert isinstance(classes, int)
        self.classes = classes
        shown = self.held.get("words")
        self.width = Dim.of(self.longest if shown is None else layout_of(shown.type, shown).row_length)
        each, wide = size_of(self.examples), self.copies
        self.status, self.lengths = self.kept("status", Size.of(2)), self.kept("lengths", each)
        self.word = self.kept("word", each, wide)
        self.words = self.kept("words", each.times(self.width), wide)
        if isinstance(self.by, Sampling):
            self.weights = self.kept("weights", Size.of(classes))
            self.order = self.kept("order", Size.of(min(self.by.top_k, classes)))
        if isinstance(self.by, Beam):
            many = each.times(wide)
            self.parents, self.beam = self.kept("parents", many), self.kept("beam", many.times(4))
            self.logs, self.scores = self.kept("logs", many.times(2)), self.kept("scores", Size.of(wide))
            self.candidates = self.kept("candidates", many.times(2).times(self.width))
        self.lasting[self.prediction] = wide
        return super().planned()

    def kept(self, name: str, count: Size, copies: int = 1) -> Buffer:
        """Room for so many numbers of eight bytes, through all steps."""
        buffer = Buffer(name, "transient", "index", (count.times(8) + Size.of(8)).in_lines(LINE))
        self.lasting[buffer] = copies
        return buffer

    def carried(self, place: dict[Node, Buffer]) -> Iterator[Carry]:
        """What a turn carries; and where the words are read."""
        for name, buffer in (("word", self.word), ("words", self.words)):
            if name in self.held:
                leaf = self.held[name]
                buffer.layout = layout_of(leaf.type, leaf)
                place[leaf] = buffer
        self.grown = list(self.growing(place))
        for carry in super().carried(place):
            yield self.put(carry, place) if self.graph.roots[carry.root].op == "put" else carry

    def growing(self, place: dict[Node, Buffer]) -> Iterator[Carry]:
        """What grows by a place; there is nothing of it before the first step."""
        for name, root in self.graph.roots.items():
            if name.startswith("grown."):
                leaf = self.held[name]
                old, new = (buffer_of(f"{word}_{self.names[root]}", root, self.target.item) for word in ("old", "new"))
                place[leaf] = old
                found = self.put(Carry(leaf, name, root, old, new, ""), place)
                self.lasting |= {found.old: self.copies, found.new: self.copies}
                yield found

    def put(self, carry: Carry, place: dict[Node, Buffer]) -> Carry:
        """A carry that a step writes one place of, where it lies."""
        place[self.graph.roots[carry.root]] = carry.old
        return replace(carry, new=carry.old) if self.copies == 1 else carry

    def targets(self, root: str, node: Node) -> Iterator[tuple[Node, Buffer]]:
        if root == "prediction":
            yield node, self.prediction
        elif node.op == "put":
            (carry,) = (carry for carry in (*self.carries, *self.grown) if carry.root == root)
            yield node.inputs[1], self.row_of(carry.old, node)
        else:
            yield from super().targets(root, node)

    def row_of(self, buffer: Buffer, put: Node) -> Buffer:
        """The place of a buffer that a step writes."""
        row, axis = put.inputs[1], put.attr("axis")
        strides = layout_of(put.type, put).strides
        own = layout_of(row.type, row)
        length = own.row_length if own.row_axis is None else strides[own.row_axis]
        layout = replace(own, strides=strides, row_length=length)
        return self.part_of(Given(buffer, 0, strides[axis]), row, layout)

    # --- the text ----------------------------------------------------------------------------------------------

    def loop(self) -> list[Call]:
        """The loop's lines go to the program; the kernels that it calls."""
        calls = [self.copied(carry.first, carry.old, self.outer) for carry in self.carries if not carry.name]
        self.lines += [f"{carry.name} = {self.outer.scalar(carry.first)}" for carry in self.carries if carry.name]
        calls.append(self.begin())
        before, self.lines = self.lines, []
        for carry in self.carries:
            if carry.name:
                self.scalars[carry.leaf] = carry.name
        if "number" in self.held:
            number = self.scalars[self.held["number"]] = self.fresh("number")
            self.lines.append(f"{number} = float64({self.t} + 1)")
        for group in self.made.groups:
            calls += self.calls_of(group)
        turn, self.lines = self.lines, []
        calls.append(self.choose())
        calls += self.go_on()
        after, self.lines = self.lines, []
        calls += [self.finish(take, result) for take, result in self.takes.items()]
        self.write_loop(before, turn, after)
        return calls

    def write_loop(self, before: Sequence[str], turn: Sequence[str], after: Sequence[str]) -> None:
        """All lines in their order."""
        status = f"int64_at({self.address(self.status)})[0]"
        fixed, moving = self.addresses()
        if self.copies > 1:
            fixed += [f"{every} = {self.address(buffer)}" for buffer, every in self.every.items()]
            moving = [
                *(f"{self.address(b)} = {every} + {self.slot} * {self.apart(b)}" for b, every in self.every.items()),
                *moving,
            ]
            turn = [f"for {self.slot} in range({status}):", *_indented([*moving, *turn])]
        else:
            turn = [*moving, *turn]
        written = [] if self.turn_.written is None else [f"{dim_text(Dim.symbol(self.turn_.written))} = {self.t} + 1"]
        inside = _indented([*written, *turn, *after])
        self.outer.lines += [*fixed, *before, f"for {self.t} in range({self.longest}):", *inside, *self.lines, ""]

    @property
    def slot(self) -> str:
        """The number of the candidate that a turn is for."""
        if not hasattr(self, "_slot"):
            self._slot = self.fresh("candidate")
        return self._slot

    def apart(self, buffer: Buffer) -> str:
        """Bytes from one candidate's copy to the next."""
        if buffer is self.word:
            return f"(8 * {factor_text(self.examples)})"
        if buffer is self.words:
            return f"(8 * {factor_text(self.examples)} * {dim_text(self.width)})"
        return f"({size_text(buffer.size)})"

    def address(self, buffer: Buffer) -> str:
        name = super().address(buffer)
        if self.lasting.get(buffer, 1) > 1 and buffer not in self.every:
            self.every[buffer] = self.fresh(f"every_{name}")
        return name

    def all_of(self, buffer: Buffer) -> str:
        """Where the first candidate's copy lies."""
        name = self.address(buffer)
        return self.every.get(buffer, name)

    # --- choosing ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> list[Passed]:
        """What every way of choosing writes."""
        words = (self.status, self.lengths, self.word, self.words)
        return [Passed("int", dim_text(self.width)), *(Passed("index", self.all_of(buffer)) for buffer in words)]

    def begin(self) -> Call:
        width, status, lengths, word, words = self.state
        return self.host("begin", [Passed("int", count_text(self.examples)), width, status, lengths, word, words])

    def choose(self) -> Call:
        """The choice of this step's words."""
        column, row, step = self.layout.strides
        start = self.all_of(self.prediction)
        if self.layout.sizes[2] != 1:
            start += f" + {self.t} * {factor_text(step * self.target.item)}"
        numbers = (
            count_text(self.examples), count_text(row), count_text(column), self.classes, self.t, self.longest,
            self.until,
        )  # fmt: skip
        given = [Passed("real", start), *(Passed("int", str(number)) for number in numbers), *self.state]
        if isinstance(self.by, Greedy):
            return self.host("greedy", given)
        if isinstance(self.by, Sampling):
            name = str(self.scan.attr("name"))
            draws = ("seed", draw_number(name), "step", int(self.target.dtype == "float32"))
            given += [Passed("float", repr(self.by.temperature)), Passed("int", str(self.by.top_k))]
            given += [Passed("int", str(number)) for number in draws]
            return self.host(
                "sample",
                [*given, Passed("wide", self.address(self.weights)), Passed("index", self.address(self.order))],
            )
        assert isinstance(self.by, Beam)
        distance = f"{self.apart(self.prediction)} // {self.target.item}"
        given += [Passed("int", distance), Passed("int", str(self.by.width)), Passed("float", repr(self.by.alpha))]
        given += [Passed("index", self.address(buffer)) for buffer in (self.parents, self.beam)]
        given += [Passed("wide", self.address(buffer)) for buffer in (self.logs, self.scores)]
        given += [Passed("index", self.address(self.candidates)), Passed("int", str(int("words" in self.held)))]
        return self.host("beam", given)

    def go_on(self) -> list[Call]:
        """What is new becomes old, unless all have ended."""
        status = f"int64_at({self.address(self.status)})[0]"
        self.lines += [f"if {status} == 0:", "    break"]
        if self.copies == 1:
            self.turn()
            return []
        calls = []
        for carry in (*self.carries, *self.grown):
            if carry.name:
                continue
            grows = self.graph.roots[carry.root].op == "put"
            before, after = (carry.old, carry.new) if grows else (carry.new, carry.old)
            calls.append(self.follow(before, after))
            if grows:
                old, new = self.all_of(carry.old), self.all_of(carry.new)
                self.lines.append(f"{old}, {new} = {new}, {old}")
        numbers = [(carry.name, self.scalar(self.graph.roots[carry.root])) for carry in self.carries if carry.name]
        self.lines += [f"{name} = {value}" for name, value in numbers]
        return calls

    def turn(self) -> None:
        grown = [carry for carry in self.carries if carry.new is carry.old]
        kept, self.carries = self.carries, [carry for carry in self.carries if carry not in grown]
        super().turn()
        self.carries = kept

    def follow(self, before: Buffer, after: Buffer) -> Call:
        """Each candidate gets the states of the one that it continues."""
        layout = before.layout
        assert layout is not None
        if layout.rows is not None and not isinstance(layout.rows, int):
            raise NotSupported("a beam that carries several rows of each example", self.scan)
        own = layout.rows == self.examples
        row = count_text(layout.row_length) if own else size_text(layout.elements)
        item = 8 if before.kind == "index" else self.target.item
        given = [
            Passed("int", count_text(self.examples)),
            Passed("int", f"int64_at({self.address(self.status)})[0]"),
            Passed("index", self.address(self.parents)),
            Passed("int", row),
            Passed("int", str(int(own))),
            Passed("int", f"{self.apart(before)} // {item}"),
            Passed(before.kind, self.all_of(before)),
            Passed(before.kind, self.all_of(after)),
        ]
        return self.host("follow", given)

    def finish(self, take: str, result: Node) -> Call:
        """The words, or how many there are, go where the program wants them."""
        place = self.outer.address(self.outer.plan.place[result])
        width = dim_text(self.width)
        words, start, step = self.all_of(self.words), "0", width
        if isinstance(self.by, Beam):
            words, step = self.address(self.candidates), f"{self.copies} * {width}"
            start = f"int64_at({self.address(self.status)})[1] * {factor_text(self.examples)} * {step}"
        layout = layout_of(result.type, result)
        row = layout.row_length if result.type.rank > 1 else 1
        texts = [count_text(self.examples), self.until, self.longest, width]
        given = [Passed("int", str(text)) for text in texts]
        given += [Passed("index", self.address(self.lengths)), Passed("index", words), Passed("int", step)]
        given += [Passed("int", start), Passed("index", place), Passed("int", count_text(row))]
        given += [Passed("real", place), Passed("int", str(int(take == "lengths")))]
        return self.host("finish", given)

    def host(self, function: str, given: Sequence[Passed]) -> Call:
        """A call of a function of the host, by a kernel that does nothing else."""
        read = ", ".join(READ[passed.kind].format(place) for place, passed in enumerate(given))
        body = ("given, numbers = int64_at(args), float64_at(args)", *wrapped(f"choice_{function}({read})"))
        kernel = Kernel(body, (), (), Units(1, 1, 1, Size()), frozenset())
        name = self.kernels.host(f"choose_{function}", f"{function}: see host/choice.py", kernel)
        self.lines += wrapped(f"given = pack({', '.join(passed.text for passed in given)})")
        self.lines += [f"launch(0, address_of({name}), given, 1)", ""]
        return Call(Group("choice", (1, ())), name, kernel)

    def scalar(self, node: Node) -> str:
        if node.op == "held" and node.attr("name") == "number":
            return self.scalars[node]
        return super().scalar(node)


def _indented(lines: Sequence[str]) -> list[str]:
    return [line and f"    {line}" for line in lines]
