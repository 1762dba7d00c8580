"""Which rows belong to which split."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.settings import SPLITS, ByColumn, Fractions
from dlc.runtime.data.problems import Problems

Indices = NDArray[np.int64]

WORDS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}


def permutation(count: int, seed: int) -> Indices:
    """A permutation of 0..count-1 that depends on the two numbers alone.

    It sorts the raw 64-bit stream of PCG64, which NumPy promises to leave as it is (NEP 19); it promises no such thing
    of `Generator.permutation`.
    """
    keys = np.random.PCG64(seed).random_raw(count)
    return np.argsort(keys, kind="stable")


def sizes(count: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers that sum to `count`, in the proportion of the shares: what rounding down leaves goes to the
    largest remainders, the earlier of equal ones first."""
    exact = [count * share for share in shares]
    whole = [int(value + 1e-9) for value in exact]
    order = sorted(range(len(shares)), key=lambda i: (-round(exact[i] - whole[i], 9), i))
    for i in order[: count - sum(whole)]:
        whole[i] += 1
    return whole


def by_fractions(split: Fractions, count: int, seed: int) -> dict[str, Indices]:
    """Random splits, each in the order of the file. Raises T402 where one would be empty."""
    return {name: np.sort(part) for name, part in _cut(split, permutation(count, seed)).items()}


def in_order(split: Fractions, count: int) -> dict[str, Indices]:
    """Splits one behind the other, as they stand in the file. Raises T402 where one would be empty."""
    return _cut(split, np.arange(count))


def _cut(split: Fractions, order: Indices) -> dict[str, Indices]:
    count = len(order)
    shares = {name: share for name in SPLITS if (share := getattr(split, name))}
    counts = dict(zip(shares, sizes(count, list(shares.values())), strict=True))
    ends = np.cumsum(list(counts.values()))
    for name, size in counts.items():
        if size == 0:
            written = ", ".join(f"{share:g}" for share in shares.values())
            message = f"split = {written} leaves the {name} split empty: there are {count} examples"
            raise DiagnosticError(Diagnostic("T402", message, split.span))
    return dict(zip(counts, np.split(order, ends[:-1]), strict=True))


def by_column(split: ByColumn, cells: Sequence[str], place: Callable[[int], str]) -> dict[str, Indices]:
    """The splits that a column says. Raises V503 for another word than train, dev and test, T402 without train."""
    words = [WORDS.get(cell.strip().lower()) for cell in cells]
    problems = Problems()
    for row, word in enumerate(words):
        if word is None:
            problems.add("V503", f"{place(row)}: {cells[row][:40]!r} is not train, dev or test", split.span)
    problems.raise_if_any()
    if "train" not in words:
        message = f"the column {split.column} puts no example into the train split"
        raise DiagnosticError(Diagnostic("T402", message, split.span))
    named = np.array(words)
    return {name: np.flatnonzero(named == name) for name in SPLITS if name in words}
