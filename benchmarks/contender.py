"""One contender on one case, in a process of its own; `steps.py` and `startup.py` start it.

It sets the contender up, answers one JSON line, and then one more for each line it reads: the milliseconds a step took
in a turn.  With `--once` it takes the first step only, tells its seconds and its memory, and leaves.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Protocol, TextIO

from cases import CASES, Case

# A turn is timed as so many blocks of steps, and the median block counts.
BLOCKS = 5


class Contender(Protocol):
    @property
    def version(self) -> str: ...
    def first_step(self) -> None: ...
    def check(self) -> tuple[float, float]: ...
    def train(self, steps: int) -> int: ...


def make(name: str, case: Case, threads: int) -> Contender:
    if name == "dlc":
        from contender_dlc import Dlc

        return Dlc(case, threads)
    from rivals import RIVALS

    return RIVALS[name](case, threads)


def pin(threads: int) -> None:
    """Keeps the process on its first `threads` cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def private_stdout() -> TextIO:
    """The real standard output, for answers alone; whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def resident(figure: str) -> int:
    """The bytes of this process in memory: now (`VmRSS`), or at most (`VmHWM`); 0 where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(figure))


def forget_peak() -> None:
    """`VmHWM` counts from now on."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def timed(contender: Contender, steps: int) -> tuple[int, float]:
    """Trains for about so many steps: (how many they were, seconds)."""
    start = time.perf_counter()
    taken = contender.train(steps)
    return taken, time.perf_counter() - start


def steps_that_last(contender: Contender, seconds: float) -> int:
    """How many steps take so long; found by training for at least twice that time, so that everything is warm."""
    steps, taken, elapsed, total = 1, 1, 0.0, 0.0
    while total < 2 * seconds:
        taken, elapsed = timed(contender, steps)
        total += elapsed
        if elapsed < seconds / 2:
            steps *= 2
    return max(1, round(seconds * taken / elapsed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a turn lasts")
    parser.add_argument("--once", action="store_true", help="take one step and leave")
    args = parser.parse_args()

    answers = private_stdout()
    pin(args.threads)
    start = time.perf_counter()
    contender = make(args.contender, CASES[args.case], args.threads)
    if args.once:
        before = resident("VmRSS")
        forget_peak()
        contender.first_step()
        answer = {"first_step_seconds": time.perf_counter() - start, "step_bytes": resident("VmHWM") - before}
        print(json.dumps(answer), file=answers, flush=True)
        return
    losses = contender.check()
    steps = steps_that_last(contender, args.seconds / BLOCKS)
    print(json.dumps({"version": contender.version, "losses": losses, "steps": steps}), file=answers, flush=True)
    for _ in sys.stdin:
        blocks = [timed(contender, steps) for _ in range(BLOCKS)]
        ms = statistics.median(seconds / taken * 1e3 for taken, seconds in blocks)
        print(json.dumps({"ms": ms}), file=answers, flush=True)


if __name__ == "__main__":
    main()
