"""What people write by habit from other libraries, and how it is said here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlc.compiler.diagnostics import Edit, Related
from dlc.compiler.dims import Truth, equal
from dlc.compiler.elaborate.report import Stop, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Tensor
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span

_NAMES = {
    "GradientDescent": ("SGD", "sgd", "gradient_descent"),
    "RMSprop": ("RMSProp", "rmsprop"),
    "Adam": ("adam", "AdamW"),
    "Dense": ("Linear", "linear", "FullyConnected", "fc"),
    "Conv": ("Conv1D", "Conv2D", "Conv3D", "Conv1d", "Conv2d", "Conv3d"),
    "ConvTranspose": ("Conv2DTranspose", "ConvTranspose2d", "Deconv"),
    "MaxPool": ("MaxPooling2D", "MaxPool2D", "MaxPool2d", "MaxPooling", "max_pool"),
    "AvgPool": ("AveragePooling2D", "AvgPool2d", "AvgPool2D", "AveragePool"),
    "GlobalAvgPool": ("GlobalAveragePooling2D", "AdaptiveAvgPool2d"),
    "BatchNorm": ("BatchNormalization", "BatchNorm1d", "BatchNorm2d"),
    "LayerNorm": ("LayerNormalization",),
    "Flatten()": ("flatten",),
    "relu": ("ReLU", "Relu", "RELU"),
    "sigmoid": ("Sigmoid", "logistic"),
    "tanh": ("Tanh",),
    "softmax": ("Softmax",),
    "leaky_relu": ("LeakyReLU", "LeakyRelu"),
    "cross_entropy": ("CrossEntropyLoss", "CrossEntropy", "categorical_crossentropy", "crossentropy", "nll_loss"),
    "binary_cross_entropy": ("BCELoss", "binary_crossentropy", "BCEWithLogitsLoss", "bce"),
    "squared_error": ("MSELoss", "mse", "MSE", "mean_squared_error", "mse_loss"),
    "absolute_error": ("L1Loss", "mae", "MAE", "mean_absolute_error"),
    "max(a, b)": ("maximum",),
    "min(a, b)": ("minimum",),
    "W @ X": ("matmul", "dot", "mm", "bmm"),
    "abs": ("fabs", "absolute"),
    "log": ("ln",),
    "concat": ("concatenate", "cat", "hstack", "vstack"),
    "rearrange": ("reshape", "transpose", "permute", "view", "swapaxes"),
    "max(0, z)": ("clip_min",),
    "broadcast(0, (n, m))": ("zeros_like",),
    "normal(0, 0.01)": ("randn_like", "random"),
    "1 == 1, or a hyper with the value 0 or 1": ("True", "False"),
}
_SAID = {
    "range": "the numbers 0, 1, 2 are 0..2: both ends count",
    "T": "a transpose is X.T; a length known only with the data is declared by dim T",
    "e": "write exp(x)",
    "pi": "write 3.141592653589793",
    "he_normal": "here it is he",
    "axis": "axes are named by over = first, or by an axis's own name",
    "None": "every name has a value: leave the argument out",
    "print": "values are shown by metric name = …, shapes by `dlc show`",
    "size": "sizes have names: those in the shape, as n_x in X : (n_x, m)",
    "shape": "sizes have names: those in the shape, as n_x in X : (n_x, m)",
    "enumerate": "write for l in 1..L:",
    "zip": "write for l in 1..L:, and index the lists: n[l]",
    "Sequential": "layers are applied one after the other by `->`: X -> Dense(64, relu) -> Dense(10)",
    "Input": "write input X : (64, m)",
    "Variable": "write param W : (n, k) ~ he",
    "Parameter": "write param W : (n, k) ~ he",
    "self": "parameters are read by their names alone",
}
_PACKAGES = ("np", "numpy", "torch", "tf", "nn", "F", "keras", "jnp", "jax", "math", "optim")

_ATTRIBUTES = {
    "shape": "sizes have names: those in the declaration, as n_x in X : (n_x, m)",
    "size": "sizes have names: those in the declaration, as n_x in X : (n_x, m)",
    "ndim": "the rank is what the declaration says",
    "transpose": "write {0}.T",
    "t": "write {0}.T",
    "dot": "write {0} @ …",
    "matmul": "write {0} @ …",
    "reshape": "write rearrange({0}, (a * b, m) -> (a, b, m))",
    "view": "write rearrange({0}, (a * b, m) -> (a, b, m))",
    "permute": "write rearrange({0}, (a, b) -> (b, a))",
    "flatten": "write {0} -> Flatten()",
    "sum": "write sum({0}, over = first)",
    "mean": "write mean({0}, over = first)",
    "max": "write max({0}, over = first)",
    "min": "write min({0}, over = first)",
    "argmax": "write argmax({0}, over = first)",
    "exp": "write exp({0})",
    "grad": "the compiler derives it: `dlc derive` prints it",
    "backward": "the compiler derives it: `dlc derive` prints it",
    "detach": "a value without a gradient is a frozen param, an input or a state",
}


def for_name(name: str) -> str | None:
    """What a name of another library is called here."""
    if name in _SAID:
        return _SAID[name]
    if name in _PACKAGES:
        return f"leave `{name}.` out: exp, log, sqrt and their like, the layers and the losses are known everywhere"
    own = next((own for own, others in _NAMES.items() if name in others), None)
    if own is None:
        return None
    return f"here it is {own}" if own.replace("()", "").isidentifier() else f"write {own}"


def for_package(package: str, name: str) -> str | None:
    """`np.exp` and its like."""
    if package not in _PACKAGES:
        return None
    return for_name(name) or f"write {name}"


def for_attribute(base: str, attribute: str) -> str | None:
    """`X.shape`, `X.sum()` and their like, of a tensor."""
    said = _ATTRIBUTES.get(attribute)
    return said.format(base) if said is not None else None


def for_times(operands: Sequence[Tensor], texts: Sequence[str]) -> str | None:
    """`W * X` of two matrices that do not fit elementwise and fit as a product of matrices."""
    left, right = (operand.type.sizes for operand in operands)
    if len(left) != 2 or len(right) < 2:
        return None
    if equal(left[1], right[0]) is Truth.YES:
        return f"`*` is elementwise; a product of matrices is {texts[0]} @ {texts[1]}"
    if equal(left[0], right[0]) is Truth.YES and left[1].constant != 1 and right[1].constant != 1:
        return f"`*` is elementwise; a product of matrices is {texts[0]}.T @ {texts[1]}"
    return None


FARTHEST = 300
"""So many statements below a mistake are read for the name that is missing: a file full of mistakes stays quick."""


def defined_below(failure: Stop, levels: Sequence[tuple[Sequence[ast.Statement], int]], scope: Scope) -> Stop:
    """An unknown name that a line below defines: said with that line. `levels` are the blocks that are being executed,
    each with the number of its current statement."""
    diagnostic = failure.diagnostic
    unknown = diagnostic.code == "N201" and diagnostic.message.startswith("unknown name ")
    member = diagnostic.code == "N207" and " is not defined here" in diagnostic.message
    if not unknown and not member:
        return failure
    name = diagnostic.message.removeprefix("unknown name ").split(" is not defined here")[0]
    for statements, at in levels:
        for statement in statements[at + 1 : at + 1 + FARTHEST]:
            place = _place(statement, name, scope)
            if place is not None:
                return Stop(
                    replace(
                        diagnostic,
                        code="N209",
                        message=f"{name} is used before it is defined",
                        related=(Related("defined below", place),),
                        rule="lines are read from top to bottom",
                        help=f"move line {place.line} above this one",
                        fix=(),
                    )
                )
    return failure


def drawn_parameter(failure: Stop, statement: ast.Draw, scope: Scope) -> Stop:
    """`W : (n, n) ~ he`: an initializer without the word `param`."""
    if "fan_" not in failure.diagnostic.message:
        return failure
    name, text = written(statement.targets[0], scope), unparse(statement.distribution)
    start = statement.span
    place = Span(start.file, start.line, start.column, start.line, start.column)
    message = f"{text} is the first value of a parameter, and {name} is drawn anew at each step"
    help = f"write param {unparse(statement.targets[0])} : …"
    return stop("N214", message, statement.distribution.span, help=help, fix=[Edit(place, "param ")])


def _place(statement: ast.Statement, name: str, scope: Scope) -> Span | None:
    """Where a statement defines the name."""
    match statement:
        case ast.Declaration(targets=targets) | ast.Equation(targets=targets) | ast.Draw(targets=targets):
            for target in targets:
                plain = isinstance(target, ast.Name) and target.id == name
                if plain or (name[-1:] in "]>" and written(target, scope) == name):
                    return target.span
        case ast.Hyper(name=target) | ast.Output(name=ast.Name() as target) if target.id == name:
            return target.span
    return None
