"""Where each input's values stand: the columns of a table that a selection names, an array, images or their classes.

Only headers are known here; sizes are compared with the declaration, and a mismatch shows both places. Texts have a
module of their own, `text_origins`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Edit, Related
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.settings import AS_STORED, Crop, ImageForm, PcaColor, Scale, Selection, Selector, Standardize, Tokens
from dlc.grammar.span import Span
from dlc.runtime.data.changes import Change, Size, after
from dlc.runtime.data.formats import ArrayHeader, Opened
from dlc.runtime.data.layout import Layout
from dlc.runtime.data.parquet import NUMBERS, TEXTS

MAX_LISTED = 12

Kind = Literal["columns", "array", "image", "label", "text", "line"]
Crops = tuple[Crop, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one input's values stand: by its `kind`, `columns` of a table, in order, an `array`, the pixels of each
    `image`, its `label`, one of the `classes`, windows of a `text`, or each `line` of one.

    `dense` says that the class axis of a `one_hot` input is in the data; `texts` that the cells of its columns are
    labels of any type, and not numbers that steps apply to; `form` is what is done to images before all steps, `change`
    what augment does, and `size` the height and width before that, where they are other than declared; `tokens` is how
    texts become sequences; `stored` is the shape of one example of an array whose sizes only the data knows.
    """

    kind: Kind
    layout: Layout
    span: Span
    columns: tuple[str, ...] = ()
    array: str = ""
    transposed: bool = False
    dense: bool = False
    texts: bool = False
    classes: tuple[str, ...] | None = None
    form: ImageForm = AS_STORED
    change: Change | None = None
    size: Size | None = None
    tokens: Tokens | None = None
    stored: tuple[int, ...] | None = None

    @property
    def example(self) -> tuple[int, ...]:
        """The shape of one stored example: of class numbers without the class axis, of images before any crop."""
        if self.stored is not None:
            return self.stored
        declared = self.layout.dense if self.layout.class_axis is None or self.dense else self.layout.features
        return (*self.size, *declared[2:]) if self.size is not None else declared

    @property
    def shape(self) -> tuple[int, int, int]:
        """The height, width and channels of one stored image."""
        height, width, *channels = self.example
        return height, width, channels[0] if channels else 1

    @property
    def text(self) -> str:
        """`columns label`, `array Y`"""
        if self.kind == "columns":
            return f"column {listed(self.columns)}"
        return f"array {self.array}" if self.kind == "array" else self.kind

    def column_text(self, column: int) -> str:
        """How messages call one of the columns; the features of an array and of an image count from 0."""
        match self.kind:
            case "columns":
                return f"column {self.columns[column]}"
            case "array":
                return f"array {self.array}, feature {column}"
            case "image":
                _, width, channels = (*self.layout.dense, 1)[:3]
                row, place = divmod(column, width * channels)
                return f"row {row}, column {place // channels}, channel {place % channels}"
            case "label" | "text" | "line":
                return self.kind


def require_changeable(origin: Origin, change: Change, span: Span) -> None:
    """Raises T402 for images without the colors that a change needs, and for maps whose classes come first."""
    layout = origin.layout
    channels = layout.dense[2] if len(layout.dense) > 2 else 1
    if change.kind == "image" and any(isinstance(step, PcaColor) for step in change.augment) and channels not in (3, 4):
        message = f"pca_color changes red, green and blue, and {layout.text} has {channels} channel"
        message += "s" if channels != 1 else ""
        help = "color_shift(20) changes images of any channels, gray ones too"
        raise DiagnosticError(Diagnostic("T402", message, span, related=declared(layout), help=help))
    if layout.class_axis is not None and origin.dense and layout.class_axis != len(layout.sizes) - 1:
        message = f"augment moves the pixels of {layout.text}, whose classes must then come last"
        height, width = layout.features[:2]
        help = f"declare {layout.name} : (m, {height}, {width}, {layout.declaration.classes}) one_hot"
        raise DiagnosticError(Diagnostic("T402", message, span, related=declared(layout), help=help))


def declared(layout: Layout) -> tuple[Related, ...]:
    """The second place of a message: the input's declaration."""
    return (Related(f"{layout.text} is declared here", layout.declaration.span),)


def listed(names: Iterable[str]) -> str:
    """`a, b, c`, the first twelve and a count."""
    names = list(names)
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


# --- tables ----------------------------------------------------------------------------------------------------


def from_columns(layout: Layout, selection: Selection, files: list[Opened], crops: Crops = ()) -> Origin:
    """The columns of a table that make one input. Raises T402, T404, T405."""
    height, width = (*layout.dense, 0, 0)[:2]
    if crops and after(crops, (height, width)) != (height, width):
        message = f"the columns of {layout.text} are {height} x {width} pixels, and a crop must leave as many"
        help = f"crop from a padded image: crop({height}{f', {width}' if width != height else ''}, pad = 1)"
        raise DiagnosticError(Diagnostic("T402", message, selection.span, related=declared(layout), help=help))
    columns = matching(selection, files[0])
    for file in files[1:]:
        require_columns(columns, file, f"{files[0].shown} has it")
    count = len(columns)
    dense = layout.class_axis is not None and count == layout.dense_width != layout.width
    if count != layout.width and not dense:
        needs = f"{layout.width} column{'s' if layout.width != 1 else ''}"
        needs += f" with the class, or {layout.dense_width}" if layout.class_axis is not None else ""
        message = f"{layout.text} needs {needs}, {selection.text} gives {count}"
        rule = f"one column for each feature, one row for each of the m examples: {layout.shape_text(dense=True)}"
        raise DiagnosticError(Diagnostic("T404", message, selection.span, related=declared(layout), rule=rule))
    texts = layout.class_axis is not None and not dense and not selection.steps
    for file in files:
        require_kinds(layout, columns, texts, file, selection.span, selection.selectors)
    return Origin("columns", layout, selection.span, columns=columns, dense=dense, texts=texts)


def require_kinds(
    layout: Layout, columns: Iterable[str], texts: bool, file: Opened, span: Span, selectors: Iterable[Selector] = ()
) -> None:
    """V507 for a column that, as the header tells, holds no numbers, nor texts where labels are read."""
    for name in columns:
        kind = file.kinds.get(name, NUMBERS)
        if kind == NUMBERS or (kind == TEXTS and texts):
            continue
        needs = "numbers or texts" if texts else "numbers"
        message = f'column "{name}" of {file.shown} holds {kind}, {layout.text} needs {needs}'
        help: str | None = None
        if kind == TEXTS:
            help = "texts can be the labels of a one_hot input or target only, and no step applies to them"
        place = next((selector.span for selector in selectors if selector.name == name), span)
        raise DiagnosticError(Diagnostic("V507", message, place, related=declared(layout), help=help))


def matching(selection: Selection, file: Opened) -> tuple[str, ...]:
    """The columns that the selectors name, in the order of the selectors, a pattern's in the order of the file."""
    header = file.table
    chosen: list[str] = []
    for selector in selection.selectors:
        if selector.name in header.names:
            matches = [selector.name]
        else:
            matches = [name for name in header.names if _fits_pattern(name, selector.name)]
        if not matches:
            raise DiagnosticError(no_column(selector, file))
        twice = next((name for name in matches if name in chosen), None)
        if twice is not None:
            raise DiagnosticError(Diagnostic("T402", f'the column "{twice}" is taken twice', selector.span))
        chosen += matches
    return tuple(chosen)


def _fits_pattern(name: str, pattern: str) -> bool:
    """`pixel_*`: the pieces between the stars stand in the name in this order. Takes linear time."""
    first, *pieces = pattern.split("*")
    if not pieces:
        return name == pattern
    *middle, last = pieces
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for piece in middle:
        at = name.find(piece, at, end) + len(piece)
        if at < len(piece):
            return False
    return True


def no_column(selector: Selector, file: Opened) -> Diagnostic:
    """T405, with the column that was meant."""
    header = file.table
    what = f'column that matches "{selector.name}"' if "*" in selector.name else f'column "{selector.name}"'
    meant = did_you_mean(selector.name, header.names)
    help = f"did you mean {meant}?" if meant else f"its columns are: {listed(header.names)}"
    if all(re.fullmatch(r"[-+.\deE]*", name) for name in header.names):
        help = f"its first line must hold the names of the columns; it is {listed(header.names)}"
    fix = (Edit(selector.span, meant if meant.isidentifier() else f'"{meant}"'),) if meant else ()
    return Diagnostic("T405", f"{file.shown} has no {what}", selector.span, help=help, fix=fix)


def require_columns(columns: Iterable[str], file: Opened, reason: str) -> None:
    """Raises T405 for the first columns that a further file lacks."""
    header = file.table
    missing = [name for name in columns if name not in header.names]
    if missing:
        what = f"column{'s' if len(missing) > 1 else ''} {listed(missing)}"
        meant = did_you_mean(missing[0], header.names)
        help = f"it has {meant}" if meant else f"its columns are: {listed(header.names)}"
        raise DiagnosticError(Diagnostic("T405", f"{file.shown} has no {what}: {reason}", file.span, help=help))


# --- arrays ----------------------------------------------------------------------------------------------------


def from_array(layout: Layout, selection: Selection, files: list[Opened], crops: Crops = ()) -> Origin:
    """The array that is one input. Raises T404, T405, V507."""
    selector = selection.selectors[0]
    transposed, span = selection.transposed, selection.span
    dense = [array_is_dense(layout, selector.name, transposed, file, span, crops) for file in files]
    if selection.steps and any(file.arrays[selector.name].kind == "U" for file in files):
        raise DiagnosticError(
            Diagnostic("V507", f"{selection.text} holds texts: no step applies to them", selection.span)
        )
    if len(set(dense)) > 1:
        message = f"{selection.text} holds class numbers in one file and one-hot columns in another"
        raise DiagnosticError(Diagnostic("T404", message, selection.span, related=declared(layout)))
    sizes = {array_size(layout, selector.name, transposed, file, dense[0]) if crops else None for file in files}
    if len(sizes) > 1:
        message = f"{selection.text} has images of one size in one file and of another in another"
        raise DiagnosticError(Diagnostic("T404", message, selection.span, related=declared(layout)))
    found = Origin("array", layout, span, array=selector.name, transposed=transposed, dense=dense[0], size=sizes.pop())
    if not layout.dimensions:
        return found
    if any(isinstance(step, Standardize | Scale) for step in selection.steps):
        message = f"the steps of {layout.text} are each example's own: what is fitted over them is not yet supported"
        raise DiagnosticError(Diagnostic("U901", message, selection.span))
    return with_sizes(found, files)


def with_sizes(origin: Origin, files: list[Opened]) -> Origin:
    """An array whose sizes only the data knows: those of the largest file, up to which the others are padded."""
    layout = origin.layout
    stored = [file.arrays[origin.array].shape[:: -1 if origin.transposed else 1] for file in files]
    batch = layout.batch_axis(origin.dense)
    examples = [tuple(size for axis, size in enumerate(shape) if axis != batch) for shape in stored]
    return replace(origin, stored=tuple(map(max, *examples)) if len(examples) > 1 else examples[0])


def lengths_mistakes(files: Iterable[Opened], origins: Iterable[Origin]) -> list[Diagnostic]:
    """T404 where an array that is called as a dimension does not hold a length for each example."""
    origins = [origin for origin in origins if origin.kind == "array"]
    names = {symbol.name for origin in origins for symbol in origin.layout.dimensions}
    for file in files if names else ():
        first = origins[0]
        shape = file.arrays[first.array].shape[:: -1 if first.transposed else 1]
        count = shape[first.layout.batch_axis(first.dense)]
        for name in sorted(names & file.arrays.keys()):
            array = file.arrays[name]
            if array.shape == (count,) and array.kind in "iu":
                continue
            message = (
                f'array "{name}" of {file.shown} is {shape_text(array.shape)} of type {array.dtype}: it must hold '
            )
            message += f"the {name} of each of the {count} examples, whole numbers"
            return [Diagnostic("T404", message, file.span)]
    return []


def array_size(layout: Layout, name: str, transposed: bool, file: Opened, dense: bool) -> Size:
    """The height and width of the images in an array."""
    shape = file.arrays[name].shape[:: -1 if transposed else 1]
    height, width = _places(layout, dense)
    return shape[height], shape[width]


def array_is_dense(
    layout: Layout, name: str, transposed: bool, file: Opened, span: Span | None, crops: Crops = ()
) -> bool:
    """Whether the array has the class axis; T405, T404 and V507 where it does not fit the declaration at all."""
    arrays = file.arrays
    array = arrays.get(name)
    if array is None:
        meant = did_you_mean(name, arrays)
        help = f'did you mean array("{meant}")?' if meant else f"its arrays are: {listed(arrays)}"
        raise DiagnosticError(Diagnostic("T405", f'{file.shown} has no array "{name}"', span, help=help))
    _require_numbers(array, name, layout, file, span)
    shape = array.shape[::-1] if transposed else array.shape
    forms = (False,) if layout.class_axis is None else (False, True)
    for dense in forms:
        if fits(_cropped(shape, layout, dense, crops), layout, dense):
            return dense
    needs = " or ".join(layout.shape_text(dense) for dense in forms)
    written = f'array("{name}")' + (".T" if transposed else "")
    message = f"{layout.text} needs {needs}, {written} of {file.shown} is {shape_text(shape)}"
    message += f" before {', '.join(crop.text for crop in crops)}" if crops else ""
    turned = any(fits(_cropped(shape[::-1], layout, dense, crops), layout, dense) for dense in forms)
    other = f'array("{name}")' + ("" if transposed else ".T")
    first = "last" if transposed else "first"
    advice = f"the examples come {first} there: write {layout.name} = {other}" if turned else None
    raise DiagnosticError(Diagnostic("T404", message, span, related=declared(layout), help=advice))


def _require_numbers(array: ArrayHeader, name: str, layout: Layout, file: Opened, span: Span | None) -> None:
    labels = layout.class_axis is not None
    if array.kind in ("fiub" + "U" * labels):
        return
    message = f'array "{name}" of {file.shown} does not hold numbers (its type is {array.dtype})'
    help: str | None = None
    if array.kind == "U":
        help = "texts can be the labels of a one_hot input or target only"
    elif array.kind == "O":
        message = f'array "{name}" of {file.shown} holds pickled Python objects, which are never loaded'
        help = f'save numbers: {name}.astype("float32"), or {name}.astype(str) for labels'
    raise DiagnosticError(Diagnostic("V507", message, span, help=help))


def fits(shape: tuple[int, ...], layout: Layout, dense: bool) -> bool:
    """Whether the shape is the declared one, for some m."""
    axes = range(len(layout.sizes)) if dense else layout.label_axes
    wanted = [layout.sizes[i] for i in axes]
    return len(shape) == len(wanted) and all(w in (None, size) for w, size in zip(wanted, shape, strict=True))


def _places(layout: Layout, dense: bool) -> tuple[int, int]:
    """The axes of an array of images that are height and width: the first beside that of the examples."""
    axes = range(len(layout.sizes) if dense else len(layout.label_axes))
    height, width = [axis for axis in axes if axis != layout.batch_axis(dense)][:2]
    return height, width


def _cropped(shape: tuple[int, ...], layout: Layout, dense: bool, crops: Crops) -> tuple[int, ...]:
    """The shape that an array has after crops; unchanged where they do not fit."""
    if not crops or len(shape) != (len(layout.sizes) if dense else len(layout.label_axes)):
        return shape
    height, width = _places(layout, dense)
    left = after(crops, (shape[height], shape[width]))
    if isinstance(left, Crop):
        return shape
    sizes = {height: left[0], width: left[1]}
    return tuple(sizes.get(axis, size) for axis, size in enumerate(shape))


def shape_text(shape: tuple[int, ...]) -> str:
    """`(64, 100)`, and `(100)` as the language writes it."""
    return f"({', '.join(map(str, shape))})"
