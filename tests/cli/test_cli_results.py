"""`dlc evaluate` and `dlc predict`."""

from __future__ import annotations

import csv
import io

import numpy as np
from cli_shell import Shell


def test_evaluate_agrees_with_what_training_told(trained: tuple[Shell, str]) -> None:
    shell, run = trained
    record = shell.process("evaluate", run, "--format", "json").json
    assert (record["data"], record["examples"]) == ("test", 180)
    counts = np.array(record["confusion"]["counts"])
    assert counts.sum() == 180
    assert np.isclose(counts.trace() / 180, record["metrics"]["accuracy"])
    losses = [one["loss"] for one in record["worst"]]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > record["metrics"]["loss"]


def test_the_worst_examples_are_named_by_their_line(trained: tuple[Shell, str]) -> None:
    shell, run = trained
    rows = (shell.folder / "digits.csv").read_text().splitlines()
    for one in shell("evaluate", run, "--format", "json").json["worst"]:
        file, line = one["place"].split(":")
        assert file == "digits.csv"
        assert rows[int(line) - 1].rsplit(",", 1)[1] == one["truth"]


def test_the_confusion_table_fits_eighty_columns(trained: tuple[Shell, str]) -> None:
    shell, run = trained
    done = shell("evaluate", run)
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80
    table = done.out[done.out.index("confusion") :].splitlines()[2:12]
    assert [row.split()[0] for row in table] == [str(i) for i in range(10)]


def test_other_splits_and_files(trained: tuple[Shell, str]) -> None:
    shell, run = trained
    assert "train: 1,437 examples" in shell("evaluate", run, "--split", "train").out
    assert "digits.csv: 1,797 examples" in shell("evaluate", run, "--data", "digits.csv").out
    done = shell("evaluate", run, "--data", "new.csv")
    assert done.code == 1
    assert "label" in done.err


def test_predict_gives_a_class_and_its_probabilities(trained: tuple[Shell, str]) -> None:
    shell, run = trained
    done = shell.process("predict", run, "--data", "new.csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert len(rows) == 12
    assert list(rows[0]) == ["Y_hat", *(f"Y_hat_{i}" for i in range(10))]
    for row in rows:
        scores = [float(row[f"Y_hat_{i}"]) for i in range(10)]
        assert abs(sum(scores) - 1) < 1e-5
        assert row["Y_hat"] == str(int(np.argmax(scores)))
    right = sum(row["Y_hat"] == digit for row, digit in zip(rows, "012345678938", strict=True))
    assert right >= 6  # the images of new.csv are shifted; see the README of the example


def test_predict_writes_a_file_and_json(trained: tuple[Shell, str]) -> None:
    shell, run = trained
    printed = shell("predict", run, "--data", "new.csv").out
    done = shell("predict", run, "--data", "new.csv", "-o", "out.csv")
    assert (done.code, done.out) == (0, "")
    assert (shell.folder / "out.csv").read_text() == printed
    assert shell("predict", run, "--data", "new.csv", "--format", "json").json[0]["Y_hat_0"] == float(
        printed.splitlines()[1].split(",")[1]
    )
    done = shell("predict", run, "--data", "new.csv", "-o", "no/such/folder/out.csv")
    assert done.code == 1
    assert "error[R605]" in done.err


def test_text_labels_come_back_as_they_were(dlc: Shell) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for name, center in (("cat", (-2, 0)), ("dog", (2, 0)), ("bird", (0, 3))):
        rows += [f"{x:.4f},{y:.4f},{name}" for x, y in rng.normal(center, 0.3, (30, 2))]
    rng.shuffle(rows)
    dlc.write("animals.csv", "x,y,kind\n" + "\n".join(rows) + "\n")
    dlc.write(
        "animals.dl",
        "model Animals:\n    input X : (2, m)\n    target Y : (3, m) one_hot\n    P = X -> Dense(3, softmax)\n"
        "    loss cross_entropy(P, Y)\n    metric accuracy(P, Y)\n    output P\n"
        'data:\n    source = csv("animals.csv")\n    X = columns(x, y)\n    Y = column(kind)\n    split = 0.7, 0.3\n'
        "train:\n    optimizer = Adam(lr = 0.1)\n    epochs = 40\n",
    )
    trained = dlc("train", "animals.dl", "-q", "--format", "json")
    assert trained.code == 0, trained.err
    assert trained.json["test"]["accuracy"] == 1.0
    dlc.write("new.csv", "x,y\n-2,0\n2,0\n0,3\n")
    done = dlc("predict", trained.json["run"], "--data", "new.csv")
    assert done.out.splitlines()[0] == "P,P_bird,P_cat,P_dog"
    assert [line.split(",")[0] for line in done.out.splitlines()[1:]] == ["cat", "dog", "bird"]


def test_regression_is_predicted_by_the_column_it_learned(dlc: Shell) -> None:
    x = np.linspace(-1, 1, 40)
    dlc.write("line.csv", "x,price\n" + "".join(f"{a},{3 * a + 1}\n" for a in x))
    dlc.write(
        "line.dl",
        "model Line:\n    input X : (1, m)\n    target Y : (1, m)\n    Y_hat = X -> Dense(1)\n"
        "    loss squared_error(Y_hat, Y)\n    metric R2(Y_hat, Y)\n    output Y_hat\n"
        'data:\n    source = csv("line.csv")\n    X = column(x) -> standardize\n    Y = column(price)\n'
        "    split = 0.8, 0.2\ntrain:\n    optimizer = GradientDescent(lr = 0.3)\n    batch = all\n    epochs = 200\n",
    )
    done = dlc("train", "line.dl", "-q", "--format", "json")
    assert done.code == 0, done.err
    assert done.json["test"]["R2"] > 0.9999
    dlc.write("new.csv", "x\n0\n10\n")
    values = [float(line) for line in dlc("predict", done.json["run"], "--data", "new.csv").out.splitlines()[1:]]
    assert np.allclose(values, [1, 31], atol=1e-2)
    assert "Y_hat" in dlc("evaluate", done.json["run"]).out


def test_a_run_keeps_what_it_was_trained_with(trained: tuple[Shell, str]) -> None:
    dlc, run = trained
    for verb in (["evaluate", run], ["predict", run, "--data", "new.csv"], ["sample", run]):
        done = dlc(*verb, "--set", "batch=3")
        assert done.code == 1
        assert f"error[R603]: --set batch: {run} keeps the settings that it was trained with" in done.err
        assert f"error[R603]: --set foo: {run} keeps" in dlc(*verb, "--set", "foo=3").err
        assert f"error[R603]: --model Other: {run} is a run of " in dlc(*verb, "--model", "Other").err


def test_worst_scores_have_the_digits_of_their_precision(trained: tuple[Shell, str]) -> None:
    """A float32 as Python's float has digits behind the ninth that nobody computed."""
    dlc, run = trained
    scores = [row["score"] for row in dlc("evaluate", run, "--format", "json").json["worst"]]
    assert scores == [float(str(np.float32(score))) for score in scores]
    assert any(score != float(np.float32(score)) for score in scores)
