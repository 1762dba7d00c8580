"""Loss and all gradients of tiny versions of the sequence models equal torch's at the same weights, with steps as many
in each example and with each example's own: of the reference executor, and with `--whole-zoo` of compiled code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from padded import array_sizes, one_example, synthetic
from recurrences import gru, of_torch
from sequence_zoo import NO_STEPS, STEPPED, ZOO, M, Tiny, native
from spread import spread
from torch_sequences import (
    F,
    Values,
    affine,
    attention,
    batch_norm,
    bce,
    both_ways,
    ce,
    columns,
    decoder_block,
    dense,
    encoder_block,
    library_rnn,
    lstm,
    norm_of_all,
    one_hot,
    positions,
    rnn,
    shifted,
    torch,
    two_lstms,
)

from dlc.runtime.program import Model

LIB = of_torch(torch)

Loss = Callable[[Values, Values], Any]


# --- the models --------------------------------------------------------------------------------------------------


def tagger(p: Values, d: Values) -> Any:
    a = rnn(torch.cat([p["W_aa"], p["W_ax"]], 1), p["b_a"], one_hot(d["words"], 7))
    return bce(affine(p["W_ya"], p["b_y"], a), d["y"])


def one_to_one(p: Values, d: Values) -> Any:
    return ce(dense(p, "dense[2]", torch.tanh(dense(p, "dense[1]", d["x"]))), d["y"])


def one_to_many(p: Values, d: Values) -> Any:
    a = rnn(p["W_a"], p["b_a"], shifted(d["y"], 5), columns(p["embedding[1].E"], d["x"]))
    return ce(dense(p, "dense[1]", a), d["y"])


def many_to_one(p: Values, d: Values) -> Any:
    words = d["x"] if "x" in d else d["words"]
    a = library_rnn(p, "rnn[1]", columns(p["embedding[1].E"], words))
    return ce(dense(p, "dense[1]", a[:, :, -1]), d["y"])


def many_to_many(p: Values, d: Values) -> Any:
    return bce(dense(p, "dense[1]", library_rnn(p, "rnn[1]", columns(p["embedding[1].E"], d["x"]))), d["y"])


def unequal(p: Values, d: Values) -> Any:
    a = library_rnn(p, "rnn[1]", one_hot(d["x"], 7))
    return ce(dense(p, "dense[1]", rnn(p["W_s"], p["b_s"], shifted(d["y"], 5), a[:, :, -1])), d["y"])


def simplified_gru(p: Values, d: Values) -> Any:
    x, name = columns(p["embedding[1].E"], d["words"]), "simplifiedgru[1]"
    c = torch.zeros(4, x.shape[1], dtype=torch.float64)
    for x_t in x.unbind(2):
        both = torch.cat([c, x_t])
        renew = torch.sigmoid(affine(p[f"{name}.W_u"], p[f"{name}.b_u"], both))
        c = torch.lerp(c, torch.tanh(affine(p[f"{name}.W_c"], p[f"{name}.b_c"], both)), renew)
    return bce(dense(p, "dense[1]", c), d["y"])


def full_gru(p: Values, d: Values) -> Any:
    c = gru(LIB, {f"own.{name}": value for name, value in p.items()}, "own", one_hot(d["x"], 4))
    return bce(affine(p["W_y"], p["b_y"], c), d["y"])


def whole_lstm(p: Values, d: Values) -> Any:
    a, _ = lstm(p, "", d["x"])
    return ce(affine(p["W_y"], p["b_y"], a[:, :, -1]), d["y"])


def peephole(p: Values, d: Values) -> Any:
    def gate(name: str, g: Callable[[Any], Any], *parts: Any) -> Any:
        return g(affine(p[f"peepholelstm[1].W_{name}"], p[f"peepholelstm[1].b_{name}"], torch.cat(parts)))

    a = c = torch.zeros(4, d["x"].shape[1], dtype=torch.float64)
    steps = []
    for x in d["x"].unbind(2):
        update, forget = gate("u", torch.sigmoid, c, a, x), gate("f", torch.sigmoid, c, a, x)
        c = update * gate("c", torch.tanh, a, x) + forget * c
        a = gate("o", torch.sigmoid, c, a, x) * torch.tanh(c)
        steps.append(a)
    return ((dense(p, "dense[1]", torch.stack(steps, 2)) - d["y"]) ** 2).sum() / 2 / a.shape[1]


def bidirectional(p: Values, d: Values) -> Any:
    return ce(dense(p, "dense[1]", two_lstms(p, "bidirectional[1]", columns(p["embedding[1].E"], d["words"]))), d["y"])


def deep(p: Values, d: Values) -> Any:
    a = gru(LIB, p, "gru[2]", gru(LIB, p, "gru[1]", d["x"]))
    return ce(dense(p, "dense[1]", a), d["y"])


def characters(p: Values, d: Values) -> Any:
    a = rnn(torch.cat([p["W_aa"], p["W_ax"]], 1), p["b_a"], shifted(d["y"], 5))
    return ce(affine(p["W_ya"], p["b_y"], a), d["y"])


def words(p: Values, d: Values) -> Any:
    a, _ = lstm(p, "lstm[1].", dense(p, "dense[1]", shifted(d["y"], 5)))
    return ce(dense(p, "dense[2]", lstm(p, "lstm[2].", a)[0]), d["y"])


def music(p: Values, d: Values) -> Any:
    return ce(dense(p, "dense[1]", lstm(p, "lstm[1].", shifted(d["y"], 5))[0]), d["y"])


def captions(p: Values, d: Values) -> Any:
    begin = torch.tanh(dense(p, "begin", d["features"]))
    a = rnn(p["W_a"], p["b_a"], dense(p, "dense[1]", shifted(d["y"], 5)), begin)
    return ce(dense(p, "dense[2]", a), d["y"])


def translation(p: Values, d: Values) -> Any:
    a, c = lstm(p, "lstm[1].", columns(p["embedding[1].E"], d["x"]))
    y = dense(p, "dense[1]", shifted(d["y"], 5))
    return ce(dense(p, "dense[2]", lstm(p, "decoder[1].", y, a[:, :, -1], c)[0]), d["y"])


def ctc(p: Values, d: Values) -> Any:
    a = both_ways(p, "bidirectional[1]", d["x"], lambda p, name, x: gru(LIB, p, name, x))
    log_p = torch.log_softmax(dense(p, "dense[1]", a), 0).permute(2, 1, 0)
    size, (m, places) = log_p.shape[0], d["label"].shape
    letters = d["label"][:, 1::2]
    sizes = (d["end"] * torch.arange(places)).amax(1).long() // 2
    return F.ctc_loss(log_p, letters, torch.tensor([size] * m), sizes, blank=0, reduction="none").mean()


def trigger_words(p: Values, parts: list[Values]) -> Any:
    """Of parts of a batch, for the normalizations read all of it."""
    W, b = p["conv[1].W"].permute(2, 1, 0), p["conv[1].b"].flatten()
    heard = [F.conv1d(d["x"].permute(1, 0, 2), W, b, stride=4).permute(1, 0, 2) for d in parts]
    first = [gru(LIB, p, "gru[1]", torch.relu(a)) for a in norm_of_all(p, "batchnorm[1]", heard)]
    second = [gru(LIB, p, "gru[2]", a) for a in norm_of_all(p, "batchnorm[2]", first)]
    losses = [bce(dense(p, "dense[1]", a), d["y"]) * a.shape[1] for a, d in zip(second, parts, strict=True)]
    return sum(losses) / sum(a.shape[1] for a in second)


def neural_language_model(p: Values, d: Values) -> Any:
    e = F.embedding(d["context"], p["E"].T).flatten(1).T
    return ce(dense(p, "dense[2]", torch.tanh(dense(p, "dense[1]", e))), d["y"])


def hierarchical_softmax(p: Values, d: Values) -> Any:
    z = (columns(p["theta"], d["node"]) * columns(p["E"], d["c"])[:, :, None]).sum(0).T
    each = F.binary_cross_entropy_with_logits(z, d["turn"], reduction="none")
    return (d["on_path"] * each).sum() / z.shape[1]


def negative_sampling(p: Values, d: Values) -> Any:
    return bce((columns(p["theta"], d["t"]) * columns(p["E"], d["c"])[:, :, None]).sum(0).T, d["y"])


def glove(p: Values, d: Values) -> Any:
    product = (columns(p["theta"], d["i"]) * columns(p["E"], d["j"])).sum(0)
    error = product + p["b"][0, d["i"]] + p["b_prime"][0, d["j"]] - torch.log(d["X_ij"])
    return (torch.clamp(d["X_ij"] / 0.5, max=1) ** 0.75 * error**2).mean()


def mean_of_words(p: Values, d: Values) -> Any:
    return ce(dense(p, "dense[1]", F.embedding(d["words"], p["embedding[1].E"].T).mean(1).T), d["y"])


def dates(p: Values, d: Values) -> Any:
    a = two_lstms(p, "bidirectional[1]", one_hot(d["x"], 7))
    before, s, steps = shifted(d["y"], 5), torch.zeros(4, a.shape[1], dtype=torch.float64), []
    for t in range(4):
        hidden = torch.tensordot(p["attend.W_a"], a, 1) + (p["attend.W_s"] @ s)[:, :, None] + p["attend.b"]
        alpha = torch.softmax(torch.tensordot(p["attend.v"], torch.tanh(hidden), 1), 2)
        s = torch.tanh(affine(p["W_s"], p["b_s"], torch.cat([s, (alpha * a).sum(2), before[:, :, t]])))
        steps.append(s)
    return ce(dense(p, "dense[1]", torch.stack(steps, 2)), d["y"])


def self_attention(p: Values, d: Values) -> Any:
    Z = attention({f"own.{name}": value for name, value in p.items()}, "own", 2, d["x"], d["x"])
    return ce(dense(p, "dense[1]", Z.mean(2)), d["y"])


def transformer(p: Values, d: Values) -> Any:
    root = np.sqrt(6)
    x = root * columns(p["E"], d["x"]) + positions(6, d["x"].shape[1])
    y = root * torch.tensordot(p["E"], shifted(d["y"], 7), 1) + positions(6, d["y"].shape[1])
    for l in (1, 2):
        x = encoder_block(p, f"encoderblock[{l}]", x)
    for l in (1, 2):
        y = decoder_block(p, f"decoder[{l}]", y, x)
    return ce(torch.tensordot(p["E"].T, y, 1), d["y"])


def tiny_gpt(p: Values, d: Values) -> Any:
    A = dense(p, "dense[1]", shifted(d["y"], 5)) + positions(6, d["y"].shape[1])
    for l in (1, 2):
        A = encoder_block(p, f"encoderblock[{l}]", A, causal=True)
    return ce(dense(p, "dense[2]", A), d["y"])


def masked_words(p: Values, d: Values) -> Any:
    A = np.sqrt(6) * columns(p["E"], d["words"]) + positions(6, d["words"].shape[1])
    for l in (1, 2):
        A = encoder_block(p, f"encoderblock[{l}]", A)
    each = F.cross_entropy(torch.tensordot(p["W"], A, 1).movedim(0, 1), d["y"], reduction="none")
    hidden = d["hidden"][0]
    return ((hidden * each).sum(1) / torch.clamp(hidden.sum(1), min=1)).mean()


def batch_normalized(p: Values, d: Values) -> Any:
    A = d["X"]
    for l in (1, 2):
        A = torch.relu(batch_norm(p, f"batchnorm[{l}]", (p[f"W[{l}]"] @ A).T).T)
    return ce(dense(p, "dense[1]", A), d["Y"])


def multi_task(p: Values, d: Values) -> Any:
    A = torch.relu(dense(p, "dense[2]", torch.relu(dense(p, "dense[1]", d["X"]))))
    Z, known = dense(p, "dense[3]", A), ~torch.isnan(d["Y"])
    return F.binary_cross_entropy_with_logits(Z[known], d["Y"][known], reduction="sum") / M


def weighted_error(p: Values, d: Values) -> Any:
    Z = dense(p, "dense[2]", torch.relu(dense(p, "dense[1]", d["X"])))
    return F.binary_cross_entropy_with_logits(Z, d["Y"], d["w"], reduction="sum") / M


def xavier(p: Values, d: Values) -> Any:
    A = torch.tanh(dense(p, "layer[2]", torch.tanh(dense(p, "layer[1]", d["X"]))))
    return bce(dense(p, "layer[3]", A), d["Y"])


def classifier(p: Values, d: Values) -> Any:
    name = "classifier[1].dense"
    A = torch.relu(dense(p, f"{name}[2]", torch.relu(dense(p, f"{name}[1]", d["X"]))))
    return ce(dense(p, f"{name}[3]", A), d["Y"])


LOSSES: dict[str, Loss] = {
    "tagger": tagger,
    "one to one": one_to_one,
    "one to many": one_to_many,
    "many to one": many_to_one,
    "many to many": many_to_many,
    "unequal": unequal,
    "sentiment": many_to_one,
    "simplified GRU": simplified_gru,
    "GRU": full_gru,
    "LSTM": whole_lstm,
    "peephole": peephole,
    "bidirectional": bidirectional,
    "deep": deep,
    "characters": characters,
    "words": words,
    "music": music,
    "captions": captions,
    "translation": translation,
    "CTC": ctc,
    "trigger word": lambda p, d: trigger_words(p, [d]),
    "neural language model": neural_language_model,
    "skip-gram": lambda p, d: ce(p["theta"] @ columns(p["E"], d["c"]), d["t"]),
    "hierarchical softmax": hierarchical_softmax,
    "negative sampling": negative_sampling,
    "GloVe": glove,
    "mean of words": mean_of_words,
    "dates": dates,
    "self-attention": self_attention,
    "transformer": transformer,
    "TinyGPT": tiny_gpt,
    "masked words": masked_words,
}
PRACTICE: dict[str, tuple[Tiny, Loss]] = {
    "batch norm": (Tiny("practice/batch_norm", {"n": [5, 4, 6, 3]}, lengths=NO_STEPS), batch_normalized),
    "multi-task": (Tiny("practice/multi_task", {"n_x": 5}, lengths=NO_STEPS), multi_task),
    "weighted error": (Tiny("practice/weighted_error", {"n_x": 5}, lengths=NO_STEPS), weighted_error),
    "Xavier": (Tiny("practice/initialization", {}, "Xavier", NO_STEPS), xavier),
    "optimizers": (Tiny("practice/optimizers", {"n_x": 5}, "WithAdam", NO_STEPS), classifier),
}


def data(name: str, model: Model, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Random, but for what must be true of the labels."""
    given = synthetic(model, M, sizes)
    if name == "multi-task":
        given["Y"][1, 2] = given["Y"][3, 0] = np.nan
    if name == "CTC":  # two letters, twice the same, and one letter: blanks (0) before, between and behind
        given["label"] = np.array([[0, 1, 0, 2, 0], [0, 3, 0, 3, 0], [0, 4, 0, 0, 0], [0, 2, 0, 4, 0]])
        given["skip"] = np.array([[0, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]], float)
        given["start"] = np.array([[1, 0, 0, 0, 0]] * M, float)
        given["end"] = np.array([[0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]], float)
    return given


def assert_equal_to_torch(
    model: Model, loss: Loss, given: Mapping[str, np.ndarray], lengths: Mapping[str, list[int]]
) -> None:
    found, gradients = model.loss_and_grads(**given, **({"lengths": lengths} if lengths else {}))
    p = {name: torch.tensor(np.array(value), requires_grad=True) for name, value in model.params.items()}
    parts = [
        {name: torch.tensor(value) for name, value in batch.items()}
        for batch in (alone(model, given, lengths) if lengths else [given])
    ]
    if loss is LOSSES["trigger word"]:
        wanted = trigger_words(p, parts)
    else:
        wanted = sum(loss(p, part) for part in parts) / len(parts)
    wanted.backward()
    assert abs(found - wanted.item()) <= 1e-9 * abs(wanted.item())
    assert set(gradients) == set(p)
    floor = 1e-6 * max(np.linalg.norm(value.grad.numpy()) for value in p.values() if value.grad is not None)
    for name, gradient in gradients.items():
        exact = p[name].grad.numpy()
        assert gradient.shape == exact.shape
        # What batch norm cancels has the gradient zero: both sides are rounding there, so a norm has a floor.
        assert np.linalg.norm(gradient - exact) <= 1e-9 * max(np.linalg.norm(exact), floor), name


def alone(
    model: Model, given: Mapping[str, np.ndarray], lengths: Mapping[str, list[int]]
) -> list[dict[str, np.ndarray]]:
    """Each example by itself, without padding."""
    return [
        {
            name: one_example(array, array_sizes(model.spec.inputs[name]), i, {k: v[i] for k, v in lengths.items()})
            for name, array in given.items()
        }
        for i in range(M)
    ]


def own_steps(name: str) -> Mapping[str, list[int]]:
    """Each example's; for CTC enough of them for the labels."""
    return {"T": [4, 6, 1, 3]} if name == "CTC" else ZOO[name].lengths


@pytest.mark.parametrize("name", ZOO)
def test_steps_as_many_in_each_example(name: str, tmp_path: Path) -> None:
    model = ZOO[name].compiled(tmp_path)
    assert_equal_to_torch(model, LOSSES[name], data(name, model, ZOO[name].sizes), {})


@pytest.mark.parametrize("name", STEPPED)
def test_each_examples_own_steps(name: str, tmp_path: Path) -> None:
    model = ZOO[name].compiled(tmp_path)
    assert_equal_to_torch(model, LOSSES[name], data(name, model, ZOO[name].sizes), own_steps(name))


@pytest.mark.parametrize("name", spread(ZOO, {"GRU", "self-attention"}))
def test_compiled_code(name: str, tmp_path: Path) -> None:
    """With one compilation for both."""
    model = native(ZOO[name].compiled(tmp_path), threads=2)
    given = data(name, model, ZOO[name].sizes)
    assert_equal_to_torch(model, LOSSES[name], given, {})
    if name in STEPPED:
        assert_equal_to_torch(model, LOSSES[name], given, own_steps(name))


@pytest.mark.parametrize("name", PRACTICE)
def test_practice(name: str, target: str, tmp_path: Path) -> None:
    tiny, loss = PRACTICE[name]
    reference = tiny.compiled(tmp_path)
    model = native(reference) if target == "native" else reference
    assert_equal_to_torch(model, loss, data(name, model, {}), {})
