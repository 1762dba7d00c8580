"""The library's layers in torch, with dlc's parameters by name; maps are (m, n_C, n_H, n_W) here."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

M = 3
"""Examples in the batch."""

Values = dict[str, Any]


class Parameters(Values):
    """Parameters and states by name. While `training`, `batch_norm` normalizes by the batch and changes the states."""

    training = True


def image(x: Any) -> Any:
    return x.permute(0, 3, 1, 2)


def flat(a: Any) -> Any:
    """`Flatten`: columns of examples, the channels last within each."""
    return a.permute(0, 2, 3, 1).reshape(a.shape[0], -1).T


def padded(a: Any, f: int, stride: int, pad: int | str, fill: float = 0.0) -> Any:
    """`same` gives ceil(n / stride) places, and the larger half of an odd padding is at the end."""
    amounts: list[int] = []
    for n in (a.shape[3], a.shape[2]):
        total = max((-(-n // stride) - 1) * stride + f - n, 0) if pad == "same" else 2 * int(pad)
        amounts += [total // 2, total - total // 2]
    return F.pad(a, amounts, value=fill)


def conv(p: Values, name: str, a: Any, stride: int = 1, pad: int | str = 0, groups: int = 1) -> Any:
    W = p[f"{name}.W"].permute(3, 2, 0, 1)
    b = p[f"{name}.b"].reshape(-1) if f"{name}.b" in p else None
    return F.conv2d(padded(a, W.shape[-1], stride, pad), W, b, stride=stride, groups=groups)


def batch_norm(p: Parameters, name: str, a: Any, momentum: float = 0.9) -> Any:
    """Torch averages the variance divided by count - 1, the course the variance divided by the count."""
    gamma, beta, mu, s2 = (p[f"{name}.{key}"].reshape(-1) for key in ("gamma", "beta", "mu", "s2"))
    new_mu, new_s2 = mu.clone(), s2.clone()
    z = F.batch_norm(a, new_mu, new_s2, gamma, beta, p.training, 1 - momentum)
    if p.training:
        biased = 1 - a.shape[1] / a.numel()
        mu.copy_(new_mu)
        s2.copy_(momentum * s2 + (new_s2 - momentum * s2) * biased)
    return z


def conv_norm(p: Parameters, name: str, a: Any, stride: int = 1, groups: int = 1, pad: int | str = "same") -> Any:
    return batch_norm(p, f"{name}.norm", conv(p, name, a, stride, pad, groups))


def max_pool(a: Any, f: int = 2, stride: int | None = None, pad: int | str = 0) -> Any:
    stride = stride or f
    return F.max_pool2d(padded(a, f, stride, pad, -torch.inf), f, stride)


def dense(p: Values, name: str, a: Any) -> Any:
    return p[f"{name}.W"] @ a + p[f"{name}.b"]


def pooled(a: Any) -> Any:
    """`GlobalAvgPool() -> Flatten()`."""
    return a.mean((2, 3)).T


def ce(Z: Any, labels: Any) -> Any:
    return F.cross_entropy(Z.T, labels)


def bce(Z: Any, Y: Any) -> Any:
    return F.binary_cross_entropy_with_logits(Z, Y, reduction="sum") / M
