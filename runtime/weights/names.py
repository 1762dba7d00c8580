"""The text that gives the tensors of another framework the names of a spec: a line for each layer, or for each tensor.

    # torch's names                   those of the spec
    features.0.0                   -> convnorm[1]               # a layer: weight is its W, bias its b
    features.0.1                   -> convnorm[1].norm          # a batch normalization: gamma, beta, mu, s2
    layer2.{k}.conv1               -> basicblock[{k + 4}].conv[1]
    embed.weight (V, n)            -> embed.E (n, V)            # the axes in another order
    fc.weight    (n, c * h * w)    -> fc.W    (n, h * w * c) where h = 7, w = 7
    aux                            -> -                         # left out

`{k}` stands for a whole number. For each tensor the first line counts that fits it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.grammar.span import Span

ROLES = {"weight": ("W", "gamma"), "bias": ("b", "beta"), "running_mean": ("mu",), "running_var": ("s2",)}
"""What the tensors of a layer of torch are called in one of ours."""
COUNTER = "num_batches_tracked"
"""Of torch's batch normalization: no formula reads it."""
LARGEST_MAP, MOST_RULES = 1_000_000, 10_000

_SIDE = re.compile(r"([^()]+)(\([^()]*\))?")
_HOLE = re.compile(r"\{ *([a-z]\w*) *(?:([+-]) *(\d+))? *\}", re.ASCII)
_SIZE = re.compile(r" *([a-z]\w*) *= *(\d{1,9}) *", re.ASCII)
_AXIS = re.compile(r"[A-Za-z]\w*|1", re.ASCII)

Axes = tuple[tuple[str, ...], ...]
"""For each axis the names whose product it is; none for a 1."""


@dataclass(frozen=True, slots=True)
class Layout:
    """`(n, c * h * w) -> (n, h * w * c) where h = 7, w = 7`"""

    given: Axes
    wanted: Axes
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rule:
    """One line. `target` is None where the tensors are left out."""

    pattern: re.Pattern[str]
    target: str | None
    layout: Layout | None
    span: Span
    text: str

    def match(self, name: str) -> tuple[str | None, str] | None:
        """What a tensor's name, or the layer before it, becomes, and the rest of the name behind that layer. None where
        the line is about others."""
        found = self.pattern.fullmatch(name)
        if found is None:
            return None
        *_, rest = found.groups()
        rest = rest or ""
        if self.target is None:
            return None, rest
        if rest not in ("", COUNTER, *ROLES):
            return None
        return _HOLE.sub(lambda hole: _filled(hole, found), self.target), rest


def read_map(text: str, file: str) -> list[Rule]:
    """The lines of a map. Raises DiagnosticError R614, one for each line that cannot be read."""
    rules: list[Rule] = []
    wrong: list[Diagnostic] = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].rstrip()
        if not content.strip():
            continue
        start = len(content) - len(content.lstrip())
        span = Span(file, number, start + 1, number, len(content) + 1)
        try:
            rules.append(_rule(content.strip(), span))
        except _Mistake as mistake:
            wrong.append(Diagnostic("R614", str(mistake), span, help=mistake.help))
        if len(rules) + len(wrong) > MOST_RULES:
            raise DiagnosticError(Diagnostic("R614", f"a map has at most {MOST_RULES:,} lines", span))
    if wrong:
        raise DiagnosticError(*wrong)
    return rules


class _Mistake(Exception):
    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.help = help


def _rule(text: str, span: Span) -> Rule:
    left, _, right = text.partition("->")
    right, _, sizes = right.partition(" where ")
    source, given = _side(left)
    target, wanted = _side(right)
    pattern, holes = _pattern(source)
    if target == "-":
        if given or wanted or sizes:
            raise _Mistake("what is left out has no axes")
        return Rule(pattern, None, None, span, text)
    rest = _HOLE.sub("", target)
    if "{" in rest or "}" in rest:
        raise _Mistake(f"{target} has a hole that is none", "write {i}, {i + 1} or {i - 1}")
    for name, _, _ in _HOLE.findall(target):
        if name not in holes:
            raise _Mistake(f"{{{name}}} stands on the right side alone")
    return Rule(pattern, target, _layout(given, wanted, sizes), span, text)


def _side(text: str) -> tuple[str, str]:
    """What stands on one side of the arrow: a name, and its axes where they are written."""
    found = _SIDE.fullmatch(text.strip())
    if found is None:
        help = "write `name there -> name here`, or `name there -> -` to leave it out"
        raise _Mistake("this is no line of a map", help)
    return found[1].strip(), found[2] or ""


def _pattern(source: str) -> tuple[re.Pattern[str], frozenset[str]]:
    """What names a line is about: `layer1.{i}.conv1`, and what stands within that. Its last group is the rest."""
    parts: list[str] = []
    holes: set[str] = set()
    at = 0
    for hole in _HOLE.finditer(source):
        name, sign, _ = hole.groups()
        if sign or name in holes or (at == hole.start() and at):
            raise _Mistake(f"{source}: a hole is {{i}}, once on the left side, with something between two of them")
        holes.add(name)
        parts += [re.escape(source[at : hole.start()]), rf"(?P<{name}>\d{{1,9}})"]
        at = hole.end()
    parts.append(re.escape(source[at:]))
    if "{" in source[at:] or any(r"\{" in part for part in parts):
        raise _Mistake(f"{source} has a hole that is none", "write {i}: it stands for a whole number")
    return re.compile("".join(parts) + r"(?:\.(.+))?", re.ASCII | re.DOTALL), frozenset(holes)


def _filled(hole: re.Match[str], found: re.Match[str]) -> str:
    name, sign, amount = hole.groups()
    offset = int(amount or 0)
    return str(int(found[name]) + (-offset if sign == "-" else offset))


def _layout(left: str, right: str, where: str) -> Layout | None:
    if not left and not right:
        if where:
            raise _Mistake("`where` gives sizes to axes, and no axes are written")
        return None
    if not left or not right:
        raise _Mistake("the axes are written on one side alone", "write them on both, `a (V, n) -> b (n, V)`")
    given, wanted = _axes(left), _axes(right)
    names = [name for axis in given for name in axis]
    if len(set(names)) < len(names) or sorted(names) != sorted(name for axis in wanted for name in axis):
        raise _Mistake("both sides have the same axes, each once")
    sizes: dict[str, int] = {}
    for part in where.split(",") if where else ():
        size = _SIZE.fullmatch(part)
        if size is None or size[1] not in names:
            raise _Mistake(f"`where` gives sizes to axes, `h = 7, w = 7`, and this is {part.strip()}")
        sizes[size[1]] = int(size[2])
    for axis in given:
        if len([name for name in axis if name not in sizes]) > 1:
            raise _Mistake(f"of {' * '.join(axis)} one size may be unknown", "say the others: `where h = 7, w = 7`")
    return Layout(given, wanted, sizes)


def _axes(text: str) -> Axes:
    axes = []
    for item in text[1:-1].split(","):
        names = [name.strip() for name in item.split("*")]
        for name in names:
            if not _AXIS.fullmatch(name):
                raise _Mistake(f"{name or text} is no axis", "an axis is a name, a product of names, or 1")
        axes.append(tuple(name for name in names if name != "1"))
    return tuple(axes)
