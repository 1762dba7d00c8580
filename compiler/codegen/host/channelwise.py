"""Windows that slide along spatial axes, as LLVM vector code: what depthwise convolutions and pooling share.

Images and results are dense, channels last, (*spatial, C). A vector holds neighbouring channels of one place, so that
every channel goes its own way and nothing is summed across lanes. The last spatial axis is cut into tiles of several
places: which columns a tile sees is known when the code is written, so a column is loaded once for all windows that
it lies in, and a column that does not exist is left out. Along the other axes the places that a window sees are counted
at run time. Nothing is padded.

    gather    each place of the target folds the places of the source that it sees. The target is the result
              and the source the image (a convolution, a maximum), or the other way round (their gradients to the image)

A vector past the last channel is read (by less than its own length) and never written.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dlc.compiler.codegen.host.machine import Dtype, Host
from dlc.compiler.codegen.host.strips import Seen, SlidingAxis, Strip, smallest
from dlc.compiler.codegen.host.tile import I32, I64, VectorCode, int64

__all__ = ["ChannelCode", "ChannelwiseKernel", "Group", "kernel_intrinsic"]

CACHE_LINE = 64
NEAR_BYTES, SECOND_BYTES = 32_768, 262_144
"""What the two caches next to a core hold, or a part of it."""
FAR_BYTES = 1_572_864
"""From this size on, image and result of an example will have come from far away."""
UNROLLED = 3
"""A window this long along an outer axis is written out, where it never reaches past an end."""


class Group(NamedTuple):
    """Some neighbouring vectors of channels."""

    first: ir.Value
    vectors: ir.Value


class ChannelCode(VectorCode):
    """Vector code on the channels of one place. Where they fill no vector, only they are written; where they fill some
    and a part of another, the last vector ends with the last channel and repeats some of the one before."""

    def __init__(self, builder: ir.IRBuilder, dtype: Dtype, channels: int, cpu: Host) -> None:
        lanes = cpu.lanes(dtype)
        while lanes // 2 >= channels:
            lanes //= 2
        super().__init__(builder, dtype, lanes)
        self.channels = channels

    def settled(self, address: ir.Value) -> ir.Value:
        """The same address, but LLVM takes it as it is: left to itself it gives each of a tile's loads in a loop an
        address register of its own, more than there are."""
        kind = ir.FunctionType(I64, [I64])
        return self.builder.asm(kind, "", "=r,0", [address], False)

    def touch_rows(self, address: ir.Value, row: int, first: ir.Value, last: ir.Value) -> None:
        """Read rows of so many elements in the order of memory, which the processor foresees, and drop what is read: it
        is in the second cache then. (Prefetch instructions gain nothing, and LLVM drops no relaxed atomic read.)"""
        builder, begin = self.builder, self.move(address, first, row)
        lines = builder.sdiv(self.move(int64(0), builder.sub(last, first), row), int64(CACHE_LINE))

        def line(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            place = builder.add(begin, builder.mul(index, int64(CACHE_LINE)))
            builder.load_atomic(builder.inttoptr(place, I32.as_pointer()), "monotonic", 4)
            return []

        self.loop(lines, [], line)

    def put(self, value: ir.Value, address: ir.Value) -> None:
        """Store the lanes that are channels."""
        if self.channels < self.lanes:
            kept = ir.Constant(ir.VectorType(I32, self.channels), [ir.Constant(I32, i) for i in range(self.channels)])
            value = self.builder.shuffle_vector(value, ir.Constant(self.vector, ir.Undefined), kept)
        kind = value.type.as_pointer()
        self.builder.store(value, self.builder.inttoptr(address, kind), align=self.bytes)

    @property
    def vectors(self) -> int:
        """Vectors of all channels."""
        return -(-self.channels // self.lanes)

    def each_group(self, most: int, body: Callable[[Group], None]) -> None:
        """body(group) for all vectors of channels in groups of at most so many, as equal as possible."""
        count = -(-self.vectors // most)
        size = -(-self.vectors // count)
        if count == 1:
            body(Group(int64(0), int64(size)))
            return

        def group(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            first = self.builder.mul(index, int64(size))
            left = self.builder.sub(int64(self.vectors), first)
            body(Group(first, smallest(self.builder, left, int64(size))))
            return []

        self.loop(int64(-(-self.vectors // size)), [], group)

    def each_block(self, begin: ir.Value, end: ir.Value, size: int, body: Callable[[ir.Value, ir.Value], None]) -> None:
        """body(first, last) for begin .. end - 1 in blocks of `size`."""
        builder = self.builder

        def block(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            first = builder.add(begin, builder.mul(index, int64(size)))
            body(first, smallest(builder, builder.add(first, int64(size)), end))
            return []

        rounded = builder.add(builder.sub(end, begin), int64(size - 1))
        self.loop(builder.sdiv(rounded, int64(size)), [], block)

    def each_vector(self, group: Group, body: Callable[[ir.Value, ir.Value | None], None]) -> None:
        """body(offset, fresh) for every vector of a group: where its channels begin. The lanes that `fresh` does not
        mark have been in the vector before; None where all are fresh."""
        builder, rest = self.builder, self.channels % self.lanes
        if self.vectors == 1:
            body(int64(0), None)
            return

        def vector(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            number = builder.add(group.first, index)
            offset = builder.mul(number, int64(self.lanes))
            if not rest:
                body(offset, None)
                return []
            last = builder.icmp_signed("==", number, int64(self.vectors - 1))
            flags, bit = ir.VectorType(ir.IntType(1), self.lanes), ir.IntType(1)
            tail = ir.Constant(flags, [ir.Constant(bit, int(i >= self.lanes - rest)) for i in range(self.lanes)])
            every = ir.Constant(flags, [ir.Constant(bit, 1)] * self.lanes)
            offset = smallest(builder, offset, int64(self.channels - self.lanes))
            body(offset, builder.select(last, tail, every))
            return []

        self.loop(group.vectors, [], vector)


@dataclass(frozen=True)
class ChannelwiseKernel:
    """The static side of a kernel over windows. The first axis is the one whose rows begin .. end - 1 are asked for."""

    dtype: Dtype
    axes: tuple[SlidingAxis, ...]
    channels: int
    cpu: Host

    @property
    def arity(self) -> int:
        """How many addresses and numbers the kernel takes."""
        raise NotImplementedError

    def write(self, code: ChannelCode, args: Sequence[ir.Value]) -> None:
        """Write the kernel's code."""
        raise NotImplementedError

    @property
    def images(self) -> int:
        """How many arrays of the image's shape it reads and writes."""
        return 1

    @property
    def symbol(self) -> str:
        """A name that says all that the code depends on."""
        fields = [getattr(self, name) for name in self.__dataclass_fields__ if name not in ("axes", "cpu")]
        axes = [(a.image, a.result, a.window, a.stride, a.before, int(a.back)) for a in self.axes]
        sizes = "_".join(str(size) for axis in axes for size in axis)
        kind = type(self).__name__.lower()
        return f"{kind}_{self.cpu.name}_{self.cpu.lanes(self.dtype)}_{'_'.join(map(str, fields))}_{sizes}"

    def define(self, module: ir.Module) -> ir.Function:
        """The kernel as a function of the module, written on first use."""
        if self.symbol in module.globals:
            return module.globals[self.symbol]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * self.arity), self.symbol)
        function.linkage = "internal"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        code = ChannelCode(builder, self.dtype, self.channels, self.cpu)
        self.write(code, function.args)
        code.builder.ret_void()
        return function

    def steps(self, sizes: Sequence[int]) -> list[int]:
        """Elements from one place to the next along each axis of a dense (*sizes, C)."""
        steps = [self.channels]
        for size in reversed(sizes[1:]):
            steps.insert(0, steps[0] * size)
        return steps

    @property
    def source_steps(self) -> list[int]:
        return self.steps([axis.source for axis in self.axes])

    @property
    def target_steps(self) -> list[int]:
        return self.steps([axis.target for axis in self.axes])

    @property
    def group(self) -> int:
        """How many vectors of channels to take through some rows before the next: so many that the lines that are seen
        again from the next row are still in the nearest cache. All, where no line is seen twice."""
        outer, last = self.axes[:-1], self.axes[-1]
        if all(axis.disjoint for axis in outer):
            return self.channels
        lines = math.prod(-(-axis.window // abs(axis.tap_step)) for axis in outer)
        seen = lines * last.source * (1 if last.back else self.images)
        return max(1, NEAR_BYTES // ((seen + last.target) * self.cpu.vector_bytes))

    def each_pass(
        self, code: ChannelCode, group: int, rows: tuple[ir.Value, ir.Value], source: ir.Value,
        body: Callable[[Group, ir.Value, ir.Value], None], target: ir.Value | None = None,
    ) -> None:  # fmt: skip
        """body(group, first, last) for every group of vectors and every block of rows that stays in the second cache
        until all groups have passed: each line of memory comes from further away once. `target` is given where that is
        read as well."""
        if code.vectors <= group:
            body(Group(int64(0), int64(code.vectors)), *rows)
            return
        image, result = ([getattr(axis, name) for axis in self.axes] for name in ("image", "result"))
        example = code.bytes * self.channels * (self.images * math.prod(image) + math.prod(result))

        def block(first: ir.Value, last: ir.Value) -> None:
            if example > FAR_BYTES:
                code.touch_rows(source, self.source_steps[0], *self.axes[0].span(code, first, last))
                if target is not None:
                    code.touch_rows(target, self.target_steps[0], first, last)
            code.each_group(group, lambda some: body(some, first, last))

        code.each_block(*rows, max(1, SECOND_BYTES * self.axes[0].target // example), block)

    def each_line(
        self, code: ChannelCode, begin: ir.Value, end: ir.Value, source: ir.Value, target: ir.Value,
        body: Callable[[list[Seen], ir.Value, ir.Value], None],
    ) -> None:  # fmt: skip
        """body(seen, source, target) for every line of places along the last axis: what it sees along the others, where
        the first of it lies in the source, and where the line goes."""
        self.each_place(code, self.axes[:-1], [], (begin, end), source, target, body)

    def each_place(
        self, code: ChannelCode, axes: Sequence[SlidingAxis], seen: list[Seen], places: tuple[ir.Value, ir.Value],
        source: ir.Value, target: ir.Value, body: Callable[[list[Seen], ir.Value, ir.Value], None],
    ) -> None:  # fmt: skip
        """The same along some of the axes; `places` are those of the first, and `target` is where its first goes."""
        if not axes:
            body(seen, source, target)
            return
        builder, depth, (first, last) = code.builder, len(seen), places

        def place(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            here = axes[0].seen(code, builder.add(first, index))
            at = code.move(source, here.source, self.source_steps[depth])
            into = code.move(target, index, self.target_steps[depth])
            following = int64(0), int64(self.axes[depth + 1].target)
            self.each_place(code, axes[1:], [*seen, here], following, at, into, body)
            return []

        code.loop(builder.sub(last, first), [], place)

    def each_tile(
        self, code: ChannelCode, strips: list[Strip], source: ir.Value, target: ir.Value, carried: list[ir.Value],
        body: Callable[[Strip, ir.Value, ir.Value, list[ir.Value]], list[ir.Value]],
    ) -> list[ir.Value]:  # fmt: skip
        """carried = body(strip, source, target, carried) for all tiles of a line: where column 0 lies, and where
        pixel 0 goes."""
        for strip in strips:

            def tile(index: ir.Value, state: list[ir.Value], strip: Strip = strip) -> list[ir.Value]:
                at = code.move(source, strip.source * self.channels)
                into = code.move(target, strip.target * self.channels)
                at = code.move(at, index, strip.source_step * self.channels)
                return body(strip, at, code.move(into, index, strip.pixels * self.channels), state)

            if strip.repeat == 1:
                carried = tile(int64(0), carried)
            else:
                carried = code.loop(int64(strip.repeat), carried, tile)
        return carried

    def fold_seen(
        self, code: ChannelCode, seen: Sequence[Seen], at: Sequence[ir.Value], steps: Sequence[Sequence[int]],
        carried: list[Any], body: Callable[[list[ir.Value], list[Any]], list[Any]],
    ) -> list[Any]:  # fmt: skip
        """carried = body(at, carried) over all that is seen along the outer axes.

        `at` are integers that move along: steps[axis][i] is how far number i goes from one place to the next.
        """

        def level(depth: int, at: list[ir.Value], carried: list[Any]) -> list[Any]:
            if depth == len(seen):
                return body(at, carried)
            count = seen[depth].places
            if isinstance(count, int) and count <= UNROLLED:
                for _ in range(count):
                    carried = level(depth + 1, at, carried)
                    at = moved(at, depth)
                return carried

            def step(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
                here = state[: len(at)]
                return [*moved(here, depth), *level(depth + 1, here, state[len(at) :])]

            number = int64(count) if isinstance(count, int) else count
            return code.loop(number, [*at, *carried], step)[len(at) :]

        def moved(at: list[ir.Value], depth: int) -> list[ir.Value]:
            pairs = zip(at, steps[depth], strict=True)
            return [code.builder.add(value, int64(step)) for value, step in pairs]

        return level(0, list(at), carried)


def kernel_intrinsic(kernel: ChannelwiseKernel) -> Any:
    """The kernel as a function for jitted code, of `arity` int64."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.call(kernel.define(builder.module), args)
        return context.get_dummy_value()

    signature = types.void(*[types.intp] * kernel.arity)

    if kernel.arity == 4:

        @intrinsic
        def call_four(typing: Any, a: Any, b: Any, begin: Any, end: Any) -> tuple[Any, Any]:
            return signature, lower

        return call_four
    if kernel.arity == 5:

        @intrinsic
        def call_five(typing: Any, a: Any, b: Any, c: Any, begin: Any, end: Any) -> tuple[Any, Any]:
            return signature, lower

        return call_five

    @intrinsic
    def call_six(typing: Any, a: Any, b: Any, c: Any, begin: Any, end: Any, d: Any) -> tuple[Any, Any]:
        return signature, lower

    return call_six
