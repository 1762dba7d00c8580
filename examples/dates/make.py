"""Writes the data set: dates as people write them, and the same as ISO dates.

    python examples/dates/make.py [--train 9000] [--dev 500] [--test 1000] [--seed 1]

Writes train.csv, dev.csv and test.csv beside this file, with the columns human and iso: "the third of may 2009" and
"2009-05-03". Days from 1970 to 2029, in the formats below, some without any comma, some in capitals. No line of
one file stands in another. The same seed gives the same dates.
"""

from __future__ import annotations

import argparse
import csv
import datetime
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
FIRST, LAST = datetime.date(1970, 1, 1), datetime.date(2029, 12, 31)
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
    "twentieth", "twenty-first", "twenty-second", "twenty-third", "twenty-fourth", "twenty-fifth", "twenty-sixth",
    "twenty-seventh", "twenty-eighth", "twenty-ninth", "thirtieth", "thirty-first",
)  # fmt: skip
FORMATS = (
    "{d} {month} {year}",
    "{d} {mon} {year}",
    "{month} {d}, {year}",
    "{mon} {d} {year}",
    "{d}. {month} {year}",
    "{d}{th} of {month} {year}",
    "{month} {d}{th}, {year}",
    "the {ordinal} of {month} {year}",
    "{month} the {ordinal}, {year}",
    "{weekday}, {d} {month} {year}",
    "{weekday} {month} {d} {year}",
    "{day}, {d} {mon} {year}",
    "{day} {mon} {d}{th} {year}",
    "{d}/{m}/{year}",
    "{d:02}/{m:02}/{year}",
    "{d}.{m}.{year}",
    "{d:02}.{m:02}.{yy:02}",
    "{year}/{m:02}/{d:02}",
    "{year} {month} {d}",
    "{d}-{mon}-{year}",
    "{d} {mon} {yy:02}",
    "{year}{m:02}{d:02}",
)


def suffix(day: int) -> str:
    """st, nd, rd or th."""
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def written(date: datetime.date, random: np.random.Generator) -> str:
    """A date in one of the formats; of two digits, a year means 1970 to 2069."""
    text = str(random.choice(FORMATS)).format(
        d=date.day, m=date.month, year=date.year, yy=date.year % 100, month=MONTHS[date.month - 1],
        mon=MONTHS[date.month - 1][:3], th=suffix(date.day), ordinal=ORDINALS[date.day - 1],
        weekday=DAYS[date.weekday()], day=DAYS[date.weekday()][:3],
    )  # fmt: skip
    if random.random() < 0.2:
        text = text.replace(",", "")
    kind = random.random()
    return text.lower() if kind < 0.5 else text.upper() if kind < 0.6 else text


def main() -> None:
    parser = argparse.ArgumentParser(description="writes the dates of the attention example")
    splits = (("train", 9000), ("dev", 500), ("test", 1000))
    for split, count in splits:
        parser.add_argument(f"--{split}", type=int, default=count, help="pairs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    random = np.random.default_rng(args.seed)
    seen: set[str] = set()
    for split, _ in splits:
        with (HERE / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(("human", "iso"))
            for _ in range(getattr(args, split)):
                text = None
                while text is None or text.lower() in seen:
                    date = FIRST + datetime.timedelta(days=int(random.integers((LAST - FIRST).days + 1)))
                    text = written(date, random)
                seen.add(text.lower())
                lines.writerow((text, date.isoformat()))
        print(f"{split}.csv: {getattr(args, split)} dates")


if __name__ == "__main__":
    main()
