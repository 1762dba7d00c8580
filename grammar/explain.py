"""Says what is wrong with a statement that does not parse, and what was probably meant.

`explain` asks the cases below in order; the first that knows the mistake speaks. Each case sees where the parser got
stuck and what it could have gone on with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dlc.grammar.lexical import Token
from dlc.grammar.lines import CLOSES, CONTINUES, HEADER_WORDS, STATEMENT_WORDS
from dlc.grammar.problems import Problem
from dlc.grammar.span import Span

OPENERS, CLOSERS = frozenset(CLOSES), frozenset(CLOSES.values())
# What may begin a value.
_VALUES = frozenset({"NAME", "NUMBER", "STRING", "in", "as", "from", "(", "[", "{", "...", "not"})


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the parser stopped: at token number `at`, or behind the last one."""

    tokens: list[Token]
    at: int
    expected: frozenset[str]
    rule: str

    @property
    def token(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    @property
    def before(self) -> Token | None:
        return self.tokens[self.at - 1] if self.at else None

    @property
    def type(self) -> str:
        return self.token.type if self.token else "END"

    @property
    def word(self) -> str:
        """The statement word in front, or an empty string."""
        first = self.tokens[0]
        return first.type if first.type in STATEMENT_WORDS else ""

    @property
    def span(self) -> Span:
        """The token in the way, or the place behind the last one."""
        return self.token.span if self.token else behind(self.tokens[-1])

    @property
    def wants_value(self) -> bool:
        return "NAME" in self.expected


def explain(tokens: list[Token], at: int, expected: frozenset[str], rule: str) -> Problem:
    """The problem of a statement whose token number `at` does not go on what stands before it."""
    stop = Stop(tokens, at, expected, rule)
    for case in _CASES:
        if problem := case(stop):
            return problem
    return _generic(stop)


def lone_comparison(tokens: list[Token]) -> Problem | None:
    """`Z == X * 2` as a statement."""
    for i, token in enumerate(tokens):
        if token.type == "==" and not open_brackets(tokens[:i]):
            help, fix = "write = to define", ((token.span, "="),)
            return Problem("S008", "`==` compares, `=` defines a name", token.span, help=help, fix=fix)
    return None


def open_brackets(tokens: list[Token]) -> list[Token]:
    """The brackets that are opened and not closed, outermost first."""
    stack: list[Token] = []
    for token in tokens:
        if token.type in OPENERS:
            stack.append(token)
        elif token.type in CLOSERS and stack:
            stack.pop()
    return stack


def not_closed(bracket: Token, last: Token) -> Problem:
    closer = CLOSES[bracket.text]
    return Problem("S003", f"`{bracket.text}` is not closed", bracket.span, help=f"close it with `{closer}`",
                   related=(("the statement seems to end here", behind(last)),))  # fmt: skip


def missing_colon(tokens: list[Token]) -> Problem:
    place = behind(tokens[-1])
    message = f"`:` is missing at the end of the `{tokens[0].text}` line"
    return Problem("S018", message, place, help="a line that opens a block ends with `:`", fix=((place, ":"),))


def behind(token: Token) -> Span:
    """The place right behind a token: a span without length."""
    end = token.span
    return Span(end.file, end.end_line, end.end_column, end.end_line, end.end_column)


# --- brackets ----------------------------------------------------------------------------------------------------


def _brackets(stop: Stop) -> Problem | None:
    stack = open_brackets(stop.tokens[: stop.at])
    token = stop.token
    if token is None:
        return not_closed(stack[-1], stop.tokens[-1]) if stack else None
    if token.type == "~" and stack and stop.before:
        return not_closed(stack[-1], stop.before)
    if token.type not in CLOSERS:
        return None
    if not stack:
        return Problem("S004", f"`{token.text}` closes nothing", token.span, help="remove it", fix=((token.span, ""),))
    opener = stack[-1]
    if CLOSES[opener.text] != token.text:
        right = CLOSES[opener.text]
        return Problem(
            "S003",
            f"`{opener.text}` is closed by `{token.text}`",
            token.span,
            help=f"write `{right}`, or close `{opener.text}` before",
            related=((f"`{opener.text}` opens here", opener.span),),
        )
    if stop.wants_value and stop.before:
        return Problem("S002", f"something is missing between `{stop.before.text}` and `{token.text}`", token.span)
    return None


# --- habits of other languages -----------------------------------------------------------------------------------

_HABITS = {
    "def": "write function f(x) = …, or layer Name(…): with parameters",
    "class": "write layer Name(…): or model Name:",
    "return": "write output …",
    "while": "a loop is for l in 1..L:, a loop over time is scan t in 1..T:",
    "elif": "write else: and, below it, an if",
    "elseif": "write else: and, below it, an if",
    "let": "write name = …",
    "var": "write name = …",
    "const": "write name = …",
    "print": "a value is shown by metric name = …, or output",
    "func": "write function f(x) = …",
    "fn": "write function f(x) = …",
    "with": "there is nothing to open here",
    "assert": 'write require …, "…"',
    "del": "a name keeps its meaning",
}


def _habit(stop: Stop) -> Problem | None:
    first, token = stop.tokens[0], stop.token
    if first.text in _HABITS and stop.at <= 2:
        return _foreign(f"`{first.text}` is not a word of this language", first.span, _HABITS[first.text])
    if (stop.word == "import" and token and token.type == "NAME") or first.text == "from":
        place = token.span if token and stop.word == "import" else first.span
        return _foreign("import takes the path of a `.dl` file", place, _imported(stop.tokens[1].text))
    if stop.word == "else" and stop.type == "if":
        return _foreign("`else if` is not a word of this language", stop.span, "write else: and, below it, an if")
    if stop.type == "if" and stop.wants_value:
        return _foreign("an if inside of an expression stands in the middle", stop.span, "write a if condition else b")
    for i in range(max(stop.at - 1, 0), min(stop.at + 1, len(stop.tokens))):
        if stop.tokens[i].text == "lambda" and i + 1 < len(stop.tokens):
            help = "name the function: function f(x) = …"
            return _foreign("there are no functions without a name", stop.tokens[i].span, help)
    return None


_PACKAGES = ("numpy", "np", "torch", "tensorflow", "keras", "jax", "math", "sklearn", "pandas", "scipy", "matplotlib")


def _imported(name: str) -> str:
    if name in _PACKAGES:
        return "leave the line out: exp, log, sqrt and their like, the layers and the losses are known everywhere"
    return f'write import "{name}.dl"'


def _comment(stop: Stop) -> Problem | None:
    """`// words`, `% words`, `/* words */` and a string in three quotes."""
    token, before = stop.token, stop.before
    if token and before and before.text == '""' and token.type == "STRING" and before.touches(token):
        return _foreign("a comment begins with `#`", before.span, "write # in front of each line of it")
    for i in range(min(stop.at, len(stop.tokens) - 1), 0, -1):
        sign, after = stop.tokens[i - 1 : i + 1]
        words = [t for t in stop.tokens[i:] if t.line == sign.line]
        starred = sign.type == "/" and after.type in ("*", "^") and sign.touches(after)
        plain = sign.type in ("//", "%") and len(words) > 1 and all(t.text.isalpha() for t in words)
        if (starred or plain) and (token is None or token.line == sign.line):
            return _foreign("a comment begins with `#`", sign.span, "write # in its place")
    return None


def _foreign(message: str, span: Span, help: str) -> Problem:
    return Problem("S020", message, span, help=help)


# --- the words of statements -------------------------------------------------------------------------------------


def _unknown_word(stop: Stop) -> Problem | None:
    first, token = stop.tokens[0], stop.token
    if stop.rule == "setting" or first.type != "NAME":
        return None
    lone_header = stop.at == len(stop.tokens) == 2 and stop.tokens[1].type == ":"  # `esle:`
    if not lone_header and (stop.at != 1 or token is None or token.type not in ("NAME", "NUMBER", "STRING")):
        return None
    from difflib import get_close_matches  # only where a mistake was made: its import takes longer than a parse

    near = get_close_matches(first.text.lower(), sorted(STATEMENT_WORDS), 1, 0.7)
    if near:
        help = f"did you mean {near[0]}?"
        message = f"`{first.text}` is not a statement word"
        return Problem("S019", message, first.span, help=help, fix=((first.span, near[0]),))
    if token and token.type == "NAME":
        message = f"`{first.text}` is not a statement word, and nothing stands between it and `{token.text}`"
        help = "a statement begins with a word like param, loss or for, or is an equation: name = …"
        return Problem("S019", message, first.span, help=help)
    return None


def _statement(stop: Stop) -> Problem | None:
    """What the statement in front asks for."""
    word, token = stop.word, stop.token
    if stop.rule == "setting" and "=" in stop.expected and token:
        name = stop.tokens[0]
        fix = ((token.span, " ="),) if token.type == ":" else ((behind(name), " ="),)
        help = f"write {name.text} = …"
        return Problem("S001", "a line of this block is a setting", stop.span, help=help, fix=fix)
    if stop.rule == "setting" and "=" in stop.expected:
        return Problem("S001", "a line of this block is a setting", stop.span, help="write name = value")
    if token is None and len(stop.tokens) == 1 and word:
        return Problem("S002", f"`{word}` stands alone", stop.span, help=f"write {_FORMS.get(word, word)}")
    if word == "hyper" and "=" in stop.expected:
        help = "write hyper lr = 1e-3 in log(1e-4, 1e-1)"
        return Problem("S001", "a hyper has a value, also where a domain is given", stop.span, help=help)
    if stop.rule == "line" and word in _NOT_NAMES and stop.at == 1 and stop.type in ("=", ":="):
        help = "take another name"
        return Problem("S001", f"`{word}` begins a statement: it cannot be a name", stop.tokens[0].span, help=help)
    if word == "hyper" and stop.type == "~":
        fix = ((stop.span, "in"),)
        return Problem("S001", "a domain stands behind `in`", stop.span, help="write in for ~", fix=fix)
    if word in ("input", "target", "param", "state", "frozen") and stop.type == "=" and token:
        return _declared_value(stop, token)
    if word == "frozen" and token:
        return Problem("S001", "only a param can be frozen", token.span, help="write frozen param W : (n, k) ~ he")
    if word in ("for", "scan") and "in" in stop.expected and token and token.type in ("=", ":"):
        help = f"write {word} {stop.tokens[1].text} in 1..L:"
        return Problem(
            "S001", f"`in` is missing in the `{word}` line", token.span, help=help, fix=((token.span, "in"),)
        )
    if word == "dim" and stop.type in ("<", "=", ":", ">", ">="):
        help = f"write dim {stop.tokens[1].text} <= 128"
        return Problem("S001", "a run-time dimension is bounded by `<=`", stop.span, help=help)
    if word == "load" and "from" in stop.expected and stop.at > 1:
        return Problem("S002", "load needs the file", stop.span, help='write load name from "file.safetensors"')
    if word == "loss" and stop.type == "=":
        help = "write loss …; a value with a name is a metric: metric name = …"
        return Problem("S001", "a loss has no name", stop.span, help=help)
    return None


_NOT_NAMES = ("if", "else")


def _declared_value(stop: Stop, token: Token) -> Problem:
    """`input X = (n, m)`, `param W : (n, k) = he`"""
    shaped = any(t.type == ":" for t in stop.tokens[: stop.at])
    if stop.word in ("input", "target"):
        message = f"`{stop.word}` declares a shape; its values come from the data"
        help = "leave the value out" if shaped else f"write {stop.word} {stop.tokens[1].text} : (n, m)"
        return Problem("S001", message, token.span, help=help, fix=() if shaped else ((token.span, ":"),))
    if shaped:
        fix = ((token.span, "~"),)
        return Problem("S001", "an initializer stands behind `~`", token.span, help="write ~ for =", fix=fix)
    names = " ".join(t.text for t in stop.tokens[: stop.at])
    help = f"write {names} : (n, k) ~ …"
    return Problem("S001", f"a {stop.word} is declared with its shape, and begins as `~` says", token.span, help=help)


def _colon(stop: Stop) -> Problem | None:
    """What stands behind `:`, and a `:` too many or too few."""
    token, before, brackets = stop.token, stop.before, open_brackets(stop.tokens[: stop.at])
    if token is None:
        return None
    if token.type == "{" and stop.word in HEADER_WORDS and not brackets and not stop.wants_value:
        help = "end the line with `:`, and indent the lines below it"
        return _foreign("a block stands without braces", token.span, help)
    if token.type == ":" and brackets and stop.word in HEADER_WORDS and token is stop.tokens[-1]:
        return not_closed(brackets[-1], stop.tokens[stop.at - 1])
    if token.type == ":" and brackets and brackets[-1].type == "(":
        name = before.text if before and before.type == "NAME" else "name"
        help = f"write {name} = …"
        return Problem("S001", "an argument is given by `=`", token.span, help=help, fix=((token.span, " ="),))
    ends = stop.tokens[-1].type == ":" and stop.at < len(stop.tokens) - 1
    if before and before.type == ":" and stop.word == "for" and ends:
        fix = ((before.span, ".."),)
        return Problem("S001", "a range is written with two dots", before.span, help="write ..", fix=fix)
    if before and before.type == ":" and stop.word in HEADER_WORDS and not brackets:
        help = "write it below, indented by 4 spaces"
        return Problem("S017", "a block begins on a new line", token.span, help=help)
    if before and before.type == ":" and "(" in stop.expected:
        if token.type == ":":
            return Problem("S001", "one `:` is enough", token.span, help="remove it", fix=((token.span, ""),))
        shape = _shape_meant(stop.tokens[stop.at :])
        return Problem("S001", "behind `:` stands a shape in round brackets", token.span, help=f"write : ({shape})")
    if token.type == ":" and brackets and brackets[-1].type == "[":
        help = "split(X, (1, 4, 3), over = first) takes a tensor apart"
        return Problem("S020", "there are no slices", token.span, help=help)
    missing = ":" in stop.expected and stop.word in HEADER_WORDS and stop.tokens[-1].type != ":"
    return missing_colon(stop.tokens[: stop.at]) if missing and token.type in _VALUES else None


def _shape_meant(tokens: list[Token]) -> str:
    """The sizes of a shape that was written without brackets, or in other ones."""
    sizes: list[str] = []
    for token in tokens:
        if token.type not in ("NAME", "NUMBER", ",", "[", "]", "{", "}"):
            break
        sizes += [token.text] if token.type in ("NAME", "NUMBER") else []
    return ", ".join(sizes) or "n, m"


_FORMS = {
    "loss": "loss cross_entropy(Y_hat, Y)",
    "metric": "metric accuracy(Y_hat, Y)",
    "output": "output Y_hat",
    "input": "input X : (64, m)",
    "target": "target Y : (10, m) one_hot",
    "param": "param W : (n, k) ~ he",
    "state": "state mu : (n, 1) ~ zeros",
    "frozen": "frozen param W : (n, k) ~ he",
    "hyper": "hyper lr = 1e-3 in log(1e-4, 1e-1)",
    "dim": "dim T <= 128",
    "require": 'require n % 2 == 0, "…"',
    "freeze": "freeze backbone",
    "load": 'load backbone from "file.safetensors"',
    "import": 'import "file.dl"',
    "for": "for l in 1..L:",
    "scan": "scan t in 1..T:",
    "if": "if condition:",
    "else": "else:",
    "when": "when training:",
    "otherwise": "otherwise:",
    "data": "data:",
    "train": "train:",
    "model": "model Name:",
    "layer": "layer Name(n):",
    "function": "function f(z) = …",
    "optimizer": "optimizer Name(lr = 0.01):",
    "schedule": "schedule f(lr) = …",
    "initializer": "initializer f = …",
    "regularizer": "regularizer f(lambda) = …",
}


# --- signs -------------------------------------------------------------------------------------------------------


def _equals(stop: Stop) -> Problem | None:
    token = stop.token
    if token is None or token.type not in ("=", ":="):
        return None
    after = stop.tokens[stop.at + 1] if stop.at + 1 < len(stop.tokens) else None
    if token.type == "=" and after and after.type == ">" and token.touches(after):
        help = "at least is >=, a chain is ->"
        return Problem("S009", "`=>` is not an operator", token.span.to(after.span), help=help)
    asked = stop.word in ("if", "require") or any(t.type == "if" for t in stop.tokens[: stop.at])
    if asked and token.type == "=":
        fix = ((token.span, "=="),)
        return Problem("S008", "`=` defines a name, `==` compares", token.span, help="write == to compare", fix=fix)
    if token.type == ":=":
        help = "`:=` stands behind the one name of a state, as in mu := 0.9 * mu; a name is defined by `=`"
        return Problem("S001", "`:=` changes a state, and nothing else", token.span, help=help)
    if not open_brackets(stop.tokens[: stop.at]) and any(t.type in ("=", ":=", "~") for t in stop.tokens[: stop.at]):
        before = stop.before
        chained = before is not None and before.type == "NAME" and stop.tokens[stop.at - 2].type == "="
        help = "write == to compare; one line defines one value"
        if chained and before is not None:
            help = (
                f"define {before.text} in a line of its own, and write {stop.tokens[0].text} = {before.text} below it"
            )
        return Problem("S008", "a second `=` stands in this statement", token.span, help=help)
    return None


def _line_end(stop: Stop) -> Problem | None:
    if stop.token is not None:
        return None
    last = stop.tokens[-1]
    if last.type in CONTINUES:
        help = "to go on in the next line, begin that line with the operator"
        return Problem("S002", f"the line ends after `{last.text}`", last.span, help=help)
    if "else" in stop.expected:
        help = "write a if condition else b"
        return Problem("S002", "an if inside of an expression needs its else", stop.span, help=help)
    if {"=", "~"} <= stop.expected and any(t.type == ":" for t in stop.tokens):
        help = "begin the line with input, target or param, or write = and a value behind the shape"
        return Problem("S002", "a shape alone gives no value", stop.span, help=help)
    if {"=", "~"} <= stop.expected:
        return Problem("S002", "these names get no value", stop.span, help="write names = …")
    if stop.wants_value:
        help = "write the value in the same line; inside brackets it may go on in the next ones"
        if last.type == "=" and stop.word == "function":
            help = "write the formula in the same line, or `:` for `=` and `output …` below it"
        return Problem(
            "S002", f"nothing stands after `{last.text}`", last.span, help=help if last.type == "=" else None
        )
    return None


def _missing_operand(stop: Stop) -> Problem | None:
    token, before = stop.token, stop.before
    if token is None or not stop.wants_value or token.type not in CONTINUES | {",", "=", ":", ".", "~"}:
        return None
    if before is None:
        return Problem("S001", f"a statement cannot begin with `{token.text}`", token.span)
    if token.type == "+" and before.type in CONTINUES | OPENERS | {"=", ","}:
        return Problem("S001", "a sign `+` is not written", token.span, help="remove it", fix=((token.span, ""),))
    help = "a chain begins with a value: X -> relu" if token.type == "->" else None
    return Problem("S001", f"something is missing between `{before.text}` and `{token.text}`", token.span, help=help)


def _side_by_side(stop: Stop) -> Problem | None:
    token, before = stop.token, stop.before
    if token and token.type == "...":
        before_it = before.text if before else "1"
        fix = ((token.span, ".."),)
        return Problem("S001", "a range has two dots", token.span, help=f"write {before_it}..L", fix=fix)
    if token and token.type == "{":
        return Problem("S001", "a set stands only behind `in`", token.span, help="write a list: [a, b, c]")
    if token is None or before is None or token.type not in _VALUES or stop.wants_value:
        return None
    if before.type not in ("NAME", "NUMBER", "STRING", "TIME", ")", "]", "}", "..."):
        return None
    brackets = open_brackets(stop.tokens[: stop.at])
    if brackets and token.line != before.line:
        place = behind(before)
        return Problem("S001", "a comma is missing here", place, help="write ,", fix=((place, ","),))
    if token.text == "is":
        return _foreign("`is` is not an operator", token.span, "write ==")
    if token.text == "to" and stop.word == "for":
        return _foreign("a range is written with two dots", token.span, f"write {before.text}..L")
    if stop.tokens[stop.at].text == "for" and brackets:
        return _foreign("a list is written out", token.span, "write [1, 2, 3], or the range 1..3")
    if not brackets and (second := _second_statement(stop)):
        return second
    if before.type == token.type == "NUMBER" and not brackets:
        if stop.rule == "setting":
            place = behind(before)
            return Problem("S001", "a comma is missing here", place, help="write ,", fix=((place, ","),))
        shown = f"an operator is missing between `{before.text}` and `{token.text}`"
        grouped = f"digits are grouped by `_`: {before.text}_{token.text}"
        return Problem("S001", shown, token.span, help=grouped)
    if before.type == "NUMBER" and token.type in ("NAME", "("):
        place = behind(before)
        help = f"write {before.text} * {token.text}"
        return Problem("S001", "a product is written with `*`", token.span, help=help, fix=((place, " *"),))
    what = "an operator or a comma" if brackets else "an operator"
    message = f"{what} is missing between `{before.text}` and `{token.text}`"
    product = not brackets and before.type in ("NAME", ")", "]") and token.type in ("NAME", "NUMBER")
    advice = "a product of elements is `*`, one of matrices `@`" if product else None
    return Problem("S001", message, token.span, help=advice)


def _second_statement(stop: Stop) -> Problem | None:
    """`Z = X * 2 V = X * 3`"""
    rest = stop.tokens[stop.at :]
    later = next((i for i, t in enumerate(rest) if t.type in ("=", "~", ":=", ":")), 0)
    begun = any(t.type in ("=", ":=") for t in stop.tokens[: stop.at])
    if begun and later and rest[0].type == "NAME" and not open_brackets(rest[:later]) and later <= 4:
        return Problem("S001", "a second statement begins here", rest[0].span, help="begin a new line")
    return None


def _second_value(stop: Stop) -> Problem | None:
    """A sign that may stand once."""
    if stop.type == "," and not open_brackets(stop.tokens[: stop.at]):
        around = [*stop.tokens[stop.at - 1 : stop.at], *stop.tokens[stop.at + 1 : stop.at + 2]]
        if [t.type for t in around] == ["NUMBER", "NUMBER"] and stop.span.column + 1 == around[1].column:
            number = f"{around[0].text}.{around[1].text}"
            fix = ((stop.span, "."),)
            return Problem("S010", "a decimal point is a point", stop.span, help=f"write {number}", fix=fix)
        help = "write a line for each" if stop.word else "write a line for each, or brackets around several values"
        what = f"`{stop.word}`" if stop.word else "an equation"
        return Problem("S001", f"{what} takes one value", stop.span, help=help)
    if stop.type == "..":
        return Problem("S001", "a range has two ends", stop.span, help="write 1..L")
    if stop.type == "~":
        help = "a draw is a line of its own: D : (n, m) ~ bernoulli(0.8)"
        return Problem("S001", "`~` does not stand inside of an expression", stop.span, help=help)
    return None


def _generic(stop: Stop) -> Problem:
    shown = _readable(stop.expected)
    help = f"here may stand {shown}" if shown else None
    if stop.token is None:
        return Problem("S002", f"the line ends too early, behind `{stop.tokens[-1].text}`", stop.span, help=help)
    return Problem("S001", f"`{stop.token.text}` does not fit here", stop.span, help=help)


def _readable(expected: frozenset[str]) -> str:
    if "NAME" in expected:
        return "a name or a value"
    signs = [f"`{sign}`" for sign in ("=", ":", "(", ",", ")", "]", "~", "in", "from", "else") if sign in expected]
    if "STRING" in expected:
        signs.append("a string")
    if "+" in expected:
        signs.append("an operator")
    return ", ".join(signs[:-1]) + (" or " if len(signs) > 1 else "") + signs[-1] if signs else ""


_CASES: tuple[Callable[[Stop], Problem | None], ...] = (
    _comment,
    _habit,
    _brackets,
    _unknown_word,
    _statement,
    _colon,
    _equals,
    _line_end,
    _missing_operand,
    _side_by_side,
    _second_value,
)
