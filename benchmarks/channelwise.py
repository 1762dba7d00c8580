"""Depthwise convolutions and pooling, kernel by kernel, against torch in both memory formats.

    python benchmarks/channelwise.py [--only depthwise|pooling] [--cases 24x24x144] [--rounds 15] [--json FILE]

Needs a Python that has dlc and torch. All is measured on one thread and in processor time; dlc and torch take turns, a
turn is some milliseconds of calls, and a ratio is the median over the rounds of dlc's time divided by the faster of
torch's two. `GB/s` counts every operand and every result once, so it cannot exceed what the memory gives: at batch 8
most cases lie in the outer caches.
"""

# ruff: noqa: E402 - the libraries read how many threads they may use when they are loaded

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np
import torch
import torch.nn.functional as F

from dlc.compiler.codegen.host import depthwise, pooling
from dlc.compiler.codegen.host.kernels import kernel as compiled

BATCH = 8
TURN = 0.03  # seconds


class Case(NamedTuple):
    """A square image of `side` places and C channels, a window, its stride, and the padding on both sides."""

    side: int
    channels: int
    window: int
    stride: int
    pad: int

    @property
    def label(self) -> str:
        return f"{self.side}x{self.side}x{self.channels} {self.window}x{self.window}/{self.stride}"

    @property
    def image(self) -> tuple[int, int, int]:
        return self.side, self.side, self.channels

    @property
    def result(self) -> tuple[int, int, int]:
        side = (self.side + 2 * self.pad - self.window) // self.stride + 1
        return side, side, self.channels

    @property
    def sizes(self) -> dict[str, Any]:
        pair = {"window": self.window, "stride": self.stride, "before": self.pad}
        return {"image": self.image, "result": self.result, **{name: (size, size) for name, size in pair.items()}}


SHAPES = [(112, 32, 1), (56, 96, 2), (48, 96, 1), (24, 144, 1), (12, 384, 1), (6, 960, 1)]
DEPTHWISE = [Case(side, c, k, s, k // 2) for k in (3, 5) for side, c, s in SHAPES]
POOLING = [Case(28, 6, 2, 2, 0), Case(10, 16, 2, 2, 0), Case(128, 32, 2, 2, 0), Case(32, 128, 2, 2, 0),
           Case(112, 64, 3, 2, 1), Case(28, 192, 3, 1, 1), Case(55, 96, 3, 2, 0), Case(7, 1280, 7, 7, 0)]  # fmt: skip

Work = Callable[[], object]


class Contest(NamedTuple):
    """What one line of the table compares."""

    label: str
    ours: Work
    rivals: list[Work]
    check: Callable[[], float]
    """The largest difference from torch's result."""
    bytes: int


def aligned(values: Any) -> Any:
    """The same numbers, from a line of the cache on, as in a program's own memory."""
    flat = np.empty(values.size + 16, "float32")
    skipped = -flat.ctypes.data % 64 // flat.itemsize
    flat[skipped : skipped + values.size] = values.ravel()
    return flat[skipped : skipped + values.size].reshape(values.shape)


def over_batch(kernel: Any, steps: list[int], rows: int) -> Any:
    """The kernel on every example: its i-th operand moves by steps[i] bytes."""
    if len(steps) == 2:
        a, b = steps

        @compiled("void(intp, intp, intp)", cache=False)
        def two(x: int, y: int, _: int) -> None:
            for n in range(BATCH):
                kernel(x + n * a, y + n * b, 0, rows)

        return two
    a, b, c = steps

    @compiled("void(intp, intp, intp)", cache=False)
    def three(x: int, y: int, z: int) -> None:
        for n in range(BATCH):
            kernel(x + n * a, y + n * b, z + n * c, 0, rows)

    return three


def channels_first(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 1)))


def both_formats(*tensors: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    return [tensors, tuple(t.contiguous(memory_format=torch.channels_last) for t in tensors)]


def difference(made: Any, tensor: torch.Tensor) -> float:
    theirs = np.moveaxis(tensor.numpy(), 1, -1)
    return float(abs(made.reshape(theirs.shape) - theirs).max() / abs(theirs).max())


def depthwise_contests(case: Case) -> list[Contest]:
    rng, k, c = np.random.default_rng(0), case.window, case.channels
    shapes = (BATCH, *case.image), (k, k, c), (BATCH, *case.result)
    x, w, dy = (aligned(rng.standard_normal(shape)) for shape in shapes)
    dx, dw, y = (aligned(np.zeros(shape)) for shape in shapes)
    same: dict[str, Any] = {**case.sizes, "groups": c, "filter_row": k * c}
    image, result = x[0].nbytes, dy[0].nbytes
    rows, image_rows = case.result[0], case.image[0]
    forward = over_batch(depthwise.depthwise_rows("float32", **same), [image, 0, result], rows)
    back = over_batch(depthwise.depthwise_input_gradient_rows("float32", **same), [result, 0, image], image_rows)
    filters = over_batch(depthwise.depthwise_filter_gradient_rows("float32", **same), [image, result, 0], rows)
    operands = both_formats(channels_first(x), channels_first(w[None])[0][:, None], channels_first(dy))
    sizes = [c], [case.stride] * 2, [case.pad] * 2, [1, 1], False, [0, 0], c

    def theirs(part: str) -> list[Work]:
        if part == "forward":
            return [lambda x=x, w=w: F.conv2d(x, w, None, case.stride, case.pad, 1, c) for x, w, _ in operands]
        mask = [part == "dx", part == "dw", False]
        call = torch.ops.aten.convolution_backward
        return [lambda x=x, w=w, dy=dy: call(dy, x, w, *sizes, mask)[mask.index(True)] for x, w, dy in operands]

    def filter_gradient() -> None:
        dw[...] = 0
        filters(x.ctypes.data, dy.ctypes.data, dw.ctypes.data)

    moved = x.nbytes + y.nbytes
    return [
        Contest(f"{case.label} forward", lambda: forward(x.ctypes.data, w.ctypes.data, y.ctypes.data),
                theirs("forward"), lambda: difference(y, theirs("forward")[0]()), moved),
        Contest(f"{case.label} dx", lambda: back(dy.ctypes.data, w.ctypes.data, dx.ctypes.data), theirs("dx"),
                lambda: difference(dx, theirs("dx")[0]()), moved),
        Contest(f"{case.label} dw", filter_gradient, theirs("dw"),
                lambda: difference(dw[None], theirs("dw")[0]().movedim(1, 0)), moved),
    ]  # fmt: skip


def pooling_contests(case: Case) -> list[Contest]:
    rng = np.random.default_rng(0)
    shapes = (BATCH, *case.image), (BATCH, *case.result)
    x, dy = (aligned(rng.standard_normal(shape)) for shape in shapes)
    dx, y = (aligned(np.zeros(shape)) for shape in shapes)
    image, result, window = x[0].nbytes, dy[0].nbytes, (case.window, case.stride, case.pad)
    operands = both_formats(channels_first(x), channels_first(dy))
    maxima = torch.ops.aten.max_pool2d_with_indices
    chosen = [maxima(x, *[[size, size] for size in window])[1] for x, _ in operands]
    pairs = [[size, size] for size in window]
    back_of_max, back_of_mean = torch.ops.aten.max_pool2d_with_indices_backward, torch.ops.aten.avg_pool2d_backward
    theirs: dict[str, list[Work]] = {
        "max": [lambda x=x: maxima(x, *pairs)[0] for x, _ in operands],
        "max back": [
            lambda x=x, dy=dy, at=at: back_of_max(dy, x, *pairs, [1, 1], False, at)
            for (x, dy), at in zip(operands, chosen, strict=True)
        ],
        "sum": [lambda x=x: F.avg_pool2d(x, *window, divisor_override=1) for x, _ in operands],
        "sum back": [lambda x=x, dy=dy: back_of_mean(dy, x, *pairs, False, True, 1) for x, dy in operands],
    }  # fmt: skip
    forward = {
        fold: over_batch(pooling.pool_rows("float32", fold, **case.sizes), [image, result], case.result[0])
        for fold in ("max", "sum")
    }
    back = over_batch(pooling.pool_gradient_rows("float32", "max", **case.sizes), [image, result, image], case.image[0])
    spread = over_batch(pooling.pool_gradient_rows("float32", "sum", **case.sizes), [result, image], case.image[0])
    ours: dict[str, Work] = {
        "max": lambda: forward["max"](x.ctypes.data, y.ctypes.data, 0),
        "max back": lambda: back(x.ctypes.data, dy.ctypes.data, dx.ctypes.data),
        "sum": lambda: forward["sum"](x.ctypes.data, y.ctypes.data, 0),
        "sum back": lambda: spread(dy.ctypes.data, dx.ctypes.data, 0),
    }
    return [
        Contest(f"{case.label} {part}", ours[part], theirs[part],
                lambda part=part: difference(dx if "back" in part else y, theirs[part][0]()),
                x.nbytes * (2 if part == "max back" else 1) + y.nbytes)
        for part in ours
    ]  # fmt: skip


def turn(work: Work, times: int) -> float:
    begin = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - begin) / times


def compare(contest: Contest, rounds: int) -> dict[str, Any]:
    contest.ours()
    wrong = contest.check()
    works = [contest.ours, *contest.rivals]
    times = [max(1, round(TURN / max(turn(work, 2), 1e-7))) for work in works]
    turns = [[turn(work, often) for work, often in zip(works, times, strict=True)] for _ in range(rounds)]
    ours, first, last = (statistics.median(each) for each in zip(*turns, strict=True))
    return {
        "case": contest.label, "ms": 1e3 * ours, "torch": 1e3 * first, "channels_last": 1e3 * last,
        "ratio": statistics.median(mine / min(others) for mine, *others in turns),
        "GB/s": contest.bytes / ours / 1e9, "difference": wrong,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=["depthwise", "pooling"])
    parser.add_argument("--cases", default="", help="part of a case's name")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    kinds = {"depthwise": (depthwise_contests, DEPTHWISE), "pooling": (pooling_contests, POOLING)}
    print(f"{'batch ' + str(BATCH):>28} {'ms':>8} {'torch':>8} {'ch.last':>8} {'ratio':>7} {'GB/s':>7} {'off by':>8}")
    results = []
    for kind, (contests, cases) in kinds.items():
        for case in cases if args.only in (None, kind) else []:
            for contest in contests(case) if args.cases in case.label else []:
                made = compare(contest, args.rounds)
                results.append(made)
                print(
                    "{case:>28} {ms:>8.3f} {torch:>8.3f} {channels_last:>8.3f} {ratio:>7.2f} {GB/s:>7.1f} "
                    "{difference:>8.1e}".format(**made),
                    flush=True,
                )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=2)


if __name__ == "__main__":
    main()
