"""The photo of a query that a person asks: inside the record where it fits, else in the store, for hours."""

from __future__ import annotations

import asyncio
from pathlib import Path

from infra.settings import Settings
from infra.stores import open_store
from streams.contract.limits import MAX_INLINE_IMAGE_BYTES
from streams.contract.records import ImageRef
from streams.kafka.store_claim import check
from streams.ops.ingest import read_photo
from streams.search import query_photos


async def photo_to_ask_with(path: Path, settings: Settings, now: float) -> ImageRef:
    """A query's `image`.

    Args:
        path: of the photo.
        settings: the limits of a photo, and where the store is.
        now: seconds since the epoch.

    Raises:
        Poison: no photo that decodes, or too large.
        Fatal: the cluster has another store.
        Retryable: store or broker are in trouble.
    """
    data, kind = await asyncio.to_thread(
        read_photo,
        path,
        settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
        keep_metadata=settings.keep_photo_metadata,
    )
    if len(data) <= MAX_INLINE_IMAGE_BYTES:
        return ImageRef(bytes=data)
    store = await asyncio.to_thread(open_store, settings)
    await check(settings, store)
    key = query_photos.key_for(data, f".{kind}", now)
    await asyncio.to_thread(store.put, key, data)
    return ImageRef(uri=store.address(key))
