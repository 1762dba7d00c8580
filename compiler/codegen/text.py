"""Names and texts of the generated module: identifiers, comments, literals, formulas.

Nothing of a spec's text reaches the module except through here: names become ASCII identifiers, comments are one line
of printable ASCII, strings are written by `repr`.
"""

from __future__ import annotations

import keyword
import math
import re
import unicodedata
from collections.abc import Container

LINE = 150
"""The length of a comment in the generated module."""

CHEAP_CALLS = frozenset({"abs", "ceil", "floor", "index", "isnan", "max", "min", "real", "sign"})
"""Calls that cost no more than an addition."""

PROPAGATING = {"max": "maximum", "min": "minimum"}
"""The host's forms, which give NaN where an operand is NaN, as NumPy's do; Python's own would lose it."""


_USED = """
    abs address_of ceil choice_beam choice_begin choice_finish choice_follow choice_greedy choice_sample convolve_rows
    cos erf exp filter_gradient_rows float32_at float64 float64_at floor INF
    input_gradient_rows inside int int64_at isnan kernel launch log matmul_panel max maximum min minimum NAN
    normal01_float32 normal01_float64 np pack pool_gradient_rows pool_rows range real real_at scratch sigmoid sign
    sin softplus sqrt tanh transpose uniform01_float32 uniform01_float64
"""
BUILT_IN = frozenset(_USED.split())
"""Names that the generated module's text uses."""

WORDS = {
    "exp": "power",
    "log": "logarithm",
    "max": "larger",
    "min": "smaller",
    "reduce_max": "largest",
    "reduce_min": "smallest",
    "sum": "total",
    "prod": "product",
    "matmul": "product",
    "sqrt": "root",
    "constant": "c",
    "size": "count",
}
"""What a value without a name is called after its op, where the op's own name is a function's."""


def identifier(name: str, taken: Container[str] = ()) -> str:
    """An ASCII identifier for a spec's name: `W[1]` gives `W_1`. A number is appended where it is taken."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
    made = words if words and not words[0].isdigit() else f"v_{words}".rstrip("_")
    made = made + "_" if keyword.iskeyword(made) else made
    if made not in taken:
        return made
    number = 2
    while f"{made}_{number}" in taken:
        number += 1
    return f"{made}_{number}"


def comment(text: str, ending: str = "") -> str:
    """One line of printable ASCII, at most LINE characters with its ending, which is never cut."""
    line, ending = _printable(text), _printable(ending)
    room = LINE - len(ending)
    return (line if len(line) <= room else line[: room - 3] + "...") + ending


def _printable(text: str) -> str:
    """Without control characters, line ends or anything beyond ASCII."""
    plain = text.encode("ascii", "replace").decode()
    return "".join(c if " " <= c <= "~" else " " for c in plain)


class KernelEmitter:
    """The text of an elementwise op inside a kernel, in the program's dtype. `costly` tells whether a call was made
    that is worth storing the result of."""

    def __init__(self) -> None:
        self.costly = False

    def number(self, value: float) -> str:
        if math.isinf(value):
            return "INF" if value > 0 else "-INF"
        if math.isnan(value):
            return "NAN"
        return f"real({value!r})" if value != int(value) else f"real({int(value)})"

    def call(self, function: str, *arguments: str) -> str:
        self.costly = self.costly or function not in CHEAP_CALLS
        if function == "pow":
            return f"({arguments[0]}) ** ({arguments[1]})"
        if function == "index":
            return f"int({arguments[0]})"
        function = PROPAGATING.get(function, function)
        return f"{function}({', '.join(arguments)})"


class ScalarEmitter(KernelEmitter):
    """The text of arithmetic on single numbers in a program's body, in float64."""

    def number(self, value: float) -> str:
        if math.isinf(value) or math.isnan(value):
            return f"float64({super().number(value)})"
        return repr(float(value))

    def call(self, function: str, *arguments: str) -> str:
        return super().call("float64" if function == "real" else function, *arguments)


def bare(text: str) -> str:
    """The text without a pair of parentheses around all of it."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and position < len(text) - 1:
            return text
    return text[1:-1]
