"""Parts of products of which no state is kept: they are merged into the item that stands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from processors.errors import Code, Fatal, Poison, Retryable
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Item
from streams.engine.message import Message
from streams.roles.earlier import EarlierItems, kept_of
from streams.roles.product_states import Kept
from streams.roles.products import PREFIX
from streams.wiring.enriching import ReadableItems
from tests.unit.streams.roles.test_taking_in import Shop, full, inline, part, picture, upload


class Published:
    """What was published of items, as the log that `EarlierItems` reads."""

    def __init__(self, *values: bytes | None, headers: Sequence[dict[str, bytes]] = ()) -> None:
        told = [tuple(one.items()) for one in headers] or [()] * len(values)
        self.messages = [
            Message(topics.ITEMS, 0, offset, b"sku-1", value, told[offset]) for offset, value in enumerate(values)
        ]
        self.reads: list[tuple[int, int]] = []

    async def between(self, _partition: int, first: int, end: int) -> AsyncIterator[Message]:
        self.reads.append((first, end))
        for message in self.messages:
            if first <= message.offset < end:
                yield message


def knowing(shop: Shop, log: Published) -> Shop:
    """A process that finds what stands in this log."""

    async def opening() -> Published:
        return log

    async def partition(_key: bytes) -> int:
        return 0

    earlier = EarlierItems(opening, partition)

    async def before(product: str, record: Message | None) -> Kept | None:
        return await kept_of(earlier, product, record)

    shop.products._before = before
    shop.enrich = replace(shop.enrich, earlier=shop.products.earlier)
    return shop


def without_states(shop: Shop) -> Shop:
    """Its successor, after the states were lost: the topic of uploads was made anew, or they were never kept."""
    for key in list(shop.store.list(f"{PREFIX}/")):
        shop.store.delete(key)
    return knowing(
        shop.successor(),
        Published(*(value for value, _ in shop.sender.sent), headers=[told for _, told in shop.sender.sent]),
    )


async def test_a_part_that_comes_again_is_not_merged_into_what_came_behind_it() -> None:
    """Both items were delivered, and the process died before a state was kept (chaos, seed 17320): the part tells nothing, the upload
    behind it gives the same bytes.
    """
    shop = Shop()
    for message in (part(0, price=10), full(1, metadata={"title": "A dress"}), part(2, season="summer")):
        await shop.take(message)
    values = [value for value, _ in shop.sender.sent]
    assert len(values) == 3
    again = without_states(shop)
    assert await again.take(part(0, price=10)) is False
    assert [value for value, _ in again.sender.sent] == []
    assert isinstance(await again.take(full(1, metadata={"title": "A dress"})), Item)
    assert isinstance(await again.take(part(2, season="summer")), Item)
    assert [value for value, _ in again.sender.sent] == values[1:]


async def test_a_part_that_was_never_taken_in_is_merged_though_a_later_item_stands() -> None:
    """What is urgent overtakes: its item stands already when the part comes for the first time, without a state."""
    shop = Shop()
    await shop.take(full(1, metadata={"title": "A dress"}))
    found = await without_states(shop).take(part(0, price=10))
    assert isinstance(found, Item)
    assert (found.metadata.title, found.metadata.price) == ("A dress", 10)


async def test_a_part_of_a_product_without_a_state_is_merged_into_its_item() -> None:
    """It was uploaded before there were states, or the topic of uploads was made anew: photos, words and columns stay."""
    shop = Shop()
    said = {"title": "A dress", "brand": "x", "price": 5, "sizes": ["S", "M"], "season": "summer", "stock": 3}
    said |= {"category_path": ["Women", "Dresses"], "tags": ["new"], "care": {"wash": 30}, "group_id": "g"}
    first = await shop.take(full(7, metadata=said))
    assert isinstance(first, Item)
    again = without_states(shop)
    found = await again.take(part(0, price=6, season=None))
    assert isinstance(found, Item)
    expected = msgspec.structs.replace(first.metadata, price=6, facets={})
    assert (found.metadata, found.views, found.image) == (expected, first.views, first.image)
    assert (found.source.offset, again.detector.seen) == (0, 0)
    photo_later = await again.take(upload(1, image=inline(picture(90))))
    assert isinstance(photo_later, Item)
    assert (photo_later.metadata, photo_later.image != first.image) == (expected, True)
    assert (await again.successor().product("sku-1")).metadata["price"] == 6


async def test_photos_alone_for_a_product_without_a_state_keep_its_words() -> None:
    """And several photos stay several, with their roles, when a price comes."""
    shop = Shop()
    await shop.take(
        upload(0, images=[inline(picture(1), "front"), inline(picture(2), "back")], metadata={"title": "A"})
    )
    again = without_states(shop)
    found = await again.take(part(0, price=6))
    assert isinstance(found, Item)
    assert isinstance(found.photos, tuple)
    assert ([photo.role for photo in found.photos], found.metadata.title) == (["front", "back"], "A")
    later = without_states(again)
    found = await later.take(upload(0, image=inline(picture(90))))
    assert isinstance(found, Item)
    assert (found.metadata.title, found.metadata.price) == ("A", 6)


async def test_what_was_deleted_or_never_there_stays_unknown() -> None:
    """A part of it is the beginning of a product. A full upload looks for nothing."""
    shop = Shop()
    await shop.take(full(0))
    await shop.take(Message(topics.UPLOADS, 0, 1, b"sku-1", None))
    log = Published(*(value for value, _ in shop.sender.sent))
    for key in list(shop.store.list(f"{PREFIX}/")):
        shop.store.delete(key)
    again = knowing(shop.successor(), log)
    found = await again.take(part(0, title="B"))
    assert isinstance(found, Item)
    assert (found.incomplete, found.metadata.title) == (True, "B")
    log.reads.clear()
    assert isinstance(await knowing(shop.successor(), log).take(full(1)), Item)
    assert log.reads == []


async def test_a_partition_is_read_once_for_all_its_products() -> None:
    """Then one record for each; one that was compacted away since is looked for once more."""
    items = Published(b"a", b"b")

    async def opening() -> Published:
        return items

    async def partition(_key: bytes) -> int:
        return 0

    earlier = EarlierItems(opening, partition)
    assert await earlier.of("unknown") is None
    found = await earlier.of("sku-1")
    assert found is not None
    assert (found.value, items.reads) == (b"b", [(0, 2**62), (1, 2)])
    items.messages = [Message(topics.ITEMS, 0, 5, b"sku-1", b"c")]
    found = await earlier.of("sku-1")
    assert found is not None
    assert found.value == b"c"


async def test_a_worker_that_may_not_read_items_says_so() -> None:
    """On a cluster that gives the right to nobody but caption and index; a broker that is away is waited for."""

    class Refusing:
        def __init__(self, cause: Exception, kind: type[Exception] = Retryable) -> None:
            self.cause, self.kind = cause, kind

        async def between(self, _partition: int, _first: int, _end: int) -> AsyncIterator[Message]:
            raise self.kind("the records before cannot be read") from self.cause
            yield

    refused = TopicAuthorizationFailedError("catalog.items")
    for log in (Refusing(refused), Refusing(refused, Fatal)):  # it may not be read; it may not even be seen
        with pytest.raises(Poison, match=r"may not read catalog\.items"):
            [m async for m in ReadableItems(log).between(0, 0, 1)]
    with pytest.raises(Fatal):
        [m async for m in ReadableItems(Refusing(ValueError("of another kind"), Fatal)).between(0, 0, 1)]
    with pytest.raises(Retryable):
        [m async for m in ReadableItems(Refusing(KafkaConnectionError("away"))).between(0, 0, 1)]


async def test_an_item_that_does_not_tell_its_photos_hash_is_not_cut_down_to_a_part() -> None:
    """The part is refused, and says what to do."""
    shop = Shop()
    await shop.take(full(0))
    item = msgspec.structs.replace(shop.last, image="theirs/a.jpg")
    for key in list(shop.store.list(f"{PREFIX}/")):
        shop.store.delete(key)
    again = knowing(shop.successor(), Published(encode(item)))
    with pytest.raises(Poison, match="send it once with its photo") as refused:
        await again.take(part(0, title="B"))
    assert refused.value.code == Code.MISSING_FIELD
    assert isinstance(await again.take(full(1)), Item)
    assert isinstance(await again.take(part(2, title="B")), Item)


async def test_a_part_after_other_models_came_thinks_of_the_photo_again() -> None:
    """Its memo is of the models of before; the photo lies in the store."""
    shop = Shop()
    await shop.take(full(0))
    for key in list(shop.store.list("memo/")):
        shop.store.delete(key)
    again = shop.successor()
    found = await again.take(part(1, price=5))
    assert isinstance(found, Item)
    assert (again.detector.seen, found.metadata.price, len(found.views)) == (1, 5, 2)
    for key in [key for key in shop.store.list() if key.startswith(("memo/", "images/"))]:
        shop.store.delete(key)
    with pytest.raises(Poison, match="send it again"):
        await again.take(part(2, price=6))
