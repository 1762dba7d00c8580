"""A spec: what is known of a model before anything is compiled.

dlc.check("net.dl")                     # every finding
spec = dlc.load("net.dl", units=64)     # parsed and proved
spec.shapes["Z[2]"], spec.parameters["W[2]"].count
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.program import CheckedModel, InputDeclaration, ParameterDeclaration
from dlc.compiler.settings import TrainSettings
from dlc.runtime.errors import SpecError
from dlc.runtime.preparation import Prepared, Request, prepare, prepare_all

if TYPE_CHECKING:
    from dlc.runtime.engine import Target
    from dlc.runtime.program import Model

PathLike = str | os.PathLike[str]


def check(path: PathLike, *, model: str | None = None, root: PathLike | None = None, **hypers: Any) -> list[Diagnostic]:
    """Every finding about a file: its text, all dimensions, its `train:` and `data:` blocks, the headers of its data.

    Never raises on what the file says. All is proved when none has the severity "error".
    """
    request = Request(Path(path), model, hypers, root=_path(root))
    found = [diagnostic for prepared in prepare_all(request) for diagnostic in prepared.diagnostics]
    return list(dict.fromkeys(found))


def load(path: PathLike, *, model: str | None = None, root: PathLike | None = None, **hypers: Any) -> Spec:
    """A checked spec, with its hypers set. Raises `SpecError`; `model` chooses where a file has several."""
    return load_request(Request(Path(path), model, hypers, root=_path(root)))


def load_request(request: Request, *, headers: bool = False) -> Spec:
    """The same for what the command line asks for."""
    prepared = prepare(request, headers=headers)
    if prepared.checked is None:
        raise SpecError(prepared.diagnostics, prepared.sources)
    return Spec(prepared)


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


class Shape(tuple[int | str, ...]):
    """A shape in symbols: whole numbers where a size is known, its text where it is not, `(16, 'm')`.

    `str()` writes it as the course does: `(16, m)`.
    """

    def __str__(self) -> str:
        return f"({', '.join(map(str, self))})"

    __repr__ = __str__


class Spec:
    """A model that was proved: what is known of it without compiling."""

    def __init__(self, prepared: Prepared) -> None:
        assert prepared.checked is not None
        self.prepared = prepared
        self.checked: CheckedModel = prepared.checked

    @property
    def name(self) -> str:
        return self.checked.name

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every named value: `spec.shapes["Z[2]"]` is `(16, m)`."""
        return {
            name: Shape(int(size.constant) if size.constant is not None else str(size) for size in type.sizes)
            for name, type in self.checked.shapes.items()
        }

    @property
    def parameters(self) -> Mapping[str, ParameterDeclaration]:
        """By name; each has `shape`, `count` and `frozen`."""
        return self.checked.parameters

    @property
    def inputs(self) -> Mapping[str, InputDeclaration]:
        """Inputs and targets by name."""
        return self.checked.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.checked.outputs

    @property
    def train(self) -> TrainSettings:
        """The `train:` block, defaults filled in."""
        return self.prepared.train

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """Warnings and notes."""
        return self.prepared.diagnostics

    def compile(
        self,
        dtype: str = "float32",
        seed: int | None = None,
        threads: int | None = None,
        target: Target = "native",
    ) -> Model:
        """The model with memory and first values.

        `seed` is the `train:` block's by default, which is 1 where it says nothing. `target="reference"` computes every
        op by its NumPy meaning, `"plain"` in generated loops without vector code. The same seed gives the same bits on
        any number of threads.
        """
        dtype = getattr(dtype, "__name__", dtype)  # np.float64 will do as well
        if seed is not None and (not isinstance(seed, int) or not 0 <= seed < 2**63):
            raise ValueError(f"seed is a whole number from 0 to 2^63 - 1, not {seed!r}")
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise ValueError(f"threads is a whole number from 1 on, not {threads!r}")
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is float32 or float64, not {dtype!r}")
        if target not in ("native", "reference", "plain"):
            raise ValueError(f"target is native, reference or plain, not {target!r}")
        from dlc.runtime.program import Model

        return Model(self, dtype, self.train.seed if seed is None else seed, threads, target)

    def __repr__(self) -> str:
        return f"<dlc.Spec {self.name}: {self.checked.parameter_count:,} parameters>"
