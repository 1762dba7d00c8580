"""From files to splits of physical arrays: parsing, labels, preprocessing, new files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from data_project import declare

from dlc.compiler.diagnostics import DiagnosticError
from dlc.compiler.program import M
from dlc.runtime.data.dataset import apply
from dlc.runtime.data.preprocessing import Preprocessing

TABLE = "size,age,price\n10,1,100\n20,2,200\n30,4,300\n40,8,400\n50,16,500\n"


def messages(found):
    return [(d.code, d.message) for d in found]


def train(project, **options):
    return project.load(**options).splits["train"].arrays


# --- tables ----------------------------------------------------------------------------------------------------


def test_examples_come_first(house):
    data = house(TABLE).load()
    x, y = data.splits["train"].arrays["X"], data.splits["train"].arrays["Y"]
    np.testing.assert_array_equal(x, [[10, 1], [20, 2], [30, 4], [40, 8], [50, 16]])
    np.testing.assert_array_equal(y, [[100], [200], [300], [400], [500]])
    assert x.dtype == y.dtype == np.float32
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(data.declared("train")["X"], x.T)
    assert [data.splits["train"].place(i) for i in (0, 4)] == ["housing.csv:2", "housing.csv:6"]


def test_float64_keeps_all_digits(house):
    text = "size,age,price\n0.1,1e-300,123456789.123456789\n"
    arrays = train(house(text), dtype="float64")
    assert arrays["X"].tolist() == [[0.1, 1e-300]]
    assert arrays["Y"].tolist() == [[123456789.123456789]]


@pytest.mark.parametrize(
    "text",
    [
        TABLE.replace("\n", "\r\n"),
        "\ufeff" + TABLE,
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", " , "),
        TABLE.rstrip("\n"),
        TABLE.replace("\n", "\n\n"),
        TABLE.replace("10,1,100", '"10","1","100"'),
        'price,note,age,"size"\n100,"a, ""b""\nc",1,10\n200,,2,20\n300,x,4,30\n400,x,8,40\n500,x,16,50\n',
    ],
    ids=["crlf", "bom", "semicolon", "tab", "spaces", "no newline", "blank lines", "quotes", "other columns"],
)
def test_ways_to_write_a_table(house, text):
    arrays = train(house(text))
    np.testing.assert_array_equal(arrays["X"], [[10, 1], [20, 2], [30, 4], [40, 8], [50, 16]])
    np.testing.assert_array_equal(arrays["Y"][:, 0], [100, 200, 300, 400, 500])


def test_a_table_longer_than_one_block(house):
    rows = np.arange(3 * 20_000).reshape(-1, 3)
    text = "size,age,price\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n"
    data = house(text).load(dtype="float64")
    np.testing.assert_array_equal(data.splits["train"].arrays["X"], rows[:, :2])
    assert data.splits["train"].place(19_999) == "housing.csv:20001"
    found = house(text.replace("\n59994,", "\nbad,")).refused()
    assert messages(found) == [("V501", "housing.csv:20000: column size: 'bad' is not a number")]


def test_images_are_filled_row_by_row(project):
    header = ",".join(f"p{i}" for i in range(6))
    made = project('source = csv("a.csv")\nX = columns("p*")', [declare("X", M, 2, 3, 1)], a=f"{header}\n0,1,2,3,4,5\n")
    np.testing.assert_array_equal(train(made)["X"][0, :, :, 0], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        ("20,abc,200", "V501", "housing.csv:3: column age: 'abc' is not a number"),
        ("20,12 m,200", "V501", "housing.csv:3: column age: '12 m' is not a number"),
        ("20,,200", "V502", "housing.csv:3: column age: the cell is empty"),
        ("20,NaN,200", "V502", "housing.csv:3: column age: NaN is not a finite number"),
        ("20,2,-inf", "V502", "housing.csv:3: column price: -inf is not a finite number"),
        ("20,1e39,2", "V502", "housing.csv:3: column age: 1e+39 is not a finite number after the steps of X"),
        ("20,2", "V505", "housing.csv:3: the row has 2 cells, the header 3 names"),
        ("20,2,200,9", "V505", "housing.csv:3: the row has 4 cells, the header 3 names"),
    ],
)
def test_bad_rows(house, row, code, message):
    found = house(TABLE.replace("20,2,200", row)).refused()
    assert messages(found) == [(code, message)]


def test_a_bad_cell_shows_the_line_of_the_spec_that_reads_it(house):
    (found,) = house(TABLE.replace("200", "abc")).refused()
    assert (found.span.file, found.span.line, found.span.column) == ("net.dl", 4, 9)


def test_a_decimal_comma_is_explained(house):
    (found,) = house("size;age;price\n1;2,5;3\n").refused()
    assert (found.message, found.help) == (
        "housing.csv:2: column age: '2,5' is not a number",
        "write 2.5, with a decimal point",
    )


def test_lines_are_counted_through_quoted_newlines(house):
    text = 'size,age,price,note\n1,2,3,"a\nb\nc"\n1,x,3,d\n'
    assert messages(house(text).refused()) == [("V501", "housing.csv:5: column age: 'x' is not a number")]


def test_ten_bad_cells_and_a_count(house):
    text = "size,age,price\n" + "x,y,1\n" * 20
    found = house(text).refused()
    assert len(found) == 11
    assert found[0].message == "housing.csv:2: column size: 'x' is not a number"
    assert found[1].message == "housing.csv:2: column age: 'y' is not a number"
    assert found[9].message == "housing.csv:6: column age: 'y' is not a number"
    assert found[10].message == "and 30 more values like these"


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "housing.csv is empty"), ("size,age,price\n\n", "housing.csv has no rows below its header")],
)
def test_empty_files(house, text, message):
    assert messages(house(text).refused()) == [("V504", message)]


def test_bad_bytes_below_the_header(house):
    text = b"size,age,price\n" + b"1,2,3\n" * 300_000 + b"1,\xff,3\n"
    assert messages(house(text).refused()) == [("V504", "housing.csv is not a text in UTF-8: invalid start byte")]


def test_an_unclosed_quote(house):
    text = 'size,age,price\n1,2,3\n1,"2,3\n' + "1,2,3\n" * 30_000
    (found,) = house(text).refused()
    message = "housing.csv:3: a quote is never closed: the row goes on to the end of the file"
    assert (found.code, found.message) == ("V505", message)
    (found,) = house('"size,age,price\n' + "1,2,3\n" * 30_000).refused()
    assert found.message == "housing.csv:1: a quote is never closed: the row goes on to the end of the file"


def test_the_end_of_a_file_ends_no_quote(house):
    """As many cells as the header has names, so that the last one swallows the rows behind it."""
    (found,) = house('size,age,price\n1,2,"3\n1,2,3\n').refused()
    assert found.message.startswith("housing.csv:2: a quote is never closed")
    assert train(house('size,age,price\n1,2,3\n1,2,"3"'))["X"].shape == (2, 2)


def test_optional_cells_may_be_missing(house):
    made = house("size,age,price\n1,,3\nnan,2,3\n", optional=True)
    np.testing.assert_array_equal(train(made)["X"], [[1, np.nan], [np.nan, 2]])
    found = house("size,age,price\n1,x,3\ninf,2,3\n", optional=True).refused()
    assert messages(found) == [
        ("V501", "housing.csv:2: column age: 'x' is not a number"),
        ("V502", "housing.csv:3: column size: inf is not a finite number"),
    ]


def test_an_optional_input_may_be_left_out(project):
    inputs = [declare("X", 1, M), declare("Z", 2, M, optional=True), declare("c", 4, M, one_hot=True, optional=True)]
    made = project('source = csv("a.csv")\nX = column(a)', inputs, a="a\n1\n2\n")
    data = made.load()
    arrays = data.splits["train"].arrays
    assert np.isnan(arrays["Z"]).all()
    assert arrays["Z"].shape == (2, 2)
    assert arrays["c"].tolist() == [-1, -1]
    again = apply(data.preprocessing, made.folder / "a.csv", made.inputs, with_targets=False)
    assert np.isnan(again.arrays["Z"]).all()


# --- steps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "meaning"),
    [
        (" / 16", lambda x: x / 16),
        (" - 0.5", lambda x: x - 0.5),
        (" * 3 + 1", lambda x: x * 3 + 1),
        ("^2", lambda x: x**2),
        (" -> log", np.log),
        (" -> sqrt", np.sqrt),
        (" / 10 -> exp", lambda x: np.exp(x / 10)),
        (" - 20 -> abs", lambda x: np.abs(x - 20)),
        (" -> standardize", lambda x: (x - x.mean(axis=0)) / x.std(axis=0)),
        (" -> scale(-1, 1)", lambda x: 2 * (x - x.min(axis=0)) / (x.max(axis=0) - x.min(axis=0)) - 1),
        (" -> log -> standardize", lambda x: (np.log(x) - np.log(x).mean(axis=0)) / np.log(x).std(axis=0)),
    ],
)
def test_steps_against_numpy(house, steps, meaning):
    x = np.array([[10, 1], [20, 2], [30, 4], [40, 8], [50, 16]], dtype=np.float64)
    np.testing.assert_allclose(train(house(TABLE, steps), dtype="float64")["X"], meaning(x), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("1 - column(size)", -9), ("100 / column(size)", 10), ("-column(size)", -10), ("2^column(size)", 1024)],
)
def test_a_constant_on_the_left(project, expression, expected):
    made = project(f'source = csv("a.csv")\nX = {expression}', [declare("X", 1, M)], a="size\n10\n")
    assert train(made)["X"].tolist() == [[expected]]


def test_statistics_come_from_the_training_split_alone(house):
    data = house(TABLE, " -> standardize", "split = 0.6, 0.2, 0.2").load(dtype="float64")
    raw = house(TABLE, "", "split = 0.6, 0.2, 0.2").load(dtype="float64")
    known = raw.splits["train"].arrays["X"]
    assert len(known) == 3
    for split in ("train", "dev", "test"):
        expected = (raw.splits[split].arrays["X"] - known.mean(axis=0)) / known.std(axis=0)
        np.testing.assert_allclose(data.splits[split].arrays["X"], expected, rtol=1e-14)


@pytest.mark.parametrize("steps", [" -> standardize", " -> scale"])
def test_a_constant_column_becomes_zero(house, steps):
    text = "size,age,price\n" + "".join(f"0.1,{i},1\n" for i in range(7))
    assert train(house(text, steps), dtype="float64")["X"][:, 0].tolist() == [0.0] * 7


def test_statistics_leave_missing_values_out(house):
    text = "size,age,price\n1,,3\n3,5,3\n,7,3\n"
    x = train(house(text, " -> standardize", optional=True), dtype="float64")["X"]
    np.testing.assert_allclose(x, [[-1, np.nan], [1, -1], [np.nan, 1]])


def test_the_logarithm_of_a_negative_number(house):
    found = house(TABLE.replace("30,4", "-30,4"), " -> log").refused()
    assert messages(found) == [("V502", "housing.csv:4: column size: -30 is not a finite number after the steps of X")]


# --- labels ----------------------------------------------------------------------------------------------------


def labelled(project, labels, classes=3, expression="column(label)", **kind):
    text = "a,label\n" + "".join(f"1,{label}\n" for label in labels)
    inputs = [declare("X", 1, M), declare("Y", classes, M, role="target", one_hot=True, **kind)]
    return project(f'source = csv("a.csv")\nX = column(a)\nY = {expression}', inputs, a=text)


@pytest.mark.parametrize(
    ("labels", "codes", "classes"),
    [
        ([0, 2, 1, 0], [0, 2, 1, 0], None),
        ([2, 2, 1], [2, 2, 1], None),
        (["1.0", "2", "0"], [1, 2, 0], None),
        (["dog", "cat", "owl", "cat"], [1, 0, 2, 0], ("cat", "dog", "owl")),
        ([1, 3, 2, 3], [0, 2, 1, 2], (1, 2, 3)),
        ([10, 30, 20], [0, 2, 1], (10, 20, 30)),
        ([-1, 1, 7], [0, 1, 2], (-1, 1, 7)),
        (["a1", "2b", "3"], [2, 0, 1], ("2b", "3", "a1")),
    ],
)
def test_labels_become_class_numbers(project, labels, codes, classes):
    data = labelled(project, labels).load()
    y = data.splits["train"].arrays["Y"]
    assert y.dtype == np.int64
    if classes == ("2b", "3", "a1"):
        codes = [classes.index(str(label)) for label in labels]
    assert y.tolist() == codes
    assert data.preprocessing.entries["Y"].classes == classes
    assert data.declared("train")["Y"].shape == (len(labels),)


def test_renumbered_labels_are_told(project):
    (note,) = labelled(project, [1, 2, 3]).load().notes
    assert (note.severity, note.message) == (
        "note",
        "the labels 1, 2, 3 of Y : (3, m) one_hot are the classes 0..2, in this order",
    )
    (warning,) = labelled(project, ["cat", "dog"]).load().notes
    assert (warning.severity, warning.message) == (
        "warning",
        "Y : (3, m) one_hot has 3 classes, the data only 2: cat, dog",
    )
    assert labelled(project, ["cat", "dog", "owl"]).load().notes == ()


def test_arithmetic_on_labels(project):
    data = labelled(project, [5, 6], expression="column(label) - 5").load()
    assert data.splits["train"].arrays["Y"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "code", "message", "help"),
    [
        (
            [0, 1, 3],
            "V503",
            "a.csv:4: column label: 3 is not among the classes 0..2 of Y : (3, m) one_hot",
            "class numbers are 0..2",
        ),
        (
            [0, 1, 2, 7],
            "V503",
            "a.csv:5: column label: 7 is not among the classes 0..2 of Y : (3, m) one_hot",
            "the data has 4 classes (0, 1, 2, 7), Y : (3, m) one_hot has 3",
        ),
        (
            [0, 2, 0.5],
            "V503",
            "a.csv:4: column label: 0.5 is not among the classes 0..2 of Y : (3, m) one_hot",
            "class numbers are 0..2",
        ),
        ([0, 1, 2, "x"], "V501", "a.csv:5: column label: 'x' is not a number, as the other labels are", None),
        (
            [0, ""],
            "V502",
            "a.csv:3: column label: the cell is empty",
            "fill it in, or leave the row out; an input or target declared `optional` may have missing values",
        ),
        (
            ["cat", "dog", "owl", "bat"],
            "V503",
            "column label has 4 classes (bat, cat, dog, owl), Y : (3, m) one_hot has 3",
            None,
        ),
    ],
)
def test_labels_that_are_no_classes(project, labels, code, message, help):
    (found,) = labelled(project, labels).refused()
    assert (found.code, found.message, found.help) == (code, message, help)


def test_missing_labels_of_an_optional_target(project):
    data = labelled(project, [0, "", 2], optional=True).load()
    assert data.splits["train"].arrays["Y"].tolist() == [0, -1, 2]


@pytest.mark.parametrize(
    ("rows", "expected", "dtype"),
    [("0,1\n1,0\n", [1, 0], np.int64), ("0.25,0.75\n1,0\n", [[0.25, 0.75], [1, 0]], np.float32)],
)
def test_one_hot_columns_and_soft_labels(project, rows, expected, dtype):
    inputs = [declare("Y", 2, M, role="target", one_hot=True)]
    made = project('source = csv("a.csv")\nY = columns(p, q)', inputs, a="p,q\n" + rows)
    y = train(made)["Y"]
    assert (y.tolist(), y.dtype) == (expected, dtype)


def test_index_inputs_are_never_renumbered(project):
    made = project(
        'source = csv("a.csv")\nx = columns(a, b)', [declare("x", 2, M, index=True, classes=3)], a="a,b\n0,2\n1,1\n"
    )
    x = train(made)["x"]
    assert (x.tolist(), x.dtype) == ([[0, 2], [1, 1]], np.int64)
    made = project(
        'source = csv("a.csv")\nx = column(a)', [declare("x", 1, M, index=True, classes=3)], a="a\n1\n2\n3\n"
    )
    message = "a.csv:4: column a: 3 is not among the classes 0..2 of x : (1, m) index(3)"
    assert messages(made.refused()) == [("V503", message)]


# --- arrays ----------------------------------------------------------------------------------------------------

NPZ = 'source = npz("a.npz")'
X, Y = declare("X", 2, M), declare("Y", 3, M, role="target", one_hot=True)


def test_arrays_arrive_examples_first(project):
    x = np.arange(8.0).reshape(2, 4)
    arrays = train(project(f'{NPZ}\nX = array("X") / 2', [X, Y], a={"X": x, "Y": np.array([0, 2, 1, 1])}))
    np.testing.assert_array_equal(arrays["X"], x.T / 2)
    assert arrays["X"].flags.c_contiguous
    assert (arrays["Y"].tolist(), arrays["Y"].dtype) == ([0, 2, 1, 1], np.int64)


def test_transposed_and_text_arrays(project):
    x = np.arange(8.0).reshape(4, 2)
    made = project(f'{NPZ}\nX = array("X").T', [X, Y], a={"X": x, "Y": np.array(["b", "c", "a", "a"])})
    np.testing.assert_array_equal(train(made)["X"], x)
    assert train(made)["Y"].tolist() == [1, 2, 0, 0]


def test_images_keep_their_axes(project):
    x = np.arange(24.0).reshape(2, 3, 4)
    arrays = train(project(NPZ, [declare("X", M, 3, 4)], a={"X": x}))
    np.testing.assert_array_equal(arrays["X"], x)
    arrays = train(project(NPZ, [declare("X", 2, M, 4)], a={"X": x}))
    np.testing.assert_array_equal(arrays["X"], np.moveaxis(x, 1, 0))


def test_bad_values_of_arrays(project):
    x = np.zeros((2, 3))
    x[1, 2] = np.nan
    found = project(NPZ, [X, Y], a={"X": x, "Y": np.array([0, 1, 5])}).refused()
    assert messages(found) == [
        ("V502", "a.npz: example 2: array X, feature 1: nan is not a finite number"),
        ("V503", "a.npz: example 2: array Y, feature 0: 5 is not among the classes 0..2 of Y : (3, m) one_hot"),
    ]


def test_many_bad_pixels_are_one_message(project):
    """Their first place, and how many there are in how many examples, over all blocks of the load. Of vectors each has
    a place of its own, up to ten."""
    x = np.zeros((800, 40, 40), np.float32)
    x[3, 1, 2:], x[700:702] = np.inf, np.nan
    found = project(NPZ, [declare("X", M, 40, 40)], a={"X": x}).refused()
    place = "a.npz: example 3: array X, feature 42: inf is not a finite number"
    assert messages(found) == [("V502", f"{place}; {38 + 2 * 1600:,} values of X are not, in 3 examples")]
    x[700:702], x[3, 1, 3:] = 0, 0
    found = project(NPZ, [declare("X", M, 40, 40)], a={"X": x}).refused()
    assert messages(found) == [("V502", place)]
    found = project(NPZ, [declare("X", 40, M)], a={"X": np.full((40, 30), np.nan)}).refused()
    assert len(found) == 11
    assert messages(found)[9:] == [
        ("V502", "a.npz: example 0: array X, feature 9: nan is not a finite number"),
        ("V502", "and 1,190 more values like these"),
    ]


def test_an_npz_without_examples(project):
    assert messages(project(NPZ, [X], a={"X": np.zeros((2, 0))}).refused()) == [("V504", "a.npz has no examples")]


# --- splits ----------------------------------------------------------------------------------------------------


def test_splits_cover_the_data_once(house):
    text = "size,age,price\n" + "".join(f"{i},1,1\n" for i in range(107))
    data = house(text, "", "split = 0.8, 0.1, 0.1").load(seed=3)
    rows = [data.splits[name].arrays["X"][:, 0].tolist() for name in ("train", "dev", "test")]
    assert [len(part) for part in rows] == [85, 11, 11]
    assert sorted(row for part in rows for row in part) == list(range(107))
    assert all(part == sorted(part) for part in rows)
    for name, part in zip(("train", "dev", "test"), rows, strict=True):
        assert data.splits[name].place(0) == f"housing.csv:{int(part[0]) + 2}"


def test_the_split_depends_on_the_seed_alone(house):
    text = "size,age,price\n" + "".join(f"{i},1,1\n" for i in range(50))
    made = house(text, "", "split = 0.5, 0.5")
    first = train(made, seed=1)["X"]
    np.random.seed(5)
    np.testing.assert_array_equal(train(made, seed=1)["X"], first)
    assert (train(made, seed=2)["X"] != first).any()


def test_an_empty_split(house):
    found = house(TABLE, "", "split = 0.9, 0.05, 0.05").refused()
    message = "split = 0.9, 0.05, 0.05 leaves the dev split empty: there are 5 examples"
    assert messages(found)[0] == ("T402", message)


def test_split_by_column(project):
    lines = 'source = csv("a.csv")\nX = column(a)\nsplit = by_column(fold)'
    text = "a,fold\n1,train\n2, Test\n3,train\n4,validation\n"
    made = project(lines, [declare("X", 1, M)], a=text)
    splits = made.load().splits
    assert {name: part.arrays["X"].ravel().tolist() for name, part in splits.items()} == {
        "train": [1, 3],
        "dev": [4],
        "test": [2],
    }
    found = project(lines, [declare("X", 1, M)], a=text.replace("Test", "tset")).refused()
    assert messages(found) == [("V503", "a.csv:3: 'tset' is not train, dev or test")]
    found = project(lines, [declare("X", 1, M)], a="a,fold\n1,dev\n").refused()
    assert messages(found) == [("T402", "the column fold puts no example into the train split")]


def test_split_by_an_array(project):
    arrays = {"X": np.arange(6.0).reshape(2, 3), "fold": np.array(["train", "test", "train"])}
    splits = project(f"{NPZ}\nsplit = by_column(fold)", [X], a=arrays).load().splits
    assert splits["train"].arrays["X"].tolist() == [[0, 3], [2, 5]]
    assert splits["test"].arrays["X"].tolist() == [[1, 4]]


def test_separate_files(project):
    lines = 'train = csv("a.csv")\ntest = csv("b.csv")\nX = columns(p, q) -> scale'
    made = project(lines, [X], a="p,q\n0,0\n10,5\n", b="q,extra,p\n5,x,20\n")
    splits = made.load().splits
    assert splits["train"].arrays["X"].tolist() == [[0, 0], [1, 1]]
    assert splits["test"].arrays["X"].tolist() == [[2, 1]]
    assert splits["test"].place(0) == "b.csv:2"
    found = project(lines, [X], a="p,q\n0,0\n10,5\n", b="q,extra,p\n5,x,\n").refused()
    assert messages(found) == [("V502", "b.csv:2: column p: the cell is empty")]


# --- new files -------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(project):
    inputs = [declare("X", 2, M), declare("Y", 2, M, role="target", one_hot=True)]
    lines = 'source = csv("a.csv")\nX = columns("p*") -> standardize\nY = column(animal)'
    return project(lines, inputs, a="p1,animal,p2\n1,dog,5\n3,cat,9\n")


def test_the_record_survives_json(trained):
    record = trained.load().preprocessing
    text = json.dumps(record.to_json())
    assert Preprocessing.from_json(json.loads(text)) == record


def test_a_new_file_is_treated_as_the_training_data_was(trained):
    data = trained.load(dtype="float64")
    (trained.folder / "new.csv").write_text("p2,p1,p3,animal\n5,1,0,cat\n7,5,0,dog\n")
    path = trained.folder / "new.csv"
    new = apply(data.preprocessing, path, trained.inputs, with_targets=True, dtype="float64")
    np.testing.assert_allclose(new.arrays["X"], [[-1, -1], [3, 0]])
    assert new.arrays["Y"].tolist() == [0, 1]
    assert (new.count, new.place(1)) == (2, f"{path}:3")


def test_targets_may_be_absent_for_prediction(trained):
    data = trained.load()
    path = trained.folder / "new.csv"
    path.write_text("p1,p2\n1,5\n")
    assert list(apply(data.preprocessing, path, trained.inputs, with_targets=False).arrays) == ["X"]
    with pytest.raises(DiagnosticError) as caught:
        apply(data.preprocessing, path, trained.inputs, with_targets=True)
    assert messages(caught.value.diagnostics) == [
        ("T405", f"{path} has no column animal: Y was trained on it"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "code", "message"),
    [
        ("new.csv", "p1,animal\n", "T405", "PATH has no column p2: X was trained on it"),
        ("new.csv", "p1,p2,animal\n1,x,cat\n", "V501", "PATH:2: column p2: 'x' is not a number"),
        (
            "new.csv",
            "p1,p2,animal\n1,2,owl\n",
            "V503",
            "PATH:2: column animal: 'owl' is not among the classes cat, dog of Y : (2, m) one_hot",
        ),
        ("new.csv", None, "T407", 'there is no file "PATH"'),
        ("new.npz", "", "V504", "PATH is not an .npz file"),
    ],
)
def test_new_files_that_do_not_fit(trained, name, text, code, message):
    data = trained.load()
    path = trained.folder / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(DiagnosticError) as caught:
        apply(data.preprocessing, path, trained.inputs, with_targets=True)
    assert messages(caught.value.diagnostics) == [(code, message.replace("PATH", str(path)))]


def test_a_record_of_another_model(trained):
    data = trained.load()
    inputs = {**trained.inputs, "Z": declare("Z", 1, M)}
    with pytest.raises(DiagnosticError) as caught:
        apply(data.preprocessing, trained.folder / "a.csv", inputs, with_targets=True)
    assert messages(caught.value.diagnostics) == [("R603", "the saved preprocessing does not know Z")]
    with pytest.raises(ValueError, match="not a record of preprocessing"):
        Preprocessing.from_json({"X": {"columns": []}})


def test_new_arrays(project):
    x = np.arange(6.0).reshape(2, 3)
    made = project(f'{NPZ}\nX = array("X") -> scale', [X, Y], a={"X": x, "Y": np.array([0, 1, 2])})
    data = made.load()
    np.savez(made.folder / "new.npz", X=2 * x)
    new = apply(data.preprocessing, made.folder / "new.npz", made.inputs, with_targets=False)
    np.testing.assert_allclose(new.arrays["X"], [[0, 1.5], [1, 2.5], [2, 3.5]])
