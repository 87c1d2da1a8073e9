"""The facets of a composed query: what is asked of them beside the vector, where it is known what the query starts from."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from processors import composing
from processors.chances import unpacked
from processors.composing import Composed
from streams.contract.probes import SearchProbe
from streams.roles.compose.asked import Embedded


def composed_of(embedded: Embedded) -> Composed | None:
    """What is asked of the facets; None where nothing is known of the reference, or the words say nothing of any facet."""
    reference, edit = embedded.prepared.asked.reference, embedded.prepared.reading.edit
    says = edit.set or edit.exclude or edit.less or edit.shade or edit.length or edit.rest
    if not reference.chances or not says:
        return None
    return composing.compose(unpacked(reference.chances), edit)


def with_facets(probe: SearchProbe, composed: Composed | None) -> SearchProbe:
    """The probe as one inner product over embedding and facets, whose largest value is 1."""
    if composed is None:
        return probe
    vector = np.frombuffer(probe.vector, dtype="<f4") * np.float32(composing.WEIGHTS.embedding / composed.most)
    blocks = {
        facet: {value: weight / composed.most for value, weight in sorted(block.items())}
        for facet, block in composed.blocks.items()
    }
    return replace(probe, vector=vector.astype("<f4").tobytes(), blocks=blocks, wishes=composed.wishes)
