"""Valid specs of every kind, as small as they can be: what the mutations change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_IMAGE = {"size": "16", "classes": "4"}
_RESIDUAL = {**_IMAGE, "stages": "[1, 1]", "width": "2"}
_WORDS = {"V": "7", "V_x": "7", "V_y": "6", "n": "3", "n_a": "3"}

ZOO: dict[str, dict[str, str]] = {
    "convolution/lenet5": {**_IMAGE, "n_C": "[2, 3]", "n": "[5, 4]"},
    "convolution/conv1d": {"length": "9"},
    "convolution/edges": {},
    "convolution/unet": {"size": "8", "width": "2", "depth": "2", "classes": "3"},
    "convolution/resnet34": {**_RESIDUAL, "size": "8"},
    "convolution/transfer_learning": {"n_C": "[2, 3]", "size": "8"},
    "convolution/inception_block": {"size": "3"},
    "convolution/depthwise_separable": {},
    "detection/localization": {"size": "16", "n_C": "[2, 3, 4]"},
    "detection/landmarks": {"size": "16", "n_C": "[2, 3, 4]", "landmarks": "3"},
    "detection/sliding_windows": {"size": "16"},
    "detection/rcnn": {"R": "3", "size": "8", "n_C": "[2, 3, 4]"},
    "faces/siamese": {"size": "8", "n": "3"},
    "faces/triplet": {"size": "8", "n": "3"},
    "style/style_transfer": {"n_H": "16", "n_W": "16", "width": "1"},
    "embeddings/glove": _WORDS,
    "embeddings/hierarchical_softmax": {**_WORDS, "D": "3"},
    "embeddings/negative_sampling": {**_WORDS, "k": "2"},
    "embeddings/neural_language_model": {**_WORDS, "n_h": "4"},
    "embeddings/sentiment_mean": _WORDS,
    "embeddings/skip_gram": _WORDS,
    "sequences/bidirectional": {**_WORDS, "kinds": "3"},
    "sequences/captions": {**_WORDS, "n_f": "5"},
    "sequences/character_model": _WORDS,
    "sequences/ctc": {"n_x": "3", "V": "4", "n_a": "2", "S": "2"},
    "sequences/deep_rnn": {"n": "[3, 4, 4, 2]"},
    "sequences/gru_simplified": {"V": "7", "n_c": "3"},
    "sequences/lstm_peephole": {"n_a": "2"},
    "sequences/sentiment": _WORDS,
    "sequences/tagger": {"n_x": "7", "n_a": "3"},
    "sequences/translation": _WORDS,
    "sequences/trigger_word": {"n_x": "3", "n_C": "2", "n_a": "2"},
    "sequences/word_model": _WORDS,
    "attention/self_attention": {"n_x": "4", "heads": "2", "d": "3"},
}
"""The zoo's files beyond the dense networks, and the arguments that make each of them tiny."""


SEQUENCES = {
    "attends to what it wrote": """
model Writer(V = 5, d = 3):
    dim T <= 8
    target y : (V, m, T) one_hot
    param E : (d, V) ~ glorot
    param W_q, W_k, W_v : (d, d) ~ glorot
    x = E @ shift(y)
    S = einsum(W_q @ x, W_k @ x, (i, m, q), (i, m, k) -> (q, k, m)) / sqrt(d)
    K = broadcast(position(S, over = k), (q = T, k = T, m))
    alpha = softmax(S if K <= position(S, over = q) else -1e9, over = k)
    y_hat = softmax(E.T @ einsum(alpha, W_v @ x, (q, k, m), (i, m, k) -> (i, m, q)))
    loss cross_entropy(y_hat, y)
    metric perplexity(y_hat, y)
    output s = generate(y, from = y_hat, until = 0, max = 4, by = greedy)
""",
    "scans in scans": """
model Net(n = [3, 4]):
    dim T
    input  x : (3, m, T)
    target y : (2, m, T)
    s<0> : (2, m) = 0
    for l in 1..1:
        a[l]<0> : (n[l], m) = 0
    scan t in 1..T:
        u<0> : (2, m) = s<t-1>
        scan k in 1..3:
            u<k> = tanh(u<k-1> + Dense(2)(x<t>) * k / t)
        s<t> = u<3> + drop(mean(u, over = last), over = last)
        for l in 1..1:
            a[l]<t> = tanh(Dense(n[l])(x<t>) + Dense(n[l])(a[l]<t-1>))
    y_hat = s -> Dense(2)
    loss   squared_error(y_hat, y)
    output y_hat
    output e = a[1]<T>
""",
    "pieces of sequences": """
model Pieces(n = 4):
    dim T
    dim S <= 9
    input  x : (n, m, T)
    input  z : (2, m, S)
    input  c : (n, 3)
    target y : (1, m)
    p, q   = split(x, (1, 3), over = first)
    r      = reverse(x, over = T) -> BatchNorm()
    both   = concat(p, q * 2, r, over = first)
    w      = max(rearrange(both, (i, m, T) -> (m, T, i)), over = T, window = 2)
    v      = rearrange(w, (m, t, i) -> (i, m, t)) -> GRU(2)
    e      = einsum(x, z, (i, m, T), (j, m, S) -> (i, j, m))
    k      = c.T @ drop(max(x, over = T), over = T)
    h      = sum(rearrange(e, (i, j, m) -> (i * j, m)), over = first) + sum(k, over = first)
    y_hat  = h + sum(drop(mean(v, over = last), over = last), over = first)
    loss   (y_hat - y)^2
    output y_hat
    output r
    output o = position(x, over = T) * known_steps(x)

function known_steps(x : (k, m, ...)) = x / (1 + sum(x^2, over = first))
""",
}
"""Sequences that the zoo does not have."""


def zoo() -> dict[str, str]:
    """The model zoo beyond `specs/dense`, tiny."""
    return SEQUENCES | {name: tiny(_text(ROOT / "specs" / f"{name}.dl"), values) for name, values in ZOO.items()}


def oddities() -> dict[str, str]:
    """The files of `specs_ok` that have a model of their own."""
    return {f"ok/{path.stem}": _text(path) for path in sorted((ROOT / "tests" / "specs_ok").glob("*.dl"))}


def tiny(text: str, values: dict[str, str]) -> str:
    """The text with other defaults of its models' arguments; sentences as short as its sizes."""
    for name, value in values.items():
        for start, end in reversed(list(_defaults(text, name))):
            text = text[:start] + value + text[end:]
    return re.sub(r"max = \d+", "max = 4", text.replace('until = "<EOS>"', "until = 0"))


def _defaults(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Where the default of an argument stands, in every head of a model."""
    for head in re.finditer(r"^model \w+\(", text, re.M):
        depth, start = 1, head.end()
        for at in range(head.end(), len(text)):
            depth += (text[at] in "([") - (text[at] in ")]")
            if not depth or (depth == 1 and text[at] == ","):
                if found := re.match(rf"\s*{name} = ", text[start:at]):
                    yield start + found.end(), at - (len(text[start:at]) - len(text[start:at].rstrip()))
                start = at + 1
            if not depth:
                break


def _text(path: Path) -> str:
    """A file with what it imports in place of the line."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r'^import "(.*)"$', lambda found: _text(path.parent / found[1]), text, flags=re.M)
