"""Vector code on rows of several vectors: what the tiles of a convolution are written with.

A row's last vector may be narrower than the others, and of that one only the first lanes may be kept: channels come in
any number, and what lies after them belongs to somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from llvmlite import ir

from dlc.compiler.codegen.host.machine import Dtype
from dlc.compiler.codegen.host.tile import I32, VectorCode, int64

__all__ = ["Count", "Numbers", "RowCode"]

Count: TypeAlias = int | ir.Value
"""A number of turns, known when the code is written or when it runs."""


class Numbers:
    """Arithmetic on counts; what is known when the code is written is computed then."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def value(self, count: Count) -> ir.Value:
        return int64(count) if isinstance(count, int) else count

    def plus(self, a: Count, b: Count) -> Count:
        return a + b if isinstance(a, int) and isinstance(b, int) else self.builder.add(self.value(a), self.value(b))

    def minus(self, a: Count, b: Count) -> Count:
        return a - b if isinstance(a, int) and isinstance(b, int) else self.builder.sub(self.value(a), self.value(b))

    def times(self, a: Count, b: Count) -> Count:
        return a * b if isinstance(a, int) and isinstance(b, int) else self.builder.mul(self.value(a), self.value(b))

    def shares(self, a: Count, size: int) -> Count:
        """How many shares of `size` hold a things; no number above 0 where a is not."""
        if size == 1:
            return a
        if isinstance(a, int):
            return -(-a // size)
        return self.builder.sdiv(self.builder.add(a, int64(size - 1)), int64(size))

    def whole(self, a: Count, size: int) -> Count:
        """How many times `size` fits into a, which is not negative."""
        if size == 1:
            return a
        return a // size if isinstance(a, int) else self.builder.sdiv(a, int64(size))

    def rest(self, a: Count, size: int) -> Count:
        """What is left of a, which is not negative, when `size` is taken away as often as possible."""
        if size == 1:
            return 0
        return a % size if isinstance(a, int) else self.builder.srem(a, int64(size))

    def least(self, a: Count, b: Count) -> Count:
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        a, b = self.value(a), self.value(b)
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def greatest(self, a: Count, b: Count) -> Count:
        if isinstance(a, int) and isinstance(b, int):
            return max(a, b)
        a, b = self.value(a), self.value(b)
        return self.builder.select(self.builder.icmp_signed(">", a, b), a, b)


class RowCode:
    """A builder of code on rows of vectors: (lanes, lanes that are kept) of each.

    With a `fold` there is one vector, and each `fold` lanes side by side belong to one kept number: they gather what
    that many terms of a sum contribute to it, and are added up when it is stored.
    """

    def __init__(
        self, builder: ir.IRBuilder, dtype: Dtype, vectors: tuple[tuple[int, int], ...], fold: int = 1
    ) -> None:
        self.builder, self.fold = builder, fold
        self.parts = [VectorCode(builder, dtype, lanes) for lanes, _ in vectors]
        self.kept = [kept for _, kept in vectors]
        self.widest = self.parts[0]
        self.move, self.bytes = self.widest.move, self.widest.bytes
        self.numbers = Numbers(builder)

    @property
    def places(self) -> list[int]:
        """Where each vector starts."""
        return [sum(part.lanes for part in self.parts[:j]) for j in range(len(self.parts))]

    def zeros(self) -> list[ir.Value]:
        return [part.zero() for part in self.parts]

    def load(self, address: ir.Value) -> list[ir.Value]:
        return [part.load(self.move(address, at)) for part, at in zip(self.parts, self.places, strict=True)]

    def store(self, values: list[ir.Value], address: ir.Value) -> None:
        """All lanes."""
        for part, value, at in zip(self.parts, values, self.places, strict=True):
            part.store(value, self.move(address, at))

    def spread(self, address: ir.Value, terms: int) -> list[ir.Value]:
        """One element in every lane of every vector; with a fold, `terms` elements over and over, zeros to fill up."""
        if self.fold > 1:
            return [self.chosen(self.some(address, terms), [i % self.fold for i in range(self.widest.lanes)])]
        whole = self.widest.spread(address)
        return [
            whole if part.lanes == self.widest.lanes else self.lanes_of(whole, 0, part.lanes) for part in self.parts
        ]

    def multiply_add(self, a: list[ir.Value], b: list[ir.Value], c: list[ir.Value]) -> list[ir.Value]:
        return [part.multiply_add(*abc) for part, *abc in zip(self.parts, a, b, c, strict=True)]

    def some(self, address: ir.Value, terms: int) -> ir.Value:
        """A vector of `fold` lanes: `terms` elements, and zeros."""
        whole = ir.VectorType(self.widest.scalar, self.fold)
        if terms == self.fold:
            return self.builder.load(self.widest.place(address, whole), align=self.bytes)
        few = ir.Constant(whole, None)
        for i in range(terms):
            place = self.widest.place(self.move(address, i), self.widest.scalar)
            few = self.builder.insert_element(few, self.builder.load(place, align=self.bytes), ir.Constant(I32, i))
        return few

    def rest(self, terms: Count) -> int:
        """How many of so many terms are left when each vector has taken `fold` of them; a count that is known only at
        run time leaves none."""
        return terms % self.fold if isinstance(terms, int) else 0

    def load_terms(self, address: ir.Value, row: int, terms: int) -> list[ir.Value]:
        """A row of vectors; with a fold, `terms` rows of numbers, `row` elements apart, and rows of zeros, as one."""
        if self.fold == 1:
            return self.load(address)
        kind = ir.VectorType(self.widest.scalar, self.widest.lanes // self.fold)
        size = kind.count
        places = [self.widest.place(self.move(address, i, row), kind) for i in range(terms)]
        rows = [self.builder.load(place, align=self.bytes) for place in places]
        rows += [ir.Constant(kind, None)] * (self.fold - terms)
        while len(rows) > 1:
            pairs = zip(rows[::2], rows[1::2], strict=True)
            rows = [self.chosen(a, list(range(2 * a.type.count)), b) for a, b in pairs]
        return [self.chosen(rows[0], [i % self.fold * size + i // self.fold for i in range(self.widest.lanes)])]

    def folded(self, value: ir.Value) -> ir.Value:
        """The sums of each `fold` lanes side by side."""
        for _ in range(self.fold.bit_length() - 1):
            lanes = range(value.type.count)
            value = self.builder.fadd(self.chosen(value, lanes[::2]), self.chosen(value, lanes[1::2]))
        return value

    def chosen(self, value: ir.Value, lanes: Sequence[int], other: ir.Value | None = None) -> ir.Value:
        """Lanes of a vector, or of two."""
        mask = ir.Constant(ir.VectorType(I32, len(lanes)), [ir.Constant(I32, lane) for lane in lanes])
        return self.builder.shuffle_vector(
            value, ir.Constant(value.type, ir.Undefined) if other is None else other, mask
        )

    def lanes_of(self, value: ir.Value, first: int, count: int) -> ir.Value:
        return self.chosen(value, range(first, first + count))

    def put(self, values: Sequence[ir.Value], address: ir.Value, others: Sequence[ir.Value]) -> None:
        """Store the kept lanes of values + what lies at the `others`; nothing else is touched there."""
        for part, value, kept, at in zip(self.parts, map(self.folded, values), self.kept, self.places, strict=True):
            done, lanes = 0, value.type.count
            while done < kept:
                size = lanes if kept == lanes else 1 << (kept - done).bit_length() - 1
                kind = ir.VectorType(part.scalar, size)
                piece = value if size == lanes else self.lanes_of(value, done, size)
                for other in others:
                    place = part.place(self.move(other, at + done), kind)
                    piece = self.builder.fadd(self.builder.load(place, align=self.bytes), piece)
                place = part.place(self.move(address, at + done), kind)
                self.builder.store(piece, place, align=self.bytes)
                done += size

    def repeat(
        self, count: Count, carried: list[ir.Value], body: Callable[[ir.Value, list[ir.Value]], list[ir.Value]]
    ) -> list[ir.Value]:
        """for i in range(count): carried = body(i, carried); without a loop where it is known to be one turn."""
        if count == 1:
            return body(int64(0), carried)
        return self.widest.loop(self.numbers.value(count), carried, body)

    def each(self, count: Count, body: Callable[[ir.Value], None]) -> None:
        """for i in range(count): body(i)."""

        def turn(i: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            body(i)
            return []

        self.repeat(count, [], turn)

    def nest(
        self,
        levels: Sequence[tuple[Count, Sequence[Count]]],
        addresses: list[ir.Value],
        sums: list[ir.Value],
        body: Callable[[list[ir.Value], list[ir.Value]], list[ir.Value]],
    ) -> list[ir.Value]:
        """Loops within each other, each (count, the elements by which it moves each address): what the body, called
        with the addresses of its turn and the sums so far, makes of the sums."""
        if not levels:
            return body(addresses, sums)
        (count, steps), *inner = levels
        width = len(addresses)

        def turn(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            made = self.nest(inner, state[:width], state[width:], body)
            return [*(self.move(at, step) for at, step in zip(state[:width], steps, strict=False)), *made]

        return self.repeat(count, [*addresses, *sums], turn)[width:]
