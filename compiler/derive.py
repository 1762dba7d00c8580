"""`dlc derive`: the backward pass as the course writes it, a dimension on each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.elaborate.training import gradient_graph
from dlc.compiler.equations import LatexPrinter, Printer, latex_name
from dlc.compiler.ir import Graph, Node
from dlc.compiler.ops import OPS, Contraction
from dlc.compiler.passes import SIMPLIFY, run
from dlc.compiler.program import CheckedModel
from dlc.grammar import ast


@dataclass(frozen=True, slots=True)
class DerivedLine:
    """`name = expression : shape`, e.g. `dZ[2] = A[2] - Y : (n[2], m)`."""

    name: str
    expression: str
    shape: str

    def __str__(self) -> str:
        return f"{self.name} = {self.expression} : {self.shape}"


def derivation(checked: CheckedModel, regularize: Sequence[ast.Expr] = (), *, latex: bool = False) -> list[DerivedLine]:
    """The lines of the backward pass, from the last layer to the first. A value is written out where it is used once
    and named where it is used again; parameters come right after the cotangent that they are made of."""
    graph = run(gradient_graph(checked, regularize), SIMPLIFY)
    prefix = "regularized." if regularize else "gradient."
    parameters = {root.removeprefix(prefix): node for root, node in graph.roots.items() if root.startswith(prefix)}
    graph = Graph.of({f"d{name}": node for name, node in parameters.items()}, graph.names)
    cotangents = _shared_cotangents(graph, set(parameters.values()))
    forward = {node: name for node, name in graph.name_of().items() if not _is_cotangent(name, graph)}
    names = forward | cotangents
    printer = (LatexPrinter if latex else Printer)(names)
    shapes = {line.name: line.written for line in checked.lines if line.written}
    lines = []
    for node, name in _ordered(graph, cotangents, parameters):
        shape = shapes.get(name.removeprefix("d")) or str(node.type)
        shown = latex_name(name) if latex else name
        lines.append(DerivedLine(shown, printer.text(node, root=True), shape))
    return lines


def render_derivation(checked: CheckedModel, regularize: Sequence[ast.Expr] = (), *, latex: bool = False) -> str:
    """What the command prints: aligned lines, or an `align*` environment."""
    lines = derivation(checked, regularize, latex=latex)
    if latex:
        body = " \\\\\n".join(rf"  {l.name} &= {l.expression} && \in {_latex_shape(l.shape)}" for l in lines)
        return f"\\begin{{align*}}\n{body}\n\\end{{align*}}"
    left = max((len(line.name) for line in lines), default=0)
    middle = max((len(line.expression) for line in lines), default=0)
    return "\n".join(f"{l.name:<{left}} = {l.expression:<{middle}} : {l.shape}" for l in lines)


def _latex_shape(shape: str) -> str:
    inner = shape.strip("()").replace("[", "^{[").replace("]", "]}")
    return rf"\mathbb{{R}}^{{{inner.replace(', ', r' \times ')}}}" if inner else r"\mathbb{R}"


def _is_cotangent(name: str, graph: Graph) -> bool:
    return name.startswith("d") and name[1:] in graph.names


def _shared_cotangents(graph: Graph, parameters: set[Node]) -> dict[Node, str]:
    """The named cotangents that more than one value reads; the others are written out where they are used."""
    users = graph.users()
    names = dict(graph.names) | _preactivations(graph)
    found: dict[Node, str] = {}
    for name, node in names.items():
        if node in found or node in parameters or not _is_cotangent_name(name, names):
            continue
        if len(set(users.get(node, []))) > 1 and node.inputs:
            found[node] = name
    return found


def _is_cotangent_name(name: str, names: dict[str, Node]) -> bool:
    return name.startswith("d") and name[1:] in names


def _preactivations(graph: Graph) -> dict[str, Node]:
    """Names for the `W @ A + b` of layers, which have none in the text: `dense[1].Z` and its cotangent."""
    return {name: node for name, node in graph.names.items() if name.endswith(".Z")}


def _ordered(
    graph: Graph, cotangents: dict[Node, str], parameters: dict[str, Node]
) -> list[tuple[Node, str]]:
    """Cotangents in the order of the backward pass, each followed by the parameters' gradients made of it."""
    position = {node: i for i, node in enumerate(n for n in graph.nodes if n in cotangents)}
    direct = {name: _last_cotangent(node, position) for name, node in parameters.items()}
    lines: list[tuple[Node, str]] = [(parameters[n], f"d{n}") for n, at in direct.items() if at < 0]
    for node, at in position.items():
        lines.append((node, cotangents[node]))
        lines += [(parameters[name], f"d{name}") for name, used in direct.items() if used == at]
    return lines


def _last_cotangent(node: Node, position: dict[Node, int]) -> int:
    """The latest shared cotangent that a gradient reads without another one between; -1 for none."""
    best, stack, seen = -1, list(node.inputs), set()
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in position:
            best = max(best, position[value])
        else:
            stack += value.inputs
    return best


__all__ = ["Contraction", "DerivedLine", "OPS", "derivation", "render_derivation"]
