"""The `data:` block: files, splits, and for each input the columns that it is made of."""

from __future__ import annotations

import typing
from collections.abc import Collection, Mapping
from typing import Any, cast

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Related
from dlc.compiler.settings import DATA_KEYS, SPLITS, schema
from dlc.compiler.settings.columns import Columns
from dlc.compiler.settings.overrides import parsed
from dlc.compiler.settings.reader import (
    Evaluate,
    Form,
    called,
    checked,
    gathered,
    mistake,
    only,
    unknown,
    unsupported,
    wrong,
)
from dlc.compiler.settings.records import (
    Augmentation,
    ByColumn,
    ColorShift,
    Crop,
    DataSettings,
    Flip,
    Format,
    Fractions,
    PcaColor,
    Rotate,
    Source,
)
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span

LATER = ("wav",)

SOURCES = {name: Form(Source, schema.Path, ("path",), {"format": name}) for name in typing.get_args(Format)}
SOURCES["idx"] = Form(Source, schema.Idx, ("path", "labels"), {"format": "idx"})
AUGMENTATIONS = {
    "flip": Form(Flip, schema.Flip, ("chance", "over")),
    "crop": Form(Crop, schema.Crop, ("height", "width", "pad")),
    "rotate": Form(Rotate, schema.Rotate, ("degrees",)),
    "color_shift": Form(ColorShift, schema.ColorShift, ("amount",)),
    "pca_color": Form(PcaColor, schema.PcaColor, ("std",)),
}
BY_COLUMN = {"by_column": Form(ByColumn, schema.Column, ("column",), bare=True)}


def read(
    block: ast.Block | None, evaluate: Evaluate, inputs: Collection[str] | None, overrides: Mapping[str, str]
) -> tuple[DataSettings | None, list[Diagnostic]]:
    """See `dlc.compiler.settings.read_data`."""
    found: list[Diagnostic] = []
    settings = gathered(block, parsed("data", overrides, found), found)
    values: dict[str, Any] = {}
    for key, setting in settings.items():
        try:
            values[key] = _read(key, setting, evaluate, inputs)
        except DiagnosticError as error:
            found += error.diagnostics
    places = {key: setting.span for key, setting in settings.items()}
    span = block.span if block else next(iter(places.values()), None)
    if span is not None and not found:
        found += _conflicts(settings, values, span)
    if span is None or found:
        return None, found
    sources = {"all": values["source"]} if "source" in values else {key: values[key] for key in SPLITS if key in values}
    columns = {key: value for key, value in values.items() if key not in DATA_KEYS}
    return DataSettings(sources, columns, values.get("split"), span, places, values.get("augment", ())), found


def _read(key: str, setting: ast.Setting, evaluate: Evaluate, inputs: Collection[str] | None) -> Any:
    if key == "source" or key in SPLITS:
        return _source(only(setting), key, evaluate)
    if key == "split":
        return _split(setting, evaluate)
    if key == "augment":
        return _augment(setting, evaluate)
    if inputs is not None and key not in inputs:
        message = f"{key} is neither a setting of data: nor an input or target of the model"
        raise unknown(message, key, setting.name.span, [*inputs, *DATA_KEYS], "these are")
    return Columns(key, evaluate).read(only(setting))


def _source(expr: ast.Expr, key: str, evaluate: Evaluate) -> Source:
    function = expr.function if isinstance(expr, ast.Call) else expr
    if isinstance(function, ast.Name) and function.id in LATER:
        raise unsupported(f"{function.id} files are not yet supported: {_listed(SOURCES)} are", function.span)
    if isinstance(expr, ast.String):
        help = "write " + _listed([f"{name}({unparse(expr)})" for name in SOURCES], "or")
        raise wrong(f"{key} must say what kind of file it is", expr.span, help=help)
    return cast(Source, called(expr, SOURCES, evaluate, key))


def _split(setting: ast.Setting, evaluate: Evaluate) -> Fractions | ByColumn:
    values = setting.values
    if len(values) == 1 and not isinstance(values[0], ast.Number):
        return cast(ByColumn, called(values[0], BY_COLUMN, evaluate, "split"))
    if len(values) not in (2, 3):
        help = "write split = 0.8, 0.1, 0.1 (train, dev, test), split = 0.8, 0.2 (train, test) or by_column(fold)"
        raise wrong(f"split takes two or three shares, not {len(values)}", setting.span, help=help)
    shares = [float(checked(schema.Share, {"split": value}, evaluate)["split"]) for value in values]
    if abs(sum(shares) - 1) > 1e-9:
        written = " + ".join(f"{share:g}" for share in shares)
        message = f"the shares of split must sum to 1: {written} = {sum(shares):g}"
        raise wrong(message, values[0].span.to(values[-1].span))
    return Fractions(shares[0], shares[1] if len(shares) == 3 else 0.0, shares[-1], setting.span)


def _augment(setting: ast.Setting, evaluate: Evaluate) -> tuple[Augmentation, ...]:
    """`none` alone is nothing, so that `--set augment=none` leaves a spec's own out."""
    match setting.values:
        case (ast.Name(id="none"),):
            return ()
    made = tuple(called(value, AUGMENTATIONS, evaluate, "augment") for value in setting.values)
    if sum(isinstance(change, PcaColor) for change in made) > 1:
        raise wrong("pca_color stands twice in augment", setting.span)
    return made


def _conflicts(settings: Mapping[str, ast.Setting], values: Mapping[str, Any], block: Span) -> list[Diagnostic]:
    """What single settings cannot know: which of them exclude, or need, each other."""
    files = [key for key in SPLITS if key in values]
    related = tuple(Related("a separate file is given here", settings[key].span) for key in files)
    if "source" in values and files:
        message = f"source and {files[0]} both name the data: give one source, or train, dev and test"
        return [mistake(message, settings["source"].span, related=related)]
    if files and "split" in values:
        message = "split divides one source, but the splits are separate files here"
        return [mistake(message, settings["split"].span, related=related)]
    if not files and "source" not in values:
        help = 'write source = csv("data.csv")'
        return [Diagnostic("T403", "data: does not say where the data is", block, help=help)]
    if files and "train" not in values:
        message = f"data: has a {files[0]} file but no train file"
        return [Diagnostic("T403", message, settings[files[0]].span)]
    other = next((key for key in files if values[key].format != values[files[0]].format), None)
    if other is not None:
        first, second = values[files[0]].format, values[other].format
        message = f"the files of one data: block must be of one kind, not {first} and {second}"
        related = (Related(f"{first} is given here", settings[files[0]].span),)
        return [mistake(message, settings[other].span, related=related)]
    return []


def _listed(names: Collection[str], last: str = "and") -> str:
    """`csv, parquet and npz`"""
    *rest, end = names
    return f"{', '.join(rest)} {last} {end}"
