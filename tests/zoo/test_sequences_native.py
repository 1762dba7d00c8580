"""The sequence models, compiled: loss, every gradient and what is predicted are the reference executor's, in float64;
for batches of several lengths with one compilation, at one and two threads, and with every address checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from padded import synthetic
from sequence_zoo import ZOO, M, Tiny

import dlc
from dlc.runtime.program import Model

CLOSE = 1e-9
SPREAD = {"tagger", "sentiment", "LSTM", "bidirectional", "dates", "masked words"}
"""One and several outputs, gates, steps in reverse order, a decoder that looks at an encoder, attention over steps that
count."""
CHECKED = {"GRU", "mean of words"}


def same(found: Any, wanted: Any, title: str) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape, title
    error = np.linalg.norm(found - wanted) / max(np.linalg.norm(wanted), 1e-6)
    assert error < CLOSE, f"{title}: off by {error:.2g}"


def compiled(reference: Model, threads: int = 1) -> Model:
    """The compiled model at the reference's parameters."""
    native = reference.spec.compile(dtype="float64", threads=threads)
    for name, value in reference.params.items():
        native.params[name] = value
    for name, value in reference.state.items():
        native.state[name] = value
    return native


def batch(tiny: Tiny, model: Model, seed: int, more: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """A batch with its lengths; `more` makes each example so much longer."""
    lengths = {name: [length + more for length in values] for name, values in tiny.lengths.items()}
    examples = len(next(iter(lengths.values()), [0] * M))
    arrays = synthetic(model, examples, {name: max(values) for name, values in lengths.items()}, seed)
    return arrays, {"lengths": lengths} if lengths else {}


def agree(native: Model, reference: Model, tiny: Tiny, seed: int, more: int = 0) -> None:
    arrays, lengths = batch(tiny, reference, seed, more)
    loss, gradients = native.loss_and_grads(**arrays, **lengths)
    expected, known = reference.loss_and_grads(**arrays, **lengths)
    same(loss, expected, "loss")
    assert set(gradients) == set(known)
    for name, value in known.items():
        same(gradients[name], value, f"d{name}")


@pytest.mark.parametrize("name", ZOO)
def test_compiled_sequence_models_give_the_reference(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name not in SPREAD and not request.config.getoption("--whole-zoo"):
        pytest.skip("compiled with --whole-zoo only")
    tiny = ZOO[name]
    reference = tiny.compiled(tmp_path)
    native = compiled(reference)
    agree(native, reference, tiny, seed=1)
    agree(native, reference, tiny, seed=2, more=3)  # longer, with what is compiled already
    arrays, lengths = batch(tiny, reference, seed=3)
    declared = reference.spec.checked.inputs
    given = {key: value for key, value in arrays.items() if declared[key].role == "input"}
    seen = {symbol.name for key in given for symbol in declared[key].type.symbols}
    lengths = {key: {dim: v for dim, v in value.items() if dim in seen} for key, value in lengths.items()}
    outputs = native.forward(**given, **lengths)
    for key, value in reference.forward(**given, **lengths).items():
        if key not in tiny.drawn:
            same(outputs[key], value, key)


@pytest.mark.parametrize("name", ["LSTM", "sentiment"])
def test_two_threads_give_the_bits_of_one(name: str, tmp_path: Path) -> None:
    """With examples enough that threads share the work."""
    tiny = ZOO[name]
    reference = tiny.compiled(tmp_path)
    models = [compiled(reference, threads) for threads in (1, 2)]
    steps = [1 + i % 7 for i in range(300)]
    arrays = synthetic(reference, len(steps), {"T": max(steps)})
    (one, first), *rest = [
        model.loss_and_grads(**arrays, lengths={"T": steps}) for model in (models[0], *[models[1]] * 5)
    ]
    for loss, gradients in rest:
        assert loss == one
        assert all(np.array_equal(gradients[key], value) for key, value in first.items())


@pytest.mark.parametrize("name", sorted(CHECKED))
def test_loops_stay_inside_their_memory(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CHECK", "1")
    tiny = ZOO[name]
    reference = tiny.compiled(tmp_path)
    agree(compiled(reference), reference, tiny, seed=4)


DRAWING = """model Drawing(T = 6):
    input X : (2, m, T)
    param w : (2, 1) ~ ones
    s<0> : (2, m) = 0
    scan t in 1..T:
        keep : (2, m) ~ bernoulli(0.7)
        s<t> = tanh(s<t-1> + keep * w * X<t>)
    loss sum(s<T>^2, over = first)
    output s

train:
    optimizer = GradientDescent(lr = 0.1)
    batch     = 4
"""


def test_each_step_draws_anew(tmp_path: Path) -> None:
    """Forwards and backwards, and as the reference draws."""
    path = tmp_path / "net.dl"
    path.write_text(DRAWING)
    x = np.random.default_rng(3).standard_normal((2, 8, 6))
    trained = []
    for target in ("native", "reference"):
        model = dlc.load(path).compile(dtype="float64", target=target, seed=5)  # type: ignore[arg-type]
        model.fit(X=x, epochs=3)
        trained.append(np.array(model.params["w"]))
    np.testing.assert_allclose(*trained, rtol=1e-12)
