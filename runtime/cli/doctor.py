"""`dlc doctor`: what dlc runs on, and what is missing."""

from __future__ import annotations

import os
import platform
import stat
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from dlc import __version__
from dlc.runtime.cli.options import Common, verb
from dlc.runtime.cli.output import print_json, table

PACKAGES = ("numba", "llvmlite", "numpy", "lark", "pydantic", "click", "rich", "safetensors")
EXTRAS = {"sklearn": "dlc.sklearn", "pyarrow": "parquet data", "PIL": "image data", "onnx": "dlc export --to onnx"}


@verb("doctor", "Versions, processor, threads and the cache folder; what is missing for which extra.")
def command(common: Common) -> int:
    facts = {**_versions(), **_machine(), **_cache(), **_extras()}
    if common.json:
        print_json(facts)
    else:
        print(table(list(facts.items()), "<<"))
    return 1 if any(value.startswith(("missing", "refused")) for value in facts.values()) else 0


def _versions() -> dict[str, str]:
    found = {"dlc": __version__, "python": f"{platform.python_version()} ({sys.executable})"}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing: dlc needs it, install dlc again"
    return found


def _machine() -> dict[str, str]:
    import llvmlite.binding as llvm

    from dlc.compiler.codegen.host.machine import host

    machine = host()
    widest = machine.tiles[-1]
    tile = f"{widest[0]} rows x {len(machine.tiles)} vectors of {machine.vector_bytes} bytes"
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{llvm.get_host_cpu_name()} ({machine.name})",
        "tile": tile,
        "threads": f"{_cores()} of {os.cpu_count()} processors may be used",
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cache() -> dict[str, str]:
    from dlc.compiler.codegen.host.objects import CacheFolderError, cache_folder

    try:
        folder = cache_folder()
    except CacheFolderError as error:
        return {"cache": f"refused: {error}"}
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    mode = stat.S_IMODE(folder.stat().st_mode)
    return {"cache": f"{_home(folder)}, {len(files):,} files, {size / 1e6:.1f} MB, mode {mode:04o}"}


def _home(folder: Path) -> str:
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def _extras() -> dict[str, str]:
    return {
        name: "installed" if find_spec(name) else f"not installed: only {purpose} needs it"
        for name, purpose in EXTRAS.items()
    }
