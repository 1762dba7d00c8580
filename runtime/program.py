"""The Python API: `load` and `check` a spec, `compile` it, and work with the compiled model.

    spec  = dlc.load("net.dl", units=64)        # parsed and proved, nothing compiled
    model = spec.compile(dtype="float32")       # parameters have their first values
    model.fit(X=x, Y=y, epochs=10)
    model.forward(X=x)["Y_hat"]
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.driver import Programs, programs
from dlc.compiler.program import CheckedModel, InputDeclaration, ParameterDeclaration
from dlc.compiler.settings import TRAIN_KEYS, TrainSettings, read_train
from dlc.grammar.format import unparse
from dlc.runtime.errors import DataError, SpecError, told
from dlc.runtime.preparation import Prepared, Request, prepare, prepare_all, require_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dlc.runtime.checkpoint import RunFolder
    from dlc.runtime.data.dataset import DataSet
    from dlc.runtime.data.preprocessing import Preprocessing
    from dlc.runtime.engine import Arrays, Engine, Target
    from dlc.runtime.train import History, Observer, Progress, Training

PathLike = str | os.PathLike[str]


def check(
    path: PathLike, *, model: str | None = None, root: PathLike | None = None, **hypers: Any
) -> list[Diagnostic]:
    """Every finding about a file: its text, all dimensions, its `train:` and `data:` blocks, the headers of its data.

    Never raises on what the file says. All is proved when none has the severity "error".
    """
    request = Request(Path(path), model, hypers, root=_path(root))
    found = [diagnostic for prepared in prepare_all(request) for diagnostic in prepared.diagnostics]
    return list(dict.fromkeys(found))


def load(path: PathLike, *, model: str | None = None, root: PathLike | None = None, **hypers: Any) -> Spec:
    """A checked spec, with its hypers set. Raises `SpecError`; `model` chooses where a file has several."""
    return load_request(Request(Path(path), model, hypers, root=_path(root)))


def load_request(request: Request, *, headers: bool = False) -> Spec:
    """The same for what the command line asks for."""
    prepared = prepare(request, headers=headers)
    if prepared.checked is None:
        raise SpecError(prepared.diagnostics, prepared.sources)
    return Spec(prepared)


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


class Shape(tuple[int | str, ...]):
    """A shape in symbols: whole numbers where a size is known, its text where it is not, `(16, 'm')`.

    `str()` writes it as the course does: `(16, m)`.
    """

    def __str__(self) -> str:
        return f"({', '.join(map(str, self))})"

    __repr__ = __str__


class Spec:
    """A model that was proved: what is known of it without compiling."""

    def __init__(self, prepared: Prepared) -> None:
        assert prepared.checked is not None
        self.prepared = prepared
        self.checked: CheckedModel = prepared.checked

    @property
    def name(self) -> str:
        return self.checked.name

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every named value: `spec.shapes["Z[2]"]` is `(16, m)`."""
        return {
            name: Shape(int(size.constant) if size.constant is not None else str(size) for size in type.sizes)
            for name, type in self.checked.shapes.items()
        }

    @property
    def parameters(self) -> Mapping[str, ParameterDeclaration]:
        """By name; each has `shape`, `count` and `frozen`."""
        return self.checked.parameters

    @property
    def inputs(self) -> Mapping[str, InputDeclaration]:
        """Inputs and targets by name."""
        return self.checked.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.checked.outputs

    @property
    def train(self) -> TrainSettings:
        """The `train:` block, defaults filled in."""
        return self.prepared.train

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """Warnings and notes."""
        return self.prepared.diagnostics

    def compile(
        self,
        dtype: str = "float32",
        seed: int | None = None,
        threads: int | None = None,
        target: Target = "native",
    ) -> Model:
        """The model with memory and first values.

        `seed` is the `train:` block's by default, which is 1 where it says nothing. `target="reference"` computes every
        op by its NumPy meaning, `"plain"` in generated loops without vector code. The same seed gives the same bits on
        any number of threads.
        """
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is float32 or float64, not {dtype!r}")
        if target not in ("native", "reference", "plain"):
            raise ValueError(f"target is native, reference or plain, not {target!r}")
        return Model(self, dtype, self.train.seed if seed is None else seed, threads, target)

    def __repr__(self) -> str:
        return f"<dlc.Spec {self.name}: {self.checked.parameter_count:,} parameters>"


class Tensors(Mapping[str, "NDArray[Any]"]):
    """Named arrays in the model's own memory: `params["W[1]"][0, 0] = 1` and `params["W[1]"] = w` both write there."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays

    def __getitem__(self, name: str) -> NDArray[Any]:
        try:
            return self._arrays[name]
        except KeyError:
            near = did_you_mean(name, self._arrays)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(self._arrays) or 'none'}"
            raise KeyError(f"{name!r}: {hint}") from None

    def __setitem__(self, name: str, value: Any) -> None:
        import numpy as np

        array, given = self[name], np.asarray(value)
        if given.shape != array.shape:
            raise ValueError(f"{name} has shape {array.shape}, and the value {given.shape}")
        array[...] = given

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{name}: {array.shape}' for name, array in self._arrays.items())}}}"


@dataclass(slots=True)
class Work:
    """An engine with what it was built from, and how far its optimizer has come."""

    checked: CheckedModel
    programs: Programs
    engine: Engine
    progress: Progress


class Model:
    """A compiled model. Arrays have the declared orientation, `X : (64, m)` is `(64, examples)`; mistakes in them raise
    `DataError`, a `ValueError`."""

    def __init__(self, spec: Spec, dtype: str, seed: int, threads: int | None, target: Target) -> None:
        self.spec, self.dtype, self.seed, self.threads, self.target = spec, dtype, seed, threads, target
        self.preprocessing: Preprocessing | None = None
        self._works: dict[Any, Work] = {}
        self._main = self._work(frozenset(), spec.train)
        self.params = Tensors(self._main.engine.parameters)
        self.state = Tensors(self._main.engine.states)

    # --- what a model computes ---------------------------------------------------------------------------------

    def forward(self, *, lengths: Mapping[str, Sequence[int]] | None = None, **arrays: Any) -> dict[str, NDArray[Any]]:
        """The outputs, by the prediction program; only what they read need be given."""
        inputs = self._checked(arrays, "forward", lengths)
        with self._running(_dense(self.spec.inputs, inputs), changes=False) as work:
            return work.engine.forward(_only(inputs, work, "forward"))

    def loss(self, *, lengths: Mapping[str, Sequence[int]] | None = None, **arrays: Any) -> float:
        """The mean over the examples of the loss lines: the training formula without randomness or regularization."""
        inputs = self._checked(arrays, "loss", lengths)
        with self._running(_dense(self.spec.inputs, inputs), changes=False) as work:
            return work.engine.loss(_only(inputs, work, "loss"))[0]

    def loss_and_grads(
        self, *, regularized: bool = False, lengths: Mapping[str, Sequence[int]] | None = None, **arrays: Any
    ) -> tuple[float, dict[str, NDArray[Any]]]:
        """The loss and its gradient for every learned parameter. `regularized` adds the `train:` block's terms to both."""
        inputs = self._checked(arrays, "backward", lengths)
        with self._running(_dense(self.spec.inputs, inputs), changes=False) as work:
            return work.engine.gradients(_only(inputs, work, "backward"), regularized)

    def evaluate(self, *, lengths: Mapping[str, Sequence[int]] | None = None, **arrays: Any) -> dict[str, float]:
        """`loss` and every metric of these examples, by the evaluation program; `m` is all of them."""
        from dlc.runtime.data.arrays import check_arrays

        with told(self._sources, DataError):
            inputs = check_arrays(self.spec.inputs, arrays, True, lengths, self.dtype)
        return self.measure(inputs)

    def measure(self, inputs: Arrays) -> dict[str, float]:
        """The same for physical arrays, as the data loader gives them."""
        from dlc.runtime.metrics import measure

        with self._running(_dense(self.spec.inputs, inputs), changes=False) as work:
            return measure(work.engine, work.checked, work.programs, inputs)

    # --- training ----------------------------------------------------------------------------------------------

    def fit(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        dev: Mapping[str, Any] | None = None,
        lengths: Mapping[str, Sequence[int]] | None = None,
        observer: Observer | None = None,
        **given: Any,
    ) -> History:
        """Trains, and returns what happened epoch by epoch.

        Without arrays: on the spec's own `data:`. With arrays, `fit(X=x, Y=y)` or `fit({"X": x, "Y": y})`: on them, with
        `dev` arrays to be measured after each epoch. Settings of the `train:` block may be given by name and win over
        it: `epochs=10, batch=32, optimizer="Adam(lr = 1e-2)", regularize="l2(0.1)"`.

        Training goes on where the last `fit` ended: the epochs are counted on, and an optimizer keeps its state.
        Where `early_stop` is set, the parameters are those of the best epoch in the end. A loss that is no number
        raises `SpecError` (R604), with the parameters of the last good epoch.
        """
        settings = self._settings({name: value for name, value in given.items() if name not in self.spec.inputs})
        arrays = {**(data or {}), **{name: value for name, value in given.items() if name in self.spec.inputs}}
        self._require("train")
        if arrays or not self.spec.inputs:
            from dlc.runtime.data.arrays import check_arrays

            with told(self._sources, DataError):
                inputs = check_arrays(self.spec.inputs, arrays, True, lengths, self.dtype)
                measured = check_arrays(self.spec.inputs, dev, True, lengths, self.dtype) if dev else None
        else:
            splits = self.load_data().splits
            inputs = splits["train"].arrays
            measured = splits["dev"].arrays if "dev" in splits else None
        with self.training(inputs, measured, settings, observer) as training:
            history = training.run()
            if settings.early_stop is not None and training.best is not None:
                training.best.restore(training.engine)
                training.progress = training.best.progress
        if history.end == "diverged":
            raise SpecError([diverged(training)], self._sources)
        return history

    @contextmanager
    def training(
        self,
        inputs: Arrays,
        dev: Arrays | None,
        settings: TrainSettings,
        observer: Observer | None = None,
        *,
        more: bool = True,
    ) -> Iterator[Training]:
        """A training on physical arrays, not yet run; what it learned is the model's when the block ends.

        `more` epochs or steps than there were before, or (`more=False`) that many in all.
        """
        from dlc.runtime.train import Nobody, Progress, Training

        with self._running(_dense(self.spec.inputs, inputs), changes=True, settings=settings) as work:
            start = work.progress
            base = (start.epoch, start.step) if more else (0, 0)
            training = Training(
                work.engine,
                work.checked,
                work.programs,
                settings,
                settings.seed if "seed" in settings.places else self.seed,
                inputs,
                None if settings.epochs is None else settings.epochs + base[0],
                None if settings.steps is None else settings.steps + base[1],
                dev,
                Progress(start.epoch, start.batch, start.step, start.totals) if more else start,
                observer or Nobody(),
            )
            try:
                yield training
            finally:
                work.progress = training.progress

    def load_data(self) -> DataSet:
        """The spec's own data, split and preprocessed; what was fitted is kept with the model."""
        from dlc.runtime.data.dataset import load as load_data

        request, data = self.spec.prepared.request, self.spec.prepared.data
        with told(self._sources):
            if data is None:
                message = f"{self.spec.name} has no data: block"
                help = "add one, or give the arrays in Python: model.fit(X=…, Y=…)"
                raise DiagnosticError(Diagnostic("T409", message, None, help=help))
            loaded = load_data(data, request.folder, self.spec.inputs, self.seed, self.dtype, request.limit)
        self.preprocessing = loaded.preprocessing
        return loaded

    def _settings(self, given: Mapping[str, Any]) -> TrainSettings:
        """The `train:` block with `fit`'s own settings over it."""
        known = [*self.spec.inputs, *TRAIN_KEYS]
        for name in given:
            if name not in TRAIN_KEYS:
                near = did_you_mean(name, known)
                help = f"did you mean {near}?" if near else f"fit takes: {', '.join(known)}"
                message = f"fit has no argument {name}: it is neither an input or target nor a setting of train:"
                raise DataError([Diagnostic("T401", message, None, help=help)])
        texts = {**self.spec.prepared.request.settings, **{name: _text(value) for name, value in given.items()}}
        texts = {name: text for name, text in texts.items() if name in TRAIN_KEYS}
        if "epochs" in given or "steps" in given:
            texts = {n: text for n, text in texts.items() if n not in ("epochs", "steps") or n in given}
        checked = self.spec.checked
        settings, found = read_train(checked.train, checked.evaluate, texts, checked.metrics)
        if found:
            raise SpecError(found, self._sources)
        return settings

    # --- on disk -----------------------------------------------------------------------------------------------

    def save(self, folder: PathLike) -> None:
        """Writes a run folder: the spec, the settings, parameters and optimizer state. `dlc.open` reads it."""
        from dlc.runtime.checkpoint import BEST, LAST, SETTINGS, fill_run, save_checkpoint, unwritable
        from dlc.runtime.train import Snapshot

        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            foreign = any(path.iterdir()) and not (path / SETTINGS).is_file()
        except OSError as error:
            raise SpecError(unwritable(path, error).diagnostics) from None
        if foreign:
            raise SpecError([Diagnostic("R605", f"{path} holds other files: a model is saved in a folder of its own", None)])
        with told(self._sources):
            fill_run(path, self.spec.prepared.sources, str(self.spec.checked.file), self.record())
            latest = self.latest()
            snapshot = Snapshot.of(latest.engine, latest.progress)
            record = None if self.preprocessing is None else self.preprocessing.to_json()
            for name in (LAST, BEST):
                save_checkpoint(path / name, snapshot, record, self.seed)

    def record(self) -> dict[str, Any]:
        """What `settings.json` says of this model: everything that decides its numbers."""
        import platform

        import numpy as np

        from dlc import __version__

        request = self.spec.prepared.request
        return {
            "model": self.spec.name,
            "spec": str(request.path.resolve()),
            "data_folder": str(request.folder.resolve()),
            "data_root": None if request.limit is None else str(request.limit.resolve()),
            "hypers": {name: _plain(value) for name, value in request.hypers.items()},
            "settings": dict(request.settings),
            "resolved": _resolved(self.spec),
            "seed": self.seed,
            "dtype": self.dtype,
            "target": self.target,
            "versions": {"dlc": __version__, "numpy": np.__version__, "python": platform.python_version()},
        }

    # --- engines -----------------------------------------------------------------------------------------------

    @property
    def progress(self) -> Progress:
        """How far the optimizer of the spec's own `train:` block has come."""
        return self._main.progress

    @property
    def engine(self) -> Engine:
        """What computes; see `dlc.runtime.engine`."""
        return self._main.engine

    @property
    def _sources(self) -> Mapping[str, str]:
        return self.spec.prepared.sources

    def _checked(
        self, arrays: Mapping[str, Any], graph: str, lengths: Mapping[str, Sequence[int]] | None
    ) -> dict[str, NDArray[Any]]:
        """The caller's arrays as physical ones; those that the program reads are required."""
        from dlc.runtime.data.arrays import check_arrays
        from dlc.runtime.engine import reads

        self._require(graph)
        required = reads(self._main.programs.graphs[graph])
        with told(self._sources, DataError):
            return check_arrays(self.spec.inputs, arrays, graph != "forward", lengths, self.dtype, required)

    def _require(self, graph: str) -> None:
        if graph != "forward":
            with told(self._sources):
                require_loss(self.spec.checked)

    @contextmanager
    def _running(
        self, dense: frozenset[str], *, changes: bool, settings: TrainSettings | None = None
    ) -> Iterator[Work]:
        """The engine for soft labels or for other training settings, with this model's numbers in it."""
        work = self._work(dense, settings or self.spec.train)
        if work is self._main:
            yield work
            return
        _copy(self._main.engine, work.engine)
        try:
            yield work
        finally:
            if changes:
                _copy(work.engine, self._main.engine)

    def _work(self, dense: frozenset[str], settings: TrainSettings) -> Work:
        from dlc.runtime.engine import build
        from dlc.runtime.train import Progress

        clip = None if settings.clip is None else (settings.clip.by, settings.clip.limit)
        key = (dense, unparse(settings.optimizer), tuple(map(unparse, settings.regularize)), clip)
        if key not in self._works:
            checked = self.spec.checked
            if dense:
                again = prepare(replace(self.spec.prepared.request, dense=dense), headers=False)
                if again.checked is None:
                    raise SpecError(again.diagnostics, again.sources)
                checked = again.checked
            with told(self._sources):
                made = programs(checked, settings.optimizer, settings.regularize, clip)
                engine = build(
                    checked, made, target=self.target, dtype=self.dtype, seed=self.seed, threads=self.threads
                )
            self._works[key] = Work(checked, made, engine, Progress())
        return self._works[key]

    def latest(self) -> Work:
        """The engine that was trained last."""
        return max(self._works.values(), key=lambda work: work.progress.step)

    def restore(self, run: RunFolder, name: str | None = None, *, optimizer: bool) -> None:
        """Takes the numbers of a checkpoint: `name`, or the run's best. With `optimizer`, training can go on from it."""
        from dlc.runtime.checkpoint import load_checkpoint
        from dlc.runtime.data.preprocessing import Preprocessing

        engine = self._main.engine
        groups = (engine.parameters, engine.states, engine.slots) if optimizer else (engine.parameters, engine.states)
        shapes = {key: array.shape for group in groups for key, array in group.items()}
        path = run.checkpoint if name is None else run.path / name
        loaded = load_checkpoint(path, shapes, exact=optimizer)
        loaded.snapshot(engine.parameters, engine.states, engine.slots if optimizer else ()).restore(engine)
        if optimizer:
            self._main.progress = loaded.progress
        if loaded.preprocessing is not None:
            try:
                self.preprocessing = Preprocessing.from_json(loaded.preprocessing)
            except ValueError as error:
                message = f"the checkpoint {path} is damaged: {error}"
                raise DiagnosticError(Diagnostic("R602", message, None)) from None

    def __repr__(self) -> str:
        count = self.spec.checked.parameter_count
        return f"<dlc.Model {self.spec.name}: {count:,} parameters, {self.dtype}, {self.target}>"


def open_model(
    folder: PathLike, *, threads: int | None = None, target: Target | None = None, dtype: str | None = None
) -> Model:
    """A trained model from its run folder, with the parameters of its best epoch. Raises `SpecError`."""
    from dlc.runtime.checkpoint import open_run

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
    spec = load_request(request or saved_request(run))
    target = target or ("reference" if run.settings.get("target") == "reference" else "native")
    model = spec.compile(dtype or run.settings["dtype"], run.settings["seed"], threads, target)
    try:
        model.restore(run, checkpoint, optimizer=True)
    except DiagnosticError as error:
        if checkpoint is not None or any(d.code != "R603" for d in error.diagnostics):
            raise
        # Another optimizer than the one saved: the parameters are what counts.
        model.restore(run, checkpoint, optimizer=False)
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


def diverged(training: Training) -> Diagnostic:
    """R604: what to tell a user whose loss is no number."""
    at = training.progress
    message = (
        f"training diverged in epoch {at.epoch + 1}: the loss or a parameter is no longer a finite number; "
        f"what was learned up to {'the start' if at.epoch == 0 else f'epoch {at.epoch}'} is kept"
    )
    help = "take a smaller learning rate, clip the gradients (clip = norm(5)), or standardize the inputs"
    return Diagnostic("R604", message, training.settings.places.get("optimizer"), help=help)


# --- small helpers ---------------------------------------------------------------------------------------------


def _dense(declarations: Mapping[str, InputDeclaration], arrays: Arrays) -> frozenset[str]:
    """The one-hot inputs that were given as real columns (soft labels)."""
    return frozenset(
        name
        for name, array in arrays.items()
        if declarations[name].one_hot and array.ndim == declarations[name].type.rank
    )


def _only(inputs: Mapping[str, NDArray[Any]], work: Work, graph: str) -> dict[str, NDArray[Any]]:
    """The inputs that a program reads; where it reads none, all, for their `m`."""
    from dlc.runtime.engine import reads

    wanted = reads(work.programs.graphs[graph])
    return {name: array for name, array in inputs.items() if name in wanted} or dict(inputs)


def _copy(source: Engine, to: Engine) -> None:
    for have, take in ((source.parameters, to.parameters), (source.states, to.states)):
        for name, array in have.items():
            take[name][...] = array


def _text(value: Any) -> str:
    """A setting from Python as `--set` writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)


def _plain(value: Any) -> Any:
    """A hyper's value as JSON has it."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else str(value)


def _resolved(spec: Spec) -> dict[str, Any]:
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
