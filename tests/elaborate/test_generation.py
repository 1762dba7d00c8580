"""`generate` in the language: what it writes, against plain loops, and what it refuses."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.compiler.driver import check
from dlc.runtime.program import Model

WRITER = """
model Writer(V = 5, n_a = 4):
    dim T <= 8
    target y : (V, m, T) one_hot
    y<0> : (V, m) = 0
    a<0> : (n_a, m) = 0
    param W : (n_a, n_a) ~ glorot
    param E : (n_a, V)   ~ glorot
    param U : (V, n_a)   ~ glorot
    scan t in 1..T:
        a<t>     = tanh(W @ a<t-1> + E @ y<t-1>)
        y_hat<t> = softmax(U @ a<t>)
    loss   cross_entropy(y_hat, y)
    output s = generate(y, from = y_hat, until = 0, max = 8, by = greedy)
"""

DECODER = """
model Decoder(V = 3, n_a = 4):
    dim T_x
    dim T
    input  x : (2, m, T_x)
    target y : (V, m, T) one_hot
    y<0> : (V, m) = 0
    a = x -> RNN(n_a)
    s<0> : (n_a, m) = a<T_x>
    param W : (n_a, n_a) ~ glorot
    param E : (n_a, V)   ~ glorot
    scan t in 1..T:
        s<t> = tanh(W @ s<t-1> + E @ y<t-1>)
    y_hat = s -> Dense(V, softmax) as words
    loss   cross_entropy(y_hat, y)
    output z = generate(y, from = y_hat, until = 0, max = 3, by = beam(width = 100, alpha = 0.7))
"""


def compiled(text: str, folder: Path, seed: int = 0) -> Model:
    """The model with parameters that make up its mind."""
    path = folder / "net.dl"
    path.write_text(text)
    model = dlc.load(path).compile(dtype="float64", target="reference")
    random = np.random.default_rng(seed)
    for value in model.params.values():
        value[...] = 2 * random.standard_normal(value.shape)
    return model


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum()


@pytest.mark.parametrize("seed", range(4))
def test_a_model_without_inputs_writes_what_a_plain_loop_writes(tmp_path: Path, seed: int) -> None:
    model = compiled(WRITER, tmp_path, seed)
    p = model.params
    a, column, expected = np.zeros(4), np.zeros(5), []
    while len(expected) < 8 and (not expected or expected[-1] != 0):
        a = np.tanh(p["W"] @ a + p["E"] @ column)
        expected.append(int(np.argmax(p["U"] @ a)))
        column = np.eye(5)[expected[-1]]
    assert model.forward()["s"].tolist() == [expected + [0] * (8 - len(expected))]


def log_probability(model: Model, x: np.ndarray, words: tuple[int, ...]) -> float:
    """log p(words | x) of the decoder, step by step; x is (2, T_x)."""
    p = model.params
    a = np.zeros(4)
    for t in range(x.shape[1]):
        a = np.tanh(p["rnn[1].W_aa"] @ a + p["rnn[1].W_ax"] @ x[:, t] + p["rnn[1].b_a"][:, 0])
    column, total = np.zeros(3), 0.0
    for word in words:
        a = np.tanh(p["W"] @ a + p["E"] @ column)
        total += np.log(softmax(p["words.W"] @ a + p["words.b"][:, 0])[word])
        column = np.eye(3)[word]
    return total


@pytest.mark.parametrize("seed", range(3))
def test_a_decoder_finds_the_best_sentence_for_each_input_of_its_own_length(tmp_path: Path, seed: int) -> None:
    """Beam search as wide as there are sentences, against all of them; the inputs are padded to the longest."""
    model = compiled(DECODER, tmp_path, seed)
    x = np.random.default_rng(seed).standard_normal((2, 4, 5))
    lengths = [5, 2, 4, 1]
    found = model.forward(x=x, lengths={"T_x": lengths})["z"]
    for i, length in enumerate(lengths):
        ended = [(*w, 0) for n in range(3) for w in itertools.product((1, 2), repeat=n)]
        sentences = [*ended, *itertools.product((1, 2), repeat=3)]
        scores = {w: log_probability(model, x[:, i, :length], w) / len(w) ** 0.7 for w in sentences}
        best = max(scores, key=scores.__getitem__)
        assert found[i].tolist() == [*best, *[0] * (3 - len(best))]


def test_samples_depend_on_the_seed_alone(tmp_path: Path) -> None:
    text = WRITER.replace("greedy", "sample(temperature = 2)")
    once, again = (compiled(text, tmp_path).forward()["s"] for _ in range(2))
    assert np.array_equal(once, again)
    path = tmp_path / "net.dl"
    written = {str(dlc.load(path).compile(target="reference", seed=seed).forward()["s"]) for seed in range(8)}
    assert len(written) > 1


def test_a_known_number_of_steps_is_written_in_full(tmp_path: Path) -> None:
    text = WRITER.replace("dim T <= 8", "T = 6").replace("until = 0, max = 8", "max = 6")
    model = compiled(text, tmp_path)
    p = model.params
    a, column, expected = np.zeros(4), np.zeros(5), []
    for _ in range(6):
        a = np.tanh(p["W"] @ a + p["E"] @ column)
        expected.append(int(np.argmax(p["U"] @ a)))
        column = np.eye(5)[expected[-1]]
    assert model.forward()["s"].tolist() == [expected]


REFUSED = [
    ("E @ y<t-1>", "E @ y<t>", "P311", "y_hat<t> would read y<t> or a later word here"),
    ("U @ a<t>)", "U @ a<t> + y<t>)", "P311", "y_hat<t> would read y<t> or a later word here"),
    ("from = y_hat", "from = reverse(y_hat)", "P311", "reverse(y_hat)<t> would read y<t> or a later word here"),
    ("generate(y,", "generate(y_hat,", "N214", "generate writes the words of an input or a target, and y_hat is none"),
    ("from = y_hat", "from = a", "D102", "a is (4, m, T), and a word of y is chosen from (5, m, T)"),
    ("from = y_hat", "from = V", "N214", "`from` is a prediction, not"),
    ("until = 0", "until = 5", "N214", "`until` is a class from 0 to 4, not 5"),
    ("until = 0", "until = 1.5", "N214", "`until` is a word or a class number"),
    ("max = 8", "max = 9", "N214", "`max` is 9, and T is at most 8"),
    ("max = 8", "max = 0", "N214", "`max` is the largest number of steps"),
    ("greedy", "best", "N214", "best is no way to choose words"),
    ("greedy", "beam(width = 0)", "N214", "a beam is a whole number of candidates wide, not 0"),
    ("greedy", "beam(depth = 3)", "N203", "beam has no setting depth"),
    ("greedy", "sample(top_k = 1.5)", "N214", "`top_k` is a whole number of classes, 0 for all, not 1.5"),
    ("greedy", "sample(temperature = 0)", "N214", "a temperature is positive and finite, and this is 0"),
    ("greedy", "sample(temperature = 1e300 * 1e300)", "N214", "a temperature is positive and finite, and this is inf"),
    ("greedy", "greedy(width = 3)", "N214", "greedy(width = 3) is no way to choose words"),
    ("softmax(U @ a<t>)", "softmax(U @ a<t>, over = m)", "P302", "this mixes examples"),
]


@pytest.mark.parametrize(("old", "new", "code", "message"), REFUSED)
def test_refusals(tmp_path: Path, old: str, new: str, code: str, message: str) -> None:
    assert old in WRITER
    errors = [d for d in check(tmp_path / "net.dl", text=WRITER.replace(old, new)).diagnostics if d.severity == "error"]
    assert [d.code for d in errors] == [code]
    assert message in errors[0].message


def test_the_line_that_reads_the_word_is_named(tmp_path: Path) -> None:
    text = WRITER.replace("E @ y<t-1>", "E @ y<t>")
    (found,) = [d for d in check(tmp_path / "net.dl", text=text).diagnostics if d.severity == "error"]
    assert found.span is not None
    assert text.splitlines()[found.span.line - 1].strip() == "a<t>     = tanh(W @ a<t-1> + E @ y<t>)"
    assert found.help is not None
    assert "y<t-1> for y<t>" in found.help
    assert "y is generated from y_hat here" in [related.message for related in found.related]


def test_without_max_the_bound_of_the_steps_counts(tmp_path: Path) -> None:
    text = WRITER.replace(", max = 8", "")
    assert compiled(text, tmp_path).forward()["s"].shape == (1, 8)
    unbounded = text.replace("dim T <= 8", "dim T")
    (found,) = [d for d in check(tmp_path / "net.dl", text=unbounded).diagnostics if d.severity == "error"]
    assert (found.code, found.message) == ("N204", "generate needs max: nothing else says when to stop")


def test_an_input_with_the_same_steps_is_refused(tmp_path: Path) -> None:
    text = WRITER.replace("    y<0>", "    input x : (4, m, T)\n    y<0>").replace("+ E @", "+ x<t> + E @")
    (found,) = [d for d in check(tmp_path / "net.dl", text=text).diagnostics if d.severity == "error"]
    assert found.code == "N214"
    assert "x has as many steps as y" in found.message


ATTENTION = """
model Attention(V = 5, d = 4):
    dim T <= 8
    input y : (V, m, T) one_hot
    param W_q, W_k, W_v : (d, d) ~ he
    param E : (d, V) ~ he
    param U : (V, d) ~ he
    x = E @ shift(y)
    S = einsum(W_q @ x, W_k @ x, (i, m, q), (i, m, k) -> (q, k, m)) / sqrt(d)
    K = broadcast(position(S, over = k), (q = T, k = T, m))
    alpha = softmax(S if K <= position(S, over = q) else -1e9, over = k)
    y_hat = softmax(U @ einsum(alpha, W_v @ x, (q, k, m), (i, m, k) -> (i, m, q)))
    loss cross_entropy(y_hat, y)
    output y_hat
    output s = generate(y, from = y_hat, until = 0, max = 8, by = greedy)
"""


def test_masked_attention_writes_what_it_predicts_of_its_own_words(tmp_path: Path) -> None:
    """Read again with all words given, each step's prediction is the word that was written there."""
    model = compiled(ATTENTION, tmp_path)
    written = model.forward(y=np.zeros((1, 1)))["s"].astype(int)
    read = model.forward(y=written)["y_hat"]
    length = next((t + 1 for t, word in enumerate(written[0]) if word == 0), 8)
    assert np.argmax(read, axis=0)[0, :length].tolist() == written[0, :length].tolist()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("S if K <= position(S, over = q) else -1e9", "S"),
        ("K <= position", "K >= position"),
        ("K <= position", "K < position"),
        ("else -1e9", "else -1"),
        ("over = k)\n    y_hat", "over = q)\n    y_hat"),
        ("shift(y)", "y"),
    ],
)
def test_attention_that_sees_later_words_is_refused(tmp_path: Path, old: str, new: str) -> None:
    assert old in ATTENTION
    errors = [
        d for d in check(tmp_path / "net.dl", text=ATTENTION.replace(old, new)).diagnostics if d.severity == "error"
    ]
    assert [d.code for d in errors] == ["P311"]


def test_a_sentence_cannot_end_at_a_word_without_a_vocabulary() -> None:
    path = Path(__file__).parents[2] / "specs" / "sequences" / "word_model.dl"
    model = dlc.load(path, V=5, n=2, n_a=2).compile(target="reference")
    with pytest.raises(dlc.SpecError, match=r'V513.*until = "<EOS>" needs a vocabulary'):
        model.forward(y=np.zeros((1, 3), int))
