"""The `data:` block: sources, splits, column expressions, and every message."""

from __future__ import annotations

import pytest

from dlc.compiler.settings import (
    Arithmetic,
    Channels,
    ColorShift,
    Crop,
    Elementwise,
    Flip,
    ImageForm,
    PcaColor,
    Resize,
    Rotate,
    Scale,
    Standardize,
    TrainSettings,
    disagreements,
)

SOURCE = 'source = csv("a.csv")'


def only(result):
    """The message, the line:column and the help of the only finding."""
    settings, found = result
    (diagnostic,) = found
    assert settings is None
    return diagnostic.code, diagnostic.message, f"{diagnostic.span.line}:{diagnostic.span.column}", diagnostic.help


def selection(data, expression):
    settings, found = data(SOURCE, f"X = {expression}")
    assert not found
    return settings.columns["X"]


def test_the_block_of_the_language_page(data):
    settings, found = data(
        'source = csv("housing.csv")',
        "X = columns(size, bedrooms, age) -> standardize",
        "Y = column(price)",
        "split = 0.8, 0.1, 0.1",
    )
    assert not found
    assert (settings.format, settings.sources["all"].path) == ("csv", "housing.csv")
    assert settings.sources["all"].span.column == 18
    x, y = settings.columns["X"], settings.columns["Y"]
    assert (x.kind, [s.name for s in x.selectors], x.steps) == (
        "columns",
        ["size", "bedrooms", "age"],
        (Standardize(),),
    )
    assert (y.kind, [s.name for s in y.selectors], y.steps) == ("column", ["price"], ())
    assert (settings.split.train, settings.split.dev, settings.split.test) == (0.8, 0.1, 0.1)
    assert settings.splits == {"train", "dev", "test"}


def test_two_numbers_are_train_and_test(data):
    settings, _ = data(SOURCE, "split = 3/4, 1/4")
    assert (settings.split.train, settings.split.dev, settings.split.test) == (0.75, 0, 0.25)
    assert settings.splits == {"train", "test"}


def test_by_column_takes_a_name_and_not_a_hyper(data):
    settings, _ = data(SOURCE, "split = by_column(size)")
    assert settings.split.column == "size"
    assert settings.splits is None


def test_separate_files(data):
    settings, found = data('train = npz("a.npz")', 'test = npz("b.npz")')
    assert not found
    assert {name: source.path for name, source in settings.sources.items()} == {"train": "a.npz", "test": "b.npz"}
    assert settings.splits == {"train", "test"}


@pytest.mark.parametrize(
    ("expression", "steps"),
    [
        ('columns("pixel_*") / 16', (Arithmetic("/", 16),)),
        ('columns("pixel_*") / (size / 2)', (Arithmetic("/", 16),)),
        ("column(a) / 16 - 0.5", (Arithmetic("/", 16), Arithmetic("-", 0.5))),
        ("1 - column(a)", (Arithmetic("-", 1, reflected=True),)),
        ("-column(a)", (Arithmetic("-", 0, reflected=True),)),
        ("column(a)^2", (Arithmetic("^", 2),)),
        ("column(a) -> standardize", (Standardize(),)),
        ("column(a) / 10 -> log -> scale(-1, 1)", (Arithmetic("/", 10), Elementwise("log"), Scale(-1, 1))),
        ("column(a) -> scale", (Scale(0, 1),)),
        ("column(a) -> scale(high = 5)", (Scale(0, 5),)),
        ("log(1 + column(a))", (Arithmetic("+", 1, reflected=True), Elementwise("log"))),
        ("scale(column(a), 0, 2)", (Scale(0, 2),)),
    ],
)
def test_steps_in_their_order(data, expression, steps):
    assert selection(data, expression).steps == steps


def test_a_name_that_is_a_hyper_is_still_a_column(data):
    assert [s.name for s in selection(data, 'columns(size, "no. of rooms")').selectors] == ["size", "no. of rooms"]


def test_an_array_may_be_transposed(data):
    chosen = selection(data, 'array("X").T / 255')
    assert (chosen.kind, chosen.transposed, chosen.steps) == ("array", True, (Arithmetic("/", 255),))
    assert chosen.text == 'array("X").T'


@pytest.mark.parametrize(
    ("expression", "form", "steps"),
    [
        ("image", ImageForm(), ()),
        ("resize(image, 64) / 255", ImageForm(resize=Resize(64)), (Arithmetic("/", 255),)),
        ("resize(gray(image), 64, size)", ImageForm(Channels("gray"), Resize(64, 32)), ()),
        ("image -> resize(8, fit = cover) -> rgb", ImageForm(Channels("rgb"), Resize(8, fit="cover")), ()),
        ("image -> gray -> scale", ImageForm(Channels("gray")), (Scale(),)),
    ],
)
def test_the_form_of_images(data, expression, form, steps):
    chosen = selection(data, expression)
    assert (chosen.kind, chosen.form, chosen.steps) == ("image", form, steps)


def test_the_labels_of_an_idx_source(data):
    settings, found = data('source = idx("a.idx3", labels = "b.idx1")')
    assert not found
    assert (settings.sources["all"].path, settings.sources["all"].labels) == ("a.idx3", "b.idx1")
    assert data('source = idx("a.idx3")')[0].sources["all"].labels is None


def test_augmentations_in_their_order(data):
    settings, found = data(SOURCE, "augment = flip(), crop(28), color_shift(20)")
    assert not found
    assert settings.augment == (Flip(), Crop(28), ColorShift(20))
    line = "augment = flip(0.3, over = height), crop(size, 28, pad = 4), rotate(15), pca_color, pca_color"
    assert data(SOURCE, line.removesuffix(", pca_color"))[0].augment == (
        Flip(0.3, "height"),
        Crop(32, 28, 4),
        Rotate(15),
        PcaColor(0.1),
    )


def test_augment_can_be_left_out_on_the_command_line(data):
    assert data(SOURCE, "augment = flip()", overrides={"augment": "none"})[0].augment == ()


def test_the_text_of_a_selection(data):
    assert selection(data, 'columns("pixel_*", size) / 16').text == 'columns("pixel_*", size)'


def test_overrides(data):
    settings, found = data(SOURCE, overrides={"source": 'csv("b.csv")', "split": "0.5, 0.5"})
    assert not found
    assert (settings.sources["all"].path, settings.split.test) == ("b.csv", 0.5)


AUGMENTATIONS = "it knows: flip, crop, rotate, color_shift, pca_color"
EXPECTED = 'write X = columns(a, b), column(a), array("a"), image, chars or words, and any steps behind'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("split = 0.8, 0.1, 0.2", ("T402", "the shares of split must sum to 1: 0.8 + 0.1 + 0.2 = 1.1", "3:13", None)),
        (
            "split = 1.5, -0.5",
            ("T402", "split must be shares of the examples, each between 0 and 1, not 1.5", "3:13", None),
        ),
        (
            "split = 0.8",
            (
                "T402",
                "split takes two or three shares, not 1",
                "3:5",
                "write split = 0.8, 0.1, 0.1 (train, dev, test), split = 0.8, 0.2 (train, test) or by_column(fold)",
            ),
        ),
        ("split = by_colum(fold)", ("T401", "split knows no by_colum", "3:13", "did you mean by_column?")),
        ("augment = flop()", ("T401", "augment knows no flop", "3:15", "did you mean flip?")),
        ("augment = flip(0)", ("T402", "chance must be a chance above 0, at most 1, not 0", "3:20", None)),
        (
            "augment = crop()",
            ("T402", "crop needs its argument height: a whole number of pixels, from 1 to 16384", "3:15", None),
        ),
        (
            "augment = crop(4, pad = -1)",
            ("T402", "pad must be a whole number of pixels, at least 0, not -1", "3:29", None),
        ),
        (
            "augment = rotate(200)",
            ("T402", "degrees must be an angle above 0, at most 180 degrees, not 200", "3:22", None),
        ),
        ("augment = color_shift(0)", ("T402", "amount must be a positive number, not 0", "3:27", None)),
        ("augment = pca_color(), pca_color()", ("T402", "pca_color stands twice in augment", "3:5", None)),
        ("augment = flip(), none", ("T401", "augment knows no none", "3:23", AUGMENTATIONS)),
        ("X = columms(a)", ("T401", "data: knows no function columms", "3:9", "did you mean columns?")),
        ("X = 3", ("T402", "X must be made of columns, not of 3", "3:9", EXPECTED)),
        ("X = columns()", ("T402", "columns takes at least one name, not 0", "3:9", None)),
        ("X = column(a, b)", ("T402", "column takes one name, not 2", "3:9", None)),
        ("X = columns(3)", ("T402", "columns takes names, not 3", "3:17", None)),
        ('X = columns("")', ("T402", 'columns takes names, not ""', "3:17", None)),
        ("X = column(a) / 0", ("T402", "the columns are divided by 0", "3:21", None)),
        ("X = column(a) @ 2", ("T402", "@ does not apply to columns: + - * / ^ do", "3:9", None)),
        (
            "X = column(a) + column(b)",
            ("T402", "+ takes columns and a constant here, not columns on both sides", "3:9", None),
        ),
        (
            "X = column(a) -> standardise",
            ("T401", "a step of the data knows no standardise", "3:22", "did you mean standardize?"),
        ),
        (
            "X = column(a) -> normalize",
            (
                "T401",
                "normalize could mean two things",
                "3:22",
                "write standardize (mean 0, standard deviation 1) or scale(0, 1) (least 0, greatest 1)",
            ),
        ),
        ("X = column(a) -> standardize(1)", ("T402", "standardize takes no arguments", "3:34", None)),
        (
            "X = column(a) -> scale(1, 0)",
            ("T402", "scale needs its low end below its high end: 1, 0", "3:22", None),
        ),
        ("X = column(a) -> log as l", ("T402", "a step of the data has no name", "3:29", None)),
        ("X = column(a).T", ("T402", "column(a) needs no .T: the rows of a table are the examples", "3:9", None)),
        ('X = (array("a") / 2).T', ("T402", ".T stands directly behind the array", "3:9", None)),
        (
            "X = resize(image / 255, 8)",
            (
                "T402",
                "resize takes the image as it is stored",
                "3:9",
                "write resize(image, …) first, and the arithmetic behind it",
            ),
        ),
        (
            "X = image -> standardize -> gray",
            (
                "T402",
                "gray takes the image as it is stored",
                "3:33",
                "write gray(image) first, and the arithmetic behind it",
            ),
        ),
        ("X = gray(rgb(image))", ("T402", "the colors change twice", "3:9", None)),
        ("X = image -> resize(8) -> resize(4)", ("T402", "the image is resized twice", "3:31", None)),
        ("X = resize(column(a), 8)", ("T402", "resize changes images, not column(a)", "3:9", None)),
        (
            "X = resize(image, 0)",
            ("T402", "height must be a whole number of pixels, from 1 to 16384, not 0", "3:23", None),
        ),
        (
            "X = resize(image, 8, fit = covr)",
            ("T402", "fit must be stretch or cover, not covr", "3:32", "did you mean cover?"),
        ),
        (
            "X = resize(image)",
            ("T402", "resize needs its argument height: a whole number of pixels, from 1 to 16384", "3:9", None),
        ),
        ("X = columns(a), columns(b)", ("T402", "X takes one value, not 2", "3:5", None)),
    ],
)
def test_messages(data, line, expected):
    assert only(data(SOURCE, line)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'source = wav("a")',
            ("U901", "wav files are not yet supported: csv, parquet, npz, images, idx and text are", "2:14", None),
        ),
        ('source = cvs("a.csv")', ("T401", "source knows no cvs", "2:14", "did you mean csv?")),
        (
            'source = "a.csv"',
            (
                "T402",
                "source must say what kind of file it is",
                "2:14",
                'write csv("a.csv"), parquet("a.csv"), npz("a.csv"), images("a.csv"), idx("a.csv") or text("a.csv")',
            ),
        ),
        ("source = csv(3)", ("T402", "path must be the path of a file or folder, in quotes, not 3", "2:18", None)),
        ('test = csv("a.csv")', ("T403", "data: has a test file but no train file", "2:5", None)),
        ("split = 0.5, 0.5", ("T403", "data: does not say where the data is", "1:1", 'write source = csv("data.csv")')),
    ],
)
def test_messages_about_sources(data, line, expected):
    assert only(data(line)) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            (SOURCE, 'test = csv("b.csv")'),
            ("T402", "source and test both name the data: give one source, or train, dev and test", "2:5", None),
        ),
        (
            ('train = csv("a.csv")', "split = 0.8, 0.2"),
            ("T402", "split divides one source, but the splits are separate files here", "3:5", None),
        ),
        (
            ('train = csv("a.csv")', 'test = npz("b.npz")'),
            ("T402", "the files of one data: block must be of one kind, not csv and npz", "3:5", None),
        ),
    ],
)
def test_settings_that_exclude_each_other(data, lines, expected):
    assert only(data(*lines)) == expected


def test_unknown_names_where_the_inputs_are_known(data):
    message = "spilt is neither a setting of data: nor an input or target of the model"
    result = data(SOURCE, "spilt = 0.8, 0.2", inputs=["X", "Y"])
    assert only(result) == ("T401", message, "3:5", "did you mean split?")


def test_early_stop_needs_its_split(data, train):
    settings, _ = data(SOURCE, "split = 0.8, 0.2")
    (found,) = disagreements(settings, train("early_stop = patience(5)")[0])
    assert (found.code, found.message) == ("T402", "early_stop watches dev.loss, but the data has no dev split")
    assert (found.span.line, found.related[0].message, found.related[0].span.line) == (
        2,
        "the splits are train, test",
        3,
    )
    assert not disagreements(settings, TrainSettings())
    assert not disagreements(settings, train("early_stop = patience(5, train.loss)")[0])
    assert not disagreements(data(SOURCE, "split = by_column(fold)")[0], train("early_stop = patience(5)")[0])
