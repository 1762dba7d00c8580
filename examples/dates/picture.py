"""How many dates a trained network writes without a mistake, and where it looked: the attention weights of one date.

    python picture.py RUN ["the 3rd of may 2009"] [PICTURE.png]

RUN is the folder that `dlc train` has printed. Needs Pillow and NumPy.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import dlc

HERE = Path(__file__).resolve().parent
CELL, EDGE = 26, 34
Floats = NDArray[np.float64]


def sigmoid(z: Floats) -> Floats:
    return 1 / (1 + np.exp(-z))


def lstm(p: dict[str, Floats], place: str, x: Floats) -> Floats:
    """The library's LSTM on one example: x (n_x, T), the result (n_a, T)."""
    W, b = ({g: p[f"{place}.{kind}_{g}"] for g in "cufo"} for kind in "Wb")
    a = c = np.zeros((len(b["c"]), 1))
    steps = []
    for t in range(x.shape[1]):
        z = {g: W[g] @ np.concatenate([a, x[:, t : t + 1]]) + b[g] for g in "cufo"}
        c = sigmoid(z["u"]) * np.tanh(z["c"]) + sigmoid(z["f"]) * c
        a = sigmoid(z["o"]) * np.tanh(c)
        steps.append(a)
    return np.concatenate(steps, axis=1)


def attention(p: dict[str, Floats], x: Floats, y: Floats) -> Floats:
    """The equations of dates.dl for one example, once more: alpha (T_y, T_x), how much a step of the output looks at
    each character. x (V_x, T_x) and y (V_y, T_y) are one-hot, y what the network has written."""
    side = "bidirectional[1]"
    a = np.concatenate([lstm(p, f"{side}.forward", x), lstm(p, f"{side}.backward", x[:, ::-1])[:, ::-1]])
    s, before, rows = np.zeros((len(p["b_s"]), 1)), np.zeros((len(y), 1)), []
    for t in range(y.shape[1]):
        e = p["attend.v"] @ np.tanh(p["attend.W_a"] @ a + p["attend.W_s"] @ s + p["attend.b"][:, :, 0])
        alpha = np.exp(e - e.max()) / np.exp(e - e.max()).sum()
        s = np.tanh(p["W_s"] @ np.concatenate([s, a @ alpha.T, before]) + p["b_s"])
        before = y[:, t : t + 1]
        rows.append(alpha[0])
    return np.array(rows)


def drawn(alpha: Floats, source: str, target: str) -> Image.Image:
    """The weights, the darker the larger; a row for each character that is written, a column for each that is read."""
    rows, columns = alpha.shape
    sheet = Image.new("RGB", (EDGE + columns * CELL + 6, EDGE + rows * CELL + 6), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for j, letter in enumerate(source):
        pen.text((EDGE + (j + 0.5) * CELL, EDGE / 2), letter, "black", font, anchor="mm")
    for i, letter in enumerate(target):
        y = EDGE + i * CELL
        pen.text((EDGE / 2, y + CELL / 2), letter, "black", font, anchor="mm")
        for j in range(columns):
            shade = round(255 * (1 - alpha[i, j]))
            x = EDGE + j * CELL
            pen.rectangle((x, y, x + CELL - 2, y + CELL - 2), (shade, round(120 + shade * 135 / 255), 255))
    return sheet


def main(run: str, date: str = "the 3rd of may 2009", picture: str = str(HERE / "attention.png")) -> None:
    model = dlc.open(run)
    assert model.preprocessing is not None
    letters, digits = (model.preprocessing.vocabularies[name] for name in "xy")

    def written(dates: list[str]) -> list[str]:
        lengths = [len(text) for text in dates]
        x = np.zeros((len(dates), max(lengths)), np.int64)
        for row, text in zip(x, dates, strict=True):
            row[: len(text)] = letters.encode(text)
        return [digits.decode(classes) for classes in model.forward(x=x, lengths={"T_x": lengths})["iso"]]

    with (HERE / "test.csv").open(encoding="utf-8", newline="") as file:
        pairs = list(csv.DictReader(file))
    found = written([pair["human"] for pair in pairs])
    wrong = [(pair, iso) for pair, iso in zip(pairs, found, strict=True) if pair["iso"] != iso]
    print(f"{len(pairs) - len(wrong)} of {len(pairs)} test dates are right: {1 - len(wrong) / len(pairs):.1%}")
    for pair, iso in wrong[:10]:
        print(f"    {pair['human']!r} is {pair['iso']}, and not {iso}")

    (iso,) = written([date])
    p = {name: np.asarray(value, np.float64) for name, value in model.params.items()}
    classes = p["bidirectional[1].forward.W_c"].shape[1] - len(p["bidirectional[1].forward.b_c"])
    x = np.eye(classes)[letters.encode(date)].T
    y = np.eye(len(p["dense[1].b"]))[digits.encode(iso)].T
    drawn(attention(p, x, y), date, iso).save(picture)
    print(f"{date!r} is {iso}; where it looked: {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:])
