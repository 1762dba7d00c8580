"""IDX files, written by hand: images and labels as MNIST has them, and every way they can be broken."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from data_project import declare

import dlc
from dlc.compiler.diagnostics import DiagnosticError
from dlc.compiler.program import M
from dlc.runtime.data.dataset import apply

RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.integers(0, 256, (6, 4, 5), dtype=np.uint8)
CLASSES = np.array([2, 0, 1, 2, 1, 0], np.uint8)
NAMES = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
X, Y = declare("X", M, 4, 5, 1), declare("Y", 3, M, role="target", one_hot=True)
LINES = 'source = idx("train-images-idx3-ubyte")\nX = image / 255\nY = label'
CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx(array, shape=None, code=None):
    """The bytes of an IDX file; its header may lie."""
    shape = array.shape if shape is None else shape
    code = CODES[array.dtype.str[1:]] if code is None else code
    head = bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return head + array.astype(">" + array.dtype.str[1:]).tobytes()


@pytest.fixture
def mnist(project):
    """`mnist(images, labels, suffix, lines, inputs)`: files with these bytes, None for no such file."""

    def make(images=None, labels=None, suffix="", lines=LINES, inputs=(X, Y)):
        made = project(lines.replace('-ubyte"', f'-ubyte{suffix}"'), list(inputs))
        contents = (idx(IMAGES) if images is None else images, idx(CLASSES) if labels is None else labels)
        for name, content in zip(NAMES, contents, strict=True):
            if content:
                (made.folder / (name + suffix)).write_bytes(gzip.compress(content) if suffix else content)
        return made

    return make


def codes(found):
    return [(d.code, d.message) for d in found]


# --- values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_images_and_their_labels_beside_them(mnist, suffix):
    made = mnist(suffix=suffix)
    assert made.headers() == []
    train = made.load().splits["train"]
    np.testing.assert_array_equal(train.arrays["X"], (IMAGES[..., None] / 255).astype(np.float32))
    assert (train.arrays["Y"].tolist(), train.arrays["Y"].dtype) == (CLASSES.tolist(), np.int64)
    assert train.place(4) == f"train-images-idx3-ubyte{suffix}: example 4"


def test_the_header_decides_and_not_the_name(mnist):
    made = mnist(images=gzip.compress(idx(IMAGES)))
    np.testing.assert_array_equal(made.load(dtype="float64").splits["train"].arrays["X"] * 255, IMAGES[..., None])


def test_labels_by_name(mnist):
    lines = 'source = idx("train-images-idx3-ubyte", labels = "sub/classes.idx")\nX = image\nY = label'
    made = mnist(lines=lines)
    (made.folder / "sub").mkdir()
    (made.folder / "sub" / "classes.idx").write_bytes(idx(CLASSES[::-1].astype(np.int32)))
    assert made.load().splits["train"].arrays["Y"].tolist() == CLASSES[::-1].tolist()


def test_separate_files_are_the_splits(mnist):
    lines = 'train = idx("train-images-idx3-ubyte")\ntest = idx("t10k-images-idx3-ubyte")\nX = image\nY = label'
    made = mnist(lines=lines)
    (made.folder / "t10k-images-idx3-ubyte").write_bytes(idx(IMAGES[:2]))
    (made.folder / "t10k-labels-idx1-ubyte").write_bytes(idx(CLASSES[:2]))
    test = made.load().splits["test"]
    assert (test.count, test.arrays["Y"].tolist(), test.place(1)) == (2, [2, 0], "t10k-images-idx3-ubyte: example 1")


def test_images_alone_need_no_labels(mnist):
    made = mnist(labels=b"", lines='source = idx("train-images-idx3-ubyte")\nX = image', inputs=[declare("X", M, 4, 5)])
    np.testing.assert_array_equal(made.load().splits["train"].arrays["X"], IMAGES)


def test_color_images(mnist):
    color = RANDOM.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    made = mnist(images=idx(color), inputs=[declare("X", M, 4, 5, 3), Y])
    np.testing.assert_array_equal(made.load(dtype="float64").splits["train"].arrays["X"], color / 255)


def test_labels_may_be_reals(mnist):
    inputs = [X, declare("Y", 1, M, role="target")]
    made = mnist(labels=idx((CLASSES % 2).astype(np.uint8)), inputs=inputs)
    y = made.load().splits["train"].arrays["Y"]
    assert (y.tolist(), y.dtype) == ([[0], [0], [1], [0], [1], [0]], np.float32)


def test_resize_an_idx(mnist):
    pytest.importorskip("PIL.Image")
    lines = LINES.replace("image / 255", "resize(rgb(image), 8, 10)")
    x = mnist(lines=lines, inputs=[declare("X", M, 8, 10, 3), Y]).load().splits["train"].arrays["X"]
    np.testing.assert_array_equal(x[..., 0], x[..., 2])
    # Twice as large: a new pixel lies a quarter of an old one beside its middle; rounded once for each direction.
    wide = 0.75 * IMAGES[:, :, 1:4].repeat(2, axis=2)
    wide += 0.25 * np.stack([IMAGES[:, :, 0:3], IMAGES[:, :, 2:5]], axis=3).reshape(6, 4, 6)
    high = 0.75 * wide[:, 1:3].repeat(2, axis=1)
    high += 0.25 * np.stack([wide[:, 0:2], wide[:, 2:4]], axis=2).reshape(6, 4, 6)
    assert np.abs(x[:, 2:6, 2:8, 0] - high).max() <= 1.0


def test_new_images_from_idx_and_from_a_folder(mnist, tmp_path):
    image = pytest.importorskip("PIL.Image")
    made = mnist()
    record = made.load().preprocessing
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[3:])))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(CLASSES[3:])))
    new = apply(record, tmp_path / "t10k-images-idx3-ubyte.gz", made.inputs, with_targets=True)
    np.testing.assert_array_equal(new.arrays["X"], (IMAGES[3:, ..., None] / 255).astype(np.float32))
    assert new.arrays["Y"].tolist() == CLASSES[3:].tolist()
    for number, pixels in zip(CLASSES[:2], IMAGES, strict=False):
        (tmp_path / f"new/{number}").mkdir(parents=True)
        image.fromarray(pixels).save(tmp_path / f"new/{number}/a.png")
    folder = apply(record, tmp_path / "new", made.inputs, with_targets=True)
    np.testing.assert_array_equal(folder.arrays["X"], (IMAGES[[1, 0], ..., None] / 255).astype(np.float32))
    assert folder.arrays["Y"].tolist() == [0, 2]


# --- against the declarations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "line", "message"),
    [
        (
            [declare("X", M, 5, 4, 1), Y],
            "Y = label",
            "each image of train-images-idx3-ubyte is 4 x 5 x 1, X : (m, 5, 4, 1) needs 5 x 4 x 1",
        ),
        (
            [X, declare("Y", 2, M, role="target")],
            "Y = label",
            "Y : (2, m) needs 2 values of an example, label gives one",
        ),
    ],
)
def test_shapes_at_check(mnist, inputs, line, message):
    found = mnist(inputs=inputs).headers()
    assert codes(found) == [("T404", message)]


def test_a_class_too_many(mnist):
    made = mnist(labels=idx(np.array([0, 1, 2, 3, 0, 1], np.uint8)))
    assert [d.code for d in made.refused()] == ["V503"]


def test_labels_that_are_missing(mnist):
    (found,) = mnist(labels=b"").headers()
    message = "train-images-idx3-ubyte has no labels, and no file of labels lies beside it"
    assert (found.code, found.message, found.span.line) == ("T405", message, 4)
    assert found.help == 'name it: idx("train-images-idx3-ubyte", labels = "train-labels-idx1-ubyte.gz")'


def test_labels_that_lie_outside(mnist):
    made = mnist(labels=b"")
    outside = made.folder.parent / "secret"
    outside.write_bytes(idx(CLASSES))
    os.symlink(outside, made.folder / NAMES[1])
    assert [d.code for d in made.headers()] == ["T405"]
    named = 'source = idx("train-images-idx3-ubyte", labels = "../secret")\nX = image\nY = label'
    assert [d.code for d in mnist(labels=b"", lines=named).headers()] == ["T407"]


# --- files that are broken -------------------------------------------------------------------------------------

NOT_IDX = "train-images-idx3-ubyte is not an IDX file, or is damaged"


@pytest.mark.parametrize(
    ("images", "code", "message"),
    [
        (b"\0", "V504", NOT_IDX),
        (b"\1" + idx(IMAGES)[1:], "V504", NOT_IDX),
        (idx(IMAGES, code=7), "V504", NOT_IDX),
        (idx(IMAGES, code=255), "V504", NOT_IDX),
        (b"\0\0\x08\0", "V504", NOT_IDX),
        (b"\0\0\x08\xff" + b"\1" * 64, "V504", NOT_IDX),
        (b"PK\3\4 something else", "V504", NOT_IDX),
        (b"\x1f\x8b broken zip", "V504", NOT_IDX),
        (gzip.compress(idx(IMAGES), mtime=0)[:12], "V504", NOT_IDX),
        (idx(IMAGES)[:9], "V504", "train-images-idx3-ubyte breaks off in its header"),
        (
            idx(IMAGES)[:-1],
            "V504",
            "train-images-idx3-ubyte breaks off: its array (6, 4, 5) has 120 bytes, and 119 are there",
        ),
        (
            idx(IMAGES) + b"x",
            "V504",
            "train-images-idx3-ubyte is damaged: bytes follow behind its array (6, 4, 5)",
        ),
        (
            idx(IMAGES, shape=(2**32 - 1, 2**32 - 1, 2**32 - 1)),
            "V504",
            "train-images-idx3-ubyte breaks off: its array (4294967295, 4294967295, 4294967295) has "
            "79,228,162,458,924,105,385,300,197,375 bytes, and 120 are there",
        ),
        (
            idx(IMAGES[:0], shape=(0, 4, 5)),
            "V504",
            "train-images-idx3-ubyte has no examples: its array is (0, 4, 5)",
        ),
        (
            idx(IMAGES.astype(np.float32)),
            "V507",
            "train-images-idx3-ubyte holds reals, (6, 4, 5), not images: those are bytes, (examples, height, width)",
        ),
        (
            idx(CLASSES),
            "V507",
            "train-images-idx3-ubyte holds bytes, (6), not images: those are bytes, (examples, height, width)",
        ),
    ],
)
def test_broken_images_at_check(mnist, images, code, message):
    assert codes(mnist(images=images).headers()) == [(code, message)]


@pytest.mark.parametrize(
    ("labels", "code", "message"),
    [
        (b"nothing", "V504", "train-labels-idx1-ubyte is not an IDX file, or is damaged"),
        (
            idx(CLASSES[:5]),
            "T404",
            "train-images-idx3-ubyte has 6 images, and train-labels-idx1-ubyte 5 labels",
        ),
        (
            idx(CLASSES.astype(np.float32)),
            "V507",
            "train-labels-idx1-ubyte holds reals, (6), not labels: those are one whole number for each example",
        ),
        (
            idx(IMAGES),
            "V507",
            "train-labels-idx1-ubyte holds bytes, (6, 4, 5), not labels: those are one whole number for each example",
        ),
    ],
)
def test_broken_labels_at_check(mnist, labels, code, message):
    assert codes(mnist(labels=labels).headers()) == [(code, message)]


def test_a_zipped_file_cannot_promise_more_than_zipping_saves(mnist):
    shape = (200_000, 1000, 1000)
    made = mnist(images=idx(IMAGES, shape=shape), suffix=".gz")
    (found,) = made.headers()
    assert found.code == "V504"
    assert found.message.startswith("train-images-idx3-ubyte.gz is damaged: ")
    assert found.message.endswith(" zipped bytes cannot hold an array (200000, 1000, 1000)")


def test_a_million_zeros_are_no_bomb(mnist):
    """The densest that zipping gets: what is refused is only what no zipped file can hold."""
    zeros = np.zeros((6, 1000, 1000), np.uint8)
    made = mnist(images=idx(zeros), suffix=".gz", inputs=[declare("X", M, 1000, 1000), Y])
    assert made.headers() == []
    assert not made.load().splits["train"].arrays["X"].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda whole: gzip.compress(whole[:-7], mtime=0),
            "breaks off: its array (6, 4, 5) has 120 bytes, and 113 are there",
        ),
        (lambda whole: gzip.compress(whole + b"ab", mtime=0), "is damaged: bytes follow behind its array (6, 4, 5)"),
        (lambda whole: gzip.compress(whole, mtime=0)[:-20], "cannot be read: "),
        (lambda whole: gzip.compress(whole, mtime=0)[:-8] + b"\0" * 8, "cannot be read: "),
    ],
)
def test_zipped_values_that_are_broken(mnist, change, message):
    made = mnist()
    (made.folder / NAMES[0]).write_bytes(change(idx(IMAGES)))
    assert made.headers() == []
    (found,) = made.refused()
    assert found.code == "V504"
    assert found.message.startswith(f"train-images-idx3-ubyte {message}")


def test_random_damage_is_told_and_nothing_else_happens(mnist):
    chance, met = np.random.default_rng(7), set()
    made = mnist()
    for whole in (idx(IMAGES), gzip.compress(idx(IMAGES))):
        for _ in range(150):
            content = bytearray(whole[: chance.integers(1, len(whole) + 1)])
            for _ in range(3):
                content[chance.integers(0, min(len(content), 40))] = chance.integers(0, 256)
            (made.folder / NAMES[0]).write_bytes(content)
            try:
                made.load()
            except DiagnosticError as error:
                met |= {d.code for d in error.diagnostics}
    assert "V504" in met
    assert met <= {"V504", "V507", "T404"}


def test_a_check_needs_no_numpy(mnist):
    made = mnist(suffix=".gz")
    program = (
        "import sys\nfrom pathlib import Path\nfrom dlc.runtime.data.opening import opened\n"
        f"found = opened(Path({str(made.folder / (NAMES[0] + '.gz'))!r}), 'a', 'idx', None)\n"
        "assert found.idx.shape == (4, 5, 1) and found.idx.labels.count == 6\nassert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_from_the_spec(mnist, tmp_path):
    """The whole way: a spec in a file, its data, a training."""
    made = mnist(suffix=".gz")
    text = (
        "model Tiny:\n    input  X : (m, 4, 5, 1)\n    target Y : (3, m) one_hot\n"
        "    Y_hat = X -> Flatten() -> Dense(3, softmax)\n    loss cross_entropy(Y_hat, Y)\n    output Y_hat\n\n"
        'data:\n    source = idx("train-images-idx3-ubyte.gz")\n    X = image / 255\n    Y = label\n\n'
        "train:\n    epochs = 2\n    batch = 4\n"
    )
    (made.folder / "net.dl").write_text(text)
    model = dlc.load(made.folder / "net.dl").compile(target="reference")
    history = model.fit()
    again = dlc.load(made.folder / "net.dl").compile(target="reference")
    other = again.fit(X=(IMAGES[..., None] / 255).astype(np.float32), Y=CLASSES.astype(np.int64))
    assert history["train.loss"] == other["train.loss"]
