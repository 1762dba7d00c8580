"""The flags that every verb has, and how every verb ends: with an exit code and never with a user's traceback."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError

Verb = Callable[..., int | None]


@dataclass(frozen=True, slots=True)
class Common:
    """What the common flags say. `settings` are the texts of `--set` by name."""

    model: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    format: str = "text"
    color: str = "auto"
    quiet: bool = False
    verbose: bool = False
    threads: int | None = None
    dtype: str | None = None
    seed: int | None = None
    debug: bool = False
    root: Path | None = None

    @property
    def json(self) -> bool:
        return self.format == "json"

    def colored(self, stream: Any) -> bool:
        """Whether a stream gets colours: as `--color` says, by default a terminal where NO_COLOR is not set."""
        if self.color != "auto":
            return self.color == "always"
        return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _assignments(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """`name=value` pairs; the last of equal names counts."""
    result = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise click.BadParameter(f"{text!r} is not name=value", ctx, parameter)
        result[name.strip()] = value.strip()
    return result


LARGEST = 2**63 - 1


class Whole(click.ParamType):  # type: ignore[type-arg]
    """A whole number of at least `least`."""

    name = "whole number"

    def __init__(self, least: int, most: int = LARGEST) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", parameter, ctx)
        if not self.least <= number <= self.most:
            open_end = self.most == LARGEST
            rule = f"less than {self.least}" if open_end and number < self.least else None
            self.fail(f"{number} is {rule or f'not between {self.least} and {self.most}'}", parameter, ctx)
        return number


class Positive(click.ParamType):  # type: ignore[type-arg]
    """A finite number above 0."""

    name = "positive number"

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", parameter, ctx)
        if not 0 < number < math.inf:
            self.fail(f"{value} is not a positive, finite number", parameter, ctx)
        return number


_FLAGS = (
    click.option("--model", metavar="NAME", help="Which model, where a file has several."),
    click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", callback=_assignments,
        help="A hyper, or a setting of train: or data:. Repeatable.",
    ),
    click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colours."),
    click.option("-q", "--quiet", is_flag=True, help="No progress."),
    click.option("-v", "--verbose", is_flag=True, help="More progress."),
    click.option("--threads", type=Whole(1, 1024), metavar="N", help="Threads of generated code."),
    click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Type of all reals."),
    click.option("--seed", type=Whole(0), metavar="N", help="Seed of everything random."),
    click.option("--root", type=click.Path(path_type=Path), metavar="DIR", help="Where imports and data may lie."),
    click.option("--debug", is_flag=True, help="Show where in dlc an error was found."),
)  # fmt: skip

TARGET = click.option(
    "--target", type=click.Choice(["native", "plain", "reference"]), default="native",
    help="native: vector code; plain: loops; reference: NumPy.",
)  # fmt: skip
"""What computes, for the verbs that may choose."""


def verb(name: str, help: str, formats: Sequence[str] = ("text", "json")) -> Callable[[Verb], click.Command]:
    """Makes a command of `function(common, **own arguments) -> exit code`, with all common flags."""
    format = click.option("--format", type=click.Choice(formats), default="text", help="How results are printed.")

    def made(function: Verb) -> click.Command:
        @functools.wraps(function)
        def called(**values: Any) -> None:
            own = {key: value for key, value in values.items() if key not in Common.__slots__}
            common = Common(**{key: value for key, value in values.items() if key in Common.__slots__})
            sys.exit(guarded(common, lambda: function(common, **own)))

        own = list(getattr(function, "__click_params__", ()))
        called.__click_params__ = []  # type: ignore[attr-defined]
        for flag in reversed((*_FLAGS[:2], format, *_FLAGS[2:])):
            flag(called)
        called.__click_params__ += own  # type: ignore[attr-defined]
        return click.command(name, help=help, short_help=help)(called)

    return made


def guarded(common: Common, body: Callable[[], int | None]) -> int:
    """Runs a verb: its exit code, with everything that can go wrong told in a sentence."""
    from dlc.runtime.cli.output import print_bug, print_mistakes

    try:
        code = body() or 0
        sys.stdout.flush()
        return code
    except DiagnosticError as error:
        if common.debug:
            _traceback()
        print_mistakes(common, error.diagnostics, getattr(error, "sources", {}))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough (`dlc ops | head`); nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (click.ClickException, click.exceptions.Exit):
        raise
    except MemoryError:
        message = "there is not enough memory: take a smaller batch, or a smaller network"
        print_mistakes(common, [Diagnostic("R606", message, None)], {})
    except Exception:
        print_bug()
    return 1


def _traceback() -> None:
    import traceback

    traceback.print_exc()
