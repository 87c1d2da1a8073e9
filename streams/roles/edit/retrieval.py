"""The garments of the catalogue that an edit takes its look from, by the live index."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace as changed

from infra.fetch import Fetcher
from infra.store import NotFound, ObjectStore
from infra.threads import InThread
from processors.editing.cloth import PATTERNS
from processors.editing.wishes import CLOTHES
from processors.errors import Code, Poison
from processors.identity import key_of, split
from processors.values import Garment
from streams.contract.edits import MAX_REFERENCES, EditReference
from streams.contract.probes import Answer, Found, LookupProbe, SearchProbe
from streams.roles.compose import probes
from streams.roles.compose.asked import MARGIN_S, Asked
from streams.roles.edit.asked import EditAsked, EditSeen
from streams.search import merging
from streams.search.pending import PendingQueries, all_answered
from streams.search.wording import wording_of

LOOKED_THROUGH = 12
"""Hits, of which those that are sold as the wanted kind come first."""
SEARCH_S = 5.0
"""The longest that shards are waited for, of each search."""


@dataclass(frozen=True, slots=True)
class Hits:
    """What one search found; `wanted`: facets that all of it surely have."""

    found: tuple[EditReference, ...]
    generation: str
    wanted: frozenset[str]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Asks the index, and gets photos.

    Args:
        pending: asks the shards.
        store: where photos of products lie.
        fetcher: gets those that lie elsewhere.
        in_thread: runs what waits for the store.
        now: seconds since the epoch.
        place: the partition that a product's key names; None where nobody can say.
        max_bytes: of a photo.
    """

    pending: PendingQueries
    store: ObjectStore
    fetcher: Fetcher
    in_thread: InThread
    now: Callable[[], float]
    place: Callable[[str], Awaitable[int | None]]
    max_bytes: int

    async def product(self, asked: Asked, product_id: str, field: str, name: str) -> Found:
        """A product of the asker's shop. Raises `Poison`: there is none, or it has no photo."""
        key = key_of(asked.query.shop or "", product_id)
        probe = LookupProbe(
            query_id=asked.message.event_id(name),
            product_id=key,
            deadline=self._until(asked.deadline),
            joined=True,
            generation=asked.space.generation,
            partition=await self.place(key),
        )
        answers = await self.pending.ask(
            probe, lambda got: probe.partition in got or all_answered(got) or _found(got) is not None
        )
        if _found(answers) is None and probe.partition is not None:
            probe = changed(probe, query_id=asked.message.event_id(f"{name}/all"), partition=None)
            answers = await self.pending.ask(probe, lambda got: all_answered(got) or _found(got) is not None)
        found = _found(answers)
        if found is None or not found.image:
            cause = f"the catalogue has no product {product_id!r}" if found is None else f"{product_id!r} has no photo"
            raise Poison(cause, field=field, code=Code.UNKNOWN_PRODUCT)
        return found

    async def given(self, uri: str) -> bytes:
        """A photo of the asker's, under the limits of every photo. Raises `Poison`, `Retryable`."""
        return await self.fetcher.fetch(uri)

    async def photo(self, address: str) -> bytes:
        """A product's photo. Raises `Poison`: it is not there."""
        key = self.store.key_of(address)
        if key is None:
            return await self.fetcher.fetch(address)
        try:
            return await self.in_thread(lambda: self.store.get(key, limit=self.max_bytes))
        except NotFound:
            raise Poison(f"the photo {address} is not in the store any more", code=Code.NOT_FOUND) from None

    async def named(self, asked: EditAsked) -> Hits:
        """The products that the request itself names. Raises `Poison`: one of them does not exist."""
        found = await asyncio.gather(
            *(
                self.product(asked.query, product_id, f"references[{number}]", f"reference/{number}")
                for number, product_id in enumerate(asked.request.references)
            )
        )
        hits = tuple(
            EditReference(product_id, 1.0, self.store.relative(one.image), one.category)
            for product_id, one in zip(asked.request.references, found, strict=True)
        )
        return Hits(hits, asked.query.space.generation, frozenset({"colour", "pattern"}))

    async def search(self, seen: EditSeen, garment: Garment | None) -> Hits:
        """The best products for the words: those that surely have what they name, else those that have less of it, else the nearest."""
        asked = seen.asked
        for number, (wanted, bare) in enumerate(_tries(seen, garment)):
            probe = changed(
                bare,
                query_id=asked.message.event_id(f"search/{number}"),
                deadline=self._until(asked.deadline),
            )
            answers = await self.pending.ask(probe, all_answered)
            good = merging.good_of(probe, answers)
            wording = wording_of(probe.words, good)
            ranked = merging.ranked(good, probe.shop, wording)
            found = merging.in_order(ranked, LOOKED_THROUGH, collapse=True)
            hits = tuple(
                EditReference(
                    split(one.hit.product_id)[1],
                    round(one.hit.score, 4),
                    self.store.relative(one.hit.photo or one.hit.image),
                    one.hit.category,
                )
                for one in found
                if one.hit.photo or one.hit.image
            )
            if hits:
                # Sold as what is asked for, before what merely shows one: the jeans under a T-shirt that is sold are half a pair.
                kinds = probe.filters.get("category", ())
                hits = tuple(sorted(hits, key=lambda hit: hit.category not in kinds))[:MAX_REFERENCES]
                return Hits(hits, min(one.generation for one in good), wanted)
        return Hits((), asked.query.space.generation, frozenset())

    def _until(self, deadline: float) -> float:
        return min(deadline - MARGIN_S, self.now() + SEARCH_S)


def _tries(seen: EditSeen, garment: Garment | None) -> Iterator[tuple[frozenset[str], SearchProbe]]:
    """What the shards are asked, one after the other, until something is found; and which facets of the words that makes sure of."""
    embedded, asked = seen.embedded, seen.asked
    image = asked.request.image
    # The nearest to a product's own photo is that product, which would be edited into what it is.
    own = () if image is None or image.product_id is None else (key_of(asked.request.shop or "", image.product_id),)
    probe = changed(probes.search(embedded.prepared, embedded.texts[0]), exclude_products=own)
    edit = embedded.prepared.reading.edit
    wishes = {name: values for name, values in merging.sibling_filters(edit).items() if name != "category"}
    category = asked.wish.category or ("" if garment is None else garment.category)
    of_kind: dict[str, tuple[str, ...]] = {"category": (category,)} if category else {}
    drawn = {name: values for name, values in wishes.items() if name in {"colour", "pattern"}}
    colour = {name: values for name, values in wishes.items() if name == "colour"}
    # A dress may have the look of a shirt, and never that of sunglasses, however red they are.
    anything: dict[str, tuple[str, ...]] = {"category": CLOTHES} if category in CLOTHES else {}
    before: list[dict[str, tuple[str, ...]]] = []
    for filters in (
        {**of_kind, **wishes},
        {**of_kind, **drawn},
        {**of_kind, **colour},
        of_kind,
        *({**anything, **more} for more in (drawn, colour, {})),
    ):
        if filters not in before:
            before.append(filters)
            yield frozenset(filters) & frozenset({"colour", "pattern"}), changed(probe, filters=filters, conditions=())


def missing(seen: EditSeen, hits: Hits) -> tuple[str, ...]:
    """What the words name and no garment that was found has: it is taken from the words alone."""
    wish = seen.asked.wish
    colours = () if "colour" in hits.wanted else wish.colours
    pattern = (wish.pattern,) if wish.pattern in PATTERNS and "pattern" not in hits.wanted else ()
    return (*colours, *pattern)


def _found(answers: dict[int, Answer]) -> Found | None:
    return next((one for one in answers.values() if isinstance(one, Found) and one.vector is not None), None)
