"""`python -m benchmarks.urgent [--images FOLDER] [--backlog 1000] [--times 3]`: one urgent upload behind a backlog.

A stack of its own (profile `starter`, a process for each role) captions urgent photos one at a time while nothing else is to
be done; then, behind a backlog of photos that nobody has seen before, the same number of others. The photos are those of the
folder, or drawn; more of them are made by cutting a few pixels off, so that no memo knows them. From the upload to the
caption on its topic.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from PIL import Image

from benchmarks.feed import conditions
from benchmarks.images import drawn_photos
from benchmarks.model_costs import asked_of
from benchmarks.report import Row, percentile, table
from infra.settings import Settings
from infra.store import ObjectStore
from infra.stores import open_store
from streams.contract import topics
from streams.contract.records import ImageRef, Upload
from streams.kafka.client import Client, Reader
from streams.ops.stack import Stack

LIMIT_S = 300.0
SETTLE_S = 8.0
"""After the backlog was sent: both roles are in the middle of it by then."""


def photos(folder: Path | None, scratch: Path, count: int) -> Iterator[bytes]:
    """So many JPEG files, each with other bytes."""
    if folder is None:
        found = [photo.path for photo in drawn_photos(scratch, min(count, 200), 5) if photo.path is not None]
    else:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    for number in range(count):
        with Image.open(found[number % len(found)]) as opened:
            image = opened.convert("RGB")
        cut = 1 + number // len(found)
        buffer = io.BytesIO()
        image.crop((cut, cut, image.width, image.height)).save(buffer, "JPEG", quality=90)
        yield buffer.getvalue()


def uploads(store: ObjectStore, files: Sequence[bytes], name: str, priority: Literal["normal", "high"]) -> list[Upload]:
    """Of photos that are put into the store."""
    return [
        Upload(
            f"{name}-{number}",
            ImageRef(uri=store.address(store.put_content(data, ".jpg"))),
            {"title": f"Number {number}"},
            priority=priority,
        )
        for number, data in enumerate(files)
    ]


async def captioned(client: Client, captions: Reader, upload: Upload) -> float:
    """Seconds from sending it to its caption."""
    started = time.perf_counter()
    await client.upload([upload])
    async with asyncio.timeout(LIMIT_S):
        async for message in captions.follow():
            if message.key == upload.product_id.encode():
                return time.perf_counter() - started
    raise AssertionError(upload.product_id)


async def measure(settings: Settings, folder: Path | None, backlog: int, times: int) -> list[Row]:
    """The rows."""
    files = list(photos(folder, settings.data_dir / "drawn", backlog + 2 * times + 1))
    size = sum(map(len, files)) / len(files)
    async with Stack(settings.model_copy(update={"data_dir": settings.data_dir / "stack"})) as stack:
        store = open_store(stack.settings)
        warm = uploads(store, files[:1], "warm", "high")
        alone = uploads(store, files[1 : 1 + times], "alone", "high")
        behind = uploads(store, files[1 + times : 1 + 2 * times], "behind", "high")
        waiting = await asyncio.to_thread(uploads, store, files[1 + 2 * times :], "backlog", "normal")
        async with Client(stack.settings) as client, Reader(stack.settings, topics.CAPTIONS, from_end=True) as captions:
            await captioned(client, captions, warm[0])
            before = await asked_of(stack)
            first = [await captioned(client, captions, upload) for upload in alone]
            asked = (await asked_of(stack)).since(before)
            await client.upload(waiting)
            await asyncio.sleep(SETTLE_S)
            later = [await captioned(client, captions, upload) for upload in behind]
            async with Reader(stack.settings, topics.CAPTIONS) as all_of_them:
                done = [message async for message in all_of_them.to_end()]
    mean = sum(later) / len(later) / (sum(first) / len(first))
    left = backlog - (len(done) - 2 * times - 1)
    return [
        Row("urgent upload → caption, alone", _each(first), "", f"one at a time, {size / 1024:.0f} KiB a photo"),
        Row(
            f"the same behind a backlog of {backlog:,}", _each(later), "", f"{left:,} captions still waited at the end"
        ),
        Row("models, alone", asked.said()),
        Row("behind ÷ alone", f"{mean:.2f} (mean), {max(later) / percentile(first, 0.5):.2f} (worst ÷ median)", "≤ 3"),
    ]


def _each(seconds: Sequence[float]) -> str:
    return ", ".join(f"{one:.2f}" for one in seconds) + " s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=None, help="folder of photos; drawn ones without it")
    parser.add_argument("--backlog", type=int, default=1000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--profile", default="starter")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
        settings = Settings(data_dir=Path(folder), profile=asked.profile)
        rows = asyncio.run(measure(settings, asked.images, asked.backlog, asked.times))
    sys.stdout.write(table(rows) + f"\n{conditions()}")


if __name__ == "__main__":
    main()
