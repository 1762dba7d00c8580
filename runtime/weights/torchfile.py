"""Reads the tensors of a file that `torch.save` wrote, without torch and without unpickling.

    since torch 1.6    a zip archive: NAME/data.pkl, and NAME/data/KEY for each storage
    before             five pickles (a mark, a version, the machine, the object, the keys), then the storages

The object is a state dict, or a dict that has some. Tensors in inner dicts get the keys before their names, with dots.
"""

from __future__ import annotations

import errno
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.weights.header import BYTES
from dlc.runtime.weights.pickles import LARGEST_PICKLE, Broken, Global, Machine, Refused, kind_of
from dlc.runtime.weights.values import decoded

Array = NDArray[Any]
STORAGES = {
    "torch.DoubleStorage": "F64",
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
}
DICT, TENSOR = "collections.OrderedDict", "torch._utils._rebuild_tensor_v2"
PARAMETER, SIZE = "torch._utils._rebuild_parameter", "torch.Size"
KNOWN = frozenset({*STORAGES, DICT, TENSOR, PARAMETER, SIZE})
"""All that a pickle of tensors may name."""
MARK, VERSION = 0x1950A86A20F9469CFC6C, 1001
MOST_NAMES, DEEPEST, LONGEST_PATH = 1_000_000, 20, 1_000
STATE_DICT = "save the tensors alone, with torch.save(model.state_dict(), …)"


@dataclass(frozen=True, slots=True)
class Storage:
    """A row of numbers that tensors look into. `count` are its elements."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class TorchTensor:
    """A view of a storage: element (i, j, …) is number `offset + i * strides[0] + j * strides[1] + …` of it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> str:
        return self.storage.dtype


class TorchFile:
    """The tensors of a file by name; a value is read when it is asked for.

    Opening raises DiagnosticError: R607 (it cannot be opened), R612 (it is damaged), R613 (it holds something else).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: tuple[str, bytes] = "", b""
        with _Told(path), path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            self._places = _Archive(file) if zipped else _Rows(file)
            self.tensors: Mapping[str, TorchTensor] = dict(_named(self._places.content))

    def value(self, name: str) -> Array:
        """The tensor's values, as stored."""
        tensor = self.tensors[name]
        storage = tensor.storage
        with _Told(self.path), self.path.open("rb") as file:
            if self._last[0] != storage.key:
                self._last = storage.key, self._places.storage(file, storage)
        row = decoded(self._last[1], storage.dtype)
        sized = zip(tensor.shape, tensor.strides, strict=True)
        steps = tuple(stride * row.itemsize if size > 1 and 0 not in tensor.shape else 0 for size, stride in sized)
        seen = np.lib.stride_tricks.as_strided(row[tensor.offset :], tensor.shape, steps, writeable=False)
        return np.array(seen, order="C")


class _Told:
    """Turns what goes wrong with a file into a diagnostic."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Refused):
            rule = "only tensors are read: a pickle that may do more can run any program"
            raise DiagnosticError(
                Diagnostic("R613", f"{self.path} {error}", None, rule=rule, help=STATE_DICT)
            ) from None
        if isinstance(error, Broken):
            raise DiagnosticError(Diagnostic("R612", f"{self.path} {error}", None)) from None
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place outside the file is its own mistake
            reason = (error.strerror or str(error)).lower()
            raise DiagnosticError(Diagnostic("R607", f"{self.path} cannot be opened: {reason}", None)) from None
        if isinstance(error, (OSError, *_ZIP_ERRORS)):
            raise DiagnosticError(Diagnostic("R612", f"{self.path} is damaged: {error}", None)) from None


_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What Python's zipfile raises for archives that are not whole."""


# --- the two formats ---------------------------------------------------------------------------------------------


class _Archive:
    """The zip archive. Its files are stored as they are: nothing in it can unfold into more than the file has."""

    def __init__(self, file: BinaryIO) -> None:
        with zipfile.ZipFile(file) as archive:
            inside = {info.filename: info for info in archive.infolist()}
            tops = [name.removesuffix("data.pkl") for name in inside if f"/{name}".endswith("/data.pkl")]
            if len(tops) != 1:
                raise Broken("is a zip archive, but none of torch.save")
            (self.top,) = tops
            if any(name.startswith(f"{self.top}code/") for name in inside):
                raise Refused("is a TorchScript program")
            if f"{self.top}byteorder" in inside and self._read(archive, "byteorder", 10).strip() != b"little":
                raise Broken("has its numbers in another order of bytes than this machine")
            self._limit = {name: info.file_size for name, info in inside.items()}
            pickle = io.BytesIO(self._read(archive, "data.pkl", LARGEST_PICKLE))
        self.content = Machine(pickle, KNOWN, _reduced, self._storage).load()

    def _entry(self, archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
        info = archive.NameToInfo.get(self.top + name)
        if info is None:
            raise Broken(f"is damaged: it has no {name[:100]}")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise Broken(f"is none of torch.save: its {name[:100]} is compressed")
        return info

    def _read(self, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
        info = self._entry(archive, name)
        if info.file_size > most:
            raise Broken(f"is damaged: its {name[:100]} has {info.file_size:,} bytes")
        return archive.read(info)

    def _storage(self, identifier: Any) -> Storage:
        found = _identified(identifier, 5)
        has = self._limit.get(f"{self.top}data/{found.key}")
        if has != found.count * BYTES[found.dtype]:
            raise Broken(f"is damaged: its storage {found.key[:100]} does not have the size that its tensors say")
        return found

    def storage(self, file: BinaryIO, wanted: Storage) -> bytes:
        with zipfile.ZipFile(file) as archive:
            return self._read(archive, f"data/{wanted.key}", wanted.count * BYTES[wanted.dtype])


class _Rows:
    """The older format: pickles one after another, then for each key a count and the values."""

    def __init__(self, file: BinaryIO) -> None:
        self._found: dict[str, Storage] = {}
        if self._pickle(file) != MARK:
            raise Broken("is no file of torch.save")
        if self._pickle(file) != VERSION:
            raise Broken("is of another version of torch.save than 1001")
        machine = self._pickle(file)
        if not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise Broken("has its numbers in another order of bytes than this machine")
        self.content = self._pickle(file)
        keys = self._pickle(file)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise Broken("is damaged: it has no list of its storages")
        if sorted(keys) != sorted(self._found):
            raise Broken("is damaged: its list of storages is not that of its tensors")
        self._starts = dict(self._rows(file, keys))

    def _pickle(self, file: BinaryIO) -> Any:
        return Machine(file, KNOWN, _reduced, self._storage).load()

    def _storage(self, identifier: Any) -> Storage:
        if isinstance(identifier, tuple) and len(identifier) == 6 and identifier[5] is not None:
            raise Refused("has storages that are parts of others")
        found = _identified(identifier, 6)
        if self._found.setdefault(found.key, found) != found:
            raise Broken(f"is damaged: it gives its storage {found.key[:100]} two sizes")
        return found

    def _rows(self, file: BinaryIO, keys: list[str]) -> Iterator[tuple[str, int]]:
        """Where the values of each storage begin."""
        end = file.seek(0, 2) if (at := file.tell()) >= 0 else 0
        for key in keys:
            storage = self._found[key]
            file.seek(min(at, end))
            if file.read(8) != storage.count.to_bytes(8, "little"):
                raise Broken("is damaged: a storage does not have the size that its tensors say")
            yield storage.key, at + 8
            at += 8 + storage.count * BYTES[storage.dtype]
        if at != end:
            raise Broken("is cut off" if at > end else f"is damaged: {end - at:,} bytes stand behind its last value")

    def storage(self, file: BinaryIO, wanted: Storage) -> bytes:
        file.seek(self._starts[wanted.key])
        size = wanted.count * BYTES[wanted.dtype]
        found = file.read(size)
        if len(found) < size:
            raise Broken("was changed while it was read")
        return found


# --- the records that globals stand for --------------------------------------------------------------------------


def _identified(identifier: Any, length: int) -> Storage:
    """`("storage", torch.FloatStorage, key, device, count)`, and in the older format a sixth."""
    if not isinstance(identifier, tuple) or len(identifier) != length or identifier[0] != "storage":
        what = identifier[0] if isinstance(identifier, tuple) and identifier else identifier
        raise Refused(f"has a {what[:100] if isinstance(what, str) else kind_of(what)} beside its tensors")
    _, kind, key, _, count = identifier[:5]
    if not isinstance(kind, Global) or str(kind) not in STORAGES:
        raise Refused(f"has a storage of {kind_of(kind)}")
    if not isinstance(key, str) or not _is_count(count):
        raise Broken("is damaged: a storage has no size")
    return Storage(STORAGES[str(kind)], key, count)


def _reduced(function: Global, arguments: tuple[Any, ...]) -> Any:
    """What a call of a known global is worth."""
    match str(function), arguments:
        case (name, ()) if name == DICT:
            return {}
        case (name, (list(pairs),)) if name == DICT and all(_is_pair(pair) for pair in pairs):
            return {pair[0]: pair[1] for pair in pairs}
        case (name, (Storage() as storage, offset, shape, strides, *_)) if name == TENSOR:
            return _tensor(storage, offset, shape, strides)
        case (name, (TorchTensor() as tensor, *_)) if name == PARAMETER:
            return tensor
        case (name, (tuple(sizes),)) if name == SIZE:
            return sizes
    raise Refused(f"calls {function} with something else than it takes")


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _tensor(storage: Storage, offset: Any, shape: Any, strides: Any) -> TorchTensor:
    """A view, which must lie within its storage and have no more elements than that."""
    sizes = (offset, *shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else (None,)
    if not all(map(_is_count, sizes)) or len(shape) != len(strides) or len(shape) > 32:
        raise Broken("is damaged: a tensor has no shape")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    count = math.prod(shape)
    if count and (last >= storage.count or count > storage.count):
        raise Broken(f"is damaged: a tensor {shape} does not lie within its storage of {storage.count:,} elements")
    return TorchTensor(storage, offset if count else 0, shape, strides)


def _named(content: Any) -> Iterator[tuple[str, TorchTensor]]:
    """The tensors of nested dicts, by their keys. What is neither dict nor tensor (an epoch, a list) is no weight."""
    if not isinstance(content, dict):
        raise Refused("is no state dict")
    waiting = [("", content, 0)]
    seen: set[str] = set()
    while waiting:
        prefix, inner, depth = waiting.pop()
        for key, value in inner.items():
            name = f"{prefix}{key}"
            if len(name) > LONGEST_PATH:
                raise Broken(f"is damaged: a name has more than {LONGEST_PATH} characters")
            if isinstance(value, dict) and depth < DEEPEST:
                waiting.append((f"{name}.", value, depth + 1))
            elif isinstance(value, dict):
                raise Broken(f"is damaged: its dicts are nested more than {DEEPEST} deep")
            elif isinstance(value, TorchTensor):
                if name in seen:
                    raise Broken(f"is damaged: two of its tensors are called {name[:100]}")
                yield name, value
            seen.add(name)
            if len(seen) > MOST_NAMES or len(waiting) > MOST_NAMES:
                raise Broken(f"has more than {MOST_NAMES:,} names")
