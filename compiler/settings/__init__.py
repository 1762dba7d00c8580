"""The `data:` and `train:` blocks: from the syntax tree to frozen settings, every value with its place.

Unknown names are T401, wrong values T402, what is planned but not built U901. A spec without these blocks pays
nothing: pydantic is imported when a block is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, Related
from dlc.compiler.settings.records import (
    AS_STORED,
    Arithmetic,
    Augmentation,
    ByColumn,
    Channels,
    Clip,
    ColorShift,
    Crop,
    DataSettings,
    EarlyStop,
    Elementwise,
    Flip,
    Format,
    Fractions,
    ImageForm,
    PcaColor,
    Resize,
    Rotate,
    Scale,
    Selection,
    Selector,
    Source,
    Standardize,
    Step,
    Tokens,
    TrainSettings,
    Unit,
)
from dlc.grammar import ast

TRAIN_KEYS = ("optimizer", "batch", "epochs", "steps", "regularize", "clip", "early_stop", "shuffle", "seed")
SPLITS = ("train", "dev", "test")
DATA_KEYS = ("source", "train", "dev", "test", "split", "augment")


def read_train(
    block: ast.Block | None,
    evaluate: Callable[[ast.Expr], Any],
    overrides: Mapping[str, str] | None = None,
    metrics: Collection[str] | None = None,
) -> tuple[TrainSettings, list[Diagnostic]]:
    """The settings of a `train:` block; with a mistake in one, that one has its default.

    `overrides` are the texts of `--set batch=32`, in the spec's own expressions, and win over the block. With
    `metrics`, the names of the model's metrics, `early_stop` is checked against them.
    """
    if block is None and not overrides:
        return TrainSettings(), []
    from dlc.compiler.settings.train import read

    return read(block, evaluate, overrides or {}, metrics)


def read_data(
    block: ast.Block | None,
    evaluate: Callable[[ast.Expr], Any],
    inputs: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> tuple[DataSettings | None, list[Diagnostic]]:
    """The settings of a `data:` block, or None with the mistakes in it.

    `inputs` are the names of the model's inputs and targets; with them, another name is an unknown setting here
    (without them the header check finds it).
    """
    if block is None and not overrides:
        return None, []
    from dlc.compiler.settings.data import read

    return read(block, evaluate, inputs, overrides or {})


def disagreements(data: DataSettings | None, train: TrainSettings) -> list[Diagnostic]:
    """What the two blocks say against each other: `early_stop` watches a split that the data does not have."""
    stop = train.early_stop
    if data is None or stop is None or data.splits is None:
        return []
    split = stop.on.partition(".")[0]
    if split in data.splits:
        return []
    place = data.places.get("split") or data.places.get("source") or data.span
    related = (Related(f"the splits are {', '.join(name for name in SPLITS if name in data.splits)}", place),)
    message = f"early_stop watches {stop.on}, but the data has no {split} split"
    help = "write split = 0.8, 0.1, 0.1 (train, dev, test), or watch train.loss"
    return [Diagnostic("T402", message, train.places.get("early_stop"), related=related, help=help)]


__all__ = [
    "AS_STORED",
    "DATA_KEYS",
    "SPLITS",
    "TRAIN_KEYS",
    "Arithmetic",
    "Augmentation",
    "ByColumn",
    "Channels",
    "Clip",
    "ColorShift",
    "Crop",
    "DataSettings",
    "EarlyStop",
    "Elementwise",
    "Flip",
    "Format",
    "Fractions",
    "ImageForm",
    "PcaColor",
    "Resize",
    "Rotate",
    "Scale",
    "Selection",
    "Selector",
    "Source",
    "Standardize",
    "Step",
    "Tokens",
    "TrainSettings",
    "Unit",
    "disagreements",
    "read_data",
    "read_train",
]
