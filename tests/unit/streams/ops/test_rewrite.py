"""Captions asked for anew: the right products, under new event ids, and nothing newer covered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence

import msgspec

from processors.values import Colour, Garment, Metadata
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Item, Source, View
from streams.engine.message import ANSWER, EDITION, Message
from streams.ops.rewrite import Rewrite, Wanted

VECTOR = b"\0\0\x80?" * 2


def item(product_id: str, colour: str = "red", **metadata: str) -> Item:
    garment = Garment("g0", "dress", (0, 0, 5, 9), 0.9, (Colour(colour, "#c8141e", 1.0),))
    return Item(
        product_id=product_id,
        image="images/x.png",
        width=6,
        height=10,
        garments=(garment,),
        views=(View("whole", "dress", VECTOR),),
        metadata=Metadata(**metadata),
        encoder="sha256:e",
        dimension=2,
        detector="sha256:d",
        source=Source(topics.UPLOADS, 0, 5),
        version="0",
    )


class Log:
    """A topic in memory, and its producer; `meanwhile` is what others write just before the next record of ours."""

    def __init__(self, *records: tuple[str, bytes | None]) -> None:
        self.records: list[Message] = []
        self.meanwhile: list[tuple[str, bytes | None]] = []
        for key, value in records:
            self.add(key, value)

    def add(self, key: str, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        given = tuple(headers) or (("ce_id", f"id-{len(self.records)}".encode()), (ANSWER, b"1"))
        self.records.append(Message(topics.ITEMS, 0, len(self.records), key.encode(), value, given))

    async def to_end(self, since: Mapping[int, int] | None = None) -> AsyncIterator[Message]:
        for record in list(self.records):
            if since is None or record.offset >= since.get(0, record.offset + 1):
                yield record

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Awaitable[object]:
        assert (topic, partition, timestamp_ms) == (topics.ITEMS, 0, None)
        while self.meanwhile:
            self.add(*self.meanwhile.pop(0))
        self.add((key or b"").decode(), value, headers)
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def newest(self) -> dict[str, bytes | None]:
        return {(record.key or b"").decode(): record.value for record in self.records}


async def asked(log: Log, wanted: Wanted) -> list[str]:
    names: list[str] = []
    run = Rewrite(log, log, "e1", {}, names.append)
    await run.ask(await run.find(wanted))
    return names


async def test_the_newest_item_is_sent_once_more_as_it_stands() -> None:
    """The same value, another event id, the edition; nobody waits for an answer any more."""
    log = Log(("a", encode(item("a", "navy"))), ("a", encode(item("a"))), ("b", encode(item("b"))))
    assert await asked(log, Wanted(products=["a"])) == ["a"]
    again = log.records[-1]
    assert (again.key, again.value, again.header(EDITION)) == (b"a", log.records[1].value, b"e1")
    assert again.header("ce_id") not in {record.header("ce_id") for record in log.records[:-1]}
    assert again.header(ANSWER) is None
    assert len(log.records) == 4


async def test_what_is_meant_is_told_by_facets() -> None:
    """Of what the shop says and of what was seen; deleted products and records that are no items are passed over."""
    log = Log(
        ("a", encode(item("a", "navy", brand="Acme"))),
        ("b", encode(item("b", brand="ACME"))),
        ("c", encode(item("c", fabric="linen"))),
        ("d", encode(item("d", brand="Acme"))),
        ("d", None),
        ("e", b"junk"),
    )
    assert await asked(log, Wanted(facets={"brand": ["acme"]})) == ["a", "b"]
    assert await asked(Log(("a", encode(item("a", "navy")))), Wanted(facets={"colour": ["navy"]})) == ["a"]
    assert await asked(log, Wanted(facets={"brand": ["acme"], "colour": ["green"]})) == []
    assert await asked(log, Wanted(writer="template")) == [], "there is no caption yet"


async def test_a_newer_item_that_came_meanwhile_is_not_covered() -> None:
    """It is sent once more after ours, so that it stands last; so is a deletion."""
    newer = encode(item("a", "green"))
    for value in (newer, None):
        log = Log(("a", encode(item("a"))), ("b", encode(item("b"))))
        log.meanwhile = [("a", value)]
        await asked(log, Wanted(facets={"colour": ["red"]}))
        assert log.newest()["a"] == value
        assert log.newest()["b"] == encode(item("b"))


async def test_what_came_after_ours_is_left_as_it_is() -> None:
    """It stands last already."""
    log = Log(("a", encode(item("a"))), ("b", encode(item("b"))))
    newer = encode(msgspec.structs.replace(item("a"), width=7))

    class Late(Log):
        async def send(self, topic: str, **how: object) -> Awaitable[object]:
            sent = await Log.send(self, topic, **how)  # type: ignore[arg-type]
            if how["key"] == b"a":
                self.add("a", newer)
            return sent

    late = Late()
    late.records = log.records
    await asked(late, Wanted(products=["a"]))
    assert late.newest()["a"] == newer
    assert len(late.records) == 4
