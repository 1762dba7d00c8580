"""The models under specs/ with the data that docs/data.md says they take: it is read, and training learns from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (`[\w/]+`(?:, `[\w/]+`)*) \| (.*) \|$")

BOOK = "The cat sat on the mat. The dog sat on the log!\nWho sat on the cat? It was the rat, and nobody else.\n"
FILES = {
    "names.txt": "Emma\nOlivia\nAva\nMia\nNora\nElla\n",
    "book.txt": BOOK * 12,
    "shakespeare.txt": BOOK * 12,
    "reviews.csv": 'review,stars\n"A lovely film, lovely!",4\nBoring.,0\nNot bad,2\nLovely,4\nboring boring,1\nbad,3\n',
    "names.csv": "sentence,known,tags\nTom met Ann,1 0 1,P O P\nhi,0,O\nAnn met Bo in Rome,1 0 1 0 1,P O P O L\n",
    "dates.csv": "human,iso\n3 May 2009,2009-05-03\nMarch 5 1998,1998-03-05\n1/12/76,1976-12-01\n",
    "pairs.csv": "french,english\nbonjour,good morning\nle chat,the cat\nle chat dort,the cat sleeps\noui,yes\n",
}
SMALL: dict[str, Mapping[str, Any]] = {
    "sequences/character_model": {"n_a": 5},
    "sequences/word_model": {"V": 24, "n": 4, "n_a": 5},
    "attention/transformer_language_model": {"V": 24, "d_model": 6, "heads": 2, "N": 1},
    "sequences/sentiment": {"V": 12, "n": 3, "n_a": 4},
    "embeddings/sentiment_mean": {"V": 12, "n": 3},
    "sequences/tagger": {"n_x": 9, "n_a": 4},
    "sequences/bidirectional": {"V": 9, "n": 3, "n_a": 3, "kinds": 3},
    "attention/dates": {"V_x": 22, "n_a": 3, "n_s": 4},
    "sequences/translation": {"V_x": 6, "V_y": 9, "n": 3, "n_a": 4},
    "attention/transformer": {"V": 9, "d_model": 6, "heads": 2, "d_ff": 5, "N": 1},
    "embeddings/neural_language_model": {"V": 24, "n": 3, "n_h": 4},
}


def documented() -> dict[str, list[str]]:
    """The lines of `data:` for each model, as the table of docs/data.md has them."""
    found = {}
    page = (ROOT / "docs" / "data.md").read_text()
    for line in page[page.index("## What the models under specs/ take") :].splitlines():
        if match := ROW.match(line):
            models, said = (re.findall(r"`([^`]*)`", part) for part in match.groups())
            found |= dict.fromkeys(models, said)
    # "the same, and …" of the table.
    found["sequences/bidirectional"] = [*found["sequences/tagger"][:2], *found["sequences/bidirectional"]]
    return found


TABLE = documented()


def test_the_table_names_all() -> None:
    assert TABLE.keys() == SMALL.keys()


@pytest.mark.parametrize("name", SMALL)
def test_a_model_and_its_data(name: str, tmp_path: Path) -> None:
    for file, text in FILES.items():
        (tmp_path / file).write_text(text)
    block = "".join(f"    {line}\n" for line in TABLE[name])
    path = tmp_path / "net.dl"
    path.write_text((ROOT / "specs" / f"{name}.dl").read_text() + f"\ndata:\n{block}")
    assert not [found for found in dlc.check(path, **SMALL[name]) if found.severity == "error"]
    model = dlc.load(path, **SMALL[name]).compile(dtype="float64", target="reference")
    part = model.load_data().splits["train"]
    before = model.measure(part.arrays)["loss"]
    model.fit(batch=16, epochs=3, optimizer="Adam(lr = 0.02)")
    after = model.measure(part.arrays)["loss"]
    assert np.isfinite(after)
    assert after < before
