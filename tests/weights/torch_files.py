"""Files as `torch.save` writes them, put together opcode by opcode: no torch, and no pickler."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STORAGES = {
    "float64": "Double", "float32": "Float", "float16": "Half", "int64": "Long", "int32": "Int",
    "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool",
}  # fmt: skip


@dataclass(frozen=True)
class Raw:
    """Opcodes as they are."""

    code: bytes


def named(module: str, name: str) -> Raw:
    """A global."""
    return Raw(f"c{module}\n{name}\n".encode())


def called(function: Raw, *arguments: Any) -> Raw:
    return Raw(function.code + code(arguments) + b"R")


def code(value: Any) -> bytes:
    """The opcodes that leave a value on the stack."""
    match value:
        case Raw(code=text):
            return text
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            size = value.bit_length() // 8 + 1
            return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return b"X" + struct.pack("<I", len(text)) + text
        case tuple():
            return b"(" + b"".join(map(code, value)) + b"t"
        case list():
            return b"](" + b"".join(map(code, value)) + b"e"
        case dict():
            return b"}(" + b"".join(code(part) for item in value.items() for part in item) + b"u"
    raise TypeError(type(value))


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + code(value) + b"."


def storage(key: str, array: NDArray[Any], *more: Any, count: int | None = None) -> Raw:
    """The identifier of a storage that holds an array's elements."""
    kind = named("torch", f"{STORAGES[array.dtype.name]}Storage")
    return Raw(code(("storage", kind, key, "cpu", array.size if count is None else count, *more)) + b"Q")


def tensor(held: Raw, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Raw:
    hooks = called(named("collections", "OrderedDict"))
    return called(named("torch._utils", "_rebuild_tensor_v2"), held, offset, shape, strides, False, hooks)


def whole(key: str, array: NDArray[Any], *more: Any) -> Raw:
    """A tensor that is all of its own storage, row by row."""
    strides = tuple(step // array.itemsize for step in np.asarray(array, order="C").strides)
    return tensor(storage(key, array, *more), 0, array.shape, strides)


def state_dict(arrays: Mapping[str, NDArray[Any]], *more: Any) -> Raw:
    """An OrderedDict of tensors with `_metadata`, as a module gives it."""
    body = b"".join(code(name) + whole(str(i), array, *more).code for i, (name, array) in enumerate(arrays.items()))
    metadata = code({"_metadata": {"": {"version": 1}}})
    return Raw(called(named("collections", "OrderedDict")).code + b"(" + body + b"u" + metadata + b"b")


def zipped(
    pickle: bytes, arrays: Mapping[str, NDArray[Any]], method: int = zipfile.ZIP_STORED, top: str = "m"
) -> bytes:
    """The format since torch 1.6; `arrays` are storages by key."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(f"{top}/data.pkl", pickle)
        archive.writestr(f"{top}/byteorder", "little")
        for key, array in arrays.items():
            archive.writestr(f"{top}/data/{key}", array.tobytes())
        archive.writestr(f"{top}/version", "3\n")
    return file.getvalue()


def rows(pickle: bytes, arrays: Mapping[str, NDArray[Any]], little: bool = True) -> bytes:
    """The format before."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": little}]
    parts = [*map(pickled, head), pickle, pickled(list(arrays))]
    return b"".join([*parts, *(array.size.to_bytes(8, "little") + array.tobytes() for array in arrays.values())])


def saved(arrays: Mapping[str, NDArray[Any]], old: bool = False) -> bytes:
    """`torch.save(OrderedDict(arrays))`, in the older format with `old`."""
    stored = {str(i): array for i, array in enumerate(arrays.values())}
    return rows(pickled(state_dict(arrays, None)), stored) if old else zipped(pickled(state_dict(arrays)), stored)
