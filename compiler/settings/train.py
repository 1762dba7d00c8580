"""The `train:` block."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Related
from dlc.compiler.settings import TRAIN_KEYS, schema
from dlc.compiler.settings.overrides import parsed
from dlc.compiler.settings.reader import Evaluate, Form, called, checked, gathered, mistake, only, unknown, wrong
from dlc.compiler.settings.records import Clip, EarlyStop, TrainSettings
from dlc.grammar import ast
from dlc.grammar.span import Span

CLIPS = {
    "norm": Form(Clip, schema.Limit, ("limit",), {"by": "norm"}),
    "value": Form(Clip, schema.Limit, ("limit",), {"by": "value"}),
}
STOPS = {"patience": Form(dict, schema.Patience, ("patience", "on", "best"))}

LEAST_IS_BEST = frozenset({"loss", "cost", "perplexity"})
GREATEST_IS_BEST = frozenset({"accuracy", "precision", "recall", "F1", "R2", "bleu"})


def read(
    block: ast.Block | None, evaluate: Evaluate, overrides: Mapping[str, str], metrics: Collection[str] | None
) -> tuple[TrainSettings, list[Diagnostic]]:
    """See `dlc.compiler.settings.read_train`."""
    found: list[Diagnostic] = []
    settings = gathered(block, parsed("train", overrides, found), found)
    for key, other in (("steps", "epochs"), ("epochs", "steps")):
        if key in overrides and other not in overrides:
            settings.pop(other, None)
    values: dict[str, Any] = {}
    for key, setting in settings.items():
        try:
            values |= _read(key, setting, evaluate, metrics)
        except DiagnosticError as error:
            found += error.diagnostics
    if "epochs" in settings and "steps" in settings:
        related = (Related("epochs is set here", settings["epochs"].span),)
        message = "epochs and steps both say how long to train: give one of them"
        found.append(mistake(message, settings["steps"].span, related=related))
    elif "steps" in values:
        values["epochs"] = None
    return replace(TrainSettings(), **values, places={key: s.span for key, s in settings.items()}), found


def _read(key: str, setting: ast.Setting, evaluate: Evaluate, metrics: Collection[str] | None) -> dict[str, Any]:
    match key:
        case "optimizer":
            return {key: only(setting)}
        case "regularize":
            return {key: setting.values}
        case "clip":
            return {key: called(only(setting), CLIPS, evaluate, "clip")}
        case "early_stop":
            return {key: _early_stop(only(setting), evaluate, metrics)}
        case "shuffle":
            return {key: checked(schema.Train, {key: only(setting)}, evaluate)[key] == "on"}
        case _ if key in TRAIN_KEYS:
            return checked(schema.Train, {key: only(setting)}, evaluate)
        case _:
            raise unknown(f"train: has no setting {key}", key, setting.name.span, TRAIN_KEYS, "its settings are")


def _early_stop(expr: ast.Expr, evaluate: Evaluate, metrics: Collection[str] | None) -> EarlyStop:
    """Where `best` is left out, the metric says it: the least loss is the best, the greatest accuracy."""
    given = called(expr, STOPS, evaluate, "early_stop")
    stop = EarlyStop(**given)
    measure = stop.on.partition(".")[2]
    if metrics is not None and measure not in (known := [*metrics, "loss", "cost"]):
        message = f"early_stop watches {stop.on}, but the model has no metric {measure}"
        raise unknown(message, measure, _place_of_measure(expr), known, "it has")
    if "best" in given or measure in LEAST_IS_BEST:
        return stop
    if measure in GREATEST_IS_BEST:
        return replace(stop, best="max")
    message = f"whether the best {measure} is the least or the greatest must be said"
    raise wrong(message, expr.span, help="add best = min or best = max")


def _place_of_measure(expr: ast.Expr) -> Span:
    arguments = expr.arguments if isinstance(expr, ast.Call) else ()
    return next((a.value.name.span for a in arguments if isinstance(a.value, ast.Attribute)), expr.span)
