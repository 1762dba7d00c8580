"""The header of a safetensors file, as its own package writes it and as nobody should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from dlc.compiler.diagnostics import DiagnosticError
from dlc.runtime.weights.header import LARGEST_HEADER, Header, read_header

ARRAYS = {
    "W": np.arange(6, dtype="float32").reshape(2, 3),
    "b": np.zeros((), "float64"),
    "none": np.zeros((0, 4), "float16"),
    "n": np.arange(3, dtype="int64"),
}
WHOLE = save(ARRAYS, {"note": "hello"})


def read(folder: Path, content: bytes) -> Header:
    path = folder / "w.safetensors"
    path.write_bytes(content)
    return read_header(path, "w.safetensors", None)


def refusal(folder: Path, content: bytes) -> str:
    with pytest.raises(DiagnosticError) as caught:
        read(folder, content)
    (found,) = caught.value.diagnostics
    assert found.code == "R612"
    return found.message


def file(header: Any, values: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values


def tensor(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_what_the_package_writes_is_read(tmp_path: Path) -> None:
    header = read(tmp_path, WHOLE)
    assert header.metadata == {"note": "hello"}
    assert {name: stored.shape for name, stored in header.tensors.items()} == {n: a.shape for n, a in ARRAYS.items()}
    for name, stored in header.tensors.items():
        assert WHOLE[stored.start : stored.end] == ARRAYS[name].tobytes()
    assert read(tmp_path, file({})).tensors == {}


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    for length in range(len(WHOLE)):
        refusal(tmp_path, WHOLE[:length])
    assert "behind its last value" in refusal(tmp_path, WHOLE + b"\0")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is no safetensors file"),
        (b"PK\x03\x04" + bytes(100), "a file of torch"),
        (b"\x80\x02\x8a\x0a" + bytes(100), "a file of torch"),
        (file(b"[1, 2]"), "not an object"),
        (file(b"{" + b'"a":' * 3), "not JSON"),
        (file(b"[" * 100_000), "not JSON"),
        (file(b'{"a": ' + b"9" * 5000 + b"}"), "not JSON"),
        (file({"a": 3}), "record of a"),
        (file({"a": {**tensor([1], 0, 4), "more": 1}}, bytes(4)), "record of a"),
        (file({"a": tensor([True], 0, 4)}, bytes(4)), "record of a"),
        (file({"a": tensor([-1], 0, 4)}, bytes(4)), "record of a"),
        (file({"a": tensor([1] * 40, 0, 4)}, bytes(4)), "record of a"),
        (file({"a": tensor([2**62, 2**62], 0, 4)}, bytes(4)), "not its size"),
        (file({"a": tensor([2], 0, 4)}, bytes(4)), "not its size"),
        (file({"a": tensor([1], 4, 0, "X7")}, bytes(4)), "end before they begin"),
        (file({"a": tensor([1], 0, 4), "b": tensor([1], 0, 4)}, bytes(4)), "do not follow"),
        (file({"a": tensor([1], 4, 8)}, bytes(8)), "do not follow"),
        (file({"a": tensor([1], 0, 4)}, bytes(3)), "cut off"),
        (file({"__metadata__": {"a": 1}}), "metadata"),
        (file(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},' * 2), "not JSON"),
        (
            file(
                b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},'
                b' "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
                bytes(4),
            ),
            "one name",
        ),
        ((LARGEST_HEADER + 1).to_bytes(8, "little") + bytes(LARGEST_HEADER + 1), "at most 16,000,000 are read"),
        ((2**64 - 1).to_bytes(8, "little") + b"{}", "is no safetensors file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, why: str) -> None:
    assert why in refusal(tmp_path, content)


@given(st.data())
def test_changed_bytes_give_a_header_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = read(tmp_path_factory.getbasetemp(), bytes(content))
    except DiagnosticError:
        return
    assert all(stored.end <= len(content) for stored in header.tensors.values())
