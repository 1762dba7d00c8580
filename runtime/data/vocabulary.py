"""Which class each token of a text is: found on the training split, saved with the model, applied again.

Class 0 is `<EOS>` where texts end with it, then come `<UNK>` and `<PAD>` where there are such classes, then the
characters in the order of Unicode, or the words from the most frequent on (equal ones in the order of the alphabet).
`<UNK>` stands for every token without a class of its own: words always have it, characters where the model has a class
left for it, or too few for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.settings import Tokens, Unit
from dlc.runtime.data.tokens import END, PADDING, SPECIAL, UNKNOWN, pieces

_NO_BLANK_BEFORE = re.compile(r" (?=[.,;:!?…)\]}%’”])")
_NO_BLANK_BEHIND = re.compile(r"(?<=[(\[{“]) ")


@dataclass(frozen=True)
class Vocabulary:
    """Class k is `tokens[k]`, a character or a word; `lower`: texts are written in lower case before.

    The model may have more classes than there are tokens, `count` in all (0: not known). `unknown`: some token of the
    training texts may have none of its own.
    """

    unit: Unit
    tokens: tuple[str, ...]
    lower: bool = False
    count: int = 0
    unknown: bool = True

    @cached_property
    def classes(self) -> Mapping[str, int]:
        """The class of each token."""
        return {token: number for number, token in enumerate(self.tokens)}

    @property
    def never(self) -> tuple[range, ...]:
        """The classes that no training text has, in runs: `<UNK>` where all tokens have classes of their own, and those
        that are left over."""
        unknown = self.classes.get(UNKNOWN)
        unseen = range(0) if self.unknown or unknown is None else range(unknown, unknown + 1)
        return tuple(run for run in (unseen, range(len(self.tokens), self.count)) if run)

    def class_of(self, token: str) -> int | None:
        """The class of a token, that of `<UNK>` for one without its own; None where there is none for it."""
        return self.classes.get(token, self.classes.get(UNKNOWN))

    def encode(self, text: str) -> list[int]:
        """The classes of a text's tokens, without `<EOS>` behind them. Raises ValueError for a token without class."""
        tokens = pieces(text, Tokens(self.unit, lower=self.lower))
        found = [self.class_of(token) for token in tokens]
        for token, number in zip(tokens, found, strict=True):
            if number is None:
                raise ValueError(f"{token!r} is not in the vocabulary")
        return [number for number in found if number is not None]

    def decode(self, classes: Iterable[int], until: int | str | None = None) -> str:
        """The text of class numbers, up to `<EOS>` or another class (or its token) `until`; words with blanks between
        them, and none before a comma. Raises ValueError for a number that is no class."""
        ends = {self.classes.get(END), self.classes.get(until) if isinstance(until, str) else until}
        found: list[str] = []
        for number in map(int, classes):
            if number in ends:
                break
            if number < 0 or (self.count and number >= self.count):
                raise ValueError(f"{number} is no class: they are 0 to {max(self.count, len(self.tokens)) - 1}")
            # A model may have more classes than there are tokens.
            token = self.tokens[number] if number < len(self.tokens) else UNKNOWN
            if token != PADDING:
                found.append(token)
        if self.unit == "chars":
            return "".join(found)
        return _NO_BLANK_BEHIND.sub("", _NO_BLANK_BEFORE.sub("", " ".join(found)))

    def near(self, token: str) -> str | None:
        """A token that may have been meant."""
        return did_you_mean(token, self.tokens)

    def to_json(self) -> dict[str, Any]:
        """A value that `json.dumps` writes."""
        return {
            "unit": self.unit,
            "tokens": list(self.tokens),
            "lower": self.lower,
            "count": self.count,
            "unknown": self.unknown,
        }

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Vocabulary:
        """The inverse of `to_json`. Raises KeyError or TypeError for a record of another form."""
        more = (record.get("count", 0), record.get("unknown", True))
        return Vocabulary(record["unit"], tuple(record["tokens"]), record["lower"], *more)


def vocabulary(
    unit: Unit, names: Sequence[str], counts: NDArray[np.int64], limit: int, *, lower: bool, end: bool, pad: bool
) -> Vocabulary:
    """The vocabulary of at most `limit` classes for tokens that were seen so often; those never seen get none."""
    seen = [(name, int(count)) for name, count in zip(names, counts, strict=True) if count and name not in SPECIAL]
    fixed = [END] if end else []
    room = limit - len(fixed) - pad - len(seen)
    if unit == "words" or room != 0:
        fixed.append(UNKNOWN)
    if pad:
        fixed.append(PADDING)
    frequent = sorted(seen, key=lambda item: (-item[1], item[0]))[: max(limit - len(fixed), 0)]
    kept = [name for name, _ in frequent]
    return Vocabulary(unit, (*fixed, *(sorted(kept) if unit == "chars" else kept)), lower)
