"""What a generator writes, as texts, by the vocabulary of what it writes: up to the class that ends them, and from a
beginning that is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from dlc.compiler.settings import Tokens
from dlc.runtime.data.preprocessing import Fitted
from dlc.runtime.data.tokens import pieces
from dlc.runtime.endings import Words, written_by

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


def begun(model: Model, text: str) -> Words:
    """What the generators of a model are told so that each text that they write begins with this one. Raises ValueError
    with the reason where one cannot."""
    words = model.engine.words
    begins: dict[str, tuple[int, ...]] = {}
    for node in model.spec.checked.evaluation.nodes:
        if (name := written_by(node)) is None:
            continue
        entry = model.preprocessing.entries.get(name) if model.preprocessing is not None else None
        if entry is None or entry.vocabulary is None:
            raise ValueError(f"{name} has class numbers and no vocabulary")
        known, until, longest = entry.vocabulary, node.attr("until"), node.attr("longest")
        tokens = pieces(text, Tokens(known.unit, lower=known.lower))
        for token in tokens:
            if token not in known.classes:
                raise ValueError(f"{token!r} is not in the vocabulary of {name}")
        begins[name] = tuple(known.classes[token] for token in tokens)
        if (until if isinstance(until, int) else words.ends.get((name, str(until)))) in begins[name]:
            raise ValueError(f"{until!r} ends a text of {name}, so that nothing is written behind it")
        if isinstance(longest, int) and len(tokens) >= longest:
            raise ValueError(f"it has {len(tokens)} {known.unit}, and a text of {name} at most {longest}")
    return replace(words, begins=begins)
