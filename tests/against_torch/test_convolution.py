"""Convolutions, pooling and batch normalization: loss, all gradients and predictions equal torch's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc

torch = pytest.importorskip("torch")
F = torch.nn.functional
M = 3
SIZES = {1: (9,), 2: (7, 8), 3: (5, 4, 6)}
CONVOLUTION = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAXIMUM = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
Values = dict[str, Any]


def channels_first(x: Any) -> Any:
    return x.movedim(-1, 1)


def channels_last(x: Any) -> Any:
    return x.movedim(1, -1)


def filters(w: Any) -> Any:
    """(f, …, n_C_prev, n_C) as torch has them: (n_C, n_C_prev, f, …)."""
    return w.movedim((-1, -2), (0, 1))


def same_padded(x: Any, f: int, stride: int) -> Any:
    """Zeros around the spatial axes, the larger half of an odd number at the end."""
    amounts: list[int] = []
    for n in reversed(x.shape[2:]):
        total = max((-(-n // stride) - 1) * stride + f - n, 0)
        amounts += [total // 2, total - total // 2]
    return F.pad(x, amounts)


def conv(p: Values, name: str, x: Any, k: int, **options: Any) -> Any:
    return CONVOLUTION[k](x, filters(p[f"{name}.W"]), p[f"{name}.b"].reshape(-1), **options)


def up(p: Values, name: str, x: Any, k: int, **options: Any) -> Any:
    w = p[f"{name}.W"].movedim((-2, -1), (0, 1))
    return TRANSPOSED[k](x, w, p[f"{name}.b"].reshape(-1), **options)


def norm(p: Values, name: str, x: Any) -> Any:
    return F.batch_norm(x, None, None, p[f"{name}.gamma"].reshape(-1), p[f"{name}.beta"].reshape(-1), True)


LAYERS: dict[str, Callable[[Values, Any, int], Any]] = {
    "Conv(3, 4)": lambda p, x, k: conv(p, "conv[1]", x, k),
    "Conv(3, 4, stride = 2, pad = 1)": lambda p, x, k: conv(p, "conv[1]", x, k, stride=2, padding=1),
    "Conv(2, 4, stride = 2, pad = same)": lambda p, x, k: conv(p, "conv[1]", same_padded(x, 2, 2), k, stride=2),
    "Conv(4, 4, pad = same)": lambda p, x, k: conv(p, "conv[1]", same_padded(x, 4, 1), k),
    "Conv(3, 4, groups = 2)": lambda p, x, k: conv(p, "conv[1]", x, k, groups=2),
    "DepthwiseConv(3, pad = same)": lambda p, x, k: conv(p, "depthwiseconv[1]", x, k, groups=6, padding=1),
    "ConvTranspose(3, 4)": lambda p, x, k: up(p, "convtranspose[1]", x, k),
    "ConvTranspose(3, 4, stride = 2, pad = 1)": lambda p, x, k: up(p, "convtranspose[1]", x, k, stride=2, padding=1),
    "ConvTranspose(4, 4, stride = 2, pad = same)": lambda p, x, k: up(p, "convtranspose[1]", x, k, stride=2, padding=1),
    "MaxPool(2) -> Conv(1, 2)": lambda p, x, k: conv(p, "conv[1]", MAXIMUM[k](x, 2), k),
    "MaxPool(3, stride = 2, pad = 1)": lambda p, x, k: MAXIMUM[k](x, 3, 2, 1),
    "AvgPool(3, stride = 2, pad = 1)": lambda p, x, k: MEAN[k](x, 3, 2, 1, count_include_pad=False),
    "AvgPool(2)": lambda p, x, k: MEAN[k](x, 2),
    "GlobalAvgPool()": lambda p, x, k: x.mean(dim=tuple(range(2, k + 2)), keepdim=True),
    "BatchNorm()": lambda p, x, k: norm(p, "batchnorm[1]", x),
    "LRN(size = 3, alpha = 0.1)": lambda p, x, k: F.local_response_norm(x, 3, 0.3, 0.75, 2.0),
}


def written(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "net.dl"
    path.write_text(text)
    return dlc.load(path).compile(dtype="float64", seed=3, target="reference")


def differentiable(model: Any, rng: np.random.Generator) -> Values:
    """The model's parameters with random values, and the same as torch's."""
    for value in model.params.values():
        value[...] = rng.normal(size=value.shape)
    return {k: torch.tensor(np.array(v), requires_grad=True) for k, v in model.params.items()}


def assert_equal_gradients(found: dict[str, np.ndarray], p: Values) -> None:
    assert set(found) == set(p)
    for name, value in found.items():
        np.testing.assert_allclose(value, p[name].grad.numpy(), rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer(layer: str, k: int, tmp_path: Path) -> None:
    """In front of the layer stands a factor for each place, so that the gradient of its input is compared too."""
    rng = np.random.default_rng(k)
    sizes = ", ".join(map(str, SIZES[k]))
    x = rng.normal(size=(M, *SIZES[k], 6))
    model = written(
        tmp_path,
        f"""
model Net:
    input X : (m, {sizes}, 6)
    param V : (1, {sizes}, 6) ~ ones
    Z = X * V -> {layer}
    loss sum(tanh(Z), over = last) + 1/2 * sum(Z^2, over = last)
    output Z
""",
    )
    p = differentiable(model, rng)
    z = channels_last(LAYERS[layer](p, channels_first(torch.tensor(x) * p["V"]), k))
    expected = (torch.tanh(z) + z**2 / 2).sum() / M
    expected.backward()
    loss, gradients = model.loss_and_grads(X=x)
    assert loss == pytest.approx(expected.item(), rel=1e-10)
    assert_equal_gradients(gradients, p)
    if layer != "BatchNorm()":  # which predicts with running averages
        np.testing.assert_allclose(model.forward(X=x)["Z"], z.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_a_small_network(tmp_path: Path) -> None:
    model = written(
        tmp_path,
        """
model Net:
    input  X : (m, 10, 10, 2)
    target Y : (m, 1, 1, 3) one_hot
    A = X -> Conv(3, 4, g = relu) -> MaxPool() -> BatchNorm() -> Conv(3, 5, stride = 2, pad = same, g = tanh)
    Y_hat = A -> GlobalAvgPool() -> Conv(1, 3, g = softmax)
    loss cross_entropy(Y_hat, Y)
    output Y_hat
""",
    )
    rng = np.random.default_rng(1)
    p = differentiable(model, rng)
    x, y = rng.normal(size=(M, 10, 10, 2)), rng.integers(0, 3, size=(M, 1, 1))
    a = norm(p, "batchnorm[1]", F.max_pool2d(torch.relu(conv(p, "conv[1]", channels_first(torch.tensor(x)), 2)), 2))
    a = torch.tanh(conv(p, "conv[2]", same_padded(a, 3, 2), 2, stride=2))
    z = conv(p, "conv[3]", a.mean(dim=(2, 3), keepdim=True), 2)
    expected = F.cross_entropy(z, torch.tensor(y))
    expected.backward()
    loss, gradients = model.loss_and_grads(X=x, Y=y)
    assert loss == pytest.approx(expected.item(), rel=1e-10)
    assert_equal_gradients(gradients, p)


def test_lenet(tmp_path: Path) -> None:
    """The classic one, made small, in the course's layout: the images end in columns."""
    model = written(
        tmp_path,
        """
model LeNet:
    input  X : (m, 12, 12, 1)
    target Y : (5, m) one_hot
    Y_hat = X -> Conv(3, 3, g = tanh) -> AvgPool() -> Conv(2, 4, g = tanh) -> AvgPool() -> Flatten()
              -> Dense(6, tanh) -> Dense(5, softmax)
    loss cross_entropy(Y_hat, Y)
    output Y_hat
""",
    )
    rng = np.random.default_rng(2)
    p = differentiable(model, rng)
    x, y = rng.normal(size=(M, 12, 12, 1)), rng.integers(0, 5, size=M)
    a = F.avg_pool2d(torch.tanh(conv(p, "conv[1]", channels_first(torch.tensor(x)), 2)), 2)
    a = F.avg_pool2d(torch.tanh(conv(p, "conv[2]", a, 2)), 2)
    columns = channels_last(a).reshape(M, -1).T
    z = p["dense[2].W"] @ torch.tanh(p["dense[1].W"] @ columns + p["dense[1].b"]) + p["dense[2].b"]
    expected = F.cross_entropy(z.T, torch.tensor(y))
    expected.backward()
    loss, gradients = model.loss_and_grads(X=x, Y=y)
    assert loss == pytest.approx(expected.item(), rel=1e-10)
    assert_equal_gradients(gradients, p)
    np.testing.assert_allclose(model.forward(X=x)["Y_hat"], torch.softmax(z, 0).detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("columns", [True, False])
def test_batch_norm_keeps_running_averages(columns: bool, tmp_path: Path) -> None:
    """Two steps of training, then prediction, against torch's module. Torch averages the variance divided by
    count - 1, the course the variance divided by the count."""
    model = written(
        tmp_path,
        f"""
model Net:
    input  X : {"(4, m)" if columns else "(m, 5, 3, 4)"}
    Z = X -> BatchNorm(momentum = 0.8)
    loss sum(Z^2, over = {"first" if columns else "last"})
    output Z
""",
    )
    rng = np.random.default_rng(4)
    steps = [rng.normal(2, 3, size=(4, 6) if columns else (6, 5, 3, 4)) for _ in range(2)]
    module = torch.nn.BatchNorm1d(4, momentum=0.2) if columns else torch.nn.BatchNorm2d(4, momentum=0.2)
    module = module.double()
    count = 6 if columns else 6 * 5 * 3
    s2 = np.ones(4)
    for x in steps:
        model.fit(X=x, epochs=1, batch=6, optimizer="GradientDescent(lr = 1e-30)")
        module(torch.tensor(x.T) if columns else channels_first(torch.tensor(x)))
        s2 = 0.8 * s2 + 0.2 * x.var(axis=1 if columns else (0, 1, 2))
    mu = model.state["batchnorm[1].mu"]
    np.testing.assert_allclose(mu.reshape(-1), module.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(model.state["batchnorm[1].s2"].reshape(-1), s2, rtol=1e-12)
    unbiased = 0.64 + (module.running_var.numpy() - 0.64) * (count - 1) / count
    np.testing.assert_allclose(unbiased, s2, rtol=1e-12)
    module.eval()
    module.running_var[...] = torch.tensor(s2)
    x = steps[0]
    predicted = module(torch.tensor(x.T) if columns else channels_first(torch.tensor(x))).detach()
    expected = predicted.T if columns else channels_last(predicted)
    np.testing.assert_allclose(model.forward(X=x)["Z"], expected.numpy(), rtol=1e-9, atol=1e-12)


def test_the_first_of_equal_maxima(tmp_path: Path) -> None:
    """Where places of a window are equal, the same one as in torch takes the gradient."""
    model = written(
        tmp_path,
        """
model Net:
    input X : (m, 6, 6, 2)
    param V : (1, 6, 6, 2) ~ zeros
    Z = X + V -> MaxPool(3, stride = 2, pad = 1)
    loss 1/2 * sum(Z^2, over = last)
    output Z
""",
    )
    x = np.random.default_rng(0).integers(0, 3, size=(M, 6, 6, 2)).astype(float)
    v = torch.zeros((1, 6, 6, 2), dtype=torch.float64, requires_grad=True)
    z = F.max_pool2d(channels_first(torch.tensor(x) + v), 3, 2, 1)
    ((z**2).sum() / 2 / M).backward()
    _, gradients = model.loss_and_grads(X=x)
    np.testing.assert_allclose(gradients["V"], v.grad.numpy(), rtol=1e-12)
