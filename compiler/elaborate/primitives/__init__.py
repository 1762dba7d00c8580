"""The functions that the compiler knows; everything else in the library is text.

Each has a signature (names and defaults) and a handler. A primitive called without its first tensor is a function of
that tensor, so it may stand in a chain: `x -> reverse(over = T)`.
"""

from dlc.compiler.elaborate.primitives import (
    convolution,
    data,
    draws,
    generation,
    moves,
    numbers,
    reductions,
    sequences,
    texts,
)
from dlc.compiler.elaborate.primitives.moves import index_range
from dlc.compiler.elaborate.primitives.registry import (
    CONSTANTS,
    PRIMITIVES,
    REQUIRED,
    Further,
    Pattern,
    Signature,
    Site,
)

__all__ = [
    "CONSTANTS",
    "PRIMITIVES",
    "REQUIRED",
    "Further",
    "Pattern",
    "Signature",
    "Site",
    "convolution",
    "data",
    "draws",
    "generation",
    "index_range",
    "moves",
    "numbers",
    "reductions",
    "sequences",
    "texts",
]
