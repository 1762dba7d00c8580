"""Column expressions: `columns(size, age) -> standardize`, `log(column(price)) / 2`, `array("X").T`, `image / 255`,
`resize(gray(image), 64) / 255`, `column(review) -> words(lower = on)`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.settings import schema
from dlc.compiler.settings.reader import Evaluate, Form, called, checked, unknown, wrong
from dlc.compiler.settings.records import (
    Arithmetic,
    Channels,
    Elementwise,
    Resize,
    Scale,
    Selection,
    Selector,
    Standardize,
    Step,
    Tokens,
    Unit,
)
from dlc.grammar import ast
from dlc.grammar.format import unparse

SELECTORS = ("columns", "column", "array")
PARTS = ("image", "label", "line")
"""What a source of images or of text holds; bare names."""


def _tokens(unit: Unit, **given: Any) -> Tokens:
    given |= {name: given[name] == "on" for name in ("lower", "end", "pad") if name in given}
    return Tokens(unit, **given)


_OF_TEXTS = ("vocabulary", "lower", "end", "cut", "pad", "window", "step", "ahead")
UNITS = {
    "chars": Form(_tokens, schema.Tokens, _OF_TEXTS, {"unit": "chars"}),
    "words": Form(_tokens, schema.Tokens, _OF_TEXTS, {"unit": "words"}),
    "labels": Form(_tokens, schema.Cut, ("cut",), {"unit": "labels"}),
    "numbers": Form(_tokens, schema.Cut, ("cut",), {"unit": "numbers"}),
}
"""What a text is made of; `chars` and `words` alone are those of a whole text."""
STEPS = {
    "standardize": Form(Standardize, schema.Nothing),
    "scale": Form(Scale, schema.Range, ("low", "high")),
    **{name: Form(Elementwise, schema.Nothing, (), {"function": name}) for name in ("log", "exp", "sqrt", "abs")},
    "resize": Form(Resize, schema.Resize, ("height", "width", "fit")),
    **{name: Form(Channels, schema.Nothing, (), {"colors": name}) for name in ("gray", "rgb")},
    **UNITS,
}


class Columns:
    """Reads one expression from the outside in: what it takes from the data, then the steps behind it.

    `target` is the name of the input or target, for messages.
    """

    def __init__(self, target: str, evaluate: Evaluate) -> None:
        self.target = target
        self.evaluate = evaluate

    def read(self, expr: ast.Expr) -> Selection:
        """Raises T401 and T402."""
        match expr:
            case ast.Apply(name=None):
                return self._applied(expr.value, expr.target)
            case ast.Apply(name=ast.Name(span=span)):
                raise wrong("a step of the data has no name", span)
            case ast.Unary(op="-"):
                return self._then(expr.operand, Arithmetic("-", 0.0, reflected=True))
            case ast.Binary():
                return self._arithmetic(expr)
            case ast.Transpose():
                return self._transposed(expr)
            case ast.Name(id=name) if name in PARTS:
                return Selection(cast(Any, name), (), expr.span)
            case ast.Call(function=ast.Name(id=name)) if name in SELECTORS:
                return self._selection(name, expr)
            case ast.Name(id=name) | ast.Call(function=ast.Name(id=name)) if name in UNITS and not _has_data(expr):
                return self._whole_text(expr)
            case ast.Call(function=ast.Name(id=name)) if name in STEPS and expr.arguments:
                return self._applied(expr.arguments[0].value, replace(expr, arguments=expr.arguments[1:]))
            case ast.Call(function=ast.Name(id=name, span=span)):
                known = (*SELECTORS, *STEPS)
                raise unknown(f"data: knows no function {name}", name, span, known, "it knows")
        help = (
            f'write {self.target} = columns(a, b), column(a), array("a"), image, chars or words, and any steps behind'
        )
        raise wrong(f"{self.target} must be made of columns, not of {unparse(expr)}", expr.span, help=help)

    def _then(self, inner: ast.Expr, step: Step) -> Selection:
        selection = self.read(inner)
        if selection.tokens is not None:
            raise wrong(f"no step stands behind {selection.tokens.unit}: it is for numbers of a table", inner.span)
        return replace(selection, steps=(*selection.steps, step))

    def _applied(self, inner: ast.Expr, expr: ast.Expr) -> Selection:
        """What `inner` gives, after the step that `expr` is."""
        step = self._step(expr)
        if isinstance(step, Tokens):
            return self._tokenized(inner, step, expr)
        return self._formed(inner, step, expr) if isinstance(step, Resize | Channels) else self._then(inner, step)

    def _tokenized(self, inner: ast.Expr, tokens: Tokens, expr: ast.Expr) -> Selection:
        """The sequences of a column of texts, or of the lines of a text."""
        selection = self.read(inner)
        if selection.tokens is not None or selection.steps or selection.kind not in ("column", "line"):
            what = selection.tokens.unit if selection.tokens is not None else selection.text
            help = f"write column(name) -> {tokens.unit}, or line -> {tokens.unit} for the lines of a text"
            raise wrong(f"{tokens.unit} takes a column of texts or the lines of a text, not {what}", expr.span, help)
        for name in ("window", "step", "ahead"):
            if getattr(tokens, name):
                message = f"{name} is for one whole text: here each {selection.kind} is an example of its own"
                raise wrong(message.replace("each column", "each row"), expr.span)
        # `line -> chars` as a whole; of `chars(line)` the call has it all.
        behind = (inner.span.line, inner.span.column) < (expr.span.line, expr.span.column)
        return replace(selection, tokens=tokens, span=inner.span.to(expr.span) if behind else expr.span)

    def _whole_text(self, expr: ast.Expr) -> Selection:
        """`chars`, `words(lower = on)`: one long text, cut into windows."""
        tokens = cast(Tokens, called(expr, UNITS, self.evaluate, "a text"))
        if tokens.unit not in ("chars", "words"):
            help = f"write column(name) -> {tokens.unit}"
            raise wrong(f"{tokens.unit} takes a column of texts", expr.span, help)
        if tokens.cut is not None or tokens.pad:
            name = "pad" if tokens.pad else "cut"
            raise wrong(f"{name} is for texts that are examples of their own: a whole text is cut by window", expr.span)
        if tokens.unit == "chars" and tokens.end:
            help = 'the end of a line is a character of the text: until = "\\n"'
            raise wrong("a whole text of characters has no <EOS>", expr.span, help)
        return Selection("text", (), expr.span, tokens=tokens)

    def _formed(self, inner: ast.Expr, change: Resize | Channels, expr: ast.Expr) -> Selection:
        """An image of another size or of other colors: before all arithmetic, and each once."""
        selection, name = self.read(inner), "resize" if isinstance(change, Resize) else change.colors
        if selection.kind != "image":
            raise wrong(f"{name} changes images, not {selection.text}", expr.span)
        if selection.steps:
            help = f"write {name}(image{', …' if name == 'resize' else ''}) first, and the arithmetic behind it"
            raise wrong(f"{name} takes the image as it is stored", expr.span, help=help)
        form = selection.form
        if (form.resize if isinstance(change, Resize) else form.channels) is not None:
            raise wrong("the image is resized twice" if name == "resize" else "the colors change twice", expr.span)
        change_of = {"resize": change} if isinstance(change, Resize) else {"channels": change}
        return replace(selection, form=replace(form, **cast(Any, change_of)))

    def _step(self, expr: ast.Expr) -> Step | Resize | Channels | Tokens:
        function = expr.function if isinstance(expr, ast.Call) else expr
        if isinstance(function, ast.Name) and function.id == "normalize":
            help = "write standardize (mean 0, standard deviation 1) or scale(0, 1) (least 0, greatest 1)"
            raise DiagnosticError(Diagnostic("T401", "normalize could mean two things", function.span, help=help))
        step = called(expr, STEPS, self.evaluate, "a step of the data")
        if isinstance(step, Scale) and step.low >= step.high:
            raise wrong(f"scale needs its low end below its high end: {step.low:g}, {step.high:g}", expr.span)
        return cast("Step | Resize | Channels | Tokens", step)

    def _arithmetic(self, expr: ast.Binary) -> Selection:
        if expr.op not in "+-*/^":
            raise wrong(f"{expr.op} does not apply to columns: + - * / ^ do", expr.span)
        reflected = not _takes_data(expr.left) and _takes_data(expr.right)
        data, constant = (expr.right, expr.left) if reflected else (expr.left, expr.right)
        if _takes_data(constant):
            raise wrong(f"{expr.op} takes columns and a constant here, not columns on both sides", expr.span)
        number = float(checked(schema.Constant, {"constant": constant}, self.evaluate)["constant"])
        if number == 0 and expr.op == "/" and not reflected:
            raise wrong("the columns are divided by 0", constant.span)
        return self._then(data, Arithmetic(expr.op, number, reflected))

    def _transposed(self, expr: ast.Transpose) -> Selection:
        selection = self.read(expr.operand)
        if selection.kind != "array":
            table, image = "the rows of a table are the examples", "an image is (height, width, channels)"
            why = image if selection.kind in PARTS else table
            raise wrong(f"{selection.text} needs no .T: {why}", expr.span)
        if selection.steps:
            raise wrong(".T stands directly behind the array", expr.span)
        return replace(selection, transposed=not selection.transposed, span=expr.span)

    def _selection(self, kind: str, expr: ast.Call) -> Selection:
        selectors = []
        for argument in expr.arguments:
            value = argument.value
            name = value.id if isinstance(value, ast.Name) else value.value if isinstance(value, ast.String) else ""
            if argument.name is not None or not name:
                raise wrong(f"{kind} takes names, not {unparse(value)}", argument.span)
            selectors.append(Selector(name, value.span))
        if not selectors or (kind != "columns" and len(selectors) != 1):
            count = "at least one name" if kind == "columns" else "one name"
            raise wrong(f"{kind} takes {count}, not {len(selectors)}", expr.span)
        return Selection(cast(Any, kind), tuple(selectors), expr.span)


def _has_data(expr: ast.Expr) -> bool:
    """Whether the first argument of a call is data: `chars(line)`, and not `chars(window = 40)`."""
    first = expr.arguments[0] if isinstance(expr, ast.Call) and expr.arguments else None
    return first is not None and first.name is None and _takes_data(first.value)


def _takes_data(expr: ast.Expr) -> bool:
    """Whether `columns`, `array`, `image` or the like stands where the values of the expression come from."""
    match expr:
        case ast.Name(id=name):
            return name in PARTS or name in UNITS
        case ast.Apply():
            return _takes_data(expr.value)
        case ast.Unary() | ast.Transpose():
            return _takes_data(expr.operand)
        case ast.Binary():
            return _takes_data(expr.left) or _takes_data(expr.right)
        case ast.Call(function=ast.Name(id=name)):
            return (
                name in SELECTORS
                or name in UNITS
                or any(_takes_data(argument.value) for argument in expr.arguments[:1])
            )
    return False
