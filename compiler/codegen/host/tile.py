"""The register-tiled matrix product, and the transpose, as LLVM vector code.

Every matrix product of a program is made of one piece, the panel:

    C[rows, panel] = start + A[rows, depth] B[depth, panel]

A panel is `vectors` vectors wide. A tile of it, some rows by all its vectors, is kept in registers while the sum over k
runs: each step loads the panel's row k of B once, spreads one element of A for each row, and does rows x vectors
multiply-adds on them. The strides say which product it is:

    Z = X W^T       rows are examples        a_row = row length of X, a_k = 1, B = W as stored (n_in rows of n_out)
    dX = dZ W       rows are examples        a_row = row length of dZ, a_k = 1, B = W transposed (see `transpose`)
    dW = dZ^T X     rows are input channels  a_row = 1, a_k = row length of X, B = dZ, depth = examples

Numba has no vectors of its own, so this is an intrinsic that writes LLVM IR. `plain.py` says the same in plain loops.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dlc.compiler.codegen.host.machine import Dtype, Host, host, item_bytes

__all__ = ["Start", "matmul_panel", "transpose"]

Start = Literal["zero", "load", "row"]

I32 = ir.IntType(32)
I64 = ir.IntType(64)
BYTE = ir.IntType(8)


def int64(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


def as_written(module: ir.Module) -> Any:
    """The mark of a loop that LLVM must not unroll: it would spend more time on that than on all else, for nothing."""
    mark = module.add_metadata([module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])])
    if len(mark.operands) == 1:
        mark.operands = (mark, *mark.operands)  # what makes it a loop's mark is that it names itself first
    return mark


class VectorCode:
    """A builder of vector code on `dtype`: addresses are pointers or i64 values in bytes, offsets are in elements.

    Loops should move pointers: LLVM gives each sum of integers that is used as an address a register of its own.
    """

    def __init__(self, builder: ir.IRBuilder, dtype: Dtype, lanes: int) -> None:
        self.builder = builder
        self.bytes = item_bytes(dtype)
        self.scalar = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.vector = ir.VectorType(self.scalar, lanes)
        self.lanes = lanes
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fmuladd.v{lanes}f{8 * self.bytes}"
        self.fmuladd = cgutils.get_or_insert_function(builder.module, kind, name)

    def move(self, address: ir.Value, elements: int | ir.Value, stride: int | ir.Value = 1) -> ir.Value:
        """The address of the element `elements * stride` further on."""
        if isinstance(elements, int) and isinstance(stride, int):
            offset = int64(elements * stride * self.bytes)
            if elements * stride == 0:
                return address
        else:
            steps, step = (int64(n) if isinstance(n, int) else n for n in (elements, stride))
            offset = self.builder.mul(self.builder.mul(steps, step), int64(self.bytes))
        if isinstance(address.type, ir.PointerType):
            return self.builder.gep(address, [offset])
        return self.builder.add(address, offset)

    def pointer(self, address: ir.Value) -> ir.Value:
        """An address as a pointer to bytes."""
        return self.builder.inttoptr(address, BYTE.as_pointer())

    def opaque(self, pointer: ir.Value) -> ir.Value:
        """The same pointer, from which LLVM cannot see how it came about: it would try to spell the addresses of a loop
        anew from all that went into them, which costs time and registers."""
        kind = BYTE.as_pointer()
        copy = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(kind, [kind]), "llvm.strip.invariant.group.p0"
        )
        return self.builder.call(copy, [pointer])

    def place(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        """An address as a pointer to something."""
        if isinstance(address.type, ir.PointerType):
            return self.builder.bitcast(address, kind.as_pointer())
        return self.builder.inttoptr(address, kind.as_pointer())

    def load(self, address: ir.Value) -> ir.Value:
        return self.builder.load(self.place(address, self.vector), align=self.bytes)

    def store(self, value: ir.Value, address: ir.Value) -> None:
        self.builder.store(value, self.place(address, self.vector), align=self.bytes)

    def prefetch(self, pointer: ir.Value, write: bool = False, near: int = 3) -> None:
        """Ask for the line of the cache at a pointer ahead of its use: `near` is 3 for the first cache, 2 for the
        second."""
        kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), I32, I32, I32])
        fetch = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        self.builder.call(fetch, [pointer, *(ir.Constant(I32, value) for value in (int(write), near, 1))])

    def spread(self, address: ir.Value) -> ir.Value:
        """One element in every lane."""
        one = self.builder.load(self.place(address, self.scalar), align=self.bytes)
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(nothing, one, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, self.lanes), None))

    def zero(self) -> ir.Value:
        return ir.Constant(self.vector, None)

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        return self.builder.call(self.fmuladd, [a, b, c])

    def loop(
        self, count: ir.Value, carried: list[ir.Value], body: Callable[[ir.Value, list[ir.Value]], list[ir.Value]]
    ) -> list[ir.Value]:
        """for i in range(count): carried = body(i, carried). It may run no times; returns what is carried out."""
        builder = self.builder
        before = builder.block
        inside, after = builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed(">", count, int64(0)), inside, after)
        builder.position_at_end(inside)
        index = builder.phi(I64)
        index.add_incoming(int64(0), before)
        held = [builder.phi(value.type) for value in carried]
        results = body(index, list(held))
        following = builder.add(index, int64(1))
        end = builder.block
        index.add_incoming(following, end)
        for phi, value, result in zip(held, carried, results, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(result, end)
        again = builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
        again.set_metadata("llvm.loop", as_written(builder.module))
        builder.position_at_end(after)
        out = [builder.phi(value.type) for value in carried]
        for phi, value, result in zip(out, carried, results, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(result, end)
        return out


Steps: TypeAlias = "tuple[int | ir.Value, int | ir.Value]"
"""The strides of A: from row to row, and along the sum."""


@dataclass(frozen=True)
class Panel:
    """The static side of a panel: everything known when the module is written. Strides count elements; those of A may
    be told by each call (None)."""

    dtype: Dtype
    a_row: int | None
    a_k: int | None
    b_k: int
    c_row: int
    vectors: int
    heights: tuple[int, ...]
    depth: int | None
    depth_block: int
    start: Start
    cpu: Host
    packed: bool = False
    """Whether each piece of B is copied to where its rows lie side by side. That pays where many rows of A meet it and
    its own lie far apart: they would share a few sets of the first cache and push each other out."""

    @property
    def symbol(self) -> str:
        sizes = "_".join(map(str, (self.a_row, self.a_k, self.b_k, self.c_row, self.vectors, self.depth_block)))
        name = "packed_panel" if self.packed else "panel"
        return f"{name}_{self.dtype}_{sizes}_{self.start}_{self.depth}_{'_'.join(map(str, self.heights))}"

    def define(self, module: ir.Module) -> ir.Function:
        """The panel as a function of the module, written on first use: f(a, b, c, rows, depth, row, a_row, a_k)."""
        if self.symbol in module.globals:
            return module.globals[self.symbol]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 8), self.symbol)
        function.linkage = "internal"
        function.attributes.add("noinline")
        a, b, c, rows, depth, row, a_row, a_k = function.args
        steps = (a_row if self.a_row is None else self.a_row, a_k if self.a_k is None else self.a_k)
        code = VectorCode(ir.IRBuilder(function.append_basic_block("entry")), self.dtype, self.cpu.lanes(self.dtype))
        builder = code.builder
        if self.depth is not None:
            depth = int64(self.depth)
        # At least one block, so that a sum of no terms still writes its start; blocks of nearly equal length.
        room = self.room(code) if self.packed else None
        blocks = builder.sdiv(builder.add(depth, int64(self.depth_block - 1)), int64(self.depth_block))
        blocks = builder.select(builder.icmp_signed("<", blocks, int64(1)), int64(1), blocks)
        length = builder.sdiv(builder.add(depth, builder.sub(blocks, int64(1))), blocks)

        def block(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            k = builder.mul(index, length)
            left = builder.sub(depth, k)
            terms = builder.select(builder.icmp_signed("<", left, length), left, length)
            fresh = builder.icmp_signed("==", index, int64(0))
            piece = code.move(b, k, self.b_k)
            if room is not None:
                self.pack(code, piece, room, terms)
                piece = room
            self.all_rows(code, code.move(a, k, steps[1]), piece, c, rows, terms, fresh, row, steps)
            return []

        code.loop(blocks, [], block)
        builder.ret_void()
        return function

    def room(self, code: VectorCode) -> ir.Value:
        """Room for a piece of B on the stack."""
        room = code.builder.alloca(ir.ArrayType(code.scalar, self.depth_block * self.vectors * code.lanes))
        room.align = self.cpu.vector_bytes
        return code.builder.ptrtoint(room, I64)

    def pack(self, code: VectorCode, b: ir.Value, room: ir.Value, terms: ir.Value) -> None:
        """Copy a piece of B, row by row."""

        def line(_: ir.Value, at: list[ir.Value]) -> list[ir.Value]:
            source, target = at
            for j in range(self.vectors):
                code.store(code.load(code.move(source, j * code.lanes)), code.move(target, j * code.lanes))
            return [code.move(source, self.b_k), code.move(target, self.vectors * code.lanes)]

        code.loop(terms, [b, room], line)

    def all_rows(
        self, code: VectorCode, a: ir.Value, b: ir.Value, c: ir.Value, rows: ir.Value, terms: ir.Value, fresh: ir.Value,
        row: ir.Value, steps: Steps,
    ) -> None:  # fmt: skip
        """Cover the rows with tiles, the tallest first; the last height may reach past the end."""
        builder = code.builder
        for height in self.heights:
            last = height == self.heights[-1]
            count = builder.sdiv(builder.add(rows, int64(height - 1)) if last else rows, int64(height))

            def tile(_: ir.Value, at: list[ir.Value], height: int = height) -> list[ir.Value]:
                self.tile(code, height, at[0], b, at[1], terms, fresh, row, steps)
                return [code.move(at[0], height, steps[0]), code.move(at[1], height * self.c_row)]

            a, c = code.loop(count, [a, c], tile)
            rows = builder.sub(rows, builder.mul(count, int64(height)))

    def tile(
        self, code: VectorCode, height: int, a: ir.Value, b: ir.Value, c: ir.Value, terms: ir.Value, fresh: ir.Value,
        row: ir.Value, steps: Steps,
    ) -> None:  # fmt: skip
        """`height` rows of C, summed over one block of k in registers."""
        cells = [(i, j) for i in range(height) for j in range(self.vectors)]
        b_k = self.vectors * code.lanes if self.packed else self.b_k
        places = [code.move(c, i * self.c_row + j * code.lanes) for i, j in cells]

        def step(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            at, bt, sums = state[0], state[1], state[2:]
            right = [code.load(code.move(bt, j * code.lanes)) for j in range(self.vectors)]
            made = []
            for i in range(height):
                left = code.spread(code.move(at, i, steps[0]))
                made += [code.multiply_add(left, right[j], sums[i * self.vectors + j]) for j in range(self.vectors)]
            return [code.move(at, 1, steps[1]), code.move(bt, b_k), *made]

        sums = code.loop(terms, [a, b, *[code.zero() for _ in cells]], step)[2:]
        self.write(code, cells, sums, places, fresh, row)

    def write(
        self, code: VectorCode, cells: list[tuple[int, int]], sums: list[ir.Value], places: list[ir.Value],
        fresh: ir.Value, row: ir.Value,
    ) -> None:  # fmt: skip
        """Store start + sums after the first block of k, C + sums after the others.

        A sum begins at zero in every block and not at what C holds: one chain of additions as long as k would gather
        several times the rounding noise of many short ones.
        """
        builder = code.builder

        def add_to_c() -> None:
            for place, value in zip(places, sums, strict=True):
                code.store(builder.fadd(code.load(place), value), place)

        if self.start == "load":
            add_to_c()
            return
        with builder.if_else(fresh) as (first, later):
            with first:
                bias = [code.load(code.move(row, j * code.lanes)) for j in range(self.vectors * (self.start == "row"))]
                for (_, j), place, value in zip(cells, places, sums, strict=True):
                    code.store(builder.fadd(bias[j], value) if bias else value, place)
            with later:
                add_to_c()


def matmul_panel(
    dtype: Dtype,
    a_row: int,
    a_k: int,
    b_k: int,
    c_row: int,
    vectors: int,
    *,
    depth: int | None = None,
    start: Start = "zero",
    exact: bool = False,
    packed: bool = False,
    cpu: Host | None = None,
) -> Any:
    """A function for jitted code that computes `vectors` vectors of columns of a matrix product.

    The result is called as panel(a, b, c, rows, depth), with byte addresses, and writes
    C[i, j] = start + sum_k A[i, k] B[k, j] where A[i, k] lies a_row * i + a_k * k elements after `a`, B[k, j] lies
    b_k * k + j after `b` and C[i, j] lies c_row * i + j after `c`. The start is 0 ("zero"), what C holds ("load"), or
    a row of biases ("row": its address is a sixth argument). A `depth` given here is used instead of the argument.

    With `packed` it copies B, piece by piece, to a place of its own first, which pays for many rows.

    Rows past `rows`, up to `Host.overhang` (no more than 3), are read from A and overwritten in C, unless `exact`.
    """
    cpu = cpu or host()
    heights = cpu.tiles[vectors - 1]
    if exact and heights[-1] != 1:
        heights = (*heights, 1)
    block = cpu.packed_block if packed else cpu.depth_block
    static = Panel(dtype, a_row, a_k, b_k, c_row, vectors, heights, depth, block, start, cpu, packed)

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = args[5] if start == "row" else int64(0)
        builder.call(static.define(builder.module), [*args[:5], row, int64(0), int64(0)])
        return context.get_dummy_value()

    if start == "row":

        @intrinsic
        def panel_row(typing: Any, a: Any, b: Any, c: Any, rows: Any, depth: Any, row: Any) -> tuple[Any, Any]:
            return types.void(*[types.intp] * 6), lower

        return panel_row

    @intrinsic
    def panel(typing: Any, a: Any, b: Any, c: Any, rows: Any, depth: Any) -> tuple[Any, Any]:
        return types.void(*[types.intp] * 5), lower

    return panel


def strided_panel(dtype: Dtype, b_k: int, c_row: int, vectors: int, *, cpu: Host | None = None) -> Any:
    """`matmul_panel`, exact, whose calls say the strides of A: panel(a, b, c, rows, depth, a_row, a_k)."""
    cpu = cpu or host()
    heights = cpu.tiles[vectors - 1]
    heights = heights if heights[-1] == 1 else (*heights, 1)
    static = Panel(dtype, None, None, b_k, c_row, vectors, heights, None, cpu.depth_block, "zero", cpu)

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.call(static.define(builder.module), [*args[:5], int64(0), *args[5:]])
        return context.get_dummy_value()

    @intrinsic
    def panel(typing: Any, a: Any, b: Any, c: Any, rows: Any, depth: Any, a_row: Any, a_k: Any) -> tuple[Any, Any]:
        return types.void(*[types.intp] * 7), lower

    return panel


@dataclass(frozen=True)
class Transpose:
    """The static side of a transpose: row lengths of the source and of the target, in elements."""

    dtype: Dtype
    source_row: int
    target_row: int
    lanes: int

    def define(self, module: ir.Module) -> ir.Function:
        """The transpose as a function of the module, written on first use: f(source, target, rows, columns)."""
        symbol = f"transpose_{self.dtype}_{self.source_row}_{self.target_row}_{self.lanes}"
        if symbol in module.globals:
            return module.globals[symbol]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 4), symbol)
        function.linkage = "internal"
        function.attributes.add("noinline")
        source, target, rows, columns = function.args
        code = VectorCode(ir.IRBuilder(function.append_basic_block("entry")), self.dtype, self.lanes)
        builder, side = code.builder, int64(self.lanes)
        whole_rows, whole_columns = (builder.sdiv(size, side) for size in (rows, columns))

        def corner(i: ir.Value, j: ir.Value) -> tuple[ir.Value, ir.Value]:
            given = code.move(code.move(source, i, self.source_row), j)
            return given, code.move(code.move(target, j, self.target_row), i)

        def block_row(i: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            def block(j: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                self.block(code, *corner(builder.mul(i, side), builder.mul(j, side)))
                return []

            return code.loop(whole_columns, [], block)

        code.loop(whole_rows, [], block_row)
        done_rows, done_columns = builder.mul(whole_rows, side), builder.mul(whole_columns, side)
        self.one_by_one(code, corner, int64(0), done_rows, done_columns, columns)
        self.one_by_one(code, corner, done_rows, rows, int64(0), columns)
        builder.ret_void()
        return function

    def block(self, code: VectorCode, source: ir.Value, target: ir.Value) -> None:
        """One square block: log2(lanes) rounds that interleave rows i and i + lanes / 2."""
        builder, side = code.builder, self.lanes
        kind = ir.VectorType(I32, side)
        interleaved = [i // 2 + side * (i % 2) for i in range(side)]
        low = ir.Constant(kind, [ir.Constant(I32, i) for i in interleaved])
        high = ir.Constant(kind, [ir.Constant(I32, i + side // 2) for i in interleaved])
        rows = [code.load(code.move(source, i * self.source_row)) for i in range(side)]
        for _ in range(side.bit_length() - 1):
            pairs = [(rows[i], rows[i + side // 2]) for i in range(side // 2)]
            rows = [builder.shuffle_vector(x, y, half) for x, y in pairs for half in (low, high)]
        for i, row in enumerate(rows):
            code.store(row, code.move(target, i * self.target_row))

    def one_by_one(
        self, code: VectorCode, corner: Callable[[ir.Value, ir.Value], tuple[ir.Value, ir.Value]],
        first_row: ir.Value, last_row: ir.Value, first_column: ir.Value, last_column: ir.Value,
    ) -> None:  # fmt: skip
        """The edges that no whole block covers."""
        builder, element = code.builder, code.scalar.as_pointer()

        def edge_row(i: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            def move(j: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                given, made = corner(builder.add(i, first_row), builder.add(j, first_column))
                builder.store(builder.load(builder.inttoptr(given, element)), builder.inttoptr(made, element))
                return []

            return code.loop(builder.sub(last_column, first_column), [], move)

        code.loop(builder.sub(last_row, first_row), [], edge_row)


def transpose(dtype: Dtype, source_row: int, target_row: int, *, cpu: Host | None = None) -> Any:
    """A function for jitted code that transposes a matrix: move(source, target, rows, columns), byte addresses.

    The source is `rows` rows of `columns` elements, the target `columns` rows of `rows`; both row lengths count
    elements. Nothing outside the two is touched; they must not overlap.
    """
    static = Transpose(dtype, source_row, target_row, (cpu or host()).lanes(dtype))

    @intrinsic
    def move(typing: Any, source: Any, target: Any, rows: Any, columns: Any) -> tuple[Any, Any]:
        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.call(static.define(builder.module), args)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 4), lower

    return move
