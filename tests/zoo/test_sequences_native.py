"""The sequence models, compiled: loss, every gradient and what is predicted are the reference executor's, in float64;
for batches of several lengths with one compilation, with the same bits at any number of threads, with every address
checked, with padding that nothing shows, and with gradients that are slopes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from padded import (
    assert_garbage_changes_no_bit,
    assert_metrics_are_of_the_examples,
    assert_padding_is_not_seen,
    synthetic,
)
from sequence_zoo import STEPPED, ZOO, M, Tiny, native
from spread import spread

import dlc
from dlc.runtime.gradcheck import GREAT, gradcheck
from dlc.runtime.program import Model

CLOSE = 1e-9


def same(found: Any, wanted: Any, title: str) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape, title
    error = np.linalg.norm(found - wanted) / max(np.linalg.norm(wanted), 1e-6)
    assert error < CLOSE, f"{title}: off by {error:.2g}"


def batch(tiny: Tiny, model: Model, seed: int, more: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """A batch with its lengths; `more` makes each example so much longer."""
    lengths = {name: [length + more for length in values] for name, values in tiny.lengths.items()}
    examples = len(next(iter(lengths.values()), [0] * M))
    arrays = synthetic(model, examples, {name: max(values) for name, values in lengths.items()}, seed)
    return arrays, {"lengths": lengths} if lengths else {}


def asked(model: Model, arrays: dict[str, Any], lengths: dict[str, Any]) -> dict[str, Any]:
    """What a prediction is given: all but the targets."""
    declared = model.spec.checked.inputs
    given = {key: value for key, value in arrays.items() if declared[key].role == "input"}
    seen = {symbol.name for key in given for symbol in declared[key].type.symbols}
    return given | {key: {dim: v for dim, v in value.items() if dim in seen} for key, value in lengths.items()}


def agree(model: Model, reference: Model, tiny: Tiny, seed: int, more: int = 0) -> None:
    arrays, lengths = batch(tiny, reference, seed, more)
    loss, gradients = model.loss_and_grads(**arrays, **lengths)
    expected, known = reference.loss_and_grads(**arrays, **lengths)
    same(loss, expected, "loss")
    assert set(gradients) == set(known)
    for name, value in known.items():
        same(gradients[name], value, f"d{name}")


def agree_on_predictions(model: Model, reference: Model, tiny: Tiny, seed: int) -> None:
    given = asked(reference, *batch(tiny, reference, seed))
    outputs = model.forward(**given)
    for key, value in reference.forward(**given).items():
        if key not in tiny.drawn:
            same(outputs[key], value, key)


@pytest.mark.parametrize("name", spread(ZOO, {"tagger", "sentiment", "LSTM", "bidirectional", "dates", "masked words"}))
def test_compiled_sequence_models_give_the_reference(name: str, tmp_path: Path) -> None:
    """By default: one and several outputs, gates, steps in reverse order, a decoder that looks at an encoder, attention
    over steps that count."""
    tiny = ZOO[name]
    reference = tiny.compiled(tmp_path)
    model = native(reference)
    agree(model, reference, tiny, seed=1)
    agree(model, reference, tiny, seed=2, more=3)  # longer, with what is compiled already
    agree_on_predictions(model, reference, tiny, seed=3)


@pytest.mark.parametrize("name", spread(ZOO, {"LSTM", "sentiment"}))
def test_more_threads_give_the_bits_of_one(name: str, tmp_path: Path) -> None:
    """Again and again, with examples enough that threads share the work."""
    tiny, examples = ZOO[name], 300
    reference = tiny.compiled(tmp_path)
    lengths = tiny.many(examples)
    arrays = synthetic(reference, examples, {name: max(values) for name, values in lengths.items()})
    given = {"lengths": lengths} if lengths else {}

    def bits(model: Model) -> dict[str, Any]:
        loss, gradients = model.loss_and_grads(**arrays, **given)
        outputs = model.forward(**asked(model, arrays, given))
        return {"loss": loss, **{key: value.tobytes() for key, value in (gradients | outputs).items()}}

    one, two, three = (native(reference, threads) for threads in (1, 2, 3))
    wanted = bits(one)
    for model in (one, *[two] * 5, *[three] * 3):
        assert bits(model) == wanted


@pytest.mark.parametrize("name", spread(ZOO, {"GRU"}))
def test_loops_stay_inside_their_memory(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a step of training too, and of a measurement."""
    monkeypatch.setenv("DLC_CHECK", "1")
    tiny = ZOO[name]
    reference = tiny.compiled(tmp_path)
    model = native(reference)
    agree(model, reference, tiny, seed=4)
    agree(model, reference, tiny, seed=5, more=3)
    agree_on_predictions(model, reference, tiny, seed=6)
    arrays, lengths = batch(tiny, reference, seed=7)
    model.evaluate(**arrays, **lengths)
    model.fit(**arrays, **lengths, epochs=1, batch=3)


@pytest.mark.parametrize("name", spread(STEPPED, {"self-attention"}))
def test_padding_is_not_seen(name: str, tmp_path: Path) -> None:
    """A padded batch is its examples one by one, whatever stands behind their ends. (The loss with batch normalization
    mixes the examples.)"""
    tiny = ZOO[name]
    model = native(tiny.compiled(tmp_path))
    assert_padding_is_not_seen(model, tiny.lengths, losses=name != "trigger word", drawn=tiny.drawn)
    assert_metrics_are_of_the_examples(model, tiny.lengths)
    assert_garbage_changes_no_bit(model, tiny.lengths)


@pytest.mark.parametrize("name", spread(ZOO, {"simplified GRU"}))
def test_gradients_are_slopes(name: str, tmp_path: Path) -> None:
    """Of every parameter."""
    model = native(ZOO[name].compiled(tmp_path))
    needs = model.spec.checked.requirements
    found = list(gradcheck(model.engine, dict(model.spec.inputs), list(model.params), 1, 20, requirements=needs))
    assert [each.name for each in found] == list(model.params)
    assert max(each.error for each in found) < GREAT, found


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
