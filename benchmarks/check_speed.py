"""How long a check takes: whole processes of `dlc check`, and the check of an edited text inside one process.

    python benchmarks/check_speed.py [SPEC …] [--runs 15] [--against SRC] [--long 10000]

process  processor time (user and system) of `python -m dlc check SPEC`, and its time by the clock
edit     `check(path, text=…)` of the text with another comment in it and the name of one line changed, in one process
long     a generated model of so many lines, a whole process

Medians. `--against` is the `src` folder of another checkout: its processes run in turn with this one's, so that both
meet the same load. Whatever is measured has been run once before, so byte code is written.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPECS = [ROOT / "specs" / "convolution" / f"{name}.dl" for name in ("lenet5", "resnet50", "resnet152")]


def process(spec: Path, source: Path) -> tuple[float, float]:
    """(processor time, time by the clock) of one check, in milliseconds."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "dlc", "check", "--quiet", str(spec)],
        env={**environment, "PYTHONPATH": str(source)},
        cwd=tempfile.gettempdir(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used * 1e3, seconds * 1e3


def processes(spec: Path, sources: list[Path], runs: int) -> list[str]:
    """For each source tree its medians, the trees in turn."""
    times: dict[Path, list[tuple[float, float]]] = {source: [] for source in sources}
    for number in range(runs + 1):
        for source in sources:
            measured = process(spec, source)
            if number:
                times[source].append(measured)
    medians = [[statistics.median(column) for column in zip(*times[source], strict=True)] for source in sources]
    return [f"{processor:8.0f} {clock:8.0f}" for processor, clock in medians]


def edits(spec: Path, runs: int) -> float:
    """The median of checks of a text that differs from the one before, in milliseconds of processor time."""
    from dlc.compiler.driver import check

    text = spec.read_text("utf-8")
    times = []
    for number in range(runs + 1):
        edited = f"# edit {number}\n{text.replace('Y_hat', f'Y_hat_{number}')}"
        start = time.process_time()
        result = check(spec, text=edited)
        times.append((time.process_time() - start) * 1e3)
        assert result.checked is not None, [diagnostic.message for diagnostic in result.diagnostics]
    return statistics.median(times[1:])


def long_model(lines: int) -> str:
    """A model of so many lines, each reading the one before."""
    head = "model Long:\n    input X : (4, m)\n    target Y : (4, m)\n    A[0] = X\n"
    last = lines - 6
    body = "".join(f"    A[{n}] = relu(A[{n - 1}] + {n})\n" for n in range(1, last + 1))
    return f"{head}{body}    loss squared_error(A[{last}], Y)\n    output P = A[{last}]\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="*", type=Path, default=SPECS)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--long", type=int, default=10_000)
    given = parser.parse_args()
    sources = [ROOT / "src", *([given.against.resolve()] if given.against else [])]
    print(f"milliseconds: processor, clock{'; then the same of the other checkout' if given.against else ''}; one edit")
    for spec in given.specs:
        shown = "  |".join(processes(spec.resolve(), sources, given.runs))
        print(f"{spec.stem:<24}{shown}{edits(spec.resolve(), given.runs):10.0f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / f"{given.long:,} lines.dl"
        spec.write_text(long_model(given.long), "utf-8")
        print(f"{spec.stem:<24}{'  |'.join(processes(spec, sources, min(given.runs, 3)))}")


if __name__ == "__main__":
    main()
