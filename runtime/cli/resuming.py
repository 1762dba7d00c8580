"""What a run refuses that goes on or is used, in the words of the command line: it stays what it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.cli.options import Common
from dlc.runtime.cli.output import shown_path

if TYPE_CHECKING:
    from dlc.runtime.checkpoint import RunFolder
    from dlc.runtime.preparation import Request


def require_own_numbers(common: Common, run: RunFolder) -> None:
    """Another seed or dtype would not be this run; with another split it would be tested on what it has learned.

    Raises click.UsageError, and DiagnosticError R603 for the split.
    """
    if common.seed is not None or common.dtype is not None or "seed" in common.settings:
        raise click.UsageError("a run goes on with its own seed and dtype: leave --seed and --dtype out")
    split = common.settings.get("split")
    if split is not None and split != run.settings["settings"].get("split"):
        message = f"--set split: {shown_path(run.path)} has learned from its own training examples"
        help = "with another split it would be tested on some of them: train anew, without --resume"
        raise DiagnosticError(Diagnostic("R603", message, None, help=help))


def require_trained_settings(common: Common, run: RunFolder) -> None:
    """A run that is used has the hypers and settings that it was trained with, and is of one model.

    Raises DiagnosticError R603.
    """
    model = run.settings["model"]
    if common.model not in (None, model):
        message = f"--model {common.model}: {shown_path(run.path)} is a run of {model}"
        raise DiagnosticError(Diagnostic("R603", message, None))
    if common.settings:
        name = next(iter(common.settings))
        message = f"--set {name}: {shown_path(run.path)} keeps the settings that it was trained with"
        help = "set it when you train; for other data write --data FILE"
        raise DiagnosticError(Diagnostic("R603", message, None, help=help))


@contextmanager
def differences_told(run: RunFolder, request: Request) -> Iterator[None]:
    """Where a checkpoint does not belong to the network, says which hyper or optimizer is another than the run's: the
    tensors that differ follow from that."""
    try:
        yield
    except DiagnosticError as error:
        if all(diagnostic.code == "R603" for diagnostic in error.diagnostics):
            found = list(_differences(run, request))
            if found:
                message = f"{shown_path(run.path)} cannot go on: {', and '.join(found)}"
                help = "leave that out, or train anew, without --resume"
                raise DiagnosticError(Diagnostic("R603", message, None, help=help)) from None
        raise


def _differences(run: RunFolder, request: Request) -> Iterator[str]:
    """`units is 32 here, and the run was trained with 64`, for all that decides which tensors there are."""
    from dlc.runtime.saved import resolved
    from dlc.runtime.spec import load_request

    before = run.settings["resolved"]
    now = resolved(load_request(replace(request, weights=False)))
    hypers = before["hypers"] | {"the optimizer": before["optimizer"]}
    for name, value in (now["hypers"] | {"the optimizer": now["optimizer"]}).items():
        if name in hypers and hypers[name] != value:
            yield f"{name} is {value} here, and the run was trained with {hypers[name]}"
