"""Samples of what a brand kit makes of one product, without publishing anything: for `weft caption preview`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from infra.settings import Settings
from infra.stores import open_store
from models.yardsticks.captions import Product
from models.yardsticks.photos import Photos, UnreadableInput
from processors.errors import Poison
from processors.identity import key_of
from processors.kit import DEFAULT, Kit
from streams.contract import topics
from streams.contract.codecs import decode_item, encode
from streams.contract.records import Caption, Item
from streams.engine.inline import run_inline
from streams.engine.message import EDITION, Message
from streams.kafka.client import Reader
from streams.kafka.pins import TopicNow, partition_held
from streams.ops.caption_trial import Trial
from streams.roles.caption.kits import Kits


async def item_of_photo(trial: Trial, image: Path, metadata: Mapping[str, str]) -> Item:
    """The item that an upload of this photo would become, with what the shop would say of it. Raises `Poison`."""
    photos = Photos(image.parent, [image.name], lambda name: (image.parent / name).read_bytes())
    product = Product(image.stem, image.name, "", {}, frozenset(), dict(metadata))
    refused: list[UnreadableInput] = []
    found = await trial.enriched([product], photos, refused, lambda _done: None, metadata=True)
    if not found:
        raise Poison(refused[0].cause if refused else f"{image} became no item")
    return found[0][1]


async def item_of_product(settings: Settings, shop: str, product_id: str) -> Item:
    """The item of a product as it stands on the topic. Raises `Poison` where there is none."""
    found = await last_of(settings, topics.ITEMS, shop, product_id)
    return decode_item(found.value or b"")


async def last_of(settings: Settings, topic: str, shop: str, product_id: str) -> Message:
    """The last record of a product on a topic that has its key: one partition is read. Raises `Poison` where it is none, or a deletion."""
    key = key_of(shop, product_id).encode()
    async with Reader(settings, topic) as reader:
        bounds = await reader.bounds()
        seen = TopicNow(await reader.topic_id(), len(bounds))
        own = await partition_held(await asyncio.to_thread(open_store, settings), topic, seen, key)
        await reader.read_from({p: low if p == own else high for p, (low, high) in bounds.items()})
        found: Message | None = None
        async for raw in reader.to_end():
            if raw.key == key:
                found = raw
    if found is None or found.value is None:
        of = f" of shop {shop!r}" if shop else ""
        raise Poison(f"there is no product {product_id!r}{of} on {topic}")
    return found


async def samples(trial: Trial, item: Item, kit: Kit, count: int, *, by_rule: bool = False) -> list[Caption]:
    """So many captions of an item by one kit, each with a seed of its own. `by_rule`: the language model is not asked.

    By rule a text costs a millisecond, so more are written than are shown, and those that differ come first.

    Raises:
        Poison: the item has nothing to be captioned.
    """
    if trial.captioner is None:
        raise ValueError("this trial has no captioner")
    captioner = replace(trial.captioner, kits=Kits({DEFAULT: kit}), by_rule=by_rule)
    messages = [
        Message(topics.ITEMS, 0, n, item.product_id.encode(), encode(item), headers=((EDITION, b"preview %d" % n),))
        for n in range(count * (_TRIES if by_rule else 1))
    ]
    found = await run_inline(captioner.stages(), messages, lambda _done: None)
    captions = [one for one in found if isinstance(one, Caption)]
    if len(captions) < count:
        raise Poison("the product has no photo that was seen yet, so it has no caption")
    return _different_first(captions)[:count]


_TRIES = 6
"""Texts that are written by rule for each that is shown."""


def _different_first(captions: Sequence[Caption]) -> list[Caption]:
    first: dict[str, int] = {}
    for n, one in enumerate(captions):
        first.setdefault(one.caption, n)
    return [captions[n] for n in first.values()] + [one for n, one in enumerate(captions) if first[one.caption] != n]
