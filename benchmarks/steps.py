"""Compares whole training steps (forward, backward, update) of dlc, and predictions, with those of torch and jax.

    python benchmarks/steps.py --rival-python PATH [--threads 1,2] [--cases NAME,…] [--only dlc,jax] [--json FILE]

Every contender has a process of its own for each case and number of threads.  They take turns, A B C A B C …, and while
one works the others sleep, so that a slow minute of the machine meets all of them.  benchmarks/README.md says more.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cases import CASES, TIMED, Case
from quiet import Watch

HERE = Path(__file__).resolve().parent
CONTENDERS = ("dlc", "torch", "torch_cl", "torch_own", "compile", "compile_cl", "jax", "jax_scan")
DIFFERENT = ("torch_own",)
"""Those that train another network of the same size: neither compared with dlc nor checked."""
FIRST_TOLERANCE = 1e-3  # of the loss before any step
LOSS_TOLERANCE = 1e-2  # of what `CHECK_STEPS` steps changed the loss by


def suits(name: str, case: Case) -> bool:
    """Only maps have channels that could stand first; jax's convolutions are many times slower inside a `scan`, and a
    network that takes milliseconds does not need it; torch's own layers that compute other functions are few."""
    if name.endswith("_cl"):
        return len(case.example) > 2
    if name == "jax_scan":
        return len(case.example) == 1 and not case.text
    return name not in DIFFERENT or case.name.startswith("gru")


def environment(threads: int) -> dict[str, str]:
    """What tells each library, before it is loaded, how many threads it may have."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    variables = {name: str(threads) for name in names}
    variables["JAX_PLATFORMS"] = "cpu"
    variables["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no pool of compiling processes that idles beside the others
    if threads == 1:
        variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {**os.environ, **variables}


class ContenderFailed(Exception):
    """A contender's process ended early; the message is the last line that it wrote."""


class Process:
    """A contender in its own process: started, asked for rounds one at a time, closed."""

    def __init__(self, python: str, name: str, case: Case, threads: int, seconds: float) -> None:
        self.threads = threads
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [python, str(HERE / "contender.py"), name, case.name]
        self.process = subprocess.Popen(
            [*command, "--threads", str(threads), "--seconds", str(seconds)],
            env=environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        try:
            self.setup = self._answer()
        except ContenderFailed:
            self.close()
            raise

    def turn(self, patience: float) -> tuple[float, float]:
        """(milliseconds a step, the median of the turn's blocks; how many cores other programs kept busy meanwhile).

        A disturbed turn is taken again for up to `patience` seconds, after which the least disturbed one counts.
        """
        assert self.process.stdin is not None
        start, attempts = time.perf_counter(), []
        while True:
            with Watch(self.process.pid, self.threads) as watch:
                self.process.stdin.write("turn\n")
                self.process.stdin.flush()
                ms = float(self._answer()["ms"])
            attempts.append((watch.others, ms))
            if watch.undisturbed or time.perf_counter() - start > patience:
                others, ms = min(attempts)
                return ms, others
            time.sleep(1)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return dict(json.loads(line))
        self.errors.seek(0)
        raise ContenderFailed((self.errors.read().decode(errors="replace").strip().splitlines() or ["no message"])[-1])


@dataclass
class Result:
    """One case at one number of threads: every contender's rounds, and why those without any have none."""

    case: Case
    threads: int
    rounds: dict[str, list[float]] = field(default_factory=dict)
    others: dict[str, list[float]] = field(default_factory=dict)  # cores that other programs kept busy, by round
    losses: dict[str, list[float]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def milliseconds(self, name: str) -> float:
        return statistics.median(self.rounds[name])

    def noise(self, name: str) -> float:
        """How far the rounds of a contender lie apart: (slowest - fastest) / median."""
        return (max(self.rounds[name]) - min(self.rounds[name])) / self.milliseconds(name)

    def fastest_rival(self) -> str | None:
        rivals = (name for name in self.rounds if name not in ("dlc", *DIFFERENT))
        return min(rivals, key=self.milliseconds, default=None)

    def ratio(self) -> float | None:
        """The median over the rounds of dlc / fastest rival; below 1 dlc is the faster one."""
        rival = self.fastest_rival()
        if rival is None or "dlc" not in self.rounds:
            return None
        return statistics.median(d / r for d, r in zip(self.rounds["dlc"], self.rounds[rival], strict=True))

    def gigaflops(self, name: str) -> float:
        return self.case.flops / self.milliseconds(name) / 1e6

    def disagreements(self) -> list[str]:
        """Contenders that do not train the same network: their losses differ from the first contender's."""
        reference = next(iter(self.losses))
        before, after = self.losses[reference]
        first = FIRST_TOLERANCE * abs(before)
        second = FIRST_TOLERANCE * abs(after) if self.case.predicts else LOSS_TOLERANCE * abs(before - after)
        return [
            f"{name}: losses {losses} against {[before, after]} of {reference}"
            for name, losses in self.losses.items()
            if name not in DIFFERENT and not (abs(losses[0] - before) <= first and abs(losses[1] - after) <= second)
        ]


def compare(case: Case, threads: int, names: list[str], args: argparse.Namespace) -> Result:
    """Starts all contenders, then lets them take turns; one that fails is left out with its reason."""
    result = Result(case, threads)
    running: dict[str, Process] = {}
    try:
        for name in names:
            python = sys.executable if name == "dlc" else args.rival_python
            try:
                running[name] = Process(python, name, case, threads, args.seconds)
            except ContenderFailed as failure:
                result.failures[name] = str(failure)
                continue
            result.losses[name] = running[name].setup["losses"]
            result.versions[name] = running[name].setup["version"]
            result.rounds[name], result.others[name] = [], []
        for _ in range(args.rounds):
            for name, process in running.items():
                ms, others = process.turn(args.patience)
                result.rounds[name].append(ms)
                result.others[name].append(others)
    finally:
        for process in running.values():
            process.close()
    return result


def measured_peaks(threads: list[int], patience: float) -> dict[int, float]:
    """GFLOP/s in float32 by number of threads; empty where this interpreter has no numba."""
    command = [sys.executable, str(HERE / "peak.py"), "--dtype", "float32", "--json", "-"]
    command += ["--threads", ",".join(map(str, threads)), "--patience", str(patience)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {}
    return {entry["threads"]: entry["best"] for entry in json.loads(done.stdout)}


def cpu_name() -> str:
    """The processor's model, from /proc where there is one (`platform.processor()` is often empty on Linux)."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def header(names: list[str]) -> str:
    columns = "".join(f"{name:>11}" for name in names)
    figures = f"{'dlc/fastest':>13}{'GFLOP/s':>9}{'of peak':>9}  {'whose':<9}{'noise':>6}{'others':>8}"
    return f"{'ms / step':<20}{columns}{figures}"


def row(result: Result, names: list[str], peak: float | None) -> str:
    """Milliseconds of each contender; GFLOP/s are dlc's, or the fastest rival's where dlc did not run."""
    columns = "".join(f"{result.milliseconds(n):>11.4f}" if n in result.rounds else f"{'-':>11}" for n in names)
    ratio = result.ratio()
    shown = "dlc" if "dlc" in result.rounds else result.fastest_rival()
    if shown is None:
        return f"{result.case.name:<20}{columns}"
    gigaflops = result.gigaflops(shown)
    share = f"{gigaflops / peak:.0%}" if peak else "-"
    noise = max(map(result.noise, result.rounds))
    others = max(map(statistics.median, result.others.values()))
    compared = f"{ratio:.3f}" if ratio is not None else "-"
    figures = f"{compared:>13}{gigaflops:>9.1f}{share:>9}  {shown:<9}{noise:>6.0%}{others:>8.2f}"
    return f"{result.case.name:<20}{columns}{figures}"


def as_data(result: Result, peak: float | None) -> dict[str, Any]:
    contenders = {
        name: {
            "ms": result.milliseconds(name),
            "rounds_ms": result.rounds[name],
            "noise": result.noise(name),
            "others_busy_cores": result.others[name],
            "gigaflops": result.gigaflops(name),
            "share_of_peak": result.gigaflops(name) / peak if peak else None,
            "losses": result.losses[name],
            "version": result.versions[name],
        }
        for name in result.rounds
    }
    summary = {"ratio": result.ratio(), "fastest_rival": result.fastest_rival(), "failures": result.failures}
    case = {key: value for key, value in vars(result.case).items() if key not in ("network", "outline")}
    return {"case": case, "threads": result.threads, "peak": peak, **summary, "contenders": contenders}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="whole training steps and predictions of dlc against torch and jax")
    parser.add_argument("--rival-python", default=sys.executable, help="the interpreter that has torch and jax")
    parser.add_argument("--only", default=",".join(CONTENDERS), help="contenders, by name (default: %(default)s)")
    parser.add_argument("--cases", default=",".join(TIMED), help="cases, by name (default: %(default)s)")
    parser.add_argument("--threads", default="1,2", help="numbers of threads (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a turn lasts (default: %(default)s)")
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds for which a turn that other programs disturb is repeated"
    )
    parser.add_argument("--json", metavar="FILE", help="write every figure there too")
    args = parser.parse_args()
    for option, chosen, known in (("--only", args.only, CONTENDERS), ("--cases", args.cases, CASES)):
        for name in chosen.split(","):
            if name not in known:
                parser.error(f"{option} {name}: choose from {', '.join(known)}")
    return args


def main() -> None:
    args = arguments()
    names, thread_counts = args.only.split(","), [int(t) for t in args.threads.split(",")]
    peaks = measured_peaks(thread_counts, args.patience)
    machine = {"cpu": cpu_name(), "system": platform.platform(), "cores": os.cpu_count()}
    data: dict[str, Any] = {"machine": machine, "rounds": args.rounds, "seconds": args.seconds, "results": []}
    for threads in thread_counts:
        peak = peaks.get(threads)
        print(f"\n{threads} thread(s), float32, measured peak {f'{peak:.0f} GFLOP/s' if peak else 'unknown'}")
        print(header(names), flush=True)
        for case in args.cases.split(","):
            result = compare(CASES[case], threads, [name for name in names if suits(name, CASES[case])], args)
            print(row(result, names, peak), flush=True)
            notes = [f"{name} did not run: {why}" for name, why in result.failures.items()]
            for note in notes + (result.disagreements() if result.losses else []):
                print(f"  ! {note}", file=sys.stderr, flush=True)
            data["results"].append(as_data(result, peak))
            if args.json:  # after every case, so that an interrupted comparison leaves what it has
                Path(args.json).write_text(json.dumps(data, indent=2), encoding="utf-8")
    if "dlc" in names:
        print("\ndlc's time includes shuffling the examples and gathering each batch; the rivals' batches lie ready.")


if __name__ == "__main__":
    main()
