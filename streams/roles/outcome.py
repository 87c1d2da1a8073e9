"""What leaves a role: a record, or the news that a product was deleted; and how both are published."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from processors.errors import Code, Poison
from processors.identity import key_of, split
from streams.contract import codecs
from streams.contract.cloudevents import output_headers
from streams.contract.codecs import encode
from streams.contract.records import Caption, Item
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


Outcome: TypeAlias = Item | Caption | Unchanged | Stands | Deleted | PassedOn | NoEffect


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
    """

    async def publish(message: Message, outcome: Outcome) -> Sequence[Awaitable[object]]:
        if isinstance(outcome, NoEffect | Stands):
            return []
        if isinstance(outcome, PassedOn):
            return [await pass_on(sender, message, outcome)]
        record = outcome.record if isinstance(outcome, Unchanged) else outcome
        value = None if isinstance(record, Deleted) else encode(record)
        product = key_of(record.shop, record.product_id)
        answer = message.header(ANSWER)
        hurries = message.header(PRIORITY) == URGENT or (urgent is not None and urgent(message))
        wanted = answer is not None or (urgent is not None and hurries)
        known = standing is not None and isinstance(outcome, Unchanged) and not wanted
        if known and standing is not None and await standing.holds(product, value or b""):
            published(outcome)
            return []
        headers = output_headers(message, stage=stage, topic=topic)
        headers = headers if answer is None else (*headers, (ANSWER, answer))
        headers = (*headers, (PRIORITY, URGENT)) if hurries else headers
        delivery = await sender.send(topic, key=product.encode(), value=value, headers=headers)
        published(outcome)
        return [delivery if standing is None else standing.stands(product, value, delivery)]

    return publish


def publisher_of_all(
    standing: Standing, published: Callable[[Outcome], None]
) -> Callable[[Sequence[tuple[Message, Outcome]]], Awaitable[Sequence[Sequence[Awaitable[object]]] | None]]:
    """The `publish_all` of a pipeline, beside a `publisher` of the same: what is unchanged, and stands, all at once."""

    async def publish_all(results: Sequence[tuple[Message, Outcome]]) -> Sequence[Sequence[Awaitable[object]]] | None:
        values: dict[str, bytes] = {}
        for message, outcome in results:
            if isinstance(outcome, Unchanged) and not any(message.header(name) for name in (ANSWER, PRIORITY)):
                key = key_of(outcome.record.shop, outcome.record.product_id)
                value = encode(outcome.record)
                if values.setdefault(key, value) != value:
                    return None
            elif not isinstance(outcome, NoEffect | Stands):
                return None
        if len(await standing.hold(values)) < len(values):
            return None
        for _, outcome in results:
            published(outcome)
        return [()] * len(results)

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
