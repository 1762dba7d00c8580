"""Holds the headers of the data against the model's inputs: what `dlc check` may know without reading a row.

`plan` says for each input where its values stand in the files; the loader follows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Related
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.program import InputDeclaration
from dlc.compiler.settings import (
    DATA_KEYS,
    Arithmetic,
    ByColumn,
    Crop,
    DataSettings,
    Flip,
    Rotate,
    Selection,
    Selector,
)
from dlc.runtime.data.changes import Change, changes
from dlc.runtime.data.formats import Opened
from dlc.runtime.data.image_origins import IMAGES, from_images
from dlc.runtime.data.layout import Layout
from dlc.runtime.data.opening import opened
from dlc.runtime.data.origins import (
    Origin,
    declared,
    from_array,
    from_columns,
    lengths_mistakes,
    listed,
    no_column,
    require_changeable,
)
from dlc.runtime.data.parquet import TEXTS
from dlc.runtime.data.paths import resolve
from dlc.runtime.data.text_origins import copies, crowded, disagreements, from_texts, notes, require_sequence


@dataclass(frozen=True, slots=True)
class Plan:
    """The files by split (or under `all`), and each input's origin, the same in all files.

    An `optional` input that the `data:` block leaves out has no origin.
    """

    files: Mapping[str, Opened]
    origins: Mapping[str, Origin]


def headers(
    settings: DataSettings, folder: Path, inputs: Mapping[str, InputDeclaration], root: Path | None = None
) -> list[Diagnostic]:
    """What the headers show to be wrong: nothing but headers is read (a CSV's first line, the schema of a
    Parquet file, the headers of an NPZ's arrays, those of some images of a folder)."""
    return plan(settings, folder, inputs, root)[1]


def plan(
    settings: DataSettings, folder: Path, inputs: Mapping[str, InputDeclaration], root: Path | None = None
) -> tuple[Plan | None, list[Diagnostic]]:
    """The plan, or None where there are errors (T401 to T407, V504, V507, V512, U901); warnings come beside a plan."""
    found = _names(settings, inputs)
    files: dict[str, Opened] = {}
    for split, source in settings.sources.items():
        try:
            path = resolve(source, folder, root)
            labels = source.labels and (resolve(replace(source, path=source.labels), folder, root), source.labels)
            files[split] = opened(path, source.path, source.format, source.span, root or folder, labels or None)
        except DiagnosticError as error:
            found += error.diagnostics
    changed = _changes(settings, inputs, found)
    origins: dict[str, Origin] = {}
    wanted = [declaration for declaration in inputs.values() if not _left_out(settings, declaration)]
    for declaration in wanted if len(files) == len(settings.sources) else ():
        try:
            change = changed.get(declaration.name)
            origins[declaration.name] = _origin(settings, declaration, list(files.values()), change)
        except DiagnosticError as error:
            found += error.diagnostics
    if len(origins) == len(wanted):
        found += _left_behind(settings, origins.values())
        found += _fold(settings, files) + counts(files.values(), origins) + _leaks(origins)
        found += lengths_mistakes(files.values(), origins.values())
        found += disagreements(origins) + crowded(origins) + copies(origins) + notes(settings.columns, origins)
    failed = any(diagnostic.severity == "error" for diagnostic in found)
    return (None if failed else Plan(files, origins)), found


def _names(settings: DataSettings, inputs: Mapping[str, InputDeclaration]) -> list[Diagnostic]:
    found = []
    for name, selection in settings.columns.items():
        if name not in inputs:
            meant = did_you_mean(name, [*inputs, *DATA_KEYS])
            message = f"{name} is neither a setting of data: nor an input or target of the model"
            help = f"did you mean {meant}?" if meant else f"the inputs and targets are: {', '.join(inputs)}"
            found.append(Diagnostic("T401", message, settings.places.get(name, selection.span), help=help))
    return found


def _changes(
    settings: DataSettings, inputs: Mapping[str, InputDeclaration], found: list[Diagnostic]
) -> Mapping[str, Change]:
    """What augment does to each input. A mistake goes to `found`: T402."""
    images = [name for name, selection in settings.columns.items() if selection.kind == "image" and name in inputs]
    try:
        return changes(settings, inputs, images)
    except DiagnosticError as error:
        found += error.diagnostics
        return {}


def _left_out(settings: DataSettings, declaration: InputDeclaration) -> bool:
    """An `optional` input without a line of its own is missing in every example."""
    return declaration.optional and declaration.name not in settings.columns


def _origin(
    settings: DataSettings, declaration: InputDeclaration, files: list[Opened], change: Change | None
) -> Origin:
    layout, crops = Layout.of(declaration), change.crops if change is not None else ()
    selection = settings.columns.get(declaration.name) or _default(settings, layout, files[0])
    holds, kinds, write = _HOLDS[settings.format]
    if selection.kind not in kinds:
        if selection.tokens is not None and settings.format in ("csv", "parquet"):
            write = f"column(…) -> {selection.tokens.unit}"
        message = f"{files[0].shown} holds {holds}, {selection.text} does not: write {write.format(layout.name)}"
        raise DiagnosticError(Diagnostic("T402", message, selection.span))
    if selection.tokens is not None:
        return from_texts(layout, selection, files)
    if settings.format == "text":
        message = f"{layout.text} is made of the text's lines: write line -> chars or line -> words"
        raise DiagnosticError(Diagnostic("T402", message, selection.span))
    if settings.format in ("csv", "parquet"):
        require_sequence(layout, selection)
    if layout.unsupported and (settings.format != "npz" or layout.batch is None):
        raise DiagnosticError(Diagnostic("U901", layout.unsupported, declaration.span))
    if settings.format in IMAGES:
        origin = from_images(layout, selection, files, crops)
        return _changed(origin, change, settings) if origin.kind == "image" else origin
    if layout.class_axis is not None and any(not isinstance(step, Arithmetic) for step in selection.steps):
        message = f"{layout.text} has classes: only + - * / ^ with a constant may stand behind {selection.text}"
        raise DiagnosticError(Diagnostic("T402", message, selection.span, related=declared(layout)))
    origin = (from_array if settings.format == "npz" else from_columns)(layout, selection, files, crops)
    return _changed(origin, change, settings)


def _changed(origin: Origin, change: Change | None, settings: DataSettings) -> Origin:
    if change is not None:
        require_changeable(origin, change, settings.places.get("augment", settings.span))
    return replace(origin, change=change)


_TABLE = ("columns", ("columns", "column"), "columns(…)")
_HOLDS = {
    "csv": _TABLE,
    "parquet": _TABLE,
    "npz": ("arrays", ("array",), 'array("{}")'),
    "images": ("images", ("image", "label"), "image or label"),
    "idx": ("images", ("image", "label"), "image or label"),
    "text": ("a text", ("text", "line"), "chars, words, line -> chars or line -> words"),
}
"""What a source holds, the selections that take it, and how one writes them."""


def _default(settings: DataSettings, layout: Layout, file: Opened) -> Selection:
    """Without a line of its own, an input is the array of its name; other sources have no such default."""
    if settings.format == "npz":
        return Selection("array", (Selector(layout.name, settings.span),), file.span or settings.span)
    if settings.format in IMAGES:
        message = f"data: does not say what of the images {layout.text} is"
        part = "image / 255" if len(layout.dense) > 1 else "label"
        help = f"add a line {layout.name} = {part}"
        raise DiagnosticError(Diagnostic("T403", message, settings.span, related=declared(layout), help=help))
    if settings.format == "text":
        message = f"data: does not say what of the text {layout.text} is"
        help = f"add a line {layout.name} = chars, or words, or line -> chars where each line is an example"
        raise DiagnosticError(Diagnostic("T403", message, settings.span, related=declared(layout), help=help))
    header = file.table
    same = layout.name if layout.name in header.names else did_you_mean(layout.name, header.names)
    example = f"column({same})" if same else "columns(…)"
    message = f"data: does not say which columns {layout.text} is made of"
    help = f"add a line {layout.name} = {example}; the columns are: {listed(header.names)}"
    raise DiagnosticError(Diagnostic("T403", message, settings.span, related=declared(layout), help=help))


# --- all inputs together ---------------------------------------------------------------------------------------


def _fold(settings: DataSettings, files: Mapping[str, Opened]) -> list[Diagnostic]:
    split = settings.split
    if not isinstance(split, ByColumn):
        return []
    file = files["all"]
    if file.format in IMAGES or file.format == "text":
        help = f'write split = 0.8, 0.1, 0.1, or separate ones: train = {file.format}("…"), test = {file.format}("…")'
        holds = _HOLDS[file.format][0]
        return [Diagnostic("T402", f"{file.shown} holds {holds}, and no column {split.column}", split.span, help=help)]
    if file.format != "npz":
        if split.column not in file.table.names:
            return [no_column(Selector(split.column, split.span), file)]
        if file.kinds.get(split.column, TEXTS) != TEXTS:
            message = f'column "{split.column}" of {file.shown} must hold the words train, dev, test'
            return [Diagnostic("V507", message, split.span)]
        return []
    if split.column not in file.arrays:
        return [Diagnostic("T405", f'{file.shown} has no array "{split.column}"', split.span)]
    if file.arrays[split.column].kind != "U":
        message = f'array "{split.column}" of {file.shown} must hold the words train, dev, test'
        return [Diagnostic("V507", message, split.span)]
    return []


def counts(files: Iterable[Opened], origins: Mapping[str, Origin]) -> list[Diagnostic]:
    """T404 where the arrays of one file have different numbers of examples."""
    for file in files:
        if file.format != "npz":
            continue
        first, *others = origins.values()
        m = _count(first, file)
        for origin in others:
            if (count := _count(origin, file)) != m:
                names = f"{first.layout.name} and {origin.layout.name}"
                message = f"{names} must have the same m: {file.shown} has {m} and {count} examples"
                return [Diagnostic("T404", message, origin.span, related=(Related(f"{m} examples", first.span),))]
    return []


def _count(origin: Origin, file: Opened) -> int:
    """The m of a stored array."""
    shape = file.arrays[origin.array].shape
    return (shape[::-1] if origin.transposed else shape)[origin.layout.batch_axis(origin.dense)]


def _left_behind(settings: DataSettings, origins: Iterable[Origin]) -> list[Diagnostic]:
    """A target that may say places in an image, and stays as it is while augment moves the image: several real numbers,
    or classes at the places of another grid."""
    moves = {Flip: "flip", Crop: "crop", Rotate: "rotate"}
    moving = list(dict.fromkeys(moves[type(change)] for change in settings.augment if type(change) in moves))
    found = []
    for origin in origins if moving else ():
        layout = origin.layout
        if layout.declaration.role != "target" or layout.declaration.index or origin.change is not None:
            continue
        if math.prod(layout.dense) < 2 or (layout.class_axis is not None and len(layout.features) < 2):
            continue
        message = f"augment moves the image, and the target {layout.text} stays as it is"
        rule = f"{' and '.join(moving)} move what lies over an image pixel by pixel, and nothing else"
        help = "where it says places in the image (boxes, landmarks), change colors alone: color_shift(…), pca_color()"
        place = settings.places.get("augment", settings.span)
        found.append(Diagnostic("T411", message, place, "warning", related=declared(layout), rule=rule, help=help))
    return found


def _leaks(origins: Mapping[str, Origin]) -> list[Diagnostic]:
    """A column that an input shares with a target hands the answer to the model (equal sets are an autoencoder)."""
    found = []
    targets = [origin for origin in origins.values() if origin.layout.declaration.role == "target"]
    for origin in origins.values():
        for target in targets:
            shared = [name for name in origin.columns if name in target.columns]
            if origin.layout.declaration.role == "input" and shared and set(origin.columns) != set(target.columns):
                reader, owner = origin.layout.name, target.layout.name
                message = f"{reader} reads {listed(shared)}, which the target {owner} reads too"
                help = "the answer is among the inputs; name the columns of the input one by one"
                related = (Related("the target reads it here", target.span),)
                found.append(Diagnostic("T408", message, origin.span, "warning", related=related, help=help))
    return found
