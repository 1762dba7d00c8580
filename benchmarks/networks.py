"""The networks, written once for every rival: functions of `Layers`, which are torch's, jax's, or only count.

A network takes images (examples, n_H, n_W, n_C), rows (examples, n), sequences (examples, T, n) or text (examples, T),
and gives scores, one for each class; names of parameters are dlc's, so that all contenders start from the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Layers(Protocol):
    """What a network is made of. `x` is whatever the library has: an array, or a shape."""

    def conv(
        self, name: str, x: Any, f: int, n: int, stride: int = 1, pad: int = 0, groups: int = 1, bias: bool = True
    ) -> Any:
        """n filters f x f, with so many zeros around the map; each sees the channels of its group."""
        ...

    def grow(self, name: str, x: Any, f: int, n: int) -> Any:
        """A transposed convolution with the stride f and a bias: the map becomes f times as large."""
        ...

    def norm(self, name: str, x: Any, gamma: float = 1.0) -> Any:
        """Batch normalization, with gamma as its first scale."""
        ...

    def dense(self, name: str, x: Any, n: int) -> Any:
        """n units with bias; a map is made flat, its channels last. Of a sequence, every step has them."""
        ...

    def relu(self, x: Any) -> Any: ...
    def relu6(self, x: Any) -> Any: ...
    def add(self, x: Any, y: Any) -> Any: ...
    def concat(self, x: Any, y: Any) -> Any: ...
    def max_pool(self, x: Any, f: int, stride: int, pad: int = 0) -> Any: ...

    def average(self, x: Any) -> Any:
        """The mean of each channel: (examples, n_C)."""
        ...

    def lstm(self, name: str, x: Any, n: int) -> Any:
        """`LSTM(n)` of specs/std/sequences.dl, from zeros; its a at every step."""
        ...

    def gru(self, name: str, x: Any, n: int) -> Any:
        """`GRU(n)` of the same."""
        ...

    def both_ways(self, name: str, x: Any, n: int) -> Any:
        """`Bidirectional(LSTM(n), LSTM(n))`."""
        ...

    def attend(self, name: str, x: Any, heads: int, causal: bool) -> Any:
        """Multi-head attention of a sequence to itself, without biases; causal: no step sees those after it."""
        ...

    def layer_norm(self, name: str, x: Any) -> Any:
        """Each step's features with mean 0 and variance 1, then gamma and beta."""
        ...

    def words_before(self, name: str, words: Any, V: int, n: int) -> Any:
        """At each step n units of the word before it (of none at the first), with bias."""
        ...

    def positions(self, x: Any) -> Any:
        """x + `position_table`."""
        ...


Network = Callable[[Layers, Any], Any]


# --- the networks ----------------------------------------------------------------------------------------------------


def mlp(widths: Sequence[int]) -> Network:
    """A dense network n[0]-…-n[L] with relu between its layers."""

    def network(on: Layers, x: Any) -> Any:
        for number, n in enumerate(widths[1:-1], 1):
            x = on.relu(on.dense(f"dense[{number}]", x, n))
        return on.dense(f"dense[{len(widths) - 1}]", x, widths[-1])

    return network


def lenet5(on: Layers, x: Any) -> Any:
    """specs/convolution/lenet5.dl with pad = 2."""
    a = on.max_pool(on.relu(on.conv("CONV1", x, 5, 8, pad=2)), 2, 2)
    a = on.max_pool(on.relu(on.conv("CONV2", a, 5, 16)), 2, 2)
    a = on.relu(on.dense("FC4", on.relu(on.dense("FC3", a, 120)), 84))
    return on.dense("Softmax", a, 10)


def conv_norm(
    on: Layers, name: str, x: Any, f: int, n: int, stride: int = 1, groups: int = 1, gamma: float = 1.0
) -> Any:
    z = on.conv(name, x, f, n, stride, f // 2, groups, bias=False)
    return on.norm(f"{name}.norm", z, gamma)


def resnet20(on: Layers, x: Any) -> Any:
    """specs/convolution/resnet20.dl."""
    a, number = on.relu(conv_norm(on, "convnorm[1]", x, 3, 16)), 0
    for stage in (1, 2, 3):
        n = 16 * 2 ** (stage - 1)
        for k in (1, 2, 3):
            number += 1
            name, stride = f"basicblock[{number}]", 2 if k == 1 and stage > 1 else 1
            z = on.relu(conv_norm(on, f"{name}.conv[1]", a, 3, n, stride))
            z = conv_norm(on, f"{name}.conv[2]", z, 3, n)
            a = on.relu(on.add(z, conv_norm(on, f"{name}.shortcut", a, 1, n, stride) if stride == 2 else a))
    return on.dense("dense[1]", on.average(a), 10)


def resnet50(on: Layers, x: Any) -> Any:
    """specs/convolution/resnet50.dl. The last scale of a block is small at first, or the sum of sixteen would grow."""
    a, number = on.max_pool(on.relu(conv_norm(on, "convnorm[1]", x, 7, 64, 2)), 3, 2, 1), 0
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        n = 64 * 2 ** (stage - 1)
        for k in range(1, blocks + 1):
            number += 1
            name, stride = f"bottleneck[{number}]", 2 if k == 1 and stage > 1 else 1
            z = on.relu(conv_norm(on, f"{name}.conv[1]", a, 1, n, stride))
            z = on.relu(conv_norm(on, f"{name}.conv[2]", z, 3, n))
            z = conv_norm(on, f"{name}.conv[3]", z, 1, 4 * n, gamma=0.2)
            a = on.relu(on.add(z, conv_norm(on, f"{name}.shortcut", a, 1, 4 * n, stride) if k == 1 else a))
    return on.dense("dense[1]", on.average(a), 1000)


def mobilenet_v2(on: Layers, x: Any) -> Any:
    """specs/convolution/mobilenet_v2.dl without dropout, whose draws no two libraries share."""
    a, n_prev, number = on.relu6(conv_norm(on, "convnorm[1]", x, 3, 32, 2)), 32, 0
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, n, repeats, first_stride in stages:
        for k in range(repeats):
            number += 1
            name, stride, wide = f"invertedresidual[{number}]", first_stride if k == 0 else 1, expand * n_prev
            z = a if expand == 1 else on.relu6(conv_norm(on, f"{name}.expansion", a, 1, wide))
            z = on.relu6(conv_norm(on, f"{name}.depthwise", z, 3, wide, stride, groups=wide))
            z = conv_norm(on, f"{name}.projection", z, 1, n)
            a, n_prev = on.add(z, a) if stride == 1 and n_prev == n else z, n
    return on.dense("dense[1]", on.average(on.relu6(conv_norm(on, "convnorm[2]", a, 1, 1280))), 1000)


def unet(width: int, depth: int = 4, classes: int = 2) -> Network:
    """specs/convolution/unet.dl; its scores are a map."""

    def network(on: Layers, x: Any) -> Any:
        def double(number: int, a: Any, n: int) -> Any:
            for layer in (1, 2):
                a = on.relu(on.conv(f"doubleconv[{number}].conv[{layer}]", a, 3, n, pad=1))
            return a

        down = [double(1, x, width)]
        for l in range(1, depth + 1):
            down.append(double(l + 1, on.max_pool(down[-1], 2, 2), width * 2**l))
        a = down.pop()
        for up, l in enumerate(reversed(range(depth)), 1):
            grown = on.grow(f"convtranspose[{up}]", a, 2, width * 2**l)
            a = double(depth + 1 + up, on.concat(down.pop(), grown), width * 2**l)
        return on.conv("conv[1]", a, 1, classes)

    return network


def tagger(cell: str, n: int) -> Network:
    """benchmarks/models/lstm.dl and gru.dl: `cell` is one of them."""
    return lambda on, x: on.dense("dense[1]", getattr(on, cell)(f"{cell}[1]", x, n), 10)


def deep_both_ways(n: int, L: int) -> Network:
    """benchmarks/models/bidirectional.dl."""

    def network(on: Layers, x: Any) -> Any:
        for l in range(1, L + 1):
            x = on.both_ways(f"bidirectional[{l}]", x, n)
        return on.dense("dense[1]", x, 10)

    return network


def encoder(d_model: int, heads: int, d_ff: int, name: str = "encoderblock[1]", causal: bool = False) -> Network:
    """`EncoderBlock` of specs/std/attention.dl: what is added is normalised behind the sum."""

    def network(on: Layers, x: Any) -> Any:
        a = on.layer_norm(f"{name}.norm_1", on.add(x, on.attend(f"{name}.attend", x, heads, causal)))
        z = on.relu(on.dense(f"{name}.feed.dense[1]", a, d_ff))
        return on.layer_norm(f"{name}.norm_2", on.add(a, on.dense(f"{name}.feed.dense[2]", z, d_model)))

    return network


def gpt(V: int, d_model: int, heads: int, N: int) -> Network:
    """benchmarks/models/gpt.dl."""

    def network(on: Layers, words: Any) -> Any:
        a = on.positions(on.words_before("dense[1]", words, V, d_model))
        for l in range(1, N + 1):
            a = encoder(d_model, heads, 4 * d_model, f"encoderblock[{l}]", causal=True)(on, a)
        return on.dense("dense[2]", a, V)

    return network


def position_table(T: int, n: int) -> NDArray[np.float32]:
    """(T, n): sin(t / 10000^(2i / n)) and cos of the same in turns, t and i from 0 (Vaswani et al. 2017)."""
    feature = np.arange(n)
    angle = np.arange(T)[:, None] * 10_000.0 ** (-2 * (feature // 2) / n)
    return np.where(feature % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)


# --- what a network needs --------------------------------------------------------------------------------------------

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """A parameter or a running statistic before it has numbers.

    `shape` is dlc's: filters (f, f, n_C_prev / groups, n_C), matrices (n, n_prev), everything else (n,). It is drawn
    from a normal distribution with this deviation about `mean`. `flattened` is the map that a matrix reads;
    `transposed` are the filters of a transposed convolution, and matrices whose columns are looked up.
    """

    shape: Shape
    mean: float = 0.0
    deviation: float = 0.0
    flattened: Shape | None = None
    transposed: bool = False


class Outline:
    """`Layers` that compute shapes of one example: (n_H, n_W, n_C), (n,), (T, n), of text (T,). What they meet on the
    way stands here."""

    def __init__(self) -> None:
        self.parameters: dict[str, Tensor] = {}
        self.states: dict[str, Tensor] = {}
        self.products: dict[str, int] = {}
        """Multiplications of an example by the layer's name, in forward order; the first layer's stand first. Causal
        attention counts as if every step saw all others."""
        self.recurrent: dict[str, tuple[str, int]] = {}
        """The gates of recurrent layers, in torch's order, and n."""
        self.attentive: list[str] = []
        """Layers of attention."""
        self.width = 0
        """The features to which positions are added."""

    def conv(
        self, name: str, x: Shape, f: int, n: int, stride: int = 1, pad: int = 0, groups: int = 1, bias: bool = True
    ) -> Shape:
        *sizes, n_prev = x
        made = [(size + 2 * pad - f) // stride + 1 for size in sizes]
        shape = (f, f, n_prev // groups, n)
        self._weights(name, shape, math.prod(shape[:-1]), bias)
        self.products[name] = math.prod(made) * math.prod(shape)
        return (*made, n)

    def grow(self, name: str, x: Shape, f: int, n: int) -> Shape:
        *sizes, n_prev = x
        self._weights(name, (f, f, n_prev, n), f * f * n_prev, True, transposed=True)
        self.products[name] = math.prod(sizes) * f * f * n_prev * n
        return (*(f * size for size in sizes), n)

    def norm(self, name: str, x: Shape, gamma: float = 1.0) -> Shape:
        self.parameters[f"{name}.gamma"] = Tensor(x[-1:], gamma)
        self.parameters[f"{name}.beta"] = Tensor(x[-1:])
        self.states[f"{name}.mu"] = Tensor(x[-1:], 0.0, 0.1)
        self.states[f"{name}.s2"] = Tensor(x[-1:], 1.0, 0.1)
        return x

    def dense(self, name: str, x: Shape, n: int) -> Shape:
        steps, x = (x[:1], x[1:]) if len(x) == 2 else ((), x)
        n_prev = math.prod(x)
        self._weights(name, (n, n_prev), n_prev, True, flattened=x if len(x) > 1 else None)
        self.products[name] = math.prod(steps) * n * n_prev
        return (*steps, n)

    def _weights(self, name: str, shape: Shape, fan_in: int, bias: bool, **more: Any) -> None:
        """By He's rule."""
        self.parameters[f"{name}.W"] = Tensor(shape, 0.0, math.sqrt(2 / fan_in), **more)
        if bias:
            self.parameters[f"{name}.b"] = Tensor((shape[0] if len(shape) == 2 else shape[-1],))

    def relu(self, x: Shape) -> Shape:
        return x

    def relu6(self, x: Shape) -> Shape:
        return x

    def add(self, x: Shape, y: Shape) -> Shape:
        assert x == y
        return x

    def concat(self, x: Shape, y: Shape) -> Shape:
        assert x[:-1] == y[:-1]
        return (*x[:-1], x[-1] + y[-1])

    def max_pool(self, x: Shape, f: int, stride: int, pad: int = 0) -> Shape:
        *sizes, n = x
        return (*((size + 2 * pad - f) // stride + 1 for size in sizes), n)

    def average(self, x: Shape) -> Shape:
        return x[-1:]

    def lstm(self, name: str, x: Shape, n: int) -> Shape:
        return self._recurrent(name, (name,), x, n, "ufco")

    def gru(self, name: str, x: Shape, n: int) -> Shape:
        return self._recurrent(name, (name,), x, n, "ruc")

    def both_ways(self, name: str, x: Shape, n: int) -> Shape:
        return self._recurrent(name, (f"{name}.forward", f"{name}.backward"), x, n, "ufco")

    def _recurrent(self, name: str, layers: Sequence[str], x: Shape, n: int, gates: str) -> Shape:
        T, n_prev = x
        for layer in layers:
            for gate in gates:
                self.parameters[f"{layer}.W_{gate}"] = Tensor((n, n + n_prev), 0.0, 1 / math.sqrt(n + n_prev))
                self.parameters[f"{layer}.b_{gate}"] = Tensor((n,))
            self.recurrent[layer] = gates, n
        self.products[f"{name} of x"] = len(layers) * T * len(gates) * n * n_prev
        self.products[f"{name} of a"] = len(layers) * T * len(gates) * n * n
        return (T, len(layers) * n)

    def attend(self, name: str, x: Shape, heads: int, causal: bool) -> Shape:
        T, n = x
        for matrix in "QKVO":
            self.parameters[f"{name}.W_{matrix}"] = Tensor((n, n), 0.0, 1 / math.sqrt(n))
        self.attentive.append(name)
        self.products[f"{name} of x"] = 3 * T * n * n
        self.products[name] = 2 * T * T * n + T * n * n
        return x

    def layer_norm(self, name: str, x: Shape) -> Shape:
        self.parameters[f"{name}.gamma"] = Tensor(x[-1:], 1.0)
        self.parameters[f"{name}.beta"] = Tensor(x[-1:])
        return x

    def words_before(self, name: str, words: Shape, V: int, n: int) -> Shape:
        self._weights(name, (n, V), 1, True, transposed=True)
        self.products[name] = 0
        return (*words, n)

    def positions(self, x: Shape) -> Shape:
        self.width = x[-1]
        return x

    def merged(self, values: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """With one matrix for all that is multiplied by the same: `W_x`, `W_h` and `b` of a recurrent layer, the gates
        one below the other, and `W` for the three of attention."""
        values = dict(values)
        for name, (gates, n) in self.recurrent.items():
            W = np.concatenate([values.pop(f"{name}.W_{gate}") for gate in gates])
            b = np.concatenate([values.pop(f"{name}.b_{gate}") for gate in gates])
            values |= {f"{name}.W_x": W[:, n:], f"{name}.W_h": W[:, :n], f"{name}.b": b}
        for name in self.attentive:
            values[f"{name}.W"] = np.concatenate([values.pop(f"{name}.W_{matrix}") for matrix in "QKV"])
        return values

    def drawn(self, tensors: dict[str, Tensor], seed: int) -> dict[str, NDArray[np.float32]]:
        """The numbers, in the order of the layers."""
        random = np.random.default_rng(seed)
        return {
            name: np.float32(tensor.mean)
            + np.float32(tensor.deviation) * random.standard_normal(tensor.shape, dtype=np.float32)
            for name, tensor in tensors.items()
        }


def outline(network: Network, example: Shape) -> Outline:
    """What a network needs for examples of this shape."""
    counted = Outline()
    network(counted, example)
    return counted
