"""The rules of the settings' values, as pydantic models; a field's description is what a message says it must be.

This is the only module that imports pydantic. Values arrive here evaluated: numbers, texts, words. Defaults are the
records' (see `records.py`): a field that may be left out is only marked so here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt

LEFT_OUT: Any = None
"""Stands for the record's default."""

Text = Annotated[str, Field(min_length=1, max_length=4096)]


class Schema(BaseModel):
    """Strict: 1.5 is no whole number, a text no number, and a truth value is not 1."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Path(Schema):
    path: Text = Field(description="the path of a file or folder, in quotes")


class Idx(Schema):
    path: Text = Field(description="the path of a file of images, in quotes")
    labels: Text = Field(LEFT_OUT, description="the path of a file of labels, in quotes")


class Column(Schema):
    column: Text = Field(description="the name of a column")


class Constant(Schema):
    constant: FiniteFloat = Field(description="a finite number")


class Range(Schema):
    low: FiniteFloat = Field(LEFT_OUT, description="a finite number")
    high: FiniteFloat = Field(LEFT_OUT, description="a finite number")


Side = Annotated[int, Field(ge=1, le=16384)]
PIXELS = "a whole number of pixels, from 1 to 16384"


class Resize(Schema):
    height: Side = Field(description=PIXELS)
    width: Side = Field(LEFT_OUT, description=PIXELS)
    fit: Literal["stretch", "cover"] = Field(LEFT_OUT, description="stretch or cover")


class Flip(Schema):
    chance: float = Field(LEFT_OUT, gt=0, le=1, description="a chance above 0, at most 1")
    over: Literal["width", "height"] = Field(LEFT_OUT, description="width or height")


class Crop(Schema):
    height: Side = Field(description=PIXELS)
    width: Side = Field(LEFT_OUT, description=PIXELS)
    pad: int = Field(LEFT_OUT, ge=0, le=16384, description="a whole number of pixels, at least 0")


class Rotate(Schema):
    degrees: float = Field(gt=0, le=180, description="an angle above 0, at most 180 degrees")


class ColorShift(Schema):
    amount: FiniteFloat = Field(gt=0, description="a positive number")


class PcaColor(Schema):
    std: FiniteFloat = Field(LEFT_OUT, gt=0, description="a positive number")


STEPS = "a whole number of steps, at least 1"


class Tokens(Schema):
    vocabulary: PositiveInt = Field(LEFT_OUT, description="a whole number of classes, at least 1")
    lower: Literal["on", "off"] = Field(LEFT_OUT, description="on or off")
    end: Literal["on", "off"] = Field(LEFT_OUT, description="on or off")
    cut: PositiveInt = Field(LEFT_OUT, description="a whole number of tokens, at least 1")
    pad: Literal["on", "off"] = Field(LEFT_OUT, description="on or off")
    window: PositiveInt = Field(LEFT_OUT, description=STEPS)
    step: PositiveInt = Field(LEFT_OUT, description=STEPS)
    ahead: int = Field(LEFT_OUT, ge=0, description="a whole number of steps, at least 0")


class Cut(Schema):
    cut: PositiveInt = Field(LEFT_OUT, description="a whole number of tokens, at least 1")


class Nothing(Schema):
    pass


class Share(Schema):
    split: float = Field(gt=0, lt=1, description="shares of the examples, each between 0 and 1")


class Limit(Schema):
    limit: FiniteFloat = Field(gt=0, description="a positive number")


class Patience(Schema):
    patience: PositiveInt = Field(description="a whole number of epochs, at least 1")
    on: str = Field(LEFT_OUT, pattern=r"^(train|dev)\.\w+$", description="dev.loss, dev.accuracy or the like")
    best: Literal["min", "max"] = Field(LEFT_OUT, description="min or max")


class Train(Schema):
    batch: PositiveInt | Literal["all"] = Field(LEFT_OUT, description="a whole number of examples, at least 1, or all")
    epochs: PositiveInt = Field(LEFT_OUT, description="a whole number, at least 1")
    steps: PositiveInt = Field(LEFT_OUT, description="a whole number, at least 1")
    shuffle: Literal["on", "off"] = Field(LEFT_OUT, description="on or off")
    seed: int = Field(LEFT_OUT, ge=0, lt=2**63, description="a whole number, from 0 to 2^63 - 1")
