"""Kernels compiled in several processes: the same machine code as in one, whatever becomes of the workers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import nets
import pytest
from against_reference import module

from dlc.compiler.codegen.host import objects
from dlc.runtime import compilation
from dlc.runtime.compilation import Job, compile_jobs, workers_for

TEXT = """
from dlc.compiler.codegen.host.address import int64_at
from dlc.compiler.codegen.host.kernels import kernel

@kernel()
def add_{n}(args, first, last):
    x = int64_at(args)
    for i in range(first, last):
        x[i] += {n} * i
"""
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
JOBS = [Job(f"dlc_add_{n}", f"add_{n}", TEXT.format(n=n)) for n in range(4)]


def compiled(jobs: list[Job], workers: int) -> dict[str, bytes]:
    return {job.symbol: code for job, code in compile_jobs(jobs, workers)}


@pytest.fixture(scope="module")
def expected() -> dict[str, bytes]:
    return compiled(JOBS, workers=0)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The workers that are started."""
    started: list[subprocess.Popen[bytes]] = []
    start = compilation.start_worker

    def start_worker() -> subprocess.Popen[bytes]:
        started.append(start())
        return started[-1]

    monkeypatch.setattr(compilation, "start_worker", start_worker)
    return started


def test_workers_compile_the_same_machine_code(
    monkeypatch: pytest.MonkeyPatch, processes: list[subprocess.Popen[bytes]]
) -> None:
    made = module({"train": nets.programs(nets.dense([6, 4, 3]), nets.adam)["train"]}, "float32")
    pieces = [*made.kernels.values(), *made.programs.values()]
    jobs = [Job(made.symbol(piece), piece.name, made.file_text(piece)) for piece in pieces]
    alone = compiled(jobs, workers=0)
    answered = threading.Event()
    read_frame, compile_job = compilation.read_frame, compilation.compile_job
    here: list[str] = []

    def read(stream: object) -> bytes:
        data = read_frame(stream)  # type: ignore[arg-type]
        if data != compilation.UP:
            answered.set()
        return data

    def compile_after_a_worker(job: Job) -> bytes:
        assert answered.wait(200), "no worker has answered"
        here.append(job.symbol)
        return compile_job(job)

    monkeypatch.setattr(compilation, "read_frame", read)
    monkeypatch.setattr(compilation, "compile_job", compile_after_a_worker)
    assert compiled(jobs, workers=2) == alone
    assert len(here) < len(jobs)
    assert all(process.poll() is not None for process in processes)


SAY = """
import struct, sys, time
def say(data):
    sys.stdout.buffer.write(struct.pack('<Q', len(data)) + data)
    sys.stdout.flush()
"""
BROKEN = {
    "does not start": None,
    "dies at once": "",
    "never comes up": SAY + "time.sleep(600)",
    "says nonsense": "print('hello, world')\n",
    "dies over a job": SAY + "say(b'up'); sys.stdin.buffer.read(30)",
    "is killed in an answer": SAY + "say(b'up'); sys.stdin.buffer.read(30); sys.stdout.write('x' * 12)",
    "cannot compile": SAY + "say(b'up'); sys.stdin.buffer.read(30); say(b''); time.sleep(600)",
    "hangs over a job": SAY + "say(b'up'); time.sleep(600)",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_worker_is_done_without(
    name: str, monkeypatch: pytest.MonkeyPatch, expected: dict[str, bytes]
) -> None:
    program = BROKEN[name]
    started: list[subprocess.Popen[bytes]] = []

    def start_worker() -> subprocess.Popen[bytes]:
        if program is None:
            raise FileNotFoundError("python")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen([sys.executable, "-c", program], **pipes))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(compilation, "start_worker", start_worker)
    monkeypatch.setattr(compilation, "PATIENCE_SECONDS", 0.1)
    assert compiled(JOBS, workers=2) == expected
    assert all(process.poll() is not None for process in started)


def test_a_text_that_cannot_be_compiled_is_met_here(processes: list[subprocess.Popen[bytes]]) -> None:
    wrong = Job(
        "dlc_wrong", "wrong", TEXT.format(n="wrong").replace("add_wrong", "wrong").replace("wrong * i", "nothing")
    )
    with pytest.raises(Exception, match="nothing"):
        compiled([wrong, *JOBS], workers=1)
    assert all(process.poll() is not None for process in processes)


def test_an_interrupt_ends_the_workers(
    monkeypatch: pytest.MonkeyPatch, processes: list[subprocess.Popen[bytes]]
) -> None:
    def interrupted(job: Job) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(compilation, "compile_job", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compiled(JOBS, workers=2)
    assert all(process.poll() is not None for process in processes)
    assert not [thread for thread in threading.enumerate() if thread.name == "dlc-compile"]


def test_workers_are_started_where_they_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [Job(f"dlc_{n}", "f", "\n" * 40) for n in range(100)]
    monkeypatch.setattr(compilation, "usable_processors", lambda: 4)
    assert workers_for(JOBS) == 0
    assert workers_for(many) == 3
    monkeypatch.setenv("DLC_COMPILE_PROCESSES", "2")
    assert workers_for(many) == 1
    monkeypatch.setenv("DLC_COMPILE_PROCESSES", "1")
    assert workers_for(many) == 0
    monkeypatch.setenv("DLC_COMPILE_PROCESSES", "all")
    assert workers_for(many) == 3


@pytest.mark.parametrize("executable", ["", "/usr/sbin/httpd", "/opt/app/pythonesque"])
def test_another_program_with_python_in_it_is_not_started(executable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(OSError, match="no interpreter"):
        compilation.start_worker()


def run(program: str, folder: Path, **environment: str) -> str:
    """What a fresh process says that computes a network's output; nothing may be said on stderr."""
    text = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{program}"
    given = {**os.environ, "DLC_CACHE_DIR": str(folder), **environment}
    done = subprocess.run([sys.executable, "-c", text], env=given, capture_output=True, text=True, timeout=250)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


OUTPUT = "from test_loader import output; print(*output().ravel())"


def test_a_module_gives_the_same_bits(tmp_path: Path) -> None:
    """Alone and with workers, under NUMBA_DISABLE_JIT, and where nothing can be written."""
    alone = run(OUTPUT, tmp_path / "alone", DLC_COMPILE_PROCESSES="1")
    always = f"from dlc.runtime import compilation; compilation.workers_for = lambda jobs: 2\n{OUTPUT}"
    assert run(always, tmp_path / "together") == alone
    assert run(always, tmp_path / "undisturbed", NUMBA_DISABLE_JIT="1") == alone
    full = f"import tempfile; tempfile.mkstemp = lambda **_: open('/no/such/place')\n{OUTPUT}"
    assert run(full, tmp_path / "full") == alone
    assert not list((tmp_path / "full").rglob("*.o"))
    kept = [
        {path.name: objects.kept(path) for path in (tmp_path / name).rglob("*.o")} for name in ("alone", "together")
    ]
    assert kept[0] == kept[1] != {}
