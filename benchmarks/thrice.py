"""`python -m benchmarks.thrice [--products 200] [--photos 3]`: what a catalogue that comes again and again asks the models for.

A stack of the profile `fake` (four processes, a broker of its own) takes products of several photos in; the same feed comes twice
more, then with other prices, then with one colour word changed in ten products; then everything that was ever sent comes once more,
in its order; and then the last feed again, while `enrich` and `caption` are killed (SIGKILL). After each, the models' calls (by the
roles' metrics) and the bytes of all captions are compared with what they must be: 600 photos and 200 captions, nothing, nothing,
nothing, 10 captions, nothing, nothing; and equal bytes for every product of which no word was changed. Exit status 1: they are not.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.feed import Feed, Load, conditions
from benchmarks.model_costs import Asked, asked_of
from benchmarks.report import Row, table
from infra.settings import Settings
from infra.store import ObjectStore
from infra.stores import open_store
from processors.drawn import catalogue
from streams.contract import topics
from streams.contract.records import Upload, UploadPhoto
from streams.kafka.client import Client, Reader
from streams.ops.stack import Stack

CHANGED = 10
"""Products of which the colour word changes."""


def feed_of(store: ObjectStore, products: int, photos: int) -> list[Upload]:
    """The catalogue, as it is sent for the first time; no two photos are the same."""
    drawn = [Image.fromarray(one.pixels) for one in catalogue(7, min(products, 50))]

    def photo(number: int, shot: int) -> UploadPhoto:
        image, cut = drawn[number % len(drawn)], 1 + shot + photos * (number // len(drawn))
        buffer = io.BytesIO()
        image.crop((cut % 8, cut // 8, image.width, image.height)).save(buffer, "JPEG", quality=85)
        return UploadPhoto(uri=store.address(store.put_content(buffer.getvalue(), ".jpg")))

    return [
        Upload(
            f"sku-{number}",
            images=tuple(photo(number, shot) for shot in range(photos)),
            metadata={"title": f"No. {number}", "colour": "red", "price": 10.0},
        )
        for number in range(products)
    ]


def with_metadata(upload: Upload, **more: object) -> Upload:
    """The same with other words."""
    return Upload(upload.product_id, images=upload.images, metadata={**(upload.metadata or {}), **more})


async def captions_of(settings: Settings) -> dict[bytes, bytes]:
    """The last caption of each product, as it lies on its topic."""
    found: dict[bytes, bytes] = {}
    async with Reader(settings, topics.CAPTIONS) as reader:
        async for record in reader.to_end():
            if record.key is not None and record.value is not None:
                found[record.key] = record.value
    return found


class Trial:
    """One stack, and what has been found of it."""

    def __init__(self, stack: Stack, client: Client, warm: Asked) -> None:
        self._stack, self._feed, self._warm = stack, Feed(stack, client), warm
        self._captions: dict[bytes, bytes] = {}
        self.rows: list[Row] = []
        self.faults: list[str] = []

    async def send(self, name: str, feed: Sequence[Upload], photos: int, captions: int, *, kill: bool = False) -> None:
        """Send a feed; it must ask for so many photos and captions, and leave the bytes of all other captions as they are."""
        before = await asked_of(self._stack)
        running = asyncio.create_task(self._feed.run(Load(name, feed)))
        killed = await self._kill() if kill else []
        run = await running
        asked = await asked_of(self._stack)
        # After a kill what is counted begins anew, with the models' warm-up.
        asked = asked.since(self._warm if killed else before)
        now = await captions_of(self._stack.settings)
        changed = sum(now.get(key) != value for key, value in self._captions.items())
        if (asked.photos, asked.captions) != (photos, captions):
            self.faults.append(f"{name}: {asked.photos:.0f} photos and {asked.captions:.0f} captions were asked for")
        if changed != (captions if self._captions else 0):
            self.faults.append(f"{name}: {changed} captions are not what they were")
        self._captions = now
        how = f"{len(feed):,} uploads in {max(run.seconds):.1f} s; {changed} captions changed, of {len(now)}"
        how += f"; killed: {', '.join(killed)}" if killed else ""
        self.rows.append(
            Row(name, f"{asked.photos:.0f} photos, {asked.captions:.0f} captions", f"{photos}, {captions}", how)
        )
        sys.stderr.write(f"{self.rows[-1]}\n")

    async def _kill(self) -> list[str]:
        await asyncio.sleep(0.2)  # in the middle of it
        names = [name for name in self._stack.file.pids if name in {"enrich", "caption"}]
        for name in names:
            os.kill(self._stack.file.pids[name], signal.SIGKILL)
        return names


async def measure(settings: Settings, products: int, photos: int) -> tuple[list[Row], list[str]]:
    """The rows, and what is not as it must be."""
    async with Stack(settings.model_copy(update={"data_dir": settings.data_dir / "stack"})) as stack:
        store = open_store(stack.settings)
        first = await asyncio.to_thread(feed_of, store, products, photos)
        priced = [with_metadata(one, price=12.0) for one in first]
        worded = [with_metadata(one, colour="navy") if n < CHANGED else one for n, one in enumerate(priced)]
        async with Client(stack.settings) as client:
            trial = Trial(stack, client, await asked_of(stack))
            await trial.send("first time", first, products * photos, products)
            await trial.send("the same", first, 0, 0)
            await trial.send("the same", first, 0, 0)
            await trial.send("other prices", priced, 0, 0)
            await trial.send(f"one word of {CHANGED} products", worded, 0, CHANGED)
            await trial.send("all of it again, in its order", [*first, *first, *first, *priced, *worded], 0, 0)
            await trial.send("the last again, with kills", worded, 0, 0, kill=True)
        return trial.rows, trial.faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=200)
    parser.add_argument("--photos", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
        settings = Settings(data_dir=Path(folder), profile="fake")
        rows, faults = asyncio.run(measure(settings, asked.products, asked.photos))
    sys.stdout.write(table(rows) + f"\n{conditions()}")
    for fault in faults:
        sys.stdout.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
