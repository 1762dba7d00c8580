"""Random changes of images, each by its formula; what is drawn depends on the seed, the epoch and the example alone.

So an epoch is the same bits from any number of threads, in any blocks, and after an interruption. Places (flip, crop,
rotate) are drawn alike for all inputs of an example: a map of classes moves with its image.

Images are (examples, height, width) or with channels behind. Bytes and their arithmetic stay between 0 and 255.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.codegen.host.random_reference import normal01_reference, uniform01_reference
from dlc.compiler.codegen.values import draw_number
from dlc.compiler.settings import ColorShift, Crop, Flip, PcaColor, Rotate
from dlc.runtime.data import pixel_work
from dlc.runtime.data.changes import Change

Array = NDArray[Any]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

WHITE = 255.0
"""The greatest byte."""


class Draws:
    """The numbers that are drawn for some examples in one epoch (from 1)."""

    def __init__(self, seed: int, epoch: int, examples: Indices) -> None:
        self.seed, self.epoch, self.examples = seed, epoch, examples

    def uniform(self, name: str, width: int = 1) -> Floats:
        """(examples, width) numbers in [0, 1)."""
        return uniform01_reference(self.seed, draw_number(name), self.epoch, self._places(width))

    def normal(self, name: str, width: int) -> Floats:
        """(examples, width) standard normal numbers."""
        return normal01_reference(self.seed, draw_number(name), self.epoch, self._places(width))

    def _places(self, width: int) -> Indices:
        return self.examples[:, None] * width + np.arange(width)


def augmented(images: Array, change: Change, draws: Draws, colors: Floats | None) -> Array:
    """The images after all changes, of the type of the given ones or floats; `images` may be overwritten.

    `colors` are the principal colors (see `principal_colors`), needed where there is a `PcaColor`.
    """
    bytes = images.dtype == np.uint8
    for number, step in enumerate(change.augment):
        name = f"augment {number}"
        match step:
            case Flip():
                images = _flipped(images, step, draws.uniform(name)[:, 0])
            case Crop():
                images = _cropped(images, step, draws.uniform(name, 2))
            case Rotate():
                angles = np.deg2rad(step.degrees * (2 * draws.uniform(name)[:, 0] - 1))
                images = rotated(images, angles, nearest=change.kind == "map")
            case ColorShift() if change.kind == "image":
                shifts = step.amount * (2 * draws.uniform(name, color_channels(images)) - 1)
                images = _shifted(images, shifts, bytes)
            case PcaColor() if change.kind == "image":
                assert colors is not None
                images = _shifted(images, step.std * draws.normal(name, 3) @ colors.T, bytes)
    return images


def middle(images: Array, change: Change) -> Array:
    """The images as they are outside of training: of a crop the middle, and no other change."""
    for crop in change.crops:
        images = _cropped(images, crop, None)
    return images


# --- places ----------------------------------------------------------------------------------------------------


def _flipped(images: Array, flip: Flip, drawn: Floats) -> Array:
    chosen = drawn < flip.chance
    images[chosen] = images[chosen][:, :, ::-1] if flip.over == "width" else images[chosen][:, ::-1]
    return images


def _cropped(images: Array, crop: Crop, drawn: Floats | None) -> Array:
    """A part of each image: at one of all its places, each as likely, or in the middle (rounded to the upper left)."""
    size, pad = np.array(images.shape[1:3]), crop.pad
    height, width = crop.size
    room = size + 2 * pad - (height, width)
    places = np.broadcast_to(room // 2, (len(images), 2)) if drawn is None else np.floor(drawn * (room + 1))
    result = np.zeros((len(images), height, width, *images.shape[3:]), images.dtype)
    tops, lefts = np.ascontiguousarray(places.astype(np.int64).T - pad)
    pixel_work.cut(_with_channels(images), tops, lefts, _with_channels(result))
    return result


def rotated(images: Array, angles: Floats, nearest: bool) -> Array:
    """Each image turned about its middle by its angle (in radians), what comes from outside is 0.

    A pixel is the bilinear mean of the four around its place before the turn, or (`nearest`) the nearest one.
    """
    kept = nearest or images.dtype.kind == "f"
    result = np.zeros(images.shape, images.dtype if kept else np.float32)
    turn = pixel_work.turn_nearest if nearest else pixel_work.turn_bilinear
    turn(_with_channels(images), np.cos(angles), np.sin(angles), _with_channels(result))
    return result


# --- colors ----------------------------------------------------------------------------------------------------


def color_channels(images: Array) -> int:
    """The channels that are colors: the last of two or four is transparency."""
    channels = images.shape[3] if images.ndim == 4 else 1
    return channels - 1 if channels in (2, 4) else channels


def _shifted(images: Array, shifts: Floats, bytes: bool) -> Array:
    """The numbers (examples, colors) added to the pixels of each image."""
    images = np.ascontiguousarray(images, images.dtype if images.dtype.kind == "f" else np.float32)
    bounds = (0.0, WHITE) if bytes else (-np.inf, np.inf)
    pixel_work.shift(_with_channels(images), shifts, *bounds)
    return images


def _with_channels(images: Array) -> Array:
    """A view with an axis of channels."""
    return np.ascontiguousarray(images).reshape(*images.shape[:3], -1)


def principal_colors(blocks: Iterable[Array]) -> Floats:
    """The eigenvectors of the covariance of the three colors over all pixels, one a column, each times its eigenvalue.

    Of bytes, the covariance is that of fractions of white, and the result is in bytes again. An eigenvector points to
    where its largest component is positive.
    """
    count, mean, spread, white = 0, np.zeros(3), np.zeros((3, 3)), 1.0
    for block in blocks:
        white = WHITE if block.dtype == np.uint8 else 1.0
        pixels = block[..., :3].reshape(-1, 3) / white
        away = pixels.mean(axis=0) - mean
        share = len(pixels) / (count + len(pixels))
        own = pixels - pixels.mean(axis=0)
        spread += own.T @ own + np.outer(away, away) * (count * share)
        mean += away * share
        count += len(pixels)
    values, vectors = np.linalg.eigh(spread / count)
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.where(vectors[largest, np.arange(3)] < 0, -1.0, 1.0)
    result: Floats = white * vectors * signs * values
    return result
