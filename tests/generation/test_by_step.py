"""The form of a generator in which one step follows from the one before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from padded import synthetic
from sequence_zoo import STEPS, ZOO

from dlc.compiler.codegen.by_step import by_step
from dlc.compiler.ir import Graph
from dlc.compiler.ir.verify import verify
from dlc.compiler.ops.generate import Turn
from dlc.compiler.passes import BEFORE_CODE, run
from dlc.runtime.program import Model

WRITERS = """
    one to many, unequal, characters, words, music, captions, translation, dates, transformer, TinyGPT
""".strip().split(", ")


def turn_in(graph: Graph) -> Turn:
    (node,) = (node for node in graph.nodes if node.op == "generate")
    turn = node.attr("step")
    assert isinstance(turn, Turn)
    return turn


def forward(model: Model) -> Graph:
    return model.main.programs.graphs["forward"]


@pytest.mark.parametrize("name", WRITERS)
def test_every_model_of_the_zoo_carries_its_states(tmp_path: Path, name: str) -> None:
    """No step computes what the steps before have computed: none reads all words."""
    graph = by_step(forward(ZOO[name].compiled(tmp_path)))
    verify(graph)
    assert "words" not in turn_in(graph).held()


@pytest.mark.parametrize("name", ["characters", "dates", "TinyGPT"])
def test_the_meaning_stays(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"max = 50": "max = 6", "max = 128": "max = 6", "N = 2": "N = 1"}
    model = ZOO[name].compiled(tmp_path, changes)
    arrays = synthetic(model, 4, {"T": 6, "T_x": 6})
    given = {name: value for name, value in arrays.items() if model.spec.inputs[name].role == "input"}
    expected = model.forward(**given, lengths={"T_x": STEPS} if given else None)
    graph = run(by_step(forward(model)), BEFORE_CODE)
    monkeypatch.setitem(model.main.programs.graphs.made, "forward", graph)  # type: ignore[attr-defined]
    found = model.forward(**given, lengths={"T_x": STEPS} if given else None)
    for output, value in expected.items():
        assert np.array_equal(found[output], value)
