"""What the example promises: the digits are learned, whatever the seed."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

import dlc

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"


@pytest.mark.parametrize(("name", "least"), [("digits", 0.97), ("blackboard", 0.95), ("convolution", 0.98)])
def test_the_median_test_accuracy_of_ten_seeds(name: str, least: float) -> None:
    spec = dlc.load(DIGITS / f"{name}.dl")
    accuracies = []
    for seed in range(1, 11):
        model = spec.compile(seed=seed)
        model.fit()
        test = model.load_data().splits["test"]
        accuracies.append(model.evaluate(**test.declared())["accuracy"])
    assert statistics.median(accuracies) >= least, accuracies
