"""R607 and on: files of weights, those that `load … from` reads and those that `dlc convert` makes them of."""

from __future__ import annotations

from dlc.compiler.diagnostics.codes.record import entry

CODES = (
    entry(
        "R607",
        "a file of weights cannot be opened",
        """
        `load backbone from "file.safetensors"` reads a file of the spec's own folder tree (`--root DIR` widens it). Its
        path is relative to the spec. The checkpoint of a run will do: "runs/net-20260115-101500/best.safetensors".
        """,
        'load backbone from "/home/ada/backbone.safetensors"',
        'load backbone from "backbone.safetensors"',
        form="files",
    ),
    entry(
        "R608",
        "a file of weights lacks a tensor that the network has",
        """
        Parameters and states are known by where they stand, `backbone.conv[1].W`. The file gives all that stand under
        the place that is loaded: by their whole names, by those within the place (`conv[1].W`), or under one other
        place that has all of them. Files of torch have other names; `dlc convert` renames them by a map.
        """,
        'load encoder from "backbone.safetensors"    # it holds conv[1].weight, conv[1].bias',
        'load encoder from "encoder.safetensors"     # it holds conv[1].W, conv[1].b',
        form="files",
    ),
    entry(
        "R609",
        "a file of weights has a tensor that the network lacks",
        """
        The file has one tensor more for a layer than the spec: a bias, say, or the averages of a batch normalization.
        What was learned with it means something else without it. Write the layer as it was trained. Whole layers more
        are only a warning: what stands after them was learned too, and is not loaded.
        """,
        'load top from "top.safetensors"    # it holds W and b; top has only W',
        'load top from "top.safetensors"    # top = Dense(10), which has W and b',
        form="files",
    ),
    entry(
        "R610",
        "a tensor in a file of weights has another shape",
        """
        Every shape is compared with the declared one before a value is read. Either the network is of another size
        (its hypers differ from those it was trained with), or the axes stand in another order: filters are
        (f, f, n_C_prev, n_C) here and (n_C, n_C_prev, f, f) in torch. `dlc convert` turns the latter round.
        """,
        'load backbone from "backbone.safetensors"    # conv[1].W is (5, 5, 3, 16) there and (3, 3, 3, 16) here',
        'load backbone from "backbone.safetensors"    # with backbone = Backbone(f = 5)',
        form="files",
    ),
    entry(
        "R611",
        "a tensor in a file of weights does not hold real numbers",
        """
        Parameters are finite real numbers. Files may have them in 64, 32 or 16 bits (F64, F32, F16, BF16); each is
        rounded once to the type that the model computes in. Whole numbers, truth values and NaN are no parameters.
        """,
        'load backbone from "quantized.safetensors"    # conv[1].W is I8',
        'load backbone from "backbone.safetensors"     # conv[1].W is F32',
        form="files",
    ),
    entry(
        "R612",
        "a file of weights is damaged or of another kind",
        """
        The file is cut off, its header does not fit its size, its checksum does not match, or it is no safetensors file
        at all. Files of torch (`.pth`, `.pt`, `.bin`) are pickles: `dlc convert` reads the tensors in them, and nothing
        else.
        """,
        'load backbone from "resnet50.pth"',
        'load backbone from "resnet50.safetensors"    # dlc convert resnet50.pth net.dl --map resnet50.map -o …',
        form="files",
    ),
    entry(
        "R613",
        "a file of torch holds something other than tensors",
        """
        Such a file is a pickle, a program that builds objects, and Python's reader runs whatever it says. dlc reads it
        with a machine that knows tensors and dicts alone and refuses the rest: whole modules, optimizers, functions.
        Save the tensors of the model, `torch.save(model.state_dict(), "net.pth")`, where you have it.
        """,
        "dlc convert whole_model.pth net.dl --map net.map -o net.safetensors",
        "dlc convert state_dict.pth net.dl --map net.map -o net.safetensors",
        form="command",
    ),
    entry(
        "R614",
        "a map of names does not fit",
        """
        Each line of a map says what a layer, or a tensor, is called there and here. Every tensor of the file falls to
        the first line that fits it, every line is about some tensor, and no two tensors get one name. `-> -` leaves a
        layer out. `{i}` stands for a number, and `{i + 1}` on the right side for the next one.
        """,
        """
        features.{i}.conv.0.0 -> block[{j}].expansion
        """,
        """
        features.{i}.conv.0.0 -> block[{i}].expansion
        """,
        form="files",
    ),
    entry(
        "R615",
        "the model generates nothing",
        """
        `dlc sample` shows what a model writes word by word: an output made by `generate`. Other outputs are what
        `dlc predict` is for.
        """,
        "dlc sample runs/digits-20260115-101500",
        "dlc predict runs/digits-20260115-101500 --data new.csv",
        form="command",
    ),
)
