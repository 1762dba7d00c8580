"""`dlc train`: from a spec, or from where a run stopped, to a trained model on disk."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlc.compiler.diagnostics import DiagnosticError
from dlc.runtime.assignments import assignments
from dlc.runtime.cli.options import TARGET, Common, verb
from dlc.runtime.cli.output import (
    counted,
    numbers,
    print_json,
    print_mistakes,
    print_warnings,
    request_of,
    say,
    shown_path,
    spec_of,
)
from dlc.runtime.cli.resuming import differences_told, require_own_numbers
from dlc.runtime.preparation import require_loss

if TYPE_CHECKING:
    from dlc.runtime.checkpoint import RunFolder
    from dlc.runtime.cli.progress import Display
    from dlc.runtime.data.dataset import DataSet
    from dlc.runtime.engine import Target
    from dlc.runtime.preparation import Request
    from dlc.runtime.program import Model
    from dlc.runtime.train import EpochRecord, History, Progress, Training

SAVE_SECONDS = 2.0
"""How much training a kill may cost at most, where epochs are shorter than this."""
SAVE_INSIDE_SECONDS = 60.0
"""The same inside a long epoch."""


@verb("train", "Train a model on its data; Ctrl-C saves, and --resume RUN goes on to the same bits.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default="runs", metavar="DIR", help="Folder of runs.")
@TARGET
def command(common: Common, file: Path | None, resume: Path | None, out: Path, target: Target) -> int:
    if resume is not None:
        return _resume(common, file, resume)
    if file is None:
        raise click.UsageError("which file? dlc train FILE, or dlc train --resume RUN")
    return _train(common, file, out, target)


def _train(common: Common, file: Path, out: Path, target: Target) -> int:
    from dlc.runtime.checkpoint import create_run
    from dlc.runtime.data.fingerprint import fingerprint
    from dlc.runtime.own_data import load_own_data
    from dlc.runtime.saved import record

    spec = spec_of(common, file, headers=True)
    require_loss(spec.checked)
    seed = spec.train.seed if common.seed is None else common.seed
    dtype = common.dtype or "float32"
    data = load_own_data(spec, dtype, seed, common.threads)
    print_warnings(common, data.notes, spec.prepared.sources)
    say(common, f"compiling {spec.name}")
    model = spec.compile(dtype, seed, common.threads, target)
    model.preprocessing = data.preprocessing
    kept = {**record(model), "data": fingerprint(data)}
    run = create_run(out, file.stem, spec.prepared.sources, spec.checked.file, kept)
    return _run(common, model, data, run)


def _resume(common: Common, file: Path | None, folder: Path) -> int:
    from dlc.runtime.checkpoint import LAST, fill_run, open_run
    from dlc.runtime.data.fingerprint import changed, fingerprint
    from dlc.runtime.saved import open_model_of, require_same_classes

    run = open_run(folder)
    require_own_numbers(common, run)
    request = _resumed_request(common, file, run)
    say(common, f"compiling {run.settings['model']}")
    with differences_told(run, request):
        model = open_model_of(run, request=request, threads=common.threads, checkpoint=LAST)
    require_loss(model.spec.checked)
    before, data = model.preprocessing, model.load_data()
    require_same_classes(before, data.preprocessing, "begin a new run")
    help = "bring it back as it was, or begin a new run: this one would be tested on what it has learned"
    print_warnings(common, changed(run.settings.get("data"), fingerprint(data), help), {})
    if common.settings and file is None:
        fill_run(run.path, model.spec.prepared.sources, model.spec.checked.file, {**run.settings, **_kept(model, run)})
    run.forget_after(model.progress.epoch)
    epochs = model.spec.train.epochs
    if epochs is not None and model.progress.epoch >= epochs:
        say(common, f"nothing is left to do: the run has had {model.progress.epoch} epochs; --set epochs=… goes on")
    return _run(common, model, data, run)


def _resumed_request(common: Common, file: Path | None, run: RunFolder) -> Request:
    """The run's own spec, or the file given, with the saved settings and those of the command line over them."""
    from dlc.runtime.saved import require_data_folder, saved_request

    saved = saved_request(run)
    if file is None:
        require_data_folder(run)
        hypers, settings = assignments(run.spec, saved.model, common.settings)
        base = saved
    else:
        base = request_of(common, file)
        hypers, settings = dict(base.hypers), dict(base.settings)
        base = replace(base, model=base.model or saved.model)
    if "epochs" in settings or "steps" in settings:
        saved_settings = {k: v for k, v in saved.settings.items() if k not in ("epochs", "steps")}
    else:
        saved_settings = dict(saved.settings)
    return replace(base, hypers={**saved.hypers, **hypers}, settings={**saved_settings, **settings})


def _kept(model: Model, run: RunFolder) -> dict[str, Any]:
    """The settings of a run that goes on with others; where it came from stays."""
    from dlc.runtime.saved import record

    made = record(model)
    return {key: made[key] for key in ("hypers", "settings", "resolved", "versions")}


# --- one training ----------------------------------------------------------------------------------------------


class Recorder:
    """Watches a training: shows it, and writes the run folder."""

    def __init__(self, run: RunFolder, model: Model) -> None:
        self.run, self.model = run, model
        self.display: Display | None = None
        self._lines: list[str] = []
        self._log: list[str] = []
        self._saved = time.monotonic()
        self._new_best = False
        self._preprocessing = None if model.preprocessing is None else model.preprocessing.to_json()

    def on_batches(self, progress: Progress, of: int) -> None:
        assert self.display is not None
        self.display.batches(progress)
        if time.monotonic() - self._saved >= SAVE_INSIDE_SECONDS:
            self.save(self.display.training)

    def on_epoch(self, record: EpochRecord, training: Training) -> None:
        from dlc.runtime.cli.progress import epoch_line

        assert self.display is not None
        self.display.epoch(record)
        self._lines.append(json.dumps(record.as_json()) + "\n")
        self._log.append(epoch_line(record, training.epochs, bool(training.settings.regularize)) + "\n")
        self._new_best |= record.improved
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save(training)

    def note(self, text: str) -> None:
        self._log.append(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def save(self, training: Training) -> None:
        """Writes what is not on disk yet: the metrics first, so that no checkpoint is ahead of them."""
        from dlc.runtime.checkpoint import BEST, LAST, LOG, METRICS, save_checkpoint
        from dlc.runtime.train import Snapshot

        self.run.append(METRICS, "".join(self._lines))
        self.run.append(LOG, "".join(self._log))
        self._lines, self._log = [], []
        if self._new_best and training.best is not None:
            save_checkpoint(self.run.path / BEST, training.best, self._preprocessing, self.model.seed)
            self._new_best = False
        now = Snapshot.of(training.engine, training.progress)
        save_checkpoint(self.run.path / LAST, now, self._preprocessing, self.model.seed)
        self._saved = time.monotonic()


def _run(common: Common, model: Model, data: DataSet, run: RunFolder) -> int:
    from dlc.runtime.memory import memory_told

    with memory_told(*data.splits.values()):
        return _recorded(common, model, data, run)


def _recorded(common: Common, model: Model, data: DataSet, run: RunFolder) -> int:
    from dlc.runtime.cli.progress import Display
    from dlc.runtime.train import diverged

    recorder = Recorder(run, model)
    train = data.splits["train"].arrays
    dev = data.splits["dev"].arrays if "dev" in data.splits else None
    started = time.perf_counter()
    with model.training(train, dev, model.spec.train, recorder, more=False) as training:
        counts = ", ".join(f"{part.count:,} {split}" for split, part in data.splits.items())
        recorder.note(f"training {model.spec.name}: {counts} examples, seed {model.seed}, {model.dtype}")
        with Display(common, training) as display:
            recorder.display = display
            display.note(f"training {model.spec.name} on {counts} examples")
            with _stopping(training, display):
                try:
                    history = training.run()
                except DiagnosticError:
                    recorder.save(training)
                    display.note(f"saved as far as it came; go on with\n  dlc train --resume {shown_path(run.path)}")
                    raise
        recorder.note(f"{history.end} after epoch {training.progress.epoch}, step {training.progress.step}")
        recorder.save(training)
    if history.end == "interrupted":
        _tell_interrupted(common, history, run)
        return 130
    if history.end == "diverged":
        mistake = diverged(training)
        print_mistakes(common, [mistake], model.spec.prepared.sources)
        say(common, f"the run, with its last good parameters: {shown_path(run.path)}")
        return 1
    _tell_end(common, model, data, run, history, time.perf_counter() - started)
    return 0


@contextmanager
def _stopping(training: Training, display: Display) -> Iterator[None]:
    """Ctrl-C lets the batches that are being computed finish; a second one does not wait."""

    def stop(number: int, frame: object) -> None:
        if training.stop_requested:
            raise KeyboardInterrupt
        training.stop_requested = True
        display.note("stopping after these batches; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _tell_interrupted(common: Common, history: History, run: RunFolder) -> None:
    shown = shown_path(run.path)
    resume = f"dlc train --resume {shown}"
    if common.json:
        print_json({"run": shown, "end": history.end, "epochs": history.progress.epoch, "resume": resume})
    print(f"interrupted in epoch {history.progress.epoch + 1}, and saved; go on with\n  {resume}", file=sys.stderr)


def _tell_end(common: Common, model: Model, data: DataSet, run: RunFolder, history: History, seconds: float) -> None:
    """The run's folder, the best epoch, and the test metrics of its parameters."""
    from dlc.runtime.saved import restore

    restore(model, run, optimizer=False)
    best = _best_record(run, history.progress.best_epoch)
    test = model.measure(data.splits["test"].arrays) if "test" in data.splits else {}
    shown = shown_path(run.path)
    if common.json:
        print_json(
            {
                "run": shown,
                "end": history.end,
                "epochs": history.progress.epoch,
                "steps": history.progress.step,
                "best_epoch": history.progress.best_epoch,
                "dev": best.get("dev", {}),
                "test": test,
                "seconds": round(seconds, 3),
            }
        )
        return
    if history.end == "stopped early" and not common.quiet:
        print(f"stopped early after epoch {history.progress.epoch}", file=sys.stderr)
    rows = [f"run   {shown}"]
    if best.get("dev"):
        rows.append(
            f"dev   {numbers(best['dev'])}   (best of {counted(history.progress.epoch, 'epoch')}: {best['epoch']})"
        )
    elif best:
        rows.append(f"train {numbers({'loss': best['train']['loss']})}   (epoch {best['epoch']})")
    if test:
        rows.append(f"test  {numbers(test)}   ({counted(data.splits['test'].count, 'example')})")
    print("\n".join(rows))


def _best_record(run: RunFolder, epoch: int) -> dict[str, Any]:
    """The line of `metrics.jsonl` of an epoch."""
    from dlc.runtime.checkpoint import METRICS

    path = run.path / METRICS
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        record: dict[str, Any] = json.loads(line)
        if record["epoch"] == epoch:
            return record
    return {}
