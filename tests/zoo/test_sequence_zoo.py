"""Tiny versions of the sequence models run, by the ops' own meanings: alone, padded, and writing."""

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
    with_garbage,
)
from sequence_zoo import SHORT, SPECS, STEPPED, ZOO, M

import dlc
from dlc.compiler.show import shape_table, smallest
from dlc.runtime.gradcheck import GREAT, gradcheck
from dlc.runtime.program import Model

FOLDERS = ("sequences", "embeddings", "attention", "practice")
FILES = sorted(path for folder in FOLDERS for path in (SPECS / folder).glob("*.dl"))
WARNED = {"practice/initialization": ["P307"]}
"""What a file shows on purpose."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_checks_clean(path: Path) -> None:
    found = [d for d in dlc.check(path) if d.severity != "note"]
    assert [d.code for d in found] == WARNED.get(f"{path.parent.name}/{path.stem}", []), found


def test_every_file_is_run() -> None:
    files = {f"{path.parent.name}/{path.stem}" for path in FILES if path.parent.name != "practice"}
    below = {"embeddings/analogy", "embeddings/debiasing"}
    assert files == {tiny.file for tiny in ZOO.values()} | below


# --- parameters --------------------------------------------------------------------------------------------------


def gates(number: int, n_a: int, n_x: int) -> int:
    """Gates of a recurrent unit, each with a weight for [a<t-1>, x<t>] and a bias."""
    return number * n_a * (n_a + n_x + 1)


def dense(n: int, n_x: int) -> int:
    return n * (n_x + 1)


def transformer(V: int, d: int, d_ff: int, N: int) -> int:
    """Vaswani et al. 2017, table 3: one matrix embeds both languages and makes the words again. The four projections
    of an attention have no biases, the feed-forward network has; a norm has two numbers for each feature."""
    attention, feed, norm = 4 * d * d, dense(d_ff, d) + dense(d, d_ff), 2 * d
    encoder = attention + feed + 2 * norm
    decoder = 2 * attention + feed + 3 * norm
    return V * d + N * (encoder + decoder)


COUNTS: list[tuple[str, dict[str, Any], int]] = [
    ("sequences/tagger", {}, gates(1, 100, 10_000) + dense(1, 100)),
    ("sequences/gru_simplified", {}, 50 * 8 + gates(2, 16, 8) + dense(1, 16)),
    ("sequences/gru", {}, gates(3, 64, 4) + dense(1, 64)),
    ("sequences/lstm", {}, gates(4, 128, 512) + dense(10, 128)),
    # the three gates read the memory cell too
    ("sequences/lstm_peephole", {}, gates(1, 8, 1) + gates(3, 8, 8 + 1) + dense(1, 8)),
    ("sequences/bidirectional", {}, 10_000 * 100 + 2 * gates(4, 64, 100) + dense(9, 2 * 64)),
    ("sequences/deep_rnn", {}, gates(3, 32, 20) + 2 * gates(3, 32, 32) + dense(4, 32)),
    ("sequences/character_model", {}, gates(1, 64, 27) + dense(27, 64)),
    (
        "sequences/word_model",
        {},
        dense(256, 10_000) + gates(4, 512, 256) + gates(4, 512, 512) + dense(10_000, 512),
    ),
    ("sequences/music", {}, gates(4, 64, 78) + dense(78, 64)),
    ("sequences/sentiment", {}, 10_000 * 300 + gates(1, 128, 300) + dense(5, 128)),
    ("sequences/captions", {}, dense(256, 4_096) + dense(256, 10_000) + gates(1, 256, 256) + dense(10_000, 256)),
    (
        "sequences/translation",
        {},
        10_000 * 256 + gates(4, 512, 256) + dense(256, 10_000) + gates(4, 512, 256) + dense(10_000, 512),
    ),
    ("sequences/ctc", {}, 2 * gates(3, 64, 40) + dense(28, 128)),
    # a normalization after the convolution and one between the recurrent layers
    (
        "sequences/trigger_word",
        {},
        dense(196, 15 * 101) + 2 * 196 + gates(3, 128, 196) + 2 * 128 + gates(3, 128, 128) + dense(1, 128),
    ),
    ("embeddings/neural_language_model", {}, 300 * 10_000 + dense(128, 4 * 300) + dense(10_000, 128)),
    ("embeddings/skip_gram", {}, 2 * 300 * 10_000),
    ("embeddings/glove", {}, 2 * 10_000 * (50 + 1)),
    # the decoder's step reads its state, the context of both directions and the character before; ten units attend
    (
        "attention/dates",
        {},
        2 * gates(4, 32, 37) + 10 * (64 + 2 * 32 + 1 + 1) + gates(1, 64, 2 * 32 + 11) + dense(11, 64),
    ),
    ("attention/self_attention", {}, 3 * 32 * 16 + 32 * 32 + dense(3, 32)),
    # 65 million in the paper's table, rounded, with "about 37,000" words
    ("attention/transformer", {}, transformer(37_000, 512, 2_048, 6)),
    ("attention/transformer", {"d_model": 1_024, "heads": 16, "d_ff": 4_096}, transformer(37_000, 1_024, 4_096, 6)),
]


@pytest.mark.parametrize(("file", "hypers", "count"), COUNTS, ids=lambda value: str(value))
def test_parameters_counted_by_hand(file: str, hypers: dict[str, Any], count: int) -> None:
    assert dlc.load(SPECS / f"{file}.dl", **hypers).checked.parameter_count == count


def test_the_transformer_has_63_million() -> None:
    assert transformer(37_000, 512, 2_048, 6) == 63_045_632


def test_the_table_of_a_network_that_needs_many_steps() -> None:
    """The trigger word needs 15 steps of sound for one of its own: 1 x 196 numbers, each of 15 x 101 products."""
    checked = dlc.load(SPECS / "sequences" / "trigger_word.dl").checked
    assert smallest(checked) == 15
    (row,) = (row for row in shape_table(checked) if row.name == "conv[1]")
    assert row.size == 196
    assert row.flops >= 2 * 196 * 15 * 101
    assert all(row.size >= 0 and row.flops >= 0 and row.memory >= 0 for row in shape_table(checked))


# --- what runs ---------------------------------------------------------------------------------------------------

T = 6
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "tagger": {"y_hat": (1, M, T)},
    "one to one": {"y_hat": (3, M)},
    "one to many": {"music": (M, 50)},
    "many to one": {"y_hat": (5, M)},
    "many to many": {"y_hat": (1, M, T)},
    "unequal": {"written": (M, 50)},
    "sentiment": {"y_hat": (3, M)},
    "simplified GRU": {"y_hat": (1, M)},
    "GRU": {"y_hat": (1, M, T)},
    "LSTM": {"y_hat": (3, M)},
    "peephole": {"y_hat": (1, M, T)},
    "bidirectional": {"y_hat": (3, M, T)},
    "deep": {"y_hat": (3, M, T)},
    "characters": {"s": (1, 50)},
    "words": {"s": (1, 60)},
    "music": {"melody": (1, 200)},
    "captions": {"s": (M, 30)},
    "translation": {"s": (M, 60)},
    "CTC": {"y_hat": (5, M, T)},
    "trigger word": {"y_hat": (1, M, (24 - 15) // 4 + 1)},
    "neural language model": {"y_hat": (7, M)},
    "skip-gram": {"y_hat": (7, M)},
    "hierarchical softmax": {"e_c": (3, M)},
    "negative sampling": {"y_hat": (3, M)},
    "GloVe": {"product": (1, M)},
    "mean of words": {"y_hat": (3, M)},
    "dates": {"iso": (M, 4)},
    "self-attention": {"y_hat": (3, M)},
    "transformer": {"s": (M, 60)},
    "TinyGPT": {"s": (1, 128)},
    "masked words": {"y_hat": (6, M, T)},
}


def asked(model: Model, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a prediction is given: all but the targets."""
    return {name: array for name, array in data.items() if model.spec.inputs[name].role == "input"}


@pytest.mark.parametrize("name", ZOO)
def test_runs(name: str, tmp_path: Path) -> None:
    model = ZOO[name].compiled(tmp_path)
    data = synthetic(model, M, ZOO[name].sizes)
    found = model.forward(**asked(model, data))
    assert {key: value.shape for key, value in found.items()} == SHAPES[name]
    assert all(np.isfinite(value).all() for value in found.values())
    loss, gradients = model.loss_and_grads(**data)
    assert loss == model.loss(**data)
    assert np.isfinite(loss)
    assert set(gradients) == set(model.params)
    for key, gradient in gradients.items():
        assert gradient.shape == model.params[key].shape
        assert np.isfinite(gradient).all(), key
    assert any(gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize("name", STEPPED)
def test_a_padded_batch_equals_its_examples(name: str, tmp_path: Path) -> None:
    """The loss with batch normalization mixes the examples: there only the prediction is each one's own."""
    tiny = ZOO[name]
    model = tiny.compiled(tmp_path, SHORT)
    assert_padding_is_not_seen(model, tiny.lengths, losses=name != "trigger word", drawn=tiny.drawn)
    assert_metrics_are_of_the_examples(model, tiny.lengths)


@pytest.mark.parametrize("name", STEPPED)
def test_what_stands_in_the_padding_changes_no_bit(name: str, tmp_path: Path) -> None:
    assert_garbage_changes_no_bit(ZOO[name].compiled(tmp_path, SHORT), ZOO[name].lengths)


def test_statistics_of_a_batch_leave_its_padding_out(tmp_path: Path) -> None:
    """Training with batch normalization is the same however far the batch is padded."""
    tiny = ZOO["trigger word"]
    model = tiny.compiled(tmp_path)
    longer = {"T": 33}
    data = synthetic(model, M, longer)
    short = {name: array[:, :, : 24 if name == "x" else 3] for name, array in data.items()}
    lengths = {name: np.array(values) for name, values in tiny.lengths.items()}
    loss, gradients = model.loss_and_grads(**short, lengths=lengths)
    again, found = model.engine.gradients(with_garbage(model, data, tiny.lengths), False)
    assert again == pytest.approx(loss, rel=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", ZOO)
def test_gradients_are_slopes(name: str, tmp_path: Path) -> None:
    """Of six parameters, from the first to the last; compiled code is asked for all (`test_sequences_native.py`)."""
    model = ZOO[name].compiled(tmp_path)
    names = list(model.params)
    some = names[:: -(-len(names) // 6)]
    needs = model.spec.checked.requirements
    found = list(gradcheck(model.engine, dict(model.spec.inputs), some, 1, 4, requirements=needs))
    assert [each.name for each in found] == some
    assert max(each.error for each in found) < GREAT, found


# --- what writes -------------------------------------------------------------------------------------------------

WRITERS = {
    "one to many": "music",
    "unequal": "written",
    "characters": "s",
    "words": "s",
    "music": "melody",
    "captions": "s",
    "translation": "s",
    "dates": "iso",
    "transformer": "s",
    "TinyGPT": "s",
}
SHORT_AND_GREEDY = SHORT | {
    f"by = {by}": "by = greedy"
    for by in (
        "sample(temperature = 1)",
        "sample(temperature = 0.8)",
        "beam(width = 3, alpha = 0.7)",
        "beam(width = 4, alpha = 0.6)",
    )
}


@pytest.mark.parametrize("name", WRITERS)
def test_each_word_that_is_written_is_the_likeliest(name: str, tmp_path: Path) -> None:
    """Read again with all words given, each step's prediction is the word that was written there."""
    tiny = ZOO[name]
    writer = tiny.compiled(tmp_path, SHORT_AND_GREEDY, seed=3)
    data = asked(writer, synthetic(writer, M, tiny.sizes))
    written = writer.forward(**data)[WRITERS[name]].astype(int)
    classes = writer.spec.inputs["y"].classes
    assert classes is not None
    assert written.min() >= 0
    assert written.max() < classes
    given = {"target y": "input y", "    loss ": "    output y_hat\n    loss "}
    reader = tiny.compiled(tmp_path, SHORT_AND_GREEDY | given, seed=3)
    words = np.zeros((M, written.shape[1]), int)
    words[: len(written)] = written
    y_hat = reader.forward(**data, y=words)["y_hat"]
    ends = "until" in (SPECS / f"{tiny.file}.dl").read_text()
    for example, sentence in enumerate(written):
        over = np.flatnonzero(sentence == 0)
        length = over[0] + 1 if ends and over.size else len(sentence)
        assert y_hat[:, example, :length].argmax(axis=0).tolist() == sentence[:length].tolist()
        assert not sentence[length:].any()


# --- what is said of single models -------------------------------------------------------------------------------


def compiled(file: str, model: str | None = None, **hypers: Any) -> Model:
    return dlc.load(SPECS / f"{file}.dl", model=model, **hypers).compile(dtype="float64", seed=2, target="reference")


def test_an_analogy_is_found() -> None:
    """Gender and royalty as two features, and one more: king - man + woman is the queen."""
    model = compiled("embeddings/analogy", V=6, n=3)
    man, woman, king, queen = range(4)  # then apple, orange
    model.params["E"][...] = np.array(
        [[-1, 1, -1, 1, 0, 0], [0.1, 0.1, 1, 1, 0, 0.1], [0.1, 0, 0, 0.1, 1, 0.9]], dtype=float
    )
    found = model.forward(man=[man, woman], woman=[woman, man], king=[king, queen])
    assert found["queen"].tolist() == [[queen, king]]
    E = model.params["E"]
    e = E[:, king] - E[:, man] + E[:, woman]
    cosine = [E[:, w] @ e / np.linalg.norm(E[:, w]) / np.linalg.norm(e) for w in range(6)]
    np.testing.assert_allclose(found["sim"][:, 0], cosine, rtol=1e-12, atol=1e-15)


def test_debiased_words() -> None:
    """Nothing along the direction of the bias is left in a neutral word, and a pair is equally far from it."""
    model = compiled("embeddings/debiasing", V=9, n=4, pairs=2)
    E = model.params["E"]
    E[...] = np.random.default_rng(3).normal(size=E.shape)
    E /= np.linalg.norm(E, axis=0)
    found = model.forward(he=[0, 2], she=[1, 3], word=[4, 5, 6], grandfather=[7] * 3, grandmother=[8] * 3)
    g = (E[:, 0] - E[:, 1] + E[:, 2] - E[:, 3]) / 2
    np.testing.assert_allclose(g @ found["neutral"], 0, atol=1e-12)
    rest = np.eye(4) - np.outer(g, g) / (g @ g)
    np.testing.assert_allclose(found["neutral"], rest @ E[:, [4, 5, 6]], rtol=1e-12)
    one, two = found["equal_1"], found["equal_2"]
    np.testing.assert_allclose(np.linalg.norm([one, two], axis=1), 1, rtol=1e-12)
    distances = [np.linalg.norm(found["neutral"] - e, axis=0) for e in (one, two)]
    np.testing.assert_allclose(*distances, rtol=1e-12)
    np.testing.assert_allclose(rest @ one, rest @ (E[:, [7] * 3] + E[:, [8] * 3]) / 2, rtol=1e-12)
    assert (g @ one * (g @ (E[:, 7] - E[:, 8])) > 0).all()


def test_a_question_mark_counts_nowhere() -> None:
    model = compiled("practice/multi_task", n_x=5)
    rng = np.random.default_rng(4)
    X, Y = rng.normal(size=(5, M)), rng.integers(0, 2, (4, M)).astype(float)
    Y[1, 2] = Y[3, 0] = np.nan
    Y_hat = model.forward(X=X)["Y_hat"]
    each = -(Y * np.log(Y_hat) + (1 - Y) * np.log(1 - Y_hat))
    loss, gradients = model.loss_and_grads(X=X, Y=Y)
    assert loss == pytest.approx(np.nansum(each) / M, rel=1e-12)
    dZ = np.nan_to_num(Y_hat - Y) / M
    np.testing.assert_allclose(gradients["dense[3].b"], dZ.sum(axis=1, keepdims=True), rtol=1e-12)


def test_what_must_not_happen_counts_ten_times() -> None:
    model = compiled("practice/weighted_error", n_x=5)
    rng = np.random.default_rng(5)
    X, Y = rng.normal(size=(5, M)), rng.integers(0, 2, (1, M)).astype(float)
    w = np.array([[1.0, 10, 1, 1]])
    one = [model.loss_and_grads(X=X[:, [i]], Y=Y[:, [i]], w=np.ones((1, 1))) for i in range(M)]
    loss, gradients = model.loss_and_grads(X=X, Y=Y, w=w)
    assert loss == pytest.approx(sum(w[0, i] * one[i][0] for i in range(M)) / M, rel=1e-12)
    wanted = sum(w[0, i] * one[i][1]["dense[1].W"] for i in range(M)) / M
    np.testing.assert_allclose(gradients["dense[1].W"], wanted, rtol=1e-12, atol=1e-15)


def test_zero_weights_never_become_different() -> None:
    """The rows of a hidden layer stay alike; with He's they do not even begin so."""
    rng = np.random.default_rng(6)
    X, Y = rng.normal(size=(2, 20)), rng.integers(0, 2, (1, 20)).astype(float)
    for name, alike in (("Zeros", True), ("Small", False), ("Xavier", False), ("He", False)):
        model = compiled("practice/initialization", name)
        for _ in range(5):
            for key, gradient in model.loss_and_grads(X=X, Y=Y)[1].items():
                model.params[key] -= 0.5 * gradient
        W = model.params["layer[1].W"]
        assert (np.ptp(W, axis=0) == 0).all() == alike, name
