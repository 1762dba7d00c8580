"""What a generator wrote, as texts: up to the class that ends them, by the vocabulary of what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from dlc.runtime.data.preprocessing import Fitted
from dlc.runtime.endings import written_by

if TYPE_CHECKING:
    from dlc.runtime.program import Model


def generated_texts(model: Model, output: str, array: NDArray[Any]) -> list[str] | None:
    """The texts in an output (m, steps) of class numbers; of labels and of bare class numbers with blanks between them.

    The word that ends a text, and what stands behind it, are left out. None for an output that is not generated.
    """
    node = model.spec.checked.evaluation.roots[f"output.{output}"]
    while node.op != "generate" and len(node.inputs) == 1:
        (node,) = node.inputs
    written = written_by(node)
    if written is None:
        return None
    rows, until = array.astype(int).tolist(), node.attr("until")
    entry = model.preprocessing.entries.get(written) if model.preprocessing is not None else None
    if entry is not None and entry.vocabulary is not None:
        return [entry.vocabulary.decode(row, until) for row in rows]
    named = class_names(entry, model.spec.inputs[written].classes or 0)
    ends = [row.index(until) if until in row else len(row) for row in rows]
    return [" ".join(str(named[number]) for number in row[:end]) for row, end in zip(rows, ends, strict=True)]


def class_names(entry: Fitted | None, count: int) -> Sequence[object]:
    """What the classes of an input or target are called: by their labels, or the tokens of a vocabulary."""
    if entry is not None and entry.vocabulary is not None:
        return [*entry.vocabulary.tokens, *range(len(entry.vocabulary.tokens), count)]
    return entry.classes if entry is not None and entry.classes is not None else range(count)
