"""Parts of products, versions and many photos, from upload to item: right after kills, retries and second deliveries."""

from __future__ import annotations

import asyncio
import base64
import io
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from infra.fetch import Fetcher
from infra.memory_store import MemoryStore
from infra.settings import Settings
from processors.errors import Code, Poison, Retryable
from streams.contract import topics
from streams.contract.codecs import decode_item
from streams.contract.records import Item
from streams.engine.message import ANSWER, ORIGIN, Message
from streams.engine.stages import Done
from streams.kafka.key_order import Superseded, Verdict
from streams.roles import product_logs
from streams.roles.enrich import Enrich
from streams.roles.memo import Memo
from streams.roles.outcome import Stands
from streams.roles.products import PREFIX, Products
from streams.roles.taking_in import TakeIn
from tests.fakes.products import products_in
from tests.unit.streams.roles.test_role_enrich import CountingDetector, Web, role
from tests.unit.streams.roles.test_standing import Sending


def picture(red: int = 200, width: int = 96, height: int = 96) -> bytes:
    pixels = np.full((height, width, 3), 255, dtype=np.uint8)
    pixels[height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = (red, 20, 30)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def inline(data: bytes, photo_role: str | None = None) -> dict[str, str]:
    given = {"bytes": base64.b64encode(data).decode()}
    return given if photo_role is None else {**given, "role": photo_role}


class Shop:
    """A process of the role, and its successors on the same store: uploads in, records out."""

    def __init__(self, store: MemoryStore | None = None, *, always: bool = False, items_topic: str = "items") -> None:
        self.store = store or MemoryStore("test")
        self.sender = Sending()
        self.detector = CountingDetector()
        base = role(Web(), self.detector)
        memo = replace(base, store=self.store).memo
        memo._store = self.store
        self.products = products_in(self.store)
        if items_topic != "items":

            async def other() -> str:
                return items_topic

            self.products = Products(self.store, self.products._uploads, other, asyncio.to_thread)
        self.enrich: Enrich = replace(base, store=self.store, memo=memo, kept=self.products.peek)
        self.told: list[Any] = []
        self.taking_in = TakeIn(self.sender, self.products, self.enrich.items, str, self.told.append, always=always)

    async def product(self, product_id: str) -> Any:
        return (await self.products.now(product_id)).kept.product

    def successor(self, **given: Any) -> Shop:
        return Shop(self.store, **given)

    async def worked_out(self, message: Message) -> Any:
        value: Any = message
        for stage in self.enrich.stages():
            if stage.name in {"detect", "embed"}:
                [value] = stage.run([value])
            else:
                value = stage.run(value)
                if hasattr(value, "__await__"):
                    value = await value
            if isinstance(value, Done):
                return value.result
        return value

    async def publish(self, message: Message, outcome: Any) -> list[asyncio.Future[Any]]:
        return [asyncio.ensure_future(one) for one in await self.taking_in.publish(message, outcome)]

    async def take(self, message: Message) -> Item | bool | None:
        """All of it, until it may be acknowledged: the item that was published, None for a deletion, False for nothing."""
        before = len(self.sender.sent)
        deliveries = await self.publish(message, await self.worked_out(message))
        self.sender.deliver()
        await asyncio.gather(*deliveries)
        if len(self.sender.sent) == before:
            return False
        value = self.sender.sent[-1][0]
        return None if value is None else decode_item(value)

    @property
    def last(self) -> Item:
        return decode_item(self.sender.sent[-1][0] or b"")


def upload(offset: int, *, headers: Any = (), partition: int = 0, **fields: Any) -> Message:
    value = msgspec.json.encode({"product_id": "sku-1", **fields})
    return Message(topics.UPLOADS, partition, offset, b"sku-1", value, tuple(headers), 1_000 + offset)


def full(offset: int, red: int = 200, **fields: Any) -> Message:
    return upload(offset, image=inline(picture(red)), **{"metadata": {"title": "A dress"}, **fields})


def part(offset: int, **metadata: Any) -> Message:
    return upload(offset, metadata=metadata)


# ---------------------------------------------------------------- parts


async def test_metadata_without_a_photo_are_merged_into_the_product() -> None:
    """Null removes a field; photo, views and garments stay; no model is asked; the item names the upload that changed it."""
    shop = Shop()
    first = await shop.take(full(0, metadata={"title": "A dress", "brand": "x", "price": 5}))
    found = await shop.take(part(1, price=6.5, brand=None, season="summer"))
    assert isinstance(first, Item)
    assert isinstance(found, Item)
    assert (found.metadata.title, found.metadata.brand, found.metadata.price) == ("A dress", "", 6.5)
    assert found.metadata.facets == {"season": "summer"}
    assert (found.views, found.garments, found.image) == (first.views, first.garments, first.image)
    assert found.source.offset == 1
    assert shop.detector.seen == 1


async def test_a_part_that_says_nothing_new_publishes_nothing() -> None:
    """It is counted as unchanged; whoever waits is answered with the bytes that stand."""
    shop = Shop()
    await shop.take(full(0))
    assert await shop.take(part(1, title="A dress", brand=None)) is False
    assert isinstance(shop.told[-1], Stands)
    before = shop.sender.sent[-1][0]
    await shop.take(upload(2, metadata={"title": "A dress"}, headers=[(ANSWER, b"1")]))
    assert shop.sender.sent[-1][0] == before


async def test_photos_may_come_later() -> None:
    """Until then the product is known as incomplete; what was said of it before stays."""
    shop = Shop()
    early = await shop.take(part(0, title="A dress", brand="x"))
    assert isinstance(early, Item)
    assert (early.incomplete, early.image, early.views, early.garments) == (True, "", (), ())
    assert early.metadata.brand == "x"
    found = await shop.take(upload(1, image=inline(picture())))
    assert isinstance(found, Item)
    assert (found.incomplete, found.metadata.brand) == (msgspec.UNSET, "x")
    assert [view.id for view in found.views] == ["whole", "g0"]


async def test_the_style_of_a_product_is_a_part_like_any_other() -> None:
    """Stated beside the metadata: it stays when a price comes, comes by itself, and goes with a full upload that has none."""
    shop = Shop()
    await shop.take(full(0, group_id="wrap"))
    assert shop.last.metadata.group_id == "wrap"
    await shop.take(part(1, price=5))
    assert (shop.last.metadata.group_id, shop.last.metadata.price) == ("wrap", 5)
    await shop.take(upload(2, group_id="knot"))
    assert (shop.last.metadata.group_id, shop.last.metadata.title) == ("knot", "A dress")
    await shop.take(upload(3, group_id="bow", image=inline(picture(90))))
    assert (shop.last.metadata.group_id, shop.last.metadata.price) == ("bow", 5)
    await shop.take(full(4))
    assert (shop.last.metadata.group_id, shop.last.metadata.price) == ("", None)


async def test_equal_ids_of_two_shops_are_two_products() -> None:
    """A part of the one says nothing of the other."""
    shop = Shop()
    for offset, name in enumerate(("one", "two")):
        await shop.take(full(offset, shop=name, metadata={"title": name}))
    await shop.take(upload(2, shop="one", metadata={"season": "summer"}))
    assert (shop.last.shop, shop.last.metadata.title) == ("one", "one")
    await shop.take(upload(3, shop="two", metadata={"price": 5}))
    assert (shop.last.shop, shop.last.metadata.title, shop.last.metadata.facets) == ("two", "two", {})


async def test_a_full_upload_replaces_and_a_delete_forgets() -> None:
    """What parts had said is gone."""
    shop = Shop()
    await shop.take(full(0))
    await shop.take(part(1, season="summer"))
    replaced = await shop.take(full(2, metadata={"title": "B"}))
    assert isinstance(replaced, Item)
    assert (replaced.metadata.title, replaced.metadata.facets) == ("B", {})
    assert await shop.take(Message(topics.UPLOADS, 0, 3, b"sku-1", None)) is None
    again = await shop.take(part(4, title="C"))
    assert isinstance(again, Item)
    assert (again.incomplete, again.metadata.title) == (True, "C")


async def test_an_upload_that_fails_is_no_part_of_the_product() -> None:
    """Its photo does not decode: what comes behind it is merged into what stood before."""
    shop = Shop()
    await shop.take(full(0, metadata={"title": "A", "brand": "x"}))
    with pytest.raises(Poison):
        await shop.take(upload(1, image=inline(picture()[:60]), metadata={"title": "broken"}))
    found = await shop.take(part(2, season="summer"))
    assert isinstance(found, Item)
    assert (found.metadata.title, found.metadata.brand) == ("A", "x")


@pytest.mark.parametrize("metadata", [{"price": "cheap"}, {"title": 5}, {"x" * 129: "y"}])
async def test_a_bad_part_is_refused_and_harms_nothing(metadata: dict[str, Any]) -> None:
    """It names its field, as in a full upload."""
    shop = Shop()
    await shop.take(full(0))
    with pytest.raises(Poison) as refused:
        await shop.take(part(1, **metadata))
    assert refused.value.field.startswith("metadata")
    assert await shop.take(full(2)) is False


async def test_a_product_of_too_many_fields_is_refused_where_the_last_part_makes_it_so() -> None:
    """Each part by itself is small enough."""
    shop = Shop()
    await shop.take(full(0, metadata={f"a{n}": "x" for n in range(60)}))
    with pytest.raises(Poison, match="100 facets"):
        await shop.take(part(1, **{f"b{n}": "x" for n in range(60)}))
    found = await shop.take(part(2, a0="y"))
    assert isinstance(found, Item)
    assert len(found.metadata.facets) == 60


# ---------------------------------------------------------------- what comes again as it was


class CountingStore(MemoryStore):
    """Remembers what was read, and what was written."""

    def __init__(self) -> None:
        super().__init__("test")
        self.read: list[str] = []
        self.written: list[str] = []

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        self.read.append(key)
        return super().get(key, limit=limit)

    def _write(self, key: str, data: bytes) -> Any:
        self.written.append(key)
        return super()._write(key, data)


def stored(shop: Shop, offset: int, red: int = 200, **fields: Any) -> Message:
    """An upload of a photo that lies in the store, as `weft ingest` sends it."""
    key = shop.store.put_content(picture(red), ".png")
    return upload(offset, image={"uri": key}, **{"metadata": {"title": "A dress", "price": 5}, **fields})


async def test_what_comes_again_unchanged_costs_one_read() -> None:
    """At most, of what is known of its product: neither photo nor memo is read, and nothing is written; by another process, too,
    once it has read what was written last of the partition.
    """
    shop = Shop(CountingStore())
    store = shop.store
    assert isinstance(store, CountingStore)
    shop.enrich = replace(shop.enrich, fetcher=Fetcher(Settings(), store))
    await shop.take(stored(shop, 0))
    again = shop.successor()
    again.enrich = replace(again.enrich, fetcher=Fetcher(Settings(), store))
    for offset in (1, 2):
        message = stored(shop, offset)
        store.read, store.written = [], []
        assert await again.take(message) is False
        assert {key.partition("/")[0] for key in store.read} <= {PREFIX}
        assert len(store.read) <= (1 if offset == 2 else 2)
        assert store.written == []
        assert isinstance(again.told[-1], Stands)


async def test_who_waits_for_an_unchanged_product_gets_the_bytes_that_stand() -> None:
    """Item and source are those of the upload since which it is so."""
    shop = Shop()
    await shop.take(full(0))
    await shop.take(part(1, price=5))
    before = shop.sender.sent[-1][0]
    again = shop.successor()
    await again.take(full(2, metadata={"title": "A dress", "price": 5}, headers=[(ANSWER, b"1")]))
    assert again.sender.sent[-1][0] == before
    assert again.last.source.offset == 1


@pytest.mark.parametrize("offset", [0, 1])
async def test_an_item_that_is_wanted_is_made_though_nothing_is_remembered(offset: int) -> None:
    """Somebody cleared the memos, and waits for what comes of an unchanged upload; or the last one is delivered again."""
    shop = Shop()
    await shop.take(full(0))
    for key in list(shop.store.list("memo/")):
        shop.store.delete(key)
    again = shop.successor()
    assert isinstance(await again.take(full(offset, headers=[(ANSWER, b"1")] if offset else ())), Item)
    assert [value for value, _ in again.sender.sent] == [value for value, _ in shop.sender.sent]
    assert again.detector.seen == 1


async def test_a_product_that_was_another_meanwhile_is_made_for_the_upload_that_made_it_so() -> None:
    """Its price went up and came down again."""
    shop = Shop()
    for offset, price in enumerate((5, 6, 5)):
        await shop.take(full(offset, metadata={"title": "A dress", "price": price}))
        assert (shop.last.metadata.price, shop.last.source.offset) == (price, offset)
    assert shop.detector.seen == 1


async def test_other_models_make_another_item_of_what_comes_again() -> None:
    """It stands by the models of before: the photo is thought of again, and its item names this upload."""
    shop = Shop()
    await shop.take(full(0))
    other = shop.successor()
    memo = Memo(shop.store, "enrich", "sha256:" + "0" * 64)
    other.enrich = replace(other.enrich, memo=memo)
    other.taking_in = replace(other.taking_in, items=other.enrich.items)
    found = await other.take(full(1))
    assert isinstance(found, Item)
    assert (other.detector.seen, found.source.offset) == (1, 1)
    assert await other.take(full(2)) is False


async def test_a_photo_that_is_gone_is_told_though_the_product_is_unchanged() -> None:
    """By a letter that names it; what stands under the product stays."""
    shop = Shop()
    shop.enrich = replace(shop.enrich, fetcher=Fetcher(Settings(), shop.store))
    first = stored(shop, 0)
    await shop.take(first)
    for key in list(shop.store.list("images/")):
        shop.store.delete(key)
    with pytest.raises(Poison) as refused:
        await shop.take(replace(first, offset=1))
    assert refused.value.code == Code.NOT_FOUND


async def test_what_was_read_before_an_earlier_upload_was_taken_in_does_not_count() -> None:
    """The second is worked out while the first is on its way: it says what stood before that, and is no repeat of it."""
    shop = Shop()
    await shop.take(full(0, metadata={"title": "A dress", "price": 5}))
    messages = [part(1, price=6), full(2, metadata={"title": "A dress", "price": 5}), part(3, price=5)]
    outcomes = [await shop.worked_out(message) for message in messages]
    published = []
    for message, outcome in zip(messages, outcomes, strict=True):
        deliveries = await shop.publish(message, outcome)
        shop.sender.deliver()
        await asyncio.gather(*deliveries)
        published.append((len(shop.sender.sent), shop.last.metadata.price))
    assert published == [(2, 6), (3, 5), (3, 5)]
    assert (await shop.successor().product("sku-1")).metadata["price"] == 5


# ---------------------------------------------------------------- versions


async def test_the_newer_version_counts_whichever_comes_first() -> None:
    """Of full uploads and of parts; the older one publishes nothing."""
    shop = Shop()
    await shop.take(full(0, 200, version=3, metadata={"title": "three"}))
    assert await shop.take(full(1, 90, version=2, metadata={"title": "two", "brand": "x"})) is False
    assert shop.last.metadata.title == "three"
    found = await shop.take(upload(2, metadata={"title": "late", "season": "summer"}, version=3.5))
    assert isinstance(found, Item)
    assert (found.metadata.title, found.metadata.facets) == ("late", {"season": "summer"})
    assert await shop.take(upload(3, metadata={"title": "older"}, version=3)) is False
    newer = await shop.take(full(4, 90, version="2026-01-31T12:00:00Z", metadata={"title": "of a time"}))
    assert isinstance(newer, Item)
    assert newer.metadata.title == "of a time"


async def test_versions_in_any_order_and_over_restarts_give_one_product() -> None:
    """A part that comes before the photo that it belongs to, and one that comes long after."""
    changes = [
        {"image": inline(picture(200)), "metadata": {"title": "1", "brand": "1"}, "version": 1},
        {"metadata": {"title": "2"}, "version": 2},
        {"metadata": {"season": "summer", "brand": None}, "version": 3},
    ]
    found = []
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)):
        shop = Shop()
        for offset, number in enumerate(order):
            shop = shop.successor()
            await shop.take(upload(offset, **changes[number]))
        found.append((shop.last.metadata, shop.last.views, shop.last.incomplete))
    assert len({msgspec.json.encode(one[0]) for one in found}) == 1
    assert all(one[1:] == found[0][1:] for one in found)
    assert found[0][0].title == "2"


async def test_a_late_upload_from_another_partition_counts_for_what_nobody_has_said_since() -> None:
    """A client with another partitioner: its record was passed on behind a younger part of the product."""
    shop = Shop()
    await shop.take(full(0))
    await shop.take(replace(part(1, title="younger"), timestamp_ms=5_000))

    async def superseded(_message: Message, _product: bytes) -> Verdict:
        return Superseded(1)

    shop.enrich = replace(shop.enrich, order=superseded)
    late = Message(topics.UPLOADS, 5, 9, b"sku-1", part(0, title="older", season="summer").value, (), 3_000)
    passed = replace(late, partition=0, offset=2, headers=((ORIGIN, late.identity.encode()),))
    found = await shop.take(passed)
    assert isinstance(found, Item)
    assert (found.metadata.title, found.metadata.facets) == ("younger", {"season": "summer"})


# ---------------------------------------------------------------- kills and second deliveries


async def test_what_is_delivered_again_publishes_the_same_or_nothing() -> None:
    """A process that died before its offsets were kept: the last upload gives the same bytes, the earlier ones nothing."""
    shop = Shop()
    messages = [full(0), part(1, price=5), part(2, price=6, season="summer"), full(3, 90), part(4, price=7)]
    for message in messages:
        await shop.take(message)
    values = [value for value, _ in shop.sender.sent]
    again = shop.successor()
    assert [await again.take(message) is False for message in messages] == [True, True, True, True, False]
    assert [value for value, _ in again.sender.sent] == values[-1:]
    assert again.detector.seen == 0


async def test_a_process_that_dies_between_broker_and_state_begins_where_it_was() -> None:
    """The item was delivered, the state was not kept: the same bytes once more."""
    shop = Shop()
    await shop.take(full(0))
    await shop.publish(part(1, price=5), await shop.worked_out(part(1, price=5)))  # never delivered, as far as it knows
    lost = shop.sender.sent[-1]
    again = shop.successor()
    assert isinstance(await again.take(part(1, price=5)), Item)
    assert again.sender.sent == [lost]
    found = await again.take(part(2, season="summer"))
    assert isinstance(found, Item)
    assert (found.metadata.price, found.metadata.facets) == (5, {"season": "summer"})


async def test_parts_on_their_way_are_merged_in_order() -> None:
    """None of them is delivered before the last is published."""
    shop = Shop()
    deliveries = []
    for message in (full(0), part(1, price=5), part(2, season="summer"), part(3, price=None)):
        deliveries += await shop.publish(message, await shop.worked_out(message))
    shop.sender.deliver()
    await asyncio.gather(*deliveries)
    assert (shop.last.metadata.price, shop.last.metadata.facets) == (None, {"season": "summer"})
    assert isinstance(await shop.successor().take(part(4, mood="calm")), Item)


async def test_parts_that_have_arrived_are_kept_by_one_write() -> None:
    """Stock of one product comes faster than states are written; none is acknowledged before a state that has it is kept."""
    shop = Shop(CountingStore())
    store = shop.store
    assert isinstance(store, CountingStore)
    await shop.take(full(0))
    gate = asyncio.Event()

    async def slowly(call: Any, *args: Any) -> Any:
        if call is product_logs._append:
            await gate.wait()
        return call(*args)

    shop.products._logs._in_thread = slowly
    store.written = []
    deliveries = []
    for offset in range(1, 21):
        message = part(offset, stock=offset)
        deliveries += await shop.publish(message, await shop.worked_out(message))
    shop.sender.deliver()
    last_arrived = shop.products._flying["sku-1"].last
    assert last_arrived is not None
    await last_arrived
    assert store.written == []
    assert not any(delivery.done() for delivery in deliveries), "nothing is acknowledged before it is kept"
    gate.set()
    await asyncio.gather(*deliveries)
    assert [key.partition("/")[0] for key in store.written] == [PREFIX, PREFIX]
    assert (await shop.successor().product("sku-1")).metadata["stock"] == 20
    assert len(shop.sender.sent) == 21


async def test_a_state_that_cannot_be_kept_takes_all_that_wait_for_it_along() -> None:
    """Another worker wrote meanwhile: every record that was to be kept with it is sent again."""
    shop = Shop()
    await shop.take(full(0))
    messages = [part(offset, stock=offset) for offset in (1, 2, 3)]
    deliveries = [one for m in messages for one in await shop.publish(m, await shop.worked_out(m))]
    new = shop.successor()
    for message in (*messages, part(4, stock=9)):
        await new.take(message)
    shop.sender.deliver()
    results = await asyncio.gather(*deliveries, return_exceptions=True)
    assert all(isinstance(result, Retryable) for result in results)
    for message in messages:
        assert await shop.take(message) is False, "taken in by the other worker"
    assert (await shop.successor().product("sku-1")).metadata["stock"] == 9


async def test_a_lost_delivery_takes_those_behind_it_along() -> None:
    """The engine sends all of them again, and the state begins with what is durable; meanwhile newer ones may be published."""
    shop = Shop()
    await shop.take(full(0))
    messages = [part(1, price=5), part(2, season="summer")]
    outcomes = [await shop.worked_out(message) for message in messages]
    waiting = [one for m, o in zip(messages, outcomes, strict=True) for one in await shop.publish(m, o)]
    shop.sender.deliveries[1].set_exception(Retryable("the broker is away"))
    shop.sender.deliveries[2].set_result(None)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, Retryable) for result in results)
    newer = part(3, mood="calm")
    [late] = await shop.publish(newer, await shop.worked_out(newer))
    shop.sender.deliver()
    with pytest.raises(Retryable):
        await late
    assert (await shop.successor().product("sku-1")).metadata == {"title": "A dress"}
    for message in (*messages, newer):
        assert isinstance(await shop.take(message), Item)
    assert (shop.last.metadata.price, shop.last.metadata.facets) == (5, {"season": "summer", "mood": "calm"})


async def test_nobody_writes_over_what_another_worker_has_written() -> None:
    """Two believe that the partition is theirs: the one that wrote later begins anew from what is there."""
    old = Shop()
    await old.take(full(0))
    late = await old.publish(part(1, price=5), await old.worked_out(part(1, price=5)))
    new = old.successor()
    for message in (part(1, price=5), part(2, season="summer")):
        await new.take(message)
    old.sender.deliver()
    with pytest.raises(Retryable):
        await asyncio.gather(*late)
    product = await new.successor().product("sku-1")
    assert product.metadata == {"title": "A dress", "price": 5, "season": "summer"}


async def test_a_topic_that_was_made_anew_is_filled_by_a_replay() -> None:
    """What stands on the old one stands there no more."""
    shop = Shop()
    for message in (full(0), part(1, price=5)):
        await shop.take(message)
    replayed = shop.successor(items_topic="made anew")
    for message in (full(0), part(1, price=5)):
        await replayed.take(message)
    assert replayed.last == shop.last


async def test_a_replay_without_any_state_gives_the_same_items() -> None:
    """The store's copy is lost: the uploads hold all of it."""
    messages = [full(0), part(1, price=5), full(2, 90), part(3, season="summer")]
    shop = Shop()
    for message in messages:
        await shop.take(message)
    for key in list(shop.store.list(f"{PREFIX}/")):
        shop.store.delete(key)
    again = shop.successor()
    for message in messages:
        await again.take(message)
    assert again.sender.sent == shop.sender.sent
    assert again.detector.seen == 0


async def test_unchanged_bytes_may_be_asked_for() -> None:
    """`WEFT_UNCHANGED=publish`."""
    shop = Shop(always=True)
    await shop.take(full(0))
    assert isinstance(await shop.take(part(1, title="A dress")), Item)
    assert shop.sender.sent[0][0] == shop.sender.sent[1][0]
