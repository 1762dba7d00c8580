"""Did you mean …? The nearest of the names that would have been right."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` most likely misspells, or None where none is near.

    A name that differs only in case, underscores or brackets (`conv1`, `conv[1]`) always counts as near. Otherwise a
    third of the letters may be wrong, missing, added or swapped with a neighbour; ties go to the first in alphabetical
    order.
    """
    others = sorted(set(candidates) - {word})
    for candidate in others:
        if _plain(candidate) == _plain(word):
            return candidate
    near = [(edits(_plain(word), _plain(c)), c) for c in others if abs(len(c) - len(word)) <= len(word)]
    distance, best = min(near, default=(len(word), ""))
    return best if distance <= max(1, min(len(word), len(best)) // 3) and distance < len(word) else None


def edits(a: str, b: str) -> int:
    """How many letters are wrong, missing, added or swapped with their neighbour (Damerau, Levenshtein)."""
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]


_MARKS = str.maketrans("", "", "_[]")


def _plain(name: str) -> str:
    return name.translate(_MARKS).casefold() or name
