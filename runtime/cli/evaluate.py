"""`dlc evaluate`: what a trained model is worth, and where it errs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlc.runtime.cli.options import Common, Whole, verb
from dlc.runtime.cli.output import counted, number, print_json, shown_path, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dlc.runtime.cli.results import Classes, Opened
    from dlc.runtime.data.dataset import Examples

WIDEST_TABLE = 20
"""With more classes than this, the most frequent confusions are listed instead of a table."""
WIDEST_TEXT = 40


@verb("evaluate", "Metrics, confusion table and worst examples of a run, on its test split or on a file.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE", help="A file with inputs and targets.")
@click.option("--split", type=click.Choice(["train", "dev", "test"]), help="Another split than test.")
@click.option("--worst", type=Whole(0), default=5, metavar="N", help="How many of the worst examples.")
def command(common: Common, run: Path, data: Path | None, split: str | None, worst: int) -> int:
    from dlc.runtime.cli import results
    from dlc.runtime.memory import memory_told

    if data is not None and split is not None:
        raise click.UsageError("--data and --split both say what to evaluate on")
    opened = results.opened(common, run)
    if data is not None:
        name, examples = str(data), results.from_file(opened, data, True)
    else:
        name, examples = results.from_split(common, opened, split)
    with memory_told(examples):
        values = opened.model.measure(examples.arrays)
    seen = _Seen.of(opened, examples)
    bad = seen.worst(worst)
    if common.json:
        record: dict[str, Any] = {"run": shown_path(run), "epoch": opened.epoch, "data": name}
        record |= {"examples": examples.count, "metrics": values, "worst": bad}
        if seen.classes is not None:
            record["confusion"] = {"labels": seen.classes.labels, "counts": seen.counts().tolist()}
        print_json(record)
        return 0
    print(f"{shown_path(run)}, epoch {opened.epoch}\n{name}: {counted(examples.count, 'example')}\n")
    from dlc.runtime.metrics import shown

    print(table([(key, shown(value)) for key, value in values.items()], "<>"))
    if seen.classes is not None:
        print("\n" + confusion_text(seen.classes.labels, seen.counts()))
    if bad:
        print("\n" + _worst_text(bad))
    return 0


@dataclass(frozen=True, slots=True)
class _Seen:
    """A model's outputs beside the truth; `found` are those for all examples, where they are classes."""

    opened: Opened
    examples: Examples
    classes: Classes | None
    found: dict[str, NDArray[Any]]

    @staticmethod
    def of(opened: Opened, examples: Examples) -> _Seen:
        from dlc.runtime.cli.results import classes_of, outputs

        classes = classes_of(opened.model)
        if classes is not None and examples.arrays[classes.target].ndim != 1:
            classes = None
        return _Seen(opened, examples, classes, outputs(opened.model, examples) if classes is not None else {})

    def predicted(self) -> NDArray[Any]:
        assert self.classes is not None
        found: NDArray[Any] = self.found[self.classes.output].argmax(axis=self.classes.axis)
        return found

    def counts(self) -> NDArray[Any]:
        from dlc.runtime.data.columns import as_array
        from dlc.runtime.metrics import confusion

        assert self.classes is not None
        truth = as_array(self.examples.arrays[self.classes.target])
        return confusion(truth, self.predicted(), len(self.classes.labels))

    def worst(self, count: int) -> list[dict[str, Any]]:
        """The examples of the largest loss: the place, the truth, the prediction, the loss."""
        from dlc.runtime.metrics import example_losses

        model = self.opened.model
        losses = example_losses(model.engine, model.spec.checked, self.examples.arrays) if count else None
        if losses is None:
            return []
        order = (-losses).argsort(kind="stable")[:count].tolist()
        told = [self._classified(i) for i in order] if self.classes is not None else self._told(order)
        return [
            {"place": self.examples.place(i), **row, "loss": number(losses[i])}
            for i, row in zip(order, told, strict=True)
        ]

    def _classified(self, i: int) -> dict[str, Any]:
        assert self.classes is not None
        truth, labels = int(self.examples.arrays[self.classes.target][i]), self.classes.labels
        scores = self.found[self.classes.output][i]
        chosen = int(scores.argmax())
        name = labels[truth] if truth >= 0 else "?"
        return {"truth": name, "prediction": labels[chosen], "score": number(scores[chosen])}

    def _told(self, rows: list[int]) -> list[dict[str, Any]]:
        """The targets of some examples and what the model says: those that are single numbers, and texts. What a model
        without inputs writes is an answer to no example."""
        from dlc.runtime.cli.results import given_texts, outputs, shown_texts

        model, arrays = self.opened.model, self.examples.arrays
        inputs = model.spec.inputs
        columns: dict[str, Any] = {}
        for name in (name for name, declaration in inputs.items() if declaration.role == "target"):
            values = [arrays[name][i] for i in rows]
            columns[name] = given_texts(model, name, values) or _single(values)
        if any(declaration.role == "input" for declaration in inputs.values()):
            part = self.examples.chosen(rows)
            for name, array in outputs(model, part).items():
                columns[name] = shown_texts(model, name, array, part) or _single(list(array))
        told = {name: column for name, column in columns.items() if column is not None}
        return [{name: column[i] for name, column in told.items()} for i in range(len(rows))]


def _single(values: list[Any]) -> list[float] | None:
    """Single numbers; None where there are more."""
    alone = all(value.size == 1 for value in values)
    return [number(value.reshape(-1)[0]) for value in values] if alone else None


def confusion_text(labels: tuple[str, ...], counts: NDArray[Any]) -> str:
    """Rows are the truth, columns the prediction; a zero is a dot, so that the diagonal and the errors stand out."""
    total, right = counts.sum(axis=1), counts.diagonal()
    if len(labels) > WIDEST_TABLE:
        return _frequent(labels, counts)
    short = [label if len(label) <= 12 else label[:11] + "…" for label in labels]
    heads = [label if len(label) <= 5 else label[:4] + "…" for label in short]
    rows = [
        (short[i], *(str(n) if n else "." for n in counts[i]), f"{right[i] / total[i]:.1%}" if total[i] else "")
        for i in range(len(labels))
    ]
    predicted = counts.sum(axis=0)
    shares = [f"{right[j] / predicted[j]:.0%}" if predicted[j] else "" for j in range(len(labels))]
    rows.append(("right", *shares, ""))
    title = "confusion: a row for each true class, a column for each predicted one"
    return f"{title}\n{table(rows, '<' + '>' * (len(labels) + 1), ('', *heads, 'right'))}"


def _frequent(labels: tuple[str, ...], counts: NDArray[Any]) -> str:
    pairs = [(int(n), i, j) for (i, j), n in _cells(counts) if i != j and n]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    rows = [(labels[i], labels[j], str(n)) for n, i, j in pairs[:20]]
    return "the most frequent confusions\n" + table(rows, "<<>", ("truth", "prediction", "count"))


def _cells(counts: NDArray[Any]) -> Any:
    import numpy as np

    return np.ndenumerate(counts)


def _worst_text(bad: list[dict[str, Any]]) -> str:
    from dlc.runtime.metrics import shown

    keys = list(bad[0])
    rows = [[shown(value) if isinstance(value, float) else _short(value) for value in row.values()] for row in bad]
    align = "".join("<" if key == "place" else ">" for key in keys)
    return "the worst examples\n" + table(rows, align, keys)


def _short(text: object) -> str:
    """A text in one line, its beginning."""
    line = " ".join(str(text).split())
    return line if len(line) <= WIDEST_TEXT else line[: WIDEST_TEXT - 1] + "…"
