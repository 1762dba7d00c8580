"""The generated text: safe, readable, without repetition, and able to stand alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nets
import numpy as np
from against_reference import fill, module

from dlc.compiler.codegen.text import comment, identifier
from dlc.compiler.ir import Builder, Graph
from dlc.grammar.span import Span
from dlc.runtime.native import Native


def test_identifiers_are_ascii_and_never_taken_twice() -> None:
    assert identifier("W[1]") == "W_1"
    assert identifier("Ŷ") == "Y"
    assert identifier("α").isascii()
    assert identifier("1st").isidentifier()
    assert identifier("lambda") == "lambda_"
    assert identifier("W[1]", {"W_1"}) == "W_1_2"
    assert identifier('x"""\nimport os').isidentifier()


def test_a_comment_is_one_printable_line() -> None:
    line = comment("a\nimport os\r\x00\x1b[31m\u2028b" * 30, "    net.dl:3")
    assert line.isascii()
    assert line.isprintable()
    assert line.endswith("    net.dl:3")


def test_nothing_of_a_spec_becomes_code() -> None:
    """Names of every kind that try to end a comment, a string or the docstring."""
    evil = '"""\nraise SystemExit(3)\n"""#\\'
    b = Builder(span=Span(evil, 1, 1, 1, 2))
    x, w = nets.leaf(b, "input", evil, 4, nets.M), nets.leaf(b, "parameter", evil + "w", 3, 4)
    made = module({"forward": Graph.of({f"output.{evil}": b.add("matmul", w, x)}, {evil: x})})
    made = replace(made, name=made.name)
    for text in (made.source, made.standalone):
        assert text.isascii()
        assert not [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name) and n.id == "SystemExit"]


def test_calls_carry_the_spec_s_equations() -> None:
    programs = nets.programs(nets.dense([20, 33, 5]))
    text = module(programs).source
    assert "# Z[1] = W[1] @ X + b[1] : (33, m)\n" in text
    assert "# A[1] = max(Z[1], 0) : (33, m)\n" in text
    assert "# W[1] := W[1] - 0.1 * dW[1] : (33, 20)\n" in text
    assert "def matmul_add_max_20_33(args, first, last):" in text


def test_equal_layers_share_their_kernels() -> None:
    programs = nets.programs(nets.dense([24, 24, 24, 24, 24]), nets.adam)
    made = module({"train": programs["train"]})
    calls = [call.name for call in made.plans["train"].calls]
    assert len(calls) > 15
    assert len(set(calls)) <= 8


def test_a_variable_never_has_the_name_of_a_kernel() -> None:
    """Else Python would take the kernel for a local variable."""
    b = Builder()
    x, w = nets.leaf(b, "input", "X", 4, nets.M), nets.leaf(b, "parameter", "matmul_4_3", 3, 4)
    product = b.add("matmul", w, x)
    rate = nets.leaf(b, "parameter", "mul_3")
    single = b.add("mul", rate, rate)
    graph = Graph.of({"output.Z": b.add("exp", product), "output.P": b.add("mul", single, product)})
    made = module({"forward": graph, "train": graph})
    for program in made.programs.values():
        text = ast.parse(program.text)
        stored = {n.id for n in ast.walk(text) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        assert not stored & set(made.kernels)


def test_a_constant_is_an_argument_so_that_its_value_needs_no_new_kernel() -> None:
    def kernels(rate: float) -> set[str]:
        def descent(b: Builder, name: str, w: nets.Node, dw: nets.Node) -> dict[str, nets.Node]:
            return {name: b.add("sub", w, nets.scaled(b, rate, dw))}

        made = module({"train": nets.programs(nets.dense([4, 3]), descent)["train"]})
        return set(made.symbols.values())

    assert kernels(0.1) == kernels(0.07)


def test_the_module_stands_alone(tmp_path: Path) -> None:
    """In a process without dlc it computes the same bits."""
    programs = nets.programs(nets.dense([20, 9, 5]))
    made = module({"forward": programs["forward"], "train": programs["train"]}, "float32")
    native = Native(made)
    fill(native)
    x = np.random.default_rng(0).standard_normal((33, 20)).astype(np.float32)
    np.savez(tmp_path / "given.npz", X=x, **native.parameters)
    expected = native.run("forward", {"X": x}, 33)["output.Y_hat"]
    (tmp_path / "net.py").write_text(made.standalone)
    program = (
        "import sys, numpy as np, net\n"
        "given = np.load('given.npz')\n"
        "model = net.Model(threads=2)\n"
        "for name, array in model.parameters.items(): array[...] = given[name]\n"
        "np.save('found.npy', model.run('forward', {'X': given['X']}, 33)['output.Y_hat'])\n"
        "assert not [n for n in sys.modules if n.split('.')[0] in ('dlc', 'scipy', 'lark')]\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
    assert np.array_equal(np.load(tmp_path / "found.npy"), expected)
