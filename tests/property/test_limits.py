"""Texts that would run for ever, or fill the memory, end soon with a message."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dlc.compiler.derivation import render_derivation
from dlc.compiler.driver import CheckResult, check
from dlc.grammar.canonical import formatted

LONGEST = 10.0
"""Seconds of processor time; on an idle machine each of these takes less than two."""


def limited(text: str) -> CheckResult:
    start = time.process_time()
    result = check(Path("net.dl"), text=text)
    assert time.process_time() - start < LONGEST
    return result


def model(body: str, above: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{above}model Net:\n    input X : (3, m)\n{lines}    output Y_hat = Z\n"


DOUBLED = "\n".join(["a0 = [1]", *(f"a{i} = a{i - 1} + a{i - 1}" for i in range(1, 40))]) + "\n"
TOO_LARGE = {
    "a long loop": model("for i in 1..10^9:\n    q[i] = i\nZ = X"),
    "a long loop backwards": model("for i in reverse(1..10^12):\n    q[i] = i\nZ = X"),
    "loops in loops": model("for i in 1..1000:\n    for j in 1..1000:\n        q[i, j] = i\nZ = X"),
    "a large tensor": "model Net:\n    input X : (10^30, m)\n    output X\n",
    "a large product": model("param W : (10^14, 3)\nparam V : (10^14, 10^14)\nZ = W @ X"),
    "brackets": model("Z = " + "(" * 1000 + "X" + ")" * 1000),
    "a long sum": model("Z = X" + " + X" * 3000),
    "a list that doubles": model("Z = X", DOUBLED),
    "a function that calls itself": model("Z = f(X)", "function f(z) = g(z)\nfunction g(z) = f(z)\n"),
    "a function that calls itself twice": model(
        "k = f(40)\nZ = X * k", "function f(n) = n if n < 2 else f(n-1) + f(n-2)\n"
    ),
    "layers that double": model(
        "Z = X -> A(30)",
        "layer A(n):\n    input X : (k, m)\n    if n > 0:\n        output X -> A(n-1) -> A(n-1)\n"
        "    else:\n        output X -> Dense(k)\n",
    ),
    "a tower of powers": model("k = 9^9^9\nZ = X * k"),
    "numbers that square": model("k[0] = 10^20\nfor i in 1..100:\n    k[i] = k[i-1] * k[i-1]\nZ = X * k[9]"),
    "fractions that square": model("k[0] = 1/3\nfor i in 1..60:\n    k[i] = k[i-1]^2 + 1/7\nZ = X * k[60]"),
    "sizes that square": model("k[0] = m\nfor i in 1..20:\n    k[i] = k[i-1] * (k[i-1] + 1)\nZ = X * k[20]"),
}


LAYER = "layer L():\n    input A : (m, a, b, c, d, e)\n{}    output A\n"
IMAGE = "layer L():\n    input A : (m, h, w, c)\n{}"


def lines(count: int, line: str) -> str:
    """The line for i = 0, 1, …, indented."""
    return "".join(f"    {line.replace('@', str(i))}\n" for i in range(count))


def many(count: int, item: str, joint: str = ", ") -> str:
    return joint.join(item.replace("@", str(i)) for i in range(count))


QUICK = {
    "a list of a million": model(f"k = [{'1, ' * 10**6}]\nZ = X"),
    "a list of ten thousand": model(f"k = [{many(10**4, '1')}]\nZ = X * k[7]"),
    "a range of 10^40": model("for i in 1..10^40:\n    q[i] = X\nZ = X"),
    "a domain of 10^40": model("hyper k = 1 in 1..10^40\nZ = X * k"),
    "a domain of ten thousand": model(f"hyper k = 1 in {{{many(10**4, '@')}}}\nZ = X -> Dense(k + 1)"),
    "a domain that is no number": model("hyper k = 1 in uniform(0, m)\nZ = X * k"),
    "scans in scans": model(
        "".join("    " * i + f"a{i}<0> : (3, m) = 0\n" + "    " * i + f"scan t{i} in 1..3:\n" for i in range(12))
        + "    " * 12
        + "a11<t11> = a11<t11-1> + X\n"
        + "".join("    " * (i + 1) + f"a{i}<t{i}> = a{i}<t{i}-1> + a{i + 1}<3>\n" for i in range(10, -1, -1))
        + "Z = a0<3>"
    ),
    "loops in loops in loops": model(
        "".join("    " * i + f"for i{i} in 1..2:\n" for i in range(30)) + " " * 120 + "q = X\nZ = X"
    ),
    "a hundred axes": model(
        f"Z = X\nq = rearrange(A, ({many(99, 'a@')}, m) -> (m, {many(99, 'a@')}))\ninput B : (3, m)",
        f"function f(A : ({many(99, 'a@')}, m)) = A\n",
    ),
    "a hundred factors": model(f"Z = rearrange(X, ({many(100, 'a@', ' * ')}, m) -> ({many(100, 'a@')}, m))"),
    "two thousand factors": model(f"Z = einsum({many(2000, 'X')}, {many(2000, '(i, m)')} -> (i, m))"),
    "three thousand parts": model(f"Z = X\n{many(3000, 'q@')} = split(k, ({many(3000, '1')}), over = first)\n"),
    "ten thousand to join": model(f"Z = sum(concat({many(10**4, 'X')}, over = first), over = first)"),
    "a layer in itself": model("Z = X -> L()", "layer L():\n    input X : (k, m)\n    output X -> L()\n"),
    "a layer in itself a million times": model(
        "Z = X -> L(10^6)",
        "layer L(n):\n    input X : (k, m)\n    if n > 0:\n        output X -> L(n - 1)\n    else:\n        output X\n",
    ),
    **{
        f"A -> {layer}": model(f"q = A -> {layer}\nZ = X").replace("input X", "input A : (m, 8, 8, 3)\n    input X")
        for layer in (
            "MaxPool(10^12)",
            "MaxPool(2, stride = 10^40)",
            "MaxPool(2, pad = 10^25)",
            "Conv(3, 4, pad = 10^9)",
            "Conv(3, 4, stride = 10^30)",
            "Conv(10^9, 4)",
            "Conv(3, 4, groups = 10^9)",
            "ConvTranspose(3, 4, stride = 10^9)",
        )
    },
    "a long polynomial": model("Z = X", LAYER.format("    param W : ((a + b + c)^30, (a + b + c + d + e)^9)\n")),
    "sizes in sizes": model(
        "Z = X",
        LAYER.format(
            "    k[0] = a\n    for i in 1..100:\n        k[i] = max(min(k[i-1] + b, 2 * k[i-1]), b * i)\n"
            "    require k[100] > a\n"
        ),
    ),
    "many pools": model(
        "Z = X",
        IMAGE.format(
            "    B[0] = A\n    for i in 1..30:\n        B[i] = B[i-1] -> MaxPool(3, stride = 2)\n    output B[30]\n"
        ),
    ),
    "many inequalities": model(
        "Z = X", LAYER.format(lines(120, "require a * (@ + 2) + b * (@ * 7 % 13) > c * (@ % 11) - d + e"))
    ),
    "many remainders": model("Z = X", LAYER.format(lines(80, "require (a + @) % (@ + 2) == (b + c) % (@ % 7 + 2)"))),
    "many alternatives": model("Z = X", LAYER.format(f"    require {many(100, '(a > @ or b > @ + 1)', ' and ')}\n")),
    "a thousand brackets": model("Z = " + "relu(" * 1000 + "X" + ")" * 1000),
    "many words too many": model("Z = X" + " + X" * 10**5),
    "brackets alone": "(" * 10**5 + "[" * 10**5,
    "marks alone": '"' * 10**5 + "a<" * 10**4 + "." * 10**5,
}  # fmt: skip
"""Texts of every kind that have to end soon; some are right, and then they run to an end."""


@pytest.mark.parametrize("text", QUICK.values(), ids=QUICK)
def test_ends_soon(text: str) -> None:
    result = limited(text)
    assert result.checked is not None or [d for d in result.diagnostics if d.severity == "error"]


LONG = {
    "layers": model(
        "H[0] = X\n" + "".join(f"H[{i}] = H[{i - 1}] -> Dense(3)\n" for i in range(1, 2000)) + "Z = H[1999]"
    ),
    "definitions": "".join(f"function f{i}(z) = z + {i}\n" for i in range(9990)) + model("Z = f9(X)"),
}  # fmt: skip


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_files_end(text: str) -> None:
    """10,000 lines take less than 8 seconds on an idle machine."""
    start = time.process_time()
    check(Path("net.dl"), text=text)
    assert time.process_time() - start < 2 * 8.0


@pytest.mark.parametrize("text", TOO_LARGE.values(), ids=TOO_LARGE)
def test_too_large(text: str) -> None:
    assert {d.code for d in limited(text).diagnostics} <= {"D118", "S023"}
    assert len(limited(text).diagnostics) == 1 or "S023" in {d.code for d in limited(text).diagnostics}


def test_one_mistake_in_many_rounds_is_told_once() -> None:
    result = limited(model("for i in 1..20000:\n    q = undefined\nZ = X"))
    assert [d.code for d in result.diagnostics] == ["N201"]


def test_many_mistakes_among_many_names() -> None:
    body = "".join(f"qqq{i} = {i}\n" for i in range(2000)) + "".join(f"r{i} = qqr{i}\n" for i in range(300))
    assert len(limited(model(body + "Z = X")).diagnostics) == 300


def test_a_long_file_is_no_mistake() -> None:
    result = limited(model("".join(f"q[{i}] = X * {i}\n" for i in range(3000)) + "Z = q[2999]"))
    assert result.checked is not None


@pytest.mark.parametrize("where", ["function", "model"])
def test_a_derivation_of_shared_values_stays_short(where: str) -> None:
    """`h[i] = tanh(h[i-1]) * h[i-1]` written out has 2^60 terms."""
    loop = "h[0] = z\nfor i in 1..60:\n    h[i] = tanh(h[i-1]) * h[i-1]\n"
    inside = "".join(f"    {line}\n" for line in loop.splitlines())
    above = f"function f(z):\n{inside}    output h[60]\n" if where == "function" else ""
    body = "Z = f(W @ X)" if above else f"z = W @ X\n{loop}Z = h[60]"
    text = model(f"param W : (3, 3) ~ he\n{body}\ntarget Y : (3, m)\nloss squared_error(Z, Y)", above)
    checked = limited(text).checked
    assert checked is not None
    start = time.process_time()
    assert len(render_derivation(checked)) < 200_000
    assert time.process_time() - start < LONGEST


LONG = {
    "sound": ([f"q[{i}] = X * {i}" for i in range(10_000)], 0),
    "names that nobody knows": ([f"q{i} = r{i} + 1" for i in range(10_000)], 10_000),
    "one line that cannot be read": (["p = 3 3", *(f"q{i} = p + {i}" for i in range(10_000))], 1),
    "lines that cannot be read": ([f"q{i} = X *" for i in range(10_000)], 101),
    "brackets that are never closed": (["Z = f(X"] * 10_000, 101),
}


@pytest.mark.parametrize("name", LONG)
def test_ten_thousand_lines(name: str) -> None:
    lines, errors = LONG[name]
    text = "model Net:\n    input X : (3, m)\n" + "".join(f"    {line}\n" for line in lines) + "    output X\n"
    assert len([d for d in limited(text).diagnostics if d.severity == "error"]) == errors


def test_the_layout_of_ten_thousand_lines() -> None:
    text = "model Net:\n" + "".join(f"    q[{i}] = X*{i} # c\n" for i in range(10_000))
    start = time.process_time()
    assert formatted(text, "net.dl")[0].count("\n") == 10_001
    assert time.process_time() - start < LONGEST
