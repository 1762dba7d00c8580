"""The share of the machine's peak that the convolutions of known networks reach: y, dx and dW, layer by layer.

    python benchmarks/convolutions.py [--dtype float64] [--only resnet20,unet] [--products y,dx]

One thread, several examples one after the other with the same filters, as in a training step; ResNet-50 with one, as in
prediction. A multiply-add with an image place that does not exist (padding) does not count. Measured in processor time
by the upper quartile of several rounds, each beside a loop of multiply-adds in registers, the peak; `compile` is the
processor time for compiling the kernel in ms.

What limits a layer:

- few channels out fill a vector in part: 6 of 8 lanes, 24 of 32 (lenet y and dx, mobilenet 144 -> 24);
- one channel in makes sums of 5 terms a row of the window, each tile is stored after 25 (lenet 28x28x1);
- filters of many megabytes on a 7x7 image come from beyond the second cache, and one example uses each of them only 49
  times (resnet50 512 -> 512: more examples at once do better);
- 1x1 windows on few channels read and write more than they compute (mobilenet 48x48x16 -> 96).

The gradient of the first layer's input is measured as well, though training does not need it.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matmul import multiply_adds, rate  # isort: skip

import numpy as np

from dlc.compiler.codegen.host import convolution
from dlc.compiler.codegen.host.kernels import kernel
from dlc.compiler.codegen.host.machine import Dtype, host

ROUNDS = 9


@dataclass(frozen=True)
class Layer:
    """A square image of `size` places and c_in channels, under `window` x `window` filters."""

    network: str
    size: int
    c_in: int
    c_out: int
    window: int
    stride: int = 1
    pad: int = 0
    examples: int = 8

    @property
    def result(self) -> int:
        return (self.size + 2 * self.pad - self.window) // self.stride + 1

    @property
    def multiply_adds(self) -> int:
        """Of one example: over both axes, the pairs of a result place and a tap whose image place exists."""
        pairs = sum(
            0 <= i * self.stride - self.pad + k < self.size for i in range(self.result) for k in range(self.window)
        )
        return pairs**2 * self.c_in * self.c_out

    @property
    def static(self) -> dict[str, Any]:
        return {
            "image": (self.size, self.size, self.c_in),
            "result": (self.result, self.result, self.c_out),
            "window": (self.window, self.window),
            "stride": (self.stride, self.stride),
            "before": (self.pad, self.pad),
            "filter_row": self.window * self.c_in * self.c_out,
        }

    def __str__(self) -> str:
        filters = f"{self.window}x{self.window}" + (f"/{self.stride}" if self.stride > 1 else "")
        return f"{self.network} {self.size}x{self.size}x{self.c_in} {filters} -> {self.c_out}"


LAYERS = [
    Layer("lenet", 28, 1, 6, 5, pad=2, examples=32),
    Layer("lenet", 14, 6, 16, 5, examples=32),
    Layer("resnet20", 32, 3, 16, 3, pad=1),
    Layer("resnet20", 32, 16, 16, 3, pad=1),
    Layer("resnet20", 32, 16, 32, 3, stride=2, pad=1),
    Layer("resnet20", 16, 32, 32, 3, pad=1),
    Layer("resnet20", 16, 32, 64, 3, stride=2, pad=1),
    Layer("resnet20", 8, 64, 64, 3, pad=1),
    Layer("resnet50", 224, 3, 64, 7, stride=2, pad=3, examples=1),
    Layer("resnet50", 56, 64, 64, 3, pad=1, examples=1),
    Layer("resnet50", 28, 128, 128, 3, pad=1, examples=1),
    Layer("resnet50", 14, 256, 256, 3, pad=1, examples=1),
    Layer("resnet50", 7, 512, 512, 3, pad=1, examples=1),
    Layer("resnet50", 56, 64, 256, 1, examples=1),
    Layer("resnet50", 56, 256, 64, 1, examples=1),
    Layer("resnet50", 14, 1024, 256, 1, examples=1),
    Layer("resnet50", 7, 512, 2048, 1, examples=1),
    Layer("unet", 128, 3, 32, 3, pad=1, examples=2),
    Layer("unet", 128, 32, 32, 3, pad=1, examples=2),
    Layer("unet", 32, 128, 128, 3, pad=1, examples=2),
    Layer("unet", 8, 512, 512, 3, pad=1, examples=2),
    Layer("mobilenet", 48, 16, 96, 1),
    Layer("mobilenet", 24, 144, 24, 1),
    Layer("mobilenet", 6, 160, 960, 1),
    Layer("mobilenet", 3, 320, 1280, 1),
]


def aligned(size: int, dtype: Dtype, rng: np.random.Generator) -> Any:
    """Random numbers that start at a line of the cache, with a line more than asked for."""
    flat = rng.standard_normal(size + 32).astype(dtype)
    return flat[-flat.ctypes.data % 64 // flat.itemsize :]


def y_of(layer: Layer, dtype: Dtype) -> Any:
    """Jitted: y of all examples from x and W."""
    rows = convolution.convolve_rows(dtype, **layer.static)
    examples, result = layer.examples, layer.result

    @kernel("void(intp, intp, intp)", cache=False)
    def run(x: int, w: int, y: int) -> None:
        rows(x, w, y, 0, examples * result)

    return run


def dx_of(layer: Layer, dtype: Dtype) -> Any:
    """Jitted: dx of all examples, from dy and W."""
    rows = convolution.input_gradient_rows(dtype, **layer.static)
    examples, size = layer.examples, layer.size

    @kernel("void(intp, intp, intp)", cache=False)
    def run(dx: int, w: int, dy: int) -> None:
        rows(dy, w, dx, 0, examples * size)

    return run


def dw_of(layer: Layer, dtype: Dtype) -> Any:
    """Jitted: dW of all examples, from x and dy."""
    rows = convolution.filter_gradient_rows(dtype, **layer.static)
    examples, result = layer.examples, layer.result

    @kernel("void(intp, intp, intp)", cache=False)
    def run(x: int, dw: int, dy: int) -> None:
        rows(x, dy, dw, 0, examples * result)

    return run


PRODUCTS: dict[str, Callable[[Layer, Dtype], Any]] = {"y": y_of, "dx": dx_of, "dW": dw_of}


def measured(layer: Layer, product: str, dtype: Dtype) -> tuple[Callable[[], float], float]:
    """The rate of one product, in operations a second, and the seconds to compile it."""
    begin = time.thread_time()
    run = PRODUCTS[product](layer, dtype)
    _ = run.address
    compiled = time.thread_time() - begin
    rng = np.random.default_rng(0)
    x = aligned(layer.examples * layer.size**2 * layer.c_in, dtype, rng)
    w = aligned(layer.window**2 * layer.c_in * layer.c_out, dtype, rng)
    y = aligned(layer.examples * layer.result**2 * layer.c_out, dtype, rng)
    operations = 2.0 * layer.examples * layer.multiply_adds
    times = max(1, math.ceil(3e8 / operations))

    def work() -> None:
        for _ in range(times):
            run(x.ctypes.data, w.ctypes.data, y.ctypes.data)

    return rate(work, operations * times), compiled


def main() -> None:
    parser = argparse.ArgumentParser(description="convolutions by layer, as shares of the machine's peak")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--only", help="networks, with commas between them")
    parser.add_argument("--products", default=",".join(PRODUCTS))
    args = parser.parse_args()
    wanted = args.only.split(",") if args.only else {layer.network for layer in LAYERS}
    products = args.products.split(",")
    peak, cpu = multiply_adds(args.dtype), host()
    print(f"{cpu.name}, {cpu.lanes(args.dtype)} lanes of {args.dtype}, one thread")
    heads = "".join(f"{name + ' GFLOP/s':>12} {'of peak':>8} {'compile':>8}" for name in products)
    print(f"{'layer':>36} {heads}")
    for layer in LAYERS:
        if layer.network not in wanted:
            continue
        made = [measured(layer, product, args.dtype) for product in products]
        rounds = [[peak(), *(candidate() for candidate, _ in made)] for _ in range(ROUNDS)]
        best, *rates = np.percentile(rounds, 75, axis=0)
        cells = (
            f"{ours / 1e9:>12.1f} {ours / best:>8.1%} {1e3 * compiled:>8.0f}"
            for ours, (_, compiled) in zip(rates, made, strict=True)
        )
        print(f"{layer!s:>36} {''.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
