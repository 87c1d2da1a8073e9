"""Uploads that arrived together, of products that are known: what has to be known of each until its result is, too."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from processors.product import PhotoPlace, Product, says_otherwise
from streams.contract.records import Upload
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.items import PhotoContent
from streams.roles.product_states import NOTHING, Kept
from streams.roles.told import Told, ToldColumns
from streams.roles.work import About

_NOTHING_SEEN: Mapping[str, PhotoContent] = {}


@dataclass(slots=True)
class Simple:
    """An upload out of which nothing but its photos has to be got. `places`: its photos, or those of its product; None: they have to
    be got.
    """

    message: Message
    about: About
    upload: Upload
    product: str
    places: Sequence[PhotoPlace] | None = None
    told: Told | None = None
    quiet: bool = False

    def done(self, known: Mapping[str, PhotoContent], there: Collection[str]) -> Done[Any] | None:
        """What it says, where all that is needed for it is known; `known`: what was seen, by the photos' digests."""
        places, told = self.places, self.told
        if told is None or places is None:
            return None
        if self.about.pictured and not all(place.address in there for place in places):
            return None
        if self.quiet:
            return Done(told)
        contents = {place.digest: known[place.digest] for place in places if place.digest in known}
        if len(contents) < len(places):
            return None
        return Done(Told(told.product, told.change, contents, told.source))


class Part(NamedTuple):
    """An upload of columns alone (`streams.contract.part_of_columns`)."""

    message: Message
    product: str
    columns: dict[str, Any]
    version: int | float | None


def loud_of(parts: Iterable[Part], kept: Mapping[str, Kept], maker: str) -> set[str]:
    """Of the products of columns those whose item may have to be made anew: what was seen on their photos is needed."""
    loud: set[str] = set()
    for message, product, columns, _ in parts:
        if product in loud:
            continue
        one = kept[product]
        stands = one.product.alive and one.digest and one.made == maker
        # That of its own source is published in any case.
        own = one.source is not None and (one.source.partition, one.source.offset) == message.source[1:]
        if not stands or own or says_otherwise(one.product, columns):
            loud.add(product)
    return loud


def done_of(
    parts: Iterable[Part], kept: Mapping[str, Kept], loud: Iterable[str], known: Mapping[str, PhotoContent]
) -> Iterator[tuple[int, Done[Any]]]:
    """Offset → what columns say, of products of which all is known that is needed; arguments as above, and what was seen, by digest."""
    seen = {product: _seen_of(kept[product].product, known) for product in loud}
    there = {product for product, one in kept.items() if one.product != NOTHING}
    for message, product, columns, version in parts:
        contents = seen.get(product, _NOTHING_SEEN)
        if contents is not None and product in there:
            yield message.offset, Done(ToldColumns(product, columns, contents, version))


def _seen_of(product: Product, known: Mapping[str, PhotoContent]) -> Mapping[str, PhotoContent] | None:
    digests = {place.digest for place in product.photos}
    return {digest: known[digest] for digest in digests} if known.keys() >= digests else None
