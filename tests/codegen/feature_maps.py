"""Small models of feature maps, as text, and what a compiled one does compared with the reference executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dlc

Array = NDArray[Any]
CLOSE = 1e-9
"""The most that tensors of a compiled model may differ by, norm-wise."""

MODELS = {
    "convolutions": """
model Net:
    input  X : (m, 7, 9, 3)
    target Y : (4, m) one_hot
    A = X -> Conv(3, 6, pad = same, g = relu)
    B = A -> Conv(3, 6, stride = 2, pad = 1, groups = 3, g = tanh)
    C = A -> DepthwiseConv(3, stride = 2, pad = same) -> Conv(1, 6, g = tanh)
    D = A -> Conv((3, 2), 3, stride = (2, 1), pad = 0, g = tanh) -> ConvTranspose((2, 3), 1, stride = (2, 1), g = tanh)
    E = B * C -> ConvTranspose(3, 3, stride = 2, pad = same, g = tanh)
    F = A -> SeparableConv(5, 18, stride = 3, g = tanh)
    flat = concat(D -> Flatten(), E -> Flatten(), F -> Flatten(), over = first)
    Y_hat = flat -> Dense(4, softmax)
    loss   cross_entropy(Y_hat, Y)
    output Y_hat
    output B
    output E

train:
    optimizer  = Momentum(lr = 0.1)
    regularize = l2(0.5)
    clip       = norm(0.3)
""",
    "one and three axes": """
model Net:
    input  S : (m, 21, 3)
    input  V : (m, 5, 6, 4, 2)
    target Y : (m, 3, 4)
    A = S -> Conv(5, 4, stride = 2, pad = same, g = tanh) -> MaxPool(3, stride = 2)
    B = A -> ConvTranspose(3, 4, stride = 1) -> Conv(3, 4, stride = 2, groups = 2)
    K = V -> Conv(3, 3, pad = same, g = tanh) -> MaxPool(2, stride = (1, 2, 2), pad = 1)
    L = K -> Conv((2, 1, 2), 4, stride = (2, 1, 1), g = tanh) -> ConvTranspose(2, 4, stride = (1, 2, 1), g = tanh)
    N = L -> AvgPool((2, 3, 1), stride = 1, pad = same) -> GlobalAvgPool()
    Y_hat = B * rearrange(N, (m, 1, 1, 1, c) -> (m, 1, c))
    loss   squared_error(Y_hat, Y)
    output Y_hat
    output K

train:
    optimizer = Adam(lr = 0.01)
""",
    "windows": """
model Net:
    input  X : (m, n_H = 9, n_W = 8, 4)
    target Y : (m, 1, 1, 5)
    param G : (1, 9, 8, 4) ~ normal(1)
    A = (X -> Conv(1, 4)) * G
    B = A -> MaxPool(3, stride = 2, pad = same)
    C = A -> MaxPool(2)
    D = A -> AvgPool(3, stride = 2, pad = same)
    E = A -> AvgPool(2)
    F = A / (2 + 0.1 * sum(A^2, over = last, window = 3, pad = same))^0.75
    H = max(A, over = last, window = 2, stride = 2)
    I = min(A, over = (n_H, n_W), window = 2, stride = 3, pad = 1)
    J = prod(A, over = (n_H, n_W), window = (2, 1), stride = 2)
    K = sum(A, over = n_H, window = 4, stride = 3)
    P = A -> LRN(5, alpha = 0.3) -> MaxPool(3, stride = 3)
    one = concat(B, D, over = last) -> Conv(4, 5) -> GlobalAvgPool()
    two = concat(C, E, over = last) -> Conv(3, 5) -> GlobalAvgPool()
    three = (concat(F, H, over = last) -> Conv(3, 5) -> GlobalAvgPool()) + (I -> Conv(2, 5) -> GlobalAvgPool())
    four = (J -> Conv(2, 5) -> GlobalAvgPool()) + (K -> Conv(2, 5) -> GlobalAvgPool())
    five = P -> Conv(2, 5) -> GlobalAvgPool()
    Y_hat = one + two + tanh(three + four) * five
    loss   squared_error(Y_hat, Y)
    output Y_hat
    output F
    output H
    output I
    output J
    output K

train:
    optimizer = RMSprop(lr = 0.01)
""",
    "normalizations": """
model Net:
    input  X : (m, n_H = 6, n_W = 5, 3)
    target Y : (m, 6, 5, 4) one_hot
    A = X -> Conv(3, 8, pad = same) -> BatchNorm() -> relu
    B = A -> Conv(3, 8, pad = same) -> BatchNorm(momentum = 0.5, eps = 1e-3)
    R = relu(A + B)
    mean_R = mean(R, over = (n_H, n_W, last))
    var_R  = mean((R - mean_R)^2, over = (n_H, n_W, last))
    L = (R - mean_R) / sqrt(var_R + 0.01)
    mean_L = mean(L, over = (n_H, n_W))
    I = (L - mean_L) / sqrt(mean((L - mean_L)^2, over = (n_H, n_W)) + 0.1)
    w_mean = mean(I, over = n_W)
    S = softmax(I) * (I - w_mean)
    Y_hat = softmax(S -> Conv(1, 4))
    rows = mean(S, over = (m, n_W))
    loss   cross_entropy(Y_hat, Y)
    loss   3 * sum(rows^2, over = all)
    metric accuracy(Y_hat, Y)
    output Y_hat
    output S

train:
    optimizer  = HeavyBall(lr = 0.1)
    regularize = l2(0.3), l1(0.2)
""",
    "broadcasts": """
model Net:
    input  X : (m, n_H = 6, n_W = 7, 4)
    input  mask : (m, 6, 7, 1)
    target Y : (3, m) one_hot
    param bias : (1, 6, 7, 4) ~ normal(1)
    param column : (1, 6, 1, 1) ~ normal(1)
    A = (X -> Conv(3, 4, pad = same)) + bias
    s = A -> GlobalAvgPool() -> Conv(1, 2, g = relu) -> Conv(1, 4, g = sigmoid)
    B = (A * s + X) * mask -> Dropout(0.7)
    p, q = split(B, (1, 3), over = last)
    one : (m, n_H = 6, n_W = 7, 1) = p
    C = concat(q * one, A, p + column, over = last) -> Conv(3, 4, stride = 2) -> relu -> Dropout(0.9)
    D = C if C > 0.1 else -C / 2
    E = D * position(D, over = n_W) - mean(D * mean(B, over = (n_H, n_W, last)), over = (n_H, n_W))
    Y_hat = E -> Flatten() -> Dense(3, softmax)
    loss   cross_entropy(Y_hat, Y)
    output Y_hat
    output B
    output E

train:
    optimizer = Momentum(lr = 0.1)
    clip      = value(0.05)
""",
    "wide": """
model Net:
    input  X : (m, n_H = 80, n_W = 72, 2)
    input  mask : (m, 80, 72, 1)
    target Y : (m, 80, 72, 3)
    param bias : (1, 80, 72, 4) ~ normal(0.1)
    A = (X -> Conv(3, 4, pad = same) -> BatchNorm()) + bias -> relu -> Dropout(0.8)
    B = A * mask -> MaxPool(2) -> Conv(3, 4, pad = same, g = tanh) -> ConvTranspose(2, 4, stride = 2)
    s = mean(B, over = (n_H, n_W))
    Y_hat = concat(A * s, B, over = last) -> Conv(1, 3)
    loss   sum(mean((Y_hat - Y)^2, over = (n_H, n_W)), over = last)
    output Y_hat

train:
    optimizer = HeavyBall(lr = 0.05)
""",
}

SMALL = """
model Net:
    input  X : (m, 6, 5, 4)
    target Y : (3, m) one_hot
    A = X -> Conv(3, 4, pad = same, groups = 2, g = tanh) -> MaxPool(2)
    C = A -> ConvTranspose(2, 3, stride = 2, g = tanh)
    Y_hat = C -> Flatten() -> Dense(3, softmax)
    loss   cross_entropy(Y_hat, Y)
    output Y_hat
    output C
"""


def load(folder: Path, text: str) -> dlc.Spec:
    path = folder / "net.dl"
    path.write_text(text.lstrip("\n"), encoding="utf-8")
    return dlc.load(path)


def examples(spec: dlc.Spec, m: int, seed: int = 0) -> dict[str, Array]:
    """Random inputs of the declared shapes; class numbers where columns are one-hot."""
    rng, found = np.random.default_rng(seed), {}
    for name, declaration in spec.checked.inputs.items():
        sizes = [m if size.constant is None else int(size.constant) for size in declaration.type.sizes]
        if declaration.one_hot:
            sizes.pop(declaration.class_axis)
            found[name] = rng.integers(0, declaration.classes, sizes)
        else:
            found[name] = rng.standard_normal(sizes)
    return found


def given(spec: dlc.Spec, data: dict[str, Array]) -> dict[str, Array]:
    """The inputs without the targets."""
    return {name: array for name, array in data.items() if spec.checked.inputs[name].role == "input"}


def tensors(model: Any) -> dict[str, Array]:
    """Copies of all that training changes: parameters, states and the optimizer's own."""
    engine = model.engine
    kinds = {"param": engine.parameters, "state": engine.states, "slot": engine.slots}
    return {f"{kind} {name}": array.copy() for kind, found in kinds.items() for name, array in found.items()}


def assert_close(found: dict[str, Array], wanted: dict[str, Array], title: str) -> None:
    """Tensor by tensor. What is 0 but for rounding (the gradient of a bias before a batch norm) is compared with 1e-3,
    what is smaller than that too."""
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        mine = np.asarray(found[name])
        assert mine.shape == np.shape(value), f"{title} {name}"
        error = np.linalg.norm(mine - value) / max(np.linalg.norm(value), 1e-3)
        assert error < CLOSE, f"{title} {name}: off by {error:.2g}"


def assert_equal_to_reference(spec: dlc.Spec, target: Any, sizes: tuple[int, ...], train: bool = True) -> None:
    """Outputs, loss and gradients for m examples, and all tensors after steps of training on as many."""
    model = spec.compile(dtype="float64", seed=3, target=target, threads=2)
    reference = spec.compile(dtype="float64", seed=3, target="reference")
    for m in sizes:
        data = examples(spec, m, seed=m)
        inputs = given(spec, data)
        assert_close(model.forward(**inputs), reference.forward(**inputs), f"m={m} output")
        loss, gradients = model.loss_and_grads(**data)
        wanted, known = reference.loss_and_grads(**data)
        assert_close({"loss": loss, **gradients}, {"loss": wanted, **known}, f"m={m} gradient")
    if train:
        assert_trained_as_reference(spec, target, sizes)


def assert_trained_as_reference(spec: dlc.Spec, target: Any, sizes: tuple[int, ...]) -> None:
    """All tensors after each of several steps, on so many examples."""
    model = spec.compile(dtype="float64", seed=3, target=target, threads=2)
    reference = spec.compile(dtype="float64", seed=3, target="reference")
    for m in sizes:
        for trained in (model, reference):
            trained.fit(examples(spec, m, seed=m), batch=m, epochs=1)
        assert_close(tensors(model), tensors(reference), f"m={m} after a step:")
