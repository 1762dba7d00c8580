"""Trainings on images that are made in the background: the same bits as without, on any threads, after any stop."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.runtime import feeding
from dlc.runtime.data import pictures
from dlc.runtime.train import History, example_order

NET = """\
model Net:
    input  X : (m, 6, 5, 2)
    target Y : (3, m) one_hot
    Y_hat = X -> Flatten() -> Dense(3, softmax)
    loss   cross_entropy(Y_hat, Y)
    metric accuracy(Y_hat, Y)
    output Y_hat

data:
    source  = npz("d.npz")
    X       = array("X") / 255
    split   = 0.75, 0.25
    augment = AUGMENT

train:
    optimizer = Momentum(lr = 0.1)
    batch     = 7
    epochs    = 4
"""
ALL = "flip(), crop(6, 5, pad = 1), rotate(20), color_shift(30)"


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """`made(augment, **compile)`: a model on 40 small images, which the test finds as `X` and `Y`."""
    rng = np.random.default_rng(1)
    images, classes = rng.integers(1, 256, (40, 6, 5, 2), dtype=np.uint8), rng.integers(0, 3, 40)
    np.savez(tmp_path / "d.npz", X=images, Y=classes)

    def make(augment: str = ALL, text: str = NET, **options: Any) -> dlc.Model:
        path = tmp_path / "net.dl"
        path.write_text(text.replace("AUGMENT", augment))
        return dlc.load(path).compile(**{"target": "reference", **options})

    return make


def values(model: dlc.Model) -> dict[str, Any]:
    return {name: np.array(array) for name, array in model.params.items()}


def same(a: dlc.Model, b: dlc.Model) -> bool:
    return all((a.params[name] == b.params[name]).all() for name in a.params)


def test_a_change_that_leaves_nothing_to_draw_is_the_changed_data(made: Any) -> None:
    model = made("flip(1)")
    train = model.load_data().splits["train"]
    turned = {"X": np.array(train.declared()["X"])[:, :, ::-1], "Y": train.declared()["Y"]}
    history = model.fit()
    other = made("none")
    again = other.fit(turned)
    assert same(model, other)
    assert history["train.loss"] == again["train.loss"]


@pytest.mark.parametrize("target", ["reference", "native"])
def test_each_epoch_is_trained_on_its_own_changes(made: Any, target: str) -> None:
    """Epoch by epoch by hand: the images of the epoch as an array, in the order of the epoch."""
    model, other = made(seed=3, target=target), made("none", seed=3, target=target)
    train = model.load_data().splits["train"]
    rows = np.arange(train.count)
    history = model.fit()
    losses = []
    for epoch in range(1, 5):
        images = train.arrays["X"].augmented(rows, 3, epoch)
        losses += other.fit(X=images, Y=train.arrays["Y"], epochs=1)["train.loss"]
    assert same(model, other)
    assert history["train.loss"] == losses


@pytest.mark.parametrize("blocks", [1, 3000, 1 << 24])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_and_blocks_change_no_bit(
    made: Any, monkeypatch: pytest.MonkeyPatch, threads: int, blocks: int
) -> None:
    one = made(threads=1, target="native")
    one.fit()
    monkeypatch.setattr(feeding, "BLOCK_BYTES", blocks)
    monkeypatch.setattr(pictures, "BLOCK", 200)
    other = made(threads=threads, target="native")
    other.fit()
    assert same(one, other)


def test_the_background_makes_what_the_foreground_makes(made: Any) -> None:
    model = made()
    train = model.load_data().splits["train"]
    order = {epoch: example_order(train.count, 1, epoch, True) for epoch in (1, 2)}
    groups = [feeding.Group(epoch, first, count) for epoch in (1, 2) for first, count in ((0, 2), (2, 2), (4, 1))]
    feed = feeding.Feed(train.arrays, model.spec.inputs, 7, 1, order.__getitem__, iter(groups), 3)
    try:
        for group in groups:
            block = feed.take(group)
            rows = order[group.epoch][group.first * 7 : (group.first + group.count) * 7]
            np.testing.assert_array_equal(block["X"], train.arrays["X"].augmented(rows, 1, group.epoch))
            np.testing.assert_array_equal(block["Y"], train.arrays["Y"][rows])
            assert len(feed.blocks) <= feeding.AHEAD
    finally:
        feed.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("dlc-images")]


class Stops:
    """Stops a training after a number of batches."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.training: Any = None

    def on_batches(self, progress: Any, of: int) -> None:
        if progress.step >= self.after:
            self.training.stop_requested = True

    def on_epoch(self, record: Any, training: Any) -> None:
        pass


def stopped(model: dlc.Model, after: int) -> History:
    splits, observer = model.load_data().splits, Stops(after)
    with model.training(splits["train"].arrays, None, model.spec.train, observer, more=False) as training:
        observer.training = training
        return training.run()


@pytest.mark.parametrize("after", [1, 5, 7, 12])
def test_a_stop_and_a_resume_change_nothing(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(feeding, "BLOCK_BYTES", 1)
    whole = made()
    history = stopped(whole, 10**6)
    assert history.end == "finished"
    model = made()
    assert stopped(model, after).end == "interrupted"
    model.save(tmp_path / "run")
    again = dlc.open(tmp_path / "run", target="reference")
    rest = stopped(again, 10**6)
    assert same(whole, again)
    assert history["train.loss"][-len(rest.epochs) :] == rest["train.loss"]


def test_steps_end_inside_a_group(made: Any) -> None:
    text = NET.replace("epochs    = 4", "steps     = 7")
    one, other = made(text=text), made("none", text=text)
    one.fit()
    assert one.progress.step == 7
    train = one.load_data().splits["train"]
    rows = np.arange(train.count)
    other.fit(X=train.arrays["X"].augmented(rows, 1, 1), Y=train.arrays["Y"], steps=5)
    other.fit(X=train.arrays["X"].augmented(rows, 1, 2), Y=train.arrays["Y"], steps=2)
    assert same(one, other)


def test_measures_are_of_the_images_as_they_are(made: Any) -> None:
    text = NET + "    early_stop = patience(9, on = train.accuracy)\n"
    model = made("rotate(90), color_shift(90)", text=text)
    history = model.fit()
    train = model.load_data().splits["train"]
    measured = model.measure(train.arrays)
    assert model.evaluate(**train.declared()) == measured
    assert measured["accuracy"] == max(history["train.accuracy"])


def test_an_error_in_the_background_is_told_and_ends_the_threads(made: Any) -> None:
    """No image has a 0 before its edge is padded."""
    model = made("crop(6, 5, pad = 1)", text=NET.replace('array("X") / 255', 'array("X") -> log'))
    model.load_data()
    with pytest.raises(dlc.SpecError, match=r"V502.*: 0 is not a finite number after the steps of X") as caught:
        model.fit()
    assert "augment" in str(caught.value)
    assert not [t for t in threading.enumerate() if t.name.startswith("dlc-images")]
