"""What a training shows while it runs: a bar with the live loss on a terminal, lines elsewhere, nothing with -q."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlc.runtime.metrics import shown

if TYPE_CHECKING:
    from dlc.runtime.cli.options import Common
    from dlc.runtime.train import EpochRecord, Progress, Training

FEW_EPOCHS = 100
"""Up to so many, each has a line; of more, one a second."""


def epoch_line(record: EpochRecord, epochs: int | None, regularized: bool) -> str:
    """`epoch  3/30   loss 0.4321   dev loss 0.3987   accuracy 0.9000   *` (the star: the best so far)"""
    number = f"{record.epoch:>{len(str(epochs))}}/{epochs}" if epochs is not None else f"{record.epoch:>4}"
    train = {name: value for name, value in record.train.items() if name != "cost" or regularized}
    parts = [f"epoch {number}", *_pairs(train, ""), *_pairs(record.dev, "dev ")]
    return "   ".join(parts) + ("   *" if record.improved and record.dev else "")


def _pairs(values: Mapping[str, float], prefix: str) -> list[str]:
    """The first name says which split it is; the others follow it."""
    return [f"{prefix if i == 0 else ''}{name} {shown(value)}" for i, (name, value) in enumerate(values.items())]


class Display:
    """Shows batches and epochs on stderr. Use it as a context; `note` prints a line above the bar."""

    def __init__(self, common: Common, training: Training) -> None:
        self.quiet = common.quiet
        self.training = training
        self.regularized = bool(training.settings.regularize)
        self.terminal = sys.stderr.isatty() and not common.quiet
        self._color = common.colored(sys.stderr)
        self._bar: Any = None
        self._task: Any = None
        self._last: EpochRecord | None = None
        self._told = 0.0

    def __enter__(self) -> Display:
        if self.terminal:
            self._start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True, no_color=not self._color)
        live = TextColumn("{task.fields[live]}")
        columns = (TextColumn("{task.description}"), BarColumn(None), live, TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, refresh_per_second=8, transient=True)
        start = self.training.progress.step
        self._task = self._bar.add_task("compiling", total=self.training.planned_steps, completed=start, live="")
        self._bar.start()

    def note(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self._print(text)

    def batches(self, progress: Progress) -> None:
        """Some batches are done."""
        if self._bar is None:
            return
        m = max(progress.totals.examples, 1)
        dev = "   ".join(_pairs(self._last.dev, "dev ")) if self._last is not None else ""
        epochs = f"/{self.training.epochs}" if self.training.epochs is not None else ""
        live = f"loss {shown(progress.totals.loss / m)}" + (f"   {dev}" if dev else "")
        description = f"epoch {progress.epoch + 1}{epochs}"
        self._bar.update(self._task, completed=progress.step, description=description, live=live)

    def epoch(self, record: EpochRecord) -> None:
        """An epoch is done."""
        self._last = record
        if self.quiet or self.terminal:
            return
        last = self.training.progress.step >= self.training.planned_steps
        few = self.training.epochs is not None and self.training.epochs <= FEW_EPOCHS
        if few or last or time.monotonic() - self._told >= 1:
            self._told = time.monotonic()
            self._print(epoch_line(record, self.training.epochs, self.regularized))

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)
