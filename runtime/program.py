"""The compiled model, as the Python API has it.

model = dlc.load("net.dl").compile(dtype="float32")     # parameters have their first values
model.fit(X=x, Y=y, epochs=10)
model.forward(X=x)["Y_hat"]
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.driver import Programs
from dlc.compiler.program import CheckedModel, InputDeclaration
from dlc.compiler.settings import TRAIN_KEYS, TrainSettings, read_train
from dlc.grammar.format import unparse
from dlc.runtime.data.arrays import check_arrays
from dlc.runtime.data.columns import Columns
from dlc.runtime.data.dataset import DataSet
from dlc.runtime.data.layout import LENGTHS
from dlc.runtime.data.preprocessing import Preprocessing
from dlc.runtime.endings import known_words
from dlc.runtime.engine import Arrays, Engine, Target, build, programs_of, reads
from dlc.runtime.errors import DataError, SpecError, told
from dlc.runtime.metrics import measure
from dlc.runtime.own_data import load_own_data
from dlc.runtime.preparation import Request, prepare, require_loss
from dlc.runtime.spec import PathLike, Spec
from dlc.runtime.threads import usable_threads
from dlc.runtime.train import History, Nobody, Observer, Progress, Training, diverged

if TYPE_CHECKING:
    from dlc.runtime.weights.plan import Weights


class Tensors(Mapping[str, NDArray[Any]]):
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
        self._preprocessing: Preprocessing | None = None
        self._works: dict[Any, Work] = {}
        self._read: dict[Any, TrainSettings] = {}
        self._given: dict[str, str] = {}
        self._jitted: Callable[..., Any] | None = None
        self.main = self._work(frozenset(), spec.train)
        self.params = Tensors(self.main.engine.parameters)
        self.state = Tensors(self.main.engine.states)
        self._fill(spec.prepared.weights)

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What was fitted on the training data; None before there was any."""
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, fitted: Preprocessing | None) -> None:
        self._preprocessing, self._jitted = fitted, None
        for work in self._works.values():
            self._name_words(work)

    def _name_words(self, work: Work) -> None:
        """Tells an engine the classes of the words that its generators end with."""
        if self._preprocessing is not None:
            work.engine.words = known_words(work.programs.sources, self._preprocessing)

    # --- what a model computes ---------------------------------------------------------------------------------

    def forward(
        self, /, *, lengths: Mapping[str, Sequence[int]] | None = None, **arrays: Any
    ) -> dict[str, NDArray[Any]]:
        """The outputs, by the prediction program; only what they read need be given."""
        inputs = self._checked(arrays, "forward", lengths)
        with self._running(_dense(self.spec.inputs, inputs), changes=False) as work:
            return work.engine.forward(_only(inputs, work, "forward"))

    def texts(self, output: str, array: NDArray[Any]) -> list[str]:
        """What a generated output of `forward` says: `model.texts("s", model.forward(x=x)["s"])`, each text up to the
        word that ends it. Raises ValueError for an output that is not generated."""
        from dlc.runtime.texts import generated_texts

        found = generated_texts(self, output, np.asarray(array)) if output in self.spec.outputs else None
        if found is None:
            raise ValueError(f"{output} is no output that is generated; outputs: {', '.join(self.spec.outputs)}")
        return found

    def loss(self, /, *, lengths: Mapping[str, Sequence[int]] | None = None, **arrays: Any) -> float:
        """The mean over the examples of the loss lines: the training formula without randomness or regularization."""
        inputs = self._checked(arrays, "loss", lengths)
        with self._running(_dense(self.spec.inputs, inputs), changes=False) as work:
            return work.engine.loss(_only(inputs, work, "loss"))[0]

    def loss_and_grads(
        self, /, *, regularized: bool = False, lengths: Mapping[str, Sequence[int]] | None = None, **arrays: Any
    ) -> tuple[float, dict[str, NDArray[Any]]]:
        """The loss and its gradient for every learned parameter; `regularized` adds the terms of `train:` to both."""
        inputs = self._checked(arrays, "backward", lengths)
        with self._running(_dense(self.spec.inputs, inputs), changes=False) as work:
            return work.engine.gradients(_only(inputs, work, "backward"), regularized)

    def evaluate(self, /, *, lengths: Mapping[str, Sequence[int]] | None = None, **arrays: Any) -> dict[str, float]:
        """`loss` and every metric of these examples, by the evaluation program; `m` is all of them."""
        with told(self._sources, DataError):
            inputs = self._arrays(arrays, True, lengths)
        return self.measure(inputs)

    def measure(self, inputs: Columns) -> dict[str, float]:
        """The same for physical arrays, as the data loader gives them."""
        with self._running(_dense(self.spec.inputs, inputs), changes=False) as work:
            return measure(work.engine, work.checked, work.programs, inputs)

    @property
    def predict_jit(self) -> Callable[..., Any]:
        """The prediction as an `@njit` function, for other Numba code: `predict(params, *arrays)`.

        `params` is `tuple(model.params.values())`, with `*model.state.values()` behind them where the model has states;
        the arrays are those that `forward` reads, in the order of the spec. It returns the output, or a tuple of them.
        """
        if self._jitted is None:
            with told(self._sources):
                self._jitted = jitted_prediction_of(self)
        return self._jitted

    # --- training ----------------------------------------------------------------------------------------------

    def fit(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        dev: Mapping[str, Any] | None = None,
        lengths: Mapping[str, Sequence[int]] | None = None,
        dev_lengths: Mapping[str, Sequence[int]] | None = None,
        observer: Observer | None = None,
        **given: Any,
    ) -> History:
        """Trains, and returns what happened epoch by epoch.

        Without arrays: on the spec's own `data:`. With arrays, `fit(X=x, Y=y)` or `fit({"X": x, "Y": y})`: on them,
        with `dev` arrays (and their `dev_lengths`) to be measured after each epoch. Settings of the `train:` block may
        be given by name and win over it: `epochs=10, batch=32, optimizer="Adam(lr = 1e-2)", regularize="l2(0.1)"`.

        Training goes on where the last `fit` ended: the epochs are counted on, and an optimizer keeps its state.
        Where `early_stop` is set, the parameters are those of the best epoch in the end. A loss that is no number
        raises `SpecError` (R604), with the parameters of the last good epoch.
        """
        settings = self._settings({name: value for name, value in given.items() if name not in self.spec.inputs})
        arrays = {**(data or {}), **{name: value for name, value in given.items() if name in self.spec.inputs}}
        self._require("train")
        if arrays or not self.spec.inputs:
            with told(self._sources, DataError):
                inputs: Columns = self._arrays(arrays, True, lengths)
                measured: Columns | None = self._arrays(dev, True, dev_lengths) if dev else None
        else:
            splits = self.load_data().splits
            inputs = splits["train"].arrays
            measured = splits["dev"].arrays if "dev" in splits else None
        seed = settings.seed if "seed" in given else None
        with self.training(inputs, measured, settings, observer, seed=seed) as training:
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
        inputs: Columns,
        dev: Columns | None,
        settings: TrainSettings,
        observer: Observer | None = None,
        *,
        more: bool = True,
        seed: int | None = None,
    ) -> Iterator[Training]:
        """A training on physical arrays, not yet run; what it learned is the model's when the block ends.

        `more` epochs or steps than there were before, or (`more=False`) that many in all. `seed` orders the examples,
        by default the model's.
        """
        with self._running(_dense(self.spec.inputs, inputs), changes=True, settings=settings) as work:
            start = work.progress
            base = (start.epoch, start.step) if more else (0, 0)
            training = Training(
                work.engine,
                work.checked,
                work.programs,
                settings,
                self.seed if seed is None else seed,
                inputs,
                None if settings.epochs is None else settings.epochs + base[0],
                None if settings.steps is None else settings.steps + base[1],
                dev,
                Progress(start.epoch, start.batch, start.step, start.totals) if more else start,
                observer or Nobody(),
                threads=self.threads or usable_threads(),
            )
            try:
                with told(self._sources):
                    yield training
            finally:
                work.progress = training.progress

    def load_data(self) -> DataSet:
        """The spec's own data, split and preprocessed; what was fitted is kept with the model."""
        loaded = load_own_data(self.spec, self.dtype, self.seed, self.threads)
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
        self._given |= Request(Path(), settings=texts).sources
        key = tuple(texts.items())
        if key not in self._read:
            checked = self.spec.checked
            settings, found = read_train(checked.train, checked.evaluate, texts, checked.metrics)
            if found:
                raise SpecError(found, self._sources)
            self._read[key] = settings
        return self._read[key]

    def load_weights(self, file: PathLike, place: str = "") -> None:
        """Takes parameters and states from a safetensors file: all of them, or what stands under a place, `"backbone"`.

        It is what `load backbone from "…"` does in a spec when the model is compiled: the names in the file are those
        of this network, or of the part alone. A part that has another name in the file is taken with a Python warning.
        Raises `SpecError` (R607 to R612, and N201 for an unknown place).
        """
        from dlc.runtime.weights.plan import asked

        with told(self._sources):
            weights, doubts = asked(self.spec.checked, Path(file), place)
            self._fill([weights])
        for doubt in doubts:
            warnings.warn(f"{doubt.code}: {doubt.message}", stacklevel=2)

    def _fill(self, files: Sequence[Weights]) -> None:
        """Gives parameters and states the values that files have."""
        if not files:
            return
        from dlc.runtime.weights.values import write_into

        memory = {**self.main.engine.parameters, **self.main.engine.states}
        with told(self._sources):
            for weights in files:
                write_into(memory, weights)

    def save(self, folder: PathLike) -> None:
        """Writes a run folder: the spec, the settings, parameters and optimizer state. `dlc.open` reads it."""
        from dlc.runtime.saved import save_model

        with told(self._sources):
            save_model(self, folder)

    # --- engines -----------------------------------------------------------------------------------------------

    @property
    def progress(self) -> Progress:
        """How far the optimizer of the spec's own `train:` block has come."""
        return self.main.progress

    @property
    def engine(self) -> Engine:
        """What computes; see `dlc.runtime.engine`."""
        return self.main.engine

    @property
    def _sources(self) -> Mapping[str, str]:
        return {**self.spec.prepared.sources, **self._given}

    def _checked(
        self, arrays: Mapping[str, Any], graph: str, lengths: Mapping[str, Sequence[int]] | None
    ) -> dict[str, NDArray[Any]]:
        """The caller's arrays as physical ones; those that the program reads are required."""
        self._require(graph)
        required = reads(self.main.programs.graphs[graph])
        with told(self._sources, DataError):
            return self._arrays(arrays, graph != "forward", lengths, required)

    def _arrays(
        self,
        arrays: Mapping[str, Any],
        need_targets: bool,
        lengths: Mapping[str, Sequence[int]] | None,
        required: Collection[str] | None = None,
    ) -> dict[str, NDArray[Any]]:
        spec = self.spec
        needs = spec.checked.requirements
        return check_arrays(spec.inputs, arrays, need_targets, lengths, self.dtype, required, needs)

    def _require(self, graph: str) -> None:
        if graph != "forward":
            with told(self._sources):
                require_loss(self.spec.checked)

    @contextmanager
    def _running(
        self, dense: frozenset[str], *, changes: bool, settings: TrainSettings | None = None
    ) -> Iterator[Work]:
        """The engine for soft labels or for other training settings, with this model's numbers in it. A program is
        generated when it first runs: what has no compiled form is told then, as a SpecError."""
        work = self._work(dense, settings or self.spec.train)
        if work is self.main:
            with told(self._sources):
                yield work
            return
        _copy(self.main.engine, work.engine)
        try:
            with told(self._sources):
                yield work
        finally:
            if changes:
                _copy(work.engine, self.main.engine)

    def _work(self, dense: frozenset[str], settings: TrainSettings) -> Work:
        key = (dense, unparse(settings.optimizer), tuple(map(unparse, settings.regularize)), settings.clip)
        if key not in self._works:
            checked = self.spec.checked
            if dense:
                again = prepare(replace(self.spec.prepared.request, dense=dense, weights=False), headers=False)
                if again.checked is None:
                    raise SpecError(again.diagnostics, again.sources)
                checked = again.checked
            with told(self._sources):
                made = programs_of(checked, settings)
                engine = build(
                    checked, made, target=self.target, dtype=self.dtype, seed=self.seed, threads=self.threads
                )
            self._works[key] = Work(checked, made, engine, Progress())
            self._name_words(self._works[key])
        return self._works[key]

    def latest(self) -> Work:
        """The engine that was trained last."""
        return max(self._works.values(), key=lambda work: work.progress.step)

    def __repr__(self) -> str:
        count = self.spec.checked.parameter_count
        return f"<dlc.Model {self.spec.name}: {count:,} parameters, {self.dtype}, {self.target}>"


# --- small helpers ---------------------------------------------------------------------------------------------


def _dense(declarations: Mapping[str, InputDeclaration], arrays: Columns) -> frozenset[str]:
    """The one-hot inputs that were given as real columns (soft labels)."""
    return frozenset(
        name
        for name, array in arrays.items()
        if name in declarations and declarations[name].one_hot and array.ndim == declarations[name].type.rank
    )


def _only(inputs: Mapping[str, NDArray[Any]], work: Work, graph: str) -> dict[str, NDArray[Any]]:
    """The inputs that a program reads; where it reads none, all, for their `m`."""
    wanted = reads(work.programs.graphs[graph])
    found = {name: array for name, array in inputs.items() if name in wanted}
    lengths = {name: array for name, array in inputs.items() if name.startswith(LENGTHS)}
    return {**found, **lengths} if found else dict(inputs)


def jitted_prediction_of(model: Model) -> Callable[..., Any]:
    """See `Model.predict_jit`."""
    from dlc.runtime.jit import jitted_prediction
    from dlc.runtime.native_engine import generated, supported

    checked, made = model.spec.checked, model.main.programs
    words = model.main.engine.words
    module = generated(checked, made, model.dtype, plain=model.target != "native", only="forward", words=words)
    tensors = [("parameter", name) for name in checked.parameters] + [("state", name) for name in checked.states]
    wanted = reads(made.graphs["forward"])
    inputs = [name for name in checked.inputs if name in wanted]
    with supported():
        outputs = [f"output.{name}" for name in checked.outputs]
        return jitted_prediction(module, tensors, inputs, outputs, model.main.engine.seed)


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
