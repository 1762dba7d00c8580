"""Loss and all gradients of tiny versions of the convolutional specs equal torch's at the same weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc

torch = pytest.importorskip("torch")
F = torch.nn.functional
SPECS = Path(__file__).resolve().parents[2] / "specs"
M = 3
"""Examples in the batch."""

Values = dict[str, Any]
Loss = Callable[[Values, Values], Any]


# --- the layers, with dlc's parameters; maps are (m, n_C, n_H, n_W) here ---------------------------------------


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


def batch_norm(p: Values, name: str, a: Any) -> Any:
    return F.batch_norm(a, None, None, p[f"{name}.gamma"].reshape(-1), p[f"{name}.beta"].reshape(-1), training=True)


def conv_norm(p: Values, name: str, a: Any, stride: int = 1, groups: int = 1) -> Any:
    return batch_norm(p, f"{name}.norm", conv(p, name, a, stride, "same", groups))


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


# --- the networks ----------------------------------------------------------------------------------------------


def lenet(p: Values, d: Values) -> Any:
    a = max_pool(torch.relu(conv(p, "CONV1", image(d["X"]))))
    a = max_pool(torch.relu(conv(p, "CONV2", a)))
    a = torch.relu(dense(p, "FC4", torch.relu(dense(p, "FC3", flat(a)))))
    return ce(dense(p, "Softmax", a), d["Y"])


def three_dense(p: Values, a: Any) -> Any:
    a = torch.relu(dense(p, "dense[2]", torch.relu(dense(p, "dense[1]", flat(a)))))
    return dense(p, "dense[3]", a)


def lrn(a: Any) -> Any:
    """Krizhevsky's: alpha is not divided by the size of the window, as torch's is."""
    return F.local_response_norm(a, 5, alpha=5e-4, beta=0.75, k=2.0)


def alexnet(p: Values, d: Values) -> Any:
    a = max_pool(lrn(torch.relu(conv(p, "conv[1]", image(d["X"]), stride=4))), 3, 2)
    a = max_pool(lrn(torch.relu(conv(p, "conv[2]", a, pad="same", groups=2))), 3, 2)
    a = torch.relu(conv(p, "conv[3]", a, pad="same"))
    a = torch.relu(conv(p, "conv[4]", a, pad="same", groups=2))
    a = max_pool(torch.relu(conv(p, "conv[5]", a, pad="same", groups=2)), 3, 2)
    return ce(three_dense(p, a), d["Y"])


def vgg(p: Values, d: Values) -> Any:
    a, number = image(d["X"]), 0
    for convs in (1, 1, 2, 2, 1):
        for _ in range(convs):
            number += 1
            a = torch.relu(conv(p, f"conv[{number}]", a, pad="same"))
        a = max_pool(a)
    return ce(three_dense(p, a), d["Y"])


def basicblock(p: Values, name: str, a: Any, stride: int) -> Any:
    z = torch.relu(conv_norm(p, f"{name}.conv[1]", a, stride))
    return torch.relu(conv_norm(p, f"{name}.conv[2]", z) + shortcut(p, name, a, stride))


def bottleneck(p: Values, name: str, a: Any, stride: int) -> Any:
    z = torch.relu(conv_norm(p, f"{name}.conv[1]", a, stride))
    z = torch.relu(conv_norm(p, f"{name}.conv[2]", z))
    return torch.relu(conv_norm(p, f"{name}.conv[3]", z) + shortcut(p, name, a, stride))


def shortcut(p: Values, name: str, a: Any, stride: int) -> Any:
    return conv_norm(p, f"{name}.shortcut", a, stride) if f"{name}.shortcut.W" in p else a


def resnet(block: Callable[..., Any]) -> Loss:
    def loss(p: Values, d: Values) -> Any:
        a = max_pool(torch.relu(conv_norm(p, "convnorm[1]", image(d["X"]), 2)), 3, 2, "same")
        for number, stride in enumerate((1, 2, 1), 1):
            a = block(p, f"{block.__name__}[{number}]", a, stride)
        return ce(dense(p, "dense[1]", pooled(a)), d["Y"])

    return loss


def inception(p: Values, name: str, a: Any) -> Any:
    def c(layer: str, x: Any) -> Any:
        return torch.relu(conv(p, f"{name}.{layer}", x, pad="same"))

    three, five = c("conv_3x3", c("reduction_3x3", a)), c("conv_5x5", c("reduction_5x5", a))
    return torch.cat([c("conv_1x1", a), three, five, c("projection", max_pool(a, 3, 1, "same"))], 1)


def auxiliary(p: Values, name: str, a: Any) -> Any:
    a = torch.relu(conv(p, f"{name}.conv[1]", F.avg_pool2d(a, 5, 3)))
    return dense(p, f"{name}.dense[2]", torch.relu(dense(p, f"{name}.dense[1]", flat(a))))


def googlenet(p: Values, d: Values) -> Any:
    a = lrn(max_pool(torch.relu(conv(p, "conv[1]", image(d["X"]), 2, "same")), 3, 2, "same"))
    a = torch.relu(conv(p, "conv[3]", torch.relu(conv(p, "conv[2]", a)), pad="same"))
    a, heads = max_pool(lrn(a), 3, 2, "same"), []
    for number in range(1, 10):
        a = inception(p, f"inception[{number}]", a)
        if number in (2, 7):
            a = max_pool(a, 3, 2, "same")
        if number in (3, 6):
            heads.append(auxiliary(p, f"auxiliary[{len(heads) + 1}]", a))
    return ce(dense(p, "dense[1]", pooled(a)), d["Y"]) + 0.3 * sum(ce(head, d["Y"]) for head in heads)


def network_in_network(p: Values, d: Values) -> Any:
    a = image(d["X"])
    for number in (1, 2, 3):
        for layer in (1, 2, 3):
            a = torch.relu(conv(p, f"mlpconv[{number}].conv[{layer}]", a, pad="same"))
        if number < 3:
            a = max_pool(a, 3, 2, "same")
    return ce(pooled(a), d["Y"])


def mobilenet_v1(p: Values, d: Values) -> Any:
    a = torch.relu(conv_norm(p, "convnorm[1]", image(d["X"]), 2))
    for number, stride in enumerate((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), 1):
        name = f"depthwiseseparable[{number}]"
        a = torch.relu(conv_norm(p, f"{name}.depthwise", a, stride, groups=a.shape[1]))
        a = torch.relu(conv_norm(p, f"{name}.pointwise", a))
    return ce(dense(p, "dense[1]", pooled(a)), d["Y"])


def expanded(p: Values, name: str, a: Any, stride: int, g: Callable[[Any], Any]) -> Any:
    """MobileNet v2's and EfficientNet's block: expansion, depthwise, squeeze-excite where there is one, projection."""
    z = g(conv_norm(p, f"{name}.expansion", a)) if f"{name}.expansion.W" in p else a
    z = g(conv_norm(p, f"{name}.depthwise", z, stride, groups=z.shape[1]))
    if f"{name}.squeeze_excite.squeeze.W" in p:
        s = F.silu(conv(p, f"{name}.squeeze_excite.squeeze", z.mean((2, 3), keepdim=True)))
        z = z * torch.sigmoid(conv(p, f"{name}.squeeze_excite.excite", s))
    z = conv_norm(p, f"{name}.projection", z)
    return z + a if stride == 1 and z.shape == a.shape else z


def mobilenet_v2(p: Values, d: Values) -> Any:
    a = F.relu6(conv_norm(p, "convnorm[1]", image(d["X"]), 2))
    for number, stride in enumerate((1, 2, 1), 1):
        a = expanded(p, f"invertedresidual[{number}]", a, stride, F.relu6)
    return ce(dense(p, "dense[1]", pooled(F.relu6(conv_norm(p, "convnorm[2]", a)))), d["Y"])


def efficientnet(p: Values, d: Values) -> Any:
    a = F.silu(conv_norm(p, "convnorm[1]", image(d["X"]), 2))
    for number, stride in enumerate((1, 2, 1), 1):
        a = expanded(p, f"mbconv[{number}]", a, stride, F.silu)
    return ce(dense(p, "dense[1]", pooled(F.silu(conv_norm(p, "convnorm[2]", a)))), d["Y"])


def unet(p: Values, d: Values) -> Any:
    def double(number: int, a: Any) -> Any:
        for layer in (1, 2):
            a = torch.relu(conv(p, f"doubleconv[{number}].conv[{layer}]", a, pad="same"))
        return a

    down = [double(1, image(d["X"]))]
    for number in (2, 3):
        down.append(double(number, max_pool(down[-1])))
    a = down.pop()
    for number in (1, 2):
        name = f"convtranspose[{number}]"
        b = p[f"{name}.b"].reshape(-1)
        grown = F.conv_transpose2d(a, p[f"{name}.W"].permute(2, 3, 0, 1), b, stride=2)
        a = double(number + 3, torch.cat([down.pop(), grown], 1))
    Z = conv(p, "conv[1]", a)
    return F.cross_entropy(Z, d["Y"], reduction="sum") / M / Z[0, 0].numel()


def localization(p: Values, d: Values) -> Any:
    a = image(d["X"])
    for number in (1, 2, 3):
        a = max_pool(torch.relu(conv(p, f"conv[{number}]", a, pad="same")))
    errors = (dense(p, "dense[2]", torch.relu(dense(p, "dense[1]", flat(a)))) - d["y"]) ** 2
    return torch.where(d["y"][0] == 1, errors.sum(0), errors[0]).mean()


def sliding_windows(p: Values, d: Values) -> Any:
    a = max_pool(torch.relu(conv(p, "conv[1]", image(d["X"]))))
    a = torch.relu(conv(p, "FC2", torch.relu(conv(p, "FC1", a))))
    return F.cross_entropy(conv(p, "FC3", a), d["Y"], reduction="sum") / M


def yolo(p: Values, d: Values) -> Any:
    def block(name: str, a: Any) -> Any:
        return F.leaky_relu(conv_norm(p, name, a), 0.1)

    def darknet(number: int, a: Any, convs: int) -> Any:
        for layer in range(1, convs + 1):
            a = block(f"darknet[{number}].convnorm[{layer}]", a)
        return a

    a = fine = image(d["X"])
    for number, convs in enumerate((1, 1, 3, 3, 5), 1):
        fine = darknet(number, a, convs)
        a = max_pool(fine)
    a = block("convnorm[2]", block("convnorm[1]", darknet(6, a, 5)))
    fine = block("convnorm[3]", fine)
    m, c, h, w = fine.shape
    fine = fine.reshape(m, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(m, 4 * c, h // 2, w // 2)
    Z = conv(p, "conv[1]", block("convnorm[4]", torch.cat([fine, a], 1)))
    t = Z.permute(0, 2, 3, 1).reshape(m, h // 2, w // 2, 2, 8)
    shapes = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=t.dtype)
    parts = [torch.sigmoid(t[..., :3]), torch.exp(t[..., 3:5]) * shapes, torch.softmax(t[..., 5:], -1)]
    errors = (torch.cat(parts, -1) - d["y"]) ** 2
    return torch.where(d["y"][..., 0] == 1, errors.sum(-1), errors[..., 0]).sum() / M


def rcnn(p: Values, d: Values) -> Any:
    a = image(d["regions"].flatten(0, 1))
    for number in (1, 2, 3):
        a = max_pool(torch.relu(conv(p, f"conv[{number}]", a, pad="same")))
    code = torch.relu(dense(p, "dense[1]", flat(a)))
    labels, boxes = d["label"].flatten(), d["box"].flatten(1)
    errors = ((dense(p, "regressor", code) - boxes) ** 2).sum(0) / 2
    scores = F.cross_entropy(dense(p, "classifier", code).T, labels, reduction="sum")
    return (scores + errors[labels > 0].sum()) / M


def encoder(p: Values, name: str, x: Any) -> Any:
    a = image(x)
    for number in (1, 2, 3):
        a = max_pool(torch.relu(conv(p, f"{name}.conv[{number}]", a, pad="same")))
    return dense(p, f"{name}.dense[1]", flat(a))


def siamese(p: Values, d: Values) -> Any:
    distance = torch.abs(encoder(p, "f", d["x1"]) - encoder(p, "f", d["x2"]))
    return bce(dense(p, "same_person", distance), d["y"])


def chi_square(p: Values, d: Values) -> Any:
    one, two = (torch.sigmoid(encoder(p, "f", d[name])) for name in ("x1", "x2"))
    return bce(dense(p, "same_person", (one - two) ** 2 / (one + two)), d["y"])


def triplet(p: Values, d: Values) -> Any:
    codes = [encoder(p, "encode", d[name]) for name in "APN"]
    a, positive, negative = (code / torch.sqrt((code**2).sum(0) + 1e-12) for code in codes)
    difference = ((a - positive) ** 2).sum(0) - ((a - negative) ** 2).sum(0)
    return torch.clamp(difference + 0.2, min=0).mean()


def style_transfer(p: Values, d: Values) -> Any:
    def look(x: Any) -> list[Any]:
        a, number, seen = image(x), 0, []
        for convs in (2, 2, 4, 4, 1):
            for layer in range(convs):
                number += 1
                a = torch.relu(conv(p, f"vgg.conv[{number}]", a, pad="same"))
                if layer == 0:
                    seen.append(a)
            a = F.avg_pool2d(a, 2) if convs > 1 else a
        return seen

    content, style, made = (look(x) for x in (d["C"], d["S"], p["G"]))
    loss = 10 / 2 * ((content[3] - made[3]) ** 2).sum()
    for s, g in zip(style, made, strict=True):
        grams = [torch.einsum("mkij,mlij->kl", a, a) for a in (s, g)]
        loss = loss + 40 / 5 * ((grams[0] - grams[1]) ** 2).sum() / (2 * s.numel()) ** 2
    return loss


def heartbeat(p: Values, d: Values) -> Any:
    a = d["X"].permute(0, 2, 1)
    for name in ("conv[1]", "conv[2]"):
        a = torch.relu(F.conv1d(a, p[f"{name}.W"].permute(2, 1, 0), p[f"{name}.b"].reshape(-1)))
    return ce(dense(p, "dense[1]", a.permute(0, 2, 1).reshape(M, -1).T), d["Y"])


def scan(p: Values, d: Values) -> Any:
    a = d["X"].permute(0, 4, 1, 2, 3)
    for name in ("conv[1]", "conv[2]"):
        a = torch.relu(F.conv3d(a, p[f"{name}.W"].permute(4, 3, 0, 1, 2), p[f"{name}.b"].reshape(-1)))
    return ce(dense(p, "dense[1]", a.permute(0, 2, 3, 4, 1).reshape(M, -1).T), d["Y"])


@dataclass(frozen=True)
class Case:
    file: str
    loss: Loss
    hypers: dict[str, Any] = field(default_factory=dict)
    model: str | None = None


SMALL = {"size": 16, "classes": 4}
CASES = {
    "LeNet-5": Case("convolution/lenet5", lenet, {"n_C": [3, 4], "n": [6, 5], **SMALL}),
    "AlexNet": Case("convolution/alexnet", alexnet, {"size": 67, "n_C": [6, 8, 4, 6, 4], "fc": 5, "classes": 4}),
    "VGG": Case("convolution/vgg16", vgg, {"convs": [1, 1, 2, 2, 1], "width": 2, "fc": 6, "size": 32, "classes": 4}),
    "ResNet, basic": Case("convolution/resnet34", resnet(basicblock), {"stages": [1, 2], "width": 3, **SMALL}),
    "ResNet, bottleneck": Case("convolution/resnet50", resnet(bottleneck), {"stages": [1, 2], "width": 3, **SMALL}),
    "GoogLeNet": Case("convolution/googlenet", googlenet, {"width": 8, "size": 80, "classes": 4}),
    "Network in network": Case("convolution/network_in_network", network_in_network, {"n": [4, 5, 3], **SMALL}),
    "MobileNet v1": Case("convolution/mobilenet_v1", mobilenet_v1, {"alpha": 0.0625, "size": 32, "classes": 4}),
    "MobileNet v2": Case(
        "convolution/mobilenet_v2",
        mobilenet_v2,
        {"alpha": 0.25, "last": 12, "stages": [[1, 16, 1, 1], [6, 24, 2, 2]], **SMALL},
    ),
    "EfficientNet": Case(
        "convolution/efficientnet_b0",
        efficientnet,
        {"width": 0.25, "stages": [[1, 3, 1, 16, 1], [6, 5, 2, 24, 2]], **SMALL},
    ),
    "U-Net": Case("convolution/unet", unet, {"size": 8, "width": 3, "depth": 2, "classes": 3}),
    "1-D": Case("convolution/conv1d", heartbeat),
    "3-D": Case("convolution/conv3d", scan, {"size": 9}),
    "localization": Case("detection/localization", localization, {"size": 16, "n_C": [3, 4, 5]}),
    "sliding windows": Case("detection/sliding_windows", sliding_windows, {"size": 16}),
    "R-CNN": Case("detection/rcnn", rcnn, {"R": 3, "size": 8, "n_C": [2, 3, 4]}),
    "YOLO": Case("detection/yolo", yolo, {"size": 64, "width": 2, "classes": 3, "priors": [[1, 2], [2, 1]]}),
    "Siamese": Case("faces/siamese", siamese, {"size": 16, "n": 8}, "Siamese"),
    "chi-square": Case("faces/siamese", chi_square, {"size": 16, "n": 8}, "ChiSquare"),
    "triplet": Case("faces/triplet", triplet, {"size": 16, "n": 8}),
    "style transfer": Case("style/style_transfer", style_transfer, {"n_H": 16, "n_W": 32, "width": 2}),
}


def inputs(spec: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random data of the declared shapes: labels for one-hot targets, yes or no for the others."""
    data = {}
    for name, declaration in spec.checked.inputs.items():
        sizes = [M if size.constant is None else int(size.constant) for size in declaration.type.sizes]
        if declaration.one_hot:
            sizes.pop(declaration.class_axis)
            data[name] = rng.integers(0, declaration.classes, sizes)
        elif declaration.role == "target":
            data[name] = rng.integers(0, 2, sizes).astype(float)
        else:
            data[name] = rng.normal(size=sizes)
    return data


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients(name: str) -> None:
    case = CASES[name]
    spec = dlc.load(SPECS / f"{case.file}.dl", model=case.model, **case.hypers)
    model = spec.compile(dtype="float64", seed=3, target="reference")
    rng = np.random.default_rng(5)
    for key, value in model.params.items():
        if key.endswith(".gamma"):
            value[...] = rng.uniform(0.5, 1.5, size=value.shape)
        elif key.endswith((".b", ".beta")):
            value[...] = rng.normal(size=value.shape) / 4
    data = inputs(spec, rng)
    loss, gradients = model.loss_and_grads(**data)
    p = {k: torch.tensor(np.array(v), dtype=torch.float64, requires_grad=True) for k, v in model.params.items()}
    expected = case.loss(p, {k: torch.tensor(v) for k, v in data.items()})
    expected.backward()
    assert abs(loss - expected.item()) <= 1e-9 * abs(expected.item())
    assert set(gradients) == {k for k, parameter in spec.parameters.items() if not parameter.frozen}
    wanted = {key: p[key].grad.numpy() for key in gradients}
    # What batch norm cancels has the gradient zero: both sides are rounding there, so a norm has a floor.
    floor = 1e-6 * max(np.linalg.norm(value) for value in wanted.values())
    for key, value in gradients.items():
        assert value.shape == wanted[key].shape
        assert np.linalg.norm(value - wanted[key]) <= 1e-9 * max(np.linalg.norm(wanted[key]), floor), key
