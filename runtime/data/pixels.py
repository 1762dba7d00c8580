"""The pixels of images as bytes, in the form that the spec asks for; every bad image is named by its file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.settings import AS_STORED, ImageForm, Resize
from dlc.grammar.span import Span
from dlc.runtime.data.extras import extra
from dlc.runtime.data.formats import ImageFile
from dlc.runtime.data.image_origins import Shape, image_text
from dlc.runtime.data.images import CHANNELS, BadImage, mode_of, opened_image

Bytes = NDArray[np.uint8]


def check_header(file: ImageFile, form: ImageForm, shape: Shape, needs: str, span: Span | None) -> None:
    """Raises BadImage for what the header of an image shows to be wrong."""
    with opened_image(file, span) as picture:
        _require_shape(picture, file, form, shape, needs)


def _require_shape(picture: Any, file: ImageFile, form: ImageForm, shape: Shape, needs: str) -> str:
    """The mode to convert to. Raises BadImage V506 and V507."""
    mode = mode_of(picture, file)
    found = form.shape((picture.height, picture.width, CHANNELS[mode]))
    if found != shape:
        raise BadImage(file, "V506", f"is {image_text(found)}, {needs}")
    return mode


def pixels_of(file: ImageFile, form: ImageForm, shape: Shape, needs: str, span: Span | None) -> Bytes:
    """One image, (height, width, channels). Raises BadImage, and nothing is decoded where its size is another."""
    with opened_image(file, span) as picture:
        return formed(picture.convert(_require_shape(picture, file, form, shape, needs)), form)


def formed(picture: Any, form: ImageForm) -> Bytes:
    """Pillow's image in the form, (height, width, channels)."""
    if form.channels is not None:
        picture = picture.convert("L" if form.channels.colors == "gray" else "RGB")
    if form.resize is not None and (picture.height, picture.width) != form.resize.size:
        picture = _resized(picture, form.resize)
    pixels: Bytes = np.asarray(picture, dtype=np.uint8)
    return pixels.reshape(*pixels.shape[:2], -1)


def formed_array(pixels: Bytes, form: ImageForm, span: Span | None) -> Bytes:
    """The same for an image that is an array."""
    if form == AS_STORED:
        return pixels
    pillow = extra("PIL.Image", "pillow", "images", span)
    flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    return formed(pillow.fromarray(np.ascontiguousarray(flat)), form)


def _resized(picture: Any, resize: Resize) -> Any:
    """Each new pixel is the mean of the old ones below it, nearer ones counting more (a triangle, as wide as a new
    pixel on each side, at least as an old one): Pillow's and torchvision's bilinear resize."""
    height, width = resize.size
    box = None
    if resize.fit == "cover":
        scale = max(height / picture.height, width / picture.width)
        left = max(picture.width - width / scale, 0.0) / 2
        upper = max(picture.height - height / scale, 0.0) / 2
        box = (left, upper, picture.width - left, picture.height - upper)
    return picture.resize((width, height), _BILINEAR, box=box)


_BILINEAR = 2
"""Pillow's number of it (`Image.Resampling.BILINEAR`)."""
