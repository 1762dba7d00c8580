"""The zoo's networks, compiled: outputs, loss and every gradient are the reference executor's, in float64.

Compiling all of them takes minutes: by default a spread that has every kind of layer runs, with `--whole-zoo` all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_zoo_runs import CASES, inputs, loaded

CLOSE = 1e-9
SPREAD = {
    "convolution/lenet5",
    "convolution/conv3d",
    "detection/localization",
    "faces/triplet",
}
"""Plain convolutions and pooling; three axes; choices; one network applied three times. Depthwise convolutions and
normalizations are in `tests/codegen/test_feature_maps.py`."""


def same(found: Any, wanted: Any, title: str) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape, title
    error = np.linalg.norm(found - wanted) / max(np.linalg.norm(wanted), 1e-6)
    assert error < CLOSE, f"{title}: off by {error:.2g}"


@pytest.mark.parametrize(
    ("name", "hypers"),
    [pytest.param(*case[:2], marks=() if case[0] in SPREAD else pytest.mark.whole_zoo) for case in CASES],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_compiled_networks_give_the_reference(name: str, hypers: dict[str, Any]) -> None:
    spec = loaded(name, **hypers)
    compiled = spec.compile(dtype="float64", seed=1)
    reference = spec.compile(dtype="float64", seed=1, target="reference")
    data = inputs(spec, np.random.default_rng(2))
    given = {key: value for key, value in data.items() if spec.checked.inputs[key].role == "input"}
    outputs, wanted = compiled.forward(**given), reference.forward(**given)
    assert set(outputs) == set(wanted)
    for key, value in wanted.items():
        same(outputs[key], value, key)
    loss, gradients = compiled.loss_and_grads(**data)
    expected, known = reference.loss_and_grads(**data)
    same(loss, expected, "loss")
    assert set(gradients) == set(known)
    for key, value in known.items():
        same(gradients[key], value, f"d{key}")
