"""`dlc train`: run folders, Ctrl-C, resuming, and everything that data and settings can have wrong."""

from __future__ import annotations

import json
import shutil
import signal
import time

import pytest
from cli_shell import Result, Shell
from safetensors.numpy import load_file


def run_names(shell: Shell) -> list[str]:
    return sorted(path.name for path in (shell.folder / "runs").glob("*")) if (shell.folder / "runs").exists() else []


def test_a_run_is_kept_as_the_interface_says(trained: tuple[Shell, str]) -> None:
    shell, run = trained
    folder = shell.folder / run
    assert {path.name for path in folder.iterdir()} == {
        "spec.dl", "settings.json", "last.safetensors", "best.safetensors", "metrics.jsonl", "log.txt",
    }  # fmt: skip
    assert (folder / "spec.dl").read_text() == (shell.folder / "digits.dl").read_text()
    settings = json.loads((folder / "settings.json").read_text())
    assert (settings["seed"], settings["dtype"], settings["resolved"]["epochs"]) == (1, "float32", 8)
    assert {"dlc", "numpy", "python"} <= set(settings["versions"])
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 9))
    assert lines[-1]["step"] == 8 * 23  # 1,437 examples in batches of 64
    arrays = load_file(folder / "last.safetensors")
    assert arrays["dense[1].W"].shape == (64, 64)
    assert "dense[1].W:v" in arrays


def test_progress_goes_to_stderr_and_results_to_stdout(digits: Shell) -> None:
    done = digits("train", "digits.dl", "--set", "epochs=2")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["run", "dev", "test"]
    assert [line for line in done.err.splitlines() if line.startswith("epoch")][-1].startswith("epoch 2/2   loss ")
    quiet = digits("train", "digits.dl", "--set", "epochs=2", "-q")
    assert quiet.err == ""
    assert len(run_names(digits)) == 2, "a run is never written over"


def test_the_same_seed_gives_the_same_bits_on_any_threads(digits: Shell) -> None:
    """In processes that hash their strings each in its own way."""
    files = []
    for flags in (["--threads", "1"], ["--threads", "2"], ["--seed", "1"], ["--seed", "2"]):
        done = digits.process("train", "digits.dl", "--set", "epochs=2", "-q", *flags)
        files.append(load_file(digits.folder / done.run / "last.safetensors"))
    first, *others = files
    for name, array in first.items():
        assert (array == others[0][name]).all()
        assert (array == others[1][name]).all()
    assert any((array != others[2][name]).any() for name, array in first.items())


def test_format_json_gives_one_object(digits: Shell) -> None:
    record = digits("train", "digits.dl", "--set", "steps=10", "-q", "--format", "json").json
    assert (record["end"], record["steps"]) == ("finished", 10)
    assert set(record["test"]) == {"loss", "accuracy"}


# --- interrupted and resumed -----------------------------------------------------------------------------------


def interrupted(shell: Shell, *arguments: object, after: str = "epoch 3/") -> Result:
    """A training that gets Ctrl-C once it has told of an epoch."""
    process = shell.start("train", *arguments)
    assert process.stderr is not None
    told = ""
    until = time.monotonic() + 100
    while after not in told and time.monotonic() < until:
        told += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out, told + err)


def test_ctrl_c_saves_and_resuming_gives_the_same_bits(digits: Shell) -> None:
    digits.write("digits.dl", (digits.folder / "digits.dl").read_text().replace("epochs    = 30", "epochs = 100"))
    whole = digits("train", "digits.dl", "-q")
    stopped = interrupted(digits, "digits.dl", after="epoch   3/")
    assert stopped.code == 130
    assert "Traceback" not in stopped.err
    run = stopped.err.strip().splitlines()[-1].split()[-1]
    assert stopped.err.strip().endswith(f"dlc train --resume {run}")
    metadata = (digits.folder / run / "metrics.jsonl").read_text().splitlines()
    assert 3 <= len(metadata) < 100

    resumed = digits("train", "--resume", run, "-q")
    assert resumed.code == 0, resumed.err
    assert resumed.run == run
    for name in ("last.safetensors", "best.safetensors"):
        one, other = (load_file(digits.folder / folder / name) for folder in (whole.run, run))
        assert one.keys() == other.keys()
        for key, array in one.items():
            assert (array == other[key]).all(), (name, key)
    one, other = (
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in path.read_text().splitlines()]
        for path in (digits.folder / whole.run / "metrics.jsonl", digits.folder / run / "metrics.jsonl")
    )
    assert one == other
    assert whole.out.splitlines()[1:] == resumed.out.splitlines()[1:]


def test_a_finished_run_goes_on_with_more_epochs(digits: Shell) -> None:
    longer = digits("train", "digits.dl", "--set", "epochs=6", "-q")
    short = digits("train", "digits.dl", "--set", "epochs=3", "-q")
    resumed = digits("train", "--resume", short.run, "--set", "epochs=6", "-q")
    assert resumed.code == 0
    one, other = (load_file(digits.folder / run / "last.safetensors") for run in (longer.run, short.run))
    assert all((array == other[name]).all() for name, array in one.items())


def test_resuming_keeps_to_the_model_of_the_run(digits: Shell) -> None:
    run = digits("train", "digits.dl", "--set", "epochs=1", "-q").run
    other = digits("train", "digits.dl", "--set", "units=32", "--resume", run)
    assert other.code == 1
    assert "error[R603]" in other.err
    assert f"{run} cannot go on: units is 32 here, and the run was trained with 64" in other.err
    other = digits("train", "--resume", run, "--set", "optimizer=Momentum()", "--set", "units=16")
    assert other.code == 1
    optimizers = "the optimizer is Momentum() here, and the run was trained with Adam(lr = 1e-3)"
    assert f"units is 16 here, and the run was trained with 64, and {optimizers}" in other.err
    (digits.folder / "digits.dl").write_text(
        (digits.folder / "digits.dl").read_text().replace("Dense(units", "Dense(9")
    )
    other = digits("train", "digits.dl", "--resume", run)
    assert "error[R603]" in other.err
    assert "dense[1].W is (64, 64) there and (9, 64) in the model" in other.err


def test_resuming_keeps_to_the_seed_and_the_split_of_the_run(digits: Shell) -> None:
    """With another split it would be tested on what it has learned from."""
    run = digits("train", "digits.dl", "--set", "epochs=1", "--set", "split=0.7,0.3", "-q").run
    before = (digits.folder / run / "last.safetensors").read_bytes()
    for flags in (["--seed", "3"], ["--set", "seed=3"]):
        refused = digits("train", "--resume", run, *flags)
        assert refused.code == 2
        assert "a run goes on with its own seed and dtype" in refused.err
    refused = digits("train", "--resume", run, "--set", "split=0.6,0.4")
    assert refused.code == 1
    assert f"error[R603]: --set split: {run} has learned from its own training examples" in refused.err
    assert (digits.folder / run / "last.safetensors").read_bytes() == before
    same = digits("train", "--resume", run, "--set", "split=0.7,0.3")
    assert same.code == 0, same.err
    assert "nothing is left to do: the run has had 1 epochs; --set epochs=… goes on" in same.err


def test_an_argument_of_the_optimizer_is_set_with_it(digits: Shell) -> None:
    refused = digits("train", "digits.dl", "--set", "lr=0.1")
    assert refused.code == 1
    assert "lr is an argument of the optimizer: --set 'optimizer=Adam(lr = 0.1)'" in refused.err


# --- what is wrong with data, and with runs --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda rows: [rows[0], rows[1].replace("0", "oops", 1), *rows[2:]], "digits.csv:2"),
        (lambda rows: [rows[0], *rows[1:9], "nan" + rows[9][1:], *rows[10:]], "digits.csv:10"),
        (lambda rows: [rows[0], *rows[1:4], rows[4].rsplit(",", 1)[0] + ",12", *rows[5:]], "digits.csv:5"),
        (lambda rows: [rows[0].replace("pixel_07", "pixxel_07"), *rows[1:]], "gives 63"),
        (lambda rows: [], "digits.csv"),
        (lambda rows: rows[:1], "digits.csv"),
    ],
    ids=["bad cell", "NaN", "label out of range", "missing column", "empty file", "no rows"],
)
def test_bad_data_is_told_with_its_place_and_nothing_is_written(digits: Shell, spoil: object, told: str) -> None:
    assert callable(spoil)
    rows = (digits.folder / "digits.csv").read_text().splitlines()
    digits.write("digits.csv", "\n".join(spoil(rows)) + "\n" if spoil(rows) else "")
    done = digits("train", "digits.dl")
    assert (done.code, done.out) == (1, "")
    assert "error[" in done.err
    assert told in done.err
    assert run_names(digits) == []


def test_a_diverging_training_stops_with_the_last_good_parameters(digits: Shell) -> None:
    done = digits("train", "digits.dl", "--set", "optimizer=GradientDescent(lr = 1e30)", "-q")
    assert done.code == 1
    assert "error[R604]: training diverged in epoch 1" in done.err
    (run,) = run_names(digits)
    arrays = load_file(digits.folder / "runs" / run / "last.safetensors")
    assert all((array == array).all() for array in arrays.values())


def test_a_damaged_checkpoint_is_found(trained: tuple[Shell, str], dlc: Shell) -> None:
    shell, run = trained
    copy = dlc.folder / "copy"
    shutil.copytree(shell.folder / run, copy)
    content = bytearray((copy / "best.safetensors").read_bytes())
    content[-100] ^= 1
    (copy / "best.safetensors").write_bytes(content)
    done = dlc("predict", "copy", "--data", shell.folder / "new.csv")
    assert done.code == 1
    assert "error[R602]" in done.err
    assert "checksum" in done.err
    (copy / "best.safetensors").write_bytes(content[: len(content) // 2])
    assert "error[R602]" in dlc("predict", "copy", "--data", shell.folder / "new.csv").err


def test_a_moved_run_predicts_but_asks_for_its_data(trained: tuple[Shell, str], dlc: Shell) -> None:
    shell, run = trained
    shutil.copytree(shell.folder / run, dlc.folder / "moved")
    assert dlc("predict", "moved", "--data", shell.folder / "new.csv").code == 0
    assert dlc("evaluate", "moved", "--data", shell.folder / "digits.csv").code == 0
    done = dlc("evaluate", "moved")
    assert done.code == 1
    assert "--data" in done.err


def test_what_is_no_run_is_told(dlc: Shell) -> None:
    for verb in (["evaluate", "nowhere"], ["predict", "nowhere", "--data", "x.csv"], ["train", "--resume", "nowhere"]):
        done = dlc(*verb)
        assert done.code == 1
        assert "error[R601]: nowhere does not exist" in done.err


def test_imports_are_kept_with_the_run(dlc: Shell) -> None:
    (dlc.folder / "parts").mkdir()
    dlc.write("parts/activations.dl", "function double(z) = 2 * z\n")
    dlc.write("data.csv", "x,y\n" + "".join(f"{i / 10},{i / 5}\n" for i in range(20)))
    dlc.write(
        "net.dl",
        'import "parts/activations.dl"\n'
        "model Net:\n    input X : (1, m)\n    target Y : (1, m)\n    Y_hat = X -> Dense(1, double)\n"
        "    loss squared_error(Y_hat, Y)\n    output Y_hat\n"
        'data:\n    source = csv("data.csv")\n    X = column(x)\n    Y = column(y)\n    split = 0.8, 0.2\n'
        "train:\n    epochs = 2\n",
    )
    run = dlc("train", "net.dl", "-q").run
    assert (dlc.folder / run / "parts" / "activations.dl").read_text() == "function double(z) = 2 * z\n"
    (dlc.folder / "parts" / "activations.dl").unlink()
    (dlc.folder / "net.dl").unlink()
    predicted = dlc("predict", run, "--data", "data.csv")
    assert predicted.code == 0, predicted.err
    assert predicted.out.splitlines()[0] == "Y_hat"
    assert len(predicted.out.splitlines()) == 21


SLOPE = """\
model Slope():
    input  x : (1, m)
    target y : (1, m)
    y_hat = x -> Dense(1)
    loss   squared_error(y_hat, y)
    output y_hat

data:
    source = csv("slope.csv")
    x      = column(x)
    y      = column(y)
    split  = 0.75, 0.25

train:
    epochs = 1
"""


def test_data_that_changed_is_noticed(dlc: Shell) -> None:
    rows = [f"{i},{3 * i % 7}" for i in range(8)]
    dlc.write("slope.dl", SLOPE)
    dlc.write("slope.csv", "\n".join(["x,y", *rows]))
    first = dlc("train", "slope.dl", "--target", "reference", "-q")
    assert "(2 examples)" in first.out
    run = first.run
    again = ("train", "--resume", run)
    assert "warning" not in dlc(*again).err + dlc("evaluate", run, "--dtype", "float64").err
    told = "warning[R616]: the data has changed since the run began: "
    dlc.write("slope.csv", "\n".join(["x,y", *rows[:4]]))
    fewer = "the train split had 6 examples, and has 3 now; the test split had 2 examples, and has 1 now"
    for verb in (again, ("evaluate", run)):
        done = dlc(*verb)
        assert done.code == 0
        assert told + fewer in done.err
        assert "1 example" in done.out
        assert "1 examples" not in done.out
    dlc.write("slope.csv", "\n".join(["x,y", *(row + ".5" for row in rows)]))
    others = [f"the {split} split has other examples, or in another order" for split in ("train", "test")]
    assert told + "; ".join(others) in dlc(*again).err
