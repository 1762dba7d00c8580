"""dlc: neural networks written the way the course writes them, proved, differentiated, compiled and trained.

`load` and `check` need neither numpy nor numba; they are imported when a model is compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dlc.compiler.diagnostics import Diagnostic
    from dlc.runtime.errors import DataError, SpecError
    from dlc.runtime.program import Model
    from dlc.runtime.saved import open_model as open
    from dlc.runtime.spec import Spec, check, load

_HOME = {
    "DataError": ("dlc.runtime.errors", "DataError"),
    "Diagnostic": ("dlc.compiler.diagnostics", "Diagnostic"),
    "Model": ("dlc.runtime.program", "Model"),
    "Spec": ("dlc.runtime.spec", "Spec"),
    "SpecError": ("dlc.runtime.errors", "SpecError"),
    "check": ("dlc.runtime.spec", "check"),
    "load": ("dlc.runtime.spec", "load"),
    "open": ("dlc.runtime.saved", "open_model"),
}

__all__ = ["DataError", "Diagnostic", "Model", "Spec", "SpecError", "__version__", "check", "load", "open"]


def __getattr__(name: str) -> Any:
    """The public names, each imported when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'dlc' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOME[name]
    value = globals()[name] = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
