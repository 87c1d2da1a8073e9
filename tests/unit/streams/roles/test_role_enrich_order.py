"""enrich and an upload that is not the next of its product: passed on as it is, or without effect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.memory_store import MemoryStore
from models.fakes import FakeDetector, FakeImageEncoder
from processors.decode import DecodeLimits
from processors.errors import Code, Poison
from streams.contract import topics
from streams.engine.message import ORIGIN, Message
from streams.engine.stages import Done
from streams.kafka.key_order import Here, PassOn, Superseded, Verdict
from streams.kafka.positions import CHECKED, LETTER, POSITION
from streams.kafka.producer import MemorySender
from streams.roles.enrich import Enrich
from streams.roles.memo import Memo
from streams.roles.outcome import Deleted, NoEffect, PassedOn
from streams.roles.remote import RemotePhotos
from streams.roles.taking_in import TakeIn
from tests.fakes.products import products_in

VALUE = b'{"product_id": "sku-1", "image": {"uri": "https://cdn.example/a.jpg"}}'


class Nobody:
    """A `Fetcher` that must not be asked."""

    async def fetch(self, uri: str) -> bytes:
        pytest.fail(f"{uri} was fetched for an upload that is not worked on here")


class Order:
    """Answers as it is told, and remembers which product it was asked about."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.asked: list[bytes] = []

    async def place(self, _message: Message, product: bytes) -> Verdict:
        self.asked.append(product)
        return self.verdict


def role(order: Order) -> Enrich:
    store = MemoryStore("test")
    return Enrich(
        store=store,
        fetcher=Nobody(),  # type: ignore[arg-type]
        remote=RemotePhotos(Nobody(), store),  # type: ignore[arg-type]
        detector=FakeDetector(),
        encoder=FakeImageEncoder(),
        memo=Memo(store, "enrich", "m"),
        limits=DecodeLimits(),
        batch_items=4,
        batch_wait_s=0.0,
        order=order.place,
    )


@pytest.mark.parametrize(("key", "value"), [(b"sku-1", VALUE), (None, VALUE), (b"sku-1", None)])
async def test_an_upload_for_another_partition_is_passed_on_as_it_is(key: bytes | None, value: bytes | None) -> None:
    """Its bytes, headers and time; under the product's key, with what it first was in a header; no place of its own left."""
    order = Order(PassOn(7, b"sku-1"))
    headers = (("ce_id", b"e"), (POSITION, b"catalog.uploads/3/8"), (CHECKED, b"9"), (LETTER, b"l"))
    message = Message(topics.UPLOADS, 3, 81, key, value, headers, 1_700_000_000_000)
    done = await role(order).read(message)
    assert done == Done(PassedOn(7, b"sku-1"))
    assert order.asked == [b"sku-1"]
    sender = MemorySender()
    publish = TakeIn(sender, products_in(MemoryStore("test")), role(Order(Here())).items).publish
    [delivery] = await publish(message, PassedOn(7, b"sku-1"))
    await delivery
    [sent] = sender.sent
    assert (sent.topic, sent.partition, sent.key, sent.value) == (topics.UPLOADS, 7, b"sku-1", value)
    assert sent.timestamp_ms == message.timestamp_ms
    assert sent.headers == (("ce_id", b"e"), (LETTER, b"l"), (ORIGIN, message.identity.encode()))
    lying = Message(topics.UPLOADS, 7, 5, sent.key, sent.value, sent.headers, message.timestamp_ms)
    assert lying.first_source == message.source
    # Passed on once more (partitions were added meanwhile): still what it first was.
    [again] = await publish(lying, PassedOn(9, b"sku-1"))
    await again
    assert sender.sent[-1].headers == sent.headers


async def test_an_upload_that_is_superseded_has_no_effect() -> None:
    """Nothing is fetched and nothing is published; one that somebody put back becomes a letter again."""
    message = Message(topics.UPLOADS, 3, 81, b"sku-1", VALUE)
    enrich = role(Order(Superseded(80)))
    assert await enrich.read(message) == Done(NoEffect())
    sender = MemorySender()
    assert (
        await TakeIn(sender, products_in(MemoryStore("test")), role(Order(Here())).items).publish(message, NoEffect())
        == []
    )
    assert sender.sent == []
    with pytest.raises(Poison, match="offset 80") as refused:
        await enrich.read(replace(message, headers=((LETTER, b"catalog.uploads/3/7/decode"),)))
    assert refused.value.code == Code.SUPERSEDED


async def test_a_delete_that_is_in_its_place_deletes() -> None:
    """As ever."""
    order = Order(Here())
    assert await role(order).read(Message(topics.UPLOADS, 3, 81, b"sku-1", None)) == Done(Deleted("sku-1"))
    assert order.asked == [b"sku-1"]
