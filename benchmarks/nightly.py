"""`python -m benchmarks.nightly [--products 10000] [--photo-seconds S --caption-seconds S]`: what a nightly feed asks the models for.

A stack of the profile `fake` takes a catalogue of drawn products in, each with a photo of its own; then the same feed comes
again, in which one product in a hundred changed: of four of those one has another photo, one another colour word, two another
price. The models' calls are counted by the roles' metrics. With the seconds that a photo and a caption take with other models
(`python -m benchmarks.urgent` prints those of `starter`), what was saved against thinking everything again is told in hours.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.feed import Feed, Load, Run, conditions
from benchmarks.model_costs import Asked, asked_of
from benchmarks.report import Row, table
from infra.settings import Settings
from infra.store import ObjectStore
from infra.stores import open_store
from processors.drawn import catalogue
from streams.contract.records import ImageRef, Upload
from streams.kafka.client import Client
from streams.ops.stack import Stack

DRAWN = 250
"""Pictures that are drawn; the others are these with some pixels cut off."""
CHANGED = 100
"""One product in so many."""


def photo(store: ObjectStore, image: Image.Image, cut: int) -> ImageRef:
    """A photo that no other product has, in the store."""
    buffer = io.BytesIO()
    image.crop((cut % 8, cut // 8, image.width, image.height)).save(buffer, "JPEG", quality=85)
    return ImageRef(uri=store.address(store.put_content(buffer.getvalue(), ".jpg")))


def feed_of(store: ObjectStore, products: int) -> list[Upload]:
    """The catalogue, as it is sent for the first time."""
    # Without their categories: the fake detector sees others, and the shop's word would be of a garment that nobody saw.
    drawn = [
        ({name: value for name, value in one.metadata.items() if name != "category"}, Image.fromarray(one.pixels))
        for one in catalogue(7, DRAWN)
    ]
    return [
        Upload(
            f"sku-{number}",
            photo(store, drawn[number % DRAWN][1], number // DRAWN),
            {**drawn[number % DRAWN][0], "title": f"No. {number}", "price": 10.0},
        )
        for number in range(products)
    ]


def next_night(store: ObjectStore, uploads: Sequence[Upload]) -> list[Upload]:
    """The same feed with one product in a hundred changed."""
    other = Image.fromarray(next(iter(catalogue(8, 1))).pixels)
    changed = []
    for number, upload in enumerate(uploads):
        if number % CHANGED:
            changed.append(upload)
            continue
        said, kind = upload.metadata or {}, number // CHANGED % 4
        word = "red" if said.get("colour") != "red" else "navy"
        more = {0: {}, 1: {"colour": word}}.get(kind, {"price": 9.0})
        image = photo(store, other, 1 + number // CHANGED) if kind == 0 else upload.image
        changed.append(Upload(upload.product_id, image, {**said, **more}))
    return changed


async def measure(settings: Settings, products: int, photo_s: float, caption_s: float) -> list[Row]:
    """The rows."""
    async with Stack(settings.model_copy(update={"data_dir": settings.data_dir / "stack"})) as stack:
        store = open_store(stack.settings)
        uploads = await asyncio.to_thread(feed_of, store, products)
        nights = [("as it was", uploads), ("1 % changed", await asyncio.to_thread(next_night, store, uploads))]
        async with Client(stack.settings) as client:
            feed, before = Feed(stack, client), await asked_of(stack)
            rows = []
            for name, night in [("first time", uploads), *nights]:
                run = await feed.run(Load(name, night))
                now = await asked_of(stack)
                rows.append(_row(run, now.since(before), photo_s, caption_s))
                sys.stderr.write(f"{rows[-1]}\n")
                before = now
    return rows


def _row(run: Run, asked: Asked, photo_s: float, caption_s: float) -> Row:
    count = len(run.load.uploads)
    spent = asked.photos * photo_s + asked.captions * caption_s
    saved = count * (photo_s + caption_s) - spent
    how = f"{count:,} products in {max(run.seconds):.1f} s"
    if photo_s or caption_s:
        how += (
            f"; at {photo_s:g} s a photo and {caption_s:g} s a caption {spent:,.0f} model seconds, {saved:,.0f} saved"
        )
    return Row(run.load.name, f"{asked.photos:,.0f} photos seen, {asked.captions:,.0f} captions written", "", how)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--photo-seconds", type=float, default=0.0)
    parser.add_argument("--caption-seconds", type=float, default=0.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
        settings = Settings(data_dir=Path(folder), profile="fake")
        rows = asyncio.run(measure(settings, asked.products, asked.photo_seconds, asked.caption_seconds))
    sys.stdout.write(table(rows) + f"\n{conditions()}")


if __name__ == "__main__":
    main()
