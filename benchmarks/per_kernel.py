"""Where the time of a training step (or prediction) goes: each kernel's milliseconds, GFLOP/s and share of peak.

    python benchmarks/per_kernel.py CASE [--threads 1] [--repeats 20] [--best] [--slowest 15] [--json FILE]

The generated program is run as it is, but for a look at the clock after every launch of a kernel. Medians over the
repeats; what stands between two launches counts for the one behind it. A launch in a loop (the steps of a scan) counts
as the sum over its steps. GFLOP/s count matrix products and convolutions.
"""

from __future__ import annotations

import argparse
import json
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import clock
import numpy as np
from cases import CASES, Case
from contender import pin
from contender_dlc import arrays, compiled
from numpy.typing import NDArray
from peak import measure

from dlc.compiler.codegen.arena import OVERHANG, aligned, number
from dlc.compiler.codegen.layout import dim_text
from dlc.compiler.codegen.module import Module, Piece
from dlc.compiler.codegen.program import Call
from dlc.compiler.ops import OPS, Contraction
from dlc.runtime.native import Native
from dlc.runtime.native_engine import generated


@dataclass(frozen=True)
class Measured:
    """One launch: the kernel's name, what it computes (the comment above the launch), operations of its products; over
    all `times` that it takes place in a step."""

    name: str
    equations: list[str]
    milliseconds: float
    flops: int
    times: int = 1

    @property
    def gigaflops(self) -> float:
        return self.flops / self.milliseconds / 1e6


def timed_program(module: Module, title: str) -> Module:
    """The same module, but its program looks at the clock at its start and after every launch, and adds what has passed
    to the launch's sum. The sums lie behind the transient part."""
    piece, count, room = module.programs[title], len(module.plans[title].calls), module.plans[title].plan.size.dim
    slots = {f"dim_{symbol.name}": f"dim {symbol.name}" for symbol in room.symbols if symbol.kind == "runtime"}
    lines, launches = [], 0
    for line in piece.text.splitlines():
        lines.append(line)
        indent = line[: len(line) - len(line.lstrip())]
        if line.lstrip().startswith("M = "):
            for size, slot in slots.items():
                lines.append(f"{indent}{size} = int64_at(persistent)[{module.persistent.numbers[slot]}]")
            lines.append(f"{indent}clock = transient + {dim_text(room, 'M')}")
            lines.append(f"{indent}start(clock, {count})")
        if line.lstrip().startswith("launch("):
            lines.append(f"{indent}lap(clock, {launches})")
            launches += 1
    assert launches == count
    timed = Piece(piece.name, "\n".join(lines) + "\n", (*piece.above, "from clock import lap, start"), piece.needs)
    return replace(module, programs={**module.programs, title: timed})


def inputs_of(case: Case) -> dict[str, NDArray[Any]]:
    """The first batch, examples first."""
    found, axes = arrays(case)
    return {name: np.ascontiguousarray(np.moveaxis(a, axes[name], 0)[: case.batch]) for name, a in found.items()}


def times_of(case: Case, threads: int, repeats: int, best: bool = False) -> list[Measured]:
    """Every launch in the order of the program; with `best` each one's fastest repeat counts."""
    model = compiled(case, threads)
    title = "forward" if case.predicts else "train"
    module = generated(model.spec.checked, model.main.programs, "float32")
    calls = module.plans[title].calls
    native = Native(timed_program(module, title), threads=threads)
    for name, array in {**model.params, **model.state}.items():
        (native.parameters if name in native.parameters else native.states)[name][...] = array
    m = case.batch
    given, dims = model.engine.given(title, inputs_of(case))
    native.resize(m, dims)
    end = number(module.tables.programs[title].bytes, native.sizes)
    native.transient = aligned(end + OVERHANG + clock.size(len(calls)))
    durations = []
    with native.pool:  # its threads stay awake between two steps, as in training
        for step in range(1, repeats + 4):
            native.run(title, given, m, dict.fromkeys(("t", "step", "epoch"), float(step)), step, dims)
            nanoseconds, times = clock.laps(native.transient[end:], len(calls))
            durations.append(nanoseconds / 1e6)
    counted = (np.min if best else np.median)(durations[3:], axis=0)
    shown = equations(module.programs[title].text)
    return [
        Measured(call.name, lines, float(ms), int(often) * operations(call, native.sizes), int(often))
        for call, lines, ms, often in zip(calls, shown, counted, times, strict=True)
    ]


def equations(text: str) -> list[list[str]]:
    """The comments above each launch of a program."""
    found, above = [], []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("#"):
            above.append(line[1:].strip())
        elif line.startswith("launch("):
            found.append(above)
            above = []
    return found


def operations(call: Call, sizes: Mapping[str, int]) -> int:
    """The operations of the products and convolutions of a kernel, for m and the run-time dimensions by name; a sum
    that it only gathers was computed before."""
    group = call.group
    nodes = {*group.computed, group.anchor} - {None, group.gathers}
    work = [OPS[node.op].work(node) for node in nodes if isinstance(OPS[node.op], Contraction)]
    return sum(math.ceil(dim.evaluate({symbol: sizes[symbol.name] for symbol in dim.symbols})) for dim in work)


def main() -> None:
    parser = argparse.ArgumentParser(description="the kernels of a training step, one by one")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--best", action="store_true", help="of the repeats, on a machine that is not all yours")
    parser.add_argument("--slowest", type=int, metavar="N", help="show the N that take longest, longest first")
    parser.add_argument("--peak", type=float, help="GFLOP/s of the machine, measured in a quieter minute")
    parser.add_argument("--json", metavar="FILE", help="write every figure there too")
    args = parser.parse_args()
    pin(args.threads)
    case = CASES[args.case]
    peak = args.peak or measure(args.threads, "float32", 0.0)["best"]
    measured = times_of(case, args.threads, args.repeats, args.best)
    total = sum(each.milliseconds for each in measured)
    gigaflops = sum(each.flops for each in measured) / total / 1e6
    print(f"{case.name}, {args.threads} thread(s), measured peak {peak:.0f} GFLOP/s")
    launches = sum(each.times for each in measured)
    rate = f"{gigaflops:.1f} GFLOP/s, {gigaflops / peak:.0%} of peak"
    print(f"{total:.3f} ms in {launches} launches of {len(measured)} kernels: {rate}\n")
    print(f"{'ms':>9}{'of step':>9}{'GFLOP/s':>9}{'of peak':>9}{'times':>6}  computes")
    shown = sorted(measured, key=lambda each: -each.milliseconds)[: args.slowest] if args.slowest else measured
    for each in shown:
        rate = f"{each.gigaflops:>9.1f}{each.gigaflops / peak:>9.0%}" if each.flops else f"{'':>18}"
        words = textwrap.shorten("; ".join(each.equations) or each.name, 110, placeholder=" …")
        print(f"{each.milliseconds:>9.4f}{each.milliseconds / total:>9.1%}{rate}{each.times:>6}  {words}")
    if args.json:
        figures = [
            {**vars(each), "gigaflops": each.gigaflops, "share_of_peak": each.gigaflops / peak} for each in measured
        ]
        data = {"case": case.name, "threads": args.threads, "peak": peak, "launches": figures}
        Path(args.json).write_text(json.dumps(data, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
