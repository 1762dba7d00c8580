"""The canonical layout: what it looks like, and that it changes nothing but white space."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from language_page import EXAMPLES

from dlc.grammar.canonical import LayoutError, formatted, same
from dlc.grammar.lines import CLOSES, CONTINUES
from dlc.grammar.parse import comments, parse, read

sys.path.insert(0, str(Path(__file__).parents[1] / "property"))
from mutations import SMALL, mutated, specs

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.rglob("*.dl")) if "src" not in path.parts
}
SOUND = {name: text for name, text in (EXAMPLES | FILES | SMALL).items() if not parse(text, name)[1]}

LAYOUTS = Path(__file__).parent / "layouts"


@pytest.mark.parametrize("path", sorted(LAYOUTS.glob("*.dl")), ids=lambda path: path.stem)
def test_layout(path: Path, update_golden: bool) -> None:
    result = laid_out(path.read_text())
    golden = path.with_suffix(".txt")
    if update_golden:
        golden.write_text(result)
    assert result == golden.read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffx=1\r\ny=2  \r\n# c \r\n", "x = 1\ny = 2\n# c\n"),
        ("\n  \n", ""),
        ("   # c", "# c\n"),
    ],
    ids=["line ends and a byte order mark", "nothing", "only a comment"],
)
def test_layout_of_small_texts(text: str, expected: str) -> None:
    assert laid_out(text) == expected


@pytest.mark.parametrize("name", SOUND)
def test_sound_files(name: str) -> None:
    laid_out(SOUND[name])


@pytest.mark.parametrize("name", SOUND)
def test_any_white_space_gives_the_same_tree_and_the_same_comments(name: str) -> None:
    rng = random.Random(name)
    for _ in range(2):
        laid_out(messed_up(SOUND[name], rng))


@pytest.mark.parametrize("name", specs())
def test_changed_specs(name: str) -> None:
    rng = random.Random(f"layout of {name}")
    text = specs()[name]
    for _ in range(3):
        changed = mutated(text, rng)
        if parse(changed, name)[1]:
            assert formatted(changed, name)[0] == changed
        else:
            laid_out(changed)


def test_a_file_with_mistakes_stays_as_it_is() -> None:
    text = "model M:\n  x=(1\n  y=2\n"
    assert formatted(text, "a.dl")[0] == text
    assert [problem.code for problem in formatted(text, "a.dl")[1]] == ["S003"]


def test_a_layout_that_would_change_the_meaning_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlc.grammar.canonical._lines", lambda entries: iter(["x = 2"]))
    with pytest.raises(LayoutError):
        formatted("x = 1\n", "a.dl")


def test_the_specs_of_this_repository_are_laid_out() -> None:
    changed = [
        name for name, text in FILES.items() if name.startswith(("specs", "examples")) and laid_out(text) != text
    ]
    assert changed == []


def laid_out(text: str) -> str:
    """The canonical layout; checks all that must hold for any text without mistakes."""
    result, problems = formatted(text, "test.dl")
    assert problems == []
    again, _ = formatted(result, "test.dl")
    assert again == result
    assert same(parse(text, "test.dl")[0].items, parse(result, "test.dl")[0].items)
    assert [comment.rstrip() for *_, comment in comments(text)] == [comment for *_, comment in comments(result)]
    lines = result.split("\n")
    assert all(line == line.rstrip() and "\t" not in line for line in lines)
    assert not result or (result.endswith("\n") and not result.endswith("\n\n") and result[0] != "\n")
    return result


def messed_up(text: str, rng: random.Random) -> str:
    """The same statements with other white space, other line breaks and more comments."""
    out: list[str] = []
    for row in read(text, "test.dl").rows:
        depth = 0
        out.append(" " * row.indent)
        for i, token in enumerate(row.tokens):
            before = row.tokens[i - 1] if i else None
            inside = depth > 0 or token.type in CONTINUES
            if before is not None and token.type != "TIME":
                touching = before.touches(token)
                space = "" if touching else " " * rng.randint(1, 3)
                if inside and rng.random() < 0.1:
                    comment = rng.choice(["", "  # why", "# x\n\n   # y"])
                    space = f"{comment}\n{' ' * (row.indent + rng.randint(1, 9))}"
                out.append(space)
            depth += (token.type in CLOSES) - (token.type in CLOSES.values())
            out.append(token.text)
        out.append(rng.choice(["", "", "  # behind", "#behind"]) + "\n" * rng.randint(1, 3))
        if rng.random() < 0.1:
            out.append(f"{' ' * rng.choice([0, row.indent])}# between\n")
    return "".join(out)
