"""What a `data:` or a `train:` block says, as frozen records: the course from the text to the runtime.

Nothing here is validated and nothing here imports pydantic: `schema.py` holds the rules, and is imported only where a
block is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dlc.grammar import ast
from dlc.grammar.span import Span

# --- data ------------------------------------------------------------------------------------------------------

Format = Literal["csv", "parquet", "npz", "images", "idx", "text"]
"""What a source is: tables, arrays, a folder of images, images in one IDX file, or a text."""


@dataclass(frozen=True, slots=True)
class Source:
    """`csv("digits.csv")`. `path` is relative to the spec's folder; `span` is where it is written.

    `labels` is the file of the classes of an IDX source; None is the one beside it, by its name.
    """

    format: Format
    path: str
    span: Span
    labels: str | None = None


@dataclass(frozen=True, slots=True)
class Selector:
    """One name inside `columns(…)` or `array(…)`; `*` in a column's name stands for any characters."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`/ 16`, `1 - …`: `op` is one of `+ - * / ^`; `reflected` where the constant stands on the left."""

    op: str
    constant: float
    reflected: bool = False


@dataclass(frozen=True, slots=True)
class Elementwise:
    """`-> log`: one of `log exp sqrt abs`."""

    function: str


@dataclass(frozen=True, slots=True)
class Standardize:
    """`-> standardize`: each column less its mean, divided by its standard deviation (both of the training split)."""


@dataclass(frozen=True, slots=True)
class Scale:
    """`-> scale(0, 1)`: each column mapped linearly, its least value (in the training split) to `low`, its greatest to
    `high`."""

    low: float = 0.0
    high: float = 1.0


Step = Arithmetic | Elementwise | Standardize | Scale


@dataclass(frozen=True, slots=True)
class Resize:
    """`resize(image, 64, 48)`: to that height and width, which is the height where left out.

    `stretch` scales each side on its own; `cover` scales both alike until they cover the new size, and leaves out what
    stands over, the same on both sides.
    """

    height: int
    width: int | None = None
    fit: Literal["stretch", "cover"] = "stretch"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width or self.height


@dataclass(frozen=True, slots=True)
class Channels:
    """`gray(image)`, `rgb(image)`: the colors are converted; transparency is dropped."""

    colors: Literal["gray", "rgb"]

    @property
    def count(self) -> int:
        return 1 if self.colors == "gray" else 3


@dataclass(frozen=True, slots=True)
class ImageForm:
    """How a stored image becomes the pixels that steps and the model see; without a field, it stays as it is."""

    channels: Channels | None = None
    resize: Resize | None = None

    def shape(self, stored: tuple[int, int, int]) -> tuple[int, int, int]:
        """Height, width and channels of an image in this form."""
        height, width, channels = stored
        if self.resize is not None:
            height, width = self.resize.size
        return height, width, channels if self.channels is None else self.channels.count


AS_STORED = ImageForm()

Unit = Literal["chars", "words", "labels", "numbers"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """`words(vocabulary = 10_000, lower = on)`: how a text becomes a sequence, one class (or number) a step.

    `chars` and `words` have a vocabulary of at most so many classes (None: as many as the model has); `labels` are the
    names of classes with blanks between them, `numbers` are numbers. `end`: `<EOS>` stands behind each text, in a whole
    text of words behind each sentence; None is where a sequence of its own length is a target. `cut` is how many tokens
    of each text are read. `pad`: texts shorter than a fixed number of steps are filled with `<PAD>`. Of a whole text:
    `window` steps are one example (None: as many as the model says), the next begins `step` later (None: where it
    ends), and `ahead` is by how many tokens these are later than those of other inputs.
    """

    unit: Unit
    vocabulary: int | None = None
    lower: bool = False
    end: bool | None = None
    cut: int | None = None
    pad: bool = False
    window: int | None = None
    step: int | None = None
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """Where the values of one input or target come from: `columns(size, bedrooms) -> standardize`.

    `kind` is `columns` (also for `column(…)`, which takes exactly one), `array`, or, without selectors, `image`,
    `label`, a whole `text` or each `line` of one. `transposed` is a `.T` directly behind the array, `form` what is done
    to images before all `steps`, which are in the order in which they are applied; `tokens` make a sequence of a text.
    """

    kind: Literal["columns", "column", "array", "image", "label", "text", "line"]
    selectors: tuple[Selector, ...]
    span: Span
    steps: tuple[Step, ...] = ()
    transposed: bool = False
    form: ImageForm = AS_STORED
    tokens: Tokens | None = None

    @property
    def text(self) -> str:
        """The selection as one would write it, without its steps: `columns("pixel_*")`."""
        if self.kind == "text" and self.tokens is not None:
            return self.tokens.unit
        if not self.selectors:
            return self.kind
        names = ", ".join(s.name if s.name.isidentifier() else f'"{s.name}"' for s in self.selectors)
        if self.kind == "array":
            return f'array("{self.selectors[0].name}")' + (".T" if self.transposed else "")
        return f"{self.kind}({names})"


@dataclass(frozen=True, slots=True)
class Fractions:
    """`split = 0.8, 0.1, 0.1`: the shares of the examples; `dev` is 0 where two numbers are given."""

    train: float
    dev: float
    test: float
    span: Span


@dataclass(frozen=True, slots=True)
class ByColumn:
    """`split = by_column(fold)`: a column (or array) holds `train`, `dev` or `test` for each example."""

    column: str
    span: Span


@dataclass(frozen=True, slots=True)
class Flip:
    """`flip()`: with this chance, left and right change places; `over = height`: top and bottom."""

    chance: float = 0.5
    over: Literal["width", "height"] = "width"


@dataclass(frozen=True, slots=True)
class Crop:
    """`crop(28, pad = 4)`: a part of this height and width (the height where left out) of the image with `pad` zeros
    on each side. Every place of the part is as likely; where nothing is drawn it is the middle one."""

    height: int
    width: int | None = None
    pad: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width or self.height

    @property
    def text(self) -> str:
        """The call as one would write it."""
        width = f", {self.width}" if self.width is not None else ""
        return f"crop({self.height}{width}{f', pad = {self.pad}' if self.pad else ''})"


@dataclass(frozen=True, slots=True)
class Rotate:
    """`rotate(15)`: about the middle, by an angle between -15 and 15 degrees; what comes from outside is 0."""

    degrees: float


@dataclass(frozen=True, slots=True)
class ColorShift:
    """`color_shift(20)`: to each channel is added a number of its own, between -20 and 20."""

    amount: float


@dataclass(frozen=True, slots=True)
class PcaColor:
    """`pca_color(0.1)`: to each pixel is added p1 a1 l1 + p2 a2 l2 + p3 a3 l3 (Krizhevsky et al. 2012, section 4.1).

    p and l are the eigenvectors and eigenvalues of the covariance of red, green and blue in the training split, where
    white is 1; the a are drawn for each image from a normal distribution with this standard deviation.
    """

    std: float = 0.1


Augmentation = Flip | Crop | Rotate | ColorShift | PcaColor


@dataclass(frozen=True, slots=True)
class DataSettings:
    """A `data:` block.

    `sources` has either the one key `all`, or `train` and perhaps `dev` and `test`: separate files, and then there is
    no `split`. Without separate files and without a split every example is in the training split. `augment` is what
    happens to the images of that split, in this order.
    """

    sources: Mapping[str, Source]
    columns: Mapping[str, Selection]
    split: Fractions | ByColumn | None
    span: Span
    places: Mapping[str, Span] = field(default_factory=dict, compare=False)
    augment: tuple[Augmentation, ...] = ()

    @property
    def format(self) -> Format:
        """All sources of a block have the same format."""
        return next(iter(self.sources.values())).format

    @property
    def splits(self) -> frozenset[str] | None:
        """The splits that there will be, or None where a column of the data decides."""
        if isinstance(self.split, ByColumn):
            return None
        if isinstance(self.split, Fractions):
            return frozenset({"train", "test"} | ({"dev"} if self.split.dev else set()))
        return frozenset({"train"} if "all" in self.sources else self.sources)


# --- training --------------------------------------------------------------------------------------------------

_DEFAULT = Span("the default settings", 1, 1, 1, 7)


@dataclass(frozen=True, slots=True)
class Clip:
    """`norm(5)`: the norm of all gradients together is at most `limit`; `value(1)`: each of their elements is."""

    by: Literal["norm", "value"]
    limit: float


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """`patience(5, on = dev.loss, best = min)`: training ends when `on` has not improved for `patience` epochs."""

    patience: int
    on: str = "dev.loss"
    best: Literal["min", "max"] = "min"


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """A `train:` block, the defaults filled in; this record is the one place where they are said.

    `batch` is a number of examples or `all`. Exactly one of `epochs` and `steps` is a number. `optimizer` and
    `regularize` stay expressions: the elaborator knows what they name. `places` has the span of each key that was
    given.
    """

    optimizer: ast.Expr = field(
        default_factory=lambda: ast.Call(span=_DEFAULT, function=ast.Name(span=_DEFAULT, id="Adam"), arguments=())
    )
    batch: int | Literal["all"] = 64
    epochs: int | None = 10
    steps: int | None = None
    regularize: tuple[ast.Expr, ...] = ()
    clip: Clip | None = None
    early_stop: EarlyStop | None = None
    shuffle: bool = True
    seed: int = 1
    places: Mapping[str, Span] = field(default_factory=dict, compare=False)
