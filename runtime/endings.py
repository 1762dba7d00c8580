"""What a generator of a program is told when it runs. Of the vocabulary of the data: the class number of the word that
ends it, `until = "<EOS>"`, and the classes that no training text has. And another way to choose words than the spec's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Related
from dlc.compiler.ir import Builder, Graph, Node, rebuild
from dlc.compiler.ops.generate import GENERATED, Choice, Prefix
from dlc.compiler.program import InputDeclaration
from dlc.runtime.data.preprocessing import Preprocessing
from dlc.runtime.data.tokens import END


@dataclass(frozen=True, slots=True)
class Words:
    """What vocabularies say: `ends` has the class number of a word by the input or target that is written and the word;
    `never` has, by the former, the classes that it is never written with, as no training text has them, in runs; and
    `begins` the classes that every text begins with."""

    ends: Mapping[tuple[str, str], int] = field(default_factory=dict)
    never: Mapping[str, tuple[range, ...]] = field(default_factory=dict)
    begins: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def written_by(node: Node) -> str | None:
    """The input or target whose words a `generate` node writes; None for another node."""
    return str(node.attr("name")).partition(GENERATED)[0] if node.op == "generate" else None


def ending_words(graphs: Iterable[Graph]) -> dict[tuple[str, str], Node]:
    """The words that generators of programs end with, by what they write, each with its node."""
    nodes = (node for graph in graphs for node in graph.nodes)
    return {(written_by(n) or "", word): n for n in nodes if isinstance(word := n.attr("until"), str)}


def known_words(graphs: Collection[Graph], preprocessing: Preprocessing) -> Words:
    """What the vocabularies know of what generators write."""
    ends = {}
    for name, word in ending_words(graphs):
        vocabulary = preprocessing.vocabularies.get(name)
        if vocabulary is not None and word in vocabulary.classes:
            ends[name, word] = vocabulary.classes[word]
    written = {written_by(node) for graph in graphs for node in graph.nodes}
    never = {name: known.never for name, known in preprocessing.vocabularies.items() if name in written and known.never}
    return Words(ends, never)


def require_words(
    graphs: Collection[Graph], preprocessing: Preprocessing, inputs: Mapping[str, InputDeclaration]
) -> None:
    """Raises V513 for a word that the data gives no class."""
    known = known_words(graphs, preprocessing)
    for (name, word), node in ending_words(graphs).items():
        if (name, word) in known.ends:
            continue
        vocabulary = preprocessing.vocabularies.get(name)
        message = f'until = "{word}" is no word of the vocabulary of {name}'
        help = f"the data of {name} has class numbers: write that of the last word"
        if vocabulary is not None:
            meant = vocabulary.near(word)
            ends = f"{vocabulary.unit}(end = on) puts {END} behind each text"
            if "\n" in vocabulary.classes:
                ends = (
                    f'write until = "\\n", or {name} = line -> chars: each line is then an example and ends with {END}'
                )
            help = f'did you mean "{meant}"?' if meant else ends
        related = (Related(f"{name} is declared here", inputs[name].span),) if name in inputs else ()
        raise DiagnosticError(Diagnostic("V513", message, node.span, related=related, help=help))


def with_classes(graph: Graph, words: Words) -> Graph:
    """The program with class numbers for the words that end its generators, with probability 0 for the classes that are
    never written, and 1 for those that a text begins with. Raises V513 for a word that is not known."""
    ending = ending_words([graph])
    for (name, word), node in ending.items():
        if (name, word) not in words.ends:
            message = f'until = "{word}" needs a vocabulary, and {name} has none yet'
            help = "train on a data: block that makes it of texts, or write the word's class number"
            raise DiagnosticError(Diagnostic("V513", message, node.span, help=help))
    bodies: dict[Prefix, Prefix] = {}

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        name, attrs = written_by(node), dict(node.attrs)
        if name is None:
            return None
        if isinstance(until := attrs["until"], str):
            attrs["until"] = words.ends[name, until]
        never, begin = words.never.get(name, ()), words.begins.get(name, ())
        if never or begin:
            step = attrs["step"]
            assert isinstance(step, Prefix)
            attrs["step"] = bodies[step] = bodies.get(step) or step.with_graph(_decided(step.graph, never, begin))
        return b.typed(node.op, inputs, tuple(sorted(attrs.items())), node.type, node.span)

    return rebuild(graph, rule) if ending or words.never or words.begins else graph


def _decided(graph: Graph, never: Sequence[range], begin: Sequence[int]) -> Graph:
    """What predicts words, with the probability 0 for some classes at every step, and 1 for one at each of the first
    steps. A step's probabilities still depend on its own prediction alone."""
    b = Builder()
    adopted = rebuild(graph, lambda *_: None, b)
    prediction = adopted.roots["prediction"]

    def wide(value: Node) -> Node:
        return b.add("broadcast", value, axes=prediction.type.axes)

    def held(op: str, number: Node, bound: int) -> Node:
        return wide(b.add(op, number, b.add("broadcast", b.constant(bound), axes=number.type.axes)))

    number = b.add("position", prediction, axis=0)  # of class k it is k + 1
    decided, zero, one = prediction, wide(b.constant(0.0)), wide(b.constant(1.0))
    for run in never:
        outside = b.add("or", held("le", number, run.start), held("gt", number, run.stop))
        decided = b.add("select", outside, decided, zero)
    step = b.add("position", prediction, axis=2)
    for place, word in enumerate(begin, 1):
        certain = b.add("select", held("eq", number, word + 1), one, zero)
        decided = b.add("select", held("eq", step, place), certain, decided)
    return Graph.of({**adopted.roots, "prediction": decided}, adopted.names)


def chosen_by(graph: Graph, by: Choice | None) -> Graph:
    """The program with another way to choose the words of all generators; None: as the spec says."""

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op != "generate":
            return None
        attrs = {**dict(node.attrs), "by": by}
        return b.typed(node.op, inputs, tuple(sorted(attrs.items())), node.type, node.span)

    return graph if by is None else rebuild(graph, rule)
