"""Generated loops against the reference executor: the same words, however they are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from padded import synthetic
from sequence_zoo import OTHER_STEPS, STEPS, ZOO
from spread import spread

from dlc.runtime.program import Model

WAYS = [
    "greedy",
    "sample(temperature = 1)",
    "sample(temperature = 1.7, top_k = 2)",
    "beam(width = 3, alpha = 0.7)",
    "beam(width = 1, alpha = 0)",
]


def written(model: Model, threads: int = 1, dtype: str = "float64", **given: Any) -> dict[str, np.ndarray]:
    """What generated code makes of a model's parameters."""
    native = model.spec.compile(dtype=dtype, threads=threads)
    for name, value in model.params.items():
        native.params[name] = value
    return native.forward(**given)


def inputs_of(model: Model, lengths: Mapping[str, list[int]]) -> dict[str, Any]:
    """Random inputs, of each example's own length; without any there is one example."""
    sizes = {"T": 2, "T_y": 2} | {name: max(values) for name, values in lengths.items()}
    arrays = synthetic(model, 4, sizes)
    given = {name: value for name, value in arrays.items() if model.spec.inputs[name].role == "input"}
    return {**given, **({"lengths": lengths} if lengths else {})}


def assert_equal_words(model: Model, **given: Any) -> None:
    expected, found = model.forward(**given), written(model, **given)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name


@pytest.mark.parametrize("by", spread(WAYS, {WAYS[0], WAYS[2], WAYS[3]}))
@pytest.mark.parametrize("seed", range(3))
def test_a_recurrent_network(tmp_path: Path, by: str, seed: int) -> None:
    changes = {"sample(temperature = 1)": by, "max = 50": "max = 12"}
    model = ZOO["characters"].compiled(tmp_path, changes, seed)
    for value in model.params.values():
        value *= 3
    assert_equal_words(model)


@pytest.mark.parametrize("by", WAYS[2:4])
def test_an_encoder_and_a_decoder(tmp_path: Path, by: str) -> None:
    changes = {"beam(width = 3, alpha = 0.7)": by, "max = 60": "max = 7"}
    model = ZOO["translation"].compiled(tmp_path, changes)
    assert_equal_words(model, **inputs_of(model, {"T_x": STEPS}))


@pytest.mark.parametrize("by", WAYS[:1])
def test_attention_to_an_input_and_a_known_number_of_steps(tmp_path: Path, by: str) -> None:
    model = ZOO["dates"].compiled(tmp_path, {"by = greedy": f"by = {by}"})
    assert_equal_words(model, **inputs_of(model, {"T_x": OTHER_STEPS}))


@pytest.mark.parametrize("by", ["greedy", "beam(width = 2, alpha = 0.7)"])
def test_attention_to_its_own_words(tmp_path: Path, by: str) -> None:
    changes = {"sample(temperature = 0.8)": by, "max = 128": "until = 0, max = 8", "N = 2)": "N = 1)"}
    model = ZOO["TinyGPT"].compiled(tmp_path, changes)
    assert_equal_words(model)


def test_the_same_seed_gives_the_same_words_on_any_number_of_threads(tmp_path: Path) -> None:
    model = ZOO["one to many"].compiled(tmp_path)
    given = inputs_of(model, {})
    once = written(model, dtype="float32", **given)["music"]
    assert len({tuple(row) for row in once.tolist()}) > 1
    assert np.array_equal(written(model, 2, "float32", **given)["music"], once)
