"""First values that one text names alike are elaborated once: each is what it would be alone."""

from pathlib import Path

import pytest

from dlc.compiler.driver import check
from dlc.compiler.elaborate import initial
from dlc.compiler.program import CheckedModel

ROOT = Path(__file__).parents[2]
TEXTS = {
    "layers of one type and of two": """
model M:
    input X : (4, m)
    target Y : (2, m)
    output P = X -> Dense(4) -> Dense(4) -> Dense(3) -> Dense(2)
    loss squared_error(P, Y)
""",
    "an initializer that draws twice, and one whose draw has a name of its own": """
initializer both = randn() + 0.1 * randn()
initializer zeros = 2

layer L(start):
    input A : (n, m)
    param W : (n, n) ~ both
    param V : (n, n) ~ start
    param b : (n, 1) ~ zeros
    output W @ V @ A + b

model M(k = 3):
    input X : (4, m)
    target Y : (4, m)
    output P = X -> L(he) -> L(glorot) -> L(he)
    loss squared_error(P, Y)
""",
}
SPECS = [ROOT / "specs" / path for path in ("convolution/resnet50.dl", "convolution/lenet5.dl")]


def first_values(path: Path, text: str) -> dict[str, tuple[object, ...]]:
    """Each first value's graph in words; a node's number says only when it was made."""
    checked = check(path, text=text).checked
    assert isinstance(checked, CheckedModel)
    found: dict[str, tuple[object, ...]] = {}
    for name, declaration in {**checked.parameters, **checked.states}.items():
        start = declaration.initial
        place = {node: number for number, node in enumerate(start.graph.nodes)}
        nodes = [(n.op, [place[i] for i in n.inputs], n.attrs, n.type, n.span) for n in start.graph.nodes]
        found[name] = (nodes, place[start.graph.roots["value"]], start.text, start.fan_in, start.fan_out)
    return found


@pytest.mark.parametrize("case", [*TEXTS, *SPECS], ids=str)
def test_a_shared_first_value_is_what_it_would_be_alone(case: str | Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, text = (case, case.read_text("utf-8")) if isinstance(case, Path) else (Path("m.dl"), TEXTS[case])
    shared = first_values(path, text)
    monkeypatch.setattr(initial.FirstValues, "_key", lambda *_: None)
    assert shared == first_values(path, text)
    drawn = [attrs for nodes, *_ in shared.values() for op, _, attrs, *_ in nodes if op.startswith("draw_")]
    assert len(drawn) == len(set(drawn)) > 1
