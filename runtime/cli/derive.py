"""`dlc derive`: the backward pass, as the course writes it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from dlc.compiler.derivation import derivation, render_derivation
from dlc.runtime.cli.options import Common, verb
from dlc.runtime.cli.output import print_json, spec_of
from dlc.runtime.preparation import require_loss


@verb("derive", "The derived backward pass, in the course's notation, with the dimension of every line.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--latex", is_flag=True, help="For a document.")
def command(common: Common, file: Path, latex: bool) -> int:
    spec = spec_of(common, file, weights=False)
    require_loss(spec.checked)
    terms = spec.train.regularize
    if common.json:
        print_json([asdict(line) for line in derivation(spec.checked, terms, latex=latex)])
    else:
        print(render_derivation(spec.checked, terms, latex=latex))
    return 0
