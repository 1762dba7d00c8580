"""From syntax tree to checked program: names, sizes and graphs in one walk.

The elaborator executes a model's text once with tensors standing for their types. Compile-time values (numbers,
lists, functions, layers) are computed; tensor expressions become IR nodes, and an op's type rule that accepts its
operands *is* the proof that the dimensions fit. So there is no second checker that could disagree with the program
that runs. A layer or function is walked at each use with the sizes known there.
"""

from dlc.compiler.elaborate.model import elaborate_model
from dlc.compiler.elaborate.training import training_programs

__all__ = ["elaborate_model", "training_programs"]
