"""What counts as a near name."""

from __future__ import annotations

import pytest

from dlc.compiler.diagnostics import did_you_mean
from dlc.compiler.diagnostics.suggest import edits

LIBRARY = ["Adam", "Dense", "Momentum", "RMSprop", "relu", "relu6", "elu", "gelu", "softmax", "lr", "epochs"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("Adma", "Adam"),
        ("rellu", "relu"),
        ("RELU", "relu"),
        ("dense", "Dense"),
        ("softmx", "softmax"),
        ("rms_prop", "RMSprop"),
        ("epoch", "epochs"),
        ("leaky", None),
        ("x", None),
        ("", None),
    ],
)
def test_suggestions(word: str, meant: str | None) -> None:
    assert did_you_mean(word, LIBRARY) == meant


def test_a_name_is_not_its_own_suggestion() -> None:
    assert did_you_mean("lr", ["lr"]) is None
    assert did_you_mean("n_h", ["n_H", "n_h"]) == "n_H"


@pytest.mark.parametrize(
    ("a", "b", "distance"), [("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 1), ("abcd", "acbd", 1)]
)
def test_edits(a: str, b: str, distance: int) -> None:
    assert edits(a, b) == edits(b, a) == distance
