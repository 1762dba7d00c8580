"""From graphs to a Numba module: fuse, plan memory, write kernels and programs.

| file          | what it decides or writes                                                             |
|---------------|---------------------------------------------------------------------------------------|
| `layout.py`   | where the elements of a tensor lie                                                    |
| `forms.py`    | the graph in the forms that there is code for: contractions as products of matrices   |
| `values.py`   | what becomes of each value: a number of the program, read through, computed, reduced  |
| `views.py`    | movements over memory as that memory under other strides                              |
| `products.py` | how a matrix product is computed, with what strides                                   |
| `fuse.py`     | groups: what one kernel computes                                                      |
| `stored.py`   | what is stored and what is computed again                                             |
| `schedule.py` | the order of the kernels; which updates happen in place                               |
| `memory.py`   | the two allocations, and a place in them for everything                               |
| `work.py`     | how a kernel is cut into units for threads                                            |
| `contractions.py` | the text of stacks of matrix products                                             |
| `body.py`, `loops.py`, `kernels.py` | the text of a kernel: values, loops, whole                      |
| `scans.py`, `generators.py` | the text of loops: scans, and generators of words                         |
| `by_step.py`, `time_axes.py`, `plain_turn.py` | generators: from predictions for all steps to one step |
| `program.py`, `module.py`           | the text of a program, and of the module                        |
| `support.py`  | the few functions that generated code needs besides `host/`                           |
| `arena.py`    | the memory at run time: arrays, programs as calls                                     |
| `standalone.py` | the module as one file that needs Numba and NumPy alone                             |
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from dlc.compiler.codegen.host.machine import Dtype, host, item_bytes
from dlc.compiler.codegen.kernels import Target
from dlc.compiler.codegen.layout import NotSupported
from dlc.compiler.codegen.memory import Persistent, persistent_part
from dlc.compiler.codegen.module import Module, write_module
from dlc.compiler.dims import TensorType
from dlc.compiler.ir import Graph

__all__ = ["Module", "NotSupported", "generate"]


def generate(
    programs: Mapping[str, Graph],
    *,
    name: str,
    dtype: Dtype = "float32",
    path: str = "tile",
    source_name: str = "",
    declared: Mapping[tuple[str, str], TensorType] | None = None,
    notes: Iterable[str] = (),
    check: bool | None = None,
    shared: Persistent | None = None,
) -> Module:
    """The module of a model's programs (simplified and expanded graphs, by name).

    `path` is `tile` (vector code for this CPU) or `plain` (loops only: correct anywhere, and the oracle of the other).
    `declared` adds tensors, by role (`parameter`, `state`) and name, that no program reads. `check` (by default
    `DLC_CHECK=1` in the environment) makes every kernel verify each address it touches against the memory plan.
    `shared` is the persistent part, where these are not all programs of the model.
    Raises `NotSupported` for a graph that has no form here yet.
    """
    if shared is None:
        results = {root: node.type for graph in programs.values() for root, node in graph.roots.items()}
        shared = persistent_part(programs.values(), results, declared or {}, item_bytes(dtype))
    checking = os.environ.get("DLC_CHECK") == "1" if check is None else check
    target = Target(dtype, path, host(), checking)
    return write_module(
        programs,
        name=name,
        source_name=source_name,
        target=target,
        shared=shared,
        notes=notes,
    )
