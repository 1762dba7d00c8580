"""What a run keeps of its data, to notice when that is read again and has changed: counts and digests of its splits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic
from dlc.runtime.data.columns import Column, as_array
from dlc.runtime.data.dataset import DataSet, Examples
from dlc.runtime.data.sequences import Sequences

Array = NDArray[Any]
Fingerprint = Mapping[str, Mapping[str, Any]]
"""`{"train": {"examples": 1200, "digest": "…"}, …}`"""

MOST_VALUES = 1 << 24
"""Of larger inputs so much is read, in examples that lie evenly: images may have to be decoded for it."""


def fingerprint(data: DataSet) -> Fingerprint:
    """Of what the model reads: each split's examples after all preprocessing, rounded to float32, in their order."""
    return {split: {"examples": part.count, "digest": _digest(part)} for split, part in data.splits.items()}


def changed(before: Fingerprint | None, now: Fingerprint, help: str) -> list[Diagnostic]:
    """R616 where the splits are not those that a run began with. A run may have kept no fingerprint."""
    if before is None or before == now:
        return []
    message = f"the data has changed since the run began: {'; '.join(_differences(before, now))}"
    return [Diagnostic("R616", message, None, "warning", help=help)]


def _differences(before: Fingerprint, now: Fingerprint) -> Iterator[str]:
    for split in dict.fromkeys((*before, *now)):
        old, new = (record.get(split, {}).get("examples", 0) for record in (before, now))
        if old != new:
            yield f"the {split} split had {old:,} example{'s' if old != 1 else ''}, and has {new:,} now"
        elif before.get(split) != now.get(split):
            yield f"the {split} split has other examples, or in another order"


def _digest(part: Examples) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(part.arrays):
        for array in _content(part.arrays[name]):
            reals = array.dtype.kind == "f"
            digest.update(f"{name} {array.dtype.kind} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array, np.float32 if reals else np.int64).data)
    return digest.hexdigest()


def _content(column: Column) -> Iterator[Array]:
    if isinstance(column, Sequences):
        yield column.counts
        yield column.values[_covered(column)]
    elif math.prod(column.shape) <= MOST_VALUES:
        yield as_array(column)
    else:
        rows = max(MOST_VALUES // math.prod(column.shape[1:]), 1)
        yield column[np.linspace(0, len(column) - 1, rows).astype(np.int64)]


def _covered(column: Sequences) -> NDArray[np.bool_]:
    """Which steps stand in some example: windows of one text share them."""
    edges = np.zeros(len(column.values) + 1, np.int64)
    np.add.at(edges, column.starts, 1)
    np.add.at(edges, column.starts + column.counts, -1)
    found: NDArray[np.bool_] = np.cumsum(edges[:-1]) > 0
    return found
