"""The programs that run, from the graphs of a checked model: prediction, gradients, the training step, evaluation.

Gradients follow the course's convention: the cotangent of a value belongs to the *summed* loss (`dZ = A - Y`), and
`1/m` stands at the parameters (`dW = 1/m dZ A.T`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from dlc.compiler.autodiff import cotangent_name, differentiate
from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.dims import Dim, DimTooLarge, TensorType, scalar
from dlc.compiler.elaborate.evaluation import Evaluation, evaluation_programs
from dlc.compiler.elaborate.optimizer import Optimizer, read_optimizer, regularization
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ops import OPS, Contraction
from dlc.compiler.passes import AFTER_GRADIENTS, BEFORE_CODE, BEFORE_GRADIENTS, prune, run
from dlc.compiler.passes.erase import plain_type
from dlc.compiler.program import CheckedModel, M, ParameterDeclaration, StateDeclaration
from dlc.grammar import ast

Clip = tuple[str, float]


@dataclass(frozen=True, slots=True)
class Programs:
    """What a compiled model can do.

    `graphs`: `forward` (roots `output.<name>`), `loss` and `backward` (roots `loss`, `cost`; backward also
    `gradient.<param>`, and `regularized.<param>` where there is regularization), `train` (roots `loss`, `cost`,
    `update.<name>`), `update` (the optimizer alone, on leaves `gradient(name)`); each is made when it is first asked
    for. `slots` are the optimizer's states by name. `evaluation` is how metrics are computed over a split.

    `sources` are graphs before the passes: whatever a program reads is a leaf of one of them. `results` are the types
    of all roots.
    """

    graphs: Mapping[str, Graph]
    slots: Mapping[str, StateDeclaration]
    evaluation: Evaluation
    sources: tuple[Graph, ...]
    results: Mapping[str, TensorType]


class _WhenAsked(Mapping[str, Graph]):
    """Graphs by title, each made once, when it is first asked for."""

    def __init__(self, ways: Mapping[str, Callable[[], Graph]], inside: Callable[[], AbstractContextManager[None]]):
        self.ways, self.inside = ways, inside
        self.made: dict[str, Graph] = {}

    def __getitem__(self, title: str) -> Graph:
        if title not in self.made:
            with self.inside():
                self.made[title] = self.ways[title]()
        return self.made[title]

    def __iter__(self) -> Iterator[str]:
        return iter(self.ways)

    def __len__(self) -> int:
        return len(self.ways)


def training_programs(
    checked: CheckedModel,
    optimizer: ast.Expr | None = None,
    regularize: Sequence[ast.Expr] = (),
    clip: Clip | None = None,
) -> Programs:
    """All programs of a model. Raises `DiagnosticError` where the optimizer or a regularizer is at fault."""
    counted = partial(_counted, checked, optimizer)
    outputs = {root: node for root, node in checked.evaluation.roots.items() if root.startswith("output.")}
    results = {root: node.type for root, node in outputs.items()}
    sources = [checked.evaluation]
    slots: dict[str, StateDeclaration] = {}

    def forward() -> Graph:
        passes = (prune, *BEFORE_GRADIENTS, *AFTER_GRADIENTS, *BEFORE_CODE)
        return run(Graph.of(outputs, checked.evaluation.names), passes, facts=checked.facts)

    ways: dict[str, Callable[[], Graph]] = {"forward": forward}
    with counted():
        evaluation = evaluation_programs(checked)
        if any(root.startswith("loss.") for root in checked.training.roots):
            rule = read_optimizer(checked, optimizer)
            update, slots = _update(checked, rule, clip)
            sources += [checked.training, checked.deterministic, update, _penalty(checked, regularize)]
            results |= _results(checked, update)
            ways["backward"] = lambda: run(
                gradient_graph(checked, regularize), (*AFTER_GRADIENTS, *BEFORE_CODE), facts=checked.facts
            )
            ways["loss"] = lambda: run(_only(graphs["backward"], ("loss", "cost")), (), facts=checked.facts)
            ways["train"] = lambda: _train(checked, rule, regularize, clip)
            ways["update"] = lambda: run(update, (*AFTER_GRADIENTS, *BEFORE_CODE))
    for level in evaluation.levels:
        sources.append(level)
        results |= {root: node.type for root, node in level.roots.items()}
    graphs = _WhenAsked(ways, counted)
    return Programs(graphs, slots, evaluation, tuple(sources), results)


@contextmanager
def _counted(checked: CheckedModel, optimizer: ast.Expr | None) -> Iterator[None]:
    """Tells of values that are too large to count as DiagnosticError."""
    try:
        yield
    except DimTooLarge as error:
        message = f"{checked.name} has values too large to count: {error}"
        raise DiagnosticError(Diagnostic("D118", message, optimizer.span if optimizer is not None else None)) from None


def _penalty(checked: CheckedModel, regularize: Sequence[ast.Expr]) -> Graph:
    """What regularization adds to the cost. Raises `DiagnosticError` where a regularizer is at fault."""
    b = Builder(checked.facts)
    weights = {n: _leaf(b, p) for n, p in checked.parameters.items() if p.weight and not p.frozen}
    total, _ = regularization(checked, b, regularize, weights)
    return Graph.of({} if total is None else {"penalty": total})


def _results(checked: CheckedModel, update: Graph) -> dict[str, TensorType]:
    """The types of what training gives, by root."""
    found = {"loss": scalar(), "cost": scalar()}
    for name, parameter in checked.parameters.items():
        if not parameter.frozen:
            found |= dict.fromkeys((f"gradient.{name}", f"regularized.{name}"), plain_type(parameter.type))
    for graph in (checked.training, update):
        found |= {root: node.type for root, node in graph.roots.items() if root.startswith("update.")}
    return found


def _only(graph: Graph, roots: Sequence[str]) -> Graph:
    return Graph.of({name: graph.roots[name] for name in roots}, graph.names)


@dataclass(slots=True)
class _Gradients:
    """A program's loss, cost and parameter gradients, all in one builder."""

    b: Builder
    loss: Node
    cost: Node
    plain: dict[str, Node]
    regularized: dict[str, Node]
    names: dict[str, Node]
    graph: Graph


def gradient_graph(checked: CheckedModel, regularize: Sequence[ast.Expr] = (), *, keep_names: bool = False) -> Graph:
    """The deterministic training program with its gradients; cotangents of named values are called `d<name>`.

    `keep_names` keeps every named value alive, for a derivation that speaks of `A[2]` although only the stable form
    of the loss is computed.
    """
    program = checked.deterministic
    if keep_names:
        named = {f"keep.{name}": node for name, node in checked.names.items()}
        program = Graph.of({**program.roots, **named}, checked.names)
    got = _differentiated(checked, program, regularize)
    roots = {"loss": got.loss, "cost": got.cost}
    roots |= {f"gradient.{name}": node for name, node in got.plain.items()}
    if regularize:
        roots |= {f"regularized.{name}": node for name, node in got.regularized.items()}
    if keep_names:
        roots |= {root: node for root, node in got.graph.roots.items() if root.startswith("keep.")}
    return Graph.of(roots, got.names)


def _differentiated(checked: CheckedModel, program: Graph, regularize: Sequence[ast.Expr]) -> _Gradients:
    graph = run(program, BEFORE_GRADIENTS, facts=checked.facts)
    b = Builder(checked.facts)
    leaves = _adopt(b, graph)
    learned = {n: leaves.get(n) or _leaf(b, p) for n, p in checked.parameters.items() if not p.frozen}
    losses = [node for root, node in graph.roots.items() if root.startswith("loss.")]
    per_example = any(node.type.rank for node in losses)
    count = b.size(Dim.symbol(M)) if per_example else None
    seeds = [(node, _seed(b, node, count)) for node in losses]
    cotangents = differentiate(b, seeds, list(learned.values()))
    loss = _mean(b, losses, count)
    names = _with_preactivations(graph)
    plain: dict[str, Node] = {}
    for name, leaf in learned.items():
        ct = cotangents.get(leaf)
        if ct is None:
            plain[name] = b.add("broadcast", b.constant(0.0), axes=leaf.type.axes)
        else:
            plain[name] = b.add("div", ct, count) if count is not None else ct
        names[cotangent_name(name)] = plain[name]
    for name, node in list(names.items()):
        if name not in learned and cotangents.get(node) is not None and node.op not in ("input", "one_hot"):
            ct = cotangents[node]
            assert ct is not None
            names.setdefault(cotangent_name(name), ct)
    weights = {n: leaves[n] for n, p in checked.parameters.items() if p.weight and not p.frozen and n in leaves}
    penalty, extra = regularization(checked, b, regularize, weights)
    cost = loss if penalty is None else b.add("add", loss, penalty)
    regularized = {name: b.add("add", node, extra[name]) if name in extra else node for name, node in plain.items()}
    return _Gradients(b, loss, cost, plain, regularized, names, graph)


def _with_preactivations(graph: Graph) -> dict[str, Node]:
    """The graph's names, and one for each unnamed `W @ A + b` of a layer: `dense[1].Z`, so that messages and the
    derivation can speak of it."""
    names, users, named = dict(graph.names), graph.users(), set(graph.names.values())
    for node in graph.nodes:
        path, dot, _ = str(node.attr("name")).rpartition(".")
        if node.op != "parameter" or not dot:
            continue
        for product in users[node]:
            if not isinstance(OPS[product.op], Contraction):
                continue
            sums = [user for user in users[product] if user.op == "add"]
            value = sums[0] if len(users[product]) == 1 and sums else product
            if value not in named:
                names.setdefault(f"{path}.Z", value)
    return names


def _adopt(b: Builder, graph: Graph) -> dict[str, Node]:
    """Lets `b` go on building on a finished graph: it knows the graph's nodes. Returns the parameters by name."""
    leaves: dict[str, Node] = {}
    for node in graph.nodes:
        b.adopt(node)
        if node.op == "parameter":
            leaves[str(node.attr("name"))] = node
    return leaves


def _leaf(b: Builder, parameter: ParameterDeclaration) -> Node:
    """A parameter that no loss reads: its gradient is zero."""
    return b.typed("parameter", (), (("name", parameter.name),), plain_type(parameter.type))


def _seed(b: Builder, node: Node, count: Node | None) -> Node:
    """The cotangent of a loss line in the summed loss: 1 for each example; m for a line without examples."""
    if node.type.rank:
        return b.add("broadcast", b.constant(1.0), axes=node.type.axes)
    return count if count is not None else b.constant(1.0)


def _mean(b: Builder, losses: Sequence[Node], count: Node | None) -> Node:
    """The reported loss: the mean over m of the lines that have it, plus the others."""
    total: Node | None = None
    for node in losses:
        term = node
        if node.type.rank:
            assert count is not None
            term = b.add("div", b.add("drop", b.add("sum", node, axes=(0,)), axes=(0,)), count)
        total = term if total is None else b.add("add", total, term)
    assert total is not None
    return total


def _train(checked: CheckedModel, rule: Optimizer, regularize: Sequence[ast.Expr], clip: Clip | None) -> Graph:
    """The whole step: forward, backward, the optimizer's update, and the model's own state changes."""
    got = _differentiated(checked, checked.training, regularize)
    gradients = _clipped(got.b, got.regularized, clip)
    updates, _ = rule.updates(got.b, gradients)
    roots = {"loss": got.loss, "cost": got.cost}
    roots |= {root: node for root, node in got.graph.roots.items() if root.startswith("update.")}
    roots |= updates
    return run(Graph.of(roots, got.names), (*AFTER_GRADIENTS, *BEFORE_CODE), facts=checked.facts)


def _update(checked: CheckedModel, rule: Optimizer, clip: Clip | None) -> tuple[Graph, dict[str, StateDeclaration]]:
    """The optimizer alone, on gradients that are given, before the passes; and its states."""
    b = Builder()
    given = {
        name: b.typed("gradient", (), (("name", name),), plain_type(parameter.type))
        for name, parameter in checked.parameters.items()
        if not parameter.frozen
    }
    updates, slots = rule.updates(b, _clipped(b, given, clip))
    return Graph.of(updates, {cotangent_name(name): node for name, node in given.items()}), slots


def _clipped(b: Builder, gradients: Mapping[str, Node], clip: Clip | None) -> dict[str, Node]:
    """Gradient clipping: by value elementwise, or by the norm of all gradients together (Pascanu et al. 2013)."""
    if clip is None:
        return dict(gradients)
    kind, limit = clip
    bound = b.constant(limit)
    if kind == "value":
        low = b.constant(-limit)
        return {name: b.add("max", low, b.add("min", bound, node)) for name, node in gradients.items()}
    total: Node | None = None
    for node in gradients.values():
        squares = b.add("mul", node, node)
        axes = tuple(range(node.type.rank))
        term = b.add("drop", b.add("sum", squares, axes=axes), axes=axes) if axes else squares
        total = term if total is None else b.add("add", total, term)
    if total is None:
        return dict(gradients)
    norm = b.add("sqrt", total)
    factor = b.add("div", bound, b.add("max", bound, norm))
    assert factor.type == scalar()
    return {name: b.add("mul", node, factor) for name, node in gradients.items()}
