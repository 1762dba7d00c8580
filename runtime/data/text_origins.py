"""Texts that become sequences, held against the declarations: which axis is time, how many classes there are.

`x : (m, T) index(V)`, `y : (V, m, T) one_hot`, `y : (1, m, T)`: beside m and the classes there is one axis, that of the
steps; others are written 1. Without it, one token is the whole example.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Related
from dlc.compiler.dims import Dim, Symbol
from dlc.compiler.settings import Selection, Tokens
from dlc.grammar.span import Span
from dlc.runtime.data.formats import Opened
from dlc.runtime.data.layout import Layout
from dlc.runtime.data.origins import Origin, declared, matching, require_columns
from dlc.runtime.data.parquet import NUMBERS, TEXTS


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Where the steps of a sequence stand in its physical array: `rank` axes, time at `place` (examples are at 0).

    `size` is the number of steps where it is fixed, `symbol` the dimension that is each example's own; both are None
    where there is no such axis, and `place` is then that of no axis.
    """

    rank: int
    place: int
    size: int | None = None
    symbol: Symbol | None = None

    @property
    def most(self) -> int | None:
        """The most steps that an example may have."""
        return self.symbol.upper if self.symbol is not None else self.size or 1


def time_axis(layout: Layout) -> TimeAxis:
    """The axis of the steps. Raises T404 where there are two, U901 for sizes that are computed from a dimension."""
    sizes = layout.declaration.type.sizes
    axes = [axis for axis in layout.label_axes if axis != layout.batch]
    long = [axis for axis in axes if layout.sizes[axis] != 1]
    if len(long) > 1:
        message = f"a text has one axis, that of its steps, and {layout.text} has {len(long)} beside m"
        rule = "x : (m, T) index(V), y : (V, m, T) one_hot or y : (1, m, T)"
        raise DiagnosticError(Diagnostic("T404", message, layout.declaration.span, rule=rule))
    if not long:
        return TimeAxis(1 + len(axes), 0)
    size, place = sizes[long[0]], 1 + axes.index(long[0])
    if size.constant is not None:
        return TimeAxis(1 + len(axes), place, int(size.constant))
    (symbol, *others) = size.symbols
    if others or size != Dim.symbol(symbol):
        message = f"{layout.text} has {size} steps: reading texts into a computed number of steps is not yet supported"
        raise DiagnosticError(Diagnostic("U901", message, layout.declaration.span))
    return TimeAxis(1 + len(axes), place, None, symbol)


def from_texts(layout: Layout, selection: Selection, files: list[Opened]) -> Origin:
    """The texts of a column, of the lines of a text, or one long text. Raises T402, T404, T405, V507, U901."""
    tokens = selection.tokens
    assert tokens is not None
    if layout.batch is None or layout.declaration.optional:
        what = "no m" if layout.batch is None else "optional values"
        message = f"{layout.text} has {what}: reading such data from texts is not yet supported"
        raise DiagnosticError(Diagnostic("U901", message, layout.declaration.span))
    time = time_axis(layout)
    _require_kind(layout, tokens, selection.span)
    if by_lines(selection, time):
        selection = replace(selection, kind="line")
    if selection.kind == "text":
        tokens = replace(tokens, window=_window(layout, tokens, time, selection.span))
    elif time.place == 0:
        message = f"{layout.text} is one class, and a {_part(selection)} has as many as it has {tokens.unit}"
        help = _declaration_help(layout)
        raise DiagnosticError(Diagnostic("T404", message, selection.span, related=declared(layout), help=help))
    if tokens.pad and time.symbol is not None:
        message = f"pad fills texts up to a fixed number of steps, and {time.symbol} is each text's own"
        raise DiagnosticError(Diagnostic("T402", message, selection.span, related=declared(layout)))
    columns = _column(layout, selection, files) if selection.kind == "column" else ()
    kind = "columns" if selection.kind == "column" else selection.kind
    assert kind in ("columns", "text", "line")
    tokens = replace(tokens, end=_ends(layout, tokens, time, whole=kind == "text"))
    return Origin(kind, layout, selection.span, columns=columns, texts=True, tokens=tokens)


def by_lines(selection: Selection, time: TimeAxis) -> bool:
    """Whether `chars` or `words` alone are those of each line: where nothing says how long a window of the text is."""
    tokens = selection.tokens
    if selection.kind != "text" or tokens is None or tokens.window or tokens.step or tokens.ahead:
        return False
    return time.symbol is not None and time.most is None


def notes(selections: Mapping[str, Selection], origins: Mapping[str, Origin]) -> list[Diagnostic]:
    """What was chosen where the `data:` block leaves it open."""
    found = []
    for name, origin in origins.items():
        if origin.kind == "line" and selections[name].kind == "text" and origin.tokens is not None:
            symbol = time_axis(origin.layout).symbol
            message = f"each line of the text is an example of {name}, as nothing says how long {symbol} is"
            help = f"write line -> {origin.tokens.unit} to say so; for windows of the whole text "
            help += f"{origin.tokens.unit}(window = 100), or dim {symbol} <= 100"
            found.append(Diagnostic("T403", message, origin.span, "note", help=help))
    return found


def _part(selection: Selection) -> str:
    return "line" if selection.kind == "line" else "cell"


def _declaration_help(layout: Layout) -> str:
    steps = f"({layout.declaration.classes}, m, T) one_hot" if layout.class_axis is not None else "(m, T)"
    kind = f" index({layout.declaration.classes})" if layout.declaration.index else ""
    return f"add `dim T` and declare {layout.declaration.role} {layout.name} : {steps}{kind}"


def _require_kind(layout: Layout, tokens: Tokens, span: Span) -> None:
    """Classes for what is counted, reals for numbers; no more classes than the model has."""
    classed = layout.class_axis is not None or layout.declaration.index
    count = layout.declaration.classes or 0
    if classed == (tokens.unit == "numbers"):
        holds = "real numbers" if tokens.unit == "numbers" else "classes"
        message = f"{tokens.unit} give {holds}, and {layout.text} takes {'classes' if classed else 'real numbers'}"
        help = "for classes write labels" if classed else "declare it one_hot or index(V); for numbers write numbers"
        raise DiagnosticError(Diagnostic("T404", message, span, related=declared(layout), help=help))
    if classed and not count:
        message = f"{layout.text} is one number for each class: texts give class numbers, of two classes or more"
        raise DiagnosticError(Diagnostic("T404", message, span, related=declared(layout)))
    if tokens.vocabulary is not None and tokens.vocabulary > count:
        message = f"the vocabulary has {tokens.vocabulary:,} {tokens.unit}, and {layout.text} has {count:,} classes"
        help = f"write vocabulary = {count}, or leave it out: it is then as large as the model says"
        raise DiagnosticError(Diagnostic("T404", message, span, related=declared(layout), help=help))


def _window(layout: Layout, tokens: Tokens, time: TimeAxis, span: Span) -> int:
    """How many steps of a whole text are one example."""
    if time.symbol is None:
        wanted = time.size or 1
        if tokens.window not in (None, wanted):
            message = f"{layout.text} has {wanted} step{'s' if wanted > 1 else ''}, the windows have {tokens.window}"
            raise DiagnosticError(Diagnostic("T404", message, span, related=declared(layout)))
        return wanted
    window, most = tokens.window or time.most, time.most
    if window is None:
        message = f"{layout.text} has as many steps as there are, and the text is long: how many are one example?"
        help = f"write {tokens.unit}(window = 100), or bound the dimension: dim {time.symbol} <= 100"
        raise DiagnosticError(Diagnostic("T403", message, span, related=declared(layout), help=help))
    if most is not None and window > most:
        message = f"the windows have {window} steps, and the model says `dim {time.symbol} <= {most}`"
        raise DiagnosticError(Diagnostic("T404", message, span, related=declared(layout)))
    return window


def _ends(layout: Layout, tokens: Tokens, time: TimeAxis, *, whole: bool) -> bool:
    """Whether `<EOS>` stands behind each text (each sentence of a whole one), where nothing is said."""
    if tokens.end is not None or tokens.unit not in ("chars", "words"):
        return bool(tokens.end)
    return tokens.unit == "words" if whole else layout.declaration.role == "target" and time.symbol is not None


def _column(layout: Layout, selection: Selection, files: list[Opened]) -> tuple[str, ...]:
    """The one column of texts."""
    columns = matching(selection, files[0])
    if len(columns) != 1:
        message = f"{selection.text} gives {len(columns)} columns, and a text is one"
        raise DiagnosticError(Diagnostic("T404", message, selection.span, related=declared(layout)))
    for file in files[1:]:
        require_columns(columns, file, f"{files[0].shown} has it")
    for file in files:
        require_texts(layout, columns[0], file, selection.span)
    return columns


def require_texts(layout: Layout, column: str, file: Opened, span: Span | None) -> None:
    """Raises V507 for a column that, as the header tells, holds no texts."""
    kind = file.kinds.get(column, TEXTS)
    if kind != TEXTS:
        message = f'column "{column}" of {file.shown} holds {kind}, {layout.text} is made of texts'
        help = "without -> chars or words, the column is read as numbers" if kind == NUMBERS else None
        raise DiagnosticError(Diagnostic("V507", message, span, related=declared(layout), help=help))


def require_sequence(layout: Layout, selection: Selection) -> None:
    """Raises T404 where a column is to fill a sequence, and nothing says what its steps are."""
    others = [size for axis, size in enumerate(layout.sizes) if axis not in (layout.batch, layout.class_axis)]
    if selection.kind != "column" or layout.batch is None or not layout.dimensions or set(others) > {None, 1}:
        return
    message = f"{layout.text} is a sequence, and {selection.text} is one value for each example"
    unit = "words" if layout.class_axis is not None or layout.declaration.index else "numbers"
    help = f"write {selection.text} -> {unit}"
    help += ", or -> chars; -> labels where the cell has names of classes" if unit == "words" else ""
    raise DiagnosticError(Diagnostic("T404", message, selection.span, related=declared(layout), help=help))


def disagreements(origins: Mapping[str, Origin]) -> list[Diagnostic]:
    """T402 where inputs of one text are not the same examples of it."""
    texts = [origin for origin in origins.values() if origin.kind in ("text", "line")]
    for first, other in pairwise(texts):
        assert first.tokens is not None
        assert other.tokens is not None
        related = (Related(f"{first.layout.name} is read here", first.span),)
        if first.kind != other.kind:
            names = f"{first.layout.name} and {other.layout.name}"
            message = f"{names} must be of the same examples: one takes lines, the other windows of the whole text"
            return [Diagnostic("T402", message, other.span, related=related)]
        if first.kind == "text" and _units(first.tokens) != _units(other.tokens):
            message = f"{first.layout.name} and {other.layout.name} cut one text into different steps"
            return [Diagnostic("T402", message, other.span, related=related, help="only ahead may differ")]
    return []


def vocabularies(origins: Iterable[Origin]) -> list[list[Origin]]:
    """The inputs that have a vocabulary, those together that share one: they read the same texts in the same way."""
    groups: dict[object, list[Origin]] = {}
    for origin in origins:
        if origin.tokens is not None and origin.tokens.unit in ("chars", "words"):
            key = (origin.kind, origin.columns, origin.tokens.unit, origin.tokens.lower)
            groups.setdefault(key, []).append(origin)
    return list(groups.values())


def most_classes(members: Iterable[Origin]) -> int:
    """How many classes the vocabulary that inputs share may have: those of the smallest."""
    return min(
        (origin.tokens and origin.tokens.vocabulary) or origin.layout.declaration.classes or 0 for origin in members
    )


def specials(members: Iterable[Origin]) -> tuple[bool, bool]:
    """Whether the vocabulary that inputs share has `<EOS>`, and whether it has `<PAD>`."""
    given = [origin.tokens for origin in members if origin.tokens is not None]
    return any(tokens.end for tokens in given), any(tokens.pad for tokens in given)


def crowded(origins: Mapping[str, Origin]) -> list[Diagnostic]:
    """T404 where the special tokens leave no class for any other."""
    for members in vocabularies(origins.values()):
        end, pad = specials(members)
        tokens, smallest = members[0].tokens, min(members, key=lambda origin: most_classes([origin]))
        assert tokens is not None
        taken = ["<EOS>"] * end + ["<UNK>"] * (tokens.unit == "words") + ["<PAD>"] * pad
        if len(taken) >= most_classes(members):
            count = most_classes(members)
            message = f"the vocabulary of {smallest.layout.name} has {count} class{'es' if count != 1 else ''}, "
            message += f"and {', '.join(taken)} leave{'s' if len(taken) == 1 else ''} none for {tokens.unit}"
            related = declared(smallest.layout)
            return [Diagnostic("T404", message, smallest.span, related=related)]
    return []


def copies(origins: Mapping[str, Origin]) -> list[Diagnostic]:
    """T408 where a target is the very window that an input is: the model need only copy it."""
    whole = [origin for origin in origins.values() if origin.kind == "text" and origin.tokens is not None]
    found = []
    for reader in (origin for origin in whole if origin.layout.declaration.role == "input"):
        for owner in (origin for origin in whole if origin.layout.declaration.role == "target"):
            if reader.tokens == owner.tokens:
                message = f"{reader.layout.name} and the target {owner.layout.name} are the same steps of the text"
                unit = reader.tokens.unit if reader.tokens is not None else ""
                help = f"write {owner.layout.name} = {unit}(ahead = 1) for the next one at each step"
                related = (Related(f"{reader.layout.name} is read here", reader.span),)
                found.append(Diagnostic("T408", message, owner.span, "warning", related=related, help=help))
    return found


def _units(tokens: Tokens) -> tuple[str, bool, bool, int | None]:
    """What inputs of one text have in common: which tokens there are, and where a window begins."""
    return tokens.unit, tokens.lower, bool(tokens.end), tokens.step


def window_step(origins: Mapping[str, Origin]) -> int:
    """How many tokens later the next window begins: where the longest ends, if nothing else is said."""
    texts = [origin.tokens for origin in origins.values() if origin.tokens is not None]
    given = next((tokens.step for tokens in texts if tokens.step is not None), None)
    return given or max(tokens.window or 1 for tokens in texts)
