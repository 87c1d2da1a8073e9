"""How enrich publishes: in the order of its partition, each upload is joined with what is known of its product.

Here, and not before: only when all earlier uploads of a product have come through, or failed, is it known what it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

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
from streams.roles.outcome import Deleted, NoEffect, Outcome, PassedOn, Stands, Unchanged, pass_on
from streams.roles.products import Kept, Known, Products

DELETED = b"deleted"
"""In place of the hash of an item, where a deletion stands."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an upload says, and what the models made of its photos: of those it gives, or else of those the product had.

    `product`: its key (`processors.identity`). `contents`: by the photos' digests; what is not there is looked up where it is needed.
    """

    product: str
    change: Change
    contents: Mapping[str, PhotoContent]
    source: Source


@dataclass(frozen=True, slots=True)
class _Made:
    """`by`: what made it (`Items.maker`)."""

    record: Item | Deleted
    by: str


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
            earlier = await self.products.earlier(key)
            if earlier is not None:
                known, before = Known(earlier, known.tag), earlier.product
        first = not before.has_seen(*record)
        product = _with(before, message, outcome).having_seen(*record) if first else before
        topic, maker = await self.products.topic(), self.items.maker(self.live())
        same, source = product.is_as(before), Source(*message.first_source)
        if same and known.kept.made == maker and known.kept.source is not None:
            source = known.kept.source  # the upload that it was made for, of this one as well
        repeat = self._is_repeated(message, product, source)
        if same and not repeat and stands(known.kept, topic, maker):
            self.published(Stands())
            if product.says_the_same(before) and not self.products.is_on_its_way(key):
                return []
            return self._kept(key, known, msgspec.structs.replace(known.kept, product=product), None)
        made = await self._result(key, message, outcome, product, source, changed=not product.says_the_same(before))
        if made is None:
            return self._kept(key, known, msgspec.structs.replace(known.kept, product=product), None)
        repeat = repeat or (first and isinstance(outcome, Deleted))
        return await self._send(message, made, known, Kept(product, topic=topic, source=source), repeat=repeat)

    def _is_repeated(self, message: Message, product: Product, source: Source) -> bool:
        """Whether the item is published even where it stands: somebody waits for it, or for what is made of it."""
        if message.header(ANSWER) is not None:
            return True
        # One's own: it is new, or delivered again, and nobody knows whether it was read the first time.
        own = source == Source(*message.first_source)
        return (own or self.always or self.urgent(message)) and _newest(product, message)

    async def _send(
        self, message: Message, made: _Made, known: Known, kept: Kept, *, repeat: bool
    ) -> Sequence[Awaitable[object]]:
        """Publish it, unless it stands already and need not be repeated."""
        record = made.record
        value = None if isinstance(record, Deleted) else encode(record)
        digest = DELETED if value is None else hashlib.sha256(value).digest()
        key = key_of(record.shop, record.product_id)
        answer, hurries = message.header(ANSWER), self.urgent(message)
        kept = msgspec.structs.replace(kept, digest=digest, made=made.by)
        outcome: Outcome = record
        if isinstance(record, Item) and record.source != Source(*message.first_source):
            outcome = Unchanged(record)
        if (known.kept.digest, known.kept.topic) == (digest, kept.topic) and not repeat:
            self.published(outcome)
            return self._kept(key, known, kept, None)
        headers = output_headers(message, stage="enrich", topic=topics.ITEMS)
        headers = headers if answer is None else (*headers, (ANSWER, answer))
        headers = (*headers, (PRIORITY, URGENT)) if hurries else headers
        delivery = await self.sender.send(topics.ITEMS, key=key.encode(), value=value, headers=headers)
        self.published(outcome)
        return self._kept(key, known, kept, delivery)

    def _kept(
        self, product_id: str, known: Known, kept: Kept, delivery: Awaitable[object] | None
    ) -> Sequence[Awaitable[object]]:
        return [self.products.stands(product_id, known, kept, delivery)]

    async def _result(
        self, key: str, message: Message, outcome: Told | Deleted, product: Product, source: Source, *, changed: bool
    ) -> _Made | None:
        """What the product is now. None: that is not known here, and a later upload, which said it, is going to publish it."""
        if not product.alive:
            shop, product_id = split(key)
            return _Made(Deleted(product_id, shop), "")
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
        by = self.items.maker(contents[product.photos[0].digest].facets if product.photos else self.live())
        return _Made(self.items.item(key, metadata, product.photos, contents, source), by)

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


def stands(kept: Kept, topic: str, maker: str) -> bool:
    """Whether what is known of a product was made into its item, which stands on this very topic, by what would make it now."""
    return (kept.topic, kept.made) == (topic, maker) and kept.digest not in {b"", DELETED} and kept.product.alive
