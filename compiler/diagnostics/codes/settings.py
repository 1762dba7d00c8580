"""T: the `train:` and `data:` blocks, hypers, and the data's headers against the inputs."""

from __future__ import annotations

from dlc.compiler.diagnostics.codes.record import entry

CODES = (
    entry(
        "T401",
        "an unknown setting",
        """
        The `train:` and `data:` blocks know certain settings and functions; a misspelt one would have no effect, so it
        is an error. A name that is near is suggested.
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
            epoch = 10
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
            epochs = 10
        """,
    ),
    entry(
        "T402",
        "a setting cannot have this value",
        """
        The value is of the wrong kind or out of its range: a batch is a whole number of examples or `all`, a share of
        the data lies between 0 and 1, a setting stands once in its block. A hyper keeps the kind of its default.
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
            batch = 0.5
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
            batch = 32
        """,
    ),
    entry(
        "T403",
        "a setting is missing",
        """
        Without this setting the command cannot do its work: a `data:` block names its source and says for every input
        and target where it comes from. An `optional` input may be left out.
        """,
        """
        model Net:
            input X : (2, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat

        data:
            source = csv("housing.csv")
            X = columns(size, age)
        """,
        """
        model Net:
            input X : (2, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat

        data:
            source = csv("housing.csv")
            X = columns(size, age)
            Y = column(price)
        """,
        form="files",
    ),
    entry(
        "T404",
        "the data does not have the shape that the model declares",
        """
        The header of the data is checked like any other shape, before a row is read: `input X : (64, m)` needs 64
        columns, or an array whose axes have these sizes. Arrays keep the orientation of the declaration: examples
        where m stands. Images are (height, width, channels), and change only where the spec says so:
        `X = resize(gray(image), 64) / 255`. Each of their folders is a class.
        """,
        """
        model Net:
            input X : (3, m)          # housing.csv: size,age,price
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat

        data:
            source = csv("housing.csv")
            X = columns(size, age)
            Y = column(price)
        """,
        """
        model Net:
            input X : (2, m)          # housing.csv: size,age,price
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat

        data:
            source = csv("housing.csv")
            X = columns(size, age)
            Y = column(price)
        """,
        form="files",
    ),
    entry(
        "T405",
        "the data has no such column",
        """
        The header has no column or array of this name. Names count letter by letter; a name with spaces or signs is
        written in quotes: `column("price in $")`. `columns("pixel_*")` takes all that match.
        """,
        """
        model Net:
            input X : (2, m)          # housing.csv: size,age,price
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat

        data:
            source = csv("housing.csv")
            X = columns(size, years)
            Y = column(price)
        """,
        """
        model Net:
            input X : (2, m)          # housing.csv: size,age,price
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat

        data:
            source = csv("housing.csv")
            X = columns(size, age)
            Y = column(price)
        """,
        form="files",
    ),
    entry(
        "T406",
        "`--set` names nothing that can be set",
        """
        `--set name=value` changes a hyper of the model, or a setting of its `train:` or `data:` block. Parameters are
        learned and equations are fixed: neither can be set. To make a number of the file settable, declare it:
        `hyper units = 64`.
        """,
        "dlc train net.dl --set unit=32",
        "dlc train net.dl --set units=32",
        form="command",
    ),
    entry(
        "T407",
        "a data file is not found, or lies outside the folder",
        """
        Paths of data are relative to the folder of the spec, and stay inside it: a `.dl` file from somebody else
        cannot read your files. `--root DIR` on the command line widens the folder.
        """,
        """
        data:
            source = csv("../../elsewhere/housing.csv")
        """,
        """
        data:
            source = csv("housing.csv")
        """,
        form="files",
    ),
    entry(
        "T408",
        "an input reads a column that the target reads",
        """
        The answer is among the inputs: the network only has to copy it, scores perfectly, and is of no use where the
        answer is not known. Most often a pattern such as columns("*") took one column too many. Equal sets of
        columns, as in an autoencoder, are not reported.
        """,
        """
        data:
            source = csv("housing.csv")    # size,age,price
            X = columns("*")
            Y = column(price)
        """,
        """
        data:
            source = csv("housing.csv")    # size,age,price
            X = columns(size, age)
            Y = column(price)
        """,
        severity="warning",
        form="files",
    ),
    entry(
        "T409",
        "the spec lacks what this command needs",
        """
        A file without a `data:` block can be checked, shown and used from Python with arrays of your own; `dlc train`
        needs to know where the data is. Without a `loss` line there is nothing to make small, so nothing to train.
        """,
        """
        model Net:
            input X : (2, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            input X : (2, m)
            target Y : (1, m)
            Y_hat = X -> Dense(1)
            loss squared_error(Y_hat, Y)
            output Y_hat

        data:
            source = csv("housing.csv")
            X = columns(size, age)
            Y = column(price)
        """,
        form="files",
    ),
    entry(
        "T410",
        "a value that a search may try does not fit",
        """
        The domain of a hyper, after `in`, holds the values that `dlc search` may try. A model is proved at its defaults
        and at the edges of all domains, so that no search fails after an hour on a value that could never have fitted.
        """,
        """
        model Net:
            hyper parts = 2 in {2, 3, 4}
            input X : (8, m)
            target Y : (8 / parts, m)
            Y_hat = X -> Dense(8 / parts)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
        """
        model Net:
            hyper parts = 2 in {2, 4, 8}
            input X : (8, m)
            target Y : (8 / parts, m)
            Y_hat = X -> Dense(8 / parts)
            loss squared_error(Y_hat, Y)
            output Y_hat
        """,
    ),
    entry(
        "T411",
        "a target stays where it is while augment moves the image",
        """
        `flip`, `crop` and `rotate` move the image, and what lies over it pixel by pixel (the classes of a segmentation)
        moves along. Numbers that say places in the image, the corners of a box, the landmarks of a face, do not: after
        a flip they would name the wrong side. With such targets only colors may change. Where the numbers say something
        else (an age, a weight), nothing is wrong.
        """,
        """
        data:
            source  = npz("faces.npz")    # X : (m, 64, 64, 3), landmarks : (10, m)
            augment = flip(), color_shift(20)
        """,
        """
        data:
            source  = npz("faces.npz")
            augment = color_shift(20)
        """,
        severity="warning",
        form="files",
    ),
)
