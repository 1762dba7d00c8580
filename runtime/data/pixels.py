"""The pixels of a folder's images as bytes, every bad image named by its file."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import DiagnosticError
from dlc.grammar.span import Span
from dlc.runtime.data.formats import ImageFile, ImagesHeader
from dlc.runtime.data.image_origins import image_fits, image_text
from dlc.runtime.data.images import CHANNELS, mode_of, opened_image
from dlc.runtime.data.layout import Layout
from dlc.runtime.data.problems import Problems

Bytes = NDArray[np.uint8]


def read_pixels(header: ImagesHeader, layout: Layout, span: Span | None) -> Bytes:
    """One row for each image: height by width by channels, as declared.

    Raises V504 (a damaged image), V506 (of another size than declared), V507 (of a kind that is not read), ten at most
    and a count.
    """
    result = np.empty((len(header.files), math.prod(layout.dense)), dtype=np.uint8)
    problems = Problems()
    for row, file in enumerate(header.files):
        try:
            pixels = _pixels(file, layout, span, problems)
        except DiagnosticError as error:
            (found,) = error.diagnostics
            if found.code == "V512":
                raise
            problems.add(found.code, found.message, found.span, found.help)
            continue
        if pixels is not None:
            result[row] = pixels.reshape(-1)
    problems.raise_if_any()
    return result


def _pixels(file: ImageFile, layout: Layout, span: Span | None, problems: Problems) -> Bytes | None:
    """The bytes of one image; None, and nothing decoded, where its size is another."""
    with opened_image(file, span) as picture:
        mode = mode_of(picture, file, span)
        shape = (picture.height, picture.width, CHANNELS[mode])
        if image_fits(shape, layout):
            return np.asarray(picture.convert(mode), dtype=np.uint8)
    needs = image_text(layout.dense)
    problems.add("V506", f"image {file.shown} is {image_text(shape)}, {layout.text} needs {needs}", span)
    return None
