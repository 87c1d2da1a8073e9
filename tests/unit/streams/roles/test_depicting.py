"""Illustrated articles: whose photo a picture is, written, taken back, and asked for; and the captions that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import cv2
import msgspec
import numpy as np
import pytest

from processors.errors import Poison, Retryable
from processors.geometry import Match, compare, features, mirrored
from processors.values import Pixels, Vector
from streams.contract import topics
from streams.contract.articles import decode_article
from streams.contract.codecs import encode
from streams.contract.records import Caption, Item, Pictured
from streams.engine.message import CONTEXT, Message
from streams.roles.caption.context import Context
from streams.roles.context.articles import Articles
from streams.roles.context.depicting import Depicting
from streams.roles.context.header import header_of, places_in
from streams.roles.context.pictured import TOLD, PicturedView
from tests.unit.processors.test_geometry import drawn
from tests.unit.streams.roles.test_caption_context import BASE, FACT, STORY, Words, uses
from tests.unit.streams.roles.test_caption_kits import Echo
from tests.unit.streams.roles.test_role_caption import captioner, item, message, through

PHOTO = drawn(5)
SEEN: Mapping[str, Pixels] = {
    "images/p1": PHOTO,
    "images/p2": drawn(6),
    "images/plain": np.full((200, 150, 3), 240, np.uint8),
    "look/crop": np.ascontiguousarray(PHOTO[40:320, 30:240]),
    "look/other": drawn(7),
}


@cache
def matched(photo: str, picture: str) -> Match:
    """Each pair once for all tests."""
    there = features(SEEN[picture])
    return compare(features(SEEN[photo]), there, mirrored(there))


class Sees:
    """Photos whose vectors are coarse thumbnails; counts pairs that were compared."""

    makers = ("sha256:ours", "sha256:second")

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.away = False

    async def vectors(self, address: str) -> tuple[Vector, Vector]:
        if self.away:
            raise Retryable("the store is away")
        if address not in SEEN:
            raise Poison("there is nothing", field="images")
        thumb = cv2.resize(SEEN[address], (5, 7), interpolation=cv2.INTER_AREA).astype(np.float32).mean(axis=2).ravel()
        vector = thumb / np.linalg.norm(thumb)
        return vector, vector

    async def match(self, photo: str, picture: str) -> Match:
        self.pairs.append((photo, picture))
        return matched(photo, picture)


class World:
    """The part of the role, with what it writes and asks for; and a captioner that reads it."""

    def __init__(self) -> None:
        self.articles, self.pictured, self.eyes = Articles(), PicturedView(), Sees()
        self.written: list[tuple[str, Pictured | None, bool]] = []
        self.asked: list[tuple[Mapping[bytes, tuple[int, int]], str]] = []
        self.broker_away = False
        self.depicting = self.begun()
        self.offset = self.items = 0
        context = Context(self.articles, Words(), self.pictured)
        self.caption = replace(captioner(Echo()), context=context)

    def begun(self) -> Depicting:
        """As at a start."""
        return Depicting(self.articles, self.pictured, self.eyes, self.publish, self.again)

    async def publish(self, product: str, found: Pictured | None, /, *, told: bool) -> int:
        self.written.append((product, found, told))
        headers = ((TOLD, b"1"),) if told else ()
        value = None if found is None else encode(found)
        offset = len(self.written) - 1
        self.pictured.apply(Message(topics.PICTURED, 0, offset, product.encode(), value, headers))
        return offset

    async def again(
        self,
        found: Mapping[bytes, tuple[int, int]],
        articles: Mapping[int, int],
        pictured: Mapping[int, int],
    ) -> int:
        if self.broker_away:
            raise Retryable("no broker")
        self.asked.append((found, header_of(articles, "m", pictured)))
        return len(found)

    def article(self, name: str, text: str | None, *images: str, **more: object) -> None:
        value = None if text is None else msgspec.json.encode({"id": name, "text": text, "images": images, **more})
        self.articles.apply(Message(topics.ARTICLES, 0, self.offset, name.encode(), value, (), 1000 + self.offset))
        self.offset += 1
        self.depicting.articles_changed()

    def product(self, name: str, image: str = "", *, gone: bool = False, **more: object) -> Item:
        of = msgspec.structs.replace(item(name), image=image or f"images/{name}", **more)
        value = None if gone else encode(of)
        self.depicting.apply(Message(topics.ITEMS, 0, self.items, name.encode(), value))
        self.items += 1
        return of

    async def settle(self) -> None:
        for _ in range(5):
            await self.depicting.step()

    async def captioned(self, of: Item) -> Caption:
        found = await through(self.caption, message(of, self.items))
        assert isinstance(found, Caption)
        return found


async def test_an_article_with_a_products_photo_is_about_it() -> None:
    """It names nobody. The caption states its fact, and the scores of every step stand beside the citation."""
    world = World()
    world.article("a1", STORY, "look/crop")
    p1, p2 = world.product("p1"), world.product("p2")
    assert (await world.captioned(p1)).caption == BASE
    await world.settle()
    caption = await world.captioned(p1)
    assert caption.caption == f"{BASE} {FACT}"
    assert uses(caption) == [("a1", FACT)]
    [use] = caption.context  # type: ignore[misc]
    picture = use.picture
    assert (picture.picture, picture.kind) == ("look/crop", "crop")
    assert picture.confidence > 0.4
    assert picture.inliers >= 8
    assert set(picture.likeness) == set(Sees.makers)
    assert picture.score > 0.8
    assert (await world.captioned(p2)).context is msgspec.UNSET
    [(found, header)] = world.asked
    assert set(found) == {b"p1"}
    assert places_in(header.encode()) == {("articles", 0): 0, ("pictured", 0): 0}


async def test_a_product_that_comes_before_the_article_is_found_as_well() -> None:
    """And a look-alike, a plain photo and a picture that cannot be had are not."""
    world = World()
    p1 = world.product("p1")
    world.product("plain")
    world.article("a1", STORY, "look/other", "look/crop", "look/none")
    await world.settle()
    assert [(name, told) for name, _, told in world.written] == [("p1", False), ("p1", True)]
    assert (await world.captioned(p1)).caption == f"{BASE} {FACT}"


async def test_an_article_with_one_picture_may_speak_of_the_garment_and_one_with_several_must_be_right() -> None:
    """With several, "the coat" may be another product's."""
    world = World()
    p1 = world.product("p1")
    text = "The coat was cut by Ada Moreau in Porto."
    world.article("a1", text, "look/crop")
    await world.settle()
    assert "Ada Moreau" in (await world.captioned(p1)).caption
    world.article("a1", text, "look/crop", "look/other")
    await world.settle()
    assert (await world.captioned(p1)).caption == BASE


async def test_what_names_a_product_or_another_brand_is_not_found_by_its_pictures() -> None:
    """The name counts: a picture shows more than what a text is about. A shop's articles are about its own products."""
    world = World()
    p1 = world.product("p1")
    world.article("named", STORY, "look/crop", applies_to={"product": "p9"})
    world.article("brand", STORY, "look/crop", applies_to={"brand": "Nobody"})
    world.article("shop", STORY, "look/crop", shop="s")
    await world.settle()
    assert (await world.captioned(p1)).caption == BASE
    world.article("brand", STORY, "look/crop", applies_to={"brand": "Acme"})
    acme = msgspec.structs.replace(p1, metadata=msgspec.structs.replace(p1.metadata, brand="acme"))
    assert (await world.captioned(acme)).caption == f"{BASE} {FACT}"


async def test_what_is_gone_is_gone() -> None:
    """Article, picture, product or photo: the caption at once, the record a moment later."""
    world = World()
    p1 = world.product("p1")
    world.article("a1", STORY, "look/crop")
    await world.settle()
    world.article("a1", None)
    assert (await world.captioned(p1)).caption == BASE
    await world.settle()
    assert world.written[-1] == ("p1", None, True)
    world.article("a1", STORY, "look/crop")
    await world.settle()
    changed = world.product("p1", "images/p2")
    assert (await world.captioned(changed)).caption == BASE
    await world.settle()
    assert world.written[-1] == ("p1", None, True)
    world.product("p1")
    await world.settle()
    assert world.pictured.get("p1") is not None
    world.product("p1", gone=True)
    await world.settle()
    assert world.written[-1] == ("p1", None, True)


async def test_a_start_compares_nothing_again_that_stands_and_asks_for_what_was_not_asked_for() -> None:
    """A worker ended between writing what it found and asking for the caption."""
    world = World()
    world.article("a1", STORY, "look/crop")
    p1 = world.product("p1")
    world.broker_away = True
    with pytest.raises(Retryable):
        await world.depicting.step()
    assert [told for _, _, told in world.written] == [False]
    world.broker_away = False
    compared = len(world.eyes.pairs)
    world.depicting = world.begun()
    world.depicting.apply(Message(topics.ITEMS, 0, 0, b"p1", encode(p1)), look=False)
    world.depicting.look_at_all()
    await world.settle()
    assert [set(found) for found, _ in world.asked] == [{b"p1"}]
    assert [told for _, _, told in world.written] == [False, True]
    again = world.begun()
    again.apply(Message(topics.ITEMS, 0, 0, b"p1", encode(p1)), look=False)
    again.look_at_all()
    await again.step()
    assert len(world.asked) == 1
    assert len(world.eyes.pairs) <= compared + 1


async def test_a_store_that_is_away_costs_nothing_but_time() -> None:
    """The picture is asked for again."""
    world = World()
    world.product("p1")
    world.article("a1", STORY, "look/crop")
    world.eyes.away = True
    with pytest.raises(Retryable):
        await world.depicting.step()
    world.eyes.away = False
    await world.settle()
    assert world.pictured.get("p1") is not None


async def test_an_item_that_was_sent_again_for_a_picture_waits_for_its_record() -> None:
    """The view of the captioner may be behind."""
    world = World()
    world.article("a1", STORY, "look/crop")
    wanted = Message(topics.ITEMS, 0, 0, b"p1", b"", ((CONTEXT, b"0:0/m/0:0"),))
    assert world.caption.context is not None
    assert world.caption.context.missing(wanted) == {("articles", 0): 0, ("pictured", 0): 0}
    world.product("p1")
    await world.settle()
    assert world.caption.context.missing(wanted) == {}
    assert await world.caption.context.reached({("articles", 0): 0, ("pictured", 0): 0})


def test_an_article_needs_somebody_or_a_picture() -> None:
    """Of one without either nobody can say what it is about."""

    def of(**fields: object) -> Message:
        return Message(topics.ARTICLES, 0, 0, b"a", msgspec.json.encode({"id": "a", "text": STORY, **fields}))

    assert decode_article(of(images=["x.jpg"])) is not None
    for bad in ({}, {"applies_to": {}}, {"images": []}):
        with pytest.raises(Poison, match="no picture that could show a product"):
            decode_article(of(**bad))
