"""PNG files written by hand, so that tests of reading need not trust the reader's own writer."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

COLORS = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's color type for each number of channels: gray, gray with alpha, RGB, RGBA."""


def png(pixels: Any, size: tuple[int, int] | None = None) -> bytes:
    """A PNG of pixels (height, width, channels); its header may say another `size`."""
    pixels = np.asarray(pixels, dtype=np.uint8)
    height, width = size or pixels.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, 8, COLORS[pixels.shape[2]], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def write(folder: Path, images: dict[str, Any]) -> None:
    """`{"cats/cat/1.png": pixels, …}`; bytes are written as they are."""
    for name, content in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else png(content))
