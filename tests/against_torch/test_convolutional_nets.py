"""Loss, gradients and running statistics of tiny convolutional specs equal torch's at the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch_layers import F, M, Parameters, Values, ce, conv, conv_norm, dense, flat, image, max_pool, pooled, torch
from torch_zoo import Case, compare_losses, compare_running_statistics, compiled, in_torch, inputs

Loss = Callable[[Parameters, Values], Any]


def lenet(pad: int) -> Loss:
    def loss(p: Values, d: Values) -> Any:
        a = max_pool(torch.relu(conv(p, "CONV1", image(d["X"]), pad=pad)))
        a = max_pool(torch.relu(conv(p, "CONV2", a)))
        a = torch.relu(dense(p, "FC4", torch.relu(dense(p, "FC3", flat(a)))))
        return ce(dense(p, "Softmax", a), d["Y"])

    return loss


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


def vgg(*stages: int) -> Loss:
    def loss(p: Values, d: Values) -> Any:
        a, number = image(d["X"]), 0
        for convs in stages:
            for _ in range(convs):
                number += 1
                a = torch.relu(conv(p, f"conv[{number}]", a, pad="same"))
            a = max_pool(a)
        return ce(three_dense(p, a), d["Y"])

    return loss


def basicblock(p: Parameters, name: str, a: Any, stride: int) -> Any:
    z = torch.relu(conv_norm(p, f"{name}.conv[1]", a, stride, pad=1))
    return torch.relu(conv_norm(p, f"{name}.conv[2]", z) + shortcut(p, name, a, stride))


def bottleneck(p: Parameters, name: str, a: Any, stride: int, strided: int = 1) -> Any:
    strides = (stride, 1) if strided == 1 else (1, stride)
    z = torch.relu(conv_norm(p, f"{name}.conv[1]", a, strides[0]))
    z = torch.relu(conv_norm(p, f"{name}.conv[2]", z, strides[1], pad=1))
    return torch.relu(conv_norm(p, f"{name}.conv[3]", z) + shortcut(p, name, a, stride))


def shortcut(p: Parameters, name: str, a: Any, stride: int) -> Any:
    return conv_norm(p, f"{name}.shortcut", a, stride) if f"{name}.shortcut.W" in p else a


def resnet(block: Callable[..., Any], **how: Any) -> Loss:
    def loss(p: Parameters, d: Values) -> Any:
        a = max_pool(torch.relu(conv_norm(p, "convnorm[1]", image(d["X"]), 2, pad=3)), 3, 2, 1)
        for number, stride in enumerate((1, 2, 1), 1):
            a = block(p, f"{block.__name__}[{number}]", a, stride, **how)
        return ce(dense(p, "dense[1]", pooled(a)), d["Y"])

    return loss


def resnet20(p: Parameters, d: Values) -> Any:
    a = torch.relu(conv_norm(p, "convnorm[1]", image(d["X"])))
    for number, stride in enumerate((1, 1, 2, 1, 2, 1), 1):
        a = basicblock(p, f"basicblock[{number}]", a, stride)
    return ce(dense(p, "dense[1]", pooled(a)), d["Y"])


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


def mobilenet_v1(p: Parameters, d: Values) -> Any:
    a = torch.relu(conv_norm(p, "convnorm[1]", image(d["X"]), 2))
    for number, stride in enumerate((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), 1):
        name = f"depthwiseseparable[{number}]"
        a = torch.relu(conv_norm(p, f"{name}.depthwise", a, stride, groups=a.shape[1]))
        a = torch.relu(conv_norm(p, f"{name}.pointwise", a))
    return ce(dense(p, "dense[1]", pooled(a)), d["Y"])


def expanded(p: Parameters, name: str, a: Any, stride: int, g: Callable[[Any], Any], pad: int | str = "same") -> Any:
    """MobileNet v2's and EfficientNet's block: expansion, depthwise, squeeze-excite where there is one, projection."""
    z = g(conv_norm(p, f"{name}.expansion", a)) if f"{name}.expansion.W" in p else a
    z = g(conv_norm(p, f"{name}.depthwise", z, stride, z.shape[1], pad))
    if f"{name}.squeeze_excite.squeeze.W" in p:
        s = F.silu(conv(p, f"{name}.squeeze_excite.squeeze", z.mean((2, 3), keepdim=True)))
        z = z * torch.sigmoid(conv(p, f"{name}.squeeze_excite.excite", s))
    z = conv_norm(p, f"{name}.projection", z)
    return z + a if stride == 1 and z.shape == a.shape else z


def mobilenet_v2(p: Parameters, d: Values) -> Any:
    a = F.relu6(conv_norm(p, "convnorm[1]", image(d["X"]), 2, pad=1))
    for number, stride in enumerate((1, 2, 1), 1):
        a = expanded(p, f"invertedresidual[{number}]", a, stride, F.relu6, 1)
    return ce(dense(p, "dense[1]", pooled(F.relu6(conv_norm(p, "convnorm[2]", a)))), d["Y"])


def efficientnet(p: Parameters, d: Values) -> Any:
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


def transfer_learning(p: Values, d: Values) -> Any:
    a = image(d["X"])
    for layer in (1, 2):
        a = max_pool(torch.relu(conv(p, f"backbone.conv[{layer}]", a, pad="same")))
    return ce(dense(p, "top", pooled(a)), d["Y"])


def edges(p: Values, d: Values) -> Any:
    found = F.conv2d(image(d["X"]), p["w"][None, None])
    return ((found - image(d["Y"])) ** 2).sum() / 2 / M


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


SMALL = {"size": 16, "classes": 4}
VGG = {"width": 2, "fc": 6, "size": 32, "classes": 4}
CASES = {
    "LeNet-5": Case("convolution/lenet5", lenet(0), {"n_C": [3, 4], "n": [6, 5], **SMALL}),
    "LeNet-5, grey": Case(
        "convolution/lenet5", lenet(2), {"n_C": [3, 4], "n": [6, 5], "channels": 1, "pad": 2, **SMALL}
    ),
    "AlexNet": Case("convolution/alexnet", alexnet, {"size": 67, "n_C": [6, 8, 4, 6, 4], "fc": 5, "classes": 4}),
    "VGG-16": Case("convolution/vgg16", vgg(1, 1, 2, 2, 1), VGG | {"convs": [1, 1, 2, 2, 1]}),
    "VGG-19": Case("convolution/vgg19", vgg(1, 2, 1, 1, 3), VGG | {"convs": [1, 2, 1, 1, 3]}),
    "ResNet-20": Case("convolution/resnet20", resnet20, {"blocks": 2, "width": 3, "channels": 1, **SMALL}),
    "ResNet-34": Case("convolution/resnet34", resnet(basicblock), {"stages": [1, 2], "width": 3, **SMALL}),
    "ResNet-50": Case("convolution/resnet50", resnet(bottleneck), {"stages": [1, 2], "width": 3, **SMALL}),
    "ResNet-50, torchvision's": Case(
        "convolution/resnet50", resnet(bottleneck, strided=2), {"stages": [1, 2], "width": 3, "strided": 2, **SMALL}
    ),
    "ResNet-152": Case("convolution/resnet152", resnet(bottleneck), {"stages": [1, 2], "width": 2, **SMALL}),
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
    "U-Net, grey": Case("convolution/unet", unet, {"size": 12, "channels": 1, "width": 2, "depth": 2}),
    "transfer learning": Case("convolution/transfer_learning", transfer_learning, {"n_C": [3, 4], "size": 8}),
    "edges": Case("convolution/edges", edges),
    "1-D": Case("convolution/conv1d", heartbeat),
    "3-D": Case("convolution/conv3d", scan, {"size": 9}),
}


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients(name: str, target: str) -> None:
    compare_losses(CASES[name], target)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.normalizes])
def test_running_statistics(name: str, target: str) -> None:
    compare_running_statistics(CASES[name], target)


def bottlenecked(p: Values, x: Any) -> Any:
    return torch.relu(conv(p, "conv[2]", torch.relu(conv(p, "conv[1]", x)), pad="same"))


def inception_by_hand(p: Values, x: Any) -> Any:
    def c(number: int, a: Any) -> Any:
        return torch.relu(conv(p, f"conv[{number}]", a, pad="same"))

    return torch.cat([c(1, x), c(3, c(2, x)), c(5, c(4, x)), c(6, max_pool(x, 3, 1, "same"))], 1)


PREDICTIONS: dict[tuple[str, str], Callable[[Values, Any], Any]] = {
    ("inception_block", "Direct"): lambda p, x: torch.relu(conv(p, "conv[1]", x, pad="same")),
    ("inception_block", "Bottleneck"): bottlenecked,
    ("inception_block", "InceptionModule"): inception_by_hand,
    ("depthwise_separable", "Normal"): lambda p, x: conv(p, "conv[1]", x),
    ("depthwise_separable", "DepthwiseSeparable"): lambda p, x: conv(p, "conv[2]", conv(p, "conv[1]", x, groups=3)),
}


@pytest.mark.parametrize(("file", "name"), PREDICTIONS)
def test_a_prediction(file: str, name: str, target: str) -> None:
    """The specs without a loss."""
    hypers = {"size": 6} if file == "inception_block" else {}
    spec, rng = Case(f"convolution/{file}", ce, hypers, name).spec(), np.random.default_rng(7)
    model = compiled(spec, target, rng)
    X = inputs(spec, rng)["X"]
    with torch.no_grad():
        expected = PREDICTIONS[file, name](in_torch(model), image(torch.tensor(X))).permute(0, 2, 3, 1)
    np.testing.assert_allclose(model.forward(X=X)["Y_hat"], expected.numpy(), rtol=1e-9, atol=1e-9)
