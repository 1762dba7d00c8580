"""The schema in the footer of a Parquet file: the names of its columns and what they hold.

It is decoded here, because `pyarrow` takes half a second to import and brings NumPy with it: too much for a check. The
footer is a Thrift struct in the compact protocol (parquet.thrift, `FileMetaData`).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeVar

from dlc.compiler.diagnostics import DiagnosticError
from dlc.grammar.span import Span
from dlc.runtime.data.formats import ParquetHeader, require_distinct, unreadable

MAGIC = b"PAR1"
MAX_FOOTER = 1 << 26

NUMBERS, TEXTS, DATES, NESTED, BYTES = "numbers", "texts", "dates or times", "nested values", "bytes"

# The fields of FileMetaData and of SchemaElement that are read here.
_SCHEMA, _ROWS = 2, 3
_TYPE, _REPETITION, _NAME, _CHILDREN, _CONVERTED, _LOGICAL = 1, 3, 4, 5, 6, 10
_REPEATED = 2

_PHYSICAL = {0: NUMBERS, 1: NUMBERS, 2: NUMBERS, 3: DATES, 4: NUMBERS, 5: NUMBERS, 6: BYTES, 7: BYTES}
"""BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY."""
_CONVERTED_TYPES = {0: TEXTS, 4: TEXTS, 5: NUMBERS, 6: DATES, 7: DATES, 8: DATES, 9: DATES, 10: DATES, 21: DATES}
"""UTF8, ENUM, DECIMAL, DATE, TIME_*, TIMESTAMP_*, INTERVAL; the widths of integers (11 to 18) say nothing new."""
_LOGICAL_TYPES = {1: TEXTS, 4: TEXTS, 5: NUMBERS, 6: DATES, 7: DATES, 8: DATES, 15: NUMBERS}
"""STRING, ENUM, DECIMAL, DATE, TIME, TIMESTAMP, FLOAT16."""

T = TypeVar("T")
Value = int | float | bytes | list["Value"] | dict[int, "Value"]


def parquet_header(path: Path, shown: str, span: Span | None) -> ParquetHeader:
    """Reads the schema at the end of the file. Raises V504, and T404 for two columns of one name."""
    with path.open("rb") as file:
        footer = _footer(file, shown, span)
    try:
        metadata = dict(_fields(io.BytesIO(footer), until=_ROWS))
        columns, rows = list(_columns(_as(list, metadata[_SCHEMA]))), metadata[_ROWS]
    except (EOFError, KeyError, IndexError, ValueError, RecursionError, struct.error):
        raise unreadable(f"{shown} is damaged: its schema cannot be read", span) from None
    if rows == 0:
        raise unreadable(f"{shown} has no rows", span)
    names = tuple(name for name, _ in columns)
    require_distinct(names, shown, span)
    return ParquetHeader(names, dict(columns))


def _footer(file: IO[bytes], shown: str, span: Span | None) -> bytes:
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - 8, 0))
    end = file.read(8)
    if end.endswith(b"PARE"):
        raise unreadable(f"{shown} is encrypted", span)
    if size < 12 or not end.endswith(MAGIC):
        raise _foreign(shown, span)
    (length,) = struct.unpack("<I", end[:4])
    if length > min(size - 12, MAX_FOOTER):
        raise unreadable(f"{shown} is damaged: its schema cannot be read", span)
    file.seek(size - 8 - length)
    return file.read(length)


def _foreign(shown: str, span: Span | None) -> DiagnosticError:
    return unreadable(f"{shown} is not a Parquet file", span, "pandas writes one: table.to_parquet(file)")


def _columns(elements: list[Value]) -> Iterator[tuple[str, str]]:
    """The columns below the root of the schema, whose elements stand depth first."""
    root, *rest = elements
    waiting: list[Value] = rest[::-1]
    for _ in range(_children(root)):
        element = _as(dict, waiting.pop())
        yield _as(bytes, element[_NAME]).decode("utf-8"), _kind(element)
        below = _children(element)
        while below:
            below += _children(waiting.pop()) - 1


def _children(element: Value) -> int:
    return _as(int, _as(dict, element).get(_CHILDREN, 0))


def _as(kind: type[T], value: object) -> T:
    """The value, which must be of a kind: a footer may hold anything."""
    if not isinstance(value, kind):
        raise ValueError("another type than the schema of a table has here")
    return value


def _kind(element: dict[int, Value]) -> str:
    if _CHILDREN in element or element.get(_REPETITION) == _REPEATED:
        return NESTED
    for field in _as(dict, element.get(_LOGICAL, {})):
        if field in _LOGICAL_TYPES:
            return _LOGICAL_TYPES[field]
    converted = _as(int, element.get(_CONVERTED, -1))
    return _CONVERTED_TYPES.get(converted) or _PHYSICAL[_as(int, element[_TYPE])]


# --- the compact protocol --------------------------------------------------------------------------------------


def _fields(data: io.BytesIO, until: int | None = None) -> Iterator[tuple[int, Value]]:
    """The fields of a struct by number; reading ends after the field `until`."""
    field = 0
    while head := _byte(data):
        field = field + (head >> 4) if head >> 4 else _integer(data)
        yield field, _value(data, head & 15)
        if field == until:
            return


def _value(data: io.BytesIO, kind: int) -> Value:
    """A value of one of the protocol's types; the two truth values have types of their own."""
    match kind:
        case 1 | 2:
            return int(kind == 1)
        case 3:
            return _byte(data)
        case 4 | 5 | 6:
            return _integer(data)
        case 7:
            (number,) = struct.unpack("<d", _bytes(data, 8))
            return float(number)
        case 8:
            return _bytes(data, _varint(data))
        case 9 | 10:
            head = _byte(data)
            count = head >> 4 if head >> 4 < 15 else _varint(data)
            return [_value(data, head & 15) if head & 15 > 2 else _byte(data) for _ in range(count)]
        case 12:
            return dict(_fields(data))
    raise ValueError("a type that the schema of a table does not have")


def _integer(data: io.BytesIO) -> int:
    """A signed number: 0, -1, 1, -2, … are written 0, 1, 2, 3, …"""
    number = _varint(data)
    return (number >> 1) ^ -(number & 1)


def _varint(data: io.BytesIO) -> int:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    number = 0
    for shift in range(0, 70, 7):
        byte = _byte(data)
        number |= (byte & 127) << shift
        if byte < 128:
            return number
    raise ValueError("a number of more than 64 bits")


def _byte(data: io.BytesIO) -> int:
    return _bytes(data, 1)[0]


def _bytes(data: io.BytesIO, count: int) -> bytes:
    found = data.read(count)
    if len(found) < count:
        raise EOFError
    return found
