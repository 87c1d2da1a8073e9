"""What is known of products, in any store, for topics that are never made anew."""

from __future__ import annotations

import asyncio

from infra.store import ObjectStore
from streams.roles.products import Products


async def _uploads() -> str:
    return "uploads"


async def _items() -> str:
    return "items"


def products_in(store: ObjectStore) -> Products:
    """As a worker begins with them."""
    return Products(store, _uploads, _items, asyncio.to_thread)
