"""Models on disk: what `save` writes and `open` reads, and where a run's data lies."""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.grammar.format import unparse
from dlc.runtime.checkpoint import (
    BEST,
    LAST,
    SETTINGS,
    RunFolder,
    fill_run,
    load_checkpoint,
    open_run,
    save_checkpoint,
    unwritable,
)
from dlc.runtime.data.preprocessing import Preprocessing
from dlc.runtime.engine import Target
from dlc.runtime.errors import told
from dlc.runtime.preparation import Request
from dlc.runtime.program import Model
from dlc.runtime.spec import PathLike, Spec, load_request
from dlc.runtime.train import Snapshot


def save_model(model: Model, folder: PathLike) -> None:
    """Writes a run folder. Raises DiagnosticError R605 where that fails, and for a folder that holds something else."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        foreign = any(path.iterdir()) and not (path / SETTINGS).is_file()
    except OSError as error:
        raise unwritable(path, error) from None
    if foreign:
        message = f"{path} holds other files: a model is saved in a folder of its own"
        raise DiagnosticError(Diagnostic("R605", message, None))
    fill_run(path, model.spec.prepared.sources, model.spec.checked.file, record(model))
    latest = model.latest()
    snapshot = Snapshot.of(latest.engine, latest.progress)
    preprocessing = None if model.preprocessing is None else model.preprocessing.to_json()
    for name in (LAST, BEST):
        save_checkpoint(path / name, snapshot, preprocessing, model.seed)


def record(model: Model) -> dict[str, Any]:
    """What `settings.json` says of a model: everything that decides its numbers."""
    from dlc import __version__

    request = model.spec.prepared.request
    return {
        "model": model.spec.name,
        "spec": str(request.path.resolve()),
        "data_folder": str(request.folder.resolve()),
        "data_root": None if request.limit is None else str(request.limit.resolve()),
        "hypers": {name: _plain(value) for name, value in request.hypers.items()},
        "settings": dict(request.settings),
        "resolved": resolved(model.spec),
        "seed": model.seed,
        "dtype": model.dtype,
        "target": model.target,
        "versions": {
            "dlc": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "numba", "llvmlite")},
        },
    }


def restore(model: Model, run: RunFolder, name: str | None = None, *, optimizer: bool) -> None:
    """Gives a model the numbers of a checkpoint: `name`, or the run's best. With `optimizer`, training can go on from
    it. Raises DiagnosticError R601 to R603."""
    main = model.main
    engine = main.engine
    slots = engine.slots if optimizer else {}
    shapes = {key: array.shape for group in (engine.parameters, engine.states, slots) for key, array in group.items()}
    path = run.checkpoint if name is None else run.path / name
    loaded = load_checkpoint(path, shapes, exact=optimizer)
    loaded.snapshot(engine.parameters, engine.states, slots).restore(engine)
    if optimizer:
        main.progress = loaded.progress
    if loaded.preprocessing is not None:
        try:
            model.preprocessing = Preprocessing.from_json(loaded.preprocessing)
        except ValueError as error:
            raise DiagnosticError(Diagnostic("R602", f"the checkpoint {path} is damaged: {error}", None)) from None


def open_model(
    folder: PathLike, *, threads: int | None = None, target: Target | None = None, dtype: str | None = None
) -> Model:
    """A trained model from its run folder, with the parameters of its best epoch. Raises `SpecError`."""
    with told({}):
        return open_model_of(open_run(Path(folder)), threads=threads, target=target, dtype=dtype)


def open_model_of(
    run: RunFolder,
    *,
    request: Request | None = None,
    threads: int | None = None,
    target: Target | None = None,
    dtype: str | None = None,
    checkpoint: str | None = None,
) -> Model:
    """The same for an opened run; `request` may name another spec than the run's copy."""
    spec = load_request(replace(request or saved_request(run), weights=False))
    target = target or ("reference" if run.settings.get("target") == "reference" else "native")
    model = spec.compile(dtype or run.settings["dtype"], run.settings["seed"], threads, target)
    try:
        restore(model, run, checkpoint, optimizer=True)
    except DiagnosticError as error:
        if checkpoint is not None or any(d.code != "R603" for d in error.diagnostics):
            raise
        # Another optimizer than the one saved: the parameters are what counts.
        restore(model, run, checkpoint, optimizer=False)
    return model


def saved_request(run: RunFolder) -> Request:
    """What was asked for when the run was made, on the run's own copy of the spec."""
    settings = run.settings
    data_root = settings["data_root"]
    return Request(
        run.spec,
        settings["model"],
        settings["hypers"],
        settings["settings"],
        run.path,
        Path(settings["data_folder"]),
        None if data_root is None else Path(data_root),
    )


def require_data_folder(run: RunFolder) -> None:
    """Raises R601 for a run folder that was moved: where its data lies is then a guess, and `--data` says it."""
    if run.moved:
        message = f"{run.path} is not where it was made ({run.settings['run']}), so its data paths mean nothing"
        help = "name the data with --data FILE; to go on training, give the spec too: dlc train FILE --resume RUN"
        raise DiagnosticError(Diagnostic("R601", message, None, help=help))


def require_same_classes(before: Preprocessing | None, after: Preprocessing | None, otherwise: str) -> None:
    """Raises R603 where data that is read again no longer has the classes that a run was trained with; the help says
    what to do `otherwise` than to bring it back."""
    if before is None or after is None:
        return
    for name, entry in after.entries.items():
        known = before.entries.get(name)
        if known is None:
            continue
        old, new = (e.vocabulary.tokens if e.vocabulary is not None else e.classes or () for e in (known, entry))
        if old == new:
            continue
        at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        was, now = (repr(tokens[at]) if at < len(tokens) else "none" for tokens in (old, new))
        message = f"the data has changed since the run began: class {at} of {name} was {was}, and is {now} now"
        help = f"bring the data back as it was, or {otherwise}"
        raise DiagnosticError(Diagnostic("R603", message, None, help=help))


def _plain(value: Any) -> Any:
    """A hyper's value as JSON has it."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else str(value)


def resolved(spec: Spec) -> dict[str, Any]:
    """All settings as they count, for people and for comparisons between runs."""
    train = spec.train
    stop = train.early_stop
    return {
        "hypers": {name: _plain(hyper.value) for name, hyper in spec.checked.hypers.items()},
        "optimizer": unparse(train.optimizer),
        "batch": train.batch,
        "epochs": train.epochs,
        "steps": train.steps,
        "regularize": [unparse(term) for term in train.regularize],
        "clip": None if train.clip is None else f"{train.clip.by}({train.clip.limit:g})",
        "early_stop": None if stop is None else f"patience({stop.patience}, on = {stop.on}, best = {stop.best})",
        "shuffle": train.shuffle,
    }
