"""Words per second at batch 1, one thread: dlc's generated loop against torch's eager one.

    python benchmarks/generation.py [--only lstm128,gpt256x6] [--rounds 7]

Needs a Python that has dlc and torch. Both have the same parameters, write greedily, and must write the same words.
torch's loop carries its states: an LSTM cell whose gates are one product, a Transformer with cached keys and values.
`in full` is the loop that calls the Transformer on all words so far, as a short program does. The contenders take
turns, and each one's best round counts.
"""

# ruff: noqa: E402 - the libraries read how many threads they may use when they are loaded

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import dlc

LSTM = """
model Writer(V = {V}, n = {n}):
    dim T <= {steps}
    target y : (V, m, T) one_hot
    y_hat = shift(y) -> LSTM(n) -> Dense(V, softmax)
    loss   cross_entropy(y_hat, y)
    output s = generate(y, from = y_hat, max = {steps}, by = greedy)
"""
GPT = """
model Writer(V = {V}, n = {n}, heads = {heads}, N = {N}):
    dim T <= {steps}
    target y : (V, m, T) one_hot
    A[0] = shift(y) -> Dense(n) -> PositionalEncoding()
    for l in 1..N:
        A[l] = A[l-1] -> EncoderBlock(heads, 4 * n, causal = true)
    y_hat = A[N] -> Dense(V, softmax)
    loss   cross_entropy(y_hat, y)
    output s = generate(y, from = y_hat, max = {steps}, by = greedy)
"""
Parameters = Mapping[str, Tensor]


class Case(NamedTuple):
    n: int
    heads: int = 0
    N: int = 0
    V: int = 65
    steps: int = 128

    @property
    def text(self) -> str:
        return (GPT if self.heads else LSTM).format(**self._asdict())


CASES = {
    "lstm128": Case(128),
    "lstm512": Case(512),
    "gpt128x2": Case(128, 4, 2),
    "gpt256x6": Case(256, 8, 6),
}


def lstm(p: Parameters, case: Case) -> list[int]:
    """The cell of a program that cares: its gates are one product."""
    names = [f"lstm[1].W_{gate}" for gate in "cufo"]
    weights = torch.cat([p[name] for name in names])
    bias = torch.cat([p[name.replace("W", "b")] for name in names])[:, 0]
    a = c = torch.zeros(case.n)
    column = torch.zeros(case.V)
    words: list[int] = []
    for _ in range(case.steps):
        candidate, update, forget, out = torch.addmv(bias, weights, torch.cat([a, column])).chunk(4)
        c = torch.sigmoid(update) * torch.tanh(candidate) + torch.sigmoid(forget) * c
        a = torch.sigmoid(out) * torch.tanh(c)
        y_hat = torch.softmax(torch.addmv(p["dense[1].b"][:, 0], p["dense[1].W"], a), 0)
        words.append(int(torch.argmax(y_hat)))
        column = F.one_hot(torch.tensor(words[-1]), case.V).float()
    return words


def gpt(p: Parameters, case: Case, cached: bool) -> list[int]:
    """A Transformer that only decodes, on the last word and what is cached, or on all words."""
    n, heads = case.n, case.heads
    places = torch.arange(case.steps)[:, None] * 10000.0 ** (-2 * (torch.arange(n) // 2) / n)
    positions = torch.where(torch.arange(n) % 2 == 0, torch.sin(places), torch.cos(places))
    embedded = torch.cat([torch.zeros(1, n), p["dense[1].W"].T])  # nothing, and the words
    words: list[int] = []
    caches: list[tuple[Tensor, Tensor]] = [(torch.zeros(heads, 0, n // heads),) * 2] * case.N
    for t in range(case.steps):
        if cached:
            given = torch.tensor([words[-1] + 1 if words else 0])
            x = embedded[given] + p["dense[1].b"].T + positions[t : t + 1]
        else:
            x = embedded[torch.tensor([0, *(word + 1 for word in words)])] + p["dense[1].b"].T + positions[: t + 1]
        for block in range(case.N):
            name = f"encoderblock[{block + 1}]"
            q, k, v = (
                (x @ p[f"{name}.attend.W_{which}"].T).reshape(len(x), heads, -1).transpose(0, 1) for which in "QKV"
            )
            if cached:
                k, v = caches[block] = torch.cat([caches[block][0], k], 1), torch.cat([caches[block][1], v], 1)
            found = F.scaled_dot_product_attention(q, k, v, is_causal=not cached)
            x = x + found.transpose(0, 1).reshape(len(x), n) @ p[f"{name}.attend.W_O"].T
            x = F.layer_norm(x, (n,), p[f"{name}.norm_1.gamma"][:, 0], p[f"{name}.norm_1.beta"][:, 0])
            inner = torch.relu(F.linear(x, p[f"{name}.feed.dense[1].W"], p[f"{name}.feed.dense[1].b"][:, 0]))
            x = x + F.linear(inner, p[f"{name}.feed.dense[2].W"], p[f"{name}.feed.dense[2].b"][:, 0])
            x = F.layer_norm(x, (n,), p[f"{name}.norm_2.gamma"][:, 0], p[f"{name}.norm_2.beta"][:, 0])
        y_hat = torch.softmax(F.linear(x[-1], p["dense[2].W"], p["dense[2].b"][:, 0]), 0)
        words.append(int(torch.argmax(y_hat)))
    return words


def measure(name: str, case: Case, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "writer.dl"
        path.write_text(case.text)
        model = dlc.load(path).compile(threads=1)
    random = np.random.default_rng(1)
    for value in model.params.values():  # larger than first values: otherwise it says one word again and again
        value[...] += (random.standard_normal(value.shape) / math.sqrt(max(value.shape[-1], 8))).astype(value.dtype)
    p = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in model.params.items()}
    contenders: dict[str, Callable[[], list[int]]] = {"dlc": lambda: model.forward()["s"][0].astype(int).tolist()}
    if case.heads:
        contenders |= {"torch": lambda: gpt(p, case, True), "torch in full": lambda: gpt(p, case, False)}
    else:
        contenders["torch"] = lambda: lstm(p, case)
    written = {who: write() for who, write in contenders.items()}
    best = dict.fromkeys(contenders, math.inf)
    for _ in range(rounds):
        for who, write in contenders.items():
            start = time.perf_counter()
            write()
            best[who] = min(best[who], time.perf_counter() - start)
    for who, seconds in best.items():
        same = next(
            (t for t, pair in enumerate(zip(written[who], written["dlc"], strict=True)) if len({*pair}) > 1), None
        )
        note = "" if same is None else f"    other words from step {same + 1} on"
        ratio = "" if who == "dlc" else f"{seconds / best['dlc']:8.1f} x dlc's time"
        print(f"{name:10} {who:14} {case.steps / seconds:10,.0f} words/s {ratio}{note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        for name in options.only.split(","):
            measure(name, CASES[name], options.rounds)


if __name__ == "__main__":
    main()
