"""Runs generated programs and compares every root with the reference executor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from nets import M, data

from dlc.compiler.codegen import Module, generate
from dlc.compiler.ir import Graph
from dlc.runtime.initial import draws
from dlc.runtime.native import Native
from dlc.runtime.reference import evaluate

SCALARS = {"t": 3.0, "epoch": 2.0, "step": 3.0}
SEED, STEP = 7, 5
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def module(programs: Mapping[str, Graph], dtype: str = "float64", path: str = "tile", *, check: bool = False) -> Module:
    return generate(programs, name="Net", source_name="net.dl", dtype=dtype, path=path, check=check)  # type: ignore[arg-type]


def fill(native: Native) -> None:
    """Random parameters, states and gradients; second moments are positive."""
    rng = np.random.default_rng(1)
    for array in [*native.parameters.values(), *native.gradients.values()]:
        array[...] = 0.3 * rng.standard_normal(array.shape)
    for array in native.states.values():
        array[...] = 0.1 * rng.random(array.shape)


def kept(native: Native) -> dict[tuple[str, str], np.ndarray]:
    """All tensors, by role and name, as float64 copies."""
    found = {}
    for role in ("parameter", "state", "gradient"):
        for name, array in getattr(native, f"{role}s").items():
            found[role, name] = np.array(array, np.float64)
    return found


def assert_equal_to_reference(native: Native, graph: Graph, title: str, m: int) -> None:
    """Run one program for m examples; the gradients, the updates and each result must be the reference's, norm-wise.
    Parameters and states are put back."""
    inputs = {
        name: array.astype(native.dtype) if array.dtype == np.float64 else array
        for name, array in data(graph, m).items()
    }
    before = kept(native)
    bindings = before | {("input", name): array for name, array in inputs.items()}
    bindings |= {("scalar", name): np.array(value) for name, value in SCALARS.items()}
    axes = {
        str(node.attr("name")): [size.constant for size in node.type.sizes].index(None)
        for node in graph.nodes
        if node.op.startswith("draw_") and any(size.constant is None for size in node.type.sizes)
    }
    expected = evaluate(graph, bindings, {M: m}, draws(SEED, STEP, str(native.dtype), axes))
    physical = {
        node.attr("name"): np.moveaxis(inputs[node.attr("name")], axis, 0)
        for node in graph.nodes
        if node.op == "input"
        for axis, size in enumerate(node.type.sizes)
        if size.constant is None
    }
    physical |= {name: array for name, array in inputs.items() if name not in physical}
    native.words[0] = SEED
    found = native.run(title, physical, m, SCALARS, STEP)
    together: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for root, value in expected.items():
        kind, _, name = root.partition(".")
        if kind == "update":
            got = native.parameters[name] if name in native.parameters else native.states[name]
        else:
            got = found[root]
        together.setdefault(kind, []).append((np.asarray(got, np.float64).reshape(-1), value.reshape(-1)))
    for kind, pairs in together.items():
        got, value = (np.concatenate(side) for side in zip(*pairs, strict=True))
        error = np.linalg.norm(got - value) / max(np.linalg.norm(value), 1e-30)
        assert error < TOLERANCE[str(native.dtype)], f"{title} {kind} m={m}: off by {error:.2g}"
    for (role, name), array in before.items():
        if role != "gradient":
            getattr(native, f"{role}s")[name][...] = array
