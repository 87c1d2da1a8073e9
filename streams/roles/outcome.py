"""What leaves a role: a record, or the news that a product was deleted; and how both are published."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from processors.errors import Code, Poison
from processors.identity import key_of, split
from streams.contract import codecs
from streams.contract.cloudevents import output_headers
from streams.contract.codecs import encode
from streams.contract.records import Caption, Item
from streams.engine.failures import WorkAnew
from streams.engine.message import ANSWER, ORIGIN, PRIORITY, URGENT, Message
from streams.kafka.positions import CHECKED, POSITION
from streams.kafka.producer import Sender
from streams.roles.standing import Standing


@dataclass(frozen=True, slots=True)
class Deleted:
    """The product is gone: a null value under its key."""

    product_id: str
    shop: str = ""


@dataclass(frozen=True, slots=True)
class PassedOn:
    """The record is worked on elsewhere: it goes as it is to this partition of its topic, under this key."""

    partition: int
    key: bytes


@dataclass(frozen=True, slots=True)
class NoEffect:
    """A younger record of the product has been worked on: there is nothing to publish."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """What was published for an earlier upload of the product, and is true of this one as well: the same bytes."""

    record: Item | Caption


@dataclass(frozen=True, slots=True)
class Stands:
    """What an upload says is what is known of its product, and the item of that stands: nothing was made of it."""


@dataclass(frozen=True, slots=True)
class Caused:
    """What stands under a product was made of the same cause, as it was seen when the record was read: nothing was made again."""

    product: str
    cause: bytes


class Makeshift(Caption, frozen=True, omit_defaults=False):
    """A caption in place of a better one, which the next delivery of its item may bring."""

    @classmethod
    def of(cls, caption: Caption) -> Makeshift:
        """The same caption, marked so."""
        return cls(**msgspec.structs.asdict(caption))


Outcome: TypeAlias = Item | Caption | Unchanged | Stands | Caused | Deleted | PassedOn | NoEffect
Causes: TypeAlias = Callable[[Message], bytes]
"""Of what a record has its product's output made (`Standing.stands`); b"" where nobody can say."""


Places: TypeAlias = Callable[[Message], bytes]
"""Where a record lies (`standing.place_of`); b"" where nobody can say."""


def _no_cause(_message: Message) -> bytes:
    return b""


def _no_place(_message: Message) -> bytes:
    return b""


def deleted(message: Message) -> Deleted:
    """The deletion that a null value means.

    Raises:
        Poison: there is no key to say which product.
    """
    if not message.key:
        raise Poison("a null value deletes the product of the key, and there is none", field="key", code=Code.WRONG_KEY)
    shop, product_id = split(message.key.decode())
    return Deleted(product_id, shop)


def deleted_upload(message: Message) -> Deleted:
    """The same of an upload, whose key may be the id alone."""
    if not message.key:
        return deleted(message)
    shop, product_id = codecs.deleted_product(message)
    return Deleted(product_id, shop)


def publisher(
    sender: Sender,
    *,
    stage: str,
    topic: str,
    published: Callable[[Outcome], None] = lambda _: None,
    standing: Standing | None = None,
    urgent: Callable[[Message], bool] | None = None,
    cause: Causes = _no_cause,
    place: Places = _no_place,
) -> Callable[[Message, Outcome], Awaitable[Sequence[Awaitable[object]]]]:
    """The `publish` of a pipeline: one record under the product's id, with the same bytes and id on every delivery.

    Args:
        sender: to the broker.
        stage: who publishes.
        topic: where.
        published: told of every outcome once its record was handed to the broker's client, or was found to stand already.
        standing: what stands on the topic: what is unchanged and stands is not published again, unless its record asks
            for an answer (`ANSWER`). None: everything is published.
        urgent: whether a record is to be done before its turn; then what is published says so in a header, and is published even
            where it stands: what is to be made of it may still wait for its turn. None: nothing is made of it, and the header
            of the record goes on.
        cause: kept with what stands.
        place: kept with it, too: what is unchanged, and lies before what the record that stands was made of, was delivered before and
            is not published behind it. A reader that drops what it has seen by its id would end with the older one.
    """

    async def publish(message: Message, outcome: Outcome) -> Sequence[Awaitable[object]]:
        if isinstance(outcome, NoEffect | Stands):
            return []
        if isinstance(outcome, PassedOn):
            return [await pass_on(sender, message, outcome)]
        if isinstance(outcome, Caused):
            if standing is None or (await standing.causes([outcome.product]))[outcome.product] != outcome.cause:
                raise WorkAnew("another record of the product came between")
            published(outcome)
            return []
        record = outcome.record if isinstance(outcome, Unchanged) else outcome
        value = None if isinstance(record, Deleted) else encode(record)
        product = key_of(record.shop, record.product_id)
        answer = message.header(ANSWER)
        hurries = message.header(PRIORITY) == URGENT or (urgent is not None and urgent(message))
        wanted = answer is not None or (urgent is not None and hurries)
        known = standing is not None and isinstance(outcome, Unchanged) and not wanted
        if known and standing is not None:
            kept = await _kept_as_it_is(standing, product, value or b"", cause(message), place(message))
            if kept is not None:
                published(outcome)
                return kept
        headers = output_headers(message, stage=stage, topic=topic)
        headers = headers if answer is None else (*headers, (ANSWER, answer))
        headers = (*headers, (PRIORITY, URGENT)) if hurries else headers
        delivery = await sender.send(topic, key=product.encode(), value=value, headers=headers)
        published(outcome)
        if standing is None:
            return [delivery]
        lasts = value is not None and not isinstance(outcome, Makeshift)
        return [standing.stands(product, value, delivery, cause(message) if lasts else b"", place(message))]

    return publish


async def _kept_as_it_is(
    standing: Standing, product: str, value: bytes, cause: bytes, place: bytes
) -> Sequence[Awaitable[object]] | None:
    """What is to be waited for where an unchanged record need not be published: it stands, or a later one does; None: it must be."""
    if await standing.holds(product, value):
        return list((await _with_causes(standing, {product: value}, {product: cause}, {product: place})).values())
    return [] if await standing.is_ahead(product, place) else None


async def _with_causes(
    standing: Standing, values: Mapping[str, bytes], causes: Mapping[str, bytes], places: Mapping[str, bytes]
) -> Mapping[str, Awaitable[object]]:
    """Keep the causes of what stands already, where they are news: product → done once it is kept."""
    known = await standing.causes(product for product in values if causes[product])
    return {
        product: standing.stands(product, values[product], None, causes[product], places[product])
        for product, before in known.items()
        if before != causes[product]
    }


@dataclass(slots=True)
class _AsBefore:
    """Results that change nothing, by product: values that are to stand, of which cause and by which result; and causes that are to."""

    values: dict[str, bytes] = field(default_factory=dict)
    of: dict[str, tuple[int, Message]] = field(default_factory=dict)
    causes: dict[str, bytes] = field(default_factory=dict)

    def takes(self, number: int, message: Message, outcome: Outcome) -> bool:
        """Take a result in; whether it says what those before it say."""
        if isinstance(outcome, Caused):
            same = self.causes.setdefault(outcome.product, outcome.cause) == outcome.cause
            return same and outcome.product not in self.values
        if isinstance(outcome, Unchanged) and not any(message.header(name) for name in (ANSWER, PRIORITY)):
            key, value = key_of(outcome.record.shop, outcome.record.product_id), encode(outcome.record)
            self.of[key] = number, message
            return self.values.setdefault(key, value) == value and key not in self.causes
        return isinstance(outcome, NoEffect | Stands)


def publisher_of_all(
    standing: Standing, published: Callable[[Outcome], None], cause: Causes = _no_cause, place: Places = _no_place
) -> Callable[[Sequence[tuple[Message, Outcome]]], Awaitable[Sequence[Sequence[Awaitable[object]]] | None]]:
    """The `publish_all` of a pipeline, beside a `publisher` of the same: what is unchanged, and stands, all at once."""

    async def publish_all(results: Sequence[tuple[Message, Outcome]]) -> Sequence[Sequence[Awaitable[object]]] | None:
        found = _AsBefore()
        if not all(found.takes(number, *result) for number, result in enumerate(results)):
            return None
        known = await standing.causes(found.causes)
        if any(known[product] != own for product, own in found.causes.items()):
            return None
        if len(await standing.hold(found.values)) < len(found.values):
            return None
        for _, outcome in results:
            published(outcome)
        causes = {key: cause(message) for key, (_, message) in found.of.items()}
        places = {key: place(message) for key, (_, message) in found.of.items()}
        deliveries: list[Sequence[Awaitable[object]]] = [()] * len(results)
        for key, kept in (await _with_causes(standing, found.values, causes, places)).items():
            deliveries[found.of[key][0]] = [kept]
        return deliveries

    return publish_all


async def pass_on(sender: Sender, message: Message, to: PassedOn) -> Awaitable[object]:
    """Send a record as it is to the partition where its product's order is."""
    # Its place among the put back was looked at where it lay; where it goes, its time says what it counts for.
    headers = [header for header in message.headers if header[0] not in {ORIGIN, POSITION, CHECKED}]
    return await sender.send(
        message.topic,
        key=to.key,
        value=message.value,
        headers=[*headers, (ORIGIN, message.identity.encode())],
        partition=to.partition,
        timestamp_ms=message.timestamp_ms or None,
    )
