"""`dlc check`, `show`, `derive`, `gradcheck` and `compile`: what needs no data."""

from __future__ import annotations

import subprocess
import sys

from cli_shell import Shell

SHALLOW = """\
model Shallow:
    input  X : (2, m)
    target Y : (1, m)
    param W[1] : (4, 2) ~ normal(0, 0.5)
    param b[1] : (4, 1) ~ zeros
    param W[2] : (1, 4) ~ normal(0, 0.5)
    param b[2] : (1, 1) ~ zeros
    Z[1] : (4, m) = W[1] @ X + b[1]
    A[1] = tanh(Z[1])
    Z[2] : (1, m) = W[2] @ A[1] + b[2]
    A[2] = sigmoid(Z[2])
    loss   binary_cross_entropy(A[2], Y)
    output Y_hat = A[2]
"""


def test_check_counts_layers_and_parameters(digits: Shell) -> None:
    done = digits("check", "digits.dl", "blackboard.dl")
    assert (done.code, done.err) == (0, "")
    weights = 64 * 64 + 64 * 64 + 10 * 64
    biases = 64 + 64 + 10
    first, second = done.out.splitlines()
    assert first == f"digits.dl: Digits: 3 layers, {weights + biases:,} parameters, every dimension proved"
    assert second.startswith("blackboard.dl: DeepNet: 3 layers, ")


def test_check_reports_every_file_and_fails_for_one(digits: Shell) -> None:
    digits.write("bad.dl", "model Bad:\n    input X : (2, m)\n    output Y = W @ X\n")
    done = digits("check", "bad.dl", "digits.dl")
    assert done.code == 1
    assert "error[N201]" in done.out
    assert "digits.dl: Digits" in done.out


def test_check_holds_the_header_against_the_inputs(digits: Shell) -> None:
    digits.write("wrong.dl", (digits.folder / "digits.dl").read_text().replace("(64, m)", "(63, m)"))
    done = digits("check", "wrong.dl", "--format", "json")
    assert done.code == 1
    assert any("64" in found["message"] and "63" in str(found) for found in done.json)


def test_check_reads_no_rows(digits: Shell) -> None:
    header = (digits.folder / "digits.csv").read_text().splitlines()[0]
    digits.write("digits.csv", f"{header}\nthis is no row of numbers\n")
    assert digits("check", "digits.dl").code == 0


def test_check_validates_the_train_block(digits: Shell) -> None:
    text = (digits.folder / "digits.dl").read_text()
    digits.write("bad.dl", text.replace("Adam(lr = 1e-3)", "Adan(lr = 1e-3)").replace("batch ", "batchs"))
    messages = [found["message"] + str(found["help"]) for found in digits("check", "bad.dl", "--format", "json").json]
    assert any("did you mean batch?" in message for message in messages)
    assert any("did you mean Adam?" in message for message in messages)


def test_check_imports_neither_numpy_nor_numba(digits: Shell) -> None:
    program = (
        "import sys\nfrom dlc.runtime.cli import main\n"
        "try:\n    main(['check', 'digits.dl'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'numpy', 'numba', 'rich', 'llvmlite'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=digits.folder, check=True, capture_output=True)


def test_set_changes_hypers_and_settings(digits: Shell) -> None:
    done = digits("check", "digits.dl", "--set", "units=32", "--set", "batch=16")
    assert "3,466 parameters" in done.out  # 32*64 + 32 + 32*32 + 32 + 10*32 + 10
    done = digits("check", "digits.dl", "--set", "unit=32")
    assert (done.code, "did you mean units?" in done.out) == (1, True)
    assert "epochs must be" in digits("check", "digits.dl", "--set", "epochs=0").out


def test_several_models_are_checked_and_one_is_chosen(dlc: Shell) -> None:
    other = SHALLOW.replace("model Shallow", "model Other").replace("(4, ", "(3, ").replace(", 4)", ", 3)")
    dlc.write("two.dl", SHALLOW + "\n" + other)
    assert [line.split(": ")[1] for line in dlc("check", "two.dl").out.splitlines()] == ["Shallow", "Other"]
    assert dlc("derive", "two.dl").code == 1
    assert "has several models: Shallow, Other" in dlc("derive", "two.dl").err
    assert dlc("derive", "two.dl", "--model", "Other").code == 0


def test_derive_prints_the_six_lines_of_the_course(dlc: Shell) -> None:
    dlc.write("shallow.dl", SHALLOW)
    lines = [" ".join(line.split()) for line in dlc("derive", "shallow.dl").out.splitlines()]
    assert lines == [
        "dZ[2] = A[2] - Y : (1, m)",
        "dW[2] = 1/m * dZ[2] @ A[1].T : (1, 4)",
        "db[2] = 1/m * sum(dZ[2], over = m) : (1, 1)",
        "dZ[1] = W[2].T @ dZ[2] * (1 - A[1]^2) : (4, m)",
        "dW[1] = 1/m * dZ[1] @ X.T : (4, 2)",
        "db[1] = 1/m * sum(dZ[1], over = m) : (4, 1)",
    ]
    latex = dlc("derive", "shallow.dl", "--latex").out
    assert latex.startswith("\\begin{align*}")
    assert "dZ^{[2]}" in latex


def test_show_prints_the_rules_and_counts(dlc: Shell) -> None:
    dlc.write("shallow.dl", SHALLOW)
    rows = {row["name"]: row for row in dlc("show", "shallow.dl", "--format", "json").json}
    assert (rows["W[1]"]["shape"], rows["W[1]"]["parameters"]) == ("(4, 2)", 8)
    assert dlc("show", "shallow.dl").out.rstrip().endswith("17 parameters")  # 8 + 4 + 4 + 1
    assert "Z[1] : (4, m) = W[1] @ X + b[1]" in dlc("show", "shallow.dl", "--rules").out


def test_gradcheck_passes_and_knows_its_thresholds(dlc: Shell) -> None:
    dlc.write("shallow.dl", SHALLOW)
    done = dlc("gradcheck", "shallow.dl", "--format", "json")
    assert done.code == 0
    assert [one["name"] for one in done.json["parameters"]] == ["W[1]", "b[1]", "W[2]", "b[2]"]
    assert all(one["verdict"] == "great" for one in done.json["parameters"])
    assert done.json["error"] <= 1e-7
    assert "great" in dlc("gradcheck", "shallow.dl").out


def test_gradcheck_needs_a_loss(dlc: Shell) -> None:
    dlc.write("plain.dl", "model Plain:\n    input X : (2, m)\n    output Y = 2 * X\n")
    done = dlc("gradcheck", "plain.dl")
    assert done.code == 1
    assert "error[T409]: Plain has no loss line" in done.err


def test_the_written_module_runs_without_dlc(dlc: Shell) -> None:
    dlc.write("shallow.dl", SHALLOW)
    done = dlc("compile", "shallow.dl", "-o", "out", "--dtype", "float64")
    assert (done.code, done.out) == (0, "out/shallow.py\n")
    program = """
import sys
sys.modules["dlc"] = None
import numpy as np
from shallow import Model
model = Model()
rng = np.random.default_rng(0)
p = {name: rng.standard_normal(array.shape) for name, array in model.parameters.items()}
for name, array in p.items():
    model.parameters[name][...] = array
x = rng.standard_normal((2, 5))
found = model.run("forward", {"X": x.T}, 5)["output.Y_hat"]
a = np.tanh(p["W[1]"] @ x + p["b[1]"])
y = 1 / (1 + np.exp(-(p["W[2]"] @ a + p["b[2]"])))
assert np.abs(found - y).max() < 1e-12, (found, y)
"""
    subprocess.run([sys.executable, "-c", program], cwd=dlc.folder / "out", check=True, capture_output=True)


def test_compile_spares_the_files_of_others(dlc: Shell) -> None:
    dlc.write("shallow.dl", SHALLOW)
    mine = dlc.write("shallow.py", "print('mine')\n")
    done = dlc("compile", "shallow.dl")
    assert done.code == 1
    assert "error[R605]" in done.err
    assert mine.read_text() == "print('mine')\n"
