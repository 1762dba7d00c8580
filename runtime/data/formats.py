"""The headers of data files, and how those of a CSV (its first line) and of an NPZ (of each array) are read.

No row is read, nor numpy needed. Parquet files, texts and folders of images have modules of their own; `opening` knows
all.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
import struct
import zipfile
import zlib
from ast import literal_eval
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.settings import Format
from dlc.grammar.span import Span

MAX_HEADER = 1 << 20
"""The bytes that a CSV's first line may have."""
MAX_ARRAY_HEADER = 1 << 16
MAX_TEXT = 1 << 30
"""The bytes that a text may have: its tokens are kept in memory, four bytes or more for each."""

DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class CsvHeader:
    """A table's column names, in the order of the file."""

    names: tuple[str, ...]
    delimiter: str


@dataclass(frozen=True, slots=True)
class ParquetHeader:
    """The same, with what each column holds: `numbers`, `texts`, or something else that messages name."""

    names: tuple[str, ...]
    kinds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """An array's shape as stored, and its NumPy type text (`<f8`); `O` is an array of pickled objects."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def kind(self) -> str:
        """NumPy's letter of the kind: f, i, u, b, U, …"""
        return self.dtype.lstrip("<>|=")[:1]


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image of a folder; `label` is the name of its class, empty where the folder has no classes."""

    path: Path
    shown: str
    label: str


@dataclass(frozen=True, slots=True)
class ImagesHeader:
    """The images of a folder, in order, and the shapes (height, width, channels) of those whose headers were read."""

    files: tuple[ImageFile, ...]
    classes: tuple[str, ...]
    shapes: Mapping[ImageFile, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class IdxArray:
    """The array of an IDX file: its shape, NumPy's name of its type, and where its values begin."""

    path: Path
    shown: str
    shape: tuple[int, ...]
    dtype: str
    offset: int
    gzipped: bool

    @property
    def count(self) -> int:
        """The examples."""
        return self.shape[0]

    @property
    def bytes(self) -> int:
        """The length of its values."""
        return math.prod(self.shape) * int(self.dtype[2:])


@dataclass(frozen=True, slots=True)
class IdxHeader:
    """The images of an IDX file, and their classes where they are known."""

    images: IdxArray
    labels: IdxArray | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of each image."""
        height, width, *channels = self.images.shape[1:]
        return height, width, channels[0] if channels else 1


@dataclass(frozen=True, slots=True)
class TextHeader:
    """A text: how many bytes it has."""

    bytes: int


Header = CsvHeader | ParquetHeader | ImagesHeader | IdxHeader | TextHeader | Mapping[str, ArrayHeader]


@dataclass(frozen=True, slots=True)
class Opened:
    """A file or folder whose header was read. `shown` is its path as messages name it."""

    path: Path
    shown: str
    format: Format
    header: Header
    span: Span | None

    @property
    def table(self) -> CsvHeader | ParquetHeader:
        """The header of a CSV or a Parquet file."""
        assert isinstance(self.header, CsvHeader | ParquetHeader)
        return self.header

    @property
    def kinds(self) -> Mapping[str, str]:
        """What each column of a table holds; a CSV does not tell."""
        return self.header.kinds if isinstance(self.header, ParquetHeader) else {}

    @property
    def arrays(self) -> Mapping[str, ArrayHeader]:
        """The headers of an NPZ."""
        assert isinstance(self.header, Mapping)
        return self.header

    @property
    def images(self) -> ImagesHeader:
        """What is known of a folder of images."""
        assert isinstance(self.header, ImagesHeader)
        return self.header

    @property
    def idx(self) -> IdxHeader:
        """The headers of an IDX file and of its labels."""
        assert isinstance(self.header, IdxHeader)
        return self.header


def unreadable(message: str, span: Span | None, help: str | None = None) -> DiagnosticError:
    """A file that is empty, damaged, or of another kind than its name says: V504."""
    return DiagnosticError(Diagnostic("V504", message, span, help=help))


class Lines:
    """A file's lines for `csv.reader`, which takes the end of the file for the end of a quote: a row that it gives
    after it has `ended` has a quote that is never closed."""

    def __init__(self, file: Iterable[str]) -> None:
        self._lines = iter(file)
        self.ended = False

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        try:
            return next(self._lines)
        except StopIteration:
            self.ended = True
            raise


@contextmanager
def long_cells() -> Iterator[None]:
    """Lets a cell be as long as a text may be; Python's own limit is 131,072 characters."""
    before = csv.field_size_limit(MAX_TEXT)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def never_closed(place: str, span: Span | None) -> DiagnosticError:
    """V505 for a row that goes on to the end of the file."""
    message = f"{place}: a quote is never closed: the row goes on to the end of the file"
    help = 'write " behind the cell; a quote inside a cell in quotes is written twice: ""'
    return DiagnosticError(Diagnostic("V505", message, span, help=help))


def csv_header(path: Path, shown: str, span: Span | None) -> CsvHeader:
    """Reads the first line that is not blank, at most a MiB of the file.

    The delimiter is the one of `, ; tab` that this line has most of, outside quotes. Raises V504, and T404 for two
    columns of one name.
    """
    with path.open("rb") as file:
        start = file.read(MAX_HEADER)
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)
    except UnicodeDecodeError:
        raise unreadable(f"{shown} is not a text in UTF-8", span, "save it as CSV with the encoding UTF-8") from None
    line = next((line for line in text.splitlines() if line.strip()), None)
    if line is None:
        raise unreadable(f"{shown} is empty", span)
    if len(start) == MAX_HEADER and "\n" not in text and "\r" not in text:
        raise unreadable(f"{shown} has no line with column names: its first line is longer than 1 MiB", span)
    unquoted = re.sub(r'"[^"]*"', "", line)
    delimiter = max(DELIMITERS, key=unquoted.count)
    lines = Lines(io.StringIO(text, newline=""))
    with long_cells():
        rows = csv.reader(lines, delimiter=delimiter)
        names = tuple(name.strip() for name in next(row for row in rows if row))
    if lines.ended:
        raise never_closed(f"{shown}:{text[: text.index(line)].count(chr(10)) + 1}", span)
    require_distinct(names, shown, span)
    return CsvHeader(names, delimiter)


def require_distinct(names: tuple[str, ...], shown: str, span: Span | None) -> None:
    """Raises T404 for two columns of one name."""
    for i, name in enumerate(names):
        if name and name in names[:i]:
            message = f'{shown} has two columns called "{name}", the {_nth(names.index(name))} and the {_nth(i)}'
            raise DiagnosticError(Diagnostic("T404", message, span, help="column names must tell columns apart"))


def _nth(index: int) -> str:
    number = index + 1
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 // 10 != 1 else 0, "th")
    return f"{number}{ending}"


def npz_header(path: Path, shown: str, span: Span | None) -> Mapping[str, ArrayHeader]:
    """The arrays of an NPZ file by name; nothing is unpickled. Raises V504."""
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
                return {info.filename[:-4]: _member(archive, info) for info in members}
        except (ValueError, SyntaxError, struct.error, KeyError, TypeError, MemoryError, RecursionError):
            raise unreadable(f"{shown} is damaged: the header of one of its arrays cannot be read", span) from None
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError):
            pass
    raise unreadable(f"{shown} is not an .npz file", span, "numpy.savez writes one: np.savez(file, X=X, Y=Y)")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArrayHeader:
    with archive.open(info) as file:
        header, length = _array_header(file)
    itemsize = int(header.dtype[2:] or 0) * (4 if header.kind == "U" else 1) if header.kind in "fiubU" else 0
    if min(header.shape, default=1) < 0 or length + itemsize * math.prod(header.shape) > info.file_size:
        raise ValueError("the array is shorter than its header says")
    return header


def _array_header(file: IO[bytes]) -> tuple[ArrayHeader, int]:
    """The header at the start of a .npy file and its length in bytes (numpy.lib.format: versions 1, 2 and 3)."""
    magic, major, _ = struct.unpack("<6sBB", file.read(8))
    form = "<H" if major == 1 else "<I"
    (length,) = struct.unpack(form, file.read(struct.calcsize(form)))
    if magic != b"\x93NUMPY" or length > MAX_ARRAY_HEADER:
        raise ValueError("no array header")
    fields = literal_eval(file.read(length).decode("utf-8" if major == 3 else "latin1"))
    descr, shape = fields["descr"], fields["shape"]
    if not all(isinstance(size, int) for size in shape):
        raise ValueError("no shape")
    return ArrayHeader(tuple(shape), descr if isinstance(descr, str) else "|V"), 8 + struct.calcsize(form) + length
