"""Tiny versions of the convolutional zoo run, by the ops' own meanings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc

SPECS = Path(__file__).resolve().parents[2] / "specs"
M = 2
SMALL = {"size": 16, "classes": 4}
SHORT = {"stages": [1, 1], "width": 2, **SMALL}

CASES: list[tuple[str, dict[str, Any], dict[str, tuple[int, ...]]]] = [
    ("convolution/lenet5", {"n_C": [2, 3], "n": [5, 4], **SMALL}, {"Y_hat": (4, M)}),
    ("convolution/alexnet", {"size": 67, "n_C": [2, 4, 2, 4, 2], "fc": 3, "classes": 4}, {"Y_hat": (4, M)}),
    ("convolution/vgg16", {"convs": [2, 1, 1, 1, 1], "width": 1, "fc": 4, "size": 32, "classes": 4}, {"Y_hat": (4, M)}),
    ("convolution/vgg19", {"convs": [1, 1, 1, 1, 2], "width": 1, "fc": 4, "size": 32, "classes": 4}, {"Y_hat": (4, M)}),
    ("convolution/lenet5", {"n_C": [2, 3], "n": [5, 4], "channels": 1, "pad": 2, **SMALL}, {"Y_hat": (4, M)}),
    ("convolution/resnet20", {"blocks": 1, "width": 2, "channels": 1, "size": 9, "classes": 4}, {"Y_hat": (4, M)}),
    ("convolution/resnet34", SHORT, {"Y_hat": (4, M)}),
    ("convolution/resnet50", SHORT, {"Y_hat": (4, M)}),
    ("convolution/resnet152", SHORT, {"Y_hat": (4, M)}),
    ("convolution/googlenet", {"width": 8, "size": 80, "classes": 4}, {"Y_hat": (4, M)}),
    ("convolution/network_in_network", {"n": [3, 4, 2], **SMALL}, {"Y_hat": (4, M)}),
    ("convolution/mobilenet_v1", {"alpha": 0.0625, "size": 32, "classes": 4}, {"Y_hat": (4, M)}),
    ("convolution/mobilenet_v2", {"alpha": 0.25, "stages": [[1, 8, 1, 1], [6, 8, 2, 2]], **SMALL}, {"Y_hat": (4, M)}),
    (
        "convolution/efficientnet_b0",
        {"width": 0.25, "stages": [[1, 3, 1, 8, 1], [6, 5, 2, 8, 2]], **SMALL},
        {"Y_hat": (4, M)},
    ),
    ("convolution/unet", {"size": 8, "width": 2, "depth": 2, "classes": 3}, {"Y_hat": (M, 8, 8, 3)}),
    ("convolution/unet", {"size": 4, "channels": 1, "width": 2, "depth": 1}, {"Y_hat": (M, 4, 4, 2)}),
    ("convolution/transfer_learning", {"n_C": [2, 3], "size": 8}, {"Y_hat": (3, M)}),
    ("convolution/conv1d", {}, {"Y_hat": (2, M)}),
    ("convolution/conv3d", {"size": 9}, {"Y_hat": (2, M)}),
    ("convolution/edges", {}, {"sobel_edges": (M, 4, 4, 1), "scharr_edges": (M, 4, 4, 1), "Y_hat": (M, 4, 4, 1)}),
    ("detection/localization", {"size": 16, "n_C": [2, 3, 4]}, {"y_hat": (8, M)}),
    ("detection/landmarks", {"size": 16, "n_C": [2, 3, 4], "landmarks": 5}, {"face_hat": (1, M), "l_hat": (10, M)}),
    ("detection/sliding_windows", {"size": 16}, {"Y_hat": (M, 2, 2, 4)}),
    (
        "detection/yolo",
        {"size": 96, "width": 2, "classes": 3, "priors": [[1, 2], [2, 1]]},
        {"y_hat": (M, 3, 3, 2, 8)},
    ),
    (
        "detection/rcnn",
        {"R": 3, "size": 8, "n_C": [2, 3, 4]},
        {"label_hat": (4, M, 3), "box_hat": (4, M, 3)},
    ),
    ("faces/siamese:Siamese", {"size": 16, "n": 6}, {"y_hat": (1, M)}),
    ("faces/siamese:ChiSquare", {"size": 16, "n": 6}, {"y_hat": (1, M)}),
    ("faces/triplet", {"size": 16, "n": 6}, {"f_A": (6, M)}),
    ("style/style_transfer", {"n_H": 16, "n_W": 32, "width": 2}, {"G": (1, 16, 32, 3)}),
]


def loaded(name: str, **hypers: Any) -> dlc.Spec:
    file, _, model = name.partition(":")
    return dlc.load(SPECS / f"{file}.dl", model=model or None, **hypers)


def inputs(spec: dlc.Spec, rng: np.random.Generator) -> dict[str, np.ndarray]:
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


@pytest.mark.parametrize(
    ("name", "hypers", "outputs"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_runs(name: str, hypers: dict[str, Any], outputs: dict[str, tuple[int, ...]]) -> None:
    spec = loaded(name, **hypers)
    model = spec.compile(dtype="float64", seed=1, target="reference")
    data = inputs(spec, np.random.default_rng(2))
    given = {key: value for key, value in data.items() if spec.checked.inputs[key].role == "input"}
    found = model.forward(**given)
    assert {key: found[key].shape for key in outputs} == outputs
    assert all(np.isfinite(value).all() for value in found.values())
    loss, gradients = model.loss_and_grads(**data)
    assert np.isfinite(loss)
    assert set(gradients) == {key for key, parameter in spec.parameters.items() if not parameter.frozen}
    for key, gradient in gradients.items():
        assert gradient.shape == model.params[key].shape
        assert np.isfinite(gradient).all(), key
    assert any(gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize(
    ("name", "hypers", "outputs"),
    [case for case in CASES if case[0] != "style/style_transfer"],  # whose output is one picture
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_prediction_reads_its_own_example_alone(
    name: str, hypers: dict[str, Any], outputs: dict[str, tuple[int, ...]]
) -> None:
    spec = loaded(name, **hypers)
    model = spec.compile(dtype="float64", seed=1, target="reference")
    data = inputs(spec, np.random.default_rng(8))
    given = {key: value for key, value in data.items() if spec.checked.inputs[key].role == "input"}
    together = model.forward(**given)
    for example in range(M):
        alone = model.forward(**{key: value[[example]] for key, value in given.items()})
        for key, value in alone.items():
            axis = next(axis for axis in range(value.ndim) if value.shape[axis] != together[key].shape[axis])
            np.testing.assert_allclose(value, together[key].take([example], axis), rtol=1e-12, atol=1e-15)


def slope(model: Any, data: dict[str, np.ndarray], name: str, direction: np.ndarray, h: float = 1e-7) -> float:
    """The two-sided difference of the loss along a direction of one parameter."""
    value, at = model.params[name], model.params[name].copy()
    losses = []
    for step in (h, -h):
        value[...] = at + step * direction
        losses.append(model.loss(**data))
    value[...] = at
    return (losses[0] - losses[1]) / (2 * h)


@pytest.mark.parametrize(
    ("name", "hypers", "parameters"),
    [
        ("convolution/unet", {"size": 8, "width": 2, "depth": 2, "classes": 3}, ["convtranspose[1].W", "conv[1].b"]),
        ("convolution/resnet50", SHORT, ["bottleneck[2].shortcut.W", "bottleneck[1].conv[2].norm.gamma"]),
        ("convolution/lenet5", {"n_C": [2, 3], "n": [5, 4], **SMALL}, ["CONV1.W", "FC3.W"]),
        ("faces/triplet", {"size": 16, "n": 6}, ["encode.conv[2].W", "encode.dense[1].W"]),
        ("style/style_transfer", {"n_H": 16, "n_W": 32, "width": 2}, ["G"]),
    ],
)
def test_gradients_are_slopes(name: str, hypers: dict[str, Any], parameters: list[str]) -> None:
    spec = loaded(name, **hypers)
    model = spec.compile(dtype="float64", seed=1, target="reference")
    rng = np.random.default_rng(3)
    data = inputs(spec, rng)
    _, gradients = model.loss_and_grads(**data)
    for parameter in parameters:
        direction = rng.normal(size=gradients[parameter].shape)
        exact = float((gradients[parameter] * direction).sum())
        assert slope(model, data, parameter, direction) == pytest.approx(exact, rel=1e-5), parameter


def test_a_frozen_backbone_has_no_gradients() -> None:
    spec = loaded("convolution/transfer_learning")
    learned = [name for name, parameter in spec.parameters.items() if not parameter.frozen]
    assert learned == ["top.W", "top.b"]


def test_the_lectures_edges() -> None:
    """The 6x6 image of the lecture under the vertical filter."""
    image = [[3, 0, 1, 2, 7, 4], [1, 5, 8, 9, 3, 1], [2, 7, 2, 5, 1, 3]]
    image += [[0, 1, 3, 1, 7, 8], [4, 2, 1, 6, 2, 8], [2, 4, 5, 2, 3, 9]]
    model = loaded("convolution/edges").compile(dtype="float64", target="reference")
    found = model.forward(X=np.array(image, dtype=float)[None, :, :, None])
    wanted = [[-5, -4, 0, 8], [-10, -2, 2, 3], [0, -2, -4, -7], [-3, -2, -3, -16]]
    np.testing.assert_array_equal(found["vertical_edges"][0, :, :, 0], wanted)
    half = np.zeros((1, 6, 6, 1))
    half[:, :, :3] = 10
    np.testing.assert_array_equal(model.forward(X=half)["vertical_edges"][0, :, :, 0], [[0, 30, 30, 0]] * 4)
    np.testing.assert_array_equal(model.forward(X=half)["sobel_edges"][0, :, :, 0], [[0, 40, 40, 0]] * 4)
    np.testing.assert_array_equal(model.forward(X=half)["scharr_edges"][0, :, :, 0], [[0, 160, 160, 0]] * 4)


def test_sliding_windows_share_one_convolution() -> None:
    """Each cell of a larger image's map is what the 14x14 network says of the window there."""
    window = loaded("detection/sliding_windows").compile(dtype="float64", seed=1, target="reference")
    whole = loaded("detection/sliding_windows", size=18).compile(dtype="float64", seed=2, target="reference")
    assert {k: v.shape for k, v in window.params.items()} == {k: v.shape for k, v in whole.params.items()}
    for name, value in window.params.items():
        whole.params[name][...] = value
    X = np.random.default_rng(4).normal(size=(1, 18, 18, 3))
    found = whole.forward(X=X)["Y_hat"]
    assert found.shape == (1, 3, 3, 4)
    for i in range(3):
        for j in range(3):
            crop = X[:, 2 * i : 2 * i + 14, 2 * j : 2 * j + 14]
            np.testing.assert_allclose(found[:, i, j], window.forward(X=crop)["Y_hat"][:, 0, 0], rtol=1e-12)


def test_localization_counts_only_p_c_where_there_is_no_object() -> None:
    model = loaded("detection/localization", size=8, n_C=[2, 2, 2]).compile(dtype="float64", seed=1, target="reference")
    rng = np.random.default_rng(6)
    X, y = rng.normal(size=(M, 8, 8, 3)), rng.uniform(size=(8, M))
    y[0] = 1, 0
    errors = (model.forward(X=X)["y_hat"] - y) ** 2
    assert model.loss(X=X, y=y) == pytest.approx((errors[:, 0].sum() + errors[0, 1]) / 2)


def test_gradient_descent_on_the_picture() -> None:
    """In style transfer the picture is what is learned, and the network that looks at it is not."""
    spec = loaded("style/style_transfer", n_H=16, n_W=16, width=2)
    model = spec.compile(dtype="float64", seed=1, target="reference")
    data = inputs(spec, np.random.default_rng(7))
    costs = []
    for _ in range(6):
        cost, gradients = model.loss_and_grads(**data)
        assert list(gradients) == ["G"]
        model.params["G"] -= 0.05 * gradients["G"] / np.abs(gradients["G"]).max()
        costs.append(cost)
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 0.95 * costs[0]
