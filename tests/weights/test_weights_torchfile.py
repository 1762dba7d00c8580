"""Files of torch, read without torch: whole ones to the bit, and everything else refused in a sentence."""

from __future__ import annotations

import os
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_files import (
    STORAGES,
    Raw,
    called,
    code,
    named,
    pickled,
    rows,
    saved,
    state_dict,
    storage,
    tensor,
    whole,
    zipped,
)

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.weights.torchfile import TorchFile

RNG = np.random.default_rng(8)
ARRAYS = {
    "conv.weight": RNG.normal(size=(2, 3, 1, 1)).astype("float32"),
    "norm.running_var": RNG.uniform(size=5),
    "half": RNG.normal(size=(3,)).astype("float16"),
    "norm.num_batches_tracked": np.array(7),
    "none": np.zeros((0, 3), "float32"),
}
ROW = np.arange(12, dtype="float32")


def opened(folder: Path, content: bytes) -> TorchFile:
    path = folder / "w.pth"
    path.write_bytes(content)
    return TorchFile(path)


def refusal(folder: Path, content: bytes) -> Diagnostic:
    with pytest.raises(DiagnosticError) as caught:
        opened(folder, content)
    (found,) = caught.value.diagnostics
    return found


@pytest.mark.parametrize("old", [False, True])
def test_tensors_are_what_was_saved(tmp_path: Path, old: bool) -> None:
    file = opened(tmp_path, saved(ARRAYS, old))
    assert list(file.tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert file.tensors[name].shape == array.shape
        assert file.value(name).dtype == array.dtype
        assert file.value(name).tobytes() == array.tobytes()


@pytest.mark.parametrize("name", STORAGES)
def test_every_type_of_number(tmp_path: Path, name: str) -> None:
    array = np.array([0, 1, 1, 0]).astype(name)
    read = opened(tmp_path, saved({"a": array})).value("a")
    assert (read.dtype, read.tolist()) == (array.dtype, array.tolist())


def test_bfloat16_is_the_upper_half_of_a_float32(tmp_path: Path) -> None:
    halves = np.array([0x3F80, 0xC049, 0x0001], "uint16")
    held = Raw(code(("storage", named("torch", "BFloat16Storage"), "0", "cpu", 3)) + b"Q")
    content = zipped(pickled({"a": tensor(held, 0, (3,), (1,))}), {"0": halves})
    expected = (halves.astype("uint32") << 16).view("float32")
    assert opened(tmp_path, content).value("a").tobytes() == expected.tobytes()
    assert expected[0] == 1
    assert expected[1] == -3.140625


def test_views_transposed_shared_and_shifted(tmp_path: Path) -> None:
    held = storage("0", ROW)
    tensors = {
        "t": tensor(held, 0, (4, 3), (1, 4)),
        "part": tensor(held, 5, (2, 2), (3, 1)),
        "one": tensor(held, 11, (), ()),
    }
    file = opened(tmp_path, zipped(pickled(tensors), {"0": ROW}))
    assert (file.value("t") == ROW.reshape(3, 4).T).all()
    assert file.value("part").tolist() == [[5, 6], [8, 9]]
    assert file.value("one") == 11


def test_tensors_in_inner_dicts_and_parameters(tmp_path: Path) -> None:
    parameter = called(named("torch._utils", "_rebuild_parameter"), whole("1", ROW), True, {})
    content = {"epoch": 3, "model": {"a": whole("0", ROW), "b": {7: parameter}}, "lr": [0.1, None], "on": True}
    file = opened(tmp_path, zipped(pickled(content), {"0": ROW, "1": ROW}))
    assert set(file.tensors) == {"model.a", "model.b.7"}


def test_later_protocols_have_other_opcodes(tmp_path: Path) -> None:
    """Frames, short texts, memoized and framed: what protocol 4 writes of the same dict."""
    inner = pickle.dumps({"lr": 0.5, "name": "x" * 300, "big": 2**40, "small": -3, "t": (1, 2, 3, 4), "n": [None]}, 4)
    content = Raw(inner[2:-1])
    assert opened(tmp_path, zipped(pickled({"a": whole("0", ROW), "rest": content}), {"0": ROW})).value("a")[3] == 3


# --- refusals ----------------------------------------------------------------------------------------------------


class Attack:
    """What Python's own unpickler would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_that_would_run_a_program_is_refused_and_nothing_runs(
    tmp_path: Path, protocol: int, old: bool
) -> None:
    mark = tmp_path / "ran"
    attack = pickle.dumps({"a": Attack(mark)}, protocol)
    found = refusal(tmp_path, rows(attack, {}) if old else zipped(attack, {}))
    assert found.code == "R613"
    assert f"asks for {os.system.__module__}.system" in found.message or "uses the pickle opcode" in found.message
    assert not mark.exists()


O_DICT = named("collections", "OrderedDict")
REBUILD = named("torch._utils", "_rebuild_tensor_v2")


@pytest.mark.parametrize(
    ("content", "code_", "why"),
    [
        (named("builtins", "eval"), "R613", "asks for builtins.eval"),
        (named("torch.nn.modules.linear", "Linear"), "R613", "asks for torch.nn.modules.linear.Linear"),
        (Raw(code("torch") + code("load") + b"\x93"), "R613", "asks for torch.load"),
        (Raw(code("torch") + code(3) + b"\x93"), "R612", "a name in its pickle is none"),
        (called(O_DICT, 3), "R613", "calls collections.OrderedDict with something else"),
        (called(REBUILD, 1, 2, 3), "R613", "calls torch._utils._rebuild_tensor_v2 with something else"),
        (called(named("torch", "FloatStorage"), 10**9), "R613", "calls torch.FloatStorage"),
        (Raw(code("os") + code(()) + b"R"), "R613", "calls a str"),
        (Raw(code([]) + code({}) + b"b"), "R613", "changes a list as if it were a dict"),
        (Raw(O_DICT.code + code({}) + b"b"), "R613", "changes a collections.OrderedDict"),
        (Raw(code({}) + code([1]) + b"b"), "R613", "gives a dict a list for its attributes"),
        (Raw(b"}" + code((1, 2)) + code(1) + b"s"), "R613", "a tuple for the key of a dict"),
        (Raw(b"\x81"), "R613", "opcode 0x81"),
        (Raw(b"i" + b"os\nsystem\n"), "R613", "opcode 0x69"),
        (Raw(b"\x82\x01"), "R613", "opcode 0x82"),
        (Raw(code(("module", "x", "y")) + b"Q"), "R613", "has a module beside its tensors"),
        (Raw(code(("storage", O_DICT, "0", "cpu", 1)) + b"Q"), "R613", "storage of collections.OrderedDict"),
        (whole("0", ROW), "R613", "is no state dict"),
        ([whole("0", ROW)], "R613", "is no state dict"),
        (Raw(b"t"), "R612", "ends what it did not begin"),
        (Raw(b"0"), "R612", "takes from an empty stack"),
        (Raw(b"(0"), "R612", "takes from an empty stack"),
        (Raw(b"NN"), "R612", "leaves something over"),
        (Raw(b"hA"), "R612", "recalls what it did not keep"),
        (Raw(b"}(NNNu"), "R612", "has no value"),
        (Raw(b"X" + b"\xff\xff\xff\x7f"), "R612", "more than 8,000,000 bytes"),
        (Raw(b"\x8b" + b"\xff\xff\xff\x7f"), "R612", "a whole number of 2,147,483,647 bytes"),
        (Raw(b"X\x02\x00\x00\x00\xff\xfe"), "R612", "not UTF-8"),
        (Raw(b"c" + b"a" * 5000), "R612", "has no end"),
        ({"a": tensor(storage("0", ROW), 0, (13,), (1,))}, "R612", "does not lie within its storage"),
        ({"a": tensor(storage("0", ROW), 9, (2, 2), (2, 1))}, "R612", "does not lie within its storage"),
        ({"a": tensor(storage("0", ROW), 0, (10**9,), (0,))}, "R612", "does not lie within its storage"),
        ({"a": tensor(storage("0", ROW), 0, (3,), (-1,))}, "R612", "a tensor has no shape"),
        ({"a": tensor(storage("0", ROW), 0, (3, 2), (1,))}, "R612", "a tensor has no shape"),
        ({"a": tensor(storage("0", ROW), 0, (True,), (1,))}, "R612", "a tensor has no shape"),
        ({"a": tensor(storage("0", ROW), 0, (1,) * 40, (1,) * 40)}, "R612", "a tensor has no shape"),
        ({"a": tensor(storage("0", ROW, count=13), 0, (3,), (1,))}, "R612", "does not have the size"),
        ({"a": tensor(storage("9", ROW), 0, (3,), (1,))}, "R612", "does not have the size"),
        ({"a": tensor(storage("../0", ROW), 0, (3,), (1,))}, "R612", "does not have the size"),
        ({"a": tensor(storage("0", ROW, count=-12), 0, (3,), (1,))}, "R612", "a storage has no size"),
        ({"a.b": whole("0", ROW), "a": {"b": whole("0", ROW)}}, "R612", "two of its tensors are called a.b"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_refused_and_why(tmp_path: Path, content: Any, code_: str, why: str) -> None:
    found = refusal(tmp_path, zipped(pickled(content), {"0": ROW}))
    assert (found.code, why in found.message) == (code_, True), found.message


def test_bombs_end_soon(tmp_path: Path) -> None:
    """A dict of two of a dict of two of …, a dict in itself, and nesting without end."""
    double = b"}q\x00" + b"".join(
        b"}(" + code("a") + b"h" + bytes([i]) + code("b") + b"h" + bytes([i]) + b"uq" + bytes([i + 1])
        for i in range(200)
    )
    itself = b"}q\x00" + code("a") + b"h\x00s"
    nested = (b"}" + code("a")) * 10_000 + b"}" + b"s" * 10_000
    unfinished = b"(" * 7_000_000
    start = time.perf_counter()
    for bomb in (double, itself, nested, unfinished):
        assert refusal(tmp_path, zipped(pickled(Raw(bomb)), {})).code == "R612"
    assert time.perf_counter() - start < 60


def test_archives_that_are_none_of_torch(tmp_path: Path) -> None:
    good = pickled(state_dict(ARRAYS))
    stored = {str(i): array for i, array in enumerate(ARRAYS.values())}
    zeros = {"0": np.zeros(1_000_000, "float32")}
    bomb = zipped(pickled({"a": whole("0", zeros["0"])}), zeros, zipfile.ZIP_DEFLATED)
    assert "is compressed" in refusal(tmp_path, bomb).message
    both = zipped(good, stored)
    assert "none of torch.save" in refusal(tmp_path, both.replace(b"data.pkl", b"data.pkk")).message
    assert "TorchScript" in refusal(tmp_path, zipped(good, stored).replace(b"m/version", b"m/code/x.")).message
    assert "order of bytes" in refusal(tmp_path, rows(good, stored, little=False)).message
    assert "R612" in refusal(tmp_path, b"PK\x03\x04" + bytes(200)).code
    parts = rows(pickled({"a": whole("0", ROW, ("0", 0, 3))}), {"0": ROW})
    assert "parts of others" in refusal(tmp_path, parts).message


def test_a_damaged_storage_is_found_by_its_checksum(tmp_path: Path) -> None:
    content = zipped(pickled({"a": whole("0", ROW)}), {"0": ROW})
    broken = content.replace(ROW.tobytes(), ROW[::-1].tobytes())
    file = opened(tmp_path, broken)
    with pytest.raises(DiagnosticError, match="R612"):
        file.value("a")


@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path, old: bool) -> None:
    content = saved({"a": ROW[:3], "b": np.zeros((2, 1), "float16")}, old)
    for length in range(4, len(content)):
        assert refusal(tmp_path, content[:length]).code in ("R612", "R613")
    assert refusal(tmp_path, content + b"\0" * 70_000).code == "R612"


def read_or_refused(folder: Path, content: bytes) -> None:
    """Opens a file and reads all of it, or ends in a diagnostic; what is read is no larger than the file."""
    try:
        file = opened(folder, content)
        for name, found in file.tensors.items():
            assert file.value(name).shape == found.shape
            assert file.value(name).nbytes <= 2 * len(content)
    except DiagnosticError as error:
        codes = {found.code for found in error.diagnostics}
    else:
        codes = set()
    assert codes <= {"R612", "R613"}


@settings(max_examples=300)
@given(st.booleans(), st.data())
def test_changed_bytes(tmp_path_factory: pytest.TempPathFactory, old: bool, data: st.DataObject) -> None:
    content = bytearray(saved(ARRAYS, old))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    read_or_refused(tmp_path_factory.getbasetemp(), bytes(content))


@settings(max_examples=300)
@given(st.booleans(), st.data())
def test_changed_pickles(tmp_path_factory: pytest.TempPathFactory, old: bool, data: st.DataObject) -> None:
    """The pickle alone, in an archive that is whole: opcodes and arguments that no pickler writes."""
    stored = {str(i): array for i, array in enumerate(ARRAYS.values())}
    content = bytearray(pickled(state_dict(ARRAYS, *([None] * old))))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(2, len(content) - 2))
        match data.draw(st.sampled_from(["change", "insert", "drop", "opcode"])):
            case "change":
                content[at] = data.draw(st.integers(0, 255))
            case "insert":
                content[at:at] = content[at : at + data.draw(st.integers(1, 30))]
            case "drop":
                del content[at : at + data.draw(st.integers(1, 5))]
            case "opcode":
                content[at] = data.draw(st.sampled_from(list(b"(}])tRQhqsubeaN0.cXKM\x85\x86\x87")))
    make = rows if old else zipped
    read_or_refused(tmp_path_factory.getbasetemp(), make(bytes(content), stored))
