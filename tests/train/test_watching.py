"""Watching a training from Python: what `docs/running.md` shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dlc
from dlc.runtime.train import EpochRecord, History, Progress, Training

PAGE = Path(__file__).resolve().parents[2] / "docs" / "running.md"
SPEC = """
model Line:
    input  X : (1, m)
    target Y : (1, m)
    Y_hat = X -> Dense(1)
    loss   squared_error(Y_hat, Y)
    output Y_hat

data:
    source = csv("line.csv")
    X      = column(x)
    Y      = column(y)
    split  = 0.8, 0.1, 0.1

train:
    optimizer = GradientDescent(lr = 0.1)
    batch     = 5
    epochs    = 40
"""


@pytest.fixture
def model(tmp_path: Path) -> dlc.Model:
    rows = "".join(f"{i / 10},{i / 5 + 1}\n" for i in range(-20, 20))
    (tmp_path / "line.csv").write_text(f"x,y\n{rows}", encoding="utf-8")
    (tmp_path / "line.dl").write_text(SPEC, encoding="utf-8")
    return dlc.load(tmp_path / "line.dl").compile(target="reference", seed=1)


def test_the_page_tells_how_to_watch_and_to_stop(model: dlc.Model, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    space = {"model": model}
    exec(block, space)
    history = space["history"]
    assert isinstance(history, History)
    assert history.end == "interrupted"
    losses = history["train.loss"]
    assert losses[-1] < 0.01 < losses[-2]
    lines = capsys.readouterr().out.splitlines()
    shown = [float(line.split()[1]) for line in lines if not line.startswith("epoch")]
    assert shown == losses
    last = next(line for line in reversed(lines) if line.startswith("epoch"))
    assert last == f"epoch {len(losses)}, batch 7 of 7: loss {losses[-1]:.4f}"


def test_what_an_observer_raises_ends_the_training(model: dlc.Model) -> None:
    class Refuses:
        def on_batches(self, progress: Progress, of: int) -> None:
            assert 0 < progress.batch <= of

        def on_epoch(self, record: EpochRecord, training: Training) -> None:
            raise ValueError(f"after epoch {record.epoch}")

    with pytest.raises(ValueError, match="after epoch 1"):
        model.fit(observer=Refuses())
