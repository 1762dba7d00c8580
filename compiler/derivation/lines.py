"""`dlc derive`: the backward pass as the course writes it, a dimension on each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.autodiff import cotangent_name
from dlc.compiler.derivation.loops import Loops
from dlc.compiler.derivation.unpadded import without_padding
from dlc.compiler.elaborate.training import gradient_graph
from dlc.compiler.equations import LatexPrinter, Printer, latex_name
from dlc.compiler.ir import Graph, Node
from dlc.compiler.passes import AFTER_GRADIENTS, run
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
    padded = gradient_graph(checked, regularize, keep_names=True)
    full = run(without_padding(padded), AFTER_GRADIENTS, facts=checked.facts)
    prefix = "regularized." if regularize else "gradient."
    parameters = {root.removeprefix(prefix): node for root, node in full.roots.items() if root.startswith(prefix)}
    graph = Graph.of({cotangent_name(name): node for name, node in parameters.items()}, full.names)
    cotangents = _shared_cotangents(graph, full, set(parameters.values()))
    forward = {node: name for node, name in full.name_of().items() if _forward_of(name, full) is None}
    loops = Loops(forward, cotangents)
    printer = (LatexPrinter if latex else Printer)({})
    shapes = {line.name: line.written for line in checked.lines if line.written and "." not in line.name}
    steps = {cotangent_name(name.removesuffix("<0>")): shape for name, shape in shapes.items() if name.endswith("<0>")}
    collected: set[str] = set()
    lines = []

    def line(name: str, node: Node, shape: str) -> None:
        lines.append(DerivedLine(latex_name(name) if latex else name, printer.text(node, root=True), shape))

    for node, name in _ordered(graph, cotangents, parameters):
        written = loops.spelled(node)
        for equation in loops.behind([node]):
            sequence = equation.name.partition("<")[0]
            collected.add(sequence)
            line(equation.name, equation.node, steps.get(sequence) or str(equation.node.type))
        if name not in collected:
            line(name, written, shapes.get(_forward_of(name, full) or "") or str(node.type))
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
    inner = shape.strip("()").replace("[", "^{[").replace("]", "]}").replace(", ", r" \times ")
    return rf"\mathbb{{R}}^{{{inner}}}" if inner else r"\mathbb{R}"


def _forward_of(name: str, graph: Graph) -> str | None:
    """The value whose cotangent is called `name`; None where it is no cotangent's name."""
    path, dot, last = name.rpartition(".")
    forward = f"{path}{dot}{last[1:]}"
    return forward if last.startswith("d") and forward in graph.names else None


def _shared_cotangents(graph: Graph, full: Graph, parameters: set[Node]) -> dict[Node, str]:
    """The named cotangents that more than one value reads; the others are written out where they are used."""
    users = graph.users()
    names = graph.names
    found: dict[Node, str] = {}
    for name, node in names.items():
        if node in found or node in parameters or _forward_of(name, full) is None:
            continue
        if len(set(users.get(node, []))) > 1 and node.inputs:
            found[node] = name
    return found


def _ordered(graph: Graph, cotangents: dict[Node, str], parameters: dict[str, Node]) -> list[tuple[Node, str]]:
    """Cotangents in the order of the backward pass, each followed by the parameters' gradients made of it."""
    position = {node: i for i, node in enumerate(n for n in graph.nodes if n in cotangents)}
    direct = {name: _last_cotangent(node, position) for name, node in parameters.items()}
    lines: list[tuple[Node, str]] = [(parameters[n], cotangent_name(n)) for n, at in direct.items() if at < 0]
    for node, at in position.items():
        lines.append((node, cotangents[node]))
        lines += [(parameters[name], cotangent_name(name)) for name, used in direct.items() if used == at]
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


__all__ = ["DerivedLine", "derivation", "render_derivation"]
