"""Threads that share out the units of a kernel.

A kernel's work is cut into units. `launch` gives each thread an equal run of neighbouring units, the same at every
step, so that a thread finds in its cache what it left there. Each run is taken in pieces by an atomic counter, and
whoever is done takes pieces of the others: a thread that the operating system has put aside holds up no more than the
piece it is in, and where no thread comes, the caller does it all. So nothing depends on the helpers, neither results
(units are independent) nor progress: they may sleep, be parked, or not exist, as after a fork.

Helpers are Python threads inside one jitted loop that holds no interpreter lock. They spin a short while, then yield,
then sleep in short naps; some milliseconds after the last program has ended they park on an event.

The pool's block is lines of eight int64: line 0 tells the number of threads and whether a program is running, and
line 1 + t belongs to thread t (0 is the caller). All communication is there:

    STATE   EPOCH + POSTED  there is work;  EPOCH + RUNNING  its owner is on it;  EPOCH + IDLE  no work, or too late
    NEXT    the first unit of its run that nobody has taken; END is where the run ends, PIECE how many are taken at once
    KERNEL, ARGS   what to call

Only a helper that moved its own state from POSTED to RUNNING may take units, and the caller
waits for exactly those before it returns; the others it moves from POSTED to IDLE.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import weakref

import llvmlite.binding as llvm
import numpy as np
from numba import njit, types

from dlc.compiler.codegen.host.address import (
    call_kernel,
    compare_and_swap,
    fetch_add,
    int64_at,
    load_acquire,
    pause,
    store_release,
)
from dlc.compiler.codegen.host.kernels import kernel

__all__ = ["Pool", "launch"]

LINE = 8  # int64 in a line of the block: 64 bytes, one line of the cache
STATE, NEXT, END, PIECE, KERNEL, ARGS = range(6)
IDLE, POSTED, RUNNING, EPOCH = 0, 1, 2, 4  # an epoch is a multiple of 4; the state is in the low bits
# Line 0:
THREADS, OPEN, CLOSED = range(3)

SPINS = 4_000  # pauses before a waiting thread yields: some 50 us
YIELDS = 200  # yields before it naps
NAP = 50  # microseconds of a nap
PATIENCE = SPINS + YIELDS + 100  # turns of waiting before a helper parks, when no program is running


def register_system_calls() -> None:
    """Give the linker `dlc_yield` and `dlc_nap`: leave the core to another thread, and sleep some microseconds."""
    if sys.platform == "win32":
        kernel32 = ctypes.windll.kernel32
        calls = {"dlc_yield": kernel32.SwitchToThread, "dlc_nap": kernel32.Sleep}
    else:
        libc = ctypes.CDLL(None)
        calls = {"dlc_yield": libc.sched_yield, "dlc_nap": libc.usleep}
    for name, call in calls.items():
        llvm.add_symbol(name, ctypes.cast(call, ctypes.c_void_p).value)


register_system_calls()
os_yield = types.ExternalFunction("dlc_yield", types.int32())
os_nap = types.ExternalFunction("dlc_nap", types.int32(types.uint32))
# Windows sleeps in milliseconds.
NAP_ARGUMENT = np.uint32(1 if sys.platform == "win32" else NAP)


@njit(error_model="numpy")
def take_all(lines: int, owner: int, threads: int) -> None:
    """Do units until none is left: first of the owner's run, then of the others'."""
    for turn in range(threads):
        line = lines + (owner + turn) % threads * LINE * 8
        values = int64_at(line)
        end, piece = values[END], values[PIECE]
        while True:
            # Look before taking: where nothing is left, the line stays in the other threads' caches.
            if load_acquire(line + 8 * NEXT) >= end:
                break
            first = fetch_add(line + 8 * NEXT, piece)
            if first >= end:
                break
            call_kernel(values[KERNEL], values[ARGS], first, min(first + piece, end))


@njit(error_model="numpy")
def rest(waited: int) -> None:
    """Wait a moment, the longer the more often it was done: a pause, then a yield, then a nap."""
    if waited < SPINS:
        pause()
    elif waited < SPINS + YIELDS:
        os_yield()
    else:
        os_nap(NAP_ARGUMENT)


@njit(error_model="numpy")
def wait_until_idle(line: int) -> None:
    waited = 0
    while load_acquire(line) % EPOCH != IDLE:
        rest(waited)
        waited += 1


@kernel("void(intp, intp, intp, intp)", symbol="dlc_launch")
def launch(pool: int, function: int, args: int, units: int) -> None:
    """Do the units 0 .. units - 1 of the kernel at an address, and return when all are done.

    `pool` is `Pool.address`, or 0 for the calling thread alone. One launch at a time in a pool.
    """
    threads = 1
    if pool != 0:
        threads = int64_at(pool)[THREADS]
    if threads == 1 or units <= 1:
        call_kernel(function, args, 0, units)
        return
    lines = pool + 8 * LINE
    for thread in range(threads):
        values = int64_at(lines + thread * LINE * 8)
        first, end = units * thread // threads, units * (thread + 1) // threads
        values[NEXT], values[END] = first, end
        values[PIECE] = (end - first + 3) // 4
        values[KERNEL], values[ARGS] = function, args
    for thread in range(1, threads):
        line = lines + thread * LINE * 8
        store_release(line, (int64_at(line)[STATE] // EPOCH + 1) * EPOCH + POSTED)
    take_all(lines, 0, threads)
    for thread in range(1, threads):
        line = lines + thread * LINE * 8
        posted = int64_at(line)[STATE] // EPOCH * EPOCH + POSTED
        if not compare_and_swap(line, posted, posted - POSTED + IDLE):
            wait_until_idle(line)


@kernel("void(intp, intp)")
def help_out(pool: int, thread: int) -> None:
    """A helper's life between two parkings."""
    lines = pool + 8 * LINE
    line = lines + thread * LINE * 8
    threads = int64_at(pool)[THREADS]
    waited = 0
    while True:
        state = load_acquire(line)
        if state % EPOCH == POSTED and compare_and_swap(line, state, state - POSTED + RUNNING):
            take_all(lines, thread, threads)
            store_release(line, state - POSTED + IDLE)
            waited = 0
        elif load_acquire(pool + 8 * CLOSED) != 0 or (waited >= PATIENCE and load_acquire(pool + 8 * OPEN) == 0):
            return
        else:
            rest(waited)
            waited += 1


def live(block: np.ndarray[tuple[int, int], np.dtype[np.int64]], thread: int, awake: threading.Event) -> None:
    """A helper: helps while there is something to help with, then waits for the next program."""
    help_here = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(help_out.address)
    while not block[0, CLOSED]:
        awake.wait()
        help_here(block.ctypes.data, thread)  # ctypes lets go of the interpreter lock


class Pool:
    """`threads` threads, the caller of `launch` among them.

        pool = Pool(4)
        with pool:                       # wakes the helpers
            epoch(pool.address, ...)     # jitted code: launch(pool, address_of(kernel), args, units)

    Python threads take turns in `with pool`. A process may have several pools, and a forked one starts its own helpers.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"a pool needs at least 1 thread, and {threads} were asked for")
        self.threads = threads
        memory = np.zeros((threads + 2) * LINE, np.int64)
        skipped = -memory.ctypes.data % 64 // 8
        self.block = memory[skipped : skipped + (threads + 1) * LINE].reshape(threads + 1, LINE)
        self.block[0, THREADS] = threads
        self.address = int(self.block.ctypes.data)
        self.helpers: list[threading.Thread] = []
        self.awake = threading.Event()
        self.turn = threading.RLock()
        self.process = self.depth = 0
        open_pools.add(self)

    def start(self) -> None:
        """Start the helpers: on first use, and again in a forked process, which no thread has followed."""
        self.process = os.getpid()
        self.awake = threading.Event()
        self.turn = threading.RLock()
        self.depth = 0
        self.block[1:, STATE] = IDLE
        self.helpers = [
            threading.Thread(target=live, args=(self.block, thread, self.awake), name=f"dlc-{thread}", daemon=True)
            for thread in range(1, self.threads)
        ]
        for helper in self.helpers:
            helper.start()

    def __enter__(self) -> Pool:
        if self.process != os.getpid():
            self.start()
        self.turn.acquire()
        self.depth += 1
        self.block[0, OPEN] = 1
        self.awake.set()
        return self

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.awake.clear()
            self.block[0, OPEN] = 0
        self.turn.release()

    def close(self) -> None:
        """End the helpers. Later launches in this pool run on the calling thread; a forgotten pool closes itself."""
        self.block[0, CLOSED] = 1
        self.awake.set()
        if self.process == os.getpid():
            for helper in self.helpers:
                helper.join(timeout=1.0)

    def __del__(self) -> None:
        if self.__dict__.get("helpers"):
            self.block[0, CLOSED] = 1
            self.awake.set()


# Machine code is unmapped when the interpreter ends, so no helper may be in it then.
open_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


@atexit.register
def close_pools() -> None:
    for pool in list(open_pools):
        pool.close()
