"""What stands on a topic: skipped when it comes again, published when anything else lies there, whoever dies when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from infra.memory_store import MemoryStore
from models.fakes import FakeWriter
from processors.errors import Retryable
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Source
from streams.engine.failures import WorkAnew
from streams.engine.message import ANSWER, CONTEXT, EDITION, PRIORITY, URGENT, Message
from streams.engine.stages import Done
from streams.roles.caption.cause import cause_of
from streams.roles.outcome import Caused, Causes, Deleted, Makeshift, Unchanged, publisher, publisher_of_all
from streams.roles.standing import CAUSE_BYTES, Standing, place_of
from streams.wiring.urgent import is_urgent
from tests.unit.streams.roles.test_role_caption import Scripted, captioner, item, message, through


class Sending:
    """A broker's client whose deliveries end when they are told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes | None, dict[str, bytes]]] = []
        self.deliveries: list[asyncio.Future[object]] = []

    async def send(self, _topic: str, *, key: Any, value: Any, headers: Any = (), **_place: Any) -> Awaitable[object]:
        self.sent.append((value, dict(headers)))
        self.deliveries.append(asyncio.get_running_loop().create_future())
        return self.deliveries[-1]

    def deliver(self) -> None:
        for delivery in self.deliveries:
            if not delivery.done():
                delivery.set_result(None)


class World:
    """A process that publishes captions; `again` is its successor with the same store."""

    def __init__(
        self,
        store: MemoryStore | None = None,
        topic_id: str = "t1",
        *,
        made_of_it: bool = False,
        cause: Causes = lambda _: b"",
        remembered: int = 0,
        items_id: str = "i1",
    ) -> None:
        self.store = store or MemoryStore("test")
        self.sender = Sending()
        self.told: list[Any] = []

        async def generation() -> str:
            return topic_id

        self.cause = cause
        self.standing = Standing(self.store, "caption", generation, asyncio.to_thread, remembered=remembered)
        self._publish = publisher(
            self.sender,
            stage="caption",
            topic=topics.CAPTIONS,
            published=self.told.append,
            standing=self.standing,
            urgent=is_urgent if made_of_it else None,
            cause=self._cause_of,
            place=lambda of: place_of(items_id, of.partition, of.offset, of.timestamp_ms),
        )

    def _cause_of(self, of: Message) -> bytes:
        return self.cause(of)

    async def publish(self, of: Message, outcome: Any, *, delivered: bool = True) -> int:
        """How many records were sent for it."""
        before = len(self.sender.sent)
        deliveries = [asyncio.ensure_future(one) for one in await self._publish(of, outcome)]
        if delivered:
            self.sender.deliver()
            await asyncio.gather(*deliveries)
        return len(self.sender.sent) - before


async def caption(angle: float = 0.0) -> Any:
    return await through(captioner(FakeWriter()), message(item("sku-1", title=str(angle))))


def named(caption: Any, text: str) -> Any:
    return msgspec.structs.replace(caption, caption=text)


async def test_what_stands_is_not_published_again() -> None:
    """Not by this process, not by its successor; it is counted all the same."""
    first, of = await caption(), message(item("sku-1"))
    world = World()
    assert await world.publish(of, first) == 1
    assert await world.publish(of, Unchanged(first)) == 0
    later = World(world.store)
    assert await later.publish(of, Unchanged(first)) == 0
    assert later.told == [Unchanged(first)]


async def test_whoever_waits_for_an_answer_gets_one() -> None:
    """The record is published again, and asks the next role for one, too."""
    first = await caption()
    world = World()
    await world.publish(message(item("sku-1")), first)
    asking = Message(topics.ITEMS, 0, 1, b"sku-1", b"", ((ANSWER, b"1"),))
    assert await world.publish(asking, Unchanged(first)) == 1
    assert world.sender.sent[-1][1][ANSWER] == b"1"


async def test_what_something_else_has_replaced_is_published() -> None:
    """Another caption, or a deletion, came in between."""
    first, of = await caption(), message(item("sku-1"))
    for between in (named(first, "Another."), Deleted("sku-1")):
        world = World()
        await world.publish(of, first)
        await world.publish(of, between)
        assert await World(world.store).publish(of, Unchanged(first)) == 1
        assert await World(world.store).publish(of, Unchanged(first)) == 0, "now it stands"


async def test_a_topic_that_was_made_anew_is_empty() -> None:
    """Its id says so."""
    first, of = await caption(), message(item("sku-1"))
    world = World()
    await world.publish(of, first)
    assert await World(world.store, topic_id="t2").publish(of, Unchanged(first)) == 1


async def test_a_record_on_its_way_counts_and_a_lost_one_does_not() -> None:
    """What was handed to the broker and never delivered does not stand for a successor."""
    first, of = await caption(), message(item("sku-1"))
    world = World()
    assert await world.publish(of, first, delivered=False) == 1
    assert await world.publish(of, Unchanged(first), delivered=False) == 0, "acknowledged after the first only"
    assert await World(world.store).publish(of, Unchanged(first)) == 1


async def test_of_two_on_their_way_the_newer_stands() -> None:
    """Whichever delivery is noticed first."""
    first, of = await caption(), message(item("sku-1"))
    world = World()
    older = [asyncio.ensure_future(one) for one in await world._publish(of, first)]
    newer = [asyncio.ensure_future(one) for one in await world._publish(of, named(first, "Another."))]
    world.sender.deliveries[1].set_result(None)
    await asyncio.gather(*newer)
    world.sender.deliveries[0].set_result(None)
    await asyncio.gather(*older)
    later = World(world.store)
    assert await later.publish(of, Unchanged(named(first, "Another."))) == 0
    assert await later.publish(of, Unchanged(first)) == 1


async def test_a_lost_delivery_is_told() -> None:
    """The engine sends again; nothing is kept of it."""
    first, of = await caption(), message(item("sku-1"))
    world = World()
    [lost] = [asyncio.ensure_future(one) for one in await world._publish(of, first)]
    world.sender.deliveries[0].set_exception(Retryable("the broker is away"))
    with pytest.raises(Retryable):
        await lost
    assert await world.publish(of, Unchanged(first)) == 1


async def test_what_is_urgent_hurries_what_is_made_of_it() -> None:
    """The header goes on; and where something is made of it, it is published though it stands: that may wait for its turn."""
    first, of = await caption(), message(item("sku-1"))
    urgent = replace(of, headers=(*of.headers, (PRIORITY, URGENT)))
    for made_of_it in (False, True):
        world = World(made_of_it=made_of_it)
        assert await world.publish(of, first) == 1
        assert await world.publish(of, Unchanged(first)) == 0
        assert await world.publish(urgent, Unchanged(first)) == int(made_of_it)
        assert await world.publish(urgent, first) == 1
        assert world.sender.sent[-1][1][PRIORITY] == URGENT
        assert PRIORITY not in world.sender.sent[0][1]


async def test_captions_that_stand_are_told_of_all_at_once() -> None:
    """One that does not stand, is new, is waited for or is a deletion has all of them published one by one."""
    first, second = await caption(), msgspec.structs.replace(await caption(), product_id="sku-2")
    world = World()
    for one in (first, second):
        await world.publish(message(item(one.product_id)), one)
    told: list[Any] = []

    async def generation() -> str:
        return "t1"

    publish_all = publisher_of_all(Standing(world.store, "caption", generation, asyncio.to_thread), told.append)
    of = message(item("sku-1"))
    both = [(of, Unchanged(first)), (of, Unchanged(second))]
    assert await publish_all(both) == [(), ()]
    assert told == [Unchanged(first), Unchanged(second)]
    asking = Message(topics.ITEMS, 0, 1, b"sku-1", b"", ((ANSWER, b"1"),))
    for other in (
        (of, Unchanged(named(first, "Another."))),
        (of, second),
        (of, Deleted("sku-1")),
        (asking, Unchanged(first)),
    ):
        assert await publish_all([*both, other]) is None
    assert len(told) == 2


CAUSE, OTHER = b"c" * CAUSE_BYTES, b"o" * CAUSE_BYTES


def priced(price: float, offset: int = 3, **said: str) -> Message:
    """An item of sku-1 at a price."""
    said_of = item("sku-1", **said)
    metadata = msgspec.structs.replace(said_of.metadata, price=price, in_stock=price > 5, sizes=("M",))
    value = msgspec.structs.replace(said_of, metadata=metadata, source=Source(topics.UPLOADS, 0, offset))
    return Message(topics.ITEMS, 0, offset, b"sku-1", encode(value))


async def test_a_price_has_nothing_made_of_its_item_where_the_caption_of_the_rest_stands() -> None:
    """Another price: not even read. Another fact, a wish for another text, other rules: read."""
    world = World(cause=cause_of(["rules"]))
    role = replace(captioner(FakeWriter()), cause=world.cause, causes=world.standing.causes)
    of = priced(10.0)
    assert await role.read_all([of, priced(11.0)]) == [None, None]  # nothing stands yet
    assert await world.publish(of, await through(role, of)) == 1
    cheaper, dearer = priced(9.0, 4), priced(99.0, 5)
    [alone] = await role.read_all([cheaper])
    assert alone == Done(Caused("sku-1", world.cause(of)))
    done = [one.result for one in await role.read_all([cheaper, dearer]) if one]
    assert done == [Caused("sku-1", world.cause(of))] * 2
    assert [await world.publish(one, result) for one, result in zip((cheaper, dearer), done, strict=True)] == [0, 0]
    assert world.told[-2:] == done
    wished = [replace(cheaper, headers=((name, b"1"),)) for name in (ANSWER, CONTEXT, EDITION, PRIORITY)]
    [caused, *others] = await role.read_all([cheaper, priced(9.0, 6, fabric="silk"), *wished])
    assert caused is not None
    assert not any(isinstance(one.result, Caused) for one in others if one)
    ruled = replace(role, cause=cause_of(["other rules"]))
    assert not any(isinstance(one.result, Caused) for one in await ruled.read_all([cheaper]) if one)


async def test_what_rests_on_a_caption_that_does_not_stand_any_more_is_worked_on_anew() -> None:
    """Facts A, B, A: the second A was read while the caption of the first stood, and B's was published since."""
    world = World(cause=cause_of([]))
    first = await caption()
    assert await world.publish(priced(1.0), first) == 1
    resting = Caused("sku-1", world.cause(priced(1.0)))
    of_all = publisher_of_all(world.standing, world.told.append, world.cause)
    assert await of_all([(priced(2.0, 4), resting)]) == [()]
    assert await world.publish(priced(1.0, 5, fabric="silk"), named(first, "Silk."), delivered=False) == 1
    assert await of_all([(priced(2.0, 6), resting)]) is None  # it is on its way already
    with pytest.raises(WorkAnew):
        await world.publish(priced(2.0, 6), resting)
    world.sender.deliver()


async def test_of_a_makeshift_caption_no_cause_is_kept() -> None:
    """The model failed, and rules wrote: the next price asks the model again."""
    world = World(cause=lambda _: CAUSE)
    assert await world.publish(priced(1.0), Makeshift.of(await caption())) == 1
    assert (await world.standing.causes(["sku-1"]))["sku-1"] == b""
    assert await world.publish(priced(1.0), await caption()) == 1
    assert (await world.standing.causes(["sku-1"]))["sku-1"] == CAUSE


@pytest.mark.parametrize(("answer", "asked"), [("A dress.", False), ("crash", True)])
async def test_a_price_does_not_ask_a_model_again_that_has_answered(answer: str, asked: bool) -> None:
    """Two drafts too short to be captions: rules wrote, and the next prices write nothing. One that failed is asked again."""
    world = World(cause=cause_of([]))
    writer = Scripted(answer, answer, answer)
    role = replace(captioner(writer), cause=world.cause, causes=world.standing.causes)
    of, cheaper = priced(10.0), priced(9.0, 4)
    first = await through(role, of)
    assert (first.writer, await world.publish(of, first)) == ("template", 1)
    before = writer.batches
    [again] = await role.read_all([cheaper])
    if again is None:
        assert (await through(role, cheaper)).writer == "template"
    else:
        assert again == Done(Caused("sku-1", world.cause(of)))
        assert await world.publish(cheaper, again.result) == 0
    assert (writer.batches > before) == asked


async def test_what_stands_from_before_there_were_causes_learns_its_own() -> None:
    """One by one and all at once; it is published no second time for that."""
    first, of = await caption(), message(item("sku-1"))
    for at_once in (False, True):
        old = World()
        await old.publish(of, first)
        world = World(old.store, cause=lambda _: CAUSE)
        if at_once:
            found = await publisher_of_all(world.standing, world.told.append, world.cause)([(of, Unchanged(first))])
            assert found is not None
            await asyncio.gather(*found[0])
        else:
            assert await world.publish(of, Unchanged(first)) == 0
        again = World(old.store)
        assert (await again.standing.causes(["sku-1"]))["sku-1"] == CAUSE
        assert await again.standing.holds("sku-1", encode(first))


async def test_what_is_remembered_ends_with_the_deal() -> None:
    """Another worker had the partition, and wrote: what was in memory is read again."""
    store = MemoryStore("test")
    ours, theirs = (World(store, cause=lambda _: CAUSE, remembered=10) for _ in range(2))
    await ours.publish(priced(1.0), await caption())
    theirs.cause = lambda _: OTHER
    await theirs.publish(priced(1.0, 4), named(await caption(), "Other."))
    ours.standing.begin()
    assert (await ours.standing.causes(["sku-1", "sku-2"])) == {"sku-1": OTHER, "sku-2": b""}


async def test_no_more_is_remembered_than_is_allowed() -> None:
    """What was read longest ago is read again from the store."""
    world = World(cause=lambda _: CAUSE, remembered=1)
    for product in ("sku-1", "sku-2"):
        await world.publish(message(item(product)), msgspec.structs.replace(await caption(), product_id=product))
    assert (await world.standing.causes(["sku-1", "sku-2"])) == {"sku-1": CAUSE, "sku-2": CAUSE}


def at(offset: int, partition: int = 0, *headers: tuple[str, bytes], second: int = 0) -> Message:
    """A record of the product."""
    return Message(topics.ITEMS, partition, offset, b"sku-1", b"", headers, timestamp_ms=1000 * second)


async def history(remembered: int, *, last: Any) -> tuple[Any, World]:
    """A caption, a price that it stands for as well, and what came behind; then the process dies, and the price is delivered again."""
    first = await caption()
    world = World(remembered=remembered)
    assert await world.publish(at(2), first) == 1
    assert await world.publish(at(3), Unchanged(first)) == 0
    assert await world.publish(at(4), last) == 1
    return first, World(world.store, remembered=remembered)


@pytest.mark.parametrize("remembered", [0, 10])
async def test_what_was_passed_over_is_not_published_behind_what_came_after_it(remembered: int) -> None:
    """Its event would be a new one: who drops what was seen drops the newer one behind it, and keeps the older."""
    second = named(await caption(), "A blue coat.")
    first, later = await history(remembered, last=second)
    assert await later.publish(at(3), Unchanged(first)) == 0
    assert later.told == [Unchanged(first)]
    assert await later.publish(at(4), Unchanged(second)) == 0
    assert await later.publish(at(5), Unchanged(first)) == 1, "the product is as it was once more"
    assert await later.publish(at(4), Unchanged(second)) == 0


async def test_nor_behind_a_deletion() -> None:
    """It would bring the product back for who has seen the deletion."""
    first, later = await history(0, last=Deleted("sku-1"))
    assert await later.publish(at(3), Unchanged(first)) == 0
    assert await later.publish(at(5), Unchanged(first)) == 1


async def test_places_are_compared_within_a_partition_of_one_topic() -> None:
    """Of other partitions, of a topic that was created again, and of what was kept before there were places, nothing can be said."""
    second = named(await caption(), "A blue coat.")
    first, later = await history(0, last=second)
    assert await later.publish(at(3, 1), Unchanged(first)) == 1
    first, later = await history(0, last=second)
    assert await World(later.store, items_id="i2").publish(at(3), Unchanged(first)) == 1
    first, later = await history(0, last=second)
    assert await World(later.store, items_id="").publish(at(3), Unchanged(first)) == 1
    nameless = World(items_id="")
    await nameless.publish(at(4), second)
    assert await World(nameless.store).publish(at(4), Unchanged(second)) == 0
    assert await World(nameless.store).publish(at(3), Unchanged(first)) == 1


async def test_who_asks_for_an_answer_gets_it_from_before_as_well() -> None:
    """Whatever stands meanwhile."""
    first, later = await history(0, last=named(await caption(), "A blue coat."))
    assert await later.publish(at(3, 0, (ANSWER, b"1")), Unchanged(first)) == 1


async def test_a_topic_that_was_created_again_begins_anew_before_anybody_notices() -> None:
    """Its offsets are small, its times are later: what is made of its first records is published."""
    first, second = await caption(), named(await caption(), "A blue coat.")
    world = World()
    assert await world.publish(at(2, second=10), first) == 1
    assert await world.publish(at(500, second=20), second) == 1
    assert await world.publish(at(3, second=11), Unchanged(first)) == 0
    assert await world.publish(at(3, second=30), Unchanged(first)) == 1
