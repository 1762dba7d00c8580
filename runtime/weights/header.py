"""The header of a safetensors file: names, types and shapes, read without a value.

The format is https://github.com/huggingface/safetensors#format: eight bytes say how long the header is, a JSON object
follows, then the values. Neither numpy nor safetensors is imported: `dlc check` reads this much and nothing more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.grammar.span import Span

LARGEST_HEADER = 16_000_000
"""Bytes: names, types and shapes of about a hundred thousand tensors."""
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1}
BYTES |= {"U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1}
"""Of one value."""
REAL = ("F64", "F32", "F16", "BF16")
"""The types that parameters may have in a file."""
METADATA = "__metadata__"


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor in a file; its values are the bytes from `start` to `end` of the file, row by row."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a file holds, by name, and the texts beside it."""

    tensors: Mapping[str, Stored]
    metadata: Mapping[str, str]


def read_header(path: Path, shown: str, span: Span | None) -> Header:
    """The header of a safetensors file. Raises DiagnosticError: R607 (it cannot be opened), R612 (it is damaged, or of
    another kind)."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            length = int.from_bytes(first, "little")
            if len(first) < 8 or not 2 <= length <= min(LARGEST_HEADER, size - 8):
                raise _not_one(first, length, size)
            return _header(json.loads(file.read(length), object_pairs_hook=_unique), 8 + length, size)
    except _Damaged as error:
        raise DiagnosticError(Diagnostic("R612", f"{shown} {error}", span, help=error.help)) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DiagnosticError(Diagnostic("R607", f"{shown} cannot be opened: {reason}", span)) from None
    except (ValueError, RecursionError):
        message = f"{shown} is no safetensors file: its header is not JSON"
        raise DiagnosticError(Diagnostic("R612", message, span)) from None


class _Damaged(Exception):
    """Says what is wrong with a file, as the end of a sentence about it."""

    def __init__(self, why: str, help: str | None = None) -> None:
        super().__init__(why)
        self.help = help


TORCH = (b"PK\x03\x04", b"\x80\x02\x8a\x0a", b"\x80\x02}", b"\x80\x02c")
"""How files of `torch.save` begin."""


def _not_one(first: bytes, length: int, size: int) -> _Damaged:
    if first.startswith(TORCH):
        help = "`dlc convert` makes a safetensors file of it, with this network's names"
        return _Damaged("is a file of torch, not a safetensors file", help)
    if len(first) == 8 and size - 8 < length <= LARGEST_HEADER:
        return _Damaged("is cut off: it ends inside its header")
    if LARGEST_HEADER < length < 100 * LARGEST_HEADER and length <= size - 8:
        return _Damaged(f"has a header of {length:,} bytes, and at most {LARGEST_HEADER:,} are read")
    return _Damaged("is no safetensors file")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Damaged("is damaged: two of its tensors have one name")
    return found


def _header(content: object, base: int, size: int) -> Header:
    """The header from its JSON; values begin at `base` of the `size` bytes of the file."""
    if not isinstance(content, dict):
        raise _Damaged("is no safetensors file: its header is not an object")
    metadata = content.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _Damaged("is damaged: its metadata are not texts")
    tensors = {name: _stored(name, record, base) for name, record in content.items()}
    end = base
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start != end:
            raise _Damaged(f"is damaged: the values of {name} do not follow those before them")
        end = tensor.end
    if end > size:
        raise _Damaged(f"is cut off: it has {size:,} bytes of {end:,}")
    if end < size:
        raise _Damaged(f"is damaged: {size - end:,} bytes stand behind its last value")
    return Header(tensors, metadata)


def _stored(name: str, record: object, base: int) -> Stored:
    if not isinstance(record, dict) or set(record) != {"dtype", "shape", "data_offsets"}:
        raise _Damaged(f"is damaged: its record of {name} is not one of a tensor")
    dtype, shape, offsets = record["dtype"], record["shape"], record["data_offsets"]
    if not isinstance(dtype, str) or not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise _Damaged(f"is damaged: its record of {name} is not one of a tensor")
    start, end = offsets
    if dtype in BYTES and end - start != math.prod(shape) * BYTES[dtype]:
        raise _Damaged(f"is damaged: {name} has {end - start:,} bytes, which is not its size")
    if start > end:
        raise _Damaged(f"is damaged: the values of {name} end before they begin")
    return Stored(dtype, tuple(shape), base + start, base + end)


def _counts(value: object) -> bool:
    """Whether it is a list of sizes, of no more axes than NumPy has."""
    if not isinstance(value, list) or len(value) > 32:
        return False
    return all(type(item) is int and 0 <= item < 2**63 for item in value)
