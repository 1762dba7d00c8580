"""`dlc convert`: weights of another framework as a file that `load … from` reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.cli.options import Common, verb
from dlc.runtime.cli.output import print_json, print_warnings, request_of


@verb("convert", "Weights of torch as a safetensors file with the names of a spec, by a map of names.")
@click.argument("weights", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--map", "map_", required=True, type=click.Path(path_type=Path), metavar="MAP", help="The map of names.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="OUT.safetensors")
def command(common: Common, weights: Path, file: Path, map_: Path, out: Path) -> int:
    from safetensors.numpy import save

    from dlc.runtime.checkpoint import write_whole
    from dlc.runtime.errors import told
    from dlc.runtime.spec import load_request
    from dlc.runtime.weights.convert import converted, source_of
    from dlc.runtime.weights.names import read_map

    spec = load_request(replace(request_of(common, file), weights=False))
    text = _text(map_)
    with told({**spec.prepared.sources, str(map_): text}):
        rules = read_map(text, str(map_))
        found = converted(source_of(weights), spec.checked, rules, str(weights))
    if found.missing:
        names = f"{', '.join(found.missing[:3])}{f' and {len(found.missing) - 3} more' * (len(found.missing) > 3)}"
        message = f"{map_} gives no value to {names} of {spec.name}"
        print_warnings(common, [Diagnostic("R608", message, None, "warning")], {})
    write_whole(out, save(found.arrays, {"source": weights.name, "map": map_.name}))
    values = sum(array.size for array in found.arrays.values())
    if common.json:
        record = {"file": str(out), "tensors": len(found.arrays), "values": values}
        print_json(record | {"left_out": found.left_out, "missing": found.missing})
    else:
        print(f"{out}: {len(found.arrays):,} tensors, {values:,} values")
    return 0


def _text(path: Path) -> str:
    """The text of a map. Raises DiagnosticError R607, R614."""
    from dlc.runtime.weights.names import LARGEST_MAP

    try:
        if path.stat().st_size > LARGEST_MAP:
            raise DiagnosticError(Diagnostic("R614", f"{path} is too large for a map of names", None))
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = f"{path} is no map of names: it is not UTF-8 text (byte {error.start})"
        raise DiagnosticError(Diagnostic("R614", message, None)) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DiagnosticError(Diagnostic("R607", f"{path} cannot be opened: {reason}", None)) from None
