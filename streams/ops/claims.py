"""Which live captions rest on a source: what a shop, the photo or other products said. For `weft claims`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from processors.identity import key_of
from streams.contract.records import Caption
from streams.ops.caption_explain import facts_of_caption

SOURCES = ("merchant", "pixels", "neighbours", "seen")


class Claim(msgspec.Struct, frozen=True):
    """A fact that a live caption states. `source` and `neighbours`: who said it; `status`: of the caption."""

    product_id: str
    shop: str
    garment: str
    facet: str
    value: str
    source: str
    neighbours: tuple[str, ...]
    status: str
    caption: str


def is_source(captions: Iterable[Caption], source: str) -> bool:
    """Whether a text could rest on it: one of `SOURCES`, a live product, or one that was a neighbour when a text was written."""
    return source in SOURCES or any(
        source == key_of(one.shop, one.product_id) or any(source in fact.neighbours for fact in facts_of_caption(one))
        for one in captions
    )


def claims_on(captions: Iterable[Caption], source: str, facets: frozenset[str] = frozenset()) -> Iterator[Claim]:
    """Every stated fact that rests on a source, product by product.

    Args:
        captions: as they stand.
        source: one of `SOURCES`, or the key of a product whose label was a neighbour's vote.
        facets: of these only; empty: of all.
    """
    for caption in sorted(captions, key=lambda one: key_of(one.shop, one.product_id)):
        for fact in facts_of_caption(caption):
            rests = source in fact.neighbours if source not in SOURCES else fact.source == source
            if fact.stated and rests and (not facets or fact.facet in facets):
                yield Claim(
                    caption.product_id, caption.shop, fact.garment, fact.facet, fact.value, fact.source, fact.neighbours,
                    caption.status, caption.caption,
                )  # fmt: skip
