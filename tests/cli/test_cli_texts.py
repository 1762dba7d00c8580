"""Texts from the command line: trained, measured, predicted from tables and texts, printed as text."""

from __future__ import annotations

import csv
import io
import re

import pytest
from cli_shell import Shell

DATES = """\
model Dates(V_x = 14, V_y = 9, n_a = 6):
    dim T_x <= 12
    dim T_y

    input  x : (m, T_x) index(V_x)
    target y : (V_y, m, T_y) one_hot

    a = one_hot(x) -> RNN(n_a)
    s<0> = a<T_x>
    y<0> : (V_y, m) = 0
    param W : (n_a, n_a + V_y) ~ glorot
    scan t in 1..T_y:
        s<t> = tanh(W @ concat(s<t-1>, y<t-1>, over = first))
    y_hat = s -> Dense(V_y, softmax)

    loss   cross_entropy(y_hat, y)
    output iso = generate(y, from = y_hat, until = "<EOS>", max = 6, by = beam(width = 2, alpha = 0.7))

data:
    source = csv("dates.csv")
    x      = column(human) -> chars(lower = on)
    y      = column(iso) -> chars
    split  = 0.75, 0.25

train:
    batch  = 4
    epochs = 2
"""
DATES_CSV = """\
human,iso
3 May,05-03
1 Mar,03-01
21 Apr,04-21
May 2,05-02
4 May,05-04
2 Mar,03-02
1 May,05-01
3 Apr,04-03
"""

TAGS = """\
model Tags(V = 9, kinds = 2):
    dim T

    input  words : (m, T) index(V)
    target y     : (kinds, m, T) one_hot

    a     = words -> Embedding(V, 3) -> RNN(4)
    y_hat = a -> Dense(kinds, softmax)
    p     = a -> Dense(1, sigmoid)

    loss   cross_entropy(y_hat, y)
    metric accuracy(y_hat, y)
    output y_hat
    output p

data:
    source = csv("tags.csv")
    words  = column(text) -> words(lower = on)
    y      = column(tags) -> labels

train:
    epochs = 1
"""
TAGS_CSV = "text,tags\nTom met Ann,NAME O NAME\nshe met Tom,O O NAME\nhi,O\n"


WAVE = """\
model Wave():
    dim T
    input  x : (1, m, T)
    target y : (1, m, T)
    y_hat = x -> RNN(2) -> Dense(1)
    loss   squared_error(y_hat, y)
    output y_hat

data:
    source = csv("wave.csv")
    x      = column(x) -> numbers
    y      = column(y) -> numbers

train:
    epochs = 1
"""


@pytest.fixture(scope="module")
def dates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, str]:
    """A folder, and in it a run of two epochs."""
    shell = Shell(tmp_path_factory.mktemp("dates"))
    shell.write("dates.dl", DATES)
    shell.write("dates.csv", DATES_CSV)
    trained = shell("train", "dates.dl", "--target", "reference", "-q")
    assert trained.code == 0, trained.err
    return shell, trained.run


def test_what_is_written_is_printed_as_text(dates: tuple[Shell, str]) -> None:
    """From a table and from the lines of a text alike."""
    dlc, run = dates
    dlc.write("new.csv", "human\n3 May\n21 Mar\n")
    dlc.write("new.txt", "3 May\n21 Mar\n\n")
    done = dlc("predict", run, "--data", "new.csv")
    head, *rows = csv.reader(io.StringIO(done.out))
    assert head == ["iso"]
    assert len(rows) == 2
    assert all(set(text) <= set("0123456789-") and len(text) <= 6 for (text,) in rows)
    assert dlc("predict", run, "--data", "new.txt").out == done.out


def test_a_run_goes_on_to_the_same_bits(dates: tuple[Shell, str]) -> None:
    dlc, whole = dates
    first = dlc("train", "dates.dl", "--target", "reference", "-q", "--set", "epochs=1", "-o", "others")
    assert dlc("train", "dates.dl", "--resume", first.run, "--set", "epochs=2", "-q").code == 0
    ends = [(dlc.folder / run / "last.safetensors").read_bytes() for run in (whole, first.run)]
    tensors = [end[8 + int.from_bytes(end[:8], "little") :] for end in ends]
    assert tensors[0] == tensors[1]


def test_a_text_that_changed_has_other_classes(dates: tuple[Shell, str]) -> None:
    dlc, run = dates
    message = r"error\[R603\]: the data has changed since the run began: class \d+ of x was '\w', and is '[nov]' now"
    dlc.write("dates.csv", DATES_CSV.replace("May", "Nov"))
    try:
        for verb, otherwise in (
            (("evaluate", run), "name new data with --data FILE"),
            (("train", "dates.dl", "--resume", run), "begin a new run"),
        ):
            refused = dlc(*verb)
            assert refused.code == 1
            assert re.search(message, refused.err), refused.err
            assert f"help: bring the data back as it was, or {otherwise}\n" in refused.err
    finally:
        dlc.write("dates.csv", DATES_CSV)


def test_answers_stand_in_line_with_the_rows(dates: tuple[Shell, str]) -> None:
    dlc, run = dates
    dlc.write("gap.txt", "3 May\n\n21 Mar\n")
    refused = dlc("predict", run, "--data", "gap.txt")
    assert refused.code == 1
    assert "error[V502]: gap.txt:2: the text is empty" in refused.err
    assert "help: fill it in, or leave the row out\n" in refused.err


def test_a_folder_is_no_text(dates: tuple[Shell, str]) -> None:
    dlc, run = dates
    assert "error[T407]: . is a folder, and the model" in dlc("predict", run, "--data", ".").err


def test_mistakes(dates: tuple[Shell, str]) -> None:
    dlc, run = dates
    dlc.write("long.csv", "human\n21 March of this year\n")
    refused = dlc("predict", run, "--data", "long.csv")
    assert refused.code == 1
    assert "long.csv:2: column human: the text has 21 chars, and the model says `dim T_x <= 12`" in refused.err
    (dlc.folder / "bad.txt").write_bytes(b"3 May\n4 M\xe9y\n")
    refused = dlc("predict", run, "--data", "bad.txt")
    assert "error[V504]: bad.txt is not a text in UTF-8: byte 4 of line 2 is 0xe9" in refused.err


def test_the_class_of_the_last_word_comes_from_the_data(dates: tuple[Shell, str]) -> None:
    """And without data from nowhere, but for `<EOS>`, which is class 0 of every vocabulary."""
    dlc, _ = dates
    opening = {}
    for name, text in {
        "data": DATES.replace('"<EOS>"', '"5"'),
        "none": DATES.partition("data:")[0],
        "word": DATES.partition("data:")[0].replace('"<EOS>"', '"5"'),
    }.items():
        done = dlc("compile", dlc.write(f"{name}.dl", text), "-o", "out")
        opening[name] = done.err if done.code else (dlc.folder / done.out.strip()).read_text()[:200]
    assert 'y ends with "5", class 8.' in opening["data"]  # behind <EOS>, <UNK>, - and 0 to 4
    assert 'y ends with "<EOS>", class 0.' in opening["none"]
    assert 'error[V513]: until = "5" needs a vocabulary' in opening["word"]


def test_the_data_is_read_before_anything_is_compiled(dlc: Shell) -> None:
    """A word that no text has, and tags that are not as many as the words: told at once."""
    dlc.write("dates.csv", DATES_CSV)
    dlc.write("tags.csv", TAGS_CSV.replace("NAME O NAME", "NAME O"))
    files = {"V513": DATES.replace('"<EOS>"', '"%"'), "V509": TAGS}
    for code, text in files.items():
        refused = dlc("train", dlc.write(f"{code}.dl", text), "--target", "reference")
        assert refused.code == 1
        assert f"error[{code}]" in refused.err
        assert "compiling" not in refused.out + refused.err


def test_tags_stand_beside_each_other(dlc: Shell) -> None:
    dlc.write("tags.dl", TAGS)
    dlc.write("tags.csv", TAGS_CSV)
    trained = dlc("train", "tags.dl", "--target", "reference", "-q")
    assert trained.code == 0, trained.err
    dlc.write("new.csv", 'text\nAnn met Tom\nhi\n"Tom, hi"\n')
    head, *rows = csv.reader(io.StringIO(dlc("predict", trained.run, "--data", "new.csv").out))
    assert head == ["y_hat", "p"]
    assert [len(tags.split()) for tags, _ in rows] == [3, 1, 3]
    assert {tag for tags, _ in rows for tag in tags.split()} <= {"NAME", "O"}
    numbers = [[float(number) for number in p.split()] for _, p in rows]
    assert [len(row) for row in numbers] == [3, 1, 3]
    assert all(0 < number < 1 for row in numbers for number in row)
    measured = dlc("evaluate", trained.run, "--data", "tags.csv")
    assert measured.code == 0
    assert "tags.csv: 3 examples" in measured.out


def test_numbers_are_shown_as_they_stand_in_the_file(dlc: Shell) -> None:
    dlc.write("wave.dl", WAVE)
    dlc.write("wave.csv", "x,y\n1 2,0.195 -0.567\n2 3 4,0.1 0.2 0.3\n")
    run = dlc("train", "wave.dl", "--target", "reference", "-q").run
    worst = dlc("evaluate", run, "--format", "json").json["worst"]
    assert {row["y"] for row in worst} == {"0.195 -0.567", "0.1 0.2 0.3"}


def test_labels_that_are_written(dlc: Shell) -> None:
    """Three notes, of which the last ends a melody and is not printed."""
    text = DATES.replace("column(iso) -> chars", "column(notes) -> labels").replace('"<EOS>"', "2")
    dlc.write("notes.dl", text.replace("V_y = 9", "V_y = 3").replace("dates.csv", "notes.csv"))
    dlc.write("notes.csv", "human,notes\nMay,c d z\nMar,d z\nApr,c z\nMay,z\n")
    trained = dlc("train", "notes.dl", "--target", "reference", "-q")
    assert trained.code == 0, trained.err
    name, *written = csv.reader(io.StringIO(dlc("predict", trained.run, "--data", "notes.csv").out))
    assert name == ["iso"]
    assert len(written) == 4
    assert all(set(cells[0].split()) <= {"c", "d"} for cells in written)
