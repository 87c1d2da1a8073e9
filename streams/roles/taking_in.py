"""How enrich publishes: in the order of its partition, each upload is joined with what is known of its product.

Here, and not before: only when all earlier uploads of a product have come through, or failed, is it known what it is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from processors.errors import Code, Poison
from processors.identity import key_of, split
from processors.offers import COLUMN_NAMES
from processors.product import PhotoPlace, Product
from streams.contract import topics
from streams.contract.cloudevents import output_headers
from streams.contract.codecs import encode
from streams.contract.metadata import metadata_of
from streams.contract.records import Item, Source, Upload
from streams.contract.versions import stamp_of
from streams.engine.message import ANSWER, PRIORITY, URGENT, Message
from streams.kafka.producer import Sender
from streams.roles.earlier import Overtaken
from streams.roles.items import Items, PhotoContent, memo_key
from streams.roles.outcome import Deleted, NoEffect, Outcome, PassedOn, Stands, Unchanged, pass_on
from streams.roles.product_states import Kept, Known
from streams.roles.products import Products, Stated
from streams.roles.told import Told, ToldColumns
from streams.roles.turns import DELETED, NOT_MADE, Change, Turn, stands


@dataclass(frozen=True, slots=True)
class _Made:
    """`by`: what made it (`Items.maker`)."""

    record: Item | Deleted
    by: str


AT_A_TIME = 128
"""Products that are made before others have their turn on the event loop: some milliseconds."""

Enriched: TypeAlias = Told | ToldColumns | Deleted | PassedOn | NoEffect


@dataclass(frozen=True, slots=True)
class _Publication:
    """A record, encoded. `value` None: a deletion."""

    message: Message
    record: Item | Deleted
    value: bytes | None
    sent: bool


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
        if isinstance(outcome, ToldColumns):
            outcome = outcome.told(message)
        if isinstance(outcome, PassedOn):
            return [await pass_on(self.sender, message, outcome)]
        if isinstance(outcome, NoEffect) or (known := await self._known(message, outcome)) is None:
            return []
        record, key, before = (message.partition, message.offset), _key(outcome), known.kept.product
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
            return self._kept(message, key, known, msgspec.structs.replace(known.kept, product=product), None)
        contents = outcome.contents if isinstance(outcome, Told) else {}
        changed = not product.says_the_same(before)
        made = await self._result(key, message, contents, product, source, changed=changed)
        if made is None:
            return self._kept(message, key, known, msgspec.structs.replace(known.kept, product=product), None)
        repeat = repeat or (first and isinstance(outcome, Deleted))
        return await self._send(message, made, known, Kept(product, topic=topic, source=source), repeat=repeat)

    async def _known(self, message: Message, outcome: Told | Deleted) -> Known | None:
        """What the result is taken into; None where it, and what came behind it, are in what stands already."""
        key = _key(outcome)
        known = await self.products.now(key, (message.partition, message.offset))
        if known.there or known.kept.product != Product() or isinstance(outcome, Deleted) or outcome.change.replaces:
            return known
        try:
            earlier = await self.products.earlier(key, message)
        except Overtaken:
            self.published(Stands())
            return None
        return known if earlier is None else Known(earlier)

    def _is_repeated(self, message: Message, product: Product, source: Source) -> bool:
        """Whether the item is published even where it stands: somebody waits for it, or for what is made of it."""
        if message.header(ANSWER) is not None:
            return True
        # One's own: it is new, or delivered again, and nobody knows whether it was read the first time.
        own = source == Source(*message.first_source)
        return (own or self.always or self.urgent(message)) and _newest(product, message)

    async def publish_all(
        self, results: Sequence[tuple[Message, Enriched]]
    ) -> Sequence[Sequence[Awaitable[object]]] | None:
        """See `streams.engine.lanes.PublishAll`: of columns of one product the last item only, and all states together.

        Raises:
            Poison: one of them makes no item, together with what is known of its product.
            Retryable: the store or the broker is away.
        """
        if self.always or not all(self._goes_together(message, outcome) for message, outcome in results):
            return None
        keys = [_key(outcome) for _, outcome in results]
        firsts = {key: (m.partition, m.offset) for key, (m, _) in zip(reversed(keys), reversed(results), strict=True)}
        turns = {key: Turn(known, known.kept) for key, known in (await self.products.now_all(firsts)).items()}
        maker = self.items.maker(self.live()), await self.products.topic()
        standing = 0
        for key, (message, outcome) in zip(keys, results, strict=True):
            news = self._takes(turns[key], message, outcome, *maker)
            if news is None:
                return None  # what is known by its item is looked for
            standing += not news
        for turn in turns.values():
            turn.close(*maker)
        made = {}
        for number, (key, turn) in enumerate(turns.items(), 1):
            publications = await self._made_of(key, turn)
            if publications is None:
                return None  # nothing was handed to the broker before this
            made[key] = publications
            await _give_way(number)
        stated = []
        for number, (key, publications) in enumerate(made.items(), 1):
            turn = turns[key]
            deliveries = [one for publication in publications for one in await self._hand(key, publication)]
            if turn.changes or turn.changed or self.products.is_on_its_way(key):
                stated.append(Stated(key, turn.known, turn.kept, deliveries))
            await _give_way(number)
        for _ in range(standing):
            self.published(Stands())
        kept = self.products.stands(results[0][0].partition, stated) if stated else None
        theirs = {one.product_id for one in stated}
        return [[kept] if kept is not None and key in theirs else [] for key in keys]

    def _goes_together(self, message: Message, outcome: Enriched) -> bool:
        if isinstance(outcome, ToldColumns):
            return True  # it has no header that asks for anything
        return isinstance(outcome, Told | Deleted) and message.header(ANSWER) is None and not self.urgent(message)

    def _takes(self, turn: Turn, message: Message, outcome: Enriched, maker: str, topic: str) -> bool | None:
        """Take a result into what is known of its product; whether its item has to be made for it. None: nothing is known of it here."""
        there = turn.known.there
        if isinstance(outcome, ToldColumns):
            if outcome.contents and not turn.contents:
                turn.contents.update(outcome.contents)
            if there and (news := turn.says(message, outcome, maker, topic)) is not None:
                return news
            outcome = outcome.told(message)
        if not (there or turn.changes or (isinstance(outcome, Told) and outcome.change.replaces)):
            return None
        turn.close(maker, topic)
        assert isinstance(outcome, Told | Deleted)  # the others go by themselves
        record, before = (message.partition, message.offset), turn.kept.product
        first = not before.has_seen(*record)
        product = _with(before, message, outcome).having_seen(*record) if first else before
        own = source = Source(*message.first_source)
        same = product.is_as(before)
        changed = not same or not product.says_the_same(before)
        if same and turn.kept.made == maker and turn.kept.source is not None:
            source = turn.kept.source
        if isinstance(outcome, Told):
            turn.contents.update(outcome.contents)
        turn.changed |= changed
        # As `_is_repeated`: of one that comes again behind newer ones nothing is told under its own id.
        repeat = source == own and _newest(product, message)
        if same and not repeat and stands(turn.kept, topic, maker):
            turn.kept = msgspec.structs.replace(turn.kept, product=product)
            return False
        repeat = repeat or (first and isinstance(outcome, Deleted))
        kept = Kept(product, NOT_MADE, topic, maker if product.alive else "", source)
        turn.add(Change(message, kept, repeat, changed, _says_columns(outcome)))
        return True

    async def _made_of(self, key: str, turn: Turn) -> list[_Publication] | None:
        """What is published of a product, in order; None: one of its items cannot be made here and now."""
        found = []
        digest, topic = turn.known.kept.digest, turn.known.kept.topic
        for change in turn.changes:
            assert change.kept.source is not None  # of that message
            product, source = change.kept.product, change.kept.source
            made = await self._result(key, change.message, turn.contents, product, source, changed=change.changed)
            if made is None:
                return None
            value = None if isinstance(made.record, Deleted) else encode(made.record)
            before = (digest, topic)
            digest, topic = DELETED if value is None else hashlib.sha256(value).digest(), change.kept.topic
            found.append(_Publication(change.message, made.record, value, change.repeat or before != (digest, topic)))
            turn.kept = msgspec.structs.replace(turn.kept, digest=digest, made=made.by)
        return found

    async def _hand(self, key: str, publication: _Publication) -> list[Awaitable[object]]:
        message, record = publication.message, publication.record
        outcome: Outcome = record
        if isinstance(record, Item) and record.source != Source(*message.first_source):
            outcome = Unchanged(record)
        deliveries = []
        if publication.sent:
            headers = output_headers(message, stage="enrich", topic=topics.ITEMS)
            value = publication.value
            deliveries.append(await self.sender.send(topics.ITEMS, key=key.encode(), value=value, headers=headers))
        self.published(outcome)
        return deliveries

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
            return self._kept(message, key, known, kept, None)
        headers = output_headers(message, stage="enrich", topic=topics.ITEMS)
        headers = headers if answer is None else (*headers, (ANSWER, answer))
        headers = (*headers, (PRIORITY, URGENT)) if hurries else headers
        delivery = await self.sender.send(topics.ITEMS, key=key.encode(), value=value, headers=headers)
        self.published(outcome)
        return self._kept(message, key, known, kept, delivery)

    def _kept(
        self, message: Message, product_id: str, known: Known, kept: Kept, delivery: Awaitable[object] | None
    ) -> Sequence[Awaitable[object]]:
        return [
            self.products.stands(
                message.partition, [Stated(product_id, known, kept, () if delivery is None else (delivery,))]
            )
        ]

    async def _result(
        self,
        key: str,
        message: Message,
        given: Mapping[str, PhotoContent],
        product: Product,
        source: Source,
        *,
        changed: bool,
    ) -> _Made | None:
        """What the product is now. None: that is not known here, and a later upload, which said it, is going to publish it."""
        if not product.alive:
            shop, product_id = split(key)
            return _Made(Deleted(product_id, shop), "")
        contents = dict(given)
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
        metadata = metadata_of(Upload(key, metadata=product.metadata))
        by = self.items.maker(contents[product.photos[0].digest].facets if product.photos else self.live())
        return _Made(self.items.item(key, metadata, product.photos, contents, source), by)

    async def _recalled(self, photo: PhotoPlace, others: Mapping[str, PhotoContent]) -> PhotoContent | None:
        """What is known of a photo that another upload gave: under the heads of now, or those of the other photos."""
        for version in dict.fromkeys([self.live(), *(content.facets for content in others.values())]):
            content = await self.items.memo.recall(memo_key(photo.digest, version), PhotoContent)
            if content is not None:
                return content
        return None


async def _give_way(products: int) -> None:
    """Between two of many products: else what is urgent would wait for all of them. No other record of theirs may come between, as
    their partition has one turn at a time (`streams.engine.ahead`).
    """
    if products % AT_A_TIME == 0:
        await asyncio.sleep(0)


def _says_columns(outcome: Told | Deleted) -> bool:
    """Whether it is a part of nothing but price, stock, sizes and launch day: what no caption states."""
    if isinstance(outcome, Deleted):
        return False
    change = outcome.change
    return change.photos is None and change.metadata is not None and COLUMN_NAMES.issuperset(change.metadata)


def _key(outcome: Enriched) -> str:
    if isinstance(outcome, Told | ToldColumns):
        return outcome.product
    assert isinstance(outcome, Deleted)
    return key_of(outcome.shop, outcome.product_id)


def _with(before: Product, message: Message, outcome: Told | Deleted) -> Product:
    if isinstance(outcome, Deleted):
        return before.without(stamp_of(before, message, None))
    return before.after(outcome.change, stamp_of(before, message, outcome.change.version))


def _newest(product: Product, message: Message) -> bool:
    """Whether no upload of the product that has been taken in counts after this one."""
    _, partition, offset = message.first_source
    newest = product.touched
    if product.deleted is not None and (newest is None or newest.before(product.deleted)):
        newest = product.deleted
    return newest is not None and (newest.partition, newest.offset) == (partition, offset)
