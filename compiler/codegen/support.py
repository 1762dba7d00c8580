"""The few functions of generated code that are neither kernels nor mathematics."""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from dlc.compiler.codegen.host.address import int64_at

__all__ = ["inside", "pack", "prefetch_rows", "scratch"]

INT64 = ir.IntType(64)
Lowering = Callable[..., Any]


@intrinsic
def pack(typing: Any, *values: Any) -> tuple[Any, Lowering]:
    """Write the values into a block of eight bytes each, on the stack, and give its address: a kernel's arguments."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = cgutils.alloca_once(builder, INT64, size=len(values))
        for place, kind in enumerate(values):
            value = builder.extract_value(args[0], place)
            if isinstance(kind, types.Float):
                value = builder.bitcast(context.cast(builder, value, kind, types.float64), INT64)
            else:
                value = context.cast(builder, value, kind, types.int64)
            builder.store(value, builder.gep(block, [ir.Constant(INT64, place)]))
        return builder.ptrtoint(block, INT64)

    return types.intp(types.StarArgTuple.from_types(values)), lower


@intrinsic
def scratch(typing: Any, count: Any) -> tuple[Any, Lowering]:
    """The address of `count` bytes on the stack (a literal), at the start of a line of the cache; they belong to the
    calling kernel until it ends."""
    if not isinstance(count, types.IntegerLiteral):
        return None  # type: ignore[return-value]

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = cgutils.alloca_once(builder, ir.IntType(8), size=count.literal_value)
        block.align = 64
        return builder.ptrtoint(block, INT64)

    return types.intp(count), lower


@intrinsic
def prefetch(typing: Any, address: Any) -> tuple[Any, Lowering]:
    """Tell the CPU that the line of the cache at an address is needed soon; any address will do."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, ir.Constant(word, 0), ir.Constant(word, 3), ir.Constant(word, 1)])
        return context.get_dummy_value()

    return types.void(types.intp), lower


@njit(error_model="numpy")
def prefetch_rows(start: int, rows: int, row_bytes: int, width: int) -> None:
    """Ask for a block of a matrix, `rows` rows of `width` bytes, while a product is still computed."""
    for row in range(rows):
        for byte in range(0, width, 64):
            prefetch(start + row * row_bytes + byte)


@njit(inline="never", error_model="numpy")
def inside(index: int, end: int, flag: int) -> int:
    """Under check: the index, if it lies below `end`; else 0, and the number at `flag` says that memory would have been
    read or written outside its buffer."""
    if 0 <= index < end:
        return index
    int64_at(flag)[0] += 1
    return 0
