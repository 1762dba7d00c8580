"""The primitives of the language: one small object each, in one file a family.

`OPS` maps a name to its op; importing this package registers all of them.
"""

from dlc.compiler.ops import contraction, elementwise, leaf, loop, movement, reduction, stable
from dlc.compiler.ops.base import (
    OPS,
    Bad,
    Composite,
    Contraction,
    Elementwise,
    Emitter,
    Leaf,
    Loop,
    MatrixProduct,
    Movement,
    Op,
    Reduction,
    Sample,
    ShapeError,
    Stable,
    Window,
    elements,
    is_number,
    op,
    unbroadcast,
)

__all__ = [
    "OPS",
    "Bad",
    "Composite",
    "Contraction",
    "Elementwise",
    "Emitter",
    "Leaf",
    "Loop",
    "MatrixProduct",
    "Movement",
    "Op",
    "Reduction",
    "Sample",
    "ShapeError",
    "Stable",
    "Window",
    "contraction",
    "elements",
    "elementwise",
    "is_number",
    "leaf",
    "loop",
    "movement",
    "op",
    "reduction",
    "stable",
    "unbroadcast",
]
