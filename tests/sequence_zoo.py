"""The sequence models under specs/, at tiny sizes: what the tests of the zoo and those against torch run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from padded import loaded

from dlc.runtime.program import Model

SPECS = Path(__file__).resolve().parents[1] / "specs"
M = 4
"""Examples in a batch."""
STEPS = [2, 6, 1, 4]
OTHER_STEPS = [3, 1, 5, 5]
"""Their lengths; of a second sequence, where there are two."""


@dataclass(frozen=True)
class Tiny:
    """`lengths` are each example's, by dimension; `drawn` are the outputs that are made by drawing words."""

    file: str
    hypers: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    lengths: Mapping[str, list[int]] = field(default_factory=lambda: {"T": STEPS})
    drawn: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """How long the longest is."""
        return {name: max(values) for name, values in self.lengths.items()}

    def many(self, examples: int) -> dict[str, list[int]]:
        """Lengths for more examples, by dimension."""
        return {
            name: [min(values) + (each * i) % 7 for i in range(examples)]
            for each, (name, values) in enumerate(self.lengths.items(), 3)
        }

    def compiled(self, folder: Path, changes: Mapping[str, str] | None = None, seed: int = 0) -> Model:
        """The model, with other texts in some places. Without a vocabulary a sentence ends with class 0."""
        text = (SPECS / f"{self.file}.dl").read_text()
        for old, new in {'"<EOS>"': "0", **(changes or {})}.items():
            text = text.replace(old, new)
        path = folder / Path(self.file).with_suffix(".dl").name
        path.write_text(text)
        return loaded(path, self.model, seed, **self.hypers)


def native(reference: Model, threads: int = 1) -> Model:
    """The compiled model, with what the reference executor knows."""
    made = reference.spec.compile(dtype="float64", threads=threads)
    for here, there in ((made.params, reference.params), (made.state, reference.state)):
        for name, value in there.items():
            here[name] = value
    return made


NO_STEPS: dict[str, list[int]] = {}
BOTH = {"T_x": STEPS, "T_y": OTHER_STEPS}
ZOO: dict[str, Tiny] = {
    "tagger": Tiny("sequences/tagger", {"n_x": 7, "n_a": 4}),
    "one to one": Tiny("sequences/rnn_types", {"n_x": 5, "n_a": 4}, "OneToOne", NO_STEPS),
    "one to many": Tiny("sequences/rnn_types", {"V": 5, "n_a": 4}, "OneToMany", drawn=("music",)),
    "many to one": Tiny("sequences/rnn_types", {"V": 7, "n": 3, "n_a": 4}, "ManyToOne"),
    "many to many": Tiny("sequences/rnn_types", {"V": 7, "n": 3, "n_a": 4}, "ManyToMany"),
    "unequal": Tiny("sequences/rnn_types", {"V_x": 7, "V_y": 5, "n_a": 4}, "ManyToManyUnequal", BOTH),
    "sentiment": Tiny("sequences/sentiment", {"V": 7, "n": 3, "n_a": 4, "stars": 3}),
    "simplified GRU": Tiny("sequences/gru_simplified", {"V": 7, "n_c": 4}),
    "GRU": Tiny("sequences/gru", {"n_c": 5}),
    "LSTM": Tiny("sequences/lstm", {"n_x": 3, "n_a": 4, "activities": 3}),
    "peephole": Tiny("sequences/lstm_peephole", {"n_a": 4}),
    "bidirectional": Tiny("sequences/bidirectional", {"V": 7, "n": 3, "n_a": 4, "kinds": 3}),
    "deep": Tiny("sequences/deep_rnn", {"n": [3, 4, 5], "classes": 3}),
    "characters": Tiny("sequences/character_model", {"V": 5, "n_a": 4}, drawn=("s",)),
    "words": Tiny("sequences/word_model", {"V": 5, "n": 3, "n_a": 4}, drawn=("s",)),
    "music": Tiny("sequences/music", {"V": 5, "n_a": 4}, drawn=("melody",)),
    "captions": Tiny("sequences/captions", {"n_f": 6, "V": 5, "n": 3, "n_a": 4}),
    "translation": Tiny("sequences/translation", {"V_x": 7, "V_y": 5, "n": 3, "n_a": 4}, lengths=BOTH),
    "CTC": Tiny("sequences/ctc", {"n_x": 3, "V": 5, "n_a": 4, "S": 2}),
    "trigger word": Tiny("sequences/trigger_word", {"n_x": 5, "n_C": 4, "n_a": 3}, lengths={"T": [17, 24, 15, 19]}),
    "neural language model": Tiny("embeddings/neural_language_model", {"V": 7, "n": 3, "n_h": 4}, lengths=NO_STEPS),
    "skip-gram": Tiny("embeddings/skip_gram", {"V": 7, "n": 3}, lengths=NO_STEPS),
    "hierarchical softmax": Tiny("embeddings/hierarchical_softmax", {"V": 7, "n": 3, "D": 3}, lengths=NO_STEPS),
    "negative sampling": Tiny("embeddings/negative_sampling", {"V": 7, "n": 3, "k": 2}, lengths=NO_STEPS),
    "GloVe": Tiny("embeddings/glove", {"V": 7, "n": 3, "x_max": 0.5}, lengths=NO_STEPS),
    "mean of words": Tiny("embeddings/sentiment_mean", {"V": 7, "n": 3, "stars": 3}),
    "dates": Tiny("attention/dates", {"V_x": 7, "V_y": 5, "n_a": 3, "n_s": 4, "T_y": 4}, lengths={"T_x": STEPS}),
    "self-attention": Tiny("attention/self_attention", {"n_x": 3, "heads": 2, "d": 2}),
    "transformer": Tiny("attention/transformer", {"V": 7, "d_model": 6, "heads": 2, "d_ff": 5, "N": 2}, lengths=BOTH),
    "TinyGPT": Tiny("attention/transformer_language_model", {"V": 5, "d_model": 6, "heads": 2, "N": 2}, drawn=("s",)),
    "masked words": Tiny("attention/masked_language_model", {"V": 6, "d_model": 6, "heads": 2, "N": 2}),
}
STEPPED = [name for name, tiny in ZOO.items() if tiny.lengths]
"""Those whose examples have lengths of their own."""
SHORT = {f"max = {words}": "max = 20" for words in (200, 128, 60, 50, 30)}
"""What writes, writes no more than so many words."""
