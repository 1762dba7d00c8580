"""The library's layers: what their proof for all sizes takes down is exactly what each size is held to."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.compiler.elaborate.definitions import Proof, further_axes_of, unknowns
from dlc.compiler.elaborate.expressions import evaluate
from dlc.compiler.elaborate.library import library_scope, standard_names
from dlc.compiler.elaborate.report import Findings
from dlc.compiler.elaborate.values import Layer

LAYERS = [name for name in standard_names() if isinstance(library_scope().find(name), Layer)]


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=25, deadline=None)
@given(numbers=st.lists(st.sampled_from([1, 1, 2, 2, 3, 4, 4, 6, 8, 12]), min_size=12, max_size=12))
def test_sizes_fit_exactly_where_they_keep_the_obligations(name: str, numbers: list[int]) -> None:
    layer = library_scope().find(name)
    for definition in (layer.definition, *layer.others):
        if definition.kind != "layer":
            continue
        proof = Proof(Layer(definition, layer.scope), Findings(), evaluate)
        rest = further_axes_of(definition)[0]
        for_all = proof.walk(unknowns, rest)
        assert not for_all.mistakes
        tried = proof.walk(lambda _, number: numbers[number % len(numbers)], rest)
        assert bool(tried.mistakes) is not tried.keeps(for_all.facts), (tried.sizes, for_all.facts.relations)
