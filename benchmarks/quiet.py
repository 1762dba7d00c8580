"""Whether other programs used the processor while one was measured; from /proc, so on Linux only."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType

# What other programs may take of the cores that the measured one needs, in cores, before it counts as disturbed.
TOLERATED = 0.1


class Watch:
    """Measures, over a `with` block, how many cores everything but one process kept busy.

    `others` is that number after the block: 0.0 on an idle machine or where there is no /proc.  Time that a hypervisor
    gives to other machines counts as busy.
    """

    def __init__(self, pid: int, threads: int) -> None:
        self.pid = pid
        self.spare = max(0, (os.cpu_count() or 1) - threads)
        self.others = 0.0

    def __enter__(self) -> Watch:
        self._before = _busy_seconds(self.pid)
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed = time.perf_counter() - self._start
        self.others = max(0.0, (_busy_seconds(self.pid) - self._before) / elapsed)

    @property
    def undisturbed(self) -> bool:
        """Whether the others could do with the cores that the process does not use."""
        return self.others < self.spare + TOLERATED


def _busy_seconds(without: int) -> float:
    """Processor time of all programs but one, since the machine was started."""
    try:
        user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(
            int, Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        )
        # the command's name, second, may contain spaces; what follows its bracket does not
        own = Path(f"/proc/{without}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    user_time, system_time = int(own[11]), int(own[12])
    busy = user + nice + system + irq + softirq + steal
    return (busy - user_time - system_time) / os.sysconf("SC_CLK_TCK")
