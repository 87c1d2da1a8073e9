"""What `weft doctor` looks at beyond the store itself: whether the photos of products of now lie in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from infra.settings import Settings
from infra.store import ObjectStore
from infra.store_identity import read, settle
from processors.errors import Poison
from streams.contract import topics
from streams.contract.codecs import decode_item
from streams.engine.message import Message
from streams.kafka.consumer import open_consumer
from streams.kafka.store_claim import check

LIVE_ITEMS = 10
_EACH_END = 5
_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Photos:
    """Products that were looked at, and the addresses among theirs that are not in the store."""

    looked_at: int
    missing: tuple[str, ...]


async def look(settings: Settings, store: ObjectStore) -> Photos:
    """Look up to ten photos of live products up, of the oldest and of the newest: a copy that broke off lacks some.

    Raises:
        Fatal: the cluster has another store.
        Retryable: store or broker are away.
        TimeoutError: the broker takes too long.
    """
    await check(settings, store)
    identity = await asyncio.to_thread(read, store)
    if identity is not None:
        # Items of before a move hold the addresses of then.
        await asyncio.to_thread(settle, store, identity)
    addresses = await _addresses(settings)
    return await asyncio.to_thread(absent, store, addresses)


def absent(store: ObjectStore, addresses: Mapping[str, str]) -> Photos:
    """Which addresses (by product) the store does not hold. Blocking."""
    keys = {address: store.key_of(address) for address in addresses.values()}
    missing = tuple(address for address, key in keys.items() if key is None or not store.exists(key))
    return Photos(len(keys), missing)


async def _addresses(settings: Settings) -> dict[str, str]:
    """Product → address of its photo, of at most `LIVE_ITEMS` products."""
    found: dict[str, str] = {}
    async with asyncio.timeout(_SECONDS), open_consumer(settings) as consumer:
        bounds = {p: (low, high) for p, (low, high) in (await consumer.watermarks(topics.ITEMS)).items() if low < high}
        for newest in (False, True):
            start = {p: max(low, high - _EACH_END) if newest else low for p, (low, high) in bounds.items()}
            end = {p: high if newest else min(high, low + _EACH_END) for p, (low, high) in bounds.items()}
            if not start:
                break
            await consumer.assign({(topics.ITEMS, p): offset for p, offset in start.items()})
            last: dict[str, Message] = {}
            while any([await consumer.position((topics.ITEMS, p)) < end[p] for p in end]):
                for message in await consumer.poll(0.5):
                    last[(message.key or b"").decode("utf-8", "replace")] = message
            room = LIVE_ITEMS if newest else LIVE_ITEMS // 2
            for product_id, message in last.items():
                address = _address(message)
                if address and len(found) < room:
                    found[product_id] = address
    return found


def _address(message: Message) -> str:
    if message.value is None:
        return ""
    try:
        return decode_item(message.value).image
    except Poison:
        return ""
