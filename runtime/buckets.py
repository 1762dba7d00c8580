"""Batches of examples of similar lengths, so that little of a batch is padding, in an order that is still random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

POOL = 50
"""So many batches of shuffled examples are sorted by length together: the longest of a batch is then hardly longer than
its shortest, and which examples meet in a batch still differs from epoch to epoch."""


def bucketed(order: Indices, steps: Indices, batch: int, seed: int, epoch: int) -> Indices:
    """A shuffled order of examples, rearranged: consecutive batches have similar `steps` (of each example), and come in
    random order themselves. It depends on the arguments alone.

    What does not fill a batch stays the last one, drawn from all lengths.
    """
    count = len(order) // batch
    if not count:
        return order
    whole, rest = order[: count * batch], order[count * batch :]
    pools = [whole[start : start + POOL * batch] for start in range(0, len(whole), POOL * batch)]
    batches = [pool[np.argsort(steps[pool], kind="stable")].reshape(-1, batch) for pool in pools]
    # A stream of its own, and one that NumPy promises to leave as it is: see `train.example_order`.
    shuffled = np.argsort(np.random.PCG64([seed, epoch, 1]).random_raw(count), kind="stable")
    return np.concatenate([np.concatenate(batches)[shuffled].reshape(-1), rest])
