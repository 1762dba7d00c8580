"""The one table of codes, for `dlc explain`, for the renderer's readers and for the tests.

A code's letter is its area: S syntax, N names, D dimensions, P proofs about the program, T settings, V values in
data, R runs, checkpoints and weights, U not yet supported. To add one: write an `entry` in the module of its area, with
the smallest file that shows the mistake and its repair; the tests check both.
"""

from __future__ import annotations

from functools import cache

from dlc.compiler.diagnostics.codes.record import Code

__all__ = ["Code", "all_codes", "explanation", "find"]


@cache
def all_codes() -> dict[str, Code]:
    """Every code, in the order of the codes."""
    from dlc.compiler.diagnostics.codes import data, dimensions, names, proofs, settings, syntax, weights

    modules = (dimensions, names, proofs, settings, syntax, data, weights)
    entries = [code for module in modules for code in module.CODES]
    return {code.code: code for code in sorted(entries, key=lambda code: code.code)}


def find(code: str) -> Code | None:
    """The entry of a code, written in either case; None where there is none."""
    return all_codes().get(code.strip().upper())


def explanation(code: Code) -> str:
    """The long text of `dlc explain`."""
    return (
        "\n".join(
            [
                f"{code.code}: {code.title}",
                "",
                code.explanation,
                "The mistake:",
                "",
                _indented(code.bad),
                "The repair:",
                "",
                _indented(code.good),
            ]
        ).rstrip("\n")
        + "\n"
    )


def _indented(text: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True))
