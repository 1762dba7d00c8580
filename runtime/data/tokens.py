"""Texts to tokens: characters, words, labels, numbers. Which class a token is comes later (`vocabulary`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.settings import Tokens

Indices = NDArray[np.int64]

END, UNKNOWN, PADDING = "<EOS>", "<UNK>", "<PAD>"
SPECIAL = (END, UNKNOWN, PADDING)

WORD = re.compile(r"<[A-Za-z]+>|\d+(?:[.,:]\d+)+|\w+(?:['’-]\w+)*|[.!?]+|[^\w\s]")
"""A tag, a number with points, a word (`don't` and `well-known` are one each), the end of a sentence, another sign."""
_ENDS = frozenset(".!?")


@dataclass(frozen=True, slots=True)
class Texts:
    """Examples made of tokens: token i of all is `names[codes[i]]`, and example r has the `counts[r]` tokens from
    `starts[r]` on. Windows of one text share its tokens."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]
    starts: Indices
    counts: Indices

    @staticmethod
    def joined(parts: Sequence[Texts]) -> Texts:
        """The examples of several files, one file after the other."""
        if len(parts) == 1:
            return parts[0]
        index: dict[str, int] = {}
        tables = [np.array([index.setdefault(name, len(index)) for name in part.names], np.int32) for part in parts]
        ends = np.cumsum([len(part.codes) for part in parts])
        starts = [part.starts + end - len(part.codes) for part, end in zip(parts, ends.tolist(), strict=True)]
        codes = np.concatenate([table[part.codes] for table, part in zip(tables, parts, strict=True)])
        return Texts(codes, tuple(index), np.concatenate(starts), np.concatenate([part.counts for part in parts]))

    def used(self, rows: Indices) -> Indices:
        """How often each of the `names` stands in some examples; a token that several of them share counts once."""
        return np.bincount(self.codes[self._covered(rows)], minlength=len(self.names))

    def first_rows(self) -> dict[int, int]:
        """The first example of each code that stands in one."""
        places = np.flatnonzero(self._covered(np.arange(len(self.starts))))
        codes, first = np.unique(self.codes[places], return_index=True)
        rows = np.searchsorted(self.starts, places[first], side="right") - 1
        return dict(zip(codes.tolist(), rows.tolist(), strict=True))

    def _covered(self, rows: Indices) -> NDArray[np.bool_]:
        """Which tokens stand in some examples."""
        edges = np.zeros(len(self.codes) + 1, np.int64)
        np.add.at(edges, self.starts[rows], 1)
        np.add.at(edges, self.starts[rows] + self.counts[rows], -1)
        return np.cumsum(edges[:-1]) > 0


def pieces(text: str, tokens: Tokens) -> list[str]:
    """The tokens of a text. Of words, `<unk>` in the text is the unknown word itself."""
    if tokens.lower:
        text = text.lower()
    match tokens.unit:
        case "chars":
            return list(text)
        case "words":
            return [_special(word) if word[0] == "<" else word for word in WORD.findall(text)]
    return text.split()


def _special(word: str) -> str:
    return word.upper() if word.upper() in SPECIAL else word


def tokenized(cells: Sequence[str], tokens: Tokens) -> Texts:
    """Each cell as an example of its own, cut and ended as the tokens say."""
    index: dict[str, int] = {}
    codes: list[int] = []
    counts = np.zeros(len(cells), np.int64)
    for row, cell in enumerate(cells):
        found = pieces(cell, tokens)
        if found and tokens.end:
            found.append(END)
        found = found[: tokens.cut]
        codes += [index.setdefault(name, len(index)) for name in found]
        counts[row] = len(found)
    return Texts(np.array(codes, np.int32), tuple(index), np.cumsum(counts) - counts, counts)


# --- whole texts -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stream:
    """A whole text as tokens (see `Texts`), with the line of each (from 1)."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]
    lines: Indices


def stream(text: str, tokens: Tokens) -> Stream:
    """The tokens of a whole text; of words, `<EOS>` stands behind each sentence where `tokens.end` says so."""
    return _characters(text, tokens) if tokens.unit == "chars" else _words(text, tokens)


def _characters(text: str, tokens: Tokens) -> Stream:
    points = np.frombuffer((text.lower() if tokens.lower else text).encode("utf-32-le"), np.uint32)
    found = np.flatnonzero(np.bincount(points))
    table = np.zeros(int(found[-1]) + 1, np.int32)
    table[found] = np.arange(len(found))
    newlines = points == ord("\n")
    lines = np.cumsum(newlines) - newlines + 1
    return Stream(table[points], tuple(map(chr, found.tolist())), lines)


def _words(text: str, tokens: Tokens) -> Stream:
    index: dict[str, int] = {}
    codes: list[int] = []
    counts: list[int] = []
    for words in _sentences(text.split("\n"), tokens):
        codes += [index.setdefault(word, len(index)) for word in words]
        counts.append(len(words))
    return Stream(np.array(codes, np.int32), tuple(index), np.repeat(np.arange(1, len(counts) + 1), counts))


def _sentences(lines: Sequence[str], tokens: Tokens) -> Iterator[list[str]]:
    """The words of each line. A sentence ends behind `.`, `!` or `?`, and at the latest with its paragraph."""
    open_sentence = False
    for number, line in enumerate(lines, 1):
        words = pieces(line, tokens)
        if not tokens.end:
            yield words
            continue
        found: list[str] = []
        for word in words:
            found.append(word)
            open_sentence = word != END
            if word[0] in _ENDS:
                found.append(END)
                open_sentence = False
        if open_sentence and (number == len(lines) or not lines[number].strip()):
            found.append(END)
            open_sentence = False
        yield found


def windows(
    found: Stream, origins: Mapping[str, Tokens], step: int, *, short: bool
) -> tuple[dict[str, Texts], Indices]:
    """One example for each window of a text, and the line on which each begins; none where the text is too short.

    `origins` are the tokens of each input by its name. All inputs have as many windows. With `short`, what is left at
    the end is an example too, of fewer steps.
    """
    ahead = max(tokens.ahead for tokens in origins.values())
    reach = max(tokens.ahead + (tokens.window or 1) for tokens in origins.values())
    count = len(found.codes)
    begins = np.arange(0, max(count - reach + 1, 0), step)
    next_begin = int(begins[-1]) + step if len(begins) else 0
    covered = int(begins[-1]) + reach if len(begins) else 0
    left = count - ahead - next_begin if short and covered < count else 0
    if left > 0:
        begins = np.append(begins, next_begin)
    texts: dict[str, Texts] = {}
    for name, tokens in origins.items():
        counts = np.full(len(begins), tokens.window or 1)
        if left > 0:
            counts[-1] = min(left, counts[-1])
        texts[name] = Texts(found.codes, found.names, begins + tokens.ahead, counts)
    return texts, found.lines[begins]


def contiguous(texts: Texts, ahead: int, parts: Mapping[str, Indices]) -> dict[str, Indices]:
    """Splits of a text's windows, one behind the other, without those that begin in the split before, and for
    training without a last one that is shorter than the others."""
    begins = texts.starts - ahead
    kept: dict[str, Indices] = {}
    end = 0
    for split, rows in parts.items():
        kept[split] = rows[begins[rows] >= end]
        end = int((begins[rows] + texts.counts[rows]).max(initial=end))
    train = kept["train"]
    long = train[texts.counts[train] == texts.counts[train].max(initial=0)]
    return {**kept, "train": long}
