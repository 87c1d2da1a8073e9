"""Several photos of a product: each is thought of once, and each says what it shows."""

from __future__ import annotations

import msgspec
import pytest

from processors.errors import Poison
from streams.contract import topics
from streams.contract.records import Item
from streams.engine.message import Message
from tests.unit.streams.roles.test_taking_in import Shop, full, inline, part, picture, upload


async def test_each_photo_is_thought_of_once() -> None:
    """One that is added costs one run; one that is taken away, or another order, none; so do other metadata."""
    shop = Shop()
    three = [inline(picture(200), "model"), inline(picture(150), "packshot"), inline(picture(100), "detail")]
    await shop.take(upload(0, images=three[:2], metadata={"title": "A"}))
    assert shop.detector.seen == 2
    await shop.take(upload(1, images=three, metadata={"title": "A"}))
    assert shop.detector.seen == 3
    found = await shop.take(upload(2, images=three[::-1], metadata={"title": "A"}))
    assert isinstance(found, Item)
    assert isinstance(found.photos, tuple)
    assert [photo.role for photo in found.photos] == ["detail", "packshot", "model"]
    await shop.take(upload(3, images=three[1:], metadata={"title": "A"}))
    await shop.take(part(4, price=5))
    assert isinstance(shop.last.photos, tuple)
    assert len(shop.last.photos) == 2
    assert shop.detector.seen == 3


async def test_views_of_each_photo_and_none_of_a_details_garments() -> None:
    """Each view names its photo; the main one is the item's image."""
    shop = Shop()
    images = [inline(picture(100), "detail"), inline(picture(200), "front"), inline(picture(200, 120, 160), "back")]
    found = await shop.take(upload(0, images=images, metadata={}))
    assert isinstance(found, Item)
    assert isinstance(found.photos, tuple)
    detail, front, back = found.photos
    assert found.image == front.image
    assert (found.width, found.height) == (96, 96)
    of = {view.id: view.photo for view in found.views}
    assert of == {
        "whole": msgspec.UNSET,
        "g0": msgspec.UNSET,
        "0/whole": detail.image,
        "2/whole": back.image,
        "2/g0": back.image,
    }
    assert (detail.garments, front.garments, back.garments) == ((), ("g0",), ("g0",))
    assert found.sold == "g0"


async def test_image_beside_images_is_the_main_one() -> None:
    """As feeds have it: the photo of the product, and further ones. The same photo twice is one."""
    shop = Shop()
    further = [inline(picture(150)), inline(picture(200)), inline(picture(100))]
    found = await shop.take(upload(0, image=inline(picture(200)), images=further, metadata={}))
    assert isinstance(found, Item)
    assert isinstance(found.photos, tuple)
    assert [photo.role for photo in found.photos] == ["main", "", ""]
    assert found.photos[0].image == found.image


async def test_one_photo_in_a_list_is_one_photo() -> None:
    """The same bytes as by `image`."""
    shop, other = Shop(), Shop()
    await shop.take(upload(0, images=[inline(picture(), "front")], metadata={"title": "A dress"}))
    await other.take(full(0))
    assert shop.sender.sent == other.sender.sent


async def test_a_photo_that_is_broken_is_named() -> None:
    """By its place in the list; nothing of the upload is stored, and the product stands."""
    shop = Shop()
    await shop.take(full(0))
    images = [inline(picture(150)), inline(picture(100)[:60])]
    before = list(shop.store.list("images/"))
    with pytest.raises(Poison) as refused:
        await shop.take(upload(1, images=images))
    assert refused.value.field.startswith("images[1]")
    assert list(shop.store.list("images/")) == before
    assert await shop.take(full(2)) is False


async def test_a_catalogue_of_photos_sent_three_times_asks_the_models_once_for_each() -> None:
    """Twelve products of three photos; then the same, the same, other prices: no photo is looked at again."""
    shop = Shop()

    def feed(offset: int, price: float) -> list[Message]:
        found = []
        for number in range(12):
            images = [inline(picture(3 * number + shot, 80 + shot)) for shot in range(3)]
            record = {"product_id": f"p{number}", "images": images, "metadata": {"title": "A", "price": price}}
            value = msgspec.json.encode(record)
            found.append(Message(topics.UPLOADS, 0, offset + number, f"p{number}".encode(), value, (), 1000 + offset))
        return found

    seen, sent = [], []
    for round_, price in enumerate((5, 5, 5, 6)):
        for message in feed(100 * round_, price):
            await shop.take(message)
        seen.append(shop.detector.seen)
        sent.append(len(shop.sender.sent))
    assert seen == [36, 36, 36, 36]
    assert sent == [12, 12, 12, 24]
