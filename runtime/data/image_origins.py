"""Holds a folder of images against the inputs: heights, widths and channels, and the number of classes."""

from __future__ import annotations

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.settings import Selection
from dlc.grammar.span import Span
from dlc.runtime.data.formats import ImagesHeader, Opened
from dlc.runtime.data.layout import Layout
from dlc.runtime.data.origins import Origin, declared, listed

Shape = tuple[int, ...]


def from_images(layout: Layout, selection: Selection, files: list[Opened]) -> Origin:
    """The pixels, or the classes, that are one input. Raises T402, T404, T405."""
    if selection.kind == "label":
        return _from_labels(layout, selection, files)
    declaration = layout.declaration
    if declaration.index or layout.class_axis is not None:
        message = f"{layout.text} has classes, image gives pixels: write {layout.name} = label"
        raise DiagnosticError(Diagnostic("T402", message, selection.span, related=declared(layout)))
    for file in files:
        require_shapes(file.images, layout, selection.span)
    return Origin("image", layout, selection.span, dense=True)


def require_shapes(header: ImagesHeader, layout: Layout, span: Span | None) -> None:
    """T404 for the first image, of those whose headers were read, that is not of the declared shape."""
    for file, shape in header.shapes.items():
        if not image_fits(shape, layout):
            rule = "an image is its height, width and channels, the batch has m of them: (m, n_H, n_W, n_C)"
            raise DiagnosticError(
                Diagnostic(
                    "T404",
                    f"image {file.shown} is {image_text(shape)}, {layout.text} needs {image_text(layout.dense)}",
                    span,
                    related=declared(layout),
                    rule=rule,
                    help=_advice(shape, layout),
                )
            )


def image_fits(shape: Shape, layout: Layout) -> bool:
    """Whether an image is of the declared shape; one channel need not be declared."""
    return layout.dense in (shape, shape[:2] if shape[2] == 1 else shape)


def image_text(shape: Shape) -> str:
    """`64 x 64 x 3`: height, width, channels."""
    return " x ".join(map(str, shape))


def _advice(shape: Shape, layout: Layout) -> str:
    """The edit that makes the declaration fit, and what could be done to the images instead."""
    height, width, channels = shape
    dense = layout.dense
    declare = f"declare {layout.name} : (m, {height}, {width}, {channels})"
    if dense == (height * width * channels,):
        return f"{declare}, and make it one column in the model: Flatten()"
    if dense == (channels, height, width):
        return f"the channels come last: {declare}"
    if dense[:2] == (height, width) and len(dense) <= 3:
        kinds = {1: "gray", 2: "gray with transparency", 3: "RGB", 4: "RGB with transparency"}
        wanted = kinds.get(dense[2] if len(dense) == 3 else 1)
        save = f", or save all images in {wanted}" if wanted else ""
        return f"it is {kinds[channels]}: {declare}{save}"
    return f"{declare}, or bring all images to one size"


# --- classes ---------------------------------------------------------------------------------------------------


def _from_labels(layout: Layout, selection: Selection, files: list[Opened]) -> Origin:
    if selection.steps:
        message = "label is the name of a class: no step applies to it"
        raise DiagnosticError(Diagnostic("T402", message, selection.span))
    flat = next((file for file in files if not file.images.classes), None)
    if flat is not None:
        shown = flat.shown.rstrip("/")
        message = f"{shown} has no classes: its images lie in no sub-folders"
        help = f"label is the name of the folder that an image lies in: {shown}/cat/1.png"
        raise DiagnosticError(Diagnostic("T405", message, selection.span, help=help))
    classes = tuple(sorted({name for file in files for name in file.images.classes}))
    _require_classes(classes, layout, selection, files[0])
    return Origin("label", layout, selection.span, texts=True, classes=classes)


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
