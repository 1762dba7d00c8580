"""The command `dlc`: one small file a verb, imported when the verb is called.

Results go to stdout, progress and logs to stderr. Exit codes: 0 good; 1 the spec, the data or the run is at fault;
2 wrong usage; 130 interrupted. `options.py` has the flags that all verbs share, `output.py` what they print with.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from dlc import __version__

VERBS = {
    "check": "Prove every dimension of a file, against its data's headers too.",
    "show": "The table of layers: rules, shapes, parameters, work and memory.",
    "fmt": "The one canonical layout.",
    "derive": "The derived backward pass, in the course's notation.",
    "compile": "Write the generated Numba module, which runs without dlc.",
    "gradcheck": "Hold numerical against derived gradients.",
    "train": "Train a model on its data, or go on with a run.",
    "evaluate": "Metrics, confusion table and worst examples of a run.",
    "predict": "The outputs of a run for new data.",
    "sample": "What a run's model writes.",
    "convert": "Weights of torch as a file that `load` reads.",
    "ops": "The primitives of the language.",
    "explain": "The long text on an error code.",
    "doctor": "Versions, processor, threads and the cache folder.",
}
SHORT = ("check", "show", "derive", "ops", "explain", "doctor")
"""Verbs that end before the collector of cycles would pay."""
LATER = {
    "new": "A small working project.",
    "search": "Hyper-parameter search.",
    "export": "ONNX, safetensors or Python.",
    "runs": "List and compare runs.",
    "report": "A page with the curves of a run.",
    "lsp": "The language server.",
}


class Verbs(click.Group):
    """Finds a verb's file by its name; the list of verbs needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS, *LATER]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in LATER:
            from dlc.runtime.cli.later import not_yet

            return not_yet(name, LATER[name])
        if name not in VERBS:
            return None
        command = import_module(f"dlc.runtime.cli.{name}").command
        if name not in SHORT:
            gc.enable()
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in VERBS and name not in LATER and not name.startswith("-"):
            from dlc.compiler.diagnostics.suggest import did_you_mean

            near = did_you_mean(name, [*VERBS, *LATER])
            ctx.fail(f"there is no verb {name}; {f'did you mean {near}?' if near else 'dlc --help lists them'}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, verbs in (("Verbs", VERBS), ("Not yet supported", LATER)):
            with formatter.section(title):
                formatter.write_dl(list(verbs.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="dlc", message="%(prog)s %(version)s")
def cli() -> None:
    """A compiler for neural networks written the way the deep-learning course writes them.

    dlc check FILE proves a network, dlc train FILE trains it. Every verb has --help.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point of the console script; with `arguments`, the same inside another program.

    A process of our own would spend much of a short verb on the collector of cycles. It rests while modules are
    imported, and to the end of a short verb; at the exit everything is frozen, so that the interpreter does not take it
    apart.
    """
    if arguments is None:
        gc.disable()
        atexit.register(gc.freeze)
    try:
        code = cli.main(args=None if arguments is None else list(arguments), prog_name="dlc", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
