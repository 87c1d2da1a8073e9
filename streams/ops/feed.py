"""A shop's whole feed against the catalogue: what is new, what changed and how, what is unchanged, and what is gone.

Compared is with the last upload of each product on `catalog.uploads`: so a run that was ended goes on where it was, and
what is unchanged is not sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from infra.fetch import read_regular
from infra.settings import Settings
from infra.store import ObjectStore, content_key
from processors import image_parts
from processors.errors import Poison
from processors.identity import key_of, split
from processors.image_header import sniff
from processors.offers import COLUMN_NAMES
from processors.product import Change as Said
from processors.product import PhotoPlace, Product
from streams.contract import codecs, topics
from streams.contract.checks import fields_of, photos_of
from streams.contract.versions import stamp_of, version_of
from streams.engine.message import Message
from streams.kafka.client import Reader
from streams.kafka.dead_letters import PREFIX
from streams.kafka.positions import header_text, is_number
from streams.ops.ingest import Photo, RefusedProduct

COLUMNS = COLUMN_NAMES
"""What changes a thousand times as often as a photo, and no caption states."""
MAX_GONE = 0.2
"""Share of the catalogue that a feed may lack; one that was cut off on its way must not empty a shop."""


class Change(StrEnum):
    """Of a product of the feed, against what is there."""

    NEW = "new"
    PHOTO = "photo"
    FACTS = "facts"
    COLUMNS = "columns"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Known:
    """What was uploaded of a product: where its photos lie ("" where one came inside the record), and what the shop said."""

    images: tuple[str, ...]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a feed is going to change."""

    changes: tuple[tuple[Photo, Change], ...]
    gone: tuple[str, ...]
    refused: tuple[RefusedProduct, ...]
    known: int
    """Products that are there."""

    @property
    def to_send(self) -> list[Photo]:
        """All but what is unchanged."""
        return [photo for photo, change in self.changes if change is not Change.UNCHANGED]

    @property
    def too_many_gone(self) -> bool:
        """Whether the feed lacks more of the catalogue than a feed may."""
        return len(self.gone) > MAX_GONE * self.known

    def counts(self) -> dict[str, int]:
        """Products by what becomes of them."""
        found = dict.fromkeys((str(change) for change in Change), 0)
        for _, change in self.changes:
            found[change] += 1
        return found | {"gone": len(self.gone), "refused": len(self.refused)}


async def known_products(settings: Settings, shop: str = "") -> dict[str, Known]:
    """The products of a shop ("": of none) that are there, by id. What was refused is left out: it is no part of its product.

    Raises:
        Retryable: no broker answers.
    """
    async with Reader(settings, topics.DEAD_LETTERS) as reader:
        refused = {place async for message in reader.to_end() if (place := refused_upload(message)) is not None}
    products: dict[str, Product] = {}
    async with Reader(settings, topics.UPLOADS) as reader:
        async for message in reader.to_end():
            if message.first_source not in refused:
                take_in(products, message)
    return {
        product_id: Known(tuple(photo.address for photo in product.photos), product.metadata)
        for of, product_id, product in ((*split(key), product) for key, product in products.items())
        if product.alive and of == shop
    }


def refused_upload(letter: Message) -> tuple[str, int, int] | None:
    """Where the upload first lay that a dead letter is of; None for a letter of anything else.

    A photo whose host was away is asked for again the next night: an upload that came to nothing must not pass for unchanged.
    """
    topic, partition, offset = (header_text(letter, f"{PREFIX}{name}") for name in ("topic", "partition", "offset"))
    if topic != topics.UPLOADS or not (is_number(partition) and is_number(offset)):
        return None
    return Message(topic, int(partition), int(offset), headers=letter.headers).first_source


def take_in(products: dict[str, Product], message: Message) -> None:
    """What one record says of its product, as enrich takes it in; nothing of what enrich refuses for its form."""
    try:
        upload = codecs.decode_upload(message)
    except Poison:
        return
    if upload is None:
        product_id = key_of(*codecs.deleted_product(message))
        before = products.get(product_id, Product())
        products[product_id] = before.without(stamp_of(before, message, None))
        return
    product_id = key_of(upload.shop or "", upload.product_id)
    before = products.get(product_id, Product())
    photos = dict.fromkeys(PhotoPlace(photo.uri or "", "") for _, photo in photos_of(upload))
    change = Said(
        fields_of(upload), tuple(photos) if photos else None, version_of(upload.version), upload.metadata is None
    )
    products[product_id] = before.after(change, stamp_of(before, message, change.version))


def plan(
    photos: Sequence[Photo],
    refused: Sequence[RefusedProduct],
    mentioned: Iterable[str],
    known: Mapping[str, Known],
    images_of: Callable[[Photo], tuple[str, ...]],
) -> Plan:
    """Compare a feed with what is there. Blocking: `images_of` reads photos.

    Args:
        photos: the products of the feed.
        refused: those that cannot be used.
        mentioned: words of rows that cannot be used: a product that one of them names is not gone.
        known: see `known_products`.
        images_of: the addresses that its photos have, or would have, in the store; raises `Poison` for one that cannot be used.
    """
    changes, further = [], list(refused)
    for photo in photos:
        try:
            changes.append((photo, _change(photo, known.get(photo.product_id), images_of)))
        except Poison as error:
            further.append(RefusedProduct(photo.product_id, "ingest", str(error)))
    there = {photo.product_id for photo in photos} | set(mentioned)
    return Plan(tuple(changes), tuple(sorted(known.keys() - there)), tuple(further), len(known))


def _change(photo: Photo, known: Known | None, images_of: Callable[[Photo], tuple[str, ...]]) -> Change:
    images = images_of(photo)
    if known is None:
        return Change.NEW
    if images != known.images:
        return Change.PHOTO
    said = msgspec.json.decode(msgspec.json.encode(photo.metadata))
    differs = {name for name in said.keys() | known.metadata.keys() if said.get(name) != known.metadata.get(name)}
    return Change.UNCHANGED if not differs else Change.COLUMNS if differs <= COLUMNS else Change.FACTS


def images_in(store: ObjectStore, settings: Settings) -> Callable[[Photo], tuple[str, ...]]:
    """`images_of` for `plan`: by the bytes that would be stored. Nothing is decoded or written: most have not changed."""

    def address(place: Path | str) -> str:
        return place if isinstance(place, str) else store.address(_key(place, settings))

    # One that is there twice is sent once.
    return lambda photo: tuple(dict.fromkeys(address(place) for place in photo.places))


def _key(path: Path, settings: Settings) -> str:
    data = read_regular(path, settings.max_image_bytes, field="image")
    kind = sniff(data)
    return content_key(data if settings.keep_photo_metadata else image_parts.clean(data), f".{kind}")


async def model_seconds(scrape: str, plan: Plan) -> float | None:
    """What the plan is going to cost on the models, by what the running roles have taken for each photo and caption so far.

    None where nothing can be asked, or nothing was worked on yet.

    Args:
        scrape: address of the stack's metrics; "" for none.
        plan: the plan.
    """
    import aiohttp
    from prometheus_client.parser import text_string_to_metric_families

    if not scrape:
        return None
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(f"{scrape}/metrics") as answer,
        ):
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError):
        return None
    families = await asyncio.to_thread(lambda: list(text_string_to_metric_families(text)))
    samples = [sample for family in families for sample in family.samples]

    def total(name: str, role: str, **labels: str) -> float:
        wanted = labels.items()
        return sum(
            s.value for s in samples if s.name == name and role in s.labels["role"] and wanted <= s.labels.items()
        )

    photos = total("weft_stage_items_total", "enrich", stage="remember")
    captions = total("weft_captions_total", "caption")
    writing = total("weft_model_seconds_sum", "caption", model="writer")
    if not photos or not captions:
        return None
    seeing = sum(total("weft_model_seconds_sum", "enrich", model=model) for model in ("detector", "image encoder"))
    counts = plan.counts()
    seen = counts[Change.NEW] + counts[Change.PHOTO]
    return seen * seeing / photos + (seen + counts[Change.FACTS]) * writing / captions
