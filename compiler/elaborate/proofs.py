"""What is proved about whole programs, beyond the dimensions of each line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dlc.compiler.diagnostics import Diagnostic, Related
from dlc.compiler.dims import same_sizes
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.evaluation import folds_examples, is_additive, not_additive, pairs
from dlc.compiler.elaborate.report import Findings
from dlc.compiler.elaborate.shapes import is_batch
from dlc.compiler.ir import Graph, Node, bodies, topological
from dlc.compiler.ops import OPS, Contraction, Movement, Reduction
from dlc.compiler.passes import prune
from dlc.compiler.program import CheckedModel, M, covers
from dlc.grammar.span import Span

MOST_SHOWN = 3
"""Further places that one warning shows."""


def prove_programs(checked: CheckedModel, training: Context, evaluation: Context, findings: Findings) -> None:
    """Outputs depend on no target and on one example at a time; parameters and losses reach each other."""
    for name, (node, span) in evaluation.outputs.items():
        values = prune(Graph.of({name: node})).nodes
        _no_target(checked, name, values, span, findings)
        _example_independent(values, span, findings)
    _batch_by_batch(evaluation, findings)
    asked_for_gaps(training, findings)
    _reached(checked, training, findings)
    _zero_weights(checked, findings)
    _cancelled_biases(checked, training, findings)
    if not findings.failed:
        _without_loss(checked, training, findings)


def same_in_all(programs: Mapping[str, Context], findings: Findings) -> None:
    """Training and evaluation are one network: the same inputs and parameters, and the same shapes by name."""
    training, evaluation = programs["training"], programs["evaluation"]
    for one, other, where in ((training, evaluation, "when training:"), (evaluation, training, "otherwise:")):
        for name, found in one.inputs.items():
            if name not in other.inputs:
                _declared_in_one(name, found.span, where, findings)
        for name, pending in (one.parameters | one.states).items():
            if name not in other.parameters and name not in other.states and where == "otherwise:":
                _declared_in_one(name, pending.place, where, findings)
    for name, node in training.names.items():
        theirs = evaluation.names.get(name)
        if theirs is not None and same_sizes(node.type, theirs.type) is not None:
            first, second = training.parameters.get(name), evaluation.parameters.get(name)
            place = first.place if first is not None else node.span
            elsewhere = second.place if second is not None else theirs.span
            findings.add(
                Diagnostic(
                    "D116",
                    f"{name} is {node.type} while training and {theirs.type} otherwise",
                    place,
                    label=str(node.type),
                    related=(Related(f"{theirs.type} here", elsewhere),) if elsewhere is not None else (),
                    rule="a name that both branches define has the same shape in both",
                )
            )
            return


def _declared_in_one(name: str, span: Span, where: str, findings: Findings) -> None:
    message = f"{name} is declared under `{where}`, so only one of the programs would have it"
    findings.add(Diagnostic("N213", message, span, help="declare it above, and choose what is done with it below"))


def asked_for_gaps(e: Context, findings: Findings) -> None:
    """A missing value counts as 0; a program that never asks `known` would learn from zeros that nobody measured."""
    names = {e.inputs[name].name: node for name, node in e.names.items() if name in e.inputs}
    for name, node in names.items():
        declaration = e.inputs[name]
        if declaration.optional and node not in e.asked:
            findings.warn(
                "P310",
                f"{name} may be missing, and the model never asks known({name}): a missing value counts as 0",
                declaration.span,
                help=f"weigh what it takes part in: `loss known({name}) * …`",
            )


def _batch_by_batch(evaluation: Context, findings: Findings) -> None:
    """Losses and metrics are computed over a split one batch at a time. What rests on a value that cannot be is not
    refused again."""
    measured = [*evaluation.losses, *evaluation.metrics.values()]
    refused: set[Node] = set()
    for node in topological([node for node, _ in measured]):
        if any(value in refused for value in node.inputs):
            refused.add(node)
        elif folds_examples(node) and not is_additive(node):
            refused.add(node)
            findings.add(not_additive(node))


def _no_target(checked: CheckedModel, name: str, values: tuple[Node, ...], span: Span, findings: Findings) -> None:
    for node in values:
        if node.op != "input":
            continue
        declaration = checked.inputs[str(node.attr("name"))]
        if declaration.role == "target":
            findings.add(
                Diagnostic(
                    "P301",
                    f"the output {name} depends on the target {declaration.name}",
                    span,
                    related=(
                        Related(f"{declaration.name} is given in training and evaluation only", declaration.span),
                    ),
                    rule="losses and metrics may read a target; what `predict` returns may not",
                )
            )


def _example_independent(values: tuple[Node, ...], span: Span, findings: Findings) -> None:
    """No reduction or contraction over `m` on the way to an output, and no `m` as a number."""
    for outer in values:
        node = _in_step(outer) if folds_examples(outer) else outer
        if folds_examples(node) and node.span is not None:
            findings.add(mixes_examples(node))
    counted = [node for node in _with_steps(values) if _counts_examples(node)]
    if counted:
        readers = (node.span for node in _with_steps(values) if any(value in counted for value in node.inputs))
        findings.add(
            Diagnostic(
                "P302",
                "this mixes examples: a prediction would change with the number of examples beside it",
                next((place for place in readers if place is not None), span),
                label="reads m, the number of examples in the batch",
                rule="only losses, metrics and `when training:` may mix examples",
            )
        )


def _with_steps(values: Iterable[Node]) -> Iterator[Node]:
    """Nodes, and those of the loops among them."""
    for node in values:
        yield node
        for body in bodies(node):
            yield from _with_steps(body.graph.nodes)


def _counts_examples(node: Node) -> bool:
    """Whether a value is the number of examples."""
    return node.op == "size" and M in node.attr("dim").symbols


def mixes_examples(node: Node) -> Diagnostic:
    return Diagnostic(
        "P302",
        "this mixes examples: a prediction for one example would depend on the others",
        node.span,
        label=_how_mixed(node),
        rule="only losses, metrics and `when training:` may mix examples",
        help=_apart(node),
    )


def _apart(node: Node) -> str | None:
    """How what mixes examples is meant, as far as its shape tells."""
    type = node.inputs[0].type
    if not isinstance(OPS[node.op], Reduction):
        return None
    if node.inputs[0].op == "exp":
        return "a softmax goes over the features: leave `over` out, or write `over = features`"
    if type.rank > 1 and is_batch(type.axes[0].size):
        return "for a feature map (m, …, n_C) the features are `over = features`"
    return "a `state` keeps an average over the batches, changed `when training:`, as in BatchNorm"


def _how_mixed(node: Node) -> str:
    if pairs(node):
        return f"{node.type}: each example beside every other"
    what = "moves elements along m" if isinstance(OPS[node.op], Movement) else "sums over m"
    return f"{what} of {node.inputs[0].type}"


def _in_step(node: Node) -> Node:
    """The operation that folds the examples: of a loop, one in its step."""
    for body in bodies(node):
        for inner in body.graph.nodes:
            if folds_examples(inner) and inner.span is not None:
                return _in_step(inner)
    return node


def _reached(checked: CheckedModel, training: Context, findings: Findings) -> None:
    """Every parameter is reached by a loss, and every loss reaches a parameter."""
    reached: set[str] = set()
    for node, span in training.losses:
        names = {str(value.attr("name")) for value in topological([node]) if value.op == "parameter"}
        reached |= names
        if not names and checked.parameters:
            findings.warn("P304", "this loss reaches no parameter: nothing can be learned from it", span)
    for name, parameter in checked.parameters.items():
        if training.losses and name not in reached and not parameter.frozen:
            findings.warn(
                "P303",
                f"no loss reaches the parameter {name}: it stays at its first value",
                training.parameters[name].place,
            )


def _zero_weights(checked: CheckedModel, findings: Findings) -> None:
    """Hidden weights that begin at zero stay alike: every unit of the layer learns the same."""
    graph: Graph = checked.training
    users = graph.users()
    for parameter in checked.parameters.values():
        if not parameter.weight or not _is_zero(parameter.initial.graph.roots["value"]):
            continue
        leaf = next((n for n in graph.nodes if n.op == "parameter" and n.attr("name") == parameter.name), None)
        if leaf is not None and parameter.shape[0] > 1 and _feeds_a_contraction(leaf, users):
            findings.warn(
                "P307",
                f"{parameter.name} begins at zero: all units of this layer compute the same and learn the same",
                parameter.span,
                help="draw the first weights: `~ he`",
            )


def _is_zero(first: Node) -> bool:
    """Whether a first value is the number 0, however it is spread."""
    source = _unmoved(first)
    return source.op == "constant" and source.attr("value") == 0


def _unmoved(node: Node) -> Node:
    """What a value was before its elements were moved, repeated or renamed."""
    while isinstance(OPS[node.op], Movement) and len(node.inputs) == 1:
        node = node.inputs[0]
    return node


def _feeds_a_contraction(leaf: Node, users: dict[Node, list[Node]]) -> bool:
    """Whether what a weight computes is used by another weight's contraction: its layer is hidden. A product of two
    computed values is none: what they are multiplied with differs from unit to unit."""
    seen: set[tuple[Node, bool]] = set()
    stack = [(leaf, False)]
    while stack:
        node, contracted = stack.pop()
        for user in users.get(node, []):
            contracts = isinstance(OPS[user.op], Contraction)
            if contracts and contracted and any(_unmoved(each).op == "parameter" for each in user.inputs):
                return True
            if (user, contracted or contracts) not in seen:
                seen.add((user, contracted or contracts))
                stack.append((user, contracted or contracts))
    return False


def _cancelled_biases(checked: CheckedModel, training: Context, findings: Findings) -> None:
    """A bias that is added just before a mean is subtracted, along axes on which the bias is one number, has no effect:
    batch normalization takes it away again."""
    graph = checked.training
    users = graph.users()
    places: dict[Span, str] = {}
    given = [place for load in checked.loads for place, _ in load.places]
    for leaf in graph.nodes:
        parameter = checked.parameters.get(str(leaf.attr("name"))) if leaf.op == "parameter" else None
        if parameter is None or parameter.weight:
            continue  # a parameter whose initializer failed is not among them
        if parameter.frozen or any(covers(place, parameter.name) for place in given):
            continue  # the network was trained with it, and is written as it was trained
        sums = [node for alias in _same_value(leaf, users) for node in users[alias] if node.op == "add"]
        if len(sums) == 1 and _loses_its_mean(sums[0], leaf, users):
            places.setdefault(training.parameters[parameter.name].place, parameter.name)
    if places:
        _tell_cancelled(places, findings)


def _tell_cancelled(places: Mapping[Span, str], findings: Findings) -> None:
    """One warning for all biases: who has one has them in every layer."""
    (first, name), *others = places.items()
    have = "have" if len(others) > 1 else "has"
    many = f"; nor {have} {_listed([other for _, other in others])}" if others else ""
    findings.warn(
        "P308",
        f"{name} has no effect: the normalization after it subtracts the mean, and the bias with it{many}",
        first,
        related=[(f"{other} here", place) for place, other in others[:MOST_SHOWN]],
        help="leave the bias out: the shift is the normalization's own (`ConvNorm` is a convolution without)",
    )


def _listed(names: Sequence[str]) -> str:
    """`b[2], b[3] and 4 more`"""
    if len(names) > MOST_SHOWN:
        return f"{', '.join(names[:MOST_SHOWN])} and {len(names) - MOST_SHOWN} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _same_value(node: Node, users: dict[Node, list[Node]]) -> list[Node]:
    """The value under all its names and with its written 1s put in."""
    found = [node]
    for value in found:
        found += [user for user in users[value] if user.op in ("rename", "expand") and user not in found]
    return found


def _loses_its_mean(total: Node, bias: Node, users: dict[Node, list[Node]]) -> bool:
    """Whether all that reads Y + b is its mean, along axes on which b is one number, and its difference from it."""
    aliases = _same_value(total, users)
    readers = [user for alias in aliases for user in users[alias] if user.op not in ("rename", "expand")]
    named = _same_value(bias, users)
    shape = next(value.type for value in total.inputs if value in named)
    means = {
        quotient
        for fold in readers
        if fold.op == "sum" and all(shape.rank and shape.sizes[axis].constant == 1 for axis in fold.attr("axes"))
        for quotient in users[fold]
        if quotient.op == "div" and quotient.inputs[0] is fold
    }
    folds = {mean.inputs[0] for mean in means}
    means |= {alias for mean in means for alias in _same_value(mean, users)}
    differences = [
        user for user in readers if user.op == "sub" and user.inputs[0] in aliases and user.inputs[1] in means
    ]
    return bool(differences) and all(user in folds or user in differences for user in readers)


def _without_loss(checked: CheckedModel, training: Context, findings: Findings) -> None:
    """A model that means to be trained has a loss; `loss = …` is an equation."""
    if training.losses:
        return
    equation = next((line for line in checked.lines if line.name == "loss"), None)
    targets = [declaration for declaration in checked.inputs.values() if declaration.role == "target"]
    if equation is not None:
        help = f"write `loss {equation.rule.partition('=')[2].strip()}`, without =, to make it small"
        findings.warn(
            "P309", "this equation gives a value the name loss; the model has no `loss` line", equation.span, help=help
        )
    elif checked.train is not None or targets:
        place = checked.train.span if checked.train is not None else targets[0].span
        help = "write `loss …`, or leave the target out" if targets else "write `loss …`"
        findings.warn("P309", f"{checked.name} has no loss: there is nothing to train it for", place, help=help)
