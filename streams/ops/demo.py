"""`weft demo`: the whole engine on a folder of photos, once, with something to look at in the end."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from infra.settings import Settings
from infra.stores import open_store
from processors.errors import Poison
from streams.contract import topics
from streams.contract.edits import EditRequest, EditResult
from streams.contract.records import Caption, ImageRef, Query, Result
from streams.kafka.client import Client, new_query_id
from streams.ops.demo_queries import Ask, choose
from streams.ops.ingest import Ingest, Outcome, Photo, RefusedProduct
from streams.ops.sheet.contact_sheet import Asked, Changed, write_sheet
from streams.ops.sources import walk
from streams.ops.stack import Stack

CAPTION_PATIENCE_S = 1800.0
QUERY_DEADLINE_MS = 20_000
EDITS, EDIT_DEADLINE_MS = 2, 60_000
DRAWN_SEED = 20


class WriterCounts(msgspec.Struct, frozen=True):
    llm: int
    template: int


class Report(msgspec.Struct, frozen=True):
    """`report.json`; other programs rely on its shape. `seconds`: from the start of the stack to the last answer."""

    images: int
    captioned: int
    dead_lettered: int
    queries: int
    answered: int
    seconds: float
    writer: WriterCounts


@dataclass(frozen=True, slots=True)
class Answered:
    """A query of the demo and what came of it."""

    ask: Ask
    result: Result


@dataclass(frozen=True, slots=True)
class Edited:
    """An edit of the demo, and its image; b"" where there is none."""

    ask: Ask
    result: EditResult
    image: bytes


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo did: the events, for files and pictures."""

    photos: tuple[Photo, ...]
    captions: tuple[Caption, ...]
    refused: tuple[RefusedProduct, ...]
    answers: tuple[Answered, ...]
    report: Report
    edits: tuple[Edited, ...] = ()


@dataclass(frozen=True, slots=True)
class DemoProgress:
    """Who is told of the progress."""

    step: Callable[[str], None]
    outcome: Callable[[Outcome, int, int], None]  # outcome, how many so far, of how many


def photos_in(images: Path | None, out: Path, count: int) -> tuple[tuple[Photo, ...], tuple[RefusedProduct, ...]]:
    """The user's photos, or a drawn catalogue that is written to `out/catalogue` first.

    Raises:
        Poison: the folder holds no images.
    """
    folder = draw(out / "catalogue", count) if images is None else images
    catalogue = walk(folder)
    refused = tuple(RefusedProduct(row.where, "ingest", row.cause) for row in catalogue.rejected)
    photos = tuple(
        Photo(
            source.product_id,
            source.path,
            dict(source.metadata),
            source.address,
            source.further,
            source.equal,
            source.roles,
        )
        for source in catalogue.sources
    )
    if not photos:
        raise Poison(f"no JPEG, PNG, WebP or GIF images in {folder}", field="images")
    return photos, refused


def draw(folder: Path, count: int) -> Path:
    """Write `count` drawn products and their `products.jsonl` to `folder`, as a shop would hand them over."""
    from PIL import Image

    from processors.drawn import catalogue

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = []
    for product in catalogue(DRAWN_SEED, count):
        name = f"{product.product_id}.jpg"
        Image.fromarray(product.pixels).save(folder / name, quality=90)
        rows.append(msgspec.json.encode({"product_id": product.product_id, "image": name, **product.metadata}))
    (folder / "products.jsonl").write_bytes(b"\n".join(rows) + b"\n")
    return folder


async def run(
    photos: Sequence[Photo], refused: Sequence[RefusedProduct], out: Path, settings: Settings, watch: DemoProgress
) -> Demo:
    """Start a stack of its own below `out`, send the photos, ask the queries, stop the stack."""
    started = time.monotonic()
    data_dir = out / "stack"
    # A demo shows these photos, not those of the last one.
    await asyncio.to_thread(shutil.rmtree, data_dir, ignore_errors=True)
    async with Stack(settings.model_copy(update={"data_dir": data_dir, "store_url": ""}), progress=watch.step) as stack:
        watch.step(f"sending {len(photos)} photos")
        outcomes = [*refused, *await _ingest(photos, stack.settings, watch)]
        captions = tuple(sorted((o for o in outcomes if isinstance(o, Caption)), key=lambda c: c.product_id))
        watch.step("asking composed queries")
        answers = await _ask(captions, stack.settings)
        watch.step("editing two photos")
        edits = await _edit(captions, stack.settings)
        seconds = time.monotonic() - started
        watch.step("stopping")
    # Left only where something went wrong: its logs say what.
    await asyncio.to_thread(shutil.rmtree, data_dir, ignore_errors=True)
    lost = tuple(outcome for outcome in outcomes if isinstance(outcome, RefusedProduct))
    report = Report(
        images=len(photos) + len(refused),
        captioned=len(captions),
        dead_lettered=len(lost),
        queries=len(answers),
        answered=sum(answer.result.error is None for answer in answers),
        seconds=round(seconds, 1),
        writer=WriterCounts(
            llm=sum(caption.writer == "llm" for caption in captions),
            template=sum(caption.writer == "template" for caption in captions),
        ),
    )
    return Demo(tuple(photos), captions, lost, answers, report, edits)


async def _ingest(photos: Sequence[Photo], settings: Settings, watch: DemoProgress) -> list[Outcome]:
    done = 0

    def on_outcome(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        watch.outcome(outcome, done, len(photos))

    async with Client(settings) as client:
        job = Ingest(client, open_store(settings), settings, on_outcome=on_outcome)
        return await job.send_and_wait(photos, CAPTION_PATIENCE_S)


async def _ask(captions: Sequence[Caption], settings: Settings) -> tuple[Answered, ...]:
    answers = []
    async with Client(settings) as client:
        # Every item that has a caption must be searchable: a query waits for the shards to have come that far.
        offsets = await client.end_offsets(topics.ITEMS)
        for ask in choose(captions):
            query = Query(
                query_id=new_query_id(),
                image=ImageRef(product_id=ask.product_id),
                text=ask.text,
                top_k=5,
                deadline_ms=QUERY_DEADLINE_MS,
                min_offsets={partition: offset for partition, offset in offsets.items() if offset},
            )
            answers.append(Answered(ask, await client.query(query)))
    return tuple(answers)


async def _edit(captions: Sequence[Caption], settings: Settings) -> tuple[Edited, ...]:
    """The first two of the same wishes, fulfilled on the product's own photo. One that is not is shown with its cause."""
    store, found = open_store(settings), []
    async with Client(settings) as client:
        for ask in choose(captions)[:EDITS]:
            result = await client.edit(
                EditRequest(
                    request_id=new_query_id(),
                    image=ImageRef(product_id=ask.product_id),
                    text=ask.text,
                    deadline_ms=EDIT_DEADLINE_MS,
                )
            )
            key = store.key_of(result.image) if result.image else None
            image = b"" if key is None else await asyncio.to_thread(store.get, key)
            found.append(Edited(ask, result, image))
    return tuple(found)


def write(demo: Demo, out: Path) -> None:
    """The events and the report, where `docs/cli.md` says."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "captions.jsonl").write_bytes(b"".join(msgspec.json.encode(c) + b"\n" for c in demo.captions))
    (out / "results.jsonl").write_bytes(
        b"".join(msgspec.json.encode(_shown(a.result, demo.photos)) + b"\n" for a in demo.answers)
    )
    (out / "report.json").write_bytes(msgspec.json.encode(demo.report) + b"\n")


def _shown(result: Result, photos: Sequence[Photo]) -> Result:
    """With the user's own photos for addresses: the demo's store is gone when somebody opens them."""
    paths = {photo.product_id: photo.path.absolute().as_uri() for photo in photos if photo.path is not None}
    hits = (msgspec.structs.replace(hit, image=paths.get(hit.product_id, hit.image)) for hit in result.hits)
    return msgspec.structs.replace(result, hits=tuple(hits))


def draw_sheet(demo: Demo, out: Path) -> Path:
    """The contact sheet: everything in one picture."""
    sheet = out / "contact-sheet.png"
    write_sheet(
        sheet,
        {photo.product_id: photo.path for photo in demo.photos if photo.path is not None},
        demo.captions,
        {refused.product_id: f"{refused.stage}: {refused.cause}" for refused in demo.refused},
        [Asked(answer.ask.product_id, answer.ask.text, answer.result) for answer in demo.answers],
        edits=[Changed(one.ask.product_id, one.ask.text, one.result, one.image) for one in demo.edits],
    )
    return sheet
