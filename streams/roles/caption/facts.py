"""What a caption is a function of: the facts of a product that its writer is shown, as one hash, which is the memo's key.

No part of it are the place of the record on its topic, prices and other metadata that nobody states, how sure a model was,
where in the photo a garment is, and what other products look like at the moment.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from processors.evidence import colours
from processors.values import Evidence, Garment
from streams.contract.records import Item


def facts_key(product_id: str, tone: str, own: Evidence, edition: bytes = b"", kit: str = "", photo: str = "") -> str:
    """SHA-256 (hex) of what may be said of a product.

    Args:
        product_id: two products with the same facts have texts of their own.
        tone: of the text.
        own: the garments with what the shop says and models saw, before any neighbour is asked.
        edition: of a text that was asked for anew; empty for the first.
        kit: fingerprint of the brand kit; empty without one.
        photo: address of the photo that the writer looks at; empty for one that sees facts alone.
    """
    wishes: list[Any] = [*([kit] if kit else []), *([{"photo": photo}] if photo else [])]
    return _hash([product_id, tone, [_facts(garment) for garment in own.garments], edition, *wishes])


def sight_key(facts: str, item: Item, own: Evidence, context: str = "") -> str:
    """SHA-256 (hex) of all that a caption shows beside its text: boxes, confidences, photo, models, and the articles that add to it.

    `context`: fingerprint of these (`streams.roles.caption.context`); empty without any, and the key is then as if there were none at all.
    """
    pack = {"garments": own.garments, "style_examples": own.style_examples}
    said = [own.said] if own.said else []
    articles = [{"context": context}] if context else []
    return _hash(
        [
            facts,
            item.image,
            item.detector,
            item.encoder,
            pack,
            *([item.facets] if item.facets else []),
            *said,
            *articles,
        ]
    )


def seed_of(facts: str) -> int:
    """The seed of the first draft, 31 bits."""
    return int(facts[:8], 16) & 0x7FFFFFFF


def _facts(garment: Garment) -> list[Any]:
    named = [colour.name for colour in garment.colours]
    return [
        garment.id,
        garment.category,
        named,
        colours(garment),
        {facet: a.value for facet, a in sorted(garment.attributes.items())},
    ]


def _hash(parts: list[Any]) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()
