"""Captions that stand in for a model that was away: found on their topic, asked for again in measure, nothing newer covered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from processors.captions import template_caption
from processors.refusals import FAILED, HUNG
from processors.values import Evidence
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Caption, Lineage, Provenance, Source
from streams.engine.message import AGAIN, ANSWER, EDITION, Message
from streams.roles.caption.mending import AGAIN_S, MOST_FALLEN, Fallen, Items, Mending, Told
from tests.fixtures.virtual_time import run_virtual


def caption(product: str, *refused: tuple[str, ...], writer: str = "template") -> bytes:
    text = template_caption(Evidence(()), "plain", 1)
    made = Caption(
        product_id=product,
        caption=text.caption,
        hashtags=text.hashtags,
        evidence=Evidence(()),
        spans=(),
        coverage=None,
        writer=writer,  # type: ignore[arg-type]
        lineage=Lineage(Source(topics.UPLOADS, 0, 1), "d", "e", "w", "p", "v"),
        provenance=Provenance(True, "template", "v", (), refused=refused),
    )
    return encode(made)


def record(key: str, value: bytes | None, offset: int = 0, partition: int = 0, **headers: bytes) -> Message:
    return Message(topics.ITEMS, partition, offset, key.encode(), value, tuple(headers.items()))


def fallen_of(*values: tuple[str, bytes | None], most: int = MOST_FALLEN) -> Fallen:
    fallen = Fallen(most)
    for key, value in values:
        fallen.apply(record(key, value))
    return fallen


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (caption("a", (FAILED,)), True),
        (caption("a", (HUNG,)), True),
        (caption("a", ('"silk" is not in the evidence',), (FAILED,)), True),
        (caption("a", (FAILED,), ('"silk" is not in the evidence',)), False),
        (caption("a"), False),
        (caption("a", ("no hashtags",)), False),
        (caption("a", (FAILED,), writer="llm"), False),
        (None, False),
        (b'{"writer": "template", "failed', False),
    ],
)
def test_which_captions_stand_in_for_a_model(value: bytes | None, is_one: bool) -> None:
    """Those by rule whose last draft never came; one that claimed too much is the model's last word."""
    assert (b"a" in fallen_of(("a", value))) is is_one


def test_a_caption_that_was_written_is_none_of_them_any_more() -> None:
    """Nor is one of a product that was deleted."""
    fell, good = caption("a", (FAILED,)), caption("a", writer="llm")
    assert len(fallen_of(("a", fell), ("b", fell), ("a", good), ("b", None), ("c", fell))) == 1
    assert len(fallen_of(*((str(n), fell) for n in range(9)), most=4)) == 4


class Topic:
    """`catalog.items` in memory: what is sent comes back to whoever follows, as on Kafka."""

    def __init__(self, *records: Message) -> None:
        self.records = list(records)
        self.sent: list[Message] = []
        self.before_send: Callable[[], None] = lambda: None
        self.after_send: Callable[[bytes], None] = lambda _: None
        self.opened = 0

    @asynccontextmanager
    async def open(self, held: Collection[int]) -> AsyncIterator[Items]:
        self.opened += 1
        yield _Open(self, held)

    def add(self, key: str, value: bytes | None, partition: int = 0, **headers: bytes) -> None:
        offset = sum(one.partition == partition for one in self.records)
        self.records.append(record(key, value, offset, partition, **headers))

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
        assert topic == topics.ITEMS
        self.before_send()
        self.before_send = lambda: None
        offset = sum(one.partition == partition for one in self.records)
        made = Message(topic, partition or 0, offset, key, value, tuple(headers))
        self.records.append(made)
        self.sent.append(made)
        self.after_send(key or b"")
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class _Open:
    def __init__(self, topic: Topic, held: Collection[int]) -> None:
        self._topic, self._held, self._read = topic, held, 0

    async def to_end(self) -> AsyncIterator[Message]:
        for one in list(self._topic.records):
            self._read += 1
            if one.partition in self._held:
                yield one

    async def follow(self) -> AsyncIterator[Message]:
        while True:
            while self._read < len(self._topic.records):
                one = self._topic.records[self._read]
                self._read += 1
                if one.partition in self._held:
                    yield one
            await asyncio.sleep(0.01)

    async def at(self, partition: int, offset: int) -> Message | None:
        return next((one for one in self._topic.records if (one.partition, one.offset) == (partition, offset)), None)


def mending(fallen: Fallen, topic: Topic, **options: Any) -> Mending:
    loop = asyncio.get_running_loop()
    given: dict[str, Any] = {
        "answers": lambda: True,
        "held": lambda: {0},
        "a_minute": 60_000,
        "at_once": 100,
        "now": loop.time,
        "mark": "m",
        **options,
    }
    made = Mending(fallen, topic.open, topic, **given)  # type: ignore[arg-type]
    fallen.seen = made._came
    return made


FELL = caption("x", (FAILED,))


def test_the_newest_items_of_what_fell_back_are_sent_once_more() -> None:
    """As they stand, under another event id, to their partition; no others, and none of another worker's."""

    async def main() -> None:
        topic = Topic()
        topic.add("a", b"old")
        topic.add("a", b"new", ce_id=b"1", **{ANSWER: b"1", EDITION: b"e", "weft_priority": b"high"})
        topic.add("b", b"whole")
        topic.add("c", b"theirs", partition=1)
        topic.add("d", b"was")
        topic.add("d", None)
        fallen = fallen_of(*((key, FELL) for key in "acd"))
        assert await mending(fallen, topic).look() == 1
        [sent] = topic.sent
        assert (sent.key, sent.value, sent.partition) == (b"a", b"new", 0)
        headers = dict(sent.headers)
        assert headers.pop("ce_id") != b"1"
        assert headers == {AGAIN: b"m", "weft_priority": b"high"}

    run_virtual(main())


def test_nothing_is_asked_while_the_model_is_away() -> None:
    """Nor read: the topic may be long."""

    async def main() -> None:
        topic = Topic()
        topic.add("a", b"item")
        assert await mending(fallen_of(("a", FELL)), topic, answers=lambda: False).look() == 0
        assert topic.opened == 0

    run_virtual(main())


def test_few_are_out_at_once_and_few_a_minute() -> None:
    """New products must not wait behind thousands of old ones."""

    async def main() -> None:
        topic = Topic()
        fallen = fallen_of(*((str(n), FELL) for n in range(12)))
        for n in range(12):
            topic.add(str(n), b"item")
        loop, out, most = asyncio.get_running_loop(), 0, 0
        times: list[float] = []

        def sent(key: bytes) -> None:
            nonlocal out, most
            out += 1
            most = max(most, out)
            times.append(loop.time())
            loop.call_later(5.0, written, key)

        def written(key: bytes) -> None:
            nonlocal out
            out -= 1
            fallen.apply(record(key.decode(), caption("x", writer="llm")))

        topic.after_send = sent
        assert await mending(fallen, topic, at_once=3, a_minute=30).look() == 12
        assert most == 3
        assert all(b - a >= 2 - 1e-6 for a, b in itertools.pairwise(times))
        await asyncio.sleep(6)
        assert len(fallen) == 0

    run_virtual(main())


def test_it_stops_when_the_model_is_away_again_and_goes_on_afterwards() -> None:
    """What fell back once more is asked for as soon as the model answers; so is what was not asked yet."""

    async def main() -> None:
        topic, well = Topic(), [True]
        fallen = fallen_of(*((str(n), FELL) for n in range(4)))
        for n in range(4):
            topic.add(str(n), b"item")

        def dies(key: bytes) -> None:
            if len(topic.sent) == 2:
                well[0] = False
            fallen.apply(record(key.decode(), FELL))

        topic.after_send = dies
        work = mending(fallen, topic, answers=lambda: well[0])
        assert await work.look() == 2
        await work.look()
        well[0] = True
        topic.after_send = lambda key: fallen.apply(record(key.decode(), caption("x", writer="llm")))
        await asyncio.sleep(60)
        assert await work.look() == 4
        assert len(fallen) == 0

    run_virtual(main())


def test_one_that_falls_back_again_and_again_waits() -> None:
    """A product that the model fails on by itself costs an attempt an hour, not one a second."""

    async def main() -> None:
        topic = Topic()
        topic.add("a", b"item")
        fallen = fallen_of(("a", FELL))
        topic.after_send = lambda _: fallen.apply(record("a", FELL))
        work = mending(fallen, topic)
        assert await work.look() == 1
        for _ in range(10):
            await asyncio.sleep(60)
            assert await work.look() == 0
        assert topic.opened == 1
        await asyncio.sleep(AGAIN_S)
        assert await work.look() == 1

    run_virtual(main())


def test_a_newer_item_that_slips_in_is_not_covered() -> None:
    """Between the reading of an item and its repetition another comes: it is sent again behind that."""

    async def main() -> None:
        topic = Topic()
        topic.add("a", b"old")
        topic.before_send = lambda: topic.add("a", b"newer", ce_id=b"9")
        assert await mending(fallen_of(("a", FELL)), topic).look() == 1
        assert [one.value for one in topic.records] == [b"old", b"newer", b"old", b"newer"]

    run_virtual(main())


def test_a_newer_item_that_comes_before_is_what_is_sent() -> None:
    """While others wait for their turn, a product may change, or go."""

    async def main() -> None:
        topic = Topic()
        for key in "abc":
            topic.add(key, b"old")
        fallen = fallen_of(*((key, FELL) for key in "abc"))

        def change(_: bytes) -> None:
            topic.after_send = lambda _: None
            topic.add("b", b"newer")
            topic.add("c", None)

        topic.after_send = change
        assert await mending(fallen, topic, a_minute=60).look() == 2
        assert [(one.key, one.value) for one in topic.sent] == [(b"a", b"old"), (b"b", b"newer")]

    run_virtual(main())


def test_a_person_is_told_once_and_told_when_it_is_over() -> None:
    """One sentence in /healthz, exchanged when the cause changes."""
    shown: list[str] = []
    told = Told(shown.append, shown.remove)
    for why in ("", "timeout", "timeout", "key: 401"):
        told.look(why)
    assert len(shown) == 1
    assert "key: 401" in shown[0]
    told.look("")
    assert shown == []
