"""The rivals: torch eager, torch.compile, jax.jit a step at a time, and jax.jit with a whole epoch in one `lax.scan`.

Each takes a case and the number of threads, and is a `Rival`: the step as an experienced user of that library would
write it for speed.  `_cl` means that images are stored with their channels last (torch's own order is channels first).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cases import CHECK_STEPS, Case


@dataclass(frozen=True)
class Rival:
    """One program, and the batches to feed it, laid out beforehand in the form it likes best.

    `step(x, y)` trains on one batch and returns its loss from before the update (a prediction: the loss of what it
    predicts); `wait` returns when all is computed. A rival that trains a whole epoch in one call has one "batch", the
    epoch, and says so in `steps_per_call`.
    """

    step: Callable[[Any, Any], Any]
    batches: list[tuple[Any, Any]]
    first: tuple[Any, Any]  # the first batch, in the form `step` takes
    version: str
    wait: Callable[[], object] = lambda: None
    steps_per_call: int = 1
    loss: Callable[[Any, Any], float] | None = None
    """Of a prediction's result, which no step computes."""

    def first_step(self) -> None:
        self.step(*self.first)
        self.wait()

    def check(self) -> tuple[float, float]:
        """The loss on the first batch, and the loss after `CHECK_STEPS` steps on nothing but that batch; of a
        prediction, the losses of the first two batches."""
        if self.loss is not None:
            first, second = (self.loss(self.step(x, y), y) for x, y in self.batches[:2])
            return first, second
        losses = [float(self.step(*self.first).mean()) for _ in range(CHECK_STEPS + 1)]
        return losses[0], losses[-1]

    def train(self, steps: int) -> int:
        """Trains for about so many steps, batch after batch in order; returns how many they were."""
        calls = max(1, steps // self.steps_per_call)
        for call in range(calls):
            self.step(*self.batches[call % len(self.batches)])
        self.wait()
        return calls * self.steps_per_call


def _by(module: str, function: str, **options: Any) -> Callable[[Case, int], Rival]:
    """The module, with the library that it imports, is loaded when the rival is made."""
    return lambda case, threads: getattr(importlib.import_module(module), function)(case, threads, **options)


RIVALS: dict[str, Callable[[Case, int], Rival]] = {
    "torch": _by("rivals_torch", "eager"),
    "torch_cl": _by("rivals_torch", "eager", channels_last=True),
    "torch_own": _by("rivals_torch", "eager", own=True),
    "compile": _by("rivals_torch", "compiled"),
    "compile_cl": _by("rivals_torch", "compiled", channels_last=True),
    "jax": _by("rivals_jax", "jit"),
    "jax_scan": _by("rivals_jax", "scan"),
}
