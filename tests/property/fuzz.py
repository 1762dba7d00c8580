"""Mutated and random inputs through the parser, the checker and the formatter: no crash, no hang.

    python tests/property/fuzz.py 100000 [SEED]

runs that many by hand; the test suite runs a few. What is found is printed whole, so that it can become a test.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from bases import oddities, zoo
from mutations import SMALL, mutated, specs

from dlc.compiler.diagnostics import json_text, render_all
from dlc.compiler.diagnostics.fixes import fixed
from dlc.compiler.driver import check
from dlc.grammar.canonical import formatted
from dlc.grammar.parse import parse

SLOWEST = 5.0
"""Seconds of processor time for one input."""

_CHARACTERS = (
    "abWXYZtmnl_0123456789.,:;=~+-*/%@^<>()[]{}'\"!?$&|\\#\n\n\n    \t\r\x00\ufeff\u200b\u202e²₁×−→Ŷα\ud800é\U0001f600"
)
_WORDS = (
    "model", "layer", "function", "optimizer", "schedule", "initializer", "regularizer", "input", "target", "param",
    "state", "frozen", "hyper", "dim", "loss", "metric", "output", "for", "in", "scan", "if", "else", "when",
    "training", "otherwise", "require", "freeze", "load", "from", "import", "data", "train", "as", "and", "or", "not",
    ":\n    ", ":\n        ", "\n    ", "\n", " = ", " : ", " ~ ", " := ", " -> ", "..", "...", "(", ")", "[", "]",
    "{", "}", "<t>", "<t-1>", "<0>", ".T", "X", "W[l]", "m", "n", "1", "2", "0.5", "1e9", '"a.csv"', "Dense(3)",
    "relu", "one_hot", " + ", " @ ", " * ", "^", " == ", " < ", "# c\n", ", ",
)  # fmt: skip


def inputs(count: int, seed: int) -> list[str]:
    """Random texts, of characters and of words, and changed specs: by whole changes and by torn characters."""
    rng = random.Random(seed)
    known = [*specs().values(), *SMALL.values(), *zoo().values(), *oddities().values()]
    return [_input(rng, known) for _ in range(count)]


def _input(rng: random.Random, known: list[str]) -> str:
    kind = rng.random()
    if kind < 0.1:
        return "".join(rng.choices(_CHARACTERS, k=rng.randint(0, 200)))
    if kind < 0.25:
        return "".join(word + rng.choice(["", " "]) for word in rng.choices(_WORDS, k=rng.randint(1, 80)))
    text = rng.choice(known)
    if kind < 0.6:
        for _ in range(rng.randint(1, 4)):
            text = mutated(text, rng)
        return text
    return _torn(text, rng)


def _torn(text: str, rng: random.Random) -> str:
    """Characters and lines deleted, doubled, moved and put in."""
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice([1, 1, 2, 5, 30, 200]))
        match rng.randrange(5):
            case 0:
                text = text[:at] + text[end:]
            case 1:
                text = text[:at] + rng.choice(_CHARACTERS) + text[at:]
            case 2:
                text = text[:at] + rng.choice(_WORDS) + text[at:]
            case 3:
                text = text[:end] + text[at:]
            case _:
                lines = text.split("\n")
                rng.shuffle(lines)
                text = "\n".join(lines) if rng.random() < 0.1 else text[:end]
    return text


def survived(text: str) -> None:
    """Raises what must not happen: an exception, a slow check, a layout that changes, a place that is none."""
    start = time.process_time()
    _, problems = parse(text, "fuzzed.dl")
    result = check("fuzzed.dl", text=text)
    render_all(result.diagnostics, result.sources, color=False, width=100)
    json_text(result.diagnostics)
    fixed(text, "fuzzed.dl", result.diagnostics)
    wrong = [d for d in result.diagnostics if d.severity == "error"]
    assert wrong or result.checked is not None or len(result.models) != 1, "neither a network nor an error"
    assert not problems or wrong, "a syntax error that check does not tell"
    if not problems:
        new, _ = formatted(text, "fuzzed.dl")
        assert formatted(new, "fuzzed.dl")[0] == new, "the layout is not reached in one step"
    assert time.process_time() - start < SLOWEST, "too slow"


def main(count: int, seed: int) -> int:
    failures = 0
    for number, text in enumerate(inputs(count, seed)):
        try:
            survived(text)
        except Exception as error:
            failures += 1
            print(f"--- {number}: {type(error).__name__}: {error}\n{text!r}\n", flush=True)
        if number % 5000 == 4999:
            print(f"{number + 1} of {count}, {failures} failures", flush=True)
    return failures


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1) > 0)
