"""Which tokens make a statement, and whether its first word is a keyword."""

from __future__ import annotations

from dlc.grammar.lexical import Token

DEFINITION_WORDS = ("model", "layer", "function", "optimizer", "schedule", "initializer", "regularizer")
BLOCK_WORDS = ("data", "train", "for", "scan", "if", "else", "when", "otherwise")
DECLARATION_WORDS = ("input", "target", "param", "state")
STATEMENT_WORDS = frozenset(
    {*DEFINITION_WORDS, *BLOCK_WORDS, *DECLARATION_WORDS, "frozen", "import", "hyper", "dim"}
    | {"loss", "metric", "output", "require", "freeze", "load"}
)
_TAKES_EXPRESSION = frozenset({"loss", "metric", "output", "require"})

HEADER_WORDS = frozenset((*DEFINITION_WORDS, *BLOCK_WORDS))

# A line that begins with one of these continues the line before.
CONTINUES = frozenset(
    ["->", "or", "and", "==", "!=", "<", "<=", ">", ">=", "..", "+", "-", "*", "/", "//", "%", "@", "^"],
)

MAX_STATEMENT = 50_000

CLOSES = {"(": ")", "[": "]", "{": "}"}


def statement_end(tokens: list[Token], start: int) -> int:
    """The index behind the last token of the statement that begins at `start`.

    A line ends it, except inside brackets and where the next line begins with an operator; `MAX_STATEMENT` tokens do
    in any case, so that a thousand open brackets are not a thousand ways to the end of the file.
    """
    depth = 0
    line = tokens[start].line
    limit = min(len(tokens), start + MAX_STATEMENT)
    for i in range(start, limit):
        token = tokens[i]
        if token.line != line:
            if depth == 0 and token.type not in CONTINUES:
                return i
            line = token.line
        if token.type in CLOSES:
            depth += 1
        elif token.type in (")", "]", "}"):
            depth = max(depth - 1, 0)
    return limit


def nesting(tokens: list[Token]) -> int:
    """How deep the brackets stand in each other."""
    depth = deepest = 0
    for token in tokens:
        depth += (token.type in CLOSES) - (token.type in (")", "]", "}"))
        deepest = max(deepest, depth)
    return deepest


def next_statement(tokens: list[Token], start: int, end: int) -> int:
    """Where a new statement seems to begin inside the statement `start:end`, else `end`.

    Asked only about a statement that cannot be read: then a line in its brackets that stands no deeper than its
    beginning, or that follows a `:`, or that begins with a statement word, shows that a bracket was not closed.
    """
    for i in range(start + 1, end):
        token, before = tokens[i], tokens[i - 1]
        if token.line == before.line or token.type in CONTINUES:
            continue
        outside = token.column <= tokens[start].column and token.type not in (")", "]", "}")
        if outside or before.type == ":" or keyword(tokens, i, end):
            return i
    return end


def keyword(tokens: list[Token], start: int, end: int) -> str | None:
    """The statement word that the statement begins with, or None where the word is an ordinary name there.

    `loss = 3`, `data : (n, m) = X`, `state[1] = Z` define a name; `loss -Y`, `data:` and `output (a)` do not.
    """
    word = tokens[start]
    if word.type == "if" or word.type == "else":
        return word.type
    if word.type != "NAME" or word.text not in STATEMENT_WORDS:
        return None
    if start + 1 >= end:
        return word.text
    after = tokens[start + 1]
    if after.type == ":":
        ends = start + 2 >= end or tokens[start + 2].line != after.line
        return word.text if ends else None
    if after.type == "(" and word.text not in _TAKES_EXPRESSION:
        return None
    if after.type == "[" and (word.touches(after) or word.text not in _TAKES_EXPRESSION):
        return None
    opens = after.type in ("NAME", "NUMBER", "STRING", "(", "[", "{", "-", "not", "...", "in", "as", "from")
    return word.text if opens else None
