"""A spec's own data, as its `data:` block says: read before anything is compiled, so that what is wrong with it is told
at once."""

from __future__ import annotations

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.data.dataset import DataSet, load
from dlc.runtime.data.dimensions import check_requirements
from dlc.runtime.endings import require_words
from dlc.runtime.errors import told
from dlc.runtime.spec import Spec


def load_own_data(spec: Spec, dtype: str, seed: int, threads: int | None) -> DataSet:
    """The data, split and preprocessed. `seed` chooses the splits. Raises `SpecError`: T409 without a `data:` block,
    V501 and the following for values that cannot be, D113 for sizes that the model does not take."""
    request, data = spec.prepared.request, spec.prepared.data
    with told(spec.prepared.sources):
        if data is None:
            message = f"{spec.name} has no data: block"
            help = "add one, or give the arrays in Python: model.fit(X=…, Y=…)"
            raise DiagnosticError(Diagnostic("T409", message, None, help=help))
        loaded = load(data, request.folder, spec.inputs, seed, dtype, request.limit, threads)
        require_words([spec.checked.evaluation], loaded.preprocessing, spec.inputs)
        for part in loaded.splits.values():
            check_requirements(spec.checked.requirements, part.arrays, spec.inputs)
    return loaded
