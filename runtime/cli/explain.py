"""`dlc explain D101`: the long text on a code."""

from __future__ import annotations

from dataclasses import asdict

import click

from dlc.compiler.diagnostics.codes import all_codes, explanation, find
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.runtime.cli.options import Common, verb
from dlc.runtime.cli.output import print_json, table


@verb("explain", "The long text on an error code; without a code, the list of all.")
@click.argument("code", required=False)
def command(common: Common, code: str | None) -> int:
    if code is None:
        codes = all_codes().values()
        if common.json:
            print_json([asdict(entry) for entry in codes])
        else:
            print(table([(entry.code, entry.title) for entry in codes], "<<"))
        return 0
    entry = find(code)
    if entry is None:
        near = did_you_mean(code.upper(), all_codes())
        hint = f"did you mean {near}?" if near else "`dlc explain` lists them"
        raise click.UsageError(f"there is no code {code}; {hint}")
    if common.json:
        print_json(asdict(entry))
    else:
        print(explanation(entry), end="")
    return 0
