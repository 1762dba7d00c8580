"""Training without Python between the steps: the same as step by step, and the same bits on any number of threads."""

from __future__ import annotations

import nets
import numpy as np
from against_reference import fill, module

from dlc.runtime.native import Native


def examples(count: int, features: int, classes: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((count, features)).astype(np.float32)
    return {"X": x, "Y": rng.integers(0, classes, count)}


def tensors(native: Native) -> bytes:
    return b"".join(a.tobytes() for a in [*native.parameters.values(), *native.states.values()])


def test_batches_are_what_single_steps_are() -> None:
    programs = nets.programs(nets.dense([20, 33, 5], dropout=0.2), nets.adam, 0.1)
    made = module({"train": programs["train"]}, "float32")
    data, batch = examples(75, 20, 5), 32
    order = np.random.default_rng(2).permutation(75)
    single, together = Native(made, seed=3), Native(made, seed=3)
    for native in (single, together):
        fill(native)
    loss = cost = 0.0
    for number in range(3):
        rows = order[number * batch : (number + 1) * batch]
        scalars = {"t": 11 + number, "epoch": 4}
        found = single.run("train", {k: v[rows] for k, v in data.items()}, len(rows), scalars, 11 + number)
        loss, cost = loss + float(found["loss"]) * len(rows), cost + float(found["cost"]) * len(rows)
    sums = together.train_batches(data, order, batch, 0, 2, step=10, epoch=4)
    rest = together.train_batches(data, order, batch, 2, 1, step=12, epoch=4)
    assert sums[2] + rest[2] == 75
    assert sums[0] + rest[0] == loss
    assert sums[1] + rest[1] == cost
    assert tensors(single) == tensors(together)


def test_data_in_order_is_read_where_it_lies() -> None:
    """Whole batches need no copy, the last one with no room behind it does, and all give what shuffled data gives."""
    programs = nets.programs(nets.dense([16, 3]))
    made = module({"train": programs["train"]}, "float32")
    data = examples(40, 16, 3)
    for batch in (16, 40):
        copied, direct = Native(made), Native(made)
        for native in (copied, direct):
            fill(native)
        count = -(-40 // batch)
        back = np.arange(40)[::-1].copy()
        reversed_data = {name: array[::-1].copy() for name, array in data.items()}
        first = copied.train_batches(reversed_data, back, batch, 0, count, step=0, epoch=1)
        second = direct.train_batches(data, np.arange(40), batch, 0, count, step=0, epoch=1)
        assert first == second
        assert tensors(copied) == tensors(direct)


def test_the_same_bits_on_one_thread_and_on_two() -> None:
    programs = nets.programs(nets.dense([130, 200, 70, 10], dropout=0.2), nets.adam, 0.01)
    made = module({"train": programs["train"]}, "float32")
    data = examples(300, 130, 10)
    order = np.random.default_rng(2).permutation(300)

    def trained(threads: int) -> bytes:
        native = Native(made, threads=threads, seed=1)
        fill(native)
        native.train_batches(data, order, 128, 0, 3, step=0, epoch=1)
        return tensors(native)

    alone = trained(1)
    assert all(trained(2) == alone for _ in range(20))
    assert trained(3) == alone
