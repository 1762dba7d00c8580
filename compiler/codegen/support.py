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

__all__ = ["inside", "pack", "scratch"]

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


@njit(inline="never", error_model="numpy")
def inside(index: int, end: int, flag: int) -> int:
    """Under check: the index, if it lies below `end`; else 0, and the number at `flag` says that memory would have been
    read or written outside its buffer."""
    if 0 <= index < end:
        return index
    int64_at(flag)[0] += 1
    return 0
