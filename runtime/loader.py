"""Turns the pieces of a generated module into machine code in this process, kept on disk.

Each kernel and each program is an object file in the cache folder, named by a hash of its text (the text lies beside
it). So a kernel is compiled once for all models and runs that share it, and a program compiles nothing that it does not
call. What was damaged is compiled again. Numba is imported only where something has to be compiled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dlc.compiler.codegen import Module
from dlc.compiler.codegen.host.objects import (
    CacheFolderError,
    address_of_symbol,
    cache_folder,
    fingerprint,
    keep,
    kept,
    link,
)
from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.compilation import Job, compile_jobs

HOST_KERNELS = {
    "dlc_launch": ("dlc.compiler.codegen.host.launch", "launch"),
    "dlc_help_out": ("dlc.compiler.codegen.host.launch", "help_out"),
    "dlc_gather_rows": ("dlc.runtime.batch_kernels", "gather_rows"),
    "dlc_run_batches": ("dlc.runtime.batch_kernels", "run_batches"),
}
"""The kernels that are not generated and that every program may call, by symbol: their files and names."""
PIXEL_KERNELS = {
    f"dlc_pixels_{name}": ("dlc.runtime.data.pixel_kernels", name)
    for name in (
        "cut",
        "turn_nearest",
        *(f"turn_bilinear_{dtype}" for dtype in ("uint8", "float32", "float64")),
        *(f"{name}_{dtype}" for name in ("shift", "look_up") for dtype in ("float32", "float64")),
    )
}
"""What is done to images before they are batches; each is loaded when it is first asked for."""


def load_programs(modules: Mapping[str, Module]) -> Mapping[str, int]:
    """The addresses of programs, by title, from the modules that have them; those programs and the kernels that they
    call are compiled together. Raises `CacheFolderError` where the cache folder cannot be trusted."""
    symbols: dict[str, str] = {}
    jobs: dict[str, Job] = {}
    for title, module in modules.items():
        program = module.programs[title]
        symbols[title] = module.symbol(program)
        pieces = {symbols[title]: program} | {module.symbols[name]: module.kernels[name] for name in program.needs}
        jobs |= {symbol: Job(symbol, piece.name, module.file_text(piece)) for symbol, piece in pieces.items()}
    load(list(jobs.values()))
    return {title: _address(symbol) for title, symbol in symbols.items()}


def load_host(symbol: str) -> int:
    """The address of one of the kernels that are not generated. Raises `CacheFolderError` as above."""
    load([_host_job(symbol, *PIXEL_KERNELS[symbol])] if symbol in PIXEL_KERNELS else [])
    return _address(symbol)


def _host_job(symbol: str, file: str, name: str) -> Job:
    return Job(symbol, name, f"from {file} import {name}\n")


def load(jobs: Sequence[Job]) -> None:
    """Make jobs part of this process, and the host's kernels with them: from the disk, or compiled now."""
    wanted = [*jobs, *(_host_job(symbol, *place) for symbol, place in HOST_KERNELS.items())]
    wanted = [job for job in wanted if address_of_symbol(job.symbol) is None]
    if not wanted:
        return
    home = folder()
    objects: dict[str, bytes] = {}
    missing: list[Job] = []
    for job in wanted:
        code = kept(home / f"{job.symbol}.o")
        if code is None:
            missing.append(job)
        else:
            objects[job.symbol] = code
    for job, code in compile_jobs(missing):
        write_text(home / f"{job.symbol}.py", job.text)
        keep(home / f"{job.symbol}.o", code)
        objects[job.symbol] = code
    link(objects)


def require_own_folder() -> None:
    """Raises DiagnosticError R605 where the cache folder cannot be made or cannot be trusted."""
    try:
        cache_folder()
    except CacheFolderError as problem:
        raise DiagnosticError(Diagnostic("R605", str(problem), None)) from None


def write_text(path: Path, text: str) -> None:
    """Keep a text beside its machine code, to be read, where that is possible."""
    with suppress(OSError):
        path.write_text(text)


def folder() -> Path:
    """The part of the cache for this version of everything that machine code depends on."""
    here = Path(__file__).parent
    own = hashlib.sha256()
    codegen = here.parent / "compiler" / "codegen"
    files = here / "batch_kernels.py", here / "batches.py", here / "data" / "pixel_kernels.py"
    for file in (*files, codegen / "support.py", codegen / "arena.py"):
        own.update(file.read_bytes())
    made = cache_folder() / f"{fingerprint()}{own.hexdigest()[:8]}"
    with suppress(OSError):  # where nothing can be written, nothing is found and nothing kept
        made.mkdir(mode=0o700, exist_ok=True)
    return made


def _address(symbol: str) -> int:
    found = address_of_symbol(symbol)
    assert found is not None, symbol
    return found
