"""The zoo checks clean, and its convolutional networks are as large as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dlc
from dlc.compiler.ops import OPS, Contraction

SPECS = Path(__file__).resolve().parents[2] / "specs"
FOLDERS = ("dense", "convolution", "detection", "faces", "style")
FILES = sorted(path for folder in FOLDERS for path in (SPECS / folder).glob("*.dl"))

PUBLISHED: list[tuple[str, dict[str, Any], int]] = [
    # Krizhevsky's own, with two groups: 34,944 + 307,456 + 885,120 + 663,936 + 442,624 and the dense layers
    ("convolution/alexnet.dl", {}, 60_965_224),
    # torchvision's tables
    ("convolution/vgg16.dl", {}, 138_357_544),
    ("convolution/vgg19.dl", {}, 143_667_240),
    ("convolution/resnet34.dl", {}, 21_797_672),
    ("convolution/resnet50.dl", {}, 25_557_032),
    ("convolution/resnet152.dl", {}, 60_192_808),
    ("convolution/mobilenet_v2.dl", {}, 3_504_872),
    ("convolution/efficientnet_b0.dl", {}, 5_288_548),
    ("convolution/efficientnet_b0.dl", {"width": 1.1, "depth": 1.2, "size": 260}, 9_109_994),
    ("convolution/efficientnet_b0.dl", {"width": 2.0, "depth": 3.1, "size": 600}, 66_347_960),
    # the 269,722 of the implementations for CIFAR-10 whose shortcuts have no parameters, and here two projections
    ("convolution/resnet20.dl", {}, 269_722 + (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)),
    ("convolution/resnet20.dl", {"blocks": 18}, 1_727_962 + (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)),
    # Caffe's GoogLeNet, 6,998,552 without the heads
    ("convolution/googlenet.dl", {}, 13_378_280),
    # Keras's MobileNet, its 21,888 running averages not counted
    ("convolution/mobilenet_v1.dl", {}, 4_231_976),
    # YAD2K's YOLOv2 for COCO, its 20,672 running averages not counted
    ("detection/yolo.dl", {}, 50_962_889),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_checks_clean(path: Path) -> None:
    assert [f"{d.code}: {d.message}" for d in dlc.check(path)] == []


@pytest.mark.parametrize(("file", "hypers", "count"), PUBLISHED, ids=lambda value: str(value))
def test_published_parameter_count(file: str, hypers: dict[str, Any], count: int) -> None:
    assert dlc.load(SPECS / file, **hypers).checked.parameter_count == count


def counts(file: str, **hypers: Any) -> dict[str, int]:
    """The learned numbers of each layer (or other parameter), in the order of the text."""
    result: dict[str, int] = {}
    for name, parameter in dlc.load(SPECS / file, **hypers).parameters.items():
        layer = name.rpartition(".")[0] or name
        result[layer] = result.get(layer, 0) + parameter.count
    return result


def test_lenet_layer_by_layer() -> None:
    """The lecture's table."""
    spec = dlc.load(SPECS / "convolution" / "lenet5.dl")
    assert counts("convolution/lenet5.dl") == {"CONV1": 608, "CONV2": 3216, "FC3": 48120, "FC4": 10164, "Softmax": 850}
    shapes = {line.name: str(line.type) for line in spec.checked.lines if line.instance}
    table = {
        "CONV1": "(m, 28, 28, 8)",
        "POOL1": "(m, 14, 14, 8)",
        "CONV2": "(m, 10, 10, 16)",
        "POOL2": "(m, 5, 5, 16)",
        "FC3": "(120, m)",
        "FC4": "(84, m)",
        "Softmax": "(10, m)",
    }
    assert {name: shapes[name] for name in table} == table


def conv(f: int, n_C_prev: int, n_C: int) -> int:
    return f * f * n_C_prev * n_C + n_C


def test_unet() -> None:
    """Two convolutions at each of five levels; on the way up a 2x2 transpose convolution halves the channels, and the
    skip connection doubles them again. With one class it is the number that is usually quoted."""
    widths = [64, 128, 256, 512, 1024]
    down = sum(conv(3, a, b) + conv(3, b, b) for a, b in zip([3, *widths], widths, strict=False))
    up = sum(conv(2, 2 * n, n) + conv(3, 2 * n, n) + conv(3, n, n) for n in widths[:-1])
    assert sum(counts("convolution/unet.dl", classes=1).values()) == down + up + conv(1, 64, 1) == 31_031_745
    assert sum(counts("convolution/unet.dl").values()) == down + up + conv(1, 64, 2) == 31_031_810


def test_network_in_network() -> None:
    wanted = conv(5, 3, 192) + conv(1, 192, 160) + conv(1, 160, 96) + conv(5, 96, 192) + 2 * conv(1, 192, 192)
    wanted += conv(3, 192, 192) + conv(1, 192, 192) + conv(1, 192, 10)
    assert sum(counts("convolution/network_in_network.dl").values()) == wanted == 966_986


def test_googlenet_without_its_heads() -> None:
    found = counts("convolution/googlenet.dl")
    heads = {name: count for name, count in found.items() if name.startswith("auxiliary")}
    assert sum(found.values()) - sum(heads.values()) == 6_998_552
    dense = 4 * 4 * 128 * 1024 + 1024 + 1024 * 1000 + 1000
    assert sum(heads.values()) == conv(1, 512, 128) + conv(1, 528, 128) + 2 * dense


def multiplications(file: str, model: str) -> int:
    """The multiplications of all convolutions of a prediction for one example."""
    nodes = dlc.load(SPECS / file, model=model).checked.evaluation.nodes
    work = [OPS[node.op].work(node) for node in nodes if isinstance(OPS[node.op], Contraction)]
    return sum(int(dim.evaluate(dict.fromkeys(dim.symbols, 1))) for dim in work) // 2  # a product and its sum


@pytest.mark.parametrize(
    ("file", "model", "count"),
    [
        ("inception_block.dl", "Direct", 28 * 28 * 32 * 5 * 5 * 192),  # 120 million
        ("inception_block.dl", "Bottleneck", 28 * 28 * 16 * 192 + 28 * 28 * 32 * 5 * 5 * 16),  # 12.4 million
        ("depthwise_separable.dl", "Normal", 2160),
        ("depthwise_separable.dl", "DepthwiseSeparable", 432 + 240),
    ],
)
def test_the_lectures_multiplications(file: str, model: str, count: int) -> None:
    assert multiplications(f"convolution/{file}", model) == count
