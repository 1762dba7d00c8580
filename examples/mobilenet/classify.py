"""What is on a photo? The five likeliest of the 1,000 classes of ImageNet.

python classify.py espresso.jpg cat.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import dlc

HERE = Path(__file__).parent
SIZE = 224


def photo(path: Path) -> np.ndarray:
    """The middle of a photo as the network wants it, (1, 224, 224, 3) from 0 to 255: the shorter side becomes 256."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)), dtype="float32")[None]


def main(paths: list[str]) -> None:
    names = (HERE / "classes.txt").read_text(encoding="utf-8").splitlines()
    model = dlc.load(HERE / "mobilenet.dl", model="Classify").compile()
    for path in paths:
        p = model.forward(photo=photo(Path(path)))["p"][:, 0]
        best = np.argsort(-p)[:5]
        print(f"{path}: {', '.join(f'{names[i]} {p[i]:.1%}' for i in best)}")


if __name__ == "__main__":
    main(sys.argv[1:] or [str(HERE / "espresso.jpg"), str(HERE / "cat.jpg")])
