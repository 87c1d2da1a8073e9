"""Items thought again: same product, words, photo and place; other vectors; what cannot be thought again is deleted there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.memory_store import MemoryStore
from models.fakes import FakeDetector, FakeImageEncoder
from processors.errors import Code, Poison
from processors.values import Metadata
from streams.contract import topics
from streams.contract.codecs import decode_item, encode
from streams.contract.records import Item, Source, View
from streams.engine.failures import Failure
from streams.engine.message import ANSWER, EDITION, PRIORITY, REACHED, URGENT, Message
from streams.engine.stages import Done
from streams.kafka.producer import MemorySender
from streams.roles.enrich import Enrich, memo_fingerprint
from streams.roles.memo import Memo
from streams.roles.outcome import Deleted, NoEffect, Unchanged
from streams.roles.rethink import Counts, ItemsSender, Rethink
from tests.unit.streams.roles.test_role_enrich import CountingDetector, Web, photo, role


class OtherEncoder(FakeImageEncoder):
    """Another maker."""

    fingerprint = "sha256:other"


def other(store: MemoryStore, detector: FakeDetector) -> Enrich:
    """The role with another profile's models, on a store with photos."""
    encoder = OtherEncoder()
    memo = Memo(store, "enrich", memo_fingerprint(detector, encoder))
    return replace(role(Web()), store=store, detector=detector, encoder=encoder, memo=memo)


def item(image: str) -> Message:
    views = (View("whole", "dress", b"\0" * 8),)
    told = Metadata(title="A dress", price=49.5)
    record = Item("sku-1", image, 9, 9, (), views, told, "sha256:live", 2, "d", Source(topics.UPLOADS, 3, 81), "0")
    return Message(topics.ITEMS, 5, 17, b"sku-1", encode(record), timestamp_ms=1_767_225_600_000)


async def through(rethink: Rethink, message: Message) -> Any:
    value: Any = message
    for stage in rethink.stages():
        if stage.name in {"detect", "embed"}:
            [value] = stage.run([value])
        else:
            value = stage.run(value)
            value = await value if hasattr(value, "__await__") else value
        if isinstance(value, Done):
            return value.result
    return value


async def test_an_item_keeps_its_product_and_gets_other_vectors() -> None:
    """The second time nothing is thought: the memo knows the photo by the name under which it lies in the store."""
    store, detector, told = MemoryStore("test"), CountingDetector(), list[str]()
    counts = Counts(lambda: told.append("known"), lambda: told.append("thought"))
    rethink = Rethink(other(store, detector), counts)
    message = item(store.address(store.put_content(photo(), ".png")))
    before = decode_item(message.value or b"")
    found = [await through(rethink, message) for _ in range(2)]
    assert found[0] == found[1]
    assert told == ["thought", "known"]
    assert detector.seen == 1
    for field in ("product_id", "image", "metadata", "source"):
        assert getattr(found[0], field) == getattr(before, field)
    assert (found[0].encoder, [view.id for view in found[0].views]) == ("sha256:other", ["whole", "g0"])


async def test_what_needs_no_thought_gets_none() -> None:
    """A deletion is one; a record that a newer one follows, or that is no item, has no effect."""
    detector = CountingDetector()
    rethink = Rethink(other(MemoryStore("test"), detector))
    assert await through(rethink, Message(topics.ITEMS, 0, 1, b"sku-1")) == Deleted("sku-1")
    assert await through(rethink, Message(topics.ITEMS, 0, 1, b"sku-1", b"junk")) == NoEffect()
    late = replace(rethink, wanted=lambda _message: False)
    assert await through(late, Message(topics.ITEMS, 0, 1, b"sku-1")) == NoEffect()
    assert detector.seen == 0


@pytest.mark.parametrize("image", ["images/aa/bb/" + "a" * 64 + ".png", "https://else.where/1.jpg"])
async def test_a_photo_that_is_not_in_the_store_is_the_products_own_fault(image: str) -> None:
    """It is told, and harms no other."""
    with pytest.raises(Poison) as caught:
        await through(Rethink(other(MemoryStore("test"), FakeDetector())), item(image))
    assert caught.value.code is Code.NOT_FOUND


async def test_records_go_to_the_partition_of_what_they_were_made_of_and_say_how_far_that_is() -> None:
    """Items and deletions; what was lost is a deletion there: an older photo would answer for the product otherwise."""
    sender, lost = MemorySender(), list[tuple[str, str]]()
    topic = topics.items_of("g-other")
    out = ItemsSender(sender, topic, counts=Counts(lost=lambda product, cause: lost.append((product, cause))))
    message = item("images/a.png")
    record = decode_item(message.value or b"")
    await out.publish(message, record)
    await out.publish(message, Unchanged(record))
    await out.publish(message, Deleted("sku-1"))
    assert await out.publish(message, NoEffect()) == []
    await out.lost(Failure(message, "read", Poison("is not in the store", field="image"), 1))
    assert [(s.topic, s.key, s.partition, s.value is None) for s in sender.sent] == [
        (topic, b"sku-1", 5, False),
        (topic, b"sku-1", 5, False),
        (topic, b"sku-1", 5, True),
        (topic, b"sku-1", 5, True),
    ]
    assert all(dict(sent.headers)[REACHED] == b"17" for sent in sender.sent)
    assert [product for product, _ in lost] == ["sku-1"]


async def test_uploads_are_placed_by_their_keys() -> None:
    """An upload's offset says nothing of `catalog.items`."""
    sender = MemorySender()
    out = ItemsSender(sender, topics.items_of("g-late"), partition=lambda _message: 9)
    await out.publish(Message(topics.UPLOADS, 2, 40, b"sku-1"), Deleted("sku-1"))
    [sent] = sender.sent
    assert sent.partition == 9
    assert REACHED not in dict(sent.headers)


async def test_what_was_asked_of_an_item_is_asked_of_what_is_made_of_it() -> None:
    """Captions may be made of the generation's items: whoever waits for one, hurries, or wants another text gets it there."""
    sender = MemorySender()
    asked = ((ANSWER, b"1"), (PRIORITY, URGENT), (EDITION, b"e1"))
    message = replace(item("images/a.png"), headers=(*asked, ("ce_id", b"x")))
    out = ItemsSender(sender, topics.items_of("g-2"))
    for delivery in await out.publish(message, decode_item(message.value or b"")):
        await delivery
    [sent] = sender.sent
    assert {name: value for name, value in sent.headers if name in dict(asked)} == dict(asked)
    assert dict(sent.headers)["ce_id"] != b"x"
