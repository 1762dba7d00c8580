"""The three programs of one text, and which of them one walk over the text gives.

The walks of a text differ only where the text meets its mode: at a draw (`Context.deterministic`), below a `when`
(`Context.divided`), and behind a `:=`, whose new value counts in training alone. Most texts never do, and a large
network takes its time: what is provably the same is elaborated once.
"""

from __future__ import annotations

from collections.abc import Callable

from dlc.compiler.elaborate.context import Context

MODES = ("training", "deterministic", "evaluation")


def as_deterministic(training: Context) -> Context | None:
    """The deterministic program, where it is the training program without its updates; else None."""
    if training.random or _reads_an_update(training):
        return None
    return training.in_mode("deterministic")


def as_evaluation(training: Context) -> Context | None:
    """The evaluation program, where the text is the same while training and otherwise; else None."""
    return None if training.divided or training.updates else training.in_mode("evaluation")


def _reads_an_update(training: Context) -> bool:
    """Whether anything but the update itself may have read a state behind its `:=`: some node uses the new value, or a
    name or result is it."""
    new = training.changed
    if not new:
        return False
    found = [*training.metrics.values(), *training.outputs.values(), *training.losses]
    return (
        any(not new.isdisjoint(node.inputs) for node in training.b.made if node not in new)
        or not new.isdisjoint(training.names.values())
        or not new.isdisjoint(node for node, _ in found)
    )


SAME: dict[str, Callable[[Context], Context | None]] = {
    "deterministic": as_deterministic,
    "evaluation": as_evaluation,
}
"""For a mode, the function that gives its program from the training program where they are the same."""
