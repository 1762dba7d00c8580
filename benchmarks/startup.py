"""What happens around the training: compile times, start-up times, memory, and what an installation weighs.

    python benchmarks/startup.py --rival-python PATH [--cases NAME,…] [--only dlc,torch] [--json FILE]

cold     a whole process, from its start to the end of its first training step, with empty caches
warm     the same again, caches filled: the median of `--repeats`
compile  the part of the cold process that the warm one is spared
check    `dlc check` on the example of the handwritten digits, a whole process
memory   the largest resident set of a process that has trained for a moment, its examples included
step     the most that the first step adds to what the process held with the network and its examples made (Linux)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cases import CASES

HERE = Path(__file__).resolve().parent
CONTENDERS = {"dlc": "dlc", "torch": "torch", "compile": "torch", "jax": "jax"}  # by the package that they need
CACHES = ("DLC_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR")


@dataclass(frozen=True)
class Finished:
    """A process that ran to its end: what it printed, how long it took, and the most memory it or a child held."""

    output: str
    seconds: float
    bytes: int


class Failed(Exception):
    """A process ended with an error; the message is the last line that it wrote."""


def run(command: list[str], variables: dict[str, str] | None = None) -> Finished:
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, env={**os.environ, **(variables or {})}, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            raise Failed((errors.read().strip().splitlines() or ["no message"])[-1])
        unit = 1 if sys.platform == "darwin" else 1024
        return Finished(output.read(), seconds, usage.ru_maxrss * unit)


def start_of(name: str, case: str, python: str, repeats: int) -> dict[str, Any]:
    """Cold and warm start of a contender, in seconds, and its memory, in bytes, on one thread."""
    command = [python, str(HERE / "contender.py"), name, case]
    with tempfile.TemporaryDirectory() as folder:
        variables = dict.fromkeys(CACHES, folder) | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        variables["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        cold = run([*command, "--once"], variables)
        warm = [run([*command, "--once"], variables) for _ in range(repeats)]
        trained = run(command, variables)  # its standard input is empty, so that it warms up, trains, and leaves
    warm_seconds = statistics.median(process.seconds for process in warm)
    told = [json.loads(process.output) for process in warm]
    first_step, step_bytes = (
        statistics.median(each[key] for each in told) for key in ("first_step_seconds", "step_bytes")
    )
    return {
        "cold_seconds": cold.seconds,
        "warm_seconds": warm_seconds,
        "compile_seconds": json.loads(cold.output)["first_step_seconds"] - first_step,
        "peak_bytes": trained.bytes,
        "step_bytes": step_bytes,
    }


def check_seconds(repeats: int) -> float:
    """The whole process of `dlc check`, in seconds: the median of the repeats, after a first one to warm the disk."""
    beside = Path(sys.executable).parent / "dlc"
    dlc = str(beside) if beside.exists() else shutil.which("dlc")
    if dlc is None:
        raise Failed("there is no dlc command beside this interpreter or on the path")
    command = [dlc, "check", str(HERE.parent / "examples" / "digits" / "digits.dl")]
    return statistics.median([run(command).seconds for _ in range(repeats + 1)][1:])


def weight(package: str, python: str) -> dict[str, int]:
    """Bytes of each distribution in the closure of a package's requirements; empty where the package is missing."""
    return dict(json.loads(run([python, str(HERE / "installed.py"), package]).output))


def starts(case: str, names: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """Prints and returns the figures of one case."""
    print(f"\n{case}, 1 thread\n{'':<10}{'cold s':>8}{'warm s':>8}{'compile s':>11}{'memory MiB':>12}{'step MiB':>10}")
    results = {}
    for name in names:
        python = sys.executable if name == "dlc" else args.rival_python
        try:
            found = results[name] = start_of(name, case, python, args.repeats)
        except Failed as failure:
            print(f"{name:<10} did not run: {failure}", flush=True)
            continue
        times = "{cold_seconds:>8.2f}{warm_seconds:>8.2f}{compile_seconds:>11.2f}".format(**found)
        print(f"{name:<10}{times}{found['peak_bytes'] / 2**20:>12.0f}{found['step_bytes'] / 2**20:>10.0f}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="start-up, compile time, memory and size of dlc, torch and jax")
    parser.add_argument("--rival-python", default=sys.executable, help="the interpreter that has torch and jax")
    parser.add_argument("--only", default=",".join(CONTENDERS), help="contenders, by name (default: %(default)s)")
    parser.add_argument("--cases", default="mlp-128-adam", help="cases, by name (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="warm starts of each (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write every figure there too")
    args = parser.parse_args()
    names, cases = args.only.split(","), args.cases.split(",")
    if unknown := [case for case in cases if case not in CASES]:
        parser.error(f"--cases {', '.join(unknown)}: choose from {', '.join(CASES)}")
    if unknown := [name for name in names if name not in CONTENDERS]:
        parser.error(f"--only {', '.join(unknown)}: choose from {', '.join(CONTENDERS)}")

    results: dict[str, Any] = {"starts": {}}
    for case in cases:
        results["starts"][case] = starts(case, names, args)
    if "dlc" in names:
        try:
            results["check_seconds"] = check_seconds(args.repeats)
            print(f"\ndlc check: {results['check_seconds']:.3f} s")
        except Failed as failure:
            print(f"\ndlc check did not run: {failure}")

    print("\ninstalled MiB")
    results["installed_bytes"] = {}
    for package in dict.fromkeys(CONTENDERS[name] for name in names):
        sizes = weight(package, sys.executable if package == "dlc" else args.rival_python)
        results["installed_bytes"][package] = sizes
        largest = sorted(sizes, key=lambda name: -sizes[name])[:5]
        parts = ", ".join(f"{name} {sizes[name] / 2**20:.0f}" for name in largest)
        print(f"{package:<10}{sum(sizes.values()) / 2**20:>8.0f}  ({parts})")
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
