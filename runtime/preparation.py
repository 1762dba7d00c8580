"""From a path to everything that is known before a number is touched.

The model proved, its `train:` and `data:` blocks read, the optimizer and the regularizers resolved, the headers of the
data held against the inputs. `dlc check` is this and nothing more, so neither numpy nor numba is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.driver import CheckResult, check, check_training
from dlc.compiler.program import CheckedModel, Partial
from dlc.compiler.settings import (
    TRAIN_KEYS,
    DataSettings,
    TrainSettings,
    disagreements,
    read_data,
    read_train,
)

if TYPE_CHECKING:
    from dlc.runtime.weights.plan import Weights


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    `hypers` are values by name, or their texts (`--set units=64`); `settings` are texts of `train:` and `data:`
    settings (`--set batch=32`). Imports stay inside `root`, data paths inside `data_root`; both are the spec's folder
    where nothing else is said. `data_folder` is where data paths start. `dense` names one-hot inputs that are reals.
    Without `weights` no `load` line reads its file: the numbers do not matter, or a checkpoint has them.
    """

    path: Path
    model: str | None = None
    hypers: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None
    data_folder: Path | None = None
    data_root: Path | None = None
    dense: frozenset[str] = frozenset()
    weights: bool = True

    @property
    def folder(self) -> Path:
        """Where data paths start."""
        return self.data_folder if self.data_folder is not None else self.path.parent

    @property
    def sources(self) -> dict[str, str]:
        """The texts given from outside, by the names that diagnostics give them: what `--set` said."""
        settings = {f"--set {key}={text}": f" {key} = {text}" for key, text in self.settings.items()}
        return settings | {f"--set {key}": f"{key} = {text}" for key, text in self.hypers.items()}

    @property
    def limit(self) -> Path | None:
        """Where data paths must stay; None is the folder that they start in."""
        return self.data_root if self.data_folder is not None else self.root


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked model with its settings. `checked` is None where there are errors among the `diagnostics`; `partial` is
    then what is known all the same. `weights` are the files of its `load` lines."""

    request: Request
    diagnostics: list[Diagnostic]
    models: tuple[str, ...]
    sources: Mapping[str, str]
    checked: CheckedModel | None = None
    train: TrainSettings = field(default_factory=TrainSettings)
    data: DataSettings | None = None
    partial: tuple[Partial, ...] = ()
    weights: tuple[Weights, ...] = ()

    @property
    def failed(self) -> bool:
        return any(diagnostic.severity == "error" for diagnostic in self.diagnostics)


def prepare(request: Request, *, headers: bool = True) -> Prepared:
    """Checks one model of a file, and with `headers` the first lines of its data too."""
    result = _check(request, request.model, corners=False)
    if result.checked is None:
        found = list(result.diagnostics)
        if not any(d.severity == "error" for d in found):
            found.append(_which_model(request, result))
        sources = {**result.sources, **request.sources}
        found += _mistakes_in_blocks(request, result.partial)
        return Prepared(request, found, result.models, sources, partial=result.partial)
    return _with_settings(request, result, result.checked, headers)


def prepare_all(request: Request, *, headers: bool = True) -> Iterator[Prepared]:
    """Checks every model of a file, or the one that is asked for."""
    result = _check(request, request.model)
    if not result.proved:
        found = [*result.diagnostics, *_mistakes_in_blocks(request, result.partial)]
        yield Prepared(request, found, result.models, {**result.sources, **request.sources})
    for checked in result.proved:
        yield _with_settings(request, result, checked, headers)


def _check(request: Request, model: str | None, *, corners: bool = True) -> CheckResult:
    return check(
        request.path, model=model, hypers=request.hypers, root=request.root, dense=request.dense, corners=corners
    )


def _mistakes_in_blocks(request: Request, models: Sequence[Partial]) -> Iterator[Diagnostic]:
    """What is wrong with the settings of models that have errors themselves: one run tells all mistakes of a file."""
    train_texts, data_texts = _texts(request)
    for model in models:
        yield from read_train(model.train, model.evaluate, train_texts)[1]
        yield from read_data(model.data, model.evaluate, None, data_texts)[1]


def _texts(request: Request) -> tuple[dict[str, str], dict[str, str]]:
    """What `--set` says of `train:` and of `data:`."""
    train = {key: text for key, text in request.settings.items() if key in TRAIN_KEYS}
    return train, {key: text for key, text in request.settings.items() if key not in TRAIN_KEYS}


def _which_model(request: Request, result: CheckResult) -> Diagnostic:
    if not result.models:
        help = "write `model Name:` and its equations below it"
        return Diagnostic("N212", f"{request.path} has no model", None, help=help)
    names = ", ".join(result.models)
    help = f"choose one with --model {result.models[0]}, or model={result.models[0]!r} in Python"
    return Diagnostic("N212", f"{request.path} has several models: {names}", None, help=help)


def _with_settings(request: Request, result: CheckResult, checked: CheckedModel, headers: bool) -> Prepared:
    found = list(result.diagnostics)
    train_texts, data_texts = _texts(request)
    train, wrong = read_train(checked.train, checked.evaluate, train_texts, checked.metrics)
    data, wrong_data = read_data(checked.data, checked.evaluate, tuple(checked.inputs), data_texts)
    found += [*wrong, *wrong_data, *disagreements(data, train)]
    if checked.train is not None and not has_loss(checked):
        message = f"{checked.name} has no loss line: there is nothing to train it for"
        help = "add one, as in `loss squared_error(Y_hat, Y)`"
        found.append(Diagnostic("P309", message, checked.train.span, help=help))
    if has_loss(checked):
        optimizer = train.optimizer if "optimizer" in train.places else None
        found += check_training(checked, optimizer, train.regularize)
    if data is not None and headers:
        from dlc.runtime.data.headers import headers as header_mistakes

        found += header_mistakes(data, request.folder, checked.inputs, request.limit)
    weights: list[Weights] = []
    if checked.loads and request.weights:
        from dlc.runtime.weights.plan import planned

        weights, wrong = planned(checked, request.path.parent, request.root)
        found += wrong
    failed = any(diagnostic.severity == "error" for diagnostic in found)
    sources = {**result.sources, **request.sources}
    found_model = None if failed else checked
    return Prepared(request, found, result.models, sources, found_model, train, data, weights=tuple(weights))


def has_loss(checked: CheckedModel) -> bool:
    """Whether the model can be trained: it has a loss line."""
    return any(root.startswith("loss") for root in checked.training.roots)


def require_loss(checked: CheckedModel) -> None:
    """Raises DiagnosticError T409 for a model without a loss line."""
    if not has_loss(checked):
        message = f"{checked.name} has no loss line, so it has no loss, no gradients and no training"
        help = "add one, as in `loss squared_error(Y_hat, Y)`"
        raise DiagnosticError(Diagnostic("T409", message, None, help=help))
