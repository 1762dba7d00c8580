"""Writes the data set: reviews of a restaurant, put together from parts, and their stars.

    python examples/sentiment/make.py [--train 8000] [--dev 1000] [--test 1000] [--seed 1]

Writes train.csv, dev.csv and test.csv beside this file, with the columns review and stars. A review is two to five
remarks, each worth -2 to 2; the stars, 1 to 5, are 3 plus the mean, rounded. Words that turn others round ("not bad",
"lacking in good taste") make the order of the words count. The same seed gives the same reviews.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SUBJECTS = (
    "the food", "the service", "the waiter", "the soup", "the dessert", "the music", "the wine list", "the view",
    "the room", "the bread", "the fish", "the chef", "the terrace", "the breakfast", "my dish", "our table",
)  # fmt: skip
QUALITIES = ["taste", "service", "ideas", "ambience", "manners", "wine", "cooking", "light", "company", "music"]
WORDS = {
    2: ["superb", "wonderful", "fantastic", "outstanding", "delightful", "perfect", "brilliant", "excellent"],
    1: ["good", "nice", "decent", "pleasant", "fine", "solid", "friendly", "fresh"],
    -1: ["bad", "slow", "bland", "dull", "cold", "noisy", "careless", "overpriced"],
    -2: ["awful", "terrible", "horrible", "disgusting", "dreadful", "appalling", "inedible", "shameful"],
}
PLAIN = ["{s} was {w}", "{s} was really {w}", "i found {s} {w}", "{s} seemed {w} to us", "how {w} {s} was"]
TURNED = (
    "{s} was not {w}", "{s} was never {w}", "i would not call {s} {w}", "{s} was anything but {w}",
    "nobody found {s} {w}",
)  # fmt: skip
LACKING = ["completely lacking in {w} {q}", "not a trace of {w} {q}", "we missed {w} {q}"]
JOINTS = (", ", " and ", " . ", " but ", " , however ")


def remark(random: np.random.Generator) -> tuple[str, int]:
    """A part of a review, and what it is worth."""
    value = int(random.choice(list(WORDS)))
    word, subject, quality = (str(random.choice(words)) for words in (WORDS[value], SUBJECTS, QUALITIES))
    kind = random.random()
    if kind < 0.5:
        return str(random.choice(PLAIN)).format(s=subject, w=word), value
    if kind < 0.85 or value < 0:  # turned round, a strong word is a weak one: "not superb" is not yet awful
        return str(random.choice(TURNED)).format(s=subject, w=word), -1 if value > 0 else 1
    return str(random.choice(LACKING)).format(w=word, q=quality), -value


def review(random: np.random.Generator) -> tuple[str, int]:
    """A review and its stars."""
    remarks = [remark(random) for _ in range(random.integers(2, 6))]
    text = remarks[0][0]
    for more, _ in remarks[1:]:
        text += str(random.choice(JOINTS)) + more
    mean = sum(value for _, value in remarks) / len(remarks)
    return text, 3 + int(np.sign(mean) * np.floor(abs(mean) + 0.5))


def main() -> None:
    parser = argparse.ArgumentParser(description="writes the reviews of the sentiment example")
    splits = (("train", 8000), ("dev", 1000), ("test", 1000))
    for split, count in splits:
        parser.add_argument(f"--{split}", type=int, default=count, help="reviews (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    random = np.random.default_rng(args.seed)
    seen: set[str] = set()
    for split, _ in splits:
        stars = np.zeros(5, int)
        with (HERE / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(("review", "stars"))
            while stars.sum() < getattr(args, split):
                text, rating = review(random)
                if text not in seen:
                    seen.add(text)
                    stars[rating - 1] += 1
                    lines.writerow((text, rating))
        print(f"{split}.csv: {stars.sum()} reviews; with 1 to 5 stars: {', '.join(map(str, stars))}")


if __name__ == "__main__":
    main()
