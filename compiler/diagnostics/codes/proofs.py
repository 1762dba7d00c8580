"""P: what is proved about the program, and what is suspicious in it; U: what a later version will do."""

from __future__ import annotations

from dlc.compiler.diagnostics.codes.record import entry

CODES = (
    entry(
        "P301",
        "an output depends on a target",
        """
        At prediction there is no target: it is what the network should find out. Losses and metrics may read it, an
        output may not, on no path. The message names a line on the way from the target to the output.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output error = Y_hat - Y
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            metric error = Y_hat - Y
            output Y_hat
        """,
    ),
    entry(
        "P302",
        "a prediction mixes examples",
        """
        What is predicted for one example may depend on that example only: otherwise the answer changes with the batch
        that it happens to sit in. A reduction, softmax or product over m mixes examples. In a loss, a metric or below
        `when training:` this is allowed; at prediction use a `state` kept from training, as batch normalization does.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            centred = X - mean(X, over = m)
            Y_hat = centred -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            centred = X - mean(X, over = first)
            Y_hat = centred -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "P303",
        "no loss reaches this parameter",
        """
        The parameter takes part in no loss, so that its gradient is zero and it keeps its first value. Perhaps a layer
        was written and not used in the output, or its result was replaced. A parameter meant to stay is `frozen`.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            param w : (4, 1) ~ ones
            scaled = w * X
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            param w : (4, 1) ~ ones
            scaled = w * X
            Y_hat = scaled -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        severity="warning",
    ),
    entry(
        "P304",
        "a loss reaches no parameter",
        """
        This loss is the same whatever the parameters are: nothing is learned from it. Perhaps it compares the input
        with the target instead of the prediction.
        """,
        """
        model Net:
            input X : (1, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            loss squared_error(X, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (1, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        severity="warning",
    ),
    entry(
        "P305",
        "one instance twice in one chain",
        """
        A named instance has one set of weights: applied twice in a row, both layers share them, and both add to their
        gradient. That is legal, and sometimes meant (a recurrent step written out). Where two layers were meant, make
        two instances.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            hidden = Dense(4, relu)
            Y_hat = X -> hidden -> hidden -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(4, relu) -> Dense(4, relu) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        severity="warning",
    ),
    entry(
        "P306",
        "the last activation and the loss do not belong together",
        """
        softmax gives one distribution over classes, and its loss is `cross_entropy`; sigmoid gives a yes or no for each
        feature, and its loss is `binary_cross_entropy`. Crossed, the network still trains, to worse results.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (3, m) one_hot
            Y_hat = X -> Dense(3, softmax)
            loss binary_cross_entropy(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (3, m) one_hot
            Y_hat = X -> Dense(3, softmax)
            loss cross_entropy(Y_hat, Y)
            output Y_hat
        """,
        severity="warning",
    ),
    entry(
        "P307",
        "hidden weights that begin at zero",
        """
        If all weights of a hidden layer begin equal, all its units compute the same and receive the same gradient:
        they stay equal for ever, and the layer is worth one unit. Draw the weights at random: `~ he` before relu,
        `~ xavier` before tanh. Biases may begin at zero.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            param W : (8, 4) ~ zeros
            A = relu(W @ X)
            Y_hat = A -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            param W : (8, 4) ~ he
            A = relu(W @ X)
            Y_hat = A -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        severity="warning",
    ),
    entry(
        "P308",
        "a bias before batch normalization",
        """
        Batch normalization subtracts the mean over the batch, and with it any constant: a bias in the layer before has
        no effect and its gradient is zero. The shift is BatchNorm's own beta. Leave the bias out.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(8) -> BatchNorm() -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            param W : (8, 4) ~ he
            Y_hat = W @ X -> BatchNorm() -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        severity="warning",
    ),
    entry(
        "P309",
        "the model has no loss",
        """
        Training makes the cost small, and the cost is the mean of the `loss` lines. A model without one can be checked
        and can predict, but there is nothing to train it for.
        """,
        """
        model Net:
            input X : (4, m)
            output Y_hat = X -> Dense(1)

        train:
            optimizer = Adam()
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat

        train:
            optimizer = Adam()
        """,
        severity="warning",
    ),
    entry(
        "P310",
        "a missing value counts as 0",
        """
        An `optional` input or target may be missing in some examples, and is 0 there. `known(Y)` says where it is not:
        1 where there is a value, 0 where it is missing. Without it, a loss would teach the network zeros that nobody
        measured. Weigh the loss with it.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (3, m) optional
            Y_hat = X -> Dense(3)
            loss (Y_hat - Y)^2
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (3, m) optional
            Y_hat = X -> Dense(3)
            loss known(Y) * (Y_hat - Y)^2
            output Y_hat
        """,
        severity="warning",
    ),
    entry(
        "P311",
        "a generator reads a word before it is written",
        """
        `generate` chooses the word y<t> from y_hat<t> and feeds it back, so y_hat<t> may depend on y<1>, …, y<t-1> and
        on nothing later: not on y<t>, and not on how many words will follow. In training all of y is given, and a model
        that looks at y<t> learns to copy it; it would have nothing to copy when it predicts. Read the word before,
        `y<t-1>` in a scan or `shift(y)`, and mask attention: a step looks at those up to its own.
        """,
        """
        model Names(V = 27, n_a = 16):
            dim T <= 30
            input y : (V, m, T) one_hot
            y_hat = y -> RNN(n_a) -> Dense(V, softmax)
            loss cross_entropy(y_hat, y)
            output s = generate(y, from = y_hat, until = 0, max = 30, by = greedy)
        """,
        """
        model Names(V = 27, n_a = 16):
            dim T <= 30
            input y : (V, m, T) one_hot
            y_hat = shift(y) -> RNN(n_a) -> Dense(V, softmax)
            loss cross_entropy(y_hat, y)
            output s = generate(y, from = y_hat, until = 0, max = 30, by = greedy)
        """,
    ),
    entry(
        "P312",
        "the target stands in the prediction's place",
        """
        The losses are written as in the course, loss(Y_hat, Y): cross-entropy takes the logarithm of the prediction.
        The other way round it takes the logarithm of zeros and ones.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1, sigmoid)
            loss binary_cross_entropy(Y, Y_hat)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1, sigmoid)
            loss binary_cross_entropy(Y_hat, Y)
            output Y_hat
        """,
        severity="warning",
    ),
    entry(
        "P313",
        "a softmax or a sigmoid is missing",
        """
        The cross-entropies take the logarithm of probabilities, and `generate` chooses words by them. A layer without
        an activation may give any number, and of a negative one there is no logarithm: training would end at once in
        values that are no numbers. softmax makes one distribution over the classes, sigmoid a yes or no for each
        feature. A loss is warned of, `generate` refused.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (3, m) one_hot
            Y_hat = X -> Dense(3)
            loss cross_entropy(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (3, m) one_hot
            Y_hat = X -> Dense(3, softmax)
            loss cross_entropy(Y_hat, Y)
            output Y_hat
        """,
        severity="warning",
    ),
    entry(
        "U901",
        "not supported yet",
        """
        The language has this, but this version of dlc cannot check or compile it yet. Nothing is silently left out:
        what is not supported is an error.
        """,
        """
        model Net:
            target Y : (1, m)
            for i in 1..2:
                input x[i] : (4, m)
                A[i] = x[i] -> Dense(4, tanh)
            Y_hat = A[1] + A[2] -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            target Y : (1, m)
            input x1, x2 : (4, m)
            for i in 1..2:
                A[i] = [x1, x2][i - 1] -> Dense(4, tanh)
            Y_hat = A[1] + A[2] -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
)
