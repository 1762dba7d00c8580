"""Plausible mistakes of a student, each in a small model that is right but for it."""

# ruff: noqa: E501

from __future__ import annotations

ABOVE = """\
model Net(n = 4, L = 2):
    input X : (n, m)
    target Y : (1, m)
    a = 1
    b = 2
    h = X
"""
BELOW = """\
    Y_hat = X -> Dense(1)
    loss squared_error(Y_hat, Y)
    output Y_hat
"""

# Lines of a model. What they use is defined above them.
LINES = {
    "a comparison without spaces": "k = 1 if a<b else 2",
    "a comparison without spaces in an if": "if a<b:\n    k = 1\nelse:\n    k = 2",
    "a chained comparison": "k = 1 if 0 < a < 3 else 2",
    "one equals sign in an if": "if a = b:\n    k = 1\nelse:\n    k = 2",
    "two equals signs in an equation": "Z == X * 2",
    "an equation in an equation": "Z = V = X * 2",
    "a walrus for an equation": "Z := X * 2",
    "a walrus in brackets": "Z = relu(V := X)",
    "for without a colon": "for l in 1..L\n    k[l] = l",
    "if without a colon": "if a == 1\n    k = 1\nelse:\n    k = 2",
    "else without a colon": "if a == 1:\n    k = 1\nelse\n    k = 2",
    "when without a colon": "when training\n    k = 1\notherwise:\n    k = 2",
    "a block on the header's line": "for l in 1..L: k[l] = l",
    "no block below a for": "for l in 1..L:\nk[l] = l",
    "for over range": "for l in range(3):\n    k[l] = l",
    "for with an equals sign": "for l = 1..L:\n    k[l] = l",
    "for with three dots": "for l in 1...L:\n    k[l] = l",
    "for with a colon range": "for l in 1:L:\n    k[l] = l",
    "for with to": "for l in 1 to L:\n    k[l] = l",
    "else if": "if a == 1:\n    k = 1\nelse if a == 2:\n    k = 2\nelse:\n    k = 3",
    "elif": "if a == 1:\n    k = 1\nelif a == 2:\n    k = 2\nelse:\n    k = 3",
    "while": "while a < 3:\n    k = a",
    "a power with two stars": "Z = X**2",
    "ampersands": "k = 1 if a == 1 && b == 2 else 3",
    "bars": "k = 1 if a == 1 || b == 2 else 3",
    "an exclamation mark": "k = 1 if !(a == 1) else 3",
    "a question mark": "k = a == 1 ? 2 : 3",
    "a comment with slashes": "Z = X * 2 // twice as large",
    "a line of a comment with slashes": "// twice as large\nZ = X * 2",
    "a comment with a star": "/* twice as large */\nZ = X * 2",
    "a comment with a percent sign": "% twice as large\nZ = X * 2",
    "a docstring": '"""twice"""\nZ = X * 2',
    "plus equals": "Z = X\nZ += 1",
    "a semicolon": "Z = X * 2;",
    "two statements in a line": "Z = X * 2; V = X * 3",
    "two statements without a sign": "Z = X * 2 V = X * 3",
    "braces": "if a == 1 {\n    k = 1\n}",
    "a transposed matrix with a T above": "Z = X^T",
    "a transposed matrix with an apostrophe": "Z = X' @ X",
    "a transposed matrix by a method": "Z = X.transpose() @ X",
    "a product without a star": "Z = 2X",
    "a product of a number and brackets": "Z = 3(X + 1)",
    "a product of brackets": "Z = (X + 1)(X - 1)",
    "a product of two names": "Z = X Y",
    "a number that ends with its point": "Z = 1. * X",
    "a number that begins with its point": "Z = .5 * X",
    "a number with a comma": "Z = 0,5 * X",
    "a number with spaces": "k = 12 288",
    "a hexadecimal number": "k = 0xFF",
    "a raised two": "Z = X²",
    "a lowered one": "Z = h₁ * 2",
    "a typeset times": "Z = 2 × X",
    "a typeset dot": "Z = 2 · X",
    "a typeset minus": "Z = X − 1",
    "a typeset at most": "k = 1 if a ≤ b else 2",
    "a typeset arrow": "Z = X → relu",
    "a fat arrow": "Z = X => relu",
    "a pipe": "Z = X | relu",
    "typeset quotes": "require a == 1, “one”",
    "single quotes": "require a == 1, 'one'",
    "a string that is not closed": 'require a == 1, "one',
    "no tilde": "param W : (n, n) he",
    "an equals sign for a tilde": "param W : (n, n) = he",
    "a shape without brackets": "param W : n, n ~ he",
    "a shape in square brackets": "param W : [n, n] ~ he",
    "no colon before the shape": "param W (n, n) ~ he",
    "no comma in the shape": "param W : (n n) ~ he",
    "an input with an equals sign": "input V = (n, m)",
    "two colons": "param W :: (n, n) ~ he",
    "a parameter without its word": "W : (n, n) ~ he",
    "an unknown statement word": "parm W : (n, n) ~ he",
    "a capital statement word": "Loss sum(h)",
    "an arrow at the end of a line": "Z = X ->\n    relu",
    "a plus at the end of a line": "Z = X +\n    1",
    "a backslash at the end of a line": "Z = X + \\\n    1",
    "nothing after the equals sign": "Z =",
    "nothing before the arrow": "Z = -> relu",
    "a bracket that is not closed": "Z = relu(X\nV = X * 2",
    "a list that is not closed": "k = [1, 2, 3\nV = X * 2",
    "a bracket too many": "Z = relu(X))",
    "the wrong bracket": "Z = relu(X]",
    "a comma in front": "Z = max(, X)",
    "a colon for an argument": "Z = leaky_relu(X, slope: 0.1)",
    "a name with a hyphen": "Y-hat = X * 2",
    "a name with a dollar": "$k = 2",
    "a name that begins with a digit": "2nd = X * 2",
    "a name that is an operator word": "if = 3",
    "a formula on the left": "Z - 1 = X",
    "a function on the left": "f(z) = z^2",
    "brackets on the left": "(u, v) = split(X, (2, 2), over = first)",
    "a lambda": "f = lambda z: z^2",
    "a definition in a model": "def f(z):\n    return z^2",
    "return": "return X",
    "print": "print(X)",
    "a loss with a name": "loss J = sum(h)",
    "a metric without a name": "metric",
    "a shape alone": "W : (n, n)",
    "a time index with a space": "k = X <t-1>",
    "a time index two steps back": "k = X<t-2>",
    "a slice": "Z = X[:, 0]",
    "a slice with a range": "Z = X[0:2]",
    "true and a comparison": "k = 1 if a is 1 else 2",
    "not equal with angle brackets": "k = 1 if a <> 1 else 2",
    "at least the wrong way": "k = 1 if a => 1 else 2",
    "an if without else": "k = 1 if a == 1",
    "an if in front": "k = if a == 1 then 2 else 3",
    "a list comprehension": "k = [l for l in 1..3]",
    "a dictionary": "k = {1: 2}",
    "a set": "k = {1, 2}",
    "a domain without a value": "hyper lr in log(1e-4, 1e-1)",
    "a domain with a tilde": "hyper lr = 1e-3 ~ log(1e-4, 1e-1)",
    "indentation by five": " Z = X * 2",
    "a tab": "if a == 1:\n\tk = 1\nelse:\n\tk = 2",
    "a dedent to no level": "if a == 1:\n        k = 1\n    j = 2",
    "else without if": "k = 1\nelse:\n    k = 2",
    "none": "k = None",
}  # fmt: skip

# Whole files.
FILES = {
    "scan without a colon": (
        "layer Sum():\n    input x : (n, m, T)\n    a<0> : (n, m) = 0\n    scan t in 1..T\n        a<t> = a<t-1> + x<t>\n"
        "    output a\n"
    ),
    "time in square brackets": (
        "layer Sum():\n    input x : (n, m, T)\n    a<0> : (n, m) = 0\n    scan t in 1..T:\n        a<t> = a[t-1] + x[t]\n"
        "    output a\n\nmodel Net:\n    dim T\n    input x : (4, m, T)\n    output y = x -> Sum()\n"
    ),
    "a model without a colon": "model Net\n    input X : (4, m)\n    output X\n",
    "a model with brackets and no colon": "model Net(n = 4)\n    input X : (n, m)\n    output X\n",
    "a model with an equals sign": "model Net = X\n",
    "a model whose lines are not indented": "model Net:\ninput X : (4, m)\noutput X\n",
    "a model with nothing in it": "model Net:\n",
    "class": "class Net:\n    input X : (4, m)\n    output X\n",
    "def": "def f(z):\n    return z^2\n\nmodel Net:\n    input X : (4, m)\n    output Y = f(X)\n",
    "import numpy": "import numpy as np\n\nmodel Net:\n    input X : (4, m)\n    output Y = np.exp(X)\n",
    "from an import": "from torch import nn\n\nmodel Net:\n    input X : (4, m)\n    output Y = X -> nn.Linear(3)\n",
    "an import without quotes": "import blocks\n\nmodel Net:\n    input X : (4, m)\n    output Y = X\n",
    "a function without its word": "f(z) = z^2\n\nmodel Net:\n    input X : (4, m)\n    output Y = f(X)\n",
    "a function with return": "function f(z):\n    return z^2\n\nmodel Net:\n    input X : (4, m)\n    output Y = f(X)\n",
    "a function whose header ends with equals": (
        "function f(z) =\n    z^2\n\nmodel Net:\n    input X : (4, m)\n    output Y = f(X)\n"
    ),
    "a layer with a capital word": "Layer Twice():\n    input A : (k, m)\n    output 2 * A\n",
    "a layer as a formula": "layer Twice() = 2 * A\n",
    "a setting with a colon": (
        "model Net:\n    input X : (4, m)\n    output Y = X\n\ntrain:\n    epochs: 30\n    batch = 64\n"
    ),
    "a setting without a sign": "model Net:\n    input X : (4, m)\n    output Y = X\n\ntrain:\n    epochs 30\n",
    "a setting with a list": (
        "model Net:\n    input X : (4, m)\n    output Y = X\n\ndata:\n    split = 0.8 0.1 0.1\n    source = csv('a.csv')\n"
    ),
    "train without a colon": "model Net:\n    input X : (4, m)\n    output Y = X\n\ntrain\n    epochs = 30\n",
    "a statement outside of the model": "model Net:\n    input X : (4, m)\n\noutput X\n",
    "an unclosed header": "model Net(n = [1, 2]:\n    input X : (4, m)\n    output X\n",
}


def texts() -> dict[str, str]:
    """Every mistake as a whole file."""
    inside = {
        name: ABOVE + "".join(f"    {line}\n" for line in text.split("\n")) + BELOW for name, text in LINES.items()
    }
    return inside | FILES
