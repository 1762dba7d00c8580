"""Draws the images of this example: circles, squares, stars and triangles of any color, size, place and angle.

    python draw.py FOLDER [IMAGES OF EACH]

They are drawn four times as large and then scaled down: bright, on a dark ground that runs from one color to another,
with a line across. Needs Pillow and NumPy, and draws the same images each time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE, FINE = 32, 4
CORNERS = {"square": (4, 1.0), "star": (10, 0.45), "triangle": (3, 1.0)}
"""How many corners a shape has, and how far every second one is from the middle."""


def outline(kind: str, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The corners of a shape somewhere in the image."""
    radius = rng.uniform(6, 12)
    middle = rng.uniform(radius, SIZE - radius, 2)
    count, inner = CORNERS.get(kind, (60, 1.0))
    angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(count) / count
    far = radius * np.where(np.arange(count) % 2, inner, 1.0) if inner != 1 else np.full(count, radius)
    points = middle[:, None] + far * np.array([np.cos(angles), np.sin(angles)])
    return [(FINE * x, FINE * y) for x, y in points.T.tolist()]


def drawn(kind: str, rng: np.random.Generator) -> Image.Image:
    """One image."""
    across = np.linspace(0, 1, SIZE * FINE)[None, :, None]
    ends = rng.uniform(0, 110, (2, 3))
    ground = np.broadcast_to(ends[0] * (1 - across) + ends[1] * across, (SIZE * FINE, SIZE * FINE, 3))
    image = Image.fromarray(ground.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    fill = rng.uniform(140, 255, 3)
    pen.polygon(outline(kind, rng), fill=tuple(fill.astype(int).tolist()))
    line = [tuple(point) for point in rng.uniform(0, SIZE * FINE, (2, 2)).tolist()]
    pen.line(line, fill=tuple(rng.integers(0, 256, 3).tolist()), width=FINE)
    return image.resize((SIZE, SIZE), Image.Resampling.BOX)


def main(folder: str, count: str = "100") -> None:
    rng = np.random.default_rng(2026)
    for kind in ("circle", *CORNERS):
        place = Path(folder) / kind
        place.mkdir(parents=True, exist_ok=True)
        for number in range(int(count)):
            drawn(kind, rng).save(place / f"{number:03}.png", optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
