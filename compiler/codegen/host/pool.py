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

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Callable

import llvmlite.binding as llvm
import numpy as np

__all__ = ["Pool"]

LINE = 8  # int64 in a line of the block: 64 bytes, one line of the cache
STATE, NEXT, END, PIECE, KERNEL, ARGS = range(6)
IDLE, POSTED, RUNNING, EPOCH = 0, 1, 2, 4  # an epoch is a multiple of 4; the state is in the low bits
# Line 0:
THREADS, OPEN, CLOSED = range(3)


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


def live(
    block: np.ndarray[tuple[int, int], np.dtype[np.int64]], thread: int, awake: threading.Event, help_out: int
) -> None:
    """A helper: helps while there is something to help with, then waits for the next program."""
    help_here = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(help_out)
    while not block[0, CLOSED]:
        awake.wait()
        help_here(block.ctypes.data, thread)  # ctypes lets go of the interpreter lock


class Pool:
    """`threads` threads, the caller of `launch` among them.

        pool = Pool(4, lambda: help_out.address)
        with pool:                       # wakes the helpers
            epoch(pool.address, ...)     # jitted code: launch(pool, address_of(kernel), args, units)

    `help_out` gives the address of that kernel (`launch.py`), and is asked when the helpers start. Python threads take
    turns in `with pool`. A process may have several pools, and a forked one starts its own helpers.
    """

    def __init__(self, threads: int, help_out: Callable[[], int]) -> None:
        if threads < 1:
            raise ValueError(f"a pool needs at least 1 thread, and {threads} were asked for")
        self.threads, self.help_out = threads, help_out
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
        help_out = self.help_out() if self.threads > 1 else 0
        self.process = os.getpid()
        self.awake = threading.Event()
        self.turn = threading.RLock()
        self.depth = 0
        self.block[1:, STATE] = IDLE
        block, awake = self.block, self.awake
        self.helpers = [
            threading.Thread(target=live, args=(block, thread, awake, help_out), name=f"dlc-{thread}", daemon=True)
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
