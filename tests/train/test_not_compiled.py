"""A program is generated when it is first asked for: what has no compiled form is told then, not as a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.compiler.codegen import NotSupported
from dlc.runtime import jit, native_engine

MODEL = """model Line():
    input  X : (3, m)
    target Y : (1, m)
    Y_hat = X -> Dense(1)
    loss   squared_error(Y_hat, Y)
    metric R2(Y_hat, Y)
    output Y_hat
"""


def refuse(*_: Any, **__: Any) -> Any:
    raise NotSupported("this form")


@pytest.fixture
def model(tmp_path: Path) -> dlc.Model:
    path = tmp_path / "net.dl"
    path.write_text(MODEL)
    return dlc.load(path).compile()


CALLS: dict[str, Callable[[dlc.Model, dict[str, Any]], object]] = {
    "forward": lambda model, data: model.forward(X=data["X"]),
    "loss": lambda model, data: model.loss(**data),
    "loss_and_grads": lambda model, data: model.loss_and_grads(**data),
    "evaluate": lambda model, data: model.evaluate(**data),
    "fit": lambda model, data: model.fit(**data, epochs=1),
    "predict_jit": lambda model, data: model.predict_jit,
}


@pytest.mark.parametrize("call", CALLS)
def test_what_has_no_compiled_form_is_told(call: str, model: dlc.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_engine, "generate", refuse)
    with pytest.raises(dlc.SpecError, match=r"U901.*this form"):
        CALLS[call](model, {"X": np.ones((3, 4)), "Y": np.ones((1, 4))})


def test_a_prediction_without_a_jitted_form_is_told(model: dlc.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "jitted_prediction", refuse)
    with pytest.raises(dlc.SpecError, match=r"U901.*this form"):
        _ = model.predict_jit
