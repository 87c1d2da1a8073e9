"""The pixels of a product, for writers that look at them (`models.ports.LooksAtPhotos`). For others nothing here is called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from infra.store import NotFound, ObjectStore
from infra.threads import InThread
from models.ports import View
from processors import crops, decode
from processors.errors import Poison
from processors.values import Pixels
from streams.contract.records import Item
from streams.engine.message import Message, message_bytes
from streams.roles.sold import sold_garment

SIDE = 512
"""A writer is shown a photo no larger: the largest that is published looks at 384 pixels a side."""
NETWORK_SIDE = 384
SEEN_BYTES = SIDE * SIDE * 3 + NETWORK_SIDE * NETWORK_SIDE * 3 * 4
"""What a product holds until its caption is written: its pixels, for a second draft, and what the network is shown."""

Look: TypeAlias = Callable[[Item], Awaitable[Pixels | None]]
"""The pixels of an item; None where its photo is gone, or cannot be read any more: its caption is then by rule."""
ReadPhoto: TypeAlias = Callable[[str], Awaitable[bytes]]
"""The bytes of a photo by its address; raises `WeftError`."""


async def nowhere(_item: Item) -> Pixels | None:
    """No photo is at hand."""
    return None


def charge(message: Message) -> int:
    """Credits of an item whose photo is going to be looked at."""
    return message_bytes(message) + SEEN_BYTES


def of_store(store: ObjectStore, in_thread: InThread) -> ReadPhoto:
    """Photos of our own store."""

    async def read(address: str) -> bytes:
        return await in_thread(store.get, store.key_of(address) or address)

    return read


def looking(read: ReadPhoto, view: View, limits: decode.DecodeLimits) -> Look:
    """How a writer's view of an item is loaded: its main photo, or the part of a photo that shows the garment that is sold.

    What it gives raises `Retryable` where the store is away.
    """

    async def look(item: Item) -> Pixels | None:
        garment = sold_garment(item) if view == "garment" else None
        address = item.image if garment is None else _photo_of(item, garment.id)
        if not address:
            return None
        try:
            data = await read(address)
            decoded = await asyncio.to_thread(decode.decode, data, limits, max_side=SIDE)
            if garment is None:
                return decoded.pixels
            x0, y0, x1, y1 = (side * decoded.scale for side in garment.box)
            return crops.cut(decoded.pixels, (x0, y0, x1, y1))
        except (Poison, NotFound):
            return None

    return look


def _photo_of(item: Item, garment: str) -> str:
    photos = item.photos if isinstance(item.photos, tuple) else ()
    return next((photo.image for photo in photos if garment in photo.garments), item.image)
