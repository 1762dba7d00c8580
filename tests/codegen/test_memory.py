"""The memory plan: no two living buffers share a byte, and the checks find one that is too small."""

from __future__ import annotations

import re
from dataclasses import replace

import nets
import numpy as np
import pytest
from against_reference import SCALARS, assert_equal_to_reference, fill, module

from dlc.compiler.codegen.host.machine import Dtype, host
from dlc.compiler.codegen.layout import LANES, Size, layout_of
from dlc.compiler.codegen.memory import Buffer, Life, allocate
from dlc.compiler.codegen.work import Units
from dlc.compiler.dims import Symbol, tensor
from dlc.compiler.ir import Builder, Graph
from dlc.runtime.native import MemoryViolation, Native


def test_buffers_that_live_together_never_overlap() -> None:
    """Random lives and sizes; for every pair that lives at the same time, the ranges are disjoint at several M."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        lives = []
        for number in range(20):
            first = int(rng.integers(0, 12))
            size = Size.of(64 * int(rng.integers(0, 9)), 64 * int(rng.integers(0, 5)))
            lives.append(Life(Buffer(f"b{number}", "transient", "real", size), first, first + int(rng.integers(0, 5))))
        lives.sort(key=lambda life: life.first)
        total = allocate(lives, Size.of(128, 64))
        for m in (LANES, 4 * LANES, 100 * LANES):
            for i, one in enumerate(lives):
                start, end = one.buffer.offset.at(m), one.buffer.offset.at(m) + one.buffer.size.at(m)
                assert Size.of(128, 64).at(m) <= start
                assert end <= total.at(m)
                for other in lives[:i]:
                    if one.first <= other.last and other.first <= one.last:
                        begin = other.buffer.offset.at(m)
                        assert end <= begin or begin + other.buffer.size.at(m) <= start


def test_dead_buffers_are_used_again() -> None:
    lives = [Life(Buffer(str(n), "transient", "real", Size.of(0, 64)), n, n + 1) for n in range(10)]
    assert allocate(lives, Size()) == Size.of(0, 128)


def test_a_weight_is_stored_by_columns_and_activations_by_examples() -> None:
    weight = layout_of(tensor(20, 7))
    assert (weight.rows, weight.width, weight.row_length, weight.strides) == (7, 20, 32, (1, 32))
    activation = layout_of(tensor(20, nets.M))
    assert (activation.rows, activation.width, activation.strides) == (None, 20, (1, 32))
    image = layout_of(tensor(nets.M, 8, 8, 3))
    assert (image.rows, image.strides) == (None, (192, 24, 3, 1))
    bias = layout_of(tensor(20, 1))
    assert (bias.rows, bias.row_length) == (20, 1)


@pytest.mark.parametrize("model", [nets.dense([20, 33, 17, 5], dropout=0.5), nets.dense([7, 1], last="sigmoid")])
def test_no_kernel_reaches_outside_its_buffers(model: tuple[nets.Graph, dict[str, tuple[int, ...]]]) -> None:
    programs = nets.programs(model, nets.adam, 0.1)
    native = Native(module(programs, "float32", check=True))
    fill(native)
    for m in (1, 17, 33):
        assert_equal_to_reference(native, programs["train"], "train", m)


ROOM_OF_PARTS = re.compile(r"(?<=total_parts,)\s+\([^)]*\) // 8")
"""How many elements a kernel is told that there are for the parts of the total."""


def product_with_totals(width: int, depth: int = 17) -> nets.Graph:
    """A = tanh(W @ X + b), and the sums of its squares over all and over the examples, made in the product's tile."""
    b = Builder()
    x, w = nets.leaf(b, "input", "X", depth, nets.M), nets.leaf(b, "parameter", "W", width, depth)
    a = b.add("tanh", b.add("add", b.add("matmul", w, x), nets.leaf(b, "parameter", "b", width, 1)))
    squares = b.add("mul", a, a)
    total = b.add("drop", b.add("sum", squares, axes=(0, 1)), axes=(0, 1))
    return Graph.of({"sum.total": total, "output.A": a, "output.of_row": b.add("sum", squares, axes=(1,))})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("panels", [0.4, 1.0, 2.0, 4.3])
def test_a_product_of_several_panels_keeps_its_totals_inside_their_room(panels: float, dtype: Dtype) -> None:
    """Each unit of work is a block of rows by one panel, and leaves a part of the total of its own."""
    cpu = host()
    width = max(round(panels * cpu.lanes(dtype) * len(cpu.tiles)), 1)
    graph = product_with_totals(width)
    native = Native(module({"forward": graph}, dtype, check=True))
    kernels = "\n".join(map(native.module.file_text, native.module.kernels.values()))
    assert "matmul_panel" in kernels
    assert ("column = unit %" in kernels) == (panels > 1)
    fill(native)
    for m in (1, 17, 160):
        assert_equal_to_reference(native, graph, "forward", m)


def test_the_check_finds_a_total_without_room_for_every_panel() -> None:
    """Kernels are told that there is room for the parts of half of the units."""
    cpu = host()
    made = module({"forward": product_with_totals(4 * cpu.lanes("float64") * len(cpu.tiles))}, check=True)
    piece = made.programs["forward"]
    told = ROOM_OF_PARTS.findall(piece.text)
    assert len(told) == 1, piece.text
    wrong = replace(piece, text=ROOM_OF_PARTS.sub(" 8 // 8", piece.text))
    native = Native(replace(made, programs={"forward": wrong}))
    with pytest.raises(MemoryViolation):
        native.run("forward", {"X": np.ones((40, 17))}, 40, SCALARS)


def test_the_check_finds_a_buffer_that_is_too_small() -> None:
    """Kernels are told that a buffer ends earlier than it does."""
    programs = nets.programs(nets.dense([20, 33, 5]), nets.sgd)
    made = module({"train": programs["train"]}, check=True)
    piece = made.programs["train"]
    told = "A_1, (384 * M) // 8"
    assert told in piece.text
    wrong = replace(piece, text=piece.text.replace(told, "A_1, (368 * M) // 8"))
    native = Native(replace(made, programs={"train": wrong}))
    inputs = {name: np.moveaxis(array, -1, 0) for name, array in nets.data(programs["train"], 16).items()}
    with pytest.raises(MemoryViolation):
        native.run("train", inputs, 16, SCALARS)


def test_views_stay_valid_when_a_larger_batch_comes() -> None:
    programs = nets.programs(nets.dense([4, 3]))
    native = Native(module(programs))
    weight = native.parameters["W[1]"]
    fill(native)
    for m in (3, 700):
        weight[0, 0] = m
        assert_equal_to_reference(native, programs["forward"], "forward", m)
        assert native.parameters["W[1]"][0, 0] == m


@pytest.mark.parametrize(("block", "times"), [(72, 48), (1, 7), (16, 1), (1024, 3)])
def test_there_is_room_for_what_every_unit_leaves(block: int, times: int) -> None:
    units = Units(layout_of(tensor(Symbol("m", "batch"))).rows, block, times, Size())
    for m in (1, 5, block - 1, block, block + 1, 3 * block + 1):
        needed = -(-m // block) * times * 8
        assert units.room(8).at(-(-max(m, 1) // 16) * 16) >= needed
        assert units.room(8).at(16) % 64 == 0
