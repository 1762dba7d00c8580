"""Convolutions and sliding windows."""

from __future__ import annotations

from dlc.compiler.elaborate.primitives.registry import PRIMITIVES, Signature, not_yet

for _name in ("convolve", "convolve_transpose"):
    PRIMITIVES[_name] = Signature((), not_yet, variadic=True)
