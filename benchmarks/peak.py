"""The machine's measured peak: how many GFLOP/s fused multiply-adds on registers reach, all else left out.

    python benchmarks/peak.py [--threads 1,2] [--dtype float32,float64]

A loop of independent vector chains p = p * x + y, as many as hide the latency of the instruction, written straight into
LLVM IR, for neither Python nor Numba has a word for it.  A fused multiply-add counts as two operations.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from quiet import Watch

SCALARS: dict[str, Any] = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
ITEM_BITS = {"float32": 32, "float64": 64}


def host_vector() -> tuple[int, int]:
    """(bits of the widest vector register, how many chains keep it busy) of this CPU.

    The chains must outnumber latency times issue rate (4 cycles, 2 a cycle) and fit with x and y into the registers:
    32 with AVX-512 and on ARM, 16 with AVX2.
    """
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 512, 24
    return (256, 12) if features.get("avx2") else (128, 24)


def fma_loop(dtype: str, lanes: int, chains: int) -> Any:
    """A jitted `loop(n, address)`: n fused multiply-adds in each chain.

    It reads the vectors x and y at the address and stores the sum of the chains there, so that LLVM keeps them.
    """
    vector = ir.VectorType(SCALARS[dtype], lanes)
    integer = ir.IntType(64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        count, address = arguments
        name = f"llvm.fma.v{lanes}f{ITEM_BITS[dtype]}"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        pointer = builder.inttoptr(address, vector.as_pointer())
        x = builder.load(pointer, align=ITEM_BITS[dtype] // 8)
        y = builder.load(builder.gep(pointer, [integer(1)]), align=ITEM_BITS[dtype] // 8)

        before, loop, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(integer)
        sums = [builder.phi(vector) for _ in range(chains)]
        products = [builder.call(fma, [p, x, y]) for p in sums]
        following = builder.add(step, integer(1))
        step.add_incoming(integer(0), before)
        step.add_incoming(following, loop)
        for start, (p, product) in enumerate(zip(sums, products, strict=True)):
            p.add_incoming(vector([float(start)] * lanes), before)  # each starts elsewhere, or LLVM makes them one
            p.add_incoming(product, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)

        builder.position_at_end(after)
        total = products[0]
        for product in products[1:]:
            total = builder.fadd(total, product)
        builder.store(total, pointer, align=ITEM_BITS[dtype] // 8)
        return context.get_dummy_value()

    @intrinsic  # type: ignore[untyped-decorator]
    def fused_multiply_adds(typing: Any, n: Any, address: Any) -> Any:
        return types.void(types.intp, types.intp), generate

    @njit("void(intp, intp)", nogil=True)  # type: ignore[untyped-decorator]
    def loop(n: int, address: int) -> None:
        fused_multiply_adds(n, address)

    return loop


def measure(threads: int, dtype: str, patience: float, repeats: int = 15) -> dict[str, float]:
    """GFLOP/s of `threads` threads together, best and median of the repeats: another program can only take away.

    While others do take away, it goes on for up to `patience` seconds.
    """
    bits, chains = host_vector()
    lanes = bits // ITEM_BITS[dtype]
    loop = fma_loop(dtype, lanes, chains)
    n = 10_000_000
    operands = [np.full(2 * lanes, 0.5, dtype) for _ in range(threads)]
    rates = []
    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda values: loop(n, values.ctypes.data), operands))
        while True:
            with Watch(os.getpid(), threads) as watch:
                for _ in range(repeats):
                    start = time.perf_counter()
                    list(pool.map(lambda values: loop(n, values.ctypes.data), operands))
                    rates.append(threads * n * chains * lanes * 2 / (time.perf_counter() - start) / 1e9)
            if watch.undisturbed or time.perf_counter() - begin > patience:
                return {"best": max(rates), "median": statistics.median(rates)}


def main() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser = argparse.ArgumentParser(description="the machine's measured peak in GFLOP/s")
    parser.add_argument("--threads", default=",".join(map(str, sorted({1, cores}))))
    parser.add_argument("--dtype", default="float32,float64")
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for other programs to leave room")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too (-: print nothing else)")
    args = parser.parse_args()
    results = [
        {"threads": threads, "dtype": dtype, **measure(threads, dtype, args.patience)}
        for dtype in args.dtype.split(",")
        for threads in map(int, args.threads.split(","))
    ]
    if args.json == "-":
        print(json.dumps(results))
        return
    bits, chains = host_vector()
    print(f"{chains} chains of {bits}-bit vectors, GFLOP/s")
    for result in results:
        print("{dtype}, {threads} thread(s): {best:.1f}  (median {median:.1f})".format(**result))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=2)


if __name__ == "__main__":
    main()
