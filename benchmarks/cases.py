"""What is measured: the cases as data, each with its examples and its initial parameters.

Every contender takes a `Case` from here, so that all of them train the same network, from the same numbers, on the
same examples, with the same rule of update.  Arrays are stored one example a row: images with their channels last,
sequences with their steps in order.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from networks import (
    Network,
    Outline,
    Shape,
    deep_both_ways,
    encoder,
    gpt,
    lenet5,
    mlp,
    mobilenet_v2,
    outline,
    resnet20,
    resnet50,
    tagger,
    unet,
)
from numpy.typing import NDArray

# How often `check` repeats the first batch before it compares the losses of two contenders.
CHECK_STEPS = 20

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, the defaults of all contenders
MOMENTUM = 0.9  # v = MOMENTUM v + dW

Values = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Case:
    """A network, and the way it is trained, or (`optimizer` is "none") how it predicts.

    One class means sigmoid with binary cross-entropy, several mean softmax with cross-entropy, none a target of numbers
    in the form of the examples with one half of the squared error. The loss is summed over the steps of a sequence.
    The learning rates are small on purpose: however many steps a fast contender takes, units should not die nor outputs
    saturate, for that leads to denormal numbers, which some contenders flush to zero and others compute with.
    """

    name: str
    network: Network = field(repr=False)
    example: Shape
    """(n_H, n_W, n_C), (n,) or (T, n), of text (T,)."""
    classes: int
    batch: int
    examples: int
    optimizer: str
    """"sgd", "momentum", "adam", or "none": prediction, with running statistics."""
    learning_rate: float = 0.0
    widths: tuple[int, ...] = ()
    """n of a dense network."""
    spec: str = ""
    """The spec of any other, below the repository's root, and its hypers."""
    hypers: Mapping[str, Any] = field(default_factory=dict)
    maps: bool = False
    """Whether every pixel, or step, has a class."""
    text: bool = False
    """Whether the examples are text, words below `classes`, of which each is to be told from those before it."""

    @property
    def binary(self) -> bool:
        return self.classes == 1

    @property
    def predicts(self) -> bool:
        return self.optimizer == "none"

    @property
    def steps(self) -> int:
        """T of a sequence, otherwise 1."""
        return self.example[0] if self.text or len(self.example) == 2 else 1

    @functools.cached_property
    def outline(self) -> Outline:
        return outline(self.network, self.example)

    @property
    def flops(self) -> int:
        """Operations of the matrix products and convolutions: Z and dW of each layer, and dA of all but the first."""
        products = list(self.outline.products.values())
        times = sum(products) if self.predicts else 3 * sum(products) - products[0]
        return 2 * self.batch * times

    def data(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """X (examples, …), standard normal, and a class for each example (or pixel, or step), drawn at random, or
        numbers like X; text twice."""
        random = np.random.default_rng(0)
        if self.text:
            words = random.integers(0, self.classes, (self.examples, *self.example))
            return words, words
        x = random.standard_normal((self.examples, *self.example), dtype=np.float32)
        if not self.classes:
            return x, random.standard_normal(x.shape, dtype=np.float32)
        labelled = (self.examples, *self.example[:-1]) if self.maps else (self.examples,)
        return x, random.integers(0, max(2, self.classes), labelled)

    def parameters(self) -> Values:
        """By name: weights drawn by He's rule, biases zero."""
        return self.outline.drawn(self.outline.parameters, 1)

    def states(self) -> Values:
        """Running statistics by name: where a network learns, mean 0 and variance 1, which it does not read."""
        if self.predicts:
            return self.outline.drawn(self.outline.states, 2)
        return {name: np.full(s.shape, s.mean, np.float32) for name, s in self.outline.states.items()}


def _dense(name: str, widths: tuple[int, ...], batch: int, examples: int, optimizer: str, learning_rate: float) -> Case:
    return Case(name, mlp(widths), widths[:1], widths[-1], batch, examples, optimizer, learning_rate, widths)


def _sequences() -> list[Case]:
    models, words = "benchmarks/models", {"V": 64, "d_model": 256, "heads": 8, "N": 6}
    reads: dict[str, Any] = {
        "classes": 10,
        "batch": 32,
        "examples": 512,
        "optimizer": "adam",
        "learning_rate": 1e-4,
        "maps": True,
    }
    return [
        *(
            Case(f"{c}-{n}", tagger(c, n), (50, 64), spec=f"{models}/{c}", hypers={"n_a": n}, **reads)
            for c in ("lstm", "gru")
            for n in (128, 512)
        ),
        Case("bidirectional", deep_both_ways(128, 2), (50, 64), spec=f"{models}/bidirectional", **reads),
        Case("encoder", encoder(128, 4, 512), (64, 128), 0, 16, 256, "adam", 1e-4, spec=f"{models}/encoder"),
        Case("gpt", gpt(**words), (128,), 64, 8, 64, "adam", 1e-5, spec=f"{models}/gpt", hypers=words, text=True),
    ]


def _cases() -> list[Case]:
    big, small = (784, 512, 256, 10), (4, 16, 3)
    grey = {"size": 28, "channels": 1, "pad": 2}
    lenet = Case("", lenet5, (28, 28, 1), 10, 0, 4096, "momentum", 1e-4, spec="specs/convolution/lenet5", hypers=grey)
    residual = Case("", resnet50, (224, 224, 3), 1000, 1, 4, "none", spec="specs/convolution/resnet50")
    mobile = Case(
        "",
        mobilenet_v2,
        (224, 224, 3),
        1000,
        1,
        4,
        "none",
        spec="specs/convolution/mobilenet_v2",
        hypers={"keep_prob": 1},
    )
    return [
        *(_dense(f"mlp-{m}-sgd", big, m, 8192, "sgd", 1e-3) for m in (32, 128, 1024)),
        *(_dense(f"mlp-{m}-adam", big, m, 8192, "adam", 1e-4) for m in (32, 128, 1024)),
        _dense("small-16-sgd", small, 16, 4096, "sgd", 1e-3),
        _dense("small-16-adam", small, 16, 4096, "adam", 1e-5),
        _dense("logistic-209-sgd", (12288, 1), 209, 209, "sgd", 1e-3),
        *(replace(lenet, name=f"lenet5-{m}", batch=m) for m in (32, 128)),
        Case("resnet20-64", resnet20, (32, 32, 3), 10, 64, 512, "momentum", 1e-3, spec="specs/convolution/resnet20"),
        replace(
            mobile,
            name="mobilenetv2-8",
            example=(96, 96, 3),
            batch=8,
            examples=64,
            optimizer="momentum",
            learning_rate=1e-4,
            hypers={"keep_prob": 1, "size": 96},
        ),
        Case(
            "unet-4",
            unet(32),
            (128, 128, 3),
            2,
            4,
            16,
            "adam",
            1e-5,
            spec="specs/convolution/unet",
            hypers={"size": 128, "width": 32},
            maps=True,
        ),
        *_sequences(),
        replace(residual, name="resnet50-predict"),
        replace(mobile, name="mobilenetv2-predict"),
        replace(residual, name="resnet50-1", optimizer="momentum", learning_rate=1e-4),
    ]


CASES: dict[str, Case] = {case.name: case for case in _cases()}

TIMED = [name for name in CASES if name != "resnet50-1"]
"""All but the one whose start is measured alone."""
