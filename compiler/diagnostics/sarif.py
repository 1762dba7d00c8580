"""Diagnostics as SARIF 2.1.0, which code hosts and editors show beside the text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from dlc.compiler.diagnostics.codes import explanation, find
from dlc.compiler.diagnostics.record import Diagnostic
from dlc.compiler.diagnostics.render import arrange
from dlc.grammar.span import Span

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif_text(diagnostics: Iterable[Diagnostic], version: str) -> str:
    """One run: the codes that occur as rules, the diagnostics as results."""
    found = arrange(diagnostics)
    codes = sorted({diagnostic.code for diagnostic in found})
    driver = {"name": "dlc", "version": version, "rules": [_rule(code) for code in codes]}
    results = [_result(diagnostic, codes.index(diagnostic.code)) for diagnostic in found]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(code: str) -> dict[str, Any]:
    entry = find(code)
    if entry is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": entry.title},
        "fullDescription": {"text": " ".join(entry.explanation.split())},
        "help": {"text": explanation(entry)},
        "defaultConfiguration": {"level": entry.severity},
    }


def _result(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    said = [diagnostic.message]
    said += [f"rule: {diagnostic.rule}"] if diagnostic.rule else []
    said += [f"help: {diagnostic.help}"] if diagnostic.help else []
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity,
        "message": {"text": "\n".join(said)},
        "locations": [_location(diagnostic.span, diagnostic.label)] if diagnostic.span else [],
    }
    if diagnostic.related:
        result["relatedLocations"] = [_location(related.span, related.message) for related in diagnostic.related]
    if diagnostic.fix:
        result["fixes"] = [_fix(diagnostic)]
    return result


def _fix(diagnostic: Diagnostic) -> dict[str, Any]:
    files = dict.fromkeys(edit.span.file for edit in diagnostic.fix)
    changes = [
        {
            "artifactLocation": _artifact(file),
            "replacements": [
                {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.text}}
                for edit in diagnostic.fix
                if edit.span.file == file
            ],
        }
        for file in files
    ]
    return {"description": {"text": diagnostic.help or diagnostic.message}, "artifactChanges": changes}


def _location(span: Span, message: str | None) -> dict[str, Any]:
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": _artifact(span.file), "region": _region(span)}}
    return place | ({"message": {"text": message}} if message else {})


def _artifact(file: str) -> dict[str, str]:
    return {"uri": quote(file.replace("\\", "/"))}


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
