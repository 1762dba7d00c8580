"""The `train:` block: values, defaults, overrides, and every message."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dlc.compiler.settings import Clip, EarlyStop, TrainSettings
from dlc.grammar import ast
from dlc.grammar.format import unparse


def only(result):
    """The message, the line:column and the help of the only finding."""
    (diagnostic,) = result[1]
    assert diagnostic.severity == "error"
    return diagnostic.code, diagnostic.message, f"{diagnostic.span.line}:{diagnostic.span.column}", diagnostic.help


def test_every_setting_arrives(train):
    settings, found = train(
        "optimizer = Momentum(lr = 0.1)",
        "batch = 16",
        "epochs = 3",
        "regularize = l2(0.01), l1(1e-5)",
        "clip = norm(5)",
        "early_stop = patience(4, on = dev.accuracy, best = max)",
        "shuffle = off",
        "seed = 7",
    )
    assert not found
    assert unparse(settings.optimizer) == "Momentum(lr = 0.1)"
    assert [unparse(term) for term in settings.regularize] == ["l2(0.01)", "l1(1e-5)"]
    assert (settings.batch, settings.epochs, settings.steps, settings.seed) == (16, 3, None, 7)
    assert settings.clip == Clip("norm", 5)
    assert settings.early_stop == EarlyStop(4, "dev.accuracy", "max")
    assert settings.shuffle is False
    assert (settings.places["clip"].line, settings.places["clip"].column) == (6, 5)


def test_defaults_are_adam_64_10_1():
    settings = TrainSettings()
    assert unparse(settings.optimizer) == "Adam()"
    assert (settings.batch, settings.epochs, settings.steps, settings.seed) == (64, 10, None, 1)
    assert (settings.regularize, settings.clip, settings.early_stop, settings.shuffle) == ((), None, None, True)


def test_a_spec_without_blocks_does_not_import_pydantic():
    program = (
        "import sys; from dlc.compiler.settings import read_data, read_train\n"
        "assert read_train(None, None)[1] == [] and read_data(None, None) == (None, [])\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_values_may_be_compile_time_expressions(train):
    settings, found = train("batch = 2 * size", "clip = value(1 / 2)")
    assert not found
    assert settings.batch == 64
    assert settings.clip == Clip("value", 0.5)


def test_batch_all(train):
    assert train("batch = all")[0].batch == "all"


def test_steps_in_place_of_epochs(train):
    settings, found = train("steps = 1000")
    assert (settings.steps, settings.epochs, found) == (1000, None, [])


def test_overrides_win_and_carry_their_own_place(train):
    settings, found = train("batch = 16", overrides={"batch": "size", "clip": "value(1)"})
    assert not found
    assert settings.batch == 32
    assert settings.clip == Clip("value", 1)
    assert settings.places["batch"].file == "--set batch=size"


def test_an_override_of_steps_replaces_the_epochs_of_the_block(train):
    settings, found = train("epochs = 5", overrides={"steps": "20"})
    assert (settings.steps, settings.epochs, found) == (20, None, [])


def test_an_override_without_a_block(train):
    assert train(overrides={"seed": "3"})[0].seed == 3


@pytest.mark.parametrize("text", ["", "3 +", "32\nmodel Evil:\n    output 1", "1\n seed = 2"])
def test_an_override_that_is_not_one_value(train, text):
    settings, found = train(overrides={"batch": text})
    assert [d.code for d in found] == ["T402"]
    assert found[0].message.startswith("the value of batch on the command line cannot be read: ")
    assert settings == TrainSettings()


def test_five_mistakes_give_five_messages(train):
    _, found = train("batchs = 3", "epochs = 0", "seed = 1.5", "clip = norm(0)", "early_stop = patience(0)")
    assert [d.code for d in found] == ["T401", "T402", "T402", "T402", "T402"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("batchs = 3", ("T401", "train: has no setting batchs", "2:5", "did you mean batch?")),
        (
            "colour = 3",
            (
                "T401",
                "train: has no setting colour",
                "2:5",
                "its settings are: optimizer, batch, epochs, steps, regularize, clip, early_stop, shuffle, seed",
            ),
        ),
        ("clip = nrom(5)", ("T401", "clip knows no nrom", "2:12", "did you mean norm?")),
        (
            "early_stop = patience(5, onn = dev.loss)",
            ("T401", "patience has no argument onn", "2:30", "did you mean on?"),
        ),
        ("epochs = 0", ("T402", "epochs must be a whole number, at least 1, not 0", "2:14", None)),
        ("epochs = -size", ("T402", "epochs must be a whole number, at least 1, not -size = -32", "2:14", None)),
        ("steps = 1.5", ("T402", "steps must be a whole number, at least 1, not 1.5", "2:13", None)),
        (
            "batch = 1/2 * size - 16",
            (
                "T402",
                "batch must be a whole number of examples, at least 1, or all, not 1 / 2 * size - 16 = 0",
                "2:13",
                None,
            ),
        ),
        (
            "batch = al",
            (
                "T402",
                "batch must be a whole number of examples, at least 1, or all, not al",
                "2:13",
                "did you mean all?",
            ),
        ),
        ("batch = other", ("N101", "not known", "2:13", None)),
        ('epochs = "3"', ("T402", 'epochs must be a whole number, at least 1, not "3"', "2:14", None)),
        ("seed = -1", ("T402", "seed must be a whole number, from 0 to 2^63 - 1, not -1", "2:12", None)),
        ("epochs = 3, 4", ("T402", "epochs takes one value, not 2", "2:5", None)),
        ("clip = 5", ("T402", "clip is one of norm, value, not 5", "2:12", None)),
        ("clip = norm()", ("T402", "norm needs its argument limit: a positive number", "2:12", None)),
        ("clip = norm(0)", ("T402", "limit must be a positive number, not 0", "2:17", None)),
        ("clip = norm(1, 2)", ("T402", "norm takes at most 1 argument", "2:20", None)),
        ("clip = norm(1, limit = 2)", ("T402", "norm has its argument limit twice", "2:20", None)),
        (
            "early_stop = patience(5, best = least)",
            ("N101", "not known", "2:37", None),
        ),
        (
            "early_stop = patience(5, best = mn)",
            ("T402", "best must be min or max, not mn", "2:37", "did you mean min?"),
        ),
        (
            "early_stop = patience(5, on = 3)",
            ("T402", "on must be dev.loss, dev.accuracy or the like, not 3", "2:35", None),
        ),
        (
            "early_stop = patience(5, on = test.loss)",
            ("T402", "on must be dev.loss, dev.accuracy or the like, not test.loss", "2:35", None),
        ),
        (
            "early_stop = patience(5, on = dev.wer)",
            (
                "T402",
                "whether the best wer is the least or the greatest must be said",
                "2:18",
                "add best = min or best = max",
            ),
        ),
    ],
)
def test_messages(train, line, expected):
    assert only(train(line)) == expected


@pytest.mark.parametrize(
    ("measure", "best"), [("loss", "min"), ("cost", "min"), ("perplexity", "min"), ("accuracy", "max"), ("F1", "max")]
)
def test_the_metric_says_what_is_best(train, measure, best):
    assert train(f"early_stop = patience(5, on = dev.{measure})")[0].early_stop.best == best


def test_an_explicit_best_wins_over_the_metric(train):
    assert train("early_stop = patience(5, dev.accuracy, min)")[0].early_stop.best == "min"


def test_early_stop_on_a_metric_that_the_model_lacks(train):
    result = train("early_stop = patience(5, on = dev.acuracy)", metrics=["accuracy", "F1"])
    message = "early_stop watches dev.acuracy, but the model has no metric acuracy"
    assert only(result) == ("T401", message, "2:39", "did you mean accuracy?")
    (edit,) = result[1][0].fix
    assert (edit.span.column, edit.span.end_column, edit.text) == (39, 46, "accuracy")


def test_epochs_and_steps_together(train):
    result = train("epochs = 3", "steps = 5")
    assert only(result) == ("T402", "epochs and steps both say how long to train: give one of them", "3:5", None)
    assert result[1][0].related[0].span.line == 2


def test_a_key_that_stands_twice(train):
    result = train("batch = 3", "seed = 2", "batch = 5")
    assert only(result) == ("T402", "batch is set twice", "4:5", None)
    assert result[1][0].related[0].span.line == 2


def test_the_default_optimizer_is_a_call(train):
    assert isinstance(train("seed = 2")[0].optimizer, ast.Call)
