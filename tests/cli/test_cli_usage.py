"""Names, flags, exit codes: what every verb has in common."""

from __future__ import annotations

from importlib import metadata

import pytest
from cli_shell import Shell

VERBS = [
    "check", "show", "derive", "compile", "gradcheck", "train", "evaluate", "predict", "ops", "explain", "doctor",
    "new", "search", "sample", "export", "runs", "report", "lsp",
]  # fmt: skip
FLAGS = [
    "--model", "--set", "--format", "--color", "--quiet", "--verbose", "--threads", "--dtype", "--seed", "--root",
    "--debug",
]  # fmt: skip


def test_version(dlc: Shell) -> None:
    assert dlc.process("--version").out == f"dlc {metadata.version('dlc')}\n"


def test_help_lists_every_verb_of_the_interface(dlc: Shell) -> None:
    text = dlc.process("--help").out
    assert [verb for verb in VERBS if f"  {verb} " not in text] == []


@pytest.mark.parametrize("verb", ["check", "train", "predict", "fmt"])
def test_every_verb_has_the_common_flags(dlc: Shell, verb: str) -> None:
    done = dlc(verb, "--help")
    assert done.code == 0
    assert [flag for flag in FLAGS if flag not in done.out] == []


def test_an_unknown_verb_is_wrong_usage(dlc: Shell) -> None:
    done = dlc.process("trian", "net.dl")
    assert done.code == 2
    assert "did you mean train?" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["train"],
        ["train", "net.dl", "--set", "units"],
        ["check", "net.dl", "--format", "xml"],
        ["check", "net.dl", "--seed", "-1"],
        ["check", "net.dl", "--nonsense"],
        ["predict", "run"],
        ["evaluate", "run", "--data", "a.csv", "--split", "dev"],
        ["explain", "D999999"],
        ["ops", "tanhh"],
    ],
)
def test_wrong_usage_is_exit_code_2(dlc: Shell, arguments: list[str]) -> None:
    done = dlc(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err


@pytest.mark.parametrize("verb", ["new", "search", "export", "runs", "report", "lsp"])
def test_what_is_not_built_says_so(dlc: Shell, verb: str) -> None:
    done = dlc(verb, "something", "--to", "onnx")
    assert done.code == 1
    assert f"error[U901]: `dlc {verb}` is not yet supported" in done.err


@pytest.mark.parametrize("verb", ["check", "show", "derive", "compile", "gradcheck", "train"])
def test_a_missing_file_is_exit_code_1(dlc: Shell, verb: str) -> None:
    done = dlc(verb, "nowhere.dl")
    assert done.code == 1
    assert "cannot read nowhere.dl" in done.out + done.err


@pytest.mark.parametrize("setting", ["batch=3", "units=3"])
def test_what_cannot_be_read_is_told_before_what_is_set(dlc: Shell, setting: str) -> None:
    """Whether there is such a setting cannot be known."""
    done = dlc("check", "nowhere.dl", "--set", setting)
    assert done.code == 1
    assert "error[N210]: cannot read nowhere.dl" in done.out
    dlc.write("net.dl", "model Net():\n    hyper units = = 3\n    input X : (2, m)\n    output X\n")
    done = dlc("check", "net.dl", "--set", setting)
    assert done.code == 1
    assert ("S008" in done.out, "T401" in done.out) == (True, False)


def test_mistakes_are_data_with_format_json(dlc: Shell) -> None:
    dlc.write("net.dl", "model Net:\n    input X : (2, m)\n    output Y = W @ X\n")
    for verb in ("check", "show", "train"):
        done = dlc.process(verb, "net.dl", "--format", "json")
        assert done.code == 1
        (found,) = done.json
        assert (found["code"], found["severity"], found["file"]) == ("N201", "error", "net.dl")
        assert (found["start"], found["end"]) == ({"line": 3, "column": 16}, {"line": 3, "column": 17})


def test_colours_only_where_asked_for(dlc: Shell) -> None:
    dlc.write("net.dl", "model Net:\n    input X : (2, m)\n    output Y = W @ X\n")
    assert "\x1b[" not in dlc("check", "net.dl").out
    assert "\x1b[1;31m" in dlc("check", "net.dl", "--color", "always").out


def test_ops_come_from_the_registry(dlc: Shell) -> None:
    listed = {row["name"]: row for row in dlc("ops", "--format", "json").json}
    from dlc.compiler.ops import OPS

    assert set(listed) == set(OPS)
    assert (listed["tanh"]["family"], listed["tanh"]["gradient"]) == ("elementwise", "yes")
    assert dlc("ops", "tanh").out.splitlines()[1].startswith("tanh")


def test_explain_tells_the_mistake_and_its_repair(dlc: Shell) -> None:
    text = dlc("explain", "d101").out
    assert text.startswith("D101: ")
    assert text.index("The mistake:") < text.index("The repair:")
    assert "R602" in dlc("explain").out


def test_doctor_names_versions_and_the_cache(dlc: Shell) -> None:
    done = dlc("doctor", "--format", "json")
    assert done.code == 0
    assert done.json["numba"] == metadata.version("numba")
    assert {"processor", "tile", "threads", "cache"} <= set(done.json)
