"""Texts as data: tokens, vocabularies that the training split alone decides, windows, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from data_project import declare

from dlc.compiler.diagnostics import DiagnosticError
from dlc.compiler.dims import Dim, Symbol
from dlc.compiler.program import M
from dlc.compiler.settings import Tokens
from dlc.runtime import memory
from dlc.runtime.data.dataset import apply
from dlc.runtime.data.fingerprint import fingerprint
from dlc.runtime.data.layout import LENGTHS
from dlc.runtime.data.preprocessing import Preprocessing
from dlc.runtime.data.tokens import pieces
from dlc.runtime.data.vocabulary import Vocabulary
from dlc.runtime.memory import memory_told

T = Symbol("T", "runtime")
TOO_MANY = "the vocabulary of y has 2 classes, and <UNK>, <PAD> leave none for words"
BOUNDED = Symbol("T", "runtime", upper=5)
LINE = 'source = text("t.txt")\ny = line -> '
WHOLE = 'source = text("t.txt")\ny = '


def target(classes, *steps):
    return declare("y", classes, M, *steps, role="target", one_hot=True)


def index(name, classes, *steps, **kind):
    return declare(name, M, *steps, index=True, classes=classes, **kind)


@pytest.fixture
def texts(project):
    """`texts(lines of data:, inputs, text)`: a project with the text in t.txt."""

    def make(lines, inputs, text="", **files):
        made = project(lines, inputs, **files)
        content = text if isinstance(text, bytes) else text.encode()
        (made.folder / "t.txt").write_bytes(content)
        return made

    return make


def examples(part, name):
    """The rows of a split, each of its own length."""
    return [part.arrays[name][row].reshape(-1).tolist() for row in range(part.count)]


def decoded(made, part, name="y"):
    known = made.preprocessing.vocabularies[name]
    return [[known.tokens[number] for number in row] for row in examples(part, name)]


def mistakes(found):
    return [(d.code, d.message) for d in found]


# --- tokens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop, well-known Ω!", ["Don't", "stop", ",", "well-known", "Ω", "!"]),
        ("3.14 and 1,000: yes...", ["3.14", "and", "1,000", ":", "yes", "..."]),
        ("<unk> met <br> it", ["<UNK>", "met", "<br>", "it"]),
        ("“a” (b)", ["“", "a", "”", "(", "b", ")"]),
    ],
)
def test_words(text, expected):
    assert pieces(text, Tokens("words")) == expected


@pytest.mark.parametrize("text", ["Hello, (world)! It's 3.5 % of “it”; well-known?", "a: b. c"])
def test_words_are_joined_as_people_write_them(text):
    tokens = tuple(dict.fromkeys(pieces(text, Tokens("words"))))
    known = Vocabulary("words", ("<EOS>", *tokens))
    assert known.decode([*known.encode(text), 0, 3]) == text.replace("3.5 %", "3.5%")


def test_characters_go_both_ways():
    known = Vocabulary("chars", ("<EOS>", "a", "b", "\n"), lower=True)
    assert known.encode("AB\na") == [1, 2, 3, 1]
    assert known.decode([1, 3, 2, 0, 1]) == "a\nb"
    assert known.decode([1, 3, 2, 0, 1], until=3) == "a"
    assert known.decode([1, 7, 2]) == "a<UNK>b", "a model may have more classes"
    with pytest.raises(ValueError, match="'c' is not in the vocabulary"):
        known.encode("c")


# --- lines -----------------------------------------------------------------------------------------------------


def test_each_line_is_an_example_that_ends(texts):
    made = texts(LINE + "chars", [target(4, T)], "ab\n\n  bca \nc\n").load()
    assert made.preprocessing.vocabularies["y"].tokens == ("<EOS>", "a", "b", "c")
    train = made.splits["train"]
    assert examples(train, "y") == [[1, 2, 0], [2, 3, 1, 0], [3, 0]]
    assert train.arrays[LENGTHS + "T"].tolist() == [3, 4, 2]
    assert [train.place(row) for row in range(3)] == ["t.txt:1", "t.txt:3", "t.txt:4"]
    assert {name: lengths.tolist() for name, lengths in train.lengths.items()} == {"T": [3, 4, 2]}
    assert train.declared()["y"].tolist() == [[1, 2, 0, 0], [2, 3, 1, 0], [3, 0, 0, 0]]


def test_a_batch_is_as_long_as_its_longest_example(texts):
    column = texts(LINE + "chars", [target(4, T)], "ab\nbca\nc\n").load().splits["train"].arrays["y"]
    assert column.shape == (3, 4)
    batch = column[np.array([2, 0])]
    assert batch.dtype == np.int64
    assert batch.flags.c_contiguous
    assert batch.tolist() == [[3, 0, 0], [1, 2, 0]]
    assert column[1:].shape == (2, 4)


def test_lines_of_one_length_are_a_plain_array(texts):
    arrays = texts(LINE + "chars(end = off)", [target(4, T)], "ab\nbc\n").load().splits["train"].arrays
    assert isinstance(arrays["y"], np.ndarray)
    assert LENGTHS + "T" not in arrays


def test_cut_and_lower(texts):
    made = texts(LINE + "chars(lower = on, cut = 3)", [target(9, T)], "ABCD\nb\n").load()
    assert decoded(made, made.splits["train"]) == [["a", "b", "c"], ["b", "<EOS>"]]


def test_a_fixed_number_of_steps(texts):
    made = texts(LINE + "chars(pad = on)", [target(5, 3)], "abc\nb\n").load()
    assert made.preprocessing.vocabularies["y"].tokens == ("<UNK>", "<PAD>", "a", "b", "c")
    assert made.splits["train"].arrays["y"].tolist() == [[2, 3, 4], [3, 1, 1]]


# --- vocabularies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "classes", "expected"),
    [
        ("chars", 4, ("<EOS>", "a", "b", "c")),
        ("chars", 5, ("<EOS>", "<UNK>", "a", "b", "c")),
        ("chars", 3, ("<EOS>", "<UNK>", "b")),
        ("chars(vocabulary = 3)", 5, ("<EOS>", "<UNK>", "b")),
        ("chars(end = off)", 3, ("a", "b", "c")),
        ("words", 4, ("<EOS>", "<UNK>", "b", "c")),
        ("words", 9, ("<EOS>", "<UNK>", "b", "c", "a")),
        ("words(pad = on, end = off)", 9, ("<UNK>", "<PAD>", "b", "c", "a")),
    ],
)
def test_the_most_frequent_have_classes(texts, unit, classes, expected):
    """b stands there three times, c twice, a once; the line is `b c b a c b`, of characters `bcbacb`."""
    text = "b c b a c b" if "words" in unit else "bcbacb"
    made = texts(LINE + unit, [target(classes, 6 if "pad" in unit else T)], text).load()
    assert made.preprocessing.vocabularies["y"].tokens == expected


def test_the_vocabulary_is_that_of_the_training_split(texts):
    lines = f"{LINE}words\nsplit = 0.5, 0.5"
    made = texts(lines, [target(9, T)], "a b\nc d\ne f\ng h\n").load()
    rows = {split: sorted(part.rows.tolist()) for split, part in made.splits.items()}
    known = {word for row in rows["train"] for word in ("ab", "cd", "ef", "gh")[row]}
    assert set(made.preprocessing.vocabularies["y"].tokens) == {"<EOS>", "<UNK>", *known}
    assert decoded(made, made.splits["test"]) == [["<UNK>", "<UNK>", "<EOS>"]] * 2
    assert {tuple(row[:2]) for row in decoded(made, made.splits["train"])} == {
        tuple(("ab", "cd", "ef", "gh")[row]) for row in rows["train"]
    }


def test_inputs_of_one_column_share_a_vocabulary(project):
    lines = 'source = csv("a.csv")\nx = column(s) -> words(end = on)\ny = column(s) -> words'
    made = project(lines, [index("x", 9, T), target(4, T)], a="s\nb a b\nc b b\n").load()
    known = made.preprocessing.vocabularies
    assert known["x"].tokens == known["y"].tokens == ("<EOS>", "<UNK>", "b", "a")
    arrays = made.splits["train"].arrays
    assert arrays["x"].tolist() == arrays["y"].tolist() == [[2, 3, 2, 0], [1, 2, 2, 0]]


def test_a_saved_vocabulary_is_applied_again(texts):
    made = texts(LINE + "words(lower = on)", [target(5, T)], "a b b\nb c\n")
    fitted = made.load().preprocessing
    again = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
    new = made.folder / "new.txt"
    new.write_text("C x b\n\nB\n")
    part = apply(again, new, made.inputs, True)
    known = fitted.vocabularies["y"]
    assert [[known.tokens[i] for i in row] for row in examples(part, "y")] == [
        ["c", "<UNK>", "b", "<EOS>"],
        ["b", "<EOS>"],
    ]


@pytest.mark.parametrize(
    ("unit", "classes", "text", "severity", "message"),
    [
        ("chars", 9, "ab", "warning", "y : (9, m, T) one_hot has 9 classes, the training split only 2 chars"),
        ("chars", 4, "aaabbbcd", "warning", "4 chars: 2 of them, 25.0% of its text, are <UNK>"),
        ("words", 4, "a a a b b b c d", "note", "4 words: 2 of them, 25.0% of its text, are <UNK>"),
    ],
)
def test_what_is_told_of_the_fit(texts, unit, classes, text, severity, message):
    (note,) = texts(LINE + unit, [target(classes, T)], text).load().notes
    assert (note.code, note.severity) == ("V503", severity)
    assert note.message.endswith(message)


# --- tables ----------------------------------------------------------------------------------------------------


def test_tags_of_words(project):
    lines = 'source = csv("a.csv")\nx = column(s) -> words\ny = column(tags) -> labels\np = column(n) -> numbers'
    table = "s,tags,n\nTom met Ann,PER O PER,1 0 1\nhi,O,0.5\n"
    inputs = [index("x", 9, T), target(2, T), declare("p", 1, M, T, role="target")]
    made = project(lines, inputs, a=table).load(dtype="float64")
    arrays = made.splits["train"].arrays
    assert made.preprocessing.entries["y"].classes == ("O", "PER")
    assert examples(made.splits["train"], "y") == [[1, 0, 1], [0]]
    assert examples(made.splits["train"], "p") == [[1, 0, 1], [0.5]]
    assert arrays["p"][:].shape == (2, 1, 3)
    assert arrays["p"].dtype == np.float64
    assert arrays[LENGTHS + "T"].tolist() == [3, 1]


def test_labels_that_are_class_numbers(project):
    lines = 'source = csv("a.csv")\ny = labels(column(tags))'
    made = project(lines, [target(3, T)], a="tags\n0 2\n2 1 1\n").load()
    assert examples(made.splits["train"], "y") == [[0, 2], [2, 1, 1]]


def test_texts_of_two_languages_have_their_own_lengths(project):
    other = Symbol("T_y", "runtime")
    lines = 'source = csv("a.csv")\nx = column(a) -> chars\ny = column(b) -> chars'
    made = project(lines, [index("x", 9, T), target(9, other)], a="a,b\nuv,xyz\nu,x\n").load()
    arrays = made.splits["train"].arrays
    assert arrays[LENGTHS + "T"].tolist() == [2, 1]
    assert arrays[LENGTHS + "T_y"].tolist() == [4, 2]


def test_a_model_of_a_column_reads_the_lines_of_a_text(project):
    lines = 'source = csv("a.csv")\nx = column(s) -> chars\ny = column(n)'
    inputs = [index("x", 4, T), declare("y", 1, M, role="target")]
    made = project(lines, inputs, a="s,n\nab,1\nc,2\n")
    (made.folder / "new.txt").write_text("ba\nca\n")
    part = apply(made.load().preprocessing, made.folder / "new.txt", made.inputs, False)
    assert part.arrays["x"].tolist() == [[2, 1], [3, 1]]


def test_a_table_of_parquet(project):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    made = project('source = parquet("a.parquet")\nx = column(s) -> words', [index("x", 9, T)])
    parquet.write_table(arrow.table({"s": ["b a", "b"], "n": [1.0, 2.0]}), made.folder / "a.parquet")
    assert examples(made.load().splits["train"], "x") == [[1, 2], [1]]
    wrong = project('source = parquet("a.parquet")\nx = column(n) -> words', [index("x", 9, T)]).headers()
    assert mistakes(wrong) == [("V507", 'column "n" of a.parquet holds numbers, x : (m, T) index(9) is made of texts')]


# --- whole texts -----------------------------------------------------------------------------------------------


def test_windows(texts):
    made = texts(WHOLE + "chars(window = 4)", [target(5, T)], "abcd\nabcda").load()
    part = made.splits["train"]
    assert "".join(map("".join, decoded(made, part))) == "abcd\nabc"
    assert [part.place(row) for row in range(2)] == ["t.txt:1", "t.txt:1"]


def test_a_window_is_as_long_as_the_model_says(texts):
    for steps in (BOUNDED, 5):
        part = texts(WHOLE + "chars", [target(9, steps)], "abcdefabcdef").load().splits["train"]
        assert part.arrays["y"].shape == (2, 5)


def test_without_a_window_each_line_is_an_example(texts):
    for lines in (LINE + "chars", WHOLE + "chars"):
        made = texts(lines, [target(4, T)], "ab\nbca\n").load()
        assert decoded(made, made.splits["train"]) == [["a", "b", "<EOS>"], ["b", "c", "a", "<EOS>"]]
        notes = ["each line of the text is an example of y, as nothing says how long T is"]
        assert [d.message for d in made.notes] == (notes if lines.startswith(WHOLE + "chars") else [])


def test_splits_of_a_text_stand_one_behind_the_other(texts):
    """And the vocabulary knows nothing of what comes behind the training split; the last window is whatever is left."""
    text = "aab" * 8 + "bbc" * 2 + "bcd" * 2 + "c"
    made = texts(WHOLE + "chars(window = 3)\nsplit = 0.6, 0.2, 0.2", [target(3, T)], text).load()
    parts = {split: ["".join(row) for row in decoded(made, part)] for split, part in made.splits.items()}
    assert made.preprocessing.vocabularies["y"].tokens == ("<UNK>", "a", "b")
    assert parts["train"] == ["aab"] * 8
    assert "".join(parts["dev"] + parts["test"]) == ("bbcbbcbcdbcdc").replace("c", "<UNK>").replace("d", "<UNK>")
    assert made.splits["test"].arrays[LENGTHS + "T"].tolist()[-1] == 1


def test_windows_that_overlap_are_in_one_split_only(texts):
    lines = f"{WHOLE}chars(window = 4, step = 2)\nsplit = 0.5, 0.5"
    made = texts(lines, [target(20, T)], "abcdefghijklmnop").load()
    train = {token for row in decoded(made, made.splits["train"]) for token in row}
    new = made.splits["test"].arrays["y"][:].reshape(-1).tolist()
    assert train == set("abcdefghij")
    assert set(new) == {made.preprocessing.vocabularies["y"].classes["<UNK>"]}


def test_a_split_without_windows_of_its_own(texts):
    lines = f"{WHOLE}chars(window = 5, step = 1)\nsplit = 0.8, 0.2"
    (found,) = texts(lines, [target(20, T)], "abcdefghij").refused()
    message = "split leaves the test split empty: all its windows begin in the one before it"
    assert (found.code, found.message) == ("T402", message)


def test_the_word_behind_the_last_ones(texts):
    """The neural language model: four words predict the next."""
    lines = 'source = text("t.txt")\nx = words(step = 1, end = off)\ny = words(step = 1, end = off, ahead = 2)'
    made = texts(lines, [index("x", 9, 2), target(9)], "a b c d e").load()
    part = made.splits["train"]
    assert decoded(made, part, "x") == [["a", "b"], ["b", "c"], ["c", "d"]]
    assert decoded(made, part) == [["c"], ["d"], ["e"]]
    assert part.arrays["y"].shape == (3,)


def test_an_input_and_the_same_text_one_step_later(texts):
    lines = 'source = text("t.txt")\nx = chars(window = 3)\ny = chars(window = 3, ahead = 1)'
    made = texts(lines, [index("x", 9, T), target(9, T)], "abcdefgh").load()
    part = made.splits["train"]
    assert ["".join(row) for row in decoded(made, part, "x")] == ["abc", "def"]
    assert ["".join(row) for row in decoded(made, part)] == ["bcd", "efg"]


def test_an_input_that_is_its_target(texts):
    lines = 'source = text("t.txt")\nx = chars(window = 3)\ny = chars(window = 3)'
    (found,) = texts(lines, [index("x", 9, T), target(9, T)], "abcdefgh").headers()
    assert (found.code, found.severity) == ("T408", "warning")
    assert found.message == "x and the target y are the same steps of the text"
    assert found.help == "write y = chars(ahead = 1) for the next one at each step"


def test_sentences_end(texts):
    text = "One two. Three\nfour?\n\nA title\n\nFive"
    made = texts(WHOLE + "words(window = 20)", [target(20, T)], text).load()
    (row,) = decoded(made, made.splits["train"])
    assert " ".join(row) == "One two . <EOS> Three four ? <EOS> A title <EOS> Five <EOS>"


def test_line_ends_of_other_systems(texts):
    made = texts(WHOLE + "chars(window = 9)", [target(4, T)], b"\xef\xbb\xbfa\r\nb\rc")
    data = made.load()
    assert decoded(data, data.splits["train"]) == [["a", "\n", "b", "\n", "c"]]


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.txt is empty"),
        (b" \n\n", "t.txt is empty"),
        (b"ab\nc\xe9d\n", "t.txt is not a text in UTF-8: byte 2 of line 2 is 0xe9"),
        (b"\xef\xbb\xbfab\n\xff", "t.txt is not a text in UTF-8: byte 1 of line 2 is 0xff"),
        ("ab".encode("utf-16"), "t.txt is not a text in UTF-8: byte 1 of line 1 is 0xff"),
        ("ab".encode("utf-16-le"), "t.txt is not a text in UTF-8: byte 2 of line 1 is 0x00"),
    ],
)
def test_files_that_are_no_texts(texts, content, message):
    made = texts(WHOLE + "chars(window = 2)", [target(9, T)], content)
    assert mistakes(made.headers()) == [("V504", message)]
    assert mistakes(made.refused()) == [("V504", message)]


def test_a_bad_byte_far_behind_is_found_at_load(texts):
    made = texts(WHOLE + "chars(window = 2)", [target(9, T)], b"ab\n" * 400_000 + b"\xff")
    assert made.headers() == []
    assert mistakes(made.refused()) == [("V504", "t.txt is not a text in UTF-8: byte 1 of line 400001 is 0xff")]


def test_a_character_on_the_border_of_what_a_check_reads(texts):
    made = texts(WHOLE + "chars(window = 2)", [target(9, T)], b"x" * ((1 << 20) - 1) + "é".encode())
    assert made.headers() == []


@pytest.mark.parametrize(
    ("lines", "inputs", "code", "message"),
    [
        (WHOLE + "chars(ahead = 1)", [target(9, T)], "T403", "y : (9, m, T) one_hot has as many steps as there are"),
        (
            WHOLE + "chars(window = 6)",
            [target(9, BOUNDED)],
            "T404",
            "the windows have 6 steps, and the model says `dim",
        ),
        (WHOLE + "chars(window = 6)", [target(9, 5)], "T404", "y : (9, m, 5) one_hot has 5 steps, the windows have 6"),
        (
            LINE + "chars(vocabulary = 10)",
            [target(9, T)],
            "T404",
            "the vocabulary has 10 chars, and y : (9, m, T) one_hot",
        ),
        (
            LINE + "chars",
            [target(9)],
            "T404",
            "y : (9, m) one_hot is one class, and a line has as many as it has chars",
        ),
        (LINE + "chars", [target(9, T, 7)], "T404", "a text has one axis, that of its steps, and y : (9, m, T, 7)"),
        (LINE + "chars(pad = on)", [target(9, T)], "T402", "pad fills texts up to a fixed number of steps, and T is"),
        (
            LINE + "chars",
            [declare("y", 1, M, T, role="target")],
            "T404",
            "chars give classes, and y : (1, m, T) takes real",
        ),
        (
            'source = text("t.txt")\ny = line',
            [target(9, T)],
            "T402",
            "y : (9, m, T) one_hot is made of the text's lines",
        ),
        ('source = text("t.txt")\ny = column(a)', [target(9, T)], "T402", "t.txt holds a text, column(a) does not"),
        (
            'source = text("t.txt")',
            [target(9, T)],
            "T403",
            "data: does not say what of the text y : (9, m, T) one_hot is",
        ),
        (LINE + "chars\nsplit = by_column(fold)", [target(9, T)], "T402", "t.txt holds a text, and no column fold"),
        (LINE + "chars", [target(9, 2 * Dim.symbol(T))], "U901", "y : (9, m, 2*T) one_hot has 2*T steps: reading"),
        (
            WHOLE + "words(window = 2)\nx = line -> words",
            [target(9, T), index("x", 9, T)],
            "T402",
            "y and x must be of the",
        ),
        (
            WHOLE + "chars(window = 2)\nx = words(window = 2)",
            [target(9, T), index("x", 9, T)],
            "T402",
            "y and x cut one",
        ),
    ],
)
def test_headers(texts, lines, inputs, code, message):
    found = texts(lines, inputs, "abcdefghij").headers()
    assert [(d.code, d.message[: len(message)]) for d in found] == [(code, message)]


@pytest.mark.parametrize(
    ("lines", "inputs", "message"),
    [
        (LINE + "chars", [target(1, T)], "the vocabulary of y has 1 class, and <EOS> leaves none for chars"),
        (LINE + "words", [target(2, T)], "the vocabulary of y has 2 classes, and <EOS>, <UNK> leave none for words"),
        (LINE + "words(pad = on)", [target(2, 3)], TOO_MANY),
        (
            LINE + "chars(vocabulary = 1)",
            [target(9, T)],
            "the vocabulary of y has 1 class, and <EOS> leaves none for chars",
        ),
    ],
)
def test_special_tokens_alone(texts, lines, inputs, message):
    assert mistakes(texts(lines, inputs, "abc\n").headers()) == [("T404", message)]


def test_a_vocabulary_of_another_model(texts):
    made = texts(LINE + "chars", [target(9, T)], "abcdef\n")
    fitted = made.load().preprocessing
    with pytest.raises(DiagnosticError) as caught:
        apply(fitted, made.folder / "t.txt", {"y": target(5, T)}, True)
    (found,) = caught.value.diagnostics
    message = "the saved vocabulary of y has 8 classes, y : (5, m, T) one_hot has 5"
    assert (found.code, found.message) == ("R603", message)


@pytest.mark.parametrize(
    ("column", "inputs", "code", "message"),
    [
        (
            "column(s)",
            [index("x", 9, T)],
            "T404",
            "x : (m, T) index(9) is a sequence, and column(s) is one value for each",
        ),
        ("chars", [index("x", 9, T)], "T402", "a.csv holds columns, chars does not: write column(…) -> chars"),
        ("column(q) -> chars", [index("x", 9, T)], "T405", 'a.csv has no column "q"'),
        ('column("*") -> chars', [index("x", 9, T)], "T404", 'column("*") gives 2 columns, and a text is one'),
        (
            "column(s) -> numbers",
            [index("x", 9, T)],
            "T404",
            "numbers give real numbers, and x : (m, T) index(9) takes",
        ),
        (
            "column(s) -> chars",
            [declare("x", M, T, index=True, classes=9, optional=True)],
            "U901",
            "x : (m, T) index(9) has",
        ),
    ],
)
def test_headers_of_tables(project, column, inputs, code, message):
    found = project(f'source = csv("a.csv")\nx = {column}', inputs, a="s,n\nab,1\n").headers()
    assert [(d.code, d.message[: len(message)]) for d in found] == [(code, message)]


@pytest.mark.parametrize(
    ("line", "inputs", "code", "message"),
    [
        (
            "x = column(s) -> words",
            [index("x", 9, BOUNDED)],
            "V509",
            "a.csv:3: column s: the text has 6 words, and the model says `dim T <= 5`",
        ),
        (
            "x = column(s) -> words",
            [index("x", 9, 6)],
            "V509",
            "a.csv:2: column s: the text has 2 words, and x : (m, 6) index(9) has 6 steps",
        ),
        (
            "x = column(s) -> words\ny = column(l) -> labels",
            [index("x", 9, T), target(3, T)],
            "V509",
            "a.csv:3: column l: x has 6 steps, y 2, and T is one number",
        ),
        (
            "y = column(l) -> labels",
            [target(2, T)],
            "V503",
            "column l has 3 classes (A, B, C), y : (2, m, T) one_hot has 2",
        ),
        ("x = column(l) -> labels", [index("x", 2, T)], "V501", "a.csv:2: column l: 'A' is not a number"),
        ("p = column(s) -> numbers", [declare("p", M, T)], "V501", "a.csv:2: column s: 'b' is not a finite number"),
    ],
)
def test_bad_values(project, line, inputs, code, message):
    table = "s,l\nb b,A B\na b c d e f,C C\n"
    found = project(f'source = csv("a.csv")\n{line}', inputs, a=table).refused()
    assert found[0].code == code
    assert found[0].message.startswith(message)


def test_a_character_without_a_class(texts):
    """With exactly as many classes as there are characters, none is left for others."""
    made = texts(LINE + "chars", [target(4, T)], "ab\nc\n")
    fitted = made.load().preprocessing
    (made.folder / "new.txt").write_text("abba\nabxa\n")
    with pytest.raises(DiagnosticError) as caught:
        apply(fitted, made.folder / "new.txt", made.inputs, True)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("V503", f"{made.folder}/new.txt:2: 'x' does not occur in the training split")


def test_a_character_between_windows_has_no_class(texts):
    """x stands in no window of the training text, and first between two windows of the new one."""
    made = texts(WHOLE + "chars(window = 2, step = 3)", [target(2, T)], "abxbaxab")
    fitted = made.load().preprocessing
    assert fitted.vocabularies["y"].tokens == ("a", "b")
    (made.folder / "new.txt").write_text("aax\nxb\nabb")
    with pytest.raises(DiagnosticError) as caught:
        apply(fitted, made.folder / "new.txt", made.inputs, True)
    found = [(d.code, d.message.split("/")[-1]) for d in caught.value.diagnostics]
    assert found == [
        ("V503", "new.txt:1: '\\n' does not occur in the training split"),
        ("V503", "new.txt:1: 'x' does not occur in the training split"),
    ]


def test_too_short(texts):
    made = texts(WHOLE + "chars", [target(9, 7)], "abc")
    assert mistakes(made.refused()) == [("V504", "t.txt is too short: it has 3 chars, and one example takes 7")]


def test_a_cell_is_as_long_as_a_text_may_be(project):
    """Python's own limit is 131,072 characters."""
    long = "ab " * 50_000
    made = project('source = csv("a.csv")\nx = column(s) -> words', [index("x", 9, T)], a=f'n,s\n1,"{long}"\n2,ab\n')
    assert made.load().splits["train"].lengths["T"].tolist() == [50_000, 1]


@pytest.mark.parametrize(
    ("row", "message", "help"),
    [
        (
            "1,a, b",
            "a.csv:2: the row has 3 cells, the header 2 names",
            'a text with a comma in it stands in quotes: "a, b"',
        ),
        ("1,", "a.csv:2: column s: the cell is empty", "fill it in, or leave the row out"),
    ],
)
def test_what_helps_with_a_row_of_texts(project, row, message, help):
    lines = 'source = csv("a.csv")\nx = column(s) -> words'
    (found,) = project(lines, [index("x", 9, T)], a=f"n,s\n{row}\n2,ab\n").refused()
    assert (found.message, found.help) == (message, help)


def test_a_label_that_the_model_was_trained_without(project):
    lines = 'source = csv("a.csv")\ny = column(mood)'
    made = project(lines, [declare("y", 2, M, one_hot=True)], a="mood\nsad\nangry\nsad\n")
    fitted = made.load().preprocessing
    for label, help in (("happy", "the model was trained without happy"), ("angri", "did you mean 'angry'?")):
        (made.folder / "new.csv").write_text(f"mood\nsad\n{label}\n")
        with pytest.raises(DiagnosticError) as caught:
            apply(fitted, made.folder / "new.csv", made.inputs, True)
        (found,) = caught.value.diagnostics
        assert found.message.endswith(
            f"new.csv:3: column mood: {label!r} is not among the classes angry, sad of y : (2, m) one_hot"
        )
        assert found.help == help


def test_a_fingerprint_is_that_of_the_splits(texts):
    """Windows of one text share its characters, and yet only the split that one of them stands in has changed."""
    lines = WHOLE + "chars(window = 4, step = 2)\nsplit = 0.6, 0.2, 0.2"
    whole = "abcd" * 10
    first, second, third = (
        fingerprint(texts(lines, [target(9, T)], text).load()) for text in (whole, whole, whole[:-1] + "a")
    )
    assert first == second
    assert [split for split in first if first[split] != third[split]] == ["test"]


def test_the_longest_text_is_named_where_memory_ends(texts, monkeypatch):
    part = texts(LINE + "chars", [target(9, T)], "ab\nabcdef\nabc\n").load().splits["train"]
    with pytest.raises(MemoryError), memory_told(part):
        raise MemoryError  # of a few short texts: it is not their length
    monkeypatch.setattr(memory, "LONG", 5)
    with pytest.raises(DiagnosticError) as caught, memory_told(part):
        raise MemoryError
    (found,) = caught.value.diagnostics
    assert found.message == "there is not enough memory: the longest example has 7 steps, t.txt:2"


def test_an_end_on_one_side_only(project):
    lines = 'source = csv("a.csv")\nx = column(s) -> words\ny = column(s) -> words'
    found = project(lines, [index("x", 9, T), target(9, T)], a="s\na b\n").refused()
    assert (found[0].code, found[0].message) == ("V509", "a.csv:2: column s: x has 2 steps, y 3, and T is one number")
    assert found[0].help == "y ends with <EOS>: write end = off behind it, or end = on behind both"
