"""What is found by looking at a whole tensor at once: orthogonal matrices, and n-grams that two texts share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import Facts, TensorType
from dlc.compiler.ops.base import Bad, Op, Sample, ShapeError, op
from dlc.compiler.ops.numeric import np

if TYPE_CHECKING:
    from dlc.compiler.ir import Node


@op("orthogonalise")
class Orthogonalise(Op):
    """The nearest thing to x whose rows (of the first axis, against all others) are orthonormal, or its columns where
    it has fewer: the Q of QR, with the signs that make R's diagonal positive, so that normal numbers give every
    orthogonal matrix with equal chance."""

    differentiable = False
    samples = (Sample(((3, 5),)), Sample(((5, 3),)), Sample(((4, 2, 3),)), Sample(((3, 3),)))
    bad = (Bad(((4,),), "D114"),)

    def type(self, facts: Facts, x: TensorType) -> TensorType:
        if x.rank < 2:
            raise ShapeError(
                "D114",
                f"{{0}} is {x}: only a tensor with rows and columns can be orthogonal",
                [(0, None)],
                rule="W W.T = I for W : (n, k) with n <= k",
            )
        return x

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [tuple(range(node.type.rank))]

    def reference(self, x: Any) -> Any:
        matrix = np.reshape(x, (np.shape(x)[0], -1))
        wide = matrix.shape[0] < matrix.shape[1]
        q, r = np.linalg.qr(matrix.T if wide else matrix)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return np.reshape(q.T if wide else q, np.shape(x))


@op("ngram_matches")
class NgramMatches(Op):
    """How many of the `n`-grams of each text x (m, T) its reference y (m, S) has too, each counted no more often than
    it stands there. z and w, of shape (m), are the lengths of the texts and of the references."""

    compiled = False
    differentiable = False
    samples = tuple(
        Sample(((5, 6), (5, 4), (5,), (5,)), (("n", n),), low=1, high=4, kinds=("index",) * 4) for n in (1, 2, 3)
    )
    bad = (Bad(((5, 6), (4, 6), (5,), (5,)), "D102", (("n", 1),)), Bad(((5,), (5, 6), (5,), (5,)), "D103", (("n", 1),)))

    def type(self, facts: Facts, x: TensorType, y: TensorType, z: TensorType, w: TensorType, *, n: int) -> TensorType:
        for number, text in enumerate((x, y)):
            if text.rank != 2:
                raise ShapeError(
                    "D103",
                    f"{{{number}}} is {text}, and a text is (m, T): a class number for each step",
                    [(number, None)],
                    rule="bleu(s : (m, T), y : (m, S))",
                )
        if x.axes[0].size != y.axes[0].size:
            raise ShapeError(
                "D102",
                f"{{0}} has {x.axes[0].size} texts and {{1}} has {y.axes[0].size}: {x} and {y}",
                [(0, 0), (1, 0)],
                rule="each text has one reference",
            )
        return TensorType(x.axes[:1])

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        """The steps of both; each text has its own reference."""
        return [(1,), (1,), (), ()]

    def reference(self, x: Any, y: Any, z: Any, w: Any, *, n: int) -> Any:
        def grams(text: Any, length: float) -> Counter[tuple[int, ...]]:
            words = [int(word) for word in text[: int(length)]]
            return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

        pairs = zip(x, y, z, w, strict=True)
        return np.array([float((grams(s, a) & grams(r, b)).total()) for s, r, a, b in pairs])
