"""N: names, arguments and where statements may stand."""

from __future__ import annotations

from dlc.compiler.diagnostics.codes.record import entry

CODES = (
    entry(
        "N201",
        "an unknown name",
        """
        Nothing of that name is defined before this line: no equation, no declaration, no argument, nothing in the
        imports or the library. Letters count in their case: `X` and `x` differ. A name that is near is suggested.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(8, rellu) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(8, relu) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "N202",
        "a name is defined twice",
        """
        An equation is a definition, not an assignment: Z stands for one tensor everywhere. Give the second one a name
        of its own, or make a family of them: Z[1], Z[2]. Only a `state` changes, with `:=`, while training.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            A = X -> Dense(8, relu)
            A = A -> Dense(1)
            loss squared_error(A, Y)
            output A
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            A[1] = X -> Dense(8, relu)
            A[2] = A[1] -> Dense(1)
            loss squared_error(A[2], Y)
            output Y_hat = A[2]
        """,
    ),
    entry(
        "N203",
        "an unknown argument",
        """
        The layer or function has no argument of that name, or it is given twice. The rule shows its arguments and
        their defaults.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(8, activation = relu) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(8, g = relu) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "N204",
        "an argument is missing",
        """
        An argument without a default must be given: a Dense layer does not know its number of units by itself.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense() -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(8) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "N205",
        "too many arguments",
        """
        More arguments are given than the layer or function has. A layer's own size is its only one in the lecture's
        notation: the size of the input is read from what the layer is applied to.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(8, relu, 4) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(8, relu) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "N206",
        "this cannot be called or applied",
        """
        Only layers, their instances and functions are called. A layer is made first and applied then: `Dense(8)` makes
        an instance, `X -> Dense(8)` applies it. Multiplication is written with `*`: `2 * (a + b)`.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "N207",
        "a family or list has no such member",
        """
        A[l] exists for the indices at which it was defined, and lists count from 0: with n = [64, 32, 10], n[0] is the
        input's size, n[2] the last, and n[3] does not exist. The loop is often one round too long or starts too late.
        """,
        """
        model Net(n = [4, 8, 1]):
            input X : (n[0], m)
            target Y : (1, m)
            A[0] = X
            for l in 1..3:
                A[l] = A[l-1] -> Dense(n[l])
            loss squared_error(A[2], Y)
            output Y_hat = A[2]
        """,
        """
        model Net(n = [4, 8, 1]):
            input X : (n[0], m)
            target Y : (1, m)
            A[0] = X
            for l in 1..2:
                A[l] = A[l-1] -> Dense(n[l])
            loss squared_error(A[2], Y)
            output Y_hat = A[2]
        """,
    ),
    entry(
        "N208",
        "this must be known before anything runs",
        """
        Sizes, indices, the bounds of a `for` and the condition of an `if` are compile-time values: numbers of the
        file, hypers, sizes of declared axes. A tensor's values are known only when it runs. To choose by values,
        element by element, write `x if c else y`.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            s = mean(X, over = all)
            param W : (s, 4) ~ he
            Y_hat = W @ X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            s = 8
            param W : (s, 4) ~ he
            Y_hat = W @ X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "N209",
        "a name is used before it is defined",
        """
        Lines are read from top to bottom: a formula uses what stands above it. Move the definition up. A parameter of
        a named instance, such as `first.W`, exists after the instance has been applied: only then is its shape known.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            first = Dense(8, relu)
            size = mean(first.W^2, over = all)
            Y_hat = X -> first -> Dense(1)
            loss squared_error(Y_hat, Y)
            loss 0.1 * size
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (1, m)
            first = Dense(8, relu)
            Y_hat = X -> first -> Dense(1)
            size = mean(first.W^2, over = all)
            loss squared_error(Y_hat, Y)
            loss 0.1 * size
            output Y_hat
        """,
    ),
    entry(
        "N210",
        "an import cannot be read",
        """
        The path of an `import` is relative to the file that it stands in, and stays inside the folder of the file on
        the command line; `--root DIR` widens it. The imported file is UTF-8 text and does not import its importer.
        """,
        """
        import "no_such_file.dl"

        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        layer Block(n):
            input A : (n_in, m)
            output A -> Dense(n)

        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Block(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "N211",
        "two imports define the same name",
        """
        Two imported files both define this name, and the text does not say which is meant. Rename one, or define the
        name in this file: own names win.
        """,
        """
        import "a.dl"     # has layer Block
        import "b.dl"     # has layer Block too
        """,
        """
        import "a.dl"     # has layer Block
        import "b.dl"     # has layer ResidualBlock
        """,
        form="files",
    ),
    entry(
        "N212",
        "which model is meant",
        """
        The command needs one model. A file with none can only be imported; in a file with several, `--model NAME`
        says which. A `data:` or `train:` block belongs to the model above it.
        """,
        "dlc train two_models.dl",
        "dlc train two_models.dl --model Encoder",
        form="command",
    ),
    entry(
        "N213",
        "this statement does not belong here",
        """
        `input`, `target`, `loss` and `metric` belong to a model, `:=` below `when training:`, a formula's value to a
        name. A function has arguments instead of inputs, and no parameters of its own: make it a layer.
        """,
        """
        function Scale(z):
            param w : (1, 1) ~ ones
            output w * z

        model Net:
            input X : (1, m)
            target Y : (1, m)
            Y_hat = Scale(X)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        layer Scale():
            input z : (n, m)
            param w : (1, 1) ~ ones
            output w * z

        model Net:
            input X : (1, m)
            target Y : (1, m)
            Y_hat = X -> Scale()
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "N214",
        "another kind of value belongs here",
        """
        A number, a tensor, a list, a layer, a function and a text are different kinds of value, and each place takes
        certain ones. Word or class numbers are no quantities either: `E @ x` with x : index(V) multiplies by a number
        that means a name; write `E @ one_hot(x)`.
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (4, m)
            param b : (4, 1) ~ zeros
            Y_hat = X + b + relu
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (4, m)
            target Y : (4, m)
            param b : (4, 1) ~ zeros
            Y_hat = relu(X + b)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "N215",
        "a definition of the file takes the place of the library's",
        """
        The file defines a name that the standard library has too. The file's own definition wins wherever the file
        uses the name; the library's own texts go on using the library's. A note only: give it another name if that
        was not meant.
        """,
        """
        function relu(z) = max(0, z) + 0.01 * z

        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(8, relu) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        function my_relu(z) = max(0, z) + 0.01 * z

        model Net:
            input X : (4, m)
            target Y : (1, m)
            Y_hat = X -> Dense(8, my_relu) -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        severity="note",
    ),
    entry(
        "N216",
        "a scan or a time index where it has no meaning",
        """
        `scan t in 1..T:` is a loop over the steps of a sequence. In it `x<t>` is a step of a sequence and `a<t> = …`
        says a result of the step, which is collected: after the scan, `a` is the whole sequence. Outside of it a time
        index is a number or the dimension: `a<0>`, `a<3>`, `a<T>`.
        """,
        """
        model Net:
            dim T
            input x : (4, m, T)
            last = x<t>
            output last
        """,
        """
        model Net:
            dim T
            input x : (4, m, T)
            last = x<T>
            output last
        """,
    ),
    entry(
        "N217",
        "a step that is not there",
        """
        A step of a scan reads `a<t>` below the line that defines it, and `a<t-1>`, what the step before left. At the
        first step that is `a<0>`, so an equation before the scan says what `a<0>` is. Outside of a scan, `a<3>` must be
        a step that every sequence has.
        """,
        """
        model Net:
            dim T
            input x : (4, m, T)
            scan t in 1..T:
                s<t> = s<t-1> + x<t>
            output s
        """,
        """
        model Net:
            dim T
            input x : (4, m, T)
            s<0> : (4, m) = 0
            scan t in 1..T:
                s<t> = s<t-1> + x<t>
            output s
        """,
    ),
)
