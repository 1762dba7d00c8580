"""Prints IR as equations: in the language's own notation, or in LaTeX.

`derive` prints the backward pass with it, and the generated module its comments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dlc.compiler.ir import Node

# How tightly a printed form binds, loosest first (the language's own precedences).
SUM, PRODUCT, MATMUL, NEGATION, POWER, ATOM = range(6)
COMPARISON = -1

_INFIX = {
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "div": ("/", PRODUCT),
    "mod": ("%", PRODUCT),
    "matmul": ("@", MATMUL),
    "lt": ("<", COMPARISON),
    "le": ("<=", COMPARISON),
    "gt": (">", COMPARISON),
    "ge": (">=", COMPARISON),
    "eq": ("==", COMPARISON),
    "ne": ("!=", COMPARISON),
    "and": ("and", COMPARISON),
    "or": ("or", COMPARISON),
}
MOST_PARTS = 150
"""A longer expression ends in `…`: a value that is read twice is written out twice, so texts grow exponentially."""
_REDUCTIONS = {"sum": "sum", "prod": "prod", "reduce_max": "max", "reduce_min": "min"}
_WINDOWS = {"window_sum": "sum", "window_prod": "prod", "window_max": "max", "window_min": "min"}
_SILENT = {"rename", "real", "broadcast", "drop", "expand"}


class Printer:
    """Prints a node with `names` standing for the values that have one; unnamed values are written out."""

    def __init__(self, names: Mapping[Node, str]) -> None:
        self.names = names
        self._depth = self._parts = 0

    def text(self, node: Node, least: int = -2, *, root: bool = False) -> str:
        """The expression, bracketed where its place asks for at least the tightness `least`. `root` writes the node
        itself out although it has a name."""
        if node in self.names and not root:
            return self.named(self.names[node])
        if not self._depth:
            self._parts = 0
        self._parts += 1
        if self._parts > MOST_PARTS:
            return "…"
        self._depth += 1
        text, tightness = self._written(node)
        self._depth -= 1
        return text if tightness >= least else self.bracketed(text)

    def _written(self, node: Node) -> tuple[str, int]:
        x = node.inputs
        if node.op in _SILENT:
            return self._silent(node)
        if node.op == "constant":
            value = node.attr("value")
            return self.number(value), ATOM if value >= 0 else NEGATION
        if node.op == "size":
            text = str(node.attr("dim"))
            return text, ATOM if text.isidentifier() else SUM
        if node.op in ("input", "parameter", "state", "scalar", "gradient", "length", "draw_uniform", "draw_normal"):
            return self.named(str(node.attr("name"))), ATOM
        if node.op == "one_hot":
            return f"one_hot({self.text(x[0])})", ATOM
        if node.op == "neg":
            return f"-{self.text(x[0], NEGATION)}", NEGATION
        if node.op == "pow":
            return self.power(x[0], x[1]), POWER
        if node.op == "transpose":
            return self.transposed(self.text(x[0], ATOM)), ATOM
        if node.op == "select":
            return self._select(node)
        if node.op == "slice":
            return f"{self.text(x[0], ATOM)}[{_places(node)}]", ATOM
        if node.op in _INFIX:
            return self._infix(node)
        if node.op in _REDUCTIONS:
            return self.reduction(_REDUCTIONS[node.op], node), ATOM
        name = _WINDOWS.get(node.op, node.op)
        return self.call(name, [*(self.text(value) for value in x), *_sliding(node)]), ATOM

    def _silent(self, node: Node) -> tuple[str, int]:
        value = node.inputs[0]
        while value.op in _SILENT and value not in self.names:
            value = value.inputs[0]
        return (self.named(self.names[value]), ATOM) if value in self.names else self._written(value)

    def _infix(self, node: Node) -> tuple[str, int]:
        sign, tightness = _INFIX[node.op]
        left, right = node.inputs
        if node.op == "div" and right.op == "size" and str(right.attr("dim")).isidentifier():
            return self.mean(right, self.text(left, PRODUCT)), PRODUCT
        looser_right = node.op in ("sub", "div", "mod")
        a = self.text(left, tightness)
        b = self.text(right, tightness + (1 if looser_right else 0))
        return self.infix(sign, a, b), tightness

    def _select(self, node: Node) -> tuple[str, int]:
        """`x if c else 0` is what the course writes as x times the truth of c."""
        condition, then, otherwise = node.inputs
        if _is_zero(otherwise):
            a, b = self.text(then, PRODUCT), self.bracketed(self.text(condition))
            return self.infix("*", a, b), PRODUCT
        return f"({self.text(then)} if {self.text(condition)} else {self.text(otherwise)})", ATOM

    # --- the dialect: the language's notation ------------------------------------------------------------------

    def named(self, name: str) -> str:
        return name

    def number(self, value: float) -> str:
        return f"{value:.0f}" if abs(value) < 1e15 and value == int(value) else f"{value:g}"

    def bracketed(self, text: str) -> str:
        return f"({text})"

    def infix(self, sign: str, left: str, right: str) -> str:
        return f"{left} {sign} {right}"

    def power(self, base: Node, exponent: Node) -> str:
        return f"{self.text(base, ATOM)}^{self.text(exponent, POWER)}"

    def transposed(self, text: str) -> str:
        return f"{text}.T"

    def mean(self, count: Node, text: str) -> str:
        return f"1/{self.text(count)} * {text}"

    def reduction(self, name: str, node: Node) -> str:
        over = ", ".join(_axis_text(node, axis) for axis in node.attr("axes", ()))
        over = f"({over})" if "," in over else over
        return f"{name}({self.text(node.inputs[0])}, over = {over})"

    def call(self, name: str, arguments: list[str]) -> str:
        return f"{name}({', '.join(arguments)})"


class LatexPrinter(Printer):
    """The same in LaTeX, for a document: `dZ^{[2]}`, `\\odot` for elementwise products."""

    def named(self, name: str) -> str:
        return latex_name(name)

    def bracketed(self, text: str) -> str:
        return rf"\left({text}\right)"

    def infix(self, sign: str, left: str, right: str) -> str:
        signs = {"*": r"\odot", "@": "", ">": ">", "<": "<", ">=": r"\ge", "<=": r"\le", "==": "=", "!=": r"\ne"}
        if sign == "/":
            return rf"\frac{{{left}}}{{{right}}}"
        return f"{left} {signs.get(sign, sign)} {right}".replace("  ", r"\, ")

    def power(self, base: Node, exponent: Node) -> str:
        text = self.text(base, ATOM)
        inner = self.text(exponent)
        return rf"{{{text}}}^{{{inner}}}" if "^" not in text else rf"\left({text}\right)^{{{inner}}}"

    def transposed(self, text: str) -> str:
        if re.search(r"\^\{(\[[^\]]*\])?(\\langle [^}]*\\rangle)?\}$", text):
            return text[:-1] + r"\,T}"
        return f"{text}^{{T}}"

    def mean(self, count: Node, text: str) -> str:
        return rf"\frac{{1}}{{{self.text(count)}}}\, {text}"

    def reduction(self, name: str, node: Node) -> str:
        over = ", ".join(_axis_text(node, axis) for axis in node.attr("axes", ()))
        sign = {"sum": r"\sum", "prod": r"\prod", "max": r"\max", "min": r"\min"}[name]
        return rf"{sign}_{{{over}}} {self.text(node.inputs[0], PRODUCT)}"

    def call(self, name: str, arguments: list[str]) -> str:
        known = {"log", "exp", "tanh", "sin", "cos"}
        head = f"\\{name}" if name in known else rf"\operatorname{{{name.replace('_', ' ')}}}"
        return rf"{head}\left({', '.join(arguments)}\right)"


def latex_name(name: str) -> str:
    """`dZ[2]` as the course writes it, `dZ^{[2]}`; `a<t-1>` as `a^{\\langle t-1\\rangle}`, `A_hat` as `\\hat{A}`."""
    match = re.fullmatch(r"(.*?)((?:\[[^\]]*\])*)((?:<[^>]*>)?)", name)
    assert match is not None
    base, index, step = match.groups()
    index += rf"\langle {step[1:-1]}\rangle" if step else ""
    if base.endswith("_hat"):
        d, base = ("d", base[1:-4]) if base.startswith("d") and len(base) > 5 else ("", base[:-4])
        base = rf"{d}\hat{{{base}}}"
    elif re.fullmatch(r"delta_\d+", base):
        base = rf"\delta_{{{base[6:]}}}"
    elif "." in base or "_" in base or len(base) > 3:
        base = rf"\mathrm{{{base.replace('_', chr(92) + '_')}}}"
    return f"{base}^{{{index}}}" if index else base


def _axis_text(node: Node, axis: int) -> str:
    """How an axis is called in `over = …`."""
    described = node.inputs[0].type.axes[axis]
    if described.name:
        return described.name
    ends: dict[int, str] = {node.inputs[0].type.rank - 1: "last", 0: "first"}
    return "m" if str(described.size) == "m" else ends.get(axis, str(described.size))


def _sliding(node: Node) -> list[str]:
    """How a window slides, as arguments of the call; what is the default is left out."""
    strides = node.attr("stride")
    if strides is None:
        return []
    pads = [pad if isinstance(pad, str) else str(pad[0]) for pad in node.attr("pads")]
    options = (("stride", [str(stride) for stride in strides], "1"), ("pad", pads, "0"))
    shown = [f"{name} = {_short(values)}" for name, values, default in options if set(values) != {default}]
    if node.attr("window") is None:
        return shown
    over = ", ".join(_axis_text(node, axis) for axis in node.attr("axes"))
    window = _short([str(size) for size in node.attr("window")])
    return [f"over = ({over})" if "," in over else f"over = {over}", f"window = {window}", *shown]


def _places(node: Node) -> str:
    """What a slice takes: `1..3`, or `:, 1..3` of the second axis; places count from 1."""
    first, last = node.attr("start") + 1, node.attr("start") + node.attr("size")
    axes = [":"] * int(node.attr("axis"))
    return ", ".join([*axes, f"{first}..{last}" if first != last else f"{first}"])


def _short(values: list[str]) -> str:
    """One value where all are equal."""
    return values[0] if len(set(values)) == 1 else f"({', '.join(values)})"


def _is_zero(node: Node) -> bool:
    while node.op in _SILENT:
        node = node.inputs[0]
    return node.op == "constant" and node.attr("value") == 0


__all__ = ["LatexPrinter", "Printer", "latex_name"]
