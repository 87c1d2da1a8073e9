"""R1: images a second of the whole enrich role, against the bare batched loop over the same models and photos."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from aiokafka import AIOKafkaProducer
from PIL import Image

from benchmarks.report import Row
from infra.settings import Settings
from infra.stores import open_store
from models.guard import ignore
from processors import decode
from processors.drawn import catalogue
from streams.contract import topics
from streams.contract.codecs import encode
from streams.engine.observer import NullObserver
from streams.kafka.client import Reader
from streams.ops import admin
from streams.ops.ingest import Photo, announce
from streams.roles.seeing import SERVING_SIDE
from streams.wiring.enrich import run_enrich
from streams.wiring.models import Models
from streams.wiring.parts import open_parts

PHOTOS = 160
SEED = 77


async def run(settings: Settings) -> list[Row]:
    folder = settings.data_dir / "photos"
    photos = drawn_photos(folder, PHOTOS)
    await admin.create_topics(settings)
    store = open_store(settings)
    uploads = [announce(photo, store, settings.max_image_bytes) for photo in photos]
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        for upload in uploads:
            await producer.send(topics.UPLOADS, key=upload.product_id.encode(), value=encode(upload))
        await producer.flush()
    models = Models(settings, lambda _: ignore)
    await asyncio.to_thread(lambda: (models.detector, models.image_encoder))
    before = await asyncio.to_thread(_bare, models, photos, settings.batch_items)
    ours = await _pipeline(settings)
    after = await asyncio.to_thread(_bare, models, photos, settings.batch_items)
    bare = (before + after) / 2
    return [
        Row(
            "R1 pipeline images/s ÷ bare batched model loop",
            f"{ours / bare:.2f} ({ours:.1f} ÷ {bare:.1f} images/s)",
            "≥ .95",
            f"{PHOTOS} drawn photos, starter models, batches of {settings.batch_items}; the loop decodes, detects and embeds "
            "the whole photo and each garment, and is run before and after; the role also names colours, keeps its "
            "memo, and goes through Kafka and the store",
        )
    ]


def drawn_photos(folder: Path, count: int, seed: int = SEED, *, metadata: bool = False) -> list[Photo]:
    """Photos of drawn products as JPEG files in a new folder; with what the shop says of them, or without."""
    folder.mkdir(parents=True)
    photos = []
    for product in catalogue(seed, count):
        path = folder / f"{product.product_id}.jpg"
        Image.fromarray(product.pixels).save(path, quality=90)
        photos.append(Photo(product.product_id, path, dict(product.metadata) if metadata else {}))
    return photos


def _bare(models: Models, photos: Sequence[Photo], size: int) -> float:
    """Images a second of the loop that one would write by hand."""
    started = time.perf_counter()
    detector, encoder = models.detector, models.image_encoder
    for start in range(0, len(photos), size):
        batch = photos[start : start + size]
        pixels = [decode.decode(photo.path.read_bytes(), max_side=SERVING_SIDE).pixels for photo in batch]
        raws = detector.forward([detector.prepare(p) for p in pixels])
        views = []
        for image, raw in zip(pixels, raws, strict=True):
            views.append(image)
            for found in detector.finish(image, raw):
                x0, y0, x1, y1 = (round(edge) for edge in found.box)
                views.append(image[max(y0, 0) : max(y1, y0 + 1), max(x0, 0) : max(x1, x0 + 1)])
        encoder.forward([encoder.prepare(view) for view in views])
    return len(photos) / (time.perf_counter() - started)


async def _pipeline(settings: Settings) -> float:
    """Images a second of a role that finds all uploads waiting: from its joining the group to the last item."""
    stop, joined = asyncio.Event(), asyncio.Event()
    async with (
        Reader(settings, topics.ITEMS) as items,
        open_parts(settings, NullObserver(), Models(settings, lambda _: ignore), stop) as parts,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(run_enrich(parts, lambda _: joined.set()))
        await joined.wait()
        started = time.perf_counter()
        seen = 0
        async for _ in items.follow():
            seen += 1
            if seen == PHOTOS:
                break
        seconds = time.perf_counter() - started
        stop.set()
    return PHOTOS / seconds
