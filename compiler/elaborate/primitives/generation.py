"""`generate`: a model that is fed its own words.

What depends on the words, or on how many there are, is cut out of the program and becomes the body of `generate`; all
else is computed once. The proof that no step reads its own word or a later one is `causal.py`'s.
"""

from __future__ import annotations

from math import inf
from typing import Any

from dlc.compiler.dims import Axis, Dim, TensorType, Truth, equal, same_sizes
from dlc.compiler.elaborate.arithmetic import is_number
from dlc.compiler.elaborate.causal import reads_ahead
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.evaluation import folds_examples
from dlc.compiler.elaborate.primitives.registry import PRIMITIVES, REQUIRED, Signature, Site
from dlc.compiler.elaborate.probabilities import no_probability
from dlc.compiler.elaborate.report import Poisoned, Stop, stop
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Tensor, describe
from dlc.compiler.ir import Builder, Graph, Node, topological
from dlc.compiler.ops.generate import GENERATED, Beam, Choice, Greedy, Prefix, Sampling
from dlc.compiler.program import M
from dlc.grammar import ast

LONGEST, WIDEST, STEEPEST = 100_000, 10_000, 10
"""The most steps of a text, candidates of a beam, and the largest alpha: beyond them nothing would ever be written."""
BY = "by = greedy, sample(temperature = 0.8, top_k = 40) or beam(width = 3, alpha = 0.7)"
DRAWS = ("draw_uniform", "draw_normal")


def _generate(e: Context, site: Site) -> Any:
    """Class indices (m, max): each step's word is chosen from `from` and fed back as y."""
    words = _fed_back(e, site)
    prediction = site.given["from"]
    if not isinstance(prediction, Tensor):
        raise stop("N214", f"`from` is a prediction, not {describe(prediction)}", site.place("from"))
    examples, steps = words.type.axes
    classes = words.type.classes
    assert classes is not None
    wanted = TensorType((Axis(classes), examples, steps))
    if same_sizes(prediction.type, wanted, e.b.facts) is not None:
        shown = written(site.exprs["from"], site.scope) if "from" in site.exprs else "the prediction"
        raise stop(
            "D102",
            f"{shown} is {prediction.type}, and a word of {_name(words)} is chosen from {wanted}",
            site.place("from"),
            label=str(prediction.type),
            rule="y_hat : (V, m, T) has a probability for each class at each step",
        )
    _probabilities(e, site, prediction.node, words)
    _causal(e, site, prediction.node, words, steps.size)
    name, longest = _draw_name(e, words), _longest(e, site, steps.size)
    step, constants = _cut_out(e, site, prediction.node, words, steps.size, longest, name)
    return Tensor(
        e.b.add(
            "generate",
            *constants,
            span=e.findings.place(site.span),
            step=step,
            take="words",
            by=_choice(e, site),
            until=_until(e, site, classes),
            longest=longest,
            examples=examples,
            name=name,
        )
    )


PRIMITIVES["generate"] = Signature(
    (("y", REQUIRED), ("from", REQUIRED), ("until", None), ("max", None), ("by", None)), _generate, patterns=("by",)
)


def _name(words: Node) -> str:
    return str(words.attr("name"))


def _fed_back(e: Context, site: Site) -> Node:
    """The leaf of class indices (m, T) behind the first argument."""
    y = site.given["y"]
    node = y.node if isinstance(y, Tensor) else None
    while node is not None and node.op in ("rename", "one_hot") and node.inputs:
        node = node.inputs[0]
    if node is None or node.op != "input" or node.type.kind != "index":
        shown = written(site.exprs["y"], site.scope) if "y" in site.exprs else "this"
        raise stop(
            "N214",
            f"generate writes the words of an input or a target, and {shown} is none that holds classes",
            site.place("y"),
            help="declare it so: `target y : (V, m, T) one_hot`, or `input y : (m, T) index(V)`",
        )
    axes = node.type.axes
    times = [Dim.symbol(symbol) for symbol in axes[-1].size.symbols]
    if len(axes) != 2 or axes[0].size != Dim.symbol(M) or times not in ([], [axes[1].size]):
        raise stop(
            "D102",
            f"generate writes one word for each example and step, and {_name(node)} is {node.type} of classes",
            site.place("y"),
            rule="y : (V, m, T) one_hot or y : (m, T) index(V)",
        )
    return node


def _causal(e: Context, site: Site, prediction: Node, words: Node, steps: Dim) -> None:
    """y_hat<t> reads y<t-1> and earlier words: what is chosen at step t cannot be known there."""
    time = next(iter(steps.symbols), None)
    ahead = reads_ahead(prediction, words, time)
    if ahead is None:
        return
    y, y_hat = _name(words), written(site.exprs["from"], site.scope) if "from" in site.exprs else "the prediction"
    place = e.findings.place(ahead.span) if ahead.span is not None else site.place("from")
    raise stop(
        "P311",
        f"{y_hat}<t> would read {y}<t> or a later word here, and when words are generated those are not written yet",
        place,
        related=[(f"{y} is generated from {y_hat} here", site.span)] if place != site.span else [],
        rule=f"{y_hat}<t> depends on {y}<1>, …, {y}<t-1> alone",
        help=f"write {y}<t-1> for {y}<t> in a scan, and shift({y}) elsewhere; attention takes `causal = true`, "
        "or by hand the mask `S if position(S, over = k) <= position(S, over = q) else -1e9`",
    )


def _probabilities(e: Context, site: Site, prediction: Node, words: Node) -> None:
    """Words are drawn by their probabilities, so what is plainly none is refused."""
    wrong = no_probability(prediction, e.settled_parameters)
    if wrong is not None and not e.says("P313", prediction):
        raise Poisoned
    if wrong is not None:
        y_hat = written(site.exprs["from"], site.scope) if "from" in site.exprs else "the prediction"
        raise stop(
            "P313",
            f"{y_hat} {wrong}, and the words of {_name(words)} are chosen by probabilities",
            site.place("from"),
            rule="softmax makes probabilities of numbers",
            help=f"end the last layer in softmax: {y_hat} = … -> Dense(V, softmax)",
        )


def _draw_name(e: Context, words: Node) -> str:
    """Each generator draws numbers of its own."""
    name = f"{_name(words)}{GENERATED}"
    count = e.drawn[name] = e.drawn.get(name, 0) + 1
    return name if count == 1 else f"{name}@{count}"


def _cut_out(
    e: Context, site: Site, prediction: Node, words: Node, steps: Dim, longest: int, name: str
) -> tuple[Prefix, list[Node]]:
    """The program from the words to the prediction on leaves of its own, and what it reads from outside."""
    order = topological([prediction])
    inside: set[Node] = {words}
    for node in order:
        sized = not steps.symbols.isdisjoint(_symbols(node)) or _is_length(node, steps)
        if sized or any(value in inside for value in node.inputs):
            inside.add(node)
    b = Builder(e.b.facts)
    new: dict[Node, Node] = {}
    constants: list[Node] = []
    needed = {value for node in inside for value in node.inputs} | {prediction}

    def constant(node: Node) -> Node:
        constants.append(node)
        return b.typed("held", (), (("name", f"constant.{len(constants) - 1}"),), node.type, node.span)

    for node in order:
        if node is words:
            new[node] = b.typed("held", (), (("name", "words"),), node.type, node.span)
        elif node.op in DRAWS and node in inside:
            new[node] = _first_places(b, constant(_drawn_once(e, node, steps, longest, name)), node.type)
        elif node in inside:
            new[node] = _copied(b, site, node, words, new, steps)
            if folds_examples(new[node]):
                from dlc.compiler.elaborate.proofs import mixes_examples

                raise Stop(mixes_examples(node))
        elif node.op == "constant":
            new[node] = b.typed(node.op, (), node.attrs, node.type, node.span)
        elif node in needed:
            new[node] = constant(node)
    return Prefix(Graph.of({"prediction": new[prediction]}), steps), constants


def _drawn_once(e: Context, node: Node, steps: Dim, longest: int, name: str) -> Node:
    """The draws of all steps that may be written: what was drawn for one stays when the next ones are predicted."""
    sizes = dict.fromkeys(steps.symbols, longest)
    axes = tuple(Axis(axis.size.substitute(sizes), axis.name, axis.one) for axis in node.type.axes)
    return e.b.typed(node.op, (), (("name", f"{node.attr('name')} of {name}"),), TensorType(axes), node.span)


def _first_places(b: Builder, value: Node, type: TensorType) -> Node:
    """Of a longer value, as much as a type has."""
    for axis, (own, wanted) in enumerate(zip(value.type.sizes, type.sizes, strict=True)):
        if own != wanted:
            value = b.add("slice", value, axis=axis, start=Dim.of(0), size=wanted)
    return value


def _symbols(node: Node) -> frozenset[Any]:
    """The run-time dimensions in a node's type and in a size that it reads."""
    dim = node.attr("dim")
    return node.type.symbols | (dim.symbols if isinstance(dim, Dim) else frozenset())


def _is_length(node: Node, steps: Dim) -> bool:
    return node.op == "length" and any(symbol.name == node.attr("name") for symbol in steps.symbols)


def _copied(b: Builder, site: Site, node: Node, words: Node, new: dict[Node, Node], steps: Dim) -> Node:
    """The same value in the body; every example has as many words there as there are steps."""
    if _is_length(node, steps):
        return b.add("broadcast", b.size(steps), axes=node.type.axes)
    if not node.inputs and node.op not in ("size", "constant"):
        y = _name(words)
        raise stop(
            "N214",
            f"{node.attr('name')} has as many steps as {y}, and how many those are is decided by generating them",
            site.place("y"),
            help="declare a dimension of its own for it: `dim T_x`",
        )
    return b.typed(node.op, tuple(new[value] for value in node.inputs), node.attrs, node.type, node.span)


# --- how words are chosen --------------------------------------------------------------------------------------


def _choice(e: Context, site: Site) -> Choice:
    """`greedy`, `sample(temperature = …)` or `beam(width = …, alpha = …)`."""
    expr = site.exprs.get("by")
    match expr:
        case None | ast.Name(id="greedy") | ast.Call(function=ast.Name(id="greedy"), arguments=()):
            return Greedy()
        case ast.Name(id="sample"):
            return Sampling()
        case ast.Name(id="beam"):
            return Beam()
        case ast.Call(function=ast.Name(id="sample")):
            temperature, top_k = _settings(site, expr, {"temperature": 1.0, "top_k": 0.0})
            if not 0 < temperature < inf:
                raise stop("N214", f"a temperature is positive and finite, and this is {temperature:g}", expr.span)
            if not 0 <= top_k < inf or top_k % 1:
                raise stop("N214", f"`top_k` is a whole number of classes, 0 for all, not {top_k:g}", expr.span)
            return Sampling(temperature, int(top_k))
        case ast.Call(function=ast.Name(id="beam")):
            width, alpha = _settings(site, expr, {"width": 3.0, "alpha": 0.7})
            if width < 1 or width % 1:
                raise stop("N214", f"a beam is a whole number of candidates wide, not {width:g}", expr.span)
            if width > WIDEST:
                raise stop("D118", f"a beam is at most {WIDEST:,} candidates wide, not {width:g}", expr.span)
            if not abs(alpha) <= STEEPEST:
                message = f"alpha is at most {STEEPEST} here, not {alpha:g}"
                raise stop("N214", message, expr.span, rule="the score is log P / length^alpha, with alpha from 0 to 1")
            return Beam(int(width), alpha)
    assert expr is not None
    raise stop("N214", f"{written(expr, site.scope)} is no way to choose words", expr.span, rule=BY)


def _settings(site: Site, call: ast.Call, defaults: dict[str, float]) -> tuple[float, ...]:
    """The numbers of a call by place or by name."""
    found = dict(defaults)
    for place, argument in enumerate(call.arguments):
        name = argument.name.id if argument.name is not None else [*defaults, ""][min(place, len(defaults))]
        if name not in defaults:
            shown = f"no setting {name}" if name else f"{len(defaults)} settings"
            raise stop("N203", f"{written(call.function, site.scope)} has {shown}", argument.span, rule=BY)
        value = site.evaluate(argument.value, site.scope)
        if not is_number(value) or isinstance(value, Dim):
            raise stop("N214", f"{name} is a number, not {describe(value)}", argument.value.span)
        found[name] = float(value)
    return tuple(found.values())


def _until(e: Context, site: Site, classes: Dim) -> int | str | None:
    """The class that ends an example, or the word that the vocabulary has for it."""
    until = site.given["until"]
    if until is None or isinstance(until, str):
        return until
    if not isinstance(until, int) or isinstance(until, bool):
        raise stop("N214", f"`until` is a word or a class number, not {describe(until)}", site.place("until"))
    if until < 0 or equal(Dim.of(until), classes, e.b.facts) is Truth.YES or until >= (classes.constant or until + 1):
        raise stop("N214", f"`until` is a class from 0 to {classes - 1}, not {until}", site.place("until"))
    return until


def _longest(e: Context, site: Site, steps: Dim) -> int:
    """The most steps; a model with a largest T cannot be asked for more."""
    longest = _wanted_steps(site, steps)
    if longest > LONGEST:
        raise stop("D118", f"{longest:,} steps are too many to write: at most {LONGEST:,}", site.span)
    return longest


def _wanted_steps(site: Site, steps: Dim) -> int:
    longest = site.given["max"]
    bounds = [symbol.upper for symbol in steps.symbols]
    bound = steps.constant if not bounds else bounds[0]
    if longest is None and bound is not None:
        return int(bound)
    if longest is None:
        help = f"write `max = …`, or bound the steps where they are declared: `dim {steps} <= …`"
        raise stop("N204", "generate needs max: nothing else says when to stop", site.span, help=help)
    if not isinstance(longest, int) or isinstance(longest, bool) or longest < 1:
        raise stop("N214", f"`max` is the largest number of steps, not {describe(longest)}", site.place("max"))
    if bound is not None and longest > bound:
        raise stop("N214", f"`max` is {longest}, and {steps} is at most {bound}", site.place("max"))
    return longest
