"""What is trained: the cases as data, each with its examples and its initial parameters.

Every contender takes a `Case` from here, so that all of them train the same network, from the same numbers, on the
same examples, with the same rule of update.  Arrays are stored one example a row, as the rivals want them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# How often `check` repeats the first batch before it compares the losses of two contenders.
CHECK_STEPS = 20

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, the defaults of all contenders


@dataclass(frozen=True)
class Case:
    """A dense network n[0]-…-n[L], relu between the layers, and the way it is trained.

    `widths` is n; one output unit means sigmoid with binary cross-entropy, several mean softmax with cross-entropy.
    The learning rates are small on purpose: however many steps a fast contender takes, units should not die nor
    outputs saturate, for that leads to denormal numbers, which some contenders flush to zero and others compute with.
    """

    name: str
    widths: tuple[int, ...]
    batch: int
    examples: int
    optimizer: str  # "sgd" or "adam"
    learning_rate: float

    @property
    def binary(self) -> bool:
        return self.widths[-1] == 1

    @property
    def flops(self) -> int:
        """Operations of a step's matrix products: Z and dW of each layer, and dA of all but the first."""
        products = [n * n_prev for n_prev, n in zip(self.widths, self.widths[1:], strict=False)]
        return 2 * self.batch * (3 * sum(products) - products[0])

    def data(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """X (examples, n[0]), standard normal, and a class for each example, drawn at random."""
        random = np.random.default_rng(0)
        x = random.standard_normal((self.examples, self.widths[0]), dtype=np.float32)
        return x, random.integers(0, max(2, self.widths[-1]), self.examples)

    def parameters(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """(W[l], b[l]) for each layer, W[l] : (n[l], n[l-1]) drawn by He's rule and b[l] : (n[l],) zero."""
        random = np.random.default_rng(1)
        return [
            (
                random.standard_normal((n, n_prev), dtype=np.float32) * np.float32(np.sqrt(2 / n_prev)),
                np.zeros(n, np.float32),
            )
            for n_prev, n in zip(self.widths, self.widths[1:], strict=False)
        ]


def _cases() -> list[Case]:
    mlp, small = (784, 512, 256, 10), (4, 16, 3)
    return [
        *(Case(f"mlp-{m}-sgd", mlp, m, 8192, "sgd", 1e-3) for m in (32, 128, 1024)),
        *(Case(f"mlp-{m}-adam", mlp, m, 8192, "adam", 1e-4) for m in (32, 128, 1024)),
        Case("small-16-sgd", small, 16, 4096, "sgd", 1e-3),
        Case("small-16-adam", small, 16, 4096, "adam", 1e-5),
        Case("logistic-209-sgd", (12288, 1), 209, 209, "sgd", 1e-3),
    ]


CASES: dict[str, Case] = {case.name: case for case in _cases()}
