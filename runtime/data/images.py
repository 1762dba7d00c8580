"""A folder of images: which there are, their classes, and the shapes that their headers tell.

A folder has one sub-folder for each class (`cats/cat/1.png`, `cats/other/2.png`: the classes are the sorted names), or
images alone. Files that are no images by their suffix, and hidden ones, are left out. An image is read as it is stored
(a palette is only a way to store colors), and changed only as the spec says (`ImageForm`); it is not turned as the
camera says. Only the formats below are opened, so that no other decoder of Pillow meets a stranger's file.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.grammar.span import Span
from dlc.runtime.data.extras import extra
from dlc.runtime.data.formats import ImageFile, ImagesHeader, unreadable

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
"""Pillow's modes with one byte for each channel."""

SAMPLE = 64
"""The images whose headers a check reads."""

MAX_NAMED = 50
"""Bad images that a message names."""
_TITLES = {
    "V504": "of {total:,} images cannot be read",
    "V506": "of {total:,} images have another size",
    "V507": "of {total:,} images are of a kind that is not read",
}


def images_header(path: Path, shown: str, span: Span | None, within: Path | None = None) -> ImagesHeader:
    """Lists a folder (or takes one image) and reads the header of the first image of each class, and of some more.

    Raises V504 (no images, a damaged one), V507 (a kind of image that is not read), V512 (Pillow is not installed) and
    T407 (a link leads out of `within`).
    """
    # Pillow warns of what is an error here, or no matter. A context around each image would not be safe in threads.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    shown = shown.rstrip("/")
    if path.is_file():
        files, classes = [ImageFile(path, shown, "")], list[str]()
    else:
        files, classes = _Folder(shown, span, within).images(path)
    if not files:
        raise unreadable(f"{shown} holds no images", span, f"an image is a file *{', *'.join(SUFFIXES)}")
    return ImagesHeader(tuple(files), tuple(classes), _shapes(files, span))


def _shapes(files: Sequence[ImageFile], span: Span | None) -> dict[ImageFile, tuple[int, int, int]]:
    """Height, width and channels of some images, from their headers alone. Raises V504, V507, V512."""
    shapes: dict[ImageFile, tuple[int, int, int]] = {}
    bad: list[BadImage] = []
    for file in _sample(files):
        try:
            with opened_image(file, span) as picture:
                shapes[file] = picture.height, picture.width, CHANNELS[mode_of(picture, file)]
        except BadImage as problem:
            bad.append(problem)
    require_good(sorted(bad, key=lambda problem: problem.file.shown), len(files), span)
    return shapes


def _sample(files: Iterable[ImageFile]) -> list[ImageFile]:
    """The first of each class, then the second of each, up to 64 or one of each."""
    classes: dict[str, list[ImageFile]] = {}
    for file in files:
        classes.setdefault(file.label, []).append(file)
    turns = (file for turn in zip_longest(*classes.values()) for file in turn if file is not None)
    return list(islice(turns, max(SAMPLE, len(classes))))


class _Folder:
    """Lists what a folder holds."""

    def __init__(self, shown: str, span: Span | None, within: Path | None) -> None:
        self.shown, self.span = shown, span
        self.within = within.resolve() if within is not None else None

    def images(self, path: Path) -> tuple[list[ImageFile], list[str]]:
        """The images, class by class, and the classes; none where the images lie in the folder itself."""
        files = self._files(path, "")
        below = {name: self._files(path / name, name) for name in self._names(path, folders=True)}
        if not files:
            empty = next((name for name, found in below.items() if not found), None)
            if empty is not None and any(below.values()):
                raise unreadable(f"{self.shown}/{empty} holds no images", self.span, "each folder in it is a class")
            return [file for found in below.values() for file in found], list(below)
        mixed = next((name for name, found in below.items() if found), None)
        if mixed is not None:
            message = f"{self.shown} holds images, {files[0].shown}, beside a folder of images, {self.shown}/{mixed}"
            raise unreadable(message, self.span, "give each class a folder, or put all images into one")
        return files, []

    def _files(self, path: Path, label: str) -> list[ImageFile]:
        shown = f"{self.shown}/{label}" if label else self.shown
        names = [name for name in self._names(path, folders=False) if os.path.splitext(name)[1].lower() in SUFFIXES]
        return [ImageFile(path / name, f"{shown}/{name}", label) for name in names]

    def _names(self, path: Path, folders: bool) -> list[str]:
        """The sorted names of the folders, or of the files, that are not hidden. Raises T407 for a link that leaves."""
        with os.scandir(path) as entries:
            seen = sorted((e for e in entries if not e.name.startswith((".", "__"))), key=lambda entry: entry.name)
        found = [entry for entry in seen if (entry.is_dir() if folders else entry.is_file())]
        for entry in found:
            if entry.is_symlink() and self.within is not None:
                self._require_inside(Path(entry.path))
        return [entry.name for entry in found]

    def _require_inside(self, path: Path) -> None:
        assert self.within is not None
        if not path.resolve().is_relative_to(self.within):
            message = f"{self.shown}: the link {path.name} leads out of the folder of the spec"
            help = "a .dl file reads files of its own folder only: put the images there, or widen it with --root DIR"
            raise DiagnosticError(Diagnostic("T407", message, self.span, help=help))


# --- one image -------------------------------------------------------------------------------------------------


class BadImage(Exception):
    """What is wrong with one image: `reason` goes on where its name ends."""

    def __init__(self, file: ImageFile, code: str, reason: str, help: str | None = None) -> None:
        super().__init__(f"{file.shown} {reason}")
        self.file, self.code, self.reason, self.help = file, code, reason, help

    def diagnostic(self, span: Span | None) -> Diagnostic:
        """The message where it is the only one."""
        return Diagnostic(self.code, str(self), span, help=self.help)


@contextmanager
def opened_image(file: ImageFile, span: Span | None) -> Iterator[Any]:
    """Pillow's image, whose pixels are decoded when they are asked for; any thread may ask.

    Raises BadImage V504 for what goes wrong, inside the block too, and DiagnosticError V512 without Pillow.
    """
    pillow = extra("PIL.Image", "pillow", "images", span)
    try:
        with pillow.open(file.path, formats=FORMATS) as picture:
            if picture.height * picture.width > pillow.MAX_IMAGE_PIXELS:
                raise pillow.DecompressionBombError
            yield picture
    except BadImage:
        raise
    except pillow.DecompressionBombError:
        reason = f"has more than {pillow.MAX_IMAGE_PIXELS:,} pixels, as no photograph has"
        raise BadImage(file, "V504", reason) from None
    except pillow.UnidentifiedImageError:
        raise BadImage(file, "V504", "is not an image, or is damaged") from None
    except Exception as error:  # a damaged file can make a decoder raise nearly anything
        raise BadImage(file, "V504", f"cannot be read: {error}") from None


def mode_of(picture: Any, file: ImageFile) -> str:
    """The mode to convert to before the bytes are taken. Raises BadImage V507 for more than a byte a channel, say."""
    if picture.mode in ("P", "1"):
        transparent = "transparency" in picture.info
        return ("RGBA" if transparent else "RGB") if picture.mode == "P" else "L"
    if picture.mode in CHANNELS:
        return str(picture.mode)
    reason = f"is of a kind that is not read: Pillow calls it {picture.mode}"
    raise BadImage(file, "V507", reason, "save it in gray, RGB or RGBA with one byte for each channel")


# --- bad images ------------------------------------------------------------------------------------------------


def require_good(bad: Sequence[BadImage], total: int, span: Span | None) -> None:
    """Raises one diagnostic for each code among the bad images, which names them."""
    codes = dict.fromkeys(problem.code for problem in bad)
    if codes:
        raise DiagnosticError(*(_told([p for p in bad if p.code == code], total, span) for code in codes))


def _told(bad: Sequence[BadImage], total: int, span: Span | None) -> Diagnostic:
    if len(bad) == 1:
        return bad[0].diagnostic(span)
    reasons: dict[str, list[str]] = {}
    for problem in bad[:MAX_NAMED]:
        reasons.setdefault(problem.reason, []).append(problem.file.shown)
    named = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
    more = f"; and {len(bad) - MAX_NAMED:,} more" if len(bad) > MAX_NAMED else ""
    title = _TITLES[bad[0].code].format(total=total)
    return Diagnostic(bad[0].code, f"{len(bad):,} {title}: {named}{more}", span, help=bad[0].help)
