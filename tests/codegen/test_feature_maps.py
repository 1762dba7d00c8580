"""Programs of feature maps: what the reference executor computes, inside their buffers, and the same bits always."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from feature_maps import MODELS, assert_equal_to_reference, assert_trained_as_reference, examples, load

from dlc.compiler.codegen import generate
from dlc.compiler.driver import programs
from dlc.runtime.native import MemoryViolation, Native

SIZES = (1, 3, 17)


@pytest.mark.parametrize("name", MODELS)
def test_compiled_models_give_the_reference(name: str, tmp_path: Path) -> None:
    assert_equal_to_reference(load(tmp_path, MODELS[name]), "native", SIZES)


@pytest.mark.parametrize("name", ["convolutions", "one and three axes", "windows"])
def test_plain_loops_give_the_reference(name: str, tmp_path: Path) -> None:
    assert_equal_to_reference(load(tmp_path, MODELS[name]), "plain", (1, 3), train=False)


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_no_kernel_reaches_outside_its_buffers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CHECK", "1")
    assert_trained_as_reference(load(tmp_path, MODELS[name]), "native", SIZES)


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
