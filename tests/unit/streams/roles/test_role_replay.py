"""Exactly the same again, without a broker: a role's whole pipeline over the same records twice."""

import asyncio
from collections.abc import Sequence
from typing import Any

from models.fakes import FakeDetector, FakeImageEncoder, FakeWriter
from processors.attributes import Calibration
from streams.contract import topics
from streams.engine.message import Message
from streams.kafka.producer import MemorySender, Sent
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.enrich import memo_fingerprint
from streams.roles.memo import Memo
from streams.roles.outcome import publisher
from streams.roles.taking_in import TakeIn
from tests.fakes.products import products_in
from tests.fixtures.engines import World, running
from tests.unit.streams.roles.test_role_memory import enrich, upload

PRODUCTS = 9


class Counted:
    """A model that counts what it is given; `changed` attributes are not the model's own."""

    def __init__(self, model: Any, **changed: Any) -> None:
        self._model, self._changed, self.items = model, changed, 0

    def forward(self, batch: Sequence[Any], /) -> list[Any]:
        self.items += len(batch)
        found: list[Any] = self._model.forward(batch)
        return found

    def __getattr__(self, name: str) -> Any:
        return self._changed[name] if name in self._changed else getattr(self._model, name)


class Shop:
    """Two roles on one store; every run of one has models of its own, as a new process has."""

    def __init__(self) -> None:
        self.base = enrich()
        self.asked = 0

    def enrich(self, **changed: Any) -> Any:
        self.detector, self.encoder = Counted(FakeDetector(), **changed), Counted(FakeImageEncoder())
        memo = Memo(self.base.store, "enrich", memo_fingerprint(self.detector, self.encoder))
        fields = {name: getattr(self.base, name) for name in self.base.__dataclass_fields__}
        return type(self.base)(**{**fields, "detector": self.detector, "encoder": self.encoder, "memo": memo})

    def caption(self) -> Captioner:
        self.writer = Counted(FakeWriter())
        memo = Memo(self.base.store, "caption", self.writer.fingerprint)
        return Captioner(self.writer, Neighbourhood(), memo, Calibration(), batch_items=4, batch_wait_s=0.0)


def run(role: Any, stage: str, topic: str, messages: Sequence[Message]) -> list[Sent]:
    """What the role publishes, by key."""

    async def main() -> list[Sent]:
        sender, world = MemorySender(), World()
        publish: Any = publisher(sender, stage=stage, topic=topic)
        if stage == "enrich":
            publish = TakeIn(sender, products_in(role.store), role.items).publish
        world.publish = publish  # type: ignore[method-assign]
        async with running(role.stages(), world) as pipeline:
            for message in messages:
                await pipeline.submit(message, world.ack(message))
            await pipeline.drain()
        assert not world.dead
        return sorted(sender.sent, key=lambda sent: sent.key or b"")

    return asyncio.run(main())


def test_a_replay_publishes_the_same_and_asks_no_model():
    """Keys, values, ids and times are those of the first delivery; the models of the second process stay idle."""
    shop = Shop()
    uploads = [upload(number) for number in range(PRODUCTS)]
    items = run(shop.enrich(), "enrich", topics.ITEMS, uploads)
    assert (len(items), shop.detector.items) == (PRODUCTS, PRODUCTS)
    assert shop.encoder.items >= PRODUCTS
    assert run(shop.enrich(), "enrich", topics.ITEMS, uploads[::-1]) == items
    assert (shop.detector.items, shop.encoder.items) == (0, 0)

    read = [Message(topics.ITEMS, 0, n, sent.key, sent.value, sent.headers) for n, sent in enumerate(items)]
    captions = run(shop.caption(), "caption", topics.CAPTIONS, read)
    assert shop.writer.items >= PRODUCTS
    # A second delivery of an item lies at an offset of its own, and is the same event.
    later = [Message(topics.ITEMS, 0, m.offset + 100, m.key, m.value, m.headers, timestamp_ms=5) for m in read]
    assert run(shop.caption(), "caption", topics.CAPTIONS, later) == captions
    assert shop.writer.items == 0


def test_another_model_thinks_again():
    """Its fingerprint is part of where answers are kept; the answers of the first stay where they are."""
    shop = Shop()
    uploads = [upload(number) for number in range(3)]
    first = run(shop.enrich(), "enrich", topics.ITEMS, uploads)
    other = run(shop.enrich(fingerprint="sha256:" + "0" * 64), "enrich", topics.ITEMS, uploads)
    assert shop.detector.items == 3
    assert [sent.headers for sent in other] == [sent.headers for sent in first], "still the same events"
    assert all(one.value != two.value for one, two in zip(first, other, strict=True))
    assert run(shop.enrich(), "enrich", topics.ITEMS, uploads) == first
    assert shop.detector.items == 0
