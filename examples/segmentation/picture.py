"""Draws what a trained network makes of some test images: input, truth and prediction side by side.

    python picture.py RUN [PICTURE.png]

RUN is the folder that `dlc train` has printed. Needs Pillow and NumPy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import dlc

HERE = Path(__file__).parent
EXAMPLES, ENLARGED, GAP = 6, 3, 8
COLORS = np.array([(24, 24, 28), (230, 159, 0), (86, 180, 233), (0, 158, 115)], np.uint8)
"""Of the background, ellipses, triangles and quadrilaterals (distinct for the colour-blind, too)."""


def main(run: str, picture: str) -> None:
    data = np.load(HERE / "test.npz")
    images, truth = data["X"][:EXAMPLES], data["Y"][:EXAMPLES]
    scores = dlc.open(run).forward(X=images.astype("float32") / 255)["Y_hat"]
    rows = [images, COLORS[truth], COLORS[scores.argmax(-1)]]
    size = images.shape[1] * ENLARGED + GAP
    sheet = Image.new("RGB", (EXAMPLES * size + GAP, 3 * size + GAP), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            shown = Image.fromarray(image).resize((size - GAP, size - GAP), Image.Resampling.NEAREST)
            sheet.paste(shown, (GAP + x * size, GAP + y * size))
    sheet.save(picture)
    print(f"{picture}: input, truth and prediction of {EXAMPLES} test images, from top to bottom")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "segmentation.png")
