"""What was fitted on the training split: saved with the model, applied again to every later file.

    fit(steps, training values) -> fitted steps -> applied(values)

The record is plain JSON. Python writes and reads floats exactly, so a model that was saved and opened again
preprocesses to the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.settings import Arithmetic, Elementwise, Scale, Standardize, Step
from dlc.runtime.data.labels import Label
from dlc.runtime.data.origins import Kind

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
    a `one_hot` input is in the data.
    """

    kind: Kind
    columns: tuple[str, ...]
    array: str
    transposed: bool
    dense: bool
    steps: tuple[FittedStep, ...]
    classes: tuple[Label, ...] | None


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The fitted record of every input and target, by name."""

    entries: Mapping[str, Fitted]

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
    return record


def _entry_from_json(record: Mapping[str, Any]) -> Fitted:
    steps = [{key: _tuple(value) for key, value in step.items()} for step in record["steps"]]
    fitted = tuple(_KINDS[step.pop("step")](**step) for step in steps)
    rest = {key: _tuple(value) for key, value in record.items() if key != "steps"}
    return Fitted(steps=fitted, **rest)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def needs_values(steps: Iterable[Step]) -> bool:
    """Whether a step has numbers that are found on the data."""
    return any(isinstance(step, Standardize | Scale) for step in steps)


def fit(steps: Iterable[Step], values: Floats) -> tuple[tuple[FittedStep, ...], Floats]:
    """The steps with their numbers, found on `values` (examples, columns) as they are at each step; and the result.

    NaN stands for a missing value and is left out of the statistics. The result may hold other NaN or infinities (the
    logarithm of a negative number): the caller looks.
    """
    fitted = []
    for step in steps:
        match step:
            case Standardize():
                own: FittedStep = _standardized(values)
            case Scale():
                own = Scaled(step.low, step.high, *_range(values))
            case _:
                own = step
        values = applied([own], values)
        fitted.append(own)
    return tuple(fitted), values


def _standardized(values: Floats) -> Standardized:
    least, greatest = _range(values)
    varies = np.array(least) != np.array(greatest)
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(varies, np.where(known, values, 0).sum(axis=0) / count, least)
    variance = (np.where(known, values - mean, 0) ** 2).sum(axis=0) / count
    std = np.where(varies & (variance > 0), np.sqrt(variance), 1.0)
    return Standardized(tuple(mean.tolist()), tuple(std.tolist()))


def _range(values: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The least and the greatest finite value of each column; 0 and 0 where there is none."""
    known = np.isfinite(values)
    least = np.where(known, values, np.inf).min(axis=0)
    greatest = np.where(known, values, -np.inf).max(axis=0)
    some = known.any(axis=0)
    return tuple(np.where(some, least, 0.0).tolist()), tuple(np.where(some, greatest, 0.0).tolist())


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
