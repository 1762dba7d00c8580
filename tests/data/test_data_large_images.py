"""Sets too large for memory: decoded when their turn comes, and the same bits as if they were kept."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_project import declare
from png import write

import dlc
from dlc.compiler.diagnostics import DiagnosticError
from dlc.compiler.program import M
from dlc.runtime import feeding
from dlc.runtime.data import fingerprint, image_store, pictures
from dlc.runtime.data.dataset import apply
from dlc.runtime.data.image_store import LazyImages
from dlc.runtime.data.pictures import Pictures

pytest.importorskip("PIL.Image")

RANDOM = np.random.default_rng(6)
X, Y = declare("X", M, 5, 4, 3), declare("Y", 2, M, role="target", one_hot=True)


def pixels(*shape):
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def small_memory(monkeypatch):
    """Sixty bytes of images: not one of those here."""
    monkeypatch.setattr(image_store, "MOST_MEMORY", 59)
    monkeypatch.setattr(pictures, "BLOCK", 150)


@pytest.fixture
def cats(project):
    def make(lines="X = image / 255", inputs=(X, Y), count=30, size=(5, 4, 3)):
        text = f'source = images("cats")\n{lines}\nY = label\nsplit = 0.5, 0.25, 0.25'
        made = project(text, list(inputs))
        kinds = ("cat", "dog")
        write(made.folder, {f"cats/{kinds[i % 2]}/{i:02}.png": pixels(*size) for i in range(count)})
        return made

    return make


def everything(data):
    return {
        (split, name): np.asarray(column[:])
        for split, part in data.splits.items()
        for name, column in part.arrays.items()
    }


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        ("X = image / 255", (5, 4, 3)),
        ("X = resize(image, 5, 4) -> standardize", (7, 9, 3)),
        ("X = resize(rgb(image), 5, 4, fit = cover) -> scale(-1, 1)", (6, 6, 1)),
        ("X = image -> standardize\naugment = crop(5, 4)", (7, 6, 3)),
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_later_is_as_now(cats, monkeypatch, lines, size, threads):
    made = cats(lines, size=size)
    now = made.load(threads=1)
    monkeypatch.setattr(image_store, "MOST_MEMORY", 59)
    monkeypatch.setattr(pictures, "BLOCK", 150)
    later = made.load(threads=threads)
    column = later.splits["test"].arrays["X"]
    assert isinstance(column, Pictures)
    assert isinstance(column.stored, LazyImages)
    assert later.preprocessing == now.preprocessing
    expected, found = everything(now), everything(later)
    assert expected.keys() == found.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)
        assert found[key].dtype == array.dtype
    rows = np.array([3, 0, 2])
    np.testing.assert_array_equal(column[rows], expected["test", "X"][rows])
    assert (column.shape, column.ndim, len(column)) == ((7, 5, 4, 3), 4, 7)


@pytest.mark.parametrize("most", [1 << 24, 300])
def test_a_fingerprint_does_not_depend_on_where_images_are_kept(cats, monkeypatch, most):
    monkeypatch.setattr(fingerprint, "MOST_VALUES", most)
    made = cats()
    kept = fingerprint.fingerprint(made.load())
    monkeypatch.setattr(image_store, "MOST_MEMORY", 59)
    assert fingerprint.fingerprint(made.load()) == kept
    write(made.folder, {f"cats/{kind}/{i:02}.png": pixels(5, 4, 3) for i, kind in enumerate(("cat", "dog") * 15)})
    assert all(kept[split] != record for split, record in fingerprint.fingerprint(made.load()).items())


def test_separate_folders(project, small_memory):
    lines = 'train = images("a")\ntest = images("b")\nX = image\nY = label'
    made = project(lines, [X, Y])
    images = {name: pixels(5, 4, 3) for name in ("a/cat/1.png", "a/dog/1.png", "b/cat/2.png", "b/dog/2.png")}
    write(made.folder, images)
    splits = made.load().splits
    stored = list(images.values())
    np.testing.assert_array_equal(splits["train"].arrays["X"][:], np.stack(stored[:2]))
    np.testing.assert_array_equal(splits["test"].arrays["X"][:], np.stack(stored[2:]))
    assert splits["test"].place(1) == "b/dog/2.png"


def test_arrays_stay_bytes(project, small_memory):
    images, classes = pixels(20, 5, 4, 3), RANDOM.integers(0, 2, 20)
    made = project('source = npz("d.npz")\nX = array("X") / 255', [X, Y], d={"X": images, "Y": classes})
    column = made.load().splits["train"].arrays["X"]
    assert isinstance(column, Pictures)
    assert column.stored.dtype == np.uint8
    np.testing.assert_array_equal(column[:], (images / 255).astype(np.float32))


def test_new_images_are_decoded_in_turn(cats, tmp_path, small_memory):
    made = cats()
    record = made.load().preprocessing
    new = {f"new/{i}.png": pixels(5, 4, 3) for i in range(5)}
    write(tmp_path, new)
    examples = apply(record, tmp_path / "new", made.inputs, with_targets=False)
    assert isinstance(examples.arrays["X"], Pictures)
    expected = (np.stack(list(new.values())) / 255).astype(np.float32)
    np.testing.assert_array_equal(examples.arrays["X"][:], expected)
    np.testing.assert_array_equal(examples.declared()["X"], expected)


# --- bad images ------------------------------------------------------------------------------------------------


def test_what_headers_show_is_told_before_training(cats, small_memory):
    """The images whose headers a check reads are the first 64."""
    made = cats(count=80)
    write(made.folder, {"cats/cat/78.png": b"", "cats/dog/77.png": pixels(4, 5, 3), "cats/dog/79.png": b"GIF"})
    assert made.headers() == []
    found = {(d.code, d.message) for d in made.refused()}
    assert found == {
        ("V504", "2 of 80 images cannot be read: cats/cat/78.png, cats/dog/79.png (is not an image, or is damaged)"),
        ("V506", "cats/dog/77.png is 4 x 5 x 3, X : (m, 5, 4, 3) needs 5 x 4 x 3"),
    }


def damage(path: Path) -> None:
    """The header stays whole: it ends with byte 33, and the pixels begin behind byte 41."""
    content = path.read_bytes()
    path.write_bytes(content[:45] + b"\0" * (len(content) - 45))


def test_what_only_decoding_shows_is_told_when_it_is_read(cats, small_memory):
    made = cats()
    data = made.load()
    for name in ("cats/cat/04.png", "cats/dog/05.png"):
        damage(made.folder / name)
    everywhere = replace(data.splits["train"].arrays["X"], rows=np.arange(30))
    with pytest.raises(DiagnosticError) as caught:
        everywhere[:]
    assert [d.code for d in caught.value.diagnostics] == ["V504", "V504"]
    told = " ".join(d.message for d in caught.value.diagnostics)
    assert "cats/cat/04.png cannot be read: " in told
    assert "cats/dog/05.png cannot be read: " in told


NET = """\
model Net:
    input  X : (m, 5, 4, 3)
    target Y : (2, m) one_hot
    Y_hat = X -> Flatten() -> Dense(2, softmax)
    loss   cross_entropy(Y_hat, Y)
    metric accuracy(Y_hat, Y)
    output Y_hat

data:
    source  = images("cats")
    X       = image / 255
    Y       = label
    split   = 0.5, 0.25, 0.25
    augment = AUGMENT

train:
    batch  = 4
    epochs = 3
"""


@pytest.fixture
def net(tmp_path: Path) -> Any:
    write(tmp_path, {f"cats/{kind}/{i:02}.png": pixels(5, 4, 3) for kind in ("cat", "dog") for i in range(12)})

    def make(augment: str = "none", **options: Any) -> dlc.Model:
        (tmp_path / "net.dl").write_text(NET.replace("AUGMENT", augment))
        return dlc.load(tmp_path / "net.dl").compile(**options)

    return make


@pytest.mark.parametrize("augment", ["none", "flip(), rotate(30), pca_color(2)"])
@pytest.mark.parametrize("target", ["native", "reference"])
def test_training_is_the_same_from_files_and_from_memory(
    net: Any, monkeypatch: pytest.MonkeyPatch, augment: str, target: str
) -> None:
    now = net(augment, target=target)
    before = now.fit()
    monkeypatch.setattr(image_store, "MOST_MEMORY", 59)
    for threads in (1, 3):
        later = net(augment, target=target, threads=threads)
        history = later.fit()
        for name, array in now.params.items():
            np.testing.assert_array_equal(later.params[name], array)
        for curve in ("train.loss", "dev.loss", "dev.accuracy"):
            assert history[curve] == before[curve]


def test_an_image_that_breaks_while_training(net: Any, tmp_path: Path, small_memory: None) -> None:
    model = net()
    data = model.load_data()
    name = data.splits["train"].place(5)
    damage(tmp_path / name)
    with pytest.raises(dlc.SpecError) as caught:
        model.fit()
    assert {d.code for d in caught.value.diagnostics} == {"V504"}
    assert f"{name} cannot be read: " in str(caught.value)
    assert not [t for t in threading.enumerate() if t.name.startswith("dlc-images")]


def test_only_a_few_images_are_decoded_ahead(net: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of four: while the first one is computed, two more are made, and not the one behind."""
    monkeypatch.setattr(image_store, "MOST_MEMORY", 59)
    monkeypatch.setattr(feeding, "BLOCK_BYTES", 1)
    model = net()
    column = model.load_data().splits["train"].arrays["X"]
    decoded: list[int] = []
    decode = column.stored.decode
    column.stored.decode = lambda row: decoded.append(row) or decode(row)
    order = np.arange(12)
    groups = iter([feeding.Group(1, first, 1) for first in range(3)] + [feeding.Group(2, 0, 1)])
    feed = feeding.Feed({"X": column}, model.spec.inputs, 4, 1, lambda epoch: order, groups, 2)
    try:
        feed.take(feeding.Group(1, 0, 1))
        feed.pool.shutdown(wait=True)
        assert sorted(decoded) == column.rows[:12].tolist()
    finally:
        feed.close()
