"""Training on texts, each of its own length: batches by hand, the order of the buckets, stops, and what is written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.runtime import metrics
from dlc.runtime.buckets import POOL, bucketed
from dlc.runtime.data.layout import LENGTHS
from dlc.runtime.engine import Target, rows_of
from dlc.runtime.metrics import example_losses, measure
from dlc.runtime.texts import begun
from dlc.runtime.train import Nobody, Training, example_order

NAMES = """
Emma Olivia Ava Isabella Sophia Charlotte Mia Amelia Harper Evelyn Abigail Emily Elizabeth Mila Ella Avery Sofia Camila
Aria Scarlett Victoria Madison Luna Grace Chloe Penelope Layla Riley Zoey Nora
"""

NET = """\
model Names(V = 24, n_a = 6):
    dim T

    target y : (V, m, T) one_hot

    y_hat = shift(y) -> RNN(n_a) -> Dense(V, softmax)

    loss   cross_entropy(y_hat, y)
    metric perplexity(y_hat, y)
    output s = generate(y, from = y_hat, until = "<EOS>", max = 12, by = BY)

data:
    source = text("names.txt")
    y      = line -> chars(lower = on)
    split  = 0.7, 0.3

train:
    optimizer = Adam(lr = 0.03)
    batch     = 4
    epochs    = 3
    shuffle   = SHUFFLE
"""


@pytest.fixture
def names(tmp_path: Path) -> Any:
    """`names(by = …, shuffle = …, target = …)`: a model on thirty names."""
    (tmp_path / "names.txt").write_text("\n".join(NAMES.split()))

    def make(
        by: str = "greedy",
        shuffle: str = "on",
        text: str = NET,
        target: Target = "reference",
        dtype: str = "float64",
        threads: int = 1,
        seed: int = 5,
    ) -> dlc.Model:
        path = tmp_path / "names.dl"
        path.write_text(text.replace("BY", by).replace("SHUFFLE", shuffle))
        return dlc.load(path).compile(dtype=dtype, target=target, threads=threads, seed=seed)

    return make


def values(model: dlc.Model) -> dict[str, Any]:
    return {name: np.array(array) for name, array in model.params.items()}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


# --- the order -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "batch"), [(1, 4), (7, 7), (30, 4), (64, 8), (POOL * 6 + 11, 3)])
def test_an_order_of_buckets_is_an_order(count: int, batch: int) -> None:
    steps = np.random.default_rng(count).integers(1, 50, count)
    order = example_order(count, 1, 2, True)
    found = bucketed(order, steps, batch, 1, 2)
    assert sorted(found.tolist()) == list(range(count))
    assert (found == bucketed(order, steps, batch, 1, 2)).all()


def test_buckets_leave_little_padding_and_stay_random() -> None:
    rng = np.random.default_rng(3)
    steps, batch = rng.integers(1, 101, 10_000), 32
    orders = [bucketed(example_order(10_000, 1, e, True), steps, batch, 1, e) for e in (1, 2)]

    def padded(order: Any) -> float:
        groups = [steps[order[i : i + batch]] for i in range(0, len(order), batch)]
        return float(sum(len(group) * group.max() for group in groups)) / steps.sum()

    assert padded(example_order(10_000, 1, 1, True)) > 1.8
    assert padded(orders[0]) < 1.1
    firsts = [steps[order[: 20 * batch : batch]] for order in orders]
    assert len(set(firsts[0] // 10)) > 4, "batches do not come by length"
    meets = [{frozenset(order[i : i + batch].tolist()) for i in range(0, 9_900, batch)} for order in orders]
    assert not meets[0] & meets[1], "no batch is that of another epoch"


# --- training --------------------------------------------------------------------------------------------------


def test_training_is_its_batches_one_by_one(names: Any) -> None:
    """Each batch cut to its longest name, with its lengths, in the order of the buckets."""
    model, by_hand = names(), names()
    history = model.fit()
    train = by_hand.load_data().splits["train"]
    steps = train.arrays[LENGTHS + "T"]
    losses, step = [], 0
    for epoch in (1, 2, 3):
        order = bucketed(example_order(train.count, 5, epoch, True), steps, 4, 5, epoch)
        total = 0.0
        for start in range(0, train.count, 4):
            rows = order[start : start + 4]
            block = rows_of(train.arrays, by_hand.spec.inputs, rows)
            assert block["y"].shape[1] == steps[rows].max()
            total += by_hand.engine.train(block, np.arange(len(rows)), 4, 0, 1, step, epoch).loss
            step += 1
        losses.append(total / train.count)
    assert_same(values(model), values(by_hand))
    np.testing.assert_allclose(history["train.loss"], losses, rtol=1e-14)
    assert losses[2] < losses[0]


def test_without_shuffling_the_order_is_that_of_the_file(names: Any) -> None:
    model, by_hand = names(shuffle="off"), names(shuffle="off")
    model.fit(epochs=1)
    train = by_hand.load_data().splits["train"]
    lengths = {name: array.tolist() for name, array in train.lengths.items()}
    by_hand.fit(train.declared(), lengths=lengths, epochs=1)
    for name, array in model.params.items():
        np.testing.assert_allclose(by_hand.params[name], array, rtol=1e-10, atol=1e-12)


DROPS = NET.replace("RNN(n_a)", "GRU(n_a) -> Dropout(0.8)")


@pytest.mark.parametrize("target", ["reference", "native"])
def test_a_stop_changes_no_bit(names: Any, target: Target, tmp_path: Path) -> None:
    """Stopped in the middle of an epoch, saved, opened, and gone on."""
    whole, parts = names(text=DROPS, target=target), names(text=DROPS, target=target)
    whole.fit()

    class Stops(Nobody):
        def __init__(self) -> None:
            self.calls = 0

        def on_batches(self, progress: Any, of: int) -> None:
            self.calls += 1
            if self.calls == 8:
                self.training.stop_requested = True

        training: Training

    splits, observer = parts.load_data().splits, Stops()
    with parts.training(splits["train"].arrays, None, parts.spec.train, observer) as training:
        observer.training = training
        assert training.run().end == "interrupted"
    assert (parts.progress.epoch, parts.progress.batch) == (1, 2)
    parts.save(tmp_path / "run")
    again = dlc.open(tmp_path / "run")
    assert again.target == target
    assert again.progress == parts.progress
    splits = again.load_data().splits
    with again.training(splits["train"].arrays, None, again.spec.train, more=False) as training:
        assert training.run().end == "finished"
    assert_same(values(whole), values(again))
    assert_same(whole.engine.slots, again.engine.slots)


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(names: Any) -> None:
    """Batches of twenty names of all lengths, with dropout."""
    trained = [
        names(text=DROPS.replace("batch     = 4", "batch     = 20"), target="native", dtype="float32", **how)
        for how in ({}, {}, {"threads": 2}, {"threads": 2}, {"threads": 3}, {"seed": 6})
    ]
    for model in trained:
        model.fit()
    first, *others, other = trained
    for model in others:
        assert_same(values(first), values(model))
    assert any((array != other.params[name]).any() for name, array in first.params.items())


def test_a_measure_does_not_see_the_padding(names: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Perplexity over all characters of the split is that of the names one by one, in batches of two."""
    model = names()
    model.fit(epochs=1)
    part = model.load_data().splits["test"]
    log, count, total = 0.0, 0, 0.0
    for row in range(part.count):
        y = part.arrays["y"][row]
        loss = model.loss(y=y[None])
        log, count, total = log + loss, count + len(y), total + loss
    monkeypatch.setattr(metrics, "BATCH", 2)
    found = measure(model.engine, model.spec.checked, model.main.programs, part.arrays, 2)
    assert found["perplexity"] == pytest.approx(math.exp(log / count), rel=1e-12)
    assert found["loss"] == pytest.approx(total / part.count, rel=1e-12)
    single = example_losses(model.engine, model.spec.checked, part.arrays)
    expected = [model.loss(y=part.arrays["y"][row][None]) for row in range(part.count)]
    np.testing.assert_allclose(single, expected, rtol=1e-12)


def test_arrays_with_lengths_are_trained_on_as_given_in_python(tmp_path: Path) -> None:
    """Of an NPZ, without shuffling; NaN stands in the padding."""
    rng = np.random.default_rng(1)
    x, lengths = rng.standard_normal((3, 10, 6)), np.array([6, 2, 3, 1, 5, 4, 4, 2, 6, 3])
    y = rng.integers(0, 2, 10)
    spoiled = np.where(np.arange(6) < lengths[:, None], x, np.nan)
    np.savez(tmp_path / "a.npz", x=spoiled, y=y, T=lengths)
    path = tmp_path / "net.dl"
    path.write_text(
        """\
model Net:
    dim T
    input  x : (3, m, T)
    target y : (2, m) one_hot
    a     = x -> GRU(4)
    y_hat = a<T> -> Dense(2, softmax)
    loss   cross_entropy(y_hat, y)
    output y_hat

data:
    source = npz("a.npz")

train:
    batch   = 3
    shuffle = off
    epochs  = 4
"""
    )
    models = [dlc.load(path).compile(dtype="float64", target="reference") for _ in range(2)]
    models[0].fit()
    models[1].fit(x=x, y=y, lengths={"T": lengths})
    for name, array in models[0].params.items():
        np.testing.assert_allclose(models[1].params[name], array, rtol=1e-9, atol=1e-12)


# --- writing ---------------------------------------------------------------------------------------------------


def test_what_is_written_ends_with_the_word(names: Any) -> None:
    """`<EOS>` has its class from the vocabulary: where it is all that is likely, it is all that is written."""
    model = names()
    with pytest.raises(dlc.SpecError, match=r"V513.*needs a vocabulary"):
        model.forward()
    model.fit(epochs=1)
    known = model.preprocessing.vocabularies["y"]
    for word in ("<EOS>", "a"):
        for array in model.params.values():
            array[...] = 0
        model.params["dense[1].b"][known.classes[word]] = 9
        text = known.decode(model.forward()["s"][0].astype(int))
        assert text == {"<EOS>": "", "a": "a" * 12}[word]


@pytest.mark.parametrize("by", ["greedy", "sample(temperature = 0.3)", "beam(width = 2)"])
@pytest.mark.parametrize("target", ["reference", "native"])
def test_what_no_training_text_has_is_not_written(names: Any, by: str, target: Target) -> None:
    """`<UNK>` is far more likely than all else, and so is the last class, which no letter has; with classes for five
    letters only, the texts do have `<UNK>`."""
    for text, unknown in ((NET, False), (NET.replace("V = 24", "V = 7"), True)):
        model = names(by, text=text, target=target)
        model.fit(epochs=1)
        known = model.preprocessing.vocabularies["y"]
        for array in model.params.values():
            array[...] = 0
        model.params["dense[1].b"][[known.classes["<UNK>"], -1]] = 50
        words = set(model.forward()["s"][0].astype(int).tolist())
        assert (known.classes["<UNK>"] in words) == unknown
        assert max(words) < len(known.tokens)


@pytest.mark.parametrize("by", ["greedy", "sample(temperature = 2)", "beam(width = 2)"])
@pytest.mark.parametrize("target", ["reference", "native"])
def test_a_text_goes_on_as_it_would_have(names: Any, by: str, target: Target) -> None:
    """Behind more of what was written there is the same; not of a beam, where the beginning was not the best one."""
    model = names(by, target=target)
    model.load_data()
    random = np.random.default_rng(3)
    for array in model.params.values():
        array[...] = 2 * random.standard_normal(array.shape)
    model.params["dense[1].b"][0] = -50  # <EOS>
    found = set()
    for begin in ("zo", "a"):
        model.engine.words = begun(model, begin)
        (whole,) = model.texts("s", model.forward()["s"])
        assert len(whole) == 12
        assert whole.startswith(begin)
        found.add(whole[2:])
        if not by.startswith("beam"):
            model.engine.words = begun(model, whole[:6])
            assert model.texts("s", model.forward()["s"]) == [whole]
    assert len(found) == 2


def test_beginnings_that_cannot_be(names: Any) -> None:
    model = names(text=NET.replace('"<EOS>"', '"a"'))
    with pytest.raises(ValueError, match="no vocabulary"):
        begun(model, "a")
    model.load_data()
    with pytest.raises(ValueError, match="'a' ends a text of y"):
        begun(model, "zoa")


def test_a_text_ends_before_the_word_that_ends_it(names: Any) -> None:
    """The places behind it hold that word too, whichever it is."""
    model = names(text=NET.replace('"<EOS>"', '"a"'))
    model.fit(epochs=1)
    words = model.preprocessing.vocabularies["y"].encode("naaaaaaaaaaa")
    assert model.texts("s", np.array([words, words[::-1]])) == ["n", ""]
    assert model.preprocessing.vocabularies["y"].decode(words, until="a") == "n"
    with pytest.raises(ValueError, match="no output that is generated"):
        model.texts("y_hat", np.array([words]))
    for number in (-1, 24):
        with pytest.raises(ValueError, match=f"{number} is no class: they are 0 to 23"):
            model.preprocessing.vocabularies["y"].decode([number])
    assert model.preprocessing.vocabularies["y"].decode([23]) == "<UNK>"


def test_a_saved_model_writes_the_same(names: Any, tmp_path: Path) -> None:
    model = names("beam(width = 2, alpha = 0.7)")
    model.fit()
    model.save(tmp_path / "run")
    again = dlc.open(tmp_path / "run")
    assert again.preprocessing == model.preprocessing
    np.testing.assert_array_equal(again.forward()["s"], model.forward()["s"])


def test_a_word_that_no_text_ends_with(names: Any) -> None:
    for change, help in (
        ('"<EOS>"', "chars(end = on) puts <EOS> behind each text"),
        ('"A"', 'did you mean "a"?'),
    ):
        text = NET.replace("lower = on", "lower = on, end = off").replace('"<EOS>"', change)
        with pytest.raises(dlc.SpecError) as caught:
            names(text=text).fit()
        (found,) = caught.value.diagnostics
        word = change.strip('"')
        assert (found.code, found.message) == ("V513", f'until = "{word}" is no word of the vocabulary of y')
        assert found.help == help
        assert (found.span.line, found.related[0].span.line) == (10, 4)


def test_the_end_of_a_line_of_a_whole_text(names: Any) -> None:
    text = NET.replace("line -> chars(lower = on)", "chars(window = 10)").replace("V = 24", "V = 48")
    with pytest.raises(dlc.SpecError) as caught:
        names(text=text).fit()
    help = 'write until = "\\n", or y = line -> chars: each line is then an example and ends with <EOS>'
    assert caught.value.diagnostics[0].help == help
    model = names(text=text.replace('"<EOS>"', '"\\n"'))
    model.fit()
    known = model.preprocessing.vocabularies["y"]
    for array in model.params.values():
        array[...] = 0
    model.params["dense[1].b"][known.classes["\n"]] = 9
    assert known.decode(model.forward()["s"][0].astype(int), known.classes["\n"]) == ""
