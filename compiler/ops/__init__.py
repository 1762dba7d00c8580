"""The primitives of the language: one small object each, in one file a family.

`OPS` maps a name to its op; importing this package registers all of them.
"""

from dlc.compiler.ops import contraction, convolution, elementwise, leaf, movement, reduction, stable, window
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
    "convolution",
    "elements",
    "elementwise",
    "is_number",
    "leaf",
    "movement",
    "op",
    "reduction",
    "stable",
    "unbroadcast",
    "window",
]
