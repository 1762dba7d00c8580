"""Each change of `augment` against its meaning in NumPy float64; what is drawn; which inputs change, and when."""

from __future__ import annotations

import json

import numpy as np
import pytest
from data_project import declare
from png import write

from dlc.compiler.program import M
from dlc.compiler.settings import ColorShift, Crop, Flip, PcaColor, Rotate
from dlc.runtime.data.augmentation import Draws, augmented, middle, principal_colors
from dlc.runtime.data.changes import Change, after
from dlc.runtime.data.dataset import apply
from dlc.runtime.data.preprocessing import Preprocessing

RANDOM = np.random.default_rng(4)


class Given:
    """Draws that the test chooses: each call gives the next ones."""

    def __init__(self, *drawn):
        self.drawn = list(drawn)

    def uniform(self, name, width=1):
        return np.array(self.drawn.pop(0), np.float64).reshape(-1, width)

    normal = uniform


def pixels(*shape, dtype=np.uint8):
    return RANDOM.integers(0, 256, shape).astype(dtype)


def changed(images, step, *drawn, kind="image", colors=None):
    return augmented(images.copy(), Change((step,), kind), Given(*drawn), colors)


# --- places ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 4, 5, 3), (3, 4, 5)])
def test_flip(shape):
    images = pixels(*shape)
    found = changed(images, Flip(0.5), [0.49, 0.5, 0.0])
    np.testing.assert_array_equal(found, np.stack([images[0][:, ::-1], images[1], images[2][:, ::-1]]))
    upside_down = changed(images, Flip(0.3, "height"), [0.29, 0.3, 0.9])
    np.testing.assert_array_equal(upside_down, np.stack([images[0][::-1], images[1], images[2]]))
    assert found.dtype == np.uint8


def crop_meaning(image, crop, top, left):
    """Pixel by pixel: the image with zeros around it, from this row and column on."""
    height, width = crop.size
    padded = np.zeros((image.shape[0] + 2 * crop.pad, image.shape[1] + 2 * crop.pad, *image.shape[2:]), image.dtype)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            padded[y + crop.pad, x + crop.pad] = image[y, x]
    return np.array([[padded[top + y, left + x] for x in range(width)] for y in range(height)])


@pytest.mark.parametrize("crop", [Crop(3), Crop(2, 5), Crop(4, 5, pad=2), Crop(8, 9, pad=2), Crop(5, 2, pad=1)])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_crop(crop, channels):
    images = pixels(7, 4, 5, *channels)
    drawn = np.linspace(0, 0.999999, 14).reshape(7, 2)
    rooms = np.array([4, 5]) + 2 * crop.pad - crop.size
    found = changed(images, crop, drawn)
    for image, own, (u, v) in zip(images, found, drawn, strict=True):
        np.testing.assert_array_equal(own, crop_meaning(image, crop, int(u * (rooms[0] + 1)), int(v * (rooms[1] + 1))))


def test_every_place_of_a_crop_is_as_likely():
    image = np.arange(30, dtype=np.uint8).reshape(1, 5, 6)
    found = augmented(image.repeat(12_000, 0), Change((Crop(3, 4),), "image"), Draws(1, 1, np.arange(12_000)), None)
    places, counts = np.unique(found[:, 0, 0], return_counts=True)
    assert places.tolist() == [0, 1, 2, 6, 7, 8, 12, 13, 14]
    # Nine places: the standard deviation of a count is 34.
    assert np.abs(counts - 12_000 / 9).max() < 5 * 34


@pytest.mark.parametrize("crop", [Crop(3), Crop(2, 4), Crop(4, 5, pad=2), Crop(9, 10, pad=3), Crop(3, 5, pad=1)])
def test_the_middle_is_taken_outside_of_training(crop):
    images = pixels(2, 4, 5, 3)
    found = middle(images, Change((Flip(), crop, ColorShift(20)), "image"))
    top, left = (4 + 2 * crop.pad - crop.size[0]) // 2, (5 + 2 * crop.pad - crop.size[1]) // 2
    np.testing.assert_array_equal(found, np.stack([crop_meaning(image, crop, top, left) for image in images]))


def test_a_crop_of_all_is_the_image():
    images = pixels(2, 4, 5, 3)
    np.testing.assert_array_equal(middle(images, Change((Crop(4, 5, pad=3),), "image")), images)


def rotation_meaning(image, angle, nearest=False):
    """Turned about the middle of the image: the value at a place comes from where the turn brings it from."""
    height, width = image.shape[:2]
    result = np.zeros(image.shape, np.float64)
    for y in range(height):
        for x in range(width):
            away = np.array([y - (height - 1) / 2, x - (width - 1) / 2])
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            row, column = turn @ away + [(height - 1) / 2, (width - 1) / 2]
            for i in range(height):
                for j in range(width):
                    near = np.hypot(*(max(abs(row - i), 0), max(abs(column - j), 0)))
                    share = max(1 - abs(row - i), 0) * max(1 - abs(column - j), 0)
                    if nearest:
                        share = float(-0.5 <= row - i < 0.5 and -0.5 <= column - j < 0.5)
                    result[y, x] += share * image[i, j] if near < 2 else 0.0
    return result


@pytest.mark.parametrize("shape", [(4, 6, 5, 3), (4, 5, 5), (4, 1, 7, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_rotate(shape, dtype):
    images = pixels(*shape, dtype=dtype)
    drawn = [0.0, 0.3, 0.77, 0.999]
    found = changed(images, Rotate(40), drawn)
    assert found.dtype == ("float64" if dtype == "float64" else "float32")
    for image, own, u in zip(images, found, drawn, strict=True):
        meaning = rotation_meaning(image.astype(np.float64), np.pi * 40 / 180 * (2 * u - 1))
        np.testing.assert_allclose(own, meaning, rtol=1e-6, atol=1e-4 if dtype != "float64" else 1e-10)


def test_quarter_turns_are_exact():
    """A quarter and a half are NumPy's own turns; so the direction is seen too."""
    image = pixels(1, 5, 5, 2, dtype=np.float64)
    np.testing.assert_allclose(changed(image, Rotate(90), [1.0])[0], np.rot90(image[0], -1), atol=1e-10)
    np.testing.assert_allclose(changed(image, Rotate(90), [0.0])[0], np.rot90(image[0]), atol=1e-10)
    np.testing.assert_allclose(changed(image, Rotate(180), [0.0])[0], np.rot90(image[0], 2), atol=1e-10)


def test_a_map_keeps_its_classes():
    classes = RANDOM.integers(0, 5, (4, 6, 7))
    drawn = [0.05, 0.3, 0.5, 0.9]
    found = changed(classes, Rotate(60), drawn, kind="map")
    assert found.dtype == np.int64
    for image, own, u in zip(classes, found, drawn, strict=True):
        np.testing.assert_array_equal(own, rotation_meaning(image, np.pi * 60 / 180 * (2 * u - 1), nearest=True))
    colors = np.eye(3)
    for step, numbers in ((ColorShift(9), [1.0] * 12), (PcaColor(), [1.0] * 12)):
        np.testing.assert_array_equal(changed(classes, step, numbers, kind="map", colors=colors), classes)


# --- colors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "colors"), [((1,), 1), ((2,), 1), ((3,), 3), ((4,), 3), ((5,), 5), ((), 1)])
def test_color_shift(channels, colors):
    images = pixels(3, 4, 5, *channels)
    drawn = RANDOM.random((3, colors))
    found = changed(images, ColorShift(30), drawn)
    expected = images.reshape(3, 4, 5, -1).astype(np.float64)
    for image, own in zip(expected, drawn, strict=True):
        for channel, u in enumerate(own):
            image[:, :, channel] = np.clip(image[:, :, channel] + 30 * (2 * u - 1), 0, 255)
    np.testing.assert_allclose(found, expected.reshape(images.shape), atol=1e-4)
    assert found.dtype == np.float32


def test_reals_are_not_clipped():
    images = RANDOM.random((2, 4, 5, 3))
    found = changed(images, ColorShift(3), np.array([[1.0] * 3, [0.0] * 3]))
    np.testing.assert_allclose(found, images + np.array([3, -3]).reshape(2, 1, 1, 1), rtol=1e-12)
    assert found.dtype == np.float64


def covariance(pixels):
    away = pixels - pixels.mean(axis=0)
    return away.T @ away / len(pixels)


def test_principal_colors_are_eigenvectors_times_eigenvalues():
    """V D V^T is the covariance, so (V D)(V D)^T is its square, and its columns are orthogonal."""
    images = pixels(20, 4, 5, 3).astype(np.float64) @ np.array([[0.5, 0.2, 0.1], [0, 0.4, 0.3], [0.1, 0, 0.2]])
    found = principal_colors(iter([images[:7].astype(np.uint8), images[7:].astype(np.uint8)]))
    spread = covariance(images.astype(np.uint8).reshape(-1, 3) / 255.0)
    np.testing.assert_allclose(found @ found.T / 255**2, spread @ spread, rtol=1e-10)
    np.testing.assert_allclose(spread @ found, found * (np.linalg.norm(found, axis=0) / 255), rtol=1e-8, atol=1e-14)
    assert (found[np.abs(found).argmax(axis=0), np.arange(3)] > 0).all()


def test_pca_color_adds_the_formula_of_krizhevsky():
    images = pixels(3, 4, 5, 3) // 2 + 60
    colors, drawn = RANDOM.normal(0, 5, (3, 3)), RANDOM.normal(0, 1, (3, 3))
    found = changed(images, PcaColor(0.1), drawn, colors=colors)
    for image, own, alpha in zip(images, found, 0.1 * drawn, strict=True):
        shift = sum(colors[:, i] * alpha[i] for i in range(3))
        np.testing.assert_allclose(own, np.clip(image + shift, 0, 255), rtol=1e-5)


def test_transparency_keeps_its_value():
    images = pixels(2, 4, 5, 4)
    found = changed(images, PcaColor(5), RANDOM.normal(0, 1, (2, 3)), colors=np.eye(3))
    np.testing.assert_array_equal(found[..., 3], images[..., 3])


def test_changes_are_made_in_their_order():
    """Zeros of the padding are shifted where the shift comes last, and not where it comes first."""
    images = np.full((1, 2, 2, 1), 100, np.uint8)
    steps = Crop(2, pad=2), ColorShift(10)
    first = augmented(images.copy(), Change(steps, "image"), Given([[0.0, 0.0]], [[1.0]]), None)
    assert first.ravel().tolist() == [10, 10, 10, 10]
    last = augmented(images.copy(), Change(steps[::-1], "image"), Given([[1.0]], [[0.0, 0.0]]), None)
    assert last.ravel().tolist() == [0, 0, 0, 0]


# --- draws -----------------------------------------------------------------------------------------------------

ALL = Change((Flip(), Crop(6, 5, pad=2), Rotate(20), ColorShift(30), PcaColor(2)), "image")


def test_draws_depend_on_seed_epoch_and_example_alone():
    images, colors = pixels(40, 7, 6, 3), RANDOM.normal(0, 5, (3, 3))

    def of(rows, seed=1, epoch=1):
        rows = np.array(rows)
        return augmented(images[rows], ALL, Draws(seed, epoch, rows), colors)

    whole = of(range(40))
    order = RANDOM.permutation(40)
    np.testing.assert_array_equal(of(order), whole[order])
    for row in (0, 17, 39):
        np.testing.assert_array_equal(of([row])[0], whole[row])
    assert (of(range(40), epoch=2) != whole).any(axis=(1, 2, 3)).all()
    assert (of(range(40), seed=2) != whole).any(axis=(1, 2, 3)).all()


def test_two_changes_of_one_kind_draw_apart():
    images = pixels(200, 4, 4, 1)
    twice = augmented(images.copy(), Change((Flip(), Flip()), "image"), Draws(1, 1, np.arange(200)), None)
    same = (twice == images).all(axis=(1, 2, 3)).mean()
    assert 0.3 < same < 0.7


def test_chances_are_kept():
    images = np.tile(np.array([[1, 2]], np.uint8), (20_000, 1, 1))
    found = augmented(images, Change((Flip(0.25),), "image"), Draws(3, 1, np.arange(20_000)), None)
    assert abs((found[:, 0, 0] == 2).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 20_000)


# --- which inputs change ---------------------------------------------------------------------------------------

X, Y = declare("X", M, 6, 5, 3), declare("Y", 3, M, role="target", one_hot=True)
IMAGES, CLASSES = pixels(40, 6, 5, 3), RANDOM.integers(0, 3, 40)
SPLIT = "split = 0.5, 0.25, 0.25"


@pytest.fixture
def arrays(project):
    """`arrays(augment, lines, inputs, arrays)` of one NPZ file; by default images X and classes Y."""

    def make(augment, lines="", inputs=(X, Y), **given):
        text = f'source = npz("d.npz")\n{lines or "X = array(" + chr(34) + "X" + chr(34) + ") / 255"}\n{SPLIT}'
        return project(f"{text}\naugment = {augment}", list(inputs), d=given or {"X": IMAGES, "Y": CLASSES})

    return make


def test_only_the_training_split_changes(arrays):
    made = arrays("flip(), rotate(30), color_shift(50), pca_color()")
    assert made.headers() == []
    data = made.load(dtype="float64")
    for split, part in data.splits.items():
        np.testing.assert_array_equal(np.asarray(part.arrays["X"][:]), IMAGES[part.rows] / 255)
        np.testing.assert_array_equal(part.declared()["X"], IMAGES[part.rows] / 255)
        assert isinstance(part.arrays["X"], np.ndarray) == (split != "train")
    train = data.splits["train"]
    found = train.arrays["X"].augmented(np.arange(train.count), 1, 1)
    assert (found != IMAGES[train.rows] / 255).any(axis=(1, 2, 3)).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_what_is_trained_on(arrays):
    """A chance of 1 leaves nothing to draw."""
    data = arrays("flip(1), crop(4, 5)", inputs=[declare("X", M, 4, 5, 3), Y]).load(dtype="float64")
    train, dev = data.splits["train"], data.splits["dev"]
    found = train.arrays["X"].augmented(np.arange(train.count), 1, 1)
    mirrored = IMAGES[train.rows][:, :, ::-1] / 255
    for own, image in zip(found, mirrored, strict=True):
        assert any((own == image[top : top + 4]).all() for top in range(3))
    np.testing.assert_array_equal(dev.arrays["X"], IMAGES[dev.rows][:, 1:5] / 255)
    np.testing.assert_array_equal(train.arrays["X"][:], IMAGES[train.rows][:, 1:5] / 255)


def test_statistics_are_those_of_the_middles(arrays):
    made = arrays("crop(4, 3)", 'X = array("X") -> standardize', [declare("X", M, 4, 3, 3), Y])
    data = made.load(dtype="float64")
    train = IMAGES[data.splits["train"].rows][:, 1:5, 1:4].astype(np.float64)
    test = IMAGES[data.splits["test"].rows][:, 1:5, 1:4]
    expected = (test - train.mean(axis=0)) / train.std(axis=0)
    np.testing.assert_allclose(data.splits["test"].arrays["X"], expected, rtol=1e-10, atol=1e-12)


def test_colors_are_those_of_the_training_split(arrays):
    data = arrays("pca_color(0.5)").load()
    train = data.splits["train"]
    expected = principal_colors(iter([IMAGES[train.rows]]))
    np.testing.assert_allclose(train.arrays["X"].colors, expected, rtol=1e-9)


def test_a_map_of_classes_moves_with_its_image(arrays):
    classes = RANDOM.integers(0, 3, (40, 6, 5))
    image = np.stack([classes] * 3, axis=3).astype(np.uint8)
    target = declare("Y", M, 4, 5, 3, role="target", one_hot=True, classes=3, class_axis=3)
    made = arrays(
        "flip(), crop(4, 5, pad = 1), color_shift(1)",
        'X = array("X")',
        [declare("X", M, 4, 5, 3), target],
        X=image,
        Y=classes,
    )
    assert made.headers() == []
    data = made.load(dtype="float64")
    train = data.splits["train"]
    rows = np.arange(train.count)
    plain = arrays(
        "flip(), crop(4, 5, pad = 1)", 'X = array("X")', [declare("X", M, 4, 5, 3), target], X=image, Y=classes
    ).load(dtype="float64")
    x = plain.splits["train"].arrays["X"].augmented(rows, 7, 3)
    y = train.arrays["Y"].augmented(rows, 7, 3)
    assert (y.dtype, y.shape) == (np.int64, (train.count, 4, 5))
    np.testing.assert_array_equal(y, x[..., 0])
    assert (y != train.arrays["Y"][:]).any(axis=(1, 2)).mean() > 0.9
    np.testing.assert_array_equal(data.splits["test"].arrays["Y"], classes[data.splits["test"].rows][:, 1:5])


def test_a_mask_of_reals_moves_and_keeps_its_values(arrays):
    mask = declare("Y", M, 6, 5, role="target")
    made = arrays("flip(), color_shift(40)", 'X = array("X")', [X, mask], X=IMAGES, Y=IMAGES[..., 0])
    train = made.load(dtype="float64").splits["train"]
    y = train.arrays["Y"].augmented(np.arange(train.count), 1, 1)
    plain = IMAGES[train.rows][..., 0]
    assert all((own == image).all() or (own == image[:, ::-1]).all() for own, image in zip(y, plain, strict=True))
    assert (y != plain).any()


def test_pixels_in_a_table(project):
    columns = [f"p{i:02}" for i in range(16)]
    table = RANDOM.integers(0, 17, (10, 16))
    text = ",".join(columns) + "\n" + "\n".join(",".join(map(str, row)) for row in table) + "\n"
    lines = 'source = csv("a.csv")\nX = columns("p*") / 16\naugment = crop(4, pad = 1)'
    made = project(lines, [declare("X", M, 4, 4, 1)], a=text)
    train = made.load(dtype="float64").splits["train"]
    np.testing.assert_array_equal(train.arrays["X"][:], table.reshape(10, 4, 4, 1) / 16)
    found = train.arrays["X"].augmented(np.arange(10), 1, 1)
    padded = np.pad(table.reshape(10, 4, 4, 1) / 16, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for own, image in zip(found, padded, strict=True):
        assert any((own == image[i : i + 4, j : j + 4]).all() for i in range(3) for j in range(3))


def test_a_folder_of_images(project, tmp_path):
    pytest.importorskip("PIL.Image")
    lines = 'source = images("cats")\nX = image / 255\nY = label\naugment = flip(), crop(4)'
    made = project(lines, [declare("X", M, 4, 4, 3), declare("Y", 2, M, role="target", one_hot=True)])
    images = {f"cats/{kind}/{i}.png": pixels(6, 5, 3) for kind in ("cat", "dog") for i in range(3)}
    write(made.folder, images)
    assert made.headers() == []
    data = made.load(dtype="float64")
    stored = np.stack(list(images.values()))
    np.testing.assert_array_equal(data.splits["train"].arrays["X"][:], stored[:, 1:5, 0:4] / 255)
    record = Preprocessing.from_json(json.loads(json.dumps(data.preprocessing.to_json())))
    new = pixels(9, 8, 3)
    write(tmp_path, {"new/a.png": new})
    examples = apply(record, tmp_path / "new", made.inputs, with_targets=False, dtype="float64")
    np.testing.assert_array_equal(examples.arrays["X"], new[None, 2:6, 2:6] / 255)


def test_new_arrays_are_cropped_too(arrays, tmp_path):
    made = arrays("crop(4, 5, pad = 1)", inputs=[declare("X", M, 4, 5, 3), Y])
    record = made.load().preprocessing
    np.savez(tmp_path / "new.npz", X=IMAGES[:3], Y=CLASSES[:3])
    new = apply(record, tmp_path / "new.npz", made.inputs, with_targets=True, dtype="float64")
    np.testing.assert_array_equal(new.arrays["X"], IMAGES[:3, 1:5] / 255)
    assert new.arrays["Y"].tolist() == CLASSES[:3].tolist()


def test_a_value_that_is_no_number_is_told_where_it_arises(arrays):
    made = arrays("crop(6, 5, pad = 1)", 'X = array("X") -> log', X=IMAGES // 2 + 1, Y=CLASSES)
    train = made.load().splits["train"]
    with pytest.raises(Exception, match="0 is not a finite number after the steps of X") as caught:
        train.arrays["X"].augmented(np.arange(train.count), 1, 1)
    assert caught.value.diagnostics[0].code == "V502"


# --- what is refused -------------------------------------------------------------------------------------------


def only(found):
    (diagnostic,) = found
    return diagnostic.code, diagnostic.message, diagnostic.help


@pytest.mark.parametrize(
    ("augment", "inputs", "expected"),
    [
        (
            "flip()",
            [declare("X", 90, M), Y],
            (
                "T402",
                "augment changes images, and no input of the model is one",
                "an image is its height, width and channels, the batch has m of them: X : (m, n_H, n_W, n_C)",
            ),
        ),
        (
            "pca_color()",
            [declare("X", M, 6, 5, 1), Y],
            (
                "T402",
                "pca_color changes red, green and blue, and X : (m, 6, 5, 1) has 1 channel",
                "color_shift(20) changes images of any channels, gray ones too",
            ),
        ),
        (
            "crop(4)",
            [X, Y],
            ("T404", 'X : (m, 6, 5, 3) needs (m, 6, 5, 3), array("X") of d.npz is (40, 6, 5, 3) before crop(4)', None),
        ),
        (
            "crop(8, 5)",
            [declare("X", M, 8, 5, 3), Y],
            (
                "T404",
                'X : (m, 8, 5, 3) needs (m, 8, 5, 3), array("X") of d.npz is (40, 6, 5, 3) before crop(8, 5)',
                None,
            ),
        ),
    ],
)
def test_arrays_that_do_not_fit(arrays, augment, inputs, expected):
    given = IMAGES.reshape(40, -1).T if inputs[0].type.rank == 2 else IMAGES[..., : inputs[0].type.sizes[3].constant]
    assert only(arrays(augment, inputs=inputs, X=given, Y=CLASSES).headers()) == expected


@pytest.mark.parametrize(
    ("augment", "size", "message", "help"),
    [
        (
            "crop(4)",
            5,
            "image cats/a.png is 6 x 5 x 3, and 4 x 4 after crop(4), X : (m, 5, 5, 3) needs 5 x 5 x 3",
            "declare X : (m, 4, 4, 3)",
        ),
        (
            "crop(8, pad = 1)",
            8,
            "image cats/a.png is 6 x 5 x 3, and crop(8, pad = 1) is larger",
            "make the images larger, resize(image, 8, 8), or give the crop a pad",
        ),
        (
            "crop(5)",
            5,
            "image cats/b.png is 7 x 5 x 3, and image cats/a.png 6 x 5 x 3: parts are cut from images of one size",
            "write resize(image, …) in place of image",
        ),
    ],
)
def test_images_that_do_not_fit(project, augment, size, message, help):
    pytest.importorskip("PIL.Image")
    made = project(f'source = images("cats")\nX = image\naugment = {augment}', [declare("X", M, size, size, 3)])
    write(made.folder, {"cats/a.png": pixels(6, 5, 3), "cats/b.png": pixels(7, 5, 3)})
    assert only(made.headers()) == ("T404", message, help)


def test_a_crop_of_a_table_keeps_its_size(project):
    lines = 'source = csv("a.csv")\nX = columns(a, b, c, d)\naugment = crop(1)'
    found = project(lines, [declare("X", M, 2, 2)], a="a,b,c,d\n1,2,3,4\n").headers()
    message = "the columns of X : (m, 2, 2) are 2 x 2 pixels, and a crop must leave as many"
    assert only(found) == ("T402", message, "crop from a padded image: crop(2, pad = 1)")


@pytest.mark.parametrize(
    ("crops", "size", "left"),
    [
        ((Crop(3),), (4, 5), (3, 3)),
        ((Crop(6, pad=1), Crop(6, 2)), (4, 5), (6, 2)),
        ((Crop(3), Crop(4)), (9, 9), Crop(4)),
        ((), (4, 5), (4, 5)),
    ],
)
def test_sizes_after_crops(crops, size, left):
    assert after(crops, size) == left
