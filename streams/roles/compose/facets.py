"""The facets of a composed query: what is asked of them beside the vector, where it is known what the query starts from."""

from __future__ import annotations

import dataclasses

import numpy as np
from msgspec.structs import replace

from processors import composing
from processors.chances import Packed, unpacked
from processors.composing import Composed
from processors.edit_text import ParsedEdit
from streams.contract.probes import SearchProbe
from streams.roles.compose.asked import Embedded


def composed_of(embedded: Embedded) -> Composed | None:
    """What is asked of the facets; None where nothing is known of the reference, or the words say nothing of any facet."""
    reading, lent = embedded.prepared.reading, embedded.prepared.asked.reference.lent
    known, heads = _known(embedded)
    if not lent and not (known and reading.edits):
        return None
    return composing.compose(unpacked(known), reading.edit, heads=heads, lent=unpacked(lent))


def known_of(embedded: Embedded) -> Packed:
    """What it probably is that the words are about: in thousandths, facet by facet."""
    return _known(embedded)[0]


def _known(embedded: Embedded) -> tuple[Packed, str]:
    """What the product that was looked up probably is, or the garment of the photo that the words are about; and whose heads told it."""
    reference = embedded.prepared.asked.reference
    if reference.chances:
        return reference.chances, reference.heads
    lead = next((one for one in embedded.worn if one.garment.id == embedded.lead), None)
    return ({}, "") if lead is None else (lead.chances, lead.heads)


def with_facets(probe: SearchProbe, composed: Composed | None, embedded: Embedded) -> SearchProbe:
    """The probe as one inner product over embedding and facets, whose largest value is 1."""
    if composed is None:
        return probe
    image = embedded.image if embedded.image is not None else embedded.prepared.asked.reference.vector
    # What the facets say is no part of the vector: words that no facet expresses act on it.
    if image is None or embedded.prepared.reading.edit.rest:
        image = np.frombuffer(probe.vector, dtype="<f4")
    vector = image * np.float32(composed.embedding / composed.most)
    blocks = {
        facet: {value: weight / composed.most for value, weight in sorted(block.items())}
        for facet, block in composed.blocks.items()
    }
    return replace(probe, vector=vector.astype("<f4").tobytes(), blocks=blocks, wishes=composed.wishes)


def with_kept(probe: SearchProbe, embedded: Embedded) -> SearchProbe:
    """The probe of a product and words that are a filter alone ("the same but cheaper", "in M"), with what the product probably is.

    By the vector alone a woman's top under 500 was a man's. The vector stays as it is, and hits tell their inner product with it.
    """
    prepared = embedded.prepared
    known, heads = prepared.asked.reference.chances, prepared.asked.reference.heads
    if not known or not prepared.reading.conditions or prepared.asked.query.sort or prepared.reading.edits:
        return probe
    kept = composing.compose(unpacked(known), ParsedEdit(""), heads=heads)
    blocks = {
        facet: {value: weight / composing.WEIGHTS.embedding for value, weight in sorted(block.items())}
        for facet, block in kept.blocks.items()
    }
    return replace(probe, blocks=blocks, inner=True)


def with_words(probe: SearchProbe, embedded: Embedded) -> SearchProbe:
    """The probe of words alone, with what they say of facets: a hat first, where a "red hat" is asked for.

    The vector stays as it is, and hits tell their inner product with it: relevance was fitted for that.
    """
    prepared = embedded.prepared
    started = prepared.photo is not None or prepared.asked.reference.vector is not None
    edit = prepared.reading.edit
    # Within a band of scores hits are sorted, and facets would make the bands narrow.
    if started or prepared.asked.query.sort or not edit.set:
        return probe
    asked = composing.worded(edit)
    if edit.rest:
        # A title says more than facets: but for the kind of garment they kept products from being found first by their own one.
        named = dataclasses.replace(edit, set={f: v for f, v in edit.set.items() if f in composing.GARMENT})
        asked = dataclasses.replace(asked, blocks=composing.worded(named, composing.SAYING_MORE).blocks)
    if not any(any(block.values()) for block in asked.blocks.values()):
        return probe
    return replace(probe, blocks=asked.blocks, wishes=asked.wishes, inner=True)
