"""The values of a weights file, in the type that a model computes in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.checkpoint import FORMAT, checksum
from dlc.runtime.weights.header import Header, read_header
from dlc.runtime.weights.plan import Weights

Array = NDArray[Any]
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1"}
TYPES |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "|b1"}
"""NumPy's names; BF16 is the upper half of a float32."""


def write_into(memory: Mapping[str, Array], weights: Weights) -> None:
    """Writes a file's values into a model's own arrays, rounded once to their type.

    Raises DiagnosticError: R607, R612 (the file changed since it was checked, or does not have the checksum that it
    names), R611 (a value that is not finite in that type).
    """
    header = read_header(weights.path, weights.shown, weights.span)
    for name, there in weights.names.items():
        if there not in header.tensors or header.tensors[there].shape != memory[name].shape:
            raise DiagnosticError(Diagnostic("R612", f"{weights.shown} was changed while it was read", weights.span))
    _require_whole(weights, header)
    for name, value in stored_values(weights, header, weights.names):
        with np.errstate(over="ignore"):
            memory[name][...] = value
        if not np.isfinite(memory[name]).all():
            raise DiagnosticError(_not_finite(weights, name, value, memory[name].dtype))


def stored_values(weights: Weights, header: Header, names: Mapping[str, str]) -> Iterator[tuple[str, Array]]:
    """The values that `names` says, as the file has them, by the model's names; one at a time in memory."""
    try:
        with weights.path.open("rb") as file:
            for name, there in names.items():
                stored = header.tensors[there]
                file.seek(stored.start)
                yield name, decoded(file.read(stored.end - stored.start), stored.dtype).reshape(stored.shape)
    except (OSError, ValueError) as error:
        message = f"{weights.shown} cannot be read: {error}"
        raise DiagnosticError(Diagnostic("R612", message, weights.span)) from None


def decoded(content: bytes, dtype: str) -> Array:
    """The numbers that some bytes are, by the safetensors name of their type."""
    if dtype == "BF16":
        return (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(content, TYPES[dtype])


def _require_whole(weights: Weights, header: Header) -> None:
    """A checkpoint of dlc says the checksum of its content. Raises R612 where that is another."""
    if header.metadata.get("format") != FORMAT or "checksum" not in header.metadata:
        return
    known = {name: name for name, stored in header.tensors.items() if stored.dtype in TYPES}
    if header.metadata["checksum"] != checksum(dict(stored_values(weights, header, known)), header.metadata):
        message = f"{weights.shown} is damaged: its checksum does not match its content"
        raise DiagnosticError(Diagnostic("R612", message, weights.span))


def _not_finite(weights: Weights, name: str, value: Array, dtype: np.dtype[Any]) -> Diagnostic:
    known = np.isfinite(value)
    place = weights.names[name]
    if known.all():
        message = f"{place} in {weights.shown} holds {np.abs(value).max():g}, too large for {dtype}"
        return Diagnostic("R611", message, weights.span, help="compile the model with dtype float64")
    message = f"{place} in {weights.shown} holds {value.size - int(known.sum()):,} values that are not finite numbers"
    return Diagnostic("R611", message, weights.span)
