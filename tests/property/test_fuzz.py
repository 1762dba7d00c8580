"""A thousand of the inputs of `fuzz.py`; the rest is run by hand."""

from __future__ import annotations

import pytest
from fuzz import inputs, survived

COUNT, PARTS = 1000, 10
TEXTS = inputs(COUNT, seed=3)

# Found by fuzzing.
FOUND = {
    "a broken definition of a name that a sound one has too": (
        "layer Block(ta * v\n\nlayer Block(n):\n    input A : (k, m)\n    output A\n"
    ),
    "half of a character": "model M:\n    x = a\ud800\n",
    "a comment of tabs": "\t#\n\tx\n",
}


@pytest.mark.parametrize("part", range(PARTS))
def test_no_crash_and_no_hang(part: int) -> None:
    for text in TEXTS[part::PARTS]:
        try:
            survived(text)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n{text!r}") from error


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND)
def test_what_was_found(text: str) -> None:
    survived(text)
