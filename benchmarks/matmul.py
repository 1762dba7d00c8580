"""The share of the machine's peak that the matrix tile reaches, and what a launch and a compilation cost.

    python benchmarks/matmul.py [--dtype float64]

The peak is measured, not looked up: a loop of independent multiply-adds in registers. All is measured on one thread and
in processor time, by the upper quartile of several rounds in which the candidates take turns, so that other work on the
machine disturbs little.
"""

# ruff: noqa: E402 - the libraries read how many threads they may use when they are loaded

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from dlc.compiler.codegen.host.kernels import address_of, kernel
from dlc.compiler.codegen.host.launch import help_out, launch
from dlc.compiler.codegen.host.machine import Dtype, host, item_bytes
from dlc.compiler.codegen.host.pool import Pool
from dlc.compiler.codegen.host.tile import matmul_panel

ROUNDS = 15
FORWARD = [(32, 512, 784), (128, 512, 784), (1024, 512, 784), (128, 256, 512), (128, 16, 256)]
GRADIENT = [(32, 784, 512), (128, 784, 512), (1024, 784, 512)]  # examples, channels in, channels out


def aligned(rows: int, row: int, dtype: Dtype, rng: np.random.Generator) -> Any:
    """Random rows, starting at a line of the cache, with spare rows that a tile may touch."""
    flat = rng.standard_normal((rows + 4) * row + 64).astype(dtype)
    skipped = -flat.ctypes.data % 64 // flat.itemsize
    return flat[skipped : skipped + (rows + 4) * row].reshape(rows + 4, row)


def multiply_adds(dtype: Dtype) -> Callable[[], float]:
    """Rate of 10 chains of vector multiply-adds with nothing to load, in operations a second."""
    lanes, chains, steps = host().lanes(dtype), 10, 600_000
    vector = ir.VectorType(ir.FloatType() if dtype == "float32" else ir.DoubleType(), lanes)

    @intrinsic
    def step(typing: Any, address: Any, count: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(vector, [vector] * 3)
            add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{lanes}f{8 * item_bytes(dtype)}")
            place = builder.inttoptr(args[0], vector.as_pointer())
            factor = builder.load(place, align=8)
            before = builder.block
            inside, after = builder.append_basic_block(), builder.append_basic_block()
            builder.branch(inside)
            builder.position_at_end(inside)
            index = builder.phi(ir.IntType(64))
            index.add_incoming(ir.Constant(index.type, 0), before)
            sums = [builder.phi(vector) for _ in range(chains)]
            made = [builder.call(add, [x, factor, factor]) for x in sums]
            for number, (phi, value) in enumerate(zip(sums, made, strict=True)):
                phi.add_incoming(ir.Constant(vector, [float(number)] * lanes), before)
                phi.add_incoming(value, inside)
            following = builder.add(index, ir.Constant(index.type, 1))
            index.add_incoming(following, inside)
            builder.cbranch(builder.icmp_signed("<", following, args[1]), inside, after)
            builder.position_at_end(after)
            total = made[0]
            for value in made[1:]:
                total = builder.fadd(total, value)
            builder.store(total, place, align=8)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp), lower

    run = njit("void(intp, intp)")(lambda address, count: step(address, count))
    memory = np.full(64, 0.5, dtype)
    return rate(lambda: run(memory.ctypes.data, steps), 2.0 * lanes * chains * steps)


def rate(work: Callable[[], object], operations: float) -> Callable[[], float]:
    def once() -> float:
        begin = time.thread_time()
        work()
        return operations / (time.thread_time() - begin)

    once()
    return once


def tile_product(kind: str, sizes: tuple[int, int, int], dtype: Dtype) -> tuple[Callable[[], float], float]:
    """The product of `sizes` by the tile, in blocks of rows as in generated code, and the seconds to compile it."""
    cpu, item, rng = host(), item_bytes(dtype), np.random.default_rng(0)
    examples, first, second = sizes
    if kind == "forward":
        columns, depth, rows, block = first, second, examples, 128
        a_row, a_k = cpu.row_length(dtype, depth), 1
        a = aligned(examples, a_row, dtype, rng)
    else:
        columns, depth, rows, block = second, examples, first, 112
        a_row, a_k = 1, cpu.row_length(dtype, first)
        a = aligned(examples, a_k, dtype, rng)
    row = cpu.row_length(dtype, columns)
    b, c = aligned(depth, row, dtype, rng), aligned(rows, row, dtype, rng)
    pieces = cpu.panels(dtype, -(-columns // 16) * 16)
    (start, count, vectors), (last, has_last, last_vectors) = pieces[0], (*pieces, (0, 0, 1))[1]
    width = vectors * cpu.lanes(dtype)
    panel = matmul_panel(dtype, a_row, a_k, row, row, vectors)
    last_panel = matmul_panel(dtype, a_row, a_k, row, row, last_vectors)
    begin = time.thread_time()

    @kernel("void(intp, intp, intp, intp, intp)", cache=False)
    def product(a: int, b: int, c: int, depth: int, times: int) -> None:
        for _ in range(times):
            for i in range(0, rows, block):
                left, out, height = a + i * a_row * item, c + i * row * item, min(block, rows - i)
                for j in range(start, start + count * width, width):
                    panel(left, b + j * item, out + j * item, height, depth)
                if has_last:
                    last_panel(left, b + last * item, out + last * item, height, depth)

    _ = product.address
    compiled = time.thread_time() - begin
    operations = 2.0 * examples * first * second
    times = max(1, int(3e8 / operations))

    def work() -> None:
        product(a.ctypes.data, b.ctypes.data, c.ctypes.data, depth, times)

    return rate(work, operations * times), compiled


def numpy_product(kind: str, sizes: tuple[int, int, int], dtype: Dtype) -> Callable[[], float]:
    """The same by NumPy's BLAS."""
    rng = np.random.default_rng(0)
    examples, first, second = sizes
    shapes = ((examples, second), (second, first)) if kind == "forward" else ((first, examples), (examples, second))
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return rate(lambda: np.dot(a, b), 2.0 * examples * first * second)


@kernel(cache=False)
def empty(args: int, first: int, last: int) -> None:
    pass


@kernel("void(intp, intp, intp)", cache=False)
def launch_empty(pool: int, units: int, times: int) -> None:
    for _ in range(times):
        launch(pool, address_of(empty), 0, units)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    dtype: Dtype = parser.parse_args().dtype
    peak = multiply_adds(dtype)
    cpu = host()
    print(f"{cpu.name}, {cpu.lanes(dtype)} lanes of {dtype}, tiles {cpu.tiles}, one thread")
    print(f"{'product':>28} {'tile GFLOP/s':>13} {'of peak':>8} {'np.dot':>8} {'compile ms':>11}")
    for kind, cases in (("forward", FORWARD), ("weight gradient", GRADIENT)):
        for sizes in cases:
            tile, compiled = tile_product(kind, sizes, dtype)
            candidates = [peak, tile, numpy_product(kind, sizes, dtype)]
            rounds = [[candidate() for candidate in candidates] for _ in range(ROUNDS)]
            best, ours, numpys = np.percentile(rounds, 75, axis=0)
            label = f"{kind} {' x '.join(map(str, sizes))}"
            print(f"{label:>28} {ours / 1e9:>13.1f} {ours / best:>8.1%} {numpys / best:>8.1%} {1e3 * compiled:>11.0f}")
    for threads in (1, 2):
        pool = Pool(threads, lambda: help_out.address)
        with pool:
            seconds = [1 / rate(lambda: launch_empty(pool.address, 8, 1000), 1000.0)() for _ in range(ROUNDS)]  # noqa: B023
        print(f"an empty launch of 8 units, {threads} threads: {1e6 * float(np.median(seconds)):.3f} us")


if __name__ == "__main__":
    main()
