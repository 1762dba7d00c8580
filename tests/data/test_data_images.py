"""Folders of images: their sizes and classes at check time, their pixels at load."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from data_project import declare
from png import png, write

import dlc
from dlc.compiler.diagnostics import DiagnosticError
from dlc.compiler.program import M
from dlc.runtime.data.dataset import apply
from dlc.runtime.data.preprocessing import Preprocessing

Image = pytest.importorskip("PIL.Image")

X = declare("X", M, 2, 4, 3)
Y = declare("Y", 2, M, role="target", one_hot=True)
SOURCE = 'source = images("cats/")'
BOTH = f"{SOURCE}\nX = image\nY = label"
RANDOM = np.random.default_rng(1)


def pixels(*shape):
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


CATS = {name: pixels(2, 4, 3) for name in ("cats/dog/b.png", "cats/cat/1.png", "cats/dog/a.png", "cats/cat/10.png")}
ORDER = ["cats/cat/1.png", "cats/cat/10.png", "cats/dog/a.png", "cats/dog/b.png"]


@pytest.fixture
def cats(project):
    """`cats(lines, inputs, images)`: by default two cats and two dogs of 2 x 4 x 3."""

    def make(lines=BOTH, inputs=(X, Y), images=CATS):
        made = project(lines, list(inputs))
        write(made.folder, images)
        return made

    return make


def only(found):
    (diagnostic,) = found
    return diagnostic.code, diagnostic.message, f"{diagnostic.span.line}:{diagnostic.span.column}", diagnostic.help


def codes(found):
    return [(d.code, d.message) for d in found]


# --- values ----------------------------------------------------------------------------------------------------


def test_pixels_and_classes(cats):
    made = cats(f"{SOURCE}\nX = image / 255\nY = label")
    assert made.headers() == []
    data = made.load()
    train = data.splits["train"]
    expected = np.stack([CATS[name] for name in ORDER]) / 255
    np.testing.assert_array_equal(train.arrays["X"], expected.astype(np.float32))
    assert (train.arrays["Y"].tolist(), train.arrays["Y"].dtype) == ([0, 0, 1, 1], np.int64)
    assert [train.place(i) for i in range(4)] == ORDER
    assert data.preprocessing.entries["Y"].classes == ("cat", "dog")
    assert data.notes == ()


@pytest.mark.parametrize("sizes", [(M, 2, 4, 3), (2, 4, 3, M), (2, M, 4, 3)])
def test_m_may_stand_anywhere(cats, sizes):
    data = cats(f"{SOURCE}\nX = image", [declare("X", *sizes)]).load(dtype="float64")
    expected = np.moveaxis(np.stack([CATS[name] for name in ORDER]), 0, sizes.index(M))
    np.testing.assert_array_equal(data.declared("train")["X"], expected)


@pytest.mark.parametrize("sizes", [(M, 2, 4, 1), (M, 2, 4)])
def test_gray_images(cats, sizes):
    gray = {"cats/a.png": pixels(2, 4, 1), "cats/b.PNG": pixels(2, 4, 1)}
    made = cats(f"{SOURCE}\nX = image", [declare("X", *sizes)], gray)
    expected = np.stack(list(gray.values())).reshape(2, *sizes[1:])
    np.testing.assert_array_equal(made.load().splits["train"].arrays["X"], expected)


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_is_a_channel(cats, channels):
    image = pixels(2, 4, channels)
    made = cats(f"{SOURCE}\nX = image", [declare("X", M, 2, 4, channels)], {"cats/a.png": image})
    np.testing.assert_array_equal(made.load().splits["train"].arrays["X"], image[None])


@pytest.mark.parametrize(
    ("mode", "suffix", "channels"),
    [("P", "png", 3), ("P", "gif", 3), ("P", "bmp", 3), ("1", "png", 1), ("1", "tiff", 1), ("L", "bmp", 1)],
)
def test_ways_to_store_pixels(cats, mode, suffix, channels):
    """A palette is only a way to store colors, and one bit is black or white."""
    image = Image.fromarray(pixels(2, 4, 3)).convert(mode)
    made = cats(f"{SOURCE}\nX = image", [declare("X", M, 2, 4, channels)], {"cats/.x": b""})
    image.save(made.folder / "cats" / f"a.{suffix}")
    with Image.open(made.folder / "cats" / f"a.{suffix}") as stored:
        assert stored.mode == mode
    expected = np.asarray(image.convert("RGB" if channels == 3 else "L")).reshape(1, 2, 4, channels)
    np.testing.assert_array_equal(made.load().splits["train"].arrays["X"], expected)


def test_photographs(cats):
    picture = Image.fromarray(np.full((2, 4, 3), 100, np.uint8))
    made = cats(f"{SOURCE}\nX = image", [X], {"cats/.x": b""})
    picture.save(made.folder / "cats" / "a.JPG", "JPEG")
    np.testing.assert_allclose(made.load().splits["train"].arrays["X"], 100, atol=2)


def test_two_classes_for_one_feature(cats):
    data = cats(inputs=[X, declare("Y", 1, M, role="target")]).load()
    y = data.splits["train"].arrays["Y"]
    assert (y.tolist(), y.dtype) == ([[0], [0], [1], [1]], np.float32)
    assert [(d.severity, d.message) for d in data.notes] == [("note", "Y : (1, m) is 0 for cat and 1 for dog")]


def test_statistics_are_those_of_each_pixel_in_the_training_split(cats):
    images = {f"cats/{i:02}.png": pixels(2, 4, 3) for i in range(10)}
    made = cats(f"{SOURCE}\nX = image -> standardize\nsplit = 0.8, 0.2", [X], images)
    raw = cats(f"{SOURCE}\nX = image\nsplit = 0.8, 0.2", [X], images).load(dtype="float64").splits
    train = raw["train"].arrays["X"]
    data = made.load(dtype="float64")
    for split in ("train", "test"):
        expected = (raw[split].arrays["X"] - train.mean(axis=0)) / train.std(axis=0)
        np.testing.assert_allclose(data.splits[split].arrays["X"], expected, rtol=1e-12)


def test_folders_for_the_splits(cats):
    images = {"a/cat/1.png": pixels(2, 4, 3), "a/dog/1.png": pixels(2, 4, 3), "b/dog/2.png": pixels(2, 4, 3)}
    data = cats('train = images("a")\ntest = images("b")\nX = image\nY = label', images=images).load()
    assert data.splits["train"].arrays["Y"].tolist() == [0, 1]
    assert data.splits["test"].arrays["Y"].tolist() == [1]
    assert data.splits["test"].place(0) == "b/dog/2.png"


# --- sizes at check time ---------------------------------------------------------------------------------------

CLEAR = "RGB with transparency"
RULE = "an image is its height, width and channels, the batch has m of them: (m, n_H, n_W, n_C)"


@pytest.mark.parametrize(
    ("sizes", "needs", "help"),
    [
        ((M, 4, 4, 3), "4 x 4 x 3", "declare X : (m, 2, 4, 3), or write resize(image, 4) in place of image"),
        ((M, 4, 2, 3), "4 x 2 x 3", "declare X : (m, 2, 4, 3), or write resize(image, 4, 2) in place of image"),
        ((M, 8, 8, 1), "8 x 8 x 1", "declare X : (m, 2, 4, 3), or write resize(gray(image), 8) in place of image"),
        ((M, 2, 4, 1), "2 x 4 x 1", "it is RGB: declare X : (m, 2, 4, 3), or write gray(image) in place of image"),
        ((M, 2, 4), "2 x 4", "it is RGB: declare X : (m, 2, 4, 3), or write gray(image) in place of image"),
        ((M, 2, 4, 4), "2 x 4 x 4", f"it is RGB: declare X : (m, 2, 4, 3), or save all images in {CLEAR}"),
        ((M, 3, 2, 4), "3 x 2 x 4", "the channels come last: declare X : (m, 2, 4, 3)"),
        ((24, M), "24", "declare X : (m, 2, 4, 3), and make it one column in the model: Flatten()"),
    ],
)
def test_a_mismatch_shows_both_places(cats, sizes, needs, help):
    x = declare("X", *sizes)
    found = cats(f"{SOURCE}\nX = image / 255", [x]).headers()
    shape = ", ".join(map(str, sizes))
    assert only(found) == ("T404", f"image cats/cat/1.png is 2 x 4 x 3, X : ({shape}) needs {needs}", "3:9", help)
    assert found[0].rule == RULE
    assert [(r.message, r.span) for r in found[0].related] == [(f"X : ({shape}) is declared here", x.span)]


def test_one_image_of_each_class_and_64_in_all_are_opened(cats):
    """Images behind those are not opened: that they are damaged is seen at load, and told by name."""
    images = {f"cats/{name}/{i:03}.png": pixels(2, 4, 3) for name in ("cat", "dog") for i in range(40)}
    images |= {f"cats/{name}/{i:03}.png": b"" for name in ("cat", "dog") for i in range(32, 40)}
    made = cats(images=images)
    assert made.headers() == []
    found = made.refused()
    names = ", ".join(f"cats/{name}/{i:03}.png" for name in ("cat", "dog") for i in range(32, 40))
    message = f"16 of 80 images cannot be read: {names} (is not an image, or is damaged)"
    assert codes(found) == [("V504", message)]
    write(made.folder, {"cats/dog/031.png": b""})
    assert codes(made.headers()) == [("V504", "cats/dog/031.png is not an image, or is damaged")]
    many = {f"cats/{i:03}/1.png": pixels(2, 4, 3) for i in range(70)} | {"cats/069/1.png": b"x"}
    made = cats(f"{SOURCE}\nX = image", [X], many)
    assert codes(made.headers()) == [("V504", "cats/069/1.png is not an image, or is damaged")]


def test_what_is_wrong_with_several_images_is_one_message(cats):
    """At check too: each is named with what is wrong with it."""
    bad = {"cats/cat/2.png": b"GIF89a", "cats/dog/2.png": png(pixels(2, 4, 3), size=(60_000, 60_000))}
    made = cats(images={**CATS, **bad, "cats/dog/3.png": b""})
    total = len(CATS) + 3
    message = (
        f"3 of {total} images cannot be read: cats/cat/2.png, cats/dog/3.png (is not an image, or is damaged); "
        f"cats/dog/2.png (has more than {Image.MAX_IMAGE_PIXELS:,} pixels, as no photograph has)"
    )
    assert codes(made.headers()) == [("V504", message)]
    assert sorted(codes(made.refused())) == [("V504", message)]


def test_pixels_are_not_decoded_at_check(cats):
    content = png(pixels(2, 4, 3))
    made = cats(images={**CATS, "cats/cat/2.png": content[:45] + b"\0" * (len(content) - 45)})
    assert made.headers() == []
    (found,) = made.refused()
    assert found.code == "V504"
    assert found.message.startswith("cats/cat/2.png cannot be read: ")


def test_an_image_of_another_size_at_load(cats):
    images = {f"cats/{i:03}.png": pixels(2, 4, 3) for i in range(70)}
    made = cats(
        f"{SOURCE}\nX = image", [X], images | {"cats/068.png": pixels(4, 2, 3), "cats/069.png": pixels(2, 4, 1)}
    )
    assert made.headers() == []
    assert codes(made.refused()) == [
        (
            "V506",
            "2 of 70 images have another size: cats/068.png (is 4 x 2 x 3, X : (m, 2, 4, 3) needs 2 x 4 x 3); "
            "cats/069.png (is 2 x 4 x 1, X : (m, 2, 4, 3) needs 2 x 4 x 3)",
        )
    ]


def test_a_bad_value_is_named_by_its_pixel(cats):
    image = np.ones((2, 4, 3))
    image[1, 2, 0] = 0
    made = cats(f"{SOURCE}\nX = image -> log", [X], {"cats/a.png": image})
    message = "cats/a.png: row 1, column 2, channel 0: 0 is not a finite number after the steps of X"
    assert codes(made.refused()) == [("V502", message)]


def test_a_check_needs_no_numpy(cats):
    made = cats()
    program = (
        "import sys\nfrom pathlib import Path\nfrom dlc.runtime.data.opening import opened\n"
        f"assert opened(Path({str(made.folder / 'cats')!r}), 'cats', 'images', None).images.classes == ('cat', 'dog')\n"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


NO_IMAGES = "an image is a file *.png, *.jpg, *.jpeg, *.bmp, *.gif, *.webp, *.tif, *.tiff, *.ppm, *.pgm"

# --- classes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (declare("Y", 3, M, role="target", one_hot=True), "Y : (3, m) one_hot has 3 classes, cats has 2 (cat, dog)"),
        (declare("Y", 3, M, one_hot=True), "Y : (3, m) one_hot has 3 classes, cats has 2 (cat, dog)"),
        (declare("Y", 1, M, index=True, classes=5), "Y : (1, m) index(5) has 5 classes, cats has 2 (cat, dog)"),
        (declare("Y", 2, M, role="target"), "Y : (2, m) needs 2 values of an example, label gives one"),
    ],
)
def test_classes_against_the_target(cats, target, message):
    found = cats(inputs=[X, target]).headers()
    assert only(found) == ("T404", message, "4:9", "declare Y : (2, m) one_hot")
    assert found[0].related[0].span == target.span


def test_three_classes_for_one_feature(cats):
    made = cats(inputs=[X, declare("Y", 1, M)], images={**CATS, "cats/owl/1.png": pixels(2, 4, 3)})
    message = "Y : (1, m) tells two classes apart, cats has 3 (cat, dog, owl)"
    assert only(made.headers()) == ("T404", message, "4:9", "declare Y : (3, m) one_hot")


def test_classes_are_sorted_names(cats):
    images = {f"cats/{name}/1.png": pixels(2, 4, 3) for name in ("10", "9", "b", "B")}
    data = cats(inputs=[X, declare("Y", 4, M, one_hot=True)], images=images).load()
    assert data.preprocessing.entries["Y"].classes == ("10", "9", "B", "b")
    assert data.splits["train"].arrays["Y"].tolist() == [0, 1, 2, 3]


def test_images_without_classes(cats):
    made = cats(images={"cats/a.png": pixels(2, 4, 3)})
    help = "label is the name of the folder that an image lies in: cats/cat/1.png"
    assert only(made.headers()) == ("T405", "cats has no classes: its images lie in no sub-folders", "4:9", help)


def test_what_is_left_out(cats):
    others = {"cats/Thumbs.db": b"", "cats/.a.png": b"", "cats/.git/a.png": b"", "cats/__MACOSX/cat/._1.png": b""}
    made = cats(images={**CATS, **others, "cats/cat/notes.txt": b"", "cats/cat/more/deep.png": b""})
    assert made.headers() == []
    assert made.load().splits["train"].count == 4


@pytest.mark.parametrize(
    ("images", "message", "help"),
    [
        ({"cats/a.txt": b""}, "cats holds no images", NO_IMAGES),
        ({**CATS, "cats/owl/a.txt": b""}, "cats/owl holds no images", "each folder in it is a class"),
        (
            {**CATS, "cats/a.png": b""},
            "cats holds images, cats/a.png, beside a folder of images, cats/cat",
            "give each class a folder, or put all images into one",
        ),
        ({"cats/a.png": b"GIF89a"}, "cats/a.png is not an image, or is damaged", None),
        (
            {"cats/a.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 2\n"},
            "cats/a.png is not an image, or is damaged",
            None,
        ),
        (
            {"cats/a.png": png(pixels(2, 4, 3), size=(60_000, 60_000))},
            f"cats/a.png has more than {Image.MAX_IMAGE_PIXELS:,} pixels, as no photograph has",
            None,
        ),
        (
            {"cats/a.png": png(pixels(2, 4, 3), size=(10_000, 9_000))},
            f"cats/a.png has more than {Image.MAX_IMAGE_PIXELS:,} pixels, as no photograph has",
            None,
        ),
    ],
)
def test_folders_that_are_refused(cats, images, message, help):
    assert only(cats(images=images).headers()) == ("V504", message, "2:21", help)


@pytest.mark.parametrize("mode", ["I;16", "CMYK", "F"])
def test_kinds_of_images_that_are_not_read(cats, mode):
    made = cats(f"{SOURCE}\nX = image", [X], {"cats/.x": b""})
    Image.new(mode, (4, 2)).save(made.folder / "cats" / "a.tiff")
    help = "save it in gray, RGB or RGBA with one byte for each channel"
    message = f"cats/a.tiff is of a kind that is not read: Pillow calls it {mode}"
    assert only(made.headers()) == ("V507", message, "2:21", help)


def test_damaged_images_are_told_and_nothing_else_happens(cats):
    made = cats(f"{SOURCE}\nX = image", [X], {"cats/.x": b""})
    chance, met = random.Random(1), set()
    for suffix, form in (("png", "PNG"), ("jpg", "JPEG"), ("gif", "GIF"), ("tif", "TIFF"), ("bmp", "BMP")):
        path = made.folder / "cats" / f"a.{suffix}"
        Image.fromarray(pixels(2, 4, 3)).save(path, form)
        whole = path.read_bytes()
        for _ in range(60):
            content = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
            for _ in range(min(3, len(content))):
                content[chance.randrange(len(content))] = chance.randrange(256)
            path.write_bytes(content)
            try:
                made.load()
            except DiagnosticError as error:
                met |= {diagnostic.code for diagnostic in error.diagnostics}
        path.unlink()
    assert "V504" in met
    assert met <= {"V504", "V506", "V507", "T404"}


# --- the block -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "inputs", "expected"),
    [
        (
            f'{SOURCE}\nX = array("X")',
            [X],
            ("T402", 'cats/ holds images, array("X") does not: write image or label', "3:9", None),
        ),
        (
            f"{SOURCE}\nX = image\nY = image",
            [X, Y],
            ("T402", "Y : (2, m) one_hot has classes, image gives pixels: write Y = label", "4:9", None),
        ),
        (
            f"{SOURCE}\nX = image\nY = label / 2",
            [X, Y],
            ("T402", "label is the name of a class: no step applies to it", "4:9", None),
        ),
        (
            f"{SOURCE}\nX = image\nsplit = by_column(fold)",
            [X],
            (
                "T402",
                "cats/ holds images, and no column fold",
                "4:23",
                'write split = 0.8, 0.1, 0.1, or separate ones: train = images("…"), test = images("…")',
            ),
        ),
        (
            f"{SOURCE}\nY = label",
            [X, Y],
            (
                "T403",
                "data: does not say what of the images X : (m, 2, 4, 3) is",
                "1:1",
                "add a line X = image / 255",
            ),
        ),
        (
            f"{SOURCE}\nX = image",
            [X, Y],
            ("T403", "data: does not say what of the images Y : (2, m) one_hot is", "1:1", "add a line Y = label"),
        ),
    ],
)
def test_lines_that_do_not_fit(cats, lines, inputs, expected):
    assert only(cats(lines, inputs).headers()) == expected


def test_pixels_of_a_table(project):
    found = project('source = csv("a.csv")\nX = image', [X], a="a,b\n1,2\n").headers()
    assert only(found) == ("T402", "a.csv holds columns, image does not: write columns(…)", "3:9", None)


# --- paths -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("dogs/", 'there is no folder "dogs/"'),
        ("a.png", '"a.png" is a file, not a folder'),
        ("../cats", '"../cats" lies outside the folder of the spec'),
        ("/etc", '"/etc" is an absolute path'),
    ],
)
def test_the_folder(cats, path, message):
    made = cats(f'source = images("{path}")\nX = image', [X], {**CATS, "a.png": b""})
    (found,) = made.headers()
    assert (found.code, found.message) == ("T407", message)


@pytest.mark.parametrize("link", ["cats/cat/link.png", "cats/owl"])
def test_links_that_leave_the_folder(cats, link):
    made = cats()
    outside = made.folder.parent / "outside"
    write(outside, {"1.png": pixels(2, 4, 3)})
    os.symlink(outside / "1.png" if link.endswith("png") else outside, made.folder / link)
    name = link.rpartition("/")[2]
    help = "a .dl file reads files of its own folder only: put the images there, or widen it with --root DIR"
    message = f"cats: the link {name} leads out of the folder of the spec"
    assert only(made.headers()) == ("T407", message, "2:21", help)
    assert [d.code for d in made.refused()] == ["T407"]
    assert [d.code for d in made.headers(root=made.folder.parent)] == ([] if name == "link.png" else ["T404"])


def test_links_within_the_folder(cats):
    made = cats()
    os.symlink("1.png", made.folder / "cats" / "cat" / "2.png")
    assert made.headers() == []
    assert made.load().splits["train"].count == 5


# --- new images ------------------------------------------------------------------------------------------------


def test_new_images(cats, tmp_path):
    made = cats(f"{SOURCE}\nX = image / 255\nY = label")
    record = Preprocessing.from_json(json.loads(json.dumps(made.load().preprocessing.to_json())))
    new = {"new/dog/x.png": pixels(2, 4, 3), "new/dog/y.png": pixels(2, 4, 3)}
    write(tmp_path, new)
    examples = apply(record, tmp_path / "new", made.inputs, with_targets=True)
    expected = (np.stack(list(new.values())) / 255).astype(np.float32)
    np.testing.assert_array_equal(examples.arrays["X"], expected)
    assert examples.arrays["Y"].tolist() == [1, 1]
    one = apply(record, tmp_path / "new" / "dog" / "y.png", made.inputs, with_targets=False)
    np.testing.assert_array_equal(one.arrays["X"], expected[1:])


@pytest.mark.parametrize(
    ("images", "code", "message"),
    [
        (
            {"new/owl/x.png": pixels(2, 4, 3)},
            "V503",
            "PATH/owl/x.png: label: 'owl' is not among the classes cat, dog of Y : (2, m) one_hot",
        ),
        ({"new/x.png": pixels(2, 4, 3)}, "V502", "PATH/x.png: label: the label is missing"),
        (
            {"new/cat/x.png": pixels(4, 4, 3)},
            "T404",
            "image PATH/cat/x.png is 4 x 4 x 3, X : (m, 2, 4, 3) needs 2 x 4 x 3",
        ),
    ],
)
def test_new_images_that_do_not_fit(cats, tmp_path, images, code, message):
    made = cats()
    data = made.load()
    write(tmp_path, images)
    with pytest.raises(DiagnosticError) as caught:
        apply(data.preprocessing, tmp_path / "new", made.inputs, with_targets=True)
    assert codes(caught.value.diagnostics) == [(code, message.replace("PATH", str(tmp_path / "new")))]


def test_a_table_for_a_model_of_images(cats, tmp_path):
    made = cats()
    data = made.load()
    (tmp_path / "new.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DiagnosticError) as caught:
        apply(data.preprocessing, tmp_path / "new.csv", made.inputs, with_targets=False)
    assert codes(caught.value.diagnostics) == [
        ("T402", f"{tmp_path / 'new.csv'} cannot be read: the model was trained on images")
    ]


def test_without_pillow(cats, monkeypatch):
    made = cats()
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    message = "images are read with the package pillow, which is not installed"
    assert only(made.headers()) == ("V512", message, "2:21", "pip install 'dlc[data]'")


SPEC = """
model Pets:
    input  X : (m, 2, 4, 3)
    target Y : (2, m) one_hot
    Y_hat = X -> Flatten() -> Dense(2, softmax)
    loss   cross_entropy(Y_hat, Y)
    output Y_hat

data:
    source = images("cats")
    X      = image / 255 - 0.5
    Y      = label

train:
    optimizer = GradientDescent(lr = 0.5)
    batch     = all
    epochs    = 60
"""


def test_a_model_learns_from_a_folder_what_it_learns_from_the_arrays(tmp_path):
    images = {f"cats/{kind}/{i}.png": pixels(2, 4, 3) // 2 + light for kind, light in LIGHT for i in range(8)}
    write(tmp_path, images)
    (tmp_path / "pets.dl").write_text(SPEC)
    model, other = (dlc.load(tmp_path / "pets.dl").compile(target="reference", seed=1) for _ in range(2))
    model.fit()
    x = (np.stack(list(images.values())) / 255 - 0.5).astype(np.float32)
    other.fit(X=x, Y=[0] * 8 + [1] * 8)
    for name, value in other.params.items():
        np.testing.assert_array_equal(model.params[name], value)
    assert model.forward(X=x)["Y_hat"].argmax(axis=0).tolist() == [0] * 8 + [1] * 8


LIGHT = (("bright", 120), ("dark", 0))
