"""The table of `dlc show` on terminals of every width."""

from __future__ import annotations

import pytest

from dlc.compiler.diagnostics.display import width_of
from dlc.runtime.cli.output import table
from dlc.runtime.cli.show import ALIGNED, COLUMNS, fitted

ROWS = [
    COLUMNS,
    (
        "inception[1].reduction_3x3",
        "Conv(1, reduce_3x3, g = relu)",
        "(m, 28, 28, 64)",
        "50,176",
        "4,160",
        "6.5",
        "196.0 KiB",
    ),
    ("inception[1].reduction_3x3.b", "b : (1, ..., n_C) = (1, 64)", "(1, 64)", "", "64", "", ""),
    ("Ŷ", "Ŷ = X -> Dense(10, softmax)", "(10, m)", "10", "", "32,000,000", "40 B"),
]


@pytest.mark.parametrize("width", [70, 80, 90, 100, 120, 160])
def test_a_row_stays_on_its_line(width: int) -> None:
    columns, rows = fitted(ROWS, width)
    shown = table(rows, "".join(ALIGNED[i] for i in columns)).splitlines()
    assert max(map(width_of, shown)) <= width
    assert len(shown) == len(ROWS)
    assert {"name", "rule", "shape", "parameters"} <= {COLUMNS[i] for i in columns}
    assert [row[columns.index(4)] for row in rows] == [row[4] for row in ROWS]


def test_what_is_left_out_is_what_is_wanted_least() -> None:
    seen = [{COLUMNS[i] for i in fitted(ROWS, width)[0]} for width in range(200, 40, -1)]
    order = [set(COLUMNS) - each for i, each in enumerate(seen) if i == 0 or each != seen[i - 1]]
    assert order == [set(), {"size"}, {"size", "memory"}, {"size", "memory", "FLOPs"}]


def test_a_wide_terminal_shows_all() -> None:
    assert fitted(ROWS, 200) == (list(range(7)), [tuple(row) for row in ROWS])


def test_of_a_long_name_the_end_is_told() -> None:
    _, rows = fitted(ROWS, 60)
    assert rows[2][0].startswith("…")
    assert rows[2][0].endswith("reduction_3x3.b")
