"""`dlc gradcheck`: numerical against derived gradients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dlc.runtime.cli.options import TARGET, Common, Whole, verb
from dlc.runtime.cli.output import print_json, spec_of, table
from dlc.runtime.preparation import require_loss

if TYPE_CHECKING:
    from dlc.runtime.engine import Target


@verb("gradcheck", "Hold numerical against derived gradients, by the course's formula and thresholds.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--entries", type=Whole(1), default=100, help="Entries checked of a large parameter.")
@TARGET
def command(common: Common, file: Path, entries: int, target: Target) -> int:
    from dlc.runtime import gradcheck as check

    spec = spec_of(common, file)
    require_loss(spec.checked)
    model = spec.compile("float64", common.seed, common.threads, target)
    learned = [name for name, parameter in spec.parameters.items() if not parameter.frozen]
    found = list(
        check.gradcheck(
            model.engine, dict(spec.inputs), learned, model.seed, entries, requirements=spec.checked.requirements
        )
    )
    worst = max((one.error for one in found), default=0.0)
    bad = worst > check.LOOK
    if common.json:
        print_json(
            {
                "error": worst,
                "parameters": [
                    {
                        "name": one.name,
                        "shape": one.shape,
                        "checked": one.checked,
                        "redrawn": one.redrawn,
                        "error": one.error,
                        "verdict": one.verdict,
                    }
                    for one in found
                ],
            }
        )
        return int(bad)
    print(f"{spec.name}: ||approx - exact|| / (||approx|| + ||exact||), float64\n")
    header = ("parameter", "shape", "entries checked", "error", "")
    print(table([_cells(one) for one in found], "<<>><", header))
    redrawn = sum(one.redrawn for one in found)
    if redrawn:
        print(f"\n{redrawn} {'entry' if redrawn == 1 else 'entries'} drawn again: a kink lay inside the step")
    print(f"\nworst {worst:.1e}: {_meaning(worst)}")
    return int(bad)


def _cells(one: object) -> tuple[str, ...]:
    from dlc.runtime.gradcheck import Checked

    assert isinstance(one, Checked)
    part = f"{one.checked:,}" if one.checked == one.count else f"{one.checked:,} of {one.count:,}"
    return one.name, f"({', '.join(map(str, one.shape))})", part, f"{one.error:.1e}", one.verdict


def _meaning(error: float) -> str:
    from dlc.runtime.gradcheck import GREAT, LOOK

    if error <= GREAT:
        return f"great, at most {GREAT:.0e}"
    if error <= LOOK:
        return f"look at it: {GREAT:.0e} is great, {LOOK:.0e} may still be right"
    return f"worry: more than {LOOK:.0e}, the derivative is probably wrong"
