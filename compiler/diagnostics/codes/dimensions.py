"""D: dimensions do not fit."""

from __future__ import annotations

from dlc.compiler.diagnostics.codes.record import entry

CODES = (
    entry(
        "D101",
        "the two sides of `@` do not fit",
        """
        `A @ B` contracts the last axis of A with the first axis of B, so these two sizes must be equal:
        (k, n) @ (n, m) is (k, m). In a network, the columns of W[l] are the units of the layer before:
        W[l] : (n[l], n[l-1]) and A[l-1] : (n[l-1], m). The usual causes are swapped sizes in the declaration of W,
        an index that is off by one, and an input with the examples first.
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (10, m)
            param W : (64, 10) ~ he
            Y_hat = W @ X
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (10, m)
            param W : (10, 64) ~ he
            Y_hat = W @ X
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D102",
        "the sizes of an elementwise operation differ",
        """
        `+ - * /`, comparisons and functions of two tensors work element by element: the axes on both sides have equal
        sizes, one after the other, unless one of them is written 1. Nothing is repeated or cut to make sizes fit.
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (10, m)
            param W : (10, 64) ~ he
            param b : (64, 1) ~ zeros
            Y_hat = W @ X + b
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (10, m)
            param W : (10, 64) ~ he
            param b : (10, 1) ~ zeros
            Y_hat = W @ X + b
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D103",
        "the ranks of an elementwise operation differ",
        """
        Both sides of an elementwise operation have the same number of axes, or one of them is a scalar. NumPy would
        put axes of size 1 in front of the shorter shape; with the examples last, that is the wrong end, and the
        mistake goes unseen whenever two sizes happen to be equal. Write the axes of size 1: a bias of n units beside
        (n, m) is (n, 1).
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (10, m)
            param W : (10, 64) ~ he
            param b : (10) ~ zeros
            Y_hat = W @ X + b
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (10, m)
            param W : (10, 64) ~ he
            param b : (10, 1) ~ zeros
            Y_hat = W @ X + b
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D104",
        "both sides broadcast at once",
        """
        (n, 1) + (1, m) would give every combination, (n, m). That is nearly always an accident: a prediction (1, m)
        minus a target (m, 1) becomes a matrix of all differences, and the loss still falls. So only one side of an
        operation may stretch. Where the table of combinations is meant, `broadcast(a, (n, m))` says so.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (4, m)
            param a : (4, 1) ~ normal(0, 1)
            param b : (1, 4) ~ normal(0, 1)
            table = a + b
            Y_hat = table @ X
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (4, m)
            param a : (4, 1) ~ normal(0, 1)
            param b : (1, 4) ~ normal(0, 1)
            table = broadcast(a, (4, 4)) + b
            Y_hat = table @ X
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D105",
        "an axis of size 1 that is not written 1 does not broadcast",
        """
        An axis broadcasts only where the text says 1, in a declaration, an annotation or a pattern, or where a
        reduction left it. A size that merely computes to 1 for today's numbers does not: with another number the
        same line would be an error, or would mean something else. A target's axes never broadcast.
        """,
        """
        model Net(n = 1):
            input X : (64, m)
            target Y : (10, m)
            param W : (10, 64) ~ he
            param b : (10, n) ~ zeros
            Y_hat = W @ X + b
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (10, m)
            param W : (10, 64) ~ he
            param b : (10, 1) ~ zeros
            Y_hat = W @ X + b
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D106",
        "an annotation differs from the value's shape",
        """
        A shape after a name is a claim that is proved: Z : (n, m) = W @ X holds only where W @ X really has the
        shape (n, m). Either the claim is wrong or the formula is. A scalar fills any shape: s : (n, m) = 0.
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (10, m)
            param W : (10, 64) ~ he
            Y_hat : (64, m) = W @ X
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (10, m)
            param W : (10, 64) ~ he
            Y_hat : (10, m) = W @ X
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D107",
        "a division in a size does not come out exactly",
        """
        A bare `/` in a size must divide without remainder, and that is proved: 512 units over 7 heads are no whole
        number each. Choose sizes that divide (504 and 511 are divisible by 7), or say how to round with
        `floor(a / b)`, `ceil(a / b)` or `a // b`.
        """,
        """
        model Net(units = 512, heads = 7):
            input X : (64, m)
            target Y : (10, m)
            param W : (units / heads, 64) ~ he
            Y_hat = W @ X -> Dense(10)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net(units = 512, heads = 8):
            input X : (64, m)
            target Y : (10, m)
            param W : (units / heads, 64) ~ he
            Y_hat = W @ X -> Dense(10)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D108",
        "a layer's input does not have the shape that the layer declares",
        """
        A layer says what it accepts: `input A : (n_in, m, ...)` binds n_in to the first size, whatever it is, but
        sizes and axes that are already known must agree, and so must the number of axes. A layer for images,
        (m, n_H, n_W, n_C), does not accept columns (n, m), and the other way round: put `Flatten()` in between.
        """,
        """
        layer Pair():
            input A : (2, m)
            output A * A

        model Net:
            input X : (3, m)
            target Y : (1, m)
            Y_hat = X -> Pair() -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        layer Pair():
            input A : (2, m)
            output A * A

        model Net:
            input X : (2, m)
            target Y : (1, m)
            Y_hat = X -> Pair() -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D109",
        "a function's argument does not have the shape that the function declares",
        """
        Functions may say what shapes they take. The losses and metrics say `(...)` twice, which means equal shapes: a
        prediction (10, m) against a target (1, m) is no sum over stretched targets but an error. For class numbers
        declare the target as `(10, m) one_hot`.
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (1, m)
            Y_hat = X -> Dense(10)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D110",
        "`over` names no axis, or several",
        """
        `over = T` means the axis called T; else the only axis whose size is T. An axis is called by the name that is
        written for it in the nearest declaration or pattern. Where two axes qualify, rename one in an annotation:
        S : (k = T, q = T, m) = ... has the axes k and q. Also `first`, `last`, `all`, `features`, and tuples of these.
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (1, m)
            s = mean(X, over = time)
            Y_hat = s -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (64, m)
            target Y : (1, m)
            s = mean(X, over = first)
            Y_hat = s -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D111",
        "a size is not positive",
        """
        Every axis has at least one element. A size that computes to 0 or less shows a filter that is larger than its
        image, a subtraction too many, or layers that shrink what is already small.
        """,
        """
        model Net(n = 4):
            input X : (64, m)
            target Y : (1, m)
            param W : (n - 4, 64) ~ he
            Y_hat = W @ X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net(n = 4):
            input X : (64, m)
            target Y : (1, m)
            param W : (n - 3, 64) ~ he
            Y_hat = W @ X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D112",
        "a size cannot be solved for",
        """
        A new name in a pattern is bound to the size that stands there: with heads = 8, (heads * d, m) against (512, m)
        gives d = 64. That needs one unknown for each axis. With two, as in (a * b, m), many pairs would do; give one
        of them a value first, as an argument of the layer.
        """,
        """
        layer Grid():
            input A : (rows * columns, m)
            output A

        model Net:
            input X : (64, m)
            target Y : (1, m)
            Y_hat = X -> Grid() -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        layer Grid(rows):
            input A : (rows * columns, m)
            output A

        model Net:
            input X : (64, m)
            target Y : (1, m)
            Y_hat = X -> Grid(8) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D113",
        "a requirement fails",
        """
        `require` states what a layer needs of those who use it. It is proved at each use, with the sizes known there,
        and is a known fact in the lines below it. The message shows the use and the line that asks.
        """,
        """
        layer Halves():
            input A : (n, m)
            require n % 2 == 0, "the units are taken in two halves"
            output A

        model Net:
            input X : (7, m)
            target Y : (1, m)
            Y_hat = X -> Halves() -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        layer Halves():
            input A : (n, m)
            require n % 2 == 0, "the units are taken in two halves"
            output A

        model Net:
            input X : (8, m)
            target Y : (1, m)
            Y_hat = X -> Halves() -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D114",
        "`.T` needs exactly two axes",
        """
        The transpose exchanges the two axes of a matrix. For more axes there is no one transpose: say which goes where
        with `rearrange(x, (a, b, c) -> (c, b, a))`.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            param K : (4, 1, 1) ~ normal(0, 1)
            Y_hat = K.T @ X
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            param K : (4, 1) ~ normal(0, 1)
            Y_hat = K.T @ X
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D115",
        "a loss has the wrong shape",
        """
        A `loss` line is a scalar, or has the axis m exactly once, one number for each example; the cost is the mean
        over m. Other axes are summed. A value with m twice compares every example with every other one, which is
        what a forgotten transpose gives.
        """,
        """
        model Net:
            input X : (1, m)
            target Y : (1, m)
            param w : (1, 1) ~ ones
            E = (w @ X - Y).T @ (w @ X - Y)
            loss E
            output Y_hat = w @ X
        """,
        """
        model Net:
            input X : (1, m)
            target Y : (1, m)
            param w : (1, 1) ~ ones
            E = (w @ X - Y)^2
            loss E
            output Y_hat = w @ X
        """,
    ),
    entry(
        "D116",
        "the branches of a choice have different shapes",
        """
        A name that both branches of an `if` define has one shape after it, so both give the same. The two sides of
        `x if c else y` with a tensor condition are chosen element by element, and have equal shapes too.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (4, m)
            param W : (3, 4) ~ he
            Y_hat = X if X > 0 else W @ X
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (4, m)
            param W : (4, 4) ~ he
            Y_hat = X if X > 0 else W @ X
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D117",
        "a size is not a whole number",
        """
        A size counts elements. 2.5 units do not exist, and a size is the same for all examples, so it cannot be
        computed from a tensor. `/` between numbers is exact: 7 / 2 is 3.5. Round with `//`, `floor` or `ceil`.
        """,
        """
        model Net(n = 2.5):
            input X : (4, m)
            target Y : (1, m)
            param W : (n, 4) ~ he
            Y_hat = W @ X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net(n = 2):
            input X : (4, m)
            target Y : (1, m)
            param W : (n, 4) ~ he
            Y_hat = W @ X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D118",
        "too large",
        """
        A number, a loop or a dimension expression is beyond what any network needs: integers end at 10^30, and an
        unrolled loop has a limit too. Most often a power or a product went wrong, or two sizes were exchanged.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            param W : (10^40, 4) ~ he
            Y_hat = W @ X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            param W : (10^2, 4) ~ he
            Y_hat = W @ X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D119",
        "each example has its own length here",
        """
        A run-time dimension that stands beside m in an input is each example's own length, and batches are padded to
        the longest. What folds such an axis leaves the padding out, so it must know whose steps they are: the tensor
        has m. For the same reason such a dimension is no one number beside tensors: `lengths(x, over = T)` is a tensor.
        """,
        """
        model Net:
            dim T
            input X : (4, m, T)
            target Y : (1, m, 1)
            Y_hat = sum(X, over = T) / T -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            dim T
            input X : (4, m, T)
            target Y : (1, m, 1)
            Y_hat = sum(X, over = T) / lengths(X, over = T) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D121",
        "the filters of a convolution do not fit its input",
        """
        Each filter sees all channels of its window: A : (m, n_H, n_W, n_C_prev) is convolved with
        W : (f, f, n_C_prev, n_C), one axis for each spatial axis of A, then the input and the output channels. With
        groups, each group sees its share of the channels: W : (f, f, n_C_prev / groups, n_C), and groups divides both.
        """,
        """
        model Net:
            input X : (m, 8, 8, 3)
            target Y : (m, 6, 6, 4)
            param W : (3, 3, 1, 4) ~ he
            Y_hat = convolve(X, W)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (m, 8, 8, 3)
            target Y : (m, 6, 6, 4)
            param W : (3, 3, 3, 4) ~ he
            Y_hat = convolve(X, W)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D122",
        "a window cannot slide so",
        """
        A window slides by a stride of at least 1, over an axis with `pad` places added on each side. With as much
        padding as the window is wide, a window would see nothing but padding, so pad is less than the window. `pad` is
        a number, `valid` (none) or `same` (as much as makes the result ceil(n / stride) long). A tuple has one number
        for each axis that the window slides along.
        """,
        """
        model Net:
            input X : (m, 8, 8, 3)
            target Y : (m, 4, 4, 4)
            Y_hat = X -> Conv(3, 4, pad = same) -> MaxPool(2, stride = 0)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (m, 8, 8, 3)
            target Y : (m, 4, 4, 4)
            Y_hat = X -> Conv(3, 4, pad = same) -> MaxPool(2, stride = 2)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D123",
        "a pattern does not fit",
        """
        `rearrange` and `einsum` read the axes of their tensors by a pattern: names in scope are values, others are
        bound by the pattern, with one unknown in a product. In `rearrange` the same names stand left and right of the
        arrow: `heads * d` is taken apart into two axes, or they are put together. In `einsum` equal names are one axis,
        and a name that the result lacks is summed. No name stands on one side alone, because no axis comes from nowhere
        or is lost; a 1 adds or removes an axis.
        """,
        """
        model Net:
            input X : (8, m)
            target Y : (2, m)
            heads = 2
            parts = rearrange(X, (heads * d, m) -> (heads, m))
            Y_hat = parts -> Dense(2)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (8, m)
            target Y : (2, m)
            heads = 2
            parts = rearrange(X, (heads * d, m) -> (heads, d, m))
            Y_hat = drop(sum(parts, over = heads), over = first) -> Dense(2)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "D124",
        "the parts do not make up the whole",
        """
        `split` undoes `concat`: it takes an axis apart into pieces of the given sizes, one after the other, and nothing
        is left over. A piece that is not needed gets a name all the same.
        """,
        """
        model Net:
            input X : (8, m)
            target Y : (1, m)
            a, b = split(X, (3, 4), over = first)
            Y_hat = concat(a, b, over = first) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (8, m)
            target Y : (1, m)
            a, b = split(X, (3, 5), over = first)
            Y_hat = concat(b, a, over = first) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
)
