"""Loss and all gradients of tiny specs for detection, faces and style equal torch's at the same weights."""

from __future__ import annotations

from typing import Any

import pytest
from torch_layers import F, M, Parameters, Values, bce, conv, conv_norm, dense, flat, image, max_pool, torch
from torch_zoo import Case, compare_losses, compare_running_statistics


def localization(p: Values, d: Values) -> Any:
    a = image(d["X"])
    for number in (1, 2, 3):
        a = max_pool(torch.relu(conv(p, f"conv[{number}]", a, pad="same")))
    errors = (dense(p, "dense[2]", torch.relu(dense(p, "dense[1]", flat(a)))) - d["y"]) ** 2
    return torch.where(d["y"][0] == 1, errors.sum(0), errors[0]).mean()


def landmarks(p: Values, d: Values) -> Any:
    a = image(d["X"])
    for number in (1, 2, 3):
        a = max_pool(torch.relu(conv(p, f"conv[{number}]", a, pad="same")))
    features = torch.relu(dense(p, "dense[1]", flat(a)))
    errors = ((dense(p, "positions", features) - d["l"]) ** 2).sum(0) / 2
    return bce(dense(p, "is_face", features), d["face"]) + errors[d["face"][0] == 1].sum() / M


def sliding_windows(p: Values, d: Values) -> Any:
    a = max_pool(torch.relu(conv(p, "conv[1]", image(d["X"]))))
    a = torch.relu(conv(p, "FC2", torch.relu(conv(p, "FC1", a))))
    return F.cross_entropy(conv(p, "FC3", a), d["Y"], reduction="sum") / M


def yolo(p: Parameters, d: Values) -> Any:
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


CASES = {
    "localization": Case("detection/localization", localization, {"size": 16, "n_C": [3, 4, 5]}),
    "landmarks": Case("detection/landmarks", landmarks, {"size": 16, "n_C": [3, 4, 5], "landmarks": 4}),
    "sliding windows": Case("detection/sliding_windows", sliding_windows, {"size": 16}),
    "R-CNN": Case("detection/rcnn", rcnn, {"R": 3, "size": 8, "n_C": [2, 3, 4]}),
    "YOLO": Case("detection/yolo", yolo, {"size": 64, "width": 2, "classes": 3, "priors": [[1, 2], [2, 1]]}),
    "Siamese": Case("faces/siamese", siamese, {"size": 16, "n": 8}, "Siamese"),
    "chi-square": Case("faces/siamese", chi_square, {"size": 16, "n": 8}, "ChiSquare"),
    "triplet": Case("faces/triplet", triplet, {"size": 16, "n": 8}),
    "style transfer": Case("style/style_transfer", style_transfer, {"n_H": 16, "n_W": 32, "width": 2}),
}


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients(name: str, target: str) -> None:
    compare_losses(CASES[name], target)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.normalizes])
def test_running_statistics(name: str, target: str) -> None:
    compare_running_statistics(CASES[name], target)
