"""What a step of a scan computes is kept for the gradient where the next step reads it in another form, too: in
compiled code it lies in two places, or as a part of a sequence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from padded import compiled, synthetic

import dlc

CONTEXTS = {
    "a product reads it": "AdditiveAttention(3)(s<t-1>, x)",
    "a concatenation reads it": (
        "drop(sum(x * softmax(x * rearrange(mean(s<t-1>, over = first), (1, m) -> (1, m, 1)), over = last), "
        "over = last), over = last)"
    ),
}


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=list(CONTEXTS))
def test_gradients_of_a_context(context: str, tmp_path: Path) -> None:
    text = f"""
model Net:
    dim T_x
    input  x : (4, m, T_x)
    target y : (6, m, 3)
    param W : (6, 10) ~ glorot
    s<0> : (6, m) = 0
    scan t in 1..3:
        context = {context}
        s<t>    = tanh(W @ concat(s<t-1>, context, over = first))
    loss   squared_error(s, y)
    output s
"""
    reference = compiled(text, tmp_path)
    native = dlc.load(tmp_path / "net.dl").compile(dtype="float64")
    for name, value in reference.params.items():
        native.params[name] = value
    arrays = synthetic(reference, 5, {"T_x": 4})
    wanted, found = (model.loss_and_grads(lengths={"T_x": [4, 2, 1, 3, 4]}, **arrays) for model in (reference, native))
    assert found[0] == pytest.approx(wanted[0], rel=1e-12)
    for name, gradient in wanted[1].items():
        np.testing.assert_allclose(found[1][name], gradient, rtol=1e-9, atol=1e-12, err_msg=name)
