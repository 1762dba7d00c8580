"""Draws the data set: textured ellipses, triangles and quadrilaterals that hide one another, with their true classes.

    python examples/segmentation/make.py [--train 2400] [--dev 200] [--test 200] [--size 64] [--seed 1]

Writes train.npz, dev.npz and test.npz beside this file: X (examples, size, size, 3), bytes from 0 to 255, and Y
(examples, size, size), the class of every pixel: 0 background, 1 ellipse, 2 triangle, 3 quadrilateral. What a pixel
looks like does not tell its class, for the background, the shapes and the bars across them are textured alike: only
its surroundings do. The same seed gives the same images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

HERE = Path(__file__).resolve().parent
BACKGROUND, ELLIPSE, TRIANGLE, QUADRILATERAL = range(4)
NOISE = 0.05
LEAST = 0.01
"""The share of the image that a shape covers at least."""


def places(size: int) -> tuple[Floats, Floats]:
    """x and y of every pixel's middle, from 0 to 1."""
    at = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(at, at)
    return x, y


def turned(random: np.random.Generator, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Coordinates along and across a random direction."""
    angle = random.uniform(0, np.pi)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def texture(random: np.random.Generator, size: int) -> Floats:
    """(size, size, 3): a colour, two gratings of other colours, and a slope of brightness."""
    x, y = places(size)
    color = random.uniform(0.15, 0.85, 3) + np.zeros((size, size, 1))
    for _ in range(2):
        along, _ = turned(random, x, y)
        grating = np.sin(2 * np.pi * (random.uniform(2, 12) * along + random.uniform()))
        color += grating[..., None] * random.uniform(-0.15, 0.15, 3)
    along, _ = turned(random, x - 0.5, y - 0.5)
    return color + (along * random.uniform(0, 0.4))[..., None]


def ellipse(random: np.random.Generator, size: int) -> Mask:
    x, y = places(size)
    along, across = turned(random, x - random.uniform(0.1, 0.9), y - random.uniform(0.1, 0.9))
    long = random.uniform(0.1, 0.28)
    return (along / long) ** 2 + (across / (long * random.uniform(0.5, 1))) ** 2 < 1


def polygon(random: np.random.Generator, size: int, corners: int) -> Mask:
    """A convex polygon: its corners lie on a circle, no two of them close together."""
    x, y = places(size)
    steps = random.uniform(0.7, 1.3, corners)
    angles = random.uniform(0, 2 * np.pi) + 2 * np.pi * np.cumsum(steps) / steps.sum()
    radius = random.uniform(0.14, 0.3)
    corner_x = random.uniform(0.1, 0.9) + radius * np.cos(angles)
    corner_y = random.uniform(0.1, 0.9) + radius * np.sin(angles)
    inside = np.ones((size, size), bool)
    for k in range(corners):
        from_x, from_y = corner_x[k - 1], corner_y[k - 1]
        inside &= (corner_x[k] - from_x) * (y - from_y) - (corner_y[k] - from_y) * (x - from_x) > 0
    return inside


def bar(random: np.random.Generator, size: int) -> Mask:
    """A narrow stripe across the image."""
    x, y = places(size)
    along, _ = turned(random, x - 0.5, y - 0.5)
    return np.abs(along - random.uniform(-0.4, 0.4)) < random.uniform(0.01, 0.03)


def shape(random: np.random.Generator, size: int) -> tuple[int, Mask]:
    """A class and its pixels; one that lies almost outside the image is drawn again."""
    kind = int(random.integers(ELLIPSE, QUADRILATERAL + 1))
    while True:
        mask = ellipse(random, size) if kind == ELLIPSE else polygon(random, size, kind + 1)
        if mask.mean() >= LEAST:
            return kind, mask


def example(random: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image and its classes: three to six shapes, the later in front, and up to two bars in front of all."""
    image, classes = texture(random, size), np.zeros((size, size), np.uint8)
    for _ in range(random.integers(3, 7)):
        kind, mask = shape(random, size)
        image[mask], classes[mask] = texture(random, size)[mask], kind
    for _ in range(random.integers(0, 3)):
        mask = bar(random, size)
        image[mask], classes[mask] = texture(random, size)[mask], BACKGROUND
    image += NOISE * random.standard_normal(image.shape)
    return (255 * np.clip(image, 0, 1)).round().astype(np.uint8), classes


def main() -> None:
    parser = argparse.ArgumentParser(description="draws the images of the segmentation example")
    for split, count in (("train", 2400), ("dev", 200), ("test", 200)):
        parser.add_argument(f"--{split}", type=int, default=count, help="images (default: %(default)s)")
    parser.add_argument("--size", type=int, default=64, help="pixels on a side (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for number, split in enumerate(("train", "dev", "test")):
        random = np.random.default_rng([args.seed, number])
        examples = [example(random, args.size) for _ in range(getattr(args, split))]
        images, classes = (np.stack(arrays) for arrays in zip(*examples, strict=True))
        np.savez_compressed(HERE / f"{split}.npz", X=images, Y=classes)
        shares = ", ".join(f"{share:.0%}" for share in np.bincount(classes.reshape(-1), minlength=4) / classes.size)
        print(f"{split}.npz: {len(images)} images; pixels of background, ellipse, triangle, quadrilateral: {shares}")


if __name__ == "__main__":
    main()
