"""What sequences need: each example's own length, and generation."""

from __future__ import annotations

from dlc.compiler.elaborate.primitives.registry import PRIMITIVES, Signature, not_yet

for _name in ("lengths", "generate", "bleu"):
    PRIMITIVES[_name] = Signature((), not_yet, variadic=True)
