"""Compiles jobs: texts of kernels and programs in, object files out; in several processes where that pays.

This process compiles too, largest text first, and takes what it compiles from the same line as its workers do
(`compile_worker.py`). A worker is a fresh Python that gets texts and gives object files through pipes, and touches
nothing else. It may fail to start, die or hang: what it had is compiled here then, and any mistake is met here.
"""

from __future__ import annotations

import ast
import os
import queue
import re
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["UP", "Job", "compile_job", "compile_jobs", "read_frame", "usable_processors", "write_frame"]

START_SECONDS = 0.8
"""What a worker costs: a Python that imports Numba, and its first types."""
JOB_SECONDS, LINE_SECONDS = 0.05, 0.0025
"""What a job costs, by the lines of its text; it decides how many workers are started, no more."""
MOST_WORKERS = 8
"""A worker takes 200 MB."""
PATIENCE_SECONDS = 15.0
"""How long no worker has to answer until what they are compiling is compiled here too."""
LENGTH = struct.Struct("<Q")
LARGEST = 1 << 26
"""Bytes that text or machine code may have."""
UP = b"up"
"""What a worker says first."""


@dataclass(frozen=True, slots=True)
class Job:
    """A text that defines a kernel of some name, and the symbol that its machine code is to have."""

    symbol: str
    name: str
    text: str


Done = tuple[Job, bytes]


def compile_jobs(jobs: Sequence[Job], workers: int | None = None) -> Iterator[Done]:
    """The object file of each job, in the order in which they are done. Raises what compiling a text raises."""
    line = deque(sorted(jobs, key=lambda job: len(job.text), reverse=True))
    results: queue.SimpleQueue[Done | None] = queue.SimpleQueue()
    missing = {job.symbol: job for job in jobs}
    helpers = [Helper(line, results) for _ in range(workers_for(jobs) if workers is None else workers)]
    try:
        for helper in helpers:
            helper.start()
        while missing:
            done = next_done(line, results, missing, helpers)
            if done is not None and missing.pop(done[0].symbol, None) is not None:
                yield done
    finally:
        for helper in helpers:
            helper.end()


def next_done(
    line: deque[Job], results: queue.SimpleQueue[Done | None], missing: dict[str, Job], helpers: Sequence[Helper]
) -> Done | None:
    """What a worker has sent, else what is compiled here; None where a worker has ended."""
    with suppress(queue.Empty):
        return results.get_nowait()
    try:
        job = line.popleft()
    except IndexError:
        if any(helper.job is not None for helper in helpers):
            with suppress(queue.Empty):
                return results.get(timeout=PATIENCE_SECONDS)
        job = next(iter(missing.values()))
    return job, compile_job(job)


def compile_job(job: Job) -> bytes:
    """Run a text, and compile its kernel."""
    from dlc.compiler.codegen.host.machine_code import compiling, machine_code

    space: dict[str, Any] = {"__name__": f"dlc_generated.{job.symbol}"}
    tree = ast.parse(job.text)
    own = [
        statement for statement in tree.body if isinstance(statement, ast.FunctionDef) and statement.name == job.name
    ]
    with compiling():
        run: Callable[..., None] = exec
        run(compile(tree, f"{job.symbol}.py", "exec"), space)
        made = space[job.name]
        return machine_code(made.function, made.signature, job.symbol, made.fastmath, *own, apart=made.apart)


# --- workers ---------------------------------------------------------------------------------------------------


class Helper(threading.Thread):
    """A worker process, and the thread that talks with it. `job` is what the worker is compiling."""

    def __init__(self, line: deque[Job], results: queue.SimpleQueue[Done | None]) -> None:
        super().__init__(name="dlc-compile", daemon=True)
        self.line, self.results = line, results
        self.job: Job | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.ended = False

    def run(self) -> None:
        with suppress(OSError, EOFError):
            self.process = start_worker()
            self.talk(self.process)
        if self.job is not None:
            self.line.appendleft(self.job)
            self.job = None
        self.results.put(None)
        if self.process is not None:
            self.process.kill()  # it has nothing to tidy up
            self.process.communicate()

    def talk(self, process: subprocess.Popen[bytes]) -> None:
        """Give the worker jobs until none is left. Raises OSError or EOFError where it does not answer."""
        asked, answers = process.stdin, process.stdout
        assert asked is not None
        assert answers is not None
        if read_frame(answers) != UP:
            raise EOFError
        while self.line and not self.ended:
            try:
                self.job = self.line.popleft()
            except IndexError:
                return
            for part in (self.job.symbol, self.job.name, self.job.text):
                write_frame(asked, part.encode())
            asked.flush()
            code = read_frame(answers)
            if not code:
                raise EOFError  # it could not be compiled there
            self.results.put((self.job, code))
            self.job = None

    def end(self) -> None:
        """End the worker and the thread."""
        self.ended = True
        if self.process is not None:
            self.process.kill()
        self.join(5)


def start_worker() -> subprocess.Popen[bytes]:
    """A Python like this one that runs `compile_worker.main`. Raises OSError where there is none."""
    program = "import sys; sys.path[:] = sys.argv[1:]; from dlc.runtime.compile_worker import main; main()"
    flags = ["-P", *(["-I"] if sys.flags.isolated else [])]
    return subprocess.Popen(
        [interpreter(), *flags, "-c", program, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def interpreter() -> str:
    """The program that runs Python. Raises OSError where this process is another one that has Python in it."""
    if getattr(sys, "frozen", False) or not re.fullmatch(
        r"python[\d.]*w?(\.exe)?", os.path.basename(sys.executable or "")
    ):
        raise OSError("no interpreter to start")
    return sys.executable


def workers_for(jobs: Sequence[Job]) -> int:
    """How many workers pay: none for few jobs, at most one for each processor besides ours.

    `DLC_COMPILE_PROCESSES` limits the processes, this one included.
    """
    seconds = sum(JOB_SECONDS + LINE_SECONDS * job.text.count("\n") for job in jobs)
    limit = os.environ.get("DLC_COMPILE_PROCESSES", "")
    processes = int(limit) if limit.isdecimal() else usable_processors()
    return max(0, min(processes - 1, MOST_WORKERS, int(seconds / START_SECONDS)))


def usable_processors() -> int:
    """The processors that this process may use, in a container its share of them."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, max(1, round(int(quota) / int(period))))
    return count


def write_frame(stream: IO[bytes], data: bytes) -> None:
    stream.write(LENGTH.pack(len(data)))
    stream.write(data)


def read_frame(stream: IO[bytes]) -> bytes:
    """What the other side wrote as one. Raises EOFError where it has ended, or is none of ours."""
    head = stream.read(LENGTH.size)
    size = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else LARGEST + 1
    data = stream.read(size) if size <= LARGEST else b""
    if len(data) < size:
        raise EOFError
    return data
