"""Scans, time indices and run-time dimensions: what they mean, and what is said where they are misused."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlc.compiler.driver import CheckResult, check
from dlc.compiler.program import CheckedModel

HEAD = """model Net:
    dim T
    input x : (3, m, T)
"""


def run(body: str) -> CheckResult:
    return check(Path("net.dl"), text=HEAD + body)


def proved(body: str) -> CheckedModel:
    result = run(body)
    assert result.checked is not None, [d.message for d in result.diagnostics]
    return result.checked


WRONG: dict[str, tuple[str, str, str]] = {
    "no first value": (
        """
    scan t in 1..T:
        a<t> = a<t-1> + x<t>
    output a
""",
        "N217",
        "at the first step a<t-1> is a<0>, and no line says what that is",
    ),
    "no first value of an input": (
        """
    scan t in 1..T:
        a<t> = x<t-1>
    output a
""",
        "N217",
        "at the first step x<t-1> is x<0>, and no line says what that is",
    ),
    "never defined": (
        """
    a<0> : (3, m) = 0
    scan t in 1..T:
        b<t> = a<t-1> + x<t>
    output b
""",
        "N217",
        "a<t-1> is read, and no line of this scan says what a<t> is",
    ),
    "a member never defined": (
        """
    a[1]<0> : (3, m) = 0
    scan t in 1..T:
        a[2]<t> = a[1]<t-1> + x<t>
    output b = a[2]
""",
        "N217",
        "a[1]<t-1> is read, and no line of this scan says what a[1]<t> is",
    ),
    "defined twice": (
        """
    scan t in 1..T:
        a<t> = x<t>
        a<t> = x<t>
    output a
""",
        "N202",
        "a<t> is defined twice",
    ),
    "begun twice": (
        """
    a<0> : (3, m) = 0
    a<0> : (3, m) = 1
    output x
""",
        "N202",
        "a<0> is defined twice",
    ),
    "a name that is taken": (
        """
    a = x
    scan t in 1..T:
        a<t> = x<t>
    output a
""",
        "N202",
        "a is defined already, so a<t> cannot be",
    ),
    "read above its line": (
        """
    scan t in 1..T:
        b<t> = a<t> + x<t>
        a<t> = x<t>
    output b
""",
        "N217",
        "a<t> is read before its line",
    ),
    "the shape changes": (
        """
    a<0> : (4, m) = 0
    scan t in 1..T:
        b<t> = a<t-1>
        a<t> = tanh(x<t>)
    output b
""",
        "D106",
        "a<t> is (3, m), and a<0> is (4, m): every step of a sequence has the same shape",
    ),
    "the first value of an input has another shape": (
        """
    x<0> : (4, m) = 0
    scan t in 1..T:
        a<t> = x<t-1>
    output a
""",
        "D106",
        "x<0> is (4, m), and a step of x is (3, m)",
    ),
    "no axis of steps": (
        """
    input z : (3, m)
    scan t in 1..T:
        a<t> = z<t> + x<t>
    output a
""",
        "D110",
        "z is (3, m): no axis is called T, so it has no steps to take one of",
    ),
    "two axes of steps": (
        """
    input z : (k = T, q = T, m)
    scan t in 1..T:
        a<t> = z<t>
    output a
""",
        "D110",
        "z<t> could be a slice along the first axis (k) or the second axis (q) of (T, T, m)",
    ),
    "it does not begin with 1": (
        """
    scan t in 0..T:
        a<t> = x<t>
    output a
""",
        "N216",
        "a scan begins with step 1, and this begins with 0",
    ),
    "no range": (
        """
    scan t in [1, 2]:
        a<t> = x<t>
    output a
""",
        "N216",
        "a scan needs a range",
    ),
    "the end is a tensor": (
        """
    scan t in 1..x:
        a<t> = x<t>
    output a
""",
        "N216",
        "a scan ends with a dimension, and this is a tensor of shape (3, m, T)",
    ),
    "outside": (
        """
    output last = x<t>
""",
        "N216",
        "x<t> stands outside a scan over t",
    ),
    "on the left outside": (
        """
    a<t> = x
    output x
""",
        "N216",
        "a<t> cannot stand on the left side here",
    ),
    "the last step on the left": (
        """
    a<T> = x<T>
    output x
""",
        "N216",
        "a<T> cannot stand on the left side here",
    ),
    "no sequence": (
        """
    n = 3
    scan t in 1..T:
        a<t> = x<t> * n<t>
    output a
""",
        "N216",
        "n is the number 3: it has no steps",
    ),
    "a step to come": (
        """
    scan t in 1..T:
        a<t> = x<t+1>
    output a
""",
        "N217",
        "x<t+1> is a step to come",
    ),
    "a parameter in a step": (
        """
    scan t in 1..T:
        param W : (3, 3) ~ he
        a<t> = W @ x<t>
    output a
""",
        "N216",
        "a `param` does not stand in a step of a scan",
    ),
    "a loss in a step": (
        """
    scan t in 1..T:
        a<t> = x<t>
        loss sum(a<t>, over = first)
    output a
""",
        "N216",
        "`loss` does not stand in a step of a scan",
    ),
    "a state that changes in a step": (
        """
    state s : (3, 1) ~ zeros
    scan t in 1..T:
        a<t> = x<t> + s
        when training:
            s := mean(a<t>, over = m)
    output a
""",
        "N216",
        "a state changes once in a training step, and this is a step of a scan",
    ),
    "no results": (
        """
    scan t in 1..T:
        z = x<t>
    output x
""",
        "N216",
        "this scan has no results: nothing is left of its steps",
    ),
    "a result of the outer scan": (
        """
    scan t in 1..T:
        scan k in 1..3:
            a<t> = x<t>
            b<k> = x<t>
    output a
""",
        "N216",
        "a<t> is a result of the outer scan, inside a step of k",
    ),
    "a name of a step": (
        """
    scan t in 1..T:
        z = x<t>
        a<t> = z
    output z
""",
        "N201",
        "z is local to a step of the scan over t, so it is not known here",
    ),
    "outside the sequence": (
        """
    input z : (3, m, 7)
    output b = z<9>
""",
        "N217",
        "z<9> is outside the sequence: (3, m, 7) has steps 1 to 7",
    ),
    "outside the bound": (
        """
    dim S <= 5
    input z : (3, m, S)
    output b = z<6>
""",
        "N217",
        "z<6> is outside the sequence",
    ),
    "no first value to read": (
        """
    output b = x<0>
""",
        "N217",
        "no line says what x<0> is",
    ),
    "a length as a number": (
        """
    output b = sum(x, over = T) / T
""",
        "D119",
        "T is each example's own length: as a number it is no one value",
    ),
    "steps without examples": (
        """
    input w : (1, T)
    output b = x * broadcast(w, (3, m, T)) if 1 == 2 else sum(w, over = T)
""",
        "D119",
        "T is each example's own length, and w is (1, T): without m it cannot be told where an example ends",
    ),
    "steps without examples, above the input that has both": (
        """
    dim S
    input w : (1, S)
    output b = sum(w, over = S)
    input z : (3, m, k = S)
    output z
""",
        "D119",
        "S is each example's own length, and w is (1, S)",
    ),
    "examples before their steps": (
        """
    target y : (1, m, T)
    loss sum(mean(x, over = m), over = all) + sum(mean(y, over = m), over = all)
    output x
""",
        "D119",
        "without m it cannot be told where an example ends",
    ),
    "examples mixed in a step": (
        """
    scan t in 1..T:
        a<t> = x<t> - mean(x<t>, over = m)
    output a
""",
        "P302",
        "this mixes examples",
    ),
    "a bound of nothing": (
        """
    dim S <= 0
    output x
""",
        "D111",
        "a size is at least 1, and S is bounded by 0",
    ),
    "shifted class numbers": (
        """
    input w : (m, T) index(5)
    output b = one_hot(shift(w))
""",
        "N214",
        "shift puts a 0 first, and among class numbers 0 is a class",
    ),
    "an output through its own target": (
        """
    target y : (3, m, T)
    y<0> : (3, m) = 0
    scan t in 1..T:
        a<t> = x<t> + y<t-1>
    loss sum(a, over = first)
    output a
""",
        "P301",
        "the output a depends on the target y",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_mistake_is_one_message(name: str) -> None:
    body, code, message = WRONG[name]
    errors = [found for found in run(body).diagnostics if found.severity == "error"]
    assert [found.code for found in errors] == [code]
    assert message in errors[0].message
    assert errors[0].span is not None


def test_both_places_of_a_shape_that_changes() -> None:
    (found,) = run(WRONG["the shape changes"][0]).diagnostics
    assert found.span is not None
    assert (found.span.line, found.span.column) == (8, 9)
    assert [(related.message, related.span.line) for related in found.related] == [("a<0> : (4, m)", 5)]


def test_five_mistakes_are_five_messages() -> None:
    found = run("""
    scan t in 1..T:
        a<t> = a<t-1>
        b<t> = x<t+1>
        c<t> = nothing<t>
        d = b<t>
    output p = x<t>
    output q = x<0>
    output r = a
""").diagnostics
    assert [(d.code, d.span.line) for d in found if d.span] == [
        ("N217", 6),
        ("N217", 7),
        ("N201", 8),
        ("N216", 10),
        ("N217", 11),
    ]


def test_shapes_of_steps_and_of_whole_sequences() -> None:
    checked = proved("""
    a<0> : (4, m) = 0
    scan t in 1..T:
        z = Dense(4)(x<t>)
        a<t> : (4, m) = tanh(z + a<t-1>)
        total<t> = sum(a<t>, over = first)
    last = a<T>
    begin = a<1>
    n = lengths(x, over = T)
    output a
""")
    shapes = {name: str(checked.shapes[name]) for name in ("a", "total", "last", "begin", "n")}
    assert shapes == {"a": "(4, m, T)", "total": "(1, m, T)", "last": "(4, m)", "begin": "(4, m)", "n": "(1, m, 1)"}


def test_a_layer_in_a_step_is_made_once() -> None:
    checked = proved("""
    f = Dense(3)
    a<0> : (3, m) = 0
    scan t in 1..T:
        g = Dense(3)
        a<t> = f(a<t-1>) + g(x<t>) + g(a<t-1>) + Dense(3, tanh)(x<t>)
    output a
""")
    assert list(checked.parameters) == ["f.W", "f.b", "g.W", "g.b", "dense[1].W", "dense[1].b"]
    assert all(parameter.initial.fan_in == 3 for name, parameter in checked.parameters.items() if name.endswith("W"))


def test_a_layer_around_a_step_keeps_its_place_in_the_names() -> None:
    checked = proved("""
    for l in 1..2:
        h[l] = x -> RNN(3)
    output y = h[1] + h[2]
""")
    assert [name for name in checked.parameters if name.endswith("b_a")] == ["rnn[1].b_a", "rnn[2].b_a"]


def test_choices_in_a_step() -> None:
    checked = proved("""
    deep = 2
    a<0> : (3, m) = 0
    scan t in 1..T:
        if deep > 1:
            u = x<t>
            a<t> = u + a<t-1>
        else:
            u = 2 * x<t>
            a<t> = u
        when training:
            v = u
        otherwise:
            v = 2 * u
        b<t> = v if t > 2 else 0
    output a
    output b
""")
    assert str(checked.shapes["b"]) == "(3, m, T)"


def test_a_number_of_steps_that_is_known() -> None:
    checked = proved("""
    s<0> : (3, m) = 0
    input z : (3, m, S = 5)
    scan k in 1..5:
        s<k> = s<k-1> + k * z<k>
    output s
    output third = z<3>
""")
    assert str(checked.shapes["s"]) == "(3, m, 5)"


def test_what_does_not_change_is_computed_once() -> None:
    """A value that does not depend on the step is a constant of the loop."""
    checked = proved("""
    param W : (3, 3) ~ he
    scan t in 1..T:
        a<t> = (W @ W) @ x<t>
    output a
""")
    (loop,) = [node for node in checked.evaluation.nodes if node.op == "scan"]
    inner = [node.op for node in loop.attr("step").graph.nodes]
    assert inner.count("matmul") == 1


def test_the_proof_of_a_layer_reaches_into_its_scan() -> None:
    found = check(
        Path("net.dl"),
        text="""
layer Wrong(n):
    input x : (k, m, T)
    param W : (n, k + 1) ~ he
    scan t in 1..T:
        a<t> = W @ x<t>
    output a

layer AlsoRight(n):
    input x : (k, m, T)
    param W : (n, n) ~ he
    a<0> : (n, m) = 0
    scan t in 1..T:
        if n == 1:
            a<t> = a<t-1>
        else:
            a<t> = W @ a<t-1>
    output a : (n, m, T)

model Net:
    dim T
    input x : (3, m, T)
    output y = x -> AlsoRight(3)
""",
    ).diagnostics
    assert [(d.code, d.span.line) for d in found if d.span] == [("D101", 6)]
