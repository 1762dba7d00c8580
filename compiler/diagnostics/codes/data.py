"""V: values in data files; R: run folders and checkpoints."""

from __future__ import annotations

from dlc.compiler.diagnostics.codes.record import entry

CODES = (
    entry(
        "V501",
        "a cell cannot be read",
        """
        The cell does not hold a number (or a class of the column). Numbers are written with a decimal point and
        without units: 1250.5, not `1.250,5 m`. The message names the file, the row and the column.
        """,
        """
        size,age,price
        120,30,250000
        95,new,210000
        """,
        """
        size,age,price
        120,30,250000
        95,0,210000
        """,
        form="data",
    ),
    entry(
        "V502",
        "a value is missing",
        """
        An empty cell or a NaN has no meaning for arithmetic: one of them makes the loss NaN, and with it every
        parameter. Fill it in or drop the row. Where missing values are to be expected, declare the input `optional`
        and ask `known(X)`, which is 0 or 1.
        """,
        """
        size,age,price
        120,,250000
        95,12,210000
        """,
        """
        size,age,price
        120,30,250000
        95,12,210000
        """,
        form="data",
    ),
    entry(
        "V503",
        "a label is out of range, or an unknown class",
        """
        Classes are counted from 0: `target Y : (10, m) one_hot` takes the labels 0 to 9, `index(V)` 0 to V-1. Labels
        that begin at 1 need one class more, or one subtracted. Words become classes in the training split, and new
        data may not bring new ones.
        """,
        """
        pixel_0,pixel_1,label
        0,16,3
        7,2,10
        """,
        """
        pixel_0,pixel_1,label
        0,16,3
        7,2,9
        """,
        form="data",
    ),
    entry(
        "V504",
        "a data file is empty, damaged or of another kind",
        """
        The file has no rows, breaks off, or is not what its name says. A CSV file has a header line with the names of
        its columns and then one line for each example. A folder of images has one folder for each class, or images
        alone. The message names the images that cannot be read: delete them, or save them anew.
        """,
        """
        size,age,price
        """,
        """
        size,age,price
        120,30,250000
        """,
        form="data",
    ),
    entry(
        "V505",
        "a row has too many or too few cells",
        """
        Each row has as many cells as the header has names. Often a text contains the delimiter: put it in quotes.
        """,
        """
        street,size,price
        Elm St 5, left,120,250000
        """,
        """
        street,size,price
        "Elm St 5, left",120,250000
        """,
        form="data",
    ),
    entry(
        "V506",
        "an array has the wrong shape",
        """
        Arrays have the shape of the declaration: for `input X : (64, m)` that is 64 rows and one column for each
        example. Most libraries put examples in rows; then it is X.T that fits. All arrays of one call have the same m.
        """,
        "model.forward(X=images.reshape(1797, 64))     # input X : (64, m)",
        "model.forward(X=images.reshape(1797, 64).T)   # input X : (64, m)",
        form="command",
    ),
    entry(
        "V507",
        "an array has the wrong type",
        """
        Inputs are numbers; `index` and class labels are whole numbers. Texts and objects are not converted silently,
        and neither is 2.7 to class 2.
        """,
        "model.fit(X=x, Y=np.array(['cat', 'dog']))    # target Y : (2, m) one_hot",
        "model.fit(X=x, Y=np.array([0, 1]))            # target Y : (2, m) one_hot",
        form="command",
    ),
    entry(
        "V508",
        "arrays do not match the model's inputs by name",
        """
        Arrays are given by the names of the inputs and targets: `model.loss(X=x, Y=y)`. `forward` asks only for what
        the outputs read; what is `optional` may be left out.
        """,
        "model.forward(x=images)    # input X : (64, m)",
        "model.forward(X=images)    # input X : (64, m)",
        form="command",
    ),
    entry(
        "V509",
        "arrays disagree on a run-time dimension",
        """
        A `dim T` is as large as the arrays say, and all of them say the same: the steps of an input and those of its
        target are one axis. `dim T <= 128` bounds it. A text of a `data:` block has as many steps as tokens, and each
        of its labels is one step too; `words(cut = 128)` leaves out the rest of longer ones.
        """,
        "model.loss(x=x[:, :, :12], y=y[:, :, :10])    # dim T; input x : (4, m, T); target y : (2, m, T)",
        "model.loss(x=x[:, :, :10], y=y[:, :, :10])    # dim T; input x : (4, m, T); target y : (2, m, T)",
        form="command",
    ),
    entry(
        "V510",
        "lengths do not fit the examples",
        """
        `lengths` give each example's own number of steps in a padded batch: one whole number for each example, from 1
        to the size of the padded axis, by the name of the dimension. What is left out counts as full length.
        """,
        'model.forward(x=x, lengths={"T": [3, 9]})    # x has shape (4, 2, 5)',
        'model.forward(x=x, lengths={"T": [3, 5]})    # x has shape (4, 2, 5)',
        form="command",
    ),
    entry(
        "V511",
        "a run-time dimension does not have a size that the model needs",
        """
        Some sizes are known only when data arrives, and a line of the model may need more of them: after four strides
        of 2 an image comes back to its own size only where its sides are divisible by 16. `dlc show` says what a model
        accepts. Crop or pad the data, or pad in the model.
        """,
        "model.forward(X=images)    # (8, 250, 250, 3), and the model needs n_H % 16 == 0",
        "model.forward(X=images[:, :240, :240])",
        form="command",
    ),
    entry(
        "V512",
        "the package that reads this kind of data is not installed",
        """
        CSV, NPZ and IDX files need nothing beside dlc. Parquet files are read by pyarrow, and images by pillow, which
        resizes them too; both come with the extra `data`, and are imported only where such data is read.
        """,
        "pip install dlc",
        "pip install 'dlc[data]'",
        form="command",
    ),
    entry(
        "V513",
        "a word that the vocabulary does not have",
        """
        `until = "<EOS>"` ends a text that a model writes where it writes this word, and the vocabulary says which class
        that is. It is found on the training data, so the texts there must end with the word. `line -> chars` and
        `column(title) -> words` put `<EOS>` behind each text of a target, and a whole text of words has it behind each
        sentence; in a whole text of characters a line ends with "\\n".
        """,
        """
        output s = generate(y, from = y_hat, until = "<EOS>", max = 60, by = greedy)    # y = chars
        """,
        """
        output s = generate(y, from = y_hat, until = "\\n", max = 60, by = greedy)    # y = chars
        """,
        form="command",
    ),
    entry(
        "R601",
        "a run folder cannot be read",
        """
        A run is a folder that `dlc train` wrote: `spec.dl`, `settings.json`, `last.safetensors`, `best.safetensors`,
        `metrics.jsonl`. The path names something else, or a file of it is missing.
        """,
        "dlc predict runs --data new.csv",
        "dlc predict runs/digits-20260115-101500 --data new.csv",
        form="command",
    ),
    entry(
        "R602",
        "a checkpoint is damaged",
        """
        The file's checksum does not match its content: it was cut off or changed after it was written. A checkpoint is
        written under a temporary name and renamed when it is whole, so the other one of the run (`last` or `best`) is
        most likely good.
        """,
        "dlc train digits.dl --resume runs/digits-20260115-101500     # last.safetensors is cut off",
        "dlc train digits.dl --resume runs/digits-20260115-091200     # the run before",
        form="command",
    ),
    entry(
        "R603",
        "a checkpoint does not belong to this spec",
        """
        The names or shapes of the parameters differ: the network was changed after the run, or a hyper has another
        value. A run keeps the spec it was trained with, `spec.dl` in its folder; go on with that, or train anew.
        """,
        "dlc train net.dl --set units=128 --resume runs/net-20260115-101500    # trained with units=64",
        "dlc train net.dl --set units=64 --resume runs/net-20260115-101500",
        form="command",
    ),
    entry(
        "R616",
        "the data of a run has changed",
        """
        A run keeps a fingerprint of its splits: how many examples each has, and a digest of them. The files that the
        spec names give others now. With other examples the splits are drawn anew, so that the run would be tested on
        some that it has learned from. Train on the new data from the beginning, or measure it on a file of its own.
        """,
        "dlc train --resume runs/digits-20260115-101500        # digits.csv has grown since",
        "dlc train digits.dl",
        form="command",
    ),
    entry(
        "R604",
        "the training diverged",
        """
        The loss or a parameter is no longer a finite number: the steps were too large, and each made the next one
        larger. What was learned before is kept. Take a smaller learning rate, clip the gradients, or bring the inputs
        to similar sizes with `-> standardize`.
        """,
        """
        train:
            optimizer = GradientDescent(lr = 100)
        """,
        """
        train:
            optimizer = GradientDescent(lr = 0.1)
            clip = norm(5)
        """,
        form="files",
    ),
    entry(
        "R605",
        "a file cannot be written",
        """
        The folder does not exist, is not yours to write, is full, or holds files of something else. What was there
        before is unchanged: files are written under a temporary name and renamed when they are whole.
        """,
        "dlc predict runs/digits-20260115-101500 --data new.csv -o /new.csv",
        "dlc predict runs/digits-20260115-101500 --data new.csv -o new.csv",
        form="command",
    ),
    entry(
        "R606",
        "there is not enough memory",
        """
        Activations of the whole batch are kept for the backward pass, so memory grows with the batch; parameters count
        several times, with their gradients and the optimizer's state. `dlc show` prints both.
        """,
        "dlc train net.dl --set batch=all",
        "dlc train net.dl --set batch=64",
        form="command",
    ),
)
