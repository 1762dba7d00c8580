"""`dlc fmt` as a user types it."""

from __future__ import annotations

import os
import subprocess

from cli_shell import Shell

UGLY = "model Net:\n  input X:(4,m) # data\n  output Y=X*2"
NEAT = "model Net:\n    input X : (4, m)  # data\n    output Y = X * 2\n"


def test_files_are_laid_out_and_keep_their_mode(dlc: Shell) -> None:
    path = dlc.write("net.dl", UGLY)
    path.chmod(0o640)
    done = dlc("fmt", "net.dl")
    assert (done.code, done.out, path.read_text()) == (0, "net.dl formatted\n", NEAT)
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(dlc.folder) == ["net.dl"]
    again = dlc("fmt", "net.dl")
    assert (again.code, again.out) == (0, "")


def test_check_names_what_would_change_and_changes_nothing(dlc: Shell) -> None:
    (dlc.folder / "nets").mkdir()
    path, _ = dlc.write("nets/ugly.dl", UGLY), dlc.write("nets/neat.dl", NEAT)
    done = dlc("fmt", "--check", "nets")
    assert (done.code, done.out, path.read_text()) == (1, "nets/ugly.dl would change\n", UGLY)
    assert dlc("fmt", "--check", "nets/neat.dl").code == 0
    assert dlc("fmt", "--check", "nets", "--format", "json").json == {"changed": ["nets/ugly.dl"], "diagnostics": []}


def test_diff_shows_what_would_change(dlc: Shell) -> None:
    path = dlc.write("net.dl", UGLY)
    done = dlc("fmt", "--diff", "net.dl")
    assert done.code == 0
    assert "-  input X:(4,m) # data\n" in done.out
    assert "+    input X : (4, m)  # data\n" in done.out
    assert path.read_text() == UGLY


def test_a_file_with_a_syntax_error_is_left_alone(dlc: Shell) -> None:
    path, other = dlc.write("bad.dl", "model Net:\n  x=(1\n"), dlc.write("net.dl", UGLY)
    done = dlc("fmt", "bad.dl", "net.dl")
    assert done.code == 1
    assert "error[S003]" in done.err
    assert path.read_text() == "model Net:\n  x=(1\n"
    assert other.read_text() == NEAT


def test_a_file_that_cannot_be_read(dlc: Shell) -> None:
    (dlc.folder / "latin.dl").write_bytes(b"# caf\xe9\n")
    done = dlc("fmt", "latin.dl", "nowhere.dl")
    assert done.code == 1
    assert "latin.dl is not UTF-8 text (byte 5)" in done.err
    assert "cannot read nowhere.dl: no such file" in done.err


def test_stdin_goes_to_stdout(dlc: Shell) -> None:
    command, environment = dlc.command(["fmt", "-"]), dlc.environment()
    done = subprocess.run(command, input=UGLY.encode(), capture_output=True, env=environment, check=True)
    assert done.stdout.decode() == NEAT


def test_a_link_stays_a_link(dlc: Shell) -> None:
    path = dlc.write("net.dl", UGLY)
    (dlc.folder / "link.dl").symlink_to(path)
    assert dlc("fmt", "link.dl").code == 0
    assert (dlc.folder / "link.dl").is_symlink()
    assert path.read_text() == NEAT
