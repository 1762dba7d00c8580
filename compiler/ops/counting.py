"""What is found by looking at a whole tensor at once: orthogonal matrices, and n-grams that two texts share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import Facts, TensorType
from dlc.compiler.ops.base import Bad, Op, Sample, ShapeError, Stable, op
from dlc.compiler.ops.numeric import np

if TYPE_CHECKING:
    from dlc.compiler.ir import Builder, Node


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
class NgramMatches(Stable):
    """How many of the `n`-grams of each text x (m, T) its reference y (m, S) has too, each counted no more often than
    it stands there. z and w, of shape (m), are the lengths of the texts and of the references.
    """

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

    def expand(self, b: Builder, node: Node) -> Node:
        """An n-gram counts where fewer of the same stand before it in x than there are in y."""
        x, y, z, w = node.inputs
        n: int = node.attr("n")
        x, y = _real(b, x), _real(b, y)
        own, there = _same_grams(b, x, x, z, n), _same_grams(b, x, y, w, n)
        place, other = (_beside(b, b.add("position", x, axis=1), own.type, axis) for axis in (2, 1))
        before = b.add("and", own, b.add("lt", other, place))
        fewer = b.add("lt", _count(b, before, 2), _count(b, there, 2))
        return _count(b, b.add("and", fewer, _grams(b, x, z, n)), 1)

    def reference(self, x: Any, y: Any, z: Any, w: Any, *, n: int) -> Any:
        def grams(text: Any, length: float) -> Counter[tuple[int, ...]]:
            words = [int(word) for word in text[: int(length)]]
            return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

        pairs = zip(x, y, z, w, strict=True)
        return np.array([float((grams(s, a) & grams(r, b)).total()) for s, r, a, b in pairs])


def _grams(b: Builder, text: Node, lengths: Node, n: int) -> Node:
    """Whether an n-gram ends at a place, (m, T)."""
    axes = text.type.axes
    place = b.add("broadcast", b.add("position", text, axis=1), axes=axes)
    last = b.add("broadcast", b.add("expand", _real(b, lengths), axes=(1,)), axes=axes)
    return b.add("and", b.add("ge", place, b.constant(float(n))), b.add("le", place, last))


def _same_grams(b: Builder, x: Node, y: Node, w: Node, n: int) -> Node:
    """Whether the n words up to a place of x are those up to a place of y, (m, T, S)."""
    axes = TensorType((*x.type.axes, y.type.axes[1]))
    same = _beside(b, _grams(b, y, w, n), axes, 1)
    for _ in range(n):
        same = b.add("and", same, b.add("eq", _beside(b, x, axes, 2), _beside(b, y, axes, 1)))
        x, y = (b.add("shift", text, axis=1) for text in (x, y))
    return same


def _beside(b: Builder, text: Node, type: TensorType, axis: int) -> Node:
    """What is known of each place of a text, for each place of another one, whose axis is missing."""
    return b.add("broadcast", b.add("expand", text, axes=(axis,)), axes=type.axes)


def _count(b: Builder, truth: Node, axis: int) -> Node:
    """How many places there are along an axis."""
    return b.add("drop", b.add("sum", b.add("real", truth), axes=(axis,)), axes=(axis,))


def _real(b: Builder, value: Node) -> Node:
    return b.add("real", value) if value.type.kind == "index" else value
