"""Compiles jobs: kernels and programs as text in, object files out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Job:
    """A text that defines a kernel of some name, and the symbol that its machine code is to have."""

    symbol: str
    name: str
    text: str


def compile_jobs(jobs: Sequence[Job], folder: Path) -> Iterator[tuple[Job, bytes]]:
    """The object file of each job, in the order in which they are done; the texts are written into `folder`."""
    for job in jobs:
        yield job, compile_job(job, folder)


def compile_job(job: Job, folder: Path) -> bytes:
    """Run a text, and compile its kernel."""
    from dlc.compiler.codegen.host.machine_code import compiling, machine_code

    path = folder / f"{job.symbol}.py"
    write_text(path, job.text)
    space: dict[str, Any] = {"__name__": f"dlc_generated.{job.symbol}", "__file__": str(path)}
    with compiling():
        run: Callable[..., None] = exec
        run(compile(job.text, str(path), "exec"), space)
        made = space[job.name]
        return machine_code(made.function, made.signature, job.symbol, made.fastmath)


def write_text(path: Path, text: str) -> None:
    """Keep a text beside its machine code, to be read, where that is possible."""
    with suppress(OSError):
        path.write_text(text)
