"""What a generator of a program is told when it runs: the class number of the word that ends it, `until = "<EOS>"`,
which is known with the vocabulary of the data; and another way to choose words than the spec's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Related
from dlc.compiler.ir import Builder, Graph, Node, rebuild
from dlc.compiler.ops.generate import GENERATED, Choice
from dlc.compiler.program import InputDeclaration
from dlc.runtime.data.preprocessing import Preprocessing
from dlc.runtime.data.tokens import END

Words = Mapping[tuple[str, str], int]
"""The class number of a word, by the input or target that is written and the word."""


def written_by(node: Node) -> str | None:
    """The input or target whose words a `generate` node writes; None for another node."""
    return str(node.attr("name")).partition(GENERATED)[0] if node.op == "generate" else None


def ending_words(graphs: Iterable[Graph]) -> dict[tuple[str, str], Node]:
    """The words that generators of programs end with, by what they write, each with its node."""
    nodes = (node for graph in graphs for node in graph.nodes)
    return {(written_by(n) or "", word): n for n in nodes if isinstance(word := n.attr("until"), str)}


def known_words(graphs: Iterable[Graph], preprocessing: Preprocessing) -> dict[tuple[str, str], int]:
    """The classes of these words, of those that a vocabulary has."""
    found = {}
    for name, word in ending_words(graphs):
        vocabulary = preprocessing.vocabularies.get(name)
        if vocabulary is not None and word in vocabulary.classes:
            found[name, word] = vocabulary.classes[word]
    return found


def require_words(
    graphs: Collection[Graph], preprocessing: Preprocessing, inputs: Mapping[str, InputDeclaration]
) -> None:
    """Raises V513 for a word that the data gives no class."""
    known = known_words(graphs, preprocessing)
    for (name, word), node in ending_words(graphs).items():
        if (name, word) in known:
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
    """The program with class numbers for the words that end its generators. Raises V513 for one that is not known."""
    ending = ending_words([graph])
    for (name, word), node in ending.items():
        if (name, word) not in words:
            message = f'until = "{word}" needs a vocabulary, and {name} has none yet'
            help = "train on a data: block that makes it of texts, or write the word's class number"
            raise DiagnosticError(Diagnostic("V513", message, node.span, help=help))
    return rebuild(graph, lambda b, node, inputs: _with_class(b, node, inputs, words)) if ending else graph


def chosen_by(graph: Graph, by: Choice | None) -> Graph:
    """The program with another way to choose the words of all generators; None: as the spec says."""

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op != "generate":
            return None
        attrs = {**dict(node.attrs), "by": by}
        return b.typed(node.op, inputs, tuple(sorted(attrs.items())), node.type, node.span)

    return graph if by is None else rebuild(graph, rule)


def _with_class(b: Builder, node: Node, inputs: tuple[Node, ...], words: Words) -> Node | None:
    word = node.attr("until")
    if not isinstance(word, str):
        return None
    attrs = {**dict(node.attrs), "until": words[written_by(node) or "", word]}
    return b.typed(node.op, inputs, tuple(sorted(attrs.items())), node.type, node.span)
