"""Sizes and colors of images: `resize(gray(image), 64)`, at load and again for new images."""

from __future__ import annotations

import json

import numpy as np
import pytest
from data_project import declare
from png import write

from dlc.compiler.program import M
from dlc.runtime.data.dataset import apply
from dlc.runtime.data.preprocessing import Preprocessing

pytest.importorskip("PIL.Image")

RANDOM = np.random.default_rng(2)
SOURCE = 'source = images("cats")'


def pixels(*shape):
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def loaded(project):
    """`loaded(expression, sizes, images)`: what X is made of, in float64, and the project."""

    def make(expression, sizes, images):
        made = project(f"{SOURCE}\nX = {expression}", [declare("X", M, *sizes)])
        write(made.folder, {f"cats/{i:02}.png": image for i, image in enumerate(images)})
        assert made.headers() == []
        return made.load(dtype="float64").splits["train"].arrays["X"], made

    return make


def triangle(old, new, start, stop):
    """The weights (new, old) of the old pixels in each new one, of the stretch from `start` to `stop`: a triangle
    around its middle, as wide as a new pixel on each side, at least as an old one."""
    step = (stop - start) / new
    middle = start + (np.arange(new) + 0.5) * step
    away = np.abs(np.arange(old) + 0.5 - middle[:, None]) / max(step, 1)
    weights = np.clip(1 - away, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


def resized(image, height, width, fit="stretch"):
    """The meaning, in float64."""
    old_height, old_width = image.shape[:2]
    scale = max(height / old_height, width / old_width)
    up, left = (old_height - height / scale) / 2, (old_width - width / scale) / 2
    if fit == "stretch":
        up, left = 0, 0
    down = triangle(old_height, height, up, old_height - up)
    across = triangle(old_width, width, left, old_width - left)
    return np.einsum("ya,abc,xb->yxc", down, image.astype(np.float64), across)


@pytest.mark.parametrize("size", [(5, 7), (20, 9), (3, 30), (11, 13), (40, 41)])
@pytest.mark.parametrize("fit", ["stretch", "cover"])
def test_resize_takes_the_mean_below_a_triangle(loaded, size, fit):
    images = [pixels(11, 13, 3), pixels(24, 10, 3)]
    found, _ = loaded(f"resize(image, {size[0]}, {size[1]}, fit = {fit})", (*size, 3), images)
    for image, own in zip(images, found, strict=True):
        # Bytes are rounded once for each direction.
        assert np.abs(own - resized(image, *size, fit)).max() <= 1.0


def test_the_width_is_the_height_where_it_is_left_out(loaded):
    image = pixels(9, 12, 1)
    found, _ = loaded("resize(image, 6)", (6, 6), [image])
    assert np.abs(found[0, :, :, None] - resized(image, 6, 6)).max() <= 1.0


def test_an_image_that_has_the_size_is_left_alone(loaded):
    images = [pixels(6, 6, 3), pixels(8, 8, 3)]
    found, _ = loaded("image -> resize(6)", (6, 6, 3), images)
    np.testing.assert_array_equal(found[0], images[0])


def test_gray_is_the_weighted_sum_of_the_colors(loaded):
    """ITU-R 601-2, as television has it: 0.299 R + 0.587 G + 0.114 B."""
    image, own, clear = pixels(4, 5, 3), pixels(4, 5, 1), pixels(4, 5, 2)
    found, _ = loaded("gray(image)", (4, 5), [image, own, clear])
    assert np.abs(found[0] - image @ [0.299, 0.587, 0.114]).max() <= 0.51
    np.testing.assert_array_equal(found[1], own[:, :, 0])
    np.testing.assert_array_equal(found[2], clear[:, :, 0])


def test_rgb_repeats_gray_and_drops_transparency(loaded):
    gray, clear = pixels(4, 5, 1), pixels(4, 5, 4)
    found, _ = loaded("image -> rgb -> scale(0, 1)", (4, 5, 3), [gray, clear])
    least, greatest = np.minimum(gray, clear[:, :, :3]), np.maximum(gray, clear[:, :, :3])
    width = np.where(greatest > least, greatest - least, 1).astype(np.float64)
    np.testing.assert_allclose(found[0], (gray - least.astype(np.float64)) / width, atol=1e-15)
    np.testing.assert_allclose(found[1], (clear[:, :, :3] - least.astype(np.float64)) / width, atol=1e-15)


def test_new_images_take_the_same_form(loaded, tmp_path):
    _, made = loaded("resize(gray(image), 4, 6) / 255", (4, 6, 1), [pixels(8, 8, 3), pixels(5, 9, 1)])
    record = Preprocessing.from_json(json.loads(json.dumps(made.load().preprocessing.to_json())))
    image = pixels(10, 7, 1)
    write(tmp_path, {"new.png": image})
    new = apply(record, tmp_path / "new.png", made.inputs, with_targets=False, dtype="float64")
    assert np.abs(new.arrays["X"][0] * 255 - resized(image, 4, 6)).max() <= 1.0


def test_records_of_before_have_no_form(loaded):
    _, made = loaded("image", (4, 4, 1), [pixels(4, 4, 1)])
    record = made.load().preprocessing.to_json()
    del record["X"]["form"]
    assert Preprocessing.from_json(record) == made.load().preprocessing


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_images_are_the_same_from_any_number_of_threads(project, threads):
    made = project(f"{SOURCE}\nX = resize(image, 5)", [declare("X", M, 5, 5, 3)])
    write(made.folder, {f"cats/{i:03}.png": pixels(4 + i % 5, 6, 3) for i in range(70)})
    one = made.load(threads=1).splits["train"].arrays["X"]
    np.testing.assert_array_equal(made.load(threads=threads).splits["train"].arrays["X"], one)


def test_what_a_form_makes_of_another_shape(project):
    made = project(f"{SOURCE}\nX = resize(image, 8, 6)", [declare("X", M, 8, 8, 1)])
    write(made.folder, {"cats/a.png": pixels(4, 5, 3)})
    (found,) = made.headers()
    message = "image cats/a.png is 4 x 5 x 3, which becomes 8 x 6 x 3, X : (m, 8, 8, 1) needs 8 x 8 x 1"
    assert (found.code, found.message, found.help) == ("T404", message, "declare X : (m, 8, 6, 3)")
