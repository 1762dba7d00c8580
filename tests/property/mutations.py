"""One small change to a valid spec.

A changed spec is either refused with a diagnostic or still a network that runs (`running.py`). Nothing in between, and
no traceback.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from bases import ROOT

_TOKEN = re.compile(r"\s+|#[^\n]*|\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?|\w+|:=|\.\.\.?|->|//|[<>=!]=|.", re.S)
_OPERATORS = ("+", "-", "*", "/", "//", "%", "^", "@", "<", ">", "==", "!=", "and", "or", "..", "->", ":=", "=", "~")
_NUMBERS = ("0", "1", "2", "3", "5", "7", "64", "0.5", "1e-3", "1/2", "-1", "1e300", "10^9", "10^40", "1000003")
_INSERTED = (
    *_OPERATORS, *_NUMBERS, "(", ")", "[", "]", ",", ":", ".T", "...", "not", "m", "W", "X", "Y", "Y_hat", "relu",
    "Dense", "Dense(4)", "Dropout(0.5)", "softmax", "sum", "max", "mean", "first", "all", "features", "over", "len",
    "one_hot", "known", "floor", "normal", "bernoulli(0.5)", "reverse", "position", "drop", "broadcast", "[3, 4]",
    "(3, m)", '"text"', "1..3", "T", "a<1>", "argmax", "exp", "log", "zeros", "he", "{1, 2}", "if", "else", "for",
    "when", "in", "t", "epoch", "fan_in", "l2", "Adam", "true", "training", "X.T", "1 == 1", "rearrange", "concat",
)  # fmt: skip
_NAMES = (
    "m", "relu", "Dense", "Dropout", "softmax", "sum", "max", "mean", "argmax", "exp", "floor", "len", "known",
    "normal", "position", "drop", "broadcast", "one_hot", "zeros", "he", "l2", "Adam", "W", "X", "Y", "first",
    "features", "all", "reverse", "erf", "randn", "bernoulli", "fan_in", "epoch", "A", "Z", "n", "b",
)  # fmt: skip
_VALUES = (
    "x(x)", "x(1)", "(x + 1)", "(x - x)", "-x", "not x", "x.T", "x[0]", "x[-1]", "x[0, 0]", "[x]", "[x, ?]", "(x, ?)",
    "(x -> ?)", "?(x)", "x(?)", "(x + ?)", "(x @ ?)", "(x == ?)", "(x < ?)", "(x and ?)", "(x .. ?)", "x^2", "x^?",
    "x^1000", "(x / 0)", "(x // 3)", "(x / 3)", "(x % 3)", "(x % 0)", "1e300*x", "x*1e-320", "10^40", "(1 if x else ?)",
    "(x if 1 == 1 else ?)", "(x if x > 0 else ?)", "x.W", "x.b", "sum(x)", "sum(x, over = ?)", "max(x, ?)", "max(x)",
    "mean(x, over = first)", "argmax(x)", "known(x)", "one_hot(x)", "position(x)", "position(x, over = last)", "exp(x)",
    "log(x)", "sqrt(x)", "floor(x)", "ceil(x / 2)", "abs(x)", "drop(x, over = first)", "broadcast(x, (3, m))",
    "broadcast(x, ?)", "broadcast(x, (?, ?))", "len(x)", "reverse(x)", "softmax(x)", "softmax(x, over = m)", "relu(x)",
    "leaky_relu(slope = x)", "cross_entropy(x, ?)", "accuracy(x, ?)", "Dense(x)", "Dense(x, ?)", "Dense(3, g = x)",
    "Dropout(x)", "normal(0, x)", "bernoulli(x)", "uniform(x, ?)", "l2(x)", "Adam(x)", "he(x)", "glorot", "x.foo",
    "x<1>", '"text"', "{x, ?}", "1..x", "m", "fan_in", "epoch", "t", "x()", "((x))", "x -> Dense(2)", "x -> relu -> ?",
    "x as q", "x -> x as x", "erf(x)", "sign(x)", "prod(x)", "min(x, 0)", "1/2", "0.5", "0", "true", "first", "...",
)  # fmt: skip
_STATEMENTS = (
    "param q : (3, 1) ~ zeros", "loss sum(X)", "output X", "X -> Dense(1)", "hyper k = 3 in 1..5", "input X2 : (2, m)",
    "for i in 1..3:\n        q[i] = i", "if 1 == 1:\n        q = 2", "when training:\n        q = 2", "m = 3", "W = X",
    "state s : (1, 1) ~ zeros", "require 1 == 2", "freeze W", "D : (3, m) ~ normal(0, 1)", "s := 2", "dim T", "q = len",
    "metric X", "q = Dense", "q = Dense(3)", "q, r = X", "q[1] = X", "scan t in 1..T:\n        a<t> = X",
    "target Q : (1, m)",
)  # fmt: skip


def specs() -> dict[str, str]:
    """The valid specs by name: the model zoo's dense networks, the examples, and `SMALL`."""
    files = [*sorted((ROOT / "specs" / "dense").glob("*.dl")), *sorted((ROOT / "examples" / "digits").glob("*.dl"))]
    return {path.stem: path.read_text(encoding="utf-8") for path in files} | SMALL


def mutated(text: str, rng: random.Random) -> str:
    """The text with one change."""
    change: Callable[[str, random.Random], str] = rng.choice(
        (_token, _kind, _kind, _kind, _value, _value, _line, _name, _name, _index, _place, _place, _place)
    )
    return change(text, rng)


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _places(tokens: list[str], pattern: str) -> list[int]:
    return [i for i, token in enumerate(tokens) if re.fullmatch(pattern, token)]


def _token(text: str, rng: random.Random) -> str:
    """A number or an operator changed; a token deleted, doubled, inserted or swapped with the next."""
    tokens = _tokens(text)
    at = rng.choice(_places(tokens, r"[^\s#].*") or [0])
    numbers, signs = _places(tokens, r"\d.*"), _places(tokens, r"[-+*/^@<>=]+|->|\.\.")
    match rng.randrange(7):
        case 0 if numbers:
            tokens[rng.choice(numbers)] = rng.choice(_NUMBERS)
        case 1 if signs:
            tokens[rng.choice(signs)] = rng.choice(_OPERATORS)
        case 2:
            del tokens[at]
        case 3:
            tokens.insert(at, tokens[at])
        case 4:
            tokens.insert(at, f" {rng.choice(_INSERTED)} ")
        case 5:
            tokens[at] = rng.choice(_INSERTED)
        case _:
            other = min(at + rng.randrange(1, 4), len(tokens) - 1)
            tokens[at], tokens[other] = tokens[other], tokens[at]
    return "".join(tokens)


def _kind(text: str, rng: random.Random) -> str:
    """A number for a number, an operator for an operator, a name for a name: most of these still parse."""
    tokens = _tokens(text)
    pattern, others = rng.choice(
        ((r"\d.*", _NUMBERS), (r"[-+*/^@<>]|->|//|and|or|==", _OPERATORS[:15]), (r"[^\W\d]\w*", _NAMES))
    )
    places = _places(tokens, pattern)
    if places:
        tokens[rng.choice(places)] = rng.choice(others)
    return "".join(tokens)


def _value(text: str, rng: random.Random) -> str:
    """Another expression in the place of a name, a number or an argument."""
    tokens = _tokens(text)
    places = _places(tokens, r"\w+")
    at = rng.choice(places)
    tokens[at] = rng.choice(_VALUES).replace("x", tokens[at]).replace("?", tokens[rng.choice(places)])
    return "".join(tokens)


def _line(text: str, rng: random.Random) -> str:
    """A line deleted, doubled, moved, indented or out, or a new statement."""
    lines = text.splitlines()
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(to, lines[at])
        case 2:
            lines.insert(to, lines.pop(at))
        case 3:
            lines[at] = "    " + lines[at]
        case 4:
            lines[at] = lines[at].removeprefix("    ")
        case _:
            lines.insert(at, "    " + rng.choice(_STATEMENTS))
    return "\n".join(lines) + "\n"


def _name(text: str, rng: random.Random) -> str:
    """A name misspelt, replaced by another name of the file, or renamed everywhere."""
    tokens = _tokens(text)
    names = _places(tokens, r"[^\W\d]\w*")
    if not names:
        return text
    at = rng.choice(names)
    match rng.randrange(3):
        case 0:
            tokens[at] += rng.choice("xs1_")
        case 1:
            tokens[at] = tokens[rng.choice(names)]
        case _:
            old, new = tokens[at], tokens[rng.choice(names)]
            tokens = [new if token == old else token for token in tokens]
    return "".join(tokens)


def _index(text: str, rng: random.Random) -> str:
    """An index shifted, an axis added, removed or swapped."""
    tokens = _tokens(text)
    inside = _places(tokens, r"[\[\(,]")
    if not inside:
        return text
    at = rng.choice(inside)
    match rng.randrange(4):
        case 0:
            tokens.insert(at + 2, rng.choice((" - 1", " + 1", "-2", " * 2", "/ 2", ".T", "[1]", "[0, 1]")))
        case 1:
            tokens.insert(at + 1, rng.choice(("m, ", "1, ", "2, ", "..., ", "n, ")))
        case 2:
            del tokens[at + 1 : at + 3]
        case _:
            tokens[at + 1 : at + 4] = reversed(tokens[at + 1 : at + 4])
    return "".join(tokens)


_PLACES = {
    r"<[^<>\n ]{1,6}>": ("<t> | <t-1> | <t+1> | <t-2> | <0> | <1> | <T> | <3> | <t'> | "),
    r"\bm\b": ("1 | m = 1 | 2 * m | m * 2 | n | T | m, 1 | 1, m | "),
    r"over = [\w.]+": (
        "over = first | over = last | over = all | over = features | over = m | over = T | over = k | over = "
        "(first, last) | over = ... | over = 2"
    ),
    r"pad = \w+": ("pad = same | pad = valid | pad = 0 | pad = 1 | pad = 2 | pad = 7 | pad = 1/2 | "),
    r"(?:stride|window|groups|times|keep_prob) = \w+": (
        "stride = 1 | stride = 2 | stride = 3 | stride = 5 | window = 1 | window = 2 | window = 9 | groups = "
        "2 | groups = 3"
    ),
    r"max = \d+": ("max = 1 | max = 2 | max = 9 | max = 0 | "),
    r"by = [^\n]*\)": (
        "by = greedy) | by = beam(width = 2)) | by = beam(width = 3, alpha = 0)) | by = sample(temperature = 0.5))"
    ),
    r"shift\(": ("( | reverse( | shift(shift( | tanh("),
    r"->": (
        ", | -> relu -> | -> reverse -> | -> shift -> | -> Dropout(0.5) -> | -> Dense(3) -> | -> BatchNorm() "
        "-> | -> Flatten() -> | -> Conv(3, 2) -> | -> MaxPool(2) -> | -> AvgPool(2, pad = same) -> | -> "
        "GRU(2) -> | -> softmax -> | -> ConvTranspose(3, 2, stride = 2) -> | -> GlobalAvgPool() -> | -> "
        "Bidirectional(RNN(2), RNN(3)) ->"
    ),
    r"(?m)^    output .*$": (
        "    output mean(X, over = m) |     output position(X, over = m) |     output reverse(X, over = m) |"
        "     output X * m |     output sum(W, over = all) |     output x<T> |     output a<T> |     output "
        "a<1> |     output x<t> |     output y_hat<T> |     output shift(x) |     output reverse(x) |     "
        "output mean(x, over = T) |     output concat(X, X, over = m) |     output X.T |     output "
        "softmax(x, over = T) |     output max(y_hat, over = T) |     output argmax(x, over = T) |     output"
        " x * T |     output position(x, over = last)"
    ),
    r"\([^()\n]*, m, T\)": (
        "(m, T) | (T, m) | (3, T, m) | (3, m, 2 * T) | (3, m, T + 1) | (3, m, 4) | (3, m) | (3, T) | (3, m, "
        "T, 2) | (m, 3, T) | (3, m, q = T)"
    ),
    r"\((?:[\w*. ]+, )+[\w*. ]+\) ->": (
        "(a, b, c) -> | (a, m) -> | (..., m) -> | (m, ...) -> | (2 * a, m, T) -> | (a, b * 2, m) ->"
    ),
    r"(?:tanh|sigmoid|softmax|relu)\(": (
        "( | max( | sum( | mean( | exp( | log( | argmax( | reverse( | shift( | one_hot( | known( | drop( | "
        "position( | sum(over = first,  | mean(over = last,  | max(over = T, "
    ),
    r"dim T\w*(?: <= \d+)?": ("dim T | dim T <= 4 | dim T <= 20 | dim T <= 1 | T = 4 | dim T, S"),
    r"1\.\.\w+": ("1..T | 0..T | 1..3 | 2..T | 1..T-1 | 1..0 | 1..2*T | 1..m | reverse(1..T) | 1..n"),
}
"""What stands in a text, and what may stand there instead (between bars): where sequences and pictures go wrong."""


def _place(text: str, rng: random.Random) -> str:
    """Another time index, window, axis, pattern, step of a chain or output."""
    pattern, others = rng.choice(list(_PLACES.items()))
    found = list(re.finditer(pattern, text))
    if not found:
        return _swap(text, rng)
    at = rng.choice(found)
    return text[: at.start()] + rng.choice(others.split(" | ")) + text[at.end() :]


def _swap(text: str, rng: random.Random) -> str:
    """Two names of one bracket in each other's place."""
    found = list(re.finditer(r"\(([^()\n]*,[^()\n]*)\)", text))
    if not found:
        return text
    at = rng.choice(found)
    items = at[1].split(",")
    i, j = rng.sample(range(len(items)), 2)
    items[i], items[j] = items[j], items[i]
    return text[: at.start(1)] + ",".join(items) + text[at.end(1) :]


SMALL = {
    "tied": """
model Tied(n = [6, 3]):
    hyper slope = 0.1 in log(1e-3, 0.5)
    input X : (n[0], m)
    encode = Dense(n[1], leaky_relu(slope = slope))
    h = encode(X)
    X_hat : (n[0], m) = encode.W.T @ h
    loss squared_error(X_hat, X)
    output h
    output X_hat
""",
    "blocks": """
layer Twice(inner, times = 2):
    input A : (n, m)
    H[0] = A
    for i in 1..times:
        H[i] = H[i-1] -> inner + A if n > 3 else H[i-1] -> inner
    output H[times] -> Dense(n, tanh)
    output S = sum(A, over = first)

function spread(z : (k, m), scale = 2):
    c = z - mean(z, over = first)
    output c / sqrt(mean(c^2, over = first) + 1e-5) * scale

model Blocks(sizes = [[4, 4], [2, 3]]):
    input X : (4, m)
    target Y : (1, m) optional
    A[0] = X
    for k, size in [(1, sizes[0]), (2, sizes[1])]:
        A[k] = A[k-1] -> Dense(size[0]) -> spread(scale = 3) -> Dense(size[1], relu)
    a, s = Twice(Dense(3))(A[2])
    Y_hat = concat_free(a) -> Dense(1) as last
    loss known(Y) * (Y_hat - Y)^2 if 1 == 1 else 0
    loss 0.1 * sum(last.W^2)
    metric R2(Y_hat, Y)
    metric mean_error = mean(abs(Y_hat - Y), over = all)
    output Y_hat

function concat_free(z) = z
""",
    "words": """
model Words(V = 7, n = 4):
    input w, v : (m) index(V)
    input X : (n, m)
    target Y : (3, m) one_hot
    param E : (n, V) ~ normal(0, 0.1)
    state seen : (n, 1) ~ zeros
    e = E @ one_hot(w) + E @ one_hot(v) * X
    c = e - seen
    when training:
        seen := 0.9 * seen + 0.1 * mean(e, over = m)
        D : (n, m) ~ normal(0, 0.1)
        h = c + D
    otherwise:
        h = c
    p = h -> Dense(3, softmax)
    weight = position(h, over = first)
    loss cross_entropy(p, Y)
    loss 1e-3 * sum(weight * h^2, over = first)
    metric accuracy(p, Y)
    metric perplexity(p, Y)
    output p
""",
    "constants": """
rows = 3
model Scalars(k = 2):
    param a, b : () ~ normal(0, 1)
    param S : (rows, rows) ~ glorot
    L = 4 // k + len([1, 2]) - 1
    for i in reverse(1..L):
        q[i] = a^2 * i + max(b, i)
    if k == 2:
        p = q[1] if k < 3 else q[2]
    else:
        p = a
    loss p + sum(S @ S) + sum(S @ broadcast(a, (rows, 1)))
    output z = p * 2
""",
}
