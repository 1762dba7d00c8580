"""Batches that are made ahead of training, by threads in the background: images decoded and changed at random.

Training takes a block of batches while the next ones are being made; a few blocks are in memory at a time. What is in a
block depends on the seed, the epoch and the numbers of its examples, and neither on the threads nor on the time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.program import InputDeclaration
from dlc.runtime.data.columns import Column, Columns, as_array
from dlc.runtime.data.layout import has_examples
from dlc.runtime.data.pictures import Pictures

Array = NDArray[Any]
Order = NDArray[np.int64]

AHEAD = 2
"""Blocks that are made, or being made, while training computes another."""
BLOCK_BYTES = 1 << 24
"""The size of a block, where a batch is not larger."""


@dataclass(frozen=True, slots=True)
class Group:
    """Batches that one call of the engine computes: `count` of an epoch (from 1), from number `first` (from 0) on."""

    epoch: int
    first: int
    count: int


class Feed:
    """The batches of a training, group by group, in the order in which `groups` says that they will be asked for."""

    def __init__(
        self,
        data: Columns,
        declarations: Mapping[str, InputDeclaration],
        batch: int,
        seed: int,
        order: Callable[[int], Order],
        groups: Iterator[Group],
        threads: int,
    ) -> None:
        self.fixed = {n: as_array(column) for n, column in data.items() if not has_examples(n, declarations)}
        self.columns = {name: column for name, column in data.items() if name not in self.fixed}
        self.batch, self.seed, self.order, self.groups = batch, seed, order, groups
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="dlc-images")
        self.blocks: deque[tuple[Group, _Block]] = deque()

    def take(self, wanted: Group) -> dict[str, Array]:
        """The examples of the next group, in its order. Raises DiagnosticError where an image cannot be read."""
        self._go_on(AHEAD + 1)
        group, block = self.blocks.popleft()
        assert group == wanted, "training and its feed go through the same groups"
        arrays = block.arrays()
        self._go_on(AHEAD)
        return arrays

    def close(self) -> None:
        """Ends the threads; what they have begun is finished and dropped."""
        self.pool.shutdown(wait=True, cancel_futures=True)

    def _go_on(self, blocks: int) -> None:
        while len(self.blocks) < blocks and (group := next(self.groups, None)) is not None:
            self.blocks.append((group, self._begun(group)))

    def _begun(self, group: Group) -> _Block:
        start = group.first * self.batch
        rows = self.order(group.epoch)[start : start + group.count * self.batch]
        block = _Block(dict(self.fixed), [])
        for name, column in self.columns.items():
            array = np.empty((len(rows), *column.shape[1:]), column.dtype)
            block.made[name] = array
            for part in parts(column, len(rows)):
                block.tasks.append(self.pool.submit(self._make, column, array, rows, part, group.epoch))
        return block

    def _make(self, column: Column, array: Array, rows: Order, part: slice, epoch: int) -> None:
        if isinstance(column, Pictures):
            array[part] = column.augmented(rows[part], self.seed, epoch)
        else:
            array[part] = column[rows[part]]


@dataclass(frozen=True, slots=True)
class _Block:
    """Arrays that are being filled."""

    made: dict[str, Array]
    tasks: list[Future[None]]

    def arrays(self) -> dict[str, Array]:
        """Waits for all. Raises DiagnosticError with everything that was wrong."""
        bad: list[Diagnostic] = []
        for task in self.tasks:
            try:
                task.result()
            except DiagnosticError as error:
                bad += error.diagnostics
        if bad:
            raise DiagnosticError(*bad)
        return self.made


def parts(column: Column, count: int) -> Iterator[slice]:
    """Rows that one thread makes in one go."""
    return column.parts(count) if isinstance(column, Pictures) else iter([slice(0, count)])


def needs_feed(data: Columns) -> bool:
    """Whether a training on these columns has anything to be made ahead."""
    return any(isinstance(column, Pictures) for column in data.values())


def batches_of_block(data: Columns, declarations: Mapping[str, InputDeclaration], batch: int) -> int:
    """How many batches a block has."""
    width = sum(
        math.prod(column.shape[1:]) * column.dtype.itemsize
        for name, column in data.items()
        if has_examples(name, declarations)
    )
    return max(BLOCK_BYTES // max(width * batch, 1), 1)
