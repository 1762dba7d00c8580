"""Shape patterns with an arrow: `rearrange` and `einsum`.

Both read a pattern the same way. Each axis on the left is taken apart into its *parts*: `heads * d` has two, `...` one
for each further axis, a literal 1 none. Equal names are the same part. The right side puts the parts together again:
in another order, several in one axis (the last runs fastest), with new axes of size 1. What lies between is a
rearrangement, or a sum of products over the parts that the right side lacks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.diagnostics import Related
from dlc.compiler.dims import ONE, Axis, Dim, Truth, demand
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.padding import is_padded
from dlc.compiler.elaborate.report import Stop, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.shapes import Evaluate, bind_pattern, factors, names_in, size_of
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Tensor
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span


@dataclass(frozen=True, slots=True)
class Part:
    """What cannot be taken apart further. `key` is its name (its text, where it has none), `alias` the size that a
    named axis was written with (`T` of `k = T`)."""

    key: str
    axis: Axis
    place: Span
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Parted:
    """A tensor whose axes are its parts."""

    tensor: Tensor
    parts: tuple[Part, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(part.key for part in self.parts)


@dataclass(frozen=True, slots=True)
class Assembled:
    """An axis of the result: the keys of its parts (none: a new axis, written 1), and the name it is given."""

    keys: tuple[str, ...]
    name: str | None
    item: ast.Expr


class Arrangement:
    """One call of `rearrange` or `einsum`: `owner` is its name. The names that it binds are its own."""

    def __init__(self, e: Context, owner: str, scope: Scope, evaluate: Evaluate, span: Span) -> None:
        self.e, self.owner, self.outer, self.evaluate, self.span = e, owner, scope, evaluate, span
        self.scope = scope.child()
        self.parts: dict[str, tuple[Part, str]] = {}
        """Every part on the left by its key, with the text of the tensor that has it."""

    def node(self, op: str, *operands: Tensor, **attrs: object) -> Tensor:
        return self.e.op(op, operands, [], self.span, self.outer, **attrs)

    # --- the left side -----------------------------------------------------------------------------------------

    def part(self, tensor: Tensor, expr: ast.Expr, pattern: ast.Expr) -> Parted:
        """The tensor taken apart as its pattern says."""
        shape = as_shape(pattern)
        items = tuple(map(_split_examples, shape.items))
        self._bind_further(items, tensor)
        bound = self._bound(tensor, expr, replace(shape, items=items))
        self._examples_stay(items, tensor, expr, shape)
        spread = max(len(bound.type.axes) - len(items) + 1, 0)
        parts: list[Part] = []
        axes = iter(bound.type.axes)
        apart = False
        for item in items:
            count = spread if isinstance(item, ast.Rest | ast.Spread) else 1
            found = list(self._parts(item, [next(axes) for _ in range(count)]))
            self._prefix([part.axis.size for part in found] if count == 1 else [], item)
            apart = apart or len(found) != count
            parts += found
        text = written(expr, self.outer)
        numbered = tuple(_numbered(parts))
        for part in numbered:
            self.parts.setdefault(part.key, (part, text))
        return Parted(self._apart(bound, numbered) if apart else bound, numbered)

    def _bind_further(self, items: Sequence[ast.Expr], tensor: Tensor) -> None:
        """`...` is bound here where the definition binds it nowhere."""
        rests = [i for i, item in enumerate(items) if isinstance(item, ast.Rest | ast.Spread)]
        if self.scope.rest is None and len(rests) == 1:
            end = tensor.type.rank - (len(items) - 1 - rests[0])
            self.scope.rest = tensor.type.axes[rests[0] : max(end, rests[0])]

    def _bound(self, tensor: Tensor, expr: ast.Expr, shape: ast.Shape) -> Tensor:
        """The tensor matched against its pattern; a size that an operand before it has fixed is shown there too."""
        name = written(expr, self.outer)
        try:
            bound = bind_pattern(self.e, shape, tensor, name, self.scope, self.evaluate, "D123", expr.span, self.owner)
        except Stop as mistake:
            wrong = mistake.diagnostic.related[0].span if mistake.diagnostic.related else None
            item = next((item for item in shape.items if item.span == wrong), None)
            before = self.parts.get(unparse(item.name if isinstance(item, ast.NamedAxis) else item)) if item else None
            if before is None:
                raise
            part, text = before
            note = Related(f"{part.key} is {part.axis.size}, from {text}", part.place)
            raise Stop(replace(mistake.diagnostic, related=(*mistake.diagnostic.related, note))) from None
        return bound

    def _examples_stay(self, items: Sequence[ast.Expr], tensor: Tensor, expr: ast.Expr, shape: ast.Shape) -> None:
        """The axis called m is called m in a pattern too."""
        if any(isinstance(item, ast.Rest | ast.Spread) for item in items):
            return
        for item, axis in zip(items, tensor.type.axes, strict=True):
            if axis.name == "m" and "m" not in names_in(item.size if isinstance(item, ast.NamedAxis) else item):
                raise stop(
                    "D123",
                    f"{self.owner} would call the examples of {written(expr, self.outer)} {written(item, self.outer)}",
                    item.span,
                    label=f"this axis is m in {tensor.type}",
                    rule="m and run-time dimensions are never lost: the axis called m is written m",
                    help="write m here, or `name = m` to call it by another name from here on",
                )

    def _parts(self, item: ast.Expr, axes: Sequence[Axis]) -> Iterator[Part]:
        """The parts of one item, which matched `axes`."""
        match item:
            case ast.Rest() | ast.Spread():
                for i, axis in enumerate(axes):
                    yield Part(_further(i), axis, item.span)
            case ast.NamedAxis(name=name, size=size):
                yield Part(name.id, axes[0], item.span, unparse(size))
            case _:
                several = factors(item)
                for factor in several:
                    if isinstance(factor, ast.Rest):
                        yield from self._parts(factor, self.scope.rest or ())
                    elif not _is_one(factor):
                        axis = axes[0] if len(several) == 1 else self._axis(factor)
                        yield Part(unparse(factor), axis, factor.span)

    def _axis(self, factor: ast.Expr) -> Axis:
        name = factor.id if isinstance(factor, ast.Name) else None
        return Axis(size_of(self.e, factor, self.scope, self.evaluate), name)

    def _apart(self, bound: Tensor, parts: Sequence[Part]) -> Tensor:
        """The tensor with one axis for each part."""
        sizes, wanted = bound.type.sizes, tuple(part.axis.size for part in parts)
        ones = tuple(i for i, axis in enumerate(bound.type.axes) if axis.size == ONE and axis.one)
        if tuple(size for i, size in enumerate(sizes) if i not in ones) == wanted:
            return self.node("drop", bound, axes=ones)
        return self.node("reshape", bound, axes=tuple(part.axis for part in parts))

    # --- the right side ----------------------------------------------------------------------------------------

    def assembly(self, pattern: ast.Expr) -> list[Assembled]:
        """The axes of the result, as the right side writes them."""
        result: list[Assembled] = []
        seen: Counter[str] = Counter()
        for item in as_shape(pattern).items:
            match item:
                case ast.Rest() | ast.Spread():
                    keys = self._further(item)
                    result += [Assembled((key,), self.parts[key][0].axis.name, item) for key in keys]
                case ast.NamedAxis(name=name, size=size):
                    result.append(Assembled(self._named(name, size, item, seen), name.id, item))
                case _:
                    name_of = item.id if isinstance(item, ast.Name) else None
                    result.append(Assembled(self._keys(item, seen), name_of, item))
        self._once(result)
        return result

    def _keys(self, item: ast.Expr, seen: Counter[str]) -> tuple[str, ...]:
        keys: list[str] = []
        for factor in factors(item):
            if isinstance(factor, ast.Rest):
                keys += self._further(factor)
            elif not _is_one(factor):
                keys.append(self._key(unparse(factor), factor, seen))
        return tuple(keys)

    def _named(self, name: ast.Name, size: ast.Expr, item: ast.Expr, seen: Counter[str]) -> tuple[str, ...]:
        """`k = T`: the part called k, else the part that is T, called k from here on."""
        if len(factors(size)) > 1 or name.id not in self.parts:
            return self._keys(size, seen)
        have = self.parts[name.id][0].axis.size
        want = size_of(self.e, size, self.scope, self.evaluate)
        if demand(want, have, self.e.b.facts) is not Truth.YES:
            raise stop("D123", f"{name.id} is {have} on the left of the arrow, and {want} on the right", item.span)
        return (self._key(name.id, item, seen),)

    def _key(self, text: str, item: ast.Expr, seen: Counter[str]) -> str:
        """The part that a text on the right means: repeated ones in the order in which they stand."""
        aliases = [key for key, (part, _) in self.parts.items() if part.alias == text]
        if text not in self.parts and len(aliases) == 1:
            return aliases[0]
        seen[text] += 1
        key = _occurrence(text, seen[text])
        if key not in self.parts:
            raise self._one_sided(text if text not in self.parts else f"a second {text}", "right", item.span)
        return key

    def _further(self, item: ast.Expr) -> list[str]:
        keys = [_further(i) for i in range(len(self.scope.rest or ()))]
        if self.scope.rest is None or not all(key in self.parts for key in keys):
            raise self._one_sided("`...`", "right", item.span)
        return keys

    def _once(self, result: Sequence[Assembled]) -> None:
        """No part stands twice on the right."""
        seen: set[str] = set()
        for axis in result:
            for key in axis.keys:
                if key in seen:
                    raise stop("D123", f"{key} stands twice on the right of the arrow", axis.item.span)
                seen.add(key)

    def _one_sided(self, text: str, side: str, place: Span) -> Stop:
        other = "left" if side == "right" else "right"
        left = ", ".join(key for key in self.parts if not key.startswith("..."))
        rules = {
            "rearrange": "rearrange keeps every axis: the same names stand left and right of the arrow",
            "einsum": "the result's axes are axes of the operands; a name that it lacks is summed",
        }
        return stop(
            "D123",
            f"{text} stands on the {side} of the arrow only",
            place,
            label=f"not on the {other}",
            rule=rules[self.owner],
            help=f"the left side has {left}; 1 makes a new axis" if side == "right" and left else None,
        )

    def complete(self, result: Sequence[Assembled]) -> None:
        """Every part of the left side stands on the right (of `rearrange`)."""
        used = {key for axis in result for key in axis.keys}
        for key, (part, _) in self.parts.items():
            if key not in used:
                raise self._one_sided("`...`" if key.startswith("...") else unparse_key(key), "left", part.place)

    def assemble(self, parted: Parted, result: Sequence[Assembled]) -> Tensor:
        """The parts, which stand in the order of the result, put together to its axes."""
        own = {part.key: part.axis for part in parted.parts}
        axes = []
        for axis in result:
            sizes = [own[key].size for key in axis.keys]
            self._prefix(sizes, axis.item)
            one = all(own[key].one for key in axis.keys)
            axes.append(Axis(math.prod(sizes, start=ONE), axis.name, one=one))
        tensor = parted.tensor
        if any(len(axis.keys) > 1 for axis in result):
            tensor = self.node("reshape", tensor, axes=tuple(axes))
        elif any(not axis.keys for axis in result):
            tensor = self.node("expand", tensor, axes=tuple(i for i, axis in enumerate(result) if not axis.keys))
        kind = replace(tensor.type, axes=tuple(axes))
        if kind == tensor.type:
            return Tensor(tensor.node)
        return Tensor(self.e.b.typed("rename", (tensor.node,), (), kind, self.e.findings.place(self.span)))

    def _prefix(self, sizes: Sequence[Dim], item: ast.Expr) -> None:
        """Each example's own steps can be merged with others only as the slowest part: padding stays at the end."""
        for size in sizes[1:]:
            if is_padded(self.e.padded, size):
                raise stop(
                    "D119",
                    f"{size} is each example's own length: behind {sizes[0]} in one axis, padding would lie in between",
                    item.span,
                    rule="padding cannot be observed: it stays at the end of an axis",
                    help=f"put {size} first in this product, or keep it an axis of its own",
                )

    def ordered(self, parted: Parted, keys: Sequence[str]) -> Parted:
        """The same parts in the order of `keys`."""
        order = tuple(parted.keys.index(key) for key in keys)
        if order == tuple(range(len(order))):
            return parted
        parts = tuple(parted.parts[i] for i in order)
        moved = self.node("transpose", parted.tensor) if order == (1, 0) else None
        return Parted(moved or self.node("permute", parted.tensor, order=order), parts)

    # --- sums of products --------------------------------------------------------------------------------------

    def distinct(self, parted: Parted) -> None:
        """Each axis of an operand of `einsum` has a name of its own."""
        for part in parted.parts:
            if "#" in part.key:
                raise stop(
                    "D123",
                    f"{unparse_key(part.key)} stands twice in one operand: a diagonal is not a sum of products",
                    part.place,
                    rule="each axis of an operand has a name of its own",
                    help=f"call one of them otherwise: `{unparse_key(part.key)}2 = {unparse_key(part.key)}`",
                )

    def summed(self, parted: Parted, wanted: set[str]) -> Parted:
        """Without the parts that nobody wants: they are summed."""
        gone = tuple(i for i, key in enumerate(parted.keys) if key not in wanted)
        if not gone:
            return parted
        total = self.node("drop", self.node("sum", parted.tensor, axes=gone), axes=gone)
        return Parted(total, tuple(part for i, part in enumerate(parted.parts) if i not in gone))

    def product(self, x: Parted, y: Parted, wanted: Sequence[str]) -> Parted:
        """The sum of products over the parts that are not `wanted`; the result has the others, in that order where all
        of them are there."""
        x, y = self.summed(x, {*wanted, *y.keys}), self.summed(y, {*wanted, *x.keys})
        own = {part.key: part for part in (*y.parts, *x.parts)}
        keys = tuple(key for key in wanted if key in own)
        tensor = self._matrix_product(x, y, keys)
        if tensor is None:
            labels = {"left": x.keys, "right": y.keys, "result": keys}
            tensor = self.node("einsum", x.tensor, y.tensor, **labels)
        return Parted(tensor, tuple(replace(own[key], axis=tensor.type.axes[i]) for i, key in enumerate(keys)))

    def _matrix_product(self, x: Parted, y: Parted, keys: tuple[str, ...]) -> Tensor | None:
        """The product as `@`, where it is one up to transposes."""
        shared = [key for key in x.keys if key in y.keys]
        if len(shared) != 1 or shared[0] in keys:
            return None
        for left, right in ((x, y), (y, x)):
            rows = tuple(key for key in left.keys if key != shared[0])
            columns = tuple(key for key in right.keys if key != shared[0])
            turned = [len(left.keys) == 2, len(right.keys) == 2]
            fits = left.keys[-1] == shared[0] or turned[0], right.keys[0] == shared[0] or turned[1]
            if all(fits) and rows + columns == keys:
                a, b = self.ordered(left, (*rows, shared[0])), self.ordered(right, (shared[0], *columns))
                return self.node("matmul", a.tensor, b.tensor)
        return None


def rearranged(
    e: Context, tensor: Tensor, expr: ast.Expr, pattern: ast.Expr, scope: Scope, evaluate: Evaluate, span: Span
) -> Tensor:
    """`rearrange(x, left -> right)`."""
    left, right = _arrow(pattern, "rearrange", "rearrange(Q, (heads * d, m, q) -> (heads, d, m, q))")
    work = Arrangement(e, "rearrange", scope, evaluate, span)
    parted = work.part(tensor, expr, left)
    result = work.assembly(right)
    work.complete(result)
    return work.assemble(work.ordered(parted, [key for axis in result for key in axis.keys]), result)


def contracted(
    e: Context,
    operands: Sequence[tuple[Tensor, ast.Expr]],
    patterns: Sequence[ast.Expr],
    scope: Scope,
    evaluate: Evaluate,
    span: Span,
) -> Tensor:
    """`einsum(x, y, …, of x, of y, … -> result)`: the operands are multiplied from left to right."""
    last, right = _arrow(patterns[-1], "einsum", "einsum(Q, K, (d, q, m), (d, k, m) -> (q, k, m))")
    work = Arrangement(e, "einsum", scope, evaluate, span)
    parted = []
    for (tensor, expr), pattern in zip(operands, (*patterns[:-1], last), strict=True):
        parted.append(work.part(tensor, expr, pattern))
        work.distinct(parted[-1])
    result = work.assembly(right)
    order = [key for axis in result for key in axis.keys]
    total, waiting = parted[0], parted[1:]
    later = Counter(key for factor in waiting for key in factor.keys)
    for factor in waiting:
        later -= Counter(factor.keys)
        wanted = order if not later else list(dict.fromkeys((*total.keys, *factor.keys)))
        total = work.product(total, factor, [key for key in wanted if key in order or key in later])
    total = work.summed(total, set(order))
    return work.assemble(work.ordered(total, order), result)


def as_shape(pattern: ast.Expr) -> ast.Shape:
    """A pattern of one axis, `(m)`, is read as `m`."""
    return pattern if isinstance(pattern, ast.Shape) else ast.Shape(items=(pattern,), span=pattern.span)


def _arrow(pattern: ast.Expr, owner: str, example: str) -> tuple[ast.Expr, ast.Expr]:
    if not isinstance(pattern, ast.Apply) or pattern.name is not None:
        raise stop("D123", f"{owner} needs a pattern with an arrow", pattern.span, rule=example)
    return pattern.value, pattern.target


def _split_examples(item: ast.Expr) -> ast.Expr:
    """`m = m * R` on the left takes the axis called m apart, as `m * R` does."""
    several = isinstance(item, ast.NamedAxis) and len(factors(item.size)) > 1
    return item.size if several and isinstance(item, ast.NamedAxis) else item


def _numbered(parts: Sequence[Part]) -> Iterator[Part]:
    """Repeated names and numbers, told apart by the order in which they stand."""
    seen: Counter[str] = Counter()
    for part in parts:
        seen[part.key] += 1
        yield replace(part, key=_occurrence(part.key, seen[part.key]))


def _occurrence(text: str, number: int) -> str:
    return text if number == 1 else f"{text}#{number}"


def unparse_key(key: str) -> str:
    """The text of a part as it was written."""
    return key.partition("#")[0]


def _further(i: int) -> str:
    return f"...{i + 1}"


def _is_one(expr: ast.Expr) -> bool:
    return isinstance(expr, ast.Number) and expr.value == 1


__all__ = ["as_shape", "contracted", "rearranged"]
