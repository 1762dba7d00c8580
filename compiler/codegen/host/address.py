"""Memory by plain integer addresses, from inside jitted code: typed access, calls, atomic operations.

All buffers of a program live in one arena and kernels receive int64 byte addresses, so these few intrinsics are all of
the memory model that Numba's language lacks.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "call_kernel",
    "compare_and_swap",
    "fetch_add",
    "float32_at",
    "float64_at",
    "int32_at",
    "int64_at",
    "load_acquire",
    "pause",
    "store_release",
    "uint8_at",
]

Lowering = Callable[..., Any]

INT64 = ir.IntType(64)


def typed_pointer(element: Any) -> Any:
    """An intrinsic that turns an address into a pointer to `element`s: p[i] reads, p[i] = x writes."""

    @intrinsic
    def at(typing: Any, address: Any) -> tuple[Any, Lowering]:
        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(element)(types.intp), lower

    return at


float32_at = typed_pointer(types.float32)
float64_at = typed_pointer(types.float64)
int64_at = typed_pointer(types.int64)
int32_at = typed_pointer(types.int32)
uint8_at = typed_pointer(types.uint8)


@intrinsic
def call_kernel(typing: Any, function: Any, args: Any, first: Any, last: Any) -> tuple[Any, Lowering]:
    """Call the kernel at an address: call_kernel(function, args, first, last)."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kernel = ir.FunctionType(ir.VoidType(), [INT64, INT64, INT64])
        builder.call(builder.inttoptr(values[0], kernel.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), lower


@intrinsic
def load_acquire(typing: Any, address: Any) -> tuple[Any, Lowering]:
    """Read the int64 at an address; what its writer wrote before it is visible afterwards."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(values[0], INT64.as_pointer()), "acquire", 8)

    return types.int64(types.intp), lower


@intrinsic
def store_release(typing: Any, address: Any, value: Any) -> tuple[Any, Lowering]:
    """Write the int64 at an address, after everything written before it."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store_atomic(values[1], builder.inttoptr(values[0], INT64.as_pointer()), "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), lower


@intrinsic
def fetch_add(typing: Any, address: Any, value: Any) -> tuple[Any, Lowering]:
    """Add to the int64 at an address in one indivisible step and return what it was before."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("add", builder.inttoptr(values[0], INT64.as_pointer()), values[1], "acq_rel")

    return types.int64(types.intp, types.int64), lower


@intrinsic
def compare_and_swap(typing: Any, address: Any, old: Any, new: Any) -> tuple[Any, Lowering]:
    """Replace `old` by `new` at an address, in one indivisible step; False if something else was there."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = builder.inttoptr(values[0], INT64.as_pointer())
        return builder.extract_value(builder.cmpxchg(pointer, values[1], values[2], "acq_rel", "acquire"), 1)

    return types.boolean(types.intp, types.int64, types.int64), lower


MACHINE = platform.machine().lower()


@intrinsic
def pause(typing: Any) -> tuple[Any, Lowering]:
    """Tell the CPU that this thread only waits: it saves power and leaves the core to its sibling."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if MACHINE in ("x86_64", "amd64"):
            hint = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, hint, "llvm.x86.sse2.pause"), [])
        elif MACHINE in ("aarch64", "arm64"):
            hint = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            wait = ir.Constant(ir.IntType(32), 1)
            builder.call(cgutils.get_or_insert_function(builder.module, hint, "llvm.aarch64.hint"), [wait])
        return context.get_dummy_value()

    return types.void(), lower
