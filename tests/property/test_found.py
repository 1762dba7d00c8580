"""Texts that once crashed, hung or were taken for sound, each as small as it can be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from running import proved_and_run

import dlc
from dlc.compiler.driver import check

WRITER = """
model Net:
    dim T
    target y : (4, m, T) one_hot
    y<0> : (4, m) = 0
    param W : (4, 4) ~ he
    param b : (4, 1) ~ normal(0, 1)
    scan t in 1..T:
        y_hat<t> = softmax(W @ y<t-1> + b)
    loss cross_entropy(y_hat, y)
    output s = generate(y, from = y_hat, {})
"""


def net(*lines: str) -> str:
    return "model Net:\n    input X : (3, m)\n" + "".join(f"    {line}\n" for line in lines)


REFUSED = {
    "an input as first value": (net("param W : (3, 3) ~ X", "output q = W @ X", "loss sum(q)"), "D106"),
    "a loop longer than a machine word": (net("for i in 1..10^40:", "    q[i] = X", "output X"), "D118"),
    "a domain that ends with m": (net("hyper k = 1 in uniform(0, m)", "output q = X * k"), "T402"),
    "a step of a family whose index is unknown": (net("u[l]<0> : (3, m) = 0", "output X"), "N201"),
    "m as a factor": (net("output q = X * m"), "P302"),
    "m in a scan": (net("a<0> : (3, m) = 0", "scan t in 1..4:", "    a<t> = a<t-1> * m + X", "output a"), "P302"),
    "a generator without end": (WRITER.format("max = 10^30"), "D118"),
    "a beam as wide as the world": (WRITER.format("max = 3, by = beam(width = 10^30)"), "D118"),
    "an alpha that overflows": (WRITER.format("max = 3, by = beam(width = 2, alpha = 1000003)"), "N214"),
}


@pytest.mark.parametrize(("text", "code"), REFUSED.values(), ids=REFUSED)
def test_refused(text: str, code: str) -> None:
    assert [d.code for d in check("net.dl", text=text).diagnostics if d.severity == "error"] == [code]


def test_m_may_be_read_while_training() -> None:
    text = net(
        "target Y : (3, m)", "Z = X -> Dense(3)", "loss sum((Z - Y)^2, over = all) / m", "metric n = m", "output Z"
    )
    assert proved_and_run(text).checked is not None


def test_a_rate_that_is_m(tmp_path: Path) -> None:
    """The rate is known only when a batch arrives: nothing to compare with 0."""
    text = net("Z = X -> Dense(3)", "loss sum(Z)") + "train:\n    optimizer = GradientDescent(m)\n"
    assert proved_and_run(text).checked is not None


def test_a_loss_of_parameters_alone_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "net.dl"
    path.write_text(
        "model Net:\n    param a : (2, 1) ~ ones\n    input C : (2, 1)\n    loss sum(a * C)\n    metric s = sum(a)\n"
    )
    measured = dlc.load(path).compile(dtype="float64", target="reference").evaluate(C=np.array([[3.0], [4.0]]))
    assert measured == {"loss": 7.0, "s": 2.0}


def test_data_may_be_a_single_number(tmp_path: Path) -> None:
    path = tmp_path / "net.dl"
    path.write_text(net("input k : ()", "target y : ()", "loss (k * X - y)^2", "output q = k * X"))
    model = dlc.load(path).compile(dtype="float64", target="reference")
    assert model.loss(X=np.ones((3, 2)), k=2.0, y=1.0) == 3.0


def test_a_cold_sample_is_the_most_probable_word(tmp_path: Path) -> None:
    path = tmp_path / "net.dl"
    written = []
    for by in ("sample(temperature = 1e-300)", "greedy"):
        path.write_text(WRITER.format(f"max = 5, by = {by}"))
        written.append(dlc.load(path).compile(dtype="float64", target="reference").forward(y=np.zeros((2, 5)))["s"])
    np.testing.assert_array_equal(*written)


HOSTILE = (
    'import "../outside.dl"\n',
    'import "/etc/passwd"\n',
    net("output X") + '\ndata:\n    source = csv("../outside.csv")\n    X = columns(a, b, c)\n',
    net("Z = X -> Dense(3) as f", 'load f from "../outside.safetensors"', "output Z"),
    net("q = \"__import__('os').system('touch ../outside')\"", "output X"),
    net("output q = __import__(X)"),
    net("output q = X.__class__.__mro__"),
    net("output q = eval(X) + exec(X) + open(X)"),
)
GUARD = """
import sys, pathlib
import dlc
folder = pathlib.Path(sys.argv[1]).resolve()
home = pathlib.Path(dlc.__file__).resolve().parents[2]
texts = eval(sys.stdin.read())
def run(text):
    (folder / "net.dl").write_text(text)
    try:
        spec = dlc.load(folder / "net.dl")
        spec.compile(target="reference")
    except dlc.SpecError:
        pass
for text in texts:  # what is imported on the way is imported before Python is asked
    run(text)
def hook(event, arguments):
    if event in ("compile", "exec", "os.system", "subprocess.Popen", "os.exec", "os.fork", "socket.connect"):
        print("forbidden", event, arguments)
    if event == "open" and isinstance(arguments[0], (str, pathlib.Path)):
        path = pathlib.Path(arguments[0]).resolve()
        if not any(path.is_relative_to(inside) for inside in (folder, home, sys.prefix, sys.base_prefix)):
            print("forbidden", event, path)
sys.addaudithook(hook)
for text in texts:
    run(text)
print("done")
"""


def test_a_text_of_somebody_else_runs_no_code_and_reads_no_file_outside(tmp_path: Path) -> None:
    """Python itself reports what is opened, compiled and started meanwhile."""
    (tmp_path / "inside").mkdir()
    for name in ("outside.dl", "outside.csv", "outside.safetensors"):
        (tmp_path / name).write_text("a,b,c\n1,2,3\n")
    command = [sys.executable, "-c", GUARD, str(tmp_path / "inside")]
    done = subprocess.run(command, input=repr(HOSTILE), capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["done"], done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "inside", "outside.csv", "outside.dl", "outside.safetensors"
    ]  # fmt: skip


@pytest.mark.parametrize("target", ["reference", "native"])
def test_a_regularizer_may_read_the_epoch(tmp_path: Path, target: Literal["reference", "native"]) -> None:
    """Beside the training it is epoch 1."""
    path = tmp_path / "net.dl"
    costs = []
    for weight in ("epoch", "1"):
        path.write_text(net("Z = X -> Dense(2)", "loss sum(Z)") + f"train:\n    regularize = l2({weight})\n")
        model = dlc.load(path).compile(dtype="float64", seed=1, target=target)
        costs.append(model.loss_and_grads(X=np.ones((3, 4)), regularized=True)[0])
        assert model.loss(X=np.ones((3, 4))) < costs[-1]
    assert costs[0] == costs[1]
