"""A process that compiles for another one: texts come in on stdin, object files go out on stdout (`compilation.py`)."""

from __future__ import annotations

import os
import sys

from dlc.runtime.compilation import UP, Job, compile_job, read_frame, write_frame


def main() -> None:
    """Compile until stdin ends. An empty answer says that a text could not be compiled."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nobody else writes among the answers
    os.environ.pop("NUMBA_DISABLE_JIT", None)
    import dlc.compiler.codegen.host.machine_code  # noqa: F401 (the long import, before the first text)

    write_frame(answers, UP)
    answers.flush()
    while True:
        try:
            job = Job(*(read_frame(sys.stdin.buffer).decode() for _ in range(3)))
        except EOFError:
            return
        try:
            code = compile_job(job)
        except Exception:
            code = b""  # whoever asked meets the mistake itself
        write_frame(answers, code)
        answers.flush()
