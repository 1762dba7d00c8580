"""What people write by habit from other libraries, and how it is said here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlc.compiler.diagnostics import Edit, Related
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.dims import Truth, equal
from dlc.compiler.elaborate.report import Stop, stop
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.text import written
from dlc.compiler.elaborate.values import Function, Primitive, Tensor
from dlc.compiler.ops.base import ordinal
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span

_NAMES = {
    "GradientDescent": ("SGD", "sgd", "gradient_descent"),
    "RMSprop": ("RMSProp", "rmsprop"),
    "Adam": ("adam", "AdamW"),
    "Dense": ("Linear", "linear", "FullyConnected", "fc"),
    "Conv": ("Conv1D", "Conv2D", "Conv3D", "Conv1d", "Conv2d", "Conv3d", "Convolution", "Convolution2D", "conv2d"),
    "ConvTranspose": ("Conv1DTranspose", "Conv2DTranspose", "ConvTranspose2d", "Deconv", "Deconvolution"),
    "DepthwiseConv": ("DepthwiseConv2D", "DepthwiseConv2d"),
    "SeparableConv": ("SeparableConv2D", "SeparableConv2d"),
    "MaxPool": ("MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "MaxPool2D", "MaxPool2d", "MaxPooling", "max_pool"),
    "AvgPool": ("AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "AveragePooling", "AveragePool"),
    "GlobalAvgPool": ("GlobalAveragePooling2D", "GlobalAveragePooling", "GlobalAvgPool2d", "AdaptiveAvgPool2d"),
    "BatchNorm": ("BatchNormalization", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "batch_normalization"),
    "LayerNorm": ("LayerNormalization",),
    "Flatten()": ("flatten",),
    "relu": ("ReLU", "Relu", "RELU"),
    "sigmoid": ("Sigmoid", "logistic"),
    "silu": ("swish", "Swish"),
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
_ARGUMENTS = {
    "f": ("kernel_size", "pool_size", "filter_size", "kernel", "window", "size"),
    "n_C": ("filters", "out_channels", "channels", "num_filters", "n_filters", "units", "n"),
    "n": ("units", "out_features", "hidden_units", "neurons", "size"),
    "stride": ("strides", "step", "s"),
    "pad": ("padding", "pads", "p"),
    "g": ("activation", "act", "nonlinearity", "a"),
    "keep_prob": ("keep", "p_keep"),
    "eps": ("epsilon",),
    "momentum": ("decay",),
    "slope": ("negative_slope", "alpha"),
    "over": ("axis", "dim"),
    "lr": ("learning_rate", "alpha"),
    "beta": ("momentum", "rho"),
    "beta1": ("beta_1",),
    "beta2": ("beta_2",),
    "V": ("num_embeddings", "vocabulary", "vocab_size"),
}
"""An argument's name here, and what means the same elsewhere."""
_ARGUMENTS_SAID = {
    "over": "over = first, or over = the axis's own name",
}
_MEANT = {
    "in_channels": "what comes in says how many channels it has: leave it out",
    "in_features": "what comes in says how many features it has: leave it out",
    "input_shape": "what comes in says its own shape: leave it out",
    "bias": "whether there is a bias is the layer's own text: ConvNorm, say, is a convolution without one",
    "use_bias": "whether there is a bias is the layer's own text: ConvNorm, say, is a convolution without one",
    "dilation": "filters without gaps are all there are: a filter with zeros between its numbers does the same",
    "dilation_rate": "filters without gaps are all there are: a filter with zeros between its numbers does the same",
    "data_format": "the axes are (m, n_H, n_W, n_C); rearrange brings others into this order",
    "rate": "keep_prob is the share that is kept: 1 less the rate",
    "p": "keep_prob is the share that is kept: 1 less p",
    "name": "a name is given by `as`: X -> Dense(8) as fc1",
}
"""Arguments of other libraries that have no counterpart."""
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


def for_unknown(name: str, near: str | None) -> str | None:
    """What to write in place of an unknown name: its meaning elsewhere comes before the nearest spelling."""
    return for_name(name) or (f"did you mean {near}?" if near else None)


def for_argument(name: str, names: Sequence[str]) -> tuple[str | None, str | None]:
    """What to do about an argument that there is not among `names`: the advice, and the name to write in its place."""
    own = next((own for own in names if name in _ARGUMENTS.get(own, ())), None) or did_you_mean(name, names)
    if own is not None:
        return f"did you mean {_ARGUMENTS_SAID.get(own, own)}?", own
    return _MEANT.get(name), None


def misplaced(
    definition: ast.Definition, scope: Scope, arguments: Mapping[str, Any], written: Mapping[str, ast.Expr]
) -> dict[str, str]:
    """`Conv(3, 8, relu)`: for each argument that is a function and does not stand where the layer takes one, by the
    layer's own defaults, what to write. It counts only where the argument turns out to be wrong."""
    takes = [p.name.id for p in definition.parameters if _is_function(p.default, scope)]
    free = [name for name in takes if name not in arguments]
    names = [p.name.id for p in definition.parameters]
    if not free:
        return {}
    return {
        name: f"the {ordinal(names.index(name))} argument of {definition.name.id} is {name}: "
        f"write {free[0]} = {unparse(written[name])}"
        for name, value in arguments.items()
        if isinstance(value, Function | Primitive) and name in written and name in names and name not in takes
    }


def _is_function(default: ast.Expr | None, scope: Scope) -> bool:
    return isinstance(default, ast.Name) and isinstance(scope.find(default.id), Function | Primitive)


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


BELOW = " is used before it is defined"
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
                        message=f"{name}{BELOW}",
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
        case ast.DimDecl(names=names):
            return next((target.span for target in names if target.id == name), None)
        case ast.Hyper(name=target) | ast.Output(name=ast.Name() as target) if target.id == name:
            return target.span
    return None
