"""What the shop says of a garment, and what was seen of it, as far as each facet's policy lets it count."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from processors.palette import PALETTE
from processors.policies import Policies
from processors.values import Attribute, Colour, Garment


def told_of(garment: Garment, told: Mapping[str, Attribute], policies: Policies) -> Garment:
    """The garment with the colours and attributes that may be said of it before any neighbour is asked.

    Args:
        garment: as `enrich` saw it; attributes that it has are seen ones.
        told: facet → what the shop says of this garment, "colour" among them.
        policies: whose word counts.
    """
    attributes: dict[str, Attribute] = {}
    for facet in (*told, *garment.attributes):
        policy = policies.of(facet)
        source = garment.attributes if policy == "pixels" else told if policy in ("merchant", "neighbours") else {}
        if facet in source and facet != "colour":
            attributes[facet] = source[facet]
    return msgspec.structs.replace(garment, colours=_colours(garment, told, policies), attributes=attributes)


def _colours(garment: Garment, told: Mapping[str, Attribute], policies: Policies) -> tuple[Colour, ...]:
    policy = policies.of("colour")
    if policy == "pixels":
        return garment.colours
    hexes = dict(PALETTE)
    name = told["colour"].value if policy == "merchant" and "colour" in told else ""
    # A name that the palette does not know has no swatch to show, and nothing is shown instead of a guess.
    return (Colour(name, hexes[name], 1.0),) if name in hexes else ()
