"""One walk may stand for several programs of a text: the result is what separate walks give."""

from pathlib import Path

import pytest

from dlc.compiler.driver import check
from dlc.compiler.elaborate import model
from dlc.compiler.elaborate.modes import MODES
from dlc.compiler.program import CheckedModel
from dlc.compiler.show import work

SPECS = sorted(Path(__file__).parents[2].glob("specs/[!s]*/*.dl"))

HEAD = "model M:\n    input X : (3, m)\n    target Y : (3, m)\n    param W : (3, 3)\n    state s : (3, 1)\n"
TAIL = "    loss squared_error(Z, Y)\n    metric squared_error(Z, Y)\n    output P = Z\n"
TEXTS = {
    "a state that is only changed": """
    Z = W @ X
    when training:
        s := mean(Z, over = m)
""",
    "a state read behind its change": """
    when training:
        s := mean(X, over = m)
    Z = W @ X * s
""",
    "a state named behind its change": """
    when training:
        s := 2 * s
        d = s
    otherwise:
        d = s
    Z = W @ X + sum(d, over = all)
""",
    "a state changed twice": """
    when training:
        s := s + 1
        s := 2 * s
    Z = W @ X
""",
    "a value that is used besides": """
    u = mean(W, over = last)
    when training:
        s := u
    Z = W @ X + u
""",
    "a draw": """
    D : (3, m) ~ bernoulli(0.5)
    Z = W @ X * D
""",
    "a draw while training": """
    when training:
        D : (3, m) ~ normal(1, 1)
    otherwise:
        D : (3, m) = 1
    Z = W @ X * D
""",
    "a choice alone": """
    when training:
        Z = W @ X
    otherwise:
        Z = X
""",
    "nothing of the kind": """
    Z = W @ X
""",
}


def _told(checked: CheckedModel) -> dict[str, object]:
    graphs = {mode: str(getattr(checked, mode)) for mode in MODES}
    named = {name: (node.op, repr(node.attrs), str(node.type)) for name, node in checked.names.items()}
    lines = [(line.name, line.rule, str(line.type), work(line.nodes)) for line in checked.lines]
    return {**graphs, "names": named, "lines": lines, "shapes": checked.shapes, "inputs": checked.inputs}


def _alike(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = check(path, text=text)
    monkeypatch.setattr(model, "SAME", {})
    separate = check(path, text=text)
    assert shared.diagnostics == separate.diagnostics
    assert [_told(checked) for checked in shared.proved] == [_told(checked) for checked in separate.proved]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_specs_of_the_house(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _alike(path, path.read_text("utf-8"), monkeypatch)


LAYER = """
layer Scaled():
    input A : (n, m, ...)
    state s : (n, 1, ...) ~ ones
    when training:
        s := 0.9 * s + 0.1 * mean(A, over = (m, ...))
    output A * s

"""


def test_a_layer_that_reads_its_state_behind_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """The 1s of `...` are not stored, so the update is not the very value that the lines below read."""
    head = HEAD.replace("(3, m)", "(3, m, 4)").replace("    state s : (3, 1)\n", "")
    text = LAYER + head + "    Z = W @ (X -> Scaled())\n" + TAIL
    found = check(Path("net.dl"), text=text).checked
    assert found is not None
    assert str(found.training) != str(found.deterministic)
    _alike(Path("net.dl"), text, monkeypatch)


@pytest.mark.parametrize("body", TEXTS.values(), ids=TEXTS)
def test_texts_that_meet_their_mode(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _alike(Path("net.dl"), HEAD + body + TAIL, monkeypatch)


@pytest.mark.parametrize(
    ("what", "deterministic", "evaluation"),
    [
        ("nothing of the kind", True, True),
        ("a state that is only changed", True, False),
        ("a state read behind its change", False, False),
        ("a draw", False, True),
        ("a choice alone", True, False),
    ],
)
def test_what_is_walked_once(what: str, deterministic: bool, evaluation: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shared: dict[str, bool] = {}

    def watched(mode: str) -> object:
        def same(training: object) -> object:
            found = model_same[mode](training)  # type: ignore[arg-type]
            shared[mode] = found is not None
            return found

        return same

    model_same = dict(model.SAME)
    monkeypatch.setattr(model, "SAME", {mode: watched(mode) for mode in model_same})
    assert check(Path("net.dl"), text=HEAD + TEXTS[what] + TAIL).checked is not None
    assert shared == {"deterministic": deterministic, "evaluation": evaluation}
