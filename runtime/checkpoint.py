"""Run folders and checkpoints.

    runs/digits-20260115-101500/
        spec.dl             the text that was trained, with its imports
        settings.json       everything that was decided: hypers, settings, seed, versions, where the spec came from
        last.safetensors    parameters, states, the optimizer's slots; counts and preprocessing in the metadata
        best.safetensors    the same, of the best epoch
        metrics.jsonl       one line an epoch
        log.txt

A file is written under a temporary name, synced and renamed, so that a kill at any moment leaves the last whole one. A
checkpoint is arrays and JSON, never pickle; it carries a checksum, and its names and shapes are held against the model.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.train import Progress, Snapshot

Array = NDArray[Any]
FORMAT = "1"
LAST, BEST = "last.safetensors", "best.safetensors"
SETTINGS, METRICS, LOG, SPEC = "settings.json", "metrics.jsonl", "log.txt", "spec.dl"
LARGEST_JSON = 64_000_000
SPARE_BYTES = 16_000_000
"""How much larger than its arrays a checkpoint may be: its header and the preprocessing."""
LIBRARY = "std/"


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file by new content, or leaves it as it was. Raises DiagnosticError R605 where that fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from None


def _sync_folder(folder: Path) -> None:
    """Makes a rename last; systems that cannot open a folder do it on their own."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unwritable(path: Path, error: OSError) -> DiagnosticError:
    reason = (error.strerror or str(error)).lower()
    return DiagnosticError(Diagnostic("R605", f"cannot write {path}: {reason}", None))


# --- checkpoints -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of one file: all arrays by name (`W[1]`, `mu`, `W[1]:v`), counts, and what else was saved."""

    arrays: Mapping[str, Array]
    progress: Progress
    preprocessing: Mapping[str, Any] | None

    def snapshot(self, parameters: Iterable[str], states: Iterable[str], slots: Iterable[str]) -> Snapshot:
        """The arrays sorted into the groups of a model."""
        groups = ({name: self.arrays[name] for name in group} for group in (parameters, states, slots))
        return Snapshot(self.progress, *groups)


def save_checkpoint(path: Path, snapshot: Snapshot, preprocessing: Mapping[str, Any] | None, seed: int) -> None:
    """Writes a snapshot. `preprocessing` is the record of `Preprocessing.to_json`, None where there is none."""
    from safetensors.numpy import save

    arrays = {**snapshot.parameters, **snapshot.states, **snapshot.slots}
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {
        "format": FORMAT,
        "progress": json.dumps(snapshot.progress.as_json()),
        "random": json.dumps({"seed": seed, "epoch": snapshot.progress.epoch, "step": snapshot.progress.step}),
        "preprocessing": json.dumps(preprocessing),
    }
    metadata["checksum"] = checksum(arrays, metadata)
    write_whole(path, save(arrays, metadata))


def checksum(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """SHA-256 over names, types, shapes and values of all arrays, and over the metadata."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(json.dumps([name, arrays[name].dtype.str, list(arrays[name].shape)]).encode())
        digest.update(np.asarray(arrays[name], order="C").data)
    for key in sorted(metadata):
        if key != "checksum":
            digest.update(json.dumps([key, metadata[key]]).encode())
    return digest.hexdigest()


def load_checkpoint(path: Path, shapes: Mapping[str, tuple[int, ...]], *, exact: bool = True) -> Checkpoint:
    """Reads a checkpoint of a model whose arrays have these shapes; with `exact`, it may hold no others.

    Raises DiagnosticError: R601 (no such file), R602 (damaged), R603 (of another model).
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DiagnosticError(Diagnostic("R601", f"there is no checkpoint {path}", None))
    limit = 4 * 8 * sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes.values()) + SPARE_BYTES
    if path.stat().st_size > limit:
        message = f"{path} has {path.stat().st_size:,} bytes, far more than the model's parameters need"
        raise DiagnosticError(Diagnostic("R603", message, None))
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _require_same(path, shapes, found, exact)
            arrays = {name: file.get_tensor(name) for name in found}
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, f"it cannot be read ({error})") from None
    if metadata.get("format") != FORMAT:
        raise _damaged(path, "it is not a checkpoint of dlc, or of another version")
    if metadata.get("checksum") != checksum(arrays, metadata):
        raise _damaged(path, "its checksum does not match its content")
    try:
        progress = Progress.from_json(json.loads(metadata["progress"]))
        return Checkpoint(arrays, progress, json.loads(metadata["preprocessing"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"its record of the training cannot be read ({error!r})") from None


def _damaged(path: Path, why: str) -> DiagnosticError:
    other = BEST if path.name == LAST else LAST
    help = f"try the other checkpoint of the run, {other}" if path.with_name(other).is_file() else None
    return DiagnosticError(Diagnostic("R602", f"the checkpoint {path} is damaged: {why}", None, help=help))


def _require_same(
    path: Path, wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], exact: bool
) -> None:
    """Raises R603 with the first differences."""
    differences = [f"{name} is missing" for name in wanted if name not in found]
    if exact:
        differences += [f"{name} is not in the model" for name in found if name not in wanted]
    differences += [
        f"{name} is {_shape(found[name])} there and {_shape(shape)} in the model"
        for name, shape in wanted.items()
        if found.get(name, shape) != shape
    ]
    if differences:
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        message = f"{path} does not belong to this model: {'; '.join(differences[:3])}{more}"
        help = "a run goes on with the spec, hypers and optimizer that it was trained with"
        raise DiagnosticError(Diagnostic("R603", message, None, help=help))


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


# --- run folders -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run on disk. `settings` is the content of `settings.json`."""

    path: Path
    settings: Mapping[str, Any]

    @property
    def spec(self) -> Path:
        """The copy of the spec that was trained."""
        return self.path / str(self.settings["entry"])

    @property
    def moved(self) -> bool:
        """Whether the folder lies elsewhere than where it was made: its data paths then mean nothing."""
        return self.path.resolve() != Path(str(self.settings["run"]))

    @property
    def checkpoint(self) -> Path:
        """The best checkpoint, or the last one where none was the best yet."""
        best = self.path / BEST
        return best if best.is_file() else self.path / LAST

    def append(self, name: str, text: str) -> None:
        """Adds lines to `metrics.jsonl` or `log.txt`."""
        try:
            with (self.path / name).open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise unwritable(self.path / name, error) from None

    def forget_after(self, epoch: int) -> None:
        """Drops the lines of `metrics.jsonl` behind an epoch, which training will write again."""
        path = self.path / METRICS
        if not path.is_file():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                if json.loads(line)["epoch"] <= epoch:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue
        write_whole(path, "".join(kept).encode())


def create_run(base: Path, name: str, sources: Mapping[str, str], main: str, settings: Mapping[str, Any]) -> RunFolder:
    """A new folder `base/NAME-YYYYmmdd-HHMMSS`, never an existing one. `main` is the spec's name among `sources`."""
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        base.mkdir(parents=True, exist_ok=True)
        folder = _new_folder(base, stem)
    except OSError as error:
        raise unwritable(base / stem, error) from None
    return fill_run(folder, sources, main, settings)


def _new_folder(base: Path, stem: str) -> Path:
    number = 1
    while True:
        folder = base / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def fill_run(folder: Path, sources: Mapping[str, str], main: str, settings: Mapping[str, Any]) -> RunFolder:
    """Writes the spec with its imports, and the settings."""
    copies = spec_copies(sources, main)
    try:
        for relative in copies:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    for relative, text in copies.items():
        write_whole(folder / relative, text.encode())
    entry = next(iter(copies))
    whole = {**settings, "format": FORMAT, "entry": entry, "run": str(folder.resolve())}
    write_whole(folder / SETTINGS, (json.dumps(whole, indent=2) + "\n").encode())
    return RunFolder(folder, whole)


def spec_copies(sources: Mapping[str, str], main: str) -> dict[str, str]:
    """Where each file of a spec goes in a run folder; the first is the one to load.

    It is `spec.dl`, and imports lie beside it as they did. Where one lies outside the spec's folder (`--root`), the
    tree goes into `sources/` as it was, and `spec.dl` is a copy for reading.
    """
    own = {file: text for file, text in sources.items() if not file.startswith((LIBRARY, "--set "))}
    folder = os.path.dirname(main)
    relative = {file: os.path.normpath(os.path.relpath(file, folder or ".")) for file in own}
    imports = {file: path for file, path in relative.items() if file != main}
    if all(not path.startswith("..") and path != SPEC for path in imports.values()):
        return {SPEC: own[main]} | {Path(path).as_posix(): own[file] for file, path in imports.items()}
    top = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in own])
    whole = {file: os.path.relpath(os.path.abspath(file), top) for file in (main, *imports)}
    tree = {Path("sources", path).as_posix(): file for file, path in whole.items()}
    return {path: own[file] for path, file in tree.items()} | {SPEC: own[main]}


def open_run(path: Path) -> RunFolder:
    """The run in a folder. Raises DiagnosticError R601 for a folder that is none."""
    file = path / SETTINGS
    if not file.is_file():
        what = "is not the folder of a run: it has no settings.json" if path.is_dir() else "does not exist"
        raise DiagnosticError(Diagnostic("R601", f"{path} {what}", None, help=_nearest_run(path)))
    try:
        if file.stat().st_size > LARGEST_JSON:
            raise ValueError("it is too large")
        settings = json.loads(file.read_text(encoding="utf-8"))
        _check_types(settings)
        if settings["format"] != FORMAT:
            raise ValueError(f"it has the format {settings['format']}")
        run = RunFolder(path, settings)
        if not run.spec.resolve().is_relative_to(path.resolve()) or not run.spec.is_file():
            raise ValueError(f"there is no {settings['entry']} in the folder")
    except (OSError, ValueError) as error:
        raise DiagnosticError(Diagnostic("R601", f"{file} cannot be used: {error}", None)) from None
    return run


_TYPES: dict[str, type | tuple[type, ...]] = {
    "format": str,
    "entry": str,
    "model": str,
    "spec": str,
    "run": str,
    "data_folder": str,
    "data_root": (str, type(None)),
    "hypers": dict,
    "settings": dict,
    "seed": int,
    "dtype": str,
}
"""What `settings.json` must hold for a run to be opened."""


def _check_types(settings: object) -> None:
    """Raises ValueError, which names the key, where a run's settings are not what `save` wrote."""
    if not isinstance(settings, dict):
        raise ValueError("it is not an object of settings")
    for key, kind in _TYPES.items():
        if key not in settings:
            raise ValueError(f"it has no {key!r}")
        if not isinstance(settings[key], kind) or (key == "dtype" and settings[key] not in ("float32", "float64")):
            raise ValueError(f"its {key!r} is {json.dumps(settings[key])[:40]}, which is no value for it")
    data = settings.get("data", {})
    parts = data.values() if isinstance(data, dict) else (None,)
    if any(not isinstance(part, dict) or not isinstance(part.get("examples"), int) for part in parts):
        raise ValueError("its 'data' is no record of splits")


def _nearest_run(path: Path) -> str | None:
    """The runs that lie where the user looked."""
    base = path if path.is_dir() else path.parent
    runs = sorted((folder.name for folder in base.glob("*/") if (folder / SETTINGS).is_file()), reverse=True)
    if runs:
        return f"runs there: {', '.join(runs[:3])}{', …' if len(runs) > 3 else ''}"
    return "a run is the folder that `dlc train` names when it ends"
