"""What `dlc check` may say from headers alone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from data_project import declare

from dlc.compiler.dims import Symbol
from dlc.compiler.program import M

X, Y = declare("X", 2, M), declare("Y", 1, M, role="target")
CSV = 'source = csv("a.csv")'
NPZ = 'source = npz("a.npz")'


def only(found):
    (diagnostic,) = found
    return diagnostic.code, diagnostic.message, f"{diagnostic.span.line}:{diagnostic.span.column}", diagnostic.help


def test_a_table_that_fits(project):
    assert project(f"{CSV}\nX = columns(b, a)\nY = column(c)", [X, Y], a="a,b,c\n").headers() == []


def test_headers_are_read_without_numpy():
    program = "import sys, dlc.runtime.data.headers\nassert not {'numpy', 'pydantic', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_mismatch_shows_both_places(project):
    header = ",".join(f"pixel_{i}" for i in range(63)) + ",label\n"
    found = project(
        f'{CSV}\nX = columns("pixel_*")\nY = column(label)', [declare("X", 64, M), declare("Y", 1, M)], a=header
    ).headers()
    assert only(found) == ("T404", 'X : (64, m) needs 64 columns, columns("pixel_*") gives 63', "3:9", None)
    assert found[0].rule == "one column for each feature, one row for each of the m examples: (64, m)"
    (related,) = found[0].related
    assert (related.message, related.span.line) == ("X : (64, m) is declared here", 2)


def test_one_hot_columns(project):
    labels = declare("Y", 3, M, role="target", one_hot=True)
    lines = f"{CSV}\nX = columns(a, b)\nY = "
    header = "a,b,p,q,r\n"
    assert project(lines + "column(p)", [X, labels], a=header).headers() == []
    assert project(lines + "columns(p, q, r)", [X, labels], a=header).headers() == []
    found = project(lines + "columns(p, q)", [X, labels], a=header).headers()
    message = "Y : (3, m) one_hot needs 1 column with the class, or 3, columns(p, q) gives 2"
    assert only(found) == ("T404", message, "4:9", None)


@pytest.mark.parametrize(
    ("expression", "message", "place", "help"),
    [
        ("columns(a, bb)", 'a.csv has no column "bb"', "3:20", "did you mean b?"),
        ("columns(a, zoo)", 'a.csv has no column "zoo"', "3:20", "its columns are: a, b, c"),
        ('columns("pixel_*")', 'a.csv has no column that matches "pixel_*"', "3:17", "its columns are: a, b, c"),
    ],
)
def test_missing_columns(project, expression, message, place, help):
    found = project(f"{CSV}\nX = {expression}\nY = column(c)", [X, Y], a="a,b,c\n").headers()
    assert only(found) == ("T405", message, place, help)


def test_a_table_without_names(project):
    found = project(f"{CSV}\nX = columns(a, b)\nY = column(c)", [X, Y], a="1,2.5,-3\n4,5,6\n").headers()
    assert found[0].help == "its first line must hold the names of the columns; it is 1, 2.5, -3"


@pytest.mark.parametrize(
    ("pattern", "columns"),
    [
        ("p*", ("p_10", "p_2", "pq")),
        ("p_*", ("p_10", "p_2")),
        ("*_*2*", ("p_2",)),
        ("*", ("p_10", "x.y", "p_2", "pq")),
        ("x.y", ("x.y",)),
        ("*q", ("pq",)),
        ("p*p*q", ()),
    ],
)
def test_patterns_keep_the_order_of_the_file(project, pattern, columns):
    inputs = [declare("X", max(len(columns), 1), M)]
    made = project(f'{CSV}\nX = columns("{pattern}")', inputs, a="p_10,x.y,p_2,pq\n1,2,3,4\n")
    if not columns:
        assert [d.code for d in made.headers()] == ["T405"]
        return
    assert made.load().preprocessing.entries["X"].columns == columns


def test_a_pattern_of_many_stars_takes_no_time(project):
    made = project(f'{CSV}\nX = columns("{"a*" * 2000}b")', [declare("X", 1, M)], a="a" * 20000 + "\n")
    assert [d.code for d in made.headers()] == ["T405"]


def test_a_column_taken_twice(project):
    found = project(f'{CSV}\nX = columns(a, "*")\nY = column(c)', [X, Y], a="a,b,c\n").headers()
    assert only(found) == ("T402", 'the column "a" is taken twice', "3:20", None)


def test_two_columns_of_one_name(project):
    found = project(f"{CSV}\nX = columns(a, b)\nY = column(c)", [X, Y], a="a,b,c,x,a\n").headers()
    message = 'a.csv has two columns called "a", the 1st and the 5th'
    assert only(found) == ("T404", message, "2:18", "column names must tell columns apart")


def test_an_input_without_its_line(project):
    found = project(f"{CSV}\nX = columns(a, b)", [X, Y], a="a,b,y\n").headers()
    message = "data: does not say which columns Y : (1, m) is made of"
    assert only(found) == ("T403", message, "1:1", "add a line Y = column(y); the columns are: a, b, y")


def test_a_line_without_its_input(project):
    found = project(f"{CSV}\nX = columns(a, b)\nZ = column(c)", [X], a="a,b,c\n").headers()
    message = "Z is neither a setting of data: nor an input or target of the model"
    assert only(found) == ("T401", message, "4:5", "the inputs and targets are: X")


def test_the_target_among_the_inputs_is_a_warning(project):
    found = project(f'{CSV}\nX = columns("*")\nY = column(b)', [X, Y], a="a,b\n").headers()
    assert found[0].severity == "warning"
    help = "the answer is among the inputs; name the columns of the input one by one"
    assert only(found) == ("T408", "X reads b, which the target Y reads too", "3:9", help)
    autoencoder = [X, declare("Y", 2, M, role="target")]
    assert project(f'{CSV}\nX = columns("*")\nY = columns("*")', autoencoder, a="a,b\n").headers() == []


@pytest.mark.parametrize(
    "header",
    ["a;b;c\n", "a\tb\tc\n", '\ufeffa,"b",c\r\n', '\n\na;b;c;"x,,,,"\n'],
)
def test_delimiters_bom_and_quotes(project, header):
    found = project(f"{CSV}\nX = columns(a, b)\nY = column(c)", [X, Y], a=header).headers()
    assert found == []


@pytest.mark.parametrize(
    ("content", "message", "help"),
    [
        ("", "a.csv is empty", None),
        ("\n \r\n", "a.csv is empty", None),
        (b"caf\xe9,b\n", "a.csv is not a text in UTF-8", "save it as CSV with the encoding UTF-8"),
        ("a" * (1 << 20), "a.csv has no line with column names: its first line is longer than 1 MiB", None),
    ],
)
def test_unreadable_tables(project, content, message, help):
    found = project(f"{CSV}\nX = columns(a, b)\nY = column(c)", [X, Y], a=content).headers()
    assert only(found) == ("V504", message, "2:18", help)


def test_a_huge_file_is_not_read(project):
    made = project(f"{CSV}\nX = columns(a, b)\nY = column(c)", [X, Y], a="a,b,c\n")
    with (made.folder / "a.csv").open("r+b") as file:
        file.truncate(10 << 30)
    assert made.headers() == []


# --- paths -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/etc/passwd", '"/etc/passwd" is an absolute path'),
        ("C:/data.csv", '"C:/data.csv" is an absolute path'),
        ("../secret.csv", '"../secret.csv" lies outside the folder of the spec'),
        ("sub/../../secret.csv", '"sub/../../secret.csv" lies outside the folder of the spec'),
        ("link.csv", '"link.csv" lies outside the folder of the spec'),
        ("linked/secret.csv", '"linked/secret.csv" lies outside the folder of the spec'),
    ],
)
def test_paths_stay_in_the_folder(project, path, message):
    made = project(f'source = csv("{path}")\nX = columns(a, b)', [X], a="a,b\n")
    (made.folder.parent / "secret.csv").write_text("a,b\n")
    os.symlink(made.folder.parent / "secret.csv", made.folder / "link.csv")
    os.symlink(made.folder.parent, made.folder / "linked")
    help = "a .dl file reads files of its own folder only: put the data there, or widen it with --root DIR"
    assert only(made.headers()) == ("T407", message, "2:18", help)


def test_a_root_widens_the_folder(project):
    made = project('source = csv("../shared.csv")\nX = columns(a, b)', [X])
    (made.folder.parent / "shared.csv").write_text("a,b\n")
    assert made.headers(root=made.folder.parent) == []


@pytest.mark.parametrize(
    ("path", "message", "help"),
    [
        ("b.csv", 'there is no file "b.csv"', 'did you mean "a.csv"?'),
        ("digits.csv", 'there is no file "digits.csv"', None),
        ("none/a.csv", 'there is no file "none/a.csv"', 'there is no folder "none" either'),
        (".", '"." is a folder, not a file', None),
        ("x" * 3000, f'"{"x" * 3000}" is not the path of a file', None),
    ],
)
def test_missing_files(project, path, message, help):
    made = project(f'source = csv("{path}")\nX = columns(a, b)', [X], a="a,b\n")
    assert only(made.headers()) == ("T407", message, "2:18", help)


# --- arrays ----------------------------------------------------------------------------------------------------


def arrays(m=5, **more):
    return {"X": np.zeros((2, m)), "Y": np.zeros((1, m)), **more}


def test_arrays_that_fit(project):
    assert project(NPZ, [X, Y], a=arrays()).headers() == []


@pytest.mark.parametrize("shape", [(10, 5), (5,)])
def test_one_hot_arrays_have_two_forms(project, shape):
    labels = declare("Y", 10, M, role="target", one_hot=True)
    assert project(NPZ, [X, labels], a=arrays(Y=np.zeros(shape))).headers() == []


def test_examples_first_suggests_the_transpose(project):
    found = project(NPZ, [X, Y], a=arrays(X=np.zeros((5, 2)))).headers()
    message = 'X : (2, m) needs (2, m), array("X") of a.npz is (5, 2)'
    help = 'the examples come first there: write X = array("X").T'
    assert only(found) == ("T404", message, "2:18", help)
    assert found[0].related[0].message == "X : (2, m) is declared here"
    assert project(f'{NPZ}\nX = array("X").T', [X, Y], a=arrays(X=np.zeros((5, 2)))).headers() == []


def test_a_transpose_too_many(project):
    found = project(f'{NPZ}\nX = array("X").T', [X, Y], a=arrays()).headers()
    message = 'X : (2, m) needs (2, m), array("X").T of a.npz is (5, 2)'
    assert only(found) == ("T404", message, "3:9", 'the examples come last there: write X = array("X")')


def test_one_hot_shape_message(project):
    labels = declare("Y", 10, M, role="target", one_hot=True)
    found = project(NPZ, [X, labels], a=arrays(Y=np.zeros((1, 5)))).headers()
    message = 'Y : (10, m) one_hot needs (m) or (10, m), array("Y") of a.npz is (1, 5)'
    assert only(found) == ("T404", message, "2:18", None)


def test_different_m(project):
    found = project(f'{NPZ}\nX = array("X")\nY = array("Y")', [X, Y], a=arrays(Y=np.zeros((1, 4)))).headers()
    message = "X and Y must have the same m: a.npz has 5 and 4 examples"
    assert only(found) == ("T404", message, "4:9", None)
    assert (found[0].related[0].message, found[0].related[0].span.line) == ("5 examples", 3)


def test_a_missing_array(project):
    found = project(f'{NPZ}\nX = array("x")', [X], a=arrays()).headers()
    assert only(found) == ("T405", 'a.npz has no array "x"', "3:9", 'did you mean array("X")?')


@pytest.mark.parametrize(
    ("array", "message", "help"),
    [
        (
            np.array([[{}, 1]], dtype=object),
            'array "Y" of a.npz holds pickled Python objects, which are never loaded',
            'save numbers: Y.astype("float32"), or Y.astype(str) for labels',
        ),
        (
            np.array([["a", "b"]]),
            'array "Y" of a.npz does not hold numbers (its type is <U1)',
            "texts can be the labels of a one_hot input or target only",
        ),
        (np.ones((1, 2), complex), 'array "Y" of a.npz does not hold numbers (its type is <c16)', None),
        (np.zeros((1, 2), "M8[s]"), 'array "Y" of a.npz does not hold numbers (its type is <M8[s])', None),
        (np.zeros((1, 2), "f4,i4"), 'array "Y" of a.npz does not hold numbers (its type is |V)', None),
    ],
)
def test_arrays_that_hold_no_numbers(project, array, message, help):
    found = project(NPZ, [declare("X", 2, M), Y], a={"X": np.zeros((2, 2)), "Y": array}).headers()
    assert only(found) == ("V507", message, "2:18", help)


def test_pickles_are_refused_before_they_are_opened(project):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(made.folder / "trap"),)

    made = project(NPZ, [Y])
    np.savez(made.folder / "a.npz", Y=np.array([[Trap()]], dtype=object))
    assert [d.code for d in made.refused()] == ["V507"]
    assert not (made.folder / "trap").exists()


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PK\x03\x04nonsense"])
def test_not_an_npz(project, content):
    made = project(NPZ, [X])
    (made.folder / "a.npz").write_bytes(content)
    help = "numpy.savez writes one: np.savez(file, X=X, Y=Y)"
    assert only(made.headers()) == ("V504", "a.npz is not an .npz file", "2:18", help)


def test_an_array_shorter_than_its_header(project):
    made = project(NPZ, [X], a={"X": np.zeros((2, 3))})
    with zipfile.ZipFile(made.folder / "a.npz") as archive:
        data = archive.read("X.npy")
    with zipfile.ZipFile(made.folder / "a.npz", "w") as archive:
        archive.writestr("X.npy", data[:-8])
    message = "a.npz is damaged: the header of one of its arrays cannot be read"
    assert only(made.headers()) == ("V504", message, "2:18", None)


def test_the_wrong_kind_of_selection(project):
    found = project(f"{NPZ}\nX = columns(a, b)", [X], a=arrays()).headers()
    assert only(found) == ("T402", 'a.npz holds arrays, columns(a, b) does not: write array("X")', "3:9", None)
    found = project(f'{CSV}\nX = array("X")', [X], a="a,b\n").headers()
    assert only(found) == ("T402", 'a.csv holds columns, array("X") does not: write columns(…)', "3:9", None)


def test_standardized_labels(project):
    labels = declare("Y", 3, M, role="target", one_hot=True)
    found = project(f"{CSV}\nX = columns(a, b)\nY = column(c) -> standardize", [X, labels], a="a,b,c\n").headers()
    message = "Y : (3, m) one_hot has classes: only + - * / ^ with a constant may stand behind column(c)"
    assert only(found) == ("T402", message, "4:9", None)


def test_a_second_file_without_the_columns(project):
    lines = 'train = csv("a.csv")\ntest = csv("b.csv")\nX = columns("*")'
    found = project(lines, [X], a="one,two\n", b="two,tree\n").headers()
    assert only(found) == ("T405", "b.csv has no column one: a.csv has it", "3:16", "its columns are: two, tree")


def test_the_split_column(project):
    made = project(f"{CSV}\nX = columns(a, b)\nsplit = by_column(fold)", [X], a="a,b,flod\n")
    assert only(made.headers()) == ("T405", 'a.csv has no column "fold"', "4:23", "did you mean flod?")


def test_what_is_not_yet_supported(project):
    runtime = declare("X", 2, M, Symbol("T", "runtime"))
    found = project(f"{CSV}\nX = columns(a, b)", [runtime], a="a,b\n").headers()
    message = "X : (2, m, T) has a size known only at run time: reading such data is not yet supported"
    assert only(found) == ("U901", message, "2:12", None)
    found = project(f"{CSV}\nX = columns(a, b)", [declare("X", 2, 3)], a="a,b\n").headers()
    assert only(found) == ("U901", "X : (2, 3) has no m: reading such data is not yet supported", "2:12", None)
