"""Parquet files: the schema at check time, the same arrays as from a CSV at load."""

from __future__ import annotations

import datetime
import json
import random
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
from data_project import declare

from dlc.compiler.diagnostics import DiagnosticError
from dlc.compiler.dims import Symbol
from dlc.compiler.program import M
from dlc.runtime.data.dataset import apply
from dlc.runtime.data.parquet import parquet_header
from dlc.runtime.data.preprocessing import Preprocessing

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

X, Y = declare("X", 2, M), declare("Y", 1, M, role="target")
KIND = declare("Y", 2, M, role="target", one_hot=True)
SOURCE = 'source = parquet("a.parquet")'
HOUSES = {
    "size": [10, 20, 30, 40],
    "age": [1.5, 2.5, 4.0, 8.0],
    "kind": ["flat", "house", "flat", "flat"],
    "fold": ["train", "dev", "train", "test"],
    "built": [datetime.date(2020, 1, day) for day in (1, 2, 3, 4)],
}


@pytest.fixture
def houses(project):
    """`houses(lines, inputs)`: the table above, or another, in a file a.parquet."""

    def make(lines, inputs, table=HOUSES, **options):
        made = project(f"{SOURCE}\n{lines}", inputs)
        parquet.write_table(arrow.table(table), made.folder / "a.parquet", **options)
        return made

    return make


def only(found):
    (diagnostic,) = found
    return diagnostic.code, diagnostic.message, f"{diagnostic.span.line}:{diagnostic.span.column}", diagnostic.help


# --- the schema ------------------------------------------------------------------------------------------------

COLUMNS = {
    "numbers": {
        "double": arrow.array([1.0, 2.0]),
        "float": arrow.array([1, 2], arrow.float32()),
        "half": arrow.array([1, 2], arrow.float16()),
        "byte": arrow.array([1, 2], arrow.int8()),
        "unsigned": arrow.array([1, 2], arrow.uint64()),
        "truth": arrow.array([True, False]),
        "money": arrow.array([Decimal("1.50"), Decimal("2")], arrow.decimal128(5, 2)),
        "more money": arrow.array([Decimal("1.50"), Decimal("2")], arrow.decimal128(30, 2)),
        "a.b": arrow.array([1, 2]),
    },
    "texts": {
        "text": arrow.array(["a", "b"]),
        "large": arrow.array(["a", "b"], arrow.large_string()),
        "category": arrow.array(["a", "b"]).dictionary_encode(),
        "größe": arrow.array(["a", "b"]),
    },
    "dates or times": {
        "date": arrow.array([datetime.date(2020, 1, 1)] * 2),
        "time": arrow.array([datetime.time(1)] * 2),
        "stamp": arrow.array([datetime.datetime(2020, 1, 1)] * 2),
    },
    "nested values": {
        "list": arrow.array([[1], [2, 3]]),
        "record": arrow.array([{"a": 1, "b": {"c": [2]}, "double": 3}] * 2),
        "map": arrow.array([[("a", 1)]] * 2, arrow.map_(arrow.string(), arrow.int32())),
    },
    "bytes": {"blob": arrow.array([b"x", b"y"])},
}


@pytest.mark.parametrize("options", [{}, {"version": "1.0"}, {"compression": "none"}, {"row_group_size": 1}])
def test_the_schema_is_that_which_pyarrow_wrote(tmp_path, options):
    kinds = {name: kind for kind, columns in COLUMNS.items() for name in columns}
    names = random.Random(1).sample(sorted(kinds), len(kinds))
    table = arrow.table({name: COLUMNS[kinds[name]][name] for name in names})
    parquet.write_table(table, tmp_path / "a.parquet", **options)
    header = parquet_header(tmp_path / "a.parquet", "a.parquet", None)
    assert header.names == tuple(table.column_names)
    assert header.kinds == kinds


def test_a_check_needs_neither_pyarrow_nor_numpy(houses):
    made = houses("X = columns(size, age)\nY = column(size)", [X, Y])
    program = (
        "import sys\nfrom pathlib import Path\nfrom dlc.runtime.data.opening import opened\n"
        f"assert opened(Path({str(made.folder / 'a.parquet')!r}), 'a', 'parquet', None).table.names[0] == 'size'\n"
        "assert not {'numpy', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_damaged_files_are_refused_and_nothing_else_happens(houses):
    """Every cut of the footer, and a thousand files with changed bytes in it."""
    made = houses("X = columns(size, age)\nY = column(age)", [X, Y])
    path = made.folder / "a.parquet"
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    chance = random.Random(1)
    cut = [whole[:-length] + whole[-8:] for length in range(9, footer)]
    changed = [bytearray(whole) for _ in range(1000)]
    for content in changed:
        for _ in range(chance.randint(1, 4)):
            content[-chance.randint(9, footer)] = chance.randrange(256)
    refused = 0
    for content in [*cut, *changed]:
        path.write_bytes(content)
        try:
            header = parquet_header(path, "a.parquet", None)
        except DiagnosticError as error:
            refused += error.diagnostics[0].code in ("V504", "T404")
        else:
            refused += 1
            assert set(header.names) == set(header.kinds)
    assert refused == len(cut) + len(changed)


@pytest.mark.parametrize(
    ("content", "message", "help"),
    [
        (b"", "a.parquet is not a Parquet file", "pandas writes one: table.to_parquet(file)"),
        (b"size,age\n1,2\n3,4\n", "a.parquet is not a Parquet file", "pandas writes one: table.to_parquet(file)"),
        (b"PAR1" + b"\0" * 8 + b"\xff\xff\0\0PAR1", "a.parquet is damaged: its schema cannot be read", None),
        (b"PAR1" + b"\0" * 8 + b"\x08\0\0\0PARE", "a.parquet is encrypted", None),
    ],
)
def test_not_a_parquet_file(project, content, message, help):
    made = project(f"{SOURCE}\nX = columns(a, b)", [X])
    (made.folder / "a.parquet").write_bytes(content)
    assert only(made.headers()) == ("V504", message, "2:22", help)


def test_a_table_without_rows(houses):
    made = houses("X = columns(size, age)", [X], {"size": arrow.array([], arrow.int64()), "age": []})
    assert only(made.headers()) == ("V504", "a.parquet has no rows", "2:22", None)


# --- against the inputs ----------------------------------------------------------------------------------------


def test_columns_against_inputs(houses):
    found = houses("X = columns(size, age, kind)\nY = column(age)", [X, Y]).headers()
    assert only(found) == ("T404", "X : (2, m) needs 2 columns, columns(size, age, kind) gives 3", "3:9", None)
    assert found[0].related[0].message == "X : (2, m) is declared here"
    found = houses("X = columns(size, ages)\nY = column(age)", [X, Y]).headers()
    assert only(found) == ("T405", 'a.parquet has no column "ages"', "3:23", "did you mean age?")


LABELS = "texts can be the labels of a one_hot input or target only, and no step applies to them"


@pytest.mark.parametrize(
    ("lines", "message", "place", "help"),
    [
        (
            "X = columns(size, kind)\nY = column(kind)",
            'column "kind" of a.parquet holds texts, X : (2, m) needs numbers',
            "3:23",
            LABELS,
        ),
        (
            "X = columns(size, built)\nY = column(kind)",
            'column "built" of a.parquet holds dates or times, X : (2, m) needs numbers',
            "3:23",
            None,
        ),
        (
            "X = columns(size, age)\nY = column(kind) - 1",
            'column "kind" of a.parquet holds texts, Y : (2, m) one_hot needs numbers',
            "4:16",
            LABELS,
        ),
        (
            "X = columns(size, age)\nY = column(built)",
            'column "built" of a.parquet holds dates or times, Y : (2, m) one_hot needs numbers or texts',
            "4:16",
            None,
        ),
    ],
)
def test_what_columns_hold(houses, lines, message, place, help):
    found = houses(lines, [X, KIND]).headers()
    assert only(found) == ("V507", message, place, help)
    assert found[0].related[0].span.line == 2


def test_the_split_column_holds_words(houses):
    made = houses("X = columns(size, age)\nY = column(kind)\nsplit = by_column(size)", [X, KIND])
    message = 'column "size" of a.parquet must hold the words train, dev, test'
    assert only(made.headers()) == ("V507", message, "5:23", None)


# --- values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"row_group_size": 1}])
@pytest.mark.parametrize("split", ["", "split = by_column(fold)", "split = 0.5, 0.25, 0.25"])
def test_the_same_arrays_as_from_a_csv(houses, project, options, split):
    lines = f"X = columns(age, size) -> standardize\nY = column(kind)\n{split}"
    made = houses(lines, [X, KIND], **options).load()
    rows = zip(*HOUSES.values(), strict=True)
    text = "\n".join([",".join(HOUSES), *(",".join(map(str, row)) for row in rows)])
    table = project(f'source = csv("a.csv")\n{lines}', [X, KIND], a=text).load()
    assert made.splits.keys() == table.splits.keys()
    for name, split in table.splits.items():
        for input in ("X", "Y"):
            np.testing.assert_array_equal(made.splits[name].arrays[input], split.arrays[input])
    assert made.preprocessing == table.preprocessing


def test_numbers_of_every_type(project):
    for name, column in COLUMNS["numbers"].items():
        made = project(f'{SOURCE}\nX = column("{name}")', [declare("X", 1, M)])
        parquet.write_table(arrow.table({name: column}), made.folder / "a.parquet")
        expected = [[float(value)] for value in column.to_pylist()]
        assert made.load(dtype="float64").splits["train"].arrays["X"].tolist() == expected, name


def test_missing_values_are_named_by_row(houses):
    table = {"size": [1, None, 3], "age": [1.0, 2.0, float("nan")], "kind": ["flat", None, "house"]}
    lines = "X = columns(size, age)\nY = column(kind)"
    found = houses(lines, [X, KIND], table).refused()
    assert [(d.code, d.message) for d in found] == [
        ("V502", "a.parquet: example 1: column size: nan is not a finite number"),
        ("V502", "a.parquet: example 2: column age: nan is not a finite number"),
        ("V502", "a.parquet: example 1: column kind: the label is missing"),
    ]
    optional = [declare("X", 2, M, optional=True), declare("Y", 2, M, one_hot=True, optional=True)]
    arrays = houses(lines, optional, table).load().splits["train"].arrays
    np.testing.assert_array_equal(arrays["X"], [[1, 1], [np.nan, 2], [3, np.nan]])
    assert arrays["Y"].tolist() == [0, -1, 1]


TIME = Symbol("T", "runtime")
SENTENCES = {
    "text": ["Tom met Ann", "she, too", "hi", " Ann met “Tom” "],
    "tags": ["NAME O NAME", "O O O", "O", "NAME O O NAME O"],
    "known": ["1 0 1", "0 0.5 0", "0", "1 0 0 1 0"],
    "count": [3, 2, 1, 4],
}
WORDS = "words = column(text) -> words(lower = on)\ny = column(tags) -> labels\np = column(known) -> numbers"
TOKENS = [
    declare("words", M, TIME, index=True, classes=12),
    declare("y", 2, M, TIME, role="target", one_hot=True),
    declare("p", 1, M, TIME, role="target"),
]


@pytest.mark.parametrize("kind", [arrow.string(), arrow.large_string(), arrow.dictionary(arrow.int8(), arrow.string())])
def test_texts_are_those_of_a_csv(houses, project, tmp_path, kind):
    columns = {name: arrow.array(values).cast(kind) for name, values in SENTENCES.items() if name != "count"}
    made = houses(WORDS, TOKENS, columns, row_group_size=2)
    rows = zip(*SENTENCES.values(), strict=True)
    text = "\n".join([",".join(SENTENCES), *(f'"{a}",{b},{c},{d}' for a, b, c, d in rows)])
    table = project(f'source = csv("a.csv")\n{WORDS}', TOKENS, a=text).load()
    assert made.headers() == []
    loaded = made.load()
    assert loaded.preprocessing == table.preprocessing
    found, expected = loaded.splits["train"].arrays, table.splits["train"].arrays
    assert found.keys() == expected.keys()
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name][:], column[:])
    parquet.write_table(arrow.table({"text": ["Ann met her"]}), tmp_path / "new.parquet")
    new = apply(loaded.preprocessing, tmp_path / "new.parquet", made.inputs, with_targets=False)
    assert loaded.preprocessing.vocabularies["words"].decode(new.arrays["words"][0]) == "ann met <UNK>"


def test_a_missing_text_is_named_by_row(houses):
    found = houses(WORDS, TOKENS, {**SENTENCES, "text": ["Tom met Ann", None, "", "  "]}).refused()
    assert [(d.code, d.message) for d in found if d.code == "V502"] == [
        ("V502", f"a.parquet: example {row}: column text: the text is empty") for row in (1, 2, 3)
    ]


def test_numbers_are_no_texts(houses):
    found = houses(WORDS.replace("column(text)", "column(count)"), TOKENS, SENTENCES).headers()
    help = "without -> chars or words, the column is read as numbers"
    message = 'column "count" of a.parquet holds numbers, words : (m, T) index(12) is made of texts'
    assert only(found) == ("V507", message, "3:13", help)


def test_damaged_pages(houses):
    made = houses("X = columns(size, age)", [X], compression="gzip")
    path = made.folder / "a.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 200 + content[204:])
    assert made.headers() == []
    (found,) = made.refused()
    assert found.code == "V504"
    assert found.message.startswith("a.parquet cannot be read: ")


def test_a_new_file(houses, tmp_path):
    made = houses("X = columns(size, age) -> standardize\nY = column(kind)", [X, KIND])
    record = Preprocessing.from_json(json.loads(json.dumps(made.load().preprocessing.to_json())))
    path = tmp_path / "new.parquet"
    parquet.write_table(arrow.table({"kind": ["house"], "size": [25], "age": [4.0]}), path)
    (tmp_path / "new.csv").write_text("kind,size,age\nhouse,25,4\n")
    new = apply(record, path, made.inputs, with_targets=True)
    np.testing.assert_allclose(new.arrays["X"], [[0, 0]], atol=1e-6)
    assert new.arrays["Y"].tolist() == [1]
    table = apply(record, tmp_path / "new.csv", made.inputs, with_targets=True)
    np.testing.assert_array_equal(table.arrays["X"], new.arrays["X"])
    parquet.write_table(arrow.table({"size": ["big"], "age": [4.0]}), path)
    with pytest.raises(DiagnosticError, match="V507"):
        apply(record, path, made.inputs, with_targets=False)


def test_without_pyarrow(houses, monkeypatch):
    made = houses("X = columns(size, age)\nY = column(age)", [X, Y])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert [d for d in made.headers() if d.severity == "error"] == []
    message = "Parquet files are read with the package pyarrow, which is not installed"
    assert only(made.refused()) == ("V512", message, "2:22", "pip install 'dlc[data]'")
