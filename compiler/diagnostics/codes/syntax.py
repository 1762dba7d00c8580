"""S: syntax. The titles are the grammar's own (`dlc.grammar.problems`); here are the long texts and examples."""

from __future__ import annotations

from dlc.compiler.diagnostics.codes.record import Code, entry
from dlc.grammar.problems import TITLES


def _net(lines: str, after: str = "") -> str:
    """A small network with these lines in its model, and `after` below it."""
    body = ["input X : (4, m)", "target Y : (1, m)", *lines.splitlines()]
    if "Y_hat =" not in lines:
        body.append("Y_hat = X -> Dense(1)")
    body += ["loss squared_error(Y_hat, Y)", "output Y_hat"]
    return "model Net:\n" + "".join(f"    {line}\n" for line in body) + after


def _syntax(code: str, explanation: str, bad: str, good: str, form: str = "spec") -> Code:
    return entry(code, TITLES[code], explanation, bad, good, form=form)


CODES = (
    _syntax(
        "S001",
        """
        Up to the marked place the line could have become a statement of the language; what stands there fits none.
        Often a comma, an operator or a bracket is missing just before it. Products are written out: `2 * x`.
        """,
        _net("Y_hat = 2 X -> Dense(1)"),
        _net("Y_hat = 2 * X -> Dense(1)"),
    ),
    _syntax(
        "S002",
        """
        The line ends where something must follow: the right side of an operator, the value of a name. A statement goes
        on in the next line only inside brackets, or where that line begins with `->` or an operator.
        """,
        _net("Z = X +\nY_hat = Z -> Dense(1)"),
        _net("Z = X + 1\nY_hat = Z -> Dense(1)"),
    ),
    _syntax(
        "S003",
        "Every bracket that is opened is closed by its own kind: `(` by `)`, `[` by `]`, `{` by `}`.",
        _net("Y_hat = X -> Dense(1"),
        _net("Y_hat = X -> Dense(1)"),
    ),
    _syntax(
        "S004",
        "Here a bracket closes, and none of its kind is open: there is one too many, or its partner was lost.",
        _net("Y_hat = X -> Dense(1))"),
        _net("Y_hat = X -> Dense(1)"),
    ),
    _syntax(
        "S005",
        """
        `a<t>` is a at time t, so a `<` that touches the name before it opens a time index. A comparison has spaces on
        both sides: `a < b`.
        """,
        _net("Y_hat = (0 if X<1 else X) -> Dense(1)"),
        _net("Y_hat = (0 if X < 1 else X) -> Dense(1)"),
    ),
    _syntax(
        "S006",
        """
        A time index is a name or a whole number, plus or minus one: `a<t>`, `a<t-1>`, `a<0>`. It touches its name. For
        steps further back keep a value of your own from step to step.
        """,
        _net("a = X<2*t>"),
        _net("a = X * 2"),
    ),
    _syntax(
        "S007",
        "`a < b < c` means two comparisons in the lecture's notation; here write both: `a < b and b < c`.",
        _net("Y_hat = (X if 0 < X < 1 else 0) -> Dense(1)"),
        _net("Y_hat = (X if 0 < X and X < 1 else 0) -> Dense(1)"),
    ),
    _syntax(
        "S008",
        "`=` gives a name its value, once. To ask whether two values are equal, write `==`.",
        _net("n = 8\nif n = 8:\n    k = 1"),
        _net("n = 8\nif n == 8:\n    k = 1"),
    ),
    _syntax(
        "S009",
        """
        The operators are `+ - * / // % @ ^`, the comparisons, `and or not`, `->`, `~` and `..`. A power is `^`, the
        transpose `.T`, a logical and the word `and`.
        """,
        _net("Y_hat = X ** 2 -> Dense(1)"),
        _net("Y_hat = X^2 -> Dense(1)"),
    ),
    _syntax(
        "S010",
        "Numbers are written as in Python: `12_288`, `0.5`, `1e-3`; a decimal point has digits on both sides.",
        _net("k = .5"),
        _net("k = 0.5"),
    ),
    _syntax(
        "S011",
        "The number is beyond double precision, which ends near 1e308, or has very many digits.",
        _net("k = 1e999"),
        _net("k = 1e30"),
    ),
    _syntax(
        "S012",
        "Text stands in double quotes, begins and ends in one line, and is for paths and labels only.",
        _net("", after="\ndata:\n    source = csv('a.csv')\n"),
        _net("", after='\ndata:\n    source = csv("a.csv")\n'),
    ),
    _syntax(
        "S013",
        """
        Names are letters (Greek ones too), digits and `_`. Characters that look like an operator but are another one,
        as a typeset minus or multiplication sign, and invisible ones are errors, so that what is read is what is seen.
        """,
        _net("Y_hat = X × 2 -> Dense(1)"),
        _net("Y_hat = X * 2 -> Dense(1)"),
    ),
    _syntax(
        "S014",
        "An exponent is written `x^2`, an index `W[2]`: small raised or lowered characters are not part of names.",
        _net("Y_hat = X² -> Dense(1)"),
        _net("Y_hat = X^2 -> Dense(1)"),
    ),
    _syntax(
        "S015",
        "Indentation makes the blocks. A tab is as wide as each editor likes, so it is spaces only: four a level.",
        "model Net:\n\tinput X : (4, m)\n\toutput X\n",
        "model Net:\n    input X : (4, m)\n    output Y = X\n",
    ),
    _syntax(
        "S016",
        "The lines of one block begin in the same column; it ends where a line returns to an outer block's column.",
        "model Net:\n    input X : (4, m)\n      output Y = X\n",
        "model Net:\n    input X : (4, m)\n    output Y = X\n",
    ),
    _syntax(
        "S017",
        "A line that ends with `:` opens a block: the lines that belong to it follow, indented by four spaces.",
        "model Net:\ninput X : (4, m)\noutput Y = X\n",
        "model Net:\n    input X : (4, m)\n    output Y = X\n",
    ),
    _syntax(
        "S018",
        "A line that opens a block ends with `:`; in a declaration a `:` stands between the names and their shape.",
        "model Net\n    input X : (4, m)\n    output Y = X\n",
        "model Net:\n    input X : (4, m)\n    output Y = X\n",
    ),
    _syntax(
        "S019",
        "No statement begins with this word. A word that is near is suggested.",
        "model Net:\n    inptu X : (4, m)\n    output Y = X\n",
        "model Net:\n    input X : (4, m)\n    output Y = X\n",
    ),
    _syntax(
        "S020",
        "This is how another language says it. The help shows how it is said here.",
        "def square(z):\n    return z * z\n",
        "function square(z):\n    output z * z\n",
    ),
    _syntax(
        "S021",
        "The statement is right, its place is not: inputs and losses belong to a model, an `else` to an `if`.",
        "model Net:\n    input X : (4, m)\n    else:\n        k = 1\n    output Y = X\n",
        "model Net:\n    input X : (4, m)\n    if 1 < 2:\n        k = 1\n    else:\n        k = 2\n    output Y = X\n",
    ),
    _syntax(
        "S022",
        "On the left of `=` stands a name, or a family's member: `Z`, `Z[l]`, `a<t>`. A formula cannot be defined.",
        _net("Z + 1 = X"),
        _net("Z = X - 1"),
    ),
    _syntax(
        "S023",
        "Brackets or blocks are nested deeper than anybody can read. Give parts of the expression names of their own.",
        "k = ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((( ...\n",
        "inner = (a + b) * c\nk = (inner + d) / 2\n",
        form="files",
    ),
    _syntax(
        "S024",
        "A file of this length is no network that somebody wrote. Split it, and `import` the parts.",
        "one file of many million characters\n",
        'import "blocks.dl"\n',
        form="files",
    ),
    _syntax(
        "S025",
        "After so many mistakes the rest is not shown. Perhaps the file is no `.dl` file at all.",
        "a file with hundreds of mistakes\n",
        "the same, with the first ones repaired\n",
        form="files",
    ),
)
