"""The photo of a query: in the record, or in the store for hours."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.memory_store import MemoryStore
from infra.settings import Settings
from processors.errors import Poison
from streams.contract.limits import MAX_INLINE_IMAGE_BYTES
from streams.ops.ask import photo_to_ask_with
from streams.ops.ingest import Photo, announce


def picture(side: int) -> bytes:
    """Noise, so that nothing compresses it away."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


async def test_a_photo_that_fits_travels_in_the_query(tmp_path: Path) -> None:
    """No store is opened for it, and nothing of a shopper is left anywhere."""
    path = tmp_path / "me.png"
    path.write_bytes(picture(64))
    image = await photo_to_ask_with(path, Settings(store_url="nonsense://"), 0.0)
    assert image.bytes == picture(64)
    assert image.uri is None


@pytest.mark.parametrize("broken", [b"\xff\xd8\xff\xe0 no photo", b"", picture(64)[:500]])
async def test_a_photo_that_does_not_decode_is_refused_before_anything_is_sent(tmp_path: Path, broken: bytes) -> None:
    """By the client, with the field; and an ingest of it stores nothing."""
    path = tmp_path / "broken.png"
    path.write_bytes(broken)
    with pytest.raises(Poison) as refused:
        await photo_to_ask_with(path, Settings(store_url="nonsense://"), 0.0)
    assert refused.value.field == "image"
    store = MemoryStore()
    with pytest.raises(Poison):
        announce(Photo("broken", path, {}), store, 2**20)
    assert list(store.list()) == []


async def test_the_limits_of_the_engine_hold_for_clients(tmp_path: Path) -> None:
    """A photo with too many pixels is refused where it lies."""
    path = tmp_path / "large.png"
    path.write_bytes(picture(64))
    with pytest.raises(Poison):
        await photo_to_ask_with(path, Settings(max_image_pixels=64 * 64 - 1), 0.0)
    assert MAX_INLINE_IMAGE_BYTES == 2**20
