"""What is said where memory does not suffice: which example is the longest, if it is that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.data.dataset import Examples
from dlc.runtime.data.sequences import Sequences

LONG = 1000
"""Steps from which on it is the length of an example that takes the memory."""


@contextmanager
def memory_told(*parts: Examples) -> Iterator[None]:
    """Lets a MemoryError of what is done with some examples leave as R606, which names the longest of them."""
    try:
        yield
    except MemoryError:
        found = max((_longest(part) for part in parts), default=(0, ""))
        if found[0] < LONG:
            raise
        message = f"there is not enough memory: the longest example has {found[0]:,} steps, {found[1]}"
        help = "cut long texts, words(cut = 200), or read a whole text in windows, words(window = 200)"
        raise DiagnosticError(Diagnostic("R606", message, None, help=help)) from None


def _longest(part: Examples) -> tuple[int, str]:
    """The steps of the longest example, and where it stands."""
    longest = (0, "")
    for name, column in part.arrays.items():
        if name not in part.layouts or not part.layouts[name].dimensions:
            continue
        if isinstance(column, Sequences):
            row = int(np.argmax(column.counts))
            longest = max(longest, (int(column.counts[row]), part.place(row)))
        else:
            longest = max(longest, (max(column.shape[1:]), part.place(0)))
    return longest
