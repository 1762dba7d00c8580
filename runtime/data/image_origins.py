"""Holds images against the inputs: heights, widths and channels, and the number of classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.settings import Crop, Format, ImageForm, Selection
from dlc.grammar.span import Span
from dlc.runtime.data.changes import Size, after
from dlc.runtime.data.formats import Opened
from dlc.runtime.data.layout import Layout
from dlc.runtime.data.origins import Crops, Origin, declared, listed

Shape = tuple[int, int, int]


IMAGES: tuple[Format, ...] = ("images", "idx")
"""The formats whose sources hold images and their labels."""


def from_images(layout: Layout, selection: Selection, files: list[Opened], crops: Crops = ()) -> Origin:
    """The pixels, or the classes, that are one input. Raises T402, T404, T405."""
    if selection.kind == "label":
        return _from_labels(layout, selection, files)
    declaration = layout.declaration
    if declaration.index or layout.class_axis is not None:
        message = f"{layout.text} has classes, image gives pixels: write {layout.name} = label"
        raise DiagnosticError(Diagnostic("T402", message, selection.span, related=declared(layout)))
    size = require_shapes(files, layout, selection.form, crops, selection.span)
    return Origin("image", layout, selection.span, dense=True, form=selection.form, size=size)


def require_shapes(files: Iterable[Opened], layout: Layout, form: ImageForm, crops: Crops, span: Span | None) -> Size:
    """The height and width of the images in their form, before any crop.

    T404 for the first image, of those whose headers were read, that does not become one of the declared shape.
    """
    first: tuple[str, Shape] | None = None
    for shown, stored in (found for file in files for found in stored_shapes(file)):
        shape = form.shape(stored)
        left = after(crops, shape[:2])
        made = f"{shown} is {image_text(stored)}" + (f", which becomes {image_text(shape)}" if shape != stored else "")
        if isinstance(left, Crop):
            height, width = (max(sides) for sides in zip(left.size, shape[:2], strict=True))
            help = f"make the images larger, resize(image, {height}, {width}), or give the crop a pad"
            raise _misfit(f"{made}, and {left.text} is larger", layout, span, help)
        if (*left, shape[2]) != image_shape(layout):
            cut = f", and {image_text(left)} after {', '.join(crop.text for crop in crops)}" if crops else ""
            help = _advice((*left, shape[2]), layout, form, crops)
            raise _misfit(f"{made}{cut}, {needs_text(layout)}", layout, span, help)
        if first is not None and first[1] != shape:
            message = f"{made}, and {first[0]} {image_text(first[1])}: parts are cut from images of one size"
            raise _misfit(message, layout, span, "write resize(image, …) in place of image")
        first = shown, shape
    assert first is not None
    return first[1][:2]


def _misfit(message: str, layout: Layout, span: Span | None, help: str | None) -> DiagnosticError:
    rule = "an image is its height, width and channels, the batch has m of them: (m, n_H, n_W, n_C)"
    return DiagnosticError(Diagnostic("T404", message, span, related=declared(layout), rule=rule, help=help))


def stored_shapes(file: Opened) -> Iterator[tuple[str, Shape]]:
    """The sizes that the headers tell, and of what."""
    if file.format == "idx":
        yield f"each image of {file.shown}", file.idx.shape
        return
    for image, shape in file.images.shapes.items():
        yield f"image {image.shown}", shape


def image_shape(layout: Layout) -> Shape | None:
    """The height, width and channels of a declaration; one channel need not be declared. None where it has no image."""
    dense = layout.dense
    if len(dense) not in (2, 3):
        return None
    return dense[0], dense[1], dense[2] if len(dense) == 3 else 1


def image_text(shape: Iterable[int]) -> str:
    """`64 x 64 x 3`: height, width, channels."""
    return " x ".join(map(str, shape))


def needs_text(layout: Layout) -> str:
    """`X : (m, 64, 64, 3) needs 64 x 64 x 3`"""
    return f"{layout.text} needs {image_text(layout.dense)}"


def _advice(shape: Shape, layout: Layout, form: ImageForm, crops: Crops) -> str:
    """The edit that makes the declaration fit, and what could be done to the images instead."""
    height, width, channels = shape
    dense = layout.dense
    declare = f"declare {layout.name} : (m, {height}, {width}, {channels})"
    if dense == (height * width * channels,):
        return f"{declare}, and make it one column in the model: Flatten()"
    if dense == (channels, height, width):
        return f"the channels come last: {declare}"
    kinds = {1: "gray", 2: "gray with transparency", 3: "RGB", 4: "RGB with transparency"}
    wanted = image_shape(layout)
    if crops:
        return declare
    same_size = wanted is not None and wanted[:2] == (height, width)
    if wanted is not None and (change := _change(shape, wanted, form)) is not None:
        declare += f", or write {change} in place of image"
    elif same_size and wanted is not None and wanted[2] in kinds:
        declare += f", or save all images in {kinds[wanted[2]]}"
    return f"it is {kinds[channels]}: {declare}" if same_size else declare


def _change(shape: Shape, wanted: Shape, form: ImageForm) -> str | None:
    """`resize(gray(image), 64)`: what brings images of one shape to another, where the spec does not say it already."""
    text = "image"
    if shape[2] != wanted[2]:
        if wanted[2] not in (1, 3) or form.channels is not None:
            return None
        text = f"{'gray' if wanted[2] == 1 else 'rgb'}({text})"
    if shape[:2] != wanted[:2]:
        if form.resize is not None:
            return None
        height, width = wanted[:2]
        text = f"resize({text}, {height}{f', {width}' if width != height else ''})"
    return text


# --- classes ---------------------------------------------------------------------------------------------------


def _from_labels(layout: Layout, selection: Selection, files: list[Opened]) -> Origin:
    if selection.steps:
        message = "label is the name of a class: no step applies to it"
        raise DiagnosticError(Diagnostic("T402", message, selection.span))
    for file in files:
        require_labels(file, selection.span)
    if files[0].format == "idx":
        if layout.width != 1:
            message = f"{layout.text} needs {layout.width} values of an example, label gives one"
            raise DiagnosticError(Diagnostic("T404", message, selection.span, related=declared(layout)))
        return Origin("label", layout, selection.span)
    classes = tuple(sorted({name for file in files for name in file.images.classes}))
    _require_classes(classes, layout, selection, files[0])
    return Origin("label", layout, selection.span, texts=True, classes=classes)


def require_labels(file: Opened, span: Span | None) -> None:
    """T405 for images without classes."""
    shown = file.shown.rstrip("/")
    if file.format == "idx":
        if file.idx.labels is None:
            message = f"{shown} has no labels, and no file of labels lies beside it"
            help = f'name it: idx("{file.shown}", labels = "train-labels-idx1-ubyte.gz")'
            raise DiagnosticError(Diagnostic("T405", message, span, help=help))
    elif not file.images.classes:
        message = f"{shown} has no classes: its images lie in no sub-folders"
        help = f"label is the name of the folder that an image lies in: {shown}/cat/1.png"
        raise DiagnosticError(Diagnostic("T405", message, span, help=help))


def _require_classes(classes: tuple[str, ...], layout: Layout, selection: Selection, file: Opened) -> None:
    """T404 where the classes are not as many as declared; a single real feature takes two, as 0 and 1."""
    labels = layout.declaration.index or layout.class_axis is not None
    count = layout.declaration.classes if labels else 2
    if layout.width == 1 and len(classes) == count:
        return
    found = f"{file.shown.rstrip('/')} has {len(classes)} ({listed(classes)})"
    if layout.width != 1:
        message = f"{layout.text} needs {layout.width} values of an example, label gives one"
    elif labels:
        message = f"{layout.text} has {count} classes, {found}"
    else:
        message = f"{layout.text} tells two classes apart, {found}"
    help = f"declare {layout.name} : ({len(classes)}, m) one_hot" if len(classes) > 1 else None
    rule = "one class for each folder of images, in the order of their names"
    raise DiagnosticError(Diagnostic("T404", message, selection.span, related=declared(layout), rule=rule, help=help))
