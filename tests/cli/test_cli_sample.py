"""`dlc sample`: what a trained model writes."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from cli_shell import Shell

NAMES = """\
model Names(V = 9, n_a = 5):
    dim T
    target y : (V, m, T) one_hot

    y_hat = shift(y) -> RNN(n_a) -> Dense(V, softmax)

    loss   cross_entropy(y_hat, y)
    output s = generate(y, from = y_hat, until = "<EOS>", max = 12, by = sample(temperature = 1.5))

data:
    source = csv("names.csv")
    y      = column(name) -> chars
    split  = 0.75, 0.25

train:
    batch  = 4
    epochs = 1
"""
NAMES_CSV = "name\nanna\nnina\nina\nlina\nhanna\nlia\nnala\nhina\n"

TURNED = """\
model Turned(V = 6, n_a = 6):
    dim T_x <= 9
    dim T_y

    input  x : (m, T_x) index(V)
    target y : (V, m, T_y) one_hot

    a = one_hot(x) -> RNN(n_a)
    s<0> = a<T_x>
    b = shift(y) -> Dense(n_a)
    param W : (n_a, n_a) ~ glorot
    scan t in 1..T_y:
        s<t> = tanh(W @ s<t-1> + b<t>)
    y_hat = s -> Dense(V, softmax)

    loss   cross_entropy(y_hat, y)
    output z = generate(y, from = y_hat, until = "<EOS>", max = 5, by = greedy)

data:
    source = csv("turned.csv")
    x      = column(word) -> chars
    y      = column(turned) -> chars
    split  = 0.75, 0.25

train:
    batch  = 4
    epochs = 1
"""
TURNED_CSV = "word,turned\nab,ba\nba,ab\naba,aba\nabb,bba\nbba,abb\nbab,bab\naab,baa\nbaa,aab\n"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, str]:
    shell = Shell(tmp_path_factory.mktemp("names"))
    shell.write("names.dl", NAMES)
    shell.write("names.csv", NAMES_CSV)
    done = shell("train", "names.dl", "-q")
    assert done.code == 0, done.err
    return shell, done.run


def test_so_many_texts_of_the_vocabulary_as_asked_for(names: tuple[Shell, str]) -> None:
    shell, run = names
    lines = shell("sample", run, "--count", "12").out.splitlines()
    assert len(lines) == 12
    assert len(set(lines)) > 1
    assert all(re.fullmatch("[anihl]{0,12}", line) for line in lines)


def test_the_seed_decides(names: tuple[Shell, str]) -> None:
    shell, run = names
    first = shell("sample", run, "--count", "6").out
    assert shell.process("sample", run, "--count", "6").out == first
    assert len({shell("sample", run, "--count", "6", "--seed", str(seed)).out for seed in range(4)}) > 1


def test_other_settings_of_the_draws(names: tuple[Shell, str]) -> None:
    """From the most probable letter alone there is one text, whatever is drawn; at a high temperature are many."""
    shell, run = names
    assert len(set(shell("sample", run, "--count", "8", "--top-k", "1").out.splitlines())) == 1
    assert len(set(shell("sample", run, "--count", "8", "--temperature", "5").out.splitlines())) > 4
    assert shell("sample", run, "--count", "8", "--top-k", "0").out == shell("sample", run, "--count", "8").out


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("--temperature", "nan", "nan is not a positive, finite number"),
        ("--temperature", "inf", "inf is not a positive, finite number"),
        ("--temperature", "0", "0 is not a positive, finite number"),
        ("--temperature", "hot", "'hot' is not a number"),
        ("--top-k", "-1", "-1 is less than 0"),
    ],
)
def test_numbers_that_nothing_can_be_drawn_with(names: tuple[Shell, str], flag: str, value: str, told: str) -> None:
    shell, run = names
    done = shell("sample", run, flag, value)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def test_texts_begin_as_asked_for(names: tuple[Shell, str]) -> None:
    shell, run = names
    lines = shell("sample", run, "--start", "hal", "--count", "12").out.splitlines()
    assert len(set(lines)) > 1
    assert all(re.fullmatch("hal[anihl]{0,9}", line) for line in lines)
    for start, told in {
        "anz": "'z' is not in the vocabulary of y",
        "<EOS>": "'<' is not in the vocabulary of y",
        "annaannaanna": "it has 12 chars, and a text of y at most 12",
    }.items():
        done = shell("sample", run, "--start", start)
        assert (done.code, done.out) == (2, "")
        assert told in done.err


def test_a_file_for_a_model_without_inputs(names: tuple[Shell, str]) -> None:
    shell, run = names
    done = shell("sample", run, "--data", "names.csv")
    assert done.code == 1
    assert "error[T402]: the model has no inputs" in done.err


def test_on_a_terminal_one_sees_what_is_waited_for(names: tuple[Shell, str]) -> None:
    """And elsewhere nothing stands on stderr."""
    shell, run = names
    terminal, end = os.openpty()
    try:
        command = shell.command(["sample", run])
        subprocess.run(
            command, cwd=shell.folder, env=shell.environment(), stdout=subprocess.PIPE, stderr=end, check=True
        )
        assert os.read(terminal, 1000).splitlines() == [b"compiling Names"]
    finally:
        os.close(terminal)
        os.close(end)
    assert shell("sample", run).err == ""


def test_json(names: tuple[Shell, str]) -> None:
    shell, run = names
    plain = shell("sample", run, "--count", "3").out.splitlines()
    assert shell("sample", run, "--count", "3", "--format", "json").json == [{"s": line} for line in plain]


def test_texts_for_the_inputs_of_the_runs_data_or_of_a_file(dlc: Shell) -> None:
    dlc.write("turned.dl", TURNED)
    dlc.write("turned.csv", TURNED_CSV)
    run = dlc("train", "turned.dl", "-q").run
    own = dlc("sample", run).out.splitlines()
    assert len(own) == 2  # as the test split has
    assert all(re.fullmatch("[ab]+ -> [ab]{0,5}", line) for line in own)
    dlc.write("new.csv", "word\nabab\nb\nbb\n")
    found = dlc("sample", run, "--data", "new.csv").out.splitlines()
    assert [line.partition(" -> ")[0] for line in found] == ["abab", "b", "bb"]
    assert dlc("sample", run, "--data", "new.csv", "--count", "2").out.splitlines() == found[:2]


def test_several_texts_have_their_names(dlc: Shell) -> None:
    greedy = '\n    output g = generate(y, from = y_hat, until = "n", max = 7, by = greedy())'
    dlc.write("names.dl", NAMES.replace("(temperature = 1.5))", "(temperature = 1.5))" + greedy))
    dlc.write("names.csv", NAMES_CSV)
    run = dlc("train", "names.dl", "--target", "reference", "-q").run
    records = dlc("sample", run, "--count", "2", "--format", "json").json
    shown = "\n\n".join(f"s: {record['s']}\ng: {record['g']}" for record in records)
    assert dlc("sample", run, "--count", "2").out == shown + "\n"


def test_a_model_that_writes_nothing(trained: tuple[Shell, str]) -> None:
    shell, run = trained
    done = shell("sample", run)
    assert done.code == 1
    assert "R615" in done.err
    assert "dlc predict" in done.err
