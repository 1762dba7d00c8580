"""The canonical layout: what it looks like, that it is reached in one step, and that it changes nothing but white space."""

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

LAYOUTS = {
    "spaces": (
        "x=-3*( a+b )^-2+W [l-1]@y[i+1 , 2*i]. T\nk=1/2*x+a*1/2\nj=1..n-1\nf=g ( 1,b=2 )\nt=a< t - 1 >\nu=not a<b or c\n".replace(
            "a<b", "a < b"
        ),
        "x = -3 * (a + b)^-2 + W[l-1] @ y[i+1, 2 * i].T\n"
        "k = 1/2 * x + a * 1 / 2\n"
        "j = 1..n - 1\n"
        "f = g(1, b = 2)\n"
        "t = a<t-1>\n"
        "u = not a < b or c\n",
    ),
    "columns": (
        "model M:\n    input X : (3, m)\n    target Y : (1, m)\n    param W : (n, k) ~ he\n    param bias : (n, 1) ~ zeros\n"
        "    param c : (1)\n    a = 1\n    long = 2\n    loss a\n    metric F1(Y, Y)\n    hyper lr = 1e-3 in log(1, 2)\n"
        "    hyper units = 64 in {1, 2}\n",
        "model M:\n    input  X : (3, m)\n    target Y : (1, m)\n    param W    : (n, k) ~ he\n"
        "    param bias : (n, 1) ~ zeros\n    param c    : (1)\n    a    = 1\n    long = 2\n    loss   a\n"
        "    metric F1(Y, Y)\n    hyper lr    = 1e-3 in log(1, 2)\n    hyper units = 64   in {1, 2}\n",
    ),
    "what ends a table": (
        "a = 1\nlong = 2\n\nb = 1\n# a comment\nlonger = 2\nc : (n) = 1\nd = 2\nx_of_nineteen_chars = 2\n",
        "a    = 1\nlong = 2\n\nb = 1\n# a comment\nlonger = 2\nc : (n) = 1\nd = 2\nx_of_nineteen_chars = 2\n",
    ),
    "one-line definitions": (
        "function f(z) = z\nschedule s(lr, rate) = lr\ninitializer he = 1\nmodel M:\n    x = 1\ndata:\n    a = 1\n",
        "function    f(z)        = z\nschedule    s(lr, rate) = lr\ninitializer he          = 1\n\n"
        "model M:\n    x = 1\n\ndata:\n    a = 1\n",
    ),
    "empty lines": (
        "\n\nx = 1\n\n\n\ny = 2\nmodel M:\n\n    a = 1\n\n\n    if a == 1:\n\n        b = 2\n\n    else:\n        b = 3\n\n\n",
        "x = 1\n\ny = 2\n\nmodel M:\n    a = 1\n\n    if a == 1:\n        b = 2\n    else:\n        b = 3\n",
    ),
    "comments": (
        "# the file\n# goes on\nmodel M:  # a model\n\n  # first\n  x = 1  # one\n  yy = 2# two\n  if x == 1:\n     z = 1\n"
        "     # in the branch\n  # before else\n  else:\n     z = 2\n     # deep end\n  # end of the model\n# end\n",
        "# the file\n# goes on\nmodel M:  # a model\n    # first\n    x  = 1  # one\n    yy = 2  # two\n    if x == 1:\n"
        "        z = 1\n        # in the branch\n    # before else\n    else:\n        z = 2\n        # deep end\n"
        "    # end of the model\n\n# end\n",
    ),
    "comments inside brackets": (
        "x = f(a, # one\n  b # two\n  , # three\n  # four\n  c # five\n  # six\n) # seven\ny = g( # nothing\n)\n",
        "x = f(\n    a,  # one\n    b,  # two\n    # three\n    # four\n    c  # five\n    # six\n)  # seven\n"
        "y = g(  # nothing\n)\n",
    ),
    "comments in a chain": (
        "model M:\n    Y = X # in\n     # next\n     -> f # out\n     + 1\n",
        "model M:\n    Y = X  # in\n        # next\n        -> f + 1  # out\n".replace("f + 1  # out", "f  # out\n        + 1"),
    ),
    "a chain that the author broke": (
        "model M:\n    Y = X -> Dense(3)\n      -> Dense(4) as fc\n",
        "model M:\n    Y = X\n        -> Dense(3)\n        -> Dense(4) as fc\n",
    ),
    "brackets that the author broke": (
        "k = [\n  [1, 2],\n  [3, 4],]\nj = [1,\n  2]\nmodel M(a = 1,\n  b = 2):\n    x = 1\n",
        "k = [\n    [1, 2],\n    [3, 4]\n]\nj = [1, 2]\n\nmodel M(a = 1, b = 2):\n    x = 1\n",
    ),
    "a tuple of one": ("u = (1,)\nv = f(1,)\nw = [1,]\n", "u = (1,)\nv = f(1)\nw = [1]\n"),
    "a long chain": (
        f"model M:\n    Y = X -> {' -> '.join(['Dense(units, relu)'] * 6)}\n",
        "model M:\n    Y = X\n" + "        -> Dense(units, relu)\n" * 6,
    ),
    "a long sum": (
        f"x = {' + '.join(['term_number'] * 12)}\n",
        f"x = {' + '.join(['term_number'] * 8)}\n    + {' + '.join(['term_number'] * 4)}\n",
    ),
    "a long call": (
        f"x = call(argument = {'+'.join(['a_long_name'] * 5)}, other = {'*'.join(['b_long_name'] * 4)})\n",
        f"x = call(\n    argument = {' + '.join(['a_long_name'] * 5)},\n    other = {' * '.join(['b_long_name'] * 4)}\n)\n",
    ),
    "a long header": (
        f"layer L({', '.join(f'argument_{i} = {i}' for i in range(10))}):\n    x = 1\n",
        "layer L(\n" + ",\n".join(f"    argument_{i} = {i}" for i in range(10)) + "\n):\n    x = 1\n",
    ),
    "words that are names": (
        "loss=4\nmodel M:\n    output[1] = 3\n    output [1, 2]\n    state = 3\n",
        "loss = 4\n\nmodel M:\n    output[1] = 3\n    output [1, 2]\n    state = 3\n",
    ),
    "line ends and a byte order mark": ("\ufeffx=1\r\ny=2  \r\n# c \r\n", "x = 1\ny = 2\n# c\n"),
    "nothing": ("\n  \n", ""),
    "only a comment": ("   # c", "# c\n"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), LAYOUTS.values(), ids=LAYOUTS)
def test_layout(text: str, expected: str) -> None:
    assert laid_out(text) == expected


@pytest.mark.parametrize("name", SOUND)
def test_sound_files(name: str) -> None:
    laid_out(SOUND[name])


@pytest.mark.parametrize("name", SOUND)
def test_any_white_space_gives_the_same_tree_and_the_same_comments(name: str) -> None:
    rng = random.Random(name)
    for _ in range(5):
        laid_out(messed_up(SOUND[name], rng))


@pytest.mark.parametrize("name", specs())
def test_changed_specs(name: str) -> None:
    rng = random.Random(f"layout of {name}")
    text = specs()[name]
    for _ in range(10):
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
