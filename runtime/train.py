"""The training loop: epochs of seeded batches, the best checkpoint, early stopping, and an end in good order.

Everything random is a function of the seed and of a count (the epoch for the order of the examples, the step for the
draws), and the counts are part of every checkpoint. So a run that was interrupted anywhere goes on to the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.driver import Programs
from dlc.compiler.program import CheckedModel
from dlc.compiler.settings import EarlyStop, TrainSettings
from dlc.runtime.buckets import bucketed
from dlc.runtime.data.columns import Columns, as_array
from dlc.runtime.data.sequences import is_ragged, total_steps
from dlc.runtime.engine import Engine, Totals, example_count, rows_of
from dlc.runtime.feeding import Feed, Group, batches_of_block, needs_feed
from dlc.runtime.metrics import BATCH, measure

Array = NDArray[Any]
End = Literal["finished", "stopped early", "interrupted", "diverged"]

CALL_FLOPS = 2e9
"""Arithmetic of one call of the engine: a few hundredths of a second, so that a progress bar and Ctrl-C answer."""
MOST_BATCHES = 2000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training is. `epoch` counts whole epochs, `batch` the batches of the one that is going on, `step` all
    updates; `totals` sums the losses of the epoch so far. `waited` counts epochs since the best one."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    totals: Totals = field(default_factory=Totals)
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Progress:
        """The inverse of `as_json`. Raises TypeError or KeyError for a record of another form."""
        return Progress(**{**record, "totals": Totals(**record["totals"])})


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of `metrics.jsonl`. `train` has `loss` and `cost`, `dev` the loss and metrics (empty without a dev
    split); `improved` says that this epoch is the best so far."""

    epoch: int
    step: int
    train: Mapping[str, float]
    dev: Mapping[str, float]
    seconds: float
    improved: bool

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "train": _finite(self.train), "dev": _finite(self.dev)}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of everything that training changes."""

    progress: Progress
    parameters: Mapping[str, Array]
    states: Mapping[str, Array]
    slots: Mapping[str, Array]

    @staticmethod
    def of(engine: Engine, progress: Progress) -> Snapshot:
        groups = (engine.parameters, engine.states, engine.slots)
        return Snapshot(progress, *({name: np.array(array) for name, array in group.items()} for group in groups))

    def restore(self, engine: Engine) -> None:
        """Writes the copy back into the engine's memory."""
        for kept, memory in (
            (self.parameters, engine.parameters),
            (self.states, engine.states),
            (self.slots, engine.slots),
        ):
            for name, array in kept.items():
                memory[name][...] = array


class Observer(Protocol):
    """Who watches a training: the command's progress bar and run folder, or nobody."""

    def on_batches(self, progress: Progress, of: int) -> None:
        """Some of the `of` batches of an epoch are done."""
        ...

    def on_epoch(self, record: EpochRecord, training: Training) -> None:
        """An epoch is done and measured."""
        ...


class Nobody:
    """Watches nothing."""

    def on_batches(self, progress: Progress, of: int) -> None:
        pass

    def on_epoch(self, record: EpochRecord, training: Training) -> None:
        pass


@dataclass(frozen=True, slots=True)
class History:
    """What a training went through. `epochs` has a record for each epoch that was finished."""

    end: End
    progress: Progress
    epochs: tuple[EpochRecord, ...]

    def __getitem__(self, name: str) -> list[float]:
        """A curve by name: `history["train.loss"]`, `history["dev.accuracy"]`."""
        split, _, measured = name.partition(".")
        return [getattr(record, split)[measured] for record in self.epochs]


@dataclass(slots=True)
class Training:
    """One training, from `progress` to its end. `run` may be called once.

    It ends after `epochs` epochs or `steps` steps in all, those before `progress` counted. The length, the optimizer
    and the seed of `settings` are not read: the engine has the optimizer in it.
    """

    engine: Engine
    checked: CheckedModel
    programs: Programs
    settings: TrainSettings
    seed: int
    data: Columns
    epochs: int | None
    steps: int | None = None
    dev: Columns | None = None
    progress: Progress = field(default_factory=Progress)
    observer: Observer = field(default_factory=Nobody)
    best: Snapshot | None = None
    threads: int = 1
    """Those that make batches in the background, where there is something to be made."""
    stop_requested: bool = False
    """Set from a signal handler: training ends after the batches that are being computed."""
    records: list[EpochRecord] = field(default_factory=list)
    examples: int = field(init=False)
    batch: int = field(init=False)
    batches: int = field(init=False)
    """Batches of an epoch."""
    group: int = field(init=False)
    """Batches of a call of the engine."""
    _steps: NDArray[np.int64] | None = None
    """Of each example, where the lengths differ."""
    _good: Snapshot | None = None
    _feed: Feed | None = None

    def __post_init__(self) -> None:
        self.examples = example_count(self.data, self.checked.inputs) or 1
        size = self.settings.batch
        self.batch = self.examples if size == "all" else min(size, self.examples)
        self.batches = -(-self.examples // self.batch)
        self.group = batches_per_call(self.checked, self.batch)
        if needs_feed(self.data):
            self.group = min(self.group, batches_of_block(self.data, self.checked.inputs, self.batch))
        if is_ragged(self.data):
            self.group = 1
            self._steps = total_steps(self.data)

    @property
    def planned_steps(self) -> int:
        """How many updates there will have been at the end, if nothing ends training before."""
        if self.steps is not None:
            return self.steps
        left = (self.epochs or 0) - self.progress.epoch
        return self.progress.step - self.progress.batch + left * self.batches

    @property
    def done(self) -> bool:
        reached_epochs = self.epochs is not None and self.progress.epoch >= self.epochs
        return reached_epochs or (self.steps is not None and self.progress.step >= self.steps)

    def run(self) -> History:
        """Trains until the settings, early stopping, `stop_requested` or a loss that is no number ends it.

        Where it diverged, the engine is back at the end of the last good epoch. Raises DiagnosticError where an image
        that is only read now cannot be read; `progress` is then that of the engine.
        """
        if not needs_feed(self.data):
            return self._run()
        inputs = self.checked.inputs
        self._feed = Feed(self.data, inputs, self.batch, self.seed, self._order, self._groups(), self.threads)
        try:
            return self._run()
        finally:
            self._feed.close()
            self._feed = None

    def _run(self) -> History:
        self._good = Snapshot.of(self.engine, self.progress)
        end: End = "finished"
        while not self.done:
            if self._exhausted():
                end = "stopped early"
                break
            started = time.perf_counter()
            outcome = self._epoch()
            if outcome is None and not self._measured(time.perf_counter() - started):
                outcome = "diverged"
            if outcome == "diverged":
                self._good.restore(self.engine)
                self.progress = self._good.progress
            if outcome is not None:
                end = outcome
                break
            self._good = Snapshot.of(self.engine, self.progress)
        return History(end, self.progress, tuple(self.records))

    # --- one epoch ---------------------------------------------------------------------------------------------

    def _epoch(self) -> End | None:
        """The rest of the current epoch; an end where training cannot go on."""
        number = self.progress.epoch + 1
        compute = self._computer(number)
        while count := self._next(self.progress.batch, self.progress.step):
            if self.stop_requested:
                return "interrupted"
            done, step = self.progress.batch, self.progress.step
            totals = compute(Group(number, done, count), step)
            if not (np.isfinite(totals.loss) and np.isfinite(totals.cost)):
                return "diverged"
            self.progress = replace(
                self.progress, batch=done + count, step=step + count, totals=self.progress.totals + totals
            )
            self.observer.on_batches(self.progress, self.batches)
        return None

    def _computer(self, epoch: int) -> Callable[[Group, int], Totals]:
        """What computes a group of the epoch's batches: from the arrays of all examples, from the feed, or, where
        lengths differ, from batches that are as long as their longest example."""
        feed, inputs = self._feed, self.checked.inputs
        if feed is None and not is_ragged(self.data):
            order, arrays = self._order(epoch), {name: as_array(column) for name, column in self.data.items()}
            return lambda group, step: self.engine.train(
                arrays, order, self.batch, group.first, group.count, step, epoch
            )

        examples = self._order(epoch)

        def compute(group: Group, step: int) -> Totals:
            rows = examples[group.first * self.batch : (group.first + group.count) * self.batch]
            block = rows_of(self.data, inputs, rows) if feed is None else feed.take(group)
            return self.engine.train(block, np.arange(len(rows)), self.batch, 0, group.count, step, epoch)

        return compute

    def _order(self, epoch: int) -> NDArray[np.int64]:
        shuffle = self.settings.shuffle and self.batches > 1
        order = example_order(self.examples, self.seed, epoch, shuffle)
        if not shuffle or self._steps is None:
            return order
        return bucketed(order, self._steps, self.batch, self.seed, epoch)

    def _next(self, done: int, step: int) -> int:
        """How many batches are computed next, when so many of the epoch and so many steps are done."""
        left = self.batches - done
        if self.steps is not None:
            left = min(left, self.steps - step)
        # Groups begin at fixed batches, so that sums come out the same however often training was interrupted.
        return max(min(self.group - done % self.group, left), 0)

    def _groups(self) -> Iterator[Group]:
        """All groups from here to the planned end; early stopping may leave the last ones out."""
        epoch, done, step = self.progress.epoch, self.progress.batch, self.progress.step
        while self.epochs is None or epoch < self.epochs:
            while count := self._next(done, step):
                yield Group(epoch + 1, done, count)
                done, step = done + count, step + count
            if self.steps is not None and step >= self.steps:
                return
            epoch, done = epoch + 1, 0

    def _measured(self, seconds: float) -> bool:
        """Ends the epoch: measures it and keeps it where it is the best. False where it is no good at all."""
        before = self.progress
        m = max(before.totals.examples, 1)
        train = {"loss": before.totals.loss / m, "cost": before.totals.cost / m}
        if self.settings.early_stop is not None and self.watched.startswith("train.") and self.watched[6:] not in train:
            train |= {k: v for k, v in self._measure(self.data).items() if k != "loss"}
        dev = self._measure(self.dev) if self.dev is not None else {}
        if np.isnan(dev.get("loss", 0.0)) or not _whole(self.engine):
            return False
        epoch = before.epoch + 1
        value = _watched(self.watched, train, dev)
        improved = value is None or _better(value, before.best, self.settings.early_stop)
        self.progress = Progress(
            epoch=epoch,
            step=before.step,
            best=value if improved else before.best,
            best_epoch=epoch if improved else before.best_epoch,
            waited=0 if improved else before.waited + 1,
        )
        if improved:
            self.best = Snapshot.of(self.engine, self.progress)
        record = EpochRecord(epoch, before.step, train, dev, round(seconds, 4), improved)
        self.records.append(record)
        self.observer.on_epoch(record, self)
        return True

    @property
    def watched(self) -> str:
        """What the best epoch is chosen by; empty where nothing speaks for one, and the last one counts as the best."""
        if self.settings.early_stop is not None:
            return self.settings.early_stop.on
        return "dev.loss" if self.dev is not None else ""

    def _measure(self, inputs: Columns) -> dict[str, float]:
        return measure(self.engine, self.checked, self.programs, inputs, max(BATCH, self.batch))

    def _exhausted(self) -> bool:
        stop = self.settings.early_stop
        return stop is not None and self.progress.waited >= stop.patience


def example_order(count: int, seed: int, epoch: int, shuffle: bool) -> NDArray[np.int64]:
    """The order of the examples in an epoch: it depends on the seed and the epoch alone.

    It sorts the raw 64-bit stream of PCG64, which NumPy promises to leave as it is (NEP 19).
    """
    if not shuffle:
        return np.arange(count)
    return np.argsort(np.random.PCG64([seed, epoch]).random_raw(count))


def batches_per_call(checked: CheckedModel, batch: int) -> int:
    """How many batches one call of the engine computes; three products of two flops for each weight and example."""
    flops = 6 * max(checked.parameter_count, 1) * batch
    return max(1, min(MOST_BATCHES, int(CALL_FLOPS / flops)))


def _watched(name: str, train: Mapping[str, float], dev: Mapping[str, float]) -> float | None:
    split, _, measured = name.partition(".")
    return (train if split == "train" else dev).get(measured)


def _better(value: float, best: float | None, stop: EarlyStop | None) -> bool:
    if best is None or np.isnan(best):
        return True
    return value > best if stop is not None and stop.best == "max" else value < best


def _whole(engine: Engine) -> bool:
    """Whether every parameter is a number: one NaN or infinity makes the sum one."""
    with np.errstate(all="ignore"):
        return all(bool(np.isfinite(array.sum(dtype=np.float64))) for array in engine.parameters.values())


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def diverged(training: Training) -> Diagnostic:
    """R604: what to tell a user whose loss is no number."""
    at = training.progress
    message = f"training diverged in epoch {at.epoch + 1}: the loss or a parameter is no longer a finite number"
    if at.epoch:
        message += f"; what was learned up to epoch {at.epoch} is kept"
    help = "take a smaller learning rate, clip the gradients (clip = norm(5)), or standardize the inputs"
    return Diagnostic("R604", message, training.settings.places.get("optimizer"), help=help)


__all__ = [
    "EpochRecord",
    "History",
    "Nobody",
    "Observer",
    "Progress",
    "Snapshot",
    "Training",
    "batches_per_call",
    "diverged",
    "example_order",
]
