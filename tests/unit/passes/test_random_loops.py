"""Random steps with everything that the passes about loops look for: the same values before and after."""

from __future__ import annotations

import random
from typing import Any

import pytest
from loop_cases import TIME, assert_equal, by_hand

from dlc.compiler.dims import tensor
from dlc.compiler.passes import BEFORE_CODE, keep, look_up, run, take_out
from dlc.compiler.program import M

A, W = tensor(2, M), tensor(2, 2)
SEQUENCES = {
    "x": (tensor(2, M, TIME), 2),
    "y": (tensor(TIME, 2, M), 0),
    "u": (tensor(TIME), 0),
    "w": (tensor(M, TIME, kind="index", classes=5), 1),
}
CONSTANTS = {"W": W, "V": tensor(2, 4), "U": tensor(4, 2), "E": tensor(2, 5), "b": tensor(2, 1), "c": A}
FORMULAS = (
    "tanh({p})",
    "sigmoid({p} + b)",
    "{p} * {q}",
    "{p} + {q}",
    "{p} - {q}",
    "{matrix} @ {p}",
    "V @ concat({p}, {q}, axis=0)",
    "slice(U @ {p}, axis=0, start=zero, size=two)",
    "slice(U @ {p} + U @ {q}, axis=0, start=two, size=two)",
    "softmax({p}, axes=(0,))",
    "{p} * sum({q}, axes=(0,))",
    "select({p} > {q}, {p}, 0.5)",
    "u * {p}",
    "{p} - sum({q}, axes=(1,))",
    "tanh(u) * {p} + b",
    "slice(concat({p}, {q}, axis=0), axis=0, start=zero, size=two)",
)
"""Each gives a (2, m) from others."""


def case(seed: int) -> dict[str, Any]:
    """A step of up to 14 formulas, which carries up to three values and up to two sums."""
    draw = random.Random(seed)
    carries = {f"a{i}": A for i in range(draw.randint(1, 3))}
    values = ["x", "y", "c", "gather(E, w)", *carries]
    roots: dict[str, str] = {}
    for i in range(draw.randint(3, 14)):
        p, q = draw.choices(values, k=2)
        matrix = draw.choice(("W", "W.T", "tanh(W)", "(U.T @ U)"))
        roots[f"v{i}"] = draw.choice(FORMULAS).format(p=p, q=q, matrix=matrix)
        values.append(f"v{i}")
    computed = list(roots)
    takes: list[str] = []
    for i, name in enumerate(carries):
        roots[f"carry_{i}"] = f"0.3 * tanh({draw.choice(computed)}) + 0.5 * {name}"
        takes += draw.sample([f"carry.{i}", f"last.{i}", f"before.{i}"], draw.randint(0, 2))
    sums = {"s": W, "r": tensor(2, 1)}
    for i, name in enumerate(sums, len(carries)):
        p, q = draw.choices(computed, k=2)
        roots[f"carry_{i}"] = f"s + {p} @ {q}.T - 2 * W" if name == "s" else f"r + sum({p}, axes=(1,))"
        takes += [f"last.{i}", f"before.{i}"][: draw.randint(0, 2)]
    for i in range(draw.randint(1, 3)):
        roots[f"out_{i}"] = draw.choice(("{}", "W @ {}", "tanh(U @ {})")).format(draw.choice(computed))
        takes.append(f"out.{i}")
    given = {"sequences": SEQUENCES, "carries": carries | sums, "constants": CONSTANTS}
    return {"roots": roots, "takes": takes, "reverse": draw.random() < 0.5, **given}


@pytest.mark.parametrize("seed", range(30))
def test_random_loops(seed: int) -> None:
    before = by_hand(**case(seed))
    after = run(before, (keep, take_out, look_up))
    assert_equal(before, after, seed, zeros=True)
    assert_equal(after, run(after, BEFORE_CODE), seed, zeros=True)
