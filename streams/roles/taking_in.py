"""How enrich publishes: in the order of its partition, each upload is joined with what is known of its product.

Here, and not before: only when all earlier uploads of a product have come through, or failed, is it known what it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from processors.errors import Code, Poison
from processors.identity import key_of, split
from processors.product import Change, PhotoPlace, Product, Stamp
from streams.contract import codecs, topics
from streams.contract.cloudevents import output_headers
from streams.contract.codecs import encode
from streams.contract.records import Item, Source, Upload
from streams.contract.versions import stamp_of
from streams.engine.message import ANSWER, PRIORITY, URGENT, Message
from streams.kafka.producer import Sender
from streams.roles.items import Items, PhotoContent, memo_key
from streams.roles.outcome import Deleted, NoEffect, Outcome, PassedOn, Unchanged, pass_on
from streams.roles.products import Kept, Known, Products

DELETED = b"deleted"
"""In place of the hash of an item, where a deletion stands."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an upload says, and what the models made of its photos: of those it gives, or else of those the product had.

    `product`: its key (`processors.identity`). `item`: what it makes where nothing else counts; None for a part of a product. `contents`: by the photos' digests.
    """

    product: str
    change: Change
    contents: Mapping[str, PhotoContent]
    source: Source
    item: Item | Unchanged | None


Enriched: TypeAlias = Told | Deleted | PassedOn | NoEffect


def _is_urgent(message: Message) -> bool:
    return message.header(PRIORITY) == URGENT


@dataclass(frozen=True, slots=True)
class TakeIn:
    """The `publish` of enrich's pipeline.

    Args:
        sender: to the broker.
        products: what is known.
        items: makes items.
        live: the version of facet heads that is live.
        published: told of every outcome once its record was handed to the broker's client, or was found to stand already.
        always: whether what is unchanged and stands is published again.
        urgent: whether what is made of a record is to be done before its turn, too: it says so in a header. It is published
            even where it stands: what is to be made of that may still wait for its turn.
    """

    sender: Sender
    products: Products
    items: Items
    live: Callable[[], str] = str
    published: Callable[[Outcome], None] = lambda _: None
    always: bool = False
    urgent: Callable[[Message], bool] = _is_urgent

    async def publish(self, message: Message, outcome: Enriched) -> Sequence[Awaitable[object]]:
        """See `streams.engine.lanes.Publish`.

        Raises:
            Poison: the upload and what is known of its product make no item.
            Retryable: the store or the broker is away.
        """
        if isinstance(outcome, NoEffect):
            return []
        if isinstance(outcome, PassedOn):
            return [await pass_on(self.sender, message, outcome)]
        record = (message.partition, message.offset)
        key = outcome.product if isinstance(outcome, Told) else key_of(outcome.shop, outcome.product_id)
        known = await self.products.now(key, record)
        before = known.kept.product
        if known.tag is None and before == Product() and isinstance(outcome, Told) and not outcome.change.replaces:
            await self.products.check_known(key)
        first = not before.has_seen(*record)
        product = _with(before, message, outcome).having_seen(*record) if first else before
        result = await self._result(key, message, outcome, product, changed=not product.says_the_same(before))
        if result is None:
            return self._kept(key, known, Kept(product, known.kept.digest, known.kept.topic), None)
        own = _newest(product, message) and not isinstance(result, Unchanged)
        return await self._send(message, result, known, product, own=own or (first and isinstance(outcome, Deleted)))

    async def _send(
        self, message: Message, result: Item | Unchanged | Deleted, known: Known, product: Product, *, own: bool
    ) -> Sequence[Awaitable[object]]:
        """Publish it, unless it stands already and is not of this upload's own making."""
        record = result.record if isinstance(result, Unchanged) else result
        value = None if isinstance(record, Deleted) else encode(record)
        digest = DELETED if value is None else hashlib.sha256(value).digest()
        key = key_of(record.shop, record.product_id)
        topic, answer, hurries = await self.products.topic(), message.header(ANSWER), self.urgent(message)
        stands = (known.kept.digest, known.kept.topic) == (digest, topic)
        repeat = (
            own
            or (hurries and _newest(product, message))
            or answer is not None
            or (self.always and _newest(product, message))
        )
        kept = Kept(product, digest, topic)
        if stands and not repeat:
            self.published(result)
            return self._kept(key, known, kept, None)
        headers = output_headers(message, stage="enrich", topic=topics.ITEMS)
        headers = headers if answer is None else (*headers, (ANSWER, answer))
        headers = (*headers, (PRIORITY, URGENT)) if hurries else headers
        delivery = await self.sender.send(topics.ITEMS, key=key.encode(), value=value, headers=headers)
        self.published(result)
        return self._kept(key, known, kept, delivery)

    def _kept(
        self, product_id: str, known: Known, kept: Kept, delivery: Awaitable[object] | None
    ) -> Sequence[Awaitable[object]]:
        return [self.products.stands(product_id, known, kept, delivery)]

    async def _result(
        self, key: str, message: Message, outcome: Told | Deleted, product: Product, *, changed: bool
    ) -> Item | Unchanged | Deleted | None:
        """What the product is now. None: that is not known here, and a later upload, which said it, is going to publish it."""
        if not product.alive:
            shop, product_id = split(key)
            return Deleted(product_id, shop)
        if isinstance(outcome, Told) and outcome.item is not None and _is_all(outcome.change, product):
            return outcome.item
        contents = dict(outcome.contents) if isinstance(outcome, Told) else {}
        for photo in product.photos:
            if photo.digest not in contents:
                content = await self._recalled(photo, contents)
                if content is None and not (changed or _newest(product, message)):
                    return None
                if content is None:
                    raise Poison(
                        f"what was seen on the photo {photo.address} is not remembered any more: send the product again",
                        field="image",
                        code=Code.NOT_FOUND,
                    )
                contents[photo.digest] = content
        metadata = codecs.metadata_of(Upload(key, metadata=product.metadata))
        source = outcome.source if isinstance(outcome, Told) else Source(*message.first_source)
        newest = _newest(product, message)
        return await self.items.made(key, metadata, product.photos, contents, source, newest=newest)

    async def _recalled(self, photo: PhotoPlace, others: Mapping[str, PhotoContent]) -> PhotoContent | None:
        """What is known of a photo that another upload gave: under the heads of now, or those of the other photos."""
        for version in dict.fromkeys([self.live(), *(content.facets for content in others.values())]):
            content = await self.items.memo.recall(memo_key(photo.digest, version), PhotoContent)
            if content is not None:
                return content
        return None


def _with(before: Product, message: Message, outcome: Told | Deleted) -> Product:
    if isinstance(outcome, Deleted):
        return before.without(stamp_of(before, message, None))
    return before.after(outcome.change, stamp_of(before, message, outcome.change.version))


def _newest(product: Product, message: Message) -> bool:
    """Whether no upload of the product that has been taken in counts after this one."""
    _, partition, offset = message.first_source
    stamps = [stamp for stamp in (product.touched, product.deleted) if stamp is not None]
    newest = max(stamps, key=_Order, default=None)
    return newest is not None and (newest.partition, newest.offset) == (partition, offset)


class _Order:
    """Sorts stamps."""

    def __init__(self, stamp: Stamp) -> None:
        self.stamp = stamp

    def __lt__(self, other: _Order) -> bool:
        return self.stamp.before(other.stamp)


def _is_all(change: Change, product: Product) -> bool:
    """Whether an upload says all that is known of the product."""
    said = {name: value for name, value in (change.metadata or {}).items() if value is not None}
    return change.photos == product.photos and said == product.metadata
