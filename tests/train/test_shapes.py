"""What the example promises: few images are enough where every epoch changes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlc

SHAPES = Path(__file__).resolve().parents[2] / "examples" / "shapes"

pytest.importorskip("PIL.Image")


@pytest.mark.slow
def test_shapes_are_learned_from_changed_images() -> None:
    model = dlc.load(SHAPES / "shapes.dl").compile(seed=1)
    model.fit()
    test = model.load_data().splits["test"]
    assert model.evaluate(**test.declared())["accuracy"] >= 0.9


def test_the_images_are_four_classes_of_a_hundred() -> None:
    data = dlc.load(SHAPES / "shapes.dl").compile(target="reference").load_data()
    assert {split: part.count for split, part in data.splits.items()} == {"train": 240, "dev": 80, "test": 80}
    assert data.preprocessing.entries["Y"].classes == ("circle", "square", "star", "triangle")
    labels = np.concatenate([part.declared()["Y"] for part in data.splits.values()])
    assert np.bincount(labels).tolist() == [100] * 4
