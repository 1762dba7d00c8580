"""`dlc derive`: the backward pass as equations in the course's notation.

| file          | what                                                              |
| ------------- | ----------------------------------------------------------------- |
| `lines.py`    | which values have a line, in which order, with which shape        |
| `loops.py`    | a gradient's loop as equations in `a<t>`                          |
| `unpadded.py` | the graph for examples that are all as long as their axes         |
"""

from dlc.compiler.derivation.lines import DerivedLine, derivation, render_derivation

__all__ = ["DerivedLine", "derivation", "render_derivation"]
