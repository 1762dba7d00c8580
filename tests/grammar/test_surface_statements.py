"""Each construct of the language, and the tree it makes."""

from __future__ import annotations

import pytest
from language_page import EXAMPLES
from tree_text import expression, read, statement, text_of

from dlc.grammar import ast
from dlc.grammar.lines import CONTINUES, STATEMENT_WORDS

EXPRESSIONS = [
    ("12_288", "12_288"),
    ("1e-3", "1e-3"),
    ('csv("a b.csv")', "(call csv 'a b.csv')"),
    ("[64, [32, 10], ]", "(list [64 (list [32 10])])"),
    ("[]", "(list [])"),
    ("n[l-1]", "n[(- l 1)]"),
    ("A[s, k]", "A[s k]"),
    ("a<t-1>", "a<(- t 1)>"),
    ("a<T>", "a<T>"),
    ("a<0>", "a<0>"),
    ("y<t + 1>", "y<(+ t 1)>"),
    ("a[l]<t>", "a[l]<t>"),
    ("f(x)<0>", "(call f x)<0>"),
    ("a < t", "(< a t)"),
    ("a<t> < b", "(< a<t> b)"),
    ("a<t> > b<t>", "(> a<t> b<t>)"),
    ("n>=3", "(>= n 3)"),
    ("W.T @ dZ", "(@ W.T dZ)"),
    ("f.W", "f.W"),
    ("stage[3].block[1].W", "stage[3].block[1].W"),
    ("X -> Dense(64, relu) as fc1 -> Dense(8)", "(-> (-> X (call Dense 64 relu) as fc1) (call Dense 8))"),
    ("x -> leaky_relu(slope = 0.1)", "(-> x (call leaky_relu slope=0.1))"),
    ("softmax(Z[l]) if l == L else relu(Z[l])", "(if (== l L) (call softmax Z[l]) (call relu Z[l]))"),
    ("a if p else b if q else c", "(if p a (if q b c))"),
    ("sum(z, over = ...)", "(call sum z over=...)"),
    ("sum(z, over = (first, last))", "(call sum z over=(shape [first last]))"),
    ("(x)", "x"),
    ("(a, b)", "(shape [a b])"),
    ("(a,)", "(shape [a])"),
    ("()", "(shape [])"),
    ("f(())", "(call f (shape []))"),
    ("(k = T, q = T, m)", "(shape [k=T q=T m])"),
    ("(m = m * R, h, w, c)", "(shape [m=(* m R) h w c])"),
    ("(f..., n_C_prev / groups, n_C)", "(shape [f... (/ n_C_prev groups) n_C])"),
    ("(... * c, m)", "(shape [(* ... c) m])"),
    ("(...)", "(shape [...])"),
    ("(d, k, m) -> (q, k, m)", "(-> (shape [d k m]) (shape [q k m]))"),
    ("split(y, (1, 4, 3), over = first)", "(call split y (shape [1 4 3]) over=first)"),
    (
        'generate(y, from = y_hat, until = "<EOS>", max = 60, by = beam(width = 3))',
        "(call generate y from=y_hat until='<EOS>' max=60 by=(call beam width=3))",
    ),
    ("f(a, b,)", "(call f a b)"),
    ("LSTM(64)(x)", "(call (call LSTM 64) x)"),
    ("input + loss + in + as + from", "(+ (+ (+ (+ input loss) in) as) from)"),
    (r'"a\"b\\c\n"', repr('a"b\\c\n')),
]


@pytest.mark.parametrize(("text", "tree"), EXPRESSIONS)
def test_expression(text: str, tree: str) -> None:
    assert text_of(expression(text)) == tree


STATEMENTS = [
    ("hyper units = 64 in {16, 32}", "(Hyper name=units default=64 domain=(set [16 32]))"),
    ("hyper lr = 1e-3 in log(1e-4, 1e-1)", "(Hyper name=lr default=1e-3 domain=(call log 1e-4 1e-1))"),
    ("hyper beta = 0.9 in log1m(0.9, 0.999)", "(Hyper name=beta default=0.9 domain=(call log1m 0.9 0.999))"),
    ("hyper p = 0.5 in uniform(0, 1)", "(Hyper name=p default=0.5 domain=(call uniform 0 1))"),
    ("hyper k = 3 in 1..8", "(Hyper name=k default=3 domain=(.. 1 8))"),
    ("hyper n = [64, 32]", "(Hyper name=n default=(list [64 32]))"),
    ("dim T <= 128", "(DimDecl names=[T] bound=128)"),
    ("dim T, S", "(DimDecl names=[T S])"),
    ("input X : (64, m)", "(Declaration kind=input targets=[X] shape=(shape [64 m]))"),
    ("input x : ()", "(Declaration kind=input targets=[x] shape=(shape []))"),
    ("input x : (n)", "(Declaration kind=input targets=[x] shape=(shape [n]))"),
    (
        "input w : (m, T) index(V) optional",
        "(Declaration kind=input targets=[w] shape=(shape [m T]) qualifiers=[(call index V) optional])",
    ),
    (
        "target Y : (10, m) one_hot",
        "(Declaration kind=target targets=[Y] shape=(shape [10 m]) qualifiers=[one_hot])",
    ),
    (
        "param W[l] : (n[l], n[l-1]) ~ he",
        "(Declaration kind=param targets=[W[l]] shape=(shape [n[l] n[(- l 1)]]) initializer=he)",
    ),
    (
        "param W_c, W_u : (n_a, n_a + n_x) ~ glorot",
        "(Declaration kind=param targets=[W_c W_u] shape=(shape [n_a (+ n_a n_x)]) initializer=glorot)",
    ),
    (
        "frozen param G : (m = 1, 300) ~ normal(0, 0.1)",
        "(Declaration kind=param frozen=True targets=[G] shape=(shape [m=1 300]) initializer=(call normal 0 0.1))",
    ),
    ("state v, s ~ zeros", "(Declaration kind=state targets=[v s] initializer=zeros)"),
    (
        "Z[l] : (n[l], m) = W[l] @ A[l-1] + b[l]",
        "(Equation targets=[Z[l]] shape=(shape [n[l] m]) value=(+ (@ W[l] A[(- l 1)]) b[l]))",
    ),
    ("a<0> : (n_a, m) = 0", "(Equation targets=[a<0>] shape=(shape [n_a m]) value=0)"),
    ("h, c = LSTM(64)(x)", "(Equation targets=[h c] value=(call (call LSTM 64) x))"),
    ("D : (n, m) ~ bernoulli(0.8)", "(Draw targets=[D] shape=(shape [n m]) distribution=(call bernoulli 0.8))"),
    ("mu := 0.9 * mu + 0.1 * x", "(StateUpdate target=mu value=(+ (* 0.9 mu) (* 0.1 x)))"),
    ("loss -Y*log(Y_hat)", "(Loss value=(* (- Y) (call log Y_hat)))"),
    ("loss (a + b)", "(Loss value=(+ a b))"),
    ("metric F1 = f(x)", "(Metric name=F1 value=(call f x))"),
    ("metric accuracy(Y_hat, Y)", "(Metric value=(call accuracy Y_hat Y))"),
    ("output Y_hat", "(Output value=Y_hat)"),
    ("output p = softmax(Z)", "(Output name=p value=(call softmax Z))"),
    ("output a : (n_a, m, T)", "(Output shape=(shape [n_a m T]) value=a)"),
    ("output p : (1, m) = sigmoid(z)", "(Output name=p shape=(shape [1 m]) value=(call sigmoid z))"),
    ("output g(W @ A + b)", "(Output value=(call g (+ (@ W A) b)))"),
    ('require n % 2 == 0, "even"', "(Require condition=(== (% n 2) 0) message='even')"),
    ("require n > 0", "(Require condition=(> n 0))"),
    ("freeze backbone, head.W", "(Freeze targets=[backbone head.W])"),
    ('load backbone from "vgg19.safetensors"', "(Load targets=[backbone] path='vgg19.safetensors')"),
    ("penalty(W)", "(ExpressionStatement value=(call penalty W))"),
    ("for l in 1..L:\n    x = l", "(For targets=[l] iterable=(.. 1 L) body=[(Equation targets=[x] value=l)])"),
    (
        "for n_C, s in reverse([(64, 1), (128, 2)]):\n    x = s",
        "(For targets=[n_C s] iterable=(call reverse (list [(shape [64 1]) (shape [128 2])])) "
        "body=[(Equation targets=[x] value=s)])",
    ),
    (
        "if l == L:\n    x = 1\nelse:\n    x = 2",
        "(If condition=(== l L) body=[(Equation targets=[x] value=1)] otherwise=[(Equation targets=[x] value=2)])",
    ),
    (
        "when training:\n    x = 1\notherwise:\n    x = 2",
        "(When training=[(Equation targets=[x] value=1)] otherwise=[(Equation targets=[x] value=2)])",
    ),
    (
        "scan t in 1..T:\n    a<t> = x<t>",
        "(Scan name=t range=(.. 1 T) body=[(Equation targets=[a<t>] value=x<t>)])",
    ),
]


@pytest.mark.parametrize(("text", "tree"), STATEMENTS)
def test_statement(text: str, tree: str) -> None:
    assert text_of(statement(text)) == tree


DEFINITIONS = [
    ("n_x = 64 * 64 * 3", "(Equation targets=[n_x] value=(* (* 64 64) 3))"),
    ('import "blocks.dl"', "(Import path='blocks.dl')"),
    ("function sigmoid(z) = 1 / (1 + exp(-z))", "(Definition kind=function name=sigmoid "
     "parameters=[(Parameter name=z)] value=(/ 1 (+ 1 (call exp (- z)))))"),
    ("function sq(a : (...), b = 2) = a", "(Definition kind=function name=sq "
     "parameters=[(Parameter name=a shape=(shape [...])) (Parameter name=b default=2)] value=a)"),
    ("function f(z):\n    y = z\n    output y", "(Definition kind=function name=f parameters=[(Parameter name=z)] "
     "body=[(Equation targets=[y] value=z) (Output value=y)])"),
    ("model N(units = 64 in {16, 64}):\n    x = 1", "(Definition kind=model name=N "
     "parameters=[(Parameter name=units default=64 domain=(set [16 64]))] body=[(Equation targets=[x] value=1)])"),
    ("layer Flatten():\n    output x", "(Definition kind=layer name=Flatten body=[(Output value=x)])"),
    ("initializer he = normal(0, sqrt(2 / fan_in))", "(Definition kind=initializer name=he "
     "value=(call normal 0 (call sqrt (/ 2 fan_in))))"),
    ("regularizer l2(lambda) = lambda / (2 * m)", "(Definition kind=regularizer name=l2 "
     "parameters=[(Parameter name=lambda)] value=(/ lambda (* 2 m)))"),
    ("schedule s(lr) = lr / epoch",
     "(Definition kind=schedule name=s parameters=[(Parameter name=lr)] value=(/ lr epoch))"),
    ("optimizer SGD(lr = 0.1):\n    W := W - lr * dW", "(Definition kind=optimizer name=SGD "
     "parameters=[(Parameter name=lr default=0.1)] body=[(StateUpdate target=W value=(- W (* lr dW)))])"),
    ("data:\n    split = 0.8, 0.1, 0.1", "(Block kind=data settings=[(Setting name=split values=[0.8 0.1 0.1])])"),
    ("data:\n    X = columns(size, bedrooms) -> standardize", "(Block kind=data settings=[(Setting name=X "
     "values=[(-> (call columns size bedrooms) standardize)])])"),
    ("train:\n    early_stop = patience(5, on = dev.accuracy, best = max)", "(Block kind=train settings=[(Setting "
     "name=early_stop values=[(call patience 5 on=dev.accuracy best=max)])])"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tree"), DEFINITIONS)
def test_item_of_a_file(text: str, tree: str) -> None:
    (item,) = read(text).items
    assert text_of(item) == tree


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_parses(name: str) -> None:
    text = f"model M:\n{_indented(EXAMPLES[name])}" if name.startswith("einsum") else EXAMPLES[name]
    assert read(text).items


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


WORDS = sorted(STATEMENT_WORDS - {"if", "else"} | {"in", "as", "from", "training"})


@pytest.mark.parametrize("word", WORDS)
def test_a_statement_word_is_a_name_elsewhere(word: str) -> None:
    for text in (f"{word} = 3", f"{word}[1] = 3", f"{word} : (n, m) = x", f"{word}, x = f(y)", f"{word}<t> = 3"):
        assert isinstance(statement(text), ast.Equation), text
    assert isinstance(statement(f"{word} := 3"), ast.StateUpdate)
    assert isinstance(statement(f"input {word} : (3, m)"), ast.Declaration)
    assert text_of(expression(f"f({word}, {word} = {word}) + {word}.{word}")) == (
        f"(+ (call f {word} {word}={word}) {word}.{word})"
    )


def test_a_setting_may_be_called_like_a_statement() -> None:
    (block,) = read("train:\n    optimizer = Adam(lr = 1e-3)\n    loss = 3\n    data = 2\n").items
    assert isinstance(block, ast.Block)
    assert [s.name.id for s in block.settings] == ["optimizer", "loss", "data"]


def test_items_keep_the_order_of_the_text() -> None:
    file = read('import "a.dl"\nn = 3\nmodel A:\n    x = n\ndata:\n    s = 1\ntrain:\n    e = 1\nmodel B:\n    y = n\n')
    assert [type(item).__name__ for item in file.items] == [
        "Import", "Equation", "Definition", "Block", "Block", "Definition",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "   \n  # x", "\N{BYTE ORDER MARK}"])
def test_a_file_without_statements_is_empty(text: str) -> None:
    assert read(text).items == ()


class TestLines:
    """What makes one statement of several lines."""

    def test_an_operator_at_the_start_of_a_line_continues(self) -> None:
        text = "x = X\n  -> Dense(64)\n# between\n\n  -> Dense(8)\n  + 1\n- 2"
        assert text_of(statement(text)) == text_of(statement("x = X -> Dense(64) -> Dense(8) + 1 - 2"))

    @pytest.mark.parametrize("operator", sorted(CONTINUES))
    def test_every_binary_operator_continues(self, operator: str) -> None:
        assert text_of(statement(f"x = a\n    {operator} b")) == text_of(statement(f"x = a {operator} b"))

    def test_brackets_hold_lines_together(self) -> None:
        text = "x = f(a,  # first\n\n  b\n)\n"
        assert text_of(statement(text)) == text_of(statement("x = f(a, b)"))

    def test_a_bracket_may_hold_lines_at_the_margin(self) -> None:
        (item,) = read("n = f(\na,\nb\n)\n").items
        assert text_of(item) == "(Equation targets=[n] value=(call f a b))"

    def test_line_ends_of_windows(self) -> None:
        text = EXAMPLES["a first file"]
        assert text_of(read(text.replace("\n", "\r\n")).items) == text_of(read(text).items)


class TestNames:
    def test_names_are_compared_after_nfkc(self) -> None:
        composed, decomposed = expression("Ŷ"), expression("Y\N{COMBINING CIRCUMFLEX ACCENT}")
        assert isinstance(composed, ast.Name)
        assert isinstance(decomposed, ast.Name)
        assert composed.id == decomposed.id == "Ŷ"

    @pytest.mark.parametrize("name", ["α", "Δx", "x\N{COMBINING CIRCUMFLEX ACCENT}", "学习率", "_a1", "été", "हिन्दी"])
    def test_letters_of_any_language(self, name: str) -> None:
        assert isinstance(expression(name), ast.Name)

    def test_a_time_index_may_be_unicode(self) -> None:
        assert text_of(expression("α<τ-1>")) == "α<(- τ 1)>"
