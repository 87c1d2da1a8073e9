"""The role `duplicates`: candidates in, what is proved out; and what holds no more is deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import numpy as np

from infra.store import NotFound
from processors.geometry import Features, features
from processors.values import Pixels
from streams.contract import codecs, topics
from streams.contract.codecs import encode
from streams.contract.records import Duplicates, Neighbour, Neighbours
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.duplicates.role import DuplicatesRole, Known, Outcome, Photos, publisher
from tests.fakes.kafka_log import KafkaLog
from tests.unit.processors.test_geometry import drawn
from tests.unit.streams.roles.test_role_caption import item

PHOTO = drawn(5)
PICTURES: Mapping[str, Pixels] = {
    "images/a": PHOTO,
    "images/b": np.ascontiguousarray(PHOTO[40:320, 30:240]),
    "images/c": drawn(6),
    "images/d": np.full((200, 150, 3), 240, np.uint8),
}


async def look(address: str) -> Features:
    if address not in PICTURES:
        raise NotFound(address)
    return features(PICTURES[address])


def world(**images: str) -> tuple[DuplicatesRole, Photos]:
    photos = Photos()
    for name, image in images.items():
        photos.apply(
            Message(topics.ITEMS, 0, 0, name.encode(), encode(msgspec.structs.replace(item(name), image=image)))
        )
    return DuplicatesRole(photos, look, wait_s=0.0), photos


def near(product: str, *others: tuple[str, float]) -> Message:
    value = Neighbours(product, tuple(Neighbour(*one) for one in others), "sha256:e")
    return Message(topics.SIMILAR, 0, 0, product.encode(), encode(value))


async def through(role: DuplicatesRole, message: Message) -> Outcome:
    asked = await role.read(message)
    looked = asked if isinstance(asked, Done) else await role.looked(asked)
    return looked.result if isinstance(looked, Done) else role.compared(looked)


async def test_a_crop_among_the_neighbours_is_told() -> None:
    """From either side; a look-alike and a plain photo beside it are not."""
    role, _ = world(a="images/a", b="images/b", c="images/c", d="images/d")
    everybody = [("b", 0.95), ("c", 0.94), ("d", 0.9)]
    found = (await through(role, near("a", *everybody))).found
    assert found is not None
    [one] = found.duplicates
    assert (one.product_id, one.kind, one.image) == ("b", "crop", "images/b")
    assert one.overlap[0] < one.overlap[1]
    back = (await through(role, near("b", ("a", 0.95)))).found
    assert back is not None
    assert [(one.product_id, one.kind) for one in back.duplicates] == [("a", "crop")]


async def test_who_is_not_near_or_has_no_photo_is_not_looked_at() -> None:
    """Nor is one whose photo is gone from the store, or that is gone itself."""
    role, photos = world(a="images/a", b="images/b", gone="images/none")
    assert (await through(role, near("a", ("b", 0.5), ("gone", 0.9), ("nobody", 0.9)))).found is None
    photos.apply(Message(topics.ITEMS, 0, 1, b"b", None))
    assert (await through(role, near("a", ("b", 0.99)))).found is None
    assert await through(role, Message(topics.SIMILAR, 0, 0, b"a", None)) == Outcome("a", None)


async def test_an_item_that_is_read_a_moment_later_is_waited_for() -> None:
    """Its neighbours' record may be read before it is."""
    role, photos = world(a="images/a")
    role = DuplicatesRole(photos, look)
    waiting = asyncio.create_task(through(role, near("a", ("b", 0.9))))
    await asyncio.sleep(0)
    assert not waiting.done()
    photos.apply(Message(topics.ITEMS, 0, 1, b"b", encode(msgspec.structs.replace(item("b"), image="images/b"))))
    found = (await waiting).found
    assert found is not None
    assert [one.product_id for one in found.duplicates] == ["b"]


async def test_what_changed_is_published_and_what_holds_no_more_is_deleted() -> None:
    """What stands already is not published again; a start knows it from the topic."""
    role, photos = world(a="images/a", b="images/b")
    log, known = KafkaLog(), Known()
    publish = publisher(log, known)

    async def handle(message: Message) -> int:
        deliveries = await publish(message, await through(role, message))
        for one in deliveries:
            await one
        return len(deliveries)

    assert await handle(near("a", ("b", 0.9))) == 1
    assert await handle(near("a", ("b", 0.9))) == 0
    [record] = log.records[topics.DUPLICATES]
    assert isinstance(codecs.decode_duplicates(record.value or b""), Duplicates)
    photos.apply(Message(topics.ITEMS, 0, 1, b"b", None))
    again = Known()
    again.apply(record)
    publish = publisher(log, again)
    assert await handle(near("a", ("b", 0.9))) == 1
    assert log.records[topics.DUPLICATES][-1].value is None
    assert await handle(near("a")) == 0
