"""Which inputs `augment` changes, and the sizes of images before it.

An image changes in all ways. What lies over an image pixel by pixel, as the classes of a segmentation do, moves along
and keeps its values. All else (labels, boxes, numbers) stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.program import InputDeclaration
from dlc.compiler.settings import Augmentation, Crop, DataSettings
from dlc.runtime.data.layout import Layout

Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True, slots=True)
class Change:
    """`augment` as it is for one input: of a `map`, only places change."""

    augment: tuple[Augmentation, ...]
    kind: Literal["image", "map"]

    @property
    def crops(self) -> tuple[Crop, ...]:
        """What changes sizes, in all splits."""
        return tuple(change for change in self.augment if isinstance(change, Crop))


UNCHANGED = Change((), "image")


def changes(settings: DataSettings, inputs: Mapping[str, InputDeclaration], images: Iterable[str]) -> dict[str, Change]:
    """The change of each input that has one; `images` are those that the block makes of `image`.

    Raises T402 where no input is an image.
    """
    if not settings.augment:
        return {}
    layouts = [Layout.of(declaration) for declaration in inputs.values()]
    layouts = [layout for layout in layouts if not layout.unsupported]
    names = list(images) or _shaped(layouts, 3) or _shaped(layouts, 2)
    if not names:
        message = "augment changes images, and no input of the model is one"
        help = "an image is its height, width and channels, the batch has m of them: X : (m, n_H, n_W, n_C)"
        raise DiagnosticError(Diagnostic("T402", message, settings.places.get("augment", settings.span), help=help))
    sizes = {layout.dense[:2] for layout in layouts if layout.name in names}
    found = {name: Change(settings.augment, "image") for name in names}
    for layout in layouts:
        own = layout.features if layout.class_axis is not None else layout.dense
        if layout.name not in found and len(own) >= 2 and own[:2] in sizes:
            found[layout.name] = Change(settings.augment, "map")
    return found


def _shaped(layouts: Iterable[Layout], axes: int) -> list[str]:
    """The inputs of real numbers whose examples have so many axes."""
    return [
        layout.name
        for layout in layouts
        if layout.declaration.role == "input"
        and not layout.declaration.index
        and layout.class_axis is None
        and len(layout.dense) == axes
    ]


def after(crops: Iterable[Crop], size: Size) -> Size | Crop:
    """The size that crops leave, or the first that is larger than what it is cut from."""
    for crop in crops:
        height, width = crop.size
        if height > size[0] + 2 * crop.pad or width > size[1] + 2 * crop.pad:
            return crop
        size = crop.size
    return size
