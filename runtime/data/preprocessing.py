"""What was fitted on the training split: saved with the model, applied again to every later file.

    fit(steps, blocks of training values) -> fitted steps -> applied(values)

The record is plain JSON. Python writes and reads floats exactly, so a model that was saved and opened again
preprocesses to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.settings import (
    AS_STORED,
    Arithmetic,
    Channels,
    Crop,
    Elementwise,
    ImageForm,
    Resize,
    Scale,
    Standardize,
    Step,
    Tokens,
)
from dlc.runtime.data.labels import Label
from dlc.runtime.data.origins import Kind
from dlc.runtime.data.vocabulary import Vocabulary

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Standardized:
    """(x - mean) / std, per column; the variance is divided by the count, as in the course. A column that does not
    vary has std 1, so it becomes 0."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scaled:
    """low + (high - low) * (x - least) / (greatest - least), per column; a column that does not vary becomes `low`."""

    low: float
    high: float
    least: tuple[float, ...]
    greatest: tuple[float, ...]


FittedStep = Arithmetic | Elementwise | Standardized | Scaled

_KINDS: dict[str, type[FittedStep]] = {
    "arithmetic": Arithmetic,
    "function": Elementwise,
    "standardize": Standardized,
    "scale": Scaled,
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """One input or target: where its values stand (see `Origin`), what is done to them, and its classes.

    `classes` are the labels in class order, None where the file has class numbers. `dense` says that the class axis of
    a `one_hot` input is in the data. `form` is that of images, and `crops` those of which every split but the training
    split, and new data, take the middle. Texts are made of `tokens`, whose classes the `vocabulary` knows.
    """

    kind: Kind
    columns: tuple[str, ...]
    array: str
    transposed: bool
    dense: bool
    steps: tuple[FittedStep, ...]
    classes: tuple[Label, ...] | None
    form: ImageForm = AS_STORED
    crops: tuple[Crop, ...] = ()
    tokens: Tokens | None = None
    vocabulary: Vocabulary | None = None


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The fitted record of every input and target, by name."""

    entries: Mapping[str, Fitted]

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """Those of the inputs and targets that are made of texts, by name."""
        return {n: entry.vocabulary for n, entry in self.entries.items() if entry.vocabulary is not None}

    def to_json(self) -> dict[str, Any]:
        """A value that `json.dumps` writes."""
        return {name: _entry_to_json(entry) for name, entry in self.entries.items()}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `to_json`. Raises ValueError for a record of another form."""
        try:
            return Preprocessing({name: _entry_from_json(entry) for name, entry in record.items()})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a record of preprocessing: {error!r}") from None


def _entry_to_json(entry: Fitted) -> dict[str, Any]:
    kinds = {kind: name for name, kind in _KINDS.items()}
    record = asdict(entry)
    record["steps"] = [{"step": kinds[type(step)], **asdict(step)} for step in entry.steps]
    record["vocabulary"] = entry.vocabulary and entry.vocabulary.to_json()
    return record


def _entry_from_json(record: Mapping[str, Any]) -> Fitted:
    steps = [{key: _tuple(value) for key, value in step.items()} for step in record["steps"]]
    fitted = tuple(_KINDS[step.pop("step")](**step) for step in steps)
    form = _form_from_json(record.get("form", {}))
    crops = tuple(Crop(**crop) for crop in record.get("crops", ()))
    tokens, known = record.get("tokens"), record.get("vocabulary")
    texts: dict[str, Any] = {"tokens": tokens and Tokens(**tokens), "vocabulary": known and Vocabulary.from_json(known)}
    read = ("steps", "form", "crops", *texts)
    rest = {key: _tuple(value) for key, value in record.items() if key not in read}
    return Fitted(steps=fitted, form=form, crops=crops, **texts, **rest)


def _form_from_json(record: Mapping[str, Any]) -> ImageForm:
    channels, resize = record.get("channels"), record.get("resize")
    return ImageForm(Channels(**channels) if channels else None, Resize(**resize) if resize else None)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def fit(steps: Iterable[Step], blocks: Callable[[], Iterable[Floats]]) -> tuple[FittedStep, ...]:
    """The steps with their numbers, found on the values (examples, columns) as they are at each step.

    `blocks` gives the examples, some at a time, once for each step that has numbers to find. NaN stands for a missing
    value and is left out of the statistics, and so are other values that are not finite (the logarithm of a negative
    number): the caller looks at those.
    """
    fitted: list[FittedStep] = []
    for step in steps:
        match step:
            case Standardize():
                fitted.append(_statistics(applied(fitted, block) for block in blocks()).standardized())
            case Scale():
                fitted.append(_statistics(applied(fitted, block) for block in blocks()).scaled(step))
            case _:
                fitted.append(step)
    return tuple(fitted)


def _statistics(blocks: Iterable[Floats]) -> _Statistics:
    found: _Statistics | None = None
    for block in blocks:
        own = _Statistics.of(block)
        if found is None:
            found = own
        else:
            found.add(own)
    assert found is not None
    return found


@dataclass(slots=True)
class _Statistics:
    """Of each column, over its finite values: how many, their mean, the sum of squared distances from it, their
    range."""

    count: Floats
    mean: Floats
    squares: Floats
    least: Floats
    greatest: Floats

    @staticmethod
    def of(values: Floats) -> _Statistics:
        known = np.isfinite(values)
        count = known.sum(axis=0, dtype=np.float64)
        mean = np.where(known, values, 0).sum(axis=0) / np.maximum(count, 1)
        squares = (np.where(known, values - mean, 0) ** 2).sum(axis=0)
        least = np.where(known, values, np.inf).min(axis=0)
        return _Statistics(count, mean, squares, least, np.where(known, values, -np.inf).max(axis=0))

    def add(self, other: _Statistics) -> None:
        """Takes the examples of another block in (Chan, Golub and LeVeque's update: no sum of large squares)."""
        count = self.count + other.count
        away, share = other.mean - self.mean, other.count / np.maximum(count, 1)
        self.mean = self.mean + away * share
        self.squares = self.squares + other.squares + away**2 * self.count * share
        self.count = count
        self.least, self.greatest = np.minimum(self.least, other.least), np.maximum(self.greatest, other.greatest)

    @property
    def range(self) -> tuple[Floats, Floats]:
        """The least and the greatest value; 0 and 0 where there is none."""
        some = self.count > 0
        return np.where(some, self.least, 0.0), np.where(some, self.greatest, 0.0)

    def standardized(self) -> Standardized:
        least, greatest = self.range
        variance = self.squares / np.maximum(self.count, 1)
        varies = least != greatest
        mean = np.where(varies, self.mean, least)
        std = np.where(varies & (variance > 0), np.sqrt(variance), 1.0)
        return Standardized(tuple(mean.tolist()), tuple(std.tolist()))

    def scaled(self, step: Scale) -> Scaled:
        least, greatest = self.range
        return Scaled(step.low, step.high, tuple(least.tolist()), tuple(greatest.tolist()))


def applied(steps: Iterable[FittedStep], values: Floats) -> Floats:
    """The values (examples, columns) after all steps."""
    with np.errstate(all="ignore"):
        for step in steps:
            match step:
                case Arithmetic():
                    values = _arithmetic(step, values)
                case Elementwise():
                    values = _FUNCTIONS[step.function](values)
                case Standardized():
                    values = (values - np.array(step.mean)) / np.array(step.std)
                case Scaled():
                    least, greatest = np.array(step.least), np.array(step.greatest)
                    width = np.where(greatest > least, greatest - least, 1.0)
                    values = step.low + (step.high - step.low) * ((values - least) / width)
    return values


_FUNCTIONS = {"log": np.log, "exp": np.exp, "sqrt": np.sqrt, "abs": np.abs}

_OPERATORS = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "^": np.power}


def _arithmetic(step: Arithmetic, values: Floats) -> Floats:
    operator = _OPERATORS[step.op]
    result: Floats = operator(step.constant, values) if step.reflected else operator(values, step.constant)
    return result
