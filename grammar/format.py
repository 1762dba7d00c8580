"""The canonical text of an expression or a shape: one line, and brackets only where precedence asks for them."""

from __future__ import annotations

from dlc.grammar import ast

# How tightly an expression binds; a part that binds less tightly than its place asks for stands in brackets.
_CONDITIONAL, _APPLY, _OR, _AND, _NOT, _COMPARISON, _RANGE = range(7)
_SUM, _PRODUCT, _MATMUL, _NEGATION, _POWER, _POSTFIX = range(7, 13)

_BINARY = {
    "or": _OR,
    "and": _AND,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _COMPARISON),
    "..": _RANGE,
    **dict.fromkeys("+-", _SUM),
    **dict.fromkeys(("*", "/", "//", "%"), _PRODUCT),
    "@": _MATMUL,
    "^": _POWER,
}
_TIGHT = ("..", "^")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}


def unparse(expr: ast.Expr) -> str:
    """The text that parses to `expr` again: `unparse` of `(a + b)*c` is `(a + b) * c`."""
    return _text(expr, _CONDITIONAL)


def _text(expr: ast.Expr, least: int) -> str:
    """The text of `expr` where the place asks for at least the tightness `least`."""
    text, tightness = _written(expr)
    return text if tightness >= least else f"({text})"


def _written(expr: ast.Expr) -> tuple[str, int]:
    match expr:
        case ast.Conditional():
            then, condition = _text(expr.then, _APPLY), _text(expr.condition, _APPLY)
            return f"{then} if {condition} else {_text(expr.otherwise, _CONDITIONAL)}", _CONDITIONAL
        case ast.Apply():
            name = f" as {expr.name.id}" if expr.name else ""
            return f"{_text(expr.value, _APPLY)} -> {_text(expr.target, _OR)}{name}", _APPLY
        case ast.Binary():
            return _binary(expr)
        case ast.Unary(op="not"):
            return f"not {_text(expr.operand, _NOT)}", _NOT
        case ast.Unary():
            return f"{expr.op}{_text(expr.operand, _NEGATION)}", _NEGATION
        case _:
            return _postfix(expr), _POSTFIX


def _binary(expr: ast.Binary) -> tuple[str, int]:
    own = _BINARY[expr.op]
    left, right = own, own + 1  # most operators group to the left
    if own in (_COMPARISON, _RANGE):  # these do not group at all
        left = own + 1
    elif own == _POWER:  # to the right, and `2^-x` needs no brackets
        left, right = _POSTFIX, _NEGATION
    first, second = _text(expr.left, left), _text(expr.right, right)
    dots = first.endswith(".") or second.startswith(".")  # `f... .. 3`
    space = "" if expr.op in _TIGHT and not dots else " "
    return f"{first}{space}{expr.op}{space}{second}", own


def _postfix(expr: ast.Expr) -> str:
    match expr:
        case ast.Number():
            return expr.text
        case ast.String():
            return '"' + "".join(_ESCAPES.get(c, c) for c in expr.value) + '"'
        case ast.Name():
            return expr.id
        case ast.ListExpr():
            return f"[{_list(expr.items)}]"
        case ast.SetExpr():
            return f"{{{_list(expr.items)}}}"
        case ast.Index():
            return f"{_text(expr.base, _POSTFIX)}[{', '.join(map(_index, expr.indices))}]"
        case ast.TimeIndex():
            return f"{_text(expr.base, _POSTFIX)}<{unparse(expr.time).replace(' ', '')}>"
        case ast.Call():
            return f"{_text(expr.function, _POSTFIX)}({', '.join(map(_argument, expr.arguments))})"
        case ast.Attribute():
            return f"{_before_dot(expr.base)}.{expr.name.id}"
        case ast.Transpose():
            return f"{_before_dot(expr.operand)}.T"
        case ast.Shape():
            return _shape(expr)
        case ast.Rest():
            return "..."
        case ast.Spread():
            return f"{expr.value.id}..."
        case ast.NamedAxis():
            return f"{expr.name.id} = {unparse(expr.size)}"
    raise TypeError(f"not an expression: {expr!r}")


def _before_dot(expr: ast.Expr) -> str:
    text = _text(expr, _POSTFIX)
    return f"({text})" if isinstance(expr, ast.Number) else text


def _list(items: tuple[ast.Expr, ...]) -> str:
    return ", ".join(map(unparse, items))


def _index(expr: ast.Expr) -> str:
    """`l-1`, as the course writes an index; what is more than a sum of names and numbers keeps its spaces."""
    match expr:
        case ast.Binary(op="+" | "-", left=ast.Name() | ast.Number(), right=ast.Name() | ast.Number()):
            return unparse(expr).replace(" ", "")
    return unparse(expr)


def _argument(argument: ast.Argument) -> str:
    value = unparse(argument.value)
    return f"{argument.name.id} = {value}" if argument.name else value


def _shape(shape: ast.Shape) -> str:
    """`(n)` is the shape of rank 1 where only a shape may stand; the comma of `(n,)` keeps it one elsewhere."""
    if len(shape.items) == 1 and not isinstance(shape.items[0], ast.NamedAxis | ast.Rest | ast.Spread):
        return f"({unparse(shape.items[0])},)"
    return f"({_list(shape.items)})"


def unparse_shape(shape: ast.Shape) -> str:
    """A shape as it stands in a declaration, where `(n)` needs no comma."""
    return f"({_list(shape.items)})"
