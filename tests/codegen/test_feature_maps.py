"""Programs of feature maps: what the reference executor computes, inside their buffers, and the same bits always."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_maps import MODELS, SMALL, assert_equal_to_reference, assert_trained_as_reference, examples, load, tensors
from spread import spread

import dlc
from dlc.compiler.codegen import generate
from dlc.compiler.codegen.body import MOST_ON_STACK, Arguments, Body
from dlc.compiler.codegen.layout import NotSupported
from dlc.compiler.driver import programs
from dlc.runtime.native import MemoryViolation, Native

SIZES = (1, 3, 17)


@pytest.mark.parametrize("name", MODELS)
def test_compiled_models_give_the_reference(name: str, tmp_path: Path) -> None:
    assert_equal_to_reference(load(tmp_path, MODELS[name]), "native", SIZES)


@pytest.mark.parametrize("name", spread(["small", "one and three axes", "windows"], {"small"}))
def test_plain_loops_give_the_reference(name: str, tmp_path: Path) -> None:
    text = SMALL if name == "small" else MODELS[name]
    assert_equal_to_reference(load(tmp_path, text), "plain", (1, 3), train=False)


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", spread(["convolutions", "broadcasts", "wide"], {"wide"}))
def test_no_kernel_reaches_outside_its_buffers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CHECK", "1")
    assert_trained_as_reference(load(tmp_path, MODELS[name]), "native", SIZES)


WIDE_ROWS = """
model Net:
    input  X : (m, h = 2, k = {channels})
    target Y : (m, h = 2, k = {channels})
    param g : (1, 1, {channels}) ~ ones
    param c : (1, 1, {channels}) ~ zeros
    Y_hat = tanh(g * X + c)
    loss  sum((Y_hat - Y)^2, over = (h, k))
    output Y_hat
"""
ON_STACK = re.compile(r"scratch\((\d+)\)")


@pytest.mark.parametrize(("channels", "runs"), [(9_000, True), (140_000, False)])
def test_what_is_too_much_for_the_stack_is_not_asked_for(channels: int, runs: bool, tmp_path: Path) -> None:
    """A number for each channel, laid out for long loops, and parts of sums: 1.1 MB each with so many channels."""
    spec = load(tmp_path, WIDE_ROWS.format(channels=channels))
    graphs = programs(spec.checked).graphs
    made = generate(graphs, name="Net", source_name="net.dl", dtype="float64", path="tile")
    rooms = [sum(map(int, ON_STACK.findall(made.file_text(kernel)))) for kernel in made.kernels.values()]
    assert any(rooms) == runs
    assert max(rooms) <= MOST_ON_STACK
    assert_equal_to_reference(spec, "native", (2,), train=False)


def test_a_kernel_that_needs_more_than_the_stack_has_is_refused() -> None:
    body = Body({}, {}, "float64", Arguments())
    for _ in range(4):
        assert body.scratch(MOST_ON_STACK // 4) == f"scratch({MOST_ON_STACK // 4})"
    with pytest.raises(NotSupported, match="rows that need 1,048,577 bytes beside them"):
        body.scratch(1)


CHECKED = """
model Net:
    input  X : (m, 12, 10, 8)
    target Y : (m, 4, 4, 16)
    A = X -> Conv(3, 16, pad = same, g = relu) -> MaxPool(2)
    B = A -> DepthwiseConv(3, pad = same) -> BatchNorm()
    Y_hat = (B -> Conv((3, 2), 16) -> AvgPool(1)) + (A -> Conv((3, 2), 16, groups = 2))
    loss   squared_error(Y_hat, Y)
    output Y_hat
"""
SIZE = re.compile(r"(?<=, )\((\d+ \* M(?: \+ \d+)?|\d+)\) // (\d+)")
"""How many elements a kernel is told that a buffer has."""


def test_every_kernel_looks_at_the_end_of_every_buffer(tmp_path: Path) -> None:
    """Kernels are told, one operand of one kernel at a time, that a buffer has half of its elements; the run says
    which. What a single unit leaves is small beside the room for it, so there it is none."""
    spec = load(tmp_path, CHECKED)
    graphs = {"backward": programs(spec.checked).graphs["backward"]}
    made = generate(graphs, name="Net", source_name="net.dl", dtype="float64", path="tile", check=True)
    piece = made.programs["backward"]
    told: list[str] = []

    def shortened(found: re.Match[str]) -> str:
        address = piece.text[: found.start()].rstrip(", ").rpartition(" ")[2].removeprefix("pack(")
        told.append(address)
        left = "0" if address.endswith("_parts") else f"{found.group()} // 2"
        return f"({left} if int64_at(persistent)[0] == {len(told)} else {found.group()})"

    native = Native(replace(made, programs={"backward": replace(piece, text=SIZE.sub(shortened, piece.text))}))
    data = examples(spec, 16)

    def violates(number: int) -> bool:
        native.words[0] = number
        try:
            native.run("backward", data, 16, {})
        except MemoryViolation:
            return True
        return False

    assert len(told) > 60
    assert not violates(0)
    assert [address for number, address in enumerate(told, 1) if not violates(number)] == []


# --- the same bits ---------------------------------------------------------------------------------------------------

TRAINED = """
model Net:
    input  X : (m, 24, 24, 4)
    target Y : (6, m) one_hot
    A = X -> Conv(3, 16, pad = same) -> BatchNorm() -> relu -> Dropout(0.8)
    B = A -> DepthwiseConv(3, stride = 2, pad = same) -> BatchNorm() -> relu -> MaxPool(2) -> Dropout(0.9)
    Y_hat = B -> Conv(3, 6) -> GlobalAvgPool() -> Flatten() -> Dense(6, softmax)
    loss   cross_entropy(Y_hat, Y)
    output Y_hat

train:
    optimizer = Adam(lr = 0.01)
    clip      = norm(1)
    batch     = 12
    epochs    = 2
"""


def test_the_same_bits_on_one_thread_and_on_more_and_after_a_pause(tmp_path: Path) -> None:
    spec = load(tmp_path, TRAINED)
    data = examples(spec, 32)
    data["X"] = data["X"].astype(np.float32)

    def trained(threads: int, *, pause: bool = False) -> dict[str, bytes]:
        model = spec.compile(seed=2, threads=threads)
        model.fit(data, epochs=1)
        if pause:
            model.save(tmp_path / "run")
            model = dlc.open(tmp_path / "run")
        model.fit(data, epochs=1)
        return {name: array.tobytes() for name, array in tensors(model).items()}

    alone = trained(1)
    assert any(name.startswith("slot") for name in alone)
    assert any(name.startswith("state") for name in alone)
    for threads in (*[2] * 8, 3):
        assert trained(threads) == alone
    assert trained(2, pause=True) == alone
