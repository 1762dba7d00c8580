"""IDX files, as MNIST and Fashion-MNIST come: an array behind a header of a few bytes, as it is or gzipped.

The header is two zero bytes, the code of the type, the number of axes, and the size of each axis (4 bytes, big-endian).
Images are unsigned bytes, (examples, height, width) or with channels behind; their classes stand in a file of their
own, one whole number an example. A file of labels that is not named is looked for beside the images under the usual
name: `train-images-idx3-ubyte.gz` has `train-labels-idx1-ubyte.gz`.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.grammar.span import Span
from dlc.runtime.data.formats import IdxArray, IdxHeader, unreadable

TYPES = {8: "|u1", 9: "|i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""NumPy's names of the types, by their codes."""
GZIP = b"\x1f\x8b"
MOST_GZIP_SAVES = 1040
"""No byte of a gzipped file stands for more bytes than this (deflate codes at most 258 of them in two bits)."""
MAX_AXES = 8


def idx_header(
    path: Path, shown: str, span: Span | None, labels: tuple[Path, str] | None = None, within: Path | None = None
) -> IdxHeader:
    """Reads the headers of a file of images and of its labels, given or found beside it (and inside `within`).

    Raises V504 for files that are damaged, V507 for images or labels of another type, T404 where the two have different
    numbers of examples.
    """
    images = idx_file(path, shown, span)
    if images.dtype != "|u1" or len(images.shape) not in (3, 4) or (len(images.shape) == 4 and images.shape[3] > 4):
        message = f"{shown} holds {_kind(images)}, not images: those are bytes, (examples, height, width)"
        raise DiagnosticError(Diagnostic("V507", message, span))
    given = labels or _beside(path, shown, within)
    if given is None:
        return IdxHeader(images, None)
    classes = idx_file(*given, span)
    if classes.dtype[1] not in "ui" or len(classes.shape) != 1:
        message = f"{given[1]} holds {_kind(classes)}, not labels: those are one whole number for each example"
        raise DiagnosticError(Diagnostic("V507", message, span))
    if classes.count != images.count:
        message = f"{shown} has {images.count:,} images, and {given[1]} {classes.count:,} labels"
        raise DiagnosticError(Diagnostic("T404", message, span))
    return IdxHeader(images, classes)


def _kind(file: IdxArray) -> str:
    names = {"|u1": "bytes", "|i1": "signed bytes", ">i2": "whole numbers", ">i4": "whole numbers"}
    return f"{names.get(file.dtype, 'reals')}, ({', '.join(map(str, file.shape))})"


def _beside(path: Path, shown: str, within: Path | None) -> tuple[Path, str] | None:
    """The labels that lie beside a file of images under the usual name."""
    name = re.sub(r"idx\d", "idx1", path.name.replace("images", "labels"))
    beside = path.with_name(name)
    if name == path.name or not beside.is_file():
        return None
    if within is not None and not beside.resolve().is_relative_to(within.resolve()):
        return None
    folder, slash, _ = shown.rpartition("/")
    return beside, folder + slash + name


def is_idx(path: Path) -> bool:
    """Whether a file's name says that it is an IDX file: `t10k-images-idx3-ubyte.gz`, `a.idx`."""
    return re.search(r"[-.]idx\d?(-ubyte)?(\.gz)?$", path.name.lower()) is not None


# --- one file --------------------------------------------------------------------------------------------------


def idx_file(path: Path, shown: str, span: Span | None) -> IdxArray:
    """The header of one file. Raises V504 where it is none, or where the file cannot hold what it says."""
    with opened_idx(path) as (file, gzipped):
        head = b""
        with suppress(EOFError, OSError, zlib.error):
            head = file.read(4 + 4 * MAX_AXES)
    axes = head[3] if len(head) >= 4 else 0
    if head[:2] != b"\0\0" or head[2:3] == b"" or head[2] not in TYPES or not 1 <= axes <= MAX_AXES:
        raise unreadable(f"{shown} is not an IDX file, or is damaged", span)
    offset = 4 + 4 * axes
    if len(head) < offset:
        raise unreadable(f"{shown} breaks off in its header", span)
    found = IdxArray(path, shown, struct.unpack(f">{axes}I", head[4:offset]), TYPES[head[2]], offset, gzipped)
    if 0 in found.shape:
        raise unreadable(f"{shown} has no examples: its array is ({', '.join(map(str, found.shape))})", span)
    _require_length(found, span)
    return found


class opened_idx:
    """The file's own bytes, or what they unzip to, and whether they are zipped."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> tuple[IO[bytes], bool]:
        self.raw = self.path.open("rb")
        gzipped = self.raw.read(2) == GZIP
        self.raw.seek(0)
        return (cast(IO[bytes], gzip.GzipFile(fileobj=self.raw)) if gzipped else self.raw), gzipped

    def __exit__(self, *error: object) -> None:
        self.raw.close()


def _require_length(file: IdxArray, span: Span | None) -> None:
    """V504 for a file that is shorter or longer than its header says, as far as its length tells."""
    length, needs = file.path.stat().st_size, file.offset + file.bytes
    shape = f"({', '.join(map(str, file.shape))})"
    if file.gzipped and needs > length * MOST_GZIP_SAVES:
        raise unreadable(f"{file.shown} is damaged: {length:,} zipped bytes cannot hold an array {shape}", span)
    if not file.gzipped and needs != length:
        raise wrong_length(file, length - file.offset, span)


def wrong_length(file: IdxArray, found: int, span: Span | None) -> DiagnosticError:
    """V504: the header promises another number of bytes than are there."""
    shape = f"({', '.join(map(str, file.shape))})"
    if found < file.bytes:
        message = f"{file.shown} breaks off: its array {shape} has {file.bytes:,} bytes, and {found:,} are there"
    else:
        message = f"{file.shown} is damaged: bytes follow behind its array {shape}"
    return unreadable(message, span)
